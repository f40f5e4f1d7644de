"""Logins at the gateway: each door, with right and wrong credentials, and what happens to sessions afterwards."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import os
import re
import shlex
import signal
import string
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from click.testing import CliRunner
from connect.eaas.mongodb import _native
from connect.eaas.mongodb.cli.main import main
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.gateways import Gateway, at_once, busy, create_key, gateway, section, until
from tests.servers import Quiet, serving

SECRET = "a-secret-of-sixty-four-bytes-or-more-for-the-longest-of-algorithms-here"
PASSWORD, NEW_PASSWORD = "correct horse battery staple", "another horse"
ANN, BOB, EVE = "ann@example.com", "bob@example.com", "eve@example.com"
CARL, DORA = "carl@example.com", "dora@example.com"
CLIENT = "/api/client/v2.0"
PROVIDERS = ["local-userpass", "api-key", "anon-user", "custom-token"]


def run(*arguments: str, given: str | None = None) -> tuple[int, str]:
    """Run a command; return its status and output."""
    result = CliRunner().invoke(main, list(arguments), input=given)
    return result.exit_code, result.output


def private(path: Path, text: str) -> Path:
    """Write a file that only its owner can read."""
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path


def add_user(folder: Path, name: str, *places: str, rights: str = "read,write", password: str = PASSWORD) -> None:
    path = folder / "keys.toml"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    data = [("team", "north")]
    private(path, _native.add_user(text, name, password, rights=rights.split(","), places=places or ["*"], data=data))


def disable(folder: Path, name: str) -> None:
    path = folder / "keys.toml"
    head, _, tail = path.read_text(encoding="utf-8").partition(f'name = "{name}"\n')
    path.write_text(f'{head}name = "{name}"\ndisabled = true\n{tail}', encoding="utf-8")


def target(collection: str = "events", database: str = "app") -> dict[str, Any]:
    return {"dataSource": "Cluster0", "database": database, "collection": collection}


def custom_token(secret: str = SECRET, **more: Any) -> str:
    permissions = [{"database": "app", "allow": ["read"]}]
    claims = {"sub": "service", "exp": int(time.time()) + 600, "permissions": permissions, "team": "south"}
    return jwt.encode(claims | more, secret, "HS256")


LOGINS = """
[jwt]
secret_file = "secret"
[logins]
providers = ["local-userpass", "api-key", "anon-user", "custom-token"]
key_file = "gateway-key.toml"
anonymous = [{ database = "app", collection = "public", allow = ["read"] }]
"""


def configured(uri: str, logins: str = LOGINS, limits: str = "failed_logins_per_minute = 100000") -> str:
    tables = f'[limits]\n{limits}\n[data_sources.Cluster0]\nuri = "{uri}"\n{logins}'
    return f'reload_seconds = 0\nkeys_file = "keys.toml"\n{tables}'


class Door:
    """A gateway with logins, and the key of a caller."""

    def __init__(self, running: Gateway, key: str) -> None:
        self.running = running
        self.key = key

    def send(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.request(method, f"{self.running.url}{path}", content=content, timeout=30, **options)

    def log_in(self, provider: str, body: Any = None, app: str = "myapp-abcde") -> httpx.Response:
        # Without Content-Type, as in the examples of Atlas.
        return self.send("POST", f"{CLIENT}/app/{app}/auth/providers/{provider}/login", body)

    def credentials(self, provider: str) -> dict[str, str]:
        return {
            "local-userpass": {"username": ANN, "password": PASSWORD},
            "api-key": {"key": self.key},
            "anon-user": {},
            "custom-token": {"token": custom_token()},
        }[provider]

    def tokens(self, provider: str = "local-userpass") -> dict[str, str]:
        response = self.log_in(provider, self.credentials(provider))
        assert response.status_code == 200, response.text
        tokens: dict[str, str] = response.json()
        return tokens

    def session(self, method: str, token: str, path: str = "/auth/session") -> httpx.Response:
        return self.send(method, f"{CLIENT}{path}", headers={"Authorization": f"Bearer {token}"})

    def find(self, action: str = "findOne", collection: str = "events", **headers: str) -> int:
        return self.running.post(action, target(collection), **headers).status_code

    def bearer(self, token: str, **where: str) -> int:
        return self.find(Authorization=f"Bearer {token}", **where)

    def hashes(self) -> int:
        text = self.running.get("/metrics").text
        return int(re.findall(r"^connect_mongodb_gateway_password_hashes_total (\d+)", text, re.MULTILINE)[0])


@pytest.fixture(scope="module")
def door(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A gateway with all providers, which stores sessions."""
    folder = tmp_path_factory.mktemp("logins")
    key = create_key(folder, "shop", "*/app")
    add_user(folder, ANN, "*/app/events")
    add_user(folder, BOB, rights="read")
    add_user(folder, EVE)
    disable(folder, EVE)
    for name, team in ((CARL, "north"), (DORA, "south")):
        rule = '{"$or": [{"owner": "%%user.id"}, {"team": "%%user.custom_data.team"}, {"kind": "%%user.type"}]}'
        arguments = ["user", "add", "--file", str(folder / "keys.toml"), "--name", name, "--data", f"team={team}"]
        arguments += ["--allow", "read", "--on", "*/app/owned", "--filter", rule]
        assert run(*arguments, given=PASSWORD) == (0, "")
    private(folder / "secret", SECRET)
    assert run("gateway-key", "create", "--file", str(folder / "gateway-key.toml"))[0] == 0
    more = 'tries_per_minute = 100000\npublic_url = "https://gateway.example.com"\n'
    more += 'sessions = { data_source = "Cluster0", database = "tests_logins" }\n'
    with gateway(folder, configured(mongodb_uri, LOGINS + more)) as running:
        yield Door(running, key)


@pytest.fixture(scope="module")
def strict(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A gateway with low limits, which stores no sessions."""
    folder = tmp_path_factory.mktemp("strict")
    key = create_key(folder, "shop")
    add_user(folder, ANN)
    add_user(folder, BOB)
    private(folder / "secret", SECRET)
    assert run("gateway-key", "create", "--file", str(folder / "gateway-key.toml"))[0] == 0
    logins = '[logins]\nproviders = ["local-userpass"]\nkey_file = "gateway-key.toml"\ntries_per_minute = 1\n'
    limits = "failed_logins_per_minute = 10"
    with gateway(folder, configured(mongodb_uri, logins, limits)) as running:
        yield Door(running, key)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_provider_gives_an_access_token_and_a_refresh_token(door: Door, provider: str) -> None:
    response = door.log_in(provider, door.credentials(provider))
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    tokens = response.json()
    assert sorted(tokens) == ["access_token", "device_id", "refresh_token", "user_id"]
    lifetimes = [
        claims["exp"] - claims["iat"]
        for claims in (jwt.decode(tokens[name], options={"verify_signature": False}) for name in sorted(tokens)[::2])
    ]
    assert lifetimes == [30 * 60, 60 * 24 * 3600]
    collection = "public" if provider == "anon-user" else "events"
    assert door.bearer(tokens["access_token"], collection=collection) == 200
    profile = door.session("GET", tokens["access_token"], "/auth/profile").json()
    assert profile["user_id"] == tokens["user_id"]
    assert profile["identities"] == [{"id": tokens["user_id"], "provider_type": provider}]
    again = door.session("POST", tokens["refresh_token"])
    assert again.status_code == 201
    assert door.bearer(again.json()["access_token"], collection=collection) == 200
    assert door.session("DELETE", tokens["refresh_token"]).status_code == 204
    assert door.session("POST", tokens["refresh_token"]).status_code == 401


def test_sessions_have_the_permissions_of_their_users(door: Door) -> None:
    ann, anonymous = door.tokens()["access_token"], door.tokens("anon-user")["access_token"]
    service = door.tokens("custom-token")["access_token"]
    assert [door.bearer(ann, collection=name) for name in ("events", "public")] == [200, 403]
    assert [door.bearer(anonymous, collection=name) for name in ("public", "events")] == [200, 403]
    insert = target() | {"document": {}}
    for token, status in ((ann, 201), (service, 403), (anonymous, 403)):
        sent = door.running.post("insertOne", insert, Authorization=f"Bearer {token}")
        assert sent.status_code == status


def test_rules_refer_to_the_user_who_has_logged_in(door: Door, pymongo_client: Any) -> None:
    sessions = {
        name: door.log_in("local-userpass", {"username": name, "password": PASSWORD}).json() for name in (CARL, DORA)
    }
    documents: list[dict[str, Any]] = [
        {"_id": f"{name}'s", "owner": session["user_id"]} for name, session in sessions.items()
    ]
    documents += [{"_id": "north", "team": "north"}, {"_id": "south", "team": "south"}]
    documents += [{"_id": "by password", "kind": "local-userpass"}, {"_id": "by key", "kind": "api-key"}]
    collection = pymongo_client["app"]["owned"]
    collection.delete_many({})
    collection.insert_many(documents)
    for name, team in ((CARL, "north"), (DORA, "south")):
        for headers in (
            {"Authorization": f"Bearer {sessions[name]['access_token']}"},
            {"email": name, "password": PASSWORD},
        ):
            found = door.running.post("find", target("owned"), **headers).json()["documents"]
            assert {document["_id"] for document in found} == {f"{name}'s", team, "by password"}


def test_a_profile_has_the_data_of_the_key_file(door: Door) -> None:
    tokens = door.tokens()
    profile = door.session("GET", tokens["access_token"], "/auth/profile").json()
    assert (profile["data"], profile["custom_data"]) == ({"email": ANN}, {"team": "north"})
    assert re.fullmatch("[0-9a-f]{24}", tokens["user_id"])


def test_clients_that_ask_find_the_gateway(door: Door) -> None:
    found = door.send("GET", f"{CLIENT}/app/myapp-abcde/location").json()
    assert (found["hostname"], found["ws_hostname"]) == ("https://gateway.example.com", "wss://gateway.example.com")


def test_no_permission_opens_the_collection_of_sessions(door: Door, pymongo_client: Any) -> None:
    tokens = door.tokens()
    stored = pymongo_client["tests_logins"]["connect_mongodb_sessions"]
    assert stored.count_documents({"user": tokens["user_id"]}) > 0
    assert stored.index_information()["expires"]["expireAfterSeconds"] == 0
    name = "connect_mongodb_sessions"
    lookup, graph = ({"from": name, "as": "found"} for _ in range(2))
    lookup |= {"localField": "a", "foreignField": "b"}
    graph |= {"startWith": "$a", "connectFromField": "a", "connectToField": "b"}
    stages = [{"$unionWith": {"coll": name, "pipeline": []}}, {"$lookup": lookup}, {"$graphLookup": graph}]
    bodies = [(action, target(name, "tests_logins")) for action in ("find", "aggregate")]
    bodies[1][1]["pipeline"] = []
    bodies += [("aggregate", target("x", "tests_logins") | {"pipeline": [stage]}) for stage in stages]
    for action, body in bodies:
        response = door.running.post(action, body, email=BOB, password=PASSWORD)
        assert (response.status_code, response.json()["error_code"]) == (403, "OperationNotAllowed"), body
        assert name in response.json()["error"]
        other = json.loads(json.dumps(body).replace(name, "other"))
        assert door.running.post(action, other, email=BOB, password=PASSWORD).status_code == 200, body


def test_each_credential_header_authenticates(door: Door) -> None:
    assert door.find(email=ANN, password=PASSWORD) == 200
    assert door.find(jwtTokenString=custom_token()) == 200
    assert door.find(apiKey=door.key) == 200
    for headers in (
        {"email": ANN, "password": "wrong"},
        {"email": "nobody", "password": PASSWORD},
        {"email": EVE, "password": PASSWORD},
        {"jwtTokenString": custom_token("x" * 64)},
        {"jwtTokenString": door.tokens()["access_token"]},
        {"jwtTokenString": ""},
    ):
        refused = door.running.post("findOne", target(), **headers)
        assert (refused.status_code, refused.json()["error_code"]) == (401, "InvalidSession"), headers
        assert refused.json()["error"] == "invalid session: error finding user for endpoint"
    for headers, name in (({"email": ANN}, "password"), ({"password": PASSWORD}, "email")):
        refused = door.running.post("findOne", target(), **headers)
        assert (refused.status_code, refused.json()["error"]) == (400, f"the header '{name}' is missing")


def test_a_bearer_token_precedes_the_other_headers(door: Door) -> None:
    """The order of Atlas; among the other headers, of which Atlas documents no order: key, password, custom token."""
    bearer = f"Bearer {door.tokens()['access_token']}"
    key, token = {"apiKey": door.key}, {"jwtTokenString": custom_token()}
    password = {"email": ANN, "password": PASSWORD}
    wrong = [{"apiKey": "wrong"}, {"email": ANN, "password": "wrong"}, {"jwtTokenString": "wrong"}]
    for others in wrong:
        assert door.find(Authorization=bearer, **others) == 200
    for others in (key, password, token):
        assert door.find(Authorization="Bearer wrong", **others) == 401
        assert door.find(Authorization="Bearer", **others) == 401
        # Another scheme is not for the gateway.
        assert door.find(Authorization="Basic d3Jvbmc6d3Jvbmc=", **others) == 200
    assert door.find(Authorization="Basic d3Jvbmc6d3Jvbmc=") == 401
    assert door.find(**key, **wrong[1], **wrong[2]) == 200
    assert door.find(**wrong[0], **password, **token) == 401
    assert door.find(**password, **wrong[2]) == 200
    assert door.find(**wrong[1], **token) == 401


def test_a_repeated_credential_header_is_rejected(door: Door) -> None:
    url = f"{door.running.url}/action/findOne"
    bearer = f"Bearer {custom_token()}"
    for name, value in (("apiKey", door.key), ("api-key", door.key), ("Authorization", bearer)):
        response = httpx.post(url, content=json.dumps(target()), headers=[(name, value), (name, value)])
        assert response.status_code == 400, name
        assert "must be given once" in response.json()["error"]
    for name, value in (("email", ANN), ("password", PASSWORD), ("jwtTokenString", custom_token())):
        headers = [("Content-Type", "application/json"), ("email", ANN), ("password", PASSWORD)]
        headers = [header for header in headers if header[0] != name] + [(name, value), (name, value)]
        response = httpx.post(url, content=json.dumps(target()), headers=headers if "j" not in name else headers[-2:])
        assert response.status_code == 400, name
        assert "must be given once" in response.json()["error"]


def segment(part: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def signing_keys(path: Path) -> list[dict[str, str]]:
    text = path.read_text(encoding="utf-8")
    return [dict(re.findall(r'^(\w+) = "?([^"\n]*)', entry, re.MULTILINE)) for entry in text.split("[[key]]")[1:]]


def signing_key(folder: Path) -> dict[str, str]:
    return signing_keys(folder / "gateway-key.toml")[0]


def forged(door: Door, kind: str) -> str:
    """Create an access token that a gateway must reject."""
    good = door.tokens()
    head, body, signature = good["access_token"].split(".")
    claims = jwt.decode(good["access_token"], options={"verify_signature": False})
    key = signing_key(door.running.folder)
    secret, kid = base64.b64decode(key["secret"]), {"kid": key["id"]}
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = int(time.time())

    def signed(changes: dict[str, Any], secret: Any = secret, algorithm: str = "HS256", **headers: str) -> str:
        changed = {name: value for name, value in (claims | changes).items() if value is not None}
        return jwt.encode(changed, secret, algorithm, headers=kid | headers)

    forgeries = {
        "a refresh token": lambda: good["refresh_token"],
        "unsigned": lambda: f"{segment({'alg': 'none', **kid})}.{body}.",
        "unsigned with a signature": lambda: f"{segment({'alg': 'none', **kid})}.{body}.{signature}",
        "with the signature of another": lambda: f"{head}.{segment(claims | {'sub': '0' * 24})}.{signature}",
        "truncated": lambda: good["access_token"][:-3],
        "with RS256": lambda: signed({}, rsa_key, "RS256"),
        "with ES256": lambda: signed({}, ec.generate_private_key(ec.SECP256R1()), "ES256"),
        "with HS512": lambda: signed({}, secret * 2, "HS512"),
        "with the secret of [jwt]": lambda: signed({}, SECRET),
        "with the key's id as the secret": lambda: signed({}, key["id"].ljust(32)),
        "with another key's id": lambda: signed({}, kid="gateway-of-another"),
        "for the secret of [jwt], without an id": lambda: jwt.encode(claims, secret, "HS256"),
        "expired": lambda: signed({"exp": now - 60}),
        "without an expiry": lambda: signed({"exp": None}),
        "with an expiry that is text": lambda: signed({"exp": str(now + 60)}),
        "of another issuer": lambda: signed({"iss": "https://evil.example.com"}),
        "of several issuers": lambda: signed({"iss": None, "issuer": claims["iss"]}),
        "without a use": lambda: signed({"typ": None}),
        "with another use": lambda: signed({"typ": "ACCESS"}),
        "with two uses": lambda: signed({"typ": ["access", "refresh"]}),
        "of an unknown user": lambda: signed({"sub": "0" * 24}),
        "of the name of a user": lambda: signed({"sub": ANN}),
        "without the password's version": lambda: signed({"ver": None}),
        "of another password": lambda: signed({"ver": "AAAAAAAAAAAA"}),
        "of an unknown provider": lambda: signed({"provider": "oauth2-google"}),
        "of a key that does not exist": lambda: signed({"provider": "api-key"}),
        "of a custom token without claims": lambda: signed({"provider": "custom-token"}),
        "with a critical extension": lambda: jwt.encode(
            claims, secret, "HS256", headers=kid | {"crit": ["b64x"], "b64x": True}
        ),
        "a custom token with the key's id": lambda: jwt.encode(
            {"sub": "s", "exp": now + 60, "permissions": [{"allow": ["read"]}]}, SECRET, "HS256", headers=kid
        ),
    }
    return forgeries[kind]()


FORGERIES = [
    "a refresh token",
    "unsigned",
    "unsigned with a signature",
    "with the signature of another",
    "truncated",
    "with RS256",
    "with ES256",
    "with HS512",
    "with the secret of [jwt]",
    "with the key's id as the secret",
    "with another key's id",
    "for the secret of [jwt], without an id",
    "expired",
    "without an expiry",
    "with an expiry that is text",
    "of another issuer",
    "of several issuers",
    "without a use",
    "with another use",
    "with two uses",
    "of an unknown user",
    "of the name of a user",
    "without the password's version",
    "of another password",
    "of an unknown provider",
    "of a key that does not exist",
    "of a custom token without claims",
    "with a critical extension",
    "a custom token with the key's id",
]


@pytest.mark.parametrize("kind", FORGERIES)
def test_a_token_that_the_gateway_did_not_issue_for_this_use_is_rejected(door: Door, kind: str) -> None:
    token = forged(door, kind)
    assert door.bearer(token) == 401
    assert door.session("GET", token, "/auth/profile").status_code == 401
    if kind != "a refresh token":
        assert door.session("POST", token).status_code == 401
        assert door.session("DELETE", token).status_code == 401


def test_an_access_token_is_no_refresh_token(door: Door) -> None:
    token = door.tokens()["access_token"]
    for method in ("POST", "DELETE"):
        response = door.session(method, token)
        assert (response.status_code, response.json()["error_code"]) == (401, "InvalidSession")
    assert door.bearer(token) == 200


def test_sessions_need_a_token(door: Door) -> None:
    for method, path in (("POST", "/auth/session"), ("DELETE", "/auth/session"), ("GET", "/auth/profile")):
        response = door.send(method, f"{CLIENT}{path}")
        assert (response.status_code, response.json()["error_code"]) == (400, "InvalidParameter")
        for wrong in ("", "Bearer", "Basic YTpi", f"Token {door.tokens()['refresh_token']}"):
            response = door.send(method, f"{CLIENT}{path}", headers={"Authorization": wrong})
            assert response.status_code in (400, 401), wrong


BAD_BODIES: list[tuple[str, Any, int]] = [
    ("local-userpass", None, 400),
    ("local-userpass", {}, 400),
    ("local-userpass", {"username": ANN}, 400),
    ("local-userpass", {"password": PASSWORD}, 400),
    ("local-userpass", {"username": None, "password": PASSWORD}, 400),
    ("local-userpass", {"username": [ANN], "password": PASSWORD}, 400),
    ("local-userpass", {"username": {"$ne": ""}, "password": {"$ne": ""}}, 400),
    ("local-userpass", {"username": ANN, "password": 12345678}, 400),
    ("local-userpass", {"username": ANN, "password": {"$oid": "0" * 24}}, 400),
    ("local-userpass", {"username": ANN, "password": PASSWORD, "admin": True}, 400),
    ("local-userpass", b'{"username": "ann@example.com", "password": "a", "password": "b"}', 400),
    ("local-userpass", b'{"username": "ann@example.com", "username": "bob@example.com", "password": "a"}', 400),
    ("local-userpass", b"username=ann&password=b", 400),
    ("local-userpass", b"[]", 400),
    ("local-userpass", b"null", 400),
    ("local-userpass", b'"text"', 400),
    ("local-userpass", b"\xff\xfe", 400),
    ("local-userpass", b'{"username": "ann@example.com", "password": "', 400),
    ("local-userpass", b'{"options": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}", 400),
    ("local-userpass", {"username": "x" * 40_000, "password": PASSWORD}, 413),
    ("local-userpass", {"username": "", "password": ""}, 401),
    ("local-userpass", {"username": "a\u0000b", "password": PASSWORD}, 401),
    ("local-userpass", {"username": ANN, "password": PASSWORD + "\u0000"}, 401),
    ("local-userpass", {"username": ANN, "password": "p" * 20_000}, 401),
    ("local-userpass", {"username": ANN.upper(), "password": PASSWORD}, 401),
    ("api-key", {}, 400),
    ("api-key", {"key": 5}, 400),
    ("api-key", {"key": ["a", "b"]}, 400),
    ("api-key", {"key": "x", "username": ANN}, 400),
    ("api-key", {"key": ""}, 401),
    ("api-key", {"key": "wrong"}, 401),
    ("anon-user", {"key": "x"}, 400),
    ("anon-user", b"nonsense", 400),
    ("custom-token", {"token": None}, 400),
    ("custom-token", {"token": ""}, 401),
    ("custom-token", {"token": "a.b.c"}, 401),
    ("custom-token", {"token": "x" * 30_000}, 401),
]


@pytest.mark.parametrize(("provider", "body", "status"), BAD_BODIES)
def test_bad_logins_get_a_clear_error(door: Door, provider: str, body: Any, status: int) -> None:
    response = door.log_in(provider, body)
    assert response.status_code == status, response.text
    error = response.json()
    assert sorted(error) == ["error", "error_code", "link"]
    assert error["error"]
    assert not [secret for secret in (PASSWORD, ANN) if secret in response.text]


@pytest.mark.parametrize("provider", ["oauth2-google", "local-userpass%2F", "LOCAL-USERPASS", "%FF", "custom-function"])
def test_an_unknown_provider_is_not_found(door: Door, provider: str) -> None:
    response = door.log_in(provider, {})
    assert (response.status_code, response.json()["error_code"]) == (404, "AuthProviderNotFound")


def test_a_provider_that_is_not_configured_is_not_found(strict: Door) -> None:
    for provider in PROVIDERS[1:]:
        assert strict.log_in(provider, {}).json() == strict.log_in("oauth2-google", {}).json()
    assert strict.send("GET", f"{CLIENT}/app/myapp-abcde/location").status_code == 404


def test_other_methods_are_not_allowed(door: Door) -> None:
    for method, path in (
        ("GET", "/app/myapp-abcde/auth/providers/anon-user/login"),
        ("PUT", "/auth/session"),
        ("POST", "/auth/profile"),
        ("POST", "/app/myapp-abcde/location"),
    ):
        response = door.send(method, f"{CLIENT}{path}")
        assert (response.status_code, response.json()["error_code"]) == (405, "MethodNotAllowed")


def test_nothing_tells_whether_a_user_exists(door: Door) -> None:
    """Unknown, disabled and known users take the same steps, one hash each, and get the same response."""
    responses = []
    for name in (ANN, EVE, "nobody@example.com", "x" * 1000):
        before = door.hashes()
        response = door.log_in("local-userpass", {"username": name, "password": "wrong password"})
        assert door.hashes() == before + 1, name
        names = sorted(set(response.headers) - {"date", "x-request-id"})
        responses.append((response.status_code, response.content, names))
        before = door.hashes()
        header = door.running.post("findOne", target(), email=name, password="wrong password")
        assert door.hashes() == before + 1, name
        responses.append((header.status_code, header.content, []))
    assert all(response == responses[index % 2] for index, response in enumerate(responses))
    assert responses[0][0] == 401
    # The right password of a disabled user is a wrong one.
    disabled = door.log_in("local-userpass", {"username": EVE, "password": PASSWORD})
    assert (disabled.status_code, disabled.content) == responses[0][:2]


def test_a_password_in_each_request_is_hashed_once(door: Door) -> None:
    door.find(email=BOB, password=PASSWORD)
    before = door.hashes()
    assert [door.find(email=BOB, password=PASSWORD) for _ in range(5)] == [200] * 5
    assert door.hashes() == before
    assert door.find(email=BOB, password=PASSWORD + "!") == 401
    assert door.hashes() == before + 1


def test_many_passwords_at_the_same_time_are_verified_or_rejected(door: Door) -> None:
    bodies = [{"username": ANN, "password": f"wrong {number}"} for number in range(30)]
    statuses = [
        response.status_code
        for response in at_once(*[lambda body=body: door.log_in("local-userpass", body) for body in bodies])
    ]
    assert set(statuses) <= {401, 429}
    assert door.log_in("local-userpass", door.credentials("local-userpass")).status_code == 200


def test_wrong_passwords_of_a_name_are_limited(strict: Door) -> None:
    wrong = {"username": BOB, "password": "wrong password"}
    assert strict.log_in("local-userpass", wrong).status_code == 401
    before = strict.hashes()
    for body in (wrong, {"username": BOB, "password": PASSWORD}):
        limited = strict.log_in("local-userpass", body)
        assert (limited.status_code, limited.json()["error_code"]) == (429, "TooManyRequests")
        assert 1 <= int(limited.headers["retry-after"]) <= 60
    assert strict.hashes() == before
    # An unknown name is limited in the same way.
    unknown = {"username": "nobody", "password": "wrong password"}
    responses = [strict.log_in("local-userpass", unknown) for _ in range(2)]
    assert [response.status_code for response in responses] == [401, 429]
    assert responses[1].json() == limited.json()


def test_failures_of_an_address_are_limited_and_keys_still_work(mongodb_uri: str, tmp_path: Path) -> None:
    key = create_key(tmp_path, "shop")
    add_user(tmp_path, ANN)
    run("gateway-key", "create", "--file", str(tmp_path / "gateway-key.toml"))
    logins = '[logins]\nproviders = ["local-userpass"]\nkey_file = "gateway-key.toml"\n'
    with gateway(tmp_path, configured(mongodb_uri, logins, "failed_logins_per_minute = 5")) as running:
        door = Door(running, key)
        responses = [running.post("findOne", target(), "wrong") for _ in range(50)]
        assert {response.status_code for response in responses} == {401, 429}
        limited = responses[-1]
        assert (limited.status_code, limited.json()["error_code"]) == (429, "TooManyRequests")
        assert int(limited.headers["retry-after"]) >= 1
        assert door.find(api_key=key) == 200
        # A password is not even verified, or the limit would not stop a guesser.
        assert door.log_in("local-userpass", door.credentials("local-userpass")).status_code == 429
        assert door.find(email=ANN, password=PASSWORD) == 429
        assert door.hashes() == 0
        # Few of the failures have a line in the log; one line has the number of the others.
        running.signal(signal.SIGTERM)
        running.server.process.wait(20)
        running.server.stop()
        unlisted = [line for line in running.log() if "more requests failed in this way" in line.get("message", "")]
        listed = [line for line in running.log() if line.get("status") in (401, 429) and line not in unlisted]
        assert sum(int(line["message"].split()[0]) for line in unlisted) + len(listed) == 52
        assert len(listed) < 40


def test_a_session_cannot_be_revoked_where_none_is_stored(mongodb_uri: str, tmp_path: Path) -> None:
    """And sessions end with the user, the password, the key and the signing key."""
    key = create_key(tmp_path, "shop")
    add_user(tmp_path, ANN)
    add_user(tmp_path, BOB)
    private(tmp_path / "secret", SECRET)
    keys, signing = ["--file", str(tmp_path / "keys.toml")], ["--file", str(tmp_path / "gateway-key.toml")]
    run("gateway-key", "create", *signing)
    with gateway(tmp_path, configured(mongodb_uri)) as running:
        door = Door(running, key)
        ann, shop = door.tokens(), door.tokens("api-key")
        bob = door.log_in("local-userpass", {"username": BOB, "password": PASSWORD}).json()
        service = door.tokens("custom-token")
        revoked = door.session("DELETE", ann["refresh_token"])
        assert (revoked.status_code, revoked.json()["error_code"]) == (501, "NotImplemented")
        assert "logins.sessions" in revoked.json()["error"]
        # A new signing key: tokens of the old one stay valid.
        assert run("gateway-key", "rotate", *signing, "--after", "0")[0] == 0
        running.reload()
        assert door.bearer(ann["access_token"]) == 200
        renewed = door.tokens()
        ids = [jwt.get_unverified_header(tokens["access_token"])["kid"] for tokens in (ann, renewed)]
        assert len(set(ids)) == 2
        # Another password, a removed user, a revoked key.
        assert run("user", "password", *keys, "--name", ANN, given=f"{NEW_PASSWORD}\n")[0] == 0
        assert run("user", "remove", *keys, "--name", BOB)[0] == 0
        assert run("key", "revoke", *keys, "--name", "shop")[0] == 0
        assert create_key(tmp_path, "shop") != key
        assert door.find(email=ANN, password=PASSWORD) == 200
        running.reload()
        for tokens in (ann, renewed, bob, shop):
            assert door.bearer(tokens["access_token"]) == 401
            assert door.session("POST", tokens["refresh_token"]).status_code == 401
        assert door.find(email=ANN, password=PASSWORD) == 401
        assert door.find(email=ANN, password=NEW_PASSWORD) == 200
        assert door.bearer(service["access_token"]) == 200
        # The key that verified a custom token is replaced.
        private(tmp_path / "secret", f"another {SECRET}")
        running.reload()
        assert door.bearer(service["access_token"]) == 401
        assert door.session("POST", service["refresh_token"]).status_code == 401
        private(tmp_path / "secret", SECRET)
        running.reload()
        assert door.bearer(service["access_token"]) == 200
        # A known signing key is removed at once.
        assert run("gateway-key", "rotate", *signing, "--revoke")[0] == 0
        running.reload()
        assert door.bearer(service["access_token"]) == 401
        # Files that others can read change nothing.
        (tmp_path / "gateway-key.toml").chmod(0o644)
        running.reload("chmod 600")
        assert door.find(email=ANN, password=NEW_PASSWORD) == 200
        add_user(tmp_path, "new@example.com")
        (tmp_path / "gateway-key.toml").chmod(0o640)
        running.reload()
        assert door.find(email="new@example.com", password=PASSWORD) == 200


def test_no_secret_is_in_the_log_or_the_metrics(door: Door) -> None:
    tokens = door.tokens()
    custom = custom_token()
    door.log_in("custom-token", {"token": custom})
    door.log_in("api-key", {"key": door.key})
    door.log_in("local-userpass", {"username": ANN, "password": "hunter2 hunter2"})
    door.find(email=ANN, password="hunter2 hunter2")
    door.bearer(f"{tokens['access_token']}hunter2")
    door.session("DELETE", tokens["refresh_token"])
    door.running.logged(lambda line: line.get("action") == "session" and line.get("status") == 204)
    output = "\n".join(door.running.server.output) + door.running.get("/metrics").text
    secret = signing_key(door.running.folder)["secret"]
    stored = re.findall(r'hash = "(.*)"', (door.running.folder / "keys.toml").read_text(encoding="utf-8"))
    for text in [*tokens.values(), custom, door.key, PASSWORD, "hunter2", SECRET, secret, *stored]:
        # The device ID is no secret.
        assert text == "0" * 24 or text == tokens["user_id"] or text not in output
    assert any(line.get("caller") == f"user:{ANN}" and line["action"] == "login" for line in door.running.log())


MODES = [
    ("keys.toml", 0o644, "the key file"),
    ("keys.toml", 0o660, "the key file"),
    ("secret", 0o604, "jwt.secret_file"),
    ("gateway-key.toml", 0o602, "logins.key_file"),
]


def refused(folder: Path, configuration: str) -> str:
    """Start a gateway that refuses its configuration; return what it prints."""
    private(folder / "gateway.toml", configuration)
    status, output = run("gateway", "--config", str(folder / "gateway.toml"))
    assert status == 2
    assert output.count("\n") == 1
    return output


@pytest.fixture
def complete(tmp_path: Path) -> Path:
    """A folder with all files of a configuration."""
    create_key(tmp_path, "shop")
    private(tmp_path / "secret", SECRET)
    assert run("gateway-key", "create", "--file", str(tmp_path / "gateway-key.toml"))[0] == 0
    return tmp_path


@pytest.mark.parametrize(
    "change", [["password", "--name", ANN], ["remove", "--name", ANN]], ids=["another password", "a removed user"]
)
def test_the_end_of_a_session_ends_its_streams(
    mongodb_uri: str, complete: Path, pymongo_client: Any, change: list[str]
) -> None:
    add_user(complete, ANN)
    sessions = 'sessions = { data_source = "Cluster0", database = "tests_logins" }\n'
    with gateway(complete, configured(mongodb_uri, LOGINS + sessions, "heartbeat_seconds = 0.2")) as running:
        door = Door(running, "")
        tokens = door.tokens()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        with busy(pymongo_client.app.streamed), running.watch(target("streamed"), headers) as stream:
            stream.change()
            # As in Atlas, the access token stays valid until it expires.
            assert door.session("DELETE", tokens["refresh_token"]).status_code == 204
            for _ in range(8):
                stream.change()
            keys = ["--file", str(complete / "keys.toml")]
            assert run("user", change[0], *keys, *change[1:], given=f"{NEW_PASSWORD}\n")[0] == 0
            running.reload()
            assert stream.end()["error_code"] == "InvalidSession"


@pytest.mark.parametrize(("name", "mode", "what"), MODES)
def test_a_secret_file_that_others_can_access_is_refused(complete: Path, name: str, mode: int, what: str) -> None:
    (complete / name).chmod(mode)
    output = refused(complete, configured("mongodb://h/"))
    assert f"{what}" in output
    assert f"has the mode {mode:04o}" in output
    assert f"chmod 600 {complete / name}" in output


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("gateway-key.toml", "none.toml", "run connect-mongodb gateway-key create"),
        ("gateway-key.toml", "secret", "logins.key_file"),
        ('["local-userpass", "api-key", "anon-user", "custom-token"]', "[]", "logins.providers must list"),
        ('"api-key", ', '"oauth2-google", ', "cannot be used (line "),
        ("anonymous = ", "#", "anon-user requires logins.anonymous"),
        ('[jwt]\nsecret_file = "secret"', "", "custom-token requires [jwt]"),
        ("anonymous =", "access_token_seconds = 5\nanonymous =", "from 60 to 86400"),
        ("anonymous =", "refresh_token_seconds = 60\nanonymous =", "logins.refresh_token_seconds must be from"),
        ("anonymous =", "tries_per_minute = 0\nanonymous =", "logins.tries_per_minute must be from 1"),
        ("anonymous =", "anonymous_per_minute = nan\nanonymous =", "logins.anonymous_per_minute must be from 1"),
        ("anonymous =", 'public_url = "gateway.example.com"\nanonymous =', "logins.public_url must be a URL"),
        ("anonymous =", 'sessions = { data_source = "x", database = "y" }\nanonymous =', "name of a data source"),
        (
            "anonymous =",
            'sessions = { data_source = "Cluster0", database = "y", collection = "sessions" }\nanonymous =',
            "logins.sessions.collection must begin with connect_mongodb_",
        ),
        ("secret_file =", 'jwks_url = "http://login.example.com/keys"\nsecret_file =', "must be an https URL"),
        ("failed_logins_per_minute = 100000", "failed_logins_per_minute = 0", "from 1 to 1000000"),
    ],
)
def test_an_invalid_configuration_of_logins_is_refused(complete: Path, old: str, new: str, says: str) -> None:
    configuration = configured("mongodb://h/")
    assert old in configuration
    assert says in refused(complete, configuration.replace(old, new))


def test_users_are_managed_by_commands(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    file = ["--file", str(path)]
    add = ["user", "add", *file, "--allow", "read", "--on", "*/app/*"]
    assert run(*add, "--name", ANN, "--data", "team=north", given=f"{PASSWORD}\n") == (0, "")
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text(encoding="utf-8")
    assert PASSWORD not in text
    assert "$argon2id$v=19$m=19456,t=2,p=1$" in text
    status, listed = run("user", "list", *file)
    assert (status, listed.split("; id ")[0]) == (0, f"{ANN}: read on */app/*")
    # Keys and users share the file.
    assert run("key", "create", *file, "--name", "shop", "--allow", "read", "--on", "*")[0] == 0
    for arguments, says in (
        (["--name", ANN], f"a user named {ANN} already exists"),
        (["--name", BOB, "--data", "team"], "--data must have the form NAME=TEXT"),
        (["--name", "a\tb"], "a user's name must have"),
    ):
        status, output = run(*add, *arguments, given=f"{PASSWORD}\n")
        assert (status, output.count("\n")) == (2, 1)
        assert says in output
    for given in ("short\n", "", "x" * 200):
        status, output = run(*add, "--name", BOB, given=given)
        assert (status, "a password must have 8 to 128 characters" in output) == (2, True)
    for command in ("remove", "password"):
        status, output = run("user", command, *file, "--name", BOB, given=f"{PASSWORD}\n")
        assert (status, f"no user is named {BOB}" in output) == (2, True)
    before = path.read_text(encoding="utf-8")
    assert run("user", "password", *file, "--name", ANN, given=f"{NEW_PASSWORD}\r\n")[0] == 0
    assert path.read_text(encoding="utf-8") != before
    assert run("user", "remove", *file, "--name", ANN)[0] == 0
    assert run("user", "list", *file) == (0, "")
    assert run("key", "list", *file)[1].startswith("shop: ")


def test_signing_keys_are_managed_by_commands(tmp_path: Path) -> None:
    path = tmp_path / "gateway-key.toml"
    file = ["--file", str(path)]
    assert run("gateway-key", "rotate", *file)[0] == 2
    assert run("gateway-key", "create", *file) == (0, "")
    assert path.stat().st_mode & 0o777 == 0o600
    status, output = run("gateway-key", "create", *file)
    assert (status, "exists: run connect-mongodb gateway-key rotate" in output) == (2, True)
    assert run("gateway-key", "rotate", *file)[0] == 0
    keys = signing_keys(path)
    assert len(keys) == 2
    assert keys[0]["from"] < keys[1]["from"]
    assert run("gateway-key", "rotate", *file, "--revoke")[0] == 0
    assert len(signing_keys(path)) == 1


def jwk(key: Any, kid: str) -> dict[str, Any]:
    public: dict[str, Any] = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    return public | {"kid": kid, "use": "sig"}


class KeyServer:
    """A server of a JSON Web Key Set that a test changes."""

    def __init__(self) -> None:
        self.body = b""
        self.status = 200
        self.requests = 0
        self.url = ""

    def serve(self, *keys: dict[str, Any]) -> None:
        self.body = json.dumps({"keys": keys}).encode()


@contextlib.contextmanager
def key_server() -> Iterator[KeyServer]:
    state = KeyServer()

    class Handler(Quiet, http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests += 1
            self.send_response(state.status)
            self.send_header("Cache-Control", "public, max-age=3600")
            self.send_header("Content-Length", str(len(state.body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(state.body)

    with serving(Handler) as port:
        state.url = f"http://127.0.0.1:{port}/keys"
        yield state


def test_keys_of_a_url_are_fetched_in_the_background(mongodb_uri: str, tmp_path: Path) -> None:
    first, second = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    claims = {"sub": "s", "exp": int(time.time()) + 600, "permissions": [{"allow": ["read"]}]}

    def token(key: Any, kid: str) -> str:
        return jwt.encode(claims, key, "ES256", headers={"kid": kid})

    def fetch_again(running: Gateway) -> None:
        before = server.requests
        running.reload()
        until(lambda: server.requests > before)

    with key_server() as server:
        # The server is not ready when the gateway starts, which is no obstacle.
        server.status = 503
        configuration = configured(mongodb_uri, f'[jwt]\njwks_url = "{server.url}"').replace(
            'keys_file = "keys.toml"', ""
        )
        with gateway(tmp_path, configuration) as running:
            door = Door(running, "")
            running.logged(lambda line: "the server responds with 503; no key is in use" in line.get("message", ""))
            assert running.get("/readyz").status_code == 200
            assert door.bearer(token(first, "one")) == 401
            server.status = 200
            server.serve(jwk(first, "one"))
            until(lambda: door.bearer(token(first, "one")) == 200)
            running.logged(lambda line: "1 keys were fetched" in line.get("message", ""))
            # No request causes another one.
            fetched = server.requests
            assert [door.bearer(token(first, "one")) for _ in range(5)] == [200] * 5
            assert [door.bearer(token(second, "two")) for _ in range(5)] == [401] * 5
            assert server.requests <= fetched + 1
            # A rotated key, after a reload.
            server.serve(jwk(second, "two"))
            running.reload()
            until(lambda: door.bearer(token(second, "two")) == 200)
            assert door.bearer(token(first, "one")) == 401
            # Keys stay in use while the server fails in any way.
            for status, body in ((500, b""), (200, b"nonsense"), (200, b'{"keys": []}'), (200, b" " * 2_000_000)):
                server.status, server.body = status, body
                fetch_again(running)
                assert door.bearer(token(second, "two")) == 200
            running.logged(lambda line: "the last keys stay in use" in line.get("message", ""))


def test_the_steps_of_the_documentation_work(mongodb_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Follows the section on logins of docs/gateway.md, with another address."""
    text = section("How do users log in?")
    commands, requests = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)[:2]
    toml = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[0]
    monkeypatch.chdir(tmp_path)
    for line in commands.splitlines():
        assert run(*shlex.split(line)[1:], given=f"{PASSWORD}\n")[0] == 0
    configuration = f'keys_file = "keys.toml"\n[data_sources.Cluster0]\nuri = "{mongodb_uri}"\n{toml}'
    with gateway(tmp_path, configuration) as running:
        values = {"PASSWORD": PASSWORD}
        for command in requests.replace("\\\n", " ").strip().split("\n\n"):
            words = shlex.split(string.Template(command).substitute(values))
            url = next(word for word in words if word.startswith("https://"))
            headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H")
            body = words[words.index("-d") + 1] if "-d" in words else None
            method = words[words.index("-X") + 1] if "-X" in words else "POST" if body else "GET"
            path = url.removeprefix("https://gateway.example.com:8443")
            response = httpx.request(method, f"{running.url}{path}", content=body, headers=headers, timeout=30)
            assert response.status_code in (200, 201, 204), f"{command}: {response.text}"
            if "access_token" in response.text:
                values |= {name.upper(): value for name, value in response.json().items()}
        assert set(values) >= {"ACCESS_TOKEN", "REFRESH_TOKEN"}


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_a_terminal_is_asked_for_what_a_key_may_do(tmp_path: Path) -> None:
    import pty
    import subprocess
    import sys

    command = [sys.executable, "-m", "connect.eaas.mongodb.cli", "key", "create"]
    command += ["--file", str(tmp_path / "keys.toml"), "--name", "shop"]
    status, output = run(*command[3:])
    assert (status, "--allow and --on are required" in output) == (2, True)
    assert "--on is required" in run(*command[3:], "--allow", "read")[1]
    master, terminal = pty.openpty()
    with os.fdopen(master, "wb", buffering=0) as keyboard:
        process = subprocess.Popen(
            command, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, close_fds=True
        )
        os.close(terminal)
        keyboard.write(b"read, write\nCluster0/shop/*\n")
        made, asked = process.communicate(timeout=60)
    assert process.returncode == 0, asked
    assert all(question in asked for question in ("Rights", "On ("))
    assert made.startswith("cmk_")
    listed = run("key", "list", "--file", str(tmp_path / "keys.toml"))[1]
    assert listed.startswith("shop: read,write on Cluster0/shop/*")
