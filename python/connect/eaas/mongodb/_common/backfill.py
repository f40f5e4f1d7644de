"""What the asynchronous and the blocking backfill have in common."""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import hashlib
import json
import random
import re
import secrets
from asyncio import sleep as async_sleep
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import sleep
from typing import Any, Final, Literal, NamedTuple, TypeVar

from connect.eaas.mongodb._common.store import in_utc

__all__ = ["async_each", "async_sleep", "each", "sleep"]

T = TypeVar("T")
U = TypeVar("U")

Fetch = Literal["auto", "list", "each"]
State = Literal["running", "waiting", "finished", "stopped", "dry run"]

UTC: Final = datetime.timezone.utc

PAGE: Final = 500
"""The number of objects in a page."""

AT_ONCE: Final = 8
"""The number of requests in flight where each object is fetched by itself."""

OVERLAP: Final = datetime.timedelta(minutes=5)
"""How far before its end a later run begins: an object may become visible some time after its creation."""

FIRST_WIDTH: Final = datetime.timedelta(days=1)
MIN_WIDTH: Final = datetime.timedelta(hours=1)
MAX_WIDTH: Final = datetime.timedelta(days=366)
"""The first, the shortest and the longest window of creation times."""

RETRIES: Final = 10
"""How often a request, or a page's inserts, may fail one after the other."""

FIRST_RETRIES: Final = 3
"""The same before anything was read: what fails then is likely to be misconfigured."""

MAX_DELAY_SECONDS: Final = 60.0
TIED_PASSES: Final = 50
"""How often objects created at the same time are read until all are found."""

CREATED: Final = ("events.created.at", "created", "created.at", "created_at")
"""Where Connect's objects have the time of their creation, and the names that its filters have for it."""


@dataclass(frozen=True)
class Kind:
    """A collection of Connect's API."""

    name: str
    """Its name on the command line."""
    path: str
    """Its path in the API."""
    event_type: str
    """The type of the event that delivers an object; `{type}` stands for the object's type."""
    status: str | None = "status"
    product: str | None = None
    marketplace: str | None = None
    """The fields that the filters are for, as Connect's API names them."""
    created: tuple[str, ...] = CREATED
    """The names that the filter for the creation may have, the likeliest first."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """The words of event types for types of objects that have another one."""

    def event_type_of(self, obj: Mapping[str, Any]) -> str:
        """Return the type of the event that delivers the object."""
        kind = obj.get("type")
        if "{type}" not in self.event_type:
            return self.event_type
        if not isinstance(kind, str) or not re.fullmatch("[a-z_]+", kind):
            return self.event_type.replace("{type}_", "")
        return self.event_type.format(type=self.renamed.get(kind, kind))


KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "requests",
            "requests",
            "asset_{type}_request_processing",
            product="asset.product.id",
            marketplace="asset.marketplace.id",
            created=("created", "events.created.at"),
        ),
        Kind(
            "tier-config-requests",
            "tier/config-requests",
            "tier_config_{type}_request_processing",
            product="product.id",
            marketplace="marketplace.id",
            renamed={"update": "change"},
        ),
        Kind(
            "tier-account-requests",
            "tier/account-requests",
            "tier_account_{type}_request_processing",
            product="product.id",
        ),
        Kind(
            "listing-requests",
            "listing-requests",
            "listing_{type}_request_processing",
            status="state",
            product="listing.product.id",
            marketplace="listing.contract.marketplace.id",
            created=("created", "events.created.at"),
        ),
        Kind(
            "listings",
            "listings",
            "listing_processing",
            product="product.id",
            marketplace="contract.marketplace.id",
            created=("created", "events.created.at"),
        ),
        Kind(
            "billing-requests",
            "subscriptions/requests",
            "billing_request_processing",
            status=None,
            product="asset.product.id",
            marketplace="asset.marketplace.id",
            created=("created", "events.created.at"),
        ),
        Kind(
            "usage-files",
            "usage/files",
            "usage_file_request_processing",
            product="product.id",
            marketplace="marketplace.id",
        ),
        Kind("usage-chunks", "usage/chunks", "part_usage_file_request_processing", marketplace="marketplace.id"),
        Kind("cases", "helpdesk/cases", "helpdesk_case_processing", status="state", product="product.id"),
    )
}
"""The collections that a backfill reads, by name."""


class BackfillError(Exception):
    """A backfill cannot go on; what it has stored is kept, and `resume` continues it."""


BackfillError.__module__ = "connect.eaas.mongodb.backfill"


class RefusedError(BackfillError):
    """Connect does not accept a query."""


class StoppedError(Exception):
    """The caller has asked the backfill to stop."""


@dataclass
class BackfillProgress:
    """How far a backfill is."""

    kind: str
    """The collection."""
    run: str
    """The id of this run; the records that it stores have it in `_connect.backfill`."""
    since: datetime.datetime | None
    """The first creation time that was asked for, if any."""
    until: datetime.datetime
    """The creation time at which the run ends."""
    state: State = "running"
    """`running`, `waiting`, `finished`, `stopped` or `dry run`."""
    resumed: bool = False
    """Whether the run continues an earlier one."""
    position: datetime.datetime | None = None
    """All objects created before are stored."""
    total: int | None = None
    """The number of objects that this run has to read, as counted at its start, if Connect tells."""
    read: int = 0
    """The number of objects read."""
    stored: int = 0
    """The number of records stored by this run."""
    duplicates: int = 0
    """The number of objects whose content was already stored."""
    dead_letters: int = 0
    """The number of objects that could not be stored as events."""
    missing: int = 0
    """The number of objects that were deleted before they could be fetched."""
    note: str = ""
    """What the run waits for."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        return {
            name: value.isoformat() if isinstance(value, datetime.datetime) else value
            for name, value in vars(self).items()
        }


BackfillProgress.__module__ = "connect.eaas.mongodb.backfill"


def several(name: str, values: str | Iterable[str] | None, pattern: str, example: str) -> tuple[str, ...]:
    """Return one value or several as a sorted tuple.

    Raises:
        ValueError: a value cannot be part of a query.
    """
    if values is None:
        return ()
    found = {values} if isinstance(values, str) else set(values)
    for value in found:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(f"{name} must be like {example}: {value!r} is not")
    return tuple(sorted(found))


def aware(name: str, time: datetime.datetime | None) -> datetime.datetime | None:
    if time is None:
        return None
    if not isinstance(time, datetime.datetime) or time.tzinfo is None:
        raise ValueError(f"{name} must be a datetime with a time zone, such as datetime(2024, 1, 31, tzinfo=UTC)")
    return time.astimezone(UTC)


def one_of(name: str, values: Sequence[str], known: Iterable[str]) -> None:
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"unknown {name} {', '.join(unknown)}: known are {', '.join(known)}")


@dataclass(frozen=True)
class Plan:
    """What a backfill has to read."""

    kind: Kind
    since: datetime.datetime | None
    until: datetime.datetime
    status: tuple[str, ...]
    product: tuple[str, ...]
    marketplace: tuple[str, ...]
    rql: str | None
    resume: bool
    dry_run: bool
    fetch: Fetch

    @classmethod
    def of(
        cls,
        kind: str,
        *,
        since: datetime.datetime | None,
        until: datetime.datetime | None,
        status: str | Iterable[str] | None,
        product: str | Iterable[str] | None,
        marketplace: str | Iterable[str] | None,
        rql: str | None,
        resume: bool,
        dry_run: bool,
        fetch: str,
    ) -> Plan:
        """Check the arguments of a backfill.

        Raises:
            ValueError: an argument is invalid; the message says which one, and what is possible.
        """
        one_of("kind", [kind], KINDS)
        one_of("fetch", [fetch], ("auto", "list", "each"))
        known = KINDS[kind]
        now = datetime.datetime.now(UTC)
        since, ends = aware("since", since), aware("until", until) or now
        if since is not None and since >= ends:
            raise ValueError(
                f"since must be before until: {since.isoformat(timespec='seconds')} is not before "
                f"{ends.isoformat(timespec='seconds')}" + ("" if until else ", the present")
            )
        if rql is not None and not re.fullmatch(r"[a-z]+\([^\s&#]*\)", rql):
            raise ValueError("rql must be one expression without spaces, & and #, such as eq(type,purchase)")
        plan = cls(
            kind=known,
            since=since,
            until=ends,
            status=several("status", status, "[a-z_]+", "pending"),
            product=several("product", product, r"PRD-[\w-]+", "PRD-000-000-000"),
            marketplace=several("marketplace", marketplace, r"MP-[\w-]+", "MP-00000"),
            rql=rql,
            resume=resume,
            dry_run=dry_run,
            fetch=fetch,  # type: ignore[arg-type]
        )
        for name in ("status", "product", "marketplace"):
            if getattr(plan, name) and getattr(known, name) is None:
                raise ValueError(f"{kind} have no {name} to filter by")
        if known.status and plan.status:
            one_of("status", plan.status, statuses_of(known) or plan.status)
        return plan

    def query(self, by: str, low: datetime.datetime | None, end: datetime.datetime, order: str) -> str:
        """Return the path and the query of what was created from `low` to before `end`."""
        from connect.client import R

        conditions = R().n(by).lt(rql_time(end))
        if low is not None:
            conditions = R().n(by).ge(rql_time(low)) & conditions
        for name in ("status", "product", "marketplace"):
            if values := getattr(self, name):
                conditions &= R().n(getattr(self.kind, name)).oneof(values)
        if self.rql:
            conditions &= R(_expr=self.rql)
        return f"{self.kind.path}?{conditions}&ordering({order})"

    def checkpoint_id(self, client: Any) -> str:
        """Return the `_id` of the checkpoint: the same for the same selection of the same account."""
        # The user of a key is public; the key is not.
        user = re.match(r"(?:ApiKey )?(SU-[\d-]+):", str(client.api_key))
        selection = [client.endpoint, user[1] if user else None, *self.selection().values()]
        digest = hashlib.sha256(json.dumps(selection).encode()).hexdigest()
        return f"{self.kind.name}:{digest[:24]}"

    def selection(self) -> dict[str, Any]:
        """Return what identifies the objects, for the checkpoint."""
        return {
            "kind": self.kind.name,
            "status": list(self.status),
            "product": list(self.product),
            "marketplace": list(self.marketplace),
            "rql": self.rql,
        }


def statuses_of(kind: Kind) -> list[str]:
    """Return the statuses that objects of a kind may have, as far as they are known."""
    from connect.eaas.mongodb.events import EVENT_TYPES

    pattern = re.compile(kind.event_type.replace("{type}", "[a-z]+"))
    known: dict[str, None] = {}
    for event_type in EVENT_TYPES.values():
        if pattern.fullmatch(event_type.name):
            known |= dict.fromkeys(event_type.statuses)
    return list(known)


def done_before(checkpoint: Mapping[str, Any] | None, since: datetime.datetime | None) -> datetime.datetime | None:
    """Return the creation time before which everything from `since` on is stored, or `None` if nothing is."""
    if not checkpoint or not checkpoint.get("position"):
        return None
    begun = checkpoint.get("since")
    if begun is not None and (since is None or since < in_utc(begun)):
        return None
    position: datetime.datetime = in_utc(checkpoint["position"])
    if checkpoint.get("state") == "finished":
        position -= OVERLAP
    return position if since is None or since < position else None


def new_run() -> str:
    """Return the id of a new run."""
    return f"BF-{datetime.datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def without_retries(client: Any) -> Any:
    """Return a client of the same connections whose calls fail at once, and that keeps no pages."""
    own = object.__new__(type(client))
    own.__dict__.update(vars(client))
    # The asynchronous client blocks its event loop while it waits to retry.
    own.max_retries = 0
    own.resourceset_append = False
    return own


def rql_time(time: datetime.datetime) -> str:
    """Return a time as a query has it: `+` in an offset would be read as a space."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?")


class Created(NamedTuple):
    """When an object was created, as far as Connect tells."""

    at: datetime.datetime
    tick: datetime.timedelta
    """The precision that Connect returned it with."""


def created_of(obj: Mapping[str, Any], by: str) -> Created | None:
    """Return when an object was created, or `None` if it does not say."""
    for path in (by, *CREATED):
        value: Any = obj
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        match = _TIME.fullmatch(value) if isinstance(value, str) else None
        if match:
            day, clock, fraction, zone = match.groups()
            zone = "+00:00" if zone in (None, "Z") else zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
            digits = (fraction or "")[:6]
            text = f"{day}T{clock}.{digits.ljust(6, '0')}{zone}"
            tick = datetime.timedelta(microseconds=10 ** (6 - len(digits)))
            try:
                return Created(datetime.datetime.fromisoformat(text).astimezone(UTC), tick)
            except (ValueError, OverflowError):
                continue
    return None


def created_in_order(rows: list[dict[str, Any]], plan: Plan, by: str) -> list[Created]:
    """Return when each object was created.

    Raises:
        BackfillError: an object does not say, or the objects are in another order.
    """
    times: list[Created] = []
    for row in rows:
        created = created_of(row, by)
        if created is None:
            raise BackfillError(f"{row.get('id')} of Connect's {plan.kind.path} does not say when it was created")
        if times and created.at + created.tick < times[-1].at:
            raise BackfillError(f"Connect returned {plan.kind.path} in another order than that of {by}")
        times.append(created)
    return times


def ids_of(rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the ids of the objects that have one."""
    return {row["id"] for row in rows if isinstance(row.get("id"), str)}


def without(rows: list[dict[str, Any]], seen: set[str]) -> list[dict[str, Any]]:
    """Return the objects whose ids have not been seen."""
    return [row for row in rows if not isinstance(row.get("id"), str) or row["id"] not in seen]


def next_width(width: datetime.timedelta, count: int) -> datetime.timedelta:
    """Return the width of the next window: the wider, the fewer objects the last one had."""
    if count < PAGE // 2:
        return min(2 * width, MAX_WIDTH)
    if count > 20 * PAGE:
        return max(width / 2, MIN_WIDTH)
    return width


def total_of(headers: Mapping[str, str]) -> int | None:
    """Return the number of objects that `Content-Range` tells, if it does."""
    match = re.fullmatch(r"\s*items\s+(?:\d+-\d+|\*)/(\d+)\s*", headers.get("Content-Range") or "")
    return int(match[1]) if match else None


class Fault(NamedTuple):
    """Why a call failed."""

    message: str
    retry: bool
    seconds: float | None = None
    """How long the server asks to wait."""
    status: int | None = None


class UnexpectedBodyError(Exception):
    """A response is not what was asked for."""


def check_body(body: Any, expected: type) -> None:
    """Raise an error if a response is neither an object nor a list of objects, as expected."""
    rows = body if expected is list and isinstance(body, list) else [body]
    if not all(isinstance(row, dict) for row in rows):
        raise UnexpectedBodyError


def fault_of(error: Exception, response: Any, path: str) -> Fault:
    """Return why a call of Connect's API failed."""
    from connect.client import ClientError

    if isinstance(error, ClientError):
        status = error.status_code
        if status is None or status < 400:
            cause = error.__cause__ or error
            name = type(cause).__name__
            # The client was given a URL that is none.
            wrong = name in ("MissingSchema", "InvalidSchema", "InvalidURL", "UnsupportedProtocol")
            return Fault(f"Connect cannot be reached ({name})", not wrong)
        code = f" {error.error_code}" if error.error_code else ""
        errors = error.errors if isinstance(error.errors, list) else []
        says = ": " + "; ".join(str(one) for one in errors) if errors else ""
        known = f"({status}{code}{says[:500]})"
        if status == 429:
            seconds = retry_after(response)
            return Fault(f"Connect limits the rate of requests {known}", True, seconds, status)
        if status in (408, 425) or status >= 500:
            return Fault(f"Connect failed {known}", True, retry_after(response), status)
        if status in (401, 403):
            return Fault(f"Connect refuses the API key {known}: check the key and its permissions", False, None, status)
        if status == 404:
            return Fault(f"Connect has no {path} for this account {known}", False, None, status)
        return Fault(f"Connect refuses the query of {path} {known}", False, None, status)
    if isinstance(error, (UnexpectedBodyError, ValueError, TypeError, OSError)):
        # A body that is cut off, or a proxy's page.
        return Fault(f"Connect's response to {path} is not a list of objects", True)
    return Fault(f"the call of Connect failed ({type(error).__name__})", False)


def retry_after(response: Any) -> float | None:
    """Return the seconds that a response asks to wait, if it does."""
    value = (response.headers.get("Retry-After") or "").strip() if response is not None else ""
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return float(value)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return max(0.0, (at.astimezone(UTC) - datetime.datetime.now(UTC)).total_seconds())


def delay(failures: int) -> float:
    """Return how long to wait after so many failures, in seconds."""
    longest: float = min(MAX_DELAY_SECONDS, 2.0 ** (failures - 1))
    return longest * (0.5 + random.random() / 2)


def is_transient(error: Exception) -> bool:
    """Whether an insert may succeed if it is tried again."""
    from connect.eaas.mongodb.errors import DataApiError
    from pymongo.errors import AutoReconnect, ExecutionTimeout, PyMongoError, WaitQueueTimeoutError

    if isinstance(error, DataApiError):
        return error.status is None or error.status == 429 or error.status >= 500
    if isinstance(error, (AutoReconnect, ExecutionTimeout, WaitQueueTimeoutError)):
        return True
    return isinstance(error, PyMongoError) and error.has_error_label("RetryableWriteError")


def shape(value: Any, path: str = "") -> set[str]:
    """Return the paths of all fields of a value."""
    if isinstance(value, dict):
        fields = {f"{path}.{name}": one for name, one in value.items()}
        return set(fields).union(*(shape(one, name) for name, one in fields.items()))
    if isinstance(value, list):
        return set[str]().union(*(shape(one, f"{path}[]") for one in value))
    return set()


async def async_each(function: Callable[[T], Awaitable[U]], values: Iterable[T]) -> list[U]:
    """Await a call for each value, several at a time; return the results in order."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(value: T) -> U:
        async with free:
            return await function(value)

    tasks = [asyncio.ensure_future(one(value)) for value in values]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def each(function: Callable[[T], U], values: Iterable[T]) -> list[U]:
    """Call a function for each value, several at a time; return the results in order."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        calls = [pool.submit(function, value) for value in values]
        try:
            return [call.result() for call in calls]
        finally:
            for call in calls:
                call.cancel()
