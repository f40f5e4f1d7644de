"""Members of `AsyncChangeStream`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncCollection


async def overview(collection: AsyncCollection) -> None:
    async with await collection.watch() as stream:
        await collection.insert_one({"_id": "A-4"})
        async for change in stream:
            print(change["operationType"], change["documentKey"])  # insert {'_id': 'A-4'}
            break


async def alive(collection: AsyncCollection) -> None:
    stream = await collection.watch()
    print(stream.alive)  # True
    await stream.close()
    print(stream.alive)  # False


async def resume_token(collection: AsyncCollection) -> None:
    async with await collection.watch() as stream:
        await collection.insert_many([{"_id": "A-4"}, {"_id": "A-5"}])
        await stream.next()
        token = stream.resume_token
    # Later, in another process too:
    async with await collection.watch(resume_after=token) as stream:
        change = await stream.next()
        print(change["documentKey"])  # {'_id': 'A-5'}


async def next_(collection: AsyncCollection) -> None:
    async with await collection.watch() as stream:
        await collection.delete_one({"_id": "A-1"})
        change = await stream.next()
        print(change["operationType"])  # delete


async def try_next(collection: AsyncCollection) -> None:
    async with await collection.watch(max_await_time_ms=50) as stream:
        print(await stream.try_next())  # None


async def close(collection: AsyncCollection) -> None:
    stream = await collection.watch()
    await stream.close()
    print(stream.alive)  # False
