"""Members of `MongoMetrics`."""

from __future__ import annotations


async def overview(uri: str) -> None:
    from connect.eaas.mongodb import AsyncMongoClient
    from connect.eaas.mongodb.metrics import MongoMetrics
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    metrics = MongoMetrics(registry)
    async with AsyncMongoClient(uri, event_listeners=metrics.listeners) as client:
        await client.shop.orders.find_one()
    print(b'command="find"' in generate_latest(registry))  # True


async def listeners(uri: str) -> None:
    from connect.eaas.mongodb import AsyncMongoClient
    from connect.eaas.mongodb.metrics import MongoMetrics
    from prometheus_client import CollectorRegistry

    metrics = MongoMetrics(CollectorRegistry())
    async with AsyncMongoClient(uri, event_listeners=metrics.listeners) as client:
        print(await client.shop.orders.count_documents({}))  # 3


async def register() -> None:
    from connect.eaas.mongodb.metrics import MongoMetrics
    from prometheus_client import CollectorRegistry

    # All clients that are created from now on.
    MongoMetrics(CollectorRegistry()).register()
