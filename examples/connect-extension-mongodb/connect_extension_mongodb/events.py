from connect.eaas.core.decorators import event, variables
from connect.eaas.core.extension import EventsApplicationBase
from connect.eaas.core.responses import BackgroundResponse
from connect.eaas.mongodb import drain_store, open_store, store_event, VARIABLES


@variables(VARIABLES)
class ConnectExtensionMongodbEventsApplication(EventsApplicationBase):
    @classmethod
    async def on_startup(cls, logger, config):
        await open_store(config, logger=logger)

    @classmethod
    async def on_shutdown(cls, logger, config):
        await drain_store(config)

    @event(
        'asset_purchase_request_processing',
        statuses=[
            'draft', 'tiers_setup', 'pending',
            'inquiring', 'approved', 'failed',
            'scheduled', 'revoking', 'revoked',
        ],
    )
    @store_event(path='data_api')
    @store_event(path='driver')
    async def handle_asset_purchase_request_processing(self, request):
        return BackgroundResponse.done()
