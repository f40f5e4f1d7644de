"""The write concern `w: 0`: what is sent, what comes of it if the connection breaks, and who refuses it.

`tests/comparison/cases/unacknowledged.py` compares results, errors and stored documents with PyMongo's.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymongo.results
import pytest
from connect.eaas.mongodb import AsyncEventStore, AsyncMongoClient, EventStore, MongoClient
from pymongo import DeleteOne, InsertOne, UpdateOne, WriteConcern
from pymongo import MongoClient as PyMongoClient
from pymongo.errors import ConfigurationError, InvalidOperation, OperationFailure, ServerSelectionTimeoutError
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from tests.faults import Command, Fault, Faulty, faulty
from tests.servers import secantusdb

CLIENTS: list[Any] = [AsyncMongoClient, MongoClient]
SET = {"$set": {"a": 1}}
# By the command that each sends.
WRITES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "insert_one": ("insert", lambda c: c.insert_one({"_id": 9})),
    "insert_many": ("insert", lambda c: c.insert_many([{"_id": 9}, {"_id": 10}], ordered=False)),
    "update_one": ("update", lambda c: c.update_one({"_id": 1}, SET)),
    "update_many": ("update", lambda c: c.update_many({}, SET)),
    "replace_one": ("update", lambda c: c.replace_one({"_id": 1}, {"a": 1})),
    "delete_one": ("delete", lambda c: c.delete_one({"_id": 1})),
    "find_one_and_update": ("findAndModify", lambda c: c.find_one_and_update({"_id": 1}, SET)),
    "bulk_write": ("delete", lambda c: c.bulk_write([DeleteOne({"_id": 1})])),
    "client.bulk_write": (
        "bulkWrite",
        lambda c: c.database.client.bulk_write(
            [UpdateOne({"_id": 1}, SET, namespace=c.full_name)], ordered=False, write_concern=WriteConcern(w=0)
        ),
    ),
    "create_index": ("createIndexes", lambda c: c.create_index("a")),
    "drop": ("drop", lambda c: c.drop()),
    "aggregate": ("aggregate", lambda c: c.aggregate([{"$out": f"{c.name}_copy"}])),
}
# The command reaches the server, and its answer is lost.
LOST_ANSWERS = (Fault.CUT_AFTER, Fault.RESET_AFTER, Fault.TRUNCATED, Fault.HALF_CLOSED)


async def result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


class Seen:
    """Records the commands that pass the proxy."""

    def __init__(self, fault: Fault | None = None) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.fault = fault

    def __call__(self, command: Command) -> Fault | None:
        self.bodies.append(command.body)
        return self.fault


@pytest.fixture
def proxy(mongodb_port: int) -> Iterator[Faulty]:
    with faulty(mongodb_port) as running:
        yield running


@pytest.mark.parametrize("client_class", CLIENTS)
@pytest.mark.parametrize("name", WRITES)
async def test_what_is_sent(name: str, client_class: Any, proxy: Faulty, names: tuple[str, str], reader: Any) -> None:
    """The write concern, and nothing that identifies a write that may be repeated."""
    reader.insert_one({"_id": 1})
    proxy.plan = seen = Seen()
    command, call = WRITES[name]
    client = client_class(proxy.uri)
    collection = client[names[0]].get_collection(names[1], write_concern=WriteConcern(w=0))
    await result(call(collection))
    await result(client.close())
    (body,) = seen.bodies
    assert next(iter(body)) == command
    assert body["writeConcern"] == {"w": 0}
    assert not {"txnNumber", "startTransaction", "autocommit"} & set(body)


async def test_inserts_are_not_merged(proxy: Faulty, names: tuple[str, str], reader: Any) -> None:
    proxy.plan = seen = Seen()
    async with AsyncMongoClient(f"{proxy.uri}&w=0") as client:
        collection = client[names[0]][names[1]]
        await asyncio.gather(*(collection.insert_one({"_id": n}) for n in range(40)))
    assert reader.count_documents({}) == len(seen.bodies) == 40


@pytest.mark.parametrize("client_class", CLIENTS)
@pytest.mark.parametrize("fault", [*LOST_ANSWERS, Fault.CUT_BEFORE])
async def test_a_lost_connection_is_no_error_and_nothing_is_repeated(
    fault: Fault, client_class: Any, proxy: Faulty, names: tuple[str, str], reader: Any
) -> None:
    client = client_class(proxy.uri, w=0)
    collection = client[names[0]][names[1]]
    await result(client.admin.command("ping"))
    proxy.plan = seen = Seen(fault)
    assert not (await result(collection.insert_one({"a": 1}))).acknowledged
    assert not (await result(collection.delete_many({"a": 2}))).acknowledged
    proxy.plan = None
    await result(client.admin.command("ping"))
    await result(client.close())
    assert [next(iter(body)) for body in seen.bodies] == ["insert", "delete"]
    assert reader.count_documents({}) == (0 if fault is Fault.CUT_BEFORE else 1)


@pytest.fixture(scope="module")
def failing() -> Iterator[tuple[str, Any]]:
    """A MongoDB that can be told to fail, and PyMongo's client to tell it."""
    with secantusdb(0, None, "--enable-test-commands") as (_, port):
        uri = f"mongodb://127.0.0.1:{port}/"
        client: Any = PyMongoClient(uri)
        yield uri, client
        client.close()


# ShutdownInProgress, NotWritablePrimary, MaxTimeMSExpired, Unauthorized.
@pytest.mark.parametrize("code", [91, 10107, 50, 13])
@pytest.mark.parametrize("name", ["insert_one", "update_one", "find_one_and_update", "bulk_write", "create_index"])
async def test_the_server_s_error_is_ignored_and_nothing_is_repeated(
    name: str, code: int, failing: tuple[str, Any]
) -> None:
    uri, told = failing
    command, call = WRITES[name]
    listener = Listener()
    data = {"failCommands": [command], "errorCode": code, "appName": "failing"}
    fail = {"configureFailPoint": "failCommand", "mode": {"times": 5}, "data": data}
    async with AsyncMongoClient(uri, w=0, appname="failing", event_listeners=[listener]) as client:
        told.admin.command(fail)
        await result(call(client.unacknowledged.failing))
    told.admin.command("configureFailPoint", "failCommand", mode="off")
    ended = [event for event in listener.events if event.command_name == command]
    started, failed = ended
    assert isinstance(started, CommandStartedEvent)
    assert isinstance(failed, CommandFailedEvent)


@pytest.mark.parametrize("client_class", CLIENTS)
async def test_what_cannot_be_sent_is_an_error(client_class: Any) -> None:
    client = client_class("mongodb://127.0.0.1:9/?w=0&serverSelectionTimeoutMS=50")
    with pytest.raises(ServerSelectionTimeoutError):
        await result(client.d.c.insert_one({}))
    with pytest.raises(ServerSelectionTimeoutError):
        await result(client.d.c.bulk_write([InsertOne({})]))
    with pytest.raises(ServerSelectionTimeoutError):
        await result(client.d.c.create_index("a"))


@pytest.mark.parametrize("client_class", CLIENTS)
async def test_a_failed_login_is_an_error(client_class: Any, tmp_path: Path) -> None:
    """No write was sent, not even the acknowledged ones of an ordered bulk write."""
    with secantusdb(0, str(tmp_path)) as (_, port):
        with PyMongoClient[dict[str, Any]]("127.0.0.1", port) as client:
            client.admin.command("createUser", "writer", pwd="right", roles=["root"])
    with secantusdb(0, str(tmp_path), "--auth") as (_, port):
        ours = client_class(f"mongodb://writer:wrong@127.0.0.1:{port}/?w=0")
        # SecantusDB delays each further login by ten seconds.
        calls: list[Callable[[], Any]] = [
            lambda: ours.d.c.insert_one({}),
            lambda: ours.d.c.bulk_write([InsertOne({}), DeleteOne({})], ordered=False),
        ]
        for call in calls:
            with pytest.raises(OperationFailure) as refused:
                await result(call())
            assert refused.value.code == 18
        await result(ours.close())


class Listener(CommandListener):
    """Keeps the events."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def started(self, event: Any) -> None:
        self.events.append(event)

    def succeeded(self, event: Any) -> None:
        self.events.append(event)

    def failed(self, event: Any) -> None:
        self.events.append(event)


@pytest.mark.parametrize("client_class", CLIENTS)
async def test_listeners_see_the_write(client_class: Any, mongodb_uri: str, names: tuple[str, str]) -> None:
    listener = Listener()
    client = client_class(mongodb_uri, w=0, event_listeners=[listener])
    await result(client[names[0]][names[1]].insert_one({"_id": 1}))
    await result(client.close())
    started, succeeded = (event for event in listener.events if event.command_name == "insert")
    assert isinstance(started, CommandStartedEvent)
    assert isinstance(succeeded, CommandSucceededEvent)
    assert started.command["writeConcern"] == {"w": 0}
    assert "txnNumber" not in started.command
    assert succeeded.reply["ok"] == 1


def message(result: Any, name: str) -> str:
    with pytest.raises(InvalidOperation) as raised:
        getattr(result, name)
    return str(raised.value)


async def test_what_is_unknown_raises_pymongo_s_error(mongodb_uri: str, names: tuple[str, str]) -> None:
    async with AsyncMongoClient(mongodb_uri, w=0) as client:
        collection = client[names[0]][names[1]]
        inserted = await collection.insert_one({"_id": 1})
        updated = await collection.update_one({"_id": 1}, SET)
        deleted = await collection.delete_one({"_id": 1})
    assert (inserted.inserted_id, inserted.acknowledged) == (1, False)
    pairs: list[tuple[Any, Any, tuple[str, ...]]] = [
        (updated, pymongo.results.UpdateResult(None, False), ("matched_count", "modified_count", "upserted_id")),
        (deleted, pymongo.results.DeleteResult({"ok": 1}, False), ("deleted_count",)),
    ]
    for ours, theirs, properties in pairs:
        assert (ours.acknowledged, ours.raw_result, repr(ours)) == (False, theirs.raw_result, repr(theirs))
        for name in properties:
            assert message(ours, name) == message(theirs, name)


@pytest.mark.parametrize("client_class", CLIENTS)
async def test_a_session_is_refused_with_pymongo_s_message(client_class: Any, mongodb_uri: str) -> None:
    client = client_class(mongodb_uri, w=0, wTimeoutMS=5)
    session = client.start_session()
    says = r"^Explicit sessions are incompatible with unacknowledged write concern: WriteConcern\(wtimeout=5, w=0\)$"
    calls: list[Callable[[], Any]] = [
        lambda: client.d.c.insert_one({}, session=session),
        lambda: client.d.c.bulk_write([InsertOne({})], session=session),
        lambda: client.d.c.create_index("a", session=session),
        lambda: client.bulk_write([InsertOne({}, namespace="d.c")], ordered=False, session=session),
    ]
    for call in calls:
        with pytest.raises(ConfigurationError, match=says):
            await result(call())
    await result(session.end_session())
    await result(client.close())


@pytest.mark.parametrize("store_class", [AsyncEventStore, EventStore])
def test_the_event_store_refuses_it(store_class: Any, config: dict[str, str], mongodb_uri: str) -> None:
    """A store knows of each event whether it is stored, and by whom."""
    says = "the event store needs acknowledged writes: remove the write concern w=0"
    client_class = AsyncMongoClient if store_class is AsyncEventStore else MongoClient
    events = client_class(mongodb_uri).d.events
    with pytest.raises(ConfigurationError, match=says):
        store_class(events.with_options(write_concern=WriteConcern(w=0)))
    with pytest.raises(ConfigurationError, match=says):
        store_class(client_class(mongodb_uri, w=0).d.events)
    with pytest.raises(ConfigurationError, match=says):
        store_class.from_config({**config, "DB_OPTIONS": "w=0"})
    store_class(client_class(mongodb_uri, w=0).d.events.with_options(write_concern=WriteConcern(w=1)))


async def test_a_client_of_the_variables_takes_it(config: dict[str, str], reader: Any) -> None:
    client = AsyncMongoClient.from_config({**config, "DB_OPTIONS": "w=0"})
    assert not (await client.get_default_collection().insert_one({"_id": 1})).acknowledged
    assert reader.count_documents({}) == 1
