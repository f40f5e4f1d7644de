"""Members of `AsyncDatabase`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncDatabase, AsyncMongoClient


async def overview(client: AsyncMongoClient) -> None:
    database = client["shop"]
    print(database.orders == database["orders"])  # True


async def client(database: AsyncDatabase) -> None:
    print((await database.client.server_info())["ok"])  # 1.0


async def name(database: AsyncDatabase) -> None:
    print(database.name)  # shop


async def get_collection(database: AsyncDatabase) -> None:
    from pymongo import WriteConcern

    orders = database.get_collection("orders", write_concern=WriteConcern("majority"))
    print(orders.full_name)  # shop.orders


async def with_options(database: AsyncDatabase) -> None:
    from pymongo import ReadPreference

    reports = database.with_options(read_preference=ReadPreference.SECONDARY_PREFERRED)
    print(await reports.orders.count_documents({}))  # 3


async def codec_options(database: AsyncDatabase) -> None:
    from bson.codec_options import CodecOptions

    aware = database.with_options(CodecOptions(tz_aware=True))
    print(aware.codec_options.tz_aware)  # True


async def read_preference(database: AsyncDatabase) -> None:
    print(database.read_preference.name)  # Primary


async def write_concern(database: AsyncDatabase) -> None:
    from pymongo import WriteConcern

    safe = database.with_options(write_concern=WriteConcern("majority"))
    print(safe.write_concern.document)  # {'w': 'majority'}


async def read_concern(database: AsyncDatabase) -> None:
    from pymongo.read_concern import ReadConcern

    majority = database.with_options(read_concern=ReadConcern("majority"))
    print(majority.read_concern.level)  # majority


async def list_collection_names(database: AsyncDatabase) -> None:
    print(await database.list_collection_names())  # ['orders']


async def list_collections(database: AsyncDatabase) -> None:
    async for collection in database.list_collections():
        print(collection["name"], collection["type"])  # orders collection


async def create_collection(database: AsyncDatabase) -> None:
    events = await database.create_collection("events", capped=True, size=1_000_000)
    print((await events.options())["capped"])  # True


async def drop_collection(database: AsyncDatabase) -> None:
    await database.drop_collection("orders")
    print(await database.list_collection_names())  # []


async def command(database: AsyncDatabase) -> None:
    reply = await database.command("count", "orders", query={"status": "approved"})
    print(reply["n"])  # 2


async def cursor_command(database: AsyncDatabase) -> None:
    cursor = await database.cursor_command("find", "orders", filter={"status": "pending"})
    print(await cursor.to_list())  # [{'_id': 'A-1', 'status': 'pending', 'total': 10}]


async def aggregate(database: AsyncDatabase) -> None:
    cursor = await database.aggregate([{"$documents": [{"x": 1}, {"x": 2}]}, {"$match": {"x": {"$gt": 1}}}])
    print(await cursor.to_list())  # [{'x': 2}]


async def validate_collection(database: AsyncDatabase) -> None:
    reply = await database.validate_collection("orders")
    print(reply["valid"])  # True


async def dereference(database: AsyncDatabase) -> None:
    from bson import DBRef

    order = await database.dereference(DBRef("orders", "A-1"))
    print(order)  # {'_id': 'A-1', 'status': 'pending', 'total': 10}


async def watch(database: AsyncDatabase) -> None:
    async with await database.watch([{"$match": {"operationType": "insert"}}]) as stream:
        await database.orders.delete_one({"_id": "A-1"})
        await database.customers.insert_one({"_id": "C-1"})
        change = await stream.next()
        print(change["ns"]["coll"], change["documentKey"])  # customers {'_id': 'C-1'}
