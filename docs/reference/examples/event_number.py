"""Members of `EventNumber`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncEventStore


async def overview(store: AsyncEventStore) -> None:
    await store.save("asset_purchase_request_processing", {"id": "PR-1", "status": "pending"})
    for number in await store.numbers():
        if number.events:
            print(number.hour.minute, number.status, number.events)  # 0 pending 1
