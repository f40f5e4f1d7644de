"""Backfill: what Connect already has, into the event store.

`await AsyncEventStore.from_config(self.config).backfill(self.client, "requests")` reads a
collection of Connect's API and stores each object as its event would be, with the same
`_id`. `backfill_on_schedule` does so in a handler below `@schedulable`. Both need the extra
`backfill`, except in an extension, which has Connect's client.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from connect.eaas.mongodb._common.backfill import KINDS, BackfillError, BackfillProgress, Kind
from connect.eaas.mongodb._common.store import parse_time

__all__ = ["KINDS", "BackfillError", "BackfillProgress", "Kind", "backfill_on_schedule"]

_LOGGER = logging.getLogger("connect.eaas.mongodb.backfill")

RUNNER_SECONDS: Final = 12 * 3600
"""How long the runner lets a scheduled task run, unless its environment says otherwise."""

OPTIONS: Final = ("kinds", "since", "until", "status", "product", "marketplace", "rql", "fetch")
"""What the parameter of a schedule may contain."""


def backfill_on_schedule(
    application: Any, schedule: Mapping[str, Any], *kinds: str, seconds: float | None = None, **options: Any
) -> Any:
    """Backfill in a handler below `@schedulable`, and return its response.

    Each run continues the last one, so a schedule that runs every hour stores what is new, and a
    backfill that takes longer than a task may is completed by the next runs.

        @schedulable("Backfill", "Stores the requests that Connect has.")
        async def backfill(self, schedule):
            return await backfill_on_schedule(self, schedule, "requests", "tier-config-requests")

    A handler without `async` returns the result of this function without `await`.

    Args:
        application: the application, `self` in a handler.
        schedule: the schedule, the handler's argument. Its `parameter` may contain `kinds` and
            the options of `AsyncEventStore.backfill`, with times as text, such as
            `{"kinds": ["requests"], "since": "2024-01-01T00:00:00Z"}`.
        *kinds: the collections, unless the schedule's `parameter` names others.
        seconds: how long a run may take; by default nine tenths of the runner's own limit.
        **options: options of `AsyncEventStore.backfill`, unless the `parameter` has them, and
            `path` and other options of `AsyncEventStore.from_config` as `store_options`.

    Returns:
        A `ScheduledExecutionResponse`, or a coroutine of one where the application has an
        asynchronous client: `done`, or `fail` with a message.
    """
    from connect.client import AsyncConnectClient

    if isinstance(application.client, AsyncConnectClient):
        return _async_scheduled(application, _Scheduled(schedule, kinds, seconds, options))
    return _scheduled(application, _Scheduled(schedule, kinds, seconds, options))


class _Scheduled:
    """One run of a schedule."""

    def __init__(
        self, schedule: Mapping[str, Any], kinds: tuple[str, ...], seconds: float | None, options: dict[str, Any]
    ) -> None:
        parameter = schedule.get("parameter") or {}
        self.problem: str | None = None
        self.store_options: dict[str, Any] = options.pop("store_options", {})
        self.kinds: tuple[str, ...] = kinds
        self.options = options
        if not isinstance(parameter, Mapping):
            self.problem = "the schedule's parameter must be an object"
        elif unknown := sorted(set(parameter) - set(OPTIONS)):
            self.problem = f"unknown in the schedule's parameter: {', '.join(unknown)}; known are {', '.join(OPTIONS)}"
        else:
            given = dict(parameter)
            named = given.pop("kinds", kinds)
            if isinstance(named, str):
                self.kinds = (named,)
            elif isinstance(named, Sequence):
                self.kinds = tuple(named)
            else:
                self.problem = "kinds in the schedule's parameter must be a list of names"
            self.options = options | given
            for name in ("since", "until"):
                if isinstance(self.options.get(name), str):
                    try:
                        self.options[name] = parse_time(self.options[name])
                    except ValueError:
                        self.problem = f"{name} in the schedule's parameter must be like 2024-01-31T00:00:00Z"
        if not self.problem and not self.kinds:
            self.problem = f"no kind is named; known are {', '.join(KINDS)}"
        if seconds is None:
            limit = os.environ.get("SCHEDULED_TASK_MAX_EXECUTION_TIME", "")
            seconds = 0.9 * (int(limit) if limit.isdecimal() else RUNNER_SECONDS)
        self.end = time.monotonic() + seconds

    def is_over(self) -> bool:
        return time.monotonic() >= self.end

    def log(self, result: BackfillProgress) -> bool:
        """Log how a kind went; return whether there is time for the next one."""
        _LOGGER.info(
            "backfill of %s %s: %d objects read, %d stored, %d already stored",
            *(result.kind, result.state, result.read, result.stored, result.duplicates),
        )
        return result.state == "finished"

    def failed(self, error: Exception) -> Any:
        from connect.eaas.core.responses import ScheduledExecutionResponse

        _LOGGER.error("backfill failed: %s", error)
        return ScheduledExecutionResponse.fail(output=f"backfill failed: {error}"[:4000])

    @staticmethod
    def done() -> Any:
        from connect.eaas.core.responses import ScheduledExecutionResponse

        return ScheduledExecutionResponse.done()


async def _async_scheduled(application: Any, run: _Scheduled) -> Any:
    from connect.eaas.mongodb._async.store import AsyncEventStore
    from pymongo.errors import ConfigurationError

    try:
        if run.problem:
            raise ValueError(run.problem)
        store = AsyncEventStore.from_config(application.config, **run.store_options)
        for kind in run.kinds:
            result = await store.backfill(application.client, kind, resume=True, stop=run.is_over, **run.options)
            if not run.log(result):
                break
    except (BackfillError, ConfigurationError, ValueError, TypeError) as error:
        return run.failed(error)
    return run.done()


def _scheduled(application: Any, run: _Scheduled) -> Any:
    from connect.eaas.mongodb._sync.store import EventStore
    from pymongo.errors import ConfigurationError

    try:
        if run.problem:
            raise ValueError(run.problem)
        store = EventStore.from_config(application.config, **run.store_options)
        for kind in run.kinds:
            result = store.backfill(application.client, kind, resume=True, stop=run.is_over, **run.options)
            if not run.log(result):
                break
    except (BackfillError, ConfigurationError, ValueError, TypeError) as error:
        return run.failed(error)
    return run.done()
