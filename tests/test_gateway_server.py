"""Where the gateway listens, who it believes, and how it works with a service manager."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from tests.gateways import (
    PAGE,
    certificate,
    configured,
    create_key,
    gateway,
    raw_request,
    refused_configuration,
    trusting,
    until,
)
from tests.servers import Quiet, serving

TARGET = {"dataSource": "Cluster0", "database": "app", "collection": "server"}


def test_health_checks_and_metrics_have_a_listener_of_their_own(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    with gateway(tmp_path, configured(mongodb_uri, 'admin_listen = "127.0.0.1:0"')) as running:
        admin = running.server.wait_for_line("Health checks and metrics on ")
        for path in ("/healthz", "/readyz", "/metrics"):
            assert httpx.get(f"{admin}{path}").status_code == 200
            absent = running.get(path)
            assert (absent.status_code, absent.json()["error_code"]) == (404, "NotFound")
        assert running.get("/openapi.json").status_code == 200
        assert running.post("findOne", TARGET, key).status_code == 200
        for path in ("/openapi.json", "/docs"):
            assert httpx.get(f"{admin}{path}").status_code == 404
        assert httpx.post(f"{admin}/action/findOne", json=TARGET, headers={"api-key": key}).status_code == 404


def unix_client(path: Path) -> httpx.Client:
    """Create a client that connects to a Unix socket."""
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://gateway", timeout=30)


def test_a_unix_socket_is_listened_on(mongodb_uri: str, tmp_path: Path) -> None:
    key, path = create_key(tmp_path, "k"), tmp_path / "gateway.sock"
    more = 'socket_mode = "0600"\nadmin_listen = "unix:admin.sock"\ntrusted_proxies = ["unix"]'
    # The socket of a process that was killed.
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with gateway(tmp_path, configured(mongodb_uri, more), listen="unix:gateway.sock") as running:
        assert running.url == f"unix:{path}"
        assert running.server.wait_for_line("Health checks and metrics on ") == f"unix:{tmp_path / 'admin.sock'}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with unix_client(path) as client, unix_client(tmp_path / "admin.sock") as admin:
            headers = {"api-key": key, "X-Request-Id": "plain"}
            assert client.post("/action/findOne", json=TARGET, headers=headers).status_code == 200
            assert running.logged(lambda line: line.get("request_id") == "plain")["peer"] == "unix"
            headers |= {"X-Request-Id": "named", "X-Forwarded-For": "203.0.113.9"}
            assert client.post("/action/findOne", json=TARGET, headers=headers).status_code == 200
            assert running.logged(lambda line: line.get("request_id") == "named")["peer"] == "203.0.113.9"
            assert admin.get("/healthz").status_code == 200
        # A second gateway does not take the socket over.
        (tmp_path / "second.toml").write_text((tmp_path / "gateway.toml").read_text(), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "connect.eaas.mongodb.cli",
            "gateway",
            "--config",
            str(tmp_path / "second.toml"),
        ]
        second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (second.returncode, "another process listens on the socket" in second.stderr) == (2, True)
        with unix_client(path) as client:
            assert client.get("/openapi.json").status_code == 200
    assert not path.exists()
    assert not (tmp_path / "admin.sock").exists()


def test_the_settings_of_the_documentation_work(mongodb_uri: str, tmp_path: Path) -> None:
    """Follows docs/gateway.md, with another folder and port."""
    settings = next(block for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "trusted_proxies" in block)
    listen, settings = settings.replace("/run/gateway/", "").replace(":9090", ":0").split("\n", 1)
    key = create_key(tmp_path, "k")
    with gateway(tmp_path, configured(mongodb_uri, settings), listen=listen.split('"')[1]) as running:
        with unix_client(tmp_path / "gateway.sock") as client:
            headers = {"api-key": key, "X-Request-Id": "mine", "X-Forwarded-For": "203.0.113.9, 10.1.2.3"}
            assert client.post("/action/findOne", json=TARGET, headers=headers).status_code == 200
        assert running.logged(lambda line: line.get("request_id") == "mine")["peer"] == "203.0.113.9"
        admin = running.server.wait_for_line("Health checks and metrics on ")
        assert httpx.get(f"{admin}/healthz").status_code == 200


def test_the_flag_accepts_a_unix_socket(mongodb_uri: str, tmp_path: Path) -> None:
    create_key(tmp_path, "k")
    path = tmp_path / "x.sock"
    command = [sys.executable, "-m", "connect.eaas.mongodb.cli", "gateway", "--mongodb-uri", mongodb_uri]
    command += ["--api-key-file", str(tmp_path / "keys.toml"), "--listen", f"unix:{path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == f"Listening on unix:{path}\n"
            with unix_client(path) as client:
                assert client.get("/healthz").status_code == 200
        finally:
            process.terminate()
    assert process.returncode == 0
    assert not path.exists()


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
def test_a_trusted_proxy_names_the_client(mongodb_uri: str, tmp_path: Path, header: str) -> None:
    key = create_key(tmp_path, "k")
    trusted = f'trusted_proxies = ["127.0.0.0/8", "10.0.0.0/8"]\nforwarded_header = "{header}"'
    other = "Forwarded" if header == "X-Forwarded-For" else "X-Forwarded-For"
    form = "for={}".format if header == "Forwarded" else str
    with gateway(tmp_path, configured(mongodb_uri, trusted)) as running:

        def peer(number: int, *addresses: str, **more: str) -> str:
            headers = {"X-Request-Id": f"id-{number}", header: ", ".join(map(form, addresses))} | more
            assert running.post("findOne", TARGET, key, **headers).status_code == 200
            return str(running.logged(lambda line: line.get("request_id") == f"id-{number}")["peer"])

        assert peer(1, "1.1.1.1", "203.0.113.9", "10.0.0.7") == "203.0.113.9"
        assert peer(2, '"[2001:db8::1]:80"' if header == "Forwarded" else "[2001:db8::1]:80") == "2001:db8::1"
        assert peer(3, "203.0.113.9", "hunter2") == "127.0.0.1"
        # The other header is what a client has sent.
        assert peer(4, "203.0.113.9", **{other: "for=198.51.100.1"}) == "203.0.113.9"
    with gateway(tmp_path, configured(mongodb_uri, 'trusted_proxies = ["10.0.0.0/8"]')) as running:
        assert peer(5, "203.0.113.9") == "127.0.0.1"


INVALID = {
    "a proxy by name": ('trusted_proxies = ["hunter2"]', "trusted_proxies must be addresses or networks"),
    "another header": ('forwarded_header = "hunter2"', "expected `X-Forwarded-For` or `Forwarded`"),
    "no path of a socket": ('admin_listen = "unix:"', "admin_listen: 'unix:' must be followed by a path"),
    "no port": ('admin_listen = "hunter2"', "admin_listen: the address must be host:port"),
    "a mode that is a number": ('socket_mode = "888"', "socket_mode must be octal digits"),
    "a share": ("access_log_sample = 1.5", "access_log_sample must be a number from 0 to 1"),
    "a time": ("access_log_slow_seconds = 0", "access_log_slow_seconds must be a number of seconds"),
    "a negative interval": ("reload_seconds = -1", "reload_seconds must be a number of seconds"),
    "too many connections": ("[limits]\nconnections = 2000000", "because of the process's limit of open files"),
    "no connections of an address": (
        "[limits]\nconnections_per_peer = 0",
        "limits.connections_per_peer must be at least 1",
    ),
    "no idle time": ("[limits]\nkeep_alive_seconds = 0", "limits.keep_alive_seconds must be a number of seconds"),
    "a socket that is a file": ('admin_listen = "unix:keys.toml"', "the path exists and is not a socket"),
    "a socket without a folder": ('admin_listen = "unix:none/x.sock"', "cannot listen on unix:"),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_settings_are_named(name: str, tmp_path: Path) -> None:
    setting, message = INVALID[name]
    create_key(tmp_path, "k")
    more, tables = ("", setting) if setting.startswith("[") else (setting, "")
    assert message in refused_configuration(tmp_path, configured("mongodb://h/", more, tables))


TLS = '[tls]\ncertificate = "secret/tls.crt"\nkey = "secret/tls.key"\n'


def test_changed_files_are_reloaded(mongodb_uri: str, tmp_path: Path) -> None:
    """As Kubernetes changes a secret: a link to a folder is replaced."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    secret = tmp_path / "secret"
    secret.mkdir()

    def publish(version: str, *, valid: bool = True) -> None:
        folder = secret / version
        folder.mkdir()
        leaf = authority.issue_cert("localhost", "127.0.0.1")
        leaf.private_key_pem.write_to_path(str(folder / "tls.key"))
        chain = b"".join(part.bytes() for part in leaf.cert_chain_pems) if valid else b"none"
        (folder / "tls.crt").write_bytes(chain)
        (secret / "..new").symlink_to(version)
        (secret / "..new").replace(secret / "..data")

    publish("1")
    for name in ("tls.crt", "tls.key"):
        (secret / name).symlink_to(f"..data/{name}")
    old = create_key(tmp_path, "old")
    with gateway(tmp_path, configured(mongodb_uri, "reload_seconds = 0.1", TLS)) as running:
        context = trusting(tmp_path / "ca.pem")
        first = certificate(running, context)
        publish("2")
        until(lambda: certificate(running, context) != first)
        second = certificate(running, context)
        running.logged(lambda line: line.get("message") == "files have changed: keys and certificates were reloaded")
        # A certificate that cannot be used changes nothing, and is logged once.
        publish("3", valid=False)
        running.logged(lambda line: "stay in use" in line.get("message", ""))
        new = create_key(tmp_path, "new")
        until(lambda: sum("stay in use" in line.get("message", "") for line in running.log()) == 2)
        assert certificate(running, context) == second
        assert running.post("findOne", TARGET, new).status_code == 401
        publish("4")
        until(lambda: running.post("findOne", TARGET, new).status_code == 200)
        assert running.post("findOne", TARGET, old).status_code == 200
        # A revoked key ends without a signal.
        (tmp_path / "keys.toml").unlink()
        create_key(tmp_path, "other")
        until(lambda: running.post("findOne", TARGET, old).status_code == 401)
        assert sum("stay in use" in line.get("message", "") for line in running.log()) == 2


def test_a_service_manager_is_told_about_the_state(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)

        def message(beginning: str) -> str:
            while not (received := manager.recv(1000).decode()).startswith(beginning):
                assert received == "WATCHDOG=1"
            return received

        launcher = ["env", f"NOTIFY_SOCKET={tmp_path / 'notify'}", "WATCHDOG_USEC=200000"]
        with gateway(tmp_path, configured(mongodb_uri), launcher=launcher) as running:
            assert message("READY=1") == f"READY=1\nSTATUS=Listening on {running.url}"
            assert message("WATCHDOG=1") == "WATCHDOG=1"
            before = time.monotonic_ns() // 1000
            running.signal(signal.SIGHUP)
            _, at = message("RELOADING=1").split("\nMONOTONIC_USEC=")
            assert before <= int(at) <= time.monotonic_ns() // 1000
            message("READY=1")
            assert running.post("findOne", TARGET, key).status_code == 200
            running.signal(signal.SIGTERM)
            message("STOPPING=1")
            assert running.server.process.wait(20) == 0


# Opens sockets as descriptors 3 and 4, as a service manager does, and becomes the gateway.
PASSING = """
import fcntl, os, socket, sys
names = sys.argv[1]
opened = [socket.create_server(("127.0.0.1", 0)) for _ in names.split(":")]
moved = [fcntl.fcntl(one.detach(), fcntl.F_DUPFD, 10) for one in opened]
for descriptor, one in enumerate(moved, 3):
    os.dup2(one, descriptor)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(names.split(":"))), "LISTEN_FDNAMES": names}
os.execvp(sys.argv[2], sys.argv[2:])
"""


def passing(names: str) -> list[str]:
    """Return a command that passes sockets with these names on to its arguments."""
    return [sys.executable, "-c", PASSING, names]


def test_sockets_can_be_passed_on(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    # Nothing can listen on this address, and nothing has to.
    with gateway(tmp_path, configured(mongodb_uri), listen="192.0.2.1:1", launcher=passing("admin:http")) as running:
        admin = running.server.wait_for_line("Health checks and metrics on ")
        assert running.post("findOne", TARGET, key).status_code == 200
        assert running.get("/healthz").status_code == 404
        assert httpx.get(f"{admin}/healthz").status_code == 200
    with gateway(
        tmp_path, configured(mongodb_uri), listen="192.0.2.1:1", launcher=passing("connect-mongodb.socket")
    ) as running:
        assert running.post("findOne", TARGET, key).status_code == 200
    # Those of another process are not used.
    other = ["env", "LISTEN_PID=1", "LISTEN_FDS=1"]
    with gateway(tmp_path, configured(mongodb_uri), launcher=other) as running:
        assert running.get("/healthz").status_code == 200


def test_sockets_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    create_key(tmp_path, "k")
    path = tmp_path / "gateway.toml"
    path.write_text(configured("mongodb://h/"), encoding="utf-8")
    command = [sys.executable, "-m", "connect.eaas.mongodb.cli", "gateway", "--config", str(path)]
    for names, message in (
        ("http:http", "there are two passed sockets 'http'"),
        ("http:other", "LISTEN_FDNAMES must name each socket 'http' or 'admin'"),
    ):
        ended = subprocess.run([*passing(names), *command], capture_output=True, text=True, timeout=30, check=False)
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
        assert message in ended.stderr
    for variables in (["LISTEN_FDS=1"], ["LISTEN_FDS=99999"]):
        shell = ["sh", "-c", 'export LISTEN_PID=$$ "$0"; exec "$@" 3</dev/null', *variables, *command]
        ended = subprocess.run(shell, capture_output=True, text=True, timeout=30, check=False)
        assert (ended.returncode, "the sockets of LISTEN_FDS cannot be used" in ended.stderr) == (2, True), ended.stderr


def test_a_share_of_the_successful_requests_is_logged(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    with (
        gateway(tmp_path, configured(mongodb_uri, "access_log_sample = 0.1")) as running,
        running.client(key) as client,
    ):
        for _ in range(100):
            assert client.post("findOne", json=TARGET).status_code == 200
        assert client.post("findOne", json=TARGET | {"filter": 5}).status_code == 400
        running.logged(lambda line: line.get("status") == 400)
        logged = [line for line in running.log() if line.get("status") == 200]
        assert 5 <= len(logged) <= 15
        assert {line["sample"] for line in logged} == {0.1}
        # A failure is always logged, without a share.
        assert "sample" not in running.logged(lambda line: line.get("status") == 400)


def test_slow_requests_are_always_logged(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    more = "access_log_sample = 0\naccess_log_slow_seconds = 0.000001"
    with gateway(tmp_path, configured(mongodb_uri, more)) as running:
        assert running.post("findOne", TARGET, key).status_code == 200
        assert "sample" not in running.logged(lambda line: line.get("status") == 200)


def test_the_log_does_not_repeat_a_failure_without_end(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    with gateway(tmp_path, configured(mongodb_uri)) as running:
        with running.client(key) as client:
            for _ in range(100):
                assert client.post("findOne", json={}).status_code == 400
        running.signal(signal.SIGTERM)
        assert running.server.process.wait(20) == 0
        running.server.stop()
        failed = [line for line in running.log() if "error_code" in line]
        # A window may have ended in between.
        listed = len([line for line in failed if "request_id" in line])
        assert listed <= 60
        left_out = sum(int(line["message"].split()[0]) for line in failed if "message" in line)
        assert left_out == 100 - listed
        last = [line for line in failed if "message" in line][-1]
        assert (last["level"], last["peer"], last["action"], last["status"]) == ("warning", "127.0.0.1", "findOne", 400)


class Collector:
    """A stand-in for an OpenTelemetry collector, which answers with the given statuses, the last one for ever."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.released = threading.Event()
        self.released.set()

    def spans(self) -> list[dict[str, Any]]:
        """Return the spans that were taken."""
        scoped = [scope for _, _, body in self.requests for scope in body["resourceSpans"][0]["scopeSpans"]]
        return [span for scope in scoped for span in scope["spans"]]


@contextlib.contextmanager
def collecting(*statuses: int) -> Iterator[tuple[Collector, str]]:
    """Run a collector, and yield it and its URL."""
    collector = Collector(*statuses)

    class Handler(Quiet, http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            collector.released.wait(30)
            status = collector.statuses.pop(0) if len(collector.statuses) > 1 else collector.statuses[0]
            if status == 200:
                collector.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    with serving(Handler) as port:
        try:
            yield collector, f"http://127.0.0.1:{port}"
        finally:
            collector.released.set()


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a span."""
    return {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}


def test_requests_are_spans_of_a_collector(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    settings = next(block for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "[otlp]" in block)
    trace = "0af7651916cd43dd8448eb211c80319c"
    with collecting(503, 200) as (collector, url):
        settings = settings.replace("http://127.0.0.1:4318", url).replace("…", "hunter2").replace("0.1", "1")
        with gateway(tmp_path, configured(mongodb_uri, tables=settings)) as running:
            headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "tracestate": "vendor=one"}
            found = running.post("findOne", TARGET | {"filter": {"secret": "hunter2"}}, key, **headers)
            assert found.status_code == 200
            assert running.post("findOne", TARGET, key, traceparent=f"00-{'a' * 32}-b7ad6b7169203331-00").is_success
            assert running.post("insertOne", TARGET | {"document": {}}, key).status_code == 201
            assert running.post("findOne", TARGET, "hunter2").status_code == 401
            # The first request to the collector failed, and its spans were sent again.
            until(lambda: len(collector.spans()) == 3)
        path, sent, body = collector.requests[0]
        assert (path, sent["content-type"], sent["x-collector-token"]) == ("/v1/traces", "application/json", "hunter2")
        resource = attributes(body["resourceSpans"][0]["resource"])
        assert resource["service.name"] == "data-api"
        child, own, refused = collector.spans()
        assert (child["traceId"], child["parentSpanId"], child["traceState"]) == (
            trace,
            "b7ad6b7169203331",
            "vendor=one",
        )
        assert child["spanId"] == found.headers["traceparent"].split("-")[2]
        assert (child["name"], child["kind"], child["status"]) == ("POST /action/findOne", 2, {})
        assert int(child["endTimeUnixNano"]) > int(child["startTimeUnixNano"])
        assert attributes(child) == {
            "http.request.method": "POST",
            "http.route": "/action/findOne",
            "http.response.status_code": "200",
            "http.request.body.size": str(len(found.request.content)),
            "http.response.body.size": str(len(found.content)),
            "client.address": "127.0.0.1",
            "db.system.name": "mongodb",
            "db.operation.name": "findOne",
            "db.namespace": "app",
            "db.collection.name": "server",
        }
        assert re.fullmatch("[0-9a-f]{32}", own["traceId"])
        assert "parentSpanId" not in own
        assert len({span["traceId"] for span in collector.spans()}) == 3
        assert attributes(refused)["error.type"] == "InvalidSession"
        assert "hunter2" not in json.dumps([body for _, _, body in collector.requests])


def test_a_collector_that_is_slow_delays_no_request(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    with collecting(200) as (collector, url):
        collector.released.clear()
        otlp = f'[otlp]\nendpoint = "{url}"'
        with gateway(tmp_path, configured(mongodb_uri, tables=otlp)) as running:
            # More than are queued and sent at once, one after the other over one connection.
            with socket.create_connection(running.address, 60) as connection:
                sending = threading.Thread(target=connection.sendall, args=(raw_request("findOne", key, b"{}") * 5000,))
                sending.start()
                answered = 0
                with connection.makefile("rb") as responses:
                    while answered < 5000:
                        # A line has the end of the response before.
                        answered += b"HTTP/1.1 400" in responses.readline()
                sending.join()
            until(lambda: "trace_spans_lost_total 0\n" not in running.get("/metrics").text)
            collector.released.set()
            until(collector.spans)


OTLP_INVALID = {
    "no URL": ('endpoint = "hunter2"', "otlp.endpoint must be the URL"),
    "a user": ('endpoint = "http://u:hunter2@h"', "otlp.endpoint must have neither a user nor a query"),
    "a header": ('endpoint = "http://h"\nheaders = { "a b" = "hunter2" }', "otlp.headers must have names"),
    "a share": ('endpoint = "http://h"\nsample = 2', "otlp.sample must be a number from 0 to 1"),
}


@pytest.mark.parametrize("name", OTLP_INVALID)
def test_invalid_settings_of_a_collector_are_named(name: str, tmp_path: Path) -> None:
    setting, message = OTLP_INVALID[name]
    create_key(tmp_path, "k")
    ended = refused_configuration(tmp_path, configured("mongodb://h/", tables=f"[otlp]\n{setting}"))
    assert message in ended
