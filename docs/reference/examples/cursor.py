"""Members of `AsyncCursor`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncCollection


async def overview(collection: AsyncCollection) -> None:
    async with collection.find().sort("total", -1).limit(2) as cursor:
        async for order in cursor:
            print(order["_id"])


async def collection(collection: AsyncCollection) -> None:
    cursor = collection.find()
    print(cursor.collection.name)  # orders


async def alive(collection: AsyncCollection) -> None:
    cursor = collection.find()
    await cursor.to_list()
    print(cursor.alive)  # False


async def cursor_id(collection: AsyncCollection) -> None:
    cursor = collection.find(batch_size=2)
    print(cursor.cursor_id)  # None
    await cursor.to_list()
    print(cursor.cursor_id)  # 0


async def session(collection: AsyncCollection) -> None:
    async with collection.database.client.start_session() as session:
        cursor = collection.find(session=session)
        print(cursor.session is session)  # True


async def address(collection: AsyncCollection) -> None:
    cursor = collection.find()
    await cursor.next()
    host, port = cursor.address or ("", 0)
    print(host)  # 127.0.0.1


async def retrieved(collection: AsyncCollection) -> None:
    cursor = collection.find()
    await cursor.to_list()
    print(cursor.retrieved)  # 3


async def to_list(collection: AsyncCollection) -> None:
    cursor = collection.find({}, {"total": 1}, sort=[("_id", 1)])
    print(await cursor.to_list(2))  # [{'_id': 'A-1', 'total': 10}, {'_id': 'A-2', 'total': 25}]
    print(await cursor.to_list())  # [{'_id': 'A-3', 'total': 40}]


async def sort(collection: AsyncCollection) -> None:
    cursor = collection.find().sort([("status", 1), ("total", -1)])
    print([order["_id"] async for order in cursor])  # ['A-3', 'A-2', 'A-1']


async def skip(collection: AsyncCollection) -> None:
    cursor = collection.find(sort=[("_id", 1)]).skip(1)
    print([order["_id"] async for order in cursor])  # ['A-2', 'A-3']


async def limit(collection: AsyncCollection) -> None:
    cursor = collection.find(sort=[("_id", 1)]).limit(1)
    print([order["_id"] async for order in cursor])  # ['A-1']


async def batch_size(collection: AsyncCollection) -> None:
    cursor = collection.find().batch_size(100)
    print(len(await cursor.to_list()))  # 3


async def hint(collection: AsyncCollection) -> None:
    name = await collection.create_index("status")
    cursor = collection.find({"status": "pending"}).hint(name)
    print(len(await cursor.to_list()))  # 1


async def collation(collection: AsyncCollection) -> None:
    from pymongo.collation import Collation

    cursor = collection.find({"status": "APPROVED"}).collation(Collation("en", strength=2))
    print(len(await cursor.to_list()))  # 2


async def comment(collection: AsyncCollection) -> None:
    cursor = collection.find().comment("nightly report")
    print(len(await cursor.to_list()))  # 3


async def max_time_ms(collection: AsyncCollection) -> None:
    cursor = collection.find().max_time_ms(2000)
    print(len(await cursor.to_list()))  # 3


async def allow_disk_use(collection: AsyncCollection) -> None:
    cursor = collection.find().sort("total").allow_disk_use(True)
    print([order["total"] async for order in cursor])  # [10, 25, 40]


async def max_(collection: AsyncCollection) -> None:
    await collection.create_index("total")
    cursor = collection.find().max([("total", 40)]).hint([("total", 1)])
    print([order["total"] async for order in cursor])  # [10, 25]


async def min_(collection: AsyncCollection) -> None:
    await collection.create_index("total")
    cursor = collection.find().min([("total", 25)]).hint([("total", 1)])
    print([order["total"] async for order in cursor])  # [25, 40]


async def max_await_time_ms(collection: AsyncCollection) -> None:
    from pymongo import CursorType

    events = await collection.database.create_collection("events", capped=True, size=100_000)
    await events.insert_one({"_id": 1})
    cursor = events.find(cursor_type=CursorType.TAILABLE_AWAIT).max_await_time_ms(100)
    print(await cursor.next())  # {'_id': 1}
    await cursor.close()


async def add_option(collection: AsyncCollection) -> None:
    from pymongo import CursorType

    events = await collection.database.create_collection("events", capped=True, size=100_000)
    await events.insert_one({"_id": 1})
    cursor = events.find().add_option(CursorType.TAILABLE)
    print(await cursor.next(), cursor.alive)  # {'_id': 1} True
    await cursor.close()


async def remove_option(collection: AsyncCollection) -> None:
    from pymongo import CursorType

    cursor = collection.find(cursor_type=CursorType.TAILABLE).remove_option(CursorType.TAILABLE)
    print(len(await cursor.to_list()))  # 3


async def where(collection: AsyncCollection) -> None:
    # Requires a MongoDB that runs JavaScript.
    cursor = collection.find().where("this.total > 30")
    print([order["_id"] async for order in cursor])  # ['A-3']


async def distinct(collection: AsyncCollection) -> None:
    print(await collection.find({"total": {"$gt": 10}}).distinct("status"))  # ['approved']


async def explain(collection: AsyncCollection) -> None:
    plan = await collection.find({"_id": "A-1"}).explain()
    print("queryPlanner" in plan)  # True


async def clone(collection: AsyncCollection) -> None:
    cursor = collection.find({"status": "approved"})
    await cursor.to_list()
    print(len(await cursor.clone().to_list()))  # 2


async def rewind(collection: AsyncCollection) -> None:
    cursor = collection.find(sort=[("_id", 1)])
    first = await cursor.next()
    cursor.rewind()
    print(await cursor.next() == first)  # True


async def next_(collection: AsyncCollection) -> None:
    cursor = collection.find({"_id": "A-1"})
    print(await cursor.next())  # {'_id': 'A-1', 'status': 'pending', 'total': 10}


async def try_next(collection: AsyncCollection) -> None:
    cursor = collection.find({"_id": "A-9"})
    print(await cursor.try_next())  # None


async def close(collection: AsyncCollection) -> None:
    cursor = collection.find(batch_size=1)
    await cursor.next()
    await cursor.close()
    print(cursor.alive)  # False
