"""Schedules of a marketplace, kept in MongoDB by APScheduler 4's data store."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

from apscheduler import (
    AsyncScheduler,
    ConflictingIdError,
    ConflictPolicy,
    JobAdded,
    JobLookupError,
    JobReleased,
    ScheduleLookupError,
    ScheduleUpdated,
    TaskLookupError,
)
from apscheduler.datastores.mongodb import MongoDBDataStore
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from tests.apps.libraries import Drivers, Journal

PAST = datetime(2024, 5, 1, 8, tzinfo=timezone.utc)
FUTURE = datetime(2124, 5, 1, 8, tzinfo=timezone.utc)


def work(name: str, *, times: int = 1) -> str:
    return name * times


async def work_later(name: str) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"name": name, "seal": b"\x00"}


def fail() -> None:
    raise ValueError("as it was told")


def schedule(one: Any) -> Any:
    return [one.id, one.task_id, str(one.trigger), one.args, dict(one.kwargs), one.next_fire_time, one.paused]


async def kept(scheduler: AsyncScheduler, journal: Journal) -> None:
    """What is kept of tasks and schedules, before anything runs."""
    await scheduler.configure_task("work", func=work, max_running_jobs=2, misfire_grace_time=timedelta(days=1_000_000))
    await scheduler.configure_task("work_later", func=work_later, metadata={"colour": "red"})
    await scheduler.configure_task("fail", func=fail)
    await scheduler.configure_task("work", max_running_jobs=3)
    journal.note("tasks", [[task.id, task.max_running_jobs, task.metadata] for task in await scheduler.get_tasks()])
    every_hour = IntervalTrigger(hours=1, start_time=FUTURE)
    await scheduler.add_schedule("work", every_hour, id="hourly", args=["hourly"], kwargs={"times": 2})
    await scheduler.add_schedule("work", every_hour, id="hourly", args=["not kept"])
    try:
        await scheduler.add_schedule("work", every_hour, id="hourly", conflict_policy=ConflictPolicy.exception)
    except ConflictingIdError as error:
        journal.note("the same id", str(error))
    await scheduler.add_schedule(
        "work", CronTrigger(hour=8, start_time=FUTURE, timezone=timezone.utc), id="cron", args=["cron"], paused=True
    )
    replace = ConflictPolicy.replace
    await scheduler.add_schedule("work", DateTrigger(FUTURE), id="date", args=["date"], metadata={"n": 1})
    await scheduler.add_schedule("work", DateTrigger(FUTURE), id="date", args=["new"], conflict_policy=replace)
    journal.note("schedules", [schedule(one) for one in await scheduler.get_schedules()])
    await scheduler.pause_schedule("hourly")
    journal.note("paused", schedule(await scheduler.get_schedule("hourly")))
    await scheduler.unpause_schedule("hourly", resume_from=FUTURE + timedelta(hours=3))
    journal.note("unpaused", schedule(await scheduler.get_schedule("hourly")))
    await scheduler.remove_schedule("date")
    for title, call in {
        "no schedule": scheduler.get_schedule("date"),
        "no task": scheduler.data_store.get_task("nothing"),
    }.items():
        try:
            await call
        except (ScheduleLookupError, TaskLookupError) as error:
            journal.note(title, str(error))


async def run(scheduler: AsyncScheduler, journal: Journal) -> None:
    """What runs: jobs, schedules that are due, and results."""
    hour = timedelta(hours=1)
    first = await scheduler.add_job("work", args=["first"], kwargs={"times": 3}, result_expiration_time=hour)
    journal.note("waiting", [[job.task_id, job.args] for job in await scheduler.get_jobs()])
    await scheduler.start_in_background()
    result = await scheduler.get_job_result(first)
    assert result is not None
    journal.note("a result", [result.outcome.name, result.return_value])
    try:
        await scheduler.get_job_result(first, wait=False)
    except JobLookupError:
        journal.note("a result is given once", True)
    journal.note("run", await scheduler.run_job("work_later", args=["later"]))
    await journal.refused_later("failed", scheduler.run_job("fail"))
    journal.note("many", await asyncio.gather(*(scheduler.run_job("work", args=[f"n{n}"]) for n in range(6))))
    released: list[JobReleased] = []
    done = asyncio.Event()

    def listener(event: JobReleased) -> None:
        released.append(event)
        done.set()

    with scheduler.subscribe(listener, {JobReleased}):
        await scheduler.add_schedule(
            "work", DateTrigger(PAST), id="due", args=["due"], job_result_expiration_time=hour, misfire_grace_time=None
        )
        await asyncio.wait_for(done.wait(), 30)
    kept_result = await scheduler.data_store.get_job_result(released[0].job_id)
    assert kept_result is not None
    journal.note("a schedule's result", [released[0].schedule_id, released[0].outcome.name, kept_result.return_value])
    await scheduler.cleanup()
    journal.note("left", [one.id for one in await scheduler.get_schedules()])
    await scheduler.stop()
    await scheduler.wait_until_stopped()


async def main(drivers: Drivers, journal: Journal) -> None:
    events: list[str] = []
    with drivers.sync_client(drivers.uri) as client:
        store = MongoDBDataStore(client, database=drivers.database)
        async with AsyncScheduler(store, identity="one") as scheduler:
            scheduler.subscribe(lambda event: events.append(type(event).__name__), {JobAdded, ScheduleUpdated})
            await kept(scheduler, journal)
        # The store makes a client of its own from a URI.
        again = MongoDBDataStore(drivers.uri, database=drivers.database)
        async with AsyncScheduler(again, identity="two") as scheduler:
            journal.note("kept", [schedule(one) for one in await scheduler.get_schedules()])
            await run(scheduler, journal)
        # It names the servers, if they are known.
        journal.note("a closed store", repr(again).partition("host")[0])
        journal.note("events", events)
