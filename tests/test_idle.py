"""Connections that the server closed while they were idle: each kind of call succeeds at the first try."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from connect.eaas.mongodb import AsyncDataApiClient, AsyncMongoClient, DataApiClient, MongoClient
from connect.eaas.mongodb.gridfs import AsyncGridFSBucket, GridFSBucket
from pymongo import DeleteMany, DeleteOne, InsertOne, UpdateMany
from pymongo import MongoClient as UntypedPyMongoClient

from tests.conftest import API_KEY
from tests.proxies import Proxy, proxy
from tests.servers import gateway

PyMongoClient: Any = UntypedPyMongoClient

# How many connections wait in the pool when they are closed.
POOL = 6
# How long an answer takes meanwhile, so that calls at once need a connection each.
# On a busy machine, some calls may be done before others have begun.
TRIES = 20
DELAY_SECONDS = 0.15

# HTTP connections are dropped by a task of the client's, which has to have seen the end.
PAUSE_SECONDS = 0.5

Call = Callable[[Any], Any]

CALLS: dict[str, Call] = {
    "insert_one": lambda c: c.insert_one({"n": 9}),
    "insert_many": lambda c: c.insert_many([{}, {}]),
    "insert_many, unordered": lambda c: c.insert_many([{}, {}], ordered=False),
    "update_one": lambda c: c.update_one({"n": 1}, {"$inc": {"m": 1}}),
    "update_many": lambda c: c.update_many({}, {"$inc": {"m": 1}}),
    "replace_one": lambda c: c.replace_one({"n": 1}, {"n": 1, "m": 1}),
    "delete_one": lambda c: c.delete_one({"n": 1}),
    "delete_many": lambda c: c.delete_many({"n": 1}),
    "find": lambda c: c.find({}),
    "find_one": lambda c: c.find_one({}),
    "aggregate": lambda c: c.aggregate([{"$match": {}}]),
    "aggregate with $out": lambda c: c.aggregate([{"$out": c.name + "_out"}]),
    "aggregate with $merge": lambda c: c.aggregate([{"$merge": {"into": c.name + "_out"}}]),
    "count_documents": lambda c: c.count_documents({}),
    "estimated_document_count": lambda c: c.estimated_document_count(),
    "distinct": lambda c: c.distinct("n"),
    "find_one_and_update": lambda c: c.find_one_and_update({"n": 1}, {"$inc": {"m": 1}}),
    "find_one_and_replace": lambda c: c.find_one_and_replace({"n": 1}, {"n": 1}),
    "find_one_and_delete": lambda c: c.find_one_and_delete({"n": 1}),
    "bulk_write": lambda c: c.bulk_write([InsertOne({}), DeleteOne({"n": 1})]),
    "bulk_write of many": lambda c: c.bulk_write([UpdateMany({}, {"$inc": {"m": 1}}), DeleteMany({"n": 1})]),
    "bulk_write, unordered": lambda c: c.bulk_write([UpdateMany({}, {"$inc": {"m": 1}}), InsertOne({})], ordered=False),
    "create_index": lambda c: c.create_index("n"),
    "index_information": lambda c: c.index_information(),
    "drop": lambda c: c.drop(),
    "command": lambda c: c.database.command({"ping": 1}),
    "command that writes": lambda c: c.database.command({"delete": c.name, "deletes": [{"q": {}, "limit": 0}]}),
    "list_collection_names": lambda c: c.database.list_collection_names(),
    "create_collection": lambda c: c.database.create_collection(c.name + "_new"),
}


@pytest.fixture(scope="module", params=["", "&retryWrites=false&retryReads=false"], ids=["", "no-retries"])
def options(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(mongodb_port: int) -> Iterator[Proxy]:
    with proxy(mongodb_port) as running:
        yield running


@pytest.fixture(params=[False, True], ids=["FIN", "RST"])
def reset(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def fill(server: Proxy, client: Any) -> None:
    """Have a blocking client's pool hold connections."""
    with ThreadPoolExecutor(POOL) as threads:
        for _ in range(TRIES):
            server.delay(DELAY_SECONDS)
            list(threads.map(lambda _: client.admin.command("ping"), range(POOL)))
            server.delay(0)
            if server.idle() >= POOL:
                return


async def fill_async(server: Proxy, client: Any) -> None:
    """Have an awaited client's pool hold connections."""
    for _ in range(TRIES):
        server.delay(DELAY_SECONDS)
        await asyncio.gather(*(client.admin.command("ping") for _ in range(POOL)))
        server.delay(0)
        if server.idle() >= POOL:
            return


def close(server: Proxy, reset: bool) -> None:
    assert server.close_idle(reset=reset) >= POOL


def ended(value: Any) -> Any:
    """The result of a blocking call."""
    return list(value) if hasattr(type(value), "alive") else value


async def ended_async(value: Any) -> Any:
    """The result of an awaited call."""
    if inspect.isawaitable(value):
        value = await value
    return await value.to_list() if hasattr(type(value), "to_list") else value


def documents() -> list[dict[str, int]]:
    return [{"n": n} for n in range(4)]


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_after_a_pause_succeeds_at_the_first_try_awaited(
    server: Proxy, reader: Any, reset: bool, call: str, options: str
) -> None:
    reader.insert_many(documents())
    async with AsyncMongoClient(server.uri + options) as client:
        collection = client[reader.database.name][reader.name]
        await fill_async(server, client)
        close(server, reset)
        await ended_async(CALLS[call](collection))


@pytest.mark.parametrize("call", CALLS)
def test_a_call_after_a_pause_succeeds_at_the_first_try_blocking(
    server: Proxy, reader: Any, reset: bool, call: str, options: str
) -> None:
    reader.insert_many(documents())
    with MongoClient(server.uri + options) as client:
        collection = client[reader.database.name][reader.name]
        fill(server, client)
        close(server, reset)
        ended(CALLS[call](collection))


def test_pymongo_does_on_the_same_proxy(server: Proxy, reader: Any, reset: bool) -> None:
    with PyMongoClient(server.uri + "&retryWrites=false&retryReads=false") as client:
        collection = client[reader.database.name][reader.name]
        for call in ("delete_many", "update_many", "aggregate with $out", "command", "create_index", "insert_one"):
            reader.delete_many({})
            reader.insert_many(documents())
            fill(server, client)
            close(server, reset)
            # It looks at connections that were idle for a second.
            asyncio.run(asyncio.sleep(1.1))
            ended(CALLS[call](collection))


async def test_many_calls_at_once_after_a_pause_succeed(server: Proxy, reader: Any, reset: bool, options: str) -> None:
    async with AsyncMongoClient(server.uri + options) as client:
        collection = client[reader.database.name][reader.name]
        for _ in range(3):
            await fill_async(server, client)
            close(server, reset)
            await asyncio.gather(
                *(collection.update_many({"n": n}, {"$inc": {"m": 1}}, upsert=True) for n in range(2 * POOL))
            )
    # Each was done once in each round.
    assert sorted((found["n"], found["m"]) for found in reader.find()) == [(n, 3) for n in range(2 * POOL)]


async def test_a_transaction_begins_at_the_first_try(server: Proxy, reader: Any, reset: bool, options: str) -> None:
    reader.insert_one({"n": 1})
    async with AsyncMongoClient(server.uri + options) as client, client.start_session() as session:
        collection = client[reader.database.name][reader.name]
        for place in range(3):
            await fill_async(server, client)
            await session.start_transaction()
            if place == 1:
                await collection.insert_one({"n": 2}, session=session)
            close(server, reset)
            await collection.update_many({}, {"$inc": {"m": 1}}, session=session)
            if place == 2:
                await fill_async(server, client)
                close(server, reset)
            await session.commit_transaction()
        tries = 0

        async def work(session: Any) -> None:
            nonlocal tries
            tries += 1
            await collection.update_many({}, {"$inc": {"m": 1}}, session=session)

        await fill_async(server, client)
        close(server, reset)
        await session.with_transaction(work)
        assert tries == 1
    assert sorted(found["m"] for found in reader.find()) == [3, 4]


def test_a_transaction_begins_at_the_first_try_blocking(server: Proxy, reader: Any, reset: bool) -> None:
    reader.insert_one({"n": 1})
    with MongoClient(server.uri) as client, client.start_session() as session:
        collection = client[reader.database.name][reader.name]
        fill(server, client)
        with session.start_transaction():
            close(server, reset)
            collection.insert_one({"n": 2}, session=session)
    assert reader.count_documents({}) == 2


async def test_a_cursor_goes_on_after_a_pause(server: Proxy, reader: Any, reset: bool, options: str) -> None:
    reader.insert_many([{"n": n} for n in range(40)])
    async with AsyncMongoClient(server.uri + options) as client:
        collection = client[reader.database.name][reader.name]
        for session in (None, client.start_session()):
            cursor = collection.find({}, batch_size=4, session=session)
            seen = [await cursor.next() for _ in range(4)]
            await fill_async(server, client)
            close(server, reset)
            seen += await cursor.to_list()
            assert sorted(found["n"] for found in seen) == list(range(40))


async def test_a_change_stream_opens_and_goes_on_after_a_pause(
    server: Proxy, reader: Any, reset: bool, options: str
) -> None:
    reader.insert_one({})
    async with AsyncMongoClient(server.uri + options) as client:
        collection = client[reader.database.name][reader.name]
        await fill_async(server, client)
        close(server, reset)
        async with collection.watch(max_await_time_ms=100) as stream:
            await stream.try_next()
            for n in range(2):
                await fill_async(server, client)
                close(server, reset)
                reader.insert_one({"n": n})
                assert (await asyncio.wait_for(stream.next(), 20))["fullDocument"]["n"] == n


async def test_gridfs_works_after_a_pause(server: Proxy, names: tuple[str, str], reset: bool) -> None:
    async with AsyncMongoClient(server.uri) as client:
        bucket = AsyncGridFSBucket(client[names[0]], bucket_name=names[1])
        await fill_async(server, client)
        close(server, reset)
        file = await bucket.upload_from_stream("f", b"x" * 600_000)
        await fill_async(server, client)
        close(server, reset)
        assert len(await (await bucket.open_download_stream(file)).read()) == 600_000
        await fill_async(server, client)
        close(server, reset)
        await bucket.delete(file)


def test_gridfs_works_after_a_pause_blocking(server: Proxy, names: tuple[str, str], reset: bool) -> None:
    with MongoClient(server.uri) as client:
        bucket = GridFSBucket(client[names[0]], bucket_name=names[1])
        fill(server, client)
        close(server, reset)
        file = bucket.upload_from_stream("f", b"x" * 600_000)
        fill(server, client)
        close(server, reset)
        assert len(bucket.open_download_stream(file).read()) == 600_000


async def test_only_closed_connections_are_replaced(server: Proxy, reader: Any) -> None:
    """A busy client makes no other round trips, and no new connections."""
    async with AsyncMongoClient(server.uri) as client:
        collection = client[reader.database.name][reader.name]
        await fill_async(server, client)
        before, connections = len(server.commands), server.idle()
        for _ in range(5):
            await collection.update_many({}, {"$inc": {"m": 1}})
            await asyncio.sleep(0.3)
        assert server.commands[before:] == ["update"] * 5
        assert server.idle() == connections


ACTIONS: dict[str, dict[str, Any]] = {
    "insertOne": {"document": {"n": 9}},
    "insertMany": {"documents": [{"n": 9}]},
    "updateOne": {"filter": {}, "update": {"$inc": {"m": 1}}},
    "updateMany": {"filter": {}, "update": {"$inc": {"m": 1}}},
    "replaceOne": {"filter": {}, "replacement": {"n": 3}},
    "deleteOne": {"filter": {}},
    "deleteMany": {"filter": {}},
    "find": {"filter": {}},
    "findOne": {"filter": {}},
    "aggregate": {"pipeline": [{"$match": {}}]},
}


@pytest.fixture(scope="module")
def gateway_behind(server: Proxy) -> Iterator[str]:
    """A gateway whose MongoDB is behind the proxy."""
    with gateway(server.uri, API_KEY) as (_, url):
        yield url


def post(url: str, names: tuple[str, str], action: str, body: dict[str, Any]) -> httpx.Response:
    place = {"dataSource": "any", "database": names[0], "collection": names[1]}
    headers = {"api-key": API_KEY, "Content-Type": "application/json"}
    return httpx.post(f"{url}/action/{action}", content=json.dumps(place | body), headers=headers, timeout=30)


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_of_the_gateway_after_a_pause_succeeds_at_the_first_try(
    server: Proxy, gateway_behind: str, reader: Any, reset: bool, action: str
) -> None:
    reader.insert_many(documents())
    names = (reader.database.name, reader.name)
    server.delay(DELAY_SECONDS)
    with ThreadPoolExecutor(POOL) as threads:
        list(threads.map(lambda _: post(gateway_behind, names, "findOne", {"filter": {}}), range(POOL)))
    server.delay(0)
    # As many as came at once.
    assert server.close_idle(reset=reset) >= 2
    answer = post(gateway_behind, names, action, ACTIONS[action])
    assert answer.status_code in (200, 201), answer.text


@pytest.mark.parametrize("call", ["insert_one", "update_many", "delete_many", "aggregate", "find_one"])
async def test_a_call_of_the_data_api_after_a_pause_succeeds_at_the_first_try(
    gateway_url: str, reader: Any, reset: bool, call: str
) -> None:
    reader.insert_many(documents())
    with proxy(int(gateway_url.rsplit(":", 1)[1])) as server:
        url = f"http://127.0.0.1:{server.port}"
        async with AsyncDataApiClient(url, api_key=API_KEY, data_source="Cluster0") as client:
            collection = client[reader.database.name][reader.name]
            server.delay(DELAY_SECONDS)
            await asyncio.gather(*(collection.find_one({}) for _ in range(POOL)))
            server.delay(0)
            close(server, reset)
            await asyncio.sleep(PAUSE_SECONDS)
            await ended_async(CALLS[call](collection))
        with DataApiClient(url, api_key=API_KEY, data_source="Cluster0") as blocking:
            same = blocking[reader.database.name][reader.name]
            server.delay(DELAY_SECONDS)
            with ThreadPoolExecutor(POOL) as threads:
                list(threads.map(lambda _: same.find_one({}), range(POOL)))
            server.delay(0)
            close(server, reset)
            await asyncio.sleep(PAUSE_SECONDS)
            ended(CALLS[call](same))
