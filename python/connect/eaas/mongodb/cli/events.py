"""`connect-mongodb events`: stored events on a terminal, as JSON, and as files."""

from __future__ import annotations

import contextlib
import datetime
import difflib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click
from connect.eaas.mongodb.cli.failures import fail, fail_midway
from connect.eaas.mongodb.cli.options import MOMENT, open_store, store_options, variables_of

if TYPE_CHECKING:
    from connect.eaas.mongodb.store import EventStore

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

PAGE: Final = 500
"""The number of records that an export on the Data API path reads at a time, and that an import inserts."""

MAX_BATCH_BYTES: Final = 4_000_000
"""The size of the lines that an import inserts at a time."""

PIPE_WIDTH: Final = 200
"""The width of a table that is not printed on a terminal."""

FILTERS: Final = ("event_type", "status", "product", "marketplace", "account", "object_id", "since", "until")


@click.group()
def events() -> None:
    """List, show and compare stored events; export and import them."""


def filters(function: Decorated) -> Decorated:
    """Add the filters of `EventStore.find`."""
    options = [
        click.option("--type", "event_type", multiple=True, metavar="TYPE", help="Event type. Repeatable."),
        click.option("--status", multiple=True, metavar="STATUS", help="Status or state. Repeatable."),
        click.option("--product", multiple=True, metavar="ID", help="Product. Repeatable."),
        click.option("--marketplace", multiple=True, metavar="ID", help="Marketplace. Repeatable."),
        click.option("--account", multiple=True, metavar="ID", help="Account, in any role. Repeatable."),
        click.option("--object", "object_id", multiple=True, metavar="ID", help="Object. Repeatable."),
        click.option("--since", type=MOMENT, metavar="TIME", help="Received at or after: 2024-01-31T12:00:00Z, or 7d."),
        click.option("--until", type=MOMENT, metavar="TIME", help="Received before."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def as_json(help_text: str) -> Callable[[Decorated], Decorated]:
    """Add the option `--json`."""
    return click.option("--json", "as_json", is_flag=True, help=help_text)


@events.command("list")
@filters
@click.option("--limit", type=click.IntRange(0), default=50, show_default=True, help="Maximum number; 0 for all.")
@click.option("--oldest-first", is_flag=True, help="Begin with the oldest event.")
@as_json("Print a JSON object per line.")
@store_options
def list_events(
    limit: int, oldest_first: bool, as_json: bool, path: str | None, env_file: str | None, **wanted: Any
) -> None:
    """List stored events, the newest first."""
    from connect.eaas.mongodb._common.store import NEWEST

    query = _query("list", wanted)
    store = _store("list", path, env_file)
    order = [(name, -direction if oldest_first else direction) for name, direction in NEWEST.items()]
    with _reading("list"):
        found = store.collection.find(query, {"_connect": 1}).sort(order).limit(limit)
        _print_events((_summary(record) for record in found), as_json, wanted)


@events.command()
@click.argument("event_id", metavar="ID")
@as_json("Print the record as one line of Extended JSON.")
@store_options
def show(event_id: str, as_json: bool, path: str | None, env_file: str | None) -> None:
    """Show a stored event: that of a record's ID, or the newest of an object's ID."""
    from bson import json_util

    store = _store("show", path, env_file)
    with _reading("show"):
        record = _record("show", store, event_id)
    if as_json:
        click.echo(json_util.dumps(record, json_options=json_util.RELAXED_JSON_OPTIONS))
        return
    from connect.eaas.mongodb.store import StoredEvent
    from rich.table import Table

    console = _console()
    table = Table(show_header=False, box=None)
    known = dict(record.get("_connect") or {})
    for name in ("payload", "json", "reserved", "deviations"):
        known.pop(name, None)
    for name, value in {"record": record["_id"], **known}.items():
        if value is not None and value != []:
            text = ", ".join(value) if isinstance(value, list) else _text(value)
            table.add_row(name, text)
    event = StoredEvent._of(record)
    for deviation in event.deviations:
        table.add_row("deviation", f"{deviation.path}: expected {deviation.expected}, got {deviation.actual}")
    console.print(table)
    console.print_json(json.dumps(event.document, default=str))


@events.command()
@click.argument("object_id", metavar="OBJECT_ID")
@as_json("Print a JSON object per line.")
@store_options
def history(object_id: str, as_json: bool, path: str | None, env_file: str | None) -> None:
    """List all stored versions of an object, the oldest first."""
    store = _store("history", path, env_file)
    with _reading("history"):
        versions = [_summary(record) for record in _versions(store, object_id)]
    if not versions:
        fail_midway(f"events history: no event of the object {object_id} is stored")
    _print_events(versions, as_json, {})


@events.command()
@click.argument("before", metavar="ID")
@click.argument("after", metavar="[ID]", required=False)
@as_json("Print a JSON object per difference and line.")
@store_options
def diff(before: str, after: str | None, as_json: bool, path: str | None, env_file: str | None) -> None:
    """Show what differs between two records, or between the last two versions of an object."""
    from connect.eaas.mongodb.store import StoredEvent

    store = _store("diff", path, env_file)
    with _reading("diff"):
        if after is not None:
            records = [_record("diff", store, one) for one in (before, after)]
        else:
            records = list(_versions(store, before))[-2:]
    if len(records) < 2:
        how = "only one version" if records else "no event"
        fail_midway(f"events diff: {how} of the object {before} is stored")
    older, newer = (StoredEvent._of(record) for record in records)
    found = list(differences(older.document, newer.document))
    if as_json:
        for one in found:
            click.echo(json.dumps(one._asdict(), default=str))
        return
    from rich.markup import escape

    console = _console()
    console.print(f"[red]- {escape(older.id)}[/], {_text(older.received_at)}", highlight=False)
    console.print(f"[green]+ {escape(newer.id)}[/], {_text(newer.received_at)}", highlight=False)
    if not found:
        console.print("The objects are equal.")
    for one in found:
        console.print(f"[bold]{escape(one.path)}[/]", highlight=False)
        for sign, style, value, change in (("-", "red", one.before, "added"), ("+", "green", one.after, "removed")):
            if one.change != change:
                text = json.dumps(value, ensure_ascii=False, default=str)
                console.print(f"  [{style}]{sign} {escape(text)}[/]", highlight=False)


class Difference(NamedTuple):
    """A difference between two objects."""

    path: str
    change: str
    """`added`, `removed` or `changed`."""
    before: Any
    after: Any


def differences(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """Find what differs; elements of lists that have ids are compared by them."""
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_fields(before, after, [f"{path}.{name}" if path else name for name in {**before, **after}])
    elif isinstance(before, list) and isinstance(after, list):
        old, new = _by_id(before), _by_id(after)
        if old is None or new is None:
            old, new = dict(enumerate(before)), dict(enumerate(after))
        yield from _of_fields(old, new, [f"{path}[{name}]" for name in {**old, **new}])
    elif type(before) is not type(after) or before != after:
        yield Difference(path, "changed", before, after)


def _of_fields(before: dict[Any, Any], after: dict[Any, Any], paths: list[str]) -> Iterator[Difference]:
    for name, path in zip({**before, **after}, paths, strict=True):
        if name not in after:
            yield Difference(path, "removed", before[name], None)
        elif name not in before:
            yield Difference(path, "added", None, after[name])
        else:
            yield from differences(before[name], after[name], path)


def _by_id(elements: list[Any]) -> dict[Any, Any] | None:
    ids = [one.get("id") if isinstance(one, dict) else None for one in elements]
    if not all(isinstance(one, str) for one in ids) or len(set(ids)) < len(ids):
        return None
    return dict(zip(ids, elements, strict=True))


@events.command("export")
@click.argument("file", metavar="[FILE]", default="-", type=click.Path(dir_okay=False, allow_dash=True))
@filters
@store_options
def export_events(file: str, path: str | None, env_file: str | None, **wanted: Any) -> None:
    """Write events as lines of Extended JSON to FILE or stdout.

    The lines are complete records in the canonical format, so that `import` stores equal ones.
    """
    from bson import json_util

    query = _query("export", wanted)
    store = _store("export", path, env_file)
    count = 0
    with _writing(file) as out, _reading("export"):
        for record in _records(store, query):
            out.write(json_util.dumps(record, json_options=json_util.CANONICAL_JSON_OPTIONS) + "\n")
            count += 1
    click.echo(f"{count:,} events exported", err=True)


@events.command("import")
@click.argument("file", metavar="[FILE]", default="-", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--dry-run", is_flag=True, help="Check the file and store nothing.")
@store_options
def import_events(file: str, dry_run: bool, path: str | None, env_file: str | None) -> None:
    """Store the events of a file that `export` wrote, or of stdin.

    A record that is already stored is left as it is, so an import can be repeated.
    """
    store = _store("import", path, env_file)
    imported = there = 0
    with contextlib.ExitStack() as stack:
        try:
            lines = stack.enter_context(click.open_file(file, encoding="utf-8"))
        except OSError as error:
            fail(f"events import: the file {file} cannot be read ({error.strerror})")
        try:
            for batch in _batches(file, lines):
                added = len(batch) if dry_run else _insert(store, batch)
                imported += added
                there += len(batch) - added
        except LineError as error:
            if not dry_run:
                error = LineError(f"{error}; {imported + there:,} events before it are stored")
            fail_midway(f"events import: {error}")
    if dry_run:
        click.echo(f"{imported:,} events can be imported", err=True)
    else:
        click.echo(f"{imported:,} events imported, {there:,} already stored", err=True)


class LineError(Exception):
    """A line of a file is no event."""


def _batches(file: str, lines: Iterable[str]) -> Iterator[list[dict[str, Any]]]:
    """Parse lines; return the records in batches that fit into a request."""
    batch: list[dict[str, Any]] = []
    size = 0
    name = "stdin" if file == "-" else file
    number = 0
    try:
        for line in lines:
            number += 1
            if not line.strip():
                continue
            batch.append(_parsed(line))
            size += len(line)
            if len(batch) == PAGE or size >= MAX_BATCH_BYTES:
                yield batch
                batch, size = [], 0
    except UnicodeDecodeError:
        raise LineError(f"{name}, after line {number}: not UTF-8 text") from None
    except LineError as error:
        # What precedes the line is stored, so that the message is true.
        if batch:
            yield batch
        raise LineError(f"{name}, line {number}: {error}") from None
    if batch:
        yield batch


def _parsed(line: str) -> dict[str, Any]:
    from bson import json_util
    from bson.codec_options import DatetimeConversion

    options = json_util.JSONOptions(
        json_mode=json_util.JSONMode.CANONICAL, tz_aware=False, datetime_conversion=DatetimeConversion.DATETIME_AUTO
    )
    try:
        record = json_util.loads(line, json_options=options)
    except RecursionError:
        raise LineError("nested too deep") from None
    except Exception:
        raise LineError("not Extended JSON") from None
    if not isinstance(record, dict) or not isinstance(record.get("_id"), str):
        raise LineError("not a stored event: it has no text in _id")
    if not isinstance(record.get("_connect"), dict):
        raise LineError("not a stored event: it has no _connect")
    return record


def _insert(store: EventStore, batch: list[dict[str, Any]]) -> int:
    """Insert records; return how many were not there."""
    from bson.errors import BSONError
    from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

    collection: Any = store.collection
    try:
        try:
            return len(collection.insert_many(batch, ordered=False).inserted_ids)
        except BulkWriteError as error:
            problems = (error.details or {}).get("writeErrors", [])
            ids = [batch[problem["index"]]["_id"] for problem in problems]
            # A unique index of the user's own also reports duplicates: of records that are not there.
            there = {found["_id"] for found in collection.find({"_id": {"$in": ids}}, {"_id": 1})}
            other = [problem for problem in problems if problem.get("code") != 11000]
            if other or not there.issuperset(ids) or (error.details or {}).get("writeConcernErrors"):
                raise
            return len(batch) - len(problems)
        except DuplicateKeyError:
            # Of the Data API, which does not say which records were there.
            return sum(_insert_one(collection, record) for record in batch)
    except (PyMongoError, BSONError, OverflowError, UnicodeEncodeError) as error:
        fail_midway(f"events import: {_reason(error)}")


def _insert_one(collection: Any, record: dict[str, Any]) -> bool:
    from pymongo.errors import DuplicateKeyError

    try:
        collection.insert_one(record)
    except DuplicateKeyError:
        if collection.find_one({"_id": record["_id"]}, {"_id": 1}) is None:
            raise
        return False
    return True


def _query(command: str, wanted: dict[str, Any]) -> dict[str, Any]:
    from connect.eaas.mongodb._common.store import event_query

    since, until = wanted["since"], wanted["until"]
    if since is not None and until is not None and since >= until:
        raise click.UsageError("--since must be before --until")
    given: dict[str, Any] = {}
    for name in FILTERS:
        value = wanted[name]
        if isinstance(value, tuple):
            if any(not one.strip() for one in value):
                raise click.UsageError(f"--{name.replace('event_', '').replace('_id', '')} is empty")
            value = (value[0] if len(value) == 1 else list(value)) if value else None
        given[name] = value
    return event_query(**given)


def _store(command: str, path: str | None, env_file: str | None) -> EventStore:
    return open_store(f"events {command}", variables_of(f"events {command}", env_file), path)


@contextlib.contextmanager
def _reading(command: str) -> Iterator[None]:
    """End the command with one line if MongoDB fails."""
    from pymongo.errors import PyMongoError

    try:
        yield
    except PyMongoError as error:
        fail_midway(f"events {command}: {_reason(error)}")
    except BrokenPipeError:
        # The reader, such as `head`, has read enough. What is left in buffers goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


@contextlib.contextmanager
def _writing(file: str) -> Iterator[IO[str]]:
    """Open a file that appears when it is complete, or stdout."""
    if file == "-":
        yield sys.stdout
        sys.stdout.flush()
        return
    path = Path(file).absolute()
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as out:
                yield out
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        fail(f"events export: the file {file} cannot be written ({error.strerror})")


def _records(store: EventStore, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return complete records, with the types that MongoDB has."""
    from bson.codec_options import CodecOptions, DatetimeConversion
    from connect.eaas.mongodb import Collection

    options: CodecOptions[Any] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
    collection: Any = store.collection.with_options(codec_options=options)
    if isinstance(store.collection, Collection):
        yield from collection.find(query)
        return
    # The Data API has no cursors: its responses are as long as their results.
    last: dict[str, Any] = {}
    while True:
        page = collection.find({**query, **last}).sort([("_id", 1)]).limit(PAGE).to_list()
        yield from page
        if len(page) < PAGE:
            return
        last = {"_id": {"$gt": page[-1]["_id"]}}


def _versions(store: EventStore, object_id: str) -> Iterator[dict[str, Any]]:
    from connect.eaas.mongodb._common.store import NEWEST, OBJECT_ID

    order = [(name, -direction) for name, direction in NEWEST.items()]
    cursor: Any = store.collection.find({OBJECT_ID: object_id}).sort(order)
    yield from cursor


def _record(command: str, store: EventStore, event_id: str) -> dict[str, Any]:
    """Return the record of an id, or the newest one of an object."""
    from connect.eaas.mongodb._common.store import NEWEST, OBJECT_ID

    record: dict[str, Any] | None = store.collection.find_one({"_id": event_id})
    if record is None:
        found: Any = store.collection.find({OBJECT_ID: event_id}).sort(list(NEWEST.items())).limit(1)
        record = next(iter(found), None)
    if record is None:
        fail_midway(f"events {command}: neither a record nor an object has the ID {event_id}")
    return record


def _summary(record: dict[str, Any]) -> dict[str, Any]:
    """Return what lists show of a record."""
    known = record.get("_connect") or {}
    names = ("event_type", "object", "object_id", "status", "product_id", "marketplace_id", "account_ids")
    summary = {"received_at": _text(known.get("received_at"))} | {name: known.get(name) for name in names}
    for name in ("task_id", "installation_id", "backfill"):
        if known.get(name):
            summary[name] = known[name]
    return summary | {"id": record["_id"]}


def _print_events(found: Iterable[dict[str, Any]], as_json: bool, wanted: dict[str, Any]) -> None:
    count = 0
    if as_json:
        for event in found:
            click.echo(json.dumps(event, default=str))
            count += 1
    else:
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for title in ("Received", "Event type", "Object", "Status", "Product", "Marketplace", "Record"):
            table.add_column(title, overflow="fold")
        names = ("received_at", "event_type", "object_id", "status", "product_id", "marketplace_id", "id")
        for event in found:
            table.add_row(*(str(event[name] or "") for name in names))
            count += 1
        if count:
            _console().print(table)
    if not count:
        click.echo("no event matches" + _hint(wanted), err=True)


def _hint(wanted: dict[str, Any]) -> str:
    """Return which filters have values that no event is known to have."""
    from connect.eaas.mongodb.events import EVENT_TYPES

    statuses = {status for event_type in EVENT_TYPES.values() for status in event_type.statuses}
    hints = []
    for title, name, known in (("event type", "event_type", list(EVENT_TYPES)), ("status", "status", sorted(statuses))):
        for value in wanted.get(name) or ():
            if value not in known:
                near = difflib.get_close_matches(value, known, n=1, cutoff=0.5)
                hints.append(f"{value} is not a known {title}" + (f" (did you mean {near[0]}?)" if near else ""))
    return f": {'; '.join(hints)}" if hints else ""


def _text(value: Any) -> str:
    if isinstance(value, datetime.datetime):
        utc = value if value.tzinfo is None else value.astimezone(datetime.timezone.utc)
        return utc.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    return "" if value is None else str(value)


def _console() -> Any:
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)
