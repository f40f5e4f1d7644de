import copy

import pytest
from connect.eaas.mongodb import VARIABLES, AsyncEventStore
from connect_extension_mongodb.events import MyEventsApplication
from pymongo.errors import ConfigurationError

REQUEST = {
    "id": "PR-7658-9572-0778-001",
    "type": "purchase",
    "status": "pending",
    "reason": None,
    "asset": {"id": "AS-7658-9572-0778", "items": [{"id": "SEATS", "quantity": "7"}]},
    "contract": {"name": "Distribution – Español"},
}


async def test_a_purchase_request_is_stored_through_both_paths(async_connect_client, logger, config):
    request = copy.deepcopy(REQUEST)
    extension = MyEventsApplication(async_connect_client, logger, config)

    result = await extension.handle_purchase(request)

    assert result.status == "success"
    assert request == REQUEST
    for path in ("data_api", "driver"):
        store = AsyncEventStore.from_config(config, path=path)
        (stored,) = await store.history(REQUEST["id"]).to_list()
        assert stored.document == REQUEST
        assert stored.event.asset.items[0].quantity == 7


async def test_a_request_that_is_delivered_again_is_stored_once(async_connect_client, logger, config):
    request = {**REQUEST, "id": "PR-7658-9572-0778-002"}
    for _ in range(3):
        extension = MyEventsApplication(async_connect_client, logger, config)
        assert (await extension.handle_purchase(request)).status == "success"
    assert len(await AsyncEventStore.from_config(config).history(request["id"]).to_list()) == 1


async def test_a_request_is_delivered_again_while_mongodb_is_away(async_connect_client, logger, config):
    away = {**config, "DB_HOST": "127.0.0.1:1", "DB_OPTIONS": "serverSelectionTimeoutMS=200"}
    result = await MyEventsApplication(async_connect_client, logger, away).handle_purchase(REQUEST)
    assert result.status == "reschedule"


async def test_missing_variables_fail_the_task_with_their_names(async_connect_client, logger):
    extension = MyEventsApplication(async_connect_client, logger, {"DB": "events"})

    with pytest.raises(ConfigurationError, match=r"DATA_API_ENDPOINT.*API_KEY.*CLUSTER.*HTTP_COLLECTION"):
        await extension.handle_purchase(REQUEST)


def test_the_handler_is_registered_with_its_statuses_and_variables():
    assert MyEventsApplication.get_events() == [
        {
            "method": "handle_purchase",
            "event_type": "asset_purchase_request_processing",
            "statuses": ["pending", "approved", "failed"],
        }
    ]
    assert MyEventsApplication.get_variables() == VARIABLES
