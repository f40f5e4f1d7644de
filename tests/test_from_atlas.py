"""docs/from-atlas.md: what Atlas' clients send, with and without `compatibility = "atlas"`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from bson import Binary, Regex

from tests.conftest import API_KEY
from tests.gateways import create_key, gateway

PAGE = Path(__file__).parents[1] / "docs" / "from-atlas.md"
UNSET: Any = object()


@pytest.fixture(scope="module")
def atlas(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A gateway with Atlas' ways, and its key."""
    folder = tmp_path_factory.mktemp("atlas")
    key = create_key(folder, "all")
    setting = PAGE.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    configuration = f'{setting}keys_file = "keys.toml"\n[data_sources.Cluster0]\nuri = "{mongodb_uri}"'
    with gateway(folder, configuration) as running:
        yield running.url, key


class Ways:
    """Calls actions of a gateway with its own ways, or with Atlas'."""

    def __init__(self, url: str, key: str, names: tuple[str, str], is_atlas: bool) -> None:
        self.is_atlas = is_atlas
        self.key = key
        self.target = {"dataSource": "Cluster0", "database": names[0], "collection": names[1]}
        self.client = httpx.Client(base_url=f"{url}/app/data-abcde/endpoint/data/v1/action/", timeout=30)

    def send(self, action: str, body: str, content_type: Any = "application/json") -> httpx.Response:
        """Send a body as it is."""
        headers = {"apiKey": self.key} | ({} if content_type is UNSET else {"Content-Type": content_type})
        return self.client.post(action, content=body, headers=headers)

    def __call__(self, action: str, **arguments: Any) -> httpx.Response:
        return self.send(action, json.dumps(self.target | arguments))


@pytest.fixture(params=["gateway", "atlas"])
def ways(request: pytest.FixtureRequest, gateway_url: str, names: tuple[str, str]) -> Iterator[Ways]:
    is_atlas = request.param == "atlas"
    url, key = request.getfixturevalue("atlas") if is_atlas else (gateway_url, API_KEY)
    made = Ways(url, key, names, is_atlas)
    with made.client:
        yield made


def test_find_has_the_limits_of_atlas(ways: Ways, reader: Any) -> None:
    reader.insert_many([{"_id": n} for n in range(1001)])
    for arguments in ({}, {"limit": 0}, {"limit": None}):
        found = ways("find", projection={"_id": 1}, **arguments).json()["documents"]
        assert len(found) == (1000 if ways.is_atlas else 1001)
    assert len(ways("find", limit=1001).json()["documents"]) == 1001
    assert len(ways("find", limit=50_000).json()["documents"]) == 1001
    response = ways("find", limit=50_001)
    if ways.is_atlas:
        assert (response.status_code, response.json()["error_code"]) == (400, "InvalidParameter")
        assert response.json()["error"] == "'limit' must be at most 50000: request the rest with 'skip'"
    else:
        assert len(response.json()["documents"]) == 1001


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("find", {"limt": 1}),
        ("findOne", {"readPreference": "secondary"}),
        ("insertOne", {"document": {}, "writeConcern": {"w": 0}, "bypassDocumentValidation": True}),
        ("updateOne", {"filter": {}, "update": {"$set": {"a": 1}}, "unknown": {"$where": "1"}}),
        ("bulkWrite", {"operations": [{"insertOne": {"document": {}}}], "upsert": True}),
    ],
)
def test_an_unknown_argument_is_ignored_only_as_in_atlas(ways: Ways, action: str, arguments: dict[str, Any]) -> None:
    response = ways(action, **arguments)
    if ways.is_atlas:
        assert response.status_code in (200, 201)
    else:
        assert (response.status_code, response.json()["error_code"]) == (400, "InvalidParameter")


def test_limits_documents_bounds_atlas_limits(
    mongodb_uri: str, tmp_path: Path, names: tuple[str, str], reader: Any
) -> None:
    reader.insert_many([{"_id": n} for n in range(5)])
    key = create_key(tmp_path, "all")
    configuration = 'compatibility = "atlas"\nkeys_file = "keys.toml"\n[limits]\ndocuments = 3\n'
    with gateway(tmp_path, f'{configuration}[data_sources.Cluster0]\nuri = "{mongodb_uri}"') as running:
        target = {"dataSource": "Cluster0", "database": names[0], "collection": names[1]}
        assert len(running.post("find", target, key).json()["documents"]) == 3
        assert "'limit' must be at most 3" in running.post("find", target | {"limit": 4}, key).json()["error"]


@pytest.mark.parametrize(
    ("content_type", "accepted"),
    [
        (UNSET, True),
        ("application/json", True),
        ("application/ejson; charset=utf-8", True),
        ("application/x-www-form-urlencoded", None),
        ("text/plain", False),
        ("", False),
    ],
)
def test_content_types(ways: Ways, content_type: Any, accepted: bool | None) -> None:
    expected = ways.is_atlas if accepted is None else accepted
    body = json.dumps(ways.target | {"document": {}})
    assert ways.send("insertOne", body, content_type).status_code == (201 if expected else 415)


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("find", {"filter": None, "projection": None, "sort": None, "limit": None, "skip": None, "hint": None}),
        ("findOne", {"filter": None, "projection": None, "sort": None, "collation": None}),
        ("updateOne", {"filter": {}, "update": {"$set": {"a": 1}}, "upsert": None, "arrayFilters": None, "let": None}),
        ("replaceOne", {"filter": {}, "replacement": {}, "upsert": None, "comment": None}),
        ("insertMany", {"documents": [{}], "ordered": None}),
        ("findOneAndDelete", {"filter": {"none": 1}, "sort": None, "maxTimeMS": None}),
        ("aggregate", {"pipeline": [], "allowDiskUse": None}),
        ("countDocuments", {"filter": None}),
    ],
)
def test_null_means_that_an_argument_is_absent(ways: Ways, action: str, arguments: dict[str, Any]) -> None:
    assert ways(action, **arguments).status_code in (200, 201)


@pytest.mark.parametrize(
    ("action", "arguments", "field"),
    [
        ("deleteMany", {"filter": None}, "filter"),
        ("updateMany", {"filter": None, "update": {"$set": {"a": 1}}}, "filter"),
        ("updateMany", {"filter": {}, "update": None}, "update"),
        ("insertOne", {"document": None}, "document"),
        ("aggregate", {"pipeline": None}, "pipeline"),
        ("find", {"collection": None}, "collection"),
        ("find", {"dataSource": None}, "dataSource"),
    ],
)
def test_null_is_no_value_of_a_required_argument(
    ways: Ways, reader: Any, action: str, arguments: dict[str, Any], field: str
) -> None:
    reader.insert_one({"_id": 1})
    response = ways(action, **arguments)
    assert (response.status_code, response.json()["error_code"]) == (400, "InvalidParameter")
    assert f"'{field}' must be" in response.json()["error"]
    assert reader.find_one() == {"_id": 1}


MOMENT = datetime(2022, 6, 7, 8, 10, 30, 998000, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ({"$date": 1654589430998}, MOMENT),
        ({"$date": 1654589430998.0}, MOMENT),
        ({"$date": {"$numberLong": "1654589430998"}}, MOMENT),
        ({"$date": "2022-06-07T08:10:30.998Z"}, MOMENT),
        ({"$date": "2022-06-07T08:10:30.998+0000"}, MOMENT),
        ({"$date": "2022-06-07T10:10:30.998+02:00"}, MOMENT),
        ({"$date": "2022-06-07T08:10Z"}, MOMENT.replace(second=0, microsecond=0)),
        ({"$binary": "AQI=", "$type": "00"}, b"\x01\x02"),
        ({"$binary": "AQI=", "$type": "80"}, Binary(b"\x01\x02", 128)),
        ({"$binary": {"base64": "AQI=", "subType": "00"}}, b"\x01\x02"),
        (
            {"$uuid": "73ffd264-44b3-4c69-90e8-e7d1dfc035d4"},
            Binary(UUID(int=0x73FFD26444B34C6990E8E7D1DFC035D4).bytes, 4),
        ),
        ({"$uuid": "73ffd26444b34c6990e8e7d1dfc035d4"}, Binary(UUID(int=0x73FFD26444B34C6990E8E7D1DFC035D4).bytes, 4)),
        ({"$undefined": True}, None),
        ({"$regularExpression": {"pattern": "^a", "options": "i"}}, Regex("^a", "i")),
        ({"$regex": "^a", "$options": "i"}, {"$regex": "^a", "$options": "i"}),
    ],
)
def test_forms_of_extended_json_v1_are_accepted(ways: Ways, reader: Any, value: Any, stored: Any) -> None:
    response = ways("insertOne", document={"_id": 1, "v": value})
    assert response.status_code == 201, response.text
    found = reader.find_one()["v"]
    assert (found.replace(tzinfo=timezone.utc) if isinstance(found, datetime) else found) == stored
    # The same form is a condition.
    if not isinstance(stored, dict | Regex) and stored is not None:
        assert ways("findOne", filter={"v": value}).json()["document"]["_id"] == 1


def test_a_regular_expression_of_version_1_matches(ways: Ways, reader: Any) -> None:
    reader.insert_one({"_id": 1, "name": "Anna"})
    for condition in ({"$regex": "^a", "$options": "i"}, {"$regularExpression": {"pattern": "^a", "options": "i"}}):
        assert ways("findOne", filter={"name": condition}).json()["document"]["_id"] == 1


@pytest.mark.parametrize(
    "value",
    [
        {"$date": "yesterday"},
        {"$date": 1.5},
        {"$date": True},
        {"$binary": "AQI="},
        {"$binary": "AQI=", "$type": "100"},
        {"$uuid": "73ffd26444b34c69"},
        {"$oid": 1},
        {"$numberLong": 5},
    ],
)
def test_a_malformed_value_is_an_error(ways: Ways, reader: Any, value: Any) -> None:
    response = ways("insertOne", document={"v": value})
    assert (response.status_code, response.json()["error_code"]) == (400, "InvalidParameter")
    assert next(iter(value)) in response.json()["error"]
    assert reader.find_one() is None


@pytest.mark.parametrize(
    "repeated",
    ['"filter": {}, "filter": {"a": 1}', '"filter": null, "filter": {}', '"limit": 1, "limit": null'],
)
def test_a_repeated_argument_is_an_error(ways: Ways, repeated: str) -> None:
    response = ways.send("find", f"{json.dumps(ways.target)[:-1]}, {repeated}}}")
    assert (response.status_code, response.json()["error_code"]) == (400, "InvalidParameter")
    assert "is given more than once" in response.json()["error"]


def test_an_unknown_compatibility_is_an_error(mongodb_uri: str, tmp_path: Path) -> None:
    create_key(tmp_path, "all")
    configuration = f'compatibility = "realm"\nkeys_file = "keys.toml"\n[data_sources.C]\nuri = "{mongodb_uri}"'
    with pytest.raises(Exception, match="expected `gateway` or `atlas`"), gateway(tmp_path, configuration):
        pass
