"""Jobs of a marketplace, kept in MongoDB by APScheduler 3."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import datetime, timedelta, timezone
from typing import Any

from apscheduler.events import EVENT_ALL, EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, EVENT_JOB_MISSED
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import ConflictingIdError, JobLookupError
from apscheduler.jobstores.mongodb import MongoDBJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.combining import AndTrigger, OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger
from bson import Binary

from tests.apps.libraries import Drivers, Journal

PAST = datetime(2024, 5, 1, 8, tzinfo=timezone.utc)
FUTURE = datetime(2124, 5, 1, 8, tzinfo=timezone.utc)

done: list[str] = []


def work(name: str, *, times: int = 1) -> str:
    done.append(name * times)
    return name


def fail() -> None:
    raise ValueError("as it was told")


async def work_later(name: str) -> str:
    await asyncio.sleep(0)
    done.append(name)
    return name


def store(drivers: Drivers, collection: str = "jobs") -> MongoDBJobStore:
    if drivers.given:
        return MongoDBJobStore(drivers.database, collection, client=drivers.sync_client(drivers.uri))
    # The store makes a client of its own, of PyMongo's MongoClient.
    return MongoDBJobStore(drivers.database, collection, host=drivers.uri, serverSelectionTimeoutMS=10_000)


def jobs(scheduler: Any, alias: str | None = None) -> list[Any]:
    return [
        [job.id, job.name, str(job.trigger), job.next_run_time, job.args, job.kwargs]
        for job in scheduler.get_jobs(alias)
    ]


def paused(drivers: Drivers, journal: Journal) -> None:
    """A scheduler that runs nothing: all that it keeps about jobs."""
    stores = {"default": store(drivers), "second": store(drivers, "second")}
    scheduler = BackgroundScheduler(jobstores=stores, timezone=timezone.utc)
    seen: list[int] = []
    scheduler.add_listener(lambda event: seen.append(event.code), EVENT_ALL)
    scheduler.add_job(work, "date", run_date=FUTURE, args=["before start"], id="early")
    scheduler.start(paused=True)
    every_hour = IntervalTrigger(hours=1, start_date=FUTURE, timezone=timezone.utc)
    every_morning = CronTrigger(hour=8, day_of_week="mon-fri", start_date=FUTURE, timezone=timezone.utc)
    scheduler.add_job(
        work, every_hour, args=["hourly"], kwargs={"times": 2}, id="hourly", name="Hourly ✓", max_instances=3
    )
    scheduler.add_job(work, every_morning, args=["cron"], id="cron", coalesce=True, misfire_grace_time=60)
    scheduler.add_job(work, AndTrigger([every_hour, every_morning]), args=["and"], id="and")
    scheduler.add_job(work, OrTrigger([every_hour, DateTrigger(FUTURE, timezone.utc)]), args=["or"], id="or")
    scheduler.add_job(work, every_hour, args=["elsewhere"], id="hourly", jobstore="second")
    journal.note("jobs", jobs(scheduler))
    try:
        scheduler.add_job(work, every_hour, args=["again"], id="hourly")
    except ConflictingIdError as error:
        journal.note("the same id", str(error))
    scheduler.add_job(work, every_hour, args=["replaced"], id="hourly", replace_existing=True)
    scheduler.modify_job("cron", name="Renamed", args=["modified"])
    scheduler.reschedule_job("and", trigger="date", run_date=FUTURE + timedelta(days=1))
    scheduler.pause_job("or")
    journal.note("paused", [job.next_run_time for job in scheduler.get_jobs() if job.id == "or"])
    journal.note("next", stores["default"].get_next_run_time())
    journal.note("due", [job.id for job in stores["default"].get_due_jobs(FUTURE)])
    scheduler.resume_job("or")
    scheduler.remove_job("early")
    try:
        scheduler.remove_job("early")
    except JobLookupError as error:
        journal.note("removed twice", str(error))
    journal.note("looked up", str(scheduler.get_job("hourly")))
    journal.note("not there", scheduler.get_job("nothing"))
    stores["default"].collection.insert_one({"_id": "broken", "next_run_time": 1.5, "job_state": Binary(b"no pickle")})
    journal.note("without the broken one", jobs(scheduler, "default"))
    scheduler.remove_all_jobs("second")
    journal.note("events", seen)
    scheduler.shutdown()


def running(drivers: Drivers, journal: Journal) -> None:
    """A scheduler that starts with what another one left, and runs what is due."""
    kept = store(drivers)
    executors = {"default": ThreadPoolExecutor(2)}
    scheduler = BackgroundScheduler(jobstores={"default": kept}, executors=executors, timezone=timezone.utc)
    outcomes: dict[str, Any] = {}
    all_done = threading.Event()

    def finished(event: Any) -> None:
        outcomes[event.job_id] = [event.code, repr(getattr(event, "exception", None)), getattr(event, "retval", None)]
        if len(outcomes) == 7:
            all_done.set()

    scheduler.add_listener(finished, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR | EVENT_JOB_MISSED)
    scheduler.start(paused=True)
    journal.note("left", jobs(scheduler))
    for n in range(5):
        scheduler.add_job(work, "date", run_date=PAST, args=[f"due {n}"], id=f"due-{n}", misfire_grace_time=None)
    scheduler.add_job(fail, "date", run_date=PAST, id="failing", misfire_grace_time=None)
    scheduler.add_job(work, "date", run_date=PAST, args=["late"], id="late", misfire_grace_time=1)
    scheduler.resume()
    assert all_done.wait(30), outcomes
    # The scheduler's thread removes what has run; it holds this lock while it looks for what is due.
    with scheduler._jobstores_lock:
        journal.note("still there", jobs(scheduler))
    journal.note("outcomes", dict(sorted(outcomes.items())))
    scheduler.shutdown()
    journal.note("done", sorted(done))


async def running_on_a_loop(drivers: Drivers, journal: Journal) -> None:
    scheduler = AsyncIOScheduler(jobstores={"default": store(drivers, "loop")}, timezone=timezone.utc)
    finished = asyncio.Event()
    scheduler.add_listener(lambda event: finished.set(), EVENT_JOB_EXECUTED)
    scheduler.start()
    scheduler.add_job(work_later, "date", run_date=PAST, args=["on a loop"], id="loop", misfire_grace_time=None)
    scheduler.add_job(work_later, "date", run_date=FUTURE, args=["later"], id="later")
    await asyncio.wait_for(finished.wait(), 30)
    journal.note("on a loop", [done[-1], jobs(scheduler)])
    scheduler.shutdown()


async def main(drivers: Drivers, journal: Journal) -> None:
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    await asyncio.to_thread(paused, drivers, journal)
    await asyncio.to_thread(running, drivers, journal)
    await running_on_a_loop(drivers, journal)
