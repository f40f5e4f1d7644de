"""Members of `DeleteResult`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncCollection


async def deleted_count(collection: AsyncCollection) -> None:
    result = await collection.delete_many({"total": {"$lt": 30}})
    print(result.deleted_count)  # 2


async def raw_result(collection: AsyncCollection) -> None:
    result = await collection.delete_one({"_id": "A-1"})
    print(result.raw_result["n"])  # 1


async def acknowledged(collection: AsyncCollection) -> None:
    result = await collection.delete_one({"_id": "A-1"})
    print(result.acknowledged)  # True
