"""Variables and arguments, good and bad. None of these does I/O."""

from __future__ import annotations

import gc
import threading
import weakref
from collections import UserDict
from typing import Any

import connect.eaas.mongodb as library
import pytest
from connect.eaas.mongodb import VARIABLES, AsyncDataApiClient, AsyncMongoClient, DataApiClient, MongoClient
from pymongo.errors import ConfigurationError, InvalidURI, PyMongoError

DRIVER = {
    "DB": "events",
    "DB_HOST": "cluster0.abcde.mongodb.net",
    "DB_USER": "user@corp",
    "DB_PASSWORD": "p@ss:/w%rd",
    "DRIVER_COLLECTION": "requests",
}
HTTP = {
    "DB": "events",
    "DATA_API_ENDPOINT": "https://data.example.com/app/data-abc/endpoint/data/v1/",
    "API_KEY": "secret-key-1",
    "CLUSTER": "Cluster0",
    "HTTP_COLLECTION": "requests",
}
PATHS = [(AsyncMongoClient, DRIVER), (MongoClient, DRIVER), (AsyncDataApiClient, HTTP), (DataApiClient, HTTP)]


def test_variables_are_as_connect_takes_them() -> None:
    assert [variable["name"] for variable in VARIABLES] == [
        "DB",
        "DATA_API_ENDPOINT",
        "API_KEY",
        "CLUSTER",
        "HTTP_COLLECTION",
        "DB_HOST",
        "DB_USER",
        "DB_PASSWORD",
        "DRIVER_COLLECTION",
        "DB_OPTIONS",
    ]
    assert {variable["name"] for variable in VARIABLES if variable["secure"]} == {"API_KEY", "DB_PASSWORD"}
    assert all(isinstance(variable["initial_value"], str) for variable in VARIABLES)


@pytest.mark.parametrize(("client", "config"), PATHS)
def test_the_same_variables_give_the_same_client(client: Any, config: dict[str, str]) -> None:
    made = client.from_config(config)
    assert client.from_config(dict(config)) is made
    assert client.from_config(UserDict(config)) is made
    assert client.from_config({**config, "UNRELATED": "changed"}) is made
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(client.from_config(dict(config)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(other is made for other in found)


@pytest.mark.parametrize(("client", "config"), PATHS)
def test_changed_variables_give_a_new_client_and_let_go_of_the_old_one(client: Any, config: dict[str, str]) -> None:
    changed = {**config, "DB": f"changed_{client.__name__}"}
    old = weakref.ref(client.from_config(config))
    new = client.from_config(changed)
    gc.collect()
    assert old() is None
    assert client.from_config(changed) is new


@pytest.mark.parametrize(("client", "config"), PATHS)
def test_two_settings_in_turns_keep_a_client_each(client: Any, config: dict[str, str]) -> None:
    other = {**config, "DB": f"other_{client.__name__}"}
    client.from_config(config)
    client.from_config(other)
    # From here on it is known that both are in use.
    first = weakref.ref(client.from_config(config))
    second = weakref.ref(client.from_config(other))
    for _ in range(3):
        gc.collect()
        assert client.from_config(config) is first()
        assert client.from_config(other) is second()


@pytest.mark.parametrize(("client", "config"), PATHS)
def test_each_missing_variable_is_named(client: Any, config: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        client.from_config({})
    names = set(config) - {"DB_USER", "DB_PASSWORD"}
    assert all(name in str(refused.value) for name in names)
    for name in config:
        for broken in (
            {key: value for key, value in config.items() if key != name},
            {**config, name: ""},
            {**config, name: "  "},
            {**config, name: 5},
            {**config, name: None},
        ):
            with pytest.raises(ConfigurationError, match=rf"\b{name}\b") as refused:
                client.from_config(broken)
            for secret in ("p@ss:/w%rd", "secret-key-1", "user@corp"):
                assert secret not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB", "a b"),
        ("DB", "a.b"),
        ("DRIVER_COLLECTION", "$x"),
        ("DB_HOST", "https://cluster0.mongodb.net"),
        ("DB_HOST", "user:hunter2@host:27017"),
        ("DB_HOST", "host:99999"),
        ("DB_HOST", "host/db"),
        ("DB_HOST", "mongodb://u:hunter2@host:port"),
        ("DB_HOST", "mongodb+srv://u:hunter2@a.b.c,d.e.f/"),
        ("DB_OPTIONS", "w=hunter2&maxPoolSize=-1"),
        ("DB_OPTIONS", "noSuchOption=1"),
    ],
)
def test_malformed_driver_variables_are_named_and_not_shown(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name) as refused:
        MongoClient.from_config({**DRIVER, name: value})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATA_API_ENDPOINT", "data.example.com"),
        ("DATA_API_ENDPOINT", "ftp://data.example.com"),
        ("DATA_API_ENDPOINT", "https://u:hunter2@data.example.com"),
        ("DATA_API_ENDPOINT", "https://data.example.com/action/insertOne"),
        ("API_KEY", "hunter2\n"[:-1] + "é"),
        ("HTTP_COLLECTION", "a..b"),
    ],
)
def test_malformed_data_api_variables_are_named_and_not_shown(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name) as refused:
        DataApiClient.from_config({**HTTP, name: value})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("config", [None, 5, "DB=events", object()])
def test_what_is_no_mapping_is_a_type_error(config: Any) -> None:
    with pytest.raises(TypeError, match="config"):
        AsyncMongoClient.from_config(config)


def test_all_forms_of_db_host_are_taken() -> None:
    for host, shown in [
        ("cluster0.abcde.mongodb.net", "cluster0.abcde.mongodb.net"),
        ("h:27018", "h:27018"),
        ("h1:1,h2:2", "h1:1', 'h2:2"),
        ("mongo", "mongo:27017"),
        ("[::1]:27017", "[::1]:27017"),
        ("mongodb://h:1/?replicaSet=rs", "h:1"),
        ("mongodb+srv://cluster0.abcde.mongodb.net/?w=majority", "cluster0.abcde.mongodb.net"),
    ]:
        client = MongoClient.from_config({**DRIVER, "DB_HOST": host})
        assert shown in repr(client), host


def test_a_repr_shows_no_secret() -> None:
    clients: list[Any] = [
        MongoClient.from_config(DRIVER),
        MongoClient("mongodb://user:hunter2@host:1/"),
        MongoClient("host", username="user", password="hunter2"),
        DataApiClient.from_config(HTTP),
    ]
    for client in clients:
        for shown in (client, client.a, client.a.b):
            for secret in ("p@ss", "p%40ss", "hunter2", "secret-key-1", "user"):
                assert secret not in repr(shown)


def test_clients_take_pymongos_arguments() -> None:
    assert "localhost:27017" in repr(MongoClient())
    assert "h:5" in repr(MongoClient("h", 5))
    assert "h:6" in repr(MongoClient("h:6", 5))
    assert "h1:5', 'h2:7" in repr(MongoClient(["h1", "h2:7"], 5))
    client = MongoClient(
        "mongodb://h/app", serverSelectionTimeoutMS=100, tls=True, w="majority", appName="a b", maxPoolSize=5
    )
    assert client.get_default_database().name == "app"
    with pytest.raises(ConfigurationError):
        MongoClient().get_default_database()
    with pytest.raises(ConfigurationError, match="from_config"):
        MongoClient().get_default_collection()


@pytest.mark.parametrize(
    "uri",
    [
        "http://h",
        "mongodb://",
        "mongodb://u:hunter2@",
        "mongodb://u:hun/ter2@h",
        "mongodb://u:hunter2%zz@h",
        "mongodb://h:hunter2",
        "mongodb+srv://h.x.y:1",
        "mongodb://h/?hunter2",
    ],
)
def test_bad_uris_are_refused_without_showing_a_secret(uri: str) -> None:
    with pytest.raises((InvalidURI, ConfigurationError, ValueError)) as refused:
        MongoClient(uri)
    assert "hunter2" not in str(refused.value)
    assert "hun/ter2" not in str(refused.value)


def test_a_data_api_client_takes_arguments() -> None:
    client = DataApiClient("http://h/", api_key="k" * 8, data_source="c", database="d", collection="x")
    assert client.get_default_collection().full_name == "d.x"
    for arguments in (
        {"api_key": "", "data_source": "c"},
        {"api_key": "k", "data_source": " "},
        {"api_key": "k", "data_source": "c", "database": "a b"},
        {"api_key": "k", "data_source": "c", "timeoutMS": 0},
    ):
        with pytest.raises(PyMongoError):
            DataApiClient("http://h", **arguments)


def test_every_public_name_is_there() -> None:
    for name in library.__all__:
        assert getattr(library, name) is not None
    assert issubclass(library.DataApiError, PyMongoError)
    with pytest.raises(AttributeError):
        library.no_such_name  # noqa: B018
