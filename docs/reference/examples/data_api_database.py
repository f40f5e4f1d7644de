"""Members of `AsyncDataApiDatabase`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncDataApiClient, AsyncDataApiDatabase


async def overview(http_client: AsyncDataApiClient) -> None:
    database = http_client["shop"]
    print(await database.orders.count_documents({"status": "approved"}))  # 2


async def client(http_database: AsyncDataApiDatabase) -> None:
    print(http_database.client["shop"] == http_database)  # True


async def name(http_database: AsyncDataApiDatabase) -> None:
    print(http_database.name)  # shop


async def get_collection(http_database: AsyncDataApiDatabase) -> None:
    print(http_database.get_collection("orders").full_name)  # shop.orders


async def with_options(http_database: AsyncDataApiDatabase) -> None:
    from bson.codec_options import CodecOptions

    aware = http_database.with_options(CodecOptions(tz_aware=True))
    print(aware.codec_options.tz_aware)  # True


async def codec_options(http_database: AsyncDataApiDatabase) -> None:
    print(http_database.codec_options.document_class)  # <class 'dict'>


async def read_preference(http_database: AsyncDataApiDatabase) -> None:
    print(http_database.read_preference.name)  # Primary


async def write_concern(http_database: AsyncDataApiDatabase) -> None:
    print(http_database.write_concern.acknowledged)  # True


async def read_concern(http_database: AsyncDataApiDatabase) -> None:
    print(http_database.read_concern.level)  # None
