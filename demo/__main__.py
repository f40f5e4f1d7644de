"""`make demo`."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import secrets
import signal
import sys
import time
from typing import Any

from bson import json_util
from connect.eaas.mongodb.cli.dev import DevelopmentError
from pymongo import MongoClient as PyMongoClient
from pymongo.errors import PyMongoError
from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from demo.chaos import fragile_servers, run_chaos
from demo.job import JobError, JobReport, run_job, servers

console = Console(width=110 if not sys.stdout.isatty() else None)


def main() -> int:
    """Run the main job and print what came of it; 0 only if all of it is right."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("-n", "--count", type=int, help="how many purchase requests")
    parser.add_argument(
        "--chaos", action="store_true", help="deliver each several times, to two runners, while MongoDB is killed"
    )
    arguments = parser.parse_args()
    count = (100 if arguments.chaos else 200) if arguments.count is None else arguments.count
    if count < 1:
        parser.error("the count must be at least 1")
    # As Ctrl-C: everything that was started ends.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.default_int_handler)
    begun = time.monotonic()
    if arguments.chaos:
        return chaos(count)
    try:
        report = demo(count, os.environ.get("MONGODB_URI"))
    except (DevelopmentError, JobError, PyMongoError) as error:
        console.print(f"[red]The demo failed:[/red] {Text(str(error)).markup}")
        return 1
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 130
    print_report(report, time.monotonic() - begun)
    return 0 if report.perfect else 1


def chaos(count: int) -> int:
    """`make demo CHAOS=1`."""
    database = f"connect_chaos_{secrets.token_hex(4)}"
    try:
        with (
            Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console) as bars,
            fragile_servers(database, random.Random(count)) as (mongodb, variables),
        ):
            bar = bars.add_task("deliveries taken", total=count * 3)
            report = asyncio.run(run_chaos(count, mongodb, variables, lambda done: bars.update(bar, completed=done)))
    except (DevelopmentError, JobError, PyMongoError) as error:
        console.print(f"[red]The demo failed:[/red] {Text(str(error)).markup}")
        return 1
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 130
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("path")
    for name in ("events", "stored", "missing", "duplicated", "different"):
        table.add_column(name, justify="right")
    for path in report.stored:
        numbers = (report.events, report.stored[path], report.missing[path], report.duplicated[path])
        table.add_row(path, *map(str, numbers), str(report.different[path]))
    console.print(table)
    results = ", ".join(f"{number} {result}" for result, number in sorted(report.results.items()))
    console.print(
        f"{report.deliveries} deliveries to two runners ({results}), while MongoDB was killed and started again "
        f"{report.kills} times, in {report.seconds:.0f} s:"
    )
    verdict = "[green]every event is stored exactly once on each path, and equal to what was sent[/green]"
    console.print(verdict if report.perfect else "[red]not every event is stored exactly once and equal[/red]")
    return 0 if report.perfect else 1


def demo(count: int, given_uri: str | None) -> JobReport:
    """Start all that the job needs, and run it."""
    database = f"connect_demo_{secrets.token_hex(4)}"
    with (
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        ) as bars,
    ):
        bar = bars.add_task("starting MongoDB and the gateway", total=count)
        with servers(given_uri, database) as (uri, variables):
            bars.update(bar, description="starting Connect and the runner")

            def progress(done: int) -> None:
                bars.update(bar, completed=done, description="purchase requests")

            try:
                return asyncio.run(run_job(count, uri, variables, progress))
            finally:
                if given_uri is not None:
                    client: PyMongoClient[dict[str, Any]]
                    with PyMongoClient(uri, serverSelectionTimeoutMS=5_000) as client:
                        client.drop_database(database)


def print_report(report: JobReport, seconds: float) -> None:
    """Print a stored document, the table, and the verdict."""
    console.print(
        Panel(
            Text(json_util.dumps(report.stored, ensure_ascii=False)),
            title="a stored document, as MongoDB holds it",
            title_align="left",
            box=box.ROUNDED,
        )
    )
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("path")
    for name in ("sent", "stored", "different", "duplicated", "p50 ms", "p99 ms", "events/s"):
        table.add_column(name, justify="right")
    for path in report.paths:
        numbers = (path.sent, path.stored, path.different, path.duplicated)
        times = (path.p50_ms, path.p99_ms, path.per_second)
        table.add_row(path.path, *map(str, numbers), *(f"{number:.0f}" for number in times))
    console.print(table)
    results = ", ".join(f"{count} {result}" for result, count in sorted(report.results.items()))
    verdict = (
        "[green]every request is stored once on each path, and equal to what was sent[/green]"
        if report.perfect
        else "[red]not every request is stored once on each path and equal to what was sent[/red]"
    )
    console.print(f"Task results: {results}. In {seconds:.1f} s: {verdict}")


if __name__ == "__main__":
    sys.exit(main())
