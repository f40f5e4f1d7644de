"""What all four collections do: both paths, awaited and not."""

from __future__ import annotations

import copy
import datetime
import inspect
import pickle
from typing import Any

import bson
import connect.eaas.mongodb as library
import pymongo.errors
import pymongo.results
import pytest
from bson import Binary, Code, CodecOptions, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.errors import InvalidDocument
from bson.raw_bson import RawBSONDocument

from demo.purchase_requests import purchase_requests

CLIENTS = ["AsyncMongoClient", "MongoClient", "AsyncDataApiClient", "DataApiClient"]


async def result(call: Any) -> Any:
    """The result of a method, awaited or not."""
    return await call if inspect.isawaitable(call) else call


@pytest.fixture(params=CLIENTS)
def collection(request: pytest.FixtureRequest, config: dict[str, str]) -> Any:
    return getattr(library, request.param).from_config(config).get_default_collection()


EVERYTHING = {
    "double": 1.5,
    "text": "ünï\0code 🚀",
    "document": {"a": {"b": [1, [2, {"c": None}]]}},
    "empty": {},
    "list": [],
    "bytes": b"\x00\x01",
    "binary": Binary(b"12", 128),
    "id": ObjectId("6193504e1be4ab27791c8133"),
    "true": True,
    "date": datetime.datetime(2020, 2, 29, 12, 30, 15, 123000),
    "null": None,
    "regex": Regex("^a", "i"),
    "code": Code("x()"),
    "scoped": Code("x()", {"y": 1}),
    "int": 2**31 - 1,
    "long": 2**40,
    "int64": Int64(5),
    "timestamp": Timestamp(1, 2),
    "decimal": Decimal128("1.10"),
    "min": MinKey(),
    "max": MaxKey(),
}


async def test_a_request_is_stored_once_equal_and_left_as_it_was(collection: Any, reader: Any) -> None:
    for request in purchase_requests(10):
        before = copy.deepcopy(request)
        inserted = await result(collection.insert_one(request))
        assert request == before
        assert list(request) == list(before)
        stored = list(reader.find({"id": request["id"]}))
        assert [document.pop("_id") for document in stored] == [inserted.inserted_id]
        assert stored == [before]


async def test_every_type_comes_back_as_pymongo_has_it(collection: Any, reader: Any) -> None:
    inserted = await result(collection.insert_one(EVERYTHING))
    found = await result(collection.find_one({"_id": inserted.inserted_id}))
    assert repr(found) == repr(reader.find_one({"_id": inserted.inserted_id}))
    assert type(found["int64"]) is Int64


async def test_results_print_as_pymongos_do(collection: Any) -> None:
    one = await result(collection.insert_one({"_id": ObjectId("6193504e1be4ab27791c8133")}))
    assert repr(one) == "InsertOneResult(ObjectId('6193504e1be4ab27791c8133'), acknowledged=True)"
    many = await result(collection.insert_many([{"_id": 1}, {"_id": "x"}]))
    assert repr(many) == "InsertManyResult([1, 'x'], acknowledged=True)"
    for ours, theirs in (
        (one, pymongo.results.InsertOneResult(one.inserted_id, True)),
        (many, pymongo.results.InsertManyResult(many.inserted_ids, True)),
    ):
        public = {name for name in dir(theirs) if not name.startswith("_")}
        assert public <= set(dir(ours))
        assert repr(pickle.loads(pickle.dumps(ours))) == repr(ours) == repr(theirs)


async def test_an_id_is_made_where_there_is_none_and_kept_where_there_is(collection: Any) -> None:
    made = (await result(collection.insert_one({"a": 1}))).inserted_id
    assert isinstance(made, ObjectId)
    assert abs(made.generation_time.timestamp() - datetime.datetime.now().timestamp()) < 60
    for own in ("text", 5, 2**40, {"a": 1}, None, b"x", datetime.datetime(2020, 1, 1)):
        inserted = await result(collection.insert_one({"a": 1, "_id": own}))
        assert inserted.inserted_id == own
        assert (await result(collection.find_one({"_id": own})))["_id"] == own


async def test_raw_documents_get_an_id_where_they_have_none(collection: Any) -> None:
    raw = RawBSONDocument(bson.encode({"a": {"b": 1}}))
    inserted = await result(collection.insert_one(raw))
    assert await result(collection.find_one(inserted.inserted_id)) == {
        "_id": inserted.inserted_id,
        "a": {"b": 1},
    }


async def test_a_duplicate_id_is_a_duplicate_key_error(collection: Any) -> None:
    await result(collection.insert_one({"_id": "once"}))
    with pytest.raises(pymongo.errors.DuplicateKeyError) as refused:
        await result(collection.insert_one({"_id": "once"}))
    assert refused.value.code == 11000
    assert dict(refused.value.details or {})["code"] == 11000
    assert "E11000" in str(refused.value)
    assert "127.0.0.1" in str(refused.value)


async def test_another_unique_key_is_a_duplicate_key_error_too(collection: Any, reader: Any) -> None:
    reader.create_index("serial", unique=True)
    await result(collection.insert_one({"serial": 1}))
    with pytest.raises(pymongo.errors.DuplicateKeyError):
        await result(collection.insert_one({"serial": 1}))
    assert reader.count_documents({}) == 1


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_batch_with_refused_documents_is_a_bulk_write_error(
    collection: Any, reader: Any, ordered: bool
) -> None:
    batch = [{"_id": 0}, {"_id": 1, "a": 1}, {"_id": 1, "a": 2}, {"_id": 2}, {"_id": 0, "again": True}]
    with pytest.raises(pymongo.errors.BulkWriteError) as refused:
        await result(collection.insert_many(batch, ordered=ordered))
    details = refused.value.details
    assert refused.value.code == 65
    assert [error["index"] for error in details["writeErrors"]] == ([2] if ordered else [2, 4])
    assert [error["op"] for error in details["writeErrors"]] == ([batch[2]] if ordered else [batch[2], batch[4]])
    assert {error["code"] for error in details["writeErrors"]} == {11000}
    assert details["nInserted"] == reader.count_documents({}) == (2 if ordered else 3)
    assert "E11000" in str(refused.value)
    assert "again" not in str(refused.value)


async def test_many_documents_keep_their_order(collection: Any, reader: Any) -> None:
    batch = [{"n": number} for number in range(2500)]
    inserted = await result(collection.insert_many(iter(batch)))
    assert all("_id" not in document for document in batch)
    assert len(set(inserted.inserted_ids)) == 2500
    stored = {document["_id"]: document["n"] for document in reader.find()}
    assert [stored[key] for key in inserted.inserted_ids] == list(range(2500))


@pytest.mark.parametrize("documents", [[], {}, {"a": 1}, None, 5, "text", [1], [{}, "x"]], ids=repr)
async def test_what_is_no_list_of_documents_is_a_type_error(collection: Any, reader: Any, documents: Any) -> None:
    with pytest.raises(TypeError):
        await result(collection.insert_many(documents))
    assert reader.count_documents({}) == 0


@pytest.mark.parametrize("document", [None, 5, "text", [], [("a", 1)]], ids=repr)
async def test_what_is_no_document_is_a_type_error(collection: Any, document: Any) -> None:
    with pytest.raises(TypeError):
        await result(collection.insert_one(document))


async def test_what_bson_cannot_hold_is_refused_with_its_path(collection: Any, reader: Any) -> None:
    document = {"asset": {"items": [{"quantity": object()}]}}
    with pytest.raises(InvalidDocument, match=r"asset\.items\[0\]\.quantity"):
        await result(collection.insert_one(document))
    with pytest.raises(OverflowError, match="8-byte ints"):
        await result(collection.insert_one({"a": 2**64}))
    with pytest.raises(InvalidDocument):
        await result(collection.insert_many([{"a": 1}, document]))
    assert reader.count_documents({}) == 0


async def test_a_document_over_16_mib_is_refused(collection: Any, reader: Any) -> None:
    with pytest.raises(
        pymongo.errors.DocumentTooLarge, match=r"BSON document too large \(17825\d{3} bytes\).* 167\d{5} bytes"
    ):
        await result(collection.insert_one({"text": "x" * (17 * 1024 * 1024)}))
    assert reader.count_documents({}) == 0


async def test_a_document_of_almost_16_mib_is_stored(collection: Any, reader: Any) -> None:
    await result(collection.insert_one({"_id": 1, "text": "x" * (16 * 1024 * 1024 - 100)}))
    assert len(reader.find_one(1)["text"]) == 16 * 1024 * 1024 - 100


async def test_find_one_takes_a_query_an_id_or_nothing(collection: Any) -> None:
    assert await result(collection.find_one()) is None
    await result(collection.insert_many([{"_id": 1, "a": 1, "b": 2}, {"_id": "x", "a": 2}]))
    assert await result(collection.find_one("x")) == {"_id": "x", "a": 2}
    assert await result(collection.find_one({"a": {"$lt": 2}})) == {"_id": 1, "a": 1, "b": 2}
    assert await result(collection.find_one({"a": 3})) is None
    assert await result(collection.find_one({"a": 1}, {"b": 1, "_id": 0})) == {"b": 2}
    assert await result(collection.find_one({"a": 1}, ["a"])) == {"_id": 1, "a": 1}


async def test_an_empty_projection_is_none(collection: Any) -> None:
    await result(collection.insert_one({"_id": 1, "a": 2}))
    empty: list[Any] = [[], (), {}]
    for projection in empty:
        assert await result(collection.find_one({}, projection)) == {"_id": 1, "a": 2}


async def test_names_are_checked(collection: Any) -> None:
    client = collection.database.client
    for name in ("", "a b", "a.b", "$x", "a/b"):
        with pytest.raises(pymongo.errors.InvalidName):
            client[name]
    for name in ("", "$x", ".x", "x.", "a..b", "x\0"):
        with pytest.raises(pymongo.errors.InvalidName):
            client["db"][name]
    with pytest.raises(TypeError):
        client[5]


async def test_attributes_are_names_as_in_pymongo(collection: Any) -> None:
    client = collection.database.client
    assert client.some_db.some.nested.collection == client["some_db"]["some.nested.collection"]
    assert client.some_db.some.nested.full_name == "some_db.some.nested"
    assert client.get_database("x").get_collection("y").name == "y"
    assert client.get_default_database().name == collection.database.name
    assert len({client.a.b, client["a"]["b"], client.a.c}) == 2
    for holder in (client, client.a, client.a.b):
        with pytest.raises(AttributeError):
            getattr(holder, "_private")  # noqa: B009
    for holder in (client.a, client.a.b):
        with pytest.raises(NotImplementedError):
            bool(holder)
    with pytest.raises(TypeError, match="insertOne"):
        collection.insertOne({})


async def test_databases_and_collections_are_made_by_their_classes(collection: Any, reader: Any) -> None:
    database = type(collection.database)(collection.database.client, collection.database.name)
    made = type(collection)(database, collection.name, codec_options=CodecOptions(tz_aware=True))
    assert (database, made) == (collection.database, collection)
    assert made.codec_options.tz_aware
    await result(made.insert_one({"_id": 1}))
    assert reader.count_documents({}) == 1
    for database_class, collection_class in (
        (library.AsyncDatabase, library.AsyncCollection),
        (library.Database, library.Collection),
        (library.AsyncDataApiDatabase, library.AsyncDataApiCollection),
        (library.DataApiDatabase, library.DataApiCollection),
    ):
        if isinstance(database, database_class):
            continue
        with pytest.raises(TypeError, match=r"(MongoClient|DataApiClient) required"):
            database_class(database.client, "x")
        with pytest.raises(TypeError, match="Database required but given"):
            collection_class(database, "x")


async def test_classes_can_be_extended(collection: Any, reader: Any) -> None:
    class Things(type(collection)):  # type: ignore[misc]
        def __init__(self, database: Any, name: str) -> None:
            super().__init__(database, name)
            self.of = "ours"

        def insert_one(self, document: Any) -> Any:
            return super().insert_one({**document, "of": self.of})

    things = Things(collection.database, collection.name)
    await result(things.insert_one({"_id": 1}))
    assert reader.find_one() == {"_id": 1, "of": "ours"}
    assert repr(things).startswith("Things(")
    assert things.__class__ is Things

    class Client(type(collection.database.client)):  # type: ignore[misc]
        pass

    with pytest.raises(TypeError, match="from_config of the class that it extends"):
        Client.from_config({})


async def test_a_context_leaves_a_shared_client_open(collection: Any) -> None:
    client = collection.database.client
    if hasattr(client, "__aenter__"):
        async with client as entered:
            assert entered is client
    else:
        with client as entered:
            assert entered is client
    await result(collection.insert_one({}))
