"""Operating the gateway: TLS, limits, health checks, metrics, logs, reloading and shutdown."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.settings
import httpx
import jwt
import psutil
import pytest
import trustme

from tests.faults import LOSSES, every, faulty
from tests.gateways import (
    TLS,
    Gateway,
    at_once,
    certificate,
    configured,
    create_key,
    gateway,
    issue,
    refused_configuration,
    trusting,
    until,
)
from tests.servers import Server, free_port, secantusdb, with_options
from tests.wiretap import wiretap

TARGET = {"dataSource": "Cluster0", "database": "app", "collection": "operation"}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def test_tls_certificates_can_be_renewed(mongodb_uri: str, tmp_path: Path, authority: trustme.CA) -> None:
    key = create_key(tmp_path, "k")
    issue(authority, tmp_path)
    with gateway(tmp_path, configured(mongodb_uri, tables=TLS)) as running:
        assert running.url.startswith("https://")
        context = trusting(tmp_path / "ca.pem")
        headers = {"api-key": key}
        for http2 in (False, True):
            with httpx.Client(verify=context, http2=http2, http1=not http2) as client:
                response = client.post(f"{running.url}/action/findOne", json=TARGET, headers=headers)
                assert (response.status_code, response.http_version) == (200, "HTTP/2" if http2 else "HTTP/1.1")
        first = certificate(running, context)
        # An open connection keeps its certificate.
        with httpx.Client(verify=context) as client:
            assert client.post(f"{running.url}/action/findOne", json=TARGET, headers=headers).status_code == 200
            issue(authority, tmp_path)
            running.reload()
            assert client.post(f"{running.url}/action/findOne", json=TARGET, headers=headers).status_code == 200
        assert certificate(running, context) != first
        # An invalid certificate changes nothing.
        second = certificate(running, context)
        (tmp_path / "tls.pem").write_text("no certificate", encoding="utf-8")
        running.reload("stay in use")
        assert certificate(running, context) == second
        # Plain HTTP gets no response.
        with socket.create_connection(running.address, 10) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" not in plain.recv(100)


def test_client_certificates_are_required(mongodb_uri: str, tmp_path: Path, authority: trustme.CA) -> None:
    key = create_key(tmp_path, "k")
    issue(authority, tmp_path)
    mine = issue(authority, tmp_path, "client", "client.example.com")
    stranger = issue(trustme.CA(), tmp_path / "..", "stranger")
    issue(authority, tmp_path)
    with gateway(tmp_path, configured(mongodb_uri, tables=TLS + 'client_ca = "ca.pem"')) as running:

        def call(certificate: Path | None) -> int:
            with httpx.Client(verify=trusting(tmp_path / "ca.pem", certificate)) as client:
                headers = {"api-key": key}
                return client.post(f"{running.url}/action/findOne", json=TARGET, headers=headers).status_code

        assert call(mine) == 200
        for certificate in (None, stranger):
            with pytest.raises(httpx.TransportError):
                call(certificate)


def test_cors_allows_the_configured_origins(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    cors = '[cors]\norigins = ["https://app.example.com"]'
    with gateway(tmp_path, configured(mongodb_uri, tables=cors)) as running:

        def asked(origin: str) -> httpx.Response:
            headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            headers["Access-Control-Request-Headers"] = "api-key,content-type"
            return httpx.options(f"{running.url}/action/findOne", headers=headers)

        response = asked("https://app.example.com")
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == "https://app.example.com"
        assert "api-key" in response.headers["access-control-allow-headers"]
        assert "access-control-allow-origin" not in asked("https://evil.example.com").headers
        called = running.post("findOne", TARGET, key, Origin="https://app.example.com")
        assert called.headers["access-control-allow-origin"] == "https://app.example.com"


@pytest.fixture(scope="module")
def limited(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, str]]:
    """A gateway with small limits, and a key for it."""
    folder = tmp_path_factory.mktemp("limited")
    key = create_key(folder, "k")
    limits = "[limits]\ndocuments = 150\nbody_bytes = 4096\nrequests_per_second = 0.01\nburst = 400\n"
    with gateway(folder, configured(mongodb_uri, tables=limits)) as running:
        yield running, key


def test_the_number_of_documents_is_limited(limited: tuple[Gateway, str], pymongo_client: Any) -> None:
    running, key = limited
    collection = pymongo_client["app"]["many"]
    collection.delete_many({})
    collection.insert_many([{"n": n} for n in range(151)])
    where = {**TARGET, "collection": "many"}
    refused = running.post("find", where | {"limit": 151}, key)
    assert (refused.status_code, refused.json()["error"]) == (
        400,
        "'limit' must be at most 150: request the rest with 'skip'",
    )
    assert len(running.post("find", where | {"limit": 150}, key).json()["documents"]) == 150
    # A longer response is aborted, so that it never looks complete.
    with pytest.raises(httpx.RemoteProtocolError):
        running.post("find", where, key)
    line = running.logged(lambda line: line.get("error_code") == "AnswerBrokeOff")
    assert line["action"] == "find"


def test_an_oversized_body_is_rejected(limited: tuple[Gateway, str]) -> None:
    running, key = limited
    body = TARGET | {"document": {"text": "x" * 5000}}
    assert running.post("insertOne", body, key).status_code == 413


def test_errors_of_mongodb_do_not_reveal_its_address(limited: tuple[Gateway, str], mongodb_port: int) -> None:
    running, key = limited
    refused = running.post("find", TARGET | {"filter": {"a": {"$unknown": 1}}}, key)
    assert (refused.status_code, refused.json()["code"]) == (400, 2)
    assert str(mongodb_port) not in refused.text
    assert "clusterTime" not in refused.text


def test_the_rate_of_each_key_is_limited(mongodb_uri: str, tmp_path: Path) -> None:
    key, other = create_key(tmp_path, "k"), create_key(tmp_path, "other")
    limits = "[limits]\nrequests_per_second = 0.01\nburst = 3"
    with gateway(tmp_path, configured(mongodb_uri, tables=limits)) as running:
        assert [running.post("findOne", TARGET, key).status_code for _ in range(3)] == [200] * 3
        refused = running.post("findOne", TARGET, key)
        assert (refused.status_code, refused.json()["error_code"]) == (429, "TooManyRequests")
        assert 1 <= int(refused.headers["retry-after"]) <= 100
        assert running.post("findOne", TARGET, other).status_code == 200


def test_a_token_and_a_key_of_the_same_name_have_separate_rates(mongodb_uri: str, tmp_path: Path) -> None:
    key, secret = create_key(tmp_path, "k"), "s" * 64
    (tmp_path / "secret").write_text(secret, encoding="utf-8")
    tables = '[limits]\nrequests_per_second = 0.01\nburst = 1\n[jwt]\nsecret_file = "secret"'
    with gateway(tmp_path, configured(mongodb_uri, tables=tables)) as running:
        statuses = []
        # The second and the third have the first 64 characters in common.
        for subject in ("k", "x" * 80 + "1", "x" * 80 + "2"):
            claims = {"sub": subject, "exp": 4_000_000_000, "permissions": [{"allow": ["read"]}]}
            bearer = f"Bearer {jwt.encode(claims, secret, 'HS256')}"
            statuses += [running.post("findOne", TARGET, Authorization=bearer).status_code for _ in range(2)]
        assert statuses == [200, 429] * 3
        assert running.post("findOne", TARGET, key).status_code == 200
        assert running.logged(lambda line: line.get("caller") == "token:k")["status"] == 200


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[tuple[Server, str]]:
    """A MongoDB server that a test can suspend."""
    with secantusdb(0, str(tmp_path / "data")) as (server, port):
        try:
            yield server, f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=2000"
        finally:
            # Nothing is kept: no need to end it politely.
            server.process.kill()


def stop(server: Server) -> None:
    """Stop the server's process, and wait until it no longer runs."""
    server.process.send_signal(signal.SIGSTOP)
    until(lambda: psutil.Process(server.process.pid).status() == psutil.STATUS_STOPPED)


def test_requests_time_out_and_their_number_is_limited(stopped: tuple[Server, str], tmp_path: Path) -> None:
    (mongodb, uri), key = stopped, create_key(tmp_path, "k")
    limits = "[limits]\nrequests = 2\nrequest_seconds = 1"
    with gateway(tmp_path, configured(uri, tables=limits)) as running:
        assert running.post("insertOne", TARGET | {"document": {}}, key).status_code == 201
        stop(mongodb)

        def insert() -> httpx.Response:
            return running.post("insertOne", TARGET | {"document": {}}, key)

        responses = at_once(*[insert] * 4)
        assert sorted(response.status_code for response in responses) == [429, 429, 504, 504]
        late = [response.json() for response in responses if response.status_code == 504]
        assert [error["error_code"] for error in late] == ["ExecutionTimeLimitExceeded"] * 2
        # One is sent over the connection that there is. The other may wait for a new one.
        assert any("may or may not have been applied" in error["error"] for error in late)
        assert all(response.headers["retry-after"] == "1" for response in responses if response.status_code == 429)
        assert running.get("/readyz").status_code == 503
        assert running.get("/healthz").status_code == 200
        mongodb.process.send_signal(signal.SIGCONT)
        until(lambda: running.get("/readyz").status_code == 200)
        assert running.post("findOne", TARGET, key).status_code == 200


def test_an_unreachable_mongodb_is_reported_and_may_start_later(tmp_path: Path) -> None:
    port, key = free_port(), create_key(tmp_path, "k")
    uri = f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=500"
    with gateway(tmp_path, configured(uri)) as running:
        assert running.logged(lambda line: "cannot be reached yet" in line.get("message", ""))["level"] == "warning"
        response = running.get("/readyz")
        assert response.status_code == 503
        assert str(port) not in response.text
        refused = running.post("findOne", TARGET, key)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert str(port) not in refused.text
        assert str(port) in running.logged(lambda line: line.get("message", "").startswith("findOne failed"))["message"]
        with secantusdb(port, str(tmp_path / "data")):
            until(lambda: running.get("/readyz").status_code == 200)
            assert running.post("findOne", TARGET, key).status_code == 200


def test_metrics_count_requests_and_have_bounded_labels(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    with gateway(tmp_path, configured(mongodb_uri)) as running:
        for number in range(5):
            assert running.post("insertOne", TARGET | {"document": {"n": number}}, key).status_code == 201
        running.post("findOne", TARGET, "hunter2-hunter2")
        running.post("findOne", TARGET | {"filter": 5}, key)
        assert running.metric('requests_total{action="insertOne",status="201"}') == 5
        assert running.metric('requests_total{action="findOne",status="401"}') == 1
        assert running.metric('errors_total{error_code="InvalidSession"}') == 1
        assert running.metric('errors_total{error_code="InvalidParameter"}') == 1
        assert running.metric('request_seconds_count{action="insertOne"}') == 5
        assert running.metric('mongodb_connections{data_source="Cluster0"}') >= 1
        assert running.metric('mongodb_connections_in_use{data_source="Cluster0"}') == 0
        assert running.metric("requests_under_way") == 0
        assert running.metric("received_bytes_total") > 500
        names = {line.rsplit(" ", 1)[0] for line in running.get("/metrics").text.splitlines()}
        for number in range(30):
            running.post(f"nonsense{number}", TARGET, key)
            running.post("findOne", TARGET | {"collection": f"c{number}", "database": f"d{number}"}, key)
            running.get(f"/nonsense/{number}")
        more = {line.rsplit(" ", 1)[0] for line in running.get("/metrics").text.splitlines()} - names
        assert not any("nonsense" in name or "c2" in name or "d2" in name for name in more)
        assert len(more) < 40


def test_concurrent_inserts_are_one_command_and_each_has_its_result(
    stopped: tuple[Server, str], tmp_path: Path
) -> None:
    (mongodb, uri), key = stopped, create_key(tmp_path, "k")
    target = TARGET | {"collection": "merged"}
    traced = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    port = urlsplit(uri).port
    assert port is not None
    with wiretap(port) as tap, gateway(tmp_path, configured(tap.uri)) as running:

        def insert(number: int, **headers: str) -> int:
            document = {"_id": number, "text": "x" * 1000}
            return running.post("insertOne", target | {"document": document}, key, **headers).status_code

        assert insert(0) == 201
        assert len(tap.commands("insert")) == 1
        stop(mongodb)
        with ThreadPoolExecutor(41) as threads:
            inserting = [threads.submit(insert, number) for number in [*range(30), *range(10)]]
            inserting.append(threads.submit(insert, 30, traceparent=traced))
            until(lambda: running.metric("requests_under_way") == 41)
            mongodb.process.send_signal(signal.SIGCONT)
            statuses = [one.result() for one in inserting]
        # Of two equal documents, either is stored.
        assert sorted(statuses) == [201] * 30 + [400] * 11
        assert sorted([statuses[1], statuses[31]]) == [201, 400]
        assert statuses[10:30] == [201] * 20
        commands = tap.commands("insert")[1:]
        assert sum(len(command["documents"]) for command in commands) == 41
        assert len(commands) < 12
        assert [len(command["documents"]) for command in commands if "comment" in command] == [1]


@pytest.mark.parametrize("action", ["findOne", "find", "aggregate"])
def test_a_read_whose_answer_is_lost_is_retried_once(mongodb_port: int, tmp_path: Path, action: str) -> None:
    key = create_key(tmp_path, "k")
    command = "aggregate" if action == "aggregate" else "find"
    body = TARGET | ({"pipeline": [{"$match": {"a": 1}}]} if action == "aggregate" else {"filter": {"a": 1}})
    plan = every(2, LOSSES, 7, command)
    with (
        faulty(mongodb_port, plan) as proxy,
        gateway(tmp_path, configured(proxy.uri)) as running,
        running.client(key) as client,
    ):
        for number in range(1, 7):
            # The comment tells a command from others.
            traced = {"traceparent": f"00-{number:032x}-b7ad6b7169203331-01"}
            assert client.post(action, json=body, headers=traced).status_code == 200
        assert proxy.met(command, LOSSES) >= 3


def test_a_client_that_disconnects_is_counted(stopped: tuple[Server, str], tmp_path: Path) -> None:
    (mongodb, uri), key = stopped, create_key(tmp_path, "k")
    with gateway(tmp_path, configured(uri)) as running:
        assert running.post("findOne", TARGET, key).status_code == 200
        stop(mongodb)
        for _ in range(3):
            with pytest.raises(httpx.ReadTimeout), httpx.Client(timeout=0.3) as client:
                client.post(f"{running.url}/action/findOne", json=TARGET, headers={"api-key": key})
        until(lambda: running.metric("requests_under_way") == 0)
        until(lambda: running.metric('requests_total{action="findOne",status="499"}') == 3)
        assert (
            running.logged(lambda line: line.get("status") == 499)["reason"]
            == "the client disconnected, or the gateway shut down"
        )


def test_each_request_is_logged_without_secrets(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "shop")
    with gateway(tmp_path, configured(with_options(mongodb_uri, appName="hunter2-in-the-uri"))) as running:
        response = running.post("insertOne", TARGET | {"document": {"secret": "hunter2-of-the-document"}}, key)
        line = running.logged(lambda line: line.get("request_id") == response.headers["x-request-id"])
        assert line["caller"] == "shop"
        assert (line["data_source"], line["database"], line["collection"]) == tuple(TARGET.values())
        assert (line["action"], line["status"], line["level"], line["peer"]) == ("insertOne", 201, "info", "127.0.0.1")
        assert line["ms"] > 0
        assert (line["received"], line["sent"]) == (len(response.request.content), len(response.content))
        given = running.post("findOne", TARGET, "hunter2-of-a-key", X_Request_Id="mine-1")
        assert given.headers["x-request-id"] == "mine-1"
        refused = running.logged(lambda line: line.get("request_id") == "mine-1")
        assert (refused["status"], refused["error_code"]) == (401, "InvalidSession")
        assert refused["reason"] == "unknown or expired key"
        # Invalid request IDs are replaced.
        for wrong in ("x" * 200, "with space", 'quote"'):
            response = running.post("findOne", TARGET, key, X_Request_Id=wrong)
            assert (response.headers["x-request-id"] == wrong) == (wrong == 'quote"')
        running.logged(lambda line: line.get("request_id") == 'quote"')
        assert not any("hunter2" in line or key in line for line in running.server.output)


class Tap:
    """A TCP proxy to MongoDB that records what the gateway sends."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.recorded = b""
        self.target = target
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            there = socket.create_connection(self.target)
            threading.Thread(target=self._copy, args=(client, there, True), daemon=True).start()
            threading.Thread(target=self._copy, args=(there, client, False), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket, record: bool) -> None:
        try:
            while data := source.recv(65536):
                if record:
                    self.recorded += data
                target.sendall(data)
        except OSError:
            pass
        finally:
            source.close()
            target.close()


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("findOne", {}),
        ("find", {}),
        ("aggregate", {"pipeline": []}),
        ("insertOne", {"document": {}}),
        ("insertMany", {"documents": [{}]}),
        ("updateOne", {"filter": {}, "update": {"$set": {"a": 1}}}),
        ("replaceOne", {"filter": {}, "replacement": {}}),
        ("deleteMany", {"filter": {}}),
    ],
)
def test_the_trace_context_is_passed_on_to_mongodb(
    traced: tuple[Gateway, str, Tap], action: str, body: dict[str, Any]
) -> None:
    running, key, tap = traced
    trace = f"{abs(hash(action)):032x}"[-32:].replace("0", "a")
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "tracestate": "vendor=one"}
    response = running.post(action, TARGET | body, key, **headers)
    assert response.status_code in (200, 201), response.text
    parent = response.headers["traceparent"]
    assert parent.split("-")[1] == trace
    assert parent.split("-")[2] != "b7ad6b7169203331"
    assert parent.encode() in tap.recorded
    assert b"vendor=one" in tap.recorded
    assert running.logged(lambda line: line.get("trace_id") == trace)["action"] == action


@pytest.fixture(scope="module")
def traced(
    mongodb_address: tuple[str, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gateway, str, Tap]]:
    folder, tap = tmp_path_factory.mktemp("traced"), Tap(mongodb_address)
    key = create_key(folder, "k")
    uri = f"mongodb://127.0.0.1:{tap.port}/?directConnection=true"
    with gateway(folder, configured(uri)) as running:
        yield running, key, tap
    tap.server.close()


def test_shutdown_ends_within_the_grace_period(stopped: tuple[Server, str], tmp_path: Path) -> None:
    (mongodb, uri), key = stopped, create_key(tmp_path, "k")
    with gateway(tmp_path, configured(uri, more="grace_seconds = 1.5")) as running:
        assert running.post("insertOne", TARGET | {"document": {}}, key).status_code == 201
        stop(mongodb)

        statuses: list[int] = []

        def call() -> None:
            # The call fails, and there may still be time to answer that.
            with contextlib.suppress(httpx.HTTPError):
                statuses.append(running.post("findOne", TARGET, key).status_code)

        waiting = threading.Thread(target=call)
        waiting.start()
        until(lambda: running.metric("requests_under_way") == 1)
        running.signal(signal.SIGTERM)
        assert running.server.process.wait(15) == 0
        waiting.join()
        assert statuses in ([], [503])


def test_a_completed_write_is_never_reported_as_retryable(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    limits = "[limits]\nmemory_bytes = 12582912"
    with gateway(tmp_path, configured(mongodb_uri, tables=limits)) as running:
        # The request leaves too little of the budget for its response.
        response = running.post("insertMany", TARGET | {"collection": "many2", "documents": [{}] * 45_000}, key)
        assert (response.status_code, len(response.json()["insertedIds"])) == (201, 45_000)
        # A request that can never fit gets 413, which is not retryable.
        too_large = running.post("insertOne", TARGET | {"document": {"text": "x" * 3_000_000}}, key)
        assert too_large.status_code == 413
        many = running.post("find", TARGET | {"filter": {"a": {"$in": [{"a": 1}] * 40_000}}}, key)
        assert many.status_code == 413


def test_reloading_changes_all_files_or_none(mongodb_uri: str, tmp_path: Path, authority: trustme.CA) -> None:
    old = create_key(tmp_path, "old")
    issue(authority, tmp_path)
    with gateway(tmp_path, configured(mongodb_uri, tables=TLS)) as running:
        (tmp_path / "keys.toml").unlink()
        new = create_key(tmp_path, "new")
        (tmp_path / "tls.pem").write_text("no certificate", encoding="utf-8")
        running.reload("stay in use")
        assert running.post("findOne", TARGET, old).status_code == 200
        assert running.post("findOne", TARGET, new).status_code == 401


def test_an_http_2_stream_that_is_not_read_releases_its_slot(
    mongodb_uri: str, tmp_path: Path, pymongo_client: Any
) -> None:
    key = create_key(tmp_path, "k")
    collection = pymongo_client["app"]["large"]
    collection.delete_many({})
    collection.insert_many([{"text": "x" * 100_000} for _ in range(50)])
    # Long enough that the refusal is seen before.
    limits = "[limits]\nstalled_seconds = 4\nrequests = 3"
    with gateway(tmp_path, configured(mongodb_uri, tables=limits)) as running:
        connection = h2.connection.H2Connection(config=h2.config.H2Configuration(client_side=True))
        connection.initiate_connection()
        connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        body = json.dumps(TARGET | {"collection": "large"}).encode()
        with socket.create_connection(running.address, 10) as wire:
            for stream in (1, 3, 5):
                headers = {":method": "POST", ":scheme": "http", ":authority": "x", ":path": "/action/find"}
                headers |= {"api-key": key, "content-type": "application/json"}
                connection.send_headers(stream, list(headers.items()))
                connection.send_data(stream, body, end_stream=True)
            wire.sendall(connection.data_to_send())
            until(lambda: running.metric("requests_under_way") == 3)
            assert running.post("findOne", TARGET, key).status_code == 429
            # The connection is still open, but its request slots are released.
            until(lambda: running.post("findOne", TARGET, key).status_code == 200)


@pytest.mark.parametrize(
    ("accept", "ejson"),
    [
        ("application/json, application/ejson;q=0.1", False),
        ("application/ejson;q=0, application/json", False),
        ("application/json;q=0.5, application/ejson;q=0.9", True),
        ("application/json, application/ejson", True),
        ("application/ejson", True),
        ("*/*", False),
        ("text/html", False),
        ("application/ejson;q=x", True),
    ],
)
def test_accept_selects_the_preferred_format(limited: tuple[Gateway, str], accept: str, ejson: bool) -> None:
    running, key = limited
    response = running.post("findOne", TARGET, key, Accept=accept)
    assert response.headers["content-type"] == ("application/ejson" if ejson else "application/json")


INVALID: dict[str, tuple[str, str]] = {
    "an unknown name": ("listne = 1", "unknown field `listne`"),
    "invalid TOML": ("keys_file = \n", "line 2"),
    "no data source": ('keys_file = "keys.toml"', "the configuration has no data source"),
    "no authentication": ('[data_sources.a]\nuri = "mongodb://h/"', "the configuration has no authentication"),
    "an invalid URI": (configured("mongodb://user:hunter2@h:x/"), "data_sources.Cluster0: the connection string"),
    "a secret of the wrong type": ('keys_file = "keys.toml"\nanswer = "hunter2"', "cannot be used (line 3)"),
    "no URI": (
        'keys_file = "keys.toml"\n[data_sources.a]',
        "data_sources.a: set exactly one of uri, uri_env and uri_file",
    ),
    "an unset variable": (
        'keys_file = "keys.toml"\n[data_sources.a]\nuri_env = "NOT_SET_AT_ALL"',
        "the environment variable NOT_SET_AT_ALL is not set",
    ),
    "a URI instead of a variable": (
        'keys_file = "keys.toml"\n[data_sources.a]\nuri_env = "mongodb://u:hunter2@h"',
        "uri_env must be the name of an environment variable",
    ),
    "a URI instead of a file": (
        'keys_file = "keys.toml"\n[data_sources.a]\nuri_file = "mongodb://u:hunter2@h"',
        "uri_file must be the path of a file",
    ),
    "a data source that is a string": (
        'keys_file = "keys.toml"\ndata_sources.a = \'mongodb://u:x"hunter2"y@h\'',
        "cannot be used (line 3)",
    ),
    "too many requests": (
        configured("mongodb://h/", tables="[limits]\nrequests = 9000000000000000000"),
        "at most 1000000",
    ),
    "an origin with a path": (configured("mongodb://h/", tables='[cors]\norigins = ["https://a/"]'), "cors.origins"),
    "a missing URI file": ('keys_file = "keys.toml"\n[data_sources.a]\nuri_file = "none"', "none cannot be read"),
    "a missing key file": (
        'keys_file = "none.toml"\n[data_sources.a]\nuri = "mongodb://h/"',
        "none.toml cannot be read",
    ),
    "a missing certificate": (configured("mongodb://h/", tables=TLS), "tls.certificate:"),
    "an invalid authority": (
        configured("mongodb://h/", tables='[tls]\ncertificate = "ok.pem"\nkey = "ok.pem"\nclient_ca = "keys.toml"'),
        "tls.client_ca:",
    ),
    "the key of another certificate": (
        configured("mongodb://h/", tables='[tls]\ncertificate = "ok.pem"\nkey = "other.pem"'),
        "tls.key:",
    ),
    "a limit of zero": (
        configured("mongodb://h/", tables="[limits]\nconnections = 0"),
        "limits.connections must be at least 1",
    ),
    "a negative time": (configured("mongodb://h/", tables="[limits]\nrequest_seconds = -1"), "limits.request_seconds"),
    "a rate of zero": (configured("mongodb://h/", tables="[limits]\nrequests_per_second = 0"), "requests_per_second"),
    "an invalid origin": (configured("mongodb://h/", tables='[cors]\norigins = ["app"]'), "cors.origins"),
    "no key for tokens": (configured("mongodb://h/", tables="[jwt]"), "jwt: no key for RS256"),
    "a short secret": (configured("mongodb://h/", tables='[jwt]\nsecret_file = "short"'), "at least 32 bytes"),
    "an invalid public key": (
        configured("mongodb://h/", tables='[jwt]\npublic_key_file = "short"'),
        "jwt.public_key_file",
    ),
    "an invalid key set": (configured("mongodb://h/", tables='[jwt]\njwks_file = "short"'), "jwt.jwks_file"),
    "an unknown address": (
        configured("mongodb://h/").replace("keys_file", 'listen2 = "x"\nkeys_file'),
        "unknown field",
    ),
}


@pytest.mark.parametrize("name", INVALID)
def test_configuration_errors_are_one_line(name: str, tmp_path: Path, authority: trustme.CA) -> None:
    configuration, message = INVALID[name]
    create_key(tmp_path, "k")
    (tmp_path / "short").write_text("hunter2", encoding="utf-8")
    issue(authority, tmp_path, "ok")
    issue(authority, tmp_path, "other")
    assert message in refused_configuration(tmp_path, configuration)


def test_a_uri_can_come_from_a_variable_or_a_file(
    mongodb_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = create_key(tmp_path, "k")
    monkeypatch.setenv("THE_URI", mongodb_uri)
    (tmp_path / "uri").write_text(mongodb_uri + "\n", encoding="utf-8")
    sources = '[data_sources.a]\nuri_env = "THE_URI"\n[data_sources.b]\nuri_file = "uri"'
    with gateway(tmp_path, f'keys_file = "keys.toml"\nanswer = "application/ejson"\n{sources}') as running:
        for source in "ab":
            response = running.post("insertOne", TARGET | {"dataSource": source, "document": {}}, key)
            assert response.status_code == 201
            assert response.headers["content-type"] == "application/ejson"
            assert "$oid" in response.text
        plain = running.post("findOne", TARGET | {"dataSource": "a"}, key, Accept="application/json")
        assert "$oid" not in plain.text


def test_config_excludes_other_options(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "connect.eaas.mongodb.cli", "gateway", "--config", str(tmp_path / "x")]
    ended = subprocess.run([*command, "--listen", "127.0.0.1:0"], capture_output=True, text=True, check=False)
    assert (ended.returncode, "cannot be combined with other options" in ended.stderr) == (2, True)
    ended = subprocess.run(command[:4], capture_output=True, text=True, check=False, env={"PATH": ""})
    assert (ended.returncode, "--config, or --mongodb-uri" in ended.stderr) == (2, True)


def test_all_log_lines_are_json(limited: tuple[Gateway, str]) -> None:
    running, key = limited
    running.post("findOne", TARGET | {"collection": 'quote"and\\slash'}, key)
    running.logged(lambda line: line.get("collection") == 'quote"and\\slash')
    for line in running.server.output[1:]:
        json.loads(line)
