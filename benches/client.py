"""A peer of the benchmark: `python client.py NAME` takes orders on standard input, one JSON
object a line, and answers each with a line of figures.

The loop is uvloop, as the runner has it. Each call stores one document, in a way that a Python
developer would write it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import resource
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import bson
import uvloop

Call = Callable[[], Awaitable[Any]]

WARM_UP_SECONDS = 0.15


def cpu_seconds() -> float:
    """What this process has used, of all its threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_memory() -> float:
    """The peak of this process's resident memory, in MB. `ru_maxrss` would include the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def figures(took: list[float], seconds: float, cpu: float) -> dict[str, float]:
    """The figures of a run, from how long each call took."""
    took.sort()
    calls = len(took)

    def at(share: float) -> float:
        return took[int((calls - 1) * share)] * 1e3 if took else float("nan")

    return {
        "calls": calls,
        "per_second": calls / seconds,
        "cpu_us": cpu * 1e6 / max(calls, 1),
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "p999_ms": at(0.999),
        "rss_mb": peak_memory(),
    }


async def repeat(call: Call, concurrency: int, seconds: float) -> dict[str, float]:
    """Make calls, so many at once, for so long."""
    took: list[float] = []
    now = time.perf_counter

    async def work(until: float) -> None:
        while True:
            begun = now()
            if begun >= until:
                return
            await call()
            took.append(now() - begun)

    await asyncio.gather(*(work(now() + WARM_UP_SECONDS) for _ in range(concurrency)))
    took.clear()
    begun, cpu = now(), cpu_seconds()
    await asyncio.gather(*(work(begun + seconds) for _ in range(concurrency)))
    return figures(took, now() - begun, cpu_seconds() - cpu)


def repeat_in_threads(call: Callable[[], Any], concurrency: int, seconds: float) -> dict[str, float]:
    """Make blocking calls, each of so many threads one at a time, for so long."""
    now = time.perf_counter

    def work(until: float, took: list[float]) -> None:
        while True:
            begun = now()
            if begun >= until:
                return
            call()
            took.append(now() - begun)

    def run(until: float) -> list[float]:
        lists: list[list[float]] = [[] for _ in range(concurrency)]
        threads = [threading.Thread(target=work, args=(until, took)) for took in lists]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [one for took in lists for one in took]

    run(now() + WARM_UP_SECONDS)
    begun, cpu = now(), cpu_seconds()
    took = run(begun + seconds)
    return figures(took, now() - begun, cpu_seconds() - cpu)


class Peer:
    """A client under test. `call` stores one document; `find_one` and `find` read."""

    blocking = False

    def __init__(self, order: dict[str, Any]) -> None:
        self.mongodb: str = order["mongodb"]
        self.http: str = order["http"]
        self.key: str = order.get("key", "key")
        self.document: dict[str, Any] = {}
        self.collections: int = order.get("collections", 1)
        self.headers = {"api-key": self.key, "Content-Type": "application/json"}
        self.body: dict[str, Any] = {"dataSource": "Cluster0", "database": "db", "collection": "coll"}
        self.open()

    def open(self) -> None:
        """Make the shared client, if there is one."""

    def use(self, client: Any) -> None:
        """Use the client's collections, in turn."""
        self.turns = itertools.cycle([client.db[f"coll{n or ''}"] for n in range(self.collections)])
        self.shared = client.db.coll

    @property
    def collection(self) -> Any:
        """The collection of the next call."""
        return self.shared if self.collections == 1 else next(self.turns)

    async def call(self) -> Any:
        """Store the document."""
        raise NotImplementedError

    def blocking_call(self) -> Any:
        """Store the document, in a thread."""
        raise NotImplementedError

    def blocking_find(self) -> Any:
        """Find a thousand documents, as a list, in a thread."""
        raise NotImplementedError

    async def find_one(self) -> Any:
        """Find one document by its `_id`."""
        raise NotImplementedError

    async def find(self) -> Any:
        """Find a thousand documents, as a list."""
        raise NotImplementedError

    async def insert_many(self) -> Any:
        """Store a thousand documents."""
        raise NotImplementedError


class MotorPerEvent(Peer):
    """The tutorial's code: a Motor client for each event."""

    async def call(self) -> Any:
        from motor.motor_asyncio import AsyncIOMotorClient

        client: Any = AsyncIOMotorClient(self.mongodb, serverSelectionTimeoutMS=5000)
        result = await client.db.coll.insert_one(dict(self.document))
        client.close()
        return result


class Motor(Peer):
    """Motor with a shared client."""

    def open(self) -> None:
        from motor.motor_asyncio import AsyncIOMotorClient

        self.use(AsyncIOMotorClient(self.mongodb))

    async def call(self) -> Any:
        return await self.collection.insert_one(dict(self.document))

    async def find_one(self) -> Any:
        return await self.collection.find_one({"_id": 1})

    async def find(self) -> Any:
        return await self.collection.find({}).to_list(None)

    async def insert_many(self) -> Any:
        return await self.collection.insert_many([dict(self.document) for _ in range(1000)])


class PyMongoAsync(Peer):
    """PyMongo's asynchronous client."""

    def open(self) -> None:
        from pymongo import AsyncMongoClient

        self.use(AsyncMongoClient(self.mongodb))

    async def call(self) -> Any:
        return await self.collection.insert_one(dict(self.document))

    async def find_one(self) -> Any:
        return await self.collection.find_one({"_id": 1})

    async def find(self) -> Any:
        return await self.collection.find({}).to_list()

    async def insert_many(self) -> Any:
        return await self.collection.insert_many([dict(self.document) for _ in range(1000)])


class PyMongoThreads(Peer):
    """PyMongo's blocking client, in threads."""

    blocking = True

    def open(self) -> None:
        from pymongo import MongoClient

        self.use(MongoClient(self.mongodb))

    def blocking_call(self) -> Any:
        return self.collection.insert_one(dict(self.document))

    def blocking_find(self) -> Any:
        return self.collection.find({}).to_list()


class Mongojet(Peer):
    """mongojet: the Rust driver through PyO3."""

    def open(self) -> None:
        self.opened: Any = None

    async def _open(self) -> Any:
        if self.opened is None:
            from mongojet import create_client

            client: Any = await create_client(self.mongodb)
            self.opened = client.get_database("db").get_collection("coll")
        return self.opened

    async def call(self) -> Any:
        return await (await self._open()).insert_one(dict(self.document))

    async def find_one(self) -> Any:
        return await (await self._open()).find_one({"_id": 1})

    async def insert_many(self) -> Any:
        return await (await self._open()).insert_many([dict(self.document) for _ in range(1000)])


class HttpxPerEvent(Peer):
    """The tutorial's code: an httpx client for each event."""

    async def call(self) -> Any:
        import httpx

        async with httpx.AsyncClient() as client:
            response = await client.post(
                f"{self.http}/action/insertOne", headers=self.headers, json={**self.body, "document": self.document}
            )
            return response.raise_for_status().json()


class Httpx(Peer):
    """httpx with a shared client."""

    def open(self) -> None:
        self.client: Any = None

    async def call(self) -> Any:
        if self.client is None:
            import httpx

            self.client = httpx.AsyncClient(limits=httpx.Limits(max_connections=None), timeout=60)
        response = await self.client.post(
            f"{self.http}/action/insertOne", headers=self.headers, json={**self.body, "document": self.document}
        )
        return response.raise_for_status().json()


class Aiohttp(Peer):
    """aiohttp with a shared session."""

    def open(self) -> None:
        self.session: Any = None

    async def call(self) -> Any:
        if self.session is None:
            import aiohttp

            self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        async with self.session.post(
            f"{self.http}/action/insertOne", headers=self.headers, json={**self.body, "document": self.document}
        ) as response:
            response.raise_for_status()
            return await response.json(content_type=None)


class OursDriver(Peer):
    """This library's driver path."""

    coalesce = True

    def open(self) -> None:
        from connect.eaas.mongodb import AsyncMongoClient

        self.use(AsyncMongoClient(self.mongodb, coalesce=self.coalesce))

    async def call(self) -> Any:
        return await self.collection.insert_one(self.document)

    async def find_one(self) -> Any:
        return await self.collection.find_one({"_id": 1})

    async def find(self) -> Any:
        return await self.collection.find({}).to_list()

    async def insert_many(self) -> Any:
        return await self.collection.insert_many([self.document] * 1000)


class OursDriverUnmerged(OursDriver):
    """The same, each insert a command of its own."""

    coalesce = False


class OursDriverThreads(Peer):
    """This library's driver path, blocking, in threads."""

    blocking = True

    def open(self) -> None:
        from connect.eaas.mongodb import MongoClient

        self.use(MongoClient(self.mongodb))

    def blocking_call(self) -> Any:
        return self.collection.insert_one(self.document)

    def blocking_find(self) -> Any:
        return self.collection.find({}).to_list()


class OursEventStore(Peer):
    """This library's event store. Each event has another content, and so another `_id`."""

    def open(self) -> None:
        from connect.eaas.mongodb import AsyncMongoClient
        from connect.eaas.mongodb.store import AsyncEventStore

        self.store: Any = AsyncEventStore(AsyncMongoClient(self.mongodb).db.coll)
        self.number = 0

    async def call(self) -> Any:
        self.number += 1
        return await self.store.save("asset_purchase_request_processing", {**self.document, "number": self.number})


class OursDataApi(Peer):
    """This library's Data API path."""

    coalesce = True

    def open(self) -> None:
        from connect.eaas.mongodb import AsyncDataApiClient

        self.use(AsyncDataApiClient(self.http, api_key=self.key, data_source="Cluster0", coalesce=self.coalesce))

    async def call(self) -> Any:
        return await self.collection.insert_one(self.document)


class OursDataApiUnmerged(OursDataApi):
    """The same, each insert a request of its own."""

    coalesce = False


class OursDataApiThreads(Peer):
    """This library's Data API path, blocking, in threads."""

    blocking = True

    def open(self) -> None:
        from connect.eaas.mongodb import DataApiClient

        self.use(DataApiClient(self.http, api_key=self.key, data_source="Cluster0"))

    def blocking_call(self) -> Any:
        return self.collection.insert_one(self.document)


PEERS: dict[str, type[Peer]] = {
    "tutorial (Motor per event)": MotorPerEvent,
    "Motor": Motor,
    "PyMongo async": PyMongoAsync,
    "PyMongo threads": PyMongoThreads,
    "mongojet": Mongojet,
    "ours": OursDriver,
    "ours unmerged": OursDriverUnmerged,
    "ours threads": OursDriverThreads,
    "ours store": OursEventStore,
    "tutorial (httpx per event)": HttpxPerEvent,
    "httpx": Httpx,
    "aiohttp": Aiohttp,
    "ours http": OursDataApi,
    "ours http unmerged": OursDataApiUnmerged,
    "ours http threads": OursDataApiThreads,
}


def read_document(path: str) -> dict[str, Any]:
    """The document to store."""
    return dict(bson.decode(Path(path).read_bytes()))


async def main(name: str) -> None:
    """Take orders until there are no more."""
    loop = asyncio.get_running_loop()
    peer: Peer | None = None
    servers: object = None
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        if (order["mongodb"], order["http"], order.get("collections", 1)) != servers:
            servers = (order["mongodb"], order["http"], order.get("collections", 1))
            peer = PEERS[name](order)
        assert peer is not None
        peer.document = read_document(order["bson"])
        work, concurrency, seconds = order.get("work", "call"), order["concurrency"], order["seconds"]
        if peer.blocking:
            call = getattr(peer, f"blocking_{work}")
            measured = await loop.run_in_executor(None, repeat_in_threads, call, concurrency, seconds)
        else:
            measured = await repeat(getattr(peer, work), concurrency, seconds)
        print(json.dumps(measured), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
