"""MONGODB-OIDC and MONGODB-AWS, which SecantusDB does not have: a server that only logs in, and
writes down what it is sent. Both libraries send the same, where both can be tried."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socketserver
import struct
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import bson
import connect.eaas.mongodb as library
import pymongo
import pytest
from pymongo.auth_oidc import OIDCCallback, OIDCCallbackContext, OIDCCallbackResult
from pymongo.errors import ConfigurationError, OperationFailure

OK = {"ok": 1.0}
HELLO = {
    **OK,
    "isWritablePrimary": True,
    "helloOk": True,
    "maxBsonObjectSize": 16 * 1024 * 1024,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
    "minWireVersion": 0,
    "maxWireVersion": 25,
    "logicalSessionTimeoutMinutes": 30,
}
REFUSED = {"ok": 0.0, "errmsg": "Authentication failed.", "code": 18, "codeName": "AuthenticationFailed"}
Step = Callable[[bytes], tuple[bool, bytes] | None]


class Door:
    """A server that logs in by one mechanism: `steps` answer the client's payloads, in their order."""

    def __init__(self, mechanism: str, *steps: Step) -> None:
        self.mechanism = mechanism
        self.steps = steps
        self.payloads: list[bytes] = []
        self.pings = 0
        self.expired = False

    def answer(self, command: dict[str, Any], place: list[int]) -> dict[str, Any]:
        """What the server says to a command; `place` is how far a connection has come."""
        name = next(iter(command))
        if name.lower() in ("hello", "ismaster"):
            return HELLO
        if name in ("saslStart", "saslContinue"):
            assert name == "saslContinue" or command["mechanism"] == self.mechanism
            place[0] = place[0] if name == "saslContinue" else 0
            self.payloads.append(bytes(command["payload"]))
            step = self.steps[place[0]](self.payloads[-1])
            place[0] += 1
            if step is None:
                return REFUSED
            return {**OK, "conversationId": 1, "done": step[0], "payload": step[1]}
        if self.expired:
            self.expired = False
            return {"ok": 0.0, "errmsg": "the token is too old", "code": 391, "codeName": "ReauthenticationRequired"}
        self.pings += name == "ping"
        return OK


@contextlib.contextmanager
def standing(door: Door) -> Iterator[str]:
    """Serve it; its address."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            place = [0]
            while len(head := self.rfile.read(16)) == 16:
                length, request, _, kind = struct.unpack("<iiii", head)
                body = self.rfile.read(length - 16)
                if kind == 2004:  # OP_QUERY: an old hello.
                    end = body.index(b"\0", 4)
                    data = bson.encode(door.answer(bson.decode(body[end + 9 :]), place))
                    reply = struct.pack("<iqii", 8, 0, 0, 1) + data
                    self.wfile.write(struct.pack("<iiii", 16 + len(reply), 1, request, 1) + reply)
                else:
                    assert kind == 2013, kind
                    data = bson.encode(door.answer(bson.decode(body[5:]), place))
                    self.wfile.write(struct.pack("<iiiiIB", 21 + len(data), 1, request, 2013, 0, 0) + data)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


class Callback(OIDCCallback):
    """Gives tokens, one after the other, and keeps what it was asked with."""

    def __init__(self, *tokens: str, problem: Exception | None = None) -> None:
        self.tokens = list(tokens)
        self.problem = problem
        self.contexts: list[OIDCCallbackContext] = []

    def fetch(self, context: OIDCCallbackContext) -> OIDCCallbackResult:
        """A token."""
        self.contexts.append(context)
        if self.problem is not None:
            raise self.problem
        return OIDCCallbackResult(access_token=self.tokens.pop(0), expires_in_seconds=600)


def takes(*tokens: str) -> Door:
    """A door that these tokens open."""

    def check(payload: bytes) -> tuple[bool, bytes] | None:
        return (True, b"") if bson.decode(payload).get("jwt") in tokens else None

    return Door("MONGODB-OIDC", check)


def ping(module: Any, address: str, **options: Any) -> Any:
    """Log in, and see that one is in."""
    given = {"serverSelectionTimeoutMS": 3000, "authMechanism": "MONGODB-OIDC", **options}
    with module.MongoClient(f"mongodb://{address}/?directConnection=true", **given) as client:
        return client.admin.command("ping")


LIBRARIES = pytest.mark.parametrize("module", [pymongo, library], ids=["pymongo", "ours"])


@LIBRARIES
def test_a_callback_gets_the_token(module: Any) -> None:
    callback, door = Callback("secret-token"), takes("secret-token")
    with standing(door) as address:
        assert ping(module, address, username="me", authMechanismProperties={"OIDC_CALLBACK": callback})["ok"] == 1
    assert [bson.decode(payload) for payload in door.payloads] == [{"jwt": "secret-token"}]
    (context,) = callback.contexts
    assert (context.version, context.username, context.refresh_token) == (1, "me", None)
    assert 0 < context.timeout_seconds <= 60
    assert door.pings == 1


@LIBRARIES
def test_a_new_token_is_got_where_the_server_asks_for_one(module: Any) -> None:
    callback, door = Callback("first", "second"), takes("first", "second")
    with (
        standing(door) as address,
        module.MongoClient(
            f"mongodb://{address}/?directConnection=true&authMechanism=MONGODB-OIDC",
            authMechanismProperties={"OIDC_CALLBACK": callback},
        ) as client,
    ):
        client.admin.command("ping")
        door.expired = True
        assert client.admin.command("ping")["ok"] == 1
    assert [bson.decode(payload)["jwt"] for payload in door.payloads] == ["first", "second"]


@LIBRARIES
def test_a_wrong_token_is_refused(module: Any) -> None:
    callback = Callback(*["wrong-token"] * 20)
    properties = {"OIDC_CALLBACK": callback}
    with standing(takes("right")) as address, pytest.raises(OperationFailure) as raised:
        ping(module, address, authMechanismProperties=properties)
    assert raised.value.code == 18
    assert "wrong-token" not in str(raised.value)


def test_a_callback_that_fails_says_why() -> None:
    """PyMongo raises what the callback raised; here the calls of other tasks may wait for it too."""
    callback = Callback(problem=RuntimeError("no identity provider"))
    with (
        standing(takes("right")) as address,
        pytest.raises(OperationFailure, match="RuntimeError: no identity provider") as raised,
    ):
        ping(library, address, authMechanismProperties={"OIDC_CALLBACK": callback})
    assert raised.value.code == 18


@LIBRARIES
@pytest.mark.parametrize("file", ["AZURE_FEDERATED_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"])
def test_a_cluster_gives_its_token_as_a_file(
    module: Any, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("of-the-cluster", encoding="utf-8")
    monkeypatch.setenv(file, str(tmp_path / "token"))
    door = takes("of-the-cluster")
    with standing(door) as address:
        assert ping(module, address, authMechanismProperties={"ENVIRONMENT": "k8s"})["ok"] == 1
    assert door.pings == 1


AZURE = "http://169.254.169.254/metadata/identity/oauth2/token"
GCP = "http://metadata/computeMetadata/v1/instance/service-accounts/default/identity"
AZURE_TOKEN = json.dumps({"access_token": "of-the-machine", "expires_in": "3599", "token_type": "Bearer"})
CLOUDS: dict[str, tuple[str, dict[str, str], tuple[str, str], str]] = {
    "azure": (AZURE, {"api-version": "2018-02-01", "resource": "api://db"}, ("Metadata", "true"), AZURE_TOKEN),
    "gcp": (GCP, {"audience": "api://db"}, ("Metadata-Flavor", "Google"), "of-the-machine"),
}


@contextlib.contextmanager
def metadata_service(monkeypatch: pytest.MonkeyPatch, status: int, body: str) -> Iterator[list[tuple[str, Any]]]:
    """Answer all plain HTTP requests of this process, as its proxy; the URLs and the headers that it was sent."""
    requests: list[tuple[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append((self.path, self.headers))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            """Write nothing."""

    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # PyMongo's HTTP client reads the variables once.
    monkeypatch.setattr(urllib.request, "_opener", None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_address[1]}")
        try:
            yield requests
        finally:
            server.shutdown()


@LIBRARIES
@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_cloud_gives_the_token_of_its_machine(module: Any, cloud: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url, query, (header, value), body = CLOUDS[cloud]
    door = takes("of-the-machine")
    options: dict[str, Any] = {"authMechanismProperties": {"ENVIRONMENT": cloud, "TOKEN_RESOURCE": "api://db"}}
    if cloud == "azure":
        options["username"] = "a client"
        query = {**query, "client_id": "a client"}
    with metadata_service(monkeypatch, 200, body) as requests, standing(door) as address:
        assert ping(module, address, **options)["ok"] == 1
    ((sent, headers),) = requests
    assert sent.partition("?")[0] == url
    assert dict(parse_qsl(urlsplit(sent).query)) == query
    assert headers[header] == value
    assert door.pings == 1


FAULTS = {
    "azure, refused": ("azure", 400, '{"error":"invalid_request"}', "Azure's metadata service: it responded with 400"),
    "azure, no JSON": ("azure", 200, "of-the-machine", "response is not JSON with access_token and expires_in"),
    "gcp, refused": ("gcp", 404, "", "Google Cloud's metadata service: it responded with 404"),
    "gcp, empty": ("gcp", 200, "", "its token is empty"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_cloud_without_a_token_says_why(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud, status, body, message = FAULTS[name]
    properties = {"ENVIRONMENT": cloud, "TOKEN_RESOURCE": "api://db"}
    with (
        metadata_service(monkeypatch, status, body),
        standing(takes("of-the-machine")) as address,
        pytest.raises(OperationFailure, match=message) as raised,
    ):
        ping(library, address, authMechanismProperties=properties)
    assert raised.value.code == 18
    assert "of-the-machine" not in str(raised.value)


class Human(Callback):
    """A person who logs in at an identity provider."""


@LIBRARIES
def test_a_person_is_told_of_the_provider(module: Any) -> None:
    provider = {"issuer": "https://idp.example.com", "clientId": "app", "requestScopes": ["openid"]}
    callback = Human("of-a-person")

    def first(payload: bytes) -> tuple[bool, bytes] | None:
        return (False, bson.encode(provider)) if "n" in bson.decode(payload) or payload == bson.encode({}) else None

    def second(payload: bytes) -> tuple[bool, bytes] | None:
        return (True, b"") if bson.decode(payload) == {"jwt": "of-a-person"} else None

    door = Door("MONGODB-OIDC", first, second)
    with standing(door) as address:
        properties = {"OIDC_HUMAN_CALLBACK": callback, "ALLOWED_HOSTS": ["127.0.0.1"]}
        assert ping(module, address, authMechanismProperties=properties)["ok"] == 1
    (context,) = callback.contexts
    assert context.idp_info is not None
    assert vars(context.idp_info) == provider


@LIBRARIES
def test_a_persons_token_goes_to_allowed_hosts_only(module: Any) -> None:
    callback = Human("of-a-person")
    properties = {"OIDC_HUMAN_CALLBACK": callback, "ALLOWED_HOSTS": ["*.example.com"]}
    with standing(takes("of-a-person")) as address, pytest.raises((ConfigurationError, OperationFailure)):
        ping(module, address, authMechanismProperties=properties)
    assert callback.contexts == []


WRONG: dict[str, dict[str, Any]] = {
    "nothing to get a token with": {},
    "both": {"authMechanismProperties": {"OIDC_CALLBACK": Callback(), "ENVIRONMENT": "k8s"}},
    "two callbacks": {"authMechanismProperties": {"OIDC_CALLBACK": Callback(), "OIDC_HUMAN_CALLBACK": Human()}},
    "an unknown environment": {"authMechanismProperties": {"ENVIRONMENT": "moon"}},
    "azure without a resource": {"authMechanismProperties": {"ENVIRONMENT": "azure"}},
    "a password": {"username": "u", "password": "p", "authMechanismProperties": {"OIDC_CALLBACK": Callback()}},
    "hosts for a machine": {"authMechanismProperties": {"OIDC_CALLBACK": Callback(), "ALLOWED_HOSTS": ["h"]}},
}


@LIBRARIES
@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(module: Any, name: str) -> None:
    with pytest.raises(ConfigurationError):
        module.MongoClient("127.0.0.1:1", authMechanism="MONGODB-OIDC", **WRONG[name])


def test_an_extension_may_use_the_clusters_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("of-the-cluster", encoding="utf-8")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    config = {"DB": "db", "DRIVER_COLLECTION": "coll"}
    with standing(takes("of-the-cluster")) as address:
        uri = f"mongodb://{address}/?directConnection=true&authMechanism=MONGODB-OIDC"
        config["DB_HOST"] = f"{uri}&authMechanismProperties=ENVIRONMENT:k8s"
        client = library.MongoClient.from_config(config)
        assert client.admin.command("ping")["ok"] == 1
        client.close()
    with pytest.raises(ConfigurationError, match=r"DB_HOST.*set OIDC_CALLBACK or ENVIRONMENT"):
        library.MongoClient.from_config({**config, "DB_HOST": uri})


HOST = "sts.us-east-1.amazonaws.com"


def signs(session_token: str | None) -> Door:
    """A door for MONGODB-AWS, up to what only Amazon can check: the signature."""
    nonces: list[bytes] = []

    def first(payload: bytes) -> tuple[bool, bytes] | None:
        sent = bson.decode(payload)
        assert (len(sent["r"]), sent["p"]) == (32, ord("n"))
        nonces.append(sent["r"] + os.urandom(32))
        return False, bson.encode({"s": bson.Binary(nonces[-1]), "h": HOST})

    def second(payload: bytes) -> tuple[bool, bytes] | None:
        sent = bson.decode(payload)
        signed = sent["a"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") and "/us-east-1/sts/" in sent["a"]
        return (True, b"") if signed and sent.get("t") == session_token and len(sent["d"]) == 16 else None

    return Door("MONGODB-AWS", first, second)


@pytest.mark.parametrize("token", [None, "a-session/token=="])
def test_amazons_keys_sign(token: str | None) -> None:
    """PyMongo needs another package for it."""
    given: dict[str, Any] = {"authMechanismProperties": {"AWS_SESSION_TOKEN": token}} if token else {}
    door = signs(token)
    with standing(door) as address:
        options = {"authMechanism": "MONGODB-AWS", "username": "AKIDEXAMPLE", "password": "wJalrXUtnFEMI/K7MDENG"}
        assert ping(library, address, **options, **given)["ok"] == 1
    assert door.pings == 1
    assert b"wJalr" not in b"".join(door.payloads)


def test_amazons_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ACCESS_KEY_ID": "AKIDEXAMPLE", "SECRET_ACCESS_KEY": "s3cr3t", "SESSION_TOKEN": "tok"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with standing(signs("tok")) as address:
        assert ping(library, address, authMechanism="MONGODB-AWS")["ok"] == 1


def test_no_key_of_amazon_shows() -> None:
    door = Door("MONGODB-AWS", lambda _: None)
    options: dict[str, Any] = {"authMechanism": "MONGODB-AWS", "username": "AKIDEXAMPLE", "password": "wJalrXUtnFEMI"}
    options["authMechanismProperties"] = {"AWS_SESSION_TOKEN": "a-session-token"}
    with standing(door) as address, pytest.raises(OperationFailure) as raised:
        ping(library, address, **options)
    assert raised.value.code == 18
    assert not any(secret in str(raised.value) for secret in ("wJalrXUtnFEMI", "a-session-token"))
