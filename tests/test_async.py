"""Awaitables on asyncio and uvloop: loops, threads, cancellation, shutdown."""

from __future__ import annotations

import asyncio
import collections.abc
import gc
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import weakref
from pathlib import Path
from typing import Any

import pytest
import uvloop
from connect.eaas.mongodb import AsyncDataApiClient, AsyncMongoClient
from pymongo.errors import DuplicateKeyError

CLIENTS = [AsyncMongoClient, AsyncDataApiClient]
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


class LoopWithoutReaders(asyncio.SelectorEventLoop):
    """A loop that cannot watch descriptors, as Windows' proactor cannot."""

    def add_reader(self, *args: Any) -> None:  # type: ignore[override]
        raise NotImplementedError


def run(new_loop: Any, main: Any) -> Any:
    loop = new_loop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@pytest.mark.parametrize("new_loop", [*LOOPS, LoopWithoutReaders])
@pytest.mark.parametrize("client", CLIENTS)
def test_many_calls_at_once_each_get_their_own_result(
    client: Any, new_loop: Any, config: dict[str, str], reader: Any
) -> None:
    collection = client.from_config(config).get_default_collection()
    reader.insert_many([{"_id": number} for number in range(0, 300, 7)])

    async def insert(number: int) -> str:
        try:
            inserted = await collection.insert_one({"_id": number})
        except DuplicateKeyError as refused:
            assert f"{number} }}" in str(refused)
            return "duplicate"
        assert inserted.inserted_id == number
        return "stored"

    async def main() -> list[str]:
        return await asyncio.gather(*(insert(number) for number in range(300)))

    outcomes = run(new_loop, main())
    assert outcomes == ["duplicate" if number % 7 == 0 else "stored" for number in range(300)]
    assert reader.count_documents({}) == 300


@pytest.mark.parametrize("client", CLIENTS)
def test_one_client_serves_several_loops_and_threads_at_once(client: Any, config: dict[str, str], reader: Any) -> None:
    collection = client.from_config(config).get_default_collection()
    failures: list[BaseException] = []

    async def main(thread: int) -> None:
        await asyncio.gather(*(collection.insert_one({"_id": [thread, number]}) for number in range(40)))

    def work(thread: int) -> None:
        try:
            for _ in range(2):
                run(LOOPS[thread % 2], main(thread * 10 + _))
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert reader.count_documents({}) == 4 * 2 * 40


async def test_a_call_is_a_coroutine_to_asyncio(config: dict[str, str]) -> None:
    collection = AsyncMongoClient.from_config(config).get_default_collection()
    call = collection.insert_one({})
    assert asyncio.iscoroutine(call)
    assert isinstance(call, collections.abc.Coroutine)
    task = asyncio.create_task(call)
    assert "insert_one" in repr(task)
    await task
    await asyncio.wait_for(collection.insert_one({}), 30)
    assert list(await asyncio.gather(collection.find_one("x"), collection.find_one("y"))) == [None, None]
    with pytest.raises(RuntimeError, match="already awaited"):
        await call


def test_a_call_can_be_the_main_coroutine(config: dict[str, str]) -> None:
    collection = AsyncMongoClient.from_config(config).get_default_collection()
    assert asyncio.run(collection.find_one("x")) is None


def test_a_call_that_is_never_awaited_does_nothing_and_warns(config: dict[str, str], reader: Any) -> None:
    collection = AsyncMongoClient.from_config(config).get_default_collection()
    with pytest.warns(RuntimeWarning, match=r"'AsyncCollection.insert_one' was never awaited"):
        _ = collection.insert_one({})
        del _
        gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        collection.insert_one({}).close()
    assert reader.count_documents({}) == 0


async def test_a_bad_argument_fails_when_it_is_awaited(config: dict[str, str]) -> None:
    call = AsyncMongoClient.from_config(config).get_default_collection().insert_one(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        await call


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("client", CLIENTS)
def test_cancelled_calls_leave_the_client_in_order(client: Any, new_loop: Any, config: dict[str, str]) -> None:
    collection = client.from_config(config).get_default_collection()

    async def main() -> None:
        for round_ in range(20):
            tasks = [asyncio.create_task(collection.insert_one({"n": n})) for n in range(10)]
            await asyncio.sleep(0.001 * (round_ % 4))
            for task in tasks[::2]:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert not any(isinstance(outcome, Exception) for outcome in done)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(collection.insert_many([{} for _ in range(5000)]), 0.001)
        inserted = await collection.insert_one({})
        assert (await collection.find_one(inserted.inserted_id)) is not None

    run(new_loop, main())


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_loop_that_closed_early_costs_only_its_results(client: Any, new_loop: Any, config: dict[str, str]) -> None:
    collection = client.from_config(config).get_default_collection()
    loop = new_loop()
    tasks = [loop.create_task(collection.insert_one({"n": n})) for n in range(20)]
    loop.run_until_complete(asyncio.sleep(0))
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()
    time.sleep(0.2)

    async def again() -> None:
        await collection.insert_one({})

    run(new_loop, again())


def test_a_busy_loop_does_not_stall_the_others(config: dict[str, str]) -> None:
    """A loop that keeps the GIL to itself between its steps costs the others no result."""
    collection = AsyncMongoClient.from_config(config).get_default_collection()
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            sum(range(20_000))

    thread = threading.Thread(target=busy)
    thread.start()
    try:

        async def main() -> None:
            await asyncio.gather(*(collection.insert_one({}) for _ in range(200)))

        run(uvloop.new_event_loop, main())
    finally:
        stop.set()
        thread.join()


SHUTDOWN = """
    import asyncio, sys, threading, time
    from connect.eaas.mongodb import AsyncDataApiClient, AsyncMongoClient, DataApiClient, MongoClient
    config = {config!r}
    {body}
"""


@pytest.mark.parametrize(
    "body",
    [
        # The loop ends with calls under way.
        """
        async def main():
            for client in (AsyncMongoClient, AsyncDataApiClient):
                collection = client.from_config(config).get_default_collection()
                for _ in range(20):
                    asyncio.ensure_future(collection.insert_one({}))
                await asyncio.sleep(0.005)
        asyncio.run(main())
        """,
        # The interpreter ends while daemon threads wait.
        """
        def work(client):
            collection = client.from_config(config).get_default_collection()
            while True:
                collection.insert_one({})
        for client in (MongoClient, DataApiClient):
            threading.Thread(target=work, args=(client,), daemon=True).start()
        time.sleep(0.3)
        """,
        # A loop is left as it is.
        """
        loop = asyncio.new_event_loop()
        collection = AsyncMongoClient.from_config(config).get_default_collection()
        task = loop.create_task(collection.insert_one({}))
        loop.run_until_complete(task)
        loop.close()
        """,
        # A loop without add_reader, whose wake-up thread still waits.
        """
        class Loop(asyncio.SelectorEventLoop):
            def add_reader(self, *args):
                raise NotImplementedError
        loop = Loop()
        collection = AsyncMongoClient.from_config(config).get_default_collection()
        loop.run_until_complete(collection.insert_one({}))
        loop.close()
        """,
        # Nothing was ever called.
        """
        AsyncMongoClient.from_config(config)
        AsyncDataApiClient.from_config(config)
        """,
        # sys.exit in the middle.
        """
        async def main():
            collection = AsyncMongoClient.from_config(config).get_default_collection()
            await collection.insert_one({})
            sys.exit(0)
        asyncio.run(main())
        """,
    ],
    ids=["calls under way", "daemon threads", "closed loop", "no add_reader", "unused", "sys.exit"],
)
def test_the_interpreter_ends_cleanly(body: str, config: dict[str, str]) -> None:
    program = textwrap.dedent(SHUTDOWN).format(config=config, body=textwrap.dedent(body))
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


async def test_a_call_dropped_while_another_error_is_raised_leaves_that_error(config: dict[str, str]) -> None:
    collection = AsyncMongoClient.from_config(config).get_default_collection()
    empty: dict[str, float] = {}
    with pytest.warns(RuntimeWarning, match="never awaited"), pytest.raises(KeyError, match="missing"):
        await asyncio.wait_for(collection.insert_one({}), timeout=empty["missing"])


async def test_a_call_that_is_let_go_is_forgotten(config: dict[str, str]) -> None:
    collection = AsyncMongoClient.from_config(config).get_default_collection()
    await collection.insert_one({})
    futures = []
    for _ in range(50):
        call = collection.find_one({})
        futures.append(weakref.ref(call.send(None)))
        del call
    gc.collect()
    assert [future for future in futures if future() is not None] == []


@pytest.mark.parametrize("new_loop", [*LOOPS, LoopWithoutReaders])
def test_loops_that_close_with_calls_under_way_leave_nothing_behind(new_loop: Any, config: dict[str, str]) -> None:
    collection = AsyncMongoClient.from_config(config).get_default_collection()

    def use() -> None:
        loop = new_loop()

        async def main() -> None:
            await collection.insert_one({})
            for _ in range(3):
                call = collection.find_one({"$where": "sleep(5000)"})
                call.send(None)
                pending.append(call)

        pending: list[Any] = []
        loop.run_until_complete(main())
        loop.close()

    def held() -> tuple[int, int]:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    for _ in range(3):
        use()
    deadline = time.monotonic() + 10
    before = held()
    for _ in range(20):
        use()
    # Threads that wait for a loop end a little after it.
    while (after := held()) > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert after[0] <= before[0] + 3
    assert after[1] <= before[1] + 3


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_loop_that_closed_with_a_task_under_way_is_freed(new_loop: Any, config: dict[str, str]) -> None:
    """The task, its coroutine, the call and its future hold each other in a ring."""
    collection = AsyncMongoClient.from_config(config).get_default_collection()
    tasks: list[weakref.ref[Any]] = []

    async def use(call: Any) -> None:
        await call()

    async def main() -> None:
        for call in (lambda: collection.find_one({}), lambda: collection.insert_one({})):
            tasks.append(weakref.ref(asyncio.ensure_future(use(call))))
        await asyncio.sleep(0)

    for _ in range(10):
        loop = new_loop()
        loop.run_until_complete(main())
        loop.close()
    del loop
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        deadline = time.monotonic() + 10
        while any(task() is not None for task in tasks) and time.monotonic() < deadline:
            gc.collect()
            time.sleep(0.02)
    assert [task for task in tasks if task() is not None] == []


@pytest.mark.parametrize("new_loop", [*LOOPS, LoopWithoutReaders])
@pytest.mark.parametrize("client", CLIENTS)
def test_tasks_that_nobody_holds_are_not_collected(
    client: Any, new_loop: Any, config: dict[str, str], reader: Any
) -> None:
    """As with sockets of asyncio's own: what is under way keeps its task."""
    collection = client.from_config(config).get_default_collection()

    async def main() -> None:
        for n in range(50):
            _ = asyncio.ensure_future(collection.insert_one({"_id": n}))
        del _
        for _turn in range(200):
            gc.collect()
            await asyncio.sleep(0.005)
            if len(asyncio.all_tasks()) == 1:
                return

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(new_loop, main())
    assert reader.count_documents({}) == 50


def test_threads_that_use_a_closed_client_do_not_block_each_other(config: dict[str, str]) -> None:
    body = """
    import sys, threading
    from connect.eaas.mongodb import MongoClient
    sys.setswitchinterval(1e-6)
    client = MongoClient("mongodb://127.0.0.1:1/")
    client.close()
    refused = []
    def use():
        for _ in range(50):
            try:
                client.d.c.insert_one({})
            except Exception as error:
                refused.append(type(error).__name__)
    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert refused == ["InvalidOperation"] * 200, set(refused)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(body)], check=True, timeout=60)
