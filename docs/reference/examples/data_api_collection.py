"""Members of `AsyncDataApiCollection` whose examples differ from those of `AsyncCollection`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncDataApiClient, AsyncDataApiCollection


async def overview(endpoint: str, api_key: str) -> None:
    async with AsyncDataApiClient(endpoint, api_key=api_key, data_source="Cluster0") as client:
        orders = client["shop"]["orders"]
        await orders.insert_one({"_id": "A-4", "status": "pending", "total": 5})
        async for order in orders.find({"status": "pending"}, sort=[("total", 1)]):
            print(order["_id"], order["total"])  # A-4 5, A-1 10


async def with_options(http_collection: AsyncDataApiCollection) -> None:
    from bson import SON
    from bson.codec_options import CodecOptions

    ordered = http_collection.with_options(CodecOptions(document_class=SON))
    print(type(await ordered.find_one("A-1")).__name__)  # SON
