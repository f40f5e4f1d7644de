"""The backfill with an asynchronous API: what Connect already has, into the event store."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from connect.eaas.mongodb._common import backfill as common
from connect.eaas.mongodb._common.backfill import (
    PAGE,
    BackfillError,
    BackfillProgress,
    Plan,
    RefusedError,
    StoppedError,
    async_each,
    async_sleep,
)
from connect.eaas.mongodb._common.store import in_utc
from connect.eaas.mongodb._native import SaveResult

if TYPE_CHECKING:
    from connect.client import AsyncConnectClient
    from connect.eaas.mongodb._async.store import AsyncEventStore

__all__ = ["AsyncBackfill"]


class AsyncBackfill:
    """Reads a collection of Connect's API in the order of creation, and stores its objects.

    A position is a creation time before which everything is stored. Each page begins at the
    position, so objects that come, go or change meanwhile shift no later object out of a page.
    """

    def __init__(
        self,
        store: AsyncEventStore,
        client: AsyncConnectClient,
        plan: Plan,
        progress: Callable[[BackfillProgress], object] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        """Prepare a backfill.

        Raises:
            TypeError: the client is not one for this kind of store.
        """
        from connect.client import AsyncConnectClient

        if not isinstance(client, AsyncConnectClient):
            raise TypeError(f"the client's class must be AsyncConnectClient, not {type(client).__name__}")
        self._store = store
        self._client: Any = common.without_retries(client)
        self._plan = plan
        self._report = progress
        self._stop = stop
        self._now = BackfillProgress(plan.kind.name, common.new_run(), plan.since, plan.until)
        self._settings = store._settings.for_backfill(self._now.run)
        self._checkpoints: Any = store.collection.database[f"{store.collection.name}_backfills"]
        self._checkpoint_id = plan.checkpoint_id(client)
        self._by = plan.kind.created[0]
        self._each = plan.fetch == "each"
        self._has_read = False
        self._is_claimed = False
        self._from: datetime.datetime | None = None
        self._edge: set[str] = set()

    async def run(self) -> BackfillProgress:
        """Run the backfill.

        Raises:
            BackfillError: Connect or MongoDB keeps failing, or refuses a call.
        """
        try:
            low = await self._begin()
            if not self._plan.dry_run and low is not None:
                await self._windows(low)
            self._now.state = "dry run" if self._plan.dry_run else "finished"
        except StoppedError:
            self._now.state = "stopped"
        except BackfillError as error:
            await self._end("failed", str(error))
            raise
        await self._end(self._now.state)
        self._now.note = ""
        self._tell()
        return self._now

    async def _begin(self) -> datetime.datetime | None:
        """Claim the checkpoint; return where to begin, or `None` if there is nothing to read."""
        plan, now = self._plan, self._now
        low = self._from = plan.since
        known = await self._try(self._checkpoints.find_one, {"_id": self._checkpoint_id})
        done = common.done_before(known, plan.since) if plan.resume else None
        if known and done is not None:
            low, now.resumed = done, True
            self._from = in_utc(known["since"]) if known["since"] else None
        if low is not None and low >= plan.until:
            now.total, now.position = 0, low
            return None
        rows, now.total = await self._first_page(low)
        if not rows:
            now.total, now.position = 0, plan.until
            low = None
        else:
            # Nothing is there to read before the first object.
            first = common.created_in_order(rows, plan, self._by)[0].at
            now.position = low = first if low is None else max(low, first)
        if not plan.dry_run:
            await self._claim()
            self._tell()
        return low

    async def _first_page(self, low: datetime.datetime | None) -> tuple[list[dict[str, Any]], int | None]:
        """Find out how Connect names the creation; return the first object and the number of objects."""
        refused: RefusedError | None = None
        for by in self._plan.kind.created:
            self._by = by
            try:
                return await self._list(low, self._plan.until, limit=1)
            except RefusedError as error:
                refused = refused or error
        raise refused or BackfillError("no name of the creation is known")

    async def _windows(self, low: datetime.datetime) -> None:
        """Read everything from `low` on, a window after the other."""
        width = common.FIRST_WIDTH
        while low < self._plan.until:
            end = low + min(width, self._plan.until - low)
            low, count = await self._window(low, end)
            width = common.next_width(width, count)
            await self._at(low)

    async def _window(self, low: datetime.datetime, end: datetime.datetime) -> tuple[datetime.datetime, int]:
        """Read what was created from `low` to before `end`; return where to go on, and the number of objects."""
        size = None
        self._edge = set()
        while low < end:
            rows, total = await self._list(low, end)
            if size is None:
                size = len(rows) if total is None else total
            if not rows:
                break
            created = common.created_in_order(rows, self._plan, self._by)
            await self._save(common.without(rows, self._edge))
            if len(rows) >= total if total is not None else len(rows) < PAGE:
                break
            last, tick = max(created)
            if last > low:
                # The next page begins with those created at the same time as the last one of this page.
                self._edge = common.ids_of(row for row, one in zip(rows, created, strict=True) if one.at >= last)
                low = last
            elif last + tick > low:
                await self._tied(low, last + tick, common.ids_of(rows))
                self._edge = set()
                low = last + tick
            else:
                raise BackfillError(f"Connect does not filter {self._plan.kind.path} by {self._by}")
            await self._at(low)
        return max(low, end), size or 0

    async def _tied(self, low: datetime.datetime, end: datetime.datetime, found: set[str]) -> None:
        """Read objects that were created at the same time, more than a page of them.

        They are ordered by their ids if Connect does so, and else read until all are found.
        `found` are the ids of the first page.
        """
        order = f"{self._by},id"
        passes = 0
        while True:
            before, offset = len(found), 0
            try:
                while True:
                    rows, total = await self._list(low, end, offset=offset, order=order)
                    await self._save(common.without(rows, found))
                    found |= common.ids_of(rows)
                    offset += len(rows)
                    if not rows or (offset >= total if total is not None else len(rows) < PAGE):
                        break
            except RefusedError:
                if order == self._by:
                    raise
                order = self._by
                continue
            passes += 1
            if len(found) == before if total is None else len(found) >= total:
                return
            if passes == common.TIED_PASSES:
                raise BackfillError(f"Connect does not return all {total} objects created at {low.isoformat()}")

    async def _list(
        self,
        low: datetime.datetime | None,
        end: datetime.datetime,
        *,
        limit: int = PAGE,
        offset: int = 0,
        order: str | None = None,
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Return a page of what was created from `low` to before `end`, and the number of all that was."""
        url = self._plan.query(self._by, low, end, order or self._by)
        rows, headers = await self._get(f"{url}&limit={limit}&offset={offset}", list)
        return rows, common.total_of(headers)

    async def _get(self, url: str, expected: type) -> tuple[Any, Any]:
        """Return the body and the headers of a response, after as many attempts as needed."""
        failures = 0
        while True:
            self._check_stop()
            try:
                body = await self._client.get(url)
                response = self._client.response
                common.check_body(body, expected)
                self._has_read = True
                return body, response.headers
            except Exception as error:
                fault = common.fault_of(error, self._client.response, self._plan.kind.path)
                failures += 1
                if fault.status == 400:
                    raise RefusedError(fault.message) from error
                if fault.status == 404 and expected is dict:
                    return None, None
                if not fault.retry or failures > (common.RETRIES if self._has_read else common.FIRST_RETRIES):
                    times = f", {failures} times" if failures > 1 else ""
                    raise BackfillError(f"{fault.message}{times}") from error
            await self._wait(common.delay(failures) if fault.seconds is None else fault.seconds, fault.message)

    async def _save(self, rows: list[dict[str, Any]]) -> None:
        """Store objects as their events would be."""
        rows = await self._whole(rows)
        pending = [(self._plan.kind.event_type_of(row), row) for row in rows]
        failures = 0
        while pending:
            self._check_stop()
            failed: list[tuple[str, dict[str, Any]]] = []
            problem: Exception | None = None
            for event, result in zip(pending, await self._results(pending), strict=True):
                if result is None:
                    self._now.read += 1
                    self._now.dead_letters += 1
                elif isinstance(result, SaveResult):
                    self._now.read += 1
                    self._now.stored += result.stored
                    self._now.duplicates += result.duplicate
                elif common.is_transient(result):
                    failed.append(event)
                    problem = result
                else:
                    raise BackfillError(f"MongoDB cannot store the objects ({result})") from result
            pending = failed
            if problem is not None:
                failures += 1
                await self._wait_for_mongodb(failures, problem)

    async def _results(self, events: list[tuple[str, dict[str, Any]]]) -> list[SaveResult | Exception | None]:
        """Save events; return what became of each, and `None` for what is kept as a dead letter."""
        from connect.eaas.mongodb.events import EventValidationError

        try:
            saved: list[SaveResult | Exception] = await self._store.collection._save_events(self._settings, events)
        except Exception as error:
            return [error] * len(events)
        results: list[SaveResult | Exception | None] = []
        for (event_type, row), result in zip(events, saved, strict=True):
            if isinstance(result, EventValidationError):
                await self._try(self._store.add_dead_letter, event_type, row, result)
                results.append(None)
            else:
                results.append(result)
        return results

    async def _whole(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the objects as an event has them, which Connect's lists may abridge."""
        if not rows or self._plan.fetch == "list":
            return rows
        if not self._each:
            one = await self._one(rows[0])
            self._each = one is not None and common.shape(one) != common.shape(rows[0])
        if not self._each:
            return rows
        whole = [row for row in await async_each(self._one, rows) if row is not None]
        self._now.missing += len(rows) - len(whole)
        return whole

    async def _one(self, row: dict[str, Any]) -> dict[str, Any] | None:
        """Fetch an object by its id, as the runner does; return `None` if it was deleted."""
        if not isinstance(row.get("id"), str):
            return row
        url = f"{self._plan.kind.path}/{quote(row['id'], safe='')}"
        body: dict[str, Any] | None = (await self._get(url, dict))[0]
        return body

    async def _claim(self) -> None:
        """Take the checkpoint over from an earlier run."""
        now = self._now
        fields = {
            "selection": self._plan.selection(),
            "run": now.run,
            "state": "running",
            "since": self._from,
            "until": now.until,
            "position": now.position,
            "started_at": datetime.datetime.now(datetime.timezone.utc),
        }
        update = {"$set": fields, "$unset": {"error": ""}}
        await self._try(self._checkpoints.update_one, {"_id": self._checkpoint_id}, update, upsert=True)
        self._is_claimed = True

    async def _at(self, position: datetime.datetime) -> None:
        """Record that everything created before a time is stored."""
        self._now.position = position
        await self._checkpoint({})
        self._tell()
        self._check_stop()

    async def _checkpoint(self, more: dict[str, Any]) -> None:
        now = self._now
        fields = {name: getattr(now, name) for name in ("read", "stored", "duplicates", "dead_letters", "missing")}
        fields |= {"position": now.position, "updated_at": datetime.datetime.now(datetime.timezone.utc)}
        mine = {"_id": self._checkpoint_id, "run": now.run}
        done = await self._try(self._checkpoints.update_one, mine, {"$set": fields | more})
        if done.matched_count == 0:
            raise BackfillError("another backfill of the same objects has started, so this one has stopped")

    async def _end(self, state: str, error: str | None = None) -> None:
        """Record how the run has ended, if its checkpoint is still its own."""
        if not self._is_claimed:
            return
        try:
            await self._checkpoint({"state": state} | ({"error": error} if error else {}))
        except (BackfillError, StoppedError):
            if error is None and state == "finished":
                raise

    async def _try(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Make a call of MongoDB, again if it fails."""
        from pymongo.errors import PyMongoError

        failures = 0
        while True:
            try:
                return await call(*arguments, **options)
            except PyMongoError as error:
                if not common.is_transient(error):
                    raise BackfillError(f"MongoDB refuses a call ({error})") from error
                failures += 1
                problem = error
            await self._wait_for_mongodb(failures, problem)

    async def _wait_for_mongodb(self, failures: int, problem: Exception) -> None:
        if failures > (common.RETRIES if self._has_read else common.FIRST_RETRIES):
            raise BackfillError(f"MongoDB failed {failures} times ({problem})") from problem
        await self._wait(common.delay(failures), "MongoDB cannot be reached")

    async def _wait(self, seconds: float, why: str) -> None:
        """Wait, unless the caller asks to stop."""
        self._now.state, self._now.note = "waiting", f"{why}: waiting for {max(1, round(seconds))} s"
        self._tell()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._check_stop()
            await async_sleep(min(left, 0.2))
        self._now.state, self._now.note = "running", ""

    def _check_stop(self) -> None:
        if self._stop is not None and self._stop():
            raise StoppedError

    def _tell(self) -> None:
        if self._report is not None:
            self._report(replace(self._now))
