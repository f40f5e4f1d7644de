"""Members of `AsyncEventCursor`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncEventStore


async def overview(store: AsyncEventStore) -> None:
    await store.save("asset_purchase_request_processing", {"id": "PR-1"})
    async for event in store.find():
        print(event.object_id)  # PR-1


async def to_list(store: AsyncEventStore) -> None:
    await store.save("asset_purchase_request_processing", {"id": "PR-1"})
    events = await store.history("PR-1").to_list(10)
    print(len(events))  # 1


async def close(store: AsyncEventStore) -> None:
    await store.save("asset_purchase_request_processing", {"id": "PR-1"})
    cursor = store.history("PR-1")
    async for event in cursor:
        print(event.object_id)  # PR-1
        break
    await cursor.close()
