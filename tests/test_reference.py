"""The examples of the reference: each public member has one, and it prints what its comments say.

Those of extensions, which need `connect-eaas-core`, run in tests/runner/test_docs_of_extensions.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib
import itertools
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import connect.eaas.mongodb
import pytest
from connect.client import AsyncConnectClient, ConnectClient
from connect.eaas.mongodb import (
    AsyncDataApiClient,
    AsyncEventStore,
    AsyncMongoClient,
    DataApiClient,
    EventStore,
    MongoClient,
    gridfs,
)
from connect.eaas.mongodb.events import Model
from pymongo import MongoClient as PyMongoClient
from pymongo import monitoring
from pymongo.errors import OperationFailure, PyMongoError

from demo.local_connect import local_connect
from scripts import commands, data_api_page
from scripts.examples import (
    FILES,
    FOLDER,
    NOT_ITERABLE,
    NOT_SUPPORTED,
    OF_EXTENSIONS,
    OF_MODULES,
    OVERVIEW,
    Example,
    examples_of,
    examples_of_modules,
    read,
)
from tests.conftest import API_KEY
from tests.servers import GIVEN_URI

# What the collection of the examples contains.
ORDERS = [
    {"_id": "A-1", "status": "pending", "total": 10},
    {"_id": "A-2", "status": "approved", "total": 25},
    {"_id": "A-3", "status": "approved", "total": 40},
]
ROOT = Path(__file__).parents[1]
PUBLIC = ["", ".backfill", ".decorators", ".drop_in", ".events", ".gridfs", ".metrics", ".store"]
# An alias that is a class of its own.
OTHER_NAMES = ["AsyncIOMotorGridFSBucket"]
MODULES = [importlib.import_module(f"connect.eaas.mongodb{name}") for name in PUBLIC]

# Those that change PyMongo for the whole process.
OF_THEIR_OWN = ["drop_in"]
EXAMPLES = [
    example
    for path in sorted(FOLDER.glob("[a-z]*.py"))
    if path.stem not in (*OF_EXTENSIONS, *OF_THEIR_OWN)
    for example in read(path.stem).values()
]
# Their outputs are those of the tests' own MongoDB: one node, on this machine.
OF_ONE_NODE = ["address", "arbiters", "is_mongos", "nodes", "primary", "secondaries"]
_numbers = itertools.count()


def identifier(example: Example) -> str:
    return f"{example.file}.{example.name}"


class Shop:
    """The database of an example: `shop`, under a name of its own."""

    def __init__(self, given: dict[str, Any], name: str) -> None:
        self.given = given
        self.name = name
        self.printed: dict[int, list[str]] = {}

    def open(self, client: Any, session: Any, http: Any) -> None:
        """Give the examples the clients, and the database and collection of each."""
        self.given |= {"client": client, "session": session, "http_client": http}
        self.given |= {"database": client[self.name], "collection": client[self.name].orders}
        self.given |= {"http_database": http[self.name], "http_collection": http[self.name].orders}

    def print(self, *values: object) -> None:
        """Note what an example prints, by its line."""
        text = re.sub(rf"\b{self.name}\b", "shop", " ".join(map(str, values)))
        self.printed.setdefault(sys._getframe(1).f_lineno - 1, []).append(text)

    def call(self, example: Example, code: str, header: str) -> Any:
        """Call an example as a function."""
        body = textwrap.indent(re.sub(r"\bshop\b", self.name, code), "    ")
        text = f"{header} example({', '.join(example.arguments)}):\n{body}\n"
        space = {name: getattr(connect.eaas.mongodb, name) for name in connect.eaas.mongodb.__all__}
        space |= {"print": self.print, "Any": Any}
        exec(compile(text, f"{example.file}.py: {example.name}", "exec", dont_inherit=True), space)
        return space["example"](*(self.given[name] for name in example.arguments))

    @contextlib.contextmanager
    def checked(self, example: Example) -> Iterator[None]:
        """Check what is printed, unless the server rejects what the example requires of it."""
        try:
            yield
        except OperationFailure:
            if not example.requires:
                raise
        else:
            printed = {line: ", ".join(texts) for line, texts in self.printed.items()}
            assert printed == example.expected()


@pytest.fixture
def shop(
    request: pytest.FixtureRequest,
    pymongo_client: PyMongoClient[dict[str, Any]],
    mongodb_uri: str,
    gateway_url: str,
    config: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Shop]:
    if GIVEN_URI and request.node.callspec.params["example"].name in OF_ONE_NODE:
        pytest.skip("depends on the deployment, and TEST_MONGODB_URI names another")
    # What `register` adds is for all clients of the process.
    lists = [list(listeners) for listeners in monitoring._LISTENERS]
    monkeypatch.setattr(monitoring, "_LISTENERS", monitoring._Listeners(*lists))
    name = f"tests_{os.getpid()}_{next(_numbers)}"
    pymongo_client[name].orders.insert_many(ORDERS)
    variables = {**config, "DB": name, "DRIVER_COLLECTION": "orders", "HTTP_COLLECTION": "orders"}
    yield Shop({"uri": mongodb_uri, "endpoint": gateway_url, "api_key": API_KEY, "config": variables}, name)
    pymongo_client.drop_database(name)


@pytest.fixture
async def connect_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """A local Connect with three requests, for the examples that read from it."""
    if "connect_client" not in request.node.callspec.params["example"].arguments:
        yield ""
        return
    async with local_connect({}, tmp_path) as connect:
        connect.collections.rows["requests"] = [
            {"id": f"PR-{n}", "type": "purchase", "status": status, "created": f"2026-01-0{n}T00:00:00+00:00"}
            for n, status in enumerate(["pending", "approved", "pending"], start=1)
        ]
        yield connect.http_url


@pytest.fixture
async def awaited(shop: Shop, connect_url: str) -> AsyncIterator[Shop]:
    http = AsyncDataApiClient(shop.given["endpoint"], api_key=API_KEY, data_source="Cluster0")
    async with AsyncMongoClient(shop.given["uri"]) as client, client.start_session() as session, http:
        shop.open(client, session, http)
        shop.given["store"] = AsyncEventStore(client[shop.name].events)
        shop.given["bucket"] = gridfs.AsyncGridFSBucket(client[shop.name])
        shop.given["fs"] = gridfs.AsyncGridFS(client[shop.name])
        shop.given["connect_client"] = AsyncConnectClient("ApiKey SU-1:key", endpoint=connect_url or None)
        yield shop


@pytest.fixture
def blocking(shop: Shop, connect_url: str) -> Iterator[Shop]:
    http = DataApiClient(shop.given["endpoint"], api_key=API_KEY, data_source="Cluster0")
    with MongoClient(shop.given["uri"]) as client, client.start_session() as session, http:
        shop.open(client, session, http)
        shop.given["store"] = EventStore(client[shop.name].events)
        shop.given["bucket"] = gridfs.GridFSBucket(client[shop.name])
        shop.given["fs"] = gridfs.GridFS(client[shop.name])
        shop.given["connect_client"] = ConnectClient("ApiKey SU-1:key", endpoint=connect_url or None)
        yield shop


@pytest.mark.parametrize("example", EXAMPLES, ids=identifier)
async def test_an_example_prints_what_it_says(example: Example, awaited: Shop) -> None:
    with awaited.checked(example):
        await awaited.call(example, example.code, "async def")


@pytest.mark.parametrize("example", [example for example in EXAMPLES if example.blocking], ids=identifier)
async def test_the_blocking_form_prints_the_same(example: Example, blocking: Shop) -> None:
    with blocking.checked(example):
        # The local Connect runs in this event loop.
        await asyncio.to_thread(blocking.call, example, example.blocking or "", "def")


SHARED = [
    example
    for name, example in examples_of("AsyncDataApiCollection").items()
    if example.file == "collection" and name in dir(connect.eaas.mongodb.AsyncDataApiCollection)
]


@pytest.mark.parametrize("example", SHARED, ids=identifier)
async def test_an_example_prints_the_same_on_the_data_api_path(example: Example, awaited: Shop) -> None:
    awaited.given |= {"database": awaited.given["http_database"], "collection": awaited.given["http_collection"]}
    with awaited.checked(example):
        await awaited.call(example, example.code, "async def")


@pytest.mark.parametrize("example", read("drop_in").values(), ids=identifier)
def test_an_example_that_changes_pymongo(example: Example) -> None:
    run = subprocess.run([sys.executable, "-c", example.code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.splitlines() == list(example.expected().values())


def members(cls: type) -> set[str]:
    """The public members of a class, but for fields that its overview shows, and for what is only an error."""
    found = {name for name in dir(cls) if not name.startswith("_")}
    if dataclasses.is_dataclass(cls):
        found -= {field.name for field in dataclasses.fields(cls)}
    for base in (tuple, PyMongoError, Exception):
        if issubclass(cls, base):
            found -= {*dir(base), *getattr(cls, "_fields", ())}
    return {name for name in found if not (getattr(cls, name).__doc__ or "").startswith((NOT_ITERABLE, NOT_SUPPORTED))}


def public() -> dict[str, Any]:
    """The public names of the package, but those of blocking classes and of Connect's objects."""
    found = {name: getattr(module, name) for module in MODULES for name in module.__all__}
    found = {name: value for name, value in found.items() if not name.startswith("_")}

    def is_described_elsewhere(name: str, value: Any) -> bool:
        if not isinstance(value, type):
            return False
        is_object = issubclass(value, Model) and value is not Model
        is_of_pymongo = not value.__module__.startswith("connect.eaas.mongodb")
        return f"Async{name}" in found or is_object or is_of_pymongo or value.__name__ != name or name in OTHER_NAMES

    return {name: value for name, value in found.items() if not is_described_elsewhere(name, value)}


def test_each_public_name_has_examples() -> None:
    classes = {name for name, value in public().items() if isinstance(value, type)}
    assert classes == FILES.keys() - {"EventsPageMixin"}
    assert public().keys() - classes <= examples_of_modules().keys()
    assert {path.stem for path in FOLDER.glob("[a-z]*.py")} == {*itertools.chain(*FILES.values()), *OF_MODULES}


@pytest.mark.parametrize("name", sorted(FILES.keys() - {"EventsPageMixin"}))
def test_each_member_has_an_example(name: str) -> None:
    examples = examples_of(name)
    assert members(public()[name]) - examples.keys() == set()
    if dataclasses.is_dataclass(public()[name]):
        assert OVERVIEW in examples


def test_the_reference_has_each_public_name() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md"))
    described = set(re.findall(r"^::: connect\.eaas\.mongodb\.(?:\w+\.)?(\w+)$", pages, re.MULTILINE))
    assert public().keys() - described == set()
    assert FILES.keys() - described == set()
    assert examples_of_modules().keys() - described == set()


def test_the_reference_shows_the_collection_of_the_examples() -> None:
    page = (ROOT / "docs" / "reference" / "index.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert eval(block) == ORDERS


@pytest.mark.parametrize("generator", [commands, data_api_page], ids=lambda generator: generator.__name__)
def test_generated_pages_are_up_to_date(generator: Any) -> None:
    """Run `python -m scripts.commands` and `python -m scripts.data_api_page` after a change."""
    assert generator.PAGE.read_text(encoding="utf-8") == generator.text()
