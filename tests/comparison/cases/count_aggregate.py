"""Cases of counts, `distinct` and `aggregate`."""

from __future__ import annotations

from typing import Any

import bson
from pymongo import (
    WriteConcern,
)

from tests.comparison.cases.common import GERMAN, NUMBERS, aggregated, case, listed, table
from tests.comparison.harness import World, outcome

table(
    "counts",
    {
        "count_documents": lambda w: w.collection.count_documents({}),
        "count_documents, a filter": lambda w: w.collection.count_documents({"n": 2}),
        "count_documents, none": lambda w: w.collection.count_documents({"n": 9}),
        "count_documents, skip and limit": lambda w: w.collection.count_documents({}, skip=1, limit=2),
        "count_documents, a hint": lambda w: w.collection.count_documents({"n": 2}, hint="_id_"),
        "count_documents, a hint by keys": lambda w: w.collection.count_documents({"n": 2}, hint=[("_id", 1)]),
        "count_documents, a hint that is not there": lambda w: w.collection.count_documents({"n": 2}, hint="nowhere"),
        "count_documents, a collation": lambda w: w.collection.count_documents({"word": "B"}, collation=GERMAN),
        "count_documents, maxTimeMS": lambda w: w.collection.count_documents({}, maxTimeMS=5000),
        "count_documents, a comment": lambda w: w.collection.count_documents({}, comment="why"),
        "count_documents, no filter": lambda w: w.collection.count_documents(),
        "count_documents, a number": lambda w: w.collection.count_documents(5),
        "count_documents, none for a filter": lambda w: w.collection.count_documents(None),
        "count_documents, an unknown option": lambda w: w.collection.count_documents({}, nonsense=1),
        "count_documents, an unknown operator": lambda w: w.collection.count_documents({"n": {"$nonsense": 1}}),
        "count_documents, limit 0": lambda w: w.collection.count_documents({}, limit=0),
        "count_documents of nothing": lambda w: w.other.count_documents({}),
        "estimated": lambda w: w.collection.estimated_document_count(),
        "estimated, a comment": lambda w: w.collection.estimated_document_count(comment="why"),
        "estimated, maxTimeMS": lambda w: w.collection.estimated_document_count(maxTimeMS=5000),
        "estimated, of nothing": lambda w: w.other.estimated_document_count(),
        "estimated, an unknown option": lambda w: w.collection.estimated_document_count(nonsense=1),
        "estimated, a session": lambda w: w.collection.estimated_document_count(session=None),
        "distinct": lambda w: w.collection.distinct("n"),
        "distinct, a filter": lambda w: w.collection.distinct("tags", {"n": {"$lt": 3}}),
        "distinct, nested": lambda w: w.collection.distinct("sub.x"),
        "distinct, a collation": lambda w: w.collection.distinct("word", collation=GERMAN),
        "distinct, a comment": lambda w: w.collection.distinct("n", comment="why"),
        "distinct, maxTimeMS": lambda w: w.collection.distinct("n", maxTimeMS=5000),
        "distinct, a hint": lambda w: w.collection.distinct("n", hint="_id_"),
        "distinct, a hint by keys": lambda w: w.collection.distinct("n", hint=[("_id", 1)]),
        "distinct, no field": lambda w: w.collection.distinct("nowhere"),
        "distinct, a number": lambda w: w.collection.distinct(5),
        "distinct, a number for a filter": lambda w: w.collection.distinct("n", 5),
        "distinct, an unknown operator": lambda w: w.collection.distinct("n", {"n": {"$nonsense": 1}}),
    },
)
GROUPED: list[dict[str, Any]] = [
    {"$match": {"n": {"$gt": 0}}},
    {"$group": {"_id": "$n", "count": {"$sum": 1}, "ids": {"$push": "$_id"}}},
    {"$sort": {"_id": 1}},
]
table(
    "aggregate",
    {
        "plain": lambda w: aggregated(w.collection, GROUPED),
        "an empty pipeline": lambda w: aggregated(w.collection, []),
        "nothing found": lambda w: aggregated(w.collection, [{"$match": {"n": 9}}]),
        "batchSize": lambda w: aggregated(w.collection, [{"$sort": {"_id": 1}}], batchSize=2),
        "batchSize 0": lambda w: aggregated(w.collection, [{"$sort": {"_id": 1}}], batchSize=0),
        "allowDiskUse": lambda w: aggregated(w.collection, GROUPED, allowDiskUse=True),
        "maxTimeMS": lambda w: aggregated(w.collection, GROUPED, maxTimeMS=5000),
        "let": lambda w: aggregated(w.collection, [{"$match": {"$expr": {"$eq": ["$n", "$$m"]}}}], let={"m": 4}),
        "a comment": lambda w: aggregated(w.collection, GROUPED, comment={"why": 1}),
        "a hint": lambda w: aggregated(w.collection, GROUPED, hint="_id_"),
        "a hint by a dict": lambda w: aggregated(w.collection, GROUPED, hint={"_id": 1}),
        "a hint that is not there": lambda w: aggregated(w.collection, GROUPED, hint="nowhere"),
        "a collation": lambda w: aggregated(w.collection, [{"$match": {"word": "B"}}], collation=GERMAN),
        "bypass": lambda w: aggregated(w.collection, GROUPED, bypassDocumentValidation=True),
        "out": lambda w: aggregated(w.collection, [{"$match": {"n": 2}}, {"$out": "other"}]),
        "merge": lambda w: aggregated(w.collection, [{"$match": {"n": 2}}, {"$merge": {"into": "other"}}]),
        "out and a concern": lambda w: aggregated(
            w.collection.with_options(write_concern=WriteConcern(w=1, wtimeout=1000)), [{"$out": "other"}]
        ),
        "out, batchSize": lambda w: aggregated(w.collection, [{"$out": "other"}], batchSize=2),
        "an unknown stage": lambda w: aggregated(w.collection, [{"$nonsense": 1}]),
        "an unknown option": lambda w: aggregated(w.collection, [], nonsense=1),
        "a cursor option": lambda w: aggregated(w.collection, [], cursor={"batchSize": 2}),
        "explain": lambda w: aggregated(w.collection, [], explain=True),
        "a document": lambda w: aggregated(w.collection, {"$match": {}}),
        "none": lambda w: aggregated(w.collection, None),
        "a tuple": lambda w: aggregated(w.collection, ({"$match": {"n": 2}},)),
        "a list of numbers": lambda w: aggregated(w.collection, [5]),
        "a text for let": lambda w: aggregated(w.collection, [], let="x"),
        "of nothing": lambda w: aggregated(w.other, [{"$match": {}}]),
        "lookup": lambda w: aggregated(
            w.collection,
            [
                {"$lookup": {"from": "things", "localField": "n", "foreignField": "_id", "as": "l"}},
                {"$sort": {"_id": 1}},
            ],
        ),
        "of a database": lambda w: aggregated(w.database, [{"$documents": [{"a": 1}, {"a": 2}]}]),
        "of a database, options": lambda w: aggregated(
            w.database, [{"$documents": [{"a": 1}, {"a": 2}]}], comment="x", batchSize=1, maxTimeMS=5000
        ),
        "of a database, wrong": lambda w: aggregated(w.database, [{"$match": {}}]),
        "of a database, no list": lambda w: aggregated(w.database, 5),
    },
)


@case("aggregate", NUMBERS)
async def its_cursor(w: World) -> Any:
    cursor = await w.collection.aggregate([{"$sort": {"_id": 1}}], batchSize=4)
    seen = [cursor.alive, bool(cursor.cursor_id), cursor.session, await cursor.next(), await cursor.to_list(5)]
    seen += [await cursor.try_next(), cursor.batch_size(10) is cursor, len(await listed(cursor))]
    return seen, cursor.alive, await outcome(cursor.next), await cursor.to_list(), await cursor.try_next()


@case("aggregate", NUMBERS)
async def its_cursor_closed(w: World) -> Any:
    async with await w.collection.aggregate([], batchSize=4) as cursor:
        await cursor.next()
    return cursor.alive, await cursor.to_list(), await outcome(cursor.next)


@case("aggregate", NUMBERS)
async def its_cursor_and_wrong_arguments(w: World) -> Any:
    cursor = await w.collection.aggregate([])
    return [
        await outcome(lambda: cursor.batch_size("x")),
        await outcome(lambda: cursor.batch_size(-1)),
        await outcome(lambda: cursor.to_list(0)),
    ]


@case("aggregate_raw_batches", NUMBERS)
async def batches(w: World) -> Any:
    cursor = await w.collection.aggregate_raw_batches([{"$sort": {"_id": 1}}], batchSize=12)
    return [bson.decode_all(batch) for batch in await listed(cursor)]


table(
    "aggregate_raw_batches",
    {
        "a wrong stage": lambda w: w.collection.aggregate_raw_batches([{"$nonsense": 1}]),
        "a document": lambda w: w.collection.aggregate_raw_batches({}),
    },
)
