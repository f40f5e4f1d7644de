"""Connections that break, and answers that come twice, between a client and MongoDB.

A proxy chooses the faults by counting messages. PyMongo runs behind a proxy of the same plan, as the measure.
`FULL_FAULTS=1` has the counts of a whole run.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from connect.eaas.mongodb import AsyncMongoClient
from pymongo import AsyncMongoClient as PyMongoAsyncClient
from pymongo.errors import AutoReconnect, ProtocolError

from tests.faults import FAULTS, HANDSHAKE, LOSSES, Command, Fault, Faulty, Plan, every, faulty

FULL = os.environ.get("FULL_FAULTS") == "1"
TRANSACTIONS, INSERTS, CALLS = (500, 2_000, 250) if FULL else (30, 120, 60)

KINDS: dict[str, Callable[..., Any]] = {"ours": AsyncMongoClient, "pymongo": PyMongoAsyncClient}
# Server sessions with numbers of the package's own.
OWN_NUMBERS = 1 << 40

Call = Callable[[], Awaitable[Any]]


@dataclass
class World:
    """A client behind a proxy."""

    proxy: Faulty
    client: Any
    collection: Any


@contextlib.asynccontextmanager
async def world(kind: str, port: int, names: tuple[str, str], **options: Any) -> AsyncIterator[World]:
    """A client that is connected; the plan comes after that."""
    with faulty(port) as proxy:
        client = KINDS[kind](proxy.uri, **options)
        try:
            collection = client[names[0]][f"{names[1]}_{kind}"]
            await collection.find_one({})
            yield World(proxy, client, collection)
        finally:
            proxy.plan = None
            await client.close()


async def outcomes(calls: Iterator[Call], lanes: int) -> list[Any]:
    """What comes of the calls, so many at once."""
    done: list[Any] = []

    async def lane() -> None:
        for call in calls:
            try:
                done.append(await call())
            except Exception as error:
                done.append(error)

    await asyncio.wait_for(asyncio.gather(*(lane() for _ in range(lanes))), 900)
    return done


def each(call: Callable[[int], Awaitable[Any]], count: int) -> Iterator[Call]:
    """The call of each place."""
    return (functools.partial(call, place) for place in range(count))


def failed(done: list[Any]) -> list[BaseException]:
    return [outcome for outcome in done if isinstance(outcome, BaseException)]


def sessions_stay_apart(proxy: Faulty) -> bool:
    """Whether the numbers of each session only grow, so that none of ours came before one of the driver's."""
    return all(numbers == sorted(numbers) for numbers in proxy.numbers.values())


def transactions(world: World, count: int) -> Iterator[Call]:
    async def one(place: int) -> None:
        async with world.client.start_session() as session:

            async def transfer(session: Any) -> None:
                for end, amount in (("from", -place), ("to", place)):
                    await world.collection.update_one(
                        {"_id": end}, {"$inc": {"amount": amount, "times": 1}}, session=session
                    )
                await world.collection.insert_one({"_id": f"transfer {place}"}, session=session)

            await session.with_transaction(transfer)

    return each(one, count)


def inserts(world: World, count: int) -> Iterator[Call]:
    async def one(place: int) -> int:
        await world.collection.insert_one({"_id": place})
        return place

    return each(one, count)


async def side_by_side(kind: str, port: int, names: tuple[str, str], reader: Any, plan: Plan) -> tuple[int, int]:
    """Transactions and inserts at once; how many of each succeeded, which is checked to be what is stored."""
    stored = reader.database[f"{names[1]}_{kind}"]
    stored.insert_many([{"_id": end, "amount": 0, "times": 0} for end in ("from", "to")])
    async with world(kind, port, names) as w:
        w.proxy.plan = plan
        # Those of one collection conflict with each other: one lane, beside many.
        transferred, inserted = await asyncio.gather(
            outcomes(transactions(w, TRANSACTIONS), 1), outcomes(inserts(w, INSERTS), 8)
        )
        assert {fault for _, fault in w.proxy.faults} == set(FAULTS)
        assert sessions_stay_apart(w.proxy)
    assert {type(error) for error in failed(inserted)} <= {AutoReconnect}
    done = TRANSACTIONS - len(failed(transferred))
    assert failed(transferred) == []
    ends = {end: stored.find_one({"_id": end}) for end in ("from", "to")}
    total = sum(range(TRANSACTIONS))
    assert ends["to"] == {"_id": "to", "amount": total, "times": TRANSACTIONS}
    assert ends["from"] == {"_id": "from", "amount": -total, "times": TRANSACTIONS}
    assert stored.count_documents({"_id": {"$regex": "^transfer"}}) == TRANSACTIONS
    there = {document["_id"] for document in stored.find({"_id": {"$type": "number"}})}
    acknowledged = {place for place in inserted if isinstance(place, int)}
    assert acknowledged <= there
    return done, len(acknowledged)


async def test_transactions_and_inserts_get_through_all_faults(
    mongodb_port: int, names: tuple[str, str], reader: Any
) -> None:
    ours = await side_by_side("ours", mongodb_port, names, reader, every(13, FAULTS, 12))
    theirs = await side_by_side("pymongo", mongodb_port, names, reader, every(13, FAULTS, 12))
    print("transactions, inserts; ours:", ours, "PyMongo's:", theirs)
    assert ours == (TRANSACTIONS, INSERTS)
    assert ours >= theirs


async def test_a_session_with_numbers_of_our_own_is_never_the_driver_s(
    mongodb_port: int, names: tuple[str, str], reader: Any
) -> None:
    """Also where a connection breaks while it is being made: the driver does not mark the session then."""
    broken = every(3, (Fault.CUT_AFTER, Fault.RESET_AFTER), 5, "hello", "isMaster")
    spoilt = every(7, LOSSES, 6, "insert", "update", "commitTransaction")

    def plan(command: Command) -> Fault | None:
        return broken(command) or spoilt(command)

    async with world("ours", mongodb_port, names) as w:
        reader.database[w.collection.name].insert_many([{"_id": end} for end in ("from", "to")])
        w.proxy.untouched = HANDSHAKE - {"hello", "isMaster"}
        w.proxy.plan = plan
        transferred, inserted = await asyncio.gather(outcomes(transactions(w, 15), 1), outcomes(inserts(w, 60), 12))
    assert w.proxy.met("hello", LOSSES) + w.proxy.met("isMaster", LOSSES) > 0
    assert failed(transferred) == []
    assert {type(error) for error in failed(inserted)} <= {AutoReconnect}
    assert sessions_stay_apart(w.proxy)
    assert any(number >= OWN_NUMBERS for numbers in w.proxy.numbers.values() for number in numbers)


async def test_a_cancelled_write_keeps_its_session_from_the_driver(mongodb_port: int, names: tuple[str, str]) -> None:
    async with world("ours", mongodb_port, names, coalesce=False) as w:
        w.proxy.plan = lambda command: Fault.DELAYED if command.name == "insert" else None
        for place in range(20):
            writing = asyncio.ensure_future(w.collection.insert_one({"_id": place}))
            while w.proxy.commands["insert"] <= place:
                await asyncio.sleep(0)
            writing.cancel()
            await w.collection.update_one({"_id": "x"}, {"$inc": {"n": 1}}, upsert=True)
    assert sessions_stay_apart(w.proxy)
    assert w.proxy.commands["insert"] == 20


WRITES: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
    "update_one": lambda c, place: c.update_one({"_id": place % 20}, {"$inc": {"n": 1}}),
    "find_one_and_update": lambda c, place: c.find_one_and_update({"_id": place % 20}, {"$inc": {"n": 1}}),
}


@pytest.mark.parametrize("lanes", [1, 20])
@pytest.mark.parametrize("name", sorted(WRITES))
async def test_writes_are_repeated_once_under_their_number(
    mongodb_port: int, names: tuple[str, str], reader: Any, name: str, lanes: int
) -> None:
    done: dict[str, int] = {}
    for kind in KINDS:
        stored = reader.database[f"{names[1]}_{kind}"]
        stored.insert_many([{"_id": place, "n": 0} for place in range(20)])
        async with world(kind, mongodb_port, names) as w:
            w.proxy.plan = every(5, FAULTS, 3)
            calls = each(functools.partial(WRITES[name], w.collection), CALLS)
            came = await outcomes(calls, lanes)
            lost = sum(w.proxy.met(command, LOSSES) for command in w.proxy.commands)
        assert {type(error) for error in failed(came)} <= {AutoReconnect}
        done[kind] = CALLS - len(failed(came))
        changed = sum(document["n"] for document in stored.find())
        assert done[kind] <= changed <= CALLS
        if kind == "ours":
            # No call fails but one that lost an answer itself, and found the pool cleared when it was repeated.
            assert len(failed(came)) <= (0 if lanes == 1 else lost)
    print(name, lanes, done)
    if lanes == 1:
        assert done == {"ours": CALLS, "pymongo": CALLS}


@pytest.mark.parametrize("name", ["update_many", "delete_many", "distinct", "count_documents", "find_one", "command"])
async def test_what_was_not_sent_is_repeated(mongodb_port: int, names: tuple[str, str], reader: Any, name: str) -> None:
    """A pool that is cleared for another call's error costs no other call anything, be it safe to repeat or not."""
    calls: dict[str, Callable[[Any], Awaitable[Any]]] = {
        "update_many": lambda c: c.update_many({"a": 1}, {"$inc": {"n": 1}}),
        "delete_many": lambda c: c.delete_many({"a": 2}),
        "distinct": lambda c: c.distinct("a"),
        "count_documents": lambda c: c.count_documents({}),
        "find_one": lambda c: c.find_one({"a": 1}),
        "command": lambda c: c.database.command("collStats", c.name),
    }
    reader.database[f"{names[1]}_ours"].insert_one({"_id": "one", "a": 1, "n": 0})
    async with world("ours", mongodb_port, names) as w:
        # Inserts break connections; the others never meet a fault themselves.
        w.proxy.plan = every(4, LOSSES, 8, "insert")
        inserted, came = await asyncio.gather(
            outcomes(inserts(w, 40), 4),
            outcomes(iter([lambda: calls[name](w.collection)] * 60), 20),
        )
    assert failed(inserted) == failed(came) == []
    if name == "update_many":
        assert reader.database[w.collection.name].find_one({"_id": "one"})["n"] == 60


async def test_cursors_fail_where_an_answer_is_lost_and_nowhere_else(
    mongodb_port: int, names: tuple[str, str], reader: Any
) -> None:
    done: dict[str, int] = {}
    for kind in KINDS:
        reader.database[f"{names[1]}_{kind}"].insert_many([{"_id": place} for place in range(100)])
        async with world(kind, mongodb_port, names) as w:

            async def one(place: int, collection: Any = w.collection) -> list[int]:
                found = collection.find({}, sort=[("_id", 1)], batch_size=20, comment=place)
                return [document["_id"] async for document in found]

            w.proxy.plan = every(9, FAULTS, 4)
            came = await outcomes(each(one, CALLS // 2), 4)
            lost = w.proxy.met("getMore", LOSSES)
        assert {type(error) for error in failed(came)} <= {AutoReconnect}
        assert all(found == [*range(100)] for found in came if isinstance(found, list))
        done[kind] = CALLS // 2 - len(failed(came))
        if kind == "ours":
            # A getMore cannot be repeated: a lost answer is a lost batch.
            assert len(failed(came)) == lost > 0
        else:
            assert len(failed(came)) >= lost
    print("cursors", done)


def duplicating(number: int, others: int) -> Plan:
    """Every so many commands an answer comes twice; and soon after it a connection is cut before the server has got the
    command, so that who takes the copy for an answer believes in what never happened."""
    count = 0

    def plan(command: Command) -> Fault | None:
        nonlocal count
        count += 1
        if count % number == 3:
            return Fault.DUPLICATED
        return Fault.CUT_BEFORE if count % number == 3 + others else None

    return plan


@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.parametrize("lanes", [1, 8])
async def test_an_insert_is_not_acknowledged_by_another_s_answer(
    mongodb_port: int, names: tuple[str, str], reader: Any, coalesce: bool, lanes: int
) -> None:
    count = 1_000 if FULL else 150
    async with world("ours", mongodb_port, names, coalesce=coalesce) as w:
        w.proxy.plan = duplicating(50 if FULL else 15, 1)
        came = await outcomes(inserts(w, count), lanes)
        duplicated = w.proxy.met("insert", (Fault.DUPLICATED,))
    acknowledged = {place for place in came if isinstance(place, int)}
    stored = {document["_id"] for document in reader.database[w.collection.name].find()}
    # Beside other calls, a connection may serve one more call before the first is examined (docs/errors.md).
    assert len(acknowledged - stored) <= (0 if lanes == 1 else 2)
    # Beside other calls, the one repeat of an insert may meet a connection that is closed for its order.
    assert {type(error) for error in failed(came)} <= (
        {ProtocolError} if lanes == 1 else {ProtocolError, AutoReconnect}
    )
    print("acknowledged", len(acknowledged), "missing", len(acknowledged - stored), Counter(map(type, failed(came))))
    assert duplicated > 0
    if lanes == 1:
        # Each copy is met by the next insert, and by no other: its connection is closed.
        assert len(failed(came)) <= duplicated
    protocol = [error for error in failed(came) if isinstance(error, ProtocolError)]
    assert all("belongs to another request" in str(error) for error in protocol)


@pytest.mark.parametrize("name", ["update_one", "delete_one", "find_one_and_update", "replace_one"])
async def test_a_write_is_not_acknowledged_by_another_s_answer(
    mongodb_port: int, names: tuple[str, str], reader: Any, name: str
) -> None:
    calls: dict[str, Callable[[Any, int], Awaitable[Any]]] = {
        "update_one": lambda c, place: c.update_one({"_id": place}, {"$set": {"done": True}}),
        "replace_one": lambda c, place: c.replace_one({"_id": place}, {"done": True}),
        "delete_one": lambda c, place: c.delete_one({"_id": place}),
        "find_one_and_update": lambda c, place: c.find_one_and_update({"_id": place}, {"$set": {"done": True}}),
    }
    stored = reader.database[f"{names[1]}_ours"]
    stored.insert_many([{"_id": place} for place in range(60)])

    async def one(collection: Any, place: int) -> int:
        result = await calls[name](collection, place)
        if isinstance(result, dict):
            assert result["_id"] == place
        return place

    async with world("ours", mongodb_port, names) as w:
        # What was found need not have changed: its time alone is no proof, and the connection has to be there.
        found = name.startswith("find")
        w.proxy.plan = every(15, (Fault.DUPLICATED,), 1) if found else duplicating(15, 1)
        came = await outcomes(each(functools.partial(one, w.collection), 60), 1)
    undone = {document["_id"] for document in stored.find({"done": {"$ne": True}})}
    assert not undone & {place for place in came if isinstance(place, int)}
    # An answer in doubt is asked for again under the write's number: most calls succeed all the same.
    duplicated = sum(w.proxy.met(command, (Fault.DUPLICATED,)) for command in w.proxy.commands)
    assert len(failed(came)) <= duplicated >= 3
    assert {type(error) for error in failed(came)} <= {ProtocolError}


async def test_a_connection_that_is_out_of_step_is_closed(mongodb_port: int, names: tuple[str, str]) -> None:
    async with world("ours", mongodb_port, names, coalesce=False) as w:
        w.proxy.plan = every(10, (Fault.DUPLICATED,), 1)
        came = await outcomes(inserts(w, 60), 1)
        duplicated = w.proxy.met("insert", (Fault.DUPLICATED,))
        assert [type(error) for error in failed(came)] == [ProtocolError] * duplicated
        assert all("belongs to another request" in str(error) for error in failed(came))
        assert duplicated >= 4
        w.proxy.plan = None
        assert failed(await outcomes(iter([lambda: w.collection.find_one({"_id": 0})] * 5), 1)) == []


async def test_a_cursor_does_not_take_another_s_answer(mongodb_port: int, names: tuple[str, str], reader: Any) -> None:
    async with world("ours", mongodb_port, names) as w:
        others = [w.collection, w.client[names[0]][f"{names[1]}_other"]]
        for other in others:
            reader.database[other.name].insert_many([{"_id": place, "of": other.name} for place in range(30)])

        async def one(place: int) -> bool:
            other = others[place % 2]
            if place % 3 == 0:
                return bool((await other.find_one({}))["of"] == other.name)
            found = [document async for document in other.find({}, sort=[("_id", 1)], batch_size=10)]
            return [document["_id"] for document in found] == [*range(30)] and found[0]["of"] == other.name

        w.proxy.plan = every(10, (Fault.DUPLICATED,), 1)
        came = await outcomes(each(one, 40), 1)
        w.proxy.plan = None
        assert await one(1)
    assert {type(outcome) for outcome in came if outcome is not True} == {ProtocolError}
    assert any(outcome is True for outcome in came)


async def test_batches_that_are_equal_are_no_fault(mongodb_port: int, names: tuple[str, str], reader: Any) -> None:
    async with world("ours", mongodb_port, names) as w:
        reader.database[w.collection.name].insert_many([{"a": 1} for _ in range(60)])
        found = w.collection.find({}, projection={"_id": 0, "a": 1}, batch_size=10)
        assert [document async for document in found] == [{"a": 1}] * 60
