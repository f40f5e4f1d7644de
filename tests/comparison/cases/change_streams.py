"""Cases of change streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bson import (
    SON,
    CodecOptions,
)
from pymongo.read_concern import ReadConcern

from tests.comparison.cases.common import DOCUMENTS, GERMAN, SET, add, case, table
from tests.comparison.harness import Call, Case, World, outcome


async def next_of(stream: Any, wanted: int) -> list[Any]:
    return [await stream.next() for _ in range(wanted)]


def watched(watch: Callable[[World], Any], wanted: int = 4) -> Call:
    """The changes that a stream returns for some writes."""

    async def changes(w: World) -> Any:
        async with await watch(w) as stream:
            w.setup.things.insert_one({"_id": 9, "n": 1})
            w.setup.things.update_one({"_id": 9}, {"$set": {"n": 2, "a.b": 1}, "$unset": {"z": 1}})
            w.setup.things.replace_one({"_id": 9}, {"new": True})
            w.setup.things.delete_one({"_id": 9})
            return await next_of(stream, wanted)

    return changes


def with_images(setup: Any) -> None:
    setup.create_collection("things", changeStreamPreAndPostImages={"enabled": True})


table(
    "watch",
    {
        "a collection": watched(lambda w: w.collection.watch()),
        "a database": watched(lambda w: w.database.watch()),
        "a client": watched(lambda w: w.client.watch([{"$match": {"ns.db": w.setup.name}}])),
        "a pipeline": watched(lambda w: w.collection.watch([{"$match": {"operationType": "update"}}]), 1),
        "a projection": watched(lambda w: w.collection.watch([{"$project": {"documentKey": 1}}])),
        "full_document": watched(lambda w: w.collection.watch(full_document="updateLookup")),
        "full_document, default": watched(lambda w: w.collection.watch(full_document="default")),
        "full_document, whenAvailable": watched(lambda w: w.collection.watch(full_document="whenAvailable")),
        "a batch size": watched(lambda w: w.collection.watch(batch_size=2)),
        "max_await_time_ms": watched(lambda w: w.collection.watch(max_await_time_ms=200)),
        "a comment": watched(lambda w: w.collection.watch(comment="why")),
        "a collation": watched(lambda w: w.collection.watch(collation=GERMAN)),
        "expanded events": watched(lambda w: w.collection.watch(show_expanded_events=True)),
        "a session": watched(lambda w: w.collection.watch(session=w.session())),
        "a read concern": watched(lambda w: w.collection.with_options(read_concern=ReadConcern("majority")).watch()),
        "codec options": watched(
            lambda w: w.collection.with_options(codec_options=CodecOptions(document_class=SON, tz_aware=True)).watch()
        ),
        "a database, options": watched(
            lambda w: w.database.watch([], "updateLookup", batch_size=3, max_await_time_ms=200, comment="x")
        ),
        "a client, options": watched(
            lambda w: w.client.watch([{"$match": {"ns.db": w.setup.name}}], full_document="updateLookup", batch_size=3)
        ),
    },
    documents=(),
    once=True,
)
table(
    "watch, with images",
    {
        "before": watched(lambda w: w.collection.watch(full_document_before_change="whenAvailable")),
        "after": watched(lambda w: w.collection.watch(full_document="required")),
        "both": watched(
            lambda w: w.collection.watch(full_document="whenAvailable", full_document_before_change="required")
        ),
    },
    documents=(),
    prepare=with_images,
    once=True,
)


async def watched_and_closed(holder: Any, *arguments: Any, **options: Any) -> Any:
    async with await holder.watch(*arguments, **options) as stream:
        return stream.alive


table(
    "watch, wrong",
    {
        "a text for a pipeline": lambda w: watched_and_closed(w.collection, "x"),
        "a document for a pipeline": lambda w: watched_and_closed(w.collection, {}),
        "an unknown stage": lambda w: watched_and_closed(w.collection, [{"$nonsense": 1}]),
        "a stage that may not be": lambda w: watched_and_closed(w.collection, [{"$group": {"_id": 1}}]),
        "an unknown full_document": lambda w: watched_and_closed(w.collection, full_document="x"),
        "a number for full_document": lambda w: watched_and_closed(w.collection, full_document=5),
        "a text for batch_size": lambda w: watched_and_closed(w.collection, batch_size="x"),
        "a text for a token": lambda w: watched_and_closed(w.collection, resume_after="x"),
        "a wrong token": lambda w: watched_and_closed(w.collection, resume_after={"_data": "x"}),
        "a token that is no token": lambda w: watched_and_closed(w.collection, start_after={"a": 1}),
        "a number for a time": lambda w: watched_and_closed(w.collection, start_at_operation_time=5),
        "two tokens": lambda w: watched_and_closed(
            w.collection, resume_after={"_data": "8"}, start_after={"_data": "8"}
        ),
        "an unknown option": lambda w: watched_and_closed(w.collection, nonsense=1),
        "a wrong session": lambda w: watched_and_closed(w.collection, session=5),
        "a wrong pipeline of a database": lambda w: watched_and_closed(w.database, 5),
        "a wrong pipeline of a client": lambda w: watched_and_closed(w.client, 5),
    },
    once=True,
)


# PyMongo raises only after it has opened the stream, and leaves its cursor open.
add(
    Case(
        "watch, wrong: a text for max_await_time_ms",
        lambda w: watched_and_closed(w.collection, max_await_time_ms="x"),
        DOCUMENTS,
        commands=False,
    )
)


@case("watch", once=True)
async def try_next(w: World) -> Any:
    async with await w.collection.watch(max_await_time_ms=50) as stream:
        seen = [await stream.try_next(), stream.alive, sorted(stream.resume_token)]
        w.setup.things.insert_one({"_id": 9})
        found = None
        while found is None:
            found = await stream.try_next()
        seen += [found, stream.resume_token == found["_id"], await stream.try_next()]
    return seen, stream.alive


@case("watch", once=True)
async def a_comment_of_each_command(w: World) -> Any:
    for holder in (w.client, w.database, w.collection):
        async with await holder.watch(comment={"why": 1}, max_await_time_ms=50) as stream:
            await stream.try_next()
    sent = [one for one in w.side.recorder.all() if one.name in ("aggregate", "getMore")]
    return [(one.name, one.body.get("comment"), one.body.get("maxTimeMS")) for one in sent[-6:]]


@case("watch", once=True)
async def closed_stream(w: World) -> Any:
    stream = await w.collection.watch(max_await_time_ms=50)
    await stream.close()
    await stream.close()
    return stream.alive, await outcome(stream.next), await outcome(stream.try_next)


async def resumed(w: World, option: str) -> Any:
    async with await w.collection.watch() as stream:
        for number in (9, 10, 11):
            w.setup.things.insert_one({"_id": number})
        token = (await stream.next())["_id"]
        same = stream.resume_token == token
    async with await w.collection.watch(**{option: token}) as stream:
        begun = stream.resume_token == token
        return same, begun, [change["documentKey"] for change in await next_of(stream, 2)]


@case("watch", once=True)
async def resume_after(w: World) -> Any:
    return await resumed(w, "resume_after")


@case("watch", once=True)
async def start_after(w: World) -> Any:
    return await resumed(w, "start_after")


@case("watch", once=True)
async def start_at_operation_time(w: World) -> Any:
    session = w.session()
    await w.collection.find_one({}, session=session)
    w.setup.things.insert_one({"_id": 9})
    async with await w.collection.watch(start_at_operation_time=session.operation_time, batch_size=1) as stream:
        changes = [await stream.next()]
        while changes[-1]["documentKey"] != {"_id": 9}:
            changes.append(await stream.next())
    return changes[-1]["operationType"]


@case("watch", once=True)
async def iterated(w: World) -> Any:
    seen = []
    async with await w.collection.watch() as stream:
        w.setup.things.insert_many([{"_id": number} for number in range(10, 15)])
        async for change in stream:
            seen.append(change["documentKey"])
            if len(seen) == 5:
                break
    return seen, await outcome(stream.next)


@case("watch", once=True)
async def invalidated_by_a_drop(w: World) -> Any:
    async with await w.collection.watch() as stream:
        w.setup.things.drop()
        seen = [change["operationType"] for change in await next_of(stream, 2)]
        token = stream.resume_token
        after = await outcome(stream.next)
        alive = stream.alive
    refused = await outcome(lambda: watched_and_closed(w.collection, resume_after=token))
    async with await w.collection.watch(start_after=token) as stream:
        w.setup.things.insert_one({"_id": 1})
        return seen, after, alive, refused, (await stream.next())["operationType"]


@case("watch", once=True)
async def of_a_rename_and_a_database(w: World) -> Any:
    async with await w.database.watch(show_expanded_events=True) as stream:
        w.setup.create_collection("made")
        w.setup.made.rename("renamed")
        w.setup.renamed.drop()
        return [change["operationType"] for change in await next_of(stream, 3)]


@case("watch", once=True)
async def without_the_token(w: World) -> Any:
    async with await w.collection.watch([{"$project": {"_id": 0}}]) as stream:
        w.setup.things.insert_one({"_id": 9})
        return await outcome(stream.next), stream.alive


@case("watch", once=True)
async def whose_cursor_is_gone(w: World) -> Any:
    async with await w.collection.watch(max_await_time_ms=100) as stream:
        w.setup.things.insert_one({"_id": 9})
        first = await stream.next()
        cursor = w.side.recorder.all()[-1].body.get("getMore")
        if cursor:
            w.setup.command("killCursors", "things", cursors=[cursor])
        w.setup.things.insert_one({"_id": 10})
        return first["documentKey"], (await stream.next())["documentKey"]


@case("watch", once=True)
async def a_transaction(w: World) -> Any:
    async with await w.collection.watch() as stream:
        session = w.session()
        async with await session.start_transaction():
            await w.collection.insert_one({"_id": 9}, session=session)
            await w.collection.update_one({"_id": 1}, SET, session=session)
        changes = await next_of(stream, 2)
        return [[change["operationType"], "lsid" in change, type(change["txnNumber"])] for change in changes]
