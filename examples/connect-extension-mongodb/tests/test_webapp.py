import pytest
from connect.eaas.mongodb import EventStore, VARIABLES

from connect_extension_mongodb.webapp import ConnectExtensionMongodbWebApplication


@pytest.fixture
def client(test_client_factory):
    return test_client_factory(ConnectExtensionMongodbWebApplication)


def data_api_only(config):
    return {**config, 'DB_HOST': ''}


@pytest.mark.parametrize('variables', (dict, data_api_only))
def test_an_account_has_notes_of_its_own(client, config, variables):
    url = f'/api/objects/AS-{variables.__name__}/notes'
    config = variables(config)

    response = client.post(url, json={'text': 'a note'}, config=config)

    assert response.status_code == 201
    assert client.get(url, config=config).json()['notes'] == ['a note']
    other = {'account_id': 'VA-999'}
    assert client.get(url, config=config, context=other).json()['notes'] == []


def test_the_owner_lists_the_stored_requests(client, config):
    request = {'id': 'PR-0000-0000-0000-001', 'type': 'purchase', 'status': 'approved'}
    EventStore.from_config(config).save('asset_purchase_request_processing', request)

    response = client.get('/api/requests', config=config, context={'call_type': 'admin'})

    assert response.status_code == 200
    assert ('PR-0000-0000-0000-001', 'approved') in [
        (found['id'], found['status']) for found in response.json()
    ]


def test_others_do_not(client, config):
    response = client.get('/api/requests', config=config)
    assert response.status_code == 403
    assert response.json()['error_code'] == 'AUTH_004'


def test_without_mongodb_the_response_is_503(client, config):
    away = {**config, 'DB_HOST': '127.0.0.1:1', 'DB_OPTIONS': 'serverSelectionTimeoutMS=200'}
    response = client.get('/api/objects/AS-1/notes', config=away)
    assert response.status_code == 503
    assert response.json()['error_code'] == 'MONGODB_UNREACHABLE'


def test_the_variables_are_declared():
    assert ConnectExtensionMongodbWebApplication.get_variables() == VARIABLES
