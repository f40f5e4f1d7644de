"""`install()` and `uninstall()`: libraries that import PyMongo and Motor work with this package."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from connect.eaas.mongodb import drop_in

from tests.apps import MIGRATING

# Of each test's process. `ours(x)` is whether a class is of this package.
PRELUDE = """
import asyncio, importlib, json, logging, sys, threading

class Log(logging.Handler):
    lines = []
    def emit(self, record):
        self.lines.append(f"{record.levelname}: {record.getMessage()}")

logging.getLogger().addHandler(Log())

class NoMotor:
    "Finds no Motor, as if it was not installed."
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "motor":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def ours(kind):
    return kind.__module__.startswith("connect.eaas.mongodb")

def modules():
    "All modules of PyMongo and Motor, with all that they contain."
    packages = ("pymongo", "gridfs", "motor")
    return {n: (m, dict(vars(m))) for n, m in sys.modules.items() if n.partition(".")[0] in packages}

def import_all():
    import connect.eaas.mongodb.drop_in, connect.eaas.mongodb.gridfs
    import gridfs.grid_file, motor.motor_asyncio, pymongo.encryption
"""


def run(script: str, *arguments: str, path: Path | None = None) -> dict[str, Any]:
    """Run a script in a process of its own; return `result`, which it assigns, and the log."""
    source = PRELUDE + textwrap.dedent(script) + "\nprint(json.dumps({'result': result, 'log': Log.lines}))\n"
    command = [sys.executable, "-c", source, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return printed


PUBLIC = [
    *(f"pymongo.{name}" for name in ("MongoClient", "AsyncMongoClient")),
    *(f"{place}.MongoClient" for place in ("pymongo.mongo_client", "pymongo.synchronous.mongo_client")),
    *(f"{place}.Database" for place in ("pymongo.database", "pymongo.synchronous.database")),
    *(f"{place}.Collection" for place in ("pymongo.collection", "pymongo.synchronous.collection")),
    *(
        f"{place}.{name}"
        for place in ("pymongo.cursor", "pymongo.synchronous.cursor")
        for name in ("Cursor", "RawBatchCursor")
    ),
    *(f"{place}.CommandCursor" for place in ("pymongo.command_cursor", "pymongo.synchronous.command_cursor")),
    *(f"{place}.ClientSession" for place in ("pymongo.client_session", "pymongo.synchronous.client_session")),
    *(f"{place}.ChangeStream" for place in ("pymongo.change_stream", "pymongo.synchronous.change_stream")),
    "pymongo.asynchronous.mongo_client.AsyncMongoClient",
    "pymongo.asynchronous.database.AsyncDatabase",
    "pymongo.asynchronous.collection.AsyncCollection",
    "pymongo.asynchronous.cursor.AsyncCursor",
    "pymongo.asynchronous.cursor.AsyncRawBatchCursor",
    "pymongo.asynchronous.command_cursor.AsyncCommandCursor",
    "pymongo.asynchronous.client_session.AsyncClientSession",
    "pymongo.asynchronous.change_stream.AsyncChangeStream",
    *(f"gridfs.{prefix}GridFSBucket" for prefix in ("", "Async")),
    *(f"gridfs.{prefix}GridFS" for prefix in ("", "Async")),
    *(f"gridfs.{prefix}GridOut" for prefix in ("", "Async")),
    "gridfs.grid_file.GridIn",
    "gridfs.synchronous.GridFSBucket",
    "gridfs.synchronous.grid_file.GridFSBucket",
    "gridfs.asynchronous.AsyncGridFSBucket",
    "gridfs.asynchronous.grid_file.AsyncGridFSBucket",
    *(
        f"motor.motor_asyncio.AsyncIOMotor{name}"
        for name in (
            *("Client", "ClientSession", "Database", "Collection", "Cursor", "CommandCursor", "LatentCommandCursor"),
            *("ChangeStream", "GridFSBucket", "GridIn", "GridOut", "GridOutCursor"),
        )
    ),
    *(f"motor.core.Agnostic{name}" for name in ("Client", "Database", "Collection", "Cursor", "ClientSession")),
    "motor.motor_gridfs.AgnosticGridFSBucket",
]


@pytest.mark.parametrize("motor", [True, False])
def test_all_public_names_give_classes_of_this_package(motor: bool) -> None:
    script = """
        names, motor = json.loads(sys.argv[1]), json.loads(sys.argv[2])
        if not motor:
            sys.meta_path.insert(0, NoMotor())
        from connect.eaas.mongodb import install

        install()
        others, found = [], {}
        for name in names:
            place, _, last = name.rpartition(".")
            imported = {}
            exec(f"from {place} import {last} as found", imported)
            through_import = importlib.import_module(place)
            exec(f"import {place}\\nfound_by_attribute = {place}.{last}", imported)
            same = imported["found"] is imported["found_by_attribute"] is getattr(through_import, last)
            if not (same and ours(imported["found"])):
                others.append(name)
        result = {"others": others, "spec": importlib.util.find_spec("motor") is not None}
    """
    done = run(script, json.dumps(PUBLIC), json.dumps(motor))
    assert done["result"] == {"others": [], "spec": True}
    [line] = done["log"]
    assert line.startswith("WARNING: install() has replaced PyMongo's and Motor's classes")
    assert ("Motor is not installed" in line) is not motor
    for name in ("AsyncMongoClient", "MongoClient", "Collection", "GridFSBucket", "AsyncIOMotorClient"):
        assert name in line


LIBRARY = """
import asyncio
import pymongo
from gridfs import GridFSBucket
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorGridFSBucket
from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.collection import Collection


def blocking(uri, database):
    client = MongoClient(uri)
    assert isinstance(client, pymongo.MongoClient) and isinstance(client, pymongo.mongo_client.MongoClient)
    collection = client[database].get_collection("made")
    assert isinstance(collection, Collection) and isinstance(client[database], pymongo.database.Database)
    collection.insert_one({"by": "blocking"})
    GridFSBucket(client[database]).upload_from_stream("blocking", b"1")
    client.close()


async def awaited(uri, database):
    async with AsyncMongoClient(uri) as client:
        collection = client[database]["made"]
        assert isinstance(client, pymongo.AsyncMongoClient) and isinstance(collection, AsyncCollection)
        await collection.insert_one({"by": "awaited"})


async def motor(uri, database):
    client = AsyncIOMotorClient(uri, io_loop=asyncio.get_running_loop())
    collection = client[database]["made"]
    assert isinstance(collection, AsyncIOMotorCollection)
    await collection.insert_one({"by": "motor"})
    await AsyncIOMotorGridFSBucket(client[database]).upload_from_stream("motor", b"2")
    client.close()
"""


@pytest.mark.parametrize("motor", [True, False])
def test_a_library_works_unchanged(
    motor: bool, mongodb_uri: str, names: tuple[str, str], tmp_path: Path, pymongo_client: Any
) -> None:
    (tmp_path / "library.py").write_text(LIBRARY, encoding="utf-8")
    database = f"{names[0]}_{names[1]}"
    script = """
        uri, database, motor = sys.argv[1:]
        if motor == "False":
            sys.meta_path.insert(0, NoMotor())
        from connect.eaas.mongodb import install

        install()
        import library

        library.blocking(uri, database)
        asyncio.run(library.awaited(uri, database))
        asyncio.run(library.motor(uri, database))
        result = [ours(library.MongoClient), ours(library.AsyncIOMotorClient)]
    """
    try:
        assert run(script, mongodb_uri, database, str(motor), path=tmp_path)["result"] == [True, True]
        assert {one["by"] for one in pymongo_client[database].made.find()} == {"blocking", "awaited", "motor"}
        assert {one["filename"] for one in pymongo_client[database]["fs.files"].find()} == {"blocking", "motor"}
    finally:
        pymongo_client.drop_database(database)


def test_the_example_of_the_documentation(
    mongodb_uri: str, names: tuple[str, str], tmp_path: Path, reader: Any
) -> None:
    (tmp_path / "library.py").write_text(
        "from pymongo import MongoClient\n\n\ndef create_order(uri, database, collection):\n"
        "    with MongoClient(uri) as client:\n"
        "        client[database][collection].insert_one({'by': type(client).__module__})\n",
        encoding="utf-8",
    )
    page = MIGRATING.read_text(encoding="utf-8")
    [example] = re.findall(r"^```py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    script = f"{example}\ncreate_order(*sys.argv[1:])\nresult = True\n"
    assert run(script, mongodb_uri, *names, path=tmp_path)["result"] is True
    assert [document["by"] for document in reader.find()] == ["connect.eaas.mongodb"]


def test_uninstall_restores_exactly() -> None:
    script = """
        import_all()
        before = modules()
        from connect.eaas.mongodb import install, uninstall

        uninstall()
        quiet = not Log.lines
        install()
        changed = modules() != before
        install()
        lines = len(Log.lines)
        uninstall()
        restored = modules() == before
        uninstall()
        install()
        from pymongo import MongoClient
        result = [quiet, changed, lines, restored, ours(MongoClient)]
    """
    done = run(script)
    assert done["result"] == [True, True, 1, True, True]
    assert [line.split(" has ")[0] for line in done["log"]] == [
        "WARNING: install()",
        "WARNING: uninstall()",
        "WARNING: install()",
    ]


def test_uninstall_removes_the_virtual_motor() -> None:
    script = """
        sys.meta_path.insert(0, NoMotor())
        from connect.eaas.mongodb import install, uninstall

        install()
        import motor.motor_asyncio
        try:
            import motor.motor_tornado
        except ModuleNotFoundError as error:
            missing = error.name
        uninstall()
        try:
            import motor
        except ModuleNotFoundError as error:
            result = [missing, error.name, [name for name in sys.modules if name.startswith("motor")]]
    """
    assert run(script)["result"] == ["motor.motor_tornado", "motor", []]


def test_a_motor_that_cannot_be_imported_is_replaced(tmp_path: Path) -> None:
    """As an old Motor beside a new PyMongo."""
    (tmp_path / "motor").mkdir()
    (tmp_path / "motor" / "__init__.py").write_text("version = '2.0'\n", encoding="utf-8")
    (tmp_path / "motor" / "core.py").write_text("from pymongo import gone\n", encoding="utf-8")
    script = """
        from connect.eaas.mongodb import install

        install()
        from motor.motor_asyncio import AsyncIOMotorClient
        result = ours(AsyncIOMotorClient)
    """
    done = run(script, path=tmp_path)
    assert done["result"] is True
    assert "The installed Motor cannot be imported: ImportError: cannot import name 'gone'" in done["log"][0]
    assert "the package motor is virtual" in done["log"][1]


@pytest.mark.parametrize("kind", ["MongoClient", "AsyncMongoClient", "AsyncIOMotorClient", "unconnected", "frozen"])
def test_it_refuses_where_clients_exist(kind: str, tmp_path: Path) -> None:
    imports = {"AsyncIOMotorClient": "from motor.motor_asyncio import AsyncIOMotorClient"}
    made = {"unconnected": "MongoClient(connect=False)", "frozen": "MongoClient()"}.get(kind, f"{kind}()")
    (tmp_path / "application.py").write_text(
        f"{imports.get(kind, 'from pymongo import AsyncMongoClient, MongoClient')}\nclient = {made}\n", encoding="utf-8"
    )
    script = """
        import gc
        import application
        from connect.eaas.mongodb import install

        import_all()
        before = modules()
        if sys.argv[1] == "frozen":
            gc.freeze()

        async def main():
            try:
                install()
            except RuntimeError as error:
                message = str(error)
            unchanged = modules() == before
            closing = application.client.close()
            if closing is not None:
                await closing
            install()
            return [message, unchanged]

        result = asyncio.run(main())
    """
    done = run(script, kind, path=tmp_path)
    message, unchanged = done["result"]
    assert unchanged
    assert (
        "install() is too late: there are PyMongo clients that are not closed (1, among them application.client)"
        in message
    )
    assert "Call install() before the first client is created, or close them before." in message
    assert "These modules have imported PyMongo's or Motor's classes: application (" in message
    assert "keep them: application (" in done["log"][-1]


def test_unreachable_clients_do_not_count() -> None:
    script = """
        import gc, warnings
        import pymongo
        from connect.eaas.mongodb import install

        warnings.simplefilter("ignore", ResourceWarning)
        gc.disable()
        client = pymongo.MongoClient(connect=False)
        cycle = [client]
        cycle.append(cycle)
        del client, cycle
        install()
        result = ours(pymongo.MongoClient)
    """
    assert run(script)["result"] is True


def test_modules_that_imported_before_keep_pymongo(mongodb_uri: str, names: tuple[str, str], tmp_path: Path) -> None:
    """They are named, and work, in forked children too."""
    (tmp_path / "early.py").write_text(
        "from pymongo import MongoClient\nfrom pymongo.synchronous import collection as module\n", encoding="utf-8"
    )
    (tmp_path / "extended.py").write_text(
        "import pymongo\n\n\nclass Client(pymongo.MongoClient):\n    pass\n", encoding="utf-8"
    )
    script = """
        import os, warnings
        import early, extended
        from connect.eaas.mongodb import install

        install()
        warnings.simplefilter("ignore", DeprecationWarning)
        uri, database, name = sys.argv[1:]
        with early.MongoClient(uri) as client, extended.Client(uri) as other:
            collection = client[database][name]
            collection.insert_one({"_id": 1})
            child = os.fork()
            if child == 0:
                os._exit(0)
            _, status = os.waitpid(child, 0)
            result = [
                ours(early.MongoClient), ours(type(collection)), isinstance(collection, early.module.Collection),
                other[database][name].find_one(), status,
            ]
    """
    done = run(script, mongodb_uri, *names, path=tmp_path)
    assert done["result"] == [False, False, True, {"_id": 1}, 0]
    assert done["log"][1] == (
        "WARNING: These modules imported PyMongo's or Motor's classes before install(), and keep them: "
        "early (MongoClient, module), extended (Client). Call install() before they are imported"
    )


def test_what_others_have_replaced_since_is_left() -> None:
    script = """
        import pymongo
        from connect.eaas.mongodb import install, uninstall

        install()

        class Traced:
            pass

        pymongo.MongoClient = Traced
        uninstall()
        result = [pymongo.MongoClient is Traced, ours(pymongo.AsyncMongoClient)]
    """
    done = run(script)
    assert done["result"] == [True, False]
    assert done["log"][-1] == "WARNING: uninstall() leaves what was replaced after install(): pymongo.MongoClient"


def test_threads_may_install_and_uninstall_at_once() -> None:
    script = """
        import_all()
        before = modules()
        from connect.eaas.mongodb import install, uninstall

        barrier, failed = threading.Barrier(8), []

        def work(number):
            barrier.wait()
            for turn in range(20):
                try:
                    (uninstall if (number + turn) % 2 else install)()
                except BaseException as error:
                    failed.append(repr(error))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        uninstall()
        result = [failed, modules() == before]
    """
    assert run(script)["result"] == [[], True]


def test_a_lazily_loaded_module_stays_unloaded(tmp_path: Path) -> None:
    (tmp_path / "lazy.py").write_text("raise AssertionError('loaded')\n", encoding="utf-8")
    script = """
        import importlib.util
        spec = importlib.util.find_spec("lazy")
        spec.loader = importlib.util.LazyLoader(spec.loader)
        sys.modules["lazy"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["lazy"])
        from connect.eaas.mongodb import install

        install()
        result = True
    """
    assert run(script, path=tmp_path)["result"] is True


def test_every_class_of_the_table_exists() -> None:
    """A name that PyMongo, Motor or this package no longer has must not be skipped unseen."""
    import gridfs
    import motor.motor_asyncio
    import pymongo
    import pymongo.asynchronous.command_cursor as awaited
    import pymongo.synchronous.command_cursor as blocking
    from connect.eaas import mongodb
    from connect.eaas.mongodb import gridfs as our_gridfs

    assert hasattr(blocking, "RawBatchCommandCursor")
    assert hasattr(awaited, "AsyncRawBatchCommandCursor")
    for ours in [*drop_in._BLOCKING.values(), *drop_in._AWAITED.values()]:
        assert hasattr(mongodb, ours)
    for name in drop_in._GRIDFS:
        assert hasattr(gridfs, name)
        assert hasattr(our_gridfs, name)
    for name in ("Client", "Database", "Collection", "Cursor", "GridFSBucket", "LatentCommandCursor"):
        assert name in drop_in._MOTOR
        assert hasattr(motor.motor_asyncio, f"AsyncIOMotor{name}")
    assert pymongo.MongoClient.__module__ == "pymongo.synchronous.mongo_client"
