import copy

import pytest
from connect.eaas.mongodb import AsyncEventStore, VARIABLES
from pymongo.errors import ConfigurationError

from connect_extension_mongodb.events import ConnectExtensionMongodbEventsApplication

REQUEST = {
    'id': 'PR-7658-9572-0778-001',
    'type': 'purchase',
    'status': 'pending',
    'reason': None,
    'asset': {'id': 'AS-7658-9572-0778', 'items': [{'id': 'SEATS', 'quantity': '7'}]},
    'contract': {'name': 'Distribution – Español'},
}


@pytest.mark.asyncio
async def test_a_request_is_stored_through_both_paths(async_connect_client, logger, config):
    request = copy.deepcopy(REQUEST)
    ext = ConnectExtensionMongodbEventsApplication(async_connect_client, logger, config)

    result = await ext.handle_asset_purchase_request_processing(request)

    assert result.status == 'success'
    assert request == REQUEST
    for path in ('data_api', 'driver'):
        store = AsyncEventStore.from_config(config, path=path)
        (stored,) = await store.history(REQUEST['id']).to_list()
        assert stored.document == REQUEST
        assert stored.event.asset.items[0].quantity == 7


@pytest.mark.asyncio
async def test_a_request_that_is_delivered_again_is_stored_once(
    async_connect_client,
    logger,
    config,
):
    request = {**REQUEST, 'id': 'PR-7658-9572-0778-002'}
    for _ in range(3):
        ext = ConnectExtensionMongodbEventsApplication(async_connect_client, logger, config)
        result = await ext.handle_asset_purchase_request_processing(request)
        assert result.status == 'success'
    assert len(await AsyncEventStore.from_config(config).history(request['id']).to_list()) == 1


@pytest.mark.asyncio
async def test_a_request_is_delivered_again_while_mongodb_is_away(
    async_connect_client,
    logger,
    config,
):
    away = {**config, 'DB_HOST': '127.0.0.1:1', 'DB_OPTIONS': 'serverSelectionTimeoutMS=200'}
    ext = ConnectExtensionMongodbEventsApplication(async_connect_client, logger, away)
    result = await ext.handle_asset_purchase_request_processing(REQUEST)
    assert result.status == 'reschedule'


@pytest.mark.asyncio
async def test_missing_variables_fail_the_task_with_their_names(async_connect_client, logger):
    ext = ConnectExtensionMongodbEventsApplication(async_connect_client, logger, {'DB': 'events'})

    named = r'DATA_API_ENDPOINT.*API_KEY.*CLUSTER.*HTTP_COLLECTION'
    with pytest.raises(ConfigurationError, match=named):
        await ext.handle_asset_purchase_request_processing(REQUEST)


def test_the_handler_is_registered_with_its_statuses_and_variables():
    (event,) = ConnectExtensionMongodbEventsApplication.get_events()
    assert event['method'] == 'handle_asset_purchase_request_processing'
    assert event['event_type'] == 'asset_purchase_request_processing'
    assert 'pending' in event['statuses']
    assert ConnectExtensionMongodbEventsApplication.get_variables() == VARIABLES
