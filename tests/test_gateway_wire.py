"""The gateway on the wire: malformed requests, and requests with ambiguous framing."""

from __future__ import annotations

import json
import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from click.testing import CliRunner
from connect.eaas.mongodb.cli.main import main
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import API_KEY
from tests.gateways import PAGE, gateway, trusting
from tests.servers import with_options

BODY = json.dumps({"dataSource": "a", "database": "wire", "collection": "c", "document": {"way": "front"}}).encode()
HIDDEN_BODY = BODY.replace(b"front", b"hidden")
HIDDEN = (
    b"POST /action/insertOne HTTP/1.1\r\nHost: x\r\napi-key: "
    + API_KEY.encode()
    + b"\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(HIDDEN_BODY), HIDDEN_BODY)
)
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


def exchange(url: str, request: bytes) -> bytes:
    """Send bytes, and return the response until the connection ends or pauses."""
    host, port = url.removeprefix("http://").split(":")
    response = b""
    with socket.create_connection((host, int(port)), 5) as connection:
        connection.sendall(request)
        connection.settimeout(0.7)
        try:
            while part := connection.recv(65536):
                response += part
        except (TimeoutError, ConnectionError):
            pass
    return response


def request(*headers: bytes, body: bytes = BODY, line: bytes = b"POST /action/insertOne HTTP/1.1") -> bytes:
    usual = [b"Host: x", b"api-key: " + API_KEY.encode(), b"Content-Type: application/json"]
    return b"\r\n".join([line, *usual, *headers, b"", body])


LENGTH = b"Content-Length: %d" % len(BODY)
SMUGGLING: dict[str, bytes] = {
    "two lengths": request(LENGTH, b"Content-Length: 0", body=BODY + HIDDEN),
    "two lengths in one header": request(b"Content-Length: %d, 0" % len(BODY), body=BODY + HIDDEN),
    "a length with a sign": request(b"Content-Length: +%d" % len(BODY), body=BODY + HIDDEN),
    "a negative length": request(b"Content-Length: -1", body=BODY + HIDDEN),
    "a length in hex": request(b"Content-Length: 0x10", body=BODY + HIDDEN),
    "a length with a space in its name": request(b"Content-Length : %d" % len(BODY), body=BODY + HIDDEN),
    "an unknown coding": request(LENGTH, b"Transfer-Encoding: xchunked", body=BODY + HIDDEN),
    "chunked twice": request(b"Transfer-Encoding: chunked, chunked", body=CHUNKED + HIDDEN),
    "chunked that is not last": request(b"Transfer-Encoding: chunked, identity", body=CHUNKED + HIDDEN),
    "a coding with a space in its name": request(b"Transfer-Encoding : chunked", body=CHUNKED + HIDDEN),
    "a folded header": request(LENGTH, b"X: a\r\n b", body=BODY + HIDDEN),
    "a header without a name": request(LENGTH, b": a", body=BODY + HIDDEN),
    "a bare carriage return in a header": request(LENGTH, b"X: a\rY: b", body=BODY + HIDDEN),
    "a null byte in a header": request(LENGTH, b"X: a\0b", body=BODY + HIDDEN),
    "a chunk without a length": request(b"Transfer-Encoding: chunked", body=b"x\r\n" + HIDDEN),
    "a chunk with a length that is too large": request(
        b"Transfer-Encoding: chunked", body=b"fffffffffffffffff\r\n" + HIDDEN
    ),
    "a chunk that is longer than its length": request(b"Transfer-Encoding: chunked", body=b"1\r\n" + BODY + HIDDEN),
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_ambiguous_framing_does_not_smuggle_a_request(gateway_url: str, pymongo_client: Any, name: str) -> None:
    collection = pymongo_client["wire"]["c"]
    collection.delete_many({})
    response = exchange(gateway_url, SMUGGLING[name])
    responses = response.count(b"HTTP/1.1 ")
    stored = [document["way"] for document in collection.find({})]
    # Either the request is rejected and the connection closes, or it ends where its headers say.
    if response.startswith(b"HTTP/1.1 400"):
        assert (responses, stored) == (1, [])
    else:
        assert stored in ([], ["front"]), response
        assert responses <= 1


def test_content_length_with_chunks_is_rejected_or_ignored(gateway_url: str, pymongo_client: Any) -> None:
    collection = pymongo_client["wire"]["c"]
    collection.delete_many({})
    headers = (b"Content-Length: 4", b"Transfer-Encoding: chunked")
    response = exchange(gateway_url, request(*headers, body=CHUNKED))
    stored = [document["way"] for document in collection.find({})]
    assert (response[:12], stored) in ((b"HTTP/1.1 400", []), (b"HTTP/1.1 201", ["front"]))


@pytest.mark.parametrize(
    "raw",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64,
        b"POST /action/insertOne HTTP/9.9\r\n\r\n",
        b"POST  /action/insertOne HTTP/1.1\r\nHost: x\r\n\r\n",
        request(LENGTH, b"X: " + b"a" * 40_000),
        request(LENGTH, *[b"X%d: a" % number for number in range(500)]),
        b"POST /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["garbage", "tls", "http/2", "a version", "two spaces", "a long header", "many headers", "a long path"],
)
def test_a_malformed_request_ends_only_its_connection(gateway_url: str, raw: bytes) -> None:
    response = exchange(gateway_url, raw)
    assert response == b"" or b" 4" in response[:13] or response.startswith(b"\0\0") or b"HTTP/1.1 505" in response[:13]
    assert httpx.get(f"{gateway_url}/healthz").status_code == 200


def test_an_incomplete_body_stores_nothing(gateway_url: str, pymongo_client: Any) -> None:
    collection = pymongo_client["wire"]["c"]
    collection.delete_many({})
    exchange(gateway_url, request(LENGTH, body=BODY[:-3]))
    exchange(gateway_url, request(b"Transfer-Encoding: chunked", body=b"%x\r\n%s" % (len(BODY), BODY)))
    assert collection.count_documents({}) == 0


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=40)), max_size=5))
def test_arbitrary_bytes_are_handled(client: httpx.Client, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    usual = [(b"api-key", API_KEY.encode()), (b"content-type", b"application/json")]
    sendable = re.compile(rb"[a-z0-9-]+")
    safe = [(name, value) for name, value in headers if sendable.fullmatch(name) and sendable.fullmatch(value)]
    response = client.post("/action/find", content=body, headers=[*usual, *safe])
    assert response.status_code in (200, 400, 415, 401)
    response.json()


@pytest.fixture(scope="module")
def client(gateway_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway_url, timeout=30) as client:
        yield client


@pytest.mark.parametrize("depth", [150, 199])
def test_a_body_can_be_nested_as_deep_as_mongodb_allows(client: httpx.Client, depth: int) -> None:
    response = client.post("/action/find", content=nested(depth - 5), headers={"api-key": API_KEY} | JSON)
    assert response.status_code in (200, 400)


@pytest.mark.parametrize("depth", [201, 5_000, 500_000])
def test_a_body_nested_deeper_is_rejected(client: httpx.Client, depth: int) -> None:
    response = client.post("/action/find", content=nested(depth), headers={"api-key": API_KEY} | JSON)
    assert response.status_code == 400
    assert "nested more than 200 levels" in response.json()["error"]


JSON = {"content-type": "application/json"}


def nested(depth: int) -> bytes:
    head = b'{"dataSource":"a","database":"wire","collection":"c","filter":'
    return head + b'{"a":' * depth + b"1" + b"}" * depth + b"}"


def test_the_steps_of_the_documentation_work(
    mongodb_uri: str, pymongo_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Follows docs/gateway.md, with another address and host."""
    commands, first_toml = (
        re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL),
        re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)[0],
    )
    monkeypatch.chdir(tmp_path)
    keys = []
    for line in commands[0].splitlines():
        result = CliRunner().invoke(main, shlex.split(line)[1:])
        assert result.exit_code == 0, result.output
        keys += [result.output.strip()] if " create " in line else []
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path("ca.pem")
    leaf.private_key_pem.write_to_path("tls.key")
    Path("tls.crt").write_bytes(b"".join(part.bytes() for part in leaf.cert_chain_pems))
    replica_set = pymongo_client.admin.command("hello")["setName"]
    monkeypatch.setenv("CLUSTER0_URI", with_options(mongodb_uri, replicaSet=replica_set))
    with gateway(tmp_path, first_toml.replace('listen = "0.0.0.0:8443"\n', "")) as running:
        # The request of the page.
        url, *_ = re.findall(r"https://\S+", commands[2])
        body = json.loads(re.findall(r"-d '(.*)'", commands[2])[0])
        path = url.removeprefix("https://gateway.example.com:8443")
        with httpx.Client(verify=trusting(tmp_path / "ca.pem"), base_url=running.url) as client:
            shop, reports = ({"apiKey": key, "Content-Type": "application/json"} for key in keys)
            assert client.post(path, json=body, headers=shop).status_code == 201
            assert client.post(path, json=body, headers=reports).status_code == 403
            query = {name: value for name, value in body.items() if name != "document"}
            found = client.post(path.replace("insertOne", "findOne"), json=query, headers=reports)
            assert found.json()["document"]["status"] == "open"
