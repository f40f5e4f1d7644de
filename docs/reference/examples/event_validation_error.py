"""Members of `EventValidationError`."""

from __future__ import annotations


async def overview() -> None:
    from connect.eaas.mongodb import EventValidationError, parse_event

    try:
        parse_event("asset_purchase_request_processing", {"id": "PR-1", "status": 5}, strict=True)
    except EventValidationError as error:
        print(error.errors)  # (('status', 'expected a string, got int'),)
