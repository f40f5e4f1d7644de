"""Members of `AsyncCollection`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncCollection, AsyncDatabase


async def overview(database: AsyncDatabase) -> None:
    orders = database["orders"]
    await orders.insert_one({"_id": "A-4", "status": "pending", "total": 5})
    async for order in orders.find({"status": "pending"}, sort=[("total", 1)]):
        print(order["_id"], order["total"])  # A-4 5, A-1 10


async def name(collection: AsyncCollection) -> None:
    print(collection.name)  # orders


async def full_name(collection: AsyncCollection) -> None:
    print(collection.full_name)  # shop.orders


async def database(collection: AsyncCollection) -> None:
    print(collection.database.name)  # shop


async def with_options(collection: AsyncCollection) -> None:
    from pymongo import WriteConcern

    safe = collection.with_options(write_concern=WriteConcern("majority", wtimeout=2000))
    result = await safe.insert_one({"_id": "A-4"})
    print(result.acknowledged)  # True


async def codec_options(collection: AsyncCollection) -> None:
    from bson import SON
    from bson.codec_options import CodecOptions

    ordered = collection.with_options(CodecOptions(document_class=SON))
    order = await ordered.find_one("A-1")
    print(type(order).__name__, ordered.codec_options.document_class.__name__)  # SON SON


async def read_preference(collection: AsyncCollection) -> None:
    print(collection.read_preference.name)  # Primary


async def write_concern(collection: AsyncCollection) -> None:
    print(collection.write_concern.acknowledged)  # True


async def read_concern(collection: AsyncCollection) -> None:
    print(collection.read_concern.ok_for_legacy)  # True


async def insert_one(collection: AsyncCollection) -> None:
    order = {"status": "pending", "total": 5}
    result = await collection.insert_one(order)
    print(type(result.inserted_id).__name__)  # ObjectId
    print(order)  # {'status': 'pending', 'total': 5}


async def insert_many(collection: AsyncCollection) -> None:
    result = await collection.insert_many([{"_id": "A-4"}, {"_id": "A-5"}])
    print(result.inserted_ids)  # ['A-4', 'A-5']


async def find_one(collection: AsyncCollection) -> None:
    print(await collection.find_one({"status": "pending"}, {"total": 1}))  # {'_id': 'A-1', 'total': 10}
    print(await collection.find_one("A-9"))  # None


async def find(collection: AsyncCollection) -> None:
    cursor = collection.find({"status": "approved"}, sort=[("total", -1)])
    async for order in cursor:
        print(order["_id"])


async def update_one(collection: AsyncCollection) -> None:
    result = await collection.update_one({"_id": "A-1"}, {"$set": {"status": "approved"}, "$inc": {"total": 2}})
    print(result.modified_count)  # 1


async def update_many(collection: AsyncCollection) -> None:
    result = await collection.update_many({"total": {"$gte": 25}}, {"$set": {"status": "shipped"}})
    print(result.matched_count)  # 2


async def replace_one(collection: AsyncCollection) -> None:
    result = await collection.replace_one({"_id": "A-4"}, {"status": "pending", "total": 7}, upsert=True)
    print(result.upserted_id)


async def delete_one(collection: AsyncCollection) -> None:
    result = await collection.delete_one({"_id": "A-1"})
    print(result.deleted_count)  # 1


async def delete_many(collection: AsyncCollection) -> None:
    result = await collection.delete_many({"status": "approved"})
    print(result.deleted_count)  # 2


async def aggregate(collection: AsyncCollection) -> None:
    cursor = await collection.aggregate(
        [{"$group": {"_id": "$status", "total": {"$sum": "$total"}}}, {"$sort": {"_id": 1}}]
    )
    async for group in cursor:
        print(group["_id"], group["total"])  # approved 65, pending 10


async def count_documents(collection: AsyncCollection) -> None:
    print(await collection.count_documents({"status": "approved"}))  # 2


async def estimated_document_count(collection: AsyncCollection) -> None:
    print(await collection.estimated_document_count())  # 3


async def distinct(collection: AsyncCollection) -> None:
    print(sorted(await collection.distinct("status")))  # ['approved', 'pending']


async def find_one_and_update(collection: AsyncCollection) -> None:
    from pymongo import ReturnDocument

    order = await collection.find_one_and_update(
        {"_id": "A-1"}, {"$inc": {"total": 1}}, return_document=ReturnDocument.AFTER
    )
    print(order)  # {'_id': 'A-1', 'status': 'pending', 'total': 11}


async def find_one_and_replace(collection: AsyncCollection) -> None:
    before = await collection.find_one_and_replace({"_id": "A-1"}, {"status": "cancelled"})
    print(before)  # {'_id': 'A-1', 'status': 'pending', 'total': 10}


async def find_one_and_delete(collection: AsyncCollection) -> None:
    order = await collection.find_one_and_delete({"status": "approved"}, sort=[("total", -1)])
    print(order)  # {'_id': 'A-3', 'status': 'approved', 'total': 40}


async def index_information(collection: AsyncCollection) -> None:
    print(sorted(await collection.index_information()))  # ['_id_']


async def list_indexes(collection: AsyncCollection) -> None:
    async for index in collection.list_indexes():
        print(index["name"])  # _id_


async def drop_index(collection: AsyncCollection) -> None:
    name = await collection.create_index("status")
    await collection.drop_index(name)
    print(sorted(await collection.index_information()))  # ['_id_']


async def drop_indexes(collection: AsyncCollection) -> None:
    await collection.create_index("status")
    await collection.create_index("total")
    await collection.drop_indexes()
    print(sorted(await collection.index_information()))  # ['_id_']


async def drop(collection: AsyncCollection) -> None:
    await collection.drop()
    print(await collection.count_documents({}))  # 0


async def create_index(collection: AsyncCollection) -> None:
    name = await collection.create_index([("status", 1), ("total", -1)])
    print(name)  # status_1_total_-1


async def create_indexes(collection: AsyncCollection) -> None:
    from pymongo import IndexModel

    names = await collection.create_indexes([IndexModel("status"), IndexModel("total", unique=True)])
    print(names)  # ['status_1', 'total_1']


async def create_search_index(collection: AsyncCollection) -> None:
    # Requires Atlas, or a MongoDB with mongot.
    name = await collection.create_search_index({"name": "text", "definition": {"mappings": {"dynamic": True}}})
    print(name)  # text


async def create_search_indexes(collection: AsyncCollection) -> None:
    # Requires Atlas, or a MongoDB with mongot.
    from pymongo.operations import SearchIndexModel

    model = SearchIndexModel({"mappings": {"dynamic": True}}, name="text")
    print(await collection.create_search_indexes([model]))  # ['text']


async def drop_search_index(collection: AsyncCollection) -> None:
    # Requires Atlas, or a MongoDB with mongot.
    await collection.drop_search_index("text")


async def update_search_index(collection: AsyncCollection) -> None:
    # Requires Atlas, or a MongoDB with mongot.
    await collection.update_search_index("text", {"mappings": {"dynamic": False}})


async def list_search_indexes(collection: AsyncCollection) -> None:
    # Requires Atlas, or a MongoDB with mongot.
    async for index in collection.list_search_indexes():
        print(index["name"], index["status"])  # text READY


async def rename(collection: AsyncCollection) -> None:
    await collection.rename("archive")
    print(await collection.database.archive.count_documents({}))  # 3


async def options(collection: AsyncCollection) -> None:
    print(await collection.options())  # {}


async def bulk_write(collection: AsyncCollection) -> None:
    from pymongo import DeleteOne, InsertOne, UpdateMany

    result = await collection.bulk_write(
        [
            InsertOne({"_id": "A-4", "status": "approved"}),
            UpdateMany({"status": "approved"}, {"$set": {"status": "shipped"}}),
            DeleteOne({"_id": "A-1"}),
        ]
    )
    print(result.inserted_count, result.modified_count, result.deleted_count)  # 1 3 1


async def find_raw_batches(collection: AsyncCollection) -> None:
    import bson

    async for batch in collection.find_raw_batches({"status": "approved"}):
        print([order["_id"] for order in bson.decode_all(batch)])  # ['A-2', 'A-3']


async def aggregate_raw_batches(collection: AsyncCollection) -> None:
    import bson

    async for batch in await collection.aggregate_raw_batches([{"$match": {"total": 10}}]):
        print(bson.decode_all(batch))  # [{'_id': 'A-1', 'status': 'pending', 'total': 10}]


async def watch(collection: AsyncCollection) -> None:
    async with await collection.watch(full_document="updateLookup") as stream:
        await collection.update_one({"_id": "A-1"}, {"$set": {"status": "approved"}})
        change = await stream.next()
        print(change["operationType"], change["fullDocument"]["status"])  # update approved
