"""Cases of transactions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pymongo import (
    ReadPreference,
    UpdateOne,
    WriteConcern,
)
from pymongo.client_session_shared import TransactionOptions
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from tests.comparison.cases.common import SET, case, table
from tests.comparison.cases.sessions import SESSION_CALLS
from tests.comparison.harness import Call, World, outcome


def in_transaction(call: Callable[[Any, Any], Any], **options: Any) -> Call:
    async def called(w: World) -> Any:
        session = w.session()
        seen: list[Any] = []
        async with await session.start_transaction(**options):
            seen.append(await outcome(lambda: call(w.collection, session)))
            seen.append(session.in_transaction)
        return seen, session.in_transaction

    return called


TRANSACTED = (
    "insert_one",
    "insert_many",
    "update_one",
    "update_many",
    "replace_one",
    "delete_one",
    "delete_many",
    "bulk_write",
    "find",
    "find_one",
    "find_raw_batches",
    "find_one_and_update",
    "find_one_and_delete",
    "count_documents",
    "distinct",
    "aggregate",
    "client.bulk_write",
    "command",
    "create_index",
    "create_collection",
    "aggregate with out",
    "list_collection_names",
    "drop",
)
table("a transaction", {name: in_transaction(SESSION_CALLS[name]) for name in TRANSACTED})
table(
    "a transaction's options",
    {
        "concerns": in_transaction(
            SESSION_CALLS["insert_one"],
            read_concern=ReadConcern("snapshot"),
            write_concern=WriteConcern(w="majority", wtimeout=5000),
            read_preference=ReadPreference.PRIMARY,
            max_commit_time_ms=5000,
        ),
        "by place": lambda w: by_place(w),
        "a secondary": lambda w: on_a_secondary(w),
        "writes with another read preference": lambda w: written_only(w),
        "unacknowledged": in_transaction(SESSION_CALLS["insert_one"], write_concern=WriteConcern(w=0)),
        "a wrong read concern": in_transaction(SESSION_CALLS["find"], read_concern=5),
        "a wrong write concern": in_transaction(SESSION_CALLS["find"], write_concern=5),
        "a wrong read preference": in_transaction(SESSION_CALLS["find"], read_preference=5),
        "a wrong time": in_transaction(SESSION_CALLS["find"], max_commit_time_ms="x"),
        "a wrong level": in_transaction(SESSION_CALLS["find"], read_concern=ReadConcern("available")),
        "a concern of the collection's": in_transaction(
            lambda c, s: c.with_options(write_concern=WriteConcern(w=1)).insert_one({"_id": 9}, session=s)
        ),
        "a read preference of the collection's": in_transaction(
            lambda c, s: c.with_options(read_preference=ReadPreference.SECONDARY).find_one({}, session=s)
        ),
        "a collection that is unacknowledged": in_transaction(
            lambda c, s: c.with_options(write_concern=WriteConcern(w=0)).insert_one({"_id": 9}, session=s)
        ),
    },
)


async def by_place(w: World) -> Any:
    session = w.session()
    await session.start_transaction(ReadConcern("local"), WriteConcern(w=1), ReadPreference.PRIMARY, 5000)
    await w.collection.insert_one({"_id": 9}, session=session)
    await session.commit_transaction()
    return session.in_transaction


async def written_only(w: World) -> Any:
    session = w.session()
    await session.start_transaction(read_preference=ReadPreference.NEAREST)
    seen = [
        await outcome(lambda: w.collection.insert_one({"_id": 9}, session=session)),
        await outcome(lambda: w.collection.insert_many([{"_id": 10}], session=session)),
        await outcome(lambda: w.collection.update_one({"_id": 9}, SET, session=session)),
        await outcome(lambda: w.collection.find_one_and_delete({"_id": 10}, session=session)),
        await outcome(lambda: w.database.create_collection("made", session=session)),
    ]
    await session.commit_transaction()
    return seen


async def on_a_secondary(w: World) -> Any:
    client = w.open(serverSelectionTimeoutMS=100)
    session = w.session(client)
    await session.start_transaction(read_preference=ReadPreference.SECONDARY)
    return await client[w.database.name].things.find({}, session=session).to_list()


@case("a transaction")
async def committed(w: World) -> Any:
    session = w.session()
    await session.start_transaction()
    await w.collection.insert_one({"_id": 9}, session=session)
    seen = [
        await w.collection.find_one({"_id": 9}),
        await w.collection.find_one({"_id": 9}, session=session),
        await w.collection.update_one({"_id": 1}, SET, session=session),
        await w.collection.delete_many({"n": 2}, session=session),
        session.in_transaction,
    ]
    await session.commit_transaction()
    seen += [session.in_transaction, await w.collection.find_one({"_id": 9})]
    # Committing again is allowed.
    await session.commit_transaction()
    return seen, await outcome(session.abort_transaction)


@case("a transaction")
async def aborted(w: World) -> Any:
    session = w.session()
    await session.start_transaction()
    await w.collection.insert_one({"_id": 9}, session=session)
    await session.abort_transaction()
    return [
        session.in_transaction,
        await w.collection.find_one({"_id": 9}),
        await outcome(session.abort_transaction),
        await outcome(session.commit_transaction),
    ]


@case("a transaction")
async def with_nothing_in_it(w: World) -> Any:
    session = w.session()
    await session.start_transaction()
    await session.commit_transaction()
    await session.start_transaction()
    await session.abort_transaction()
    return session.in_transaction


@case("a transaction")
async def states(w: World) -> Any:
    session = w.session()
    seen = [await outcome(session.commit_transaction), await outcome(session.abort_transaction)]
    await session.start_transaction()
    seen += [await outcome(session.start_transaction), session.in_transaction]
    await session.end_session()
    return seen, session.has_ended, await outcome(session.commit_transaction)


@case("a transaction")
async def ended_with_its_session(w: World) -> Any:
    async with w.session() as session:
        await session.start_transaction()
        await w.collection.insert_one({"_id": 9}, session=session)
    return await w.collection.count_documents({"_id": 9})


@case("a transaction")
async def whose_block_raises(w: World) -> Any:
    session = w.session()

    async def block() -> None:
        async with await session.start_transaction():
            await w.collection.insert_one({"_id": 9}, session=session)
            raise KeyError("mine")

    return await outcome(block), session.in_transaction, await w.collection.count_documents({"_id": 9})


@case("a transaction")
async def whose_write_is_refused(w: World) -> Any:
    session = w.session()
    await session.start_transaction()
    return [
        await outcome(lambda: w.collection.insert_one({"_id": 9}, session=session)),
        await outcome(lambda: w.collection.insert_one({"_id": 1}, session=session)),
        await outcome(lambda: w.collection.insert_one({"_id": 10}, session=session)),
        await outcome(session.commit_transaction),
        session.in_transaction,
        await w.collection.count_documents({}),
    ]


@case("a transaction")
async def in_conflict_with_another(w: World) -> Any:
    first, second = w.session(), w.session()
    await first.start_transaction()
    await second.start_transaction()
    await w.collection.update_one({"_id": 1}, {"$set": {"by": 1}}, session=first)
    refused = await outcome(lambda: w.collection.update_one({"_id": 1}, {"$set": {"by": 2}}, session=second))
    await first.commit_transaction()
    return refused, await outcome(second.commit_transaction), await w.collection.find_one({"_id": 1})


@case("a transaction", once=True)
async def in_conflict_with_a_find_and_modify(w: World) -> Any:
    first, second = w.session(), w.session()
    await first.start_transaction()
    await second.start_transaction()
    await w.collection.update_one({"_id": 1}, {"$set": {"by": 1}}, session=first)
    refused = await outcome(lambda: w.collection.find_one_and_update({"_id": 1}, {"$set": {"by": 2}}, session=second))
    many = w.session()
    await many.start_transaction()
    bulked = await outcome(lambda: w.collection.bulk_write([UpdateOne({"_id": 1}, {"$set": {"by": 3}})], session=many))
    await first.abort_transaction()
    return refused, bulked


@case("a transaction")
async def two_after_another(w: World) -> Any:
    session = w.session(
        default_transaction_options=TransactionOptions(ReadConcern("snapshot"), WriteConcern(w="majority"))
    )
    for number in (9, 10):
        async with await session.start_transaction():
            await w.collection.insert_one({"_id": number}, session=session)
            await w.other.insert_one({"_id": number}, session=session)
    return await w.collection.count_documents({}), session.options.default_transaction_options is not None


@case("a transaction")
async def a_cursor_in_it(w: World) -> Any:
    session = w.session()
    async with await session.start_transaction():
        cursor = w.collection.find({}, session=session, batch_size=2).sort("_id")
        seen = [await cursor.next()]
        await w.collection.delete_many({}, session=session)
        seen += await cursor.to_list()
    return seen


@case("with_transaction")
async def gives_what_its_callback_gives(w: World) -> Any:
    async def callback(session: Any) -> Any:
        await w.collection.insert_one({"_id": 9}, session=session)
        return session.in_transaction, await w.collection.count_documents({}, session=session)

    session = w.session()
    return await session.with_transaction(callback), session.in_transaction


@case("with_transaction")
async def with_options(w: World) -> Any:
    async def callback(session: Any) -> Any:
        return await w.collection.insert_one({"_id": 9}, session=session)

    return await w.session().with_transaction(
        callback,
        read_concern=ReadConcern("majority"),
        write_concern=WriteConcern(w=1),
        read_preference=ReadPreference.PRIMARY,
        max_commit_time_ms=5000,
    )


@case("with_transaction")
async def whose_callback_raises(w: World) -> Any:
    async def callback(session: Any) -> Any:
        await w.collection.insert_one({"_id": 9}, session=session)
        raise KeyError("mine")

    session = w.session()
    return await outcome(lambda: session.with_transaction(callback)), session.in_transaction


@case("with_transaction")
async def whose_callback_is_refused(w: World) -> Any:
    async def callback(session: Any) -> Any:
        await w.collection.insert_one({"_id": 9}, session=session)
        await w.collection.insert_one({"_id": 1}, session=session)

    return await outcome(lambda: w.session().with_transaction(callback))


@case("with_transaction")
async def whose_callback_is_to_be_repeated(w: World) -> Any:
    calls: list[int] = []

    async def callback(session: Any) -> Any:
        calls.append(1)
        await w.collection.insert_one({"_id": 9}, session=session)
        if len(calls) < 3:
            raise OperationFailure("mine", 112, {"errorLabels": ["TransientTransactionError"]})
        return len(calls)

    return await w.session().with_transaction(callback), len(calls)


@case("with_transaction")
async def whose_callback_commits(w: World) -> Any:
    async def callback(session: Any) -> Any:
        await w.collection.insert_one({"_id": 9}, session=session)
        await session.commit_transaction()
        return "done"

    return await w.session().with_transaction(callback)


@case("with_transaction")
async def whose_callback_aborts(w: World) -> Any:
    async def callback(session: Any) -> Any:
        await w.collection.insert_one({"_id": 9}, session=session)
        await session.abort_transaction()
        return "done"

    return await w.session().with_transaction(callback)
