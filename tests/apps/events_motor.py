"""A Connect events application, on Motor: keeps each event once, with its history."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta, timezone
from logging import Logger
from typing import Any, TypeVar

from bson import ObjectId
from motor.motor_asyncio import (
    AsyncIOMotorChangeStream,
    AsyncIOMotorClient,
    AsyncIOMotorClientSession,
    AsyncIOMotorCollection,
    AsyncIOMotorDatabase,
)
from pymongo import ASCENDING, DESCENDING, IndexModel, ReadPreference
from pymongo.errors import AutoReconnect, DuplicateKeyError, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

T = TypeVar("T")
Document = dict[str, Any]

KEPT_DAYS = 90
ATTEMPTS = 4


async def with_retries(call: Callable[[], Awaitable[T]], logger: Logger) -> T:
    """Make a call again while the connection is lost."""
    for attempt in range(1, ATTEMPTS):
        try:
            return await call()
        except AutoReconnect as error:
            logger.warning("attempt %d: %s", attempt, error)
            await asyncio.sleep(0.01 * 2**attempt)
    return await call()


class EventsApplication:
    """Connect makes one of these for each event; they share the client."""

    client: AsyncIOMotorClient[Document]

    def __init__(self, logger: Logger, config: Mapping[str, str]) -> None:
        self.logger = logger
        self.config = config

    @classmethod
    async def on_startup(cls, logger: Logger, config: Mapping[str, str]) -> None:
        cls.client = AsyncIOMotorClient(config["MONGODB_URI"], serverSelectionTimeoutMS=5000, retryWrites=True)
        db = cls.client[config["DB"]]
        await db.events.create_indexes(
            [
                IndexModel([("event_type", ASCENDING), ("object.id", ASCENDING), ("revision", ASCENDING)], unique=True),
                IndexModel([("object.id", ASCENDING), ("received", DESCENDING)], name="history"),
            ]
        )
        try:
            await db.events.create_index("received", expireAfterSeconds=KEPT_DAYS * 86400, name="ttl")
        except OperationFailure:
            logger.info("the time to live has changed")
            await db.events.drop_index("ttl")
            await db.events.create_index("received", expireAfterSeconds=KEPT_DAYS * 86400, name="ttl")

    @classmethod
    async def on_shutdown(cls, logger: Logger, config: Mapping[str, str]) -> None:
        cls.client.close()

    @property
    def db(self) -> AsyncIOMotorDatabase[Document]:
        return self.client.get_database(self.config["DB"], write_concern=WriteConcern("majority"))

    @property
    def events(self) -> AsyncIOMotorCollection[Document]:
        return self.db.get_collection("events")

    # Handlers: what they return is the task's result

    async def handle_asset_purchase(self, request: Document) -> str:
        stored = await self.store("asset_purchase_request_processing", request, request["updated"])
        if not stored:
            return "skip"
        asset = request["asset"]
        await with_retries(
            lambda: self.db.assets.update_one(
                {"_id": asset["id"]},
                {
                    "$set": {"product": asset["product"]["id"], "status": request["status"]},
                    "$addToSet": {"items": {"$each": [item["id"] for item in asset["items"]]}},
                    "$setOnInsert": {"created": datetime.now(timezone.utc)},
                    "$inc": {"requests": 1},
                },
                upsert=True,
            ),
            self.logger,
        )
        return "success"

    async def handle_tier_config(self, request: Document) -> str:
        """A tier config request; its configuration is kept beside it, the newest one only."""
        stored = await self.store("tier_config_setup_request_processing", request, request["status"])
        configuration = request["configuration"]
        await self.db.tier_configs.replace_one(
            {"_id": configuration["id"]},
            {
                "account": configuration["account"]["id"],
                "level": configuration["tier_level"],
                "params": {param["id"]: param["value"] for param in request["params"]},
            },
            upsert=True,
        )
        return "success" if stored else "skip"

    async def handle_schedule(self, schedule: Document) -> Document:
        """A scheduled task: marks what is older than asked as processed, and says how much of which type."""
        before = datetime.now(timezone.utc) - timedelta(seconds=schedule["parameter"]["older_than"])
        marked = await self.events.update_many(
            {"received": {"$lte": before}, "processed": {"$exists": False}},
            {"$set": {"processed": True}, "$currentDate": {"processed_at": True}},
        )
        by_type: Document = {}
        async for group in self.events.aggregate(
            [
                {"$match": {"processed": True}},
                {"$group": {"_id": "$event_type", "count": {"$sum": 1}, "last": {"$max": "$received"}}},
                {"$sort": {"_id": 1}},
            ],
            batchSize=1,
        ):
            by_type[group["_id"]] = group["count"]
        return {"marked": marked.modified_count, "by_type": by_type}

    # What they rest on

    async def store(self, event_type: str, obj: Document, revision: str) -> bool:
        """Store an event and count it, both or neither; false if it is stored already."""

        async def insert_and_count(session: AsyncIOMotorClientSession) -> ObjectId:
            event = {
                "event_type": event_type,
                "revision": revision,
                "object": obj,
                "received": datetime.now(timezone.utc),
            }
            await self.db.counters.update_one(
                {"_id": event_type}, {"$inc": {"events": 1}}, upsert=True, session=session
            )
            inserted = await self.events.insert_one(event, session=session)
            assert isinstance(inserted.inserted_id, ObjectId)
            return inserted.inserted_id

        async with await self.client.start_session(causal_consistency=True) as session:
            try:
                await session.with_transaction(insert_and_count, read_concern=ReadConcern("snapshot"))
            except DuplicateKeyError:
                self.logger.info("%s %s is stored already", event_type, obj["id"])
                return False
            except PyMongoError as error:
                self.logger.error(
                    "%s: %s %s", type(error).__name__, error, error.has_error_label("TransientTransactionError")
                )
                raise
        return True

    async def store_all(self, events: list[tuple[str, Document]]) -> int:
        """Store events by hand, in one transaction that the caller may see fail."""
        async with await self.client.start_session() as session:
            async with session.start_transaction():
                for event_type, obj in events:
                    await self.events.insert_one(
                        {
                            "event_type": event_type,
                            "revision": "",
                            "object": obj,
                            "received": datetime.now(timezone.utc),
                        },
                        session=session,
                    )
                return await self.events.count_documents({"revision": ""}, session=session)

    async def history(self, object_id: str, limit: int = 0) -> list[Document]:
        cursor = self.events.find({"object.id": object_id}, {"_id": 0, "event_type": 1, "revision": 1, "received": 1})
        cursor.sort([("received", DESCENDING), ("_id", DESCENDING)]).limit(limit)
        events: list[Document] = await cursor.to_list(length=None)
        return events

    async def latest(self, event_type: str) -> Document | None:
        db = self.client.get_database(self.config["DB"], read_preference=ReadPreference.PRIMARY_PREFERRED)
        events = db.events.with_options(read_concern=ReadConcern("majority"))
        return await events.find_one({"event_type": event_type}, sort=[("received", DESCENDING), ("_id", DESCENDING)])

    async def count(self, event_type: str) -> int:
        counter = await self.db.counters.find_one({"_id": event_type})
        return counter["events"] if counter else 0


class Follower:
    """Collects the events that are stored, and goes on where it stopped."""

    def __init__(self, events: AsyncIOMotorCollection[Document]) -> None:
        self.events = events
        self.token: Mapping[str, Any] | None = None
        self.collected: list[str] = []

    async def open(self) -> None:
        """Remember this moment: what is stored from here on is collected."""
        async with self.events.watch(max_await_time_ms=50) as stream:
            assert isinstance(stream, AsyncIOMotorChangeStream)
            assert await stream.try_next() is None
            self.token = stream.resume_token

    async def collect(self, count: int) -> list[Document]:
        """Wait for so many events."""
        changes: list[Document] = []
        pipeline = [{"$match": {"operationType": "insert"}}]
        async with self.events.watch(pipeline, full_document="updateLookup", resume_after=self.token) as stream:
            async for change in stream:
                changes.append(change["fullDocument"])
                self.collected.append(change["fullDocument"]["object"]["id"])
                self.token = stream.resume_token
                if len(changes) == count:
                    break
        return changes
