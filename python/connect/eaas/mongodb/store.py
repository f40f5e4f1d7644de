"""The event store: each event once, on either path.

`await AsyncEventStore.from_config(self.config).save(event_type, obj)` stores the
object's fields as they are, with an `_id` made of the object's id and a digest
of its content: the same content is stored once, however often and by however
many instances it is delivered, and a changed object is a new record. The
sub-document `_connect` holds what is known of the event.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from connect.eaas.mongodb._native import (
    AsyncCollection,
    AsyncCursor,
    AsyncDataApiClient,
    AsyncDataApiCollection,
    AsyncMongoClient,
    Collection,
    Cursor,
    DataApiClient,
    DataApiCollection,
    MongoClient,
    SaveResult,
    StoreSettings,
    _count_dead_letter,
    store_metrics,
)
from connect.eaas.mongodb.variables import Variable

if TYPE_CHECKING:
    from connect.eaas.mongodb.events import Deviation, EventValidationError, Model
    from typing_extensions import Self

__all__ = [
    "STORE_VARIABLES",
    "AsyncDeadLetterCursor",
    "AsyncEventCursor",
    "AsyncEventStore",
    "DeadLetter",
    "DeadLetterCursor",
    "EventCursor",
    "EventStore",
    "SaveResult",
    "StoredEvent",
    "store_metrics",
]

Path = Literal["driver", "data_api"]

STORE_VARIABLES: Final[list[Variable]] = [
    {"name": "EVENTS_REDACT", "initial_value": "", "secure": False},
    {"name": "EVENTS_KEEP", "initial_value": "", "secure": False},
    {"name": "EVENTS_REDACT_KEY", "initial_value": "", "secure": True},
    {"name": "EVENTS_TTL_DAYS", "initial_value": "", "secure": False},
    {"name": "EVENTS_DEAD_LETTER_TTL_DAYS", "initial_value": "", "secure": False},
]
"""More variables, for `@variables(VARIABLES + STORE_VARIABLES)`; all are optional.

`EVENTS_REDACT`: more paths to redact, separated by commas.
`EVENTS_KEEP`: paths that are stored although they are redacted by default.
`EVENTS_REDACT_KEY`: the key of the digests that replace redacted values.
`EVENTS_TTL_DAYS`: after how many days MongoDB removes an event, once
`ensure_indexes` has been called. Events are kept unless this is set.
`EVENTS_DEAD_LETTER_TTL_DAYS`: the same for dead letters; 90 unless this is set, `0` keeps them.
"""

_CONNECT = "_connect"
_RECEIVED_AT = f"{_CONNECT}.received_at"
_RECEIPT = f"{_CONNECT}.receipt"
_OBJECT_ID = f"{_CONNECT}.object_id"
_TTL_INDEX = "connect_ttl"
_NEWEST: Final = {_RECEIVED_AT: -1, _RECEIPT: -1}
"""Within a millisecond, the receipt shows which event a process received later."""
_INDEXES: Final[dict[str, dict[str, int]]] = {
    "connect_history": {_OBJECT_ID: 1, **_NEWEST},
    "connect_event_type": {f"{_CONNECT}.event_type": 1, **_NEWEST},
    "connect_status": {f"{_CONNECT}.status": 1, **_NEWEST},
    "connect_product": {f"{_CONNECT}.product_id": 1, **_NEWEST},
    "connect_marketplace": {f"{_CONNECT}.marketplace_id": 1, **_NEWEST},
    "connect_accounts": {f"{_CONNECT}.account_ids": 1, **_NEWEST},
    "connect_received": dict(_NEWEST),
}

_DEAD_LETTER_TTL_SECONDS: Final = 90 * 86_400
_LETTER_PART: Final = 1_000_000
"""The most characters of a payload in one document of a dead letter."""


@dataclass(frozen=True)
class StoredEvent:
    """An event as it is stored."""

    id: str
    """The record's `_id`: the object's id and a digest of its content."""
    event_type: str
    """The type of the event."""
    object: str
    """The name of the object's class in `connect.eaas.mongodb.events`."""
    received_at: datetime.datetime
    """When it was received, in UTC."""
    task_id: str | None
    """The task that brought it, if that is known."""
    installation_id: str | None
    """The installation that it was for, if it was for one."""
    extension_id: str | None
    """The extension that got it, if that is known."""
    environment_id: str | None
    """The extension's environment, if that is known."""
    document: dict[str, Any]
    """The object as it was, except for what was redacted.

    Where the payload of the event was no JSON object, this is that other value.
    """
    object_id: str | None = None
    """The object's id, if it has one."""
    deviations: tuple[Deviation, ...] = ()
    """How the object differs from its model: at most 50 deviations."""

    @property
    def event(self) -> Model:
        """The object, as an instance of its class.

        Raises:
            EventValidationError: the payload was no JSON object.
        """
        from connect.eaas.mongodb import events

        model: type[Model] = getattr(events, self.object, events.Other)
        return model(self.document)

    @classmethod
    def _of(cls, stored: dict[str, Any]) -> StoredEvent:
        from connect.eaas.mongodb.events import Deviation

        known = stored.get(_CONNECT)
        if not isinstance(known, dict):
            known = {}
        return cls(
            id=stored["_id"],
            event_type=known.get("event_type", ""),
            object=known.get("object", "Other"),
            received_at=_in_utc(known.get("received_at")),
            task_id=known.get("task_id"),
            installation_id=known.get("installation_id"),
            extension_id=known.get("extension_id"),
            environment_id=known.get("environment_id"),
            document=_payload(stored, known),
            object_id=known.get("object_id"),
            deviations=tuple(
                Deviation(one["path"], one["expected"], one["actual"]) for one in known.get("deviations", ())
            ),
        )


def _payload(stored: dict[str, Any], known: dict[str, Any]) -> Any:
    """What Connect sent, from wherever the record has it."""
    if "json" in known:
        return json.loads(known["json"])
    if "payload" in known:
        return known["payload"]
    fields = [(name, value) for name, value in stored.items() if name not in ("_id", _CONNECT)]
    for one in known.get("reserved", ()):
        fields.insert(one["position"], (one["name"], one["value"]))
    return dict(fields)


def _in_utc(moment: Any) -> Any:
    if isinstance(moment, datetime.datetime) and moment.tzinfo is None:
        return moment.replace(tzinfo=datetime.timezone.utc)
    return moment


@dataclass(frozen=True)
class DeadLetter:
    """An object that could not be stored as an event."""

    id: str
    """The letter's `_id`."""
    event_type: str | None
    """The type of the event; `None` where it was not valid."""
    object_id: str | None
    """The object's id, if it has one."""
    task_id: str | None
    """The task that delivered it, if that is known."""
    installation_id: str | None
    """The installation that it was for, if it was for one."""
    extension_id: str | None
    """The extension that received it, if that is known."""
    environment_id: str | None
    """The extension's environment, if that is known."""
    error: str
    """Why it could not be stored."""
    errors: tuple[tuple[str, str], ...]
    """The problems: the path of each, empty for the object itself, and what is wrong."""
    received_at: datetime.datetime
    """When it was received, in UTC."""
    data: str
    """The whole payload as JSON text, redacted as a stored event is."""

    @property
    def payload(self) -> Any:
        """The payload, parsed from `data`."""
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
            received_at=_in_utc(stored.get("received_at")),
            data="".join([stored["data"], *(part["data"] for part in parts)]),
        )


class AsyncEventCursor:
    """Stored events, read in batches."""

    def __init__(self, cursor: AsyncCursor) -> None:
        """For a cursor over the collection."""
        self._cursor = cursor

    def __aiter__(self) -> AsyncIterator[StoredEvent]:
        return self

    async def __anext__(self) -> StoredEvent:
        return StoredEvent._of(await self._cursor.__anext__())

    async def to_list(self, length: int | None = None) -> list[StoredEvent]:
        """All remaining events, or at most `length` of them."""
        return [StoredEvent._of(document) for document in await self._cursor.to_list(length)]

    async def close(self) -> None:
        """Close the cursor on the server."""
        await self._cursor.close()


class EventCursor:
    """Stored events, read in batches."""

    def __init__(self, cursor: Cursor) -> None:
        """For a cursor over the collection."""
        self._cursor = cursor

    def __iter__(self) -> Iterator[StoredEvent]:
        return self

    def __next__(self) -> StoredEvent:
        return StoredEvent._of(next(self._cursor))

    def to_list(self, length: int | None = None) -> list[StoredEvent]:
        """All remaining events, or at most `length` of them."""
        return [StoredEvent._of(document) for document in self._cursor.to_list(length)]

    def close(self) -> None:
        """Close the cursor on the server."""
        self._cursor.close()


class AsyncDeadLetterCursor:
    """Dead letters, read in batches."""

    def __init__(self, letters: Any, cursor: AsyncCursor) -> None:
        """For a cursor over the collection `letters`."""
        self._letters = letters
        self._cursor = cursor

    def __aiter__(self) -> AsyncIterator[DeadLetter]:
        return self

    async def __anext__(self) -> DeadLetter:
        return await self._whole(await self._cursor.__anext__())

    async def to_list(self, length: int | None = None) -> list[DeadLetter]:
        """All remaining letters, or at most `length` of them."""
        return [await self._whole(stored) for stored in await self._cursor.to_list(length)]

    async def close(self) -> None:
        """Close the cursor on the server."""
        await self._cursor.close()

    async def _whole(self, stored: dict[str, Any]) -> DeadLetter:
        parts = []
        if stored.get("parts", 1) > 1:
            parts = await self._letters.find(_parts_of(stored["_id"])).sort([("part", 1)]).to_list()
        return DeadLetter._of(stored, parts)


class DeadLetterCursor:
    """Dead letters, read in batches."""

    def __init__(self, letters: Any, cursor: Cursor) -> None:
        """For a cursor over the collection `letters`."""
        self._letters = letters
        self._cursor = cursor

    def __iter__(self) -> Iterator[DeadLetter]:
        return self

    def __next__(self) -> DeadLetter:
        return self._whole(next(self._cursor))

    def to_list(self, length: int | None = None) -> list[DeadLetter]:
        """All remaining letters, or at most `length` of them."""
        return [self._whole(stored) for stored in self._cursor.to_list(length)]

    def close(self) -> None:
        """Close the cursor on the server."""
        self._cursor.close()

    def _whole(self, stored: dict[str, Any]) -> DeadLetter:
        parts = []
        if stored.get("parts", 1) > 1:
            parts = self._letters.find(_parts_of(stored["_id"])).sort([("part", 1)]).to_list()
        return DeadLetter._of(stored, parts)


def _parts_of(letter_id: str) -> dict[str, Any]:
    return {"letter": letter_id}


def _one_or_some(value: str | Iterable[str]) -> Any:
    return value if isinstance(value, str) else {"$in": list(value)}


def _times(since: datetime.datetime | None, until: datetime.datetime | None) -> dict[str, datetime.datetime]:
    return {operator: moment for operator, moment in (("$gte", since), ("$lt", until)) if moment is not None}


def _query(
    event_type: str | Iterable[str] | None = None,
    status: str | Iterable[str] | None = None,
    product: str | Iterable[str] | None = None,
    marketplace: str | Iterable[str] | None = None,
    account: str | Iterable[str] | None = None,
    object_id: str | Iterable[str] | None = None,
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
) -> dict[str, Any]:
    named = {
        f"{_CONNECT}.event_type": event_type,
        f"{_CONNECT}.status": status,
        f"{_CONNECT}.product_id": product,
        f"{_CONNECT}.marketplace_id": marketplace,
        f"{_CONNECT}.account_ids": account,
        _OBJECT_ID: object_id,
    }
    query = {name: _one_or_some(value) for name, value in named.items() if value is not None}
    if times := _times(since, until):
        query[_RECEIVED_AT] = times
    return query


def _letter_query(
    event_type: str | None,
    object_id: str | None,
    task_id: str | None,
    since: datetime.datetime | None,
    until: datetime.datetime | None,
) -> dict[str, Any]:
    named = {"event_type": event_type, "object_id": object_id, "task_id": task_id}
    query: dict[str, Any] = {"part": 0, **{name: value for name, value in named.items() if value is not None}}
    if times := _times(since, until):
        query["received_at"] = times
    return query


def _text(config: Mapping[str, Any], name: str) -> str:
    value = config.get(name)
    return value.strip() if isinstance(value, str) else ""


def _path_of(config: Mapping[str, Any], path: Path | None) -> Path:
    if path is not None:
        if path not in ("driver", "data_api"):
            from pymongo.errors import ConfigurationError

            raise ConfigurationError("path must be 'driver' or 'data_api'")
        return path
    return "driver" if _text(config, "DB_HOST") else "data_api"


def _ttl_seconds(config: Mapping[str, Any], name: str, *, zero_is_never: bool = False) -> int | None:
    days = _text(config, name)
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


def _dead_letter(
    settings: StoreSettings,
    event_type: object,
    obj: object,
    error: EventValidationError,
    task_id: str | None,
    installation_id: str | None,
) -> list[dict[str, Any]]:
    """The documents of a dead letter, the one to insert last first."""
    data, object_id = settings.dead_letter(event_type, obj)
    event_type = event_type if isinstance(event_type, str) else None
    key = hashlib.sha256(json.dumps([event_type, task_id, data]).encode()).hexdigest()[:32]
    texts = [data[start : start + _LETTER_PART] for start in range(0, len(data), _LETTER_PART)] or [""]
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
        # As text: what cannot be stored as fields has no other form.
        "data": texts[0],
    }
    parts = [
        {"_id": f"{key}:{part}", "letter": key, "part": part, "received_at": received_at, "data": text}
        for part, text in enumerate(texts[1:], start=1)
    ]
    return [letter, *parts]


class _Indexes(NamedTuple):
    """The indexes of a collection, with the one that removes old documents."""

    collection: str
    indexes: list[dict[str, Any]]
    ttl_field: str
    ttl_seconds: int | None

    def create(self) -> dict[str, Any]:
        indexes = list(self.indexes)
        if self.ttl_seconds is not None:
            key = {self.ttl_field: 1}
            indexes.append({"key": key, "name": _TTL_INDEX, "expireAfterSeconds": self.ttl_seconds})
        return {"createIndexes": self.collection, "indexes": indexes}

    def change_ttl(self) -> dict[str, Any]:
        return {"collMod": self.collection, "index": {"name": _TTL_INDEX, "expireAfterSeconds": self.ttl_seconds}}

    def drop_ttl(self) -> dict[str, Any]:
        return {"dropIndexes": self.collection, "index": _TTL_INDEX}

    def ttl_differs(self, error: Exception) -> bool:
        # IndexOptionsConflict, and IndexKeySpecsConflict.
        return self.ttl_seconds is not None and getattr(error, "code", None) in (85, 86)


def _is_missing(error: Exception) -> bool:
    # IndexNotFound, and NamespaceNotFound.
    return getattr(error, "code", None) in (27, 26)


class _Store:
    """What both stores have in common."""

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
            _DEAD_LETTER_TTL_SECONDS if dead_letter_ttl_seconds is None else dead_letter_ttl_seconds or None
        )

    @staticmethod
    def _options(config: Mapping[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        def paths(name: str) -> list[str]:
            return [path.strip() for path in _text(config, name).split(",") if path.strip()]

        known: dict[str, Any] = {
            "redact_paths": paths("EVENTS_REDACT"),
            "keep_paths": paths("EVENTS_KEEP"),
            "redact_key": _text(config, "EVENTS_REDACT_KEY") or None,
            "environment_id": os.environ.get("ENVIRONMENT_ID"),
            "ttl_seconds": _ttl_seconds(config, "EVENTS_TTL_DAYS"),
            "dead_letter_ttl_seconds": _ttl_seconds(config, "EVENTS_DEAD_LETTER_TTL_DAYS", zero_is_never=True),
        }
        return known | options

    def _indexes(self) -> list[_Indexes]:
        name = self.collection.name
        events = [{"key": key, "name": index} for index, key in _INDEXES.items()]
        letters = [{"key": {"letter": 1, "part": 1}, "name": "connect_parts"}]
        return [
            _Indexes(name, events, _RECEIVED_AT, self._ttl_seconds),
            _Indexes(f"{name}_dead_letters", letters, "received_at", self._letter_ttl_seconds),
        ]

    def _letters(self) -> Any:
        return self.collection.database[f"{self.collection.name}_dead_letters"]


class AsyncEventStore(_Store):
    """Stores each event once; its methods are awaited.

    `from_config` is cheap, call it in every handler: all stores share the client's
    connections.
    """

    def __init__(self, collection: AsyncCollection | AsyncDataApiCollection, **options: Any) -> None:
        """A store in a collection of either path.

        Args:
            collection: where the events are stored.
            **options: `redact` (bool, default `True`): whether to redact secrets
                before anything leaves the process; `redact_paths` (iterable of str):
                more places to redact, such as `asset.tiers.customer.tax_id`, with `*`
                for any characters of a name and `**` for any number of levels;
                `keep_paths` (iterable of str): places that are stored although they
                are redacted by default; `redact_key` (str): replace values by a digest
                with this key, so that equal values can still be recognized;
                `extension_id`, `environment_id` (str): kept with each event;
                `ttl_seconds` (int): after how many seconds MongoDB removes an event,
                once `ensure_indexes` has been called; `dead_letter_ttl_seconds` (int,
                default 90 days): the same for dead letters, 0 for never.

        Raises:
            pymongo.errors.ConfigurationError: a path that cannot be redacted.
        """
        super().__init__(**options)
        self.collection: AsyncCollection | AsyncDataApiCollection = collection

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, path: Path | None = None, **options: Any) -> Self:
        """The store for the extension's variables.

        Args:
            config: the variables, as `self.config` has them.
            path: `driver` or `data_api`; else the driver where `DB_HOST` is set.
            **options: as the class takes them.

        Raises:
            pymongo.errors.ConfigurationError: names every variable at fault.
        """
        options = cls._options(config, options)
        if _path_of(config, path) == "driver":
            return cls(AsyncMongoClient.from_config(config).get_default_collection(), **options)
        return cls(AsyncDataApiClient.from_config(config).get_default_collection(), **options)

    def save(
        self,
        event_type: str,
        obj: dict[str, Any] | Model,
        *,
        task_id: str | None = None,
        installation_id: str | None = None,
    ) -> Coroutine[Any, Any, SaveResult]:
        """Store an event's object, unless the same content is stored already.

        The object is stored as it is, whatever its shape; how it differs from its model is
        listed in `_connect.deviations`. One round trip, merged with concurrent ones. The
        object is not changed.

        Args:
            event_type: the type of the event, known or not.
            obj: the object as a handler receives it, or an instance of its class. Any
                other JSON value is stored too.
            task_id: the task that delivered it. It is part of the record's identity for
                schedules, product actions, custom events, and objects without an id.
            installation_id: the installation that it is for.

        Raises:
            EventValidationError: MongoDB cannot store the object: it nests more than 100
                levels deep, is larger than 16 MiB, or has an integer beyond 64 bits or a
                value that neither JSON nor BSON has.
            pymongo.errors.PyMongoError: as `insert_one`.
        """
        return self.collection._save_event(self._settings, event_type, obj, task_id, installation_id)

    async def save_many(self, events: Iterable[tuple[str, dict[str, Any] | Model]]) -> list[SaveResult | Exception]:
        """Store many events, pairs of an event type and an object.

        Returns for each its result, or the exception that `save` would have raised.
        Up to a thousand are in flight at a time.
        """
        outcomes: list[SaveResult | Exception] = []
        for some in _thousands(events):
            outcomes += await self.collection._save_events(self._settings, some)
        return outcomes

    def history(self, object_id: str | int) -> AsyncEventCursor:
        """All records of an object, the oldest first. An id that is a number is found as a text too."""
        query = {_OBJECT_ID: str(object_id)}
        return AsyncEventCursor(self.collection.find(query).sort([(_RECEIVED_AT, 1), (_RECEIPT, 1)]))

    async def latest(self, object_id: str | int) -> StoredEvent | None:
        """The newest record of an object, or `None`."""
        cursor = self.collection.find({_OBJECT_ID: str(object_id)}).sort([(_RECEIVED_AT, -1), (_RECEIPT, -1)]).limit(1)
        found = await cursor.to_list()
        return StoredEvent._of(found[0]) if found else None

    def find(self, *, limit: int = 0, newest_first: bool = True, **wanted: Any) -> AsyncEventCursor:
        """Stored events.

        Args:
            limit: the most events to return; 0 is no limit.
            newest_first: the order by time.
            **wanted: `event_type`, `status` (or state), `product`, `marketplace`, `account`
                (in any role: customer, tier, vendor, provider, owner) and `object_id`,
                each one value or several; `since` and `until` (datetimes of when the
                event was received; `until` is excluded).
        """
        order = -1 if newest_first else 1
        return AsyncEventCursor(
            self.collection.find(_query(**wanted)).sort([(_RECEIVED_AT, order), (_RECEIPT, order)]).limit(limit)
        )

    async def ensure_indexes(self) -> None:
        """Create the indexes that `history`, `latest` and `find` use, and those that remove old documents.

        Safe to call at every start, by many instances at once. A time to live that has
        changed is changed in MongoDB too.

        Raises:
            NotImplementedError: the Data API cannot create indexes.
        """
        if not isinstance(self.collection, AsyncCollection):
            raise NotImplementedError("the Data API cannot create indexes: call ensure_indexes on the driver path")
        database = self.collection.database
        for indexes in self._indexes():
            try:
                await database.command(indexes.create())
            except Exception as error:
                if not indexes.ttl_differs(error):
                    raise
                await database.command(indexes.change_ttl())
                await database.command(indexes.create())
            if indexes.ttl_seconds is None:
                try:
                    await database.command(indexes.drop_ttl())
                except Exception as error:
                    if not _is_missing(error):
                        raise

    async def add_dead_letter(
        self,
        event_type: object,
        obj: object,
        error: EventValidationError,
        *,
        task_id: str | None = None,
        installation_id: str | None = None,
    ) -> None:
        """Keep an object that cannot be stored, as JSON text, in the collection `<collection>_dead_letters`.

        The object is redacted as an event is. The same object of the same task is kept once.

        Args:
            event_type: the type of the event.
            obj: the object.
            error: why it could not be stored.
            task_id: the task that delivered it.
            installation_id: the installation that it is for.

        Raises:
            pymongo.errors.PyMongoError: as `insert_one`.
        """
        from pymongo.errors import DuplicateKeyError

        letters = self._letters()
        for document in reversed(_dead_letter(self._settings, event_type, obj, error, task_id, installation_id)):
            with contextlib.suppress(DuplicateKeyError):
                await letters.insert_one(document)
        _count_dead_letter()

    def dead_letters(
        self,
        *,
        event_type: str | None = None,
        object_id: str | None = None,
        task_id: str | None = None,
        since: datetime.datetime | None = None,
        until: datetime.datetime | None = None,
        limit: int = 0,
        newest_first: bool = True,
    ) -> AsyncDeadLetterCursor:
        """Objects that could not be stored; `since` and `until` as for `find`."""
        order = -1 if newest_first else 1
        letters = self._letters()
        query = _letter_query(event_type, object_id, task_id, since, until)
        return AsyncDeadLetterCursor(letters, letters.find(query).sort([("received_at", order)]).limit(limit))

    async def replay(self, letter: DeadLetter, obj: object = None) -> SaveResult:
        """Store the payload of a dead letter as an event, and remove the letter.

        Args:
            letter: the letter, from `dead_letters`.
            obj: what to store instead of the letter's payload, such as a corrected one.

        Raises:
            EventValidationError: it still cannot be stored; the letter is kept.
            pymongo.errors.PyMongoError: as `save` and `delete_one`.
        """
        payload: Any = letter.payload if obj is None else obj
        event_type: Any = letter.event_type
        saved = await self.save(event_type, payload, task_id=letter.task_id, installation_id=letter.installation_id)
        letters = self._letters()
        await letters.delete_many(_parts_of(letter.id))
        await letters.delete_one({"_id": letter.id})
        return saved

    async def drain(self) -> None:
        """Wait until all inserts in flight have ended."""
        await self.collection._drain()


class EventStore(_Store):
    """Stores each event once; its methods block, with the GIL released.

    `from_config` is cheap, call it in every handler.
    """

    def __init__(self, collection: Collection | DataApiCollection, **options: Any) -> None:
        """A store in a collection of either path; arguments and errors as `AsyncEventStore`'s."""
        super().__init__(**options)
        self.collection: Collection | DataApiCollection = collection

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, path: Path | None = None, **options: Any) -> Self:
        """The store for the extension's variables; arguments and errors as `AsyncEventStore`'s."""
        options = cls._options(config, options)
        if _path_of(config, path) == "driver":
            return cls(MongoClient.from_config(config).get_default_collection(), **options)
        return cls(DataApiClient.from_config(config).get_default_collection(), **options)

    def save(
        self,
        event_type: str,
        obj: dict[str, Any] | Model,
        *,
        task_id: str | None = None,
        installation_id: str | None = None,
    ) -> SaveResult:
        """Store an event's object, unless the same content is stored already; as `AsyncEventStore.save`."""
        return self.collection._save_event(self._settings, event_type, obj, task_id, installation_id)

    def save_many(self, events: Iterable[tuple[str, dict[str, Any] | Model]]) -> list[SaveResult | Exception]:
        """Store many events, pairs of an event type and an object; as `AsyncEventStore.save_many`."""
        outcomes: list[SaveResult | Exception] = []
        for some in _thousands(events):
            outcomes += self.collection._save_events(self._settings, some)
        return outcomes

    def history(self, object_id: str | int) -> EventCursor:
        """All records of an object, the oldest first. An id that is a number is found as a text too."""
        query = {_OBJECT_ID: str(object_id)}
        return EventCursor(self.collection.find(query).sort([(_RECEIVED_AT, 1), (_RECEIPT, 1)]))

    def latest(self, object_id: str | int) -> StoredEvent | None:
        """The newest record of an object, or `None`."""
        cursor = self.collection.find({_OBJECT_ID: str(object_id)}).sort([(_RECEIVED_AT, -1), (_RECEIPT, -1)]).limit(1)
        found = cursor.to_list()
        return StoredEvent._of(found[0]) if found else None

    def find(self, *, limit: int = 0, newest_first: bool = True, **wanted: Any) -> EventCursor:
        """Stored events; arguments as `AsyncEventStore.find`'s."""
        order = -1 if newest_first else 1
        return EventCursor(
            self.collection.find(_query(**wanted)).sort([(_RECEIVED_AT, order), (_RECEIPT, order)]).limit(limit)
        )

    def ensure_indexes(self) -> None:
        """Create the indexes, as `AsyncEventStore.ensure_indexes` does."""
        if not isinstance(self.collection, Collection):
            raise NotImplementedError("the Data API cannot create indexes: call ensure_indexes on the driver path")
        database = self.collection.database
        for indexes in self._indexes():
            try:
                database.command(indexes.create())
            except Exception as error:
                if not indexes.ttl_differs(error):
                    raise
                database.command(indexes.change_ttl())
                database.command(indexes.create())
            if indexes.ttl_seconds is None:
                try:
                    database.command(indexes.drop_ttl())
                except Exception as error:
                    if not _is_missing(error):
                        raise

    def add_dead_letter(
        self,
        event_type: object,
        obj: object,
        error: EventValidationError,
        *,
        task_id: str | None = None,
        installation_id: str | None = None,
    ) -> None:
        """Keep an object that cannot be stored, as `AsyncEventStore.add_dead_letter` does."""
        from pymongo.errors import DuplicateKeyError

        letters = self._letters()
        for document in reversed(_dead_letter(self._settings, event_type, obj, error, task_id, installation_id)):
            with contextlib.suppress(DuplicateKeyError):
                letters.insert_one(document)
        _count_dead_letter()

    def dead_letters(
        self,
        *,
        event_type: str | None = None,
        object_id: str | None = None,
        task_id: str | None = None,
        since: datetime.datetime | None = None,
        until: datetime.datetime | None = None,
        limit: int = 0,
        newest_first: bool = True,
    ) -> DeadLetterCursor:
        """Objects that could not be stored; `since` and `until` as for `find`."""
        order = -1 if newest_first else 1
        letters = self._letters()
        query = _letter_query(event_type, object_id, task_id, since, until)
        return DeadLetterCursor(letters, letters.find(query).sort([("received_at", order)]).limit(limit))

    def replay(self, letter: DeadLetter, obj: object = None) -> SaveResult:
        """Store the payload of a dead letter as an event, as `AsyncEventStore.replay` does."""
        payload: Any = letter.payload if obj is None else obj
        event_type: Any = letter.event_type
        saved = self.save(event_type, payload, task_id=letter.task_id, installation_id=letter.installation_id)
        letters = self._letters()
        letters.delete_many(_parts_of(letter.id))
        letters.delete_one({"_id": letter.id})
        return saved

    def drain(self) -> None:
        """Wait until all inserts in flight have ended."""
        self.collection._drain()


def _thousands(events: Iterable[Any]) -> Iterator[list[Any]]:
    some: list[Any] = []
    for event in events:
        some.append(event)
        if len(some) == 1000:
            yield some
            some = []
    if some:
        yield some
