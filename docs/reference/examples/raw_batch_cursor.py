"""Members of `AsyncRawBatchCursor` whose examples differ from those of `AsyncCursor`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncCollection


async def overview(collection: AsyncCollection) -> None:
    import bson

    async with collection.find_raw_batches(sort=[("_id", 1)], batch_size=2) as cursor:
        async for batch in cursor:
            print(len(bson.decode_all(batch)))  # 2, 1


async def retrieved(collection: AsyncCollection) -> None:
    cursor = collection.find_raw_batches()
    await cursor.to_list()
    print(cursor.retrieved)  # 3


async def to_list(collection: AsyncCollection) -> None:
    import bson

    batches = await collection.find_raw_batches({"_id": "A-1"}).to_list()
    print(bson.decode(batches[0]))  # {'_id': 'A-1', 'status': 'pending', 'total': 10}


async def next_(collection: AsyncCollection) -> None:
    import bson

    batch = await collection.find_raw_batches({"_id": "A-1"}).next()
    print(bson.decode(batch)["total"])  # 10
