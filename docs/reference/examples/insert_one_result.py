"""Members of `InsertOneResult`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncCollection


async def inserted_id(collection: AsyncCollection) -> None:
    result = await collection.insert_one({"_id": "A-4"})
    print(result.inserted_id)


async def acknowledged(collection: AsyncCollection) -> None:
    from pymongo import WriteConcern

    result = await collection.with_options(write_concern=WriteConcern(0)).insert_one({"_id": "A-4"})
    print(result.acknowledged)  # False
