"""What the Data API path has with the gateway: the driver path's results, errors and arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from bson import ObjectId, Regex
from connect.eaas.mongodb import AsyncDataApiClient, AsyncMongoClient, DataApiClient, MongoClient
from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, ReturnDocument, UpdateMany, UpdateOne
from pymongo.collation import Collation
from pymongo.errors import BulkWriteError, DuplicateKeyError, InvalidOperation, PyMongoError

CLIENTS: list[Any] = [AsyncMongoClient, MongoClient, AsyncDataApiClient, DataApiClient]
HTTP: list[Any] = [AsyncDataApiClient, DataApiClient]


async def result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


@pytest.fixture(params=CLIENTS)
def collection(request: pytest.FixtureRequest, config: dict[str, str]) -> Any:
    return request.param.from_config(config).get_default_collection()


@pytest.fixture(params=HTTP)
def over_http(request: pytest.FixtureRequest, config: dict[str, str]) -> Any:
    return request.param.from_config(config).get_default_collection()


async def test_a_document_is_changed_and_returned(collection: Any, reader: Any) -> None:
    reader.insert_many([{"_id": 1, "n": 1, "list": [5, 6]}, {"_id": 2, "n": 1}])
    update = {"$inc": {"n": 1}}
    found = await result(collection.find_one_and_update({"n": 1}, update, sort=[("_id", -1)]))
    assert found == {"_id": 2, "n": 1}
    found = await result(
        collection.find_one_and_update(
            {"_id": 1},
            {"$set": {"list.$[x]": 0}},
            projection={"list": 1},
            return_document=ReturnDocument.AFTER,
            array_filters=[{"x": 5}],
            hint="_id_",
            maxTimeMS=5000,
        )
    )
    assert found == {"_id": 1, "list": [0, 6]}
    upserted = collection.find_one_and_update({"_id": 3}, update, upsert=True, return_document=True)
    assert await result(upserted) == {"_id": 3, "n": 1}
    assert await result(collection.find_one_and_update({"_id": 4}, update)) is None
    replaced = collection.find_one_and_replace({"_id": 1}, {"n": 9}, {"_id": 0}, return_document=True)
    assert await result(replaced) == {"n": 9}
    assert await result(collection.find_one_and_delete({"_id": 1}, sort={"_id": 1})) == {"_id": 1, "n": 9}
    assert reader.find_one({"_id": 1}) is None
    reader.create_index("n", unique=True, partialFilterExpression={"n": {"$gt": 50}})
    reader.insert_many([{"_id": 51, "n": 51}, {"_id": 52, "n": 52}])
    with pytest.raises(DuplicateKeyError):
        await result(collection.find_one_and_update({"_id": 51}, {"$set": {"n": 52}}))


async def test_documents_are_counted(collection: Any, reader: Any) -> None:
    assert await result(collection.count_documents({})) == 0
    reader.insert_many([{"_id": n, "kind": "ab"[n % 2]} for n in range(10)])
    assert await result(collection.count_documents({"kind": "a"})) == 5
    counted = collection.count_documents({"kind": "a"}, skip=1, limit=3, hint="_id_", maxTimeMS=5000, comment="c")
    assert await result(counted) == 3
    assert await result(collection.count_documents({"kind": Regex("^A", "i")})) == 5
    assert await result(collection.estimated_document_count()) == 10


async def test_distinct_values_are_returned(collection: Any, reader: Any) -> None:
    ids = [ObjectId() for _ in range(3)]
    reader.insert_many([{"_id": value, "n": n % 2, "nested": {"a": [n]}} for n, value in enumerate(ids)])
    assert sorted(await result(collection.distinct("_id"))) == ids
    assert await result(collection.distinct("n", {"_id": ids[1]})) == [1]
    assert sorted(await result(collection.distinct("nested.a"))) == [0, 1, 2]
    assert await result(collection.distinct("none")) == []


async def test_a_bulk_write_returns_its_counts(collection: Any, reader: Any) -> None:
    reader.insert_many([{"_id": "old", "n": 1, "list": [1, 2]}, {"_id": "gone", "n": 2}])
    document = {"n": 6}
    done = await result(
        collection.bulk_write(
            [
                InsertOne({"_id": "new", "n": 5}),
                InsertOne(document),
                UpdateOne({"_id": "old"}, {"$set": {"list.$[x]": 0}}, array_filters=[{"x": 1}], hint="_id_"),
                UpdateMany({"n": {"$gt": 4}}, [{"$set": {"big": True}}]),
                UpdateOne({"_id": "up"}, {"$set": {"n": 0}}, upsert=True),
                ReplaceOne({"_id": "old"}, {"r": 1}),
                DeleteOne({"_id": "gone"}, hint=[("_id", 1)]),
                DeleteMany({"_id": "nobody"}),
            ],
            comment="c",
        )
    )
    assert (done.inserted_count, done.matched_count, done.modified_count) == (2, 4, 4)
    assert (done.deleted_count, done.upserted_count, done.upserted_ids) == (1, 1, {4: "up"})
    assert done.acknowledged
    assert reader.find_one({"_id": "old"}) == {"_id": "old", "r": 1}
    assert reader.find_one({"_id": "new"})["big"] is True
    assert reader.count_documents({}) == 4


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_bulk_write_names_what_failed(collection: Any, reader: Any, ordered: bool) -> None:
    requests = [InsertOne({"_id": n}) for n in (1, 1, 2)]
    with pytest.raises(BulkWriteError) as failed:
        await result(collection.bulk_write(requests, ordered=ordered))
    [rejected] = failed.value.details["writeErrors"]
    assert (rejected["index"], rejected["code"], rejected["op"]) == (1, 11000, {"_id": 1})
    assert failed.value.details["nInserted"] == reader.count_documents({}) == (1 if ordered else 2)


async def test_options_of_commands_work(collection: Any, reader: Any) -> None:
    reader.insert_many([{"_id": n, "n": n} for n in range(5)])
    assert (await result(collection.find_one({}, sort=[("n", -1)], skip=1)))["n"] == 3
    assert (await result(collection.find_one({"n": 2}, hint=[("_id", 1)], max_time_ms=5000)))["n"] == 2
    found = collection.find({"n": {"$lt": 2}}, hint="_id_", comment="c", allow_disk_use=True, sort={"n": -1})
    assert [document["n"] for document in await result(found.to_list())] == [1, 0]
    changed = await result(collection.update_one({"n": 1}, {"$set": {"a": 1}}, hint="_id_", comment="c"))
    assert changed.modified_count == 1
    replaced = await result(collection.replace_one({"n": 1}, {"n": 1, "b": 1}, hint={"_id": 1}))
    assert replaced.modified_count == 1
    assert (await result(collection.delete_one({"n": 1}, hint="_id_"))).deleted_count == 1
    aggregated = await result(collection.aggregate([{"$match": {"n": 2}}], hint="_id_", maxTimeMS=5000, comment="c"))
    assert [document["n"] for document in await result(aggregated.to_list())] == [2]


async def test_collations_and_variables_are_accepted(collection: Any, reader: Any) -> None:
    """SecantusDB accepts them; that MongoDB gets them is a test of the gateway."""
    reader.insert_one({"_id": 1, "name": "a"})
    collation = Collation("en", strength=2)
    await result(collection.find({}, collation=collation).to_list())
    await result(collection.update_one({"_id": 1}, {"$set": {"a": 1}}, collation=collation, let={"x": 1}))
    await result(collection.delete_many({"_id": 2}, collation={"locale": "en"}, let={"x": 1}))
    await result(collection.count_documents({}, collation=collation))
    await result(collection.find_one_and_delete({"_id": 2}, collation=collation, let={"x": 1}))
    assert reader.find_one() == {"_id": 1, "name": "a", "a": 1}


WRONG: list[tuple[Callable[[Any], Any], type[Exception]]] = [
    (lambda c: c.count_documents(5), TypeError),
    (lambda c: c.distinct(5), TypeError),
    (lambda c: c.find_one_and_update({}, {"a": 1}), ValueError),
    (lambda c: c.find_one_and_update({}, {}), ValueError),
    (lambda c: c.find_one_and_replace({}, {"$set": {"a": 1}}), ValueError),
    (lambda c: c.bulk_write([]), InvalidOperation),
    (lambda c: c.bulk_write([{}]), TypeError),
    (lambda c: c.bulk_write({}), TypeError),
    (lambda c: c.update_one({}, {"$set": {"a": 1}}, collation=5), TypeError),
    (lambda c: c.update_one({}, {"$set": {"a": 1}}, array_filters={}), TypeError),
    (lambda c: c.count_documents({"$noSuchOperator": 1}), PyMongoError),
    (lambda c: c.find_one_and_update({}, {"$noSuchOperator": {"a": 1}}), PyMongoError),
]


@pytest.mark.parametrize(("call", "error"), WRONG)
async def test_wrong_arguments_have_the_same_errors(
    collection: Any, reader: Any, call: Any, error: type[Exception]
) -> None:
    reader.insert_one({"_id": 1})
    with pytest.raises(error):
        await result(call(collection))


@pytest.mark.parametrize(
    ("call", "missing"),
    [
        (lambda c: c.count_documents({}, session=object()), "session"),
        (lambda c: c.find_one_and_delete({}, session=object()), "session"),
        (lambda c: c.bulk_write([InsertOne({})], bypass_document_validation=True), "bypassDocumentValidation"),
        (lambda c: c.update_one({}, {"$set": {"a": 1}}, session=object()), "session"),
        (lambda c: c.aggregate([], someOption=1).to_list(), "someOption of aggregate"),
        (lambda c: c.create_index("a"), "create_index"),
        (lambda c: c.watch(), "watch"),
    ],
)
async def test_what_the_gateway_lacks_is_named(over_http: Any, call: Any, missing: str) -> None:
    with pytest.raises(NotImplementedError, match=f"has no {missing}"):
        await result(call(over_http))


async def test_a_value_that_extended_json_reads_as_another_type_is_rejected(over_http: Any, reader: Any) -> None:
    wrapper = {"a": {"$oid": "6193504e1be4ab27791c8133"}}
    calls: list[Callable[[], Any]] = [
        lambda: over_http.count_documents(wrapper),
        lambda: over_http.distinct("a", wrapper),
        lambda: over_http.find_one_and_replace({}, wrapper),
        lambda: over_http.bulk_write([InsertOne(wrapper)]),
        lambda: over_http.bulk_write([UpdateOne(wrapper, {"$set": {"a": 1}})]),
    ]
    for call in calls:
        with pytest.raises(Exception, match=r"the field \$oid"):
            await result(call())
    assert reader.find_one() is None
