"""Tests the gateway against MongoDB's OpenAPI description of the Data API, and against its own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from connect.eaas.mongodb import _native
from hypothesis import HealthCheck, settings

from tests.conftest import API_KEY

DATA = Path(__file__).parent / "data"
ATLAS: dict[str, Any] = json.loads((DATA / "atlas-data-api-openapi.json").read_text(encoding="utf-8"))
OURS: dict[str, Any] = json.loads(_native.gateway_openapi())
ACTIONS = {path.rsplit("/", 1)[1]: item["post"] for path, item in ATLAS["paths"].items()}
MEDIA_TYPES = ("application/json", "application/ejson")


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of a schema of Atlas, with references and `allOf` resolved."""
    if "$ref" in schema:
        return resolved(ATLAS["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    properties: dict[str, Any] = dict(schema.get("properties", {}))
    required = list(schema.get("required", []))
    for part in schema.get("allOf", []):
        of_part = resolved(part)
        properties |= of_part["properties"]
        required += of_part["required"]
    return {"properties": properties, "required": required}


def samples() -> list[tuple[str, str]]:
    """Return the curl commands of MongoDB's documentation, by action."""
    return [
        (action, sample["source"])
        for action, operation in ACTIONS.items()
        for sample in operation.get("x-codeSamples", [])
        if sample["lang"] == "cURL"
    ]


@pytest.mark.parametrize(("action", "command"), samples(), ids=[action for action, _ in samples()])
def test_curl_commands_of_mongodbs_documentation_work(gateway_url: str, action: str, command: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = command.replace("https://data.mongodb-api.com", gateway_url)
    ended = subprocess.run(
        ["bash", "-c", command],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "CLIENT_APP_ID": "data-abcde", "API_KEY": API_KEY},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    response = json.loads(ended.stdout)
    assert "error" not in response, response
    assert set(response) <= set(response_fields(action))


def response_fields(action: str) -> dict[str, Any]:
    """Return the fields of an action's response in Atlas's description."""
    # Atlas responded to inserts with 201, although its description says 200.
    response = ACTIONS[action]["responses"]["200"]
    schema = response["content"]["application/json"]["schema"]
    properties: dict[str, Any] = resolved(schema)["properties"]
    return properties


def examples() -> list[tuple[str, str, Any]]:
    """Return the example bodies of MongoDB's description."""
    found = []
    for action, operation in ACTIONS.items():
        for media_type, content in operation["requestBody"]["content"].items():
            bodies = [content["example"]] if "example" in content else []
            bodies += [content["schema"]["example"]] if "example" in content["schema"] else []
            bodies += [example["value"] for example in content.get("examples", {}).values() if "value" in example]
            # The example of `aggregate` is only a pipeline.
            found += [(action, media_type, body) for body in bodies if "dataSource" in body]
    return found


@pytest.mark.parametrize(("action", "media_type", "body"), examples())
@pytest.mark.parametrize("accept", MEDIA_TYPES)
def test_examples_of_mongodbs_description_work(
    gateway_url: str, action: str, media_type: str, body: Any, accept: str
) -> None:
    headers = {"api-key": API_KEY, "Content-Type": media_type, "Accept": accept}
    url = f"{gateway_url}/app/data-abcde/endpoint/data/v1/action/{action}"
    response = httpx.post(url, content=json.dumps(body), headers=headers)
    assert response.status_code == (201 if action.startswith("insert") else 200), response.text
    assert response.headers["content-type"] == accept
    assert set(response.json()) <= set(response_fields(action))


@pytest.mark.parametrize("action", ACTIONS)
def test_our_description_covers_mongodbs(action: str) -> None:
    theirs = resolved(ACTIONS[action]["requestBody"]["content"]["application/json"]["schema"])
    ours = OURS["paths"][f"/action/{action}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(theirs["properties"]) <= set(ours["properties"])
    # We require no additional fields.
    assert set(ours["required"]) <= set(theirs["required"]) | {"filter", "update", "document", "documents", "pipeline"}
    assert set(theirs["required"]) - {"filter"} <= set(ours["required"])


def body_schema(action: str) -> dict[str, Any]:
    """Return the schema of an action's body in our description."""
    schema = OURS["paths"][f"/action/{action}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    body: dict[str, Any] = schema
    return body


def valid_value(name: str) -> Any:
    """Return a valid value for a field."""
    texts = {"dataSource": "Cluster0", "database": "contract", "collection": "c"}
    lists: dict[str, Any] = {"documents": [{}], "pipeline": [], "arrayFilters": []}
    options = {"hint": {"_id": 1}, "collation": {"locale": "en"}, "maxTimeMS": 10_000, "batchSize": 10}
    options |= {"allowDiskUse": False, "cursor": True, "close": False, "key": "a"}
    options |= {"returnNewDocument": True, "returnDocument": "after"}
    other: dict[str, Any] = {
        "update": {"$set": {"a": 1}},
        "upsert": False,
        "ordered": True,
        "limit": 1,
        "skip": 0,
        "sort": {"a": 1},
    }
    return (texts | lists | options | other).get(name, {})


OUR_ACTIONS = [path.rsplit("/", 1)[1] for path in OURS["paths"] if path.startswith("/action/")]


@pytest.mark.parametrize("action", OUR_ACTIONS)
def test_our_description_matches_our_validation(gateway_url: str, action: str) -> None:
    schema = body_schema(action)
    whole = {name: valid_value(name) for name in schema["properties"]}
    if "operations" in whole:
        names = {"action": "insertOne", "database": "contract", "collection": "c"}
        whole["operations"] = [
            {"insertOne": {"document": {}}} if action == "bulkWrite" else names | {"document": {}},
        ]
    headers = {"api-key": API_KEY}
    with httpx.Client(base_url=gateway_url, headers=headers) as client:
        assert client.post(f"/action/{action}", json=whole).status_code in (200, 201)
        for name in schema["properties"]:
            without = {field: value for field, value in whole.items() if field != name}
            response = client.post(f"/action/{action}", json=without)
            if name in schema["required"]:
                assert (response.status_code, response.json()["error_code"]) == (400, "MissingParameter")
            else:
                assert response.status_code in (200, 201)
            if name == "comment":
                # MongoDB accepts any value.
                continue
            wrong = client.post(f"/action/{action}", json=whole | {name: 1.5})
            assert (wrong.status_code, wrong.json()["error_code"]) == (400, "InvalidParameter"), name
            assert f"'{name}'" in wrong.json()["error"]


def test_the_description_and_its_page_are_served(gateway_url: str) -> None:
    assert httpx.get(f"{gateway_url}/openapi.json").json() == OURS
    page = httpx.get(f"{gateway_url}/docs")
    assert page.headers["content-type"].startswith("text/html")
    # The page loads nothing from other hosts.
    assert not re.search(r"(?:src|href)=[\"']?https?://", page.text)


schemathesis.serializer.alias("application/ejson", "application/json")
# A change stream has no end.
schema = schemathesis.openapi.from_dict(OURS).exclude(path="/watch")


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_all_responses_match_the_description(case: Any, gateway_url: str) -> None:
    """Valid and invalid requests get no 500, and no undescribed status, type or body."""
    case.headers = {**(case.headers or {}), "api-key": API_KEY}
    response = case.call(base_url=gateway_url)
    assert response.status_code < 500, (response.request.body, response.text)
    checks = schemathesis.checks
    case.validate_response(
        response,
        checks=[
            checks.not_a_server_error,
            *checks.CHECKS.get_by_names(
                ["status_code_conformance", "content_type_conformance", "response_schema_conformance"]
            ),
        ],
    )
