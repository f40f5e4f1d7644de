"""Members of `Deviation`."""

from __future__ import annotations


async def overview() -> None:
    from connect.eaas.mongodb import parse_event

    event = parse_event("asset_purchase_request_processing", {"id": "PR-1", "status": 5})
    for deviation in event.deviations:
        print(f"{deviation.path}: {deviation.expected}, not {deviation.actual}")  # status: a string, not int
