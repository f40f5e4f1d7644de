"""The main job: N purchase requests from a local Connect through the real runner into MongoDB."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connect.eaas.mongodb.cli import dev
from pymongo import MongoClient as PyMongoClient

from demo.local_connect import LocalConnect, local_connect
from demo.purchase_requests import purchase_requests
from demo.runner import Runner, cextrun, read_log

COLLECTIONS = {"Data API": "requests_http", "driver": "requests_driver"}
"""Each path's collection."""

IN_FLIGHT = 64
"""How many tasks Connect has out at once."""

QUIET_SECONDS = 60
"""How long no result may come before the job has failed."""


class JobError(Exception):
    """What kept the job from being done."""


@dataclass
class PathReport:
    """What one path did."""

    path: str
    sent: int
    stored: int
    missing: int
    different: int
    duplicated: int
    p50_ms: float
    p99_ms: float
    per_second: float

    @property
    def perfect(self) -> bool:
        """Whether every request is stored once, and equal to what was sent."""
        return self.stored == self.sent and not (self.missing or self.different or self.duplicated)


@dataclass
class JobReport:
    """What came of the job."""

    paths: list[PathReport]
    results: dict[str, int]
    stored: dict[str, Any]

    @property
    def perfect(self) -> bool:
        """Whether every task succeeded and both paths are perfect."""
        succeeded = set(self.results) == {"success"}
        return succeeded and all(path.perfect for path in self.paths)


@contextlib.contextmanager
def servers(mongodb_uri: str | None, database: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Run MongoDB (unless one is given) and the gateway; give MongoDB's URI and the extension's variables."""
    key = dev.new_api_key()
    with contextlib.ExitStack() as stack:
        if mongodb_uri is None:
            _, port = stack.enter_context(dev.mongodb())
            mongodb_uri = f"mongodb://127.0.0.1:{port}/"
        _, url = stack.enter_context(dev.gateway(mongodb_uri, key))
        yield mongodb_uri, extension_variables(mongodb_uri, url, key, database)


def extension_variables(mongodb_uri: str, gateway_url: str, api_key: str, database: str) -> dict[str, str]:
    """The extension's variables: both paths, to one MongoDB."""
    return {
        "DB": database,
        "DATA_API_ENDPOINT": gateway_url,
        "API_KEY": api_key,
        "CLUSTER": "Cluster0",
        "HTTP_COLLECTION": COLLECTIONS["Data API"],
        "DB_HOST": mongodb_uri,
        "DB_USER": "",
        "DB_PASSWORD": "",
        "DRIVER_COLLECTION": COLLECTIONS["driver"],
        "DB_OPTIONS": "",
    }


async def run_job(
    count: int,
    mongodb_uri: str,
    variables: dict[str, str],
    progress: Callable[[int], None] = lambda done: None,
) -> JobReport:
    """Send `count` purchase requests, wait for their results, and compare what is stored."""
    requests = purchase_requests(count)
    tasks = {f"TQ-{number:06}": request for number, request in enumerate(requests)}
    with tempfile.TemporaryDirectory(prefix="connect-mongodb-demo-") as temporary:
        folder = Path(temporary)
        async with local_connect(variables, folder) as connect, cextrun(connect, folder) as runner:
            results = await _send(connect, runner, tasks, progress)
            # The runner logs a result after it has handed it over.
            log = await asyncio.to_thread(runner.log)
    report = await asyncio.to_thread(_compare, mongodb_uri, variables["DB"], tasks, log)
    report.results = results
    return report


async def _send(
    connect: LocalConnect,
    runner: Runner,
    tasks: dict[str, dict[str, Any]],
    progress: Callable[[int], None],
) -> dict[str, int]:
    await alive(connect.connected(), runner)
    room = asyncio.Semaphore(IN_FLIGHT)
    results: dict[str, int] = defaultdict(int)

    async def run(task_id: str, request: dict[str, Any]) -> None:
        async with room:
            task = await connect.send_task(task_id, request)
            output = await alive(task.result, runner)
            results[output["result"]] += 1
            progress(sum(results.values()))

    async with asyncio.TaskGroup() if hasattr(asyncio, "TaskGroup") else _Gather() as group:
        for task_id, request in tasks.items():
            group.create_task(run(task_id, request))
    return dict(results)


class _Gather:
    """`asyncio.TaskGroup`, as far as it is needed here, for Python 3.10."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []

    def create_task(self, coroutine: Any) -> None:
        self.tasks.append(asyncio.create_task(coroutine))

    async def __aenter__(self) -> _Gather:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await asyncio.gather(*self.tasks)
        finally:
            for task in self.tasks:
                task.cancel()


async def alive(awaitable: Any, runner: Runner) -> Any:
    """Wait, but neither for a runner that has ended nor for ever."""
    waiting = asyncio.ensure_future(awaitable)
    try:
        for _ in range(QUIET_SECONDS):
            done, _pending = await asyncio.wait({waiting}, timeout=1)
            if done:
                return waiting.result()
            if runner.process.poll() is not None:
                raise JobError(f"the runner ended by itself; the last that it said:\n{_tail(runner)}")
        raise JobError(f"no result within {QUIET_SECONDS} s; the last that the runner said:\n{_tail(runner)}")
    finally:
        waiting.cancel()


def _tail(runner: Runner) -> str:
    return "\n".join(runner.log().splitlines()[-25:])


def _compare(uri: str, database: str, tasks: dict[str, dict[str, Any]], log: str) -> JobReport:
    logged = read_log(log)
    paths: list[PathReport] = []
    sample: dict[str, Any] = {}
    # Each path's latency begins where the one before it has ended.
    begun = {request["id"]: logged.invoked[task_id] for task_id, request in tasks.items() if task_id in logged.invoked}
    first = min(begun.values(), default=0.0)
    document: dict[str, Any]
    independent: PyMongoClient[dict[str, Any]]
    with PyMongoClient(uri, serverSelectionTimeoutMS=10_000) as independent:
        for path, name in COLLECTIONS.items():
            stored: dict[str, list[dict[str, Any]]] = defaultdict(list)
            for document in independent[database][name].find():
                stored[document["id"]].append(document)
            at = {key: logged.stored.get((f"{database}.{name}", str(found[0]["_id"]))) for key, found in stored.items()}
            ended = {key: moment for key, moment in at.items() if moment is not None}
            took = sorted(1000 * (ended[key] - begun[key]) for key in ended if key in begun)
            paths.append(
                PathReport(
                    path=path,
                    sent=len(tasks),
                    stored=sum(len(documents) for documents in stored.values()),
                    missing=sum(request["id"] not in stored for request in tasks.values()),
                    different=sum(
                        not same(request, document)
                        for request in tasks.values()
                        for document in stored.get(request["id"], [])
                    ),
                    duplicated=sum(len(documents) - 1 for documents in stored.values()),
                    p50_ms=statistics.median(took) if took else float("nan"),
                    p99_ms=took[min(len(took) - 1, int(len(took) * 0.99))] if took else float("nan"),
                    per_second=len(took) / max(max(ended.values()) - first, 1e-3) if took else 0.0,
                )
            )
            begun = begun | ended
            # The shortest says as much as any, on fewer lines.
            candidates = [document for documents in stored.values() for document in documents]
            sample = min(candidates, key=lambda document: len(str(document)), default=sample)
    return JobReport(paths, {}, sample)


def same(sent: dict[str, Any], stored: dict[str, Any]) -> bool:
    """Whether the fields, their order, their values and the values' types are the same.

    The event store redacts the activation key.
    """
    document = {name: value for name, value in stored.items() if name not in ("_id", "_connect")}
    expected = {**sent, "activation_key": "***"} if sent.get("activation_key") else sent
    return json.dumps(document) == json.dumps(expected)
