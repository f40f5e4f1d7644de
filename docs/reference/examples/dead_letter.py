"""Members of `DeadLetter`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncEventStore, EventValidationError


async def overview(store: AsyncEventStore) -> None:
    error = EventValidationError("AssetRequest", (("quantity", "too large"),))
    await store.add_dead_letter("asset_purchase_request_processing", {"id": "PR-1"}, error, task_id="TQ-1")
    async for letter in store.dead_letters():
        print(letter.object_id, letter.task_id, letter.errors)  # PR-1 TQ-1 (('quantity', 'too large'),)


async def payload(store: AsyncEventStore) -> None:
    error = EventValidationError("AssetRequest", (("quantity", "too large"),))
    await store.add_dead_letter("asset_purchase_request_processing", {"id": "PR-1", "quantity": 5}, error)
    async for letter in store.dead_letters():
        print(letter.payload)  # {'id': 'PR-1', 'quantity': 5}
