"""Members of `AsyncDataApiClient`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncDataApiClient


async def overview(endpoint: str, api_key: str) -> None:
    async with AsyncDataApiClient(endpoint, api_key=api_key, data_source="Cluster0") as client:
        print(await client["shop"]["orders"].find_one({"_id": "A-1"}, {"total": 1}))  # {'_id': 'A-1', 'total': 10}


async def from_config(config: dict[str, str]) -> None:
    # In a handler, the variables are self.config.
    client = AsyncDataApiClient.from_config(config)
    print(client is AsyncDataApiClient.from_config(config))  # True


async def get_database(http_client: AsyncDataApiClient) -> None:
    print(http_client.get_database("shop").name)  # shop


async def get_default_database(endpoint: str, api_key: str) -> None:
    client = AsyncDataApiClient(endpoint, api_key=api_key, data_source="Cluster0", database="shop")
    print(client.get_default_database().name)  # shop


async def get_default_collection(endpoint: str, api_key: str) -> None:
    client = AsyncDataApiClient(
        endpoint, api_key=api_key, data_source="Cluster0", database="shop", collection="orders"
    )
    print(await client.get_default_collection().count_documents({}))  # 3


async def close(endpoint: str, api_key: str) -> None:
    from pymongo.errors import InvalidOperation

    client = AsyncDataApiClient(endpoint, api_key=api_key, data_source="Cluster0")
    await client.close()
    try:
        await client["shop"]["orders"].find_one()
    except InvalidOperation:
        print("closed")  # closed


async def codec_options(http_client: AsyncDataApiClient) -> None:
    print(http_client.codec_options.tz_aware)  # False


async def read_preference(http_client: AsyncDataApiClient) -> None:
    print(http_client.read_preference.name)  # Primary


async def write_concern(http_client: AsyncDataApiClient) -> None:
    print(http_client.write_concern.acknowledged)  # True


async def read_concern(http_client: AsyncDataApiClient) -> None:
    print(http_client.read_concern.level)  # None
