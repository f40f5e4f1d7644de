import logging
import os

import pytest
from connect.client import AsyncConnectClient
from connect.eaas.mongodb.cli import dev


@pytest.fixture
def async_connect_client():
    return AsyncConnectClient(
        'ApiKey fake_api_key',
        endpoint='https://localhost/public/v1',
    )


@pytest.fixture
def logger():
    return logging.getLogger('tests')


@pytest.fixture(scope='session')
def config():
    """The variables of a real MongoDB and a real gateway, as Connect would hand them over.

    The variable TEST_MONGODB_URI names a MongoDB to use instead of one of our own.
    """
    key = dev.new_api_key()
    uri = os.environ.get('TEST_MONGODB_URI')
    if uri:
        with dev.gateway(uri, key) as (_, url):
            yield _variables(uri, url, key)
    else:
        with dev.mongodb() as (_, port):
            with dev.gateway(f'mongodb://127.0.0.1:{port}', key) as (_, url):
                yield _variables(f'127.0.0.1:{port}', url, key)


def _variables(host, url, key):
    return {
        'DB': f'extension_tests_{os.getpid()}',
        'DATA_API_ENDPOINT': url,
        'API_KEY': key,
        'CLUSTER': 'Cluster0',
        'HTTP_COLLECTION': 'requests_http',
        'DB_HOST': host,
        'DB_USER': '',
        'DB_PASSWORD': '',
        'DRIVER_COLLECTION': 'requests_driver',
        'DB_OPTIONS': '',
    }
