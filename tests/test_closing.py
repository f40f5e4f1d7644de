"""What closes comes to its end, whatever the network does: in front of a server that goes silent."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Awaitable, Iterator
from typing import Any

import httpx
import pytest
from connect.eaas.mongodb import (
    AsyncDataApiClient,
    AsyncEventStore,
    AsyncMongoClient,
    DataApiClient,
    MongoClient,
    drain_store,
)
from pymongo.errors import AutoReconnect, PyMongoError

from tests.conftest import API_KEY
from tests.proxies import Proxy, proxy
from tests.servers import gateway

# What is promised is a few seconds; this is only against hangs.
BOUND_SECONDS = 20


@pytest.fixture
def server(mongodb_port: int) -> Iterator[Proxy]:
    with proxy(mongodb_port) as running:
        yield running


@pytest.fixture
def data_api(gateway_url: str) -> Iterator[Proxy]:
    with proxy(int(gateway_url.rsplit(":", 1)[1])) as running:
        yield running


async def within(call: Awaitable[Any]) -> Any:
    """The result of a call, within the bound."""
    return await asyncio.wait_for(call, BOUND_SECONDS)


def in_threads(*calls: Any) -> tuple[list[threading.Thread], list[Any]]:
    """Begin calls that may hang; what came of them."""
    outcomes: list[Any] = []

    def outcome(call: Any) -> None:
        try:
            outcomes.append(call())
        except PyMongoError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=outcome, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    return threads, outcomes


def join(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.join(BOUND_SECONDS)
        assert not thread.is_alive()


@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.parametrize("in_flight", ["nothing", "cancelled", "waiting"])
async def test_an_awaited_client_closes(server: Proxy, names: tuple[str, str], in_flight: str, coalesce: bool) -> None:
    client = AsyncMongoClient(server.uri, coalesce=coalesce)
    collection = client[names[0]][names[1]]
    await collection.insert_one({})
    await collection.find_one({})
    server.silence()
    calls: list[asyncio.Future[Any]] = []
    if in_flight != "nothing":
        work = (
            collection.insert_one({}),
            collection.update_many({}, {"$set": {"a": 1}}),
            collection.find({}).to_list(),
        )
        calls = [asyncio.ensure_future(call) for call in work]
        await asyncio.sleep(0.2)
    if in_flight == "cancelled":
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
    await within(client.close())
    if in_flight == "waiting":
        for call in calls:
            with pytest.raises(AutoReconnect, match="may or may not have taken effect"):
                await within(call)


def test_a_blocking_client_closes(server: Proxy, names: tuple[str, str]) -> None:
    client = MongoClient(server.uri)
    collection = client[names[0]][names[1]]
    collection.insert_one({})
    server.silence()
    hanging, outcomes = in_threads(
        lambda: collection.insert_one({}), lambda: collection.delete_many({}), lambda: collection.find_one({})
    )
    hanging[0].join(0.2)
    closing, _ = in_threads(client.close)
    join(*closing, *hanging)
    assert [type(outcome) for outcome in outcomes] == [AutoReconnect] * 3


def test_calls_under_way_end_well_where_the_server_answers(server: Proxy, names: tuple[str, str]) -> None:
    client = MongoClient(server.uri)
    collection = client[names[0]][names[1]]
    collection.insert_one({})
    server.delay(0.5)
    calls, outcomes = in_threads(lambda: collection.count_documents({}))
    calls[0].join(0.1)
    client.close()
    join(*calls)
    assert outcomes == [1]


async def test_data_api_clients_close(data_api: Proxy, names: tuple[str, str]) -> None:
    url = f"http://127.0.0.1:{data_api.port}"
    client = AsyncDataApiClient(url, api_key=API_KEY, data_source="Cluster0")
    blocking = DataApiClient(url, api_key=API_KEY, data_source="Cluster0")
    await client[names[0]][names[1]].insert_one({})
    blocking[names[0]][names[1]].insert_one({})
    data_api.silence()
    call = asyncio.ensure_future(client[names[0]][names[1]].insert_one({}))
    in_threads(lambda: blocking[names[0]][names[1]].insert_one({}))
    await asyncio.sleep(0.2)
    call.cancel()
    await within(client.close())
    closing, _ = in_threads(blocking.close)
    join(*closing)


async def test_a_client_whose_settings_are_replaced_holds_nobody_up(
    server: Proxy, config: dict[str, str], mongodb_port: int
) -> None:
    behind = config | {"DB_HOST": f"127.0.0.1:{server.port}", "DB_OPTIONS": "directConnection=true"}
    old = AsyncMongoClient.from_config(behind)
    collection = old.get_default_collection()
    await collection.insert_one({})
    server.silence()
    call = asyncio.ensure_future(collection.insert_one({}))
    await asyncio.sleep(0.2)
    call.cancel()
    await asyncio.wait([call])
    # A shared client is not closed by its users.
    await within(old.close())
    new = AsyncMongoClient.from_config(config)
    del old, collection, call
    gc.collect()
    await within(new.get_default_collection().insert_one({}))


async def test_the_store_is_drained_within_bounds(server: Proxy, config: dict[str, str]) -> None:
    behind = config | {"DB_HOST": f"127.0.0.1:{server.port}", "DB_OPTIONS": "directConnection=true"}
    store = AsyncEventStore.from_config(behind)
    request = {"id": "PR-0000-0000-0000-001", "type": "purchase", "status": "pending"}
    await store.save("asset_purchase_request_processing", request)
    await drain_store(behind)
    server.silence()
    saving = asyncio.ensure_future(store.save("asset_purchase_request_processing", request | {"note": "x"}))
    await asyncio.sleep(0.2)
    await within(drain_store(behind))
    saving.cancel()
    await asyncio.wait([saving])


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_gateway_stops(mongodb_port: int, names: tuple[str, str], stop: signal.Signals) -> None:
    with proxy(mongodb_port) as server, gateway(server.uri, API_KEY) as (running, url):
        place = {"dataSource": "any", "database": names[0], "collection": names[1]}

        def post(action: str, body: dict[str, Any]) -> int:
            content = json.dumps(place | body)
            headers = {"api-key": API_KEY, "Content-Type": "application/json"}
            try:
                return httpx.post(f"{url}/action/{action}", content=content, headers=headers, timeout=60).status_code
            except httpx.HTTPError:
                return 0

        assert post("insertOne", {"document": {}}) == 201
        server.silence()
        in_threads(*[lambda: post("insertOne", {"document": {}})] * 3, lambda: post("find", {"filter": {}}))
        threading.Event().wait(0.3)
        running.process.send_signal(stop)
        # The grace for requests under way, and what closing takes.
        assert running.process.wait(BOUND_SECONDS + 10) == 0


EXITS = {
    "asyncio, cancelled by the end of run": """
        async def main():
            client = AsyncMongoClient(sys.argv[1])
            collection = client.d.c
            await collection.insert_one({})
            ready()
            calls = [asyncio.ensure_future(call) for call in (
                collection.insert_one({}), collection.delete_many({}), collection.find({}).to_list())]
            await asyncio.sleep(0.3)
        asyncio.run(main())
    """,
    "asyncio, in a client's block": """
        async def main():
            async with AsyncMongoClient(sys.argv[1]) as client:
                await client.d.c.insert_one({})
                ready()
                call = asyncio.ensure_future(client.d.c.insert_one({}))
                await asyncio.sleep(0.3)
        asyncio.run(main())
    """,
    "threads": """
        client = MongoClient(sys.argv[1])
        client.d.c.insert_one({})
        ready()
        for call in (lambda: client.d.c.insert_one({}), lambda: client.d.c.update_many({}, {"$set": {"a": 1}}),
                     lambda: list(client.d.c.find())):
            threading.Thread(target=attempt, args=(call,)).start()
    """,
    "a pool of threads": """
        client = MongoClient(sys.argv[1])
        client.d.c.insert_one({})
        ready()
        pool = concurrent.futures.ThreadPoolExecutor(3)
        for _ in range(3):
            pool.submit(attempt, lambda: client.d.c.insert_one({}))
    """,
    "daemon threads": """
        client = MongoClient(sys.argv[1])
        client.d.c.insert_one({})
        ready()
        threading.Thread(target=attempt, args=(lambda: client.d.c.insert_one({}),), daemon=True).start()
        time.sleep(0.3)
    """,
    "the Data API": """
        client = DataApiClient(sys.argv[1], api_key=sys.argv[2], data_source="Cluster0")
        client.d.c.insert_one({})
        ready()
        for call in (lambda: client.d.c.insert_one({}), lambda: client.d.c.find_one({})):
            threading.Thread(target=attempt, args=(call,)).start()
    """,
}

PREAMBLE = """
import asyncio, concurrent.futures, sys, threading, time
from connect.eaas.mongodb import AsyncMongoClient, DataApiClient, MongoClient
from pymongo.errors import PyMongoError

def ready():
    print("ready", flush=True)
    sys.stdin.readline()

def attempt(call):
    try:
        call()
    except PyMongoError as error:
        print(type(error).__name__, flush=True)
"""


@contextlib.contextmanager
def script(text: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a script until it is ready."""
    command = [sys.executable, "-c", PREAMBLE + textwrap.dedent(text), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("end", EXITS)
def test_the_interpreter_ends(server: Proxy, data_api: Proxy, end: str) -> None:
    behind = data_api if end == "the Data API" else server
    uri = f"http://127.0.0.1:{data_api.port}" if end == "the Data API" else server.uri
    with script(EXITS[end], uri, API_KEY) as process:
        behind.silence()
        process.communicate("go\n", timeout=BOUND_SECONDS)
        assert process.returncode == 0


def test_the_interpreter_waits_for_calls_that_a_server_is_slow_to_answer(server: Proxy) -> None:
    text = """
        client = MongoClient(sys.argv[1])
        client.d.c.insert_one({})
        ready()
        threading.Thread(target=attempt, args=(lambda: print(client.d.c.count_documents({}) > 0),)).start()
    """
    with script(text, server.uri) as process:
        server.delay(1.5)
        output, _ = process.communicate("go\n", timeout=BOUND_SECONDS)
        assert (output, process.returncode) == ("True\n", 0)
