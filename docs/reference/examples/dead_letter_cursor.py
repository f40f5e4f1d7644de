"""Members of `AsyncDeadLetterCursor`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncEventStore, EventValidationError


async def overview(store: AsyncEventStore) -> None:
    error = EventValidationError("AssetRequest", (("quantity", "too large"),))
    await store.add_dead_letter("asset_purchase_request_processing", {"id": "PR-1"}, error)
    async for letter in store.dead_letters():
        print(letter.object_id)  # PR-1


async def to_list(store: AsyncEventStore) -> None:
    letters = await store.dead_letters().to_list(100)
    print(len(letters))  # 0


async def close(store: AsyncEventStore) -> None:
    cursor = store.dead_letters()
    await cursor.close()
    print(await store.dead_letters().to_list())  # []
