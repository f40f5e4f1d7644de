"""The event store: each event once, on either path.

`await AsyncEventStore.from_config(self.config).save(event_type, obj)` stores the
object's fields as they are, with an `_id` made of the object's id and a digest
of its content: the same content is stored once, however often and by however
many it is delivered, and a changed object is a new record. What else is known
of the event is in the sub-document `_connect`.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

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
)
from connect.eaas.mongodb.variables import Variable

if TYPE_CHECKING:
    from connect.eaas.mongodb.events import EventValidationError, Model
    from typing_extensions import Self

__all__ = [
    "STORE_VARIABLES",
    "AsyncEventCursor",
    "AsyncEventStore",
    "EventCursor",
    "EventStore",
    "SaveResult",
    "StoredEvent",
]

Path = Literal["driver", "data_api"]

STORE_VARIABLES: Final[list[Variable]] = [
    {"name": "EVENTS_REDACT", "initial_value": "", "secure": False},
    {"name": "EVENTS_REDACT_KEY", "initial_value": "", "secure": True},
    {"name": "EVENTS_TTL_DAYS", "initial_value": "", "secure": False},
]
"""More variables, for `@variables(VARIABLES + STORE_VARIABLES)`; all are optional.

`EVENTS_REDACT`: more paths that are not stored, with commas between.
`EVENTS_REDACT_KEY`: the key of the digests that stand for what is not stored.
`EVENTS_TTL_DAYS`: after how many days MongoDB removes an event, once
`ensure_indexes` has been called.
"""

_CONNECT = "_connect"
_RECEIVED_AT = f"{_CONNECT}.received_at"
_RECEIPT = f"{_CONNECT}.receipt"
_TTL_INDEX = "connect_ttl"
_NEWEST: Final = {_RECEIVED_AT: -1, _RECEIPT: -1}
"""Within a millisecond, the receipt tells which came later in a process."""
_INDEXES: Final[dict[str, dict[str, int]]] = {
    "connect_history": {"id": 1, **_NEWEST},
    "connect_event_type": {f"{_CONNECT}.event_type": 1, **_NEWEST},
    "connect_status": {"status": 1, **_NEWEST},
    "connect_product": {f"{_CONNECT}.product_id": 1, **_NEWEST},
    "connect_marketplace": {f"{_CONNECT}.marketplace_id": 1, **_NEWEST},
    "connect_accounts": {f"{_CONNECT}.account_ids": 1, **_NEWEST},
}


_LARGEST_LETTER: Final = 1_000_000
"""The most characters of an object that are kept in a dead letter."""


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
    """The object, as it was but for what was redacted."""

    @property
    def event(self) -> Model:
        """The object, as an instance of its class.

        What was redacted in it is a text, whatever it was before.

        Raises:
            EventValidationError: it was changed in MongoDB, and JSON does not have what it holds.
        """
        from connect.eaas.mongodb import events

        model: type[Model] = getattr(events, self.object, events.Other)
        return model._of_stored(self.document)

    @classmethod
    def _of(cls, stored: dict[str, Any]) -> StoredEvent:
        document = {name: value for name, value in stored.items() if name not in ("_id", _CONNECT)}
        known = stored.get(_CONNECT, {})
        received_at = known.get("received_at")
        if isinstance(received_at, datetime.datetime) and received_at.tzinfo is None:
            received_at = received_at.replace(tzinfo=datetime.timezone.utc)
        return cls(
            id=stored["_id"],
            event_type=known.get("event_type", ""),
            object=known.get("object", "Other"),
            received_at=received_at,
            task_id=known.get("task_id"),
            installation_id=known.get("installation_id"),
            extension_id=known.get("extension_id"),
            environment_id=known.get("environment_id"),
            document=document,
        )


class AsyncEventCursor:
    """Stored events, as they come."""

    def __init__(self, cursor: AsyncCursor) -> None:
        """Of a cursor over the collection."""
        self._cursor = cursor

    def __aiter__(self) -> AsyncIterator[StoredEvent]:
        return self

    async def __anext__(self) -> StoredEvent:
        return StoredEvent._of(await self._cursor.__anext__())

    async def to_list(self, length: int | None = None) -> list[StoredEvent]:
        """All events that are left, or at most `length` of them."""
        return [StoredEvent._of(document) for document in await self._cursor.to_list(length)]

    async def close(self) -> None:
        """Let the server go of the query."""
        await self._cursor.close()


class EventCursor:
    """Stored events, as they come."""

    def __init__(self, cursor: Cursor) -> None:
        """Of a cursor over the collection."""
        self._cursor = cursor

    def __iter__(self) -> Iterator[StoredEvent]:
        return self

    def __next__(self) -> StoredEvent:
        return StoredEvent._of(next(self._cursor))

    def to_list(self, length: int | None = None) -> list[StoredEvent]:
        """All events that are left, or at most `length` of them."""
        return [StoredEvent._of(document) for document in self._cursor.to_list(length)]

    def close(self) -> None:
        """Let the server go of the query."""
        self._cursor.close()


def _one_or_some(value: str | Iterable[str]) -> Any:
    return value if isinstance(value, str) else {"$in": list(value)}


def _query(
    event_type: str | Iterable[str] | None = None,
    status: str | Iterable[str] | None = None,
    product: str | Iterable[str] | None = None,
    marketplace: str | Iterable[str] | None = None,
    account: str | Iterable[str] | None = None,
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
) -> dict[str, Any]:
    named = {
        f"{_CONNECT}.event_type": event_type,
        "status": status,
        f"{_CONNECT}.product_id": product,
        f"{_CONNECT}.marketplace_id": marketplace,
        f"{_CONNECT}.account_ids": account,
    }
    query = {name: _one_or_some(value) for name, value in named.items() if value is not None}
    times = {operator: moment for operator, moment in (("$gte", since), ("$lt", until)) if moment is not None}
    if times:
        query[_RECEIVED_AT] = times
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


def _ttl_seconds(config: Mapping[str, Any]) -> int | None:
    days = _text(config, "EVENTS_TTL_DAYS")
    if not days:
        return None
    try:
        seconds = round(float(days) * 86_400)
    except (ValueError, OverflowError):
        seconds = 0
    if not 1 <= seconds <= 2**31 - 1:
        from pymongo.errors import ConfigurationError

        raise ConfigurationError("EVENTS_TTL_DAYS must be a number of days, more than 0 and at most 24855")
    return seconds


def _dead_letter(
    settings: StoreSettings, event_type: object, obj: object, error: EventValidationError, task_id: str | None
) -> dict[str, Any]:
    remains = settings.remains(obj)
    text = None if remains is None else json.dumps(remains, ensure_ascii=False)
    key = hashlib.sha256(json.dumps([repr(event_type), task_id, remains], sort_keys=True).encode()).hexdigest()[:32]
    return {
        "_id": key,
        "event_type": event_type if isinstance(event_type, str) else None,
        "task_id": task_id,
        "error": str(error),
        "errors": [{"path": path, "message": message} for path, message in error.errors],
        # As text: what is not valid may be anything, and no index or query is for it.
        "object": text if text is None or len(text) <= _LARGEST_LETTER else text[:_LARGEST_LETTER],
        "cut": text is not None and len(text) > _LARGEST_LETTER,
        "received_at": datetime.datetime.now(datetime.timezone.utc),
    }


class _Store:
    """What both stores have in common."""

    def __init__(
        self,
        *,
        redact: bool = True,
        redact_paths: Iterable[str] = (),
        redact_key: str | None = None,
        extension_id: str | None = None,
        environment_id: str | None = None,
        ttl_seconds: int | None = None,
    ) -> None:
        self._settings = StoreSettings(redact, list(redact_paths), redact_key, extension_id, environment_id)
        self._ttl_seconds = ttl_seconds

    @staticmethod
    def _options(config: Mapping[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        paths = [path.strip() for path in _text(config, "EVENTS_REDACT").split(",") if path.strip()]
        known: dict[str, Any] = {
            "redact_paths": paths,
            "redact_key": _text(config, "EVENTS_REDACT_KEY") or None,
            "environment_id": os.environ.get("ENVIRONMENT_ID"),
            "ttl_seconds": _ttl_seconds(config),
        }
        return known | options

    def _index_command(self, collection: str) -> dict[str, Any]:
        indexes: list[dict[str, Any]] = [{"key": key, "name": name} for name, key in _INDEXES.items()]
        if self._ttl_seconds is not None:
            indexes.append({"key": {_RECEIVED_AT: 1}, "name": _TTL_INDEX, "expireAfterSeconds": self._ttl_seconds})
        return {"createIndexes": collection, "indexes": indexes}


class AsyncEventStore(_Store):
    """Stores events, each once, to be awaited.

    Cheap to make with `from_config`, in every handler: the connections are the
    client's, which all share.
    """

    def __init__(self, collection: AsyncCollection | AsyncDataApiCollection, **options: Any) -> None:
        """A store in a collection of either path.

        Args:
            collection: where the events go.
            **options: `redact` (bool, default `True`): whether values of parameters
                of type `password` are replaced before anything leaves the process;
                `redact_paths` (iterable of str): more places, such as
                `asset.tiers.customer.tax_id`, with `*` for any name;
                `redact_key` (str): replace them by a digest with this key, so that
                equal values can still be told; `extension_id`, `environment_id`
                (str): kept with each event; `ttl_seconds` (int): after how many
                seconds MongoDB removes an event, once `ensure_indexes` was called.

        Raises:
            pymongo.errors.ConfigurationError: a path that cannot be redacted.
        """
        super().__init__(**options)
        self.collection = collection

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

        One round trip, and merged with concurrent ones. The object is not changed.

        Args:
            event_type: the type of the event; one that is not known is taken too.
            obj: the object, as a handler gets it, or an instance of its class.
            task_id: the task that brought it.
            installation_id: the installation that it is for.

        Raises:
            EventValidationError: the object is not what its model says; nothing is stored.
            pymongo.errors.PyMongoError: as `insert_one`.
        """
        return self.collection._save_event(self._settings, event_type, obj, task_id, installation_id)

    async def save_many(self, events: Iterable[tuple[str, dict[str, Any] | Model]]) -> list[SaveResult | Exception]:
        """Store many events, pairs of an event type and an object.

        Gives for each its result, or the exception that `save` would have raised.
        A thousand are on their way at a time.
        """
        outcomes: list[SaveResult | Exception] = []
        for some in _thousands(events):
            outcomes += await self.collection._save_events(self._settings, some)
        return outcomes

    def history(self, object_id: str) -> AsyncEventCursor:
        """All records of an object, the oldest first."""
        return AsyncEventCursor(self.collection.find({"id": object_id}).sort([(_RECEIVED_AT, 1), (_RECEIPT, 1)]))

    async def latest(self, object_id: str) -> StoredEvent | None:
        """The newest record of an object, or `None`."""
        cursor = self.collection.find({"id": object_id}).sort([(_RECEIVED_AT, -1), (_RECEIPT, -1)]).limit(1)
        found = await cursor.to_list()
        return StoredEvent._of(found[0]) if found else None

    def find(self, *, limit: int = 0, newest_first: bool = True, **wanted: Any) -> AsyncEventCursor:
        """Stored events.

        Args:
            limit: the most events; 0 is no limit.
            newest_first: in which order of time.
            **wanted: `event_type`, `status`, `product`, `marketplace` and `account`
                (each an id or name, or several), and `since` and `until` (datetimes,
                of when the event was received; `until` excluded).
        """
        order = -1 if newest_first else 1
        return AsyncEventCursor(
            self.collection.find(_query(**wanted)).sort([(_RECEIVED_AT, order), (_RECEIPT, order)]).limit(limit)
        )

    async def ensure_indexes(self) -> None:
        """Make the indexes that `history`, `latest` and `find` need, and the one that removes old events.

        Safe to call at every start, by many at once. A time to live that was
        changed is changed in MongoDB too.

        Raises:
            NotImplementedError: the Data API cannot make indexes.
        """
        if not isinstance(self.collection, AsyncCollection):
            raise NotImplementedError("the Data API cannot make indexes: call it once on the driver path")
        database, name = self.collection.database, self.collection.name
        command = self._index_command(name)
        try:
            await database.command(command)
        except Exception as error:
            if not _ttl_has_changed(error, self._ttl_seconds):
                raise
            await database.command(_new_ttl(name, self._ttl_seconds))
            await database.command(command)
        if self._ttl_seconds is None:
            try:
                await database.command({"dropIndexes": name, "index": _TTL_INDEX})
            except Exception as error:
                if not _is_not_there(error):
                    raise

    async def add_dead_letter(
        self, event_type: object, obj: object, error: EventValidationError, *, task_id: str | None = None
    ) -> None:
        """Keep an object that is not valid, with what is wrong with it, in `<collection>_dead_letters`."""
        from pymongo.errors import DuplicateKeyError

        letter = _dead_letter(self._settings, event_type, obj, error, task_id)
        try:
            await self._dead_letters().insert_one(letter)
        except DuplicateKeyError:
            # The same, delivered again.
            return

    def _dead_letters(self) -> Any:
        return self.collection.database[f"{self.collection.name}_dead_letters"]

    async def drain(self) -> None:
        """Wait until nothing is on its way any more."""
        await self.collection._drain()


class EventStore(_Store):
    """Stores events, each once; blocks, with the GIL released.

    Cheap to make with `from_config`, in every handler.
    """

    def __init__(self, collection: Collection | DataApiCollection, **options: Any) -> None:
        """A store in a collection of either path; arguments and errors as `AsyncEventStore`'s."""
        super().__init__(**options)
        self.collection = collection

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

    def history(self, object_id: str) -> EventCursor:
        """All records of an object, the oldest first."""
        return EventCursor(self.collection.find({"id": object_id}).sort([(_RECEIVED_AT, 1), (_RECEIPT, 1)]))

    def latest(self, object_id: str) -> StoredEvent | None:
        """The newest record of an object, or `None`."""
        found = self.collection.find({"id": object_id}).sort([(_RECEIVED_AT, -1), (_RECEIPT, -1)]).limit(1).to_list()
        return StoredEvent._of(found[0]) if found else None

    def find(self, *, limit: int = 0, newest_first: bool = True, **wanted: Any) -> EventCursor:
        """Stored events; arguments as `AsyncEventStore.find`'s."""
        order = -1 if newest_first else 1
        return EventCursor(
            self.collection.find(_query(**wanted)).sort([(_RECEIVED_AT, order), (_RECEIPT, order)]).limit(limit)
        )

    def ensure_indexes(self) -> None:
        """Make the indexes, as `AsyncEventStore.ensure_indexes`."""
        if not isinstance(self.collection, Collection):
            raise NotImplementedError("the Data API cannot make indexes: call it once on the driver path")
        database, name = self.collection.database, self.collection.name
        command = self._index_command(name)
        try:
            database.command(command)
        except Exception as error:
            if not _ttl_has_changed(error, self._ttl_seconds):
                raise
            database.command(_new_ttl(name, self._ttl_seconds))
            database.command(command)
        if self._ttl_seconds is None:
            try:
                database.command({"dropIndexes": name, "index": _TTL_INDEX})
            except Exception as error:
                if not _is_not_there(error):
                    raise

    def add_dead_letter(
        self, event_type: object, obj: object, error: EventValidationError, *, task_id: str | None = None
    ) -> None:
        """Keep an object that is not valid, with what is wrong with it, in `<collection>_dead_letters`."""
        from pymongo.errors import DuplicateKeyError

        letter = _dead_letter(self._settings, event_type, obj, error, task_id)
        letters: Any = self.collection.database[f"{self.collection.name}_dead_letters"]
        try:
            letters.insert_one(letter)
        except DuplicateKeyError:
            # The same, delivered again.
            return

    def drain(self) -> None:
        """Wait until nothing is on its way any more."""
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


def _ttl_has_changed(error: Exception, ttl_seconds: int | None) -> bool:
    # IndexOptionsConflict, and IndexKeySpecsConflict.
    return ttl_seconds is not None and getattr(error, "code", None) in (85, 86)


def _new_ttl(collection: str, ttl_seconds: int | None) -> dict[str, Any]:
    return {"collMod": collection, "index": {"name": _TTL_INDEX, "expireAfterSeconds": ttl_seconds}}


def _is_not_there(error: Exception) -> bool:
    # IndexNotFound, and NamespaceNotFound.
    return getattr(error, "code", None) in (27, 26)
