"""Merged inserts: to each caller its own, and nothing lost for it."""

from __future__ import annotations

import asyncio
import contextlib
import socketserver
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import bson
import pytest
import uvloop
from bson import ObjectId
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from connect.eaas.mongodb import AsyncDataApiClient, AsyncMongoClient, MongoClient
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError

from tests.proxies import listener
from tests.servers import answered, canned, serving


def test_of_ten_thousand_inserts_each_caller_gets_its_own(config: dict[str, str], reader: Any) -> None:
    """Every 7th is a duplicate, of what was there or of a neighbour."""
    reader.insert_many([{"_id": number} for number in range(0, 10_000, 14)])
    collection = AsyncMongoClient.from_config(config).get_default_collection()

    async def insert(number: int, key: int) -> str:
        try:
            inserted = await collection.insert_one({"_id": key, "number": number})
        except DuplicateKeyError as refused:
            assert refused.details is not None
            assert f"{{ _id: {key} }}" in str(refused)
            return "duplicate"
        assert inserted.inserted_id == key
        return "stored"

    async def main() -> tuple[list[str], list[str]]:
        return (
            await asyncio.gather(*(insert(number, number) for number in range(10_000))),
            await asyncio.gather(*(insert(-1, number) for number in range(7, 10_000, 14))),
        )

    first, second = uvloop.run(main())
    assert first == ["duplicate" if number % 14 == 0 else "stored" for number in range(10_000)]
    assert set(second) == {"duplicate"}
    assert reader.count_documents({}) == 10_000
    assert reader.count_documents({"number": -1}) == 0


@pytest.mark.parametrize("client", [AsyncMongoClient, AsyncDataApiClient])
def test_concurrent_and_single_inserts_all_arrive_once(client: Any, config: dict[str, str], reader: Any) -> None:
    collection = client.from_config(config).get_default_collection()

    async def main() -> None:
        await collection.insert_one({"first": True})
        await asyncio.gather(*(collection.insert_one({"n": n}) for n in range(300)))
        await collection.insert_one({"last": True})

    asyncio.run(main())
    assert reader.count_documents({}) == 302
    ids = [document["_id"] for document in reader.find()]
    assert all(isinstance(key, ObjectId) for key in ids)


async def test_cancelled_neighbours_take_nobody_along(config: dict[str, str], reader: Any) -> None:
    collection = AsyncMongoClient.from_config(config).get_default_collection()
    for round_ in range(10):
        tasks = [asyncio.create_task(collection.insert_one({"_id": [round_, n]})) for n in range(100)]
        await asyncio.sleep(0.0005 * round_)
        for task in tasks[::3]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        for place, outcome in enumerate(done):
            assert not isinstance(outcome, Exception)
            if place % 3:
                assert not isinstance(outcome, BaseException)
                assert outcome.inserted_id == [round_, place]
    kept = {tuple(document["_id"]) for document in reader.find()}
    assert kept >= {(round_, n) for round_ in range(10) for n in range(100) if n % 3}


async def test_a_refused_batch_of_the_data_api_is_asked_for_one_by_one() -> None:
    """The server knows no batches: each document still arrives, and once."""
    refused = answered("400 Bad Request", '{"error": "no such action", "error_code": "InvalidParameter"}')
    stored = answered("201 Created", '{"insertedId": "x"}')
    with canned(by_action={"insertOne": stored, "insertMany": refused}) as server:
        client = AsyncDataApiClient(server.url, api_key="key-of-tests", data_source="c")
        await asyncio.gather(*(client.d.c.insert_one({"n": n}) for n in range(20)))
        sent = [request.split(b"\r\n\r\n", 1)[1] for request in server.requests if b"/insertOne" in request]
        batches = len(server.requests) - len(sent)
    assert batches >= 1
    assert len(sent) == len(set(sent)) == 20


@pytest.mark.parametrize("coalesce", [True, False])
async def test_merging_can_be_switched_off(
    mongodb_uri: str, config: dict[str, str], reader: Any, coalesce: bool
) -> None:
    client = AsyncMongoClient(mongodb_uri, coalesce=coalesce)
    collection = client[config["DB"]][config["DRIVER_COLLECTION"]]
    await asyncio.gather(*(collection.insert_one({"_id": n}) for n in range(100)))
    with pytest.raises(DuplicateKeyError):
        await collection.insert_one({"_id": 5})
    assert reader.count_documents({}) == 100


async def test_collections_do_not_wait_for_each_other(config: dict[str, str], pymongo_client: Any) -> None:
    """Many inserts into one collection keep few into another waiting for their own turn only."""
    database = AsyncMongoClient.from_config(config).get_default_database()
    finished: list[str] = []

    async def insert(name: str, count: int) -> None:
        await asyncio.gather(*(database[f"{name}_{config['DRIVER_COLLECTION']}"].insert_one({}) for _ in range(count)))
        finished.append(name)

    await asyncio.gather(insert("many", 5000), insert("few", 5))
    assert finished == ["few", "many"]


async def test_documents_too_large_are_refused_alone(config: dict[str, str], reader: Any) -> None:
    collection = AsyncMongoClient.from_config(config).get_default_collection()
    calls = [collection.insert_one({"_id": n, "text": "x" * (2**25 if n == 3 else 10)}) for n in range(6)]
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome).__name__ for outcome in done] == [
        "DocumentTooLarge" if n == 3 else "InsertOneResult" for n in range(6)
    ]
    assert reader.count_documents({}) == 5


async def test_documents_that_cannot_be_stored_are_refused_alone(config: dict[str, str], reader: Any) -> None:
    """A damaged one is found before it is sent, one nested too deep by the server."""
    damaged = RawBSONDocument(bson.encode({"a": {"b": 1}}).replace(b"\x10b", b"\x7eb"))
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"a": deep}
    collection = AsyncMongoClient.from_config(config).get_default_collection()
    calls: list[Any] = []
    for n in range(30):
        document = {"_id": n, "v": damaged if n == 7 else deep if n == 11 else n}
        calls.append(collection.insert_one(document))
    done = await asyncio.gather(*calls, return_exceptions=True)
    failed = {n: outcome for n, outcome in enumerate(done) if isinstance(outcome, BaseException)}
    assert isinstance(failed.pop(7), InvalidBSON)
    assert all(isinstance(refused, OperationFailure) for refused in failed.values())
    assert set(failed) <= {11}
    assert reader.count_documents({}) == 29 - len(failed)


async def test_neighbours_share_commands(mongodb_address: tuple[str, int], config: dict[str, str]) -> None:
    async with _counting_proxy(*mongodb_address) as (port, inserts):
        client = AsyncMongoClient(f"mongodb://127.0.0.1:{port}/?directConnection=true")
        await asyncio.gather(*(client[config["DB"]].c.insert_one({}) for _ in range(500)))
        batches = len(inserts)
        await client.close()
    assert 1 <= batches < 100


@contextlib.asynccontextmanager
async def _counting_proxy(host: str, port: int) -> AsyncIterator[tuple[int, list[int]]]:
    """A proxy that sees the insert commands that pass."""
    inserts: list[int] = []

    async def serve(client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(host, port)

        async def up() -> None:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    head = await client_reader.readexactly(16)
                    body = await client_reader.readexactly(int.from_bytes(head[:4], "little") - 16)
                    if b"\x02insert\0" in body[:40]:
                        inserts.append(len(body))
                    server_writer.write(head + body)
                    await server_writer.drain()
            server_writer.close()
            await server_writer.wait_closed()

        async def down() -> None:
            with contextlib.suppress(ConnectionError):
                while data := await server_reader.read(65536):
                    client_writer.write(data)
                    await client_writer.drain()
            client_writer.close()
            await client_writer.wait_closed()

        try:
            await asyncio.gather(up(), down())
        finally:
            server_writer.transport.abort()

    async with listener(serve) as proxy_port:
        yield proxy_port, inserts


def test_a_slow_server_bounds_what_waits() -> None:
    """Callers wait once 64 MiB do; each ends when the server goes."""

    class Silent(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while self.request.recv(65536):
                time.sleep(0.01)

    with serving(Silent) as port:
        document = {"text": "x" * (4 * 2**20)}

        async def main() -> tuple[list[Any], int]:
            collection = AsyncMongoClient(f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=700").d.c
            calls = asyncio.gather(*(collection.insert_one(document) for _ in range(60)), return_exceptions=True)
            most = 0
            while not calls.done():
                most = max(most, _resident())
                await asyncio.sleep(0.01)
            return await calls, most

        before = _resident()
        done, most = asyncio.run(main())
    assert len(done) == 60
    assert all(isinstance(outcome, PyMongoError) for outcome in done)
    # All 60 would be 240 MiB.
    assert most - before < 180 * 2**20


def _resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def test_threads_are_merged_too(config: dict[str, str], reader: Any) -> None:
    collection = MongoClient.from_config(config).get_default_collection()
    outcomes: list[str] = []

    def work(thread: int) -> None:
        for n in range(50):
            try:
                collection.insert_one({"_id": n if thread == 0 else [thread, n]})
                outcomes.append("stored")
            except DuplicateKeyError:
                outcomes.append("duplicate")

    reader.insert_many([{"_id": n} for n in range(25)])
    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (outcomes.count("duplicate"), outcomes.count("stored")) == (25, 375)
