"""Cases of what code relies on beside results: classes, equality, and the messages of errors about arguments."""

from __future__ import annotations

import copy
import warnings
import weakref
from collections.abc import Iterable, Sized
from typing import Any
from unittest import mock

import pymongo
from bson import SON, CodecOptions
from pymongo import ASCENDING, IndexModel, InsertOne, UpdateOne
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import Nearest
from pymongo.write_concern import WriteConcern

from tests.comparison.blocking import plain
from tests.comparison.cases.common import DOCUMENTS, Of, case, pymongo_document, table
from tests.comparison.harness import Call, World, outcome

Objects = tuple[Any, Any, Any]


def objects(w: World) -> Objects:
    """A client, a database and a collection of the library, which no adapter hides."""
    return plain(w.client), plain(w.database), plain(w.collection)


async def all_outcomes(calls: Iterable[Any]) -> list[Any]:
    return [await outcome(call) for call in calls]


def of_each(call: Of) -> Any:
    """The outcome of a call for a client, a database and a collection."""

    async def outcomes(w: World) -> Any:
        return await all_outcomes(lambda one=one: call(one) for one in objects(w))

    return outcomes


def of_all(call: Any) -> Any:
    """The outcome of a call with a client, a database and a collection."""
    return lambda w: outcome(lambda: call(*objects(w)))


def looped(one: Any) -> None:
    for _ in one:
        break


def replaced(one: Any, name: str, value: Any) -> Any:
    setattr(one, name, value)
    return getattr(one, name)


def of_the_collection(calls: dict[str, Of]) -> dict[str, Call]:
    """Calls with the case's collection."""

    def given(call: Of) -> Call:
        return lambda w: call(w.collection)

    return {name: given(call) for name, call in calls.items()}


# Objects of which a case gives only what is true of both libraries.
table(
    "objects",
    {
        "iter": of_each(iter),
        "next": of_each(next),
        "a method next": of_each(lambda one: one.next()),
        "a loop": of_each(lambda one: looped(one)),
        "unpacked": of_each(lambda one: [*one]),
        "are they iterable": of_each(lambda one: isinstance(one, Iterable)),
        "are they sized": of_each(lambda one: isinstance(one, Sized)),
        "a truth": of_all(lambda client, database, collection: bool(client)),
        "a database's truth": of_all(lambda client, database, collection: bool(database)),
        "a collection's truth": of_all(lambda client, database, collection: bool(collection)),
        "a call": of_each(lambda one: one()),
        "a call of a part": of_all(lambda client, database, collection: collection.part.find_all(1, a=2)),
        "a private attribute": of_each(lambda one: one._part),
        "a dunder": of_each(lambda one: one.__nonsense__),
        "a private part": of_each(lambda one: type(one["_part"]).__name__),
        "a part of a number": of_each(lambda one: one[0].name),
        "a part of a dict": of_each(lambda one: one[{}].name),
        "a part of nothing": of_each(lambda one: one[""]),
        "a part with a dollar": of_each(lambda one: one["a$b"]),
        "a part with dots": of_each(lambda one: one["a..b"]),
        "a part that starts with a dot": of_each(lambda one: one[".b"]),
        "a part that ends with a dot": of_each(lambda one: one["b."]),
        "a part with a null": of_each(lambda one: one["a\0b"]),
        "a part with a quote": of_each(lambda one: one["it's$"]),
        "in": of_each(lambda one: "a" in one),
        "a length": of_each(len),
        "an order": of_each(lambda one: one < 1),
        "a sum": of_each(lambda one: one + 1),
        "an item set": of_each(lambda one: one.__setitem__("a", 1)),
        "equal to itself": of_each(lambda one: one == one),
        "equal to another thing": of_each(lambda one: (one == 1, one != 1, one == "x", one is None)),
        "equal to anything": of_each(lambda one: one == mock.ANY),
        "an attribute set": of_each(lambda one: replaced(one, "extra", 1)),
        "a method replaced": of_all(
            lambda client, database, collection: replaced(collection, "find", lambda: "found")()
        ),
        "referred to weakly": of_each(lambda one: weakref.ref(one)() is one),
        "copied": of_all(lambda client, database, collection: copy.copy(database) == database),
        "names of classes": of_each(lambda one: type(one).__name__),
        "equal parts": of_all(
            lambda client, database, collection: (
                client[database.name] == database,
                database[collection.name] == collection,
                database["other"] == collection,
                database["a.b"] == database.a.b,
                collection.with_options(write_concern=WriteConcern(1)) == collection,
                hash(database["a.b"]) == hash(database.a.b),
                len({database.a, database.a, database.b}),
            )
        ),
    },
    messages=True,
)


@case("objects", messages=True)
async def equal_clients(w: World) -> Any:
    here, there = w.open("mongodb://a:1,b:2/?replicaSet=r"), w.open("mongodb://b:2,a:1/x?replicaSet=r&w=1")
    other = w.open("mongodb://a:1,b:2")
    clients = [plain(client) for client in (here, there, other)]
    return [
        (one == each, hash(one) == hash(each), one.x == each.x, one.x.y == each.x.y)
        for one in clients
        for each in clients
    ]


@case("objects", commands=False)
async def instances_of_pymongos_classes(w: World) -> Any:
    client, database, collection = objects(w)
    module = pymongo.asynchronous if type(client).__name__.startswith("Async") else pymongo.synchronous
    prefix = "Async" if module is pymongo.asynchronous else ""
    cursor, command_cursor = collection.find(), plain(await w.collection.aggregate([]))
    session = plain(w.session())
    pairs = [
        (client, module.mongo_client, "MongoClient"),
        (database, module.database, "Database"),
        (collection, module.collection, "Collection"),
        (cursor, module.cursor, "Cursor"),
        (command_cursor, module.command_cursor, "CommandCursor"),
        (session, module.client_session, "ClientSession"),
    ]
    results = [
        plain(await w.collection.insert_one({})),
        plain(await w.collection.insert_many([{}])),
        plain(await w.collection.update_one({}, {"$set": {"a": 1}})),
        plain(await w.collection.delete_one({})),
        plain(await w.collection.bulk_write([InsertOne({})])),
    ]
    return [
        [isinstance(one, getattr(module, prefix + name)) for one, module, name in pairs],
        [isinstance(one, getattr(pymongo.results, type(one).__name__)) for one in results],
        isinstance(cursor, getattr(module.command_cursor, prefix + "CommandCursor")),
        isinstance(client, getattr(module.database, prefix + "Database")),
    ]


def constructed(call: Any) -> Any:
    """The outcome of a call with the classes of a database and a collection, and the objects."""
    return lambda w: outcome(lambda: call(type(plain(w.database)), type(plain(w.collection)), *objects(w)))


table(
    "classes",
    {
        "a database": constructed(
            lambda databases, collections, client, database, collection: databases(client, database.name) == database
        ),
        "a database with options": constructed(
            lambda databases, collections, client, database, collection: options_of(
                databases(client, "x", CodecOptions(tz_aware=True), Nearest(), WriteConcern(1), ReadConcern("local"))
            )
        ),
        "a database inherits": constructed(
            lambda databases, collections, client, database, collection: options_of(
                databases(client, "x", write_concern=WriteConcern(1))
            )
        ),
        "a collection": constructed(
            lambda databases, collections, client, database, collection: collections(database, "things") == collection
        ),
        "a collection with options": constructed(
            lambda databases, collections, client, database, collection: options_of(
                collections(
                    database, "x", False, CodecOptions(tz_aware=True), Nearest(), WriteConcern(1), ReadConcern("local")
                )
            )
        ),
        "a collection inherits": constructed(
            lambda databases, collections, client, database, collection: options_of(
                collections(database.with_options(read_preference=Nearest()), name="x", write_concern=WriteConcern(1))
            )
        ),
        "empty options": constructed(
            lambda databases, collections, client, database, collection: options_of(
                collections(database, "x", codec_options={}, read_preference=0, write_concern=0, read_concern="")
            )
        ),
        "a number for a database's name": constructed(
            lambda databases, collections, client, database, collection: databases(client, 5)
        ),
        "a wrong name of a database": constructed(
            lambda databases, collections, client, database, collection: databases(client, "a b")
        ),
        "no name of a database": constructed(
            lambda databases, collections, client, database, collection: databases(client, "")
        ),
        "a database of a database": constructed(
            lambda databases, collections, client, database, collection: databases(database, "x")
        ),
        "a number for a name": constructed(
            lambda databases, collections, client, database, collection: collections(database, 5)
        ),
        "a wrong name": constructed(
            lambda databases, collections, client, database, collection: collections(database, "te$t")
        ),
        "a collection of a client": constructed(
            lambda databases, collections, client, database, collection: collections(client, "x")
        ),
        "a number for codec_options": constructed(
            lambda databases, collections, client, database, collection: collections(database, "x", codec_options=5)
        ),
        "a number for read_preference": constructed(
            lambda databases, collections, client, database, collection: collections(database, "x", read_preference=5)
        ),
        "a number for write_concern": constructed(
            lambda databases, collections, client, database, collection: collections(database, "x", write_concern=5)
        ),
        "a number for read_concern": constructed(
            lambda databases, collections, client, database, collection: databases(client, "x", read_concern=5)
        ),
        "a dict for with_options": constructed(
            lambda databases, collections, client, database, collection: collection.with_options(codec_options={"a": 1})
        ),
        "a subclass": constructed(
            lambda databases, collections, client, database, collection: subclassed(collections, database)
        ),
        "a subclass's private attribute": constructed(
            lambda databases, collections, client, database, collection: extended(collections, database)._part
        ),
    },
    messages=True,
)


def options_of(one: Any) -> Any:
    return one.codec_options, one.read_preference, one.write_concern, one.read_concern


def extended(cls: Any, database: Any) -> Any:
    class Things(cls):  # type: ignore[misc]
        def __init__(self, database: Any, name: str, extra: str = "none") -> None:
            super().__init__(database, name)
            self.extra = extra

        def count(self) -> str:
            return f"{self.name} {self.extra}"

    return Things(database, "things", extra="more")


def subclassed(cls: Any, database: Any) -> Any:
    things = extended(cls, database)
    return isinstance(things, cls), things.extra, things.count(), things == database.things, type(things.part).__name__


@case("classes", messages=True)
async def create_of_a_collection(w: World) -> Any:
    _, database, _ = objects(w)
    awaited = type(database).__name__.startswith("Async")
    cls = type(database.x)
    if awaited:
        return await all_outcomes([lambda: cls(database, "x", create=True), lambda: cls(database, "x", capped=True)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return await all_outcomes(
            [
                lambda: cls(database, "made", create=True).name,
                lambda: cls(database, "capped", capped=True, size=4096).name,
                lambda: database.list_collection_names() and None,
            ]
        )


# Arguments of odd forms.

FINDS: dict[str, Of] = {
    "a number for a filter": lambda c: c.find(5),
    "a text for a filter": lambda c: c.find("x"),
    "an empty list for a filter": lambda c: c.find([]),
    "a zero for a filter": lambda c: c.find(0),
    "an empty sort": lambda c: c.find(sort=[]),
    "an empty dict for a sort": lambda c: c.find(sort={}),
    "a text for a sort": lambda c: c.find(sort="n"),
    "a number for a sort": lambda c: c.find(sort=5),
    "a sort of names": lambda c: c.find(sort=["n", "word"]),
    "a sort of lists": lambda c: c.find(sort=[["n", -1]]),
    "a sort of a tuple of pairs": lambda c: c.find(sort=(("n", -1),)),
    "a sort of a SON": lambda c: c.find(sort=SON([("n", -1)])),
    "a sort of a raw document": lambda c: c.find(sort=pymongo_document(n=-1)),
    "a sort in floats": lambda c: c.find(sort=[("n", 1.0)]),
    "a sort of one": lambda c: c.find(sort=[("n",)]),
    "a sort of three": lambda c: c.find(sort=[("n", 1, 2)]),
    "a sort of numbers": lambda c: c.find(sort=[5]),
    "a sort by a number": lambda c: c.find(sort=[(5, 1)]),
    "a sort in True": lambda c: c.find(sort=[("n", True)]),
    "a text for skip": lambda c: c.find(skip="x"),
    "a float for skip": lambda c: c.find(skip=1.0),
    "none for skip": lambda c: c.find(skip=None),
    "True for limit": lambda c: c.find(sort={"_id": 1}, limit=True),
    "a float for limit": lambda c: c.find(limit=1.5),
    "none for limit": lambda c: c.find(limit=None),
    "a negative limit": lambda c: c.find(sort={"_id": 1}, limit=-2),
    "a limit of zero": lambda c: c.find(limit=0),
    "a text for a projection": lambda c: c.find({}, "n"),
    "a number for a projection": lambda c: c.find({}, 5),
    "a projection of numbers": lambda c: c.find({}, [5]),
    "a projection of a tuple": lambda c: c.find({}, ("n",)),
    "a projection of a dict's keys": lambda c: c.find({}, {"n": 1}.keys()),
    "a projection of a raw document": lambda c: c.find({}, pymongo_document(n=1)),
    "a number for a hint": lambda c: c.find(hint=5),
    "an empty hint": lambda c: c.find(hint=[]),
    "an empty text for a hint": lambda c: c.find(hint=""),
    "a hint of names": lambda c: c.find(hint=["_id"]),
    "a hint of a dict": lambda c: c.find(hint={"_id": 1}),
    "a number for let": lambda c: c.find(let=5),
    "an empty list for let": lambda c: c.find(let=[]),
    "an empty let": lambda c: c.find(let={}),
    "a raw document for let": lambda c: c.find(let=pymongo_document(a=1)),
    "a number for a collation": lambda c: c.find(collation=5),
    "a number for no_cursor_timeout": lambda c: c.find(no_cursor_timeout=1),
    "a number for allow_partial_results": lambda c: c.find(allow_partial_results=1),
    "a number for oplog_replay": lambda c: c.find(oplog_replay=1),
    "a number for allow_disk_use": lambda c: c.find(allow_disk_use=1),
    "a wrong cursor_type": lambda c: c.find(cursor_type=3),
    "a negative batch_size": lambda c: c.find(batch_size=-1),
    "a text for batch_size": lambda c: c.find(batch_size="1"),
    "an empty comment": lambda c: c.find(comment=""),
    "a comment of zero": lambda c: c.find(comment=0),
    "an empty min": lambda c: c.find(min={}),
    "no session": lambda c: c.find(session=None),
    "a query of the past": lambda c: c.find({"$query": {"n": {"$gt": 0}}, "$orderby": {"n": -1}}),
    "a query of the past with a hint": lambda c: c.find(
        {"$query": {}, "$min": {"_id": 2}, "$max": {"_id": 4}, "$hint": {"_id": 1}}
    ),
}
CURSORS: dict[str, Of] = {
    "sort by a number": lambda c: c.sort(5),
    "sort by names in a direction": lambda c: c.sort(["a"], 1),
    "sort by nothing": lambda c: c.sort([]),
    "sort by an empty dict": lambda c: c.sort({}),
    "sort by items": lambda c: c.sort({"n": -1}.items()),
    "sort by a raw document": lambda c: c.sort(pymongo_document(n=-1)),
    "sort in a float": lambda c: c.sort("n", 1.0),
    "a negative skip": lambda c: c.skip(-1),
    "a text for skip": lambda c: c.skip("x"),
    "a float for limit": lambda c: c.limit(1.0),
    "a negative batch_size": lambda c: c.batch_size(-1),
    "a text for batch_size": lambda c: c.batch_size("x"),
    "a dict for max": lambda c: c.max({"_id": 1}),
    "a text for min": lambda c: c.min("x"),
    "an empty min": lambda c: c.min([]),
    "a text for max_time_ms": lambda c: c.max_time_ms("x"),
    "none for max_time_ms": lambda c: c.max_time_ms(None),
    "a text for max_await_time_ms": lambda c: c.max_await_time_ms("x"),
    "a number for allow_disk_use": lambda c: c.allow_disk_use(1),
    "a number for a hint": lambda c: c.hint(5),
    "an empty hint": lambda c: c.hint([]),
    "none for a hint": lambda c: c.hint("_id_").hint(None),
    "a number for a collation": lambda c: c.collation(5),
    "none for a collation": lambda c: c.collation(None),
    "a number for where": lambda c: c.where(5),
    "a text for remove_option": lambda c: c.remove_option("x"),
    "an empty comment": lambda c: c.comment(""),
    "a text for an index": lambda c: c["x"],
}


def read(find: Of) -> Any:
    async def documents(w: World) -> Any:
        return await find(w.collection).to_list()

    return documents


def of_a_cursor(call: Of) -> Of:
    return lambda collection: call(collection.find())


table("odd arguments, find", {name: read(call) for name, call in FINDS.items()}, messages=True)
table(
    "odd arguments, cursor",
    {name: read(of_a_cursor(call)) for name, call in CURSORS.items()},
    messages=True,
)
MESSAGES: dict[str, Of] = {
    "find_one, a number for skip": lambda c: c.find_one(skip="x"),
    "find_one, an empty sort": lambda c: c.find_one(sort=[]),
    "find_one, a zero": lambda c: c.find_one(0),
    "find_one, an empty list": lambda c: c.find_one([]),
    "insert_one, a number": lambda c: c.insert_one(5),
    "insert_one, a list": lambda c: c.insert_one([{}]),
    "insert_many, a dict": lambda c: c.insert_many({}),
    "insert_many, a number": lambda c: c.insert_many(5),
    "insert_many, nothing": lambda c: c.insert_many([]),
    "insert_many, numbers": lambda c: c.insert_many([5]),
    "update_one, a number for a filter": lambda c: c.update_one(5, {"$set": {"a": 1}}),
    "update_one, a number": lambda c: c.update_one({}, 5),
    "update_one, nothing": lambda c: c.update_one({}, {}),
    "update_one, no operators": lambda c: c.update_one({}, {"a": 1}),
    "update_one, no stages": lambda c: c.update_one({}, []),
    "update_one, a number for upsert": lambda c: c.update_one({}, {"$set": {"a": 1}}, upsert=1),
    "update_one, a text for array_filters": lambda c: c.update_one({}, {"$set": {"a": 1}}, array_filters="x"),
    "update_one, a number for a hint": lambda c: c.update_one({}, {"$set": {"a": 1}}, hint=5),
    "update_one, a number for let": lambda c: c.update_one({}, {"$set": {"a": 1}}, let=5),
    "update_one, a number for a collation": lambda c: c.update_one({}, {"$set": {"a": 1}}, collation=5),
    "update_one, a list for a sort": lambda c: c.update_one({}, {"$set": {"a": 1}}, sort=[("a", 1)]),
    "update_many, none for a filter": lambda c: c.update_many(None, {"$set": {"a": 1}}),
    "replace_one, a number": lambda c: c.replace_one({}, 5),
    "replace_one, operators": lambda c: c.replace_one({}, {"$set": {"a": 1}}),
    "replace_one, a text for upsert": lambda c: c.replace_one({}, {}, upsert="yes"),
    "delete_one, a list for a filter": lambda c: c.delete_one([]),
    "delete_one, an empty hint": lambda c: c.delete_one({}, hint=[]),
    "delete_many, a number for let": lambda c: c.delete_many({}, let=5),
    "find_one_and_update, a number for return_document": lambda c: c.find_one_and_update(
        {}, {"$set": {"a": 1}}, return_document=1
    ),
    "find_one_and_update, a text for a sort": lambda c: c.find_one_and_update({}, {"$set": {"a": 1}}, sort="a"),
    "find_one_and_update, a number for a projection": lambda c: c.find_one_and_update({}, {"$set": {"a": 1}}, 5),
    "find_one_and_replace, a number for upsert": lambda c: c.find_one_and_replace({}, {}, upsert=0),
    "find_one_and_delete, a number for a filter": lambda c: c.find_one_and_delete(5),
    "find_one_and_delete, a number for let": lambda c: c.find_one_and_delete({}, let=5),
    "bulk_write, a tuple": lambda c: c.bulk_write((InsertOne({}),)),
    "bulk_write, numbers": lambda c: c.bulk_write([5]),
    "bulk_write, nothing": lambda c: c.bulk_write([]),
    "bulk_write, a number for an update": lambda c: c.bulk_write([UpdateOne({}, 5)]),  # type: ignore[arg-type]
    "bulk_write, a number for a document": lambda c: c.bulk_write([InsertOne(5)]),  # type: ignore[type-var]
    "aggregate, a tuple": lambda c: c.aggregate(({"$match": {}},)),
    "aggregate, a dict": lambda c: c.aggregate({}),
    "aggregate, explain": lambda c: c.aggregate([], explain=True),
    "aggregate, a pipeline again": lambda c: c.aggregate([], aggregate=1),
    "aggregate, a text for batchSize": lambda c: c.aggregate([], batchSize="x"),
    "aggregate, a float for batchSize": lambda c: c.aggregate([], batchSize=1.5),
    "aggregate, a negative batchSize": lambda c: c.aggregate([], batchSize=-1),
    "aggregate, a number for a collation": lambda c: c.aggregate([], collation=5),
    "aggregate, a number for let": lambda c: c.aggregate([], let=5),
    "distinct, a number": lambda c: c.distinct(5),
    "distinct, an empty hint": lambda c: c.distinct("a", hint=[]),
    "distinct, a filter and a query": lambda c: c.distinct("a", {}, query={}),
    "count_documents, a number for a collation": lambda c: c.count_documents({}, collation=5),
    "count_documents, an empty hint": lambda c: c.count_documents({}, hint=[]),
    "estimated_document_count, a session": lambda c: c.estimated_document_count(session=None),
    "create_index, a number": lambda c: c.create_index(5),
    "create_index, nothing": lambda c: c.create_index([]),
    "create_index, an empty dict": lambda c: c.create_index({}),
    "create_index, a float": lambda c: c.create_index([("a", 1.5)]),
    "create_index, a pair of three": lambda c: c.create_index([("a", 1, 2)]),
    "create_index, a number for a collation": lambda c: c.create_index("a", collation=5),
    "create_indexes, a tuple": lambda c: c.create_indexes((IndexModel("a"),)),
    "create_indexes, a text": lambda c: c.create_indexes("a"),
    "create_indexes, texts": lambda c: c.create_indexes(["a"]),
    "drop_index, a number": lambda c: c.drop_index(5),
    "drop_index, a dict": lambda c: c.drop_index({"a": 1}),
    "create_search_indexes, texts": lambda c: c.create_search_indexes(["a"]),
    "rename, a number": lambda c: c.rename(5),
    "rename, nothing": lambda c: c.rename(""),
    "rename, dots": lambda c: c.rename("a..b"),
    "rename, a dot": lambda c: c.rename(".a"),
    "rename, a dollar": lambda c: c.rename("a$b"),
    "dereference, a number": lambda c: c.database.dereference(5),
    "drop_collection, a number": lambda c: c.database.drop_collection(5),
    "validate_collection, a number": lambda c: c.database.validate_collection(5),
    "create_collection, one that exists": lambda c: c.database.create_collection("things"),
    "drop_database, a number": lambda c: c.database.client.drop_database(5),
}
table("messages", of_the_collection(MESSAGES), messages=True)

# Forms that mean something.
FORMS: dict[str, Of] = {
    "create_index, names": lambda c: c.create_index(["a", "b"]),
    "create_index, a name and a pair": lambda c: c.create_index(["a", ("b", -1)]),
    "create_index, a tuple": lambda c: c.create_index((("a", ASCENDING),)),
    "create_index, items": lambda c: c.create_index({"a": 1, "b": -1}.items()),
    "create_index, a SON": lambda c: c.create_index(SON([("a", 1)])),
    "create_index, lists": lambda c: c.create_index([["a", -1]]),
    "create_index, no name": lambda c: c.create_index("a", name=None),
    "create_index, no collation": lambda c: c.create_index("a", collation=None),
    "create_index, a text for a kind": lambda c: c.create_index([("a", "2d")]),
    "drop_index, keys": lambda c: c.drop_index([("zz", 1)]),
    "distinct, a query": lambda c: c.distinct("n", query={"n": {"$gt": 1}}),
    "update_one, a raw update": lambda c: c.update_one({}, pymongo_document(**{"$set": {"a": 1}})),
    "update_one, a SON": lambda c: c.update_one(SON(), SON([("$set", {"a": 1})])),
    "replace_one, a raw document": lambda c: c.replace_one(pymongo_document(n=1), pymongo_document(n=2)),
}
table("forms", of_the_collection(FORMS), messages=True)

# Options that no client knows: the server decides.
OTHERS: dict[str, Of] = {
    "count_documents": lambda c: c.count_documents({"n": {"$gt": 1}}, skip=1, nonsense=1),
    "estimated_document_count": lambda c: c.estimated_document_count(nonsense=1),
    "distinct": lambda c: c.distinct("n", {"n": {"$gt": 1}}, nonsense=1),
    "find_one_and_update": lambda c: c.find_one_and_update({"n": 1}, {"$set": {"a": 1}}, nonsense=1),
    "find_one_and_replace": lambda c: c.find_one_and_replace({"n": 1}, {"a": 1}, nonsense=1),
    "find_one_and_delete": lambda c: c.find_one_and_delete({"n": 1}, nonsense=1),
    "find_one_and_update, a concern": lambda c: c.find_one_and_update(
        {"n": 1}, {"$set": {"a": 1}}, writeConcern={"w": 1, "wtimeout": 900}
    ),
    "find_one_and_replace, a concern": lambda c: c.find_one_and_replace({"n": 1}, {"a": 1}, writeConcern={"w": 1}),
    "create_index": lambda c: c.create_index("a", nonsense=1),
    "create_indexes": lambda c: c.create_indexes([IndexModel("a")], nonsense=1),
    "drop_index": lambda c: c.drop_index("a_1", nonsense=1),
    "drop_indexes": lambda c: c.drop_indexes(nonsense=1),
    "rename": lambda c: c.rename("renamed", nonsense=1),
    "rename, a concern": lambda c: c.rename("renamed", writeConcern={"w": 1}),
    "create_collection": lambda c: c.database.create_collection("x", nonsense=1),
    "list_collection_names": lambda c: c.database.list_collection_names(nonsense=1),
    "command": lambda c: c.database.command("ping", nonsense=1),
    "command, no value": lambda c: c.database.command("ping", None),
    "command, a value": lambda c: c.database.command("count", "things", query={"n": 1}),
}
table("options of the server", of_the_collection(OTHERS))
READ: dict[str, Of] = {
    "aggregate, an unknown one": lambda c: c.aggregate([], nonsense=1),
    "aggregate, a batch": lambda c: c.aggregate([], batchSize="2"),
    "aggregate of a database": lambda c: c.database.aggregate([{"$documents": [{}]}], nonsense=1),
    "list_collections": lambda c: c.database.list_collections(nonsense=1),
    "cursor_command": lambda c: c.database.cursor_command("find", "things", nonsense=1),
    "aggregate": lambda c: c.aggregate([{"$match": {"n": {"$gt": 0}}}], batchSize=1, readConcern={"level": "local"}),
    "count_documents": lambda c: c.count_documents({"n": {"$gt": 0}}, limit=2, readConcern={"level": "local"}),
    "count_documents, none": lambda c: c.database.none.count_documents({}, readConcern={"level": "local"}),
    "estimated_document_count": lambda c: c.estimated_document_count(query={"n": {"$gt": 1}}),
    "distinct": lambda c: c.distinct("n", readConcern={"level": "local"}),
}


def listed(call: Of) -> Any:
    async def result(w: World) -> Any:
        given = await call(w.collection)
        return await given.to_list() if hasattr(given, "to_list") else given

    return result


table("options of the server, read", {name: listed(call) for name, call in READ.items()}, DOCUMENTS)
