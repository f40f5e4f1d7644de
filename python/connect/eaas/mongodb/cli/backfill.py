"""`connect-mongodb backfill`: what Connect already has, into the event store."""

from __future__ import annotations

import contextlib
import datetime
import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import click
from connect.eaas.mongodb.cli.failures import fail, fail_midway
from connect.eaas.mongodb.cli.options import MOMENT, open_store, store_options, variables_of

if TYPE_CHECKING:
    from connect.eaas.mongodb._common.backfill import BackfillProgress
    from rich.progress import Progress, TaskID

LINE_SECONDS: Final = 60.0
"""How often a line of progress is printed where there is no terminal."""

DEFAULT_ENDPOINT: Final = "https://api.connect.cloudblue.com/public/v1"


@click.command(short_help="Store what Connect already has.")
@click.argument("kinds", nargs=-1, required=True, metavar="KIND...")
@click.option(
    "--since", type=MOMENT, metavar="TIME", help="First creation time: 2024-01-31T12:00:00Z, or 90d (days ago)."
)
@click.option("--until", type=MOMENT, metavar="TIME", help="Creation time to stop before. Default: the present.")
@click.option("--status", multiple=True, metavar="STATUS", help="Status or state. Repeatable.")
@click.option("--product", multiple=True, metavar="ID", help="Product, PRD-... Repeatable.")
@click.option("--marketplace", multiple=True, metavar="ID", help="Marketplace, MP-... Repeatable.")
@click.option("--filter", "rql", metavar="RQL", help="Another condition: 'eq(asset.connection.type,production)'.")
@click.option("--resume", is_flag=True, help="Continue an earlier run with the same filters, or read what is new.")
@click.option("--dry-run", is_flag=True, help="Count the objects and store nothing.")
@click.option(
    "--fetch",
    type=click.Choice(["auto", "list", "each"]),
    default="auto",
    show_default=True,
    help="Take objects from lists, or fetch each by itself. `auto` fetches each if the lists are abridged.",
)
@click.option("--endpoint", metavar="URL", help=f"Connect's API. Default: CONNECT_ENDPOINT, or {DEFAULT_ENDPOINT}.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, a line per kind.")
@store_options
def backfill(
    kinds: tuple[str, ...],
    rql: str | None,
    endpoint: str | None,
    as_json: bool,
    path: str | None,
    env_file: str | None,
    **options: Any,
) -> None:
    """Store what Connect already has, each object as its event would be.

    KIND is requests, tier-config-requests, tier-account-requests, listing-requests, listings,
    billing-requests, usage-files, usage-chunks or cases.

    The variable CONNECT_API_KEY contains the key of Connect's API. Requires the extra
    `backfill`: pip install 'connect-eaas-mongodb[backfill]'.

    Exits with status 0 when everything is stored, 1 when Connect or MongoDB failed, 2 when
    something is misconfigured, and 130 after Ctrl-C. docs/backfill.md describes the rest.
    """
    from connect.eaas.mongodb._common.backfill import Plan
    from connect.eaas.mongodb.backfill import BackfillError

    until = options["until"]
    for kind in kinds:
        try:
            Plan.of(kind, rql=rql, **options)
        except ValueError as error:
            raise click.UsageError(f"{error}") from None
    variables = variables_of("backfill", env_file)
    client = _client(variables, endpoint)
    store = open_store("backfill", variables, path)
    with _stopping() as stopped:
        for kind in kinds:
            with _reporting() as report:
                try:
                    result = store.backfill(client, kind, rql=rql, progress=report, stop=stopped, **options)
                except BackfillError as error:
                    fail_midway(f"backfill: {kind}: {error}. To continue, run the command with --resume")
            click.echo(json.dumps(result.to_dict()) if as_json else _summary(result, until))
            if result.state == "stopped":
                break
    if stopped.signal is not None:
        sys.exit(128 + stopped.signal)


def _client(variables: Mapping[str, str], endpoint: str | None) -> Any:
    try:
        from connect.client import ConnectClient
    except ImportError:
        fail("backfill: Connect's client is not installed: pip install 'connect-eaas-mongodb[backfill]'")
    key = variables.get("CONNECT_API_KEY", "").strip()
    if not key:
        fail(
            "backfill: the variable CONNECT_API_KEY is not set: it must contain a key of Connect's API (ApiKey SU-...)"
        )
    if not key.isascii() or not key.isprintable():
        fail("backfill: CONNECT_API_KEY contains characters that no key has")
    if key.startswith("SU-"):
        key = f"ApiKey {key}"
    url = (endpoint or variables.get("CONNECT_ENDPOINT", "").strip() or DEFAULT_ENDPOINT).rstrip("/")
    if not url.startswith(("https://", "http://")) or "@" in url or " " in url:
        fail("backfill: the endpoint (--endpoint or CONNECT_ENDPOINT) must be a URL like " + DEFAULT_ENDPOINT)
    return ConnectClient(key, endpoint=url)


class _Stopped:
    """Whether the user has asked to stop."""

    signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None


@contextlib.contextmanager
def _stopping() -> Iterator[_Stopped]:
    """Let the first Ctrl-C or SIGTERM end the run at a checkpoint, and the second end it at once."""
    stopped = _Stopped()

    def handle(number: int, _frame: FrameType | None) -> None:
        if stopped():
            raise KeyboardInterrupt
        stopped.signal = number
        click.echo("\nStopping at the next checkpoint. Press Ctrl-C again to stop at once.", err=True)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _summary(result: BackfillProgress, until: datetime.datetime | None) -> str:
    if result.state == "dry run":
        count = "an unknown number of" if result.total is None else f"{result.total:,}"
        start = f" created since {_time(result.position)}" if result.total else ""
        end = f" and before {_time(result.until)}" if result.total and until else ""
        return f"{result.kind}: {count} objects{start}{end} would be read"
    counts = [f"{result.read:,} objects read", f"{result.stored:,} stored", f"{result.duplicates:,} already stored"]
    if result.dead_letters:
        counts.append(f"{result.dead_letters:,} kept as dead letters")
    if result.missing:
        counts.append(f"{result.missing:,} deleted meanwhile")
    text = f"{result.kind}: {result.state}: {', '.join(counts)}"
    if result.state == "stopped":
        text += f". Everything created before {_time(result.position)} is stored; --resume continues"
    return text


def _time(time: datetime.datetime | None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ") if time else "the beginning"


@contextlib.contextmanager
def _reporting() -> Iterator[Any]:
    """Show progress: a bar on a terminal, a line a minute elsewhere."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    columns = [
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}", style="dim"),
    ]
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield Bar(progress)


class Bar:
    """Progress on a terminal."""

    def __init__(self, progress: Progress) -> None:
        """Show a bar once the number of objects is known."""
        self._progress = progress
        self._task: TaskID | None = None

    def __call__(self, now: BackfillProgress) -> None:
        """Show how far a run is."""
        note = now.note or f"to {_time(now.position)}"
        if self._task is None:
            self._task = self._progress.add_task(now.kind, total=now.total, rate="", note=note)
        speed = self._progress.tasks[0].speed
        rate = f"{speed:,.0f}/s" if speed else ""
        total = now.total if now.total is None else max(now.total, now.read)
        self._progress.update(self._task, completed=now.read, total=total, rate=rate, note=note)


class Lines:
    """Progress in lines, at most one a minute."""

    def __init__(self) -> None:
        """Begin with the next call."""
        self._begun = time.monotonic()
        self._next = self._begun

    def __call__(self, now: BackfillProgress) -> None:
        """Print how far a run is, if it is time for a line."""
        at = time.monotonic()
        if at < self._next:
            return
        self._next = at + LINE_SECONDS
        click.echo(line(now, at - self._begun), err=True)


def line(now: BackfillProgress, seconds: float) -> str:
    """Return a line of progress after so many seconds."""
    of = f" of {now.total:,}" if now.total is not None else ""
    parts = [f"{now.kind}: {now.read:,}{of} objects, created before {_time(now.position)}"]
    if now.read and seconds > 0:
        rate = now.read / seconds
        parts.append(f"{rate:,.0f}/s")
        if now.total and now.total > now.read:
            left = datetime.timedelta(seconds=round((now.total - now.read) / rate))
            parts.append(f"{left} left")
    if now.note:
        parts.append(now.note)
    return ", ".join(parts)
