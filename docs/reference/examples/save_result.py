"""Members of `SaveResult`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncEventStore


async def id_(store: AsyncEventStore) -> None:
    result = await store.save("asset_purchase_request_processing", {"id": "PR-1"})
    print(result.id.startswith("PR-1"))  # True


async def stored(store: AsyncEventStore) -> None:
    result = await store.save("asset_purchase_request_processing", {"id": "PR-1"})
    print(result.stored)  # True


async def duplicate(store: AsyncEventStore) -> None:
    await store.save("asset_purchase_request_processing", {"id": "PR-1"})
    result = await store.save("asset_purchase_request_processing", {"id": "PR-1"})
    print(result.duplicate)  # True
