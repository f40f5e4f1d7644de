"""Members of `AsyncClientSession`."""

from __future__ import annotations

from typing import Any

from connect.eaas.mongodb import AsyncClientSession, AsyncCollection, AsyncMongoClient


async def overview(client: AsyncMongoClient) -> None:
    orders = client.shop.orders
    async with client.start_session() as session, await session.start_transaction():
        await orders.update_one({"_id": "A-1"}, {"$inc": {"total": -5}}, session=session)
        await orders.update_one({"_id": "A-2"}, {"$inc": {"total": 5}}, session=session)
    print(await orders.distinct("total"))  # [5, 30, 40]


async def client(session: AsyncClientSession) -> None:
    print((await session.client.server_info(session=session))["ok"])  # 1.0


async def options(client: AsyncMongoClient) -> None:
    async with client.start_session(causal_consistency=False) as session:
        print(session.options.causal_consistency)  # False


async def session_id(session: AsyncClientSession) -> None:
    print(list(session.session_id))  # ['id']


async def has_ended(session: AsyncClientSession) -> None:
    await session.end_session()
    print(session.has_ended)  # True


async def in_transaction(session: AsyncClientSession) -> None:
    async with await session.start_transaction():
        print(session.in_transaction)  # True
    print(session.in_transaction)  # False


async def cluster_time(session: AsyncClientSession, collection: AsyncCollection) -> None:
    await collection.find_one({}, session=session)
    print(session.cluster_time is not None)  # True


async def operation_time(session: AsyncClientSession, collection: AsyncCollection) -> None:
    await collection.insert_one({"_id": "A-4"}, session=session)
    print(session.operation_time is not None)  # True


async def advance_cluster_time(session: AsyncClientSession, client: AsyncMongoClient) -> None:
    await client.shop.orders.insert_one({"_id": "A-4"}, session=session)
    async with client.start_session() as later:
        later.advance_cluster_time(session.cluster_time or {})
        print(later.cluster_time == session.cluster_time)  # True


async def advance_operation_time(session: AsyncClientSession, client: AsyncMongoClient) -> None:
    # A session that reads what another one has written, on any node.
    await client.shop.orders.insert_one({"_id": "A-4"}, session=session)
    async with client.start_session(causal_consistency=True) as later:
        if session.cluster_time and session.operation_time:
            later.advance_cluster_time(session.cluster_time)
            later.advance_operation_time(session.operation_time)
        print(await client.shop.orders.find_one("A-4", session=later))  # {'_id': 'A-4'}


async def start_transaction(session: AsyncClientSession, collection: AsyncCollection) -> None:
    try:
        async with await session.start_transaction():
            await collection.delete_many({}, session=session)
            raise ValueError("changed my mind")
    except ValueError:
        print(await collection.count_documents({}))  # 3


async def commit_transaction(session: AsyncClientSession, collection: AsyncCollection) -> None:
    await session.start_transaction()
    await collection.delete_one({"_id": "A-1"}, session=session)
    await session.commit_transaction()
    print(await collection.count_documents({}))  # 2


async def abort_transaction(session: AsyncClientSession, collection: AsyncCollection) -> None:
    await session.start_transaction()
    await collection.delete_one({"_id": "A-1"}, session=session)
    await session.abort_transaction()
    print(await collection.count_documents({}))  # 3


async def with_transaction(session: AsyncClientSession, collection: AsyncCollection) -> None:
    async def move(session: AsyncClientSession) -> Any:
        order = await collection.find_one_and_delete({"_id": "A-1"}, session=session)
        await collection.database.archive.insert_one(order or {}, session=session)
        return order

    print(await session.with_transaction(move))  # {'_id': 'A-1', 'status': 'pending', 'total': 10}


async def bind(session: AsyncClientSession, collection: AsyncCollection) -> None:
    async with session.bind(), await session.start_transaction():
        await collection.delete_one({"_id": "A-1"})
    print(session.has_ended, await collection.count_documents({}))  # True 2


async def end_session(client: AsyncMongoClient) -> None:
    session = client.start_session()
    await client.shop.orders.find_one({}, session=session)
    await session.end_session()
    print(session.has_ended)  # True
