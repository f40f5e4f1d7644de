"""The gateway behind Debian's nginx, with the configuration of deploy/nginx."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import trustme

from tests.gateways import Gateway, configured, create_key, gateway, trusting, until
from tests.servers import Server, free_port

EXAMPLE = Path(__file__).parents[1] / "deploy" / "nginx" / "connect-mongodb-gateway.conf"
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")

# What surrounds the example on Debian, in a folder of its own and without becoming another user.
MAIN = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_processes 2;
{user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/example.conf;
}}
"""


@dataclass
class Proxied:
    """A gateway, and nginx in front of it."""

    gateway: Gateway
    url: str
    key: str
    context: ssl.SSLContext
    errors: Path

    def client(self, *, http2: bool = False, address: str | None = None) -> httpx.Client:
        """Create a client of nginx, with an address of this machine."""
        limits = httpx.Limits(max_connections=16, max_keepalive_connections=16)
        headers = {"apiKey": self.key, "Content-Type": "application/json"}
        transport = httpx.HTTPTransport(verify=self.context, http2=http2, limits=limits, local_address=address)
        return httpx.Client(base_url=self.url, headers=headers, transport=transport, timeout=60)


@pytest.fixture(scope="module")
def proxied(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    if NGINX is None:
        pytest.skip("needs nginx (apt install nginx-light)")
    folder = tmp_path_factory.mktemp("nginx")
    key = create_key(folder, "k")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(folder / "tls.key")
    issued.cert_chain_pems[0].write_to_path(folder / "tls.crt")
    text = configured(mongodb_uri, 'trusted_proxies = ["127.0.0.1"]')
    with gateway(folder, text) as running:
        port = free_port()
        example = EXAMPLE.read_text(encoding="utf-8")
        for given, wanted in {
            "server 127.0.0.1:8080;": f"server {running.url.removeprefix('http://')};",
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "/etc/nginx/tls/": f"{folder}/",
        }.items():
            assert given in example
            example = example.replace(given, wanted)
        (folder / "example.conf").write_text(example, encoding="utf-8")
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user), encoding="utf-8")
        command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
        server = Server("nginx", command)
        url = f"https://127.0.0.1:{port}"
        proxied = Proxied(running, url, key, trusting(folder / "ca.pem"), folder / "error.log")
        try:
            until(lambda: responds(proxied))
            yield proxied
        finally:
            server.stop()


def responds(proxied: Proxied) -> bool:
    """Whether nginx responds."""
    try:
        with proxied.client() as client:
            return client.get("/docs").is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def target(names: tuple[str, str]) -> dict[str, str]:
    return {"dataSource": "Cluster0", "database": names[0], "collection": names[1]}


# Over HTTP/2, httpx survives neither several threads nor the end of a connection, after nginx's 1,000 requests.
@pytest.mark.parametrize(("count", "threads", "http2"), [(3000, 8, False), (400, 1, True)])
def test_thousands_of_requests_have_no_bad_gateway(
    proxied: Proxied, target: dict[str, str], count: int, threads: int, http2: bool
) -> None:
    """Over connections that stay open, on both sides of nginx."""
    path = "/app/data-abcde/endpoint/data/v1/action/"
    with proxied.client(http2=http2) as client, ThreadPoolExecutor(threads) as pool:

        def call(number: int) -> int:
            if number % 2:
                return client.post(f"{path}insertOne", json={**target, "document": {"_id": number}}).status_code
            return client.post(f"{path}findOne", json={**target, "filter": {"_id": number - 1}}).status_code

        statuses = Counter(pool.map(call, range(count)))
    assert statuses == {201: count // 2, 200: count // 2}
    connections = re.search(r"^connect_mongodb_gateway_connections (\d+)$", proxied.gateway.get("/metrics").text, re.M)
    assert connections is not None
    # nginx keeps some open, and opened no more than it had requests at once.
    assert 1 <= int(connections[1]) <= 32


def test_large_bodies_pass(proxied: Proxied, target: dict[str, str]) -> None:
    documents = [{"_id": number, "text": "x" * 10_000_000} for number in range(3)]
    with proxied.client() as client:
        assert client.post("/action/insertMany", json={**target, "documents": documents}).status_code == 201
        response = client.post("/action/find", json={**target, "filter": {}, "sort": {"_id": 1}})
        assert response.json() == {"documents": documents}
        # More than nginx and the gateway take.
        response = client.post("/action/insertOne", content=b" " * (64 * 2**20 + 1))
        assert response.status_code == 413


def test_errors_of_the_gateway_pass(proxied: Proxied, target: dict[str, str]) -> None:
    with proxied.client() as client:
        response = client.post("/action/find", json={**target, "filter": {}}, headers={"apiKey": "wrong"})
        assert (response.status_code, response.json()["error_code"]) == (401, "InvalidSession")
        assert response.headers["x-request-id"]
        response = client.post("/action/nothing", json=target)
        assert (response.status_code, response.json()["error_code"]) == (404, "NotFound")


def test_what_is_for_the_operator_does_not_pass(proxied: Proxied) -> None:
    with proxied.client() as client:
        assert [client.get(path).status_code for path in ("/metrics", "/healthz", "/readyz")] == [404] * 3


def test_log_has_the_client_and_the_id_of_the_request(proxied: Proxied, target: dict[str, str]) -> None:
    with proxied.client(address="127.0.0.9") as client:
        headers = {"X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1"}
        response = client.post("/action/find", json={**target, "filter": {}}, headers=headers)
    request = response.headers["x-request-id"]
    line = proxied.gateway.logged(lambda line: request in json.dumps(line))
    assert line["status"] == 200
    # What the client says of itself does not count.
    assert "127.0.0.9" in line["peer"]
    assert "192.0.2.1" not in json.dumps(line)


def test_changes_arrive_as_they_happen(proxied: Proxied, target: dict[str, str]) -> None:
    """Not when a buffer of nginx is full."""
    path = "/app/data-abcde/endpoint/data/v1/watch"
    with proxied.client() as client, proxied.client() as writer:
        writer.post("/action/insertOne", json={**target, "document": {"_id": 0}})
        with client.stream("GET", path, params=target, headers={"Accept": "text/event-stream"}) as response:
            assert response.status_code == 200
            lines = response.iter_lines()
            # The stream is open when its first line has arrived.
            assert next(lines).startswith("retry:")
            for number in (1, 2):
                writer.post("/action/insertOne", json={**target, "document": {"_id": number}})
                data = next(line for line in lines if line.startswith("data:"))
                assert json.loads(data.removeprefix("data:"))["fullDocument"]["_id"] == number


def test_nginx_logs_no_error(proxied: Proxied) -> None:
    """The last one: what nginx does not like of the gateway's responses."""
    errors = [line for line in proxied.errors.read_text().splitlines() if "too large body" not in line]
    assert [line for line in errors if "buffered to a temporary file" not in line] == []
