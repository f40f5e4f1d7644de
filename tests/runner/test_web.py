"""`connect.eaas.mongodb.web` in a real web application of `connect-eaas-core`, with its test client."""

from __future__ import annotations

import itertools
import json
import logging
import os
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from bson.errors import InvalidDocument
from connect.client import ClientError
from connect.eaas.core.decorators import router, variables, web_app
from connect.eaas.core.extension import WebApplicationBase
from connect.eaas.core.inject.models import Context
from connect.eaas.core.testing import WebAppTestClient
from connect.eaas.mongodb import STORE_VARIABLES, VARIABLES, DataApiError, MongoClient
from connect.eaas.mongodb.events import EventValidationError
from connect.eaas.mongodb.web import asynchronous, client_error, client_errors, collection, synchronous
from fastapi import Depends, HTTPException
from fastapi.testclient import TestClient
from pymongo import errors

numbers = itertools.count()
AWAY = {"DB_HOST": "127.0.0.1:1", "DB_OPTIONS": "serverSelectionTimeoutMS=200"}


@variables(VARIABLES + STORE_VARIABLES)
@web_app(router)
class Shop(WebApplicationBase):
    db: Any = Depends(asynchronous.database())

    @router.get("/database")
    async def default_database(self) -> Any:
        return self.db.name

    @router.get("/async/orders/{order_id}")
    async def order(self, order_id: str, orders: Any = Depends(collection("orders"))) -> Any:
        return await orders.find_one({"_id": order_id})

    @router.post("/async/orders")
    async def add_order(self, order: dict, orders: Any = Depends(collection("orders"))) -> Any:  # type: ignore[type-arg]
        return (await orders.insert_one(order)).inserted_id

    @router.get("/async/names")
    async def names(
        self,
        other: Any = Depends(asynchronous.database("elsewhere")),
        default: Any = Depends(asynchronous.collection()),
        store: Any = Depends(asynchronous.event_store(keep_paths=["asset.params"])),
    ) -> Any:
        return [other.name, default.full_name, store.collection.full_name]

    @router.post("/async/events")
    async def save(self, obj: dict, store: Any = Depends(asynchronous.event_store())) -> Any:  # type: ignore[type-arg]
        await store.save("asset_purchase_request_processing", obj)
        found = await store.latest(obj["id"])
        return [found.document, found.extension_id, found.environment_id]

    @router.get("/annotated/orders/{order_id}")
    async def annotated_order(self, order_id: str, orders: Annotated[Any, Depends(collection("orders"))]) -> Any:
        return await orders.find_one({"_id": order_id})

    @router.get("/async/index")
    async def index(self, orders: Any = Depends(collection("orders"))) -> Any:
        return await orders.create_index("name")

    @router.get("/blocking/orders/{order_id}")
    def blocking_order(self, order_id: str, orders: Any = Depends(synchronous.collection("orders"))) -> Any:
        return orders.find_one({"_id": order_id})

    @router.post("/blocking/orders")
    def add_blocking_order(
        self,
        order: dict,  # type: ignore[type-arg]
        orders: Any = Depends(synchronous.collection("orders")),
    ) -> Any:
        return orders.insert_one(order).inserted_id

    @router.get("/blocking/names")
    def blocking_names(
        self,
        other: Any = Depends(synchronous.database("elsewhere")),
        default: Any = Depends(synchronous.collection()),
        store: Any = Depends(synchronous.event_store(keep_paths=["asset.params"])),
    ) -> Any:
        return [other.name, default.full_name, store.collection.full_name]

    @router.post("/blocking/events")
    def blocking_save(
        self,
        obj: dict,  # type: ignore[type-arg]
        store: Any = Depends(synchronous.event_store()),
    ) -> Any:
        store.save("asset_purchase_request_processing", obj)
        found = store.latest(obj["id"])
        return [found.document, found.extension_id, found.environment_id]

    @router.get("/blocking/index")
    def blocking_index(self, orders: Any = Depends(synchronous.collection("orders"))) -> Any:
        return orders.create_index("name")

    @router.get("/raises/{kind}")
    async def raises(self, kind: str, orders: Any = Depends(collection("orders"))) -> Any:
        raise RAISED[kind]

    @router.get("/not-called")
    async def not_called(self, orders: Any = Depends(collection)) -> Any:
        return await orders.find_one({})

    @router.get("/not-called/item")
    async def item_of_not_called(self, db: Any = Depends(asynchronous.database)) -> Any:
        return db["orders"]


RAISED: dict[str, Exception] = {
    "http": HTTPException(418, "a teapot"),
    "client": ClientError(status_code=422, error_code="VAL_001", errors=["of the endpoint"]),
    "other": ValueError("of the endpoint"),
    "not implemented": NotImplementedError("of the endpoint"),
    "object": InvalidDocument("cannot encode object of type: <class 'object'>"),
    "overflow": OverflowError("of the endpoint"),
    "unicode": UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range(128)"),
}

CONFIG = {
    "DB": f"store_event_web_{os.getpid()}",
    "DB_HOST": os.environ["TEST_MONGODB_URI"],
    "DRIVER_COLLECTION": "requests_driver",
}
DATA_API = {
    "DB": CONFIG["DB"],
    "DATA_API_ENDPOINT": os.environ["TEST_GATEWAY_URL"],
    "API_KEY": os.environ["TEST_GATEWAY_KEY"],
    "CLUSTER": "Cluster0",
    "HTTP_COLLECTION": "requests_http",
}
PATHS = pytest.mark.parametrize("config", [CONFIG, DATA_API], ids=["driver", "data_api"])
STYLES = pytest.mark.parametrize("style", ["async", "blocking"])


@pytest.fixture(scope="module", autouse=True)
def database() -> Iterator[None]:
    yield
    MongoClient.from_config(CONFIG).drop_database(CONFIG["DB"])


@pytest.fixture
def client() -> WebAppTestClient:
    return WebAppTestClient(Shop)


@STYLES
@PATHS
def test_a_collection(client: WebAppTestClient, config: dict[str, str], style: str) -> None:
    order = {"_id": f"order {next(numbers)}", "items": [1, None, {"a": "é"}]}
    assert client.get(f"/api/{style}/orders/{order['_id']}", config=config).json() is None
    added = client.post(f"/api/{style}/orders", json=order, config=config)
    assert (added.status_code, added.json()) == (200, order["_id"])
    assert client.get(f"/api/{style}/orders/{order['_id']}", config=config).json() == order


@STYLES
@PATHS
def test_names(client: WebAppTestClient, config: dict[str, str], style: str) -> None:
    default = config.get("DRIVER_COLLECTION") or config["HTTP_COLLECTION"]
    assert client.get("/api/database", config=config).json() == CONFIG["DB"]
    names = client.get(f"/api/{style}/names", config=config).json()
    assert names == ["elsewhere", f"{CONFIG['DB']}.{default}", f"{CONFIG['DB']}.{default}"]


@STYLES
@PATHS
def test_the_event_store_records_the_extension_of_the_call(
    client: WebAppTestClient, config: dict[str, str], style: str
) -> None:
    request = {"id": f"PR-{style}-{next(numbers)}", "status": "pending"}
    saved = client.post(f"/api/{style}/events", json=request, config=config)
    assert saved.json() == [request, "SRVC-0000", "ENV-0000-03"]


@STYLES
def test_requests_share_the_connections_of_one_client(client: WebAppTestClient, style: str) -> None:
    def created() -> int:
        return int(MongoClient.from_config(CONFIG).admin.command("serverStatus")["connections"]["totalCreated"])

    client.get(f"/api/{style}/orders/none", config=CONFIG)
    before = created()
    for _ in range(30):
        assert client.get(f"/api/{style}/orders/none", config=CONFIG).status_code == 200
    # A client per request opens one for its pool, and others that monitor.
    assert created() - before < 10


def test_a_named_collection_needs_no_variable_of_the_default_one(client: WebAppTestClient) -> None:
    config = {"DB": CONFIG["DB"], "DB_HOST": CONFIG["DB_HOST"]}
    assert client.get("/api/async/orders/none", config=config).json() is None
    config = {**DATA_API, "HTTP_COLLECTION": ""}
    assert client.get("/api/blocking/orders/none", config=config).json() is None
    response = client.get("/api/async/names", config={"DB": "x", "DB_HOST": CONFIG["DB_HOST"]})
    assert response.status_code == 500
    assert "DRIVER_COLLECTION is missing" in response.text


def test_the_next_request_uses_changed_variables(client: WebAppTestClient) -> None:
    order = {"_id": f"order {next(numbers)}"}
    client.post("/api/async/orders", json=order, config=CONFIG)
    changed = {**CONFIG, "DB": CONFIG["DB"] + "_changed"}
    assert client.get(f"/api/async/orders/{order['_id']}", config=changed).json() is None
    assert client.get(f"/api/async/orders/{order['_id']}", config=CONFIG).json() == order


def test_a_dependency_in_an_annotation(client: WebAppTestClient) -> None:
    order = {"_id": f"order {next(numbers)}"}
    client.post("/api/async/orders", json=order, config=CONFIG)
    assert client.get(f"/api/annotated/orders/{order['_id']}", config=CONFIG).json() == order


@STYLES
@PATHS
def test_a_duplicate_key_is_a_conflict(client: WebAppTestClient, config: dict[str, str], style: str) -> None:
    order = {"_id": f"order {next(numbers)}", "secret": "hunter2"}
    client.post(f"/api/{style}/orders", json=order, config=config)
    response = client.post(f"/api/{style}/orders", json=order, config=config)
    assert response.status_code == 409
    assert response.json() == {
        "error_code": "MONGODB_DUPLICATE_KEY",
        "errors": ["An object with the same key exists."],
    }


@STYLES
@pytest.mark.parametrize(
    "config",
    [{**CONFIG, **AWAY}, {**DATA_API, "DATA_API_ENDPOINT": "http://127.0.0.1:1/"}],
    ids=["driver", "data_api"],
)
def test_an_unreachable_mongodb_is_503_and_only_the_log_names_its_host(
    client: WebAppTestClient, config: dict[str, str], style: str, caplog: pytest.LogCaptureFixture
) -> None:
    response = client.get(f"/api/{style}/orders/1", config=config)
    assert response.status_code == 503
    assert response.json()["error_code"] == "MONGODB_UNREACHABLE"
    assert "127.0.0.1" not in response.text
    (logged,) = [record for record in caplog.records if record.name == "eaas.webapp"]
    assert logged.levelno == logging.ERROR
    assert "127.0.0.1:1" in logged.getMessage()


@STYLES
@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({}, ["DB_HOST", "DATA_API_ENDPOINT"]),
        ({"DB_HOST": CONFIG["DB_HOST"]}, ["DB is missing"]),
        ({"DATA_API_ENDPOINT": "http://localhost/"}, ["DB is missing", "API_KEY is missing", "CLUSTER is missing"]),
        ({"DB": "a", "DB_HOST": "mongodb://u:hunter2@"}, ["DB_HOST"]),
        ({"DB": "a", "DB_HOST": "http://u:hunter2@h"}, ["DB_HOST"]),
        ({"DB": "a", "DB_HOST": "h:1", "DB_OPTIONS": "maxPoolSize=hunter2"}, ["DB_OPTIONS"]),
        ({**DATA_API, "DATA_API_ENDPOINT": "ftp://u:hunter2@h"}, ["DATA_API_ENDPOINT"]),
    ],
    ids=["none", "no database", "no key", "connection string", "scheme", "options", "endpoint"],
)
def test_a_wrong_variable_is_named_without_its_value(
    client: WebAppTestClient, config: dict[str, str], named: list[str], style: str, caplog: pytest.LogCaptureFixture
) -> None:
    response = client.get(f"/api/{style}/orders/1", config=config)
    assert response.status_code == 500
    assert response.json()["error_code"] == "MONGODB_CONFIGURATION"
    (message,) = response.json()["errors"]
    assert all(name in message for name in named), message
    assert "hunter2" not in message + caplog.text


def test_a_wrong_key_of_the_data_api(client: WebAppTestClient) -> None:
    response = client.get("/api/async/orders/1", config={**DATA_API, "API_KEY": "hunter2"})
    assert response.status_code == 500
    assert response.json()["error_code"] == "MONGODB_DENIED"
    assert "hunter2" not in response.text


@STYLES
def test_what_the_data_api_does_not_have_is_named(client: WebAppTestClient, style: str) -> None:
    assert client.get(f"/api/{style}/index", config=CONFIG).json() == "name_1"
    response = client.get(f"/api/{style}/index", config=DATA_API)
    assert response.status_code == 501
    assert response.json()["error_code"] == "MONGODB_NOT_SUPPORTED"
    assert "create_index" in response.text


@STYLES
def test_an_object_that_cannot_be_stored_is_the_caller_s_error(client: WebAppTestClient, style: str) -> None:
    response = client.post(f"/api/{style}/events", json={"id": "PR-1", "note": 2**70}, config=CONFIG)
    assert response.status_code == 400
    assert response.json()["error_code"] == "MONGODB_VALIDATION"
    assert "note" in response.text


def test_errors_of_the_endpoint_are_not_changed(client: WebAppTestClient) -> None:
    response = client.get("/api/raises/http", config=CONFIG)
    assert (response.status_code, response.json()) == (418, {"detail": "a teapot"})
    response = client.get("/api/raises/client", config=CONFIG)
    assert (response.status_code, response.json()["errors"]) == (422, ["of the endpoint"])
    with pytest.raises(ValueError, match="of the endpoint"):
        client.get("/api/raises/other", config=CONFIG)
    with pytest.raises(NotImplementedError, match="of the endpoint"):
        client.get("/api/raises/not implemented", config=CONFIG)


@STYLES
@pytest.mark.parametrize(
    ("value", "named"),
    [
        (2**70, "an integer exceeds 64 bits"),
        ("\ud800", "a text is not valid Unicode"),
        ({"a\0b": 1}, "a key is not valid"),
    ],
    ids=["integer", "text", "key"],
)
def test_json_that_bson_cannot_represent_is_the_caller_s_error(
    client: WebAppTestClient, value: Any, named: str, style: str
) -> None:
    # With escapes: the test client cannot send the text otherwise.
    content, headers = json.dumps({"value": value}), {"Content-Type": "application/json"}
    response = client.post(f"/api/{style}/orders", content=content, headers=headers, config=CONFIG)
    assert response.status_code == 400
    assert response.json()["error_code"] == "MONGODB_VALIDATION"
    assert named in response.text


@pytest.mark.parametrize("error", ["object", "overflow", "unicode"])
def test_other_errors_of_these_types_are_not_changed(client: WebAppTestClient, error: str) -> None:
    with pytest.raises(type(RAISED[error])):
        client.get(f"/api/raises/{error}", config=CONFIG)


def with_code(code: int) -> errors.OperationFailure:
    return errors.OperationFailure("host.internal: a document", code)


def labelled(label: str) -> errors.PyMongoError:
    error = errors.OperationFailure("host.internal: a document", 112)
    error._add_error_label(label)
    return error


def of_writes(*codes: int) -> errors.BulkWriteError:
    return errors.BulkWriteError({"writeErrors": [{"code": code, "errmsg": "a document"} for code in codes]})


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.ServerSelectionTimeoutError("host.internal"), 503, "MONGODB_UNREACHABLE"),
        (errors.AutoReconnect("host.internal"), 503, "MONGODB_UNREACHABLE"),
        (errors.NetworkTimeout("host.internal"), 503, "MONGODB_UNREACHABLE"),
        (errors.WaitQueueTimeoutError("host.internal"), 503, "MONGODB_UNREACHABLE"),
        (labelled("TransientTransactionError"), 503, "MONGODB_BUSY"),
        (labelled("RetryableWriteError"), 503, "MONGODB_BUSY"),
        (errors.ExecutionTimeout("host.internal", 50), 504, "MONGODB_TIMEOUT"),
        (errors.WTimeoutError("host.internal", 64), 504, "MONGODB_TIMEOUT"),
        (errors.DuplicateKeyError("host.internal", 11000), 409, "MONGODB_DUPLICATE_KEY"),
        (of_writes(11000, 11000), 409, "MONGODB_DUPLICATE_KEY"),
        (of_writes(11000, 2), 500, "MONGODB_ERROR"),
        (of_writes(121), 400, "MONGODB_VALIDATION"),
        (errors.WriteError("host.internal", 121), 400, "MONGODB_VALIDATION"),
        (errors.DocumentTooLarge("host.internal"), 413, "MONGODB_TOO_LARGE"),
        (with_code(10334), 413, "MONGODB_TOO_LARGE"),
        (with_code(13), 500, "MONGODB_DENIED"),
        (with_code(18), 500, "MONGODB_DENIED"),
        (with_code(8000), 500, "MONGODB_DENIED"),
        (with_code(2), 500, "MONGODB_ERROR"),
        (errors.InvalidOperation("host.internal"), 500, "MONGODB_ERROR"),
        (DataApiError("host.internal"), 503, "MONGODB_UNREACHABLE"),
        (DataApiError("host.internal", 429), 503, "MONGODB_UNREACHABLE"),
        (DataApiError("host.internal", 503), 503, "MONGODB_UNREACHABLE"),
        (DataApiError("host.internal", 504), 504, "MONGODB_TIMEOUT"),
        (DataApiError("host.internal", 413), 413, "MONGODB_TOO_LARGE"),
        (DataApiError("host.internal", 401), 500, "MONGODB_DENIED"),
        (DataApiError("host.internal", 400, "InvalidParameter", 2), 500, "MONGODB_ERROR"),
        (DataApiError("host.internal", 400, "WriteError", 121), 400, "MONGODB_VALIDATION"),
    ],
)
def test_each_error_has_a_status_and_a_code(error: Exception, status: int, code: str) -> None:
    converted = client_error(error)
    assert (converted.status_code, converted.error_code) == (status, code)
    assert converted.__cause__ is error
    assert "host.internal" not in str(converted)
    assert "document" not in str(converted)
    with pytest.raises(ClientError) as raised, client_errors():
        raise error
    assert raised.value.error_code == code


def test_an_invalid_event_names_its_problems() -> None:
    converted = client_error(EventValidationError("AssetRequest", (("note", "an integer beyond 64 bits"),)))
    assert converted.status_code == 400
    assert "note: an integer beyond 64 bits" in str(converted)


def test_dependencies_with_the_same_arguments_are_equal(client: WebAppTestClient) -> None:
    class Orders:
        async def find_one(self, query: Any) -> Any:
            return {"replaced": query}

    assert collection("orders") == collection("orders")
    assert hash(collection("orders")) == hash(collection("orders"))
    assert asynchronous.event_store(redact_paths=["a"]) == asynchronous.event_store(redact_paths=["a"])
    different = [
        collection("others"),
        collection("orders", path="driver"),
        synchronous.collection("orders"),
        asynchronous.database("orders"),
        asynchronous.event_store(),
    ]
    assert collection("orders") not in different
    client.app.dependency_overrides[collection("orders")] = Orders
    assert client.get("/api/async/orders/1", config=CONFIG).json() == {"replaced": {"_id": "1"}}


@STYLES
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-connect-config", json.dumps({"DB": "elsewhere", "DB_HOST": "evil.example:1"})),
        ("X-CONNECT-CONFIG", json.dumps({"DB": "elsewhere", "DB_HOST": "evil.example:1"})),
        ("x-connect-call-type", "admin"),
        ("x-connect-account-id", "VA-999"),
    ],
)
def test_a_caller_cannot_set_the_headers_of_the_runner(
    client: WebAppTestClient, name: str, value: str, style: str
) -> None:
    runners = client._populate_internal_headers({}, context=Context(**client._generate_call_context(None)))
    runners["X-Connect-Config"] = json.dumps(CONFIG)
    # Beside the runner's, each as it is spelled.
    headers = [(name, value), *runners.items()]
    response = httpx_client(client).get(f"/api/{style}/orders/none", headers=headers)
    assert response.status_code == 403
    assert response.json()["error_code"] == "AUTH_003"
    assert "evil.example" not in response.text
    # The same value twice decides nothing.
    headers = [*runners.items(), *runners.items()]
    assert httpx_client(client).get(f"/api/{style}/orders/none", headers=headers).json() is None


def httpx_client(client: WebAppTestClient) -> TestClient:
    """A client that sends the headers that it is given."""
    return TestClient(client.app, base_url="http://localhost")


def test_outside_of_a_request() -> None:
    get_orders = synchronous.collection("orders")
    orders = get_orders.from_config({"DB": CONFIG["DB"], "DB_HOST": CONFIG["DB_HOST"]})
    assert orders.full_name == f"{CONFIG['DB']}.orders"
    orders.insert_one({"_id": "outside of a request"})
    assert synchronous.database().from_config(CONFIG)["orders"].find_one("outside of a request") is not None
    assert synchronous.event_store().from_config(CONFIG).collection.name == CONFIG["DRIVER_COLLECTION"]
    with pytest.raises(errors.ConfigurationError, match="DB is missing"):
        get_orders.from_config({"DB_HOST": CONFIG["DB_HOST"]})


def test_a_dependency_that_is_not_called_says_what_to_write(client: WebAppTestClient) -> None:
    with pytest.raises(AttributeError, match=r"write Depends\(collection\(…\)\), not Depends\(collection\)"):
        client.get("/api/not-called", config=CONFIG)
    with pytest.raises(TypeError, match=r"write Depends\(database\(…\)\), not Depends\(database\)"):
        client.get("/api/not-called/item", config=CONFIG)


@pytest.mark.parametrize("module", [asynchronous, synchronous])
@pytest.mark.parametrize("name", ["collection", "database", "event_store"])
def test_an_invalid_path_is_an_error_where_it_is_written(module: Any, name: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="path must be 'driver' or 'data_api'"):
        getattr(module, name)(path="http")


@pytest.mark.parametrize("module", [asynchronous, synchronous])
@pytest.mark.parametrize("name", ["collection", "database"])
def test_a_name_is_a_text(module: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"the name of a {name} must be a str, not int"):
        getattr(module, name)(1)


def test_the_variables_are_those_of_the_application() -> None:
    assert Shop.get_variables() == VARIABLES + STORE_VARIABLES


def test_the_application_describes_itself(client: WebAppTestClient) -> None:
    description = client.app.openapi()
    parameters = description["paths"]["/api/async/orders/{order_id}"]["get"]["parameters"]
    # The runner leaves the headers out that it sets itself.
    named = {found["name"] for found in parameters if not found["name"].startswith("x-connect-")}
    assert named == {"order_id"}
