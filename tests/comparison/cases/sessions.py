"""Cases of sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bson import (
    DBRef,
)
from pymongo import (
    DeleteOne,
    IndexModel,
    InsertOne,
)

from tests.comparison.cases.client import contains
from tests.comparison.cases.common import SET, aggregated, case, table
from tests.comparison.cases.count_aggregate import GROUPED
from tests.comparison.harness import Call, World, outcome


def with_session(call: Callable[[Any, Any], Any], **options: Any) -> Call:
    """A call with a session, and a read that follows it in the same session."""

    async def called(w: World) -> Any:
        session = w.session(**options)
        first = await outcome(lambda: call(w.collection, session))
        return first, await outcome(lambda: w.collection.find_one({"_id": 1}, session=session))

    return called


def created_name(c: Any) -> str:
    return str(c.name)


SESSION_CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "insert_one": lambda c, s: c.insert_one({"_id": 9}, session=s),
    "insert_many": lambda c, s: c.insert_many([{"_id": 9}, {"_id": 10}], session=s),
    "update_one": lambda c, s: c.update_one({"_id": 1}, SET, session=s),
    "update_many": lambda c, s: c.update_many({}, SET, session=s),
    "replace_one": lambda c, s: c.replace_one({"_id": 1}, {"a": 1}, session=s),
    "delete_one": lambda c, s: c.delete_one({"_id": 4}, session=s),
    "delete_many": lambda c, s: c.delete_many({"_id": 4}, session=s),
    "bulk_write": lambda c, s: c.bulk_write([InsertOne({"_id": 9}), DeleteOne({"_id": 9})], session=s),
    "find": lambda c, s: c.find({}, session=s, batch_size=2).to_list(),
    "find_one": lambda c, s: c.find_one({"n": 2}, session=s),
    "find_raw_batches": lambda c, s: c.find_raw_batches({}, session=s, batch_size=2).to_list(),
    "find_one_and_update": lambda c, s: c.find_one_and_update({"_id": 1}, SET, session=s),
    "find_one_and_replace": lambda c, s: c.find_one_and_replace({"_id": 1}, {"a": 1}, session=s),
    "find_one_and_delete": lambda c, s: c.find_one_and_delete({"_id": 4}, session=s),
    "count_documents": lambda c, s: c.count_documents({}, session=s),
    "distinct": lambda c, s: c.distinct("n", session=s),
    "aggregate": lambda c, s: aggregated(c, GROUPED, session=s),
    "aggregate with out": lambda c, s: aggregated(c, [{"$out": "other"}], session=s),
    "database.aggregate": lambda c, s: aggregated(c.database, [{"$documents": [{"a": 1}]}], session=s),
    "create_index": lambda c, s: c.create_index("n", session=s),
    "create_indexes": lambda c, s: c.create_indexes([IndexModel("n")], session=s),
    "drop_index": lambda c, s: c.drop_index("nowhere", session=s),
    "drop_indexes": lambda c, s: c.drop_indexes(session=s),
    "index_information": lambda c, s: c.index_information(session=s),
    "list_indexes": lambda c, s: listed_of(c.list_indexes(session=s)),
    "options": lambda c, s: c.options(session=s),
    "rename": lambda c, s: c.rename("other", session=s),
    "drop": lambda c, s: c.drop(session=s),
    "create_collection": lambda c, s: c.database.create_collection("made", session=s),
    "drop_collection": lambda c, s: c.database.drop_collection("other", session=s),
    "list_collection_names": lambda c, s: c.database.list_collection_names(session=s),
    "list_collections": lambda c, s: listed_of(c.database.list_collections(session=s)),
    "validate_collection": lambda c, s: is_valid(c.database.validate_collection("things", session=s)),
    "dereference": lambda c, s: c.database.dereference(DBRef("things", 1), session=s),
    "command": lambda c, s: c.database.command("count", "things", session=s),
    "cursor_command": lambda c, s: listed_of(c.database.cursor_command({"find": "things", "batchSize": 2}, session=s)),
    "drop_database": lambda c, s: c.database.client.drop_database("nowhere", session=s),
    "list_database_names": lambda c, s: contains(c.database.client.list_database_names(session=s), "x"),
    "server_info": lambda c, s: is_there(c.database.client.server_info(session=s)),
    "client.bulk_write": lambda c, s: c.database.client.bulk_write(
        [InsertOne({"_id": 9}, namespace=c.full_name)], session=s
    ),
    "list_search_indexes": lambda c, s: c.list_search_indexes(session=s),
}


async def listed_of(cursor: Any) -> Any:
    return await (await cursor).to_list()


async def is_valid(answer: Any) -> Any:
    return (await answer)["valid"]


async def is_there(answer: Any) -> Any:
    return bool(await answer)


table("a session", {name: with_session(call) for name, call in SESSION_CALLS.items()})
SNAPSHOT_CALLS = (
    "find",
    "find_one",
    "count_documents",
    "distinct",
    "aggregate",
    "insert_one",
    "update_one",
    "bulk_write",
)
table("a snapshot session", {name: with_session(SESSION_CALLS[name], snapshot=True) for name in SNAPSHOT_CALLS})
table(
    "a session without causal consistency",
    {name: with_session(SESSION_CALLS[name], causal_consistency=False) for name in ("find", "insert_one")},
)


@case("a session")
async def its_state(w: World) -> Any:
    session = w.session()
    seen = [session.has_ended, session.in_transaction, session.operation_time, type(session.session_id)]
    seen += [list(session.session_id), session.options.causal_consistency, session.options.default_transaction_options]
    await w.collection.find_one({}, session=session)
    seen += [type(session.operation_time), sorted(session.cluster_time), session.client == w.client]
    await session.end_session()
    await session.end_session()
    return [
        seen,
        session.has_ended,
        await outcome(lambda: session.session_id),
        await outcome(lambda: session.start_transaction()),
        await outcome(lambda: w.collection.find_one({}, session=session)),
        await outcome(lambda: w.collection.insert_one({}, session=session)),
        await outcome(lambda: w.collection.find({}, session=session).to_list()),
    ]


@case("a session")
async def its_context(w: World) -> Any:
    async with w.session() as session:
        first = await w.collection.find_one({"_id": 1}, session=session)
    return first, session.has_ended


@case("a session")
async def that_ends_in_a_transaction(w: World) -> Any:
    session = w.session()
    await session.start_transaction()
    await w.collection.insert_one({"_id": 9}, session=session)
    await session.end_session()
    return session.has_ended, await w.collection.find_one({"_id": 9})


@case("a session")
async def of_another_client(w: World) -> Any:
    session = w.session(w.open())
    return [
        await outcome(lambda: w.collection.find_one({}, session=session)),
        await outcome(lambda: w.collection.insert_one({"_id": 9}, session=session)),
        await outcome(lambda: w.collection.find({}, session=session).to_list()),
        await outcome(lambda: w.database.command("ping", session=session)),
    ]


@case("a session")
async def of_a_cursor(w: World) -> Any:
    session = w.session()
    cursor = w.collection.find({}, session=session, batch_size=2)
    seen = [cursor.session == session, (await cursor.next())["_id"], cursor.session == session]
    copy = cursor.clone()
    seen += [len(await copy.to_list()), len(await cursor.to_list()), cursor.session == session]
    return seen


@case("a session")
async def two_of_them(w: World) -> Any:
    first, second = w.session(), w.session()
    seen = first.session_id != second.session_id
    await w.collection.insert_one({"_id": 9}, session=first)
    second.advance_operation_time(first.operation_time)
    second.advance_cluster_time(first.cluster_time)
    return seen, second.operation_time == first.operation_time, await w.collection.find_one({"_id": 9}, session=second)


WRONG_SESSIONS: dict[str, Call] = {
    "both consistencies": lambda w: w.client.start_session(causal_consistency=True, snapshot=True),
    "options that are none": lambda w: w.client.start_session(default_transaction_options=5),
    "a text for causal_consistency": lambda w: w.client.start_session(causal_consistency="x"),
    "an unknown option": lambda w: w.client.start_session(nonsense=1),
    "a wrong cluster time": lambda w: w.session().advance_cluster_time(5),
    "a cluster time without one": lambda w: w.session().advance_cluster_time({}),
    "a wrong operation time": lambda w: w.session().advance_operation_time(5),
    "a text, to insert": lambda w: w.collection.insert_one({"_id": 9}, session="x"),
}
table("a session, wrong", WRONG_SESSIONS)


@case("a session")
async def bound(w: World) -> Any:
    session = w.session()
    async with session.bind(end_session=False):
        await w.collection.insert_one({"_id": 9})
        seen = await w.collection.find_one({"_id": 9})
    return seen, session.has_ended


BOUND_CALLS = (
    "find",
    "find_one",
    "count_documents",
    "distinct",
    "aggregate",
    "update_many",
    "delete_many",
    "create_index",
    "list_indexes",
    "list_collection_names",
    "command",
    "drop",
)


def without_session(call: Callable[[Any, Any], Any]) -> Call:
    """A call without a session, in a block where one is bound."""

    async def called(w: World) -> Any:
        session = w.session()
        async with session.bind(end_session=False):
            return await outcome(lambda: call(w.collection, None)), session.has_ended

    return called


table("a bound session", {name: without_session(SESSION_CALLS[name]) for name in BOUND_CALLS})


@case("a bound session")
async def that_ends_with_its_block(w: World) -> Any:
    session = w.session()
    async with session.bind() as same:
        found = await w.collection.find_one({"_id": 1})
    return same is session, found, session.has_ended, await w.collection.find_one({"_id": 2})


@case("a bound session")
async def after_an_error(w: World) -> Any:
    session = w.session()
    failed = None
    try:
        async with session.bind():
            raise KeyError("x")
    except KeyError as error:
        failed = error
    return failed, session.has_ended, await w.collection.find_one({"_id": 2})


@case("a bound session")
async def in_another(w: World) -> Any:
    outer, inner = w.session(), w.session()
    async with outer.bind(end_session=False):
        async with inner.bind(end_session=False):
            first = await w.collection.find_one({"_id": 1})
        second = await w.collection.find_one({"_id": 2})
        third = await w.collection.find_one({"_id": 3}, session=inner)
    return first, second, third


@case("a bound session")
async def in_a_transaction(w: World) -> Any:
    session = w.session()
    async with session.bind(), await session.start_transaction():
        await w.collection.insert_one({"_id": 9})
        found = await w.collection.find_one({"_id": 9})
        in_transaction = session.in_transaction
    return found, in_transaction, w.setup.things.find_one({"_id": 9})


@case("a bound session")
async def of_a_cursor_and_a_stream(w: World) -> Any:
    session = w.session()
    async with session.bind(end_session=False):
        documents = [document async for document in w.collection.find({}, batch_size=2)]
        async with await w.collection.watch(max_await_time_ms=50) as stream:
            alive = stream.alive
    return documents, alive


@case("a bound session")
async def for_another_client(w: World) -> Any:
    other = w.open()
    session = w.session()
    async with session.bind(end_session=False):
        refused = await outcome(lambda: other[w.setup.name].things.find_one({}))
        # A session that is passed comes first.
        found = await other[w.setup.name].things.find_one({"_id": 1}, session=w.session(other))
    return refused, found
