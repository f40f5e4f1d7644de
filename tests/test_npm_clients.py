"""Clients of the Data API from npm, as published: their own calls, with the gateway's host and key."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from bson import ObjectId
from click.testing import CliRunner
from connect.eaas.mongodb import _native
from connect.eaas.mongodb.cli.main import main

from tests.conftest import API_KEY
from tests.gateways import Gateway, configured, gateway
from tests.node import install_packages, run_node
from tests.servers import free_port

FOLDER = Path(__file__).parent / "javascript"
PACKAGES = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["dependencies"]
CLIENTS = [name for name in PACKAGES if name not in ("axios", "bson", "realm-web")]

# Calls that a package does not have.
ABSENT = {"mongodb-atlas-data-api": {"replaceOne"}}


class Client:
    """A package in a process of Node.js."""

    def __init__(self, package: str, process: subprocess.Popen[str]) -> None:
        self.package = package
        self.collection = ""
        self._process = process

    def call(self, name: str, *arguments: Any, key: str = API_KEY) -> dict[str, Any]:
        """Make a call, and return what it came to: its `value`, its `error`, or that it is `absent`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        call = {"key": key, "collection": self.collection, "call": name, "arguments": arguments}
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"{self.package} ended in {name}"
        result: dict[str, Any] = json.loads(line)
        return result

    def value(self, name: str, *arguments: Any) -> Any:
        """Make a call that succeeds, and return what it gives, or None if the package does not have it."""
        result = self.call(name, *arguments)
        if name in ABSENT.get(self.package, ()):
            assert result == {"absent": True}
        else:
            assert "value" in result, f"{name}: {result}"
        return result.get("value")


@pytest.fixture(scope="module", params=CLIENTS)
def process(request: pytest.FixtureRequest, gateway_url: str) -> Iterator[Client]:
    install_packages(FOLDER)
    environment = {"URL_ENDPOINT": f"{gateway_url}/app/data-abcde/endpoint/data/v1", "DATABASE": f"tests_{os.getpid()}"}
    with subprocess.Popen(
        ["node", "packages.mjs", request.param],
        cwd=FOLDER,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as running:
        yield Client(request.param, running)


@pytest.fixture
def client(process: Client, names: tuple[str, str]) -> Client:
    process.collection = names[1]
    return process


def test_documents_are_inserted_and_found(client: Client, reader: Any) -> None:
    key = "507f1f77bcf86cd799439011"
    stored = {"name": "Surmon", "age": 19, "tags": ["a", "b"]}
    assert client.value("insertOne", {"_id": {"$oid": key}, **stored}) == key
    zoe = {"name": "Zoë", "age": 30, "at": {"$date": "2026-01-02T03:04:05Z"}}
    many = client.value("insertMany", [{"name": "Ana", "age": 20}, zoe])
    assert client.value("findOne", {"name": "Surmon"}) == {"_id": key, **stored}
    assert client.value("findOne", {"_id": {"$oid": key}}) == {"_id": key, **stored}
    assert client.value("findOne", {"name": "nobody"}) is None
    options = {"sort": {"age": -1}, "limit": 2, "projection": {"_id": 0, "name": 1}}
    assert client.value("find", {"age": {"$gte": 19}}, options) == [{"name": "Zoë"}, {"name": "Ana"}]
    groups = [{"$group": {"_id": None, "ages": {"$sum": "$age"}}}, {"$project": {"_id": 0, "ages": 1}}]
    assert client.value("aggregate", groups) == [{"ages": 69}]
    documents = list(reader.find({}, sort=[("age", 1)]))
    assert [document["_id"] for document in documents] == [ObjectId(key), *map(ObjectId, many)]
    assert documents[2]["at"].isoformat() == "2026-01-02T03:04:05"


def test_documents_are_changed(client: Client, reader: Any) -> None:
    reader.insert_many([{"_id": number, "n": number} for number in range(4)])
    one = client.value("updateOne", {"_id": 0}, {"$set": {"status": "done"}}, False)
    many = client.value("updateMany", {"n": {"$gte": 2}}, {"$inc": {"n": 10}}, False)
    upserted = client.value("updateOne", {"_id": "new"}, {"$set": {"n": 5}}, True)
    replaced = client.value("replaceOne", {"_id": 1}, {"status": "replaced"}, False)
    counts = ("matchedCount", "modifiedCount")
    assert [one[name] for name in counts] == [1, 1]
    assert [many[name] for name in counts] == [2, 2]
    assert upserted["upsertedId"] == "new"
    assert upserted["matchedCount"] == 0
    documents = {document.pop("_id"): document for document in reader.find()}
    assert documents[0] == {"n": 0, "status": "done"}
    assert (documents[2], documents[3], documents["new"]) == ({"n": 12}, {"n": 13}, {"n": 5})
    if replaced is not None:
        assert [replaced[name] for name in counts] == [1, 1]
        assert documents[1] == {"status": "replaced"}


def test_documents_are_deleted(client: Client, reader: Any) -> None:
    reader.insert_many([{"n": number} for number in range(5)])
    assert client.value("deleteOne", {"n": 0}) == 1
    assert client.value("deleteMany", {"n": {"$gt": 2}}) == 2
    assert client.value("deleteOne", {"n": 9}) == 0
    assert sorted(document["n"] for document in reader.find()) == [1, 2]


# How each package shows that the gateway refused the key.
REFUSED = {
    "mongodb-data-api": "Request failed with status code 401",
    "@gmmurray/mongodb-atlas-data-api": "Request failed with status code 401",
    "mongodb-atlas-data-api": "Response returned an error code",
}


# Those that do not look at the status.
INDIFFERENT = {"@alexdicy/mongodb-data-api", "mongodb-atlas-data-api-sdk"}


def test_a_wrong_key_is_an_error(client: Client) -> None:
    result = client.call("findOne", {"n": 1}, key="wrong")
    if client.package in INDIFFERENT:
        assert result == {"value": None}
    else:
        assert REFUSED.get(client.package, "invalid session: error finding user for endpoint") in result["error"]


SECRET = "a-secret-of-sixty-four-bytes-or-more-for-the-longest-of-algorithms-here"
PASSWORD = "correct horse battery staple"
LOGINS = """
[jwt]
secret_file = "secret"
[logins]
providers = ["local-userpass", "anon-user"]
key_file = "gateway-key.toml"
sessions = { data_source = "Cluster0", database = "tests_sessions" }
anonymous = [{ allow = ["read"] }]
public_url = "http://ADDRESS"
"""


@pytest.fixture(scope="module")
def logins(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a user, and with tokens of another issuer."""
    install_packages(FOLDER)
    folder = tmp_path_factory.mktemp("logins")
    keys = _native.add_user("", "ann@example.com", PASSWORD, rights=["read", "write"], places=["*"], data=[])
    created = CliRunner().invoke(main, ["gateway-key", "create", "--file", str(folder / "gateway-key.toml")])
    assert created.exit_code == 0, created.output
    for name, content in {"keys.toml": keys, "secret": SECRET}.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(content, encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    text = configured(mongodb_uri, tables=LOGINS)
    with gateway(folder, text.replace("ADDRESS", address), listen=address) as running:
        yield running


def credentials(running: Gateway) -> dict[str, dict[str, str]]:
    """The credentials of Atlas' users, as the packages name them."""
    claims = {"sub": "service", "exp": int(time.time()) + 600, "permissions": [{"allow": ["read", "write"]}]}
    login = f"{running.url}/api/client/v2.0/app/myapp-abcde/auth/providers/local-userpass/login"
    token = httpx.post(login, json={"username": "ann@example.com", "password": PASSWORD}).json()["access_token"]
    return {
        "a password": {"type": "emailPassword", "email": "ann@example.com", "password": PASSWORD},
        "a token of another issuer": {"type": "customJWT", "jwtTokenString": jwt.encode(claims, SECRET, "HS256")},
        "a session": {"type": "accessToken", "accessToken": token, "bearerToken": token},
    }


@pytest.mark.parametrize("package", ["@taskless/mongo-data-api", "mongodb-atlas-data-api"])
def test_credentials_of_users_are_accepted(logins: Gateway, names: tuple[str, str], package: str) -> None:
    users = credentials(logins)
    calls = [
        {"key": user, "collection": names[1], "call": "insertOne", "arguments": [{"_id": name}]}
        for name, user in users.items()
    ]
    wrong = {**users["a password"], "password": "wrong"}
    calls.append({"key": wrong, "collection": names[1], "call": "findOne", "arguments": [{}]})
    done = run_node(
        "packages.mjs",
        package,
        folder=FOLDER,
        standard_input="".join(json.dumps(call) + "\n" for call in calls),
        URL_ENDPOINT=f"{logins.url}/app/myapp-abcde/endpoint/data/v1",
        DATABASE=names[0],
    )
    *accepted, refused = map(json.loads, done.stdout.splitlines())
    assert accepted == [{"value": name} for name in users]
    assert "error" in refused


def test_realm_web_logs_in(logins: Gateway, names: tuple[str, str]) -> None:
    """MongoDB's own package for App Services, whose tokens were sent to the Data API."""
    variables = {"BASE_URL": logins.url, "EMAIL": "ann@example.com", "PASSWORD": PASSWORD}
    done = run_node("realm.mjs", folder=FOLDER, **variables, DATABASE=names[0], COLLECTION=names[1])
    results = json.loads(done.stdout)
    assert results["profile"] == {"email": "ann@example.com", "provider": "local-userpass", "state": "active"}
    assert results["found"] == 200
    assert results["refreshed"] == [True, 200]
    assert results["anonymous"] == ["anon-user", True]
    assert results["refused"][0] == 401
    assert results["loggedOut"] == "logged-out"


def test_documentation_has_the_versions() -> None:
    page = (Path(__file__).parents[1] / "docs" / "from-atlas.md").read_text(encoding="utf-8")
    for name, version in PACKAGES.items():
        if name not in ("axios", "bson"):
            assert f"| `{name}` | {version}" in page
