"""Members of `AsyncMongoClient`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncMongoClient


async def overview(uri: str) -> None:
    async with AsyncMongoClient(uri, serverSelectionTimeoutMS=5000) as client:
        order = await client.shop.orders.find_one({"_id": "A-1"})
        print(order)  # {'_id': 'A-1', 'status': 'pending', 'total': 10}


async def options(client: AsyncMongoClient) -> None:
    print(client.options.pool_options.max_pool_size)  # 100


async def append_metadata(client: AsyncMongoClient) -> None:
    from pymongo.driver_info import DriverInfo

    client.append_metadata(DriverInfo("my-library", "1.2.0"))
    print((await client.server_info())["ok"])  # 1.0


async def from_config(config: dict[str, str]) -> None:
    # In a handler, the variables are self.config.
    client = AsyncMongoClient.from_config(config)
    print(client is AsyncMongoClient.from_config(config))  # True


async def get_database(client: AsyncMongoClient) -> None:
    from pymongo import ReadPreference

    database = client.get_database("shop", read_preference=ReadPreference.SECONDARY_PREFERRED)
    print(database.name)  # shop


async def get_default_database(uri: str) -> None:
    async with AsyncMongoClient(uri) as client:
        print(client.get_default_database("shop").name)  # shop


async def get_default_collection(config: dict[str, str]) -> None:
    # With DB=shop and DRIVER_COLLECTION=orders.
    collection = AsyncMongoClient.from_config(config).get_default_collection()
    print(collection.full_name)  # shop.orders


async def close(uri: str) -> None:
    from pymongo.errors import InvalidOperation

    client = AsyncMongoClient(uri)
    await client.close()
    try:
        await client.shop.orders.find_one()
    except InvalidOperation:
        print("closed")  # closed


async def list_database_names(client: AsyncMongoClient) -> None:
    print("shop" in await client.list_database_names())  # True


async def drop_database(client: AsyncMongoClient) -> None:
    await client.drop_database("shop")
    print("shop" in await client.list_database_names())  # False


async def server_info(client: AsyncMongoClient) -> None:
    info = await client.server_info()
    print(info["version"] >= "4.4")  # True


async def list_databases(client: AsyncMongoClient) -> None:
    async for database in client.list_databases(nameOnly=True):
        if database["name"] == "shop":
            print(database)  # {'name': 'shop'}


async def start_session(client: AsyncMongoClient) -> None:
    async with client.start_session(causal_consistency=True) as session:
        await client.shop.orders.insert_one({"_id": "A-4"}, session=session)
        print(await client.shop.orders.find_one("A-4", session=session))  # {'_id': 'A-4'}


async def bulk_write(client: AsyncMongoClient) -> None:
    from pymongo import DeleteOne, InsertOne

    result = await client.bulk_write(
        [
            InsertOne({"_id": "A-4"}, namespace="shop.orders"),
            DeleteOne({"_id": "A-1"}, namespace="shop.orders"),
            InsertOne({"_id": "C-1"}, namespace="shop.customers"),
        ]
    )
    print(result.inserted_count, result.deleted_count)  # 2 1


async def watch(client: AsyncMongoClient) -> None:
    async with await client.watch() as stream:
        await client.shop.orders.insert_one({"_id": "A-4"})
        change = await stream.next()
        print(change["operationType"], change["fullDocument"])  # insert {'_id': 'A-4'}


async def address(client: AsyncMongoClient) -> None:
    host, port = await client.address or ("", 0)
    print(host)  # 127.0.0.1


async def primary(client: AsyncMongoClient) -> None:
    host, port = await client.primary or ("", 0)
    print(host)  # 127.0.0.1


async def secondaries(client: AsyncMongoClient) -> None:
    print(await client.secondaries)  # set()


async def arbiters(client: AsyncMongoClient) -> None:
    print(await client.arbiters)  # set()


async def is_primary(client: AsyncMongoClient) -> None:
    print(await client.is_primary)  # True


async def is_mongos(client: AsyncMongoClient) -> None:
    print(await client.is_mongos)  # False


async def nodes(client: AsyncMongoClient) -> None:
    await client.server_info()
    print(len(client.nodes))  # 1


async def topology_description(client: AsyncMongoClient) -> None:
    await client.server_info()
    print(client.topology_description.has_writable_server())  # True


async def HOST(client: AsyncMongoClient) -> None:  # noqa: N802
    print(client.HOST)  # localhost


async def PORT(client: AsyncMongoClient) -> None:  # noqa: N802
    print(client.PORT)  # 27017


async def aconnect(client: AsyncMongoClient) -> None:
    await client.aconnect()
    print((await client.server_info())["ok"])  # 1.0


async def aclose(uri: str) -> None:
    from contextlib import aclosing

    async with aclosing(AsyncMongoClient(uri)) as client:
        print(await client.shop.orders.count_documents({}))  # 3


async def codec_options(uri: str) -> None:
    async with AsyncMongoClient(uri, tz_aware=True) as client:
        print(client.codec_options.tz_aware)  # True


async def read_preference(uri: str) -> None:
    async with AsyncMongoClient(uri, readPreference="secondaryPreferred") as client:
        print(client.read_preference.name)  # SecondaryPreferred


async def write_concern(uri: str) -> None:
    async with AsyncMongoClient(uri, w="majority", wTimeoutMS=2000) as client:
        print(client.write_concern.document["wtimeout"])  # 2000


async def read_concern(uri: str) -> None:
    async with AsyncMongoClient(uri, readConcernLevel="majority") as client:
        print(client.read_concern.level)  # majority


async def eq_props(uri: str) -> None:
    first, second = AsyncMongoClient(uri), AsyncMongoClient(uri)
    print(first.eq_props() == second.eq_props(), first == second)  # True True
