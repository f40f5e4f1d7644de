"""Members of `Kind`."""

from __future__ import annotations


async def overview() -> None:
    from connect.eaas.mongodb.backfill import KINDS

    print(KINDS["listings"].path)  # listings


async def event_type_of() -> None:
    from connect.eaas.mongodb.backfill import KINDS

    kind = KINDS["requests"]
    print(kind.event_type_of({"type": "purchase"}))  # asset_purchase_request_processing
