"""What goes wrong on the way: the same outcome, after as many attempts.

A server of its own fails commands as it is told, and only those of the clients that are compared.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from pymongo import DeleteOne, InsertOne, UpdateMany, UpdateOne, WriteConcern, common

from tests.comparison import harness
from tests.comparison.blocking import drive
from tests.comparison.cases import DOCUMENTS, aggregated
from tests.comparison.differences import DIFFERENT_FAULTS, differing
from tests.comparison.harness import SHORT_TIMEOUT_MS, Call, Case, World, outcome
from tests.servers import secantusdb

APPNAME = "compared"
# A server that has stepped down is looked at again soon; by PyMongo sooner, which can be told to.
OPTIONS: dict[str, Any] = {"appname": APPNAME, "heartbeatFrequencyMS": 500}
QUICKLY: dict[str, Any] = {"heartbeatFrequencyMS": 50}


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    """A MongoDB that can be told to fail."""
    with pytest.MonkeyPatch.context() as patch, secantusdb(0, None, "--enable-test-commands") as (_, port):
        patch.setattr(common, "MIN_HEARTBEAT_INTERVAL", 0.02)
        yield f"mongodb://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def ground(uri: str) -> Iterator[Any]:
    with harness.reader(uri) as client:
        yield client["faults"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both_faulted(uri: str) -> AsyncIterator[tuple[harness.Side, harness.Side]]:
    async with harness.opened(harness.sides(uri, options=OPTIONS, pymongo_options=QUICKLY)) as both:
        yield both


# Calls: the command that fails, and what is called.
READS: dict[str, tuple[str, Call]] = {
    "find_one": ("find", lambda w: w.collection.find_one({"_id": 1})),
    "find": ("find", lambda w: w.collection.find({}).to_list()),
    "getMore": ("getMore", lambda w: w.collection.find({}, batch_size=2).to_list()),
    "aggregate": ("aggregate", lambda w: aggregated(w.collection, [{"$match": {"n": 2}}])),
    "count_documents": ("aggregate", lambda w: w.collection.count_documents({})),
    "estimated_document_count": ("count", lambda w: w.collection.estimated_document_count()),
    "distinct": ("distinct", lambda w: w.collection.distinct("n")),
    "list_collection_names": ("listCollections", lambda w: w.database.list_collection_names()),
    "index_information": ("listIndexes", lambda w: w.collection.index_information()),
    "command": ("ping", lambda w: w.database.command("ping")),
}
WRITES: dict[str, tuple[str, Call]] = {
    "insert_one": ("insert", lambda w: w.collection.insert_one({"_id": 9})),
    "insert_many": ("insert", lambda w: w.collection.insert_many([{"_id": 9}, {"_id": 10}])),
    "update_one": ("update", lambda w: w.collection.update_one({"_id": 1}, {"$inc": {"n": 1}})),
    "update_many": ("update", lambda w: w.collection.update_many({}, {"$inc": {"n": 1}})),
    "replace_one": ("update", lambda w: w.collection.replace_one({"_id": 1}, {"n": 5})),
    "delete_one": ("delete", lambda w: w.collection.delete_one({"n": 2})),
    "delete_many": ("delete", lambda w: w.collection.delete_many({"n": 2})),
    "find_one_and_update": (
        "findAndModify",
        lambda w: w.collection.find_one_and_update({"_id": 1}, {"$inc": {"n": 1}}),
    ),
    "bulk_write": ("insert", lambda w: w.collection.bulk_write([DeleteOne({"_id": 1}), InsertOne({"_id": 9})])),
    "bulk_write, many": (
        "update",
        lambda w: w.collection.bulk_write(
            [UpdateOne({"_id": 1}, {"$inc": {"n": 1}}), UpdateMany({}, {"$set": {"a": 1}})]
        ),
    ),
    "client.bulk_write": (
        "bulkWrite",
        lambda w: w.client.bulk_write([InsertOne({"_id": 9}, namespace=f"{w.setup.name}.things")]),
    ),
    "aggregate with out": ("aggregate", lambda w: aggregated(w.collection, [{"$out": "other"}])),
    "create_index": ("createIndexes", lambda w: w.collection.create_index("n")),
}


async def committed(w: World) -> Any:
    session = w.session()
    await session.start_transaction()
    await w.collection.insert_one({"_id": 9}, session=session)
    return await outcome(session.commit_transaction), session.in_transaction


async def aborted(w: World) -> Any:
    session = w.session()
    await session.start_transaction()
    await w.collection.insert_one({"_id": 9}, session=session)
    return await outcome(session.abort_transaction), session.in_transaction


async def transacted(w: World) -> Any:
    calls: list[int] = []

    async def callback(session: Any) -> Any:
        calls.append(1)
        await w.collection.insert_one({"_id": 9}, session=session)
        return len(calls)

    return await outcome(lambda: w.session().with_transaction(callback)), len(calls)


async def in_transaction(w: World) -> Any:
    session = w.session()
    await session.start_transaction()
    return await outcome(lambda: w.collection.insert_one({"_id": 9}, session=session))


async def read_in_transaction(w: World) -> Any:
    session = w.session()
    await session.start_transaction()
    return await outcome(lambda: w.collection.find_one({}, session=session))


async def streamed(w: World) -> Any:
    async with await w.collection.watch(max_await_time_ms=50) as stream:
        w.setup.things.insert_one({"_id": 9})
        return await outcome(stream.next), stream.alive


TRANSACTIONS: dict[str, tuple[str, Call]] = {
    "commit": ("commitTransaction", committed),
    "abort": ("abortTransaction", aborted),
    "with_transaction": ("insert", transacted),
    "with_transaction, commit": ("commitTransaction", transacted),
    "insert in a transaction": ("insert", in_transaction),
    "find in a transaction": ("find", read_in_transaction),
    "watch": ("aggregate", streamed),
    "watch, getMore": ("getMore", streamed),
}
CALLS = READS | WRITES | TRANSACTIONS

STEPPED_DOWN = {"errorCode": 10107}
SHUTTING_DOWN = {"errorCode": 91}
CLOSED: Mapping[str, Any] = {"closeConnection": True}
# Each with the calls of all kinds.
COMMON: dict[str, tuple[Mapping[str, Any], int]] = {
    "91, once": (SHUTTING_DOWN, 1),
    "closed, once": (CLOSED, 1),
}
# Each with a read and a write.
FAULTS: dict[str, tuple[Mapping[str, Any], int]] = {
    "10107, once": (STEPPED_DOWN, 1),
    "10107, twice": (STEPPED_DOWN, 2),
    "91, twice": (SHUTTING_DOWN, 2),
    "11600, once": ({"errorCode": 11600}, 1),
    "11602, once": ({"errorCode": 11602}, 1),
    "13435, once": ({"errorCode": 13435}, 1),
    "13436, once": ({"errorCode": 13436}, 1),
    "189, once": ({"errorCode": 189}, 1),
    "6, once": ({"errorCode": 6}, 1),
    "6, twice": ({"errorCode": 6}, 2),
    "7, once": ({"errorCode": 7}, 1),
    "89, once": ({"errorCode": 89}, 1),
    "9001, once": ({"errorCode": 9001}, 1),
    "262, once": ({"errorCode": 262}, 1),
    "134, once": ({"errorCode": 134}, 1),
    "43, once": ({"errorCode": 43}, 1),
    "50, once": ({"errorCode": 50}, 1),
    "112, once": ({"errorCode": 112}, 1),
    "251, once": ({"errorCode": 251}, 1),
    "13, once": ({"errorCode": 13}, 1),
    "26, once": ({"errorCode": 26}, 1),
    "100, once": ({"errorCode": 100}, 1),
    "11000, once": ({"errorCode": 11000}, 1),
    "a code of nobody, once": ({"errorCode": 123456}, 1),
    "closed, twice": (CLOSED, 2),
    "labelled, once": ({"errorCode": 100, "errorLabels": ["RetryableWriteError"]}, 1),
    "labelled, twice": ({"errorCode": 100, "errorLabels": ["RetryableWriteError"]}, 2),
    "without labels, once": ({"errorCode": 91, "errorLabels": []}, 1),
    "no writes performed, twice": ({"errorCode": 91, "errorLabels": ["RetryableWriteError", "NoWritesPerformed"]}, 2),
    "overloaded, once": ({"errorCode": 462, "errorLabels": ["SystemOverloadedError", "RetryableError"]}, 1),
    "overloaded, not to be repeated": ({"errorCode": 462, "errorLabels": ["SystemOverloadedError"]}, 1),
    "transient, once": ({"errorCode": 112, "errorLabels": ["TransientTransactionError"]}, 1),
}
CONCERNS: dict[str, tuple[Mapping[str, Any], int]] = {
    f"{told}, {'once' if times == 1 else 'twice'}": ({"writeConcernError": error, **more}, times)
    for told, error, more, times in (
        ("a concern's 91", {"code": 91, "errmsg": "x"}, {"errorLabels": ["RetryableWriteError"]}, 1),
        ("a concern's 91", {"code": 91, "errmsg": "x"}, {"errorLabels": ["RetryableWriteError"]}, 2),
        ("a concern's 91 without labels", {"code": 91, "errmsg": "x"}, {}, 1),
        ("a concern's 64", {"code": 64, "errmsg": "x", "errInfo": {"wtimeout": True}}, {}, 1),
        ("a concern's 100", {"code": 100, "codeName": "UnsatisfiableWriteConcern", "errmsg": "x"}, {}, 1),
        ("a concern's 79", {"code": 79, "errmsg": "x"}, {}, 1),
    )
}
# Of transactions.
COMMITS: dict[str, tuple[Mapping[str, Any], int]] = {
    "91, twice": (SHUTTING_DOWN, 2),
    "closed, twice": (CLOSED, 2),
    "50, once": ({"errorCode": 50}, 1),
    "251, once": ({"errorCode": 251}, 1),
    "112, once": ({"errorCode": 112}, 1),
    "112, labelled": ({"errorCode": 112, "errorLabels": ["TransientTransactionError"]}, 1),
    "unknown, once": ({"errorCode": 50, "errorLabels": ["UnknownTransactionCommitResult"]}, 1),
    "a concern's 64, once": ({"writeConcernError": {"code": 64, "errmsg": "x"}}, 1),
    "a concern's 100, once": ({"writeConcernError": {"code": 100, "errmsg": "x"}}, 1),
}


def faulted(command: str, data: Mapping[str, Any], times: int, call: Call) -> Call:
    """A call while its command fails some times."""

    async def called(w: World) -> Any:
        fail = w.setup.client.admin.command
        fail(
            {
                "configureFailPoint": "failCommand",
                "mode": {"times": times},
                "data": {"failCommands": [command], "appName": APPNAME, **data},
            }
        )
        try:
            return await outcome(lambda: call(w))
        finally:
            fail({"configureFailPoint": "failCommand", "mode": "off"})
            # Whom nobody waits for any more is done only then.
            time.sleep(data.get("blockTimeMS", 0) * times / 1000)

    return called


CASES: dict[str, Case] = {}


def add(name: str, of: str, fault: tuple[Mapping[str, Any], int], **options: Any) -> None:
    command, call = CALLS[of]
    assert name not in CASES, name
    CASES[name] = Case(name, faulted(command, *fault, call), DOCUMENTS, **options)


for called in CALLS:
    for told, fault in COMMON.items():
        add(f"{called}: {told}", called, fault, once="watch" in called)
for told, fault in FAULTS.items():
    for called in ("find_one", "insert_one"):
        add(f"{called}: {told}", called, fault)
for told, fault in CONCERNS.items():
    for called in ("insert_one", "insert_many", "find_one_and_update", "update_many", "client.bulk_write"):
        add(f"{called}: {told}", called, fault)
for told, fault in COMMITS.items():
    for called in ("commit", "abort", "with_transaction, commit"):
        add(f"{called}: {told}", called, fault)
for told in ("10107, twice", "6, once", "43, once", "26, once", "262, once", "13, once"):
    add(f"watch, getMore: {told}", "watch, getMore", FAULTS[told], once=True)
for told in ("transient, once", "112, once"):
    for called in ("with_transaction", "insert in a transaction", "find in a transaction"):
        add(f"{called}: {told}", called, FAULTS[told])
for told in ("closed, twice", "6, twice"):
    for called in ("bulk_write", "find_one_and_update"):
        add(f"{called}: {told}", called, FAULTS[told])


def of_a_client(call: Callable[[Any], Any], **options: Any) -> Call:
    """The same with a client of other options, whose pool is filled before anything fails."""

    async def called(w: World) -> Any:
        client = w.open(**options)
        await client.admin.command("ping")
        return await outcome(lambda: call(client[w.setup.name]["things"]))

    return called


def add_of_client(
    name: str, command: str, data: Mapping[str, Any], times: int, call: Callable[[Any], Any], **options: Any
) -> None:
    CASES[name] = Case(name, faulted(command, data, times, of_a_client(call, **options)), DOCUMENTS)


async def next_change(c: Any) -> Any:
    async with await c.watch(max_await_time_ms=50) as stream:
        await c.insert_one({"_id": 9})
        return (await stream.next())["documentKey"]


INSERT: Callable[[Any], Any] = lambda c: c.insert_one({"_id": 9})  # noqa: E731
FIND: Callable[[Any], Any] = lambda c: c.find_one({"_id": 1})  # noqa: E731
for told, data in (("91", SHUTTING_DOWN), ("closed", CLOSED), ("10107", STEPPED_DOWN)):
    add_of_client(f"no retries, insert_one: {told}", "insert", data, 1, INSERT, retryWrites=False)
    add_of_client(f"no retries, find_one: {told}", "find", data, 1, FIND, retryReads=False)
SLOW: Mapping[str, Any] = {"blockConnection": True, "blockTimeMS": 400}
for times in (1, 2):
    add_of_client(f"a slow find_one, {times}", "find", SLOW, times, FIND, socketTimeoutMS=200)
    add_of_client(f"a slow insert_one, {times}", "insert", SLOW, times, INSERT, socketTimeoutMS=200)
add_of_client("a slow change stream", "getMore", SLOW, 1, next_change, socketTimeoutMS=200)
add_of_client("a slow find_one, no retries", "find", SLOW, 1, FIND, socketTimeoutMS=200, retryReads=False)
add_of_client("a slow insert_one, no retries", "insert", SLOW, 1, INSERT, socketTimeoutMS=200, retryWrites=False)
add_of_client("a slow find_one, timeoutMS", "find", SLOW, 1, FIND, timeoutMS=SHORT_TIMEOUT_MS)
add_of_client("a slow insert_one, timeoutMS", "insert", SLOW, 1, INSERT, timeoutMS=SHORT_TIMEOUT_MS)
add_of_client("a slow find_one that is waited for", "find", SLOW, 1, FIND)
add_of_client("a handshake that fails once, find_one", "hello", CLOSED, 1, FIND)
add_of_client(
    "an unacknowledged insert_one",
    "insert",
    CLOSED,
    1,
    lambda c: c.with_options(write_concern=WriteConcern(w=0)).insert_one({"_id": 9}),
)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", CASES)
async def test_a_fault_does_what_it_does_to_pymongo(
    name: str, both_faulted: tuple[harness.Side, harness.Side], ground: Any
) -> None:
    with differing(name, DIFFERENT_FAULTS):
        await asyncio.wait_for(harness.compare(CASES[name], *both_faulted, ground), harness.CASE_SECONDS)


@pytest.fixture(scope="module")
def both_faulted_blocking(uri: str) -> Iterator[tuple[harness.Side, harness.Side]]:
    opened = harness.opened(harness.sides(uri, blocking=True, options=OPTIONS, pymongo_options=QUICKLY))
    yield drive(opened.__aenter__())
    drive(opened.__aexit__(None, None, None))


@pytest.mark.parametrize(
    "name",
    ["find_one: 91, once", "insert_one: closed, once", "insert_one: 10107, twice", "commit: 91, once"],
)
def test_a_fault_does_what_it_does_to_pymongo_that_blocks(
    name: str, both_faulted_blocking: tuple[harness.Side, harness.Side], ground: Any
) -> None:
    with differing(name, DIFFERENT_FAULTS):
        drive(harness.compare(CASES[name], *both_faulted_blocking, ground))
