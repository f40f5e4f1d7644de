"""Members of `UpdateResult`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncCollection


async def matched_count(collection: AsyncCollection) -> None:
    result = await collection.update_many({"status": "approved"}, {"$set": {"total": 25}})
    print(result.matched_count)  # 2


async def modified_count(collection: AsyncCollection) -> None:
    # One of the two has this total already.
    result = await collection.update_many({"status": "approved"}, {"$set": {"total": 25}})
    print(result.modified_count)  # 1


async def upserted_id(collection: AsyncCollection) -> None:
    result = await collection.update_one({"_id": "A-4"}, {"$set": {"total": 5}}, upsert=True)
    print(result.upserted_id)


async def did_upsert(collection: AsyncCollection) -> None:
    result = await collection.update_one({"_id": "A-1"}, {"$set": {"total": 5}}, upsert=True)
    print(result.did_upsert)  # False


async def raw_result(collection: AsyncCollection) -> None:
    result = await collection.update_one({"_id": "A-1"}, {"$set": {"total": 5}})
    print((result.raw_result or {})["nModified"])  # 1


async def acknowledged(collection: AsyncCollection) -> None:
    result = await collection.update_one({"_id": "A-1"}, {"$set": {"total": 5}})
    print(result.acknowledged)  # True
