"""The gateway's limits under load: memory, and connections that send nothing."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import resource
import select
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from pymongo import MongoClient as PyMongoClient

from tests.gateways import Gateway, at_once, configured, create_key, gateway, raw_request, until

TARGET = {"dataSource": "Cluster0", "database": "app", "collection": "limits"}
MIB = 1024 * 1024


def resident(running: Gateway, name: str = "VmRSS") -> int:
    """Return the gateway's resident memory in bytes: `VmRSS` now, or `VmHWM` the highest so far."""
    status = Path(f"/proc/{running.server.process.pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(f"{name}:"))


@contextlib.contextmanager
def container(limit: int) -> Iterator[list[str]]:
    """Make a control group with so much memory; yield a command that runs its arguments there, if possible."""
    group = Path(f"/sys/fs/cgroup/memory/connect-mongodb-{os.getpid()}")
    try:
        group.mkdir()
    except OSError:
        yield []
        return
    try:
        (group / "memory.limit_in_bytes").write_text(str(limit), encoding="ascii")
        yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"]
    finally:
        group.rmdir()


@pytest.fixture(scope="module")
def loaded(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, str]]:
    """A gateway with default limits in a container of 512 MB, and a key for it."""
    folder = tmp_path_factory.mktemp("loaded")
    key = create_key(folder, "k")
    with container(512 * MIB) as launcher, gateway(folder, configured(mongodb_uri), launcher=launcher) as running:
        yield running, key


def post(running: Gateway, action: str, body: bytes, key: str) -> tuple[http.client.HTTPConnection, Any]:
    """Send a request, and return its connection and response, whose body is not read yet."""
    connection = http.client.HTTPConnection(*running.address, timeout=120)
    connection.request("POST", f"/action/{action}", body, {"Content-Type": "application/json", "api-key": key})
    return connection, connection.getresponse()


def test_a_container_of_512_mb_survives_large_requests(
    loaded: tuple[Gateway, str], pymongo_client: PyMongoClient[dict[str, Any]]
) -> None:
    running, key = loaded
    collection = pymongo_client["app"]["limits"]
    collection.drop()
    before = resident(running)
    large = json.dumps(TARGET | {"document": {"text": "x" * (12 * MIB)}}).encode()

    def insert(_number: int) -> int:
        connection, response = post(running, "insertOne", large, key)
        response.read()
        connection.close()
        return int(response.status)

    with ThreadPoolExecutor(36) as threads:
        inserted = Counter(threads.map(insert, range(36)))
    assert inserted.keys() <= {201, 429}, inserted
    assert inserted[201] >= 5, inserted
    assert collection.count_documents({}) == inserted[201]
    assert resident(running, "VmHWM") < 512 * MIB

    # Readers that stop in the middle of a response, until all have begun or are rejected.
    query = json.dumps(TARGET | {"limit": 4}).encode()
    begun = threading.Barrier(32)

    def find(number: int) -> int:
        connection, response = post(running, "find", query, key)
        response.read(MIB)
        begun.wait(60)
        if response.status == 200 and number % 4 == 0:
            length = MIB + sum(len(part) for part in iter(lambda: response.read(MIB), b""))
            assert length > 4 * 12 * MIB
        connection.close()
        return int(response.status)

    with ThreadPoolExecutor(32) as threads:
        found = Counter(threads.map(find, range(32)))
    assert found.keys() <= {200, 429}, found
    assert found[200] >= 5, found
    assert resident(running, "VmHWM") < 512 * MIB
    # Small requests are served meanwhile and afterwards, and the memory is returned.
    assert running.post("findOne", TARGET | {"projection": {"_id": 1}}, key).status_code == 200
    until(lambda: resident(running) < before + 48 * MIB)
    collection.drop()


def test_a_response_that_has_begun_waits_for_the_memory_of_its_next_batch(
    mongodb_uri: str, tmp_path: Path, pymongo_client: PyMongoClient[dict[str, Any]]
) -> None:
    # The first batch has 101 documents, and the second one the others.
    collection = pymongo_client["app"]["batches"]
    collection.drop()
    collection.insert_many([{"_id": number, "text": "x" * 8192} for number in range(1600)])
    key = create_key(tmp_path, "k")
    query = json.dumps(TARGET | {"collection": "batches"}).encode()
    with gateway(tmp_path, configured(mongodb_uri, tables="[limits]\nmemory_bytes = 33554432")) as running:

        def find() -> int:
            connection, response = post(running, "find", query, key)
            with contextlib.closing(connection):
                return len(json.loads(response.read())["documents"])

        assert at_once(*[find] * 16) == [1600] * 16


def test_numbers_that_are_larger_as_bson_are_counted(loaded: tuple[Gateway, str]) -> None:
    running, key = loaded
    # 8 MB of text, 55 MB as BSON, which MongoDB does not store.
    body = b'{"dataSource":"Cluster0","database":"app","collection":"limits","document":{"a":[' + b"1," * 4_000_000
    response = running.post("insertOne", body + b"1]}}", key)
    assert response.status_code == 413
    assert resident(running, "VmHWM") < 512 * MIB


def test_small_requests_are_served_while_large_ones_wait(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    with gateway(
        tmp_path, configured(mongodb_uri, tables="[limits]\nmemory_bytes = 8388608\nrequest_seconds = 2")
    ) as running:
        with socket.create_connection(running.address) as slow:
            # It announces a body for which all memory of large requests is reserved, and does not send it.
            slow.sendall(raw_request("insertOne", key, b"{", length=1_800_000))
            until(lambda: "requests_under_way 1" in running.get("/metrics").text)
            assert running.post("insertOne", TARGET | {"document": {"text": "small"}}, key).status_code == 201
            rejected = running.post("insertOne", TARGET | {"document": {"text": "x" * 1_000_000}}, key)
            assert (rejected.status_code, rejected.json()["error_code"]) == (429, "TooManyRequests")
            assert rejected.headers["retry-after"] == "1"
        # Its memory is free again.
        until(lambda: "requests_under_way 0" in running.get("/metrics").text)
        assert running.post("insertOne", TARGET | {"document": {"text": "x" * 1_000_000}}, key).status_code == 201


def test_the_memory_of_unread_responses_is_limited(
    mongodb_uri: str, tmp_path: Path, pymongo_client: PyMongoClient[dict[str, Any]]
) -> None:
    key = create_key(tmp_path, "k")
    collection = pymongo_client["app"]["limits"]
    collection.drop()
    collection.insert_one({"text": "x" * 15_000_000})
    limit = 64 * MIB
    with gateway(tmp_path, configured(mongodb_uri, tables=f"[limits]\nmemory_bytes = {limit}")) as running:
        before = resident(running)
        connections = [http.client.HTTPConnection(*running.address, timeout=30) for _ in range(8)]
        waiting = iter(connections)

        def send(connection: http.client.HTTPConnection) -> None:
            headers = {"Content-Type": "application/json", "api-key": key}
            connection.request("POST", "/action/findOne", json.dumps(TARGET), headers)

        def begins(connection: http.client.HTTPConnection) -> bool:
            return bool(select.select([connection.sock], [], [], 2)[0])

        def read(connection: http.client.HTTPConnection) -> tuple[int, int]:
            response = connection.getresponse()
            return response.status, len(response.read())

        try:
            # Responses that nobody reads, until there is no memory for another one.
            for connection in waiting:
                send(connection)
                if not begins(connection):
                    break
            others = list(waiting)
            assert others
            for connection in others:
                send(connection)
            # Who waits is answered when the others have read.
            answers = at_once(*(functools.partial(read, connection) for connection in connections))
            assert {status for status, _ in answers} == {200}
            assert min(length for _, length in answers) > 15_000_000
            assert resident(running, "VmHWM") - before < limit + 16 * MIB
        finally:
            for connection in connections:
                connection.close()
    collection.drop()


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process open thousands of sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 8192:
        pytest.skip("needs 8192 open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_connections_that_send_no_head_keep_nobody_out(mongodb_uri: str, tmp_path: Path, many_files: None) -> None:
    key = create_key(tmp_path, "k")
    more = 'admin_listen = "127.0.0.1:0"\n'
    with gateway(tmp_path, configured(mongodb_uri, more)) as running, running.client(key) as client:
        admin = running.server.wait_for_line("Health checks and metrics on ")
        assert client.post("findOne", json=TARGET).status_code == 200
        slow = []
        try:
            for _ in range(1100):
                slow.append(socket.create_connection(running.address, 10))
                slow[-1].sendall(b"POST /action/findOne HTTP/1.1\r\n")
            # A new connection, one that was open before, and the operator's.
            assert running.post("findOne", TARGET, key).status_code == 200
            assert client.post("findOne", json=TARGET).status_code == 200
            with Operator(admin) as get:
                assert get("/healthz") == 200
                assert get("/readyz") == 200
                assert get("/metrics") == 200
        finally:
            for connection in slow:
                connection.close()


class Operator:
    """Sends GET requests to `admin_listen`."""

    def __init__(self, url: str) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)

    def __enter__(self) -> Operator:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def __call__(self, path: str) -> int:
        self.connection.request("GET", path)
        response = self.connection.getresponse()
        response.read()
        return response.status


def counts(url: str, line: str) -> bool:
    """Whether the metrics have this line."""
    return f"connect_mongodb_gateway_{line}\n" in httpx.get(url).text


def begin(running: Gateway, key: str) -> socket.socket:
    """Send a part of a request."""
    connection = socket.create_connection(running.address, 10)
    connection.sendall(raw_request("insertOne", key, b"{", length=100))
    return connection


def test_an_address_has_a_limit_of_its_own(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    admin = 'admin_listen = "127.0.0.1:0"\n'
    limits = "[limits]\nconnections = 50\nconnections_per_peer = 2"
    with gateway(tmp_path, configured(mongodb_uri, admin, limits)) as running, contextlib.ExitStack() as stack:
        metrics = running.server.wait_for_line("Health checks and metrics on ") + "/metrics"
        # An idle connection makes room for the third one of the address.
        with running.client(key) as first, running.client(key) as second:
            for client in (first, second):
                assert client.post("findOne", json=TARGET).status_code == 200
            assert running.post("findOne", TARGET, key).status_code == 200
        # Two with requests in progress make none.
        for number in (1, 2):
            stack.enter_context(begin(running, key))
            until(functools.partial(counts, metrics, f"requests_under_way {number}"))
        assert refused(running)
        assert "connections_refused_total 1\n" in httpx.get(metrics).text
        stack.close()
        until(lambda: not refused(running))


def test_trusted_proxies_have_no_limit_of_connections(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "k")
    limits = "[limits]\nconnections = 50\nconnections_per_peer = 2"
    more = 'trusted_proxies = ["127.0.0.0/8"]'
    with gateway(tmp_path, configured(mongodb_uri, more, limits)) as running, contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(begin(running, key))
        until(lambda: "requests_under_way 5\n" in running.get("/metrics").text)


def refused(running: Gateway) -> bool:
    """Whether a new connection is closed without a response."""
    with socket.create_connection(running.address, 10) as connection:
        try:
            connection.sendall(b"GET /docs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return connection.recv(100) == b""
        except ConnectionError:
            return True


def test_more_connections_than_1024_are_possible(mongodb_uri: str, tmp_path: Path, many_files: None) -> None:
    create_key(tmp_path, "k")
    limits = "[limits]\nconnections = 3000\nconnections_per_peer = 3000"
    with gateway(tmp_path, configured(mongodb_uri, tables=limits)) as running:
        idle = []
        try:
            for _ in range(1500):
                connection = socket.create_connection(running.address, 10)
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                idle.append(connection)
            assert all(connection.recv(1000).startswith(b"HTTP/1.1 200") for connection in idle)
            assert "connections 15" in running.get("/metrics").text
        finally:
            for connection in idle:
                connection.close()


def test_the_limit_of_open_files_is_raised(mongodb_uri: str, tmp_path: Path) -> None:
    create_key(tmp_path, "k")
    launcher = ["sh", "-c", 'ulimit -Sn 300; exec "$@"', "sh"]
    limits = "[limits]\nconnections = 1000"
    with gateway(tmp_path, configured(mongodb_uri, tables=limits), launcher=launcher) as running:
        assert running.get("/healthz").status_code == 200
