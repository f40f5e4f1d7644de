"""The backfill, from a local Connect into the event store."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import email.utils
import gc
import inspect
import json
import math
import os
import pty
import re
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner
from connect.client import AsyncConnectClient, ConnectClient
from connect.eaas.mongodb import AsyncEventStore, EventStore
from connect.eaas.mongodb._common import backfill as common
from connect.eaas.mongodb.backfill import KINDS, BackfillError, BackfillProgress
from connect.eaas.mongodb.cli import main

from demo.job import alive
from demo.local_connect import LocalConnect, local_connect
from demo.purchase_requests import purchase_requests
from demo.rest import Collections, Row, failure
from demo.runner import ROOT, RUNNER_ENVIRONMENT, cextrun
from tests.test_cli import COMMAND

KEY = "ApiKey SU-000-000-001:a-secret-of-the-key"
FIRST = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
HALVES: list[Any] = [(AsyncEventStore, AsyncConnectClient), (EventStore, ConnectClient)]
Before = Callable[[str, int], Any]


@pytest.fixture
async def connect(tmp_path: Path) -> AsyncIterator[LocalConnect]:
    async with local_connect({}, tmp_path) as running:
        yield running


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry at once."""
    monkeypatch.setattr(common, "delay", lambda failures: 0.0)


@pytest.fixture
def store(config: dict[str, str]) -> AsyncEventStore:
    return AsyncEventStore.from_config(config)


def client_of(connect: LocalConnect) -> Any:
    return AsyncConnectClient(KEY, endpoint=connect.http_url)


def requests(count: int, seconds: Callable[[int], float] = lambda number: number * 61.0) -> list[Row]:
    """Purchase requests with the times of their creation."""
    rows = purchase_requests(count)
    for number, row in enumerate(rows):
        row["created"] = (FIRST + datetime.timedelta(seconds=seconds(number))).isoformat()
    return rows


def ids(rows: list[Row]) -> list[str]:
    return sorted(row["id"] for row in rows)


def stored_ids(reader: Any) -> list[str]:
    return sorted(record["id"] for record in reader.find({}, {"id": 1}))


@pytest.mark.parametrize("path", ["driver", "data_api"])
@pytest.mark.parametrize("half", HALVES, ids=lambda half: half[0].__name__)
async def test_objects_are_stored_once_as_their_events_would_be(
    half: Any, path: Any, connect: LocalConnect, config: dict[str, str], reader: Any
) -> None:
    store_class, client_class = half
    rows = connect.collections.rows["requests"] = requests(1200)
    store = store_class.from_config(config, path=path)
    client = client_class(KEY, endpoint=connect.http_url)
    delivered = EventStore.from_config(config).save("asset_purchase_request_processing", rows[7], task_id="TQ-1")

    async def backfill(**options: Any) -> BackfillProgress:
        result = await asyncio.to_thread(store.backfill, client, "requests", **options)
        return await result if inspect.isawaitable(result) else result  # type: ignore[no-any-return]

    seen: list[BackfillProgress] = []
    result = await backfill(progress=seen.append)
    assert (result.state, result.total, result.read) == ("finished", 1200, 1200)
    assert (result.stored, result.duplicates, result.dead_letters) == (1199, 1, 0)
    assert stored_ids(reader) == ids(rows)
    assert [progress.read for progress in seen] == sorted(progress.read for progress in seen)
    known = {record["id"]: record["_connect"] for record in reader.find()}
    assert known[rows[7]["id"]]["task_id"] == "TQ-1"
    assert "backfill" not in known[rows[7]["id"]]
    assert {one["backfill"] for one in known.values() if "backfill" in one} == {result.run}
    # What is delivered later is the same record.
    again = EventStore.from_config(config).save("asset_purchase_request_processing", rows[3], task_id="TQ-2")
    assert again.duplicate
    assert delivered.stored
    repeated = await backfill()
    assert (repeated.stored, repeated.duplicates) == (0, 1200)
    assert reader.count_documents({}) == 1200
    # The client is as it was.
    assert (client.max_retries, client.resourceset_append) == (3, True)


OBJECTS: dict[str, tuple[Row, str]] = {
    "requests": ({"id": "PR-1", "type": "suspend", "status": "pending"}, "asset_suspend_request_processing"),
    "tier-config-requests": (
        {"id": "TCR-1", "type": "update", "status": "approved"},
        "tier_config_change_request_processing",
    ),
    "tier-account-requests": (
        {"id": "TAR-1", "type": "update", "status": "accepted"},
        "tier_account_update_request_processing",
    ),
    "listing-requests": ({"id": "LSTR-1", "type": "remove", "state": "draft"}, "listing_remove_request_processing"),
    "listings": ({"id": "LST-1", "status": "listed"}, "listing_processing"),
    "billing-requests": ({"id": "BRV-1", "type": "vendor"}, "billing_request_processing"),
    "usage-files": ({"id": "UF-1", "status": "ready"}, "usage_file_request_processing"),
    "usage-chunks": ({"id": "UFC-1", "status": "closed"}, "part_usage_file_request_processing"),
    "cases": ({"id": "CA-1", "state": "pending"}, "helpdesk_case_processing"),
}


@pytest.mark.parametrize("name", list(KINDS))
async def test_each_kind_is_read_from_its_collection(
    name: str, connect: LocalConnect, config: dict[str, str], store: AsyncEventStore, reader: Any
) -> None:
    kind = KINDS[name]
    row, event_type = OBJECTS[name]
    row = {**row, "events": {"created": {"at": "2024-03-01T10:00:00+00:00"}}}
    if kind.created[0] == "created":
        row["created"] = "2024-03-01T10:00:00+00:00"
    connect.collections.rows[kind.path] = [row]
    options: dict[str, Any] = {}
    for option, field, value in (
        ("product", kind.product, "PRD-000-000-000"),
        ("marketplace", kind.marketplace, "MP-00000"),
    ):
        if field is not None:
            options[option] = value
            *above, last = field.split(".")
            inner = row
            for step in above:
                inner = inner.setdefault(step, {})
            inner[last] = value
    if kind.status is not None:
        options["status"] = [row[kind.status]]
    result = await store.backfill(client_of(connect), name, **options)
    assert (result.read, result.stored) == (1, 1)
    (event,) = await store.find().to_list()
    assert (event.event_type, event.document, event.backfill) == (event_type, row, result.run)
    assert (await store.save(event_type, row)).duplicate
    for option in options:
        other = {"status": common.statuses_of(kind), "product": ["PRD-9"], "marketplace": ["MP-9"]}[option]
        value = next(one for one in other if one not in options[option])
        result = await store.backfill(client_of(connect), name, **options | {option: value})
        assert result.read == 0


TIMES: dict[str, Callable[[int], float]] = {
    "ties at the edges of pages": lambda number: number // 7 * 100.0,
    "more than a page at once": lambda number: 0.0 if number < 1300 else number * 1.0,
    "all at once": lambda number: 86400.0,
    "within a second": lambda number: number * 0.0007,
    "whole seconds between fractions": lambda number: number // 3 * 0.5,
    "at the edges of windows": lambda number: number // 400 * 86400.0,
    "far apart": lambda number: number // 500 * 86400.0 * 300,
}


@pytest.mark.parametrize(
    ("name", "orders_ids"), [*((name, True) for name in TIMES), ("all at once", False)], ids=lambda value: str(value)
)
async def test_objects_of_one_time_are_not_lost_at_edges(
    name: str, orders_ids: bool, connect: LocalConnect, store: AsyncEventStore, reader: Any
) -> None:
    rows = connect.collections.rows["requests"] = requests(1600, TIMES[name])
    if not orders_ids:
        connect.collections.refused = frozenset({"id"})
    result = await store.backfill(client_of(connect), "requests", fetch="list")
    assert stored_ids(reader) == ids(rows)
    assert result.stored == 1600
    assert len(connect.collections.requests) < 150


async def test_times_that_connect_shortens_lose_nothing(
    connect: LocalConnect, store: AsyncEventStore, reader: Any
) -> None:
    """Connect filters by microseconds and returns seconds."""
    rows = connect.collections.rows["requests"] = requests(1200, lambda number: number // 40 + number % 40 / 41)

    class Shortened(Collections):
        async def handle(self, request: web.Request) -> web.StreamResponse:
            response = await super().handle(request)
            assert isinstance(response, web.Response)
            text = re.sub(r'("created": "[^".]{19})\.\d+', r"\1", response.text or "")
            kept = {"Content-Range": response.headers["Content-Range"]} if "Content-Range" in response.headers else {}
            return web.Response(text=text, content_type="application/json", headers=kept)

    connect.collections.__class__ = Shortened
    await store.backfill(client_of(connect), "requests", fetch="list")
    assert stored_ids(reader) == ids(rows)


async def test_what_changes_while_it_is_read_shifts_nothing(
    connect: LocalConnect, store: AsyncEventStore, reader: Any
) -> None:
    rows = connect.collections.rows["requests"] = requests(3000)
    for row in rows:
        row["status"] = "pending"
    early, lasting, late, added = rows[::3], rows[1::3], rows[2::3], []
    first = rows[0]

    async def before(path: str, number: int) -> None:
        # With each request, some of what was read and of what was not leave the selection, and old ones come.
        for row in early[number * 40 : number * 40 + 40] + late[-number * 20 : -number * 20 + 20]:
            row["status"] = "approved"
        old = {
            **first,
            "status": "pending",
            "id": f"PR-0000-0000-0000-{number:03}",
        }
        added.append(old)
        rows.insert(0, old)

    connect.collections.before = before
    result = await store.backfill(client_of(connect), "requests", status="pending", fetch="list")
    assert result.state == "finished"
    assert len(added) > 5
    assert set(ids(lasting)) <= set(stored_ids(reader))
    assert result.stored == reader.count_documents({})


def faults(*responses: Any) -> Before:
    """Fail each second request, with one response after the other."""
    left = list(responses)

    async def before(path: str, number: int) -> web.StreamResponse | None:
        if number % 2 == 0 and left:
            fault = left.pop(0)
            if callable(fault):
                return await fault()  # type: ignore[no-any-return]
            return fault  # type: ignore[no-any-return]
        return None

    return before


def cut(connect: LocalConnect) -> Callable[[], Any]:
    """Send part of a response, and close the connection."""

    async def respond() -> web.StreamResponse:
        request = connect.collections.current
        assert request is not None
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = 1000
        await response.prepare(request)
        await response.write(b'[{"id": "PR-')
        assert request.transport is not None
        request.transport.close()
        return response

    return respond


@pytest.mark.parametrize("half", HALVES, ids=lambda half: half[0].__name__)
async def test_faults_are_retried(
    half: Any, connect: LocalConnect, config: dict[str, str], reader: Any, at_once: None
) -> None:
    store_class, client_class = half
    rows = connect.collections.rows["requests"] = requests(2500)
    limited = failure(429, "RATE_001", "Too many requests.")
    limited.headers["Retry-After"] = "1"
    dated = failure(503, "SRV_001", "Maintenance.")
    dated.headers["Retry-After"] = email.utils.format_datetime(datetime.datetime.now(datetime.timezone.utc))
    connect.collections.before = faults(
        failure(500, "SRV_000", "Internal error."),
        limited,
        cut(connect),
        dated,
        web.Response(text="<html>a proxy's page</html>", content_type="text/html"),
        web.Response(text="[{", content_type="application/json"),
        web.Response(text='["PR-1"]', content_type="application/json"),
        web.Response(text="{}", content_type="application/json", status=520),
    )
    store = store_class.from_config(config)
    notes: list[str] = []

    def progress(now: BackfillProgress) -> None:
        if now.state == "waiting":
            notes.append(now.note)

    result = await asyncio.to_thread(
        store.backfill, client_class(KEY, endpoint=connect.http_url), "requests", progress=progress, fetch="list"
    )
    if inspect.isawaitable(result):
        result = await result
    assert stored_ids(reader) == ids(rows)
    assert (result.state, result.stored) == ("finished", 2500)
    assert len(notes) == 8
    assert "limits the rate of requests (429 RATE_001: Too many requests.): waiting for 1 s" in notes[1]


async def test_retry_after_is_obeyed(
    connect: LocalConnect, store: AsyncEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect.collections.rows["requests"] = requests(10)
    limited = failure(429, "RATE_001", "Too many requests.")
    limited.headers["Retry-After"] = "3600"
    connect.collections.before = faults(limited)
    waiting: list[BackfillProgress] = []

    def progress(now: BackfillProgress) -> None:
        if now.state == "waiting":
            waiting.append(now)

    # It still waits, and stops when it is asked to.
    result = await store.backfill(client_of(connect), "requests", progress=progress, stop=lambda: bool(waiting))
    assert result.state == "stopped"
    assert [now.note for now in waiting] == [
        "Connect limits the rate of requests (429 RATE_001: Too many requests.): waiting for 3600 s"
    ]
    assert len(connect.collections.requests) == 2


@pytest.mark.parametrize(
    ("response", "says"),
    [
        ((401, "AUTH_002", "Unauthorized."), "refuses the API key (401 AUTH_002: Unauthorized.)"),
        ((403, "AUTH_003", "Forbidden."), "refuses the API key (403"),
        ((404, "NFND_000", "Not found."), "has no requests for this account (404"),
        ((400, "VAL_001", "Bad filter."), "refuses the query of requests (400 VAL_001: Bad filter.)"),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else "",
)
async def test_what_cannot_succeed_is_not_retried(
    response: tuple[int, str, str], says: str, connect: LocalConnect, store: AsyncEventStore, reader: Any
) -> None:
    connect.collections.rows["requests"] = requests(10)

    async def before(path: str, number: int) -> web.Response:
        return failure(*response)

    connect.collections.before = before
    with pytest.raises(BackfillError, match=re.escape(says)) as raised:
        await store.backfill(client_of(connect), "requests")
    assert "a-secret-of-the-key" not in str(raised.value)
    # A query is tried with each name of the creation.
    assert len(connect.collections.requests) == (2 if response[0] == 400 else 1)
    assert reader.database[f"{reader.name}_backfills"].count_documents({}) == 0


async def test_a_connect_that_keeps_failing_ends_the_run(
    connect: LocalConnect, store: AsyncEventStore, at_once: None, reader: Any
) -> None:
    connect.collections.rows["requests"] = requests(1100)

    async def before(path: str, number: int) -> web.Response | None:
        return failure(500, "SRV_000", "Internal error.") if number > 3 else None

    connect.collections.before = before
    with pytest.raises(BackfillError, match=r"failed \(500 SRV_000: Internal error.\), 11 times"):
        await store.backfill(client_of(connect), "requests", fetch="list")
    checkpoint = reader.database[f"{reader.name}_backfills"].find_one()
    assert checkpoint["state"] == "failed"
    assert "500 SRV_000" in checkpoint["error"]
    connect.collections.before = None
    result = await store.backfill(client_of(connect), "requests", resume=True)
    assert (result.resumed, result.state) == (True, "finished")
    assert result.read < 700
    assert reader.count_documents({}) == 1100


async def test_a_connect_that_is_not_there_ends_the_run_soon(store: AsyncEventStore, at_once: None) -> None:
    client = AsyncConnectClient(KEY, endpoint="http://127.0.0.1:1/public/v1")
    with pytest.raises(BackfillError, match=r"cannot be reached \(ConnectError\), 4 times"):
        await store.backfill(client, "requests")


async def test_the_name_of_the_creation_is_found(connect: LocalConnect, store: AsyncEventStore) -> None:
    connect.collections.rows["requests"] = [{"id": "PR-1", "events": {"created": {"at": "2024-03-01T10:00:00+00:00"}}}]
    connect.collections.refused = frozenset({"created"})
    assert (await store.backfill(client_of(connect), "requests")).stored == 1


async def test_an_abridged_list_is_completed_object_by_object(
    connect: LocalConnect, store: AsyncEventStore, reader: Any
) -> None:
    rows = connect.collections.rows["requests"] = requests(120)
    connect.collections.hidden = frozenset({"activation_key"})
    gone = rows[50]["id"]

    async def before(path: str, number: int) -> web.Response | None:
        return failure(404, "NFND_000", "Not found.") if path == f"requests/{gone}" else None

    connect.collections.before = before
    result = await store.backfill(client_of(connect), "requests")
    assert (result.stored, result.missing) == (119, 1)
    for row in rows:
        if row["id"] != gone:
            assert (await store.save("asset_purchase_request_processing", row)).duplicate
    abridged = await store.backfill(client_of(connect), "requests", fetch="list")
    assert abridged.stored == 120


async def test_what_cannot_be_an_event_is_a_dead_letter(connect: LocalConnect, store: AsyncEventStore) -> None:
    rows = connect.collections.rows["requests"] = requests(20)
    rows[4]["note"] = 2**70
    result = await store.backfill(client_of(connect), "requests")
    assert (result.read, result.stored, result.dead_letters) == (20, 19, 1)
    (letter,) = await store.dead_letters().to_list()
    assert letter.payload == rows[4]
    await store.backfill(client_of(connect), "requests")
    assert len(await store.dead_letters().to_list()) == 1


async def test_a_dry_run_counts_and_stores_nothing(connect: LocalConnect, store: AsyncEventStore, reader: Any) -> None:
    connect.collections.rows["requests"] = requests(700)
    result = await store.backfill(client_of(connect), "requests", dry_run=True, until=FIRST + datetime.timedelta(1))
    assert (result.state, result.total, result.read, result.position) == ("dry run", 700, 0, FIRST)
    assert reader.count_documents({}) == 0
    assert reader.database[f"{reader.name}_backfills"].count_documents({}) == 0


async def test_resume_reads_what_is_new_and_what_was_not_asked_for_before(
    connect: LocalConnect, store: AsyncEventStore, reader: Any
) -> None:
    rows = connect.collections.rows["requests"] = requests(600)
    day = datetime.timedelta(days=1)

    async def resume(since: datetime.datetime | None, until: datetime.datetime | None) -> BackfillProgress:
        return await store.backfill(client_of(connect), "requests", since=since, until=until, resume=True)

    def between(since: datetime.datetime, until: datetime.datetime) -> int:
        return sum(since.isoformat() <= row["created"] < until.isoformat() for row in rows)

    # What is before the first object takes no requests.
    none = await store.backfill(client_of(connect), "requests", since=FIRST - 9999 * day, until=FIRST + day / 1000)
    assert (none.stored, len(connect.collections.requests)) == (2, 3)
    first = await resume(FIRST + day / 4, FIRST + day / 3)
    assert (first.resumed, first.stored) == (False, between(FIRST + day / 4, FIRST + day / 3))
    later = await resume(FIRST + day / 4, FIRST + day / 2.5)
    # Five minutes are read again.
    assert later.resumed
    assert later.stored == between(FIRST + day / 3, FIRST + day / 2.5)
    assert later.duplicates == between(FIRST + day / 3 - common.OVERLAP, FIRST + day / 3)
    moved = await resume(FIRST + day / 3.5, None)
    assert (moved.resumed, moved.stored) == (True, between(FIRST + day / 2.5, FIRST + day))
    earlier = await resume(None, None)
    assert (earlier.resumed, earlier.read) == (False, 600)
    assert stored_ids(reader) == ids(rows)
    # Another account has a checkpoint of its own.
    other = AsyncConnectClient("ApiKey SU-000-000-002:other", endpoint=connect.http_url)
    assert not (await store.backfill(other, "requests", resume=True)).resumed


class Source(AsyncConnectClient):  # type: ignore[misc]
    """A client that makes up its objects, one each minute, without a server."""

    count = 10_000

    async def get(self, url: str, **options: Any) -> list[Row]:
        def number(condition: str, missing: int) -> int:
            match = re.search(rf"{condition}\(created,([^)]*)Z\)", url)
            if match is None:
                return missing
            time = datetime.datetime.fromisoformat(match[1]).replace(tzinfo=datetime.timezone.utc)
            return min(max(math.ceil((time - FIRST).total_seconds() / 60), 0), self.count)

        low, end = number("ge", 0), number("lt", self.count)
        limit = re.search(r"limit=(\d+)", url)
        assert limit is not None
        rows = [
            {"id": f"PR-{place:06}", "created": (FIRST + datetime.timedelta(minutes=place)).isoformat()}
            for place in range(low, min(end, low + int(limit[1])))
        ]
        self.response = web.Response(headers={"Content-Range": f"items 0-{max(len(rows) - 1, 0)}/{end - low}"})
        return rows


async def test_memory_does_not_grow_with_what_is_read(store: AsyncEventStore, reader: Any) -> None:
    sizes: list[int] = []

    def progress(now: BackfillProgress) -> None:
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        result = await store.backfill(Source(KEY), "requests", fetch="list", progress=progress)
    finally:
        tracemalloc.stop()
    assert (result.stored, len(sizes) > 20) == (10_000, True)
    # A page of these objects takes some 200 kB.
    assert max(sizes[5:]) - sizes[4] < 100_000
    assert reader.count_documents({}) == 10_000


async def test_a_second_run_takes_over(connect: LocalConnect, store: AsyncEventStore) -> None:
    connect.collections.rows["requests"] = requests(1500)
    entered, left = asyncio.Event(), asyncio.Event()

    async def before(path: str, number: int) -> None:
        if number == 3:
            entered.set()
            await left.wait()

    connect.collections.before = before
    first = asyncio.create_task(store.backfill(client_of(connect), "requests", fetch="list"))
    await entered.wait()
    second = await store.backfill(client_of(connect), "requests", fetch="list")
    left.set()
    with pytest.raises(BackfillError, match="another backfill of the same objects"):
        await first
    assert second.state == "finished"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kind": "invoices"}, "unknown kind invoices: known are requests, "),
        ({"since": datetime.datetime(2024, 1, 1)}, "since must be a datetime with a time zone"),
        ({"since": FIRST, "until": FIRST}, "since must be before until"),
        ({"since": FIRST.replace(year=9000)}, ", the present"),
        ({"status": "new"}, "unknown status new: known are draft, "),
        ({"status": "a,b"}, "status must be like pending"),
        ({"product": "P&R"}, "product must be like PRD-000-000-000"),
        ({"kind": "billing-requests", "status": "draft"}, "billing-requests have no status to filter by"),
        ({"kind": "usage-chunks", "product": "PRD-1"}, "usage-chunks have no product to filter by"),
        ({"rql": "eq(a,b)&limit=1"}, "rql must be one expression"),
        ({"fetch": "all"}, "unknown fetch all: known are auto, list, each"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
async def test_arguments_are_checked(options: dict[str, Any], says: str, store: AsyncEventStore) -> None:
    client = AsyncConnectClient(KEY, endpoint="http://127.0.0.1:1/public/v1")
    with pytest.raises(ValueError, match=re.escape(says)):
        await store.backfill(client, **{"kind": "requests", **options})


async def test_the_client_must_fit_the_store(store: AsyncEventStore, config: dict[str, str]) -> None:
    with pytest.raises(TypeError, match="class must be AsyncConnectClient, not ConnectClient"):
        await store.backfill(ConnectClient(KEY), "requests")
    with pytest.raises(TypeError, match="class must be ConnectClient, not AsyncConnectClient"):
        EventStore.from_config(config).backfill(AsyncConnectClient(KEY), "requests")


# The schedule.


@pytest.mark.skipif(
    not (RUNNER_ENVIRONMENT / "bin" / "cextrun").exists(), reason="the runner's environment is not set up"
)
async def test_a_schedule_backfills_in_the_real_runner(tmp_path: Path, config: dict[str, str], reader: Any) -> None:
    metadata = tmp_path / "scheduled_backfill-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: scheduled-backfill\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[connect.eaas.ext]\neventsapp = scheduled_backfill:EventsApplication\n")
    variables = {name: config[name] for name in ("DB", "DB_HOST", "DRIVER_COLLECTION")}
    async with local_connect(variables, tmp_path) as connect:
        rows = connect.collections.rows["requests"] = requests(700)
        for row in rows:
            row["status"] = "pending"
        approved = connect.collections.rows["requests"][::70]
        for row in approved:
            row["status"] = "approved"
        path = f"{tmp_path}:{ROOT / 'tests' / 'runner'}"
        async with cextrun(connect, tmp_path, environment={"PYTHONPATH": path}) as runner:

            async def run(task_id: str, method: str, parameter: Any = None) -> dict[str, Any]:
                schedule = {"id": f"EFS-{task_id}", "method": method, "parameter": parameter, "status": "enabled"}
                task = await alive(
                    connect.send_task(task_id, schedule, "scheduled_execution", category="scheduled"), runner
                )
                return await alive(task.result, runner)  # type: ignore[no-any-return]

            # Both are clients that the runner has made, with its own settings.
            assert (await run("TQ-1", "backfill_blocking"))["result"] == "success"
            assert stored_ids(reader) == ids(approved)
            assert (await run("TQ-2", "backfill", {"since": "2024-01-01T00:00:00Z"}))["result"] == "success"
            assert stored_ids(reader) == ids(rows)
            # What is delivered now is known.
            delivered = await alive(connect.send_task("TQ-3", rows[1]), runner)
            assert (await alive(delivered.result, runner))["result"] == "success"
            assert reader.count_documents({}) == 700
            before = len(connect.collections.requests)
            again = {"kinds": "requests", "since": "2024-01-01T00:00:00Z"}
            assert (await run("TQ-4", "backfill", again))["result"] == "success"
            assert len(connect.collections.requests) - before < 10
            for parameter, says in (
                ({"kinds": ["invoices"]}, "unknown kind invoices"),
                ({"kinds": 5}, "kinds in the schedule's parameter must be a list of names"),
                ({"kind": "requests"}, "unknown in the schedule's parameter: kind; known are kinds, since"),
                ({"since": "2024-01-01"}, "since must be a datetime with a time zone"),
                ({"since": "yesterday"}, "since in the schedule's parameter must be like 2024-01-31T00:00:00Z"),
                (["requests"], "the schedule's parameter must be an object"),
            ):
                output = await run(f"TQ-{says[:20]}", "backfill", parameter)
                assert (output["result"], says in output["message"]) == ("fail", True), output
            runner.kill()


# The command.


def environment(connect: LocalConnect, config: dict[str, str], **more: str) -> dict[str, str]:
    variables = {name: value for name, value in config.items() if name != "API_KEY"}
    return {**os.environ, **variables, "CONNECT_API_KEY": KEY, "CONNECT_ENDPOINT": connect.http_url, **more}


async def run(command: list[str], variables: dict[str, str]) -> tuple[int, str, str]:
    """Run a command while the servers of this process go on."""
    ended = await asyncio.to_thread(
        subprocess.run, command, env=variables, capture_output=True, text=True, timeout=120, check=False
    )
    return ended.returncode, ended.stdout, ended.stderr


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the state was not reached")


@contextlib.contextmanager
def started(command: list[str], variables: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_20_000_requests_through_faults_and_a_kill(
    connect: LocalConnect, config: dict[str, str], reader: Any
) -> None:
    rows = connect.collections.rows["requests"] = requests(20_000, lambda number: number // 3 * 20.0)
    command = [*COMMAND, "backfill", "requests", "--resume"]
    limited = failure(429, "RATE_001", "Too many requests.")
    limited.headers["Retry-After"] = "0"
    down = failure(502, "SRV_002", "Bad gateway.")
    down.headers["Retry-After"] = "0"
    connect.collections.before = faults(limited, down, cut(connect))
    with started(command, environment(connect, config)) as process:
        # Two requests for each page, and those that failed: a third of the objects. Counting takes the server long.
        await until(lambda: len(connect.collections.requests) > 30)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    there = reader.count_documents({})
    assert 0 < there < 20_000
    status, out, err = await run(command, environment(connect, config))
    assert (status, out.startswith("requests: finished: ")) == (0, True), err
    assert stored_ids(reader) == ids(rows)
    # What the killed run had not recorded is at most a page, and what is at its edge.
    read, stored = (int(number.replace(",", "")) for number in re.findall(r"([\d,]+) (?:objects read|stored)", out)[:2])
    assert stored == 20_000 - there
    assert read - stored < 1010
    assert len({record["_connect"]["backfill"] for record in reader.find({}, {"_connect.backfill": 1})}) == 2


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=lambda signum: signum.name)
async def test_a_signal_ends_the_command_at_a_checkpoint(
    signum: signal.Signals, connect: LocalConnect, config: dict[str, str], reader: Any
) -> None:
    connect.collections.rows["requests"] = requests(2000)

    async def before(path: str, number: int) -> web.Response | None:
        if number < 4:
            return None
        limited = failure(429, "RATE_001", "Too many requests.")
        limited.headers["Retry-After"] = "3600"
        return limited

    connect.collections.before = before
    variables = environment(connect, config)
    with started([*COMMAND, "backfill", "requests", "--fetch", "list"], variables) as process:
        await until(lambda: len(connect.collections.requests) >= 4)
        process.send_signal(signum)
        out, err = await asyncio.to_thread(process.communicate)
    assert process.returncode == 128 + signum
    assert "Stopping at the next checkpoint" in err
    assert "requests: stopped: " in out
    assert "--resume continues" in out
    connect.collections.before = None
    status, out, _ = await run([*COMMAND, "backfill", "requests", "--resume", "--json"], variables)
    result = json.loads(out)
    assert (status, result["resumed"], result["state"]) == (0, True, "finished")
    assert reader.count_documents({}) == 2000
    assert result["read"] < 1600


async def test_the_command_shows_a_bar_on_a_terminal(connect: LocalConnect, config: dict[str, str]) -> None:
    connect.collections.rows["requests"] = requests(600)
    parent, child = pty.openpty()
    command = [*COMMAND, "backfill", "requests"]
    variables = environment(connect, config, TERM="xterm", COLUMNS="150", LINES="40")
    process = subprocess.Popen(command, env=variables, stdin=child, stdout=subprocess.PIPE, stderr=child)
    os.close(child)
    out, _ = await asyncio.to_thread(process.communicate)
    shown = b""
    with contextlib.suppress(OSError):
        while part := os.read(parent, 65536):
            shown += part
    os.close(parent)
    assert process.returncode == 0
    assert out == b"requests: finished: 600 objects read, 600 stored, 0 already stored\n"
    assert b"600/600" in shown


async def test_the_command_prints_lines_elsewhere(connect: LocalConnect, config: dict[str, str], reader: Any) -> None:
    connect.collections.rows["requests"] = requests(600)
    command = [*COMMAND, "backfill", "requests", "usage-files"]
    connect.collections.rows["usage/files"] = []
    status, out, err = await run([*command, "--dry-run"], environment(connect, config))
    assert status == 0
    assert out.splitlines() == [
        "requests: 600 objects created since 2024-01-01T00:00:00Z would be read",
        "usage-files: 0 objects would be read",
    ]
    assert reader.count_documents({}) == 0
    status, out, err = await run([*command, "--path", "driver"], environment(connect, config))
    assert status == 0
    assert out.splitlines() == [
        "requests: finished: 600 objects read, 600 stored, 0 already stored",
        "usage-files: finished: 0 objects read, 0 stored, 0 already stored",
    ]
    assert err.splitlines()[0].startswith("requests: 0 of 600 objects, created before 2024-01-01T00:00:00Z")


def test_a_line_of_progress_tells_rate_and_time_left() -> None:
    from connect.eaas.mongodb.cli.backfill import line

    now = BackfillProgress("requests", "BF-1", None, FIRST, position=FIRST, total=3000, read=1000)
    assert line(now, 10.0) == (
        "requests: 1,000 of 3,000 objects, created before 2024-01-01T00:00:00Z, 100/s, 0:00:20 left"
    )


async def test_a_failed_command_says_how_to_continue(connect: LocalConnect, config: dict[str, str]) -> None:
    connect.collections.rows["requests"] = []

    async def before(path: str, number: int) -> web.Response:
        return failure(401, "AUTH_002", "API request is unauthorized.")

    connect.collections.before = before
    status, out, err = await run([*COMMAND, "backfill", "requests"], environment(connect, config))
    assert (status, out) == (1, "")
    assert err == (
        "connect-mongodb: backfill: requests: Connect refuses the API key "
        "(401 AUTH_002: API request is unauthorized.): "
        "check the key and its permissions. To continue, run the command with --resume\n"
    )


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        (["invoices"], {}, "unknown kind invoices"),
        (["requests", "--since", "2024-01-31"], {}, "has no time zone: write 2024-01-31T00:00:00Z"),
        (["requests", "--since", "yesterday"], {}, "'yesterday' is not a time"),
        (["requests", "--since", "2d", "--until", "3d"], {}, "since must be before until"),
        (["requests", "--status", "new"], {}, "unknown status new"),
        (["requests"], {"CONNECT_API_KEY": ""}, "the variable CONNECT_API_KEY is not set"),
        (["requests"], {"CONNECT_API_KEY": "ApiKey SU-1:hunter2\u00fc"}, "contains characters that no key has"),
        (["requests", "--endpoint", "connect.example"], {}, "must be a URL"),
        (["requests"], {"DB": ""}, "DB is empty"),
        (["requests", "--env-file", "/nowhere"], {}, "the file /nowhere cannot be read"),
        ([], {}, "Missing argument 'KIND...'"),
    ],
    ids=lambda value: "-".join(value) if not isinstance(value, str) else "",
)
def test_what_is_misconfigured_is_one_line_and_status_2(
    arguments: list[str], variables: dict[str, str], says: str, config: dict[str, str]
) -> None:
    known = {**config, "API_KEY": None, "CONNECT_API_KEY": KEY, **variables}
    ended = CliRunner().invoke(main, ["backfill", *arguments], env=known)
    assert ended.exit_code == 2
    assert len(ended.output.splitlines()) == 1
    assert says in ended.output
    assert "hunter2" not in ended.output


def test_a_missing_client_is_named(monkeypatch: pytest.MonkeyPatch, config: dict[str, str]) -> None:
    monkeypatch.setitem(sys.modules, "connect.client", None)
    ended = CliRunner().invoke(main, ["backfill", "requests"], env={**config, "CONNECT_API_KEY": KEY})
    assert ended.exit_code == 2
    assert "pip install 'connect-eaas-mongodb[backfill]'" in ended.output


def test_times_are_read_with_their_precision() -> None:
    def read(text: Any) -> Any:
        return common.created_of({"created": text}, "created")

    second = datetime.datetime(2024, 1, 31, 12, 0, 0, tzinfo=datetime.timezone.utc)
    assert read("2024-01-31T12:00:00+00:00") == (second, datetime.timedelta(seconds=1))
    assert read("2024-01-31T14:00:00+0200") == (second, datetime.timedelta(seconds=1))
    assert read("2024-01-31T12:00:00.25Z") == (second.replace(microsecond=250_000), datetime.timedelta(milliseconds=10))
    assert read("2024-01-31T12:00:00.123456789Z")[1] == datetime.timedelta(microseconds=1)
    assert read("2024-01-31 12:00:00")[0] == second
    for text in ("", "2024-01-31", "2024-13-31T12:00:00Z", None, 7):
        assert read(text) is None


def test_retry_after_is_seconds_or_a_date() -> None:
    class Response:
        headers: dict[str, str]

        def __init__(self, value: str) -> None:
            self.headers = {"Retry-After": value}

    assert common.retry_after(Response("120")) == 120.0
    assert common.retry_after(Response("Wed, 21 Oct 2015 07:28:00 GMT")) == 0.0
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    assert 3000 < (common.retry_after(Response(email.utils.format_datetime(later))) or 0) <= 3600
    for value in ("", "soon", "-1"):
        assert common.retry_after(Response(value)) is None
    assert common.retry_after(None) is None
