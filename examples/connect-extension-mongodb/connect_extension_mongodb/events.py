from connect.eaas.core.decorators import event, variables
from connect.eaas.core.extension import EventsApplicationBase
from connect.eaas.core.responses import BackgroundResponse
from connect.eaas.mongodb import VARIABLES, drain_store, open_store, store_event


@variables(VARIABLES)
class MyEventsApplication(EventsApplicationBase):
    @classmethod
    async def on_startup(cls, logger, config):
        await open_store(config, logger=logger)

    @classmethod
    async def on_shutdown(cls, logger, config):
        await drain_store(config)

    @event("asset_purchase_request_processing", statuses=["pending", "approved", "failed"])
    @store_event(path="data_api")
    @store_event(path="driver")
    async def handle_purchase(self, request):
        return BackgroundResponse.done()
