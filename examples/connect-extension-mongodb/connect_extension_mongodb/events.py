from connect.eaas.core.decorators import event, variables
from connect.eaas.core.extension import EventsApplicationBase
from connect.eaas.core.responses import BackgroundResponse
from connect.eaas.mongodb import VARIABLES, AsyncDataApiClient, AsyncMongoClient


@variables(VARIABLES)
class MyEventsApplication(EventsApplicationBase):
    @event("asset_purchase_request_processing", statuses=["pending", "approved", "failed"])
    async def handle_purchase(self, request):
        http = AsyncDataApiClient.from_config(self.config)
        self.logger.info(await http.get_default_collection().insert_one(request))
        mongo = AsyncMongoClient.from_config(self.config)
        self.logger.info(await mongo.get_default_collection().insert_one(request))
        return BackgroundResponse.done()
