"""Exactly once, under fire: events delivered several times, two runners, a MongoDB that is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connect.eaas.mongodb.cli import dev
from pymongo import MongoClient as PyMongoClient

from demo.job import COLLECTIONS, JobError, alive, extension_variables, same
from demo.local_connect import LocalConnect, local_connect
from demo.purchase_requests import purchase_requests
from demo.runner import Runner, cextrun

RUNNERS = ("first", "second")
MOST_DELIVERIES = 5
IN_FLIGHT = 16
SPREAD_SECONDS = 15
"""Over how long the deliveries are spread, so that MongoDB is killed in the middle of many."""
AGAIN_SECONDS = 0.5
"""How soon this Connect delivers an event again; the real one takes 30 s at least."""


@dataclass
class ChaosReport:
    """What happened."""

    events: int
    deliveries: int = 0
    kills: int = 0
    results: Counter[str] = field(default_factory=Counter)
    stored: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    duplicated: dict[str, int] = field(default_factory=dict)
    different: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def perfect(self) -> bool:
        """Whether every event is stored once on each path and equal, and MongoDB was killed at all."""
        once = all(self.stored[path] == self.events for path in COLLECTIONS)
        wrong = [*self.missing.values(), *self.duplicated.values(), *self.different.values()]
        return once and not any(wrong) and self.kills > 0


class FragileMongoDB:
    """A MongoDB that is killed, and started again on its data."""

    def __init__(self, folder: str, chance: random.Random) -> None:
        self.port = dev.free_port()
        self.kills = 0
        self._folder = folder
        self._chance = chance
        self._running = contextlib.ExitStack()
        self._server: dev.Server | None = None

    def start(self) -> None:
        """Start it, on the data that there is."""
        self._server, _ = self._running.enter_context(dev.mongodb(self.port, self._folder, "--sync-on-commit"))

    def kill(self) -> None:
        """End it as a power cut does."""
        if self._server is not None:
            os.killpg(self._server.process.pid, signal.SIGKILL)
            self._server.process.wait()
            self._server = None
            self.kills += 1
        # Its context finds it dead.
        self._running.close()

    def stop(self) -> None:
        """End it in order."""
        self._running.close()

    async def misbehave(self) -> None:
        """Be killed at random moments, and come back after random pauses."""
        while True:
            await asyncio.sleep(self._chance.uniform(0.3, 2.5))
            await asyncio.to_thread(self.kill)
            await asyncio.sleep(self._chance.uniform(0.0, 4.0))
            await asyncio.to_thread(self.start)


@contextlib.contextmanager
def fragile_servers(database: str, chance: random.Random) -> Iterator[tuple[FragileMongoDB, dict[str, str]]]:
    """Run that MongoDB, and the gateway; give the extension's variables too."""
    key = dev.new_api_key()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="connect-mongodb-chaos-", ignore_cleanup_errors=True)
        )
        mongodb = FragileMongoDB(folder, chance)
        mongodb.start()
        stack.callback(mongodb.stop)
        uri = f"mongodb://127.0.0.1:{mongodb.port}/?serverSelectionTimeoutMS=2000"
        _, url = stack.enter_context(dev.gateway(uri, key))
        yield mongodb, extension_variables(uri, url, key, database)


async def run_chaos(
    events: int, mongodb: FragileMongoDB, variables: dict[str, str], progress: Callable[[int], None] = lambda done: None
) -> ChaosReport:
    """Deliver each event one to five times, while MongoDB is killed, until all have been taken."""
    report = ChaosReport(events)
    begun = time.monotonic()
    chance = random.Random(events)
    requests = purchase_requests(events)
    with tempfile.TemporaryDirectory(prefix="connect-mongodb-chaos-") as temporary:
        folder = Path(temporary)
        async with local_connect(variables, folder) as connect, contextlib.AsyncExitStack() as stack:
            runners = [await stack.enter_async_context(cextrun(connect, folder, name)) for name in RUNNERS]
            await alive(connect.connected(len(RUNNERS)), runners[0])
            trouble = asyncio.create_task(mongodb.misbehave())
            try:
                await _deliver_all(connect, runners, requests, chance, report, trouble, progress)
            finally:
                trouble.cancel()
                await asyncio.gather(trouble, return_exceptions=True)
    report.kills = mongodb.kills
    # It may have been killed last.
    await asyncio.to_thread(mongodb.stop)
    await asyncio.to_thread(mongodb.start)
    await asyncio.to_thread(_compare, mongodb.port, variables["DB"], requests, report)
    report.seconds = time.monotonic() - begun
    return report


async def _deliver_all(
    connect: LocalConnect,
    runners: list[Runner],
    requests: list[dict[str, Any]],
    chance: random.Random,
    report: ChaosReport,
    trouble: asyncio.Task[None],
    progress: Callable[[int], None],
) -> None:
    room = asyncio.Semaphore(IN_FLIGHT)
    numbers = iter(range(10**9))
    taken = 0

    async def deliver(request: dict[str, Any], runner: int, after: float) -> None:
        """Deliver it until it is taken, as Connect does."""
        nonlocal taken
        await asyncio.sleep(after)
        while True:
            async with room:
                task = await connect.send_task(f"TQ-{next(numbers):07}", request, runner=runner)
                report.deliveries += 1
                output = await alive(task.result, runners[runner])
            report.results[output["result"]] += 1
            if trouble.done():
                trouble.result()
            if output["result"] == "success":
                taken += 1
                progress(taken)
                return
            if output["result"] not in ("reschedule", "retry"):
                raise JobError(f"a task ended with {output['result']}: {output.get('message')}")
            await asyncio.sleep(AGAIN_SECONDS)

    deliveries = [
        (request, chance.randrange(len(RUNNERS)), chance.uniform(0, SPREAD_SECONDS))
        for request in requests
        for _ in range(chance.randint(1, MOST_DELIVERIES))
    ]
    await asyncio.gather(*(deliver(*delivery) for delivery in deliveries))


def _compare(port: int, database: str, requests: list[dict[str, Any]], report: ChaosReport) -> None:
    document: dict[str, Any]
    independent: PyMongoClient[dict[str, Any]]
    with PyMongoClient(f"mongodb://127.0.0.1:{port}/", serverSelectionTimeoutMS=10_000) as independent:
        for path, name in COLLECTIONS.items():
            stored: dict[str, list[dict[str, Any]]] = defaultdict(list)
            for document in independent[database][name].find():
                stored[document["id"]].append(document)
            sent = {request["id"]: request for request in requests}
            report.stored[path] = sum(len(found) for found in stored.values())
            report.missing[path] = len(set(sent) - set(stored))
            report.duplicated[path] = sum(len(found) - 1 for found in stored.values())
            report.different[path] = sum(
                key not in sent or not same(sent[key], document) for key, found in stored.items() for document in found
            )
