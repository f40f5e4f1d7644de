"""Rules from who calls: no request reads or changes what the rule of its caller excludes.

The property tests send requests of a grammar to two databases that differ only in what the rules exclude. A caller
whose responses are the same for both learns nothing of it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from click.testing import CliRunner
from connect.eaas.mongodb.cli.main import main
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient as PyMongoClient

from tests.gateways import Gateway, create_key, gateway, section

Document = dict[str, Any]

MARKER = "EXCLUDED"
"""What no response may contain: it is in each excluded document and hidden field, and in no request."""

SECRET = "a-secret-of-thirty-two-bytes-or-more-for-tokens"

WORLDS = [f"tests_{os.getpid()}_rules_{world}" for world in (1, 2)]

SCHEMA = {
    "type": "object",
    "required": ["owner", "n"],
    "properties": {"owner": {"type": "string"}, "n": {"type": "integer", "maximum": 100}, "tags": {"type": "array"}},
}

PERMISSIONS: list[tuple[str, str, str]] = [
    # The collections, the rights, and the rule.
    ("notes", "read,write", 'filter = { owner = "%%user.id" }, fields = { deny = ["secret", "meta.key", "private"] }'),
    ("tasks", "read", 'filter = { "$or" = [{ owner = "%%user.id" }, { public = true }] }'),
    ("tasks", "write", f"filter = {{ owner = '%%user.id' }}, schema = '{json.dumps(SCHEMA)}'"),
    ("people", "read,write", 'fields = { allow = ["name", "address.city", "n"] }'),
    ("docs", "read,write", 'filter = { owner = "%%user.id", n = { "$lt" = 100 } }'),
    ("open", "read,write", ""),
    ("*", "out,stats,code", ""),
]
COLLECTIONS = ["notes", "tasks", "people", "docs", "open"]


def permissions() -> str:
    listed = []
    for collection, rights, rule in PERMISSIONS:
        allow = json.dumps(rights.split(","))
        listed.append(f'{{ collection = "{collection}", allow = {allow}{", " if rule else ""}{rule} }}')
    return f"permissions = [{', '.join(listed)}]"


@pytest.fixture(scope="module")
def keys() -> dict[str, str]:
    """The keys by name; the gateway's fixture fills them in."""
    return {}


@pytest.fixture(scope="module")
def ruled(mongodb_uri: str, keys: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a key that is named `ann`, whose permissions have rules, and one without rules."""
    folder = tmp_path_factory.mktemp("rules")
    keys["ann"] = create_key(folder, "ann", "*")
    path = folder / "keys.toml"
    text = re.sub(r"permissions = \[.*\]", lambda _: permissions(), path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    keys["all"] = create_key(folder, "all", "*")
    (folder / "secret").write_text(SECRET, encoding="utf-8")
    configuration = f"""
        keys_file = "keys.toml"
        access_log = false
        [jwt]
        secret_file = "secret"
        [data_sources.x]
        uri = "{mongodb_uri}"
    """
    with gateway(folder, configuration) as running:
        yield running


@pytest.fixture(scope="module")
def ann(ruled: Gateway, keys: dict[str, str]) -> Iterator[httpx.Client]:
    """A client with the key that has rules."""
    with ruled.client(keys["ann"]) as client:
        yield client


def contents(world: int) -> dict[str, list[Document]]:
    """The documents of a world. What the rules exclude differs: its values, their types, and their number."""
    hidden: list[Any] = [[41, f"{MARKER}-1", 42, None], [f"{MARKER}-2", 42, 41, {"a": f"{MARKER}-2"}]][world]
    others = [10, f"{MARKER}-3", 41] if world == 0 else [41, 20, f"{MARKER}-4"]
    notes = [
        {"_id": 1, "owner": "ann", "title": "a", "n": 1, "tags": ["x", "y"], "meta": {"a": 1, "key": hidden[0]}},
        {"_id": 2, "owner": "ann", "title": "b", "n": 2, "secret": hidden[1], "private": {"key": hidden[2]}},
        {"_id": 3, "owner": "ann", "title": "c", "n": 3, "secret": hidden[3], "meta": {"a": "z"}, "tags": []},
    ]
    for number, value in enumerate(others):
        notes.append({"_id": 10 + number, "owner": "bob", "title": value, "n": value, "meta": {"a": value}})
    if world == 1:
        notes.append({"_id": "more", "owner": "cyd", "title": "a", "n": 1, "secret": f"{MARKER}-5"})
    tasks = [
        {"_id": 1, "owner": "ann", "n": 1, "tags": []},
        {"_id": 2, "owner": "ann", "n": 2, "public": True},
        {"_id": 3, "owner": "bob", "n": 3, "public": True},
        {"_id": 4, "owner": "bob", "n": others[0], "note": f"{MARKER}-6{world}", "ref": others[1]},
        {"_id": 5, "owner": "bob", "n": others[1], "public": False, "ref": 1},
    ]
    people = [
        {"_id": 1, "name": "ann", "n": 1, "address": {"city": "x", "street": hidden[0]}, "salary": hidden[1]},
        {"_id": 2, "name": "bob", "n": 2, "address": {"city": "y"}, "salary": hidden[2]},
        {"_id": 3, "name": "cyd", "n": 3, "address": {"street": hidden[3]}, "manager": hidden[0]},
    ]
    docs = [
        {"_id": 1, "owner": "ann", "n": 1, "list": [{"a": 1, "b": 2}, {"a": 3}]},
        {"_id": 2, "owner": "ann", "n": 99, "x": {"y": {"z": 1}}},
        {"_id": 3, "owner": "ann", "n": 100, "list": others[1]},
        {"_id": 4, "owner": "bob", "n": 1, "list": others, "x": others[0]},
    ]
    return {"notes": notes, "tasks": tasks, "people": people, "docs": docs, "open": [{"_id": 1, "n": 1, "k": 2}]}


def admits(collection: str, document: Document, right: str = "write") -> bool:
    """Whether the rule's filter admits a document: an implementation of the rules above of its own."""
    mine = document.get("owner") == "ann"
    return {
        "notes": mine,
        "tasks": mine or (right == "read" and document.get("public") is True),
        "docs": mine and isinstance(document.get("n"), (int, float)) and document["n"] < 100,
    }.get(collection, True)


def hidden_part(collection: str, document: Document) -> Document:
    """What the rule's fields hide of a document."""
    if collection == "notes":
        part: Document = {name: document[name] for name in ("secret", "private") if name in document}
        meta = document.get("meta")
        return part | ({"meta.key": meta["key"]} if isinstance(meta, dict) and "key" in meta else {})
    if collection == "people":
        part = {name: value for name, value in document.items() if name not in ("_id", "name", "address", "n")}
        address = document.get("address")
        if not isinstance(address, dict):
            return part | ({"address": address} if address is not None else {})
        return part | {f"address.{name}": value for name, value in address.items() if name != "city"}
    return {}


def fill(client: PyMongoClient[Document]) -> None:
    for world, database in enumerate(WORLDS):
        for collection, documents in contents(world).items():
            client[database][collection].delete_many({})
            client[database][collection].insert_many(documents)


@pytest.fixture(scope="module")
def filled(pymongo_client: PyMongoClient[Document]) -> Iterator[PyMongoClient[Document]]:
    fill(pymongo_client)
    yield pymongo_client
    for database in WORLDS:
        pymongo_client.drop_database(database)


# The grammar of requests.

PATHS = ["owner", "title", "n", "tags", "meta", "meta.a", "meta.key", "secret", "private", "private.key", "_id"]
PATHS += ["name", "address", "address.city", "address.street", "salary", "public", "note", "ref", "list", "list.a"]
PATHS += [
    "meta.0.key",
    "secret.0",
    "tags.0",
    "list.0.a",
    "x.y",
    "x.y.z",
    "k",
    "",
    "a..b",
    "owner.x",
    "address.0.street",
]
SAFE_PATHS = ["title", "n", "tags", "name", "address.city", "k", "list", "meta.a", "_id"]
paths = st.one_of(st.sampled_from(SAFE_PATHS), st.sampled_from(PATHS))
SCALARS: list[Any] = [
    "ann",
    "bob",
    "x",
    "a",
    0,
    1,
    2,
    3,
    10,
    20,
    41,
    42,
    99,
    100,
    1.5,
    None,
    True,
    "$secret",
    "%%user.id",
]
scalars = st.sampled_from(SCALARS)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "key", "city", "street", "z", "owner", "0"]), inner, max_size=2),
    ),
    max_leaves=4,
)


def one(name: Any, value: Any) -> Any:
    """A document with one field."""
    return st.tuples(name if isinstance(name, st.SearchStrategy) else st.just(name), value).map(
        lambda it: {it[0]: it[1]}
    )


def operators(names: list[str], value: Any) -> Any:
    return one(st.sampled_from(names), value)


comparisons = st.one_of(
    scalars,
    values,
    operators(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"], values),
    operators(["$in", "$nin", "$all"], st.lists(scalars, max_size=3)),
    one("$exists", st.booleans()),
    one("$type", st.sampled_from(["string", "int", "object", 2])),
    one("$size", st.integers(0, 3)),
    one("$mod", st.just([2, 1])),
    one("$regex", st.sampled_from(["^a", "EXC", "."])),
    one("$not", one("$gt", scalars)),
    one("$elemMatch", st.one_of(one("$gt", scalars), one(st.sampled_from(["a", "key", "street"]), scalars))),
    one("$bitsAllSet", st.just(1)),
)
fields_of_expressions = st.one_of(
    paths.filter(bool).map(lambda path: f"${path}"),
    st.sampled_from(["$$ROOT", "$$CURRENT.secret", "$$ROOT.private.key", "$$id", "$$REMOVE", "$owner"]),
    scalars,
)
expressions = st.recursive(
    fields_of_expressions,
    lambda inner: st.one_of(
        operators(["$eq", "$ne", "$gt", "$lt", "$cmp", "$divide", "$subtract"], st.tuples(inner, inner).map(list)),
        operators(["$and", "$or", "$add", "$concat", "$ifNull", "$setUnion"], st.lists(inner, min_size=1, max_size=2)),
        operators(["$toInt", "$toString", "$type", "$size", "$objectToArray", "$not", "$abs", "$first"], inner),
        one("$cond", st.tuples(inner, inner, inner).map(list)),
        one("$getField", st.sampled_from(["secret", "private", "salary", "n", "owner"])),
        one("$getField", st.fixed_dictionaries({"field": st.sampled_from(["secret", "n"]), "input": inner})),
        one("$literal", values),
        one("$meta", st.sampled_from(["indexKey", "recordId", "textScore"])),
        st.dictionaries(st.sampled_from(["p", "q"]), inner, min_size=1, max_size=2),
    ),
    max_leaves=5,
)
filters = st.recursive(
    st.one_of(
        st.just({}),
        st.dictionaries(paths, comparisons, max_size=2),
        one("$expr", expressions),
        one("$jsonSchema", st.just({"required": ["secret"]})),
        one("$where", st.just("1")),
        one("$comment", st.just("a")),
    ),
    lambda inner: operators(["$and", "$or", "$nor"], st.lists(inner, min_size=1, max_size=2)),
    max_leaves=4,
)
orders = st.dictionaries(paths.filter(bool), st.sampled_from([1, -1]), min_size=1, max_size=2)
projections = st.one_of(
    st.dictionaries(paths.filter(bool), st.just(1), max_size=3),
    st.dictionaries(paths.filter(bool), st.just(0), max_size=3),
    st.dictionaries(
        paths.filter(bool),
        st.one_of(
            st.sampled_from([0, 1, True, 1.5]),
            expressions,
            one("$elemMatch", one("a", scalars)),
            one("$slice", st.integers(1, 2)),
        ),
        max_size=2,
    ),
)


def stages(inner: Any = None) -> Any:
    """Stages, of which some have pipelines of `inner` stages."""
    pipelines_ = st.just([]) if inner is None else st.lists(inner, max_size=2)
    names = st.sampled_from(COLLECTIONS)
    lookups = st.fixed_dictionaries(
        {"from": names, "as": st.just("joined")},
        optional={"let": st.just({"id": "$n"}), "pipeline": pipelines_},
    )
    joins = st.fixed_dictionaries(
        {"from": names, "as": st.just("joined"), "localField": paths.filter(bool), "foreignField": paths.filter(bool)},
        optional={"pipeline": pipelines_},
    )
    groups = st.fixed_dictionaries(
        {"_id": expressions},
        optional={"sum": one("$sum", expressions), "all": one("$push", expressions), "max": one("$max", expressions)},
    )
    return st.one_of(
        one("$match", filters),
        operators(["$project", "$set", "$addFields"], projections),
        operators(["$set", "$addFields"], st.dictionaries(paths.filter(bool), expressions, min_size=1, max_size=2)),
        one("$unset", paths.filter(bool)),
        one("$group", groups),
        one("$sort", orders),
        operators(["$limit", "$skip"], st.integers(1, 3)),
        one("$unwind", paths.filter(bool).map(lambda path: f"${path}")),
        one("$count", st.just("count")),
        operators(["$sortByCount"], expressions),
        operators(["$replaceWith"], expressions),
        one(
            "$redact", st.one_of(st.just("$$KEEP"), st.just({"$cond": [{"$eq": ["$secret", 41]}, "$$KEEP", "$$PRUNE"]}))
        ),
        one("$facet", st.dictionaries(st.sampled_from(["f", "g"]), pipelines_, min_size=1, max_size=2)),
        one("$lookup", st.one_of(lookups, joins)),
        one("$unionWith", st.one_of(names, st.fixed_dictionaries({"coll": names, "pipeline": pipelines_}))),
        one("$collStats", st.just({"count": {}})),
        one("$documents", st.just([{"a": 1}])),
    )


pipelines = st.lists(st.recursive(stages(), stages, max_leaves=4), max_size=4)


def request(action: str, **parameters: Any) -> Any:
    body = st.fixed_dictionaries({"collection": st.sampled_from(COLLECTIONS)} | parameters)
    return body.map(lambda body: (action, body))


reads = st.one_of(
    request("findOne", filter=filters, projection=projections),
    request("find", filter=filters),
    request("find", filter=filters, projection=projections, sort=orders, skip=st.integers(0, 1)),
    request("aggregate", pipeline=pipelines),
    request("aggregate", pipeline=pipelines),
    request("countDocuments", filter=filters, skip=st.integers(0, 1)),
    request("estimatedDocumentCount"),
    request("distinct", key=paths, filter=filters),
)

inserted = st.dictionaries(paths, values, max_size=3).flatmap(
    lambda document: st.fixed_dictionaries(
        {"_id": st.sampled_from([1, 2, 7, 8, 10])},
        optional={"owner": st.sampled_from(["ann", "ann", "bob", ["ann"]]), "n": scalars, "tags": st.just([])},
    ).map(lambda head: document | head)
)
changes = st.one_of(
    operators(
        ["$set", "$setOnInsert", "$min", "$max", "$push", "$addToSet"], st.dictionaries(paths, values, max_size=2)
    ),
    operators(["$inc", "$mul"], st.dictionaries(paths, st.sampled_from([1, 2]), max_size=2)),
    operators(["$unset", "$pop", "$currentDate"], st.dictionaries(paths, st.just(1), max_size=2)),
    one("$rename", one(paths, paths)),
    one("$pull", one(paths, comparisons)),
    one("$set", one("owner", st.just("ann"))),
    one("$bit", one(paths, st.just({"or": 1}))),
)
updates = st.one_of(
    changes,
    st.tuples(changes, changes).map(lambda two: two[0] | two[1]),
    st.lists(
        st.one_of(
            operators(["$set", "$addFields"], st.dictionaries(paths.filter(bool), expressions, min_size=1, max_size=2)),
            one("$unset", paths.filter(bool)),
            operators(["$replaceWith", "$replaceRoot"], expressions),
            one("$project", projections),
        ),
        max_size=2,
    ),
)
narrow: st.SearchStrategy[Any] = st.one_of(filters, one("_id", st.sampled_from([1, 2, 3, 4, 7, 10])), st.just({}))
operations = st.one_of(
    one("insertOne", st.fixed_dictionaries({"document": inserted})),
    operators(["updateOne", "updateMany"], st.fixed_dictionaries({"filter": narrow, "update": updates})),
    one("replaceOne", st.fixed_dictionaries({"filter": narrow, "replacement": inserted, "upsert": st.booleans()})),
    operators(["deleteOne", "deleteMany"], st.fixed_dictionaries({"filter": narrow})),
)
writes = st.one_of(
    request("insertOne", document=inserted),
    request("insertMany", documents=st.lists(inserted, min_size=1, max_size=2)),
    request("updateOne", filter=narrow, update=updates),
    request("updateMany", filter=narrow, update=updates),
    request("updateOne", filter=narrow, update=updates, upsert=st.just(True)),
    request("updateMany", filter=narrow, update=updates, upsert=st.just(True)),
    request("replaceOne", filter=narrow, replacement=inserted, upsert=st.booleans()),
    request("findOneAndUpdate", filter=narrow, update=updates, projection=projections, upsert=st.booleans()),
    request("findOneAndUpdate", filter=narrow, update=updates, returnDocument=st.just("after")),
    request("findOneAndReplace", filter=narrow, replacement=inserted, sort=orders),
    request("findOneAndDelete", filter=narrow, projection=projections),
    request("bulkWrite", operations=st.lists(operations, min_size=1, max_size=2)),
    request("deleteOne", filter=narrow),
    request("deleteMany", filter=narrow),
    request(
        "aggregate",
        pipeline=st.tuples(
            st.lists(stages(), max_size=1), operators(["$out", "$merge"], st.sampled_from(COLLECTIONS))
        ).map(lambda two: [*two[0], two[1]]),
    ),
)

transactions = st.lists(st.one_of(reads, writes), min_size=1, max_size=3).map(
    lambda calls: ("transaction", {"operations": [{"action": action} | body for action, body in calls]})
)

PROFILE = settings(max_examples=200, suppress_health_check=list(HealthCheck))


def answers(client: httpx.Client, action: str, body: Document) -> list[tuple[int, str]]:
    """Send a request to both worlds, and return what may be compared of the responses."""
    results = []
    for world in WORLDS:
        sent: Document
        if action == "transaction":
            sent = {"operations": [{"database": world} | operation for operation in body["operations"]]}
        else:
            sent = {"database": world} | body
        response = client.post(action, json={"dataSource": "x"} | sent)
        # Two identifiers that are generated differ, and so do the names of the databases.
        text = re.sub(r'"[0-9a-f]{24}"', '"ID"', response.text.replace(world, "DATABASE"))
        results.append((response.status_code, re.sub(r'"\d{4}-\d\d-\d\dT[^"]*"', '"TIME"', text)))
    return results


@PROFILE
@given(call=reads)
def test_no_read_depends_on_what_a_rule_excludes(
    ann: httpx.Client, filled: PyMongoClient[Document], call: tuple[str, Document]
) -> None:
    first, second = answers(ann, *call)
    assert MARKER not in first[1] + second[1]
    assert first == second
    assert first[0] < 500


@PROFILE
@given(call=st.one_of(writes, writes, writes, writes, transactions))
def test_no_write_changes_or_depends_on_what_a_rule_excludes(
    ann: httpx.Client, filled: PyMongoClient[Document], call: tuple[str, Document]
) -> None:
    before = [{name: {repr(d["_id"]): d for d in found} for name, found in contents(world).items()} for world in (0, 1)]
    first, second = answers(ann, *call)
    after = [
        {name: {repr(d["_id"]): d for d in filled[database][name].find()} for name in COLLECTIONS}
        for database in WORLDS
    ]
    if before != after:
        fill(filled)
    assert MARKER not in first[1] + second[1]
    assert first == second
    visible: list[Any] = [[], []]
    for world in (0, 1):
        for name in COLLECTIONS:
            old, new = before[world][name], after[world][name]
            # Excluded documents are as they were, and there are no others.
            assert {k: d for k, d in old.items() if not admits(name, d)} == {
                k: d for k, d in new.items() if not admits(name, d)
            }
            for key, document in new.items():
                # Hidden fields are as they were.
                assert hidden_part(name, document) == hidden_part(name, old.get(key, {}))
                if name == "tasks" and document != old.get(key):
                    assert isinstance(document["owner"], str)
                    assert isinstance(document["n"], (int, float))
                    assert document["n"] <= 100
                if admits(name, document):
                    shown = {k: v for k, v in document.items() if k not in hidden_part(name, document)}
                    visible[world].append((name, key if len(key) < 20 else "ID", sorted(shown)))
    assert visible[0] == visible[1]


def post(client: httpx.Client, action: str, collection: str, world: int = 0, **parameters: Any) -> httpx.Response:
    body = {"dataSource": "x", "database": WORLDS[world], "collection": collection} | parameters
    return client.post(action, json=body)


def test_without_rules_the_worlds_differ(ruled: Gateway, keys: dict[str, str], filled: PyMongoClient[Document]) -> None:
    """What the property tests compare does depend on what the rules exclude."""
    fill(filled)
    with ruled.client(keys["all"]) as client:
        calls: list[tuple[str, Document]] = [
            ("find", {"collection": "notes"}),
            ("findOne", {"collection": "notes", "filter": {"secret": 42}}),
            ("findOne", {"collection": "people", "filter": {"salary": {"$gt": ""}}, "projection": {"name": 1}}),
            ("aggregate", {"collection": "notes", "pipeline": [{"$match": {"$expr": {"$toInt": "$n"}}}]}),
            ("updateMany", {"collection": "notes", "filter": {"meta.key": 41}, "update": {"$set": {"title": "a"}}}),
        ]
        for call in calls:
            first, second = answers(client, *call)
            assert first != second, call
    fill(filled)


def test_a_rule_admits_its_documents_and_fields(ann: httpx.Client, filled: PyMongoClient[Document]) -> None:
    fill(filled)
    found = post(ann, "find", "notes").json()["documents"]
    assert [document["_id"] for document in found] == [1, 2, 3]
    assert found[0] == {"_id": 1, "owner": "ann", "title": "a", "n": 1, "tags": ["x", "y"], "meta": {"a": 1}}
    assert post(ann, "aggregate", "notes", pipeline=[]).json()["documents"] == found
    union = post(ann, "aggregate", "open", pipeline=[{"$unionWith": "notes"}, {"$match": {"owner": {"$exists": 1}}}])
    assert union.json()["documents"] == found
    assert post(ann, "insertOne", "notes", document={"_id": 7, "owner": "ann", "title": "new"}).status_code == 201
    assert post(ann, "updateMany", "notes", filter={}, update={"$set": {"title": "x"}}).json()["matchedCount"] == 4
    changed = post(ann, "updateMany", "notes", filter={"owner": "bob"}, update={"$set": {"title": "x"}})
    assert changed.json() == {"matchedCount": 0, "modifiedCount": 0}
    upserted = post(ann, "updateOne", "docs", filter={"k": 1}, update={"$set": {"a": 1}}, upsert=True)
    assert (upserted.status_code, upserted.json()["error_code"]) == (403, "OperationNotAllowed")
    upserted = post(ann, "updateOne", "notes", filter={"_id": 8}, update={"$set": {"n": 1}}, upsert=True)
    assert upserted.json()["upsertedId"] == 8
    assert filled[WORLDS[0]].notes.find_one({"_id": 8}) == {"_id": 8, "owner": "ann", "n": 1}
    assert post(ann, "deleteMany", "notes", filter={}).json()["deletedCount"] == 5
    assert [document["owner"] for document in filled[WORLDS[0]].notes.find()] == ["bob", "bob", "bob"]
    fill(filled)


def test_the_error_of_a_written_document_says_where_it_does_not_conform(ann: httpx.Client) -> None:
    refused = post(ann, "insertOne", "tasks", document={"owner": "ann", "n": "hunter2"})
    assert (refused.status_code, refused.json()["error_code"]) == (400, "SchemaValidationFailedWrite")
    assert refused.json()["error"] == "'/n' does not conform to the schema of the caller's rule: 'type'"


def test_errors_of_mongodb_do_not_quote_hidden_values(ann: httpx.Client, filled: PyMongoClient[Document]) -> None:
    fill(filled)
    notes = filled[WORLDS[0]].notes
    notes.update_many({"owner": "ann"}, {"$set": {"secret": MARKER}})
    notes.create_index([("title", 1), ("secret", 1)], unique=True)
    try:
        refused = post(ann, "updateOne", "notes", filter={"_id": 1}, update={"$set": {"title": "b"}})
        assert (refused.status_code, refused.json()["code"]) == (400, 11000)
        assert MARKER not in refused.text
        assert "a value that must be unique exists already" in refused.json()["error"]
    finally:
        notes.drop_indexes()
        fill(filled)


def test_a_rule_refers_to_the_claims_of_a_token(ruled: Gateway, filled: PyMongoClient[Document]) -> None:
    fill(filled)

    def found(rule: Document, **claims: Any) -> Any:
        permission = {"collection": "notes", "allow": ["read", "write"]} | rule
        token = jwt.encode({"sub": "u", "exp": 9_999_999_999, "permissions": [permission]} | claims, SECRET, "HS256")
        body = {"dataSource": "x", "database": WORLDS[0], "collection": "notes"}
        response = ruled.post("find", body, Authorization=f"Bearer {token}")
        return [document["_id"] for document in response.json()["documents"]] if response.is_success else None

    mine = {"filter": {"owner": "%%user.team.name"}}
    assert found(mine, team={"name": "ann"}) == [1, 2, 3]
    assert found({"filter": {"owner": {"$in": "%%user.teams"}}}, teams=["ann"]) == [1, 2, 3]
    # An operator in a claim is no operator, and what is missing admits nothing.
    for team in ({"name": {"$ne": "x"}}, {"name": None}, {"name": ["ann"]}, {"$ne": 1}, "ann", {"name": "$owner"}):
        assert found(mine, team=team) == []
    assert found(mine) == []
    assert found({"filter": {"owner": {"$ne": "%%user.team.name"}}}) == []
    assert found({"filter": {"owner": "%%user.id"}}, id="ann") == []
    invalid: Document
    for invalid in ({"filter": None}, {"filter": {}}, {"fields": {"deny": []}}, {"schema": 1}, {"filters": {"a": 1}}):
        assert found(invalid) is None


def test_the_rule_of_the_documentation_restricts_a_key(
    ruled: Gateway, filled: PyMongoClient[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Follows docs/gateway.md, with another collection."""
    text = section("How do I restrict a key to some documents or fields?")
    command = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)[0].replace("\\\n", " ")
    monkeypatch.chdir(ruled.folder)
    Path("order.json").write_text(json.dumps({"properties": {"n": {"type": "integer"}}}), encoding="utf-8")
    place = f"x/{WORLDS[0]}/orders"
    before = Path("keys.toml").read_text(encoding="utf-8")
    # The gateway has a key that is named `ann` already.
    arguments = shlex.split(command.replace("Cluster0/shop/orders", place).replace("--name ann", "--name eve"))[1:]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    listed = CliRunner().invoke(main, ["key", "list", "--file", "keys.toml"]).output
    assert (
        f'on {place} where {{"owner":{{"$eq":"%%user.id"}}}} without fields cost,customer.email with a schema' in listed
    )
    orders = filled[WORLDS[0]].orders
    hidden = {"cost": 7, "customer": {"email": "e@example.com", "name": "E"}}
    orders.insert_many([{"_id": 1, "owner": "eve", "n": 1} | hidden, {"_id": 2, "owner": "bob"}])
    try:
        ruled.reload()
        with ruled.client(result.output.strip()) as client:
            shown = {"_id": 1, "owner": "eve", "n": 1, "customer": {"name": "E"}}
            assert post(client, "find", "orders").json() == {"documents": [shown]}
            assert post(client, "find", "orders", filter={"cost": 7}).status_code == 403
            assert post(client, "insertOne", "orders", document={"owner": "bob"}).status_code == 403
            assert post(client, "insertOne", "orders", document={"owner": "eve", "n": "x"}).status_code == 400
            changed = post(client, "updateMany", "orders", filter={}, update={"$set": {"n": 2}})
            assert changed.json() == {"matchedCount": 1, "modifiedCount": 1}
    finally:
        orders.drop()
        Path("keys.toml").write_text(before, encoding="utf-8")
    # The same as a table in the key file.
    (table,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    edited = re.sub(r"permissions = \[.*\]", lambda _: table.strip(), before, count=1)
    Path("keys.toml").write_text(edited, encoding="utf-8")
    listed = CliRunner().invoke(main, ["key", "list", "--file", "keys.toml"]).output
    assert 'on */shop/orders where {"owner":{"$eq":"%%user.id"}} without fields' in listed
    Path("keys.toml").write_text(before, encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--filter", "owner"], "filter: it must be Extended JSON"),
        (["--filter", '{"a": "%%root"}'], "'%%root' is not known"),
        (["--filter", '{"$where": "1"}'], "'$where' is not the path of a field"),
        (["--allow-fields", "a", "--deny-fields", "b"], "set exactly one of 'allow' and 'deny'"),
        (["--deny-fields", "_id"], "'_id' cannot be denied"),
        (["--deny-fields", "a.0"], "'a.0' has a number"),
        (["--schema", "missing.json"], "missing.json cannot be read"),
    ],
)
def test_an_invalid_rule_is_an_error(tmp_path: Path, options: list[str], problem: str) -> None:
    path = tmp_path / "keys.toml"
    result = CliRunner().invoke(
        main, ["key", "create", "--file", str(path), "--name", "k", "--allow", "read", "--on", "*", *options]
    )
    assert result.exit_code != 0
    assert problem in result.output
    assert not path.exists()
