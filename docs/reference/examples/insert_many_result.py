"""Members of `InsertManyResult`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncCollection


async def inserted_ids(collection: AsyncCollection) -> None:
    result = await collection.insert_many([{"_id": "A-4"}, {"total": 5}])
    print(result.inserted_ids[0], type(result.inserted_ids[1]).__name__)  # A-4 ObjectId


async def acknowledged(collection: AsyncCollection) -> None:
    result = await collection.insert_many([{"_id": "A-4"}])
    print(result.acknowledged)  # True
