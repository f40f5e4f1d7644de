"""An extension that backfills on a schedule, for the real runner."""

from __future__ import annotations

from typing import Any

from connect.eaas.core.decorators import event, schedulable, variables
from connect.eaas.core.extension import EventsApplicationBase
from connect.eaas.core.responses import BackgroundResponse
from connect.eaas.mongodb import VARIABLES, store_event
from connect.eaas.mongodb.backfill import backfill_on_schedule


@variables(VARIABLES)
class EventsApplication(EventsApplicationBase):
    @classmethod
    def get_descriptor(cls) -> dict[str, Any]:
        return {"name": "Backfill", "readme_url": "", "changelog_url": "", "audience": ["vendor"]}

    @schedulable("Backfill", "Stores what Connect already has")
    async def backfill(self, schedule: Any) -> Any:
        return await backfill_on_schedule(self, schedule, "requests")

    @schedulable("Blocking backfill", "Stores what Connect already has")
    def backfill_blocking(self, schedule: Any) -> Any:
        return backfill_on_schedule(self, schedule, "requests", status="approved")

    @event("asset_purchase_request_processing", statuses=["pending"])
    @store_event
    async def handle(self, request: Any) -> Any:
        return BackgroundResponse.done()
