"""Clients of the Data API from npm, as published: their own calls, with the gateway's host and key."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from tests.conftest import API_KEY
from tests.node import install_packages

FOLDER = Path(__file__).parent / "javascript"
PACKAGES = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["dependencies"]
CLIENTS = [name for name in PACKAGES if name not in ("axios", "bson")]

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
