"""Members of `BackfillProgress`."""

from __future__ import annotations

from connect.client import AsyncConnectClient
from connect.eaas.mongodb import AsyncEventStore


async def overview(store: AsyncEventStore, connect_client: AsyncConnectClient) -> None:
    progress = await store.backfill(connect_client, "requests", dry_run=True)
    print(progress.state, progress.total)  # dry run 3


async def to_dict(store: AsyncEventStore, connect_client: AsyncConnectClient) -> None:
    progress = await store.backfill(connect_client, "requests")
    print(progress.to_dict()["stored"])  # 3
