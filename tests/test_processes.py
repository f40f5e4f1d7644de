"""Imports, forks, spawned processes, Ctrl-C."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from connect.eaas.mongodb import AsyncMongoClient, DataApiClient, MongoClient
from pymongo import MongoClient as PyMongoClient
from pymongo.errors import InvalidOperation

from tests.gateways import until
from tests.servers import secantusdb


def python(program: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def test_importing_does_nothing() -> None:
    ended = python(
        """
        import os, sys, threading
        import connect.eaas.mongodb
        from connect.eaas.mongodb import VARIABLES, AsyncMongoClient, MongoClient
        assert threading.active_count() == 1
        assert len(os.listdir('/proc/self/task')) == 1, 'a thread was started'
        loaded = {'pymongo', 'bson', 'asyncio', 'click', 'rich'} & set(sys.modules)
        assert not loaded, loaded
        MongoClient('mongodb://h')
        assert len(os.listdir('/proc/self/task')) == 1, 'a thread was started'
        """
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_an_insert_of_json_does_not_import_bson(config: dict[str, str], reader: Any) -> None:
    ended = python(
        f"""
        import asyncio, sys
        from connect.eaas.mongodb import AsyncEventStore, AsyncMongoClient, MongoClient
        config = {config!r}
        MongoClient.from_config(config).get_default_collection().insert_one({{"number": 1, "list": ["text", 1.5]}})
        async def main():
            await AsyncMongoClient.from_config(config).get_default_collection().insert_one({{}})
            await AsyncEventStore.from_config(config).save("asset_purchase_request_processing", {{"id": "PR-1"}})
        asyncio.run(main())
        assert "bson" not in sys.modules
        assert isinstance(MongoClient.from_config(config).get_default_collection().find_one({{}}), dict)
        assert "bson" in sys.modules
        """
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert reader.count_documents({}) == 3


# The module takes its time, as on a slow disk: a child that is forked meanwhile needs it too.
SLOW_BSON = """
    import importlib.abc, importlib.machinery, os, sys, threading, time
    from connect.eaas.mongodb import _native

    importing = threading.Event()

    class Slow(importlib.machinery.SourceFileLoader):
        def exec_module(self, module):
            importing.set()
            time.sleep(0.5)
            super().exec_module(module)

    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name != "bson.objectid":
                return None
            spec = importlib.machinery.PathFinder.find_spec(name, path)
            spec.loader = Slow(name, spec.origin)
            return spec

    sys.meta_path.insert(0, Finder())
    thread = threading.Thread(target=_native.bson_decode, args=(b"\\5\\0\\0\\0\\0",))
    thread.start()
    assert importing.wait(30)
    child = os.fork()
    if child == 0:
        _native.bson_decode(b"\\5\\0\\0\\0\\0")
        os._exit(0)
    for _ in range(300):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        time.sleep(0.1)
    else:
        os.kill(child, 9)
        raise SystemExit("the child hangs")
    thread.join()
    raise SystemExit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_while_another_thread_imports_bson_does_not_hang() -> None:
    ended = python(SLOW_BSON, "-W", "ignore::DeprecationWarning")
    assert (ended.returncode, ended.stderr) == (0, "")


def insert_in_child(config: dict[str, str], key: str) -> None:
    for client in (MongoClient, DataApiClient):
        client.from_config(config).get_default_collection().insert_one({"_id": f"{key}-{client.__name__}"})


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_child_processes_have_clients_of_their_own(method: str, config: dict[str, str], reader: Any) -> None:
    insert_in_child(config, "parent")
    context: Any = multiprocessing.get_context(method)
    children = [context.Process(target=insert_in_child, args=(config, f"child{n}")) for n in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    insert_in_child(config, "parent again")
    assert reader.count_documents({}) == 10


def test_ids_differ_between_a_parent_and_its_children(config: dict[str, str]) -> None:
    collection = MongoClient.from_config(config).get_default_collection()
    collection.insert_one({})
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            ids = [str(collection.insert_one({}).inserted_id) for _ in range(20)]
            os.write(write, " ".join(ids).encode())
        finally:
            os._exit(0)
    os.close(write)
    ours = {str(collection.insert_one({}).inserted_id) for _ in range(20)}
    with os.fdopen(read) as pipe:
        theirs = set(pipe.read().split())
    os.waitpid(child, 0)
    assert len(ours) == len(theirs) == 20
    assert not ours & theirs


def test_a_client_made_before_a_fork_works_after_it(config: dict[str, str], reader: Any) -> None:
    ended = python(
        f"""
        import asyncio, os
        from connect.eaas.mongodb import AsyncMongoClient, MongoClient
        config = {config!r}
        sync = MongoClient.from_config(config).get_default_collection()
        coll = AsyncMongoClient.from_config(config).get_default_collection()
        sync.insert_one({{}})
        asyncio.run(coll.insert_one({{}}))
        child = os.fork()
        sync.insert_one({{}})
        asyncio.run(coll.insert_one({{}}))
        if child:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        """,
        # Python 3.12 and later warn of any fork of a process with threads.
        "-W",
        "ignore::DeprecationWarning",
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert reader.count_documents({}) == 6


def test_ctrl_c_interrupts_a_blocking_call() -> None:
    # A parent in the background of a shell may have it ignored.
    program = """
        import signal
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from connect.eaas.mongodb import MongoClient
        try:
            print('ready', flush=True)
            MongoClient('mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=60000').a.b.insert_one({})
        except KeyboardInterrupt:
            print('interrupted', flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20)[0] == "interrupted\n"
        assert process.returncode == 0


def test_a_blocking_call_releases_the_gil() -> None:
    progress = 0
    failed = threading.Event()

    def wait() -> None:
        try:
            MongoClient("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=700").a.b.insert_one({})
        except Exception:
            failed.set()

    thread = threading.Thread(target=wait)
    thread.start()
    while not failed.is_set():
        progress += 1
        time.sleep(0.001)
    thread.join()
    # A call that kept it would let this thread on once.
    assert progress > 5


async def test_a_closed_client_says_so(mongodb_uri: str) -> None:
    client = MongoClient(mongodb_uri)
    client.a.b.find_one()
    client.close()
    client.close()
    with pytest.raises(InvalidOperation, match="Cannot use MongoClient after close"):
        client.a.b.find_one()
    async with AsyncMongoClient(mongodb_uri) as other:
        await other.a.b.find_one()
    with pytest.raises(InvalidOperation, match="Cannot use AsyncMongoClient after close"):
        await other.a.b.find_one()


@pytest.fixture
def connections() -> Iterator[tuple[str, Callable[[], int]]]:
    """A MongoDB that nobody else connects to: its URI, and how many connections it has."""
    counting: PyMongoClient[dict[str, Any]]
    # By polls PyMongo monitors over one connection, which there is before the first command.
    with secantusdb() as (_, port), PyMongoClient("127.0.0.1", port, serverMonitoringMode="poll") as counting:

        def count() -> int:
            return int(counting.admin.command("serverStatus")["connections"]["current"])

        yield f"mongodb://127.0.0.1:{port}/?heartbeatFrequencyMS=500", count


def test_a_client_that_is_let_go_closes_its_connections(connections: tuple[str, Callable[[], int]]) -> None:
    uri, count = connections
    before = count()
    clients = [MongoClient(f"{uri}&appName=n{n}") for n in range(5)]
    for client in clients:
        client.a.b.find_one()
    assert count() >= before + 5
    del clients, client
    until(lambda: count() <= before)


def test_a_fork_while_the_package_is_first_used_does_not_hang(config: dict[str, str]) -> None:
    body = f"""
    import os, sys, threading, time, warnings
    warnings.simplefilter("ignore")
    from connect.eaas.mongodb import MongoClient
    def use():
        MongoClient.from_config({config!r}).get_default_collection().insert_one({{"a": 1}})
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=use)
    thread.start()
    time.sleep(float(sys.argv[1]))
    child = os.fork()
    if child == 0:
        use()
        os._exit(0)
    deadline = time.monotonic() + 20
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    if ended[0] == 0:
        os.kill(child, 9)
    thread.join()
    sys.exit(ended != (child, 0))
    """
    for place in range(8):
        delay = str(place * 0.0005)
        subprocess.run([sys.executable, "-c", textwrap.dedent(body), delay], check=True, timeout=60)
