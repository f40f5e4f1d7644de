"""Cases of `find_one`, `find` and cursors."""

from __future__ import annotations

import re
from typing import Any

import bson
from bson import (
    SON,
    Code,
)
from pymongo import (
    DESCENDING,
    CursorType,
)
from pymongo.collation import Collation, CollationCaseFirst, CollationStrength

from tests.comparison.cases.common import GERMAN, NUMBERS, OLD_DATE, OLD_ID, Of, case, pymongo_document, table
from tests.comparison.harness import Call, World, awaited, outcome

table(
    "find_one",
    {
        "nothing": lambda w: w.collection.find_one(),
        "an id": lambda w: w.collection.find_one(3),
        "an id that is not there": lambda w: w.collection.find_one(OLD_ID),
        "a filter": lambda w: w.collection.find_one({"n": {"$gt": 1}}),
        "none match": lambda w: w.collection.find_one({"n": 9}),
        "a projection": lambda w: w.collection.find_one({"n": 1}, {"n": 1, "_id": 0}),
        "a projection of names": lambda w: w.collection.find_one({"n": 1}, ["n", "word"]),
        "an empty projection": lambda w: w.collection.find_one({"n": 1}, []),
        "an empty projection dict": lambda w: w.collection.find_one({"n": 1}, {}),
        "a sort": lambda w: w.collection.find_one({}, sort=[("n", -1)]),
        "a sort dict": lambda w: w.collection.find_one({}, sort={"n": -1}),
        "an empty sort": lambda w: w.collection.find_one({}, sort=[]),
        "skip": lambda w: w.collection.find_one({}, skip=2),
        "skip by place": lambda w: w.collection.find_one({}, None, 2),
        "a hint": lambda w: w.collection.find_one({"n": 2}, hint="_id_"),
        "a comment": lambda w: w.collection.find_one({"n": 2}, comment="why"),
        "max_time_ms": lambda w: w.collection.find_one({"n": 2}, max_time_ms=5000),
        "let": lambda w: w.collection.find_one({"$expr": {"$eq": ["$n", "$$m"]}}, let={"m": 4}),
        "a collation": lambda w: w.collection.find_one({"word": "B"}, collation=GERMAN, sort=[("_id", -1)]),
        "limit is set": lambda w: w.collection.find_one({}, limit=5),
        "batch_size": lambda w: w.collection.find_one({}, batch_size=5),
        "an unknown operator": lambda w: w.collection.find_one({"n": {"$nonsense": 1}}),
        "a number for a projection": lambda w: w.collection.find_one({}, 5),
        "a wrong keyword": lambda w: w.collection.find_one({}, nonsense=1),
        "a raw filter": lambda w: w.collection.find_one(pymongo_document(_id=1)),
    },
)
FINDS: dict[str, Of] = {
    "all": lambda c: c.find(),
    "a filter": lambda c: c.find({"n": 2}),
    "filter by keyword": lambda c: c.find(filter={"n": 2}),
    "none match": lambda c: c.find({"n": 9}),
    "a projection": lambda c: c.find({}, {"n": 1}),
    "a projection without": lambda c: c.find({}, {"n": 0, "tags": 0}),
    "a projection of names": lambda c: c.find({}, ["word"]),
    "a projection of a tuple": lambda c: c.find({}, ("word", "n")),
    "a projection of a set": lambda c: c.find({}, {"word"}),
    "an empty projection": lambda c: c.find({}, []),
    "a slice in the projection": lambda c: c.find({}, {"tags": {"$slice": 1}}),
    "elemMatch in the projection": lambda c: c.find({}, {"items": {"$elemMatch": {"k": 2}}}),
    "skip and limit": lambda c: c.find({}, skip=1, limit=2),
    "skip and limit by place": lambda c: c.find({}, None, 1, 2),
    "skip and limit, called": lambda c: c.find().skip(1).limit(2),
    "a negative limit": lambda c: c.find(limit=-2),
    "a negative limit, called": lambda c: c.find().limit(-3),
    "limit 0": lambda c: c.find().limit(0),
    "batch_size 1": lambda c: c.find(batch_size=1),
    "batch_size 2": lambda c: c.find().batch_size(2),
    "batch_size and limit": lambda c: c.find(batch_size=2, limit=3),
    "batch_size over limit": lambda c: c.find(batch_size=5, limit=3),
    "a sort": lambda c: c.find().sort("n"),
    "a sort down": lambda c: c.find().sort("n", DESCENDING),
    "a sort of pairs": lambda c: c.find().sort([("n", -1), ("_id", 1)]),
    "a sort of names": lambda c: c.find().sort(["n", "_id"]),
    "a sort of mixed": lambda c: c.find().sort(["n", ("_id", -1)]),
    "a sort dict": lambda c: c.find().sort({"n": -1, "_id": -1}),
    "a sort argument": lambda c: c.find(sort=[("n", -1)]),
    "a sort argument of a name": lambda c: c.find(sort=["n"]),
    "a sort argument dict": lambda c: c.find(sort={"n": 1}),
    "an empty sort argument": lambda c: c.find(sort=[]),
    "an empty sort argument dict": lambda c: c.find(sort={}),
    "the last sort": lambda c: c.find().sort("n").sort("_id", -1),
    "a hint": lambda c: c.find({"n": 2}).hint("_id_"),
    "a hint by keys": lambda c: c.find({"n": 2}).hint([("_id", 1)]),
    "a hint by a dict": lambda c: c.find({"n": 2}).hint({"_id": 1}),
    "natural": lambda c: c.find().hint([("$natural", -1)]),
    "a hint taken back": lambda c: c.find({"n": 2}, hint="nowhere").hint(None),
    "a hint that is not there": lambda c: c.find(hint="nowhere"),
    "min and max": lambda c: c.find().min([("_id", 2)]).max([("_id", 4)]).hint("_id_"),
    "min and max arguments": lambda c: c.find(min=[("_id", 2)], max=[("_id", 3)], hint=[("_id", 1)]),
    "min without hint": lambda c: c.find().min([("_id", 2)]),
    "a collation": lambda c: c.find({"word": "b"}).collation(GERMAN),
    "a collation that sorts": lambda c: c.find(collation=Collation("en", strength=2)).sort([("word", 1), ("_id", -1)]),
    "a collation dict": lambda c: c.find({"word": "b"}, collation={"locale": "en", "strength": 2}),
    "a collation of all": lambda c: c.find(
        {"word": "b"},
        collation=Collation(
            "en", strength=CollationStrength.SECONDARY, caseFirst=CollationCaseFirst.UPPER, numericOrdering=True
        ),
    ),
    "a comment": lambda c: c.find(comment="why"),
    "a comment, called": lambda c: c.find().comment({"why": 1}),
    "max_time_ms": lambda c: c.find().max_time_ms(5000),
    "max_time_ms argument": lambda c: c.find(max_time_ms=5000),
    "allow_disk_use": lambda c: c.find(allow_disk_use=True).sort("n"),
    "allow_disk_use, called": lambda c: c.find().allow_disk_use(True).sort("n"),
    "allow_disk_use false": lambda c: c.find(allow_disk_use=False),
    "return_key": lambda c: c.find({"_id": {"$gt": 0}}, return_key=True).hint("_id_"),
    "show_record_id": lambda c: c.find({}, {"n": 1}, show_record_id=True),
    "no_cursor_timeout": lambda c: c.find(no_cursor_timeout=True),
    "allow_partial_results": lambda c: c.find(allow_partial_results=True),
    "oplog_replay": lambda c: c.find(oplog_replay=True),
    "exhaust": lambda c: c.find(cursor_type=CursorType.EXHAUST, batch_size=2),
    "let": lambda c: c.find({"$expr": {"$eq": ["$n", "$$m"]}}, let={"m": 2}),
    "max_scan": lambda c: c.find().max_scan(100),
    "an unknown operator": lambda c: c.find({"n": {"$nonsense": 1}}),
    "a where": lambda c: c.find().where("this.n == 2"),
    "a where that is code": lambda c: c.find({"n": 2}).where(Code("this.n == 2")),
    "dates": lambda c: c.find({"when": OLD_DATE}),
    "a regex": lambda c: c.find({"word": re.compile("^b", re.IGNORECASE)}),
    "a SON": lambda c: c.find(SON([("n", 2), ("_id", 3)])),
}
WRONG_FINDS: dict[str, Of] = {
    "a number for a filter": lambda c: c.find(5),
    "a list for a filter": lambda c: c.find([]),
    "a number for a projection": lambda c: c.find({}, 5),
    "a text for a projection": lambda c: c.find({}, "n"),
    "a text for skip": lambda c: c.find(skip="x"),
    "a float for skip": lambda c: c.find().skip(1.5),
    "a negative skip": lambda c: c.find().skip(-1),
    "a negative skip argument": lambda c: c.find(skip=-1),
    "a text for limit": lambda c: c.find(limit="x"),
    "none for limit": lambda c: c.find().limit(None),
    "a large limit": lambda c: c.find().limit(2**31),
    "a negative batch_size": lambda c: c.find().batch_size(-1),
    "a negative batch_size argument": lambda c: c.find(batch_size=-1),
    "a text for batch_size": lambda c: c.find().batch_size("x"),
    "a number for a sort": lambda c: c.find().sort(5),
    "a number for a sort argument": lambda c: c.find(sort=5),
    "an empty sort": lambda c: c.find().sort([]),
    "a sort of a number": lambda c: c.find().sort([5]),
    "a sort of three": lambda c: c.find().sort([("a", 1, 2)]),
    "a sort in a wrong direction": lambda c: c.find().sort("n", 5),
    "a sort in no direction": lambda c: c.find().sort([("n", None)]),
    "a text for a direction": lambda c: c.find().sort("n", "up"),
    "a number for a hint": lambda c: c.find().hint(5),
    "an empty hint": lambda c: c.find().hint([]),
    "min and no list": lambda c: c.find().min(5),
    "an empty min": lambda c: c.find().min([]),
    "a dict for max": lambda c: c.find().max({"_id": 1}),
    "a text for a collation": lambda c: c.find(collation="de"),
    "a number for a collation": lambda c: c.find().collation(5),
    "a wrong locale": lambda c: c.find(collation={"locale": "nowhere"}),
    "a collation without locale": lambda c: c.find(collation={"strength": 1}),
    "a text for max_time_ms": lambda c: c.find().max_time_ms("x"),
    "a text for allow_disk_use": lambda c: c.find().allow_disk_use("x"),
    "a text for max_await_time_ms": lambda c: c.find().max_await_time_ms("x"),
    "a text for no_cursor_timeout": lambda c: c.find(no_cursor_timeout="x"),
    "a text for oplog_replay": lambda c: c.find(oplog_replay="x"),
    "a wrong cursor_type": lambda c: c.find(cursor_type=7),
    "exhaust and limit": lambda c: c.find(cursor_type=CursorType.EXHAUST, limit=2),
    "a text for let": lambda c: c.find({}, let="x"),
    "a wrong keyword": lambda c: c.find(nonsense=1),
    "a number for where": lambda c: c.find().where(5),
    "a text for add_option": lambda c: c.find().add_option("x"),
    "a text for remove_option": lambda c: c.find().remove_option("x"),
    "a text for max_scan": lambda c: c.find().max_scan("x"),
}


# PyMongo's asynchronous cursor supports neither slices nor indices.
SLICES: dict[str, Of] = {
    "a slice": lambda c: c.find().sort("_id")[1:3],
    "an open slice": lambda c: c.find().sort("_id")[1:],
    "a slice from the start": lambda c: c.find().sort("_id")[:2],
    "an empty slice": lambda c: c.find()[2:2],
    "an index": lambda c: c.find()[0],
    "a slice that steps": lambda c: c.find()[0:4:2],
    "a slice backwards": lambda c: c.find()[3:1],
    "a negative slice": lambda c: c.find()[-2:],
    "a text as an index": lambda c: c.find()["a"],
}


def found(call: Of) -> Call:
    async def all_found(w: World) -> Any:
        return await (await awaited(call(w.collection))).to_list()

    return all_found


def found_one_by_one(call: Of) -> Call:
    async def all_found(w: World) -> Any:
        cursor = call(w.collection)
        documents = [document async for document in cursor]
        return documents, cursor.alive, cursor.retrieved, cursor.cursor_id

    return all_found


table("find", {name: found(call) for name, call in FINDS.items()})
table("find, wrong", {name: found(call) for name, call in WRONG_FINDS.items()})
ONE_BY_ONE = (
    "all",
    "none match",
    "batch_size 1",
    "batch_size and limit",
    "a negative limit",
    "exhaust",
)
table("slices", {name: found(call) for name, call in SLICES.items()}, awaited=False)
table("find, one by one", {name: found_one_by_one(FINDS[name]) for name in ONE_BY_ONE})


@case("cursor", NUMBERS)
async def some_at_a_time(w: World) -> Any:
    cursor = w.collection.find(batch_size=4).sort("_id")
    first = [cursor.alive, cursor.retrieved, cursor.cursor_id]
    seen = [await cursor.next(), await cursor.to_list(2), cursor.retrieved, bool(cursor.cursor_id)]
    seen += [await cursor.to_list(10), cursor.retrieved, cursor.alive]
    seen += [await cursor.to_list(), cursor.retrieved, cursor.alive, cursor.cursor_id, await cursor.to_list()]
    return first, seen, await outcome(cursor.next)


@case("cursor", NUMBERS)
async def alive_after_its_last_batch(w: World) -> Any:
    seen = []
    limits = ({"limit": 3}, {"limit": -3}, {"limit": 14, "batch_size": 7})
    for options in ({}, {"batch_size": 15}, {"batch_size": 7}, *limits):
        cursor = w.collection.find({}, **options)
        states = [cursor.alive]
        while cursor.alive:
            await cursor.next()
            states.append(cursor.alive)
            if len(states) > len(NUMBERS):
                break
        seen.append((states, await outcome(cursor.next), cursor.alive, cursor.retrieved))
    return seen


@case("cursor", NUMBERS)
async def alive_of_a_command(w: World) -> Any:
    cursor = await w.collection.aggregate([{"$sort": {"_id": 1}}], batchSize=10)
    seen = [cursor.alive]
    while cursor.alive:
        await cursor.next()
        seen.append(cursor.alive)
    return seen, cursor.cursor_id


@case("cursor", NUMBERS)
async def exhaust_by_its_option(w: World) -> Any:
    cursor = w.collection.find(batch_size=8)
    added = await awaited(cursor.add_option(64))
    refused = await outcome(lambda: cursor.limit(5))
    copy = cursor.clone()
    refused_copy = await outcome(lambda: copy.limit(5))
    removed = copy.remove_option(64).limit(5)
    refused_again = await outcome(lambda: awaited(copy.add_option(64)))
    seen = [added is cursor, refused, refused_copy, removed is copy, refused_again, len(await copy.to_list())]
    return seen, len(await cursor.to_list()), cursor.alive


@case("cursor", NUMBERS)
async def exhaust_of_a_single_document(w: World) -> Any:
    return [
        await outcome(lambda: w.collection.find_one({}, cursor_type=CursorType.EXHAUST)),
        await outcome(lambda: w.collection.find_one({}, cursor_type=7)),
        len(await w.collection.find_raw_batches(cursor_type=CursorType.EXHAUST, batch_size=10).to_list()),
    ]


@case("cursor", NUMBERS)
async def a_list_of_a_wrong_length(w: World) -> Any:
    cursor = w.collection.find()
    return await outcome(lambda: cursor.to_list(0)), await outcome(lambda: cursor.to_list(-1))


@case("cursor", NUMBERS)
async def rewind(w: World) -> Any:
    cursor = w.collection.find({"n": {"$lt": 6}}, batch_size=3).sort("n")
    seen = [await cursor.next(), await cursor.next()]
    again = await cursor.rewind()
    return seen, again is cursor, cursor.retrieved, await cursor.to_list()


@case("cursor", NUMBERS)
async def clone(w: World) -> Any:
    cursor = w.collection.find({"n": {"$lt": 6}}, {"n": 1}, skip=1, comment="why", batch_size=3).sort("n", -1)
    await cursor.next()
    copy = cursor.clone()
    seen = [copy.alive, copy.retrieved, await copy.limit(2).to_list()]
    await cursor.close()
    return seen


@case("cursor", NUMBERS)
async def no_options_once_begun(w: World) -> Any:
    cursor = w.collection.find(batch_size=3)
    await cursor.next()
    calls: dict[str, Any] = {
        "sort": lambda: cursor.sort("n"),
        "limit": lambda: cursor.limit(1),
        "skip": lambda: cursor.skip(1),
        "hint": lambda: cursor.hint("_id_"),
        "batch_size": lambda: cursor.batch_size(2),
        "comment": lambda: cursor.comment("x"),
        "collation": lambda: cursor.collation(GERMAN),
        "max_time_ms": lambda: cursor.max_time_ms(5),
        "max_await_time_ms": lambda: cursor.max_await_time_ms(5),
        "min": lambda: cursor.min([("n", 1)]),
        "max": lambda: cursor.max([("n", 1)]),
        "allow_disk_use": lambda: cursor.allow_disk_use(True),
        "where": lambda: cursor.where("x"),
        "max_scan": lambda: cursor.max_scan(5),
        "add_option": lambda: cursor.add_option(16),
        "remove_option": lambda: cursor.remove_option(16),
    }
    results = {}
    for name, call in calls.items():
        given = await outcome(call)
        results[name] = given if isinstance(given, Exception) else given is cursor
    await cursor.close()
    return results


@case("cursor", NUMBERS)
async def close_ends_it(w: World) -> Any:
    cursor = w.collection.find(batch_size=3)
    await cursor.next()
    seen = [cursor.alive, bool(cursor.cursor_id)]
    await cursor.close()
    await cursor.close()
    return seen, cursor.alive, await cursor.to_list(), await outcome(cursor.next)


@case("cursor", NUMBERS)
async def a_context(w: World) -> Any:
    async with w.collection.find(batch_size=3) as cursor:
        await cursor.next()
        seen = cursor.alive
    return seen, cursor.alive


@case("cursor", NUMBERS)
async def its_properties(w: World) -> Any:
    cursor = w.collection.find()
    before = (cursor.collection == w.collection, cursor.session, cursor.address, cursor.cursor_id, cursor.alive)
    await cursor.next()
    return before, isinstance(cursor.address, tuple), cursor.alive


@case("cursor", NUMBERS)
async def distinct(w: World) -> Any:
    cursor = w.collection.find({"n": {"$lt": 5}}, comment="why").max_time_ms(5000).collation(GERMAN)
    return await cursor.distinct("odd"), await w.collection.find().distinct("odd")


@case("cursor", NUMBERS)
async def explain(w: World) -> Any:
    plan = await w.collection.find({"n": 2}).sort("n").explain()
    return sorted(key for key in plan if key in ("queryPlanner", "executionStats", "ok"))


@case("cursor", NUMBERS)
async def explain_with_a_limit(w: World) -> Any:
    return "queryPlanner" in await w.collection.find({"n": 2}, limit=3, skip=1, comment="x").explain()


@case("cursor", NUMBERS)
async def options_as_a_mask(w: World) -> Any:
    cursor = w.collection.find()
    added = await awaited(cursor.add_option(16))
    removed = added.remove_option(16)
    await awaited(cursor.add_option(128))
    return added is cursor, removed is cursor, len(await cursor.to_list())


def capped(setup: Any) -> None:
    setup.create_collection("things", capped=True, size=100_000)
    setup.things.insert_many(NUMBERS[:3])


@case("cursor", (), prepare=capped, once=True)
async def tailable(w: World) -> Any:
    cursor = w.collection.find(cursor_type=CursorType.TAILABLE)
    seen = [await cursor.next() for _ in range(3)]
    ended = await outcome(cursor.next)
    alive = cursor.alive
    w.setup.things.insert_one({"_id": 100})
    seen.append(await cursor.next())
    await cursor.close()
    return seen, ended, alive, cursor.alive


@case("cursor", (), prepare=capped, once=True)
async def tailable_that_waits(w: World) -> Any:
    cursor = w.collection.find(cursor_type=CursorType.TAILABLE_AWAIT).max_await_time_ms(50)
    seen = [await cursor.next() for _ in range(3)]
    ended = await outcome(cursor.next)
    w.setup.things.insert_one({"_id": 100})
    seen.append(await cursor.next())
    await cursor.close()
    return seen, ended


@case("cursor")
async def tailable_on_what_is_not_capped(w: World) -> Any:
    return await w.collection.find(cursor_type=CursorType.TAILABLE).to_list()


@case("cursor", NUMBERS)
async def that_the_server_forgot(w: World) -> Any:
    cursor = w.collection.find(batch_size=3)
    seen = [await cursor.next() for _ in range(3)]
    w.setup.command("killCursors", "things", cursors=[cursor.cursor_id])
    return seen, await outcome(cursor.next), cursor.alive, await outcome(cursor.to_list)


@case("cursor", NUMBERS)
async def a_wrong_query_and_again(w: World) -> Any:
    cursor = w.collection.find({"n": {"$nonsense": 1}})
    return await outcome(cursor.next), cursor.alive, await outcome(cursor.next), await outcome(cursor.to_list)


@case("find_raw_batches", NUMBERS)
async def all_of_them(w: World) -> Any:
    batches = [batch async for batch in w.collection.find_raw_batches(batch_size=12).sort("_id")]
    return [type(batch) for batch in batches], [bson.decode_all(batch) for batch in batches]


@case("find_raw_batches", NUMBERS)
async def a_filter_and_a_projection(w: World) -> Any:
    cursor = w.collection.find_raw_batches({"odd": True}, {"n": 1}, limit=3)
    return [bson.decode_all(batch) for batch in await cursor.to_list()], await outcome(cursor.explain) is not None


table(
    "find_raw_batches",
    {
        "none match": lambda w: w.collection.find_raw_batches({"n": 99}).to_list(),
        "a wrong query": lambda w: w.collection.find_raw_batches({"n": {"$nonsense": 1}}).to_list(),
        "a wrong filter": lambda w: w.collection.find_raw_batches(5).to_list(),
    },
)
