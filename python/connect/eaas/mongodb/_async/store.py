"""The event store with an asynchronous API."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from connect.eaas.mongodb._common import store as common
from connect.eaas.mongodb._common.store import (
    INSTALLATION,
    OBJECT_ID,
    RECEIPT,
    RECEIVED_AT,
    DeadLetter,
    EventNumber,
    Path,
    StoredEvent,
)
from connect.eaas.mongodb._native import (
    AsyncCollection,
    AsyncCursor,
    AsyncDataApiClient,
    AsyncDataApiCollection,
    AsyncMongoClient,
    SaveResult,
    _check_acknowledged,
    _count_dead_letter,
)

if TYPE_CHECKING:
    from connect.client import AsyncConnectClient
    from connect.eaas.mongodb._common.backfill import BackfillProgress, Fetch
    from connect.eaas.mongodb.events import EventValidationError, Model
    from typing_extensions import Self

__all__ = ["AsyncDeadLetterCursor", "AsyncEventCursor", "AsyncEventStore"]


class AsyncEventCursor:
    """A cursor over stored events."""

    __module__ = "connect.eaas.mongodb.store"

    def __init__(self, cursor: AsyncCursor) -> None:
        """Wrap a cursor over the events' documents."""
        self._cursor = cursor

    def __aiter__(self) -> AsyncIterator[StoredEvent]:
        return self

    async def __anext__(self) -> StoredEvent:
        return StoredEvent._of(await self._cursor.__anext__())

    async def to_list(self, length: int | None = None) -> list[StoredEvent]:
        """Return all remaining events, or at most `length` of them."""
        return [StoredEvent._of(document) for document in await self._cursor.to_list(length)]

    async def close(self) -> None:
        """Close the cursor on the server."""
        await self._cursor.close()


class AsyncDeadLetterCursor:
    """A cursor over dead letters."""

    __module__ = "connect.eaas.mongodb.store"

    def __init__(self, letters: Any, cursor: AsyncCursor) -> None:
        """Wrap a cursor over documents of the collection `letters`."""
        self._letters = letters
        self._cursor = cursor

    def __aiter__(self) -> AsyncIterator[DeadLetter]:
        return self

    async def __anext__(self) -> DeadLetter:
        return await self._whole(await self._cursor.__anext__())

    async def to_list(self, length: int | None = None) -> list[DeadLetter]:
        """Return all remaining letters, or at most `length` of them."""
        return [await self._whole(stored) for stored in await self._cursor.to_list(length)]

    async def close(self) -> None:
        """Close the cursor on the server."""
        await self._cursor.close()

    async def _whole(self, stored: dict[str, Any]) -> DeadLetter:
        parts = []
        if stored.get("parts", 1) > 1:
            parts = await self._letters.find(common.parts_of(stored["_id"])).sort([("part", 1)]).to_list()
        return DeadLetter._of(stored, parts)


class AsyncEventStore(common.Store):
    """The event store with an asynchronous API; it stores each event once.

    `from_config` is cheap, so call it in every handler: all stores share the
    client's connections. Waiting for MongoDB does not hold the GIL.
    """

    __module__ = "connect.eaas.mongodb.store"

    def __init__(self, collection: AsyncCollection | AsyncDataApiCollection, **options: Any) -> None:
        """Create a store on a collection of either path.

        Args:
            collection: where the events are stored.
            **options: `redact` (bool, default `True`): whether to redact secrets
                before anything leaves the process; `redact_paths` (iterable of str):
                more paths to redact, such as `asset.tiers.customer.tax_id`, with `*`
                for any characters of a name and `**` for any number of levels;
                `keep_paths` (iterable of str): paths that are stored although they
                are redacted by default; `redact_key` (str): replace values by a digest
                with this key, so that equal values can still be recognized;
                `extension_id`, `environment_id` (str): stored with each event;
                `ttl_seconds` (int): after how many seconds MongoDB removes an event,
                once `ensure_indexes` has been called; `dead_letter_ttl_seconds` (int,
                default 90 days): the same for dead letters, 0 for never.

        Raises:
            pymongo.errors.ConfigurationError: a path that cannot be redacted, or a collection with the write
                concern `w=0`.
        """
        super().__init__(**options)
        _check_acknowledged(collection)
        self.collection: AsyncCollection | AsyncDataApiCollection = collection

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, path: Path | None = None, **options: Any) -> Self:
        """Return the store for the extension's variables.

        Args:
            config: the extension's variables, `self.config` in a handler.
            path: `driver` or `data_api`; by default the driver if `DB_HOST` is set.
            **options: the options of the class.

        Raises:
            pymongo.errors.ConfigurationError: variables are missing or invalid; the message names each.
        """
        options = cls._options(config, options)
        if common.path_of(config, path) == "driver":
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
        """Store an event's object, unless the same content is already stored.

        The object is stored unchanged, whatever its shape; its differences from its model are
        listed in `_connect.deviations`. Storing takes one round trip, and concurrent calls
        share it. The caller's object is not modified.

        Args:
            event_type: the type of the event, known or not.
            obj: the object as a handler receives it, or an instance of its class. Any
                other JSON value is stored too.
            task_id: the task that delivered the event. It is part of the record's identity for
                schedules, product actions, custom events, and objects without an id.
            installation_id: the installation that the event is about. If the same content is
                already stored for another one, this one is added to the record.

        Raises:
            EventValidationError: MongoDB cannot store the object: it nests more than 100
                levels deep, is larger than 16 MiB, or has an integer beyond 64 bits or a
                value that neither JSON nor BSON has.
            pymongo.errors.PyMongoError: the errors of `insert_one`.
        """
        saving = self.collection._save_event(self._settings, event_type, obj, task_id, installation_id)
        return saving if installation_id is None else self._for_installation(saving, installation_id)

    async def _for_installation(self, saving: Coroutine[Any, Any, SaveResult], installation_id: str) -> SaveResult:
        """Wait for a save; if the record was stored before, add the installation to it."""
        saved = await saving
        while not saved.stored:
            stored = await self.collection.find_one({"_id": saved.id}, {INSTALLATION: 1})
            if stored is None or installation_id in common.installations_of(stored):
                break
            before = common.metadata_of(stored).get("installation_id")
            several = [*common.installations_of(stored), installation_id]
            changed = await self.collection.update_one(
                # Unless another process has added one meanwhile.
                {"_id": saved.id, INSTALLATION: before},
                {"$set": {INSTALLATION: installation_id if before is None else several}},
            )
            if changed.matched_count:
                break
        return saved

    async def save_many(self, events: Iterable[tuple[str, dict[str, Any] | Model]]) -> list[SaveResult | Exception]:
        """Store many events, given as pairs of an event type and an object.

        Returns, for each event, its result or the exception that `save` would have raised.
        Up to a thousand events are in flight at a time.
        """
        results: list[SaveResult | Exception] = []
        for batch in common.batches(events):
            results += await self.collection._save_events(self._settings, batch)
        return results

    def history(self, object_id: str | int) -> AsyncEventCursor:
        """Return all records of an object, the oldest first; a numeric id also matches its text."""
        query = {OBJECT_ID: str(object_id)}
        return AsyncEventCursor(self.collection.find(query).sort([(RECEIVED_AT, 1), (RECEIPT, 1)]))

    async def latest(self, object_id: str | int) -> StoredEvent | None:
        """Return the newest record of an object, or `None`."""
        cursor = self.collection.find({OBJECT_ID: str(object_id)}).sort([(RECEIVED_AT, -1), (RECEIPT, -1)]).limit(1)
        found = await cursor.to_list()
        return StoredEvent._of(found[0]) if found else None

    def find(self, *, limit: int = 0, offset: int = 0, newest_first: bool = True, **wanted: Any) -> AsyncEventCursor:
        """Find stored events.

        Args:
            limit: the maximum number of events; 0 means no limit.
            offset: how many of the first events to leave out.
            newest_first: whether the newest event comes first, or the oldest.
            **wanted: `event_type`, `status` (or state), `product`, `marketplace`, `account`
                (in any role: customer, tier, vendor, provider, owner), `object_id` and
                `installation`, each one value or several; `since` (inclusive) and `until`
                (exclusive), datetimes of when the event was received.
        """
        order = -1 if newest_first else 1
        return AsyncEventCursor(
            self.collection.find(common.event_query(**wanted))
            .sort([(RECEIVED_AT, order), (RECEIPT, order)])
            .skip(offset)
            .limit(limit)
        )

    async def get(self, record_id: str) -> StoredEvent | None:
        """Return the record with this `_id`, or `None`."""
        stored = await self.collection.find_one({"_id": record_id})
        return None if stored is None else StoredEvent._of(stored)

    async def count(self, **wanted: Any) -> int:
        """Return how many events there are; the arguments are those of `find`.

        Without arguments, the driver path takes the number from the collection's statistics.
        """
        query = common.event_query(**wanted)
        if not query and isinstance(self.collection, AsyncCollection):
            return await self.collection.estimated_document_count()
        return await self._count(self.collection, query)

    @staticmethod
    async def _count(collection: Any, query: dict[str, Any]) -> int:
        cursor = await collection.aggregate(common.count_of(query))
        counted = await cursor.to_list()
        return int(counted[0]["n"]) if counted else 0

    async def numbers(self, **wanted: Any) -> list[EventNumber]:
        """Count events per hour, type and status, in this order; the arguments are those of `find`.

        Hours without events are absent. Give `since`: without it, all events are counted.
        """
        cursor = await self.collection.aggregate(common.numbers_of(common.event_query(**wanted)))
        return [EventNumber._of(group) for group in await cursor.to_list()]

    async def ensure_indexes(self) -> None:
        """Create the indexes that `history`, `latest` and `find` use, and the TTL indexes.

        It is safe to call this at every start, from many instances at once. If a time to
        live has changed, its TTL index is updated.

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
                    if not common.is_missing(error):
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
        """Store an object that cannot be stored as an event as JSON text, in `<collection>_dead_letters`.

        The object is redacted as an event is. The same object of the same task is stored once.

        Args:
            event_type: the type of the event.
            obj: the object.
            error: why it could not be stored.
            task_id: the task that delivered it.
            installation_id: the installation that the event is about.

        Raises:
            pymongo.errors.PyMongoError: the errors of `insert_one`.
        """
        from pymongo.errors import DuplicateKeyError

        letters = self._letters()
        for document in reversed(
            common.letter_documents(self._settings, event_type, obj, error, task_id, installation_id)
        ):
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
        installation: str | None = None,
        limit: int = 0,
        offset: int = 0,
        newest_first: bool = True,
    ) -> AsyncDeadLetterCursor:
        """Find objects that could not be stored as events; `since`, `until` and `offset` as for `find`."""
        order = -1 if newest_first else 1
        letters = self._letters()
        query = common.letter_query(event_type, object_id, task_id, installation, since, until)
        cursor = letters.find(query).sort([("received_at", order)]).skip(offset).limit(limit)
        return AsyncDeadLetterCursor(letters, cursor)

    async def replay(self, letter: DeadLetter, obj: object = None) -> SaveResult:
        """Store the payload of a dead letter as an event, and remove the letter.

        Args:
            letter: a letter from `dead_letters`.
            obj: an object to store instead of the letter's payload, such as a corrected one.

        Raises:
            EventValidationError: the object still cannot be stored; the letter is kept.
            pymongo.errors.PyMongoError: the errors of `save` and `delete_one`.
        """
        payload: Any = letter.payload if obj is None else obj
        event_type: Any = letter.event_type
        saved = await self.save(event_type, payload, task_id=letter.task_id, installation_id=letter.installation_id)
        letters = self._letters()
        await letters.delete_many(common.parts_of(letter.id))
        await letters.delete_one({"_id": letter.id})
        return saved

    async def backfill(
        self,
        client: AsyncConnectClient,
        kind: str,
        *,
        since: datetime.datetime | None = None,
        until: datetime.datetime | None = None,
        status: str | Iterable[str] | None = None,
        product: str | Iterable[str] | None = None,
        marketplace: str | Iterable[str] | None = None,
        rql: str | None = None,
        resume: bool = False,
        dry_run: bool = False,
        fetch: Fetch = "auto",
        progress: Callable[[BackfillProgress], object] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> BackfillProgress:
        """Store what Connect already has, each object as its event would be.

        Objects are read in the order of their creation. After each page, the position is
        recorded in `<collection>_backfills`, so a run can be ended at any time. An object
        whose content is already stored, by an event or by a backfill, is not stored again.
        The extra `backfill` contains the client.

        Args:
            client: the client of Connect's API.
            kind: a collection, one of `connect.eaas.mongodb.backfill.KINDS`: `requests`, ….
            since: the first creation time to read, inclusive; by default everything.
            until: the creation time to read up to, exclusive; by default the present.
            status: the statuses (or states) to read, one or several.
            product: the products to read, one or several.
            marketplace: the marketplaces to read, one or several.
            rql: another condition, such as `eq(asset.connection.type,production)`.
            resume: whether to continue an earlier run with the same conditions; after one that
                has finished, to read what was created since its end.
            dry_run: whether to count the objects, and store nothing.
            fetch: `list` stores objects as Connect lists them; `each` fetches each object by
                itself, as the runner does; `auto` does so if the two differ.
            progress: called after each page, and before each wait, with how far the run is.
            stop: called between the steps of a run, which ends early when it returns true.

        Raises:
            ValueError: an argument is invalid.
            BackfillError: Connect or MongoDB keeps failing, or refuses a call.
        """
        from connect.eaas.mongodb._async.backfill import AsyncBackfill
        from connect.eaas.mongodb._common.backfill import Plan

        plan = Plan.of(
            kind,
            since=since,
            until=until,
            status=status,
            product=product,
            marketplace=marketplace,
            rql=rql,
            resume=resume,
            dry_run=dry_run,
            fetch=fetch,
        )
        return await AsyncBackfill(self, client, plan, progress, stop).run()

    async def drain(self) -> None:
        """Wait until all inserts in flight have completed."""
        await self.collection._drain()
