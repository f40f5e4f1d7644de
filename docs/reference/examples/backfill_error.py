"""Members of `BackfillError`."""

from __future__ import annotations

from connect.client import AsyncConnectClient
from connect.eaas.mongodb import AsyncEventStore


async def overview(store: AsyncEventStore, connect_client: AsyncConnectClient) -> None:
    from connect.eaas.mongodb.backfill import BackfillError

    try:
        await store.backfill(connect_client, "requests", rql="unknown(status,pending)")
    except BackfillError as error:
        print(str(error).split(" (")[0])  # Connect refuses the query of requests
