"""Writes `docs/compatibility.md`: PyMongo's public API beside ours, method by method.

`python -m scripts.compatibility`, after a change of what the driver path offers.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from connect.eaas import mongodb as ours
from pymongo.asynchronous import change_stream, client_session, collection, cursor, database, mongo_client

TABLE = Path(__file__).parent.parent / "docs" / "compatibility.md"

CLASSES: list[tuple[str, Any, Any]] = [
    ("AsyncMongoClient", mongo_client.AsyncMongoClient, ours.AsyncMongoClient),
    ("AsyncDatabase", database.AsyncDatabase, ours.AsyncDatabase),
    ("AsyncCollection", collection.AsyncCollection, ours.AsyncCollection),
    ("AsyncCursor", cursor.AsyncCursor, ours.AsyncCursor),
    ("AsyncClientSession", client_session.AsyncClientSession, None),
    ("AsyncChangeStream", change_stream.AsyncChangeStream, None),
]

LATER = "not yet"
DIFFERENT = {
    "AsyncMongoClient.close": "a client from `from_config` stays open: it serves others",
    "AsyncMongoClient.get_default_database": "no default and no options: the database of the URI or of the variables",
    "AsyncMongoClient.get_database": "no options",
    "AsyncDatabase.get_collection": "no options",
    "AsyncDatabase.command": "no `check`, codec options, read preference or session",
    "AsyncCollection.insert_one": "the caller's document gets no `_id`",
    "AsyncCollection.insert_many": "the caller's documents get no `_id`",
    "AsyncCollection.find": "arguments are named, not `*args`; no `cursor_type`, `session`",
    "AsyncCollection.find_one": "arguments are named, not `*args`; no `session`",
    "AsyncCursor.max": "also takes a mapping",
    "AsyncCursor.min": "also takes a mapping",
}
SESSION = "the same, but for `session`, which is not supported yet"


def parameters(function: Any) -> list[str] | None:
    """The names of a method's parameters, or `None` where it has none that can be seen."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return None
    return [name for name in names if name != "self"]


def verdict(owner: str, name: str, theirs: Any, mine: Any) -> tuple[str, str]:
    """How a member of PyMongo's class compares."""
    if mine is None or not hasattr(mine, name):
        return "absent", LATER
    key = f"{owner}.{name}"
    if key in DIFFERENT:
        return "different", DIFFERENT[key]
    member, own = inspect.getattr_static(theirs, name), getattr(mine, name)
    if isinstance(member, property) or not callable(own):
        return "the same", ""
    wanted, given = parameters(getattr(theirs, name)), parameters(own)
    if wanted is None or given is None or wanted == given:
        return "the same", SESSION if wanted and "session" in wanted else ""
    lacking = [name for name in wanted if name not in given and name not in ("args", "kwargs")]
    if lacking:
        return "different", "without " + ", ".join(f"`{name}`" for name in lacking)
    return "the same", SESSION if "session" in wanted else ""


def public(cls: Any) -> list[str]:
    """The names of a class's public members."""
    return sorted(name for name in dir(cls) if not name.startswith("_"))


def table() -> str:
    """The document's text."""
    out = [
        "# Beside PyMongo's API",
        "",
        "The driver path's classes, awaited, beside PyMongo's; those that block have the same methods. Written by",
        "`python -m scripts.compatibility`, of PyMongo 4's `pymongo.asynchronous` and of this package, and checked by",
        "the tests. What is absent raises `AttributeError`, or, as an argument, `NotImplementedError` or `TypeError`.",
        "",
    ]
    for name, theirs, mine in CLASSES:
        rows = [(member, *verdict(name, member, theirs, mine)) for member in public(theirs)]
        counts = {kind: sum(row[1] == kind for row in rows) for kind in ("the same", "different", "absent")}
        summary = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        out += [f"## `{name}`", "", f"{summary}.", "", "| member | | |", "| --- | --- | --- |"]
        out += [f"| `{member}` | {kind} | {why} |" for member, kind, why in rows]
        out.append("")
    return "\n".join(out)


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
