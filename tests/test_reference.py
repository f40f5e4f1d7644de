"""The examples of the reference: each public member has one, and it does what its comments say."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import connect.eaas.mongodb
import pytest
from connect.eaas.mongodb import AsyncMongoClient, MongoClient
from pymongo import MongoClient as PyMongoClient
from pymongo.errors import OperationFailure

from scripts.examples import FILES, FOLDER, NOT_ITERABLE, OVERVIEW, Example, examples_of, read

# What the collection of the examples contains. docs/reference/index.md shows it.
ORDERS = [
    {"_id": "A-1", "status": "pending", "total": 10},
    {"_id": "A-2", "status": "approved", "total": 25},
    {"_id": "A-3", "status": "approved", "total": 40},
]

EXAMPLES = [example for path in sorted(FOLDER.glob("[a-z]*.py")) for example in read(path.stem).values()]
_numbers = itertools.count()


class Shop:
    """The database `shop` of an example, under another name."""

    def __init__(self, name: str, config: dict[str, str], uri: str) -> None:
        self.name = name
        self.given: dict[str, Any] = {"uri": uri, "config": {**config, "DB": name, "DRIVER_COLLECTION": "orders"}}
        self.printed: dict[int, list[str]] = {}

    def print(self, *values: object) -> None:
        """Note what an example prints, by its line."""
        line = sys._getframe(1).f_lineno - 1
        text = re.sub(rf"\b{self.name}\b", "shop", " ".join(map(str, values)))
        self.printed.setdefault(line, []).append(text)

    def function(self, example: Example, code: str, header: str) -> Any:
        """An example as a function."""
        source = re.sub(r"\bshop\b", self.name, code)
        arguments = ", ".join(example.arguments)
        text = f"{header} {example.name}_({arguments}):\n{textwrap.indent(source, '    ')}\n"
        space: dict[str, Any] = {**vars(connect.eaas.mongodb), "print": self.print, "Any": Any}
        space |= {name: getattr(connect.eaas.mongodb, name) for name in connect.eaas.mongodb.__all__}
        exec(compile(text, f"{example.file}.py: {example.name}", "exec"), space)
        return space[f"{example.name}_"]

    def check(self, example: Example) -> None:
        """What was printed is what the comments say."""
        assert {line: ", ".join(texts) for line, texts in self.printed.items()} == example.expected()


@pytest.fixture
def shop(pymongo_client: PyMongoClient[dict[str, Any]], mongodb_uri: str, config: dict[str, str]) -> Iterator[Shop]:
    """A database of the example's own, with its orders."""
    name = f"tests_{os.getpid()}_{next(_numbers)}"
    pymongo_client[name].orders.insert_many(ORDERS)
    yield Shop(name, config, mongodb_uri)
    pymongo_client.drop_database(name)


@contextlib.contextmanager
def lacking(example: Example) -> Iterator[None]:
    """Accept that the server rejects what an example requires of it."""
    try:
        yield
    except OperationFailure:
        if not example.requires:
            raise


def ids(example: Example) -> str:
    return f"{example.file}.{example.name}"


@pytest.mark.parametrize("example", EXAMPLES, ids=ids)
async def test_an_example_with_await(example: Example, shop: Shop) -> None:
    async with AsyncMongoClient(shop.given["uri"]) as client, client.start_session() as session:
        database = client[shop.name]
        given = {"client": client, "database": database, "collection": database.orders, "session": session}
        given |= shop.given
        function = shop.function(example, example.code, "async def")
        with lacking(example):
            await function(*(given[name] for name in example.arguments))
            shop.check(example)


@pytest.mark.parametrize("example", [example for example in EXAMPLES if not example.awaited_only], ids=ids)
def test_a_blocking_example(example: Example, shop: Shop) -> None:
    with MongoClient(shop.given["uri"]) as client, client.start_session() as session:
        database = client[shop.name]
        given = {"client": client, "database": database, "collection": database.orders, "session": session}
        given |= shop.given
        function = shop.function(example, example.blocking or example.code, "def")
        with lacking(example):
            function(*(given[name] for name in example.arguments))
            shop.check(example)


def members(cls: type) -> set[str]:
    """The public members of a class."""
    return {
        name
        for name in dir(cls)
        if not name.startswith("_") and not (getattr(cls, name).__doc__ or "").startswith(NOT_ITERABLE)
    }


@pytest.mark.parametrize("name", FILES)
def test_each_member_has_an_example(name: str) -> None:
    found = set(examples_of(name)) - {OVERVIEW}
    assert members(getattr(connect.eaas.mongodb, name)) <= found
