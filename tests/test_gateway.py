"""The gateway's HTTP interface: actions, formats, errors and shutdown."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest
from bson import ObjectId

from tests.conftest import API_KEY
from tests.servers import free_port, secantusdb
from tests.test_collections import EVERYTHING

PREFIXES = ["", "/app/data-abcde/endpoint/data/v1", "/app/data-abcde/endpoint/data/beta"]


class Response:
    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.json = json.loads(body)


def post(url: str, body: Any, method: str = "POST", **headers: str) -> Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", "api-key": API_KEY}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {name: value for name, value in sent.items() if value}
    request = urllib.request.Request(url, data=data, headers=sent, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as response:
            return Response(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Response(error.code, error.headers, error.read())


@pytest.fixture
def target(names: tuple[str, str]) -> dict[str, str]:
    return {"dataSource": "Cluster0", "database": names[0], "collection": names[1]}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_actions_respond_like_atlas_data_api(
    gateway_url: str, target: dict[str, str], prefix: str, reader: Any
) -> None:
    base = f"{gateway_url}{prefix}/action"
    response = post(f"{base}/insertOne", {**target, "document": {"status": "open"}})
    assert response.status == 201
    assert response.headers["content-type"] == "application/json"
    key = response.json["insertedId"]
    assert reader.find_one() == {"_id": ObjectId(key), "status": "open"}
    response = post(f"{base}/insertMany", {**target, "documents": [{"_id": 1}, {"_id": "x"}, {}]})
    assert response.status == 201
    assert response.json["insertedIds"][:2] == [1, "x"]
    response = post(f"{base}/findOne", {**target, "filter": {"_id": {"$oid": key}}})
    assert (response.status, response.json) == (200, {"document": {"_id": key, "status": "open"}})
    response = post(f"{base}/findOne", {**target, "filter": {"_id": "nobody"}})
    assert (response.status, response.json) == (200, {"document": None})
    response = post(f"{base}/findOne", {**target, "filter": {"_id": 1}, "projection": {"_id": 0}})
    assert response.json == {"document": {}}


def test_a_document_over_16_mib_is_refused(gateway_url: str, target: dict[str, str], reader: Any) -> None:
    """Before any document of the request is sent."""
    document = {"_id": 1, "text": "x" * (16 * 1024 * 1024)}
    for action, body, name in (
        ("insertOne", {"document": document}, "document"),
        ("insertMany", {"documents": [{"_id": 0}, document]}, "documents[1]"),
    ):
        response = post(f"{gateway_url}/action/{action}", {**target, **body})
        assert (response.status, response.json["error_code"]) == (413, "InvalidParameter")
        assert f"'{name}' is larger than 16777216 bytes" in response.json["error"]
    assert reader.count_documents({}) == 0


def test_the_request_of_the_tutorial_works_unchanged(gateway_url: str, target: dict[str, str], reader: Any) -> None:
    # httpx.post(url, headers={'Content-Type': …, 'Access-Control-Request-Headers': '*', 'api-key': …}, json=…)
    response = post(
        f"{gateway_url}/app/data-abcde/endpoint/data/v1/action/insertOne",
        {"collection": target["collection"], "database": target["database"], "dataSource": "Cluster0"}
        | {"document": {"id": "PR-1", "asset": {"items": []}}},
        Access_Control_Request_Headers="*",
    )
    assert response.status == 201
    assert reader.find_one({"id": "PR-1"})["asset"] == {"items": []}


def test_both_key_headers_are_accepted(gateway_url: str, target: dict[str, str]) -> None:
    url = f"{gateway_url}/action/findOne"
    for name in ("api-key", "apiKey", "apikey", "API-KEY"):
        assert post(url, {**target, "filter": {}}, **{"api_key": "", name: API_KEY}).status == 200


def test_missing_and_invalid_keys_get_the_errors_of_atlas(gateway_url: str, target: dict[str, str]) -> None:
    url = f"{gateway_url}/action/findOne"
    response = post(url, {**target, "filter": {}}, api_key="")
    assert (response.status, response.json["error_code"]) == (400, "InvalidParameter")
    assert response.json["error"] == "no authentication methods were specified"
    for key in ("wrong", API_KEY + "x", API_KEY[:-1], API_KEY.upper()):
        response = post(url, {**target, "filter": {}}, api_key=key)
        assert response.status == 401
        assert response.json == {
            "error": "invalid session: error finding user for endpoint",
            "error_code": "InvalidSession",
            "link": "",
        }


@pytest.mark.parametrize("media_type", ["application/json", "application/ejson", "application/ejson; charset=utf-8"])
def test_accept_selects_canonical_ejson(gateway_url: str, target: dict[str, str], media_type: str) -> None:
    response = post(
        f"{gateway_url}/action/insertOne",
        {**target, "document": {"n": {"$numberLong": "5"}, "when": {"$date": "2020-01-01T00:00:00Z"}}},
        Content_Type=media_type,
        Accept="application/ejson",
    )
    assert response.headers["content-type"] == "application/ejson"
    key = response.json["insertedId"]
    assert set(key) == {"$oid"}
    response = post(f"{gateway_url}/action/findOne", {**target, "filter": {"_id": key}}, Accept="application/ejson")
    assert response.json["document"]["n"] == {"$numberLong": "5"}
    assert response.json["document"]["when"] == {"$date": {"$numberLong": "1577836800000"}}


def test_plain_json_encodes_each_type_like_atlas(gateway_url: str, target: dict[str, str], reader: Any) -> None:
    reader.insert_one({**EVERYTHING, "_id": 1})
    document = post(f"{gateway_url}/action/findOne", {**target, "filter": {"_id": 1}}).json["document"]
    assert document["id"] == "6193504e1be4ab27791c8133"
    assert document["date"] == "2020-02-29T12:30:15.123Z"
    assert document["decimal"] == "1.10"
    assert document["int64"] == 5
    assert document["long"] == 2**40
    assert document["bytes"] == {"Subtype": 0, "Data": "AAE="}
    assert document["binary"] == {"Subtype": 128, "Data": "MTI="}
    assert document["regex"] == {"Pattern": "^a", "Options": "i"}
    assert document["timestamp"] == {"T": 1, "I": 2}
    assert document["text"] == EVERYTHING["text"]


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"dataSource": None}, 400, "dataSource"),
        ({"database": ...}, 400, "'database' is missing"),
        ({"collection": ...}, 400, "'collection' is missing"),
        ({"document": ...}, 400, "'document' is missing"),
        ({"document": []}, 400, "'document' must be a document"),
        ({"document": {"$oid": "6193504e1be4ab27791c8133"}}, 400, "'document' must be a document"),
        ({"document": {"a": {"$oid": "zz"}}}, 400, "$oid"),
        ({"database": "a b"}, 400, "'database'"),
        ({"database": "admin"}, 403, "admin"),
        ({"database": "local"}, 403, "local"),
        ({"database": "config"}, 403, "config"),
        ({"collection": "$cmd"}, 400, "'collection'"),
        ({"collection": "a\0b"}, 400, "'collection'"),
    ],
)
def test_invalid_requests_get_an_error_that_names_the_problem(
    gateway_url: str, target: dict[str, str], change: dict[str, Any], status: int, message: str
) -> None:
    request = {**target, "document": {}, **change}
    request = {name: value for name, value in request.items() if value is not ...}
    response = post(f"{gateway_url}/action/insertOne", request)
    assert response.status == status
    assert message in response.json["error"]
    assert set(response.json) == {"error", "error_code", "link"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"a":' * 500, b"[" * 100_000], ids=repr)
def test_a_body_that_is_not_a_json_object_is_rejected(gateway_url: str, body: bytes) -> None:
    response = post(f"{gateway_url}/action/insertOne", body)
    assert (response.status, response.json["error_code"]) == (400, "InvalidParameter")


def test_paths_methods_and_media_types_are_checked(gateway_url: str, target: dict[str, str]) -> None:
    request = {**target, "filter": {}}
    for path in (
        "/",
        "/action",
        "/action/",
        "/action/dropDatabase",
        "/action/findOne/x",
        "/app/x/endpoint/data/v2/action/findOne",
    ):
        assert post(gateway_url + path, request).status == 404
    for method in ("GET", "PUT", "DELETE"):
        response = post(f"{gateway_url}/action/findOne", request, method=method)
        assert (response.status, response.headers["allow"]) == (405, "POST")
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx"):
        assert post(f"{gateway_url}/action/findOne", request, Content_Type=media_type).status == 415


def test_errors_of_mongodb_are_returned(gateway_url: str, target: dict[str, str]) -> None:
    request = {**target, "document": {"_id": 1}}
    assert post(f"{gateway_url}/action/insertOne", request).status == 201
    response = post(f"{gateway_url}/action/insertOne", request)
    assert response.status == 400
    assert "E11000" in response.json["error"]
    assert (response.json["error_code"], response.json["code"]) == ("MongoDBError", 11000)
    response = post(f"{gateway_url}/action/findOne", {**target, "filter": {"$noSuchOperator": 1}})
    assert (response.status, response.json["error_code"]) == (400, "MongoDBError")


def test_an_oversized_body_is_rejected_before_it_is_read(gateway_url: str) -> None:
    host, port = gateway_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 20) as connection:
        connection.sendall(
            f"POST /action/insertOne HTTP/1.1\r\nHost: x\r\napi-key: {API_KEY}\r\n"
            "Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{".encode()
        )
        assert b"413" in connection.recv(100)


@pytest.mark.parametrize(
    ("action", "opening", "unit", "closing"),
    [
        ("insertOne", b'"document":{"a":{"$oid":[0', b",0", b"]}}}"),
        ("insertMany", b'"documents":[{}', b",{}", b"]}"),
    ],
)
def test_a_body_takes_a_small_multiple_of_its_size(
    mongodb_uri: str, tmp_path: Path, target: dict[str, str], action: str, opening: bytes, unit: bytes, closing: bytes
) -> None:
    process, url = gateway_process(mongodb_uri, tmp_path)
    size = 24 * 2**20
    body = json.dumps(target)[:-1].encode() + b"," + opening + unit * (size // len(unit)) + closing
    seen: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            seen.append(psutil.Process(process.pid).memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert post(f"{url}/action/{action}", body).status == 400
    finally:
        done.set()
        watcher.join()
        process.terminate()
        process.communicate(timeout=20)
    assert max(seen) - seen[0] < 10 * size


async def test_a_document_that_ejson_would_read_as_another_type_is_rejected(
    gateway_url: str, target: dict[str, str], reader: Any
) -> None:
    reader.insert_one({"_id": 1, "v": {"$oid": "0" * 24}})
    response = post(f"{gateway_url}/action/findOne", {**target, "filter": {}}, Accept="application/ejson")
    assert response.status == 400
    assert "$oid" in response.json["error"]
    response = post(f"{gateway_url}/action/findOne", {**target, "filter": {}})
    assert response.json == {"document": {"_id": 1, "v": {"$oid": "0" * 24}}}


def gateway_process(uri: str, tmp_path: Path) -> tuple[subprocess.Popen[str], str]:
    keys = tmp_path / "keys"
    keys.write_text(f"# ours\n{API_KEY}\n\nanother-key\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "connect.eaas.mongodb.cli", "gateway", "--mongodb-uri", uri]
        + ["--api-key-file", str(keys), "--listen", "127.0.0.1:0", "--data-source", "Cluster0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("Listening on http://127.0.0.1:")
    return process, line.removeprefix("Listening on ").strip()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_shutdown_completes_requests_in_progress(
    mongodb_uri: str, tmp_path: Path, target: dict[str, str], reader: Any, signum: signal.Signals
) -> None:
    process, url = gateway_process(mongodb_uri, tmp_path)
    responses: list[int] = []

    def insert() -> None:
        documents = [{"n": n, "text": "x" * 1000} for n in range(3000)]
        responses.append(post(f"{url}/action/insertMany", {**target, "documents": documents}).status)

    thread = threading.Thread(target=insert)
    thread.start()
    while not reader.find_one():
        pass
    process.send_signal(signum)
    thread.join()
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")
    assert responses == [201]
    assert reader.count_documents({}) == 3000


def test_only_the_configured_data_source_is_served(mongodb_uri: str, tmp_path: Path, target: dict[str, str]) -> None:
    process, url = gateway_process(mongodb_uri, tmp_path)
    try:
        assert post(f"{url}/action/findOne", {**target, "filter": {}}).status == 200
        assert post(f"{url}/action/findOne", {**target, "filter": {}}, api_key="another-key").status == 200
        response = post(f"{url}/action/findOne", {**target, "dataSource": "Cluster1", "filter": {}})
        assert (response.status, response.json["error_code"]) == (400, "InvalidParameter")
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_mongodb_may_start_later_and_stop(tmp_path: Path, target: dict[str, str]) -> None:
    port = free_port()
    uri = f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=300"
    process, url = gateway_process(uri, tmp_path)
    request = {**target, "document": {}}
    try:
        response = post(f"{url}/action/insertOne", request)
        assert (response.status, response.json["error_code"]) == (503, "MongoDBError")
        with secantusdb(port):
            assert post(f"{url}/action/insertOne", request).status == 201
        assert post(f"{url}/action/insertOne", request).status == 503
    finally:
        process.terminate()
        process.communicate(timeout=20)


async def test_http_2_is_supported(gateway_url: str, target: dict[str, str]) -> None:
    """With prior knowledge, as curl --http2-prior-knowledge does."""
    host, port = gateway_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    # The preface and an empty SETTINGS frame; an HTTP/2 server responds with its own SETTINGS.
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0")
    header = await asyncio.wait_for(reader.readexactly(9), 10)
    assert header[3] == 4
    writer.close()
    await writer.wait_closed()
