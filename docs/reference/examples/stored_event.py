"""Members of `StoredEvent`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncEventStore


async def overview(store: AsyncEventStore) -> None:
    request = {"id": "PR-1", "status": "pending", "asset": {"id": "AS-1"}}
    await store.save("asset_purchase_request_processing", request, task_id="TQ-1", installation_id="EIN-1")
    event = await store.latest("PR-1")
    if event:
        print(event.object_id, event.object, event.task_id, event.installation_id)  # PR-1 AssetRequest TQ-1 EIN-1
        print(event.document == request, event.deviations)  # True ()


async def event(store: AsyncEventStore) -> None:
    await store.save("asset_purchase_request_processing", {"id": "PR-1", "asset": {"id": "AS-1"}})
    stored = await store.latest("PR-1")
    if stored:
        print(stored.event.asset.id)  # AS-1
