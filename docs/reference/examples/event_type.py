"""Members of `EventType`."""

from __future__ import annotations


async def overview() -> None:
    from connect.eaas.mongodb.events import EVENT_TYPES

    event_type = EVENT_TYPES["asset_purchase_request_processing"]
    print(event_type.category, event_type.model.__name__)  # background AssetRequest
