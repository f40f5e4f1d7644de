"""Authentication and authorization at the gateway: keys, tokens, and each right, granted and missing."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner
from connect.eaas.mongodb.cli.main import main
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pymongo import MongoClient as PyMongoClient
from pymongo.errors import OperationFailure

from tests.gateways import Gateway, configured, create_key, gateway

SECRET = "a-secret-of-sixty-four-bytes-or-more-for-the-longest-of-algorithms-here"
ISSUER, AUDIENCE = "https://issuer.example.com", "data-api"


def pem(key: Any) -> bytes:
    """Return the public key as PEM."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))


RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def keys() -> dict[str, str]:
    """The keys by name; the gateway's fixture fills them in."""
    return {}


@pytest.fixture(scope="module")
def guarded(mongodb_uri: str, keys: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with two data sources, keys with different permissions, and three algorithms for tokens."""
    folder = tmp_path_factory.mktemp("gateway")
    for name, rights, places in [
        ("all", "read,write", ["*"]),
        ("reads", "read", ["*/app/*"]),
        ("writes", "write", ["*/app/*"]),
        ("one", "read,write", ["Cluster0/app/events_*"]),
        ("other", "read,write", ["Cluster1"]),
        ("code", "read,write,code", ["*"]),
        ("out", "read,write,out", ["*/app/*"]),
        ("out only", "read,out", ["*/app/*"]),
        ("stats", "read,stats", ["*/app/*"]),
    ]:
        keys[name] = create_key(folder, name, *places, rights=rights)
    keys["ended"] = create_key(folder, "ended", expires="2020-01-01T00:00:00Z")
    (folder / "secret").write_text(SECRET + "\n", encoding="utf-8")
    (folder / "public.pem").write_bytes(pem(EC_KEY))
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA_KEY.public_key())) | {"kid": "rsa-1", "use": "sig"}
    symmetric = {"kty": "oct", "k": "c2VjcmV0LWluLXRoZS1zZXQtb2YtcHVibGljLWtleXM", "kid": "oct-1", "alg": "HS256"}
    (folder / "jwks.json").write_text(json.dumps({"keys": [jwk, symmetric]}), encoding="utf-8")
    configuration = f"""
        keys_file = "keys.toml"
        [limits]
        failed_logins_per_minute = 100000
        [jwt]
        secret_file = "secret"
        public_key_file = "public.pem"
        jwks_file = "jwks.json"
        issuer = "{ISSUER}"
        audience = "{AUDIENCE}"
        [data_sources.Cluster0]
        uri = "{mongodb_uri}"
        [data_sources.Cluster1]
        uri = "{mongodb_uri}"
    """
    with gateway(folder, configuration) as running:
        yield running


def target(collection: str = "events_1", database: str = "app", source: str = "Cluster0") -> dict[str, str]:
    return {"dataSource": source, "database": database, "collection": collection}


READS: list[tuple[str, dict[str, Any]]] = [("findOne", {}), ("find", {}), ("aggregate", {"pipeline": []})]
WRITES: list[tuple[str, dict[str, Any]]] = [
    ("insertOne", {"document": {}}),
    ("insertMany", {"documents": [{}]}),
    ("updateOne", {"filter": {"none": 1}, "update": {"$set": {"a": 1}}}),
    ("updateMany", {"filter": {"none": 1}, "update": {"$set": {"a": 1}}}),
    ("replaceOne", {"filter": {"none": 1}, "replacement": {}}),
    ("deleteOne", {"filter": {"none": 1}}),
    ("deleteMany", {"filter": {"none": 1}}),
]


@pytest.mark.parametrize(("action", "body"), READS + WRITES)
def test_a_key_has_only_its_rights(guarded: Gateway, keys: dict[str, str], action: str, body: dict[str, Any]) -> None:
    right, wrong = ("reads", "writes") if (action, body) in READS else ("writes", "reads")
    assert guarded.post(action, target() | body, keys[right]).status_code in (200, 201)
    refused = guarded.post(action, target() | body, keys[wrong])
    assert (refused.status_code, refused.json()["error_code"]) == (403, "NoMatchingRuleFound")
    assert "app.events_1" in refused.json()["error"]


@pytest.mark.parametrize(
    ("key", "where", "may"),
    [
        ("one", target(), True),
        ("one", target("events_"), True),
        ("one", target("users"), False),
        ("one", target("xevents_1"), False),
        ("one", target(database="apps"), False),
        ("one", target(source="Cluster1"), False),
        ("other", target(source="Cluster1"), True),
        ("other", target(source="Cluster0"), False),
        ("reads", target("anything"), True),
        ("reads", target(database="App"), False),
    ],
)
def test_a_right_applies_to_matching_collections_only(
    guarded: Gateway, keys: dict[str, str], key: str, where: dict[str, str], may: bool
) -> None:
    assert guarded.post("findOne", where, keys[key]).status_code == (200 if may else 403)


def test_invalid_keys_get_the_errors_of_atlas(guarded: Gateway, keys: dict[str, str]) -> None:
    for key in (keys["ended"], "hunter2hunter2", keys["all"][:-1], keys["all"] + "x", keys["all"].upper()):
        response = guarded.post("findOne", target(), key)
        assert (response.status_code, response.json()["error_code"]) == (401, "InvalidSession")
    assert guarded.post("findOne", target()).json()["error"] == "no authentication methods were specified"
    # Only authenticated callers learn which actions exist.
    assert guarded.post("nonsense", target(), "hunter2hunter2").status_code == 401
    assert guarded.post("nonsense", target(), keys["all"]).status_code == 404
    assert not any("hunter2" in line for line in guarded.server.output)
    assert not any(key in line for key in keys.values() for line in guarded.server.output)


@pytest.mark.parametrize("database", ["admin", "config", "local"])
def test_internal_databases_are_not_available(guarded: Gateway, keys: dict[str, str], database: str) -> None:
    for action, body in READS + WRITES:
        assert guarded.post(action, target(database=database) | body, keys["code"]).status_code == 403
    assert guarded.post("find", target("system.users"), keys["code"]).status_code == 403


def test_nested_stages_are_checked_once(guarded: Gateway, keys: dict[str, str]) -> None:
    """Checking each level repeatedly would take minutes."""
    deep: Any = [1] * 50_000
    for _ in range(180):
        deep = {"coll": "events_1", "$unionWith": deep}
    response = guarded.post("find", target() | {"filter": {"$unionWith": deep}}, keys["all"])
    assert response.status_code in (400, 403)


def test_a_field_may_be_named_pipeline(guarded: Gateway, keys: dict[str, str]) -> None:
    body = {"filter": {"pipeline": [{"$oid2": 1}]}, "update": {"$set": {"pipeline": [{"a": 1}]}}}
    assert guarded.post("updateOne", target() | body, keys["all"]).status_code in (200, 400)


CODE: list[tuple[str, dict[str, Any]]] = [
    ("find", {"filter": {"$where": "true"}}),
    ("find", {"filter": {"$or": [{"a": 1}, {"$nor": [{"$where": "sleep(1)"}]}]}}),
    ("find", {"filter": {"$expr": {"$function": {"body": "x", "args": [], "lang": "js"}}}}),
    ("findOne", {"projection": {"a": {"$function": {"body": "x", "args": [], "lang": "js"}}}}),
    ("aggregate", {"pipeline": [{"$group": {"_id": 1, "a": {"$accumulator": {}}}}]}),
    ("aggregate", {"pipeline": [{"$facet": {"a": [{"$match": {"$where": "1"}}]}}]}),
    ("deleteMany", {"filter": {"$where": "true"}}),
    ("updateOne", {"filter": {}, "update": [{"$set": {"a": {"$function": {}}}}]}),
    ("aggregate", {"pipeline": [{"$project": {"a": {"$_internalJsEmit": {"eval": "x", "this": "$$ROOT"}}}}]}),
    ("aggregate", {"pipeline": [{"$group": {"_id": 1, "a": {"$_internalJsReduce": {"data": "$a", "eval": "x"}}}}]}),
]


@pytest.mark.parametrize(("action", "body"), CODE)
def test_server_side_code_requires_its_right(
    guarded: Gateway, keys: dict[str, str], action: str, body: dict[str, Any]
) -> None:
    refused = guarded.post(action, target() | body, keys["all"])
    assert (refused.status_code, refused.json()["error_code"]) == (403, "OperationNotAllowed")
    assert "right 'code'" in refused.json()["error"]
    # With the right, MongoDB decides.
    assert guarded.post(action, target() | body, keys["code"]).status_code in (200, 400)


def test_stored_values_may_be_named_like_operators(guarded: Gateway, keys: dict[str, str]) -> None:
    document = {"a": {"b": "$where"}, "text": "$function"}
    assert guarded.post("insertOne", target() | {"document": document}, keys["all"]).status_code == 201


@pytest.mark.parametrize(
    ("stage", "status"),
    [
        ({"$out": "events_2"}, 200),
        ({"$out": {"db": "app", "coll": "events_2"}}, 200),
        ({"$merge": "events_2"}, 200),
        ({"$merge": {"into": "events_2"}}, 200),
        ({"$merge": {"into": {"db": "app", "coll": "events_2"}}}, 200),
        ({"$out": {"db": "elsewhere", "coll": "events_2"}}, 403),
        ({"$merge": {"into": {"db": "elsewhere", "coll": "events_2"}}}, 403),
        ({"$out": {"db": "admin", "coll": "x"}}, 403),
        ({"$merge": {"into": {"db": "local", "coll": "x"}}}, 403),
        ({"$out": "system.users"}, 403),
    ],
)
def test_out_and_merge_require_their_right_and_write_on_the_target(
    guarded: Gateway, keys: dict[str, str], stage: dict[str, Any], status: int
) -> None:
    body = target("empty") | {"pipeline": [{"$match": {"none": 1}}, stage]}
    response = guarded.post("aggregate", body, keys["out"])
    # SecantusDB does not support all forms of all stages.
    assert response.status_code == status or (status == 200 and response.json()["error_code"] == "MongoDBError")
    assert guarded.post("aggregate", body, keys["all"]).status_code == 403
    assert guarded.post("aggregate", body, keys["out only"]).status_code == 403


@pytest.mark.parametrize(
    "stage",
    [
        {"$lookup": {"from": "users", "localField": "a", "foreignField": "b", "as": "c"}},
        {
            "$graphLookup": {
                "from": "users",
                "startWith": "$a",
                "connectFromField": "a",
                "connectToField": "b",
                "as": "c",
            }
        },
        {"$unionWith": "users"},
        {"$unionWith": {"coll": "users", "pipeline": []}},
        {"$lookup": {"from": {"db": "elsewhere", "coll": "events_1"}, "pipeline": [], "as": "c"}},
        {"$facet": {"a": [{"$lookup": {"from": "users", "pipeline": [], "as": "c"}}]}},
        {"$lookup": {"from": "events_1", "pipeline": [{"$unionWith": "users"}], "as": "c"}},
        {"$rankFusion": {"input": {"pipelines": {"a": [{"$unionWith": "users"}]}}}},
    ],
)
def test_cross_collection_reads_require_the_right_to_read(
    guarded: Gateway, keys: dict[str, str], stage: dict[str, Any]
) -> None:
    body = target() | {"pipeline": [stage]}
    assert guarded.post("aggregate", body, keys["one"]).status_code == 403


def test_a_lookup_is_allowed_with_the_right_to_read(guarded: Gateway, keys: dict[str, str]) -> None:
    guarded.post("insertOne", target("left") | {"document": {"a": 1}}, keys["all"])
    guarded.post("insertOne", target("right") | {"document": {"b": 1}}, keys["all"])
    lookup = {"from": "right", "localField": "a", "foreignField": "b", "as": "c"}
    response = guarded.post("aggregate", target("left") | {"pipeline": [{"$lookup": lookup}]}, keys["reads"])
    assert [len(document["c"]) for document in response.json()["documents"]] == [1]


def within(stage: str) -> list[dict[str, Any]]:
    """Return stages that contain this stage in a nested pipeline."""
    return [
        {"$facet": {"a": [{stage: {}}]}},
        {"$unionWith": {"coll": "events_1", "pipeline": [{stage: {}}]}},
        {"$lookup": {"from": "events_1", "as": "x", "pipeline": [{"$facet": {"b": [{stage: {}}]}}]}},
    ]


@pytest.mark.parametrize("stage", ["$collStats", "$indexStats", "$currentOp", "$listSessions", "$planCacheStats"])
def test_server_statistics_require_their_right(guarded: Gateway, keys: dict[str, str], stage: str) -> None:
    body: dict[str, Any] = {**target(), "pipeline": [{stage: {}}]}
    assert guarded.post("aggregate", body, keys["all"]).status_code == 403
    assert guarded.post("aggregate", body, keys["stats"]).status_code in (200, 400)
    for hidden in within(stage):
        body["pipeline"] = [hidden]
        assert guarded.post("aggregate", body, keys["all"]).status_code == 403


@pytest.mark.parametrize("stage", ["$_internalX", "$notYetKnown", "$mergeCursors", "$listCatalog", "$where"])
def test_an_unknown_stage_is_always_rejected(guarded: Gateway, keys: dict[str, str], stage: str) -> None:
    """No right tells what it would read or write."""
    for pipeline in [[{stage: {}}], *([hidden] for hidden in within(stage))]:
        for key in ("all", "code", "out", "stats"):
            response = guarded.post("aggregate", target() | {"pipeline": pipeline}, keys[key])
            assert (response.status_code, response.json()["error_code"]) == (403, "OperationNotAllowed")
            assert response.json()["error"] == f"'{stage}' is not a supported stage"


def forms(name: str) -> dict[str, Any]:
    """Return a name in each type of Extended JSON other than a string, or a similar value."""
    encoded = base64.b64encode(name.encode()).decode()
    return {
        "double": {"$numberDouble": "1.5"},
        "document": {"name": name},
        "empty document": {},
        "array": [name],
        "nested array": [[name]],
        "binary": {"$binary": {"base64": encoded, "subType": "00"}},
        "uuid": {"$uuid": "73ffd264-44b3-4c69-90e8-e7d1dfc035d4"},
        "undefined": {"$undefined": True},
        "object id": {"$oid": "6193504e1be4ab27791c8133"},
        "boolean": True,
        "date": {"$date": "2026-01-01T00:00:00Z"},
        "null": None,
        "regex": {"$regularExpression": {"pattern": name, "options": ""}},
        "db pointer": {"$dbPointer": {"$ref": name, "$id": {"$oid": "6193504e1be4ab27791c8133"}}},
        "code": {"$code": name},
        "symbol": {"$symbol": name},
        "code with scope": {"$code": name, "$scope": {}},
        "int": 1,
        "timestamp": {"$timestamp": {"t": 1, "i": 1}},
        "long": {"$numberLong": "1"},
        "decimal": {"$numberDecimal": "1"},
        "min key": {"$minKey": 1},
        "max key": {"$maxKey": 1},
    }


JOIN = {"from": "events_1", "as": "a"}
GRAPH = JOIN | {"startWith": "$a", "connectFromField": "a", "connectToField": "b"}

# Paths in a pipeline that authorization depends on, and their neighbours: a stage with a value at the
# path, the database or collection that the value names, and the types that MongoDB accepts there.
PATHS: dict[str, tuple[Callable[[Any], Any], str, set[str]]] = {
    "pipeline[0]": (lambda value: value, "vault", set()),
    "$out": (lambda value: {"$out": value}, "vault", set()),
    "$out.db": (lambda value: {"$out": {"db": value, "coll": "events_2"}}, "elsewhere", set()),
    "$out.coll": (lambda value: {"$out": {"db": "app", "coll": value}}, "vault", set()),
    "$out.coll alone": (lambda value: {"$out": {"coll": value}}, "vault", set()),
    "$out.timeseries": (
        lambda value: {"$out": {"db": "app", "coll": "events_2", "timeseries": value}},
        "vault",
        {"document", "empty document"},
    ),
    "$merge": (lambda value: {"$merge": value}, "vault", set()),
    "$merge.into": (lambda value: {"$merge": {"into": value}}, "vault", set()),
    "$merge.into.db": (lambda value: {"$merge": {"into": {"db": value, "coll": "events_2"}}}, "elsewhere", set()),
    "$merge.into.coll": (lambda value: {"$merge": {"into": {"db": "app", "coll": value}}}, "vault", set()),
    "$merge.on": (lambda value: {"$merge": {"into": "events_2", "on": value}}, "vault", {"array"}),
    "$merge.let": (
        lambda value: {"$merge": {"into": "events_2", "let": value, "whenMatched": []}},
        "vault",
        {"document", "empty document"},
    ),
    "$merge.whenMatched": (lambda value: {"$merge": {"into": "events_2", "whenMatched": value}}, "vault", set()),
    "$merge.whenMatched[0]": (lambda value: {"$merge": {"into": "events_2", "whenMatched": [value]}}, "vault", set()),
    "$merge.whenNotMatched": (lambda value: {"$merge": {"into": "events_2", "whenNotMatched": value}}, "vault", set()),
    "$lookup": (lambda value: {"$lookup": value}, "vault", set()),
    "$lookup.from": (lambda value: {"$lookup": JOIN | {"from": value, "pipeline": []}}, "vault", set()),
    "$lookup.from.db": (
        lambda value: {"$lookup": JOIN | {"from": {"db": value, "coll": "vault"}, "pipeline": []}},
        "elsewhere",
        set(),
    ),
    "$lookup.from.coll": (
        lambda value: {"$lookup": JOIN | {"from": {"db": "app", "coll": value}, "pipeline": []}},
        "vault",
        set(),
    ),
    "$lookup.as": (lambda value: {"$lookup": JOIN | {"as": value, "pipeline": []}}, "vault", set()),
    "$lookup.localField": (
        lambda value: {"$lookup": JOIN | {"localField": value, "foreignField": "a"}},
        "vault",
        set(),
    ),
    "$lookup.foreignField": (
        lambda value: {"$lookup": JOIN | {"localField": "a", "foreignField": value}},
        "vault",
        set(),
    ),
    "$lookup.let": (
        lambda value: {"$lookup": JOIN | {"let": value, "pipeline": []}},
        "vault",
        {"document", "empty document"},
    ),
    "$lookup.pipeline": (lambda value: {"$lookup": JOIN | {"pipeline": value}}, "vault", set()),
    "$lookup.pipeline[0]": (lambda value: {"$lookup": JOIN | {"pipeline": [value]}}, "vault", set()),
    "$graphLookup": (lambda value: {"$graphLookup": value}, "vault", set()),
    "$graphLookup.from": (lambda value: {"$graphLookup": GRAPH | {"from": value}}, "vault", set()),
    "$graphLookup.from.db": (
        lambda value: {"$graphLookup": GRAPH | {"from": {"db": value, "coll": "vault"}}},
        "elsewhere",
        set(),
    ),
    "$graphLookup.connectToField": (
        lambda value: {"$graphLookup": GRAPH | {"connectToField": value}},
        "vault",
        set(),
    ),
    "$graphLookup.restrictSearchWithMatch": (
        lambda value: {"$graphLookup": GRAPH | {"restrictSearchWithMatch": value}},
        "vault",
        {"document", "empty document"},
    ),
    "$unionWith": (lambda value: {"$unionWith": value}, "vault", set()),
    "$unionWith.coll": (lambda value: {"$unionWith": {"coll": value}}, "vault", set()),
    "$unionWith.db": (lambda value: {"$unionWith": {"db": value, "coll": "vault"}}, "elsewhere", set()),
    "$unionWith.pipeline": (lambda value: {"$unionWith": {"coll": "events_1", "pipeline": value}}, "vault", set()),
    "$facet": (lambda value: {"$facet": value}, "vault", {"empty document"}),
    "$facet.a": (lambda value: {"$facet": {"a": value}}, "vault", set()),
    "$facet.a[0]": (lambda value: {"$facet": {"a": [value]}}, "vault", set()),
    "$unionWith.db in $facet": (
        lambda value: {"$facet": {"a": [{"$unionWith": {"db": value, "coll": "vault"}}]}},
        "elsewhere",
        set(),
    ),
    "$unionWith.db in $lookup": (
        lambda value: {"$lookup": JOIN | {"pipeline": [{"$unionWith": {"db": value, "coll": "vault"}}]}},
        "elsewhere",
        set(),
    ),
    "$lookup.from.db in $unionWith": (
        lambda value: {
            "$unionWith": {
                "coll": "events_1",
                "pipeline": [{"$lookup": {"from": {"db": value, "coll": "vault"}, "as": "a", "pipeline": []}}],
            }
        },
        "elsewhere",
        set(),
    ),
    "$rankFusion.input.pipelines.a": (
        lambda value: {"$rankFusion": {"input": {"pipelines": {"a": value}}}},
        "vault",
        set(),
    ),
}


def outside(client: PyMongoClient[dict[str, Any]]) -> dict[str, Any]:
    """Return the names of all databases, and all documents of the one that the tests name and the key may not access.

    Other tests have databases on the same server, of any size.
    """
    elsewhere = client["elsewhere"]
    stored = {name: list(elsewhere[name].find(sort=[("_id", 1)])) for name in elsewhere.list_collection_names()}
    return {"databases": sorted(client.list_database_names()), "elsewhere": stored}


@pytest.fixture(scope="module")
def vault(pymongo_client: PyMongoClient[dict[str, Any]]) -> str:
    """Store a text in `elsewhere.vault`, which the key must not read."""
    collection = pymongo_client["elsewhere"]["vault"]
    collection.replace_one({"_id": 1}, {"text": "kept-elsewhere"}, upsert=True)
    pymongo_client["app"]["events_1"].replace_one({"_id": "matrix"}, {"a": 1}, upsert=True)
    return "kept-elsewhere"


@pytest.mark.parametrize("path", PATHS)
def test_a_value_of_another_type_is_not_ignored(
    guarded: Gateway, keys: dict[str, str], pymongo_client: PyMongoClient[dict[str, Any]], vault: str, path: str
) -> None:
    stage, name, accepted = PATHS[path]
    before = outside(pymongo_client)
    wrong = {}
    with guarded.client(keys["out"]) as client:
        for form, value in forms(name).items():
            response = client.post("aggregate", json=target() | {"pipeline": [stage(value)]})
            assert vault not in response.text
            # Where MongoDB accepts the type, MongoDB decides.
            if form in accepted:
                assert response.status_code in (200, 400), form
            elif response.status_code not in (400, 403) or response.json()["error_code"] == "MongoDBError":
                wrong[form] = response.text
            else:
                assert re.search(r"'.+' (must|has|is|cannot) |the database", response.json()["error"]), response.text
    assert wrong == {}
    assert outside(pymongo_client) == before


@pytest.mark.parametrize("action", [name for name, _ in READS + WRITES])
@pytest.mark.parametrize("field", ["dataSource", "database", "collection"])
def test_a_namespace_of_another_type_is_rejected(
    guarded: Gateway, keys: dict[str, str], action: str, field: str
) -> None:
    body = target() | dict(READS + WRITES)[action]
    with guarded.client(keys["out"]) as client:
        for form, value in forms(body[field]).items():
            response = client.post(action, json=body | {field: value})
            assert (response.status_code, response.json()["error"]) == (400, f"'{field}' must be a string"), form


@pytest.mark.parametrize(
    ("action", "field", "accepted"),
    [
        *((action, "filter", {"document"}) for action, _ in [*READS[:2], *WRITES[2:]]),
        ("find", "projection", {"document"}),
        ("findOne", "projection", {"document"}),
        ("find", "sort", {"document"}),
        ("updateOne", "update", set()),
        ("updateMany", "update", set()),
        ("replaceOne", "replacement", {"document"}),
        ("aggregate", "pipeline", set()),
        ("insertOne", "document", {"document"}),
        ("insertMany", "documents", set()),
    ],
)
def test_a_parameter_of_another_type_is_rejected(
    guarded: Gateway, keys: dict[str, str], action: str, field: str, accepted: set[str]
) -> None:
    body = target("parts") | dict(READS + WRITES)[action]
    with guarded.client(keys["out"]) as client:
        for form, value in forms("vault").items():
            is_absent = form == "null" and (field in ("projection", "sort") or action in ("findOne", "find"))
            if form.removeprefix("empty ") not in accepted and not is_absent:
                response = client.post(action, json=body | {field: value})
                assert (response.status_code, response.json()["error_code"]) == (400, "InvalidParameter"), form
                assert f"'{field}" in response.json()["error"] or "in 'update'" in response.json()["error"]


@pytest.mark.parametrize(
    "stage",
    [
        '{"$match": {}, "$out": "vault"}',
        '{"$out": "events_2", "$out": {"db": "elsewhere", "coll": "vault"}}',
        '{"$out": {"db": "elsewhere", "coll": "vault", "db": "app"}}',
        '{"$out": {"db": "app", "coll": "vault", "db": "elsewhere"}}',
        '{"$out": {"db": "app", "coll": "vault", "s3": {"bucket": "elsewhere"}}}',
        '{"$out": {"coll": "events_2", "atlas": {"clusterName": "other", "db": "elsewhere", "coll": "vault"}}}',
        '{"$merge": {"into": "events_2", "into": {"db": "elsewhere", "coll": "vault"}}}',
        '{"$merge": {"into": "events_2", "db": "elsewhere"}}',
        '{"$merge": {"into": "events_2", "whenMatched": [{"$lookup": {"from": "events_1", "as": "a"}}]}}',
        '{"$merge": {"into": "events_2", "whenMatched": [{"$set": {"a": 1}, "$unionWith": "b"}]}}',
        '{"$lookup": {"from": "events_1", "from": {"db": "elsewhere", "coll": "vault"}, "as": "a", "pipeline": []}}',
        '{"$lookup": {"from": {"coll": "vault", "db": "app", "db": "elsewhere"}, "as": "a", "pipeline": []}}',
        '{"$lookup": {"from": {"db": "elsewhere"}, "as": "a", "pipeline": []}}',
        '{"$lookup": {"From": {"db": "elsewhere", "coll": "vault"}, "as": "a", "pipeline": []}}',
        '{"$lookup": {"as": "a", "pipeline": [{"$match": {}}]}}',
        '{"$lookup": {"as": "a", "pipeline": []}}',
        '{"$unionWith": {"coll": "vault", "pipeline": [], "db": "elsewhere"}}',
        '{"$unionWith": {"pipeline": [{"$unionWith": {"db": "elsewhere", "coll": "vault"}}]}}',
        '{"$unionWith": {"pipeline": [{"$documents": []}, {"$unionWith": {"db": "elsewhere", "coll": "vault"}}]}}',
        '{"$unionWith": {"coll": {"db": "elsewhere", "coll": "vault"}}}',
        '{"$facet": {"a": [{"$out": "events_2"}]}}',
        '{"$facet": {"a": {"0": {"$unionWith": {"db": "elsewhere", "coll": "vault"}}}}}',
        '{"$set": {"a": {"$lookup": {"from": {"db": "elsewhere", "coll": "vault"}}}}}',
        '{"$unionWith": {"db": "app.x", "coll": "vault"}}',
        '{"$unionWith": {"db": "app\\u0000elsewhere", "coll": "vault"}}',
        '{"$unionWith": {"db": "", "coll": "elsewhere.vault"}}',
        '{"$unionWith": {"db": "APP", "coll": "vault"}}',
        '{"$unionWith": {"db": "\\uff41pp", "coll": "vault"}}',
        '{"$unionWith": {"db": "app\\u0301", "coll": "vault"}}',
        '{"$unionWith": {"db": "app ", "coll": "vault"}}',
        '{"$unionWith": {"db": "$external", "coll": "vault"}}',
        '{"$unionWith": "$cmd.aggregate"}',
        '{"$unionWith": ""}',
        '{"$unionWith": ".."}',
        '{"$unionWith": "a\\u0000b"}',
        '{"$out": "a\\u0000b"}',
        '{"$out": ""}',
        '{"$out": {"db": "app.elsewhere", "coll": "vault"}}',
        '{"$OUT": {"db": "elsewhere", "coll": "vault"}}',
        '{"$out ": {"db": "elsewhere", "coll": "vault"}}',
        '{"$set": {"a": 1, "a": 2}}',
        '{"out": 1}',
        '{"": 1}',
        "{}",
    ],
)
def test_an_ambiguous_stage_is_rejected(
    guarded: Gateway, keys: dict[str, str], pymongo_client: PyMongoClient[dict[str, Any]], vault: str, stage: str
) -> None:
    before = outside(pymongo_client)
    body = json.dumps(target())[:-1] + f', "pipeline": [{stage}]}}'
    response = guarded.post("aggregate", body.encode(), keys["out"])
    assert response.status_code in (400, 403)
    assert response.json()["error_code"] != "MongoDBError", response.text
    assert vault not in response.text
    assert outside(pymongo_client) == before


def test_only_the_last_stage_may_write(guarded: Gateway, keys: dict[str, str]) -> None:
    response = guarded.post("aggregate", target() | {"pipeline": [{"$out": "a"}, {"$match": {}}]}, keys["out"])
    assert (response.status_code, response.json()["error"]) == (
        400,
        "'$out' must be the last stage of the whole pipeline",
    )


def test_an_update_pipeline_accepts_only_update_stages(guarded: Gateway, keys: dict[str, str]) -> None:
    stages: list[dict[str, Any]] = [{"$lookup": JOIN}, {"$unionWith": "events_1"}, {"$match": {}}, {"$out": "events_2"}]
    for stage in stages:
        response = guarded.post("updateOne", target() | {"filter": {}, "update": [stage]}, keys["out"])
        assert (response.status_code, response.json()["error_code"]) == (400, "InvalidParameter")


@pytest.mark.parametrize(
    "field", ["dataSource", "database", "collection", "filter", "projection", "sort", "limit", "skip"]
)
def test_a_repeated_field_of_a_request_is_rejected(guarded: Gateway, keys: dict[str, str], field: str) -> None:
    body = {**target(), "filter": {}, "projection": {}, "sort": {}, "limit": 1, "skip": 0}
    twice = json.dumps(body)[:-1] + f', "{field}": {json.dumps(body[field])}}}'
    response = guarded.post("find", twice.encode(), keys["out"])
    assert (response.status_code, response.json()["error"]) == (400, f"'{field}' is given more than once")


def test_a_repeated_condition_is_rejected(guarded: Gateway, keys: dict[str, str]) -> None:
    """Otherwise only the last of two conditions on a field would apply."""
    body = json.dumps(target())[:-1] + ', "filter": {"a": {"$gt": 5}, "b": [{"c": 1, "c": 2}]}}'
    response = guarded.post("deleteMany", body.encode(), keys["all"])
    assert (response.status_code, response.json()["error"]) == (400, "a document has the field 'c' more than once")


def test_a_view_requires_only_the_right_to_read_the_view(
    guarded: Gateway, keys: dict[str, str], pymongo_client: PyMongoClient[dict[str, Any]]
) -> None:
    """As in MongoDB: creating a view makes its documents available."""
    pymongo_client["app"].drop_collection("events_view")
    pymongo_client["app"]["users"].replace_one({"_id": 1}, {"name": "x", "password": "y"}, upsert=True)
    try:
        pymongo_client["app"].create_collection("events_view", viewOn="users", pipeline=[{"$project": {"name": 1}}])
    except OperationFailure as error:
        pytest.skip(f"the server has no views: {error}")
    assert guarded.post("find", target("events_view"), keys["one"]).json()["documents"] == [{"_id": 1, "name": "x"}]
    assert guarded.post("find", target("users"), keys["one"]).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {"database": {"$ne": "x"}},
        {"collection": "c" * 300},
        {"dataSource": "d" * 200},
        {"database": "app/../admin"},
        {"database": "app\u0000admin"},
        {"database": "app.$cmd"},
        {"database": "$external"},
        {"collection": "$cmd"},
        {"collection": "a\u0000b"},
        {"collection": ["events"]},
        {"collection": ""},
        {"dataSource": "Cluster2"},
        {"dataSource": {"$gt": ""}},
    ],
)
def test_invalid_names_are_rejected(guarded: Gateway, keys: dict[str, str], body: dict[str, Any]) -> None:
    response = guarded.post("findOne", target() | body, keys["code"])
    assert (response.status_code, response.json()["error_code"]) in (
        (400, "InvalidParameter"),
        (403, "InvalidParameter"),
    )


@pytest.mark.parametrize("option", ["writeConcern", "readConcern", "$db", "lsid", "explain", "txnNumber", "find"])
def test_unknown_fields_are_not_sent_to_mongodb(guarded: Gateway, keys: dict[str, str], option: str) -> None:
    body = target("options") | {"filter": {}, option: {"nonsense": 1}}
    response = guarded.post("find", body, keys["all"])
    assert (response.status_code, response.json()["error_code"]) == (400, "InvalidParameter")
    assert f"'{option}' is not " in response.json()["error"]


def claims(**more: Any) -> dict[str, Any]:
    """Return the claims of a token, valid by default."""
    permissions = [{"database": "app", "allow": ["read"]}]
    usual = {"sub": "service", "iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 600, "permissions": permissions}
    return {name: value for name, value in (usual | more).items() if value is not None}


def token(key: Any = SECRET, algorithm: str = "HS256", kid: str | None = None, **more: Any) -> str:
    return jwt.encode(claims(**more), key, algorithm, headers={"kid": kid} if kid else None)


def status(running: Gateway, bearer: str, action: str = "findOne", **body: Any) -> int:
    headers = {"Authorization": f"Bearer {bearer}"}
    return running.post(action, target() | body, **headers).status_code


@pytest.mark.parametrize(
    "arguments",
    [(SECRET, "HS256"), (EC_KEY, "ES256"), (RSA_KEY, "RS256", "rsa-1"), (RSA_KEY, "RS256")],
    ids=["HS256", "ES256", "RS256 by its id", "RS256"],
)
def test_a_token_has_the_permissions_of_its_claims(guarded: Gateway, arguments: tuple[Any, ...]) -> None:
    bearer = token(*arguments)
    assert status(guarded, bearer) == 200
    assert status(guarded, bearer, "insertOne", document={}) == 403
    assert status(guarded, bearer, database="elsewhere") == 403


def raw_token(**more: Any) -> str:
    """Create a token with claims that PyJWT rejects."""
    return jwt.api_jws.encode(json.dumps(claims(**more)).encode(), SECRET, "HS256", headers={"typ": "JWT"})


def demanding() -> str:
    return jwt.encode(claims(), SECRET, "HS256", headers={"crit": ["b64x"], "b64x": True})


def unsigned() -> str:
    return jwt.encode(claims(), "", "none")


@pytest.mark.parametrize(
    ("what", "bearer"),
    [
        ("expired", token(exp=time.time() - 3600)),
        ("not valid yet", token(nbf=time.time() + 3600)),
        ("without exp", token(exp=None)),
        ("with another issuer", token(iss="https://evil.example.com")),
        ("without an issuer", token(iss=None)),
        ("with another audience", token(aud="other")),
        ("without an audience", token(aud=None)),
        ("without a subject", token(sub=None)),
        ("without permissions", token(permissions=None)),
        ("with permissions that are a string", token(permissions="all")),
        ("with an unknown right", token(permissions=[{"allow": ["root"]}])),
        ("with a right that is a document", token(permissions=[{"allow": [{"read": None}]}])),
        ("with a right that is not in a list", token(permissions=[{"allow": "read"}])),
        ("with a permission that is a list", token(permissions=[["*", "*", "*", ["read"]]])),
        ("with permissions that are not a list", token(permissions={"allow": ["read"]})),
        ("with a database that is null", token(permissions=[{"database": None, "allow": ["read"]}])),
        ("with databases in a list", token(permissions=[{"database": ["app"], "allow": ["read"]}])),
        ("with a database that is a document", token(permissions=[{"database": {"$ne": "x"}, "allow": ["read"]}])),
        ("with an unknown field", token(permissions=[{"databases": "app", "allow": ["read"]}])),
        ("with exp as a string", raw_token(exp=str(int(time.time()) + 600))),
        ("with nbf as a string", raw_token(nbf=str(int(time.time()) - 600))),
        ("with nbf as a list", raw_token(nbf=[int(time.time()) - 600])),
        ("with several issuers", raw_token(iss=[ISSUER, "https://evil.example.com"])),
        ("with an audience that is a document", raw_token(aud={"data-api": 1})),
        ("with sub as a number", raw_token(sub=5)),
        ("signed by another key", token(OTHER_RSA_KEY, "RS256", "rsa-1")),
        ("with another key ID", token(RSA_KEY, "RS256", "rsa-2")),
        ("with another secret", token("another-" + SECRET)),
        ("signed by a symmetric key of the public set", token("secret-in-the-set-of-public-keys", kid="oct-1")),
        ("with another algorithm", token(SECRET, "HS512")),
        ("unsigned", unsigned()),
        ("with an unknown critical header", demanding()),
        ("with a subject that is too long", token(sub="x" * 300)),
        ("truncated", token()[:-2]),
        ("nonsense", "nonsense"),
        ("a dot", "."),
    ],
    ids=lambda value: value if " " in value or len(value) < 20 else "",
)
def test_invalid_tokens_are_rejected(guarded: Gateway, what: str, bearer: str) -> None:
    assert status(guarded, bearer) == 401, what


def test_a_public_key_is_not_accepted_as_a_secret(guarded: Gateway) -> None:
    """The algorithm confusion attack: HS256 with the public key as the secret."""
    header, body = (jwt.utils.base64url_encode(json.dumps(part).encode()) for part in ({"alg": "HS256"}, claims()))
    message = header + b"." + body
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(message, pem(EC_KEY))
    forged = (message + b"." + jwt.utils.base64url_encode(signature)).decode()
    assert status(guarded, forged) == 401


ANYWHERE = ["--allow", "read,write", "--on", "*"]


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["key", *arguments])
    return result.exit_code, result.output


def test_keys_are_created_listed_and_revoked(mongodb_uri: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    file = ["--file", str(path)]
    code, output = run("create", *file, "--name", "shop", "--allow", "read", "--on", "*/app/*", "--expires", "30d")
    assert code == 0
    shop = output.strip()
    assert path.stat().st_mode & 0o777 == 0o600
    assert shop not in path.read_text(encoding="utf-8")
    every = run("create", *file, "--name", "every", *ANYWHERE)[1].strip()
    code, listed = run("list", *file)
    assert code == 0
    assert "shop: read on */app/*; expires 20" in listed
    assert "every: read,write on */*/*; never expires" in listed
    assert every not in listed
    configuration = configured(mongodb_uri)
    with gateway(tmp_path, configuration) as running:
        assert running.post("findOne", target(), shop).status_code == 200
        assert running.post("findOne", target(database="other"), shop).status_code == 403
        assert run("revoke", *file, "--name", "shop")[0] == 0
        new = run("create", *file, "--name", "new", *ANYWHERE)[1].strip()
        running.reload()
        assert running.post("findOne", target(), shop).status_code == 401
        assert running.post("findOne", target(), every).status_code == 200
        assert running.post("findOne", target(), new).status_code == 200
        # An invalid file changes nothing.
        path.write_text("salt = 5\n[[key]]\n", encoding="utf-8")
        running.reload("stay in use")
        assert running.post("findOne", target(), every).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["create", "--name", "a b/c", *ANYWHERE], "a key's name must have 1 to 64 characters"),
        (
            ["create", "--name", "k", "--allow", "root", "--on", "*"],
            "a right must be one of read, write, code, out, stats",
        ),
        (
            ["create", "--name", "k", "--allow", "read", "--on", "a/b/c/d"],
            "a place must be DATA_SOURCE/DATABASE/COLLECTION",
        ),
        (["create", "--name", "k", *ANYWHERE, "--expires", "soon"], "the expiry time must have a form like 2027-01-31"),
        (["create", "--name", "taken", *ANYWHERE], "a key named taken already exists"),
        (["revoke", "--name", "nobody"], "no key is named nobody"),
    ],
)
def test_errors_of_the_key_command_are_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    create_key(tmp_path, "taken")
    before = (tmp_path / "keys.toml").read_text(encoding="utf-8")
    code, output = run(arguments[0], "--file", str(tmp_path / "keys.toml"), *arguments[1:])
    assert code == 2
    assert message in output
    assert output.count("\n") == 1
    assert (tmp_path / "keys.toml").read_text(encoding="utf-8") == before


def test_updates_keep_a_key_files_link_and_mode(tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    link = tmp_path / "keys.toml"
    link.symlink_to(real)
    assert run("create", "--file", str(link), "--name", "k", *ANYWHERE)[0] == 0
    real.chmod(0o640)
    assert run("create", "--file", str(link), "--name", "other", *ANYWHERE)[0] == 0
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    # Without the rights that the gateway rejects.
    real.chmod(0o666)
    assert run("revoke", "--file", str(link), "--name", "other")[0] == 0
    assert real.stat().st_mode & 0o777 == 0o640
    assert run("create", "--file", str(link), "--name", "other", *ANYWHERE)[0] == 0
    assert run("list", "--file", str(link))[1].count("\n") == 2


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can change a file's owner")
def test_updates_keep_a_key_files_owner(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    create_key(tmp_path, "k")
    os.chown(path, 1, 1)
    assert run("revoke", "--file", str(path), "--name", "k")[0] == 0
    assert (path.stat().st_uid, path.stat().st_gid) == (1, 1)


def test_a_missing_key_file_is_an_error(tmp_path: Path) -> None:
    assert run("list", "--file", str(tmp_path / "none"))[0] == 2
