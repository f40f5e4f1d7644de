"""The code of docs/migrating.md, before and after: both do what they should, and store the same."""

from __future__ import annotations

import copy
import inspect
import json
import logging
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bson import ObjectId
from connect.eaas.mongodb import AsyncDataApiClient, AsyncMongoClient, DataApiClient, MongoClient
from pymongo import MongoClient as PyMongoClient
from pymongo.errors import ConfigurationError

from tests.apps import MIGRATING, moved, replacements, without_imports

_BLOCK = re.compile(r"^( *)```python\n\1# (before|after): ([^\n]+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)

REQUEST = json.loads(
    (Path(__file__).parents[1] / "demo" / "samples" / "asset-purchase-request.json").read_text(encoding="utf-8")
)
REQUESTS = [{"id": f"PR-{number}", "status": ("pending", "approved")[number % 2]} for number in range(5)]


def blocks() -> dict[str, dict[str, str]]:
    """The page's code: `before` and `after` of each title."""
    found: dict[str, dict[str, str]] = {}
    for _, side, title, code in _BLOCK.findall(MIGRATING.read_text(encoding="utf-8")):
        assert side not in found.setdefault(title, {}), f"{side}: {title} is there twice"
        found[title][side] = textwrap.dedent(code)
    # Where only the imports are shown, the rest is as before.
    for sides in found.values():
        if not any(without_imports(sides["after"])):
            sides["after"] += "\n".join(without_imports(sides["before"]))
    return found


BLOCKS = blocks()


@pytest.fixture(params=["before", "after"])
def side(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def database(pymongo_client: PyMongoClient[dict[str, Any]], names: tuple[str, str]) -> Iterator[Any]:
    """A database of the test's own, read by PyMongo."""
    name = f"{names[0]}_{names[1]}"
    yield pymongo_client[name]
    pymongo_client.drop_database(name)


def function(title: str, side: str, **names: Any) -> Callable[..., Any]:
    """The last function of a block, which runs where these names are known too."""
    # There is no SRV record of the test's MongoDB, and nobody to log in as.
    code = BLOCKS[title][side].replace("mongodb+srv://{user}:{password}@", "mongodb://")
    space: dict[str, Any] = dict(names)
    exec(compile(code, f"{side}: {title}", "exec"), space)
    functions = [value for value in space.values() if inspect.isfunction(value) and value.__globals__ is space]
    found: Callable[..., Any] = functions[-1]
    return found


def stored(collection: Any) -> list[dict[str, Any]]:
    """What a collection has, and all of it with an `_id` of its own."""
    documents = list(collection.find(sort=[("_id", 1)]))
    assert all(isinstance(document.pop("_id"), ObjectId) for document in documents)
    return documents


def test_each_title_has_both_sides() -> None:
    assert len(BLOCKS) == 8
    assert all(set(sides) == {"before", "after"} for sides in BLOCKS.values())
    shown = MIGRATING.read_text(encoding="utf-8").count("```python")
    assert shown == 2 * len(BLOCKS)


def test_the_table_of_imports_is_what_the_page_does() -> None:
    for title in ("Motor", "Motor's transactions", "PyMongo, asynchronous"):
        before, after = BLOCKS[title]["before"], BLOCKS[title]["after"]
        assert sorted(moved(before).splitlines()) == sorted([*after.splitlines()])
    for (module, name), line in replacements().items():
        assert f"`from {module} import {name}`" in MIGRATING.read_text(encoding="utf-8")
        assert line.split()[-1] == name, f"{line} changes the name"


@pytest.mark.parametrize("title", ["the tutorial's HTTP code", "the tutorial's Motor code"])
async def test_the_tutorials_handler(title: str, side: str, config: dict[str, str], reader: Any) -> None:
    handle_purchase = function(title, side, BackgroundResponse=SimpleNamespace(done=lambda: "done"))
    application = SimpleNamespace(config=config, logger=logging.getLogger("tests"))
    request = copy.deepcopy(REQUEST)
    assert await handle_purchase(application, request) == "done"
    assert stored(reader) == [REQUEST]
    if side == "after":
        assert request == REQUEST


def test_the_data_api(side: str, config: dict[str, str], reader: Any) -> None:
    reader.insert_many([*copy.deepcopy(REQUESTS), {"id": "PR-9", "status": "failed"}])
    matched, approved, counts = function("the Data API", side)(config, "PR-0")
    assert matched == 1
    assert [request["id"] for request in approved] == ["PR-0", "PR-1", "PR-3"]
    assert approved[0] == {"id": "PR-0", "status": "approved", "version": 1}
    assert sorted((count["_id"], count["n"]) for count in counts) == [("approved", 3), ("pending", 2)]
    assert stored(reader) == [{**REQUESTS[0], "status": "approved", "version": 1}, *REQUESTS[1:]]


async def test_motor(side: str, mongodb_uri: str, database: Any) -> None:
    store = function("Motor", side)
    refused, seen, newest, by_status, indexes = await store(mongodb_uri, database.name, [*REQUESTS, REQUESTS[0]])
    assert (refused, seen, newest) == (1, 6, ["PR-4", "PR-3"])
    assert by_status == [{"_id": "pending", "count": 3}, {"_id": "approved", "count": 2}]
    assert indexes == ["_id_", "id_1_status_1"]
    assert stored(database.requests) == REQUESTS


async def test_motors_transactions(side: str, mongodb_uri: str, database: Any) -> None:
    database.stock.insert_many([{"_id": "A", "quantity": 5}, {"_id": "B", "quantity": 0}])
    await function("Motor's transactions", side)(mongodb_uri, database.name, "A", "B", 3)
    assert list(database.stock.find(sort=[("_id", 1)])) == [{"_id": "A", "quantity": 2}, {"_id": "B", "quantity": 3}]


async def test_pymongo_asynchronous(side: str, mongodb_uri: str, database: Any) -> None:
    report = function("PyMongo, asynchronous", side)
    by_status, indexes = await report(mongodb_uri, database.name, REQUESTS)
    assert by_status == {"approved": 2, "pending": 3}
    assert indexes == ["_id_"]
    assert stored(database.requests) == REQUESTS


def test_pymongo(side: str, config: dict[str, str], reader: Any) -> None:
    reader.insert_many([*copy.deepcopy(REQUESTS), {"id": "PR-9", "status": "draft"}])
    pending = function("PyMongo", side)
    try:
        found, count, statuses = pending(config)
    finally:
        if side == "before":
            pending.__globals__["client"].close()
    assert [request["id"] for request in found] == ["PR-0", "PR-2", "PR-4", "PR-9"]
    assert count == 6
    assert sorted(statuses) == ["approved", "pending"]
    assert stored(reader) == [*REQUESTS, {"id": "PR-9", "status": "pending"}]


async def test_a_new_documents_id(side: str, mongodb_uri: str, database: Any) -> None:
    order = {"number": 1}
    created = await function("a new document's id", side)(mongodb_uri, database.name, order)
    assert database.orders.find_one() == {"_id": created, "number": 1}
    assert order == ({"number": 1, "_id": created} if side == "before" else {"number": 1})


async def test_ids_are_added_where_that_is_asked_for(mongodb_uri: str, database: Any) -> None:
    one: dict[str, Any] = {"number": 1}
    many: list[dict[str, Any]] = [{"number": 2}, {"number": 3}]
    client = AsyncMongoClient(mongodb_uri, add_ids=True)
    inserted = await client[database.name].orders.insert_one(one)
    assert one == {"number": 1, "_id": inserted.inserted_id}
    await client[database.name].orders.insert_many(many)
    await client.close()
    assert list(database.orders.find(sort=[("number", 1)])) == [one, *many]


@pytest.mark.parametrize("client", [MongoClient, AsyncMongoClient])
def test_options_that_the_driver_lacks_are_refused(client: Any, tmp_path: Path) -> None:
    (tmp_path / "crl.pem").touch()
    with pytest.raises(ConfigurationError, match="tlsCRLFile"):
        client("mongodb://h/", tlsCRLFile=str(tmp_path / "crl.pem"))
    with pytest.raises(ConfigurationError, match="tlsAllowInvalidHostnames"):
        client("mongodb://h/", tlsAllowInvalidHostnames=True)


async def outcome(call: Callable[[], Any]) -> Any:
    """What a call gives, awaited where it is to be."""
    made = call()
    return await made if inspect.isawaitable(made) else made


@pytest.mark.parametrize("client_class", [DataApiClient, AsyncDataApiClient])
async def test_the_data_api_path_names_the_other(client_class: Any, config: dict[str, str]) -> None:
    client = client_class.from_config(config)
    requests = client.get_default_collection()
    for call in (client.start_session, lambda: requests.create_index("id"), lambda: requests.drop()):
        with pytest.raises(NotImplementedError, match="driver path"):
            await outcome(call)
