"""Tasks of a marketplace, whose results Celery keeps in MongoDB. Processes that the worker forks run them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import bson
from celery import Celery, chain, chord, group, states
from celery.backends.mongodb import MongoBackend
from celery.contrib.abortable import AbortableAsyncResult, AbortableTask
from celery.contrib.testing.worker import start_worker
from celery.exceptions import Ignore, Reject
from celery.result import AsyncResult, GroupResult
from kombu.serialization import register

from tests.apps.libraries import Drivers, Journal

# Results that MongoDB encodes: the backend gives them to it as they are.
register(
    "bson", lambda value: bson.encode({"": value}), lambda data: bson.decode(data)[""], "application/bson", "binary"
)


class GivenBackend(MongoBackend):
    """The backend, with this package's client: Celery's own makes one of PyMongo's `MongoClient`."""

    def _get_connection(self) -> Any:
        if self._connection is None:
            from connect.eaas.mongodb import MongoClient

            self._connection = MongoClient(self.host, **self.options)
        return self._connection


def application(drivers: Drivers, serializer: str, collection: str) -> Celery:
    """An application whose broker is this process."""
    app = Celery("tests")
    app.conf.update(
        broker_url="memory://",
        broker_transport_options={"polling_interval": 0.02},
        mongodb_backend_settings={
            "database": drivers.database,
            "taskmeta_collection": collection,
            "groupmeta_collection": f"{collection}_groups",
            "options": {"serverSelectionTimeoutMS": 10_000},
        },
        result_serializer=serializer,
        task_serializer="pickle" if serializer == "pickle" else "json",
        accept_content=["json", "pickle", "bson"],
        result_extended=serializer == "json",
        result_chord_retry_interval=0.05,
        task_default_queue=collection,
        worker_hijack_root_logger=False,
        result_expires=timedelta(days=1),
        broker_connection_retry_on_startup=True,
        enable_utc=True,
        timezone="UTC",
    )
    if drivers.given:
        app.conf.result_backend = f"{__name__}:GivenBackend"
        app.conf.mongodb_backend_settings["host"] = drivers.uri
    else:
        app.conf.result_backend = drivers.uri

    @app.task(shared=False, name="add")
    def add(left: Any, right: Any) -> Any:
        return left + right

    @app.task(shared=False, name="total")
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    @app.task(shared=False, name="describe")
    def describe(name: str, **fields: Any) -> Any:
        return {"name": name, "fields": fields, "nested": [1, 2.5, None, {"ü": "✓"}], "big": 2**40}

    @app.task(shared=False, name="fail")
    def fail(text: str) -> None:
        raise ValueError(text)

    @app.task(shared=False, name="try_again", bind=True, max_retries=2, default_retry_delay=0)
    def try_again(task: Any) -> int:
        retries: int = task.request.retries
        if retries < 2:
            raise task.retry()
        return retries

    @app.task(shared=False, name="report", bind=True)
    def report(task: Any) -> None:
        task.update_state(state="PROGRESS", meta={"done": 3, "of": 4})
        raise Ignore

    @app.task(shared=False, name="refuse", bind=True)
    def refuse(task: Any) -> None:
        raise Reject("no", requeue=False)

    @app.task(shared=False, name="forget", ignore_result=True)
    def forget() -> int:
        return 1

    @app.task(shared=False, name="abortable", base=AbortableTask, bind=True)
    def abortable(task: Any) -> bool:
        return bool(task.is_aborted())

    return app


@contextmanager
def worker(app: Celery, pool: str) -> Iterator[None]:
    """A worker that runs two tasks at once."""
    options = {"hostname": "worker@tests", "loglevel": "CRITICAL", "perform_ping_check": False, "shutdown_timeout": 60}
    with start_worker(app, concurrency=2, pool=pool, **options):
        yield


def outcome(result: AsyncResult, wanted: set[str] = states.READY_STATES) -> Any:
    """What is known of a task once it has one of the wanted states."""
    deadline = time.monotonic() + 60
    while result.state not in wanted:
        assert time.monotonic() < deadline, (result.id, result.state)
        time.sleep(0.02)
    meta = result.backend.get_task_meta(result.id, cache=False)
    names = ("status", "result", "name", "args", "kwargs", "queue", "retries", "children")
    known: dict[str, Any] = {name: repr(meta[name]) for name in names if name in meta}
    known["traceback"] = (meta.get("traceback") or "").splitlines()[-1:]
    known["done"] = str(type(meta["date_done"]).__name__)
    return known


def sent(app: Celery, name: str, number: int, *args: Any, **options: Any) -> AsyncResult:
    return app.send_task(name, args, task_id=f"task-{number}-{name}", **options)


def single_tasks(app: Celery, note: Callable[[str, Any], None]) -> None:
    first = sent(app, "add", 1, 2, 3)
    note("a result", [first.get(timeout=60, interval=0.02), outcome(first)])
    results = [sent(app, "add", n, n, 1) for n in range(10, 16)]
    note("results", [result.get(timeout=60, interval=0.02) for result in results])
    note("described", outcome(sent(app, "describe", 2, "ü", kwargs={"a": [1, None]})))
    failed = sent(app, "fail", 3, "as it was told")
    note("a failure", outcome(failed))
    try:
        failed.get(timeout=60, interval=0.02)
    except ValueError as error:
        note("raised again", str(error))
    note("progress", outcome(sent(app, "report", 5), {"PROGRESS"}))
    sent(app, "refuse", 6)
    sent(app, "forget", 7)
    aborted = AbortableAsyncResult("aborted", app=app)
    aborted.abort()
    note("aborted", [aborted.state, aborted.is_aborted()])
    note("abortable", outcome(app.send_task("abortable", task_id="abortable")))


def tasks_that_send_tasks(app: Celery, note: Callable[[str, Any], None]) -> None:
    add = app.tasks["add"]
    note("tried again", outcome(sent(app, "try_again", 4)))
    note("in one chain", outcome(chain(add.s(1, 2), add.s(10)).apply_async(task_id="chain")))
    many = group(add.s(n, n).set(task_id=f"member-{n}") for n in range(4)).apply_async(task_id="group")
    many.save()
    note("a group", [many.join(timeout=60, interval=0.02), many.successful(), many.completed_count()])
    restored = GroupResult.restore("group", app=app)
    note("restored", [[one.id for one in restored], [one.get(timeout=60) for one in restored]])
    header = [add.s(n, 1).set(task_id=f"header-{n}") for n in range(3)]
    body = chord(header, task_id="header")(app.tasks["total"].s().set(task_id="body"))
    note("a chord", body.get(timeout=60, interval=0.02))


def used(drivers: Drivers, serializer: str, journal: Journal) -> None:
    app = application(drivers, serializer, f"tasks_{serializer}")

    def note(title: str, value: Any) -> None:
        journal.note(f"{serializer}: {title}", value)

    # Processes that a worker forks inherit a client that has been used.
    note("unknown", AsyncResult("unknown", app=app).state)
    if serializer == "json":
        with worker(app, "prefork"):
            single_tasks(app, note)
        # What tasks send, a broker in this process gets from threads only.
        with worker(app, "threads"):
            tasks_that_send_tasks(app, note)
    else:
        with worker(app, "threads"):
            single_tasks(app, note)
            tasks_that_send_tasks(app, note)

    note("pending", AsyncResult("task-7-forget", app=app).state)
    AsyncResult("task-1-add", app=app).forget()
    note("forgotten", AsyncResult("task-1-add", app=app).state)
    backend = app.backend
    backend.store_result("task-2-describe", {"later": True}, states.SUCCESS)
    note("the first success stays", repr(app.AsyncResult("task-2-describe").result))
    journal.refused(
        f"{serializer}: what BSON cannot hold", lambda: backend.store_result("odd", {"x": {1j}}, states.SUCCESS)
    )
    if serializer == "bson":
        money = {"amount": 2**40, "at": datetime(2024, 5, 1, tzinfo=timezone.utc)}
        backend.store_result("money", money, states.SUCCESS)
        note("types of BSON", repr(AsyncResult("money", app=app).result))
    backend.delete_group("group")
    note("a group deleted", GroupResult.restore("group", app=app))
    backend.collection.insert_one({"_id": "old", "date_done": datetime(2001, 1, 1), "status": "SUCCESS"})
    backend.cleanup()
    note("cleaned up", backend.collection.count_documents({"_id": "old"}))
    note("where", [backend.database.name, backend.collection.name, type(backend.expires_delta).__name__])
    app.close()


async def main(drivers: Drivers, journal: Journal) -> None:
    for serializer in ("json", "pickle", "bson"):
        await asyncio.to_thread(used, drivers, serializer, journal)
