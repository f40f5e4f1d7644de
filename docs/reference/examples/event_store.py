"""Members of `AsyncEventStore`."""

from __future__ import annotations

from connect.client import AsyncConnectClient
from connect.eaas.mongodb import AsyncCollection, AsyncEventStore


async def overview(collection: AsyncCollection) -> None:
    store = AsyncEventStore(collection, extension_id="SRVC-0001", redact_paths=["asset.tiers.*.tax_id"])
    request = {"id": "PR-1", "status": "pending", "type": "purchase"}
    await store.save("asset_purchase_request_processing", request)
    async for event in store.history("PR-1"):
        print(event.event_type, event.document["status"])  # asset_purchase_request_processing pending


async def from_config(config: dict[str, str]) -> None:
    # In a handler, the variables are self.config.
    store = AsyncEventStore.from_config(config, path="driver")
    print(store.collection.name)  # orders


async def save(store: AsyncEventStore) -> None:
    request = {"id": "PR-1", "status": "pending"}
    first = await store.save("asset_purchase_request_processing", request)
    second = await store.save("asset_purchase_request_processing", request)
    print(first.stored, second.stored, first.id == second.id)  # True False True


async def save_many(store: AsyncEventStore) -> None:
    events = [("asset_purchase_request_processing", {"id": f"PR-{number}"}) for number in range(3)]
    results = await store.save_many(events)
    print(len(results), await store.count(object_id="PR-2"))  # 3 1


async def history(store: AsyncEventStore) -> None:
    for status in ("pending", "approved"):
        await store.save("asset_purchase_request_processing", {"id": "PR-1", "status": status})
    print([event.document["status"] async for event in store.history("PR-1")])  # ['pending', 'approved']


async def latest(store: AsyncEventStore) -> None:
    for status in ("pending", "approved"):
        await store.save("asset_purchase_request_processing", {"id": "PR-1", "status": status})
    event = await store.latest("PR-1")
    if event:
        print(event.document)  # {'id': 'PR-1', 'status': 'approved'}


async def find(store: AsyncEventStore) -> None:
    import datetime

    await store.save("asset_purchase_request_processing", {"id": "PR-1", "status": "pending"})
    await store.save("asset_purchase_request_processing", {"id": "PR-2", "status": "approved"})
    yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    async for event in store.find(status=["pending", "inquiring"], since=yesterday, limit=10):
        print(event.object_id)  # PR-1


async def get(store: AsyncEventStore) -> None:
    result = await store.save("asset_purchase_request_processing", {"id": "PR-1", "status": "pending"})
    event = await store.get(result.id)
    if event:
        print(event.object, event.document["status"])  # AssetRequest pending


async def count(store: AsyncEventStore) -> None:
    await store.save("asset_purchase_request_processing", {"id": "PR-1", "status": "pending"})
    print(await store.count(event_type="asset_purchase_request_processing"))  # 1


async def numbers(store: AsyncEventStore) -> None:
    await store.save("asset_purchase_request_processing", {"id": "PR-1", "status": "pending"})
    for number in await store.numbers(status="pending"):
        print(number.event_type, number.events)  # asset_purchase_request_processing 1


async def ensure_indexes(store: AsyncEventStore) -> None:
    await store.ensure_indexes()
    print(len(await store.collection.index_information()) > 1)  # True


async def add_dead_letter(store: AsyncEventStore) -> None:
    from connect.eaas.mongodb import EventValidationError

    request = {"id": "PR-1", "quantity": 2**70}
    try:
        await store.save("asset_purchase_request_processing", request)
    except EventValidationError as error:
        await store.add_dead_letter("asset_purchase_request_processing", request, error)
    async for letter in store.dead_letters():
        print(letter.payload["quantity"] == 2**70)  # True


async def dead_letters(store: AsyncEventStore) -> None:
    from connect.eaas.mongodb import EventValidationError

    error = EventValidationError("AssetRequest", (("quantity", "too large"),))
    await store.add_dead_letter("asset_purchase_request_processing", {"id": "PR-1", "quantity": 2**70}, error)
    async for letter in store.dead_letters(object_id="PR-1", limit=10):
        print(letter.object_id, letter.error)  # PR-1 not a valid AssetRequest: quantity: too large


async def replay(store: AsyncEventStore) -> None:
    from connect.eaas.mongodb import EventValidationError

    error = EventValidationError("AssetRequest", (("quantity", "too large"),))
    await store.add_dead_letter("asset_purchase_request_processing", {"id": "PR-1", "quantity": 2**70}, error)
    for letter in await store.dead_letters().to_list():
        result = await store.replay(letter, {**letter.payload, "quantity": str(2**70)})
        print(result.stored)  # True
    print(await store.dead_letters().to_list())  # []


async def backfill(store: AsyncEventStore, connect_client: AsyncConnectClient) -> None:
    # In an extension, the client is self.client.
    progress = await store.backfill(connect_client, "requests", status="pending", resume=True)
    print(progress.state, progress.stored)  # finished 2


async def drain(store: AsyncEventStore) -> None:
    await store.save("asset_purchase_request_processing", {"id": "PR-1"})
    await store.drain()
    print(await store.count(object_id="PR-1"))  # 1
