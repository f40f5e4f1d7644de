"""The gateway as its operator sees it: TLS, limits, health, metrics, logs, and how it stops."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.settings
import httpx
import jwt
import pytest
import trustme
from connect.eaas.mongodb.cli import dev

from tests.gateways import Gateway, at_once, create_key, gateway, trusting, until
from tests.servers import free_port, secantusdb

PLACE = {"dataSource": "Cluster0", "database": "app", "collection": "operation"}


def configured(uri: str, more: str = "", tables: str = "") -> str:
    """A configuration of one data source."""
    return f'keys_file = "keys.toml"\n{more}\n[data_sources.Cluster0]\nuri = "{uri}"\n{tables}\n'


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def issue(authority: trustme.CA, folder: Path, name: str = "tls", host: str = "localhost") -> Path:
    """Write a certificate and its key; the path of both in one file."""
    leaf = authority.issue_cert(host, "127.0.0.1")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return folder / f"{name}.pem"


TLS = '[tls]\ncertificate = "tls.pem"\nkey = "tls.pem"\n'


def certificate(url: str, context: ssl.SSLContext) -> bytes:
    """The certificate that a server shows."""
    host, port = url.removeprefix("https://").split(":")
    with (
        socket.create_connection((host, int(port)), 10) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        return tls.getpeercert(binary_form=True) or b""


def test_tls_and_its_renewal(mongodb_uri: str, tmp_path: Path, authority: trustme.CA) -> None:
    key = create_key(tmp_path, "k")
    issue(authority, tmp_path)
    with gateway(tmp_path, configured(mongodb_uri, tables=TLS)) as running:
        assert running.url.startswith("https://")
        context = trusting(tmp_path / "ca.pem")
        headers = {"api-key": key}
        for http2 in (False, True):
            with httpx.Client(verify=context, http2=http2, http1=not http2) as client:
                answer = client.post(f"{running.url}/action/findOne", json=PLACE, headers=headers)
                assert (answer.status_code, answer.http_version) == (200, "HTTP/2" if http2 else "HTTP/1.1")
        first = certificate(running.url, context)
        # A connection goes on, with what it began with.
        with httpx.Client(verify=context) as client:
            assert client.post(f"{running.url}/action/findOne", json=PLACE, headers=headers).status_code == 200
            issue(authority, tmp_path)
            running.reload()
            assert client.post(f"{running.url}/action/findOne", json=PLACE, headers=headers).status_code == 200
        assert certificate(running.url, context) != first
        # What is no certificate changes nothing.
        second = certificate(running.url, context)
        (tmp_path / "tls.pem").write_text("no certificate", encoding="utf-8")
        running.reload("stays in use")
        assert certificate(running.url, context) == second
        # Who speaks no TLS gets no answer, and keeps nobody.
        host, port = running.url.removeprefix("https://").split(":")
        with socket.create_connection((host, int(port)), 10) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" not in plain.recv(100)


def test_clients_show_their_certificate(mongodb_uri: str, tmp_path: Path, authority: trustme.CA) -> None:
    key = create_key(tmp_path, "k")
    issue(authority, tmp_path)
    mine = issue(authority, tmp_path, "client", "client.example.com")
    stranger = issue(trustme.CA(), tmp_path / "..", "stranger")
    issue(authority, tmp_path)
    with gateway(tmp_path, configured(mongodb_uri, tables=TLS + 'client_ca = "ca.pem"')) as running:

        def call(certificate: Path | None) -> int:
            with httpx.Client(verify=trusting(tmp_path / "ca.pem", certificate)) as client:
                headers = {"api-key": key}
                return client.post(f"{running.url}/action/findOne", json=PLACE, headers=headers).status_code

        assert call(mine) == 200
        for certificate in (None, stranger):
            with pytest.raises(httpx.TransportError):
                call(certificate)


def test_pages_of_named_origins_may_call(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    cors = '[cors]\norigins = ["https://app.example.com"]'
    with gateway(tmp_path, configured(mongodb_uri, tables=cors)) as running:

        def asked(origin: str) -> httpx.Response:
            headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            headers["Access-Control-Request-Headers"] = "api-key,content-type"
            return httpx.options(f"{running.url}/action/findOne", headers=headers)

        answer = asked("https://app.example.com")
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
        assert "api-key" in answer.headers["access-control-allow-headers"]
        assert "access-control-allow-origin" not in asked("https://evil.example.com").headers
        called = running.post("findOne", PLACE, key, Origin="https://app.example.com")
        assert called.headers["access-control-allow-origin"] == "https://app.example.com"


@pytest.fixture(scope="module")
def limited(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, str]]:
    """A gateway of small limits, and a key for it."""
    folder = tmp_path_factory.mktemp("limited")
    key = create_key(folder, "k")
    limits = "[limits]\ndocuments = 150\nbody_bytes = 4096\nrequests_per_second = 0.01\nburst = 400\n"
    with gateway(folder, configured(mongodb_uri, tables=limits)) as running:
        yield running, key


def test_answers_have_no_more_documents_than_they_may(limited: tuple[Gateway, str], pymongo_client: Any) -> None:
    running, key = limited
    collection = pymongo_client["app"]["many"]
    collection.delete_many({})
    collection.insert_many([{"n": n} for n in range(151)])
    where = {**PLACE, "collection": "many"}
    refused = running.post("find", where | {"limit": 151}, key)
    assert (refused.status_code, refused.json()["error"]) == (
        400,
        "'limit' is more than 150: ask for the rest with 'skip'",
    )
    assert len(running.post("find", where | {"limit": 150}, key).json()["documents"]) == 150
    # What is more than that is told by an answer that breaks off, never by one that looks whole.
    with pytest.raises(httpx.RemoteProtocolError):
        running.post("find", where, key)
    line = running.logged(lambda line: line.get("error_code") == "AnswerBrokeOff")
    assert line["action"] == "find"


def test_a_body_that_is_too_large_is_refused(limited: tuple[Gateway, str]) -> None:
    running, key = limited
    body = PLACE | {"document": {"text": "x" * 5000}}
    assert running.post("insertOne", body, key).status_code == 413


def test_what_mongodb_refuses_is_told_without_where_it_is(limited: tuple[Gateway, str], mongodb_port: int) -> None:
    running, key = limited
    refused = running.post("find", PLACE | {"filter": {"a": {"$unknown": 1}}}, key)
    assert (refused.status_code, refused.json()["code"]) == (400, 2)
    assert str(mongodb_port) not in refused.text
    assert "clusterTime" not in refused.text


def test_a_key_has_its_rate(mongodb_uri: str, tmp_path: Path) -> None:
    key, other = create_key(tmp_path, "k"), create_key(tmp_path, "other")
    limits = "[limits]\nrequests_per_second = 0.01\nburst = 3"
    with gateway(tmp_path, configured(mongodb_uri, tables=limits)) as running:
        assert [running.post("findOne", PLACE, key).status_code for _ in range(3)] == [200] * 3
        refused = running.post("findOne", PLACE, key)
        assert (refused.status_code, refused.json()["error_code"]) == (429, "TooManyRequests")
        assert 1 <= int(refused.headers["retry-after"]) <= 100
        assert running.post("findOne", PLACE, other).status_code == 200


def test_a_token_of_a_keys_name_has_a_rate_of_its_own(mongodb_uri: str, tmp_path: Path) -> None:
    key, secret = create_key(tmp_path, "k"), "s" * 64
    (tmp_path / "secret").write_text(secret, encoding="utf-8")
    tables = '[limits]\nrequests_per_second = 0.01\nburst = 1\n[jwt]\nsecret_file = "secret"'
    with gateway(tmp_path, configured(mongodb_uri, tables=tables)) as running:
        statuses = []
        # The second and the third have the first 64 characters in common.
        for subject in ("k", "x" * 80 + "1", "x" * 80 + "2"):
            claims = {"sub": subject, "exp": 4_000_000_000, "permissions": [{"allow": ["read"]}]}
            bearer = f"Bearer {jwt.encode(claims, secret, 'HS256')}"
            statuses += [running.post("findOne", PLACE, Authorization=bearer).status_code for _ in range(2)]
        assert statuses == [200, 429] * 3
        assert running.post("findOne", PLACE, key).status_code == 200
        assert running.logged(lambda line: line.get("caller") == "token:k")["status"] == 200


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[tuple[dev.Server, str]]:
    """A MongoDB that a test may have stand still."""
    with secantusdb(0, str(tmp_path / "data")) as (server, port):
        try:
            yield server, f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=2000"
        finally:
            # Nothing is kept: no need to end it politely.
            server.process.kill()


def test_what_takes_too_long_ends_and_only_so_many_run_at_once(stopped: tuple[dev.Server, str], tmp_path: Path) -> None:
    (mongodb, uri), key = stopped, create_key(tmp_path, "k")
    limits = "[limits]\nrequests = 2\nrequest_seconds = 1"
    with gateway(tmp_path, configured(uri, tables=limits)) as running:
        assert running.post("insertOne", PLACE | {"document": {}}, key).status_code == 201
        mongodb.process.send_signal(signal.SIGSTOP)

        def insert() -> httpx.Response:
            return running.post("insertOne", PLACE | {"document": {}}, key)

        answers = at_once(*[insert] * 4)
        assert sorted(answer.status_code for answer in answers) == [429, 429, 504, 504]
        late = next(answer for answer in answers if answer.status_code == 504)
        assert late.json()["error_code"] == "ExecutionTimeLimitExceeded"
        assert "may be changed or not" in late.json()["error"]
        assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status_code == 429)
        assert running.get("/readyz").status_code == 503
        assert running.get("/healthz").status_code == 200
        mongodb.process.send_signal(signal.SIGCONT)
        until(lambda: running.get("/readyz").status_code == 200)
        assert running.post("findOne", PLACE, key).status_code == 200


def test_mongodb_that_is_not_there_is_told_and_may_come(tmp_path: Path) -> None:
    port, key = free_port(), create_key(tmp_path, "k")
    uri = f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=500"
    with gateway(tmp_path, configured(uri)) as running:
        assert running.logged(lambda line: "cannot be reached yet" in line.get("message", ""))["level"] == "warning"
        answer = running.get("/readyz")
        assert answer.status_code == 503
        assert str(port) not in answer.text
        refused = running.post("findOne", PLACE, key)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert str(port) not in refused.text
        assert str(port) in running.logged(lambda line: line.get("message", "").startswith("findOne failed"))["message"]
        with secantusdb(port, str(tmp_path / "data")):
            until(lambda: running.get("/readyz").status_code == 200)
            assert running.post("findOne", PLACE, key).status_code == 200


def metric(running: Gateway, name: str) -> float:
    """The value of a metric, by its name and labels; 0 if there is none yet."""
    lines = running.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith(f"connect_mongodb_gateway_{name} ")]
    return float(found[0].rsplit(" ", 1)[1]) if found else 0.0


def test_metrics_count_and_grow_with_no_input(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    with gateway(tmp_path, configured(mongodb_uri)) as running:
        for number in range(5):
            assert running.post("insertOne", PLACE | {"document": {"n": number}}, key).status_code == 201
        running.post("findOne", PLACE, "hunter2-hunter2")
        running.post("findOne", PLACE | {"filter": 5}, key)
        assert metric(running, 'requests_total{action="insertOne",status="201"}') == 5
        assert metric(running, 'requests_total{action="findOne",status="401"}') == 1
        assert metric(running, 'errors_total{error_code="InvalidSession"}') == 1
        assert metric(running, 'errors_total{error_code="InvalidParameter"}') == 1
        assert metric(running, 'request_seconds_count{action="insertOne"}') == 5
        assert metric(running, 'mongodb_connections{data_source="Cluster0"}') >= 1
        assert metric(running, 'mongodb_connections_in_use{data_source="Cluster0"}') == 0
        assert metric(running, "requests_under_way") == 0
        assert metric(running, "received_bytes_total") > 500
        names = {line.rsplit(" ", 1)[0] for line in running.get("/metrics").text.splitlines()}
        for number in range(30):
            running.post(f"nonsense{number}", PLACE, key)
            running.post("findOne", PLACE | {"collection": f"c{number}", "database": f"d{number}"}, key)
            running.get(f"/nonsense/{number}")
        more = {line.rsplit(" ", 1)[0] for line in running.get("/metrics").text.splitlines()} - names
        assert not any("nonsense" in name or "c2" in name or "d2" in name for name in more)
        assert len(more) < 40


def test_who_goes_away_is_counted_and_forgotten(stopped: tuple[dev.Server, str], tmp_path: Path) -> None:
    (mongodb, uri), key = stopped, create_key(tmp_path, "k")
    with gateway(tmp_path, configured(uri)) as running:
        assert running.post("findOne", PLACE, key).status_code == 200
        mongodb.process.send_signal(signal.SIGSTOP)
        for _ in range(3):
            with pytest.raises(httpx.ReadTimeout), httpx.Client(timeout=0.3) as client:
                client.post(f"{running.url}/action/findOne", json=PLACE, headers={"api-key": key})
        until(lambda: metric(running, "requests_under_way") == 0)
        until(lambda: metric(running, 'requests_total{action="findOne",status="499"}') == 3)
        assert (
            running.logged(lambda line: line.get("status") == 499)["reason"]
            == "the client went away, or the gateway ended"
        )


def test_a_line_tells_of_each_request_and_of_no_secret(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "shop")
    with gateway(tmp_path, configured(f"{mongodb_uri}?appName=hunter2-in-the-uri")) as running:
        answer = running.post("insertOne", PLACE | {"document": {"secret": "hunter2-of-the-document"}}, key)
        line = running.logged(lambda line: line.get("request_id") == answer.headers["x-request-id"])
        assert line["caller"] == "shop"
        assert (line["data_source"], line["database"], line["collection"]) == tuple(PLACE.values())
        assert (line["action"], line["status"], line["level"], line["peer"]) == ("insertOne", 201, "info", "127.0.0.1")
        assert line["ms"] > 0
        assert (line["received"], line["sent"]) == (len(answer.request.content), len(answer.content))
        given = running.post("findOne", PLACE, "hunter2-of-a-key", X_Request_Id="mine-1")
        assert given.headers["x-request-id"] == "mine-1"
        refused = running.logged(lambda line: line.get("request_id") == "mine-1")
        assert (refused["status"], refused["error_code"]) == (401, "InvalidSession")
        assert refused["reason"] == "a key that is none or has ended"
        # What is no id, or would be another line, is not taken.
        for wrong in ("x" * 200, "with space", 'quote"'):
            answer = running.post("findOne", PLACE, key, X_Request_Id=wrong)
            assert (answer.headers["x-request-id"] == wrong) == (wrong == 'quote"')
        running.logged(lambda line: line.get("request_id") == 'quote"')
        assert not any("hunter2" in line or key in line for line in running.server.output)


class Tap:
    """A way to MongoDB on which one can listen."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.heard = b""
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

    def _copy(self, source: socket.socket, target: socket.socket, listen: bool) -> None:
        try:
            while data := source.recv(65536):
                if listen:
                    self.heard += data
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
def test_a_trace_goes_on_to_mongodb(traced: tuple[Gateway, str, Tap], action: str, body: dict[str, Any]) -> None:
    running, key, tap = traced
    trace = f"{abs(hash(action)):032x}"[-32:].replace("0", "a")
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "tracestate": "vendor=one"}
    answer = running.post(action, PLACE | body, key, **headers)
    assert answer.status_code in (200, 201), answer.text
    parent = answer.headers["traceparent"]
    assert parent.split("-")[1] == trace
    assert parent.split("-")[2] != "b7ad6b7169203331"
    assert parent.encode() in tap.heard
    assert b"vendor=one" in tap.heard
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


def test_it_ends_politely_and_in_time(stopped: tuple[dev.Server, str], tmp_path: Path) -> None:
    (mongodb, uri), key = stopped, create_key(tmp_path, "k")
    with gateway(tmp_path, configured(uri, more="grace_seconds = 1.5")) as running:
        assert running.post("insertOne", PLACE | {"document": {}}, key).status_code == 201
        mongodb.process.send_signal(signal.SIGSTOP)

        statuses: list[int] = []

        def call() -> None:
            # The call fails, and there may still be time to answer that.
            with contextlib.suppress(httpx.HTTPError):
                statuses.append(running.post("findOne", PLACE, key).status_code)

        waiting = threading.Thread(target=call)
        waiting.start()
        until(lambda: metric(running, "requests_under_way") == 1)
        running.signal(signal.SIGTERM)
        assert running.server.process.wait(15) == 0
        waiting.join()
        assert statuses in ([], [503])


def test_a_write_that_is_done_is_never_told_to_be_tried_again(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    limits = "[limits]\nmemory_bytes = 1048576"
    with gateway(tmp_path, configured(mongodb_uri, tables=limits)) as running:
        # Its answer takes more than there is; what it asks for does not.
        answer = running.post("insertMany", PLACE | {"collection": "many2", "documents": [{}] * 45_000}, key)
        assert (answer.status_code, len(answer.json()["insertedIds"])) == (201, 45_000)
        # What can never fit is told so, and not to be tried again.
        too_large = running.post("insertOne", PLACE | {"document": {"text": "x" * 400_000}}, key)
        assert too_large.status_code == 413
        many = running.post("find", PLACE | {"filter": {"a": {"$in": [{"a": 1}] * 10_000}}}, key)
        assert many.status_code == 413


def test_all_is_read_again_or_nothing(mongodb_uri: str, tmp_path: Path, authority: trustme.CA) -> None:
    old = create_key(tmp_path, "old")
    issue(authority, tmp_path)
    with gateway(tmp_path, configured(mongodb_uri, tables=TLS)) as running:
        (tmp_path / "keys.toml").unlink()
        new = create_key(tmp_path, "new")
        (tmp_path / "tls.pem").write_text("no certificate", encoding="utf-8")
        running.reload("stays in use")
        assert running.post("findOne", PLACE, old).status_code == 200
        assert running.post("findOne", PLACE, new).status_code == 401


def test_who_takes_nothing_over_http_2_is_let_go(mongodb_uri: str, tmp_path: Path, pymongo_client: Any) -> None:
    key = create_key(tmp_path, "k")
    collection = pymongo_client["app"]["large"]
    collection.delete_many({})
    collection.insert_many([{"text": "x" * 100_000} for _ in range(50)])
    # Long enough that the refusal is seen before.
    limits = "[limits]\nstalled_seconds = 4\nrequests = 3"
    with gateway(tmp_path, configured(mongodb_uri, tables=limits)) as running:
        host, port = running.url.removeprefix("http://").split(":")
        connection = h2.connection.H2Connection(config=h2.config.H2Configuration(client_side=True))
        connection.initiate_connection()
        connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        body = json.dumps(PLACE | {"collection": "large"}).encode()
        with socket.create_connection((host, int(port)), 10) as wire:
            for stream in (1, 3, 5):
                headers = {":method": "POST", ":scheme": "http", ":authority": "x", ":path": "/action/find"}
                headers |= {"api-key": key, "content-type": "application/json"}
                connection.send_headers(stream, list(headers.items()))
                connection.send_data(stream, body, end_stream=True)
            wire.sendall(connection.data_to_send())
            until(lambda: metric(running, "requests_under_way") == 3)
            assert running.post("findOne", PLACE, key).status_code == 429
            # The connection is still open; what it held is not held any more.
            until(lambda: running.post("findOne", PLACE, key).status_code == 200)


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
def test_answers_are_what_is_liked_best(limited: tuple[Gateway, str], accept: str, ejson: bool) -> None:
    running, key = limited
    answer = running.post("findOne", PLACE, key, Accept=accept)
    assert answer.headers["content-type"] == ("application/ejson" if ejson else "application/json")


WRONG: dict[str, tuple[str, str]] = {
    "an unknown name": ("listne = 1", "unknown field `listne`"),
    "no toml": ("keys_file = \n", "line 2"),
    "no source": ('keys_file = "keys.toml"', "the configuration has no data source"),
    "nobody": ('[data_sources.a]\nuri = "mongodb://h/"', "lets nobody in"),
    "a wrong uri": (configured("mongodb://user:hunter2@h:x/"), "data_sources.Cluster0: the connection string"),
    "a secret of the wrong type": ('keys_file = "keys.toml"\nanswer = "hunter2"', "cannot be used (line 3)"),
    "no uri": ('keys_file = "keys.toml"\n[data_sources.a]', "data_sources.a: give one of uri, uri_env and uri_file"),
    "no variable": (
        'keys_file = "keys.toml"\n[data_sources.a]\nuri_env = "NOT_SET_AT_ALL"',
        "the variable NOT_SET_AT_ALL is not set",
    ),
    "a uri for a variable": (
        'keys_file = "keys.toml"\n[data_sources.a]\nuri_env = "mongodb://u:hunter2@h"',
        "uri_env must be the name of a variable",
    ),
    "a uri for a file": (
        'keys_file = "keys.toml"\n[data_sources.a]\nuri_file = "mongodb://u:hunter2@h"',
        "uri_file must be the path of a file",
    ),
    "a source that is a text": (
        'keys_file = "keys.toml"\ndata_sources.a = \'mongodb://u:x"hunter2"y@h\'',
        "cannot be used (line 3)",
    ),
    "too many requests": (
        configured("mongodb://h/", tables="[limits]\nrequests = 9000000000000000000"),
        "at most 1000000",
    ),
    "an origin with a path": (configured("mongodb://h/", tables='[cors]\norigins = ["https://a/"]'), "cors.origins"),
    "no file of a uri": ('keys_file = "keys.toml"\n[data_sources.a]\nuri_file = "none"', "none cannot be read"),
    "no keys": ('keys_file = "none.toml"\n[data_sources.a]\nuri = "mongodb://h/"', "none.toml cannot be read"),
    "no certificate": (configured("mongodb://h/", tables=TLS), "tls.certificate:"),
    "no authority": (
        configured("mongodb://h/", tables='[tls]\ncertificate = "ok.pem"\nkey = "ok.pem"\nclient_ca = "keys.toml"'),
        "tls.client_ca:",
    ),
    "another key": (
        configured("mongodb://h/", tables='[tls]\ncertificate = "ok.pem"\nkey = "other.pem"'),
        "tls.key:",
    ),
    "no limit": (
        configured("mongodb://h/", tables="[limits]\nconnections = 0"),
        "limits.connections must be at least 1",
    ),
    "no time": (configured("mongodb://h/", tables="[limits]\nrequest_seconds = -1"), "limits.request_seconds"),
    "no rate": (configured("mongodb://h/", tables="[limits]\nrequests_per_second = 0"), "requests_per_second"),
    "no origin": (configured("mongodb://h/", tables='[cors]\norigins = ["app"]'), "cors.origins"),
    "no key for tokens": (configured("mongodb://h/", tables="[jwt]"), "jwt: there is no key"),
    "a short secret": (configured("mongodb://h/", tables='[jwt]\nsecret_file = "short"'), "less than 32 bytes"),
    "no public key": (configured("mongodb://h/", tables='[jwt]\npublic_key_file = "short"'), "jwt.public_key_file"),
    "no key set": (configured("mongodb://h/", tables='[jwt]\njwks_file = "short"'), "jwt.jwks_file"),
    "an address": (configured("mongodb://h/").replace("keys_file", 'listen2 = "x"\nkeys_file'), "unknown field"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_configuration_is_said_in_a_line(name: str, tmp_path: Path, authority: trustme.CA) -> None:
    configuration, words = WRONG[name]
    create_key(tmp_path, "k")
    (tmp_path / "short").write_text("hunter2", encoding="utf-8")
    issue(authority, tmp_path, "ok")
    issue(authority, tmp_path, "other")
    path = tmp_path / "gateway.toml"
    path.write_text(f'listen = "127.0.0.1:0"\n{configuration}', encoding="utf-8")
    command = [sys.executable, "-m", "connect.eaas.mongodb.cli", "gateway", "--config", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2, ended.stderr
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert "hunter2" not in ended.stderr


def test_a_uri_may_be_in_a_variable_or_a_file(
    mongodb_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = create_key(tmp_path, "k")
    monkeypatch.setenv("THE_URI", mongodb_uri)
    (tmp_path / "uri").write_text(mongodb_uri + "\n", encoding="utf-8")
    sources = '[data_sources.a]\nuri_env = "THE_URI"\n[data_sources.b]\nuri_file = "uri"'
    with gateway(tmp_path, f'keys_file = "keys.toml"\nanswer = "application/ejson"\n{sources}') as running:
        for source in "ab":
            answer = running.post("insertOne", PLACE | {"dataSource": source, "document": {}}, key)
            assert answer.status_code == 201
            assert answer.headers["content-type"] == "application/ejson"
            assert "$oid" in answer.text
        plain = running.post("findOne", PLACE | {"dataSource": "a"}, key, Accept="application/json")
        assert "$oid" not in plain.text


def test_config_goes_without_other_options(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "connect.eaas.mongodb.cli", "gateway", "--config", str(tmp_path / "x")]
    ended = subprocess.run([*command, "--listen", "127.0.0.1:0"], capture_output=True, text=True, check=False)
    assert (ended.returncode, "cannot be combined with other options" in ended.stderr) == (2, True)
    ended = subprocess.run(command[:4], capture_output=True, text=True, check=False, env={"PATH": ""})
    assert (ended.returncode, "--config, or --mongodb-uri" in ended.stderr) == (2, True)


def test_the_log_is_json_throughout(limited: tuple[Gateway, str]) -> None:
    running, key = limited
    running.post("findOne", PLACE | {"collection": 'quote"and\\slash'}, key)
    running.logged(lambda line: line.get("collection") == 'quote"and\\slash')
    for line in running.server.output[1:]:
        json.loads(line)
