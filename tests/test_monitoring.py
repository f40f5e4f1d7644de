"""Listeners: what the events of commands contain, and whose they are."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pymongo
import pytest
from bson.datetime_ms import DatetimeMS
from connect.eaas.mongodb import AsyncEventStore, AsyncMongoClient, MongoClient
from connect.eaas.mongodb.monitoring import CommandFailedEvent, CommandStartedEvent, CommandSucceededEvent
from pymongo import monitoring
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure

from tests.servers import secantusdb

NUMBER: contextvars.ContextVar[Any] = contextvars.ContextVar("number", default=None)

Event = CommandStartedEvent | CommandSucceededEvent | CommandFailedEvent


class Recorder(monitoring.CommandListener):
    """Keeps all events, with the value of `NUMBER` that the listener sees."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.events.append(("started", event, NUMBER.get()))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self.events.append(("succeeded", event, NUMBER.get()))

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self.events.append(("failed", event, NUMBER.get()))

    def of(self, *commands: str) -> list[tuple[str, Any, Any]]:
        return [one for one in self.events if one[1].command_name in commands]

    async def until(self, found: Callable[[], Any]) -> Any:
        """Wait until the listener has been called for something."""
        deadline = time.monotonic() + 20
        while not found():
            assert time.monotonic() < deadline, self.events
            await asyncio.sleep(0.005)
        return found()


def pairs(events: list[tuple[str, Any, Any]]) -> list[tuple[Any, str, Any]]:
    """Each command's first event, how it ended, and its last event. Each has one of both."""
    started = {event.request_id: event for kind, event, _ in events if kind == "started"}
    ended = {event.request_id: (kind, event) for kind, event, _ in events if kind != "started"}
    assert len(started) + len(ended) == len(events)
    assert started.keys() == ended.keys()
    return [(event, *ended[request]) for request, event in started.items()]


def callers(event: Event) -> list[Any]:
    return [context.get(NUMBER) for context in event.callers]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def collection(mongodb_uri: str, names: tuple[str, str], recorder: Recorder) -> Any:
    async with AsyncMongoClient(mongodb_uri, event_listeners=[recorder]) as client:
        yield client[names[0]][names[1]]


@pytest.fixture(scope="module")
def faulty_uri() -> Iterator[str]:
    """A MongoDB that can be told to fail."""
    with secantusdb(0, None, "--enable-test-commands") as (_, port):
        yield f"mongodb://127.0.0.1:{port}/"


@pytest.fixture
def fail(faulty_uri: str) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    client: pymongo.MongoClient[Any]
    with pymongo.MongoClient(faulty_uri) as client:

        def fail(data: Mapping[str, Any], times: int = 1) -> None:
            client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": times}, "data": data})

        yield fail
        client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


async def numbered(number: Any, call: Callable[..., Any], *arguments: Any) -> Any:
    NUMBER.set(number)
    return await call(*arguments)


async def test_a_merged_insert_is_one_command_of_all_its_callers(collection: Any, recorder: Recorder) -> None:
    async def insert(number: int) -> None:
        NUMBER.set(number)
        await collection.insert_one({"_id": number})
        # The listeners have been called before the caller continues.
        ended = [event for kind, event, _ in recorder.events if kind == "succeeded"]
        assert number in [caller for event in ended for caller in callers(event)]

    await asyncio.gather(*(insert(number) for number in range(200)))
    commands = pairs(recorder.of("insert"))
    inserted = [[document["_id"] for document in started.command["documents"]] for started, _, _ in commands]
    assert sorted(number for documents in inserted for number in documents) == list(range(200))
    assert len(commands) < 100
    for (started, how, ended), documents in zip(commands, inserted, strict=True):
        assert how == "succeeded"
        assert ended.reply["n"] == len(documents)
        # A caller for each document, in their order.
        assert callers(started) == callers(ended) == documents
    # The listener runs in the context of the first caller.
    assert [seen for _, _, seen in recorder.of("insert")] == [
        callers(event)[0] for _, event, _ in recorder.of("insert")
    ]


async def test_errors_of_a_merged_insert_are_in_its_reply(collection: Any, recorder: Recorder) -> None:
    await collection.insert_many([{"_id": number} for number in range(0, 100, 10)])
    calls = (collection.insert_one({"_id": number}) for number in range(100))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [number for number, one in enumerate(outcomes) if isinstance(one, DuplicateKeyError)] == list(
        range(0, 100, 10)
    )
    commands = pairs(recorder.of("insert"))[1:]
    assert {how for _, how, _ in commands} == {"succeeded"}
    errors = [error for _, _, ended in commands for error in ended.reply.get("writeErrors", [])]
    assert {error["code"] for error in errors} == {11000}
    assert len(errors) == 10


async def test_a_merged_insert_that_fails_fails_for_all_its_callers(
    faulty_uri: str, recorder: Recorder, fail: Any
) -> None:
    async with AsyncMongoClient(faulty_uri, event_listeners=[recorder]) as client:
        await client.d.c.insert_one({})
        fail({"failCommands": ["insert"], "errorCode": 8000, "errorLabels": []}, times=2)
        inserts = (numbered(number, client.d.c.insert_one, {"_id": number}) for number in range(40))
        outcomes = await asyncio.gather(*inserts, return_exceptions=True)
    failed = [number for number, one in enumerate(outcomes) if isinstance(one, OperationFailure)]
    commands = [(started, ended) for started, how, ended in pairs(recorder.of("insert")) if how == "failed"]
    assert 1 <= len(commands) <= 2
    assert sorted(number for _, ended in commands for number in callers(ended)) == failed
    assert {ended.failure["code"] for _, ended in commands} == {8000}


async def test_a_document_that_spoils_its_command_is_sent_alone(collection: Any, recorder: Recorder) -> None:
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"a": deep}
    await asyncio.gather(
        *(numbered(n, collection.insert_one, {"_id": n, "v": deep if n == 7 else n}) for n in range(20)),
        return_exceptions=True,
    )
    commands = pairs(recorder.of("insert"))
    assert sum(len(started.callers) for started, _, _ in commands) >= 20
    for started, _, _ in commands:
        assert callers(started) == [document["_id"] for document in started.command["documents"]]


def test_threads_have_contexts_too(mongodb_uri: str, names: tuple[str, str], recorder: Recorder) -> None:
    with MongoClient(mongodb_uri, event_listeners=[recorder]) as client:

        def insert(thread: int) -> None:
            for turn in range(20):
                NUMBER.set((thread, turn))
                client[names[0]][names[1]].insert_one({"_id": [thread, turn]})

        threads = [threading.Thread(target=insert, args=(thread,)) for thread in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    commands = pairs(recorder.of("insert"))
    for started, _, _ in commands:
        assert callers(started) == [tuple(document["_id"]) for document in started.command["documents"]]
    assert sum(len(started.callers) for started, _, _ in commands) == 120


async def test_saved_events_have_callers(collection: Any, recorder: Recorder) -> None:
    store = AsyncEventStore(collection)
    objects = [{"id": f"PR-{number}"} for number in range(30)]
    saves = (numbered(one["id"], store.save, "asset_purchase_request_processing", one) for one in objects)
    await asyncio.gather(*saves)
    commands = pairs(recorder.of("insert"))
    assert sum(len(started.callers) for started, _, _ in commands) == 30
    for started, _, _ in commands:
        assert callers(started) == [document["id"] for document in started.command["documents"]]


async def test_a_listener_does_not_change_a_callers_context(mongodb_uri: str, names: tuple[str, str]) -> None:
    class Changing(Recorder):
        def started(self, event: monitoring.CommandStartedEvent) -> None:
            super().started(event)
            NUMBER.set("changed")

    recorder = Changing()
    async with AsyncMongoClient(mongodb_uri, event_listeners=[recorder]) as client:
        await numbered("mine", client[names[0]][names[1]].insert_one, {})
        assert NUMBER.get() == "mine"
    assert [seen for _, _, seen in recorder.of("insert")] == ["mine", "mine"]
    assert [callers(event) for _, event, _ in recorder.of("insert")] == [["mine"], ["mine"]]


async def test_commands_that_no_call_caused_have_no_callers(
    mongodb_uri: str, names: tuple[str, str], recorder: Recorder
) -> None:
    client = AsyncMongoClient(mongodb_uri, event_listeners=[recorder])
    await client[names[0]][names[1]].insert_one({})
    await client.close()
    ends = pairs(recorder.of("endSessions"))
    assert ends
    for started, _, ended in ends:
        assert started.callers == ended.callers == ()
        assert started.operation_id == started.request_id


async def test_cancelled_calls_end(faulty_uri: str, recorder: Recorder, fail: Any) -> None:
    """As with PyMongo, whose event is the same."""
    theirs = Recorder()
    pymongos: Any
    async with (
        AsyncMongoClient(faulty_uri, event_listeners=[recorder]) as ours,
        pymongo.AsyncMongoClient(faulty_uri, event_listeners=[theirs]) as pymongos,
    ):
        for client, seen in ((ours, recorder), (pymongos, theirs)):
            await client.d.c.find_one()
            fail({"failCommands": ["find"], "blockConnection": True, "blockTimeMS": 500})
            task = asyncio.create_task(numbered(5, client.d.c.find_one))
            await seen.until(lambda: len(seen.of("find")) == 3)  # noqa: B023
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await seen.until(lambda: len(seen.of("find")) == 4)  # noqa: B023
    kind, event, number = recorder.of("find")[-1]
    assert (kind, number, callers(event)) == ("failed", 5, [5])
    assert event.failure == theirs.of("find")[-1][1].failure
    assert event.request_id == recorder.of("find")[-2][1].request_id
    assert event.database_name == "d"
    assert event.duration_micros > 0


async def test_all_events_of_a_command_have_the_same_ids(collection: Any, recorder: Recorder) -> None:
    await collection.insert_one({"_id": 1})
    with pytest.raises(OperationFailure):
        await collection.database.command("noSuchCommand")
    await collection.find_one()
    commands = pairs(recorder.events)
    assert {how for _, how, _ in commands} == {"succeeded", "failed"}
    for started, _, ended in commands:
        assert isinstance(started, monitoring.CommandStartedEvent)
        assert isinstance(ended, monitoring.CommandSucceededEvent | monitoring.CommandFailedEvent)
        for name in ("command_name", "database_name", "request_id", "operation_id", "connection_id", "service_id"):
            assert getattr(started, name) == getattr(ended, name)
        assert started.server_connection_id == ended.server_connection_id
        assert isinstance(started.server_connection_id, int)
        assert started.database_name == collection.database.name
        assert f"<{type(started).__name__} {started.connection_id} db: {started.database_name!r}" in repr(started)


async def operations(client: Any, collection: Any, fail: Callable[[], None]) -> None:
    """Calls that send more than one command each."""
    await collection.insert_many([{"_id": number} for number in range(5)])
    await collection.find({}, batch_size=2).to_list()
    with pytest.raises(BulkWriteError):
        await collection.bulk_write(
            [
                pymongo.InsertOne({"_id": 9}),
                pymongo.UpdateOne({"_id": 9}, {"$set": {"a": 1}}),
                pymongo.InsertOne({"_id": 9}),
            ]
        )
    fail()
    await collection.insert_one({"_id": "retried"})
    fail()
    await collection.update_one({"_id": 1}, {"$set": {"a": 1}})
    async with client.start_session() as session, await session.start_transaction():
        await collection.insert_one({"_id": "in a transaction"}, session=session)
        await collection.find_one({"_id": 1}, session=session)


async def test_operation_ids_are_pymongos(faulty_uri: str, fail: Any, names: tuple[str, str]) -> None:
    """Batches and retries of one call have one id, and each call has its own."""
    seen: dict[str, list[tuple[str, int]]] = {}

    def break_connection() -> None:
        fail({"failCommands": ["insert", "update"], "closeConnection": True})

    make: Any
    for name, make in (("ours", AsyncMongoClient), ("theirs", pymongo.AsyncMongoClient)):
        recorder = Recorder()
        async with make(faulty_uri, event_listeners=[recorder]) as client:
            await operations(client, client[names[0]][f"{names[1]}_{name}"], break_connection)
        ids: dict[Any, int] = {}
        commands = [event for kind, event, _ in recorder.events if kind == "started"]
        commands = [event for event in commands if event.command_name != "endSessions"]
        seen[name] = [(event.command_name, ids.setdefault(event.operation_id, len(ids))) for event in commands]
    assert seen["ours"] == seen["theirs"]
    print(seen["ours"])
    assert len(seen["ours"]) > len(dict.fromkeys(operation for _, operation in seen["ours"]))


async def test_a_command_is_decoded_once_and_shows_no_secret(collection: Any, recorder: Recorder) -> None:
    await collection.insert_one({"_id": 1, "bytes": b"\0"})
    (_, started, _), (_, succeeded, _) = recorder.of("insert")
    assert started.command is started.command
    assert succeeded.reply is succeeded.reply
    assert started.command["documents"] == [{"_id": 1, "bytes": b"\0"}]
    with pytest.raises(OperationFailure):
        await collection.database.command("createUser", "someone", pwd="not to be seen", roles=["no such role"])
    await collection.database.command("hello", speculativeAuthenticate={"payload": "not to be seen"})
    secret = recorder.of("createUser", "hello")
    assert len(secret) == 4
    for _, event, _ in secret:
        assert "not to be seen" not in f"{event} {getattr(event, 'reply', '')}"
        assert getattr(event, "command", {}) == {}


async def test_what_cannot_be_decoded_is_shown_as_far_as_possible(collection: Any, recorder: Recorder) -> None:
    """A time that no `datetime` can be."""
    beyond = DatetimeMS(2**60)
    # Some servers do not store it.
    await asyncio.gather(collection.insert_one({"_id": beyond}), return_exceptions=True)
    assert recorder.of("insert")[0][1].command["documents"] == [{"_id": beyond}]
