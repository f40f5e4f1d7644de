"""Cases of the write concern `w: 0`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pymongo import (
    DeleteMany,
    DeleteOne,
    IndexModel,
    InsertOne,
    ReadPreference,
    ReplaceOne,
    UpdateMany,
    UpdateOne,
    WriteConcern,
)

from tests.comparison.cases.common import GERMAN, SET, Of, aggregated, case, table
from tests.comparison.cases.concerns import WRITES
from tests.comparison.harness import Call, World, outcome

W0 = WriteConcern(w=0)
SIXTEEN_MIB = 16 * 1024 * 1024


async def finished(w: World, client: Any = None) -> None:
    """Wait until the server has executed what was sent: it answers the commands of a connection in their order."""
    await (client or w.client).admin.command("ping")


def unacknowledged(call: Of, concern: WriteConcern = W0) -> Call:
    """A call of a collection, and its outcome."""

    async def written(w: World) -> Any:
        given = await outcome(lambda: call(w.collection.with_options(write_concern=concern)))
        await finished(w)
        return given

    return written


def in_a_database(call: Of) -> Call:
    """A call of a database, and its outcome."""

    async def written(w: World) -> Any:
        given = await outcome(lambda: call(w.database.with_options(write_concern=W0)))
        await finished(w)
        return given

    return written


def of_a_client(call: Callable[[World, Any], Any], uri: str = "", **options: Any) -> Call:
    """A call with a client, and its outcome."""

    async def written(w: World) -> Any:
        client = w.open(f"{w.side.uri}?{uri}" if uri else w.side.uri, **options)
        given = await outcome(lambda: call(w, client))
        await finished(w, client)
        return given

    return written


BY_DEFAULT = ("indexes", "drop", "rename")
table("unacknowledged", {name: unacknowledged(call) for name, call in WRITES.items() if name not in BY_DEFAULT})
table(
    "unacknowledged",
    {
        "a generated id": unacknowledged(lambda c: c.insert_one({"a": 1})),
        "an upsert": unacknowledged(lambda c: c.update_one({"_id": 9}, SET, upsert=True)),
        "find_one_and_replace": unacknowledged(lambda c: c.find_one_and_replace({"_id": 1}, {"a": 1}, sort={"n": 1})),
        "nothing found": unacknowledged(lambda c: c.find_one_and_delete({"_id": 99})),
        "a hint": unacknowledged(lambda c: c.update_one({"_id": 1}, SET, hint="_id_")),
        "hints": unacknowledged(lambda c: c.delete_many({"_id": {"$gt": 1}}, hint=[("_id", 1)])),
        "find_one_and_update, a hint": unacknowledged(lambda c: c.find_one_and_update({"_id": 1}, SET, hint="_id_")),
        "a sort": unacknowledged(lambda c: c.update_one({}, SET, sort={"n": -1})),
        "let and a comment": unacknowledged(
            lambda c: c.update_one({"$expr": {"$eq": ["$_id", "$$id"]}}, SET, let={"id": 2}, comment="c")
        ),
        "bypass": unacknowledged(lambda c: c.insert_one({"_id": 9}, bypass_document_validation=True)),
        "update, bypass": unacknowledged(lambda c: c.update_one({"_id": 1}, SET, bypass_document_validation=True)),
        "a comment": unacknowledged(lambda c: c.insert_one({"_id": 9}, comment="c")),
        "a timeout": unacknowledged(lambda c: c.insert_one({"_id": 9}), WriteConcern(w=0, wtimeout=5, j=False)),
        "a duplicate": unacknowledged(lambda c: c.insert_one({"_id": 1})),
        "a duplicate upsert": unacknowledged(lambda c: c.update_one({"n": 99}, {"$set": {"_id": 1}}, upsert=True)),
        "an unknown operator": unacknowledged(lambda c: c.update_one({}, {"$nonsense": {"a": 1}})),
        "reads": unacknowledged(lambda c: c.count_documents({"n": 2})),
        "an aggregation that reads": unacknowledged(
            lambda c: aggregated(c, [{"$match": {"n": 2}}, {"$sort": {"_id": 1}}])
        ),
        "merge": unacknowledged(
            lambda c: aggregated(
                c, [{"$match": {"n": 2}}, {"$merge": {"into": "other"}}], allowDiskUse=True, comment="c"
            )
        ),
        "create_index": unacknowledged(lambda c: c.create_index([("n", 1), ("word", -1)], unique=False)),
        "create_indexes": unacknowledged(lambda c: c.create_indexes([IndexModel("n"), IndexModel("word")])),
        "drop": unacknowledged(lambda c: c.drop()),
        "rename": unacknowledged(lambda c: c.rename("renamed")),
        "rename, a concern of its own": unacknowledged(
            lambda c: c.rename("renamed", writeConcern={"w": 0}), WriteConcern(w=1)
        ),
        "drop_search_index": unacknowledged(lambda c: c.drop_search_index("a")),
        "a database's create_collection": in_a_database(lambda d: d.create_collection("made", capped=True, size=4096)),
        "a database's drop_collection": in_a_database(lambda d: d.drop_collection("things")),
        "a database's collections": in_a_database(lambda d: d.things.insert_one({"_id": 9})),
        "a database's aggregate": in_a_database(
            lambda d: aggregated(d, [{"$documents": [{"_id": 1}]}, {"$out": "other"}])
        ),
    },
)
for _name, _drop in {
    "drop_index": lambda c: c.drop_index("n_1"),
    "drop_indexes": lambda c: c.drop_indexes(),
}.items():
    table(
        "unacknowledged",
        {_name: unacknowledged(_drop)},
        prepare=lambda setup: setup.things.create_index("n"),
    )
# The listeners see that the server rejects the command.
table(
    "unacknowledged, rejected",
    {
        "rename": unacknowledged(lambda c: c.database["nonexistent"].with_options(write_concern=W0).rename("renamed")),
        "drop_index": unacknowledged(lambda c: c.drop_index("nonexistent")),
        "create_index": unacknowledged(lambda c: c.create_index([("n", 1)], nonsense=1)),
        "find_one_and_update": unacknowledged(lambda c: c.find_one_and_update({}, {"$nonsense": 1})),
        "insert_many": unacknowledged(lambda c: c.insert_many([{"_id": 9, "$a": 1}, {"_id": 10}])),
    },
    commands=False,
)
table(
    "unacknowledged, bulk",
    {
        "ordered": unacknowledged(
            lambda c: c.bulk_write(
                [
                    InsertOne({"_id": 9}),
                    InsertOne({"_id": 10}),
                    UpdateOne({"_id": 1}, SET),
                    UpdateMany({}, SET, hint="_id_"),
                    ReplaceOne({"_id": 2}, {"a": 1}, upsert=True),
                    DeleteOne({"_id": 3}),
                ]
            )
        ),
        "ordered, many at the end": unacknowledged(
            lambda c: c.bulk_write([DeleteMany({"n": 2}), InsertOne({"_id": 9}), InsertOne({"_id": 10})])
        ),
        "ordered, one": unacknowledged(lambda c: c.bulk_write([InsertOne({"_id": 9})])),
        "ordered, a comment": unacknowledged(lambda c: c.bulk_write([InsertOne({"_id": 9})], comment="c")),
        "ordered, let": unacknowledged(
            lambda c: c.bulk_write([UpdateOne({"$expr": {"$eq": ["$_id", "$$id"]}}, SET)], let={"id": 2})
        ),
        "ordered, no bypass": unacknowledged(
            lambda c: c.bulk_write([InsertOne({"_id": 9})], bypass_document_validation=False)
        ),
        "ordered, a duplicate": unacknowledged(
            lambda c: c.bulk_write([InsertOne({"_id": 1}), UpdateOne({"_id": 2}, SET), InsertOne({"_id": 9})])
        ),
        "ordered, a rejected command": unacknowledged(
            lambda c: c.bulk_write([UpdateOne({}, {"$nonsense": {"a": 1}}), InsertOne({"_id": 9})])
        ),
        "unordered": unacknowledged(
            lambda c: c.bulk_write(
                [InsertOne({"_id": 9}), UpdateOne({"_id": 1}, SET), DeleteOne({"_id": 3}), InsertOne({"_id": 10})],
                ordered=False,
            )
        ),
        "unordered, a duplicate": unacknowledged(
            lambda c: c.bulk_write(
                [InsertOne({"_id": 1}), InsertOne({"_id": 9}), UpdateOne({"_id": 2}, SET)], ordered=False
            )
        ),
        "unordered, a comment": unacknowledged(
            lambda c: c.bulk_write([InsertOne({"_id": 9})], ordered=False, comment="c")
        ),
        "insert_many, one": unacknowledged(lambda c: c.insert_many([{"_id": 9}])),
        "insert_many, unordered": unacknowledged(lambda c: c.insert_many([{"_id": 9}, {"_id": 1}, {"_id": 10}], False)),
        "insert_many, a duplicate": unacknowledged(lambda c: c.insert_many([{"_id": 9}, {"_id": 1}, {"_id": 10}])),
        "insert_many, ids": unacknowledged(lambda c: c.insert_many([{"a": 1}, {"a": 2}])),
    },
)


def refused_with_a_session(call: Callable[[Any, Any], Any]) -> Call:
    """A call of a collection with a session."""

    async def called(w: World) -> Any:
        session = w.session()
        given = await outcome(lambda: call(w.collection.with_options(write_concern=W0), session))
        await finished(w)
        return given

    return called


table(
    "unacknowledged, wrong",
    {
        "array filters": unacknowledged(
            lambda c: c.update_one({}, {"$set": {"tags.$[t]": 1}}, array_filters=[{"t": "a"}])
        ),
        "find_one_and_update, array filters": unacknowledged(
            lambda c: c.find_one_and_update({}, {"$set": {"tags.$[t]": 1}}, array_filters=[{"t": "a"}])
        ),
        "a collation": unacknowledged(lambda c: c.delete_one({}, collation=GERMAN)),
        "replace_one, a collation": unacknowledged(lambda c: c.replace_one({}, {"a": 1}, collation=GERMAN)),
        "find_one_and_delete, a collation": unacknowledged(lambda c: c.find_one_and_delete({}, collation=GERMAN)),
        "aggregate, a collation": unacknowledged(lambda c: aggregated(c, [{"$out": "other"}], collation=GERMAN)),
        "create_collection, a collation": in_a_database(lambda d: d.create_collection("made", collation=GERMAN)),
        "bulk_write, a collation": unacknowledged(lambda c: c.bulk_write([DeleteOne({}, collation=GERMAN)])),
        "bulk_write, array filters": unacknowledged(
            lambda c: c.bulk_write(
                [InsertOne({"_id": 9}), UpdateOne({}, {"$set": {"tags.$[t]": 1}}, array_filters=[{"t": "a"}])]
            )
        ),
        "bulk_write, bypass": unacknowledged(
            lambda c: c.bulk_write([InsertOne({"_id": 9})], bypass_document_validation=True)
        ),
        "insert_many, bypass": unacknowledged(
            lambda c: c.insert_many([{"_id": 9}], ordered=False, bypass_document_validation=True)
        ),
        "j": lambda w: WriteConcern(w=0, j=True),
        "a client's j": lambda w: w.open(w=0, journal=True).write_concern,
        "a uri's j": lambda w: w.open(f"{w.side.uri}?w=0&journal=true").write_concern,
    },
)
WITH_A_SESSION: dict[str, Callable[[Any, Any], Any]] = {
    "insert_one": lambda c, s: c.insert_one({"_id": 9}, session=s),
    "insert_many": lambda c, s: c.insert_many([{"_id": 9}], session=s),
    "update_one": lambda c, s: c.update_one({}, SET, session=s),
    "replace_one": lambda c, s: c.replace_one({}, {"a": 1}, session=s),
    "delete_many": lambda c, s: c.delete_many({}, session=s),
    "find_one_and_delete": lambda c, s: c.find_one_and_delete({}, session=s),
    "bulk_write": lambda c, s: c.bulk_write([DeleteOne({})], ordered=False, session=s),
    "create_index": lambda c, s: c.create_index("n", session=s),
    "rename": lambda c, s: c.rename("renamed", session=s),
    "aggregate": lambda c, s: aggregated(c, [{"$out": "other"}], session=s),
    "find_one": lambda c, s: c.find_one({"_id": 1}, session=s),
}
table("unacknowledged, a session", {name: refused_with_a_session(call) for name, call in WITH_A_SESSION.items()})


def operations(w: World) -> list[Any]:
    namespace = f"{w.setup.name}.things"
    return [
        InsertOne({"_id": 9}, namespace=namespace),
        UpdateMany({}, SET, namespace=namespace, hint="_id_"),
        ReplaceOne({"_id": 2}, {"a": 1}, namespace=namespace),
        InsertOne({"_id": 1}, namespace=namespace),
        DeleteOne({"_id": 3}, namespace=namespace),
        InsertOne({"_id": 1}, namespace=f"{w.setup.name}.other"),
    ]


def by_the_client(models: Callable[[World], list[Any]], **options: Any) -> Call:
    """A `bulk_write` of a client."""

    async def written(w: World) -> Any:
        options_of = {"ordered": False, "write_concern": W0, **options}
        given = await outcome(lambda: w.client.bulk_write(models(w), **options_of))
        await finished(w)
        return given

    return written


table(
    "unacknowledged, client.bulk_write",
    {
        "every model": by_the_client(operations),
        "let and a comment": by_the_client(operations, let={"a": 1}, comment="c"),
        "verbose": by_the_client(operations, verbose_results=True),
        "ordered": by_the_client(operations, ordered=True),
        "bypass": by_the_client(operations, bypass_document_validation=False),
        "a collation": by_the_client(
            lambda w: [UpdateOne({}, SET, collation=GERMAN, namespace=f"{w.setup.name}.things")]
        ),
        "array filters": by_the_client(
            lambda w: [UpdateOne({}, SET, array_filters=[{"t": 1}], namespace=f"{w.setup.name}.things")]
        ),
        "a sort": by_the_client(lambda w: [UpdateOne({}, SET, sort={"n": -1}, namespace=f"{w.setup.name}.things")]),
        "nothing": by_the_client(lambda w: []),
        "a text": by_the_client(lambda w: "abc"),  # type: ignore[arg-type,return-value]
    },
)


@case("unacknowledged, client.bulk_write")
async def a_session(w: World) -> Any:
    session = w.session()
    return await outcome(lambda: w.client.bulk_write(operations(w), ordered=False, write_concern=W0, session=session))


# A client's own write concern.


async def seen(w: World, client: Any) -> Any:
    database = client[w.database.name]
    return [
        client.write_concern,
        database.write_concern,
        database.things.write_concern,
        await database.things.insert_one({"_id": 9}),
    ]


async def overridden(w: World, client: Any) -> Any:
    things = client[w.database.name].things
    return [
        await things.with_options(write_concern=WriteConcern()).insert_one({"_id": 9}),
        await things.with_options(write_concern=WriteConcern(w="majority")).insert_one({"_id": 10}),
        await things.with_options(read_preference=ReadPreference.NEAREST).delete_one({"_id": 9}),
        await client.get_database(w.database.name, write_concern=WriteConcern(w=1)).things.delete_one({"_id": 10}),
    ]


async def read(w: World, client: Any) -> Any:
    things = client[w.database.name].things
    async with await things.watch(max_await_time_ms=10) as changes:
        first = await changes.try_next()
    return [
        first,
        await things.find({}, sort={"_id": 1}).to_list(),
        await things.count_documents({}),
        await things.distinct("n"),
        await aggregated(things, [{"$match": {"n": 2}}]),
        await client[w.database.name].list_collection_names(),
        await things.index_information(),
        await client[w.database.name].command("count", "things"),
    ]


async def in_a_session(w: World, client: Any) -> Any:
    session = w.session(client)
    things = client[w.database.name].things
    started = [
        await outcome(lambda: session.start_transaction()),
        await outcome(lambda: session.start_transaction(write_concern=WriteConcern(w=0))),
        await outcome(lambda: session.with_transaction(lambda s: things.insert_one({"_id": 9}, session=s))),
    ]
    refused = await outcome(lambda: things.insert_one({"_id": 9}, session=session))
    found = await things.find_one({"_id": 1}, session=session)
    await outcome(lambda: session.start_transaction(write_concern=WriteConcern(w=1)))
    stored = await outcome(lambda: things.insert_one({"_id": 9}, session=session))
    bulk = await outcome(lambda: things.bulk_write([InsertOne({"_id": 10})], session=session))
    await session.commit_transaction()
    return [[error if isinstance(error, Exception) else None for error in started], refused, found, stored, bulk]


table(
    "unacknowledged, a client",
    {
        "a keyword": of_a_client(seen, w=0),
        "a uri": of_a_client(seen, "w=0"),
        "a uri and a timeout": of_a_client(seen, "w=0&wTimeoutMS=5&journal=false"),
        "overridden": of_a_client(overridden, "w=0"),
        "in a session": of_a_client(in_a_session, "w=0"),
        "bulk_write, ordered": of_a_client(lambda w, client: client.bulk_write(operations(w)), "w=0"),
        "bulk_write": of_a_client(lambda w, client: client.bulk_write(operations(w), ordered=False), "w=0"),
        "drop_database": of_a_client(lambda w, client: client.drop_database(w.database.name), "w=0"),
        "an empty concern": of_a_client(
            lambda w, client: client[w.database.name].things.with_options(write_concern=WriteConcern()).delete_one({}),
            "w=majority",
        ),
    },
)
table("unacknowledged, a client", {"reads": of_a_client(read, "w=0")}, commands=False)


# Nobody would be told that the server refuses a document that is too large.


def too_large(size: int = SIXTEEN_MIB) -> dict[str, Any]:
    return {"_id": 9, "a": "x" * size}


table(
    "unacknowledged, too large",
    {
        "insert_many, at the end": unacknowledged(lambda c: c.insert_many([{"_id": 10}, too_large()])),
        "insert_one": unacknowledged(lambda c: c.insert_one(too_large())),
        "replace_one": unacknowledged(lambda c: c.replace_one({"_id": 1}, too_large())),
        "insert_many": unacknowledged(lambda c: c.insert_many([{"_id": 10}, too_large(), {"_id": 11}])),
        "insert_many, one": unacknowledged(lambda c: c.insert_many([too_large()])),
        "insert_many, unordered": unacknowledged(lambda c: c.insert_many([{"_id": 10}, too_large()], ordered=False)),
        "bulk_write": unacknowledged(
            lambda c: c.bulk_write([InsertOne({"_id": 10}), ReplaceOne({"_id": 1}, too_large())])
        ),
        "client.bulk_write": by_the_client(lambda w: [InsertOne(too_large(), namespace=f"{w.setup.name}.things")]),
    },
    commands=False,
)
