"""`docs/compatibility.md`, and the signatures that it describes."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from connect.eaas import mongodb as ours
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.synchronous import (
    change_stream,
    client_session,
    collection,
    command_cursor,
    cursor,
    database,
    mongo_client,
)

from scripts import compatibility

BLOCKING: list[tuple[str, Any, Any]] = [
    ("AsyncMongoClient", mongo_client.MongoClient, ours.MongoClient),
    ("AsyncDatabase", database.Database, ours.Database),
    ("AsyncCollection", collection.Collection, ours.Collection),
    ("AsyncCursor", cursor.Cursor, ours.Cursor),
    ("AsyncCommandCursor", command_cursor.CommandCursor, ours.CommandCursor),
    ("AsyncClientSession", client_session.ClientSession, ours.ClientSession),
    ("AsyncChangeStream", change_stream.ChangeStream, ours.ChangeStream),
]

# Defaults that differ in form only: `None` stands for PyMongo's default.
SAME_DEFAULTS = {("command", "value"), ("cursor_command", "value")}


def rows(kind: str) -> list[Any]:
    """The documented members of a kind, with PyMongo's class and ours, for the asynchronous and the blocking API."""
    documented = {
        (name, member): verdict
        for name, theirs, mine in compatibility.CLASSES
        for member in compatibility.public(theirs)
        for verdict in [compatibility.verdict(name, member, theirs, mine)]
    }
    return [
        pytest.param(theirs, mine, member, documented[name, member][1], id=f"{theirs.__name__}.{member}")
        for classes in (compatibility.CLASSES, BLOCKING)
        for name, theirs, mine in classes
        for member in compatibility.public(theirs)
        if documented.get((name, member), ("", ""))[0] == kind
    ]


def parameters(function: Any) -> list[inspect.Parameter]:
    """A method's parameters without `self`. Raises `ValueError` if the method has no signature."""
    found = list(inspect.signature(function).parameters.values())
    return found[1:] if found and found[0].name == "self" else found


def is_method(theirs: Any, mine: Any, member: str) -> bool:
    """Whether PyMongo's member is a method, and ours too."""
    is_theirs = inspect.isroutine(getattr(theirs, member))
    assert is_theirs is inspect.isroutine(getattr(mine, member)), "one is a method, the other is not"
    return is_theirs


def problems(theirs: Any, mine: Any) -> dict[str, str]:
    """The parameters of PyMongo's method that a call of ours cannot pass in the same way."""
    given = {parameter.name: (place, parameter) for place, parameter in enumerate(parameters(mine))}
    found = {}
    for place, wanted in enumerate(parameters(theirs)):
        if wanted.name not in given:
            found[wanted.name] = "is missing"
            continue
        own_place, own = given[wanted.name]
        if own.kind != wanted.kind:
            found[wanted.name] = f"is {own.kind.description}, not {wanted.kind.description}"
        elif own_place != place and wanted.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
            found[wanted.name] = f"is at position {own_place}, not {place}"
        elif own.default != wanted.default and (theirs.__name__, wanted.name) not in SAME_DEFAULTS:
            found[wanted.name] = f"is {own.default!r} by default, not {wanted.default!r}"
    return found


def test_the_table_is_up_to_date() -> None:
    """If this fails, run `python -m scripts.compatibility`."""
    assert compatibility.TABLE.read_text(encoding="utf-8") == compatibility.table()


def test_each_difference_between_signatures_is_found() -> None:
    def theirs(a: int, b: int = 1, *, c: int = 2, d: int = 3, e: int = 4) -> None: ...
    def ours(b: int = 1, *, c: int = 0, d: int = 3, x: int = 0, **e: int) -> None: ...

    assert problems(theirs, theirs) == {}
    assert problems(theirs, ours) == {
        "a": "is missing",
        "b": "is at position 0, not 1",
        "c": "is 0 by default, not 2",
        "e": "is variadic keyword, not keyword-only",
    }


@pytest.mark.parametrize(("theirs", "mine", "member", "reason"), rows("the same"))
def test_methods_documented_as_the_same_have_pymongos_parameters(
    theirs: Any, mine: Any, member: str, reason: str
) -> None:
    if is_method(theirs, mine, member):
        assert problems(getattr(theirs, member), getattr(mine, member)) == {}


@pytest.mark.parametrize(("theirs", "mine", "member", "reason"), rows("different"))
def test_methods_documented_as_different_name_each_missing_parameter(
    theirs: Any, mine: Any, member: str, reason: str
) -> None:
    if not is_method(theirs, mine, member):
        return
    # PyMongo passes the arguments of these methods on to the cursor, after the collection.
    wanted = AsyncCursor if member in ("find", "find_one") else getattr(theirs, member)
    missing = {name for name, problem in problems(wanted, getattr(mine, member)).items() if problem == "is missing"}
    assert {name for name in missing - {"collection"} if f"`{name}`" not in reason} == set()


def test_every_member_is_documented() -> None:
    for name, theirs, mine in compatibility.CLASSES:
        for member in compatibility.public(theirs):
            kind, reason = compatibility.verdict(name, member, theirs, mine)
            assert (kind == "absent") is not hasattr(mine, member)
            assert bool(reason) is (kind != "the same")
