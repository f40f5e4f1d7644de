"""What the asynchronous and the blocking event store have in common."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from connect.eaas.mongodb._native import (
    AsyncCollection,
    AsyncDataApiCollection,
    Collection,
    DataApiCollection,
    StoreSettings,
)

if TYPE_CHECKING:
    from connect.eaas.mongodb.events import Deviation, EventValidationError, Model

Path = Literal["driver", "data_api"]

CONNECT = "_connect"
RECEIVED_AT = f"{CONNECT}.received_at"
RECEIPT = f"{CONNECT}.receipt"
OBJECT_ID = f"{CONNECT}.object_id"
EVENT_TYPE = f"{CONNECT}.event_type"
STATUS = f"{CONNECT}.status"
INSTALLATION = f"{CONNECT}.installation_id"
TTL_INDEX = "connect_ttl"
NEWEST: Final = {RECEIVED_AT: -1, RECEIPT: -1}
"""Events of one millisecond are ordered by the receipt, which increases within a process."""
INDEXES: Final[dict[str, dict[str, int]]] = {
    "connect_history": {OBJECT_ID: 1, **NEWEST},
    "connect_event_type": {EVENT_TYPE: 1, **NEWEST},
    "connect_status": {STATUS: 1, **NEWEST},
    "connect_product": {f"{CONNECT}.product_id": 1, **NEWEST},
    "connect_marketplace": {f"{CONNECT}.marketplace_id": 1, **NEWEST},
    "connect_accounts": {f"{CONNECT}.account_ids": 1, **NEWEST},
    # With the fields that `numbers` reads, so that it reads no document.
    "connect_installation": {INSTALLATION: 1, **NEWEST, EVENT_TYPE: 1, STATUS: 1},
    "connect_numbers": {**NEWEST, EVENT_TYPE: 1, STATUS: 1},
}
LETTER_INDEXES: Final[dict[str, dict[str, int]]] = {
    "connect_parts": {"letter": 1, "part": 1},
    "connect_received": {"part": 1, "received_at": -1},
    "connect_installation": {"installation_id": 1, "part": 1, "received_at": -1},
}

EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
DEAD_LETTER_TTL_SECONDS: Final = 90 * 86_400
LETTER_PART_CHARACTERS: Final = 1_000_000
"""The maximum number of characters of a payload in one document of a dead letter."""


@dataclass(frozen=True)
class StoredEvent:
    """A stored event."""

    id: str
    """The record's `_id`: the object's id and a digest of its content."""
    event_type: str
    """The type of the event."""
    object: str
    """The name of the object's class in `connect.eaas.mongodb.events`."""
    received_at: datetime.datetime
    """When the event was received, in UTC."""
    task_id: str | None
    """The task that delivered the event, if known."""
    installation_id: str | None
    """The installation that the event is about, if any."""
    extension_id: str | None
    """The extension that received the event, if known."""
    environment_id: str | None
    """The extension's environment, if known."""
    document: dict[str, Any]
    """The object as Connect sent it, except for redacted values.

    If the payload of the event was not a JSON object, this is that other value.
    """
    object_id: str | None = None
    """The object's id, if it has one."""
    deviations: tuple[Deviation, ...] = ()
    """How the object differs from its model: at most 50 deviations."""
    installation_ids: tuple[str, ...] = ()
    """All installations that the same content was delivered for, the first of them first."""
    backfill: str | None = None
    """The run of the backfill that stored the object, if it was not delivered as an event."""

    @property
    def event(self) -> Model:
        """The object, as an instance of its class.

        Raises:
            EventValidationError: the payload was not a JSON object.
        """
        from connect.eaas.mongodb import events

        model: type[Model] = getattr(events, self.object, events.Other)
        return model(self.document)

    @classmethod
    def _of(cls, stored: dict[str, Any]) -> StoredEvent:
        from connect.eaas.mongodb.events import Deviation

        known = metadata_of(stored)
        installations = installations_of(stored)
        return cls(
            id=stored["_id"],
            event_type=known.get("event_type", ""),
            object=known.get("object", "Other"),
            received_at=in_utc(known.get("received_at")),
            task_id=known.get("task_id"),
            installation_id=installations[0] if installations else None,
            extension_id=known.get("extension_id"),
            environment_id=known.get("environment_id"),
            document=payload_of(stored, known),
            object_id=known.get("object_id"),
            deviations=tuple(
                Deviation(one["path"], one["expected"], one["actual"]) for one in known.get("deviations", ())
            ),
            installation_ids=installations,
            backfill=known.get("backfill"),
        )


@dataclass(frozen=True)
class EventNumber:
    """How many events of one type and status were received in one hour."""

    hour: datetime.datetime
    """The beginning of the hour, in UTC."""
    event_type: str
    """The type of the events."""
    status: str | None
    """The status, or state, of their objects; `None` if they have none."""
    events: int
    """The number of events."""

    @classmethod
    def _of(cls, group: dict[str, Any]) -> EventNumber:
        key = group["_id"]
        return cls(
            hour=EPOCH + datetime.timedelta(hours=int(key["hour"])),
            event_type=key.get("event_type") or "",
            status=key.get("status"),
            events=int(group["events"]),
        )


def metadata_of(stored: dict[str, Any]) -> dict[str, Any]:
    """Return what the store knows of an event."""
    known = stored.get(CONNECT)
    return known if isinstance(known, dict) else {}


def installations_of(stored: dict[str, Any]) -> tuple[str, ...]:
    """Return the installations of a record, which has one as a string, and several as a list."""
    installations = metadata_of(stored).get("installation_id")
    if isinstance(installations, list):
        return tuple(installations)
    return () if installations is None else (installations,)


def payload_of(stored: dict[str, Any], known: dict[str, Any]) -> Any:
    """Return what Connect sent: the record holds it as JSON, in `_connect`, or as its fields."""
    if "json" in known:
        import json

        return json.loads(known["json"])
    if "payload" in known:
        return known["payload"]
    fields = [(name, value) for name, value in stored.items() if name not in ("_id", CONNECT)]
    for one in known.get("reserved", ()):
        fields.insert(one["position"], (one["name"], one["value"]))
    return dict(fields)


def parse_time(text: str) -> datetime.datetime:
    """Return the time of a text in ISO 8601, in UTC if it has a time zone; raise `ValueError` if it is none."""
    # Python 3.10 does not know the suffix Z.
    time = datetime.datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
    try:
        return time if time.tzinfo is None else time.astimezone(datetime.timezone.utc)
    except OverflowError:
        raise ValueError(f"{text!r} is beyond the calendar in UTC") from None


def in_utc(time: Any) -> Any:
    if isinstance(time, datetime.datetime) and time.tzinfo is None:
        return time.replace(tzinfo=datetime.timezone.utc)
    return time


@dataclass(frozen=True)
class DeadLetter:
    """An object that could not be stored as an event."""

    id: str
    """The letter's `_id`."""
    event_type: str | None
    """The type of the event; `None` if it was not valid."""
    object_id: str | None
    """The object's id, if it has one."""
    task_id: str | None
    """The task that delivered the event, if known."""
    installation_id: str | None
    """The installation that the event is about, if any."""
    extension_id: str | None
    """The extension that received the event, if known."""
    environment_id: str | None
    """The extension's environment, if known."""
    error: str
    """Why it could not be stored."""
    errors: tuple[tuple[str, str], ...]
    """The problems: the path of each, empty for the object itself, and what is wrong."""
    received_at: datetime.datetime
    """When the event was received, in UTC."""
    data: str
    """The whole payload as JSON text, redacted as a stored event is."""

    @property
    def payload(self) -> Any:
        """The payload, parsed from `data`."""
        import json

        return json.loads(self.data)

    @classmethod
    def _of(cls, stored: dict[str, Any], parts: list[dict[str, Any]]) -> DeadLetter:
        return cls(
            id=stored["_id"],
            event_type=stored.get("event_type"),
            object_id=stored.get("object_id"),
            task_id=stored.get("task_id"),
            installation_id=stored.get("installation_id"),
            extension_id=stored.get("extension_id"),
            environment_id=stored.get("environment_id"),
            error=stored.get("error", ""),
            errors=tuple((one["path"], one["message"]) for one in stored.get("errors", ())),
            received_at=in_utc(stored.get("received_at")),
            data="".join([stored["data"], *(part["data"] for part in parts)]),
        )


# Where users import them from. Set afterwards: `dataclass` resolves annotations in the module that a class
# names, which may not be imported yet.
for _public in (StoredEvent, EventNumber, DeadLetter):
    _public.__module__ = "connect.eaas.mongodb.store"


def parts_of(letter_id: str) -> dict[str, Any]:
    return {"letter": letter_id}


def one_or_several(value: str | Iterable[str]) -> Any:
    return value if isinstance(value, str) else {"$in": list(value)}


def time_range(since: datetime.datetime | None, until: datetime.datetime | None) -> dict[str, datetime.datetime]:
    return {operator: time for operator, time in (("$gte", since), ("$lt", until)) if time is not None}


def event_query(
    event_type: str | Iterable[str] | None = None,
    status: str | Iterable[str] | None = None,
    product: str | Iterable[str] | None = None,
    marketplace: str | Iterable[str] | None = None,
    account: str | Iterable[str] | None = None,
    object_id: str | Iterable[str] | None = None,
    installation: str | Iterable[str] | None = None,
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
) -> dict[str, Any]:
    named = {
        EVENT_TYPE: event_type,
        STATUS: status,
        f"{CONNECT}.product_id": product,
        f"{CONNECT}.marketplace_id": marketplace,
        f"{CONNECT}.account_ids": account,
        OBJECT_ID: object_id,
        INSTALLATION: installation,
    }
    query = {name: one_or_several(value) for name, value in named.items() if value is not None}
    if times := time_range(since, until):
        query[RECEIVED_AT] = times
    return query


def letter_query(
    event_type: str | Iterable[str] | None = None,
    object_id: str | Iterable[str] | None = None,
    task_id: str | Iterable[str] | None = None,
    installation: str | Iterable[str] | None = None,
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
) -> dict[str, Any]:
    named = {
        "event_type": event_type,
        "object_id": object_id,
        "task_id": task_id,
        "installation_id": installation,
    }
    given = {name: one_or_several(value) for name, value in named.items() if value is not None}
    query: dict[str, Any] = {"part": 0, **given}
    if times := time_range(since, until):
        query["received_at"] = times
    return query


def count_of(query: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the pipeline that counts; MongoDB's own Data API had no other way to count."""
    return [{"$match": query}, {"$group": {"_id": None, "n": {"$sum": 1}}}]


def numbers_of(query: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the pipeline that counts events per hour, type and status, in the fields of an index."""
    # `$dateTrunc` needs MongoDB 5.0; this gives the same hours on every server.
    hour = {"$floor": {"$divide": [{"$subtract": [f"${RECEIVED_AT}", EPOCH]}, 3_600_000]}}
    key = {"hour": hour, "event_type": f"${EVENT_TYPE}", "status": f"${STATUS}"}
    return [{"$match": query}, {"$group": {"_id": key, "events": {"$sum": 1}}}, {"$sort": {"_id": 1}}]


def text_of(config: Mapping[str, Any], name: str) -> str:
    value = config.get(name)
    return value.strip() if isinstance(value, str) else ""


def path_of(config: Mapping[str, Any], path: Path | None) -> Path:
    if path is not None:
        if path not in ("driver", "data_api"):
            from pymongo.errors import ConfigurationError

            raise ConfigurationError("path must be 'driver' or 'data_api'")
        return path
    return "driver" if text_of(config, "DB_HOST") else "data_api"


def ttl_seconds_of(config: Mapping[str, Any], name: str, *, zero_is_never: bool = False) -> int | None:
    days = text_of(config, name)
    if not days:
        return None
    try:
        seconds = round(float(days) * 86_400)
    except (ValueError, OverflowError):
        seconds = -1
    if zero_is_never and seconds == 0:
        return 0
    if not 1 <= seconds <= 2**31 - 1:
        from pymongo.errors import ConfigurationError

        never = ", or 0 for never" if zero_is_never else ""
        raise ConfigurationError(f"{name} must be a number of days, more than 0 and at most 24855{never}")
    return seconds


def letter_documents(
    settings: StoreSettings,
    event_type: object,
    obj: object,
    error: EventValidationError,
    task_id: str | None,
    installation_id: str | None,
) -> list[dict[str, Any]]:
    """Return the documents of a dead letter. The first is to be inserted last: it completes the letter."""
    import hashlib
    import json

    data, object_id = settings.dead_letter(event_type, obj)
    event_type = event_type if isinstance(event_type, str) else None
    key = hashlib.sha256(json.dumps([event_type, task_id, data]).encode()).hexdigest()[:32]
    texts = [data[start : start + LETTER_PART_CHARACTERS] for start in range(0, len(data), LETTER_PART_CHARACTERS)] or [
        ""
    ]
    extension_id, environment_id = settings.context
    received_at = datetime.datetime.now(datetime.timezone.utc)
    letter = {
        "_id": key,
        "part": 0,
        "parts": len(texts),
        "event_type": event_type,
        "object_id": object_id,
        "task_id": task_id,
        "installation_id": installation_id,
        "extension_id": extension_id,
        "environment_id": environment_id,
        "error": str(error),
        "errors": [{"path": path, "message": message} for path, message in error.errors],
        "received_at": received_at,
        # JSON text, because the object cannot be stored as fields.
        "data": texts[0],
    }
    parts = [
        {"_id": f"{key}:{part}", "letter": key, "part": part, "received_at": received_at, "data": text}
        for part, text in enumerate(texts[1:], start=1)
    ]
    return [letter, *parts]


class Indexes(NamedTuple):
    """The indexes of a collection, including the TTL index."""

    collection: str
    indexes: list[dict[str, Any]]
    ttl_field: str
    ttl_seconds: int | None

    def create(self) -> dict[str, Any]:
        indexes = list(self.indexes)
        if self.ttl_seconds is not None:
            key = {self.ttl_field: 1}
            indexes.append({"key": key, "name": TTL_INDEX, "expireAfterSeconds": self.ttl_seconds})
        return {"createIndexes": self.collection, "indexes": indexes}

    def change_ttl(self) -> dict[str, Any]:
        return {"collMod": self.collection, "index": {"name": TTL_INDEX, "expireAfterSeconds": self.ttl_seconds}}

    def drop_ttl(self) -> dict[str, Any]:
        return {"dropIndexes": self.collection, "index": TTL_INDEX}

    def ttl_differs(self, error: Exception) -> bool:
        # IndexOptionsConflict and IndexKeySpecsConflict.
        return self.ttl_seconds is not None and getattr(error, "code", None) in (85, 86)


def is_missing(error: Exception) -> bool:
    # IndexNotFound and NamespaceNotFound.
    return getattr(error, "code", None) in (27, 26)


class Store:
    """The base class of both stores."""

    collection: AsyncCollection | AsyncDataApiCollection | Collection | DataApiCollection

    def __init__(
        self,
        *,
        redact: bool = True,
        redact_paths: Iterable[str] = (),
        keep_paths: Iterable[str] = (),
        redact_key: str | None = None,
        extension_id: str | None = None,
        environment_id: str | None = None,
        ttl_seconds: int | None = None,
        dead_letter_ttl_seconds: int | None = None,
    ) -> None:
        self._settings = StoreSettings(
            redact, list(redact_paths), list(keep_paths), redact_key, extension_id, environment_id
        )
        self._ttl_seconds = ttl_seconds
        self._letter_ttl_seconds = (
            DEAD_LETTER_TTL_SECONDS if dead_letter_ttl_seconds is None else dead_letter_ttl_seconds or None
        )

    @staticmethod
    def _options(config: Mapping[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        def paths(name: str) -> list[str]:
            return [path.strip() for path in text_of(config, name).split(",") if path.strip()]

        known: dict[str, Any] = {
            "redact_paths": paths("EVENTS_REDACT"),
            "keep_paths": paths("EVENTS_KEEP"),
            "redact_key": text_of(config, "EVENTS_REDACT_KEY") or None,
            "environment_id": os.environ.get("ENVIRONMENT_ID"),
            "ttl_seconds": ttl_seconds_of(config, "EVENTS_TTL_DAYS"),
            "dead_letter_ttl_seconds": ttl_seconds_of(config, "EVENTS_DEAD_LETTER_TTL_DAYS", zero_is_never=True),
        }
        return known | options

    def _indexes(self) -> list[Indexes]:
        name = self.collection.name
        events = [{"key": key, "name": index} for index, key in INDEXES.items()]
        letters = [{"key": key, "name": index} for index, key in LETTER_INDEXES.items()]
        return [
            Indexes(name, events, RECEIVED_AT, self._ttl_seconds),
            Indexes(f"{name}_dead_letters", letters, "received_at", self._letter_ttl_seconds),
        ]

    def _letters(self) -> Any:
        return self.collection.database[f"{self.collection.name}_dead_letters"]


def batches(events: Iterable[Any]) -> Iterator[list[Any]]:
    """Split events into lists of at most a thousand."""
    batch: list[Any] = []
    for event in events:
        batch.append(event)
        if len(batch) == 1000:
            yield batch
            batch = []
    if batch:
        yield batch
