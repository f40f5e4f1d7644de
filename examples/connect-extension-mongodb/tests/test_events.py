import copy

import pytest
from connect.eaas.mongodb import VARIABLES, AsyncDataApiClient, AsyncMongoClient
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
    for client in (AsyncDataApiClient.from_config(config), AsyncMongoClient.from_config(config)):
        stored = await client.get_default_collection().find_one({"id": REQUEST["id"]})
        assert stored.pop("_id")
        assert stored == REQUEST


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
