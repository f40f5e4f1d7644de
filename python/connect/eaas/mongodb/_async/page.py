"""The page of stored events: the answers to its requests, on the asynchronous event store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from connect.eaas.mongodb import __version__
from connect.eaas.mongodb._async.store import AsyncEventStore
from connect.eaas.mongodb._common import page as common
from connect.eaas.mongodb._common.page import Access, Answer, Query, json_of
from connect.eaas.mongodb._common.store import (
    INDEXES,
    RECEIPT,
    RECEIVED_AT,
    event_query,
    is_missing,
    letter_query,
)
from connect.eaas.mongodb._native import AsyncCollection

NEWEST_FIRST = [(RECEIVED_AT, -1), (RECEIPT, -1)]


class AsyncEventsPage:
    """Answers the requests of the page, for one caller.

    A method gets the pairs of the query string, and for one object its id. It raises `PageError` for what it does
    not answer.
    """

    def __init__(self, store: AsyncEventStore, access: Access) -> None:
        """Answer from a store, with what the caller may see."""
        self._store = store
        self._access = access

    async def answer(self, path: str, pairs: Iterable[tuple[str, str]]) -> Answer:
        """Answer the request for a path below the page's prefix, such as `events/PR-1:9110…`."""
        name, _, wanted_id = path.strip("/").partition("/")
        if not wanted_id:
            if name == "context":
                return await self.context(pairs)
            if name == "events":
                return await self.events(pairs)
            if name == "numbers":
                return await self.numbers(pairs)
            if name == "dead-letters":
                return await self.dead_letters(pairs)
        elif name == "events":
            return await self.event(wanted_id, pairs)
        elif name == "objects":
            return await self.history(wanted_id, pairs)
        elif name == "dead-letters":
            return await self.dead_letter(wanted_id, pairs)
        raise common.not_found("there is no such resource")

    async def context(self, pairs: Iterable[tuple[str, str]]) -> Answer:
        """Describe the caller, and the collection."""
        from connect.eaas.mongodb.events import EVENT_TYPES

        Query(pairs, ())
        is_driver = isinstance(self._store.collection, AsyncCollection)
        body = {
            "version": __version__,
            "owner": self._access.is_owner,
            "installation": self._access.installation,
            "path": "driver" if is_driver else "data_api",
            "event_types": sorted(EVENT_TYPES),
            "failed_statuses": sorted(common.FAILED_STATUSES),
        }
        if self._access.is_owner:
            body["collection"] = self._store.collection.full_name
            body["missing_indexes"] = await self._missing_indexes()
        return Answer(json_of(body))

    async def _missing_indexes(self) -> list[str] | None:
        """Return which of the event store's indexes do not exist; `None` on the Data API path, which cannot tell."""
        if not isinstance(self._store.collection, AsyncCollection):
            return None
        try:
            existing = await self._store.collection.index_information()
        except Exception as error:
            if not is_missing(error):
                raise
            existing = {}
        return [name for name in INDEXES if name not in existing]

    async def events(self, pairs: Iterable[tuple[str, str]]) -> Answer:
        """List events, the newest first."""
        query = Query(pairs, (*common.EVENT_FILTERS, *common.TIMES, *common.PAGES))
        return await self._list(query, query.filters(common.EVENT_FILTERS), "events")

    async def history(self, object_id: str, pairs: Iterable[tuple[str, str]]) -> Answer:
        """List the records of an object, the newest first."""
        query = Query(pairs, common.PAGES)
        answer = await self._list(query, {"object_id": object_id}, "records")
        if answer.content_range == "items 0-0/0":
            raise common.not_found(f"no event of the object {object_id[:100]} is stored")
        return answer

    async def _list(self, query: Query, filters: dict[str, Any], what: str) -> Answer:
        window = query.window()
        wanted = self._access.limit(filters)
        total = await self._store.count(**wanted)
        window.check(total, what)
        found: list[dict[str, Any]] = []
        for recent in common.recent(wanted, window, total):
            cursor = self._store.collection.find(event_query(**recent), common.SUMMARY)
            found = await cursor.sort(NEWEST_FIRST).skip(window.offset).limit(window.limit).to_list()
            if len(found) == window.limit:
                break
        body = json_of([common.summary_of(stored, self._access) for stored in found])
        return Answer(body, window.content_range(len(found), total))

    async def event(self, record_id: str, pairs: Iterable[tuple[str, str]]) -> Answer:
        """Give one record, with its object as it is stored."""
        Query(pairs, ())
        stored = await self._store.collection.find_one({"_id": record_id})
        if stored is None or not self._access.permits(stored):
            raise common.not_found(f"no event with the id {record_id[:100]} is stored")
        return Answer(json_of(common.record_of(stored, self._access)))

    async def dead_letters(self, pairs: Iterable[tuple[str, str]]) -> Answer:
        """List dead letters, the newest first."""
        query = Query(pairs, (*common.LETTER_FILTERS, *common.TIMES, *common.PAGES))
        window = query.window()
        letters = self._store._letters()
        filters = letter_query(**self._access.limit(query.filters(common.LETTER_FILTERS)))
        total = await self._store._count(letters, filters)
        window.check(total, "dead letters")
        cursor = letters.find(filters, common.LETTER_SUMMARY)
        found = await cursor.sort([("received_at", -1)]).skip(window.offset).limit(window.limit).to_list()
        body = json_of([common.letter_summary_of(stored) for stored in found])
        return Answer(body, window.content_range(len(found), total))

    async def dead_letter(self, letter_id: str, pairs: Iterable[tuple[str, str]]) -> Answer:
        """Give one dead letter, with its text."""
        Query(pairs, ())
        stored = await self._store._letters().find_one({"_id": letter_id, "part": 0})
        if stored is None or not self._access.permits_letter(stored):
            raise common.not_found(f"there is no dead letter with the id {letter_id[:100]}")
        return Answer(json_of(common.letter_of(stored)))

    async def numbers(self, pairs: Iterable[tuple[str, str]]) -> Answer:
        """Count the events of a period per hour and type, and what failed."""
        query = Query(pairs, ("period", *common.EVENT_FILTERS))
        since, until = query.period()
        wanted = self._access.limit(query.filters(common.EVENT_FILTERS))
        numbers = await self._store.numbers(since=since, until=until, **wanted)
        of_letters = {name: wanted[name] for name in common.LETTER_FILTERS if name in wanted}
        letters = letter_query(since=since, until=until, **of_letters)
        cursor = await self._store._letters().aggregate(
            [{"$match": letters}, {"$group": {"_id": "$event_type", "n": {"$sum": 1}}}]
        )
        return Answer(json_of(common.numbers_body(since, until, numbers, await cursor.to_list())))
