"""One client on several event loops: one after the other, at the same time, and in the middle of an operation.

PyMongo's awaited client serves one loop. In a second loop, it raises a `RuntimeError`.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import subprocess
import sys
import textwrap
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
import uvloop
from connect.eaas.mongodb import AsyncDataApiClient, AsyncMongoClient
from connect.eaas.mongodb.gridfs import AsyncGridFSBucket
from gridfs import AsyncGridFSBucket as PyMongoGridFSBucket
from pymongo import AsyncMongoClient as PyMongoClient
from pymongo.errors import DuplicateKeyError, InvalidOperation

# What PyMongo says of a second loop.
REFUSED = "Cannot use AsyncMongoClient in different event loop"

Step = Callable[["World"], Awaitable[Any]]
Runner = Callable[[Coroutine[Any, Any, Any]], Any]


class World:
    """A client with a database of the test's own, and what the steps of a scenario hand on."""

    def __init__(self, client: Any, bucket: Any, name: str) -> None:
        self.client = client
        self.bucket = bucket
        self.database = client[name]
        self.things = self.database["things"]
        self.kept: Any = None


def in_loop(runner: Runner, step: Step, world: World) -> Any:
    """Run a step in a loop of its own."""

    async def main() -> Any:
        return await step(world)

    return runner(main())


async def filled(w: World) -> None:
    await w.things.insert_many([{"_id": n} for n in range(10)])


async def found(w: World) -> Any:
    return [document["_id"] async for document in w.things.find({}, sort=[("_id", 1)])]


async def cursor_begun(w: World) -> Any:
    w.kept = w.things.find({}, sort=[("_id", 1)], batch_size=2)
    return [(await w.kept.next())["_id"] for _ in range(3)]


async def cursor_ended(w: World) -> Any:
    return [document["_id"] async for document in w.kept]


async def aggregate_begun(w: World) -> Any:
    w.kept = await w.things.aggregate([{"$sort": {"_id": -1}}], batchSize=3)
    return (await w.kept.next())["_id"]


async def batches_begun(w: World) -> Any:
    w.kept = w.things.find_raw_batches({}, batch_size=4)
    return len(await w.kept.next()) > 0


async def batches_ended(w: World) -> Any:
    return len([batch async for batch in w.kept])


async def cursor_closed(w: World) -> Any:
    await w.kept.close()
    return w.kept.alive


async def stream_opened(w: World) -> Any:
    w.kept = await w.things.watch()
    return await w.kept.try_next()


async def stream_written(w: World) -> None:
    await w.things.insert_one({"_id": "new"})


async def stream_read(w: World) -> Any:
    change = await asyncio.wait_for(w.kept.next(), 20)
    return change["operationType"], change["documentKey"]


async def stream_closed(w: World) -> Any:
    await w.kept.close()
    return w.kept.alive


async def session_begun(w: World) -> Any:
    w.kept = w.client.start_session(causal_consistency=True)
    await w.things.insert_one({"_id": "in a session"}, session=w.kept)
    return w.kept.operation_time is not None


async def session_used(w: World) -> Any:
    return await w.things.find_one({"_id": "in a session"}, session=w.kept)


async def session_ended(w: World) -> Any:
    await w.kept.end_session()
    return w.kept.has_ended


async def transaction_begun(w: World) -> Any:
    w.kept = w.client.start_session()
    await w.kept.start_transaction()
    return w.kept.in_transaction


async def transaction_written(w: World) -> Any:
    await w.things.insert_one({"_id": "in a transaction"}, session=w.kept)
    return await w.things.count_documents({"_id": "in a transaction"})


async def transaction_committed(w: World) -> Any:
    await w.kept.commit_transaction()
    return await w.things.count_documents({"_id": "in a transaction"})


async def transaction_aborted(w: World) -> Any:
    await w.kept.abort_transaction()
    return await w.things.count_documents({"_id": "in a transaction"})


async def transferred(w: World) -> Any:
    async def callback(session: Any) -> int:
        await w.things.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=session)
        return int((await w.things.find_one({"_id": 1}, session=session))["n"])

    async with w.client.start_session() as session:
        return await session.with_transaction(callback)


async def upload_opened(w: World) -> None:
    w.kept = w.bucket(w.database, chunk_size_bytes=4).open_upload_stream("file")
    await w.kept.write(b"first,")


async def upload_written(w: World) -> None:
    await w.kept.write(b"second")


async def upload_closed(w: World) -> None:
    await w.kept.close()


async def download_opened(w: World) -> Any:
    w.kept = await w.bucket(w.database).open_download_stream_by_name("file")
    return await w.kept.read(5)


async def download_read(w: World) -> Any:
    return await w.kept.read()


async def bulk_written(w: World) -> Any:
    return (await w.things.insert_many([{} for _ in range(3)])).acknowledged


async def refused(w: World) -> Any:
    try:
        await w.things.insert_one({"_id": 1})
    except DuplicateKeyError as error:
        return error.code
    return None


async def closed(w: World) -> None:
    await w.client.close()


async def used_after_close(w: World) -> Any:
    try:
        await w.things.find_one({})
    except InvalidOperation as error:
        return str(error)
    return None


# Steps, each in a loop of its own, and what they give.
SCENARIOS: dict[str, Sequence[tuple[Step, Any]]] = {
    "calls": [(filled, None), (found, [*range(10)]), (refused, 11000), (bulk_written, True)],
    "a cursor": [(filled, None), (cursor_begun, [0, 1, 2]), (cursor_ended, [*range(3, 10)])],
    "a cursor that is closed": [(filled, None), (cursor_begun, [0, 1, 2]), (cursor_closed, True), (cursor_ended, [3])],
    "an aggregation": [(filled, None), (aggregate_begun, 9), (cursor_ended, [*range(8, -1, -1)])],
    "raw batches": [(filled, None), (batches_begun, True), (batches_ended, 2)],
    "a change stream": [
        (filled, None),
        (stream_opened, None),
        (stream_written, None),
        (stream_read, ("insert", {"_id": "new"})),
        (stream_closed, False),
    ],
    "a session": [
        (session_begun, True),
        (session_used, {"_id": "in a session"}),
        (session_ended, True),
    ],
    "a transaction": [
        (filled, None),
        (transaction_begun, True),
        (transaction_written, 0),
        (transaction_committed, 1),
        (session_ended, True),
    ],
    "a transaction that is aborted": [
        (filled, None),
        (transaction_begun, True),
        (transaction_written, 0),
        (transaction_aborted, 0),
    ],
    "with_transaction": [(filled, None), (transferred, 1), (transferred, 2)],
    "a file": [
        (upload_opened, None),
        (upload_written, None),
        (upload_closed, None),
        (download_opened, b"first"),
        (download_read, b",second"),
    ],
    "a client that is closed": [
        (filled, None),
        (closed, None),
        (used_after_close, "Cannot use AsyncMongoClient after close"),
    ],
}


def run_uvloop(main: Coroutine[Any, Any, Any]) -> Any:
    loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def run_anyio(main: Coroutine[Any, Any, Any]) -> Any:
    async def awaited() -> Any:
        return await main

    return anyio.run(awaited)


def run_in_thread(main: Coroutine[Any, Any, Any]) -> Any:
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, main).result()


RUNNERS: dict[str, Runner] = {
    "asyncio.run": asyncio.run,
    "uvloop": run_uvloop,
    "anyio": run_anyio,
    "threads": run_in_thread,
}


@pytest.fixture
def world(mongodb_uri: str, names: tuple[str, str], pymongo_client: Any) -> Iterator[World]:
    name = f"{names[0]}_{names[1]}"
    client = AsyncMongoClient(mongodb_uri)
    yield World(client, AsyncGridFSBucket, name)
    asyncio.run(client.close())
    pymongo_client.drop_database(name)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_each_step_may_run_in_another_loop(scenario: str, runner: str, world: World) -> None:
    for step, expected in SCENARIOS[scenario]:
        assert in_loop(RUNNERS[runner], step, world) == expected, step.__name__


def test_runners_may_change_between_steps(world: World) -> None:
    runners = [*RUNNERS.values()]
    for scenario in ("a change stream", "a transaction", "a file"):
        for number, (step, expected) in enumerate(SCENARIOS[scenario]):
            if step is not filled or scenario == "a change stream":
                assert in_loop(runners[number % len(runners)], step, world) == expected, step.__name__


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_pymongo_gives_the_same_in_one_loop_and_refuses_a_second(
    scenario: str, mongodb_uri: str, names: tuple[str, str], pymongo_client: Any
) -> None:
    name = f"{names[0]}_{names[1]}"

    async def main(world: World) -> list[Any]:
        return [await step(world) for step, _ in SCENARIOS[scenario]]

    async def made() -> Any:
        return PyMongoClient(mongodb_uri)

    first = asyncio.new_event_loop()
    client = first.run_until_complete(made())
    try:
        given = first.run_until_complete(main(World(client, PyMongoGridFSBucket, name)))
        if scenario != "a client that is closed":
            with pytest.raises(RuntimeError, match=REFUSED):
                asyncio.run(client.admin.command("ping"))
    finally:
        first.run_until_complete(client.close())
        first.close()
    assert given == [expected for _, expected in SCENARIOS[scenario]]
    pymongo_client.drop_database(name)


# At the same time.


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """Run in a thread each, begun together; give the results."""
    barrier = threading.Barrier(len(works))

    def work(one: Callable[[], Any]) -> Any:
        barrier.wait(20)
        return one()

    with ThreadPoolExecutor(len(works)) as threads:
        return [future.result() for future in [threads.submit(work, one) for one in works]]


def test_loops_in_threads_share_a_client(world: World) -> None:
    """Reads, writes, transactions, files and streams, in four loops at the same time."""
    count = 20

    async def main(place: int) -> tuple[int, list[Any], bytes]:
        things = world.database[f"things_{place}"]
        await world.database.create_collection(things.name)
        # While others write, the server may begin a stream with what was written just before, also for PyMongo.
        async with await things.watch() as stream:
            await asyncio.gather(*(things.insert_one({"_id": n}) for n in range(count)))
            seen = [(await stream.next())["documentKey"]["_id"] for _ in range(count)]
        await things.insert_one({"_id": "last"})
        async with world.client.start_session() as session:
            async with await session.start_transaction():
                await things.update_many({}, {"$set": {"seen": True}}, session=session)
        bucket = AsyncGridFSBucket(world.database, bucket_name=f"files_{place}")
        content = bytes([place]) * 1000
        file_id = await bucket.upload_from_stream("file", content)
        stored = await (await bucket.open_download_stream(file_id)).read()
        return await things.count_documents({"seen": True}), sorted(seen), stored

    works = [functools.partial(runner, main(place)) for place, runner in enumerate(RUNNERS.values())]
    for place, (seen, changes, stored) in enumerate(at_once(*works)):
        assert (seen, changes, stored) == (count + 1, [*range(count)], bytes([place]) * 1000)


def test_loops_that_read_one_cursor_get_each_document_once(world: World) -> None:
    asyncio.run(world.things.insert_many([{"_id": n} for n in range(400)]))
    cursor = world.things.find({}, batch_size=7)

    async def main() -> list[int]:
        return [document["_id"] async for document in cursor]

    parts = at_once(*(functools.partial(asyncio.run, main()) for _ in range(3)))
    assert sorted(itertools.chain(*parts)) == [*range(400)]


def test_inserts_of_several_loops_are_merged_and_each_has_its_result(world: World) -> None:
    """A loop that ends does not hold up the inserts of the others, which are sent with its own."""

    async def main(place: int) -> list[Any]:
        calls = [world.things.insert_one({"_id": [place, n % 30]}) for n in range(40)]
        return [type(one).__name__ for one in await asyncio.gather(*calls, return_exceptions=True)]

    for names in at_once(*(functools.partial(asyncio.run, main(place)) for place in range(4))):
        assert (names.count("InsertOneResult"), names.count("DuplicateKeyError")) == (30, 10)


def test_a_session_in_two_loops_at_once_works_or_says_why(world: World) -> None:
    """A transaction runs its commands in turn, on whatever loop they are called."""
    asyncio.run(world.things.insert_one({"_id": "there"}))
    session = asyncio.run(transaction_of(world))

    async def main(place: int) -> None:
        for n in range(10):
            await world.things.insert_one({"_id": [place, n]}, session=session)

    at_once(*(functools.partial(asyncio.run, main(place)) for place in range(2)))
    asyncio.run(session.commit_transaction())
    assert asyncio.run(world.things.count_documents({})) == 21


async def transaction_of(world: World) -> Any:
    session = world.client.start_session()
    await session.start_transaction()
    return session


# What is under way when its loop ends.


def test_a_call_that_is_made_outside_any_loop_runs_where_it_is_awaited(world: World) -> None:
    call = world.things.insert_one({"_id": 1})

    async def main() -> Any:
        return await call

    assert asyncio.run(main()).inserted_id == 1


def test_a_call_that_is_under_way_cannot_be_awaited_in_another_loop(world: World) -> None:
    call = world.things.find_one({})

    async def begin() -> None:
        call.send(None)

    async def main() -> Any:
        return await call

    asyncio.run(begin())
    with pytest.raises(RuntimeError, match="attached to a different loop"):
        asyncio.run(main())
    assert asyncio.run(world.things.find_one({})) is None


def test_calls_that_their_loop_cancels_leave_the_client_and_its_cursors_usable(world: World) -> None:
    asyncio.run(world.things.insert_many([{"_id": n} for n in range(10)]))

    async def main() -> Any:
        cursor = world.things.find({}, sort=[("_id", 1)], batch_size=2)
        first = await cursor.next()
        stream = await world.things.watch()
        # `asyncio.run` cancels what is not done.
        waiting = asyncio.ensure_future(stream.next())
        await asyncio.sleep(0)
        return first["_id"], cursor, stream, waiting

    first, cursor, stream, waiting = asyncio.run(main())
    assert waiting.cancelled()

    async def rest() -> Any:
        await world.things.insert_one({"_id": 10})
        change = await asyncio.wait_for(stream.next(), 20)
        await stream.close()
        return [document["_id"] async for document in cursor], change["documentKey"]["_id"]

    assert first == 0
    assert asyncio.run(rest()) == ([*range(1, 10)], 10)


def test_without_a_loop_of_asyncio_a_call_says_so(world: World) -> None:
    call = world.things.find_one({})
    with pytest.raises(RuntimeError, match="no running event loop"):
        call.send(None)


# The ways of applications.


def test_a_portal_of_anyio_and_the_main_loop_share_a_client(world: World) -> None:
    """As with Starlette's TestClient: the application's loop is in a thread of its own."""

    async def insert(n: int) -> Any:
        return (await world.things.insert_one({"_id": n})).inserted_id

    for _ in range(2):
        with anyio.from_thread.start_blocking_portal() as portal:
            assert portal.call(insert, asyncio.run(world.things.count_documents({}))) is not None

    async def main() -> Any:
        def in_a_thread() -> Any:
            return anyio.from_thread.run(world.things.count_documents, {})

        return await anyio.to_thread.run_sync(in_a_thread)

    assert anyio.run(main) == 2


@pytest.mark.parametrize("in_the_background", [False, True])
def test_the_data_api_client_serves_several_loops(config: dict[str, str], in_the_background: bool, reader: Any) -> None:
    collection = AsyncDataApiClient.from_config(config).get_default_collection()
    runner = RUNNERS["threads" if in_the_background else "asyncio.run"]

    async def insert() -> None:
        await asyncio.gather(*(collection.insert_one({}) for _ in range(20)))

    async def begin(cursor: Any) -> Any:
        return await cursor.next()

    async def rest(cursor: Any) -> int:
        return len([document async for document in cursor])

    runner(insert())
    runner(insert())
    cursor = collection.find({})
    runner(begin(cursor))
    assert runner(rest(cursor)) == 39
    assert reader.count_documents({}) == 40


def test_a_client_of_a_module_serves_each_asyncio_run(mongodb_uri: str, names: tuple[str, str]) -> None:
    """A task queue's worker: a client at module level, and `asyncio.run` for each task; PyMongo fails at the second."""
    program = """
        import asyncio, sys
        from {module} import AsyncMongoClient
        client = AsyncMongoClient({uri!r})
        async def task(n):
            await client[{database!r}].tasks.insert_one({{"n": n}})
            return await client[{database!r}].tasks.count_documents({{"n": n}})
        try:
            print([asyncio.run(task(n)) for n in range(3)])
        except RuntimeError as error:
            print(str(error).partition(".")[0])
    """
    outputs = []
    for module in ("pymongo", "connect.eaas.mongodb"):
        code = textwrap.dedent(program).format(module=module, uri=mongodb_uri, database=f"{names[0]}_{module[:3]}")
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        outputs.append(ended.stdout.strip())
    assert outputs == [REFUSED, "[1, 1, 1]"]
