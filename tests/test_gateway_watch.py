"""The gateway's change streams as server-sent events."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import trustme
from bson import json_util
from pymongo import MongoClient

from tests.gateways import TLS, Gateway, Stream, busy, configured, create_key, gateway, issue, section, trusting, until
from tests.servers import secantusdb

DATABASE = "app"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("watch")


@pytest.fixture(scope="module")
def keys(folder: Path) -> dict[str, str]:
    keys = {name: create_key(folder, name, f"*/{DATABASE}/*", rights="read") for name in ("one", "other", "third")}
    return keys | {"writer": create_key(folder, "writer", f"*/{DATABASE}/*", rights="write")}


@pytest.fixture(scope="module")
def running(mongodb_uri: str, folder: Path, keys: dict[str, str]) -> Iterator[Gateway]:
    limits = "[limits]\nstreams = 3\nstreams_per_caller = 2\nheartbeat_seconds = 0.2\nstalled_seconds = 1"
    with gateway(folder, configured(mongodb_uri, f'{limits}\n[cors]\norigins = ["https://app.example"]')) as started:
        yield started


@pytest.fixture
def watched(pymongo_client: Any, names: tuple[str, str]) -> Any:
    """A collection that exists."""
    collection = pymongo_client[DATABASE][names[1]]
    collection.insert_one({"_id": 0})
    return collection


def place(collection: str) -> dict[str, str]:
    return {"dataSource": "Cluster0", "database": DATABASE, "collection": collection}


@contextlib.contextmanager
def opened(
    running: Gateway, key: str, collection: str, headers: dict[str, str] | None = None, **parameters: str
) -> Iterator[Stream]:
    """Open a change stream by GET."""
    with running.watch(place(collection) | parameters, {"api-key": key} | (headers or {})) as stream:
        if stream.response.status_code == 200:
            assert stream.response.headers["content-type"] == "text/event-stream"
            assert stream.response.headers["cache-control"] == "no-store"
        yield stream


def refused(running: Gateway, key: str, collection: str, **parameters: str) -> tuple[int, dict[str, Any]]:
    """Ask for a change stream that there is none of."""
    with opened(running, key, collection, None, **parameters) as stream:
        return stream.response.status_code, json.loads(stream.response.read())


def test_changes_arrive_and_continue_after_the_last_event(running: Gateway, keys: dict[str, str], watched: Any) -> None:
    before = running.metric("stream_events_total")
    with opened(running, keys["one"], watched.name) as stream:
        assert stream.block()["retry"] == "1000"
        assert running.metric("streams") == 1
        watched.insert_one({"_id": 1, "n": 2**40})
        change = stream.change()
        assert change["operationType"] == "insert"
        assert change["fullDocument"] == {"_id": 1, "n": 2**40}
        first = stream.id
        watched.update_one({"_id": 1}, {"$set": {"n": 2}})
        assert stream.change()["updateDescription"]["updatedFields"] == {"n": 2}
        second = stream.id
    assert first != second
    until(lambda: running.metric("streams") == 0)
    assert running.metric("stream_events_total") == before + 2
    watched.delete_one({"_id": 1})
    by_header, by_parameter = {"Last-Event-ID": second}, {"lastEventId": second}
    for headers, parameters in [(by_header, {}), ({}, by_parameter)]:
        with opened(running, keys["one"], watched.name, headers, **parameters) as stream:
            change = stream.change()
            assert (change["operationType"], change["documentKey"]) == ("delete", {"_id": 1})
    # The header is later than the URL, which a browser repeats.
    with opened(running, keys["one"], watched.name, {"Last-Event-ID": first}, lastEventId=second) as stream:
        assert stream.change()["operationType"] == "update"
    line = running.logged(lambda line: line.get("action") == "watch")
    assert (line["status"], line["collection"], line["caller"]) == (200, watched.name, "one")


def test_the_first_id_is_before_the_first_change(running: Gateway, keys: dict[str, str], watched: Any) -> None:
    with opened(running, keys["one"], watched.name) as stream:
        while not stream.id:
            assert stream.block()
        start = stream.id
    watched.insert_one({"_id": "between"})
    with opened(running, keys["one"], watched.name, lastEventId=start) as stream:
        assert stream.change()["documentKey"] == {"_id": "between"}


def test_parameters_filter_and_format_the_changes(running: Gateway, keys: dict[str, str], watched: Any) -> None:
    condition = {"operationType": "update", "fullDocument.n": {"$gte": 5}}
    with opened(
        running,
        keys["one"],
        watched.name,
        fullDocument="updateLookup",
        filter=json.dumps(condition),
        pipeline=json.dumps([{"$addFields": {"seen": True}}]),
        format="canonical",
    ) as stream:
        stream.block()
        for n in (1, 5):
            watched.update_one({"_id": 0}, {"$set": {"n": n}})
        change = json_util.loads(stream.event()["data"])
        assert (change["seen"], change["fullDocument"]) == (True, {"_id": 0, "n": 5})


def test_a_body_has_the_same_parameters(running: Gateway, keys: dict[str, str], watched: Any) -> None:
    body = place(watched.name) | {"format": "plain"}
    path = f"{running.url}/app/any/endpoint/data/v1/watch"
    with httpx.stream("POST", path, json=body, headers={"api-key": keys["one"]}, timeout=20) as response:
        stream = Stream(response)
        stream.block()
        watched.insert_one({"_id": 1})
        assert stream.change()["fullDocument"] == {"_id": 1}


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"filter": "{"}, "'filter'"),
        ({"filter": "[]"}, "'filter'"),
        ({"filter": '{}, "pipeline": []'}, "'filter'"),
        ({"pipeline": "{}"}, "'pipeline'"),
        ({"pipeline": '[{"$group": {"_id": 1}}]'}, "'$group' is not allowed in a change stream"),
        ({"pipeline": '[{"$lookup": {"from": "x", "as": "y"}}]'}, "'$lookup' is not allowed in a change stream"),
        ({"fullDocument": "yes"}, "'fullDocument'"),
        ({"fullDocumentBeforeChange": "yes"}, "'fullDocumentBeforeChange'"),
        ({"format": "xml"}, "'format'"),
        ({"lastEventId": "1"}, "'lastEventId'"),
        ({"resumeAfter": "1"}, "'resumeAfter' is not a parameter"),
        ({"dataSource": "other"}, "'dataSource'"),
        ({"collection": ""}, "'collection'"),
    ],
)
def test_invalid_parameters_are_rejected(
    running: Gateway, keys: dict[str, str], parameters: dict[str, str], named: str
) -> None:
    response = running.get("/watch", params=place("watched") | parameters, headers={"api-key": keys["one"]})
    assert (response.status_code, response.json()["error_code"]) == (400, "InvalidParameter")
    assert named in response.json()["error"]


@pytest.mark.parametrize("query", ["database=a&database=b", "a=%ff", "filter=%7B%7D&filter=%7B%7D"])
def test_an_ambiguous_query_string_is_rejected(running: Gateway, keys: dict[str, str], query: str) -> None:
    response = running.get(
        f"/watch?dataSource=Cluster0&database=app&collection=c&{query}", headers={"api-key": keys["one"]}
    )
    assert (response.status_code, response.json()["error_code"]) == (400, "InvalidParameter")


def test_callers_methods_and_media_types_are_checked(running: Gateway, keys: dict[str, str]) -> None:
    path = f"/watch?dataSource=Cluster0&database={DATABASE}&collection=watched"
    assert running.get(path).json()["error"] == "no authentication methods were specified"
    assert running.get(path, headers={"api-key": "unknown-key"}).status_code == 401
    writer = running.get(path, headers={"api-key": keys["writer"]})
    assert (writer.status_code, writer.json()["error_code"]) == (403, "NoMatchingRuleFound")
    internal = running.get(path.replace("watched", "system.users"), headers={"api-key": keys["one"]})
    assert internal.status_code == 403
    code = running.get(f"{path}&filter={quote(json.dumps({'$where': '1'}))}", headers={"api-key": keys["one"]})
    assert (code.status_code, code.json()["error_code"]) == (403, "OperationNotAllowed")
    other = running.get(path, headers={"api-key": keys["one"], "Accept": "application/json"})
    assert other.status_code == 406
    for method in ("HEAD", "PUT", "DELETE"):
        response = httpx.request(method, f"{running.url}{path}", headers={"api-key": keys["one"]})
        assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")
    origin = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    asked = origin | {"Access-Control-Request-Headers": "api-key, last-event-id"}
    preflight = httpx.options(f"{running.url}{path}", headers=asked)
    assert "GET" in preflight.headers["access-control-allow-methods"]
    assert "last-event-id" in preflight.headers["access-control-allow-headers"]


def test_a_rule_allows_no_change_stream(running: Gateway, watched: Any) -> None:
    with running.temporary_key("ruled", f"*/{DATABASE}/*", rights="read", rule={"n": 3}) as key:
        status, error = refused(running, key, watched.name)
    assert (status, error["error_code"]) == (403, "OperationNotAllowed")
    assert "with a rule" in error["error"]


def test_the_request_of_the_documentation_opens_a_stream(
    running: Gateway, keys: dict[str, str], pymongo_client: Any
) -> None:
    [url, *_] = re.findall(r"'https://gateway.example.com:8443(\S+)'", section("How do I follow changes?"))
    url = url.replace("database=shop", f"database={DATABASE}")
    headers = {"apiKey": keys["third"], "Accept": "text/event-stream"}
    with httpx.stream("GET", f"{running.url}{url}", headers=headers, timeout=20) as response:
        stream = Stream(response)
        stream.block()
        pymongo_client[DATABASE]["orders_2026"].insert_one({"status": "open"})
        assert stream.change().keys() >= {"_id", "operationType", "ns", "documentKey", "fullDocument"}


def test_the_number_of_streams_is_limited(running: Gateway, keys: dict[str, str], watched: Any) -> None:
    until(lambda: running.metric("streams") == 0)
    with opened(running, keys["one"], watched.name) as one, opened(running, keys["one"], watched.name) as two:
        assert one.block()
        assert two.block()
        status, error = refused(running, keys["one"], watched.name)
        assert (status, error["error_code"]) == (429, "TooManyRequests")
        assert "the caller has 2 open change streams" in error["error"]
        with opened(running, keys["other"], watched.name) as three:
            assert three.block()
            assert running.metric("streams") == 3
            status, error = refused(running, keys["third"], watched.name)
            assert (status, "the gateway has 3 open change streams" in error["error"]) == (429, True)
            # Other requests are served meanwhile.
            assert running.post("findOne", place("x"), keys["one"]).status_code == 200
    until(lambda: running.metric("streams") == 0)


def test_a_stream_without_changes_has_heartbeats_and_outlasts_the_limit_of_silent_clients(
    running: Gateway, keys: dict[str, str], watched: Any
) -> None:
    with opened(running, keys["one"], watched.name) as stream:
        blocks = [stream.block() for _ in range(10)]
        assert all(block.get("") == "heartbeat" for block in blocks[1:])
        # `stalled_seconds` is over.
        watched.insert_one({"_id": 1})
        assert stream.change()["documentKey"] == {"_id": 1}


@pytest.mark.parametrize("changes", [contextlib.nullcontext, busy], ids=["without changes", "with many changes"])
def test_a_revoked_key_ends_its_streams(
    running: Gateway, watched: Any, changes: Callable[[Any], contextlib.AbstractContextManager[None]]
) -> None:
    with contextlib.ExitStack() as stack:
        with running.temporary_key("revoked", "*", rights="read") as key:
            stack.enter_context(changes(watched))
            stream = stack.enter_context(opened(running, key, watched.name))
            stream.block()
        assert stream.end()["error_code"] == "InvalidSession"


def test_changed_permissions_end_a_stream(running: Gateway, watched: Any) -> None:
    with running.temporary_key("changed", f"*/{DATABASE}/collection_*", rights="read") as key:
        with opened(running, key, watched.name) as stream:
            stream.block()
            with running.changed_keys("collection_*", "elsewhere"):
                assert stream.end()["error_code"] == "NoMatchingRuleFound"


def test_a_client_that_does_not_read_is_disconnected(running: Gateway, keys: dict[str, str], watched: Any) -> None:
    until(lambda: running.metric("streams") == 0)
    path = f"/watch?dataSource=Cluster0&database={DATABASE}&collection={watched.name}"
    with socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        wire.settimeout(20)
        wire.connect(running.address)
        wire.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\napi-key: {keys['one']}\r\n\r\n".encode())
        until(lambda: running.metric("streams") == 1)
        for _ in range(12):
            watched.insert_one({"text": "x" * 1_000_000})
        until(lambda: running.metric("streams") == 0)
        # It was not sent all of it.
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while part := wire.recv(1 << 20):
                received += len(part)
    assert received < 12_000_000


def test_a_dropped_collection_ends_a_stream(running: Gateway, keys: dict[str, str], watched: Any) -> None:
    with opened(running, keys["one"], watched.name) as stream:
        stream.block()
        watched.drop()
        kinds = [json.loads(block["data"])["operationType"] for block in stream.rest() if "data" in block]
    assert kinds[0] == "drop"


def test_streams_end_in_order_at_their_time_and_at_shutdown(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    limits = "[limits]\nstream_seconds = 2.5"
    with gateway(tmp_path, configured(mongodb_uri, limits)) as started:
        with opened(started, key, "any") as stream:
            stream.block()
            # The end is that of a complete response.
            assert stream.rest() == []
        with opened(started, key, "any") as stream:
            stream.block()
            started.signal(signal.SIGTERM)
            assert stream.rest() == []
        assert started.server.process.wait(20) == 0


def test_changes_that_mongodb_no_longer_has_are_an_error(tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    with secantusdb(0, None, "--oplog-max-entries", "10", "--enable-test-commands") as (_, port):
        uri = f"mongodb://127.0.0.1:{port}/"
        with gateway(tmp_path, configured(uri)) as running, MongoClient[dict[str, Any]](uri) as client:
            collection = client[DATABASE]["lost"]
            collection.insert_one({"_id": 0})
            with opened(running, key, "lost") as stream:
                collection.insert_one({"_id": 1})
                assert stream.change()["documentKey"] == {"_id": 1}
                # MongoDB says it in the middle of a stream.
                fail = {"mode": {"times": 1}, "data": {"failCommands": ["getMore"], "errorCode": 286}}
                client.admin.command({"configureFailPoint": "failCommand"} | fail)
                assert stream.end()["error_code"] == "ChangeStreamHistoryLost"
            for _ in range(20):
                collection.insert_one({})
            client.admin.command("secantusAdmin.pruneOplog")
            status, error = refused(running, key, "lost", lastEventId=stream.id)
            assert (status, error["error_code"], error["code"]) == (410, "ChangeStreamHistoryLost", 286)
            assert "read the collection again" in error["error"]
            # As the error says.
            with opened(running, key, "lost") as again:
                collection.insert_one({"_id": 2})
                assert again.change()["documentKey"] == {"_id": 2}


@pytest.fixture(scope="module")
def encrypted(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, str]]:
    """A gateway with TLS, and a key for it."""
    folder = tmp_path_factory.mktemp("encrypted")
    key = create_key(folder, "k")
    issue(trustme.CA(), folder)
    with gateway(folder, configured(mongodb_uri, tables=TLS)) as started:
        yield started, key


@pytest.fixture(params=["with TLS", "without TLS"])
def reached(request: pytest.FixtureRequest) -> tuple[Gateway, str, ssl.SSLContext]:
    """A gateway, a key, and the TLS context for both."""
    if request.param == "with TLS":
        started, key = request.getfixturevalue("encrypted")
        return started, key, trusting(started.folder / "ca.pem")
    return request.getfixturevalue("running"), request.getfixturevalue("keys")["one"], ssl.create_default_context()


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
def test_a_stream_works_with_each_version_of_http(
    reached: tuple[Gateway, str, ssl.SSLContext], watched: Any, version: str
) -> None:
    """By ALPN with TLS, and with prior knowledge without it."""
    started, key, context = reached
    http2 = version == "HTTP/2"
    with httpx.Client(verify=context, http2=http2, http1=not http2, timeout=20) as client:
        headers = {"api-key": key}
        with (
            started.watch(place(watched.name), headers, client) as one,
            started.watch(place(watched.name), headers, client) as other,
        ):
            assert {one.response.http_version, other.response.http_version} == {version}
            for number in range(1, 4):
                watched.insert_one({"_id": number})
                url = f"{started.url}/action/findOne"
                found = client.post(url, json=place(watched.name) | {"filter": {"_id": number}}, headers=headers)
                assert (found.json(), found.http_version) == ({"document": {"_id": number}}, version)
                for stream in (one, other):
                    assert stream.change()["documentKey"] == {"_id": number}
            # Two streams and the calls.
            sockets = {
                response.extensions["network_stream"].get_extra_info("client_addr")
                for response in (one.response, other.response, found)
            }
            assert len(sockets) == (1 if http2 else 3)


def test_a_stream_continues_when_mongodb_was_away_and_errors_are_events(tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    data = str(tmp_path / "data")
    with secantusdb(0, data) as (server, port):
        options = "serverSelectionTimeoutMS=1000&directConnection=true"
        with gateway(tmp_path, configured(f"mongodb://127.0.0.1:{port}/?{options}")) as started:
            with opened(started, key, "any") as stream:
                stream.block()
                server.process.kill()
                server.process.wait()
                status, error = refused(started, key, "any")
                assert (status, error["error_code"]) == (503, "MongoDBError")
                with secantusdb(port, data) as (again, _):
                    until(
                        lambda: (
                            started.post("insertOne", place("any") | {"document": {"_id": 1}}, key).status_code == 201
                        )
                    )
                    event = stream.event()
                    assert "data" in event
                    again.process.kill()
