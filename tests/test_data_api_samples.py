"""Requests as MongoDB's documentation of the Data API showed them: with another host, application and key alone."""

from __future__ import annotations

import datetime
import http.server
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp

from tests.browser import chromium
from tests.conftest import API_KEY
from tests.gateways import Gateway, configured, create_key, gateway
from tests.node import install_packages, run_node
from tests.servers import Quiet, serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOLDER = Path(__file__).parent / "javascript"
PATH = "/app/data-abcde/endpoint/data/v1"

Target = dict[str, str]


@pytest.fixture
def target(names: tuple[str, str]) -> Target:
    return {"dataSource": "Cluster0", "database": names[0], "collection": names[1]}


@pytest.fixture
def endpoint(gateway_url: str) -> str:
    return gateway_url + PATH


def curl(url: str, *options: str) -> tuple[int, Any]:
    """Run curl, and return the status and the body."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl (apt install curl)")
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--write-out", "\n%{http_code}", url, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


FORM = "with curl's own Content-Type"
KEY = f"apiKey: {API_KEY}"
CURL = {
    "with -d": [
        "-X",
        "POST",
        "-H",
        KEY,
        "-H",
        "Content-Type: application/ejson",
        "-H",
        "Accept: application/json",
        "-d",
    ],
    "with --data-raw": ["--request", "POST", "--header", "Content-Type: application/json"]
    + ["--header", "Access-Control-Request-Headers: *", "--header", f"api-key: {API_KEY}", "--data-raw"],
    "with --data-binary over HTTP/2": ["--http2", "-H", KEY, "-H", "Content-Type: application/json", "--data-binary"],
    "without a Content-Type": ["-X", "POST", "-H", "Accept: application/json", "-H", KEY, "-H", "Content-Type:", "-d"],
    # curl itself then sends application/x-www-form-urlencoded.
    FORM: ["-X", "POST", "-H", "Accept: application/json", "-H", KEY, "-d"],
}


@pytest.mark.parametrize("way", CURL)
def test_curl_reads_and_writes(endpoint: str, open_gateway: tuple[Gateway, str], target: Target, way: str) -> None:
    # Only with compatibility = "atlas".
    url, key = (open_gateway[0].url + PATH, open_gateway[1]) if way == FORM else (endpoint, API_KEY)
    options = [option.replace(API_KEY, key) for option in CURL[way]]

    def call(action: str, body: dict[str, Any]) -> tuple[int, Any]:
        # As in a shell script: with line breaks and indentation.
        return curl(f"{url}/action/{action}", *options, json.dumps({**target, **body}, indent=4))

    dishes = {"_id": 1, "status": "open", "text": "Do the dishes"}
    assert call("insertOne", {"document": dishes}) == (201, {"insertedId": 1})
    many = [{"_id": 2, "status": "open", "text": "Mop the floor"}, {"_id": 3, "text": "Clean the windows"}]
    assert call("insertMany", {"documents": many}) == (201, {"insertedIds": [2, 3]})
    assert call("findOne", {"filter": {"text": "Do the dishes"}}) == (200, {"document": dishes})
    found = call("find", {"filter": {"status": "open"}, "projection": {"_id": 1}, "sort": {"text": 1}, "limit": 10})
    assert found == (200, {"documents": [{"_id": 1}, {"_id": 2}]})
    update = {
        "filter": {"_id": 1},
        "update": {"$set": {"status": "complete", "completedAt": {"$date": {"$numberLong": "1"}}}},
    }
    assert call("updateOne", update) == (200, {"matchedCount": 1, "modifiedCount": 1})
    update = {"filter": {"status": "open"}, "update": {"$set": {"status": "complete"}}}
    assert call("updateMany", update) == (200, {"matchedCount": 1, "modifiedCount": 1})
    replacement = {"filter": {"text": "Clean the windows"}, "replacement": {"status": "open"}}
    assert call("replaceOne", replacement) == (200, {"matchedCount": 1, "modifiedCount": 1})
    groups = [{"$group": {"_id": "$status", "count": {"$sum": 1}}}, {"$sort": {"count": 1}}]
    status, response = call("aggregate", {"pipeline": groups})
    assert (status, response["documents"]) == (200, [{"_id": "open", "count": 1}, {"_id": "complete", "count": 2}])
    assert call("deleteOne", {"filter": {"status": "open"}}) == (200, {"deletedCount": 1})
    assert call("deleteMany", {"filter": {"status": "complete"}}) == (200, {"deletedCount": 2})


# The samples of Python, with `requests`' way of sending: a string, which has no media type of its own, or an object.
PYTHON: dict[str, Any] = {
    "a string": lambda url, body: httpx.request(
        "POST",
        url,
        headers={"Content-Type": "application/json", "Access-Control-Request-Headers": "*", "api-key": API_KEY},
        content=json.dumps(body),
    ),
    "an object": lambda url, body: httpx.post(url, headers={"apiKey": API_KEY}, json=body),
    "an object, from requests": lambda url, body: pytest.importorskip("requests").post(
        url, headers={"api-key": API_KEY, "Accept": "application/json"}, json=body, timeout=30
    ),
}


@pytest.mark.parametrize("way", PYTHON)
def test_python_reads_and_writes(endpoint: str, target: Target, way: str) -> None:
    send = PYTHON[way]
    response = send(f"{endpoint}/action/insertOne", {**target, "document": {"_id": "x", "name": "Zoë"}})
    assert (response.status_code, response.json()) == (201, {"insertedId": "x"})
    response = send(f"{endpoint}/action/findOne", {**target, "projection": {"_id": 1}, "filter": {"name": "Zoë"}})
    assert (response.status_code, response.json()) == (200, {"document": {"_id": "x"}})
    response = send(f"{endpoint}/action/findOne", {**target, "projection": {"_id": 1}})
    assert (response.status_code, response.json()) == (200, {"document": {"_id": "x"}})


def test_python_sends_none_for_absent_arguments(endpoint: str, target: Target) -> None:
    body = {**target, "filter": None, "projection": None, "sort": None, "limit": None, "skip": None}
    response = httpx.post(f"{endpoint}/action/find", headers={"api-key": API_KEY}, json=body)
    assert (response.status_code, response.json()) == (200, {"documents": []})


DATE = datetime.datetime(2021, 12, 3, 17, 8, 30, 749000)
KEY_OF_SAMPLE = "507f1f77bcf86cd799439011"
# Types as MongoDB's pages and the C# driver's `ToJson()` write them: canonical, relaxed and legacy Extended JSON.
TYPES: dict[str, tuple[Any, Any]] = {
    "ObjectId": ({"$oid": KEY_OF_SAMPLE}, ObjectId(KEY_OF_SAMPLE)),
    "Int32": ({"$numberInt": "10"}, 10),
    "Int64": ({"$numberLong": "1638551310749"}, Int64(1638551310749)),
    "Double": ({"$numberDouble": "10.2"}, 10.2),
    "Double of C#": ({"$numberDouble": "1.0"}, 1.0),
    "Infinity": ({"$numberDouble": "Infinity"}, float("inf")),
    "Decimal128": ({"$numberDecimal": "128452.420523"}, Decimal128("128452.420523")),
    "Binary": (
        {"$binary": {"base64": "RtmJ6vC95SWAKVNLwtwgiQ==", "subType": "05"}},
        Binary(bytes.fromhex("46d989eaf0bde5258029534bc2dc2089"), 5),
    ),
    "Guid of C#": (
        {"$binary": {"base64": "AQIDBAUGBwgJCgsMDQ4PEA==", "subType": "04"}},
        Binary(bytes(range(1, 17)), 4),
    ),
    "date in milliseconds": ({"$date": {"$numberLong": "1638551310749"}}, DATE),
    "date": ({"$date": "2021-12-03T17:08:30.749Z"}, DATE),
    "regular expression": ({"$regularExpression": {"pattern": "^a", "options": "i"}}, Regex("^a", "i")),
    "timestamp": ({"$timestamp": {"t": 1, "i": 2}}, Timestamp(1, 2)),
    "legacy date": ({"$date": 1638551310749}, DATE),
    "legacy binary": ({"$binary": "RtmJ6g==", "$type": "00"}, b"\x46\xd9\x89\xea"),
}


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("media_type", ["application/ejson", "application/json"])
def test_types_are_stored_and_found(endpoint: str, target: Target, reader: Any, name: str, media_type: str) -> None:
    written, expected = TYPES[name]
    headers = {"Content-Type": media_type, "Accept": "application/ejson", "api-key": API_KEY}

    def call(action: str, body: dict[str, Any]) -> Any:
        response = httpx.post(f"{endpoint}/action/{action}", headers=headers, json={**target, **body}, timeout=30)
        assert response.is_success, response.text
        return response.json()

    call("insertOne", {"document": {"_id": 1, "value": written}})
    stored = reader.find_one()["value"]
    assert (stored, type(stored)) == (expected, type(expected))
    found = call("findOne", {"filter": {"_id": 1}})["document"]["value"]
    assert call("findOne", {"filter": {"value": {"$in": [found]}}})["document"]["_id"] == {"$numberInt": "1"}


def test_javascript_reads_and_writes(endpoint: str, target: Target) -> None:
    install_packages(FOLDER)
    variables = {"URL_ENDPOINT": endpoint, "API_KEY": API_KEY}
    variables |= {"DATABASE": target["database"], "COLLECTION": target["collection"]}
    results = json.loads(run_node("samples.mjs", folder=FOLDER, **variables).stdout)
    assert results["axios"] == [201, {"insertedId": "axios"}]
    assert results["axiosObject"] == [201, {"insertedId": {"$numberInt": "7"}}]
    date = {"$date": {"$numberLong": "1767323045000"}}
    assert results["fetch"] == [200, {"documents": [{"_id": {"$numberInt": "7"}, "at": date}]}]
    status, refused = results["refused"]
    assert (status, refused["error_code"]) == (401, "InvalidSession")


class _Blank(Quiet, http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>an application</title>")


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """The origin of a web application."""
    with serving(_Blank) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def open_gateway(
    mongodb_uri: str, origin: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gateway, str]]:
    """A gateway that this origin may call, and a key."""
    folder = tmp_path_factory.mktemp("gateway")
    key = create_key(folder, "page")
    cors = f'[cors]\norigins = ["{origin}"]'
    with gateway(folder, configured(mongodb_uri, 'compatibility = "atlas"', cors)) as running:
        yield running, key


@pytest.fixture(scope="module")
def page(origin: str) -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_page()
        page.goto(origin)
        yield page


FETCH = """async ([url, headers, body]) => {
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
    return [response.status, await response.json(), response.headers.get("x-request-id") !== null];
}"""


@pytest.mark.parametrize("key_header", ["api-key", "apiKey"])
@pytest.mark.parametrize("media_type", ["application/json", "application/ejson"])
def test_a_page_of_another_origin_reads_and_writes(
    page: Page, open_gateway: tuple[Gateway, str], target: Target, key_header: str, media_type: str
) -> None:
    """With a preflight request, which the browser sends because of the headers."""
    running, key = open_gateway
    # Browsers do not send Access-Control-Request-Headers for a script, but samples have it.
    headers = {"Content-Type": media_type, "Access-Control-Request-Headers": "*", key_header: key}
    url = f"{running.url}{PATH}/action"
    inserted = page.evaluate(FETCH, [f"{url}/insertOne", headers, {**target, "document": {"_id": "x"}}])
    assert inserted == [201, {"insertedId": "x"}, True]
    found = page.evaluate(FETCH, [f"{url}/find", headers, {**target, "filter": {}}])
    assert found == [200, {"documents": [{"_id": "x"}]}, True]
    # A script can read why a request was refused.
    status, error, _ = page.evaluate(FETCH, [f"{url}/find", {**headers, key_header: "wrong"}, {**target, "filter": {}}])
    assert (status, error["error_code"]) == (401, "InvalidSession")


CREDENTIALS: dict[str, dict[str, str]] = {
    "a token": {"Authorization": "Bearer a.b.c"},
    "an address and a password": {"email": "a@example.com", "password": "secret"},
    "a token of another issuer": {"jwtTokenString": "a.b.c"},
    "the name of an operation": {"api-key": "wrong", "x-realm-op-name": "my operation"},
}


@pytest.mark.parametrize("name", CREDENTIALS)
def test_a_page_may_send_the_headers_of_atlas(
    page: Page, open_gateway: tuple[Gateway, str], target: Target, name: str
) -> None:
    """The browser asks before: the response arrives, whatever it is."""
    headers = {"Content-Type": "application/json", **CREDENTIALS[name]}
    url = f"{open_gateway[0].url}{PATH}/action/find"
    status, *_ = page.evaluate(FETCH, [url, headers, {**target, "filter": {}}])
    assert status in (400, 401)


def test_a_page_of_an_origin_that_is_not_allowed_reads_nothing(page: Page, gateway_url: str, target: Target) -> None:
    api = pytest.importorskip("playwright.sync_api")
    headers = {"Content-Type": "application/json", "api-key": API_KEY}
    with pytest.raises(api.Error, match="Failed to fetch"):
        page.evaluate(FETCH, [f"{gateway_url}{PATH}/action/find", headers, {**target, "filter": {}}])
