"""The gateway's own actions, the options of MongoDB's commands, and transactions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from bson import json_util
from pymongo import MongoClient

from tests.conftest import API_KEY
from tests.gateways import Gateway, at_once, configured, create_key, gateway, section
from tests.servers import free_port, secantusdb
from tests.wiretap import Wiretap, wiretap


class Caller:
    """Calls actions on one collection."""

    def __init__(self, url: str, names: tuple[str, str], key: str = API_KEY) -> None:
        self.target = {"dataSource": "Cluster0", "database": names[0], "collection": names[1]}
        self.http = httpx.Client(base_url=f"{url}/action/", headers={"api-key": key}, timeout=30)

    def __call__(self, action: str, /, **arguments: Any) -> Any:
        response = self.http.post(action, json=self.target | arguments)
        assert response.status_code in (200, 201), response.text
        return response.json()

    def error(self, action: str, /, **arguments: Any) -> dict[str, Any]:
        response = self.http.post(action, json=self.target | arguments)
        assert response.status_code >= 400, response.text
        error: dict[str, Any] = response.json()
        return error | {"status": response.status_code}

    def step(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Return the operation of a transaction."""
        names = {name: self.target[name] for name in ("database", "collection")}
        return {"action": action} | names | arguments

    def transaction(self, *steps: dict[str, Any]) -> httpx.Response:
        return self.http.post("transaction", json={"dataSource": "Cluster0", "operations": list(steps)})


@pytest.fixture
def call(gateway_url: str, names: tuple[str, str]) -> Iterator[Caller]:
    caller = Caller(gateway_url, names)
    with caller.http:
        yield caller


def test_a_document_is_changed_and_returned(call: Caller, reader: Any) -> None:
    reader.insert_many([{"_id": 1, "n": 1}, {"_id": 2, "n": 1}])
    update = {"filter": {"n": 1}, "update": {"$inc": {"n": 1}}, "sort": {"_id": -1}}
    assert call("findOneAndUpdate", **update) == {"document": {"_id": 2, "n": 1}}
    after = update | {"projection": {"_id": 0}}
    assert call("findOneAndUpdate", **after, returnNewDocument=True) == {"document": {"n": 2}}
    assert call("findOneAndUpdate", **update, returnDocument="after") == {"document": None}
    assert call("findOneAndUpdate", **update, returnDocument="after", upsert=True)["document"]["n"] == 2
    replace = {"filter": {"_id": 1}, "replacement": {"n": 9}}
    assert call("findOneAndReplace", **replace, returnDocument="before") == {"document": {"_id": 1, "n": 2}}
    assert call("findOneAndReplace", **replace, returnNewDocument=True) == {"document": {"_id": 1, "n": 9}}
    assert call("findOneAndUpdate", filter={"_id": 1}, update=[{"$set": {"n": 10}}])["document"]["n"] == 9
    assert call("findOneAndDelete", filter={"_id": 1}) == {"document": {"_id": 1, "n": 10}}
    assert call("findOneAndDelete", filter={"_id": 1}) == {"document": None}
    assert reader.find_one({"_id": 1}) is None


def test_documents_are_counted(call: Caller, reader: Any) -> None:
    assert call("countDocuments") == {"count": 0}
    reader.insert_many([{"_id": n, "kind": "ab"[n % 2]} for n in range(10)])
    assert call("countDocuments") == {"count": 10}
    assert call("countDocuments", filter={"kind": "a"}) == {"count": 5}
    assert call("countDocuments", filter={"kind": "a"}, skip=1, limit=3) == {"count": 3}
    assert call("countDocuments", limit=0) == {"count": 10}
    assert call("estimatedDocumentCount") == {"count": 10}
    response = call.http.post("countDocuments", json=call.target, headers={"Accept": "application/ejson"})
    assert response.json() == {"count": {"$numberInt": "10"}}
    # The driver reads it as a symbol.
    response = call.http.post("countDocuments", json=call.target | {"hint": {"kind": 1, "$symbol": "a"}})
    assert (response.status_code, response.json()["error_code"]) == (400, "InvalidParameter")


def test_distinct_values_are_returned(call: Caller, reader: Any) -> None:
    reader.insert_many([{"_id": n, "kind": "ab"[n % 2], "tags": [n, "x"]} for n in range(3)])
    assert sorted(call("distinct", key="kind")["values"]) == ["a", "b"]
    assert call("distinct", key="kind", filter={"_id": 1}) == {"values": ["b"]}
    assert call("distinct", key="none") == {"values": []}
    response = call.http.post("distinct", json=call.target | {"key": "_id"}, headers={"Accept": "application/ejson"})
    assert json_util.loads(response.text) == {"values": [0, 1, 2]}


def test_a_bulk_write_returns_what_mongosh_does(call: Caller, reader: Any) -> None:
    reader.insert_many([{"_id": "old", "n": 1}, {"_id": "gone", "n": 2}])
    operations: list[dict[str, Any]] = [
        {"insertOne": {"document": {"_id": "new", "n": 5}}},
        {"insertOne": {"document": {"n": 6}}},
        {"updateOne": {"filter": {"_id": "old"}, "update": {"$set": {"n": 3}}}},
        {"updateMany": {"filter": {"n": {"$gt": 4}}, "update": [{"$set": {"big": True}}]}},
        {"updateOne": {"filter": {"_id": "up"}, "update": {"$set": {"n": 0}}, "upsert": True}},
        {"replaceOne": {"filter": {"_id": "old"}, "replacement": {"r": 1}}},
        {"deleteOne": {"filter": {"_id": "gone"}}},
        {"deleteMany": {"filter": {"_id": "nobody"}}},
    ]
    result = call("bulkWrite", operations=operations)
    generated = result["insertedIds"].pop("1")
    assert result == {
        "insertedCount": 2,
        "matchedCount": 4,
        "modifiedCount": 4,
        "deletedCount": 1,
        "upsertedCount": 1,
        "insertedIds": {"0": "new"},
        "upsertedIds": {"4": "up"},
    }
    assert str(reader.find_one({"n": 6})["_id"]) == generated
    assert reader.find_one({"_id": "old"}) == {"_id": "old", "r": 1}
    assert reader.find_one({"_id": "new"})["big"] is True


@pytest.mark.parametrize("ordered", [True, False])
def test_a_bulk_write_reports_the_operations_that_failed(call: Caller, reader: Any, ordered: bool) -> None:
    operations = [{"insertOne": {"document": {"_id": n}}} for n in (1, 1, 2)]
    error = call.error("bulkWrite", operations=operations, ordered=ordered)
    assert (error["status"], error["error_code"], error["code"]) == (400, "MongoDBError", 65)
    [rejected] = error["details"]["writeErrors"]
    assert (rejected["index"], rejected["code"]) == (1, 11000)
    assert error["details"]["nInserted"] == (1 if ordered else 2)
    assert reader.count_documents({}) == error["details"]["nInserted"]


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ({}, "an operation must have one field, the name of its action"),
        (1, "an operation must be a document"),
        ({"insertOne": {"document": {}}, "deleteOne": {}}, "an operation must have one field"),
        ({"find": {}}, "the action of an operation must be one of insertOne, updateOne"),
        ({"bulkWrite": {"operations": []}}, "the action of an operation must be one of"),
        ({"insertOne": {}}, "'document' is missing"),
        ({"insertOne": []}, "'insertOne' must be a document"),
        ({"insertOne": {"document": {}, "collection": "x"}}, "'collection' is not an argument of this action"),
        ({"updateOne": {"filter": {}, "update": {"a": 1}}}, "'update' must contain only update operators"),
        ({"updateOne": {"filter": {}, "update": [{"$lookup": {}}]}}, "'$lookup' is not allowed in 'update'"),
        ({"updateOne": {"filter": {}, "update": {"$set": {}}, "upsret": True}}, "did you mean 'upsert'?"),
        ({"updateMany": {"filter": {}, "update": {"$set": {}}, "arrayFilters": [1]}}, "'arrayFilters[0]' must be a"),
        ({"replaceOne": {"filter": {}, "replacement": {"$set": {}}}}, "'replacement' must not contain"),
        ({"deleteMany": {"filter": None}}, "'filter' must be a document"),
        ({"deleteMany": {"filter": {"$where": "1"}}}, "'$where' requires the right 'code'"),
        ({"deleteOne": {"filter": {}, "collation": {"locale": 1}}}, "'collation'"),
        ({"deleteOne": {"filter": {}, "hint": 1}}, "'hint' must be"),
    ],
)
@pytest.mark.parametrize("index", [0, 1])
def test_an_invalid_operation_is_named_and_nothing_is_written(
    call: Caller, reader: Any, operation: Any, message: str, index: int
) -> None:
    operations = [{"insertOne": {"document": {}}}] * index + [operation]
    error = call.error("bulkWrite", operations=operations)
    assert error["status"] in (400, 403)
    assert error["error"].startswith(f"operations[{index}]: ")
    assert message in error["error"]
    assert error["index"] == index
    assert reader.count_documents({}) == 0


# What MongoDB has for the command: each is passed on.
OPTIONS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("findOne", {"sort": {"_id": -1}, "projection": {"_id": 1}}, {}, {"document": {"_id": 3}}),
    ("findOne", {"sort": {"_id": 1}, "skip": 1, "projection": {"_id": 1}}, {}, {"document": {"_id": 2}}),
    ("find", {"filter": {"_id": 1}, "hint": "_id_", "projection": {"_id": 1}}, {}, {"documents": [{"_id": 1}]}),
    ("find", {"filter": {"_id": 1}, "hint": {"_id": 1}, "batchSize": 1, "projection": {"_id": 1}}, {},
     {"documents": [{"_id": 1}]}),
    ("find", {"filter": {"name": "B"}, "projection": {"_id": 1}, "maxTimeMS": 5000, "allowDiskUse": True,
              "comment": "c"}, {}, {"documents": []}),
    ("updateOne", {"filter": {"_id": 1}, "update": {"$set": {"list.$[x]": 0}}, "arrayFilters": [{"x": 5}]},
     {"_id": 1, "list": [0, 6]}, {"matchedCount": 1, "modifiedCount": 1}),
    ("updateMany", {"filter": {"_id": 1}, "update": {"$set": {"a": 1}}, "hint": "_id_", "comment": {"$where": 1}},
     {"_id": 1, "a": 1}, {"matchedCount": 1, "modifiedCount": 1}),
    ("replaceOne", {"filter": {"_id": 1}, "replacement": {"a": 2}, "hint": "_id_", "upsert": True},
     {"_id": 1, "a": 2}, {"matchedCount": 1, "modifiedCount": 1}),
    ("deleteOne", {"filter": {"_id": 1}, "hint": "_id_"}, {}, {"deletedCount": 1}),
    ("deleteMany", {"filter": {}, "comment": 1}, {}, {"deletedCount": 3}),
    ("insertOne", {"document": {"_id": 9}, "comment": "c"}, {"_id": 9}, {"insertedId": 9}),
    ("insertMany", {"documents": [{"_id": 9}], "comment": ["c"]}, {"_id": 9}, {"insertedIds": [9]}),
    ("aggregate", {"pipeline": [{"$match": {"_id": 1}}, {"$project": {"_id": 1}}], "hint": "_id_",
                   "allowDiskUse": False, "batchSize": 5, "maxTimeMS": 1000}, {}, {"documents": [{"_id": 1}]}),
    ("countDocuments", {"filter": {"_id": 1}, "hint": "_id_", "comment": "c"}, {}, {"count": 1}),
    ("findOneAndUpdate", {"filter": {"_id": 1}, "update": {"$set": {"list.$[x]": 0}}, "arrayFilters": [{"x": 5}],
                          "projection": {"list": 1}, "returnNewDocument": True, "hint": "_id_", "maxTimeMS": 0}, {},
     {"document": {"_id": 1, "list": [0, 6]}}),
]  # fmt: skip


@pytest.mark.parametrize(("action", "arguments", "stored", "response"), OPTIONS)
def test_options_of_mongodbs_commands_work(
    call: Caller, reader: Any, action: str, arguments: dict[str, Any], stored: dict[str, Any], response: Any
) -> None:
    reader.insert_many([{"_id": 1, "name": "b", "list": [5, 6]}, {"_id": 2, "name": "a"}, {"_id": 3}])
    assert call(action, **arguments) == response
    if stored:
        found = reader.find_one({"_id": stored["_id"]})
        assert {name: found[name] for name in stored} == stored


COLLATION = {"locale": "en", "strength": 2}
CHANGE = {"filter": {"_id": 1}, "update": {"$set": {"a": 1}}}
# Arguments, the command that MongoDB gets, and where it has them.
SENT: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("find", {"collation": COLLATION, "let": {"a": 1}}, "find", {"collation": COLLATION, "let": {"a": 1}}),
    ("findOne", {"collation": COLLATION, "hint": {"_id": 1}}, "find", {"collation": COLLATION, "hint": {"_id": 1}}),
    ("aggregate", {"pipeline": [], "collation": COLLATION, "let": {"a": 1}, "hint": "_id_"}, "aggregate",
     {"collation": COLLATION, "let": {"a": 1}, "hint": "_id_"}),
    ("updateOne", CHANGE | {"let": {"b": 2}, "comment": "c", "maxTimeMS": 999}, "update",
     {"let": {"b": 2}, "comment": "c", "maxTimeMS": 999}),
    ("updateOne", CHANGE | {"collation": COLLATION, "hint": "_id_"}, "update",
     {"updates": [{"q": {"_id": 1}, "u": {"$set": {"a": 1}}, "upsert": False, "collation": COLLATION,
                   "hint": "_id_"}]}),
    ("deleteOne", {"filter": {}, "collation": COLLATION, "hint": "_id_", "let": {"a": 1}}, "delete",
     {"deletes": [{"q": {}, "limit": 1, "collation": COLLATION, "hint": "_id_"}], "let": {"a": 1}}),
    ("bulkWrite", {"operations": [{"updateOne": CHANGE | {"collation": COLLATION}}], "let": {"a": 1}, "comment": "c"},
     "update", {"let": {"a": 1}, "comment": "c", "updates": [
         {"q": {"_id": 1}, "u": {"$set": {"a": 1}}, "multi": False, "upsert": False, "collation": COLLATION}]}),
    ("findOneAndUpdate", CHANGE | {"collation": COLLATION, "let": {"a": 1}, "maxTimeMS": 5000}, "findAndModify",
     {"collation": COLLATION, "let": {"a": 1}, "maxTimeMS": 5000}),
    ("countDocuments", {"collation": COLLATION, "maxTimeMS": 5000}, "aggregate",
     {"collation": COLLATION, "maxTimeMS": 5000}),
    ("distinct", {"key": "a", "collation": COLLATION, "maxTimeMS": 90_000}, "distinct",
     {"collation": COLLATION, "maxTimeMS": 60_000}),
    ("find", {"maxTimeMS": 0, "batchSize": 4_000_000_000}, "find", {"maxTimeMS": 60_000, "batchSize": 2**31 - 1}),
    ("insertOne", {"document": {}, "comment": {"a": 1}}, "insert", {"comment": {"a": 1}}),
]  # fmt: skip


@pytest.fixture(scope="module")
def tapped(mongodb_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, str, Wiretap]]:
    """A gateway whose commands are recorded."""
    folder = tmp_path_factory.mktemp("tapped")
    key = create_key(folder, "all")
    with wiretap(mongodb_port) as tap:
        with gateway(folder, configured(tap.uri)) as running:
            yield running, key, tap


@pytest.mark.parametrize(("action", "arguments", "command", "expected"), SENT)
def test_options_are_sent_to_mongodb(
    tapped: tuple[Gateway, str, Wiretap],
    names: tuple[str, str],
    action: str,
    arguments: Any,
    command: str,
    expected: Any,
) -> None:
    running, key, tap = tapped
    tap.messages.clear()
    call = Caller(running.url, names, key)
    with call.http:
        # Some are more than SecantusDB knows.
        assert call.http.post(action, json=call.target | arguments).status_code in (200, 201, 400)
    [sent] = tap.commands(command)
    assert {name: sent.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("action", "arguments", "message"),
    [
        ("find", {"fliter": {}}, "'fliter' is not an argument of this action: did you mean 'filter'?"),
        ("find", {"zzzzzz": 1}, "'zzzzzz' is not an argument of this action"),
        ("findOne", {"limit": 1}, "'limit' is not an argument of this action"),
        ("updateOne", {"filter": {}, "update": {}, "UPSERT": True}, "did you mean 'upsert'?"),
        ("insertOne", {"document": {}, "bypassDocumentValidation": True}, "not available: no right"),
        ("find", {"readConcern": {"level": "local"}}, "not available: set readConcernLevel in the URI"),
        ("insertOne", {"document": {}, "writeConcern": {"w": 0}}, "not available: set w, journal"),
        ("find", {"explain": True}, "not available: run it through a driver"),
        ("find", {"hint": ["a"]}, "'hint' must be the name of an index or a document with its keys"),
        ("find", {"collation": {"strength": 1}}, "'collation'"),
        ("find", {"collation": {"locale": "en", "strength": 77}}, "'collation'"),
        ("find", {"let": []}, "'let' must be a document"),
        ("find", {"let": {"a": {"$function": {}}}}, "'$function' requires the right 'code'"),
        ("aggregate", {"pipeline": [], "let": {"a": {"$_internalX": {}}}}, "requires the right 'stats'"),
        ("updateOne", {"filter": {}, "update": {"$set": {"a": 1}}, "arrayFilters": {}}, "'arrayFilters' must be an"),
        ("updateOne", {"filter": {}, "update": {"$set": {"a": 1}}, "arrayFilters": [{"$where": "1"}]}, "'$where'"),
        ("find", {"maxTimeMS": -1}, "'maxTimeMS' must be an integer from 0"),
        ("find", {"batchSize": 1.5}, "'batchSize' must be an integer from 0"),
        ("findOneAndUpdate", {"filter": {}, "update": {"a": 1}}, "must contain only update operators"),
        ("findOneAndUpdate", {"filter": {}, "update": {"$set": {"a": 1}}, "returnDocument": "new"}, '"before" or'),
        (
            "findOneAndReplace",
            {"filter": {}, "replacement": {}, "returnDocument": "before", "returnNewDocument": True},
            "contradict each other",
        ),
        ("findOneAndReplace", {"filter": {}, "replacement": {"$set": {}}}, "must not contain update operators"),
        ("findOneAndDelete", {}, "'filter' is missing"),
        ("distinct", {}, "'key' is missing"),
        ("distinct", {"key": 1}, "'key' must be a string"),
        ("bulkWrite", {"operations": []}, "'operations' must not be empty"),
        ("bulkWrite", {"operations": {}}, "'operations' must be an array"),
        ("find", {"filter": {}, "comment": {"$where": "1"}, "sort": 1}, "'sort' must be a document"),
    ],
)
def test_an_invalid_argument_is_named(call: Caller, action: str, arguments: dict[str, Any], message: str) -> None:
    error = call.error(action, **arguments)
    assert error["status"] in (400, 403)
    assert error["error_code"] in ("InvalidParameter", "MissingParameter", "OperationNotAllowed")
    assert message in error["error"]


def test_a_transaction_does_all(call: Caller, reader: Any) -> None:
    reader.insert_one({"_id": "a", "n": 1})
    response = call.transaction(
        call.step("insertOne", document={"_id": "b"}),
        call.step("insertMany", documents=[{"_id": "c"}, {"_id": "d"}]),
        call.step("updateOne", filter={"_id": "a"}, update={"$inc": {"n": 1}}),
        call.step("find", filter={}, sort={"_id": 1}, projection={"_id": 1}),
        call.step("findOne", filter={"_id": "a"}),
        call.step("aggregate", pipeline=[{"$match": {"_id": "a"}}]),
        call.step("findOneAndUpdate", filter={"_id": "a"}, update={"$inc": {"n": 1}}, returnNewDocument=True),
        call.step("replaceOne", filter={"_id": "b"}, replacement={"r": 1}),
        call.step("bulkWrite", operations=[{"insertOne": {"document": {"_id": "e"}}}]),
        call.step("countDocuments"),
        call.step("distinct", key="_id", filter={"_id": "e"}),
        call.step("deleteMany", filter={"_id": {"$in": ["c", "d"]}}),
        call.step("deleteOne", filter={"_id": "e"}),
    )
    assert response.status_code == 200, response.text
    results = response.json()["results"]
    assert results[:3] == [
        {"insertedId": "b"},
        {"insertedIds": ["c", "d"]},
        {"matchedCount": 1, "modifiedCount": 1},
    ]
    assert results[3] == {"documents": [{"_id": name} for name in "abcd"]}
    assert results[4] == {"document": {"_id": "a", "n": 2}}
    assert results[5] == {"documents": [{"_id": "a", "n": 2}]}
    assert results[6] == {"document": {"_id": "a", "n": 3}}
    assert results[8]["insertedIds"] == {"0": "e"}
    assert results[9:] == [{"count": 5}, {"values": ["e"]}, {"deletedCount": 2}, {"deletedCount": 1}]
    assert sorted(document["_id"] for document in reader.find()) == ["a", "b"]


@pytest.mark.parametrize(
    ("failing", "status", "message"),
    [
        ({"action": "insertOne", "document": {"_id": 1}}, 400, "E11000"),
        ({"action": "insertMany", "documents": [{"_id": 2}, {"_id": 1}]}, 400, "E11000"),
        ({"action": "find", "filter": {"$noSuchOperator": 1}}, 400, "noSuchOperator"),
        ({"action": "insertOne"}, 400, "'document' is missing"),
        ({"action": "insertOne", "document": {}, "dataSource": "Cluster1"}, 400, "'dataSource' is not an argument"),
        ({"action": "insertOne", "document": {}, "database": "admin"}, 403, "'admin' is internal"),
        ({"action": "insertOne", "document": {}, "collection": None}, 400, "'collection' must be a string"),
        ({"action": "find", "filter": {"$where": "1"}}, 403, "requires the right 'code'"),
        ({"action": "find", "fitler": {}}, 400, "did you mean 'filter'?"),
        ({"action": "transaction", "operations": []}, 400, "a transaction cannot contain a transaction"),
        ({"action": "estimatedDocumentCount"}, 400, "use countDocuments"),
        ({"action": "drop"}, 400, "no such 'action'"),
        ({"action": 1}, 400, "'action' must be a string"),
        ({}, 400, "'action' is missing"),
        ({"action": "insertOne", "document": {"_id": 3}, "extra": 1}, 400, "'extra' is not an argument"),
    ],
)
def test_a_transaction_does_nothing_if_one_operation_fails(
    call: Caller, reader: Any, failing: dict[str, Any], status: int, message: str
) -> None:
    names = {name: call.target[name] for name in ("database", "collection")}
    steps = [call.step("insertOne", document={"_id": 1}), call.step("updateMany", filter={}, update={"$set": {"a": 1}})]
    response = call.transaction(*steps, names | failing)
    assert response.status_code == status, response.text
    error = response.json()
    assert error["error"].startswith("operations[2]: ")
    assert message in error["error"]
    assert error["index"] == 2
    assert reader.count_documents({}) == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "'operations' is missing"),
        ({"operations": []}, "'operations' must not be empty"),
        ({"operations": {}}, "'operations' must be an array"),
        ({"operations": [1]}, "operations[0]: an operation must be a document"),
        ({"operations": [{}] * 1001}, "operations[0]: 'action' is missing"),
        ({"operations": [], "collection": "c"}, "'collection' is not an argument of this action"),
    ],
)
def test_a_malformed_transaction_is_rejected(call: Caller, body: dict[str, Any], message: str) -> None:
    response = call.http.post("transaction", json={"dataSource": "Cluster0"} | body)
    assert response.status_code == 400
    assert message in response.json()["error"]


def test_a_transaction_has_at_most_1000_operations(call: Caller, reader: Any) -> None:
    step = call.step("insertOne", document={})
    assert "more than 1000 operations" in call.transaction(*[step] * 1001).json()["error"]
    assert reader.count_documents({}) == 0


def test_transactions_that_conflict_are_tried_again(call: Caller, reader: Any) -> None:
    reader.insert_many([{"_id": "a", "n": 0}, {"_id": "b", "n": 0}])
    increment = [call.step("updateOne", filter={"_id": name}, update={"$inc": {"n": 1}}) for name in "ab"]

    def work() -> list[int]:
        return [call.transaction(*increment).status_code for _ in range(3)]

    statuses = [status for done in at_once(work, work, work) for status in done]
    assert len(statuses) == 9
    succeeded = statuses.count(200)
    # What conflicts until the end is said to have done nothing, and may be sent again.
    assert succeeded > 0
    assert set(statuses) <= {200, 503}
    assert [document["n"] for document in reader.find(sort=[("_id", 1)])] == [succeeded, succeeded]


def test_a_transaction_ends_with_the_time_of_a_request(
    mongodb_uri: str, names: tuple[str, str], reader: Any, tmp_path: Path
) -> None:
    """Of what it did, nothing stays, and no lock either."""
    key = create_key(tmp_path, "all")
    with gateway(tmp_path, configured(mongodb_uri, tables="[limits]\nrequest_seconds = 0.2")) as running:
        call = Caller(running.url, names, key)
        with call.http:
            reader.insert_one({"_id": "a", "n": 0})
            update = call.step("updateOne", filter={"_id": "a"}, update={"$inc": {"n": 1}})
            slow = call.step("insertMany", documents=[{"text": "x" * 1000}] * 2000)
            response = call.transaction(update, *[slow] * 20)
            assert (response.status_code, response.json()["error_code"]) == (504, "ExecutionTimeLimitExceeded")
            assert "may or may not have been applied" in response.json()["error"]
            assert reader.find_one_and_update({"_id": "a"}, {"$inc": {"n": 5}}, return_document=True)["n"] == 5


@pytest.fixture(scope="module")
def guarded(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, dict[str, str]]]:
    """A gateway whose keys have different rights."""
    folder = tmp_path_factory.mktemp("actions")
    rights = {"reads": "read", "writes": "write", "both": "read,write"}
    keys = {name: create_key(folder, name, "*/app/*", rights=right) for name, right in rights.items()}
    with gateway(folder, configured(mongodb_uri)) as running:
        yield running, keys


@pytest.mark.parametrize(
    ("action", "arguments", "rights"),
    [
        ("findOneAndUpdate", {"filter": {"none": 1}, "update": {"$set": {"a": 1}}}, {"both"}),
        ("findOneAndReplace", {"filter": {"none": 1}, "replacement": {}}, {"both"}),
        ("findOneAndDelete", {"filter": {"none": 1}}, {"both"}),
        ("countDocuments", {}, {"reads", "both"}),
        ("estimatedDocumentCount", {}, {"reads", "both"}),
        ("distinct", {"key": "a"}, {"reads", "both"}),
        ("bulkWrite", {"operations": [{"deleteOne": {"filter": {"none": 1}}}]}, {"writes", "both"}),
    ],
)
def test_an_action_requires_its_rights(
    guarded: tuple[Gateway, dict[str, str]], action: str, arguments: dict[str, Any], rights: set[str]
) -> None:
    running, keys = guarded
    target = {"dataSource": "Cluster0", "database": "app", "collection": "actions"}
    step = {"action": action} | {name: target[name] for name in ("database", "collection")} | arguments
    for name, key in keys.items():
        response = running.post(action, target | arguments, key)
        assert (response.status_code == 200) == (name in rights), response.text
        if name not in rights:
            assert (response.status_code, response.json()["error_code"]) == (403, "NoMatchingRuleFound")
        if action == "estimatedDocumentCount":
            continue
        inside = running.post("transaction", {"dataSource": "Cluster0", "operations": [step]}, key)
        assert inside.status_code == response.status_code, inside.text


def test_a_transaction_is_authorized_before_anything_runs(
    guarded: tuple[Gateway, dict[str, str]], pymongo_client: Any
) -> None:
    running, keys = guarded
    first = {"action": "insertOne", "database": "app", "collection": "first", "document": {}}
    response = running.post(
        "transaction", {"dataSource": "Cluster0", "operations": [first, first | {"database": "other"}]}, keys["both"]
    )
    assert response.status_code == 403
    assert response.json()["error"].startswith(
        "operations[1]: the caller does not have the right 'write' on other.first"
    )
    assert pymongo_client.app.first.count_documents({}) == 0


def test_the_metrics_count_each_action(guarded: tuple[Gateway, dict[str, str]]) -> None:
    running, keys = guarded
    target = {"dataSource": "Cluster0", "database": "app", "collection": "actions"}
    assert running.post("countDocuments", target, keys["reads"]).status_code == 200
    assert running.post("transaction", {"dataSource": "Cluster0", "operations": []}, keys["reads"]).status_code == 400
    metrics = running.get("/metrics").text
    assert 'requests_total{action="countDocuments",status="200"}' in metrics
    assert 'requests_total{action="transaction",status="400"}' in metrics


def test_the_comment_and_the_trace_context_are_one_comment(
    tapped: tuple[Gateway, str, Wiretap], names: tuple[str, str]
) -> None:
    running, key, tap = tapped
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    body = {"dataSource": "Cluster0", "database": names[0], "collection": names[1]}
    step = {name: body[name] for name in ("database", "collection")} | {"action": "findOne"}
    for comment in ("text", {"a": 1}, None):
        for action, sent in (("find", body), ("transaction", {"dataSource": "Cluster0", "operations": [step]})):
            tap.messages.clear()
            running.post(action, sent | {"comment": comment}, key, **trace)
            [command] = tap.commands("find")
            assert command["comment"]["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c-")
            assert command["comment"].get("comment") == comment


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, str, MongoClient[dict[str, Any]]]]:
    """A gateway, its key, and a client of its MongoDB, which fails as it is told."""
    folder = tmp_path_factory.mktemp("failing")
    key = create_key(folder, "all")
    with secantusdb(0, None, "--enable-test-commands") as (_, port):
        uri = f"mongodb://127.0.0.1:{port}/"
        with (
            gateway(folder, configured(uri)) as running,
            MongoClient[dict[str, Any]](uri) as client,
        ):
            yield running, key, client


UNKNOWN = "UnknownTransactionCommitResult"
TRANSIENT = "TransientTransactionError"


@pytest.mark.parametrize(
    ("command", "label", "times", "status"),
    [
        ("insert", TRANSIENT, 1, 200),
        ("insert", TRANSIENT, 7, 200),
        ("insert", TRANSIENT, 8, 503),
        ("commitTransaction", TRANSIENT, 2, 200),
        ("commitTransaction", UNKNOWN, 2, 200),
        ("commitTransaction", UNKNOWN, 20, 504),
        ("insert", None, 1, 400),
        ("commitTransaction", None, 1, 400),
    ],
)
def test_labels_of_errors_decide_what_is_tried_again(
    failing: tuple[Gateway, str, MongoClient[dict[str, Any]]],
    names: tuple[str, str],
    command: str,
    label: str | None,
    times: int,
    status: int,
) -> None:
    running, key, client = failing
    # A transaction that is neither committed nor aborted holds what it has written.
    collection = client.failing[names[1]]
    collection.insert_one({"_id": 0})
    data = {"failCommands": [command], "errorCode": 251, "errorLabels": [label] if label else []}
    client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": times}, "data": data})
    step = {"action": "insertOne", "database": "failing", "collection": names[1], "document": {"_id": 1}}
    try:
        response = running.post("transaction", {"dataSource": "Cluster0", "operations": [step]}, key)
    finally:
        client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
    assert response.status_code == status, response.text
    assert collection.count_documents({"_id": 1}) == (1 if status == 200 else 0)
    error = response.json()
    if status == 504:
        assert "may or may not have been committed" in error["error"]
        assert "retry-after" not in response.headers
    elif status == 503:
        assert (error["index"], response.headers["retry-after"]) == (0, "1")
    elif status == 400:
        assert (error["error_code"], error["code"]) == ("MongoDBError", 251)


def test_a_transaction_on_a_server_that_cannot_be_reached_fails(tmp_path: Path) -> None:
    key = create_key(tmp_path, "all")
    uri = f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=200"
    with gateway(tmp_path, configured(uri)) as running:
        step = {"action": "insertOne", "database": "app", "collection": "c", "document": {}}
        for _ in range(2):
            response = running.post("transaction", {"dataSource": "Cluster0", "operations": [step]}, key)
            assert (response.status_code, response.json()["error_code"]) == (503, "MongoDBError")
            assert "MongoDB cannot be reached" in response.json()["error"]


def test_the_bulk_write_of_the_documentation_works(call: Caller) -> None:
    [example] = re.findall(r"```json\n(.*?)```", section("Which actions does it have beyond Atlas' ten?"), re.DOTALL)
    result = call("bulkWrite", operations=json.loads(example)["operations"])
    counts = {name: count for name, count in result.items() if name.endswith("Count")}
    assert counts == {
        "insertedCount": 1,
        "matchedCount": 1,
        "modifiedCount": 1,
        "deletedCount": 0,
        "upsertedCount": 0,
    }


def test_the_transaction_of_the_documentation_works(call: Caller, reader: Any) -> None:
    [example] = re.findall(r"-d '(.*?)'\n", section("How do I run a transaction?"), re.DOTALL)
    names = {name: call.target[name] for name in ("database", "collection")}
    steps = [step | names for step in json.loads(example)["operations"]]
    reader.insert_many([{"_id": "a", "balance": 7}, {"_id": "b", "balance": 0}])
    assert call.transaction(*steps).json()["results"] == [
        {"matchedCount": 1, "modifiedCount": 1},
        {"matchedCount": 1, "modifiedCount": 1},
        {"document": {"_id": "a", "balance": 2}},
    ]
    assert reader.find_one({"_id": "b"})["balance"] == 5


@pytest.mark.parametrize("prefix", ["", "/app/data-abcde/endpoint/data/v1", "/app/data-abcde/endpoint/data/beta"])
def test_the_description_is_below_each_prefix(gateway_url: str, prefix: str) -> None:
    paths = httpx.get(f"{gateway_url}{prefix}/openapi.json").json()["paths"]
    assert "/action/bulkWrite" in paths
