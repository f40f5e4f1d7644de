"""What the page of stored events asks for and gets, without a web framework."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from connect.eaas.mongodb._common.store import (
    CONNECT,
    LETTER_PART_CHARACTERS,
    EventNumber,
    in_utc,
    installations_of,
    metadata_of,
    parse_time,
    payload_of,
)

DEFAULT_LIMIT: Final = 10
MAX_LIMIT: Final = 100
MAX_OFFSET: Final = 2**31 - 1

MANY: Final = 1000
"""From how many events on a list is read from the newest events."""

LATEST: Final = datetime.datetime.max.replace(tzinfo=datetime.timezone.utc)

PERIODS: Final = {"day": 1, "week": 7, "month": 30}
"""The days of each period that events are counted for."""

FAILED_STATUSES: Final = frozenset({"failed", "rejected", "invalid"})
"""The statuses of Connect's objects that mean that they have failed."""

EVENT_FILTERS: Final = ("event_type", "status", "product", "marketplace", "account", "object_id", "installation")
LETTER_FILTERS: Final = ("event_type", "object_id", "task_id", "installation")
TIMES: Final = ("since", "until")
PAGES: Final = ("limit", "offset")

SUMMARY: Final = {
    f"{CONNECT}.{name}": 1
    for name in (
        "event_type",
        "object",
        "object_id",
        "status",
        "product_id",
        "marketplace_id",
        "account_ids",
        "installation_id",
        "environment_id",
        "task_id",
        "received_at",
        "deviations.path",
    )
}
"""The fields of a record in a list: all but the object."""

LETTER_SUMMARY: Final = {"data": 0}


class PageError(Exception):
    """An error that the page shows, in the shape of Connect's API."""

    def __init__(self, status_code: int, error_code: str, *errors: str) -> None:
        super().__init__("; ".join(errors))
        self.status_code = status_code
        self.error_code = error_code
        self.errors = list(errors)

    @property
    def body(self) -> str:
        """The body of the response."""
        return json.dumps({"error_code": self.error_code, "errors": self.errors}, ensure_ascii=False)


def invalid(*errors: str) -> PageError:
    """Return the error for a request that cannot be read."""
    return PageError(400, "VAL_001", *errors)


def not_found(what: str) -> PageError:
    """Return the error for something that does not exist, or is not the caller's."""
    return PageError(404, "NFND_000", what)


class Access(NamedTuple):
    """What a caller may see."""

    installation: str | None
    """The only installation whose records the caller sees; `None` for the owner of the extension, who sees all."""

    @property
    def is_owner(self) -> bool:
        """Whether the caller owns the extension."""
        return self.installation is None

    def limit(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Return the filters, restricted to what the caller may see."""
        if self.is_owner:
            return wanted
        if not {self.installation} >= set(wanted.get("installation", ())):
            raise PageError(403, "AUTH_003", "installation: you can see the events of your own installation only")
        return {**wanted, "installation": self.installation}

    def permits(self, stored: dict[str, Any]) -> bool:
        """Whether the caller may see a record."""
        return self.is_owner or self.installation in installations_of(stored)

    def permits_letter(self, stored: dict[str, Any]) -> bool:
        """Whether the caller may see a dead letter."""
        return self.is_owner or self.installation == stored.get("installation_id")


class Answer(NamedTuple):
    """A response."""

    body: str
    """The JSON."""
    content_range: str | None = None
    """The header `Content-Range` of a list."""


class Window(NamedTuple):
    """The part of a list that a request asks for."""

    limit: int
    offset: int

    def check(self, total: int, what: str) -> None:
        """Raise an error if the part begins beyond the end of the list."""
        if self.offset and self.offset >= total:
            raise invalid(f"offset: {self.offset} is beyond the end, because there are {total} {what}")

    def content_range(self, count: int, total: int) -> str:
        """Return the header for `count` items of `total`, as Connect's API has it."""
        if count == 0:
            return f"items 0-0/{total}"
        # Events may arrive between the count and the list.
        return f"items {self.offset}-{self.offset + count - 1}/{max(total, self.offset + count)}"


def recent(wanted: dict[str, Any], window: Window, total: int) -> Iterator[dict[str, Any]]:
    """Return the filters for the newest events: those of the last hour, of the last day, and of all time.

    A server that takes the order from an index reads no more than the list, whatever the filters. Others read and sort
    all that match, but read a range of time from an index, and most lists end within it.
    """
    if "since" not in wanted and total > MANY and window.offset + window.limit <= MANY:
        before = min(wanted.get("until", LATEST), datetime.datetime.now(datetime.timezone.utc))
        for hours in (1, 24):
            yield {**wanted, "since": before - datetime.timedelta(hours=hours)}
    yield wanted


class Query:
    """The parameters of a request."""

    def __init__(self, pairs: Iterable[tuple[str, str]], allowed: Iterable[str]) -> None:
        """Read the parameters.

        Raises:
            PageError: one of them is not allowed here.
        """
        self._values: dict[str, list[str]] = {}
        names = tuple(allowed)
        unknown = []
        for name, value in pairs:
            if name not in names:
                unknown.append(name)
            elif value.strip():
                self._values.setdefault(name, []).append(value.strip())
        if unknown:
            known = ", ".join(names) or "none"
            raise invalid(*(f"{name[:50]}: there is no such parameter; known are: {known}" for name in unknown[:5]))

    def one(self, name: str) -> str | None:
        """Return the value of a parameter, if it is given."""
        values = self._values.get(name, [])
        if len(values) > 1:
            raise invalid(f"{name}: give one value")
        return values[0] if values else None

    def filters(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the filters and times that are given, as the event store takes them. A filter has several values."""
        wanted: dict[str, Any] = {name: self._values[name] for name in names if name in self._values}
        wanted |= {name: time for name in TIMES if (time := self._time(name)) is not None}
        if "since" in wanted and "until" in wanted and wanted["since"] >= wanted["until"]:
            raise invalid("since: the time must be before that of until")
        return wanted

    def _time(self, name: str) -> datetime.datetime | None:
        text = self.one(name)
        if text is None:
            return None
        try:
            # In a query, an unescaped + is a space.
            time = parse_time(text.replace(" ", "+"))
        except ValueError:
            raise invalid(f"{name}: {text[:50]!r} is not a time such as 2026-01-31T12:00:00Z") from None
        if time.tzinfo is None:
            raise invalid(f"{name}: {text[:50]!r} has no time zone: append Z for UTC, or an offset such as +02:00")
        return time

    def window(self) -> Window:
        """Return the part of the list."""
        return Window(
            self._number("limit", DEFAULT_LIMIT, at_least=1, at_most=MAX_LIMIT),
            self._number("offset", 0, at_least=0, at_most=MAX_OFFSET),
        )

    def _number(self, name: str, default: int, *, at_least: int, at_most: int) -> int:
        text = self.one(name)
        if text is None:
            return default
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else -1
        if not at_least <= number <= at_most:
            raise invalid(f"{name}: {text[:50]!r} is not a number from {at_least} to {at_most}")
        return number

    def period(self) -> tuple[datetime.datetime, datetime.datetime]:
        """Return the beginning of the first hour of the period, and the end of the current hour."""
        name = self.one("period") or "day"
        if name not in PERIODS:
            raise invalid(f"period: {name[:50]!r} is none of {', '.join(PERIODS)}")
        hour = datetime.datetime.now(datetime.timezone.utc).replace(minute=0, second=0, microsecond=0)
        until = hour + datetime.timedelta(hours=1)
        return until - datetime.timedelta(days=PERIODS[name]), until


def text_of_time(time: Any) -> str | None:
    """Return a time in the format of Connect's API, with milliseconds."""
    time = in_utc(time)
    if not isinstance(time, datetime.datetime):
        return None
    text = time.astimezone(datetime.timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def json_of(value: Any) -> str:
    """Return JSON; values that JSON does not have are written as MongoDB's Extended JSON."""
    from bson import json_util

    return json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS, ensure_ascii=False)


def summary_of(stored: dict[str, Any], access: Access) -> dict[str, Any]:
    """Return what a list shows of a record."""
    known = metadata_of(stored)
    return {
        "id": stored["_id"],
        "event_type": known.get("event_type"),
        "object": known.get("object"),
        "object_id": known.get("object_id"),
        "status": known.get("status"),
        "product": known.get("product_id"),
        "marketplace": known.get("marketplace_id"),
        "accounts": known.get("account_ids") or [],
        # An installation does not learn of the others that the same content was delivered for.
        "installations": list(installations_of(stored)) if access.is_owner else [access.installation],
        "environment": known.get("environment_id"),
        "task": known.get("task_id"),
        "received_at": text_of_time(known.get("received_at")),
        "deviations": len(known.get("deviations") or ()),
    }


def record_of(stored: dict[str, Any], access: Access) -> dict[str, Any]:
    """Return a record with its object, as it is stored."""
    known = metadata_of(stored)
    return {
        **summary_of(stored, access),
        "deviations": list(known.get("deviations") or ()),
        "document": payload_of(stored, known),
    }


def letter_summary_of(stored: dict[str, Any]) -> dict[str, Any]:
    """Return what a list shows of a dead letter."""
    return {
        "id": stored["_id"],
        "event_type": stored.get("event_type"),
        "object_id": stored.get("object_id"),
        "installation": stored.get("installation_id"),
        "environment": stored.get("environment_id"),
        "task": stored.get("task_id"),
        "received_at": text_of_time(stored.get("received_at")),
        "error": stored.get("error", ""),
        "errors": list(stored.get("errors") or ()),
    }


def letter_of(stored: dict[str, Any]) -> dict[str, Any]:
    """Return a dead letter with its text, or the first part of a long one."""
    parts = stored.get("parts", 1)
    return {
        **letter_summary_of(stored),
        "data": stored.get("data", ""),
        "parts": parts,
        "part_characters": LETTER_PART_CHARACTERS,
    }


def numbers_body(
    since: datetime.datetime, until: datetime.datetime, numbers: list[EventNumber], letters: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the numbers of a period: events per hour and type, and what failed."""
    hours: dict[tuple[str, str], list[int]] = {}
    failed: dict[tuple[str, str], int] = {}
    for number in numbers:
        counts = hours.setdefault((text_of_time(number.hour) or "", number.event_type), [0, 0])
        counts[0] += number.events
        if number.status in FAILED_STATUSES:
            counts[1] += number.events
            key = (number.event_type, str(number.status))
            failed[key] = failed.get(key, 0) + number.events
    return {
        "since": text_of_time(since),
        "until": text_of_time(until),
        "events": [
            {"hour": hour, "event_type": event_type, "events": events, "failed": of_them}
            for (hour, event_type), (events, of_them) in sorted(hours.items())
        ],
        "failed": [
            {"event_type": event_type, "status": status, "events": events}
            for (event_type, status), events in sorted(failed.items(), key=lambda item: (-item[1], item[0]))
        ],
        "dead_letters": [
            {"event_type": letter["_id"], "dead_letters": int(letter["n"])}
            for letter in sorted(letters, key=lambda letter: (-letter["n"], str(letter["_id"])))
        ],
    }
