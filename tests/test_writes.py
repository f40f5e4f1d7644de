"""Updates, replacements, deletions and aggregations, beside PyMongo's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from bson import Decimal128, ObjectId
from connect.eaas.mongodb import AsyncDataApiClient, AsyncMongoClient, DataApiClient, MongoClient
from pymongo import ReturnDocument
from pymongo.collation import Collation
from pymongo.errors import CollectionInvalid, DuplicateKeyError, OperationFailure, PyMongoError

DRIVER: list[Any] = [AsyncMongoClient, MongoClient]
HTTP: list[Any] = [AsyncDataApiClient, DataApiClient]
DOCUMENTS: list[dict[str, Any]] = [
    {"_id": 1, "n": 1, "tags": ["a", "b"], "sub": {"x": 1}},
    {"_id": 2, "n": 2, "tags": [], "sub": {"x": Decimal128("2.5")}},
    {"_id": 3, "n": 2, "tags": ["c"], "name": "é"},
]


async def result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


@pytest.fixture(params=DRIVER + HTTP)
def collection(request: pytest.FixtureRequest, config: dict[str, str]) -> Any:
    return request.param.from_config(config).get_default_collection()


@pytest.fixture(params=DRIVER)
def driver_collection(request: pytest.FixtureRequest, config: dict[str, str]) -> Any:
    return request.param.from_config(config).get_default_collection()


@pytest.fixture
def twin(reader: Any) -> Any:
    """A collection with the same documents, for PyMongo itself."""
    reader.insert_many(DOCUMENTS)
    twin = reader.database[f"{reader.name}_twin"]
    twin.insert_many(DOCUMENTS)
    return twin


def same(ours: Any, theirs: Any) -> bool:
    """Whether two results of writes say the same."""
    names = ("matched_count", "modified_count", "upserted_id", "deleted_count", "acknowledged", "did_upsert")
    return all(getattr(ours, name, None) == getattr(theirs, name, None) for name in names)


WRITES: list[Callable[[Any], Any]] = [
    lambda c: c.update_one({"n": 2}, {"$set": {"seen": True}}),
    lambda c: c.update_one({"n": 9}, {"$set": {"seen": True}}),
    lambda c: c.update_one({"_id": 1}, {"$set": {"n": 1}}),
    lambda c: c.update_one({"_id": 9}, {"$set": {"n": 9}}, upsert=True),
    lambda c: c.update_one({"_id": "x"}, {"$inc": {"n": 9}}, True),
    lambda c: c.update_one({"_id": 1}, [{"$set": {"n": {"$add": ["$n", 10]}}}]),
    lambda c: c.update_many({"n": 2}, {"$inc": {"n": 1}, "$push": {"tags": "d"}}),
    lambda c: c.update_many({}, {"$unset": {"sub": 1}}),
    lambda c: c.update_many({"_id": 7}, {"$set": {"n": 7}}, upsert=True),
    lambda c: c.replace_one({"_id": 1}, {"new": True}),
    lambda c: c.replace_one({"n": 2}, {}),
    lambda c: c.replace_one({"_id": 8}, {"n": Decimal128("1.50")}, upsert=True),
    lambda c: c.delete_one({"n": 2}),
    lambda c: c.delete_one({"n": 9}),
    lambda c: c.delete_many({"n": 2}),
    lambda c: c.delete_many({}),
]


@pytest.mark.parametrize("write", WRITES, ids=range(len(WRITES)))
async def test_writes_do_what_pymongos_do(collection: Any, reader: Any, twin: Any, write: Callable[[Any], Any]) -> None:
    ours, theirs = await result(write(collection)), write(twin)
    assert same(ours, theirs)
    assert list(reader.find().sort("_id")) == list(twin.find().sort("_id"))
    assert type(ours).__name__ == type(theirs).__name__
    assert ours.raw_result["n"] == theirs.raw_result["n"]
    assert repr(ours).startswith(f"{type(theirs).__name__}({{'n': ")


async def test_an_upserted_id_is_the_servers(collection: Any, reader: Any) -> None:
    done = await result(collection.update_one({"a": 1}, {"$set": {"b": 1}}, upsert=True))
    assert isinstance(done.upserted_id, ObjectId)
    assert reader.find_one()["_id"] == done.upserted_id


WRONG: list[tuple[Callable[[Any], Any], type[Exception]]] = [
    (lambda c: c.update_one({}, {"a": 1}), ValueError),
    (lambda c: c.update_one({}, {}), ValueError),
    (lambda c: c.update_one({}, []), ValueError),
    (lambda c: c.update_one({}, 5), TypeError),
    (lambda c: c.update_many({}, {"a": 1}), ValueError),
    (lambda c: c.replace_one({}, {"$set": {"a": 1}}), ValueError),
    (lambda c: c.replace_one({}, 5), TypeError),
    (lambda c: c.delete_one(5), TypeError),
    (lambda c: c.delete_many([]), TypeError),
]


@pytest.mark.parametrize(("call", "error"), WRONG, ids=range(len(WRONG)))
async def test_wrong_arguments_are_refused_as_by_pymongo(
    collection: Any, twin: Any, call: Callable[[Any], Any], error: type[Exception]
) -> None:
    with pytest.raises(error) as theirs:
        call(twin)
    with pytest.raises(error) as ours:
        await result(call(collection))
    assert type(ours.value) is type(theirs.value)


async def test_what_mongodb_refuses_is_an_error(collection: Any, reader: Any, twin: Any) -> None:
    reader.create_index("n", unique=True, partialFilterExpression={"name": {"$exists": True}})
    with pytest.raises(DuplicateKeyError):
        await result(collection.insert_one({"n": 2, "name": "twice"}))
    with pytest.raises(DuplicateKeyError):
        await result(collection.update_one({"_id": 2}, {"$set": {"name": "x"}}))
    with pytest.raises(PyMongoError, match=r"nonsense"):
        await result(collection.update_one({}, {"$nonsense": 1}))


async def test_pipelines(collection: Any, twin: Any) -> None:
    pipeline = [
        {"$match": {"n": {"$gt": 0}}},
        {"$group": {"_id": "$n", "count": {"$sum": 1}, "ids": {"$push": "$_id"}}},
        {"$sort": {"_id": 1}},
    ]
    expected = list(twin.aggregate(pipeline))
    assert await result(collection.aggregate(pipeline).to_list()) == expected
    if hasattr(collection.aggregate([]), "__aiter__"):
        assert [document async for document in collection.aggregate(pipeline)] == expected
        cursor = await collection.aggregate(pipeline)
        assert await cursor.to_list() == expected
        with pytest.raises(PyMongoError):
            await collection.aggregate([{"$nonsense": 1}])
    assert await result(collection.aggregate([{"$match": {"n": 99}}]).to_list()) == []
    wrong: Any = {"$match": {}}
    with pytest.raises(TypeError, match="pipeline"):
        await result(collection.aggregate(wrong).to_list())
    # An option that no client knows is the server's to refuse. The Data API has none.
    if "DataApi" in type(collection).__name__:
        with pytest.raises(NotImplementedError, match="nonsense"):
            await result(collection.aggregate([], nonsense=1).to_list())


@pytest.mark.parametrize("client", HTTP)
async def test_what_the_data_api_lacks_is_named(client: Any, config: dict[str, str]) -> None:
    collection = client.from_config(config).get_default_collection()
    with pytest.raises(NotImplementedError, match="session"):
        await result(collection.delete_many({}, session=object()))
    with pytest.raises(NotImplementedError, match="bypassDocumentValidation"):
        await result(collection.update_one({}, {"$set": {"a": 1}}, bypass_document_validation=True))
    with pytest.raises(NotImplementedError, match="exchange"):
        await result(collection.aggregate([], exchange={}).to_list())


@pytest.mark.parametrize("operator", ["$where", "$function", "$accumulator", "$out", "$merge"])
async def test_the_gateway_rejects_code_and_writing_stages_without_their_right(
    config: dict[str, str], operator: str, reader: Any, names: tuple[str, str]
) -> None:
    collection = AsyncDataApiClient.from_config(config).get_default_collection()
    writes = operator in ("$out", "$merge")
    stage = {operator: "x"} if writes else {"$facet": {"a": [{"$match": {operator: "x"}}]}}
    with pytest.raises(PyMongoError, match=f"requires the right '{'out' if writes else 'code'}' on"):
        await collection.aggregate([stage]).to_list()
    message = "is a pipeline stage and cannot be used here" if writes else "requires the right 'code' on"
    with pytest.raises(PyMongoError, match=message):
        await collection.find_one({"$or": [{operator: "x"}]})
    # Inserted values are not evaluated.
    await collection.insert_one({"a": [operator]})


# The driver path alone.


FINDS: list[Callable[[Any], Any]] = [
    lambda c: c.find_one_and_update({"n": 2}, {"$set": {"seen": True}}, sort=[("_id", -1)]),
    lambda c: c.find_one_and_update({"_id": 1}, {"$inc": {"n": 5}}, {"n": 1}, return_document=ReturnDocument.AFTER),
    lambda c: c.find_one_and_update({"_id": 9}, {"$set": {"n": 9}}, upsert=True),
    lambda c: c.find_one_and_update({"_id": 9}, {"$set": {"n": 9}}, upsert=True, return_document=ReturnDocument.AFTER),
    lambda c: c.find_one_and_update({"_id": 9}, {"$set": {"n": 9}}),
    lambda c: c.find_one_and_update(
        {"_id": 1}, {"$set": {"tags.$[t]": "z"}}, array_filters=[{"t": "a"}], return_document=ReturnDocument.AFTER
    ),
    lambda c: c.find_one_and_replace({"_id": 1}, {"new": 1}, return_document=ReturnDocument.AFTER),
    lambda c: c.find_one_and_replace({"_id": 1}, {"new": 1}, projection=["n"]),
    lambda c: c.find_one_and_delete({"n": 2}, sort=[("_id", -1)], maxTimeMS=5000),
    lambda c: c.find_one_and_delete({"n": 99}),
    lambda c: c.count_documents({"n": 2}),
    lambda c: c.count_documents({}, skip=1, limit=1),
    lambda c: c.estimated_document_count(),
    lambda c: c.distinct("n"),
    lambda c: c.distinct("tags", {"n": {"$lt": 3}}),
    lambda c: c.distinct("sub.x"),
    lambda c: c.create_index("n"),
    lambda c: c.create_index([("n", 1), ("name", -1)], unique=False, sparse=True),
    lambda c: c.create_index([("n", 1)], name="mine", collation=Collation("en")),
    lambda c: c.drop(),
    lambda c: c.index_information(),
    lambda c: c.drop_indexes(),
]


@pytest.mark.parametrize("call", FINDS, ids=range(len(FINDS)))
async def test_the_drivers_calls_do_what_pymongos_do(
    driver_collection: Any, reader: Any, twin: Any, call: Callable[[Any], Any]
) -> None:
    assert await result(call(driver_collection)) == call(twin)
    assert list(reader.find().sort("_id")) == list(twin.find().sort("_id"))
    assert reader.index_information() == twin.index_information()


async def test_options_of_writes_reach_mongodb(driver_collection: Any, twin: Any) -> None:
    done = await result(
        driver_collection.update_one({"name": "É"}, {"$set": {"x": 1}}, collation=Collation("en", strength=1))
    )
    assert done.matched_count == 1
    done = await result(
        driver_collection.update_many({}, {"$set": {"tags.$[t]": "z"}}, array_filters=[{"t": {"$in": ["a", "c"]}}])
    )
    assert done.modified_count == 2
    with pytest.raises(OperationFailure):
        await result(driver_collection.delete_one({}, hint="no_such_index"))
    await result(driver_collection.drop())
    await result(driver_collection.drop())


async def test_collections_databases_and_indexes_come_and_go(
    driver_collection: Any, reader: Any, names: tuple[str, str], pymongo_client: Any
) -> None:
    database = driver_collection.database
    made = await result(database.create_collection(f"{names[1]}_made", capped=True, size=4096))
    assert made == database[f"{names[1]}_made"]
    assert reader.database[made.name].options()["capped"] is True
    with pytest.raises(CollectionInvalid, match="already exists"):
        await result(database.create_collection(made.name))
    assert made.name in await result(database.list_collection_names())
    assert await result(database.list_collection_names(filter={"name": made.name})) == [made.name]
    await result(database.drop_collection(made))
    await result(database.drop_collection(made.name))
    assert made.name not in reader.database.list_collection_names()

    reader.insert_one({})
    await result(driver_collection.create_index([("a", 1), ("b", -1)], unique=True))
    await result(driver_collection.create_index("c", name="mine"))
    assert await result(driver_collection.index_information()) == reader.index_information()
    listed = await result(driver_collection.list_indexes().to_list())
    assert [index["name"] for index in listed] == ["_id_", "a_1_b_-1", "mine"]
    await result(driver_collection.drop_index([("a", 1), ("b", -1)]))
    await result(driver_collection.drop_index("mine"))
    assert set(reader.index_information()) == {"_id_"}
    with pytest.raises(OperationFailure):
        await result(driver_collection.drop_index("mine"))
    assert await result(database["no_such"].index_information()) == {}

    client = database.client
    assert names[0] in await result(client.list_database_names())
    other = f"{names[0]}_other_{names[1]}"
    pymongo_client[other].c.insert_one({})
    await result(client.drop_database(other))
    assert other not in pymongo_client.list_database_names()
    assert (await result(client.server_info()))["version"] == pymongo_client.server_info()["version"]
