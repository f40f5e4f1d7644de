"""Cases of indexes and search indexes."""

from __future__ import annotations

from typing import Any

from bson import (
    SON,
)
from pymongo import (
    DESCENDING,
    GEO2D,
    GEOSPHERE,
    HASHED,
    TEXT,
    IndexModel,
)
from pymongo.collation import Collation
from pymongo.operations import SearchIndexModel
from pymongo.write_concern import WriteConcern

from tests.comparison.cases.common import case, table
from tests.comparison.harness import World, outcome


def with_concern(w: World) -> Any:
    return w.collection.with_options(write_concern=WriteConcern("majority"))


table(
    "create_index",
    {
        "a name": lambda w: w.collection.create_index("n"),
        "a name down": lambda w: w.collection.create_index([("n", DESCENDING)]),
        "names": lambda w: w.collection.create_index(["n", "word"]),
        "mixed": lambda w: w.collection.create_index(["n", ("word", -1)]),
        "pairs": lambda w: w.collection.create_index([("n", 1), ("word", -1)]),
        "a dict": lambda w: w.collection.create_index({"n": 1, "word": -1}),
        "a SON": lambda w: w.collection.create_index(SON([("n", 1)])),
        "hashed": lambda w: w.collection.create_index([("n", HASHED)]),
        "2d": lambda w: w.collection.create_index([("place", GEO2D)], min=-100, max=100, bits=20),
        "2dsphere": lambda w: w.collection.create_index([("place", GEOSPHERE)]),
        "text": lambda w: w.collection.create_index(
            [("word", TEXT)], weights={"word": 5}, default_language="english", language_override="lang"
        ),
        "wildcard": lambda w: w.collection.create_index([("$**", 1)], wildcardProjection={"n": 1}),
        "its own name": lambda w: w.collection.create_index("n", name="mine"),
        "unique": lambda w: w.collection.create_index("word", unique=True),
        "unique, refused": lambda w: w.collection.create_index("n", unique=True),
        "sparse": lambda w: w.collection.create_index("n", sparse=True),
        "hidden": lambda w: w.collection.create_index("n", hidden=True),
        "background": lambda w: w.collection.create_index("n", background=True),
        "ttl": lambda w: w.collection.create_index("when", expireAfterSeconds=3_000_000_000 // 2),
        "partial": lambda w: w.collection.create_index("n", partialFilterExpression={"n": {"$gt": 1}}),
        "a collation": lambda w: w.collection.create_index("word", collation=Collation("en", strength=2)),
        "a collation dict": lambda w: w.collection.create_index("word", collation={"locale": "en"}),
        "a comment": lambda w: w.collection.create_index("n", comment="why"),
        "maxTimeMS": lambda w: w.collection.create_index("n", maxTimeMS=5000),
        "commitQuorum": lambda w: w.collection.create_index("n", commitQuorum="majority"),
        "twice": lambda w: w.collection.create_index("_id"),
        "an unknown option": lambda w: w.collection.create_index("n", nonsense=1),
        "an empty list": lambda w: w.collection.create_index([]),
        "a number": lambda w: w.collection.create_index(5),
        "a list of numbers": lambda w: w.collection.create_index([5]),
        "a wrong direction": lambda w: w.collection.create_index([("n", "nonsense")]),
        "no direction": lambda w: w.collection.create_index([("n", None)]),
        "on what is not there": lambda w: w.other.create_index("n"),
    },
)


@case("create_index")
async def in_conflict(w: World) -> Any:
    await w.collection.create_index("n", name="mine")
    return [
        await outcome(lambda: w.collection.create_index("n", name="other")),
        await outcome(lambda: w.collection.create_index("word", name="mine")),
        await outcome(lambda: w.collection.create_index("n", name="mine")),
    ]


@case("create_indexes")
async def all_kinds(w: World) -> Any:
    return await w.collection.create_indexes(
        [
            IndexModel("n"),
            IndexModel([("word", -1)], name="down", sparse=True),
            IndexModel(["a", ("b", -1)], unique=True, partialFilterExpression={"a": {"$exists": True}}),
            IndexModel([("when", 1)], expireAfterSeconds=10**9),
            IndexModel([("d", GEOSPHERE)]),
            IndexModel([("e", 1)], collation=Collation("de"), hidden=True),
            IndexModel({"f": 1, "g": -1}, background=True),
        ],
        comment="why",
    )


table(
    "create_indexes",
    {
        "one": lambda w: w.collection.create_indexes([IndexModel("n")]),
        "maxTimeMS": lambda w: w.collection.create_indexes([IndexModel("n")], maxTimeMS=5000),
        "commitQuorum": lambda w: w.collection.create_indexes([IndexModel("n")], commitQuorum=1),
        "an empty list": lambda w: w.collection.create_indexes([]),
        "a list of names": lambda w: w.collection.create_indexes(["n"]),
        "a model": lambda w: w.collection.create_indexes(IndexModel("n")),
        "refused": lambda w: w.collection.create_indexes([IndexModel("word"), IndexModel("n", unique=True)]),
    },
)


def with_indexes(setup: Any) -> None:
    setup.things.create_index([("n", 1), ("word", -1)], unique=False, sparse=True)
    setup.things.create_index("when", name="mine", expireAfterSeconds=10**9, collation=Collation("en"))


async def remaining(w: World, call: Any) -> Any:
    given = await outcome(call)
    return given, sorted(await w.collection.index_information())


table(
    "indexes, there are some",
    {
        "index_information": lambda w: w.collection.index_information(),
        "index_information, a comment": lambda w: w.collection.index_information(comment="why"),
        "index_information of nothing": lambda w: w.other.index_information(),
        "drop_index, a name": lambda w: remaining(w, lambda: w.collection.drop_index("mine")),
        "drop_index, keys": lambda w: remaining(w, lambda: w.collection.drop_index([("n", 1), ("word", -1)])),
        "drop_index, a dict": lambda w: remaining(w, lambda: w.collection.drop_index({"n": 1, "word": -1})),
        "drop_index, options": lambda w: remaining(
            w, lambda: w.collection.drop_index("mine", comment="why", maxTimeMS=5000)
        ),
        "drop_index, of the id": lambda w: remaining(w, lambda: w.collection.drop_index("_id_")),
        "drop_index, not there": lambda w: remaining(w, lambda: w.collection.drop_index("nowhere")),
        "drop_index, keys not there": lambda w: remaining(w, lambda: w.collection.drop_index([("z", 1)])),
        "drop_index, no collection": lambda w: remaining(w, lambda: w.other.drop_index("mine")),
        "drop_index, a number": lambda w: remaining(w, lambda: w.collection.drop_index(5)),
        "drop_index, an empty list": lambda w: remaining(w, lambda: w.collection.drop_index([])),
        "drop_indexes": lambda w: remaining(w, lambda: w.collection.drop_indexes()),
        "drop_indexes, options": lambda w: remaining(
            w, lambda: w.collection.drop_indexes(comment="why", maxTimeMS=5000)
        ),
        "drop_indexes, no collection": lambda w: remaining(w, lambda: w.other.drop_indexes()),
    },
    prepare=with_indexes,
)


@case("indexes, there are some", prepare=with_indexes)
async def list_indexes(w: World) -> Any:
    cursor = await w.collection.list_indexes(comment="why")
    return await cursor.to_list(), cursor.alive, await (await w.other.list_indexes()).to_list()


table(
    "search indexes",
    {
        "create_search_index": lambda w: w.collection.create_search_index({"definition": {"mappings": {}}}),
        "create_search_index, a model": lambda w: w.collection.create_search_index(
            SearchIndexModel({"mappings": {"dynamic": True}}, name="mine", type="search"), comment="why"
        ),
        "create_search_indexes": lambda w: w.collection.create_search_indexes(
            [SearchIndexModel({"mappings": {}}), SearchIndexModel({"mappings": {}}, "two", type="vectorSearch")]
        ),
        "create_search_indexes, an empty list": lambda w: w.collection.create_search_indexes([]),
        "create_search_indexes, documents": lambda w: w.collection.create_search_indexes([{"definition": {}}]),
        "update_search_index": lambda w: w.collection.update_search_index("mine", {"mappings": {}}, comment="why"),
        "drop_search_index": lambda w: w.collection.drop_search_index("mine", comment="why"),
        "drop_search_index, a write concern": lambda w: with_concern(w).drop_search_index("mine"),
        "update_search_index, a write concern": lambda w: with_concern(w).update_search_index("mine", {}),
        "list_search_indexes": lambda w: w.collection.list_search_indexes(),
        "list_search_indexes, a name": lambda w: w.collection.list_search_indexes("mine", comment="why", batchSize=5),
    },
)
