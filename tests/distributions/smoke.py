"""Use an installed package as its users do: `python smoke.py [--without-mongodb]`.

It runs in the environment where the package is installed, with its extra `dev` and trustme, and uses nothing of this
repository. `--without-mongodb` leaves out what needs a MongoDB, for platforms where SecantusDB cannot be installed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import importlib.metadata
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import connect.eaas.mongodb as package
import trustme
from connect.eaas.mongodb import (
    AsyncDataApiClient,
    AsyncMongoClient,
    DataApiClient,
    EventStore,
    MongoClient,
    _native,
)
from connect.eaas.mongodb.cli.dev import Server, mongodb
from pymongo.errors import DuplicateKeyError

DOCUMENT: dict[str, Any] = {
    "_id": "PR-1",
    "amount": bson.Decimal128("12.50"),
    "at": datetime.datetime(2026, 1, 2, 3, 4, 5),
    "big": bson.Int64(2**60),
    "items": [{"quantity": 3, "price": 0.5}, None, True],
    "name": "Größe 日本",
    "raw": b"\x00\xff",
}


def installed_files() -> None:
    """The files of the distribution: types, licence, list of components, and one version."""
    distribution = importlib.metadata.distribution("connect-eaas-mongodb")
    assert distribution.version == package.__version__, (distribution.version, package.__version__)
    files = {str(file).replace("\\", "/") for file in distribution.files or []}
    assert "connect/eaas/mongodb/py.typed" in files
    assert "connect/eaas/mongodb/_native.pyi" in files
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in files), "no LICENSE"
    assert any(name.endswith(".cyclonedx.json") for name in files), "no list of components"
    # Both are namespaces of other distributions too.
    assert not {"connect/__init__.py", "connect/eaas/__init__.py"} & files
    assert package.__file__ is not None
    assert Path(sysconfig.get_path("purelib")) in Path(package.__file__).parents, package.__file__


def codec() -> None:
    """Documents, without a server."""
    encoded = _native.bson_encode(DOCUMENT)
    assert encoded == bson.encode(DOCUMENT)
    assert _native.bson_decode(encoded) == DOCUMENT
    assert _native.ejson_decode(_native.ejson_encode(DOCUMENT)) == DOCUMENT


def run(*arguments: str, status: int = 0, environment: dict[str, str] | None = None) -> str:
    """Run `connect-mongodb`, as it is installed; return what it prints."""
    scripts = Path(sysconfig.get_path("scripts"))
    command = scripts / ("connect-mongodb.exe" if os.name == "nt" else "connect-mongodb")
    result = subprocess.run(
        [command, *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, **(environment or {})},
        timeout=120,
        check=False,
    )
    assert result.returncode == status, (arguments, result.returncode, result.stdout, result.stderr)
    return result.stdout + result.stderr


def command_line() -> None:
    """The command, and what it says to a wrong configuration."""
    assert package.__version__ in run("--version")
    with tempfile.TemporaryDirectory() as folder:
        wrong = Path(folder) / "gateway.toml"
        wrong.write_text('listen = "127.0.0.1:0"\nno_such_key = 1\n', encoding="utf-8")
        assert "no_such_key" in run("gateway", "--config", str(wrong), status=2)


@contextlib.contextmanager
def serving(uri: str) -> Iterator[dict[str, str]]:
    """Run a gateway with a configuration file, a key and TLS; yield the variables of an extension for both paths."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        certificate = authority.issue_cert("127.0.0.1")
        for part in (certificate.private_key_pem, *certificate.cert_chain_pems):
            part.write_to_path(str(folder / "tls.pem"), append=True)
        (folder / "tls.pem").chmod(0o600)
        keys = str(folder / "keys.toml")
        key = run("key", "create", "--file", keys, "--name", "smoke", "--allow", "read,write", "--on", "*").split()[0]
        (folder / "gateway.toml").write_text(
            'listen = "127.0.0.1:0"\nkeys_file = "keys.toml"\n'
            '[tls]\ncertificate = "tls.pem"\nkey = "tls.pem"\n'
            f'[data_sources.Cluster0]\nuri = "{uri}"\n',
            encoding="utf-8",
        )
        command = [
            sys.executable,
            "-m",
            "connect.eaas.mongodb.cli",
            "gateway",
            "--config",
            str(folder / "gateway.toml"),
        ]
        server = Server("the gateway", command)
        try:
            yield {
                "DB": "smoke",
                "DATA_API_ENDPOINT": server.wait_for_line("Listening on "),
                "API_KEY": key,
                "CLUSTER": "Cluster0",
                "HTTP_COLLECTION": "http",
                "DB_HOST": uri,
                "DRIVER_COLLECTION": "driver",
                "SSL_CERT_FILE": str(folder / "ca.pem"),
            }
        finally:
            server.stop()


def blocking_path(collection: Any) -> None:
    """Inserts, reads, changes and errors."""
    collection.insert_one(DOCUMENT)
    assert collection.find_one({"_id": "PR-1"}) == DOCUMENT
    assert collection.update_one({"_id": "PR-1"}, {"$set": {"name": "new"}}).modified_count == 1
    collection.insert_many([{"_id": number} for number in range(300)])
    assert len(list(collection.find({"_id": {"$gte": 0}}))) == 300
    try:
        collection.insert_one({"_id": 7})
    except DuplicateKeyError:
        pass
    else:
        raise AssertionError("a second document with the same _id was inserted")
    assert collection.delete_many({}).deleted_count == 301


async def awaited_path(collection: Any) -> None:
    """The same, awaited and at the same time."""
    await asyncio.gather(*(collection.insert_one({"_id": number}) for number in range(100)))
    found = await asyncio.gather(*(collection.find_one({"_id": number}) for number in range(100)))
    assert [document["_id"] for document in found] == list(range(100))
    assert [document["_id"] async for document in collection.find({}, sort=[("_id", -1)], limit=3)] == [99, 98, 97]
    await collection.delete_many({})


def both_paths(variables: dict[str, str]) -> None:
    """Each client with the calls of its path."""
    for client in (MongoClient.from_config(variables), DataApiClient.from_config(variables)):
        blocking_path(client.get_default_collection())

    async def awaited() -> None:
        for client in (AsyncMongoClient.from_config(variables), AsyncDataApiClient.from_config(variables)):
            await awaited_path(client.get_default_collection())

    asyncio.run(awaited())


def event_store(variables: dict[str, str]) -> None:
    """An event is stored once on each path, without its password."""
    request = {"id": "PR-1", "type": "purchase", "status": "pending", "asset": {"id": "AS-1", "password": "hunter2"}}
    for path in ("driver", "data_api"):
        store = EventStore.from_config(variables, path=path)
        stored = [store.save("asset_purchase_request_processing", request).stored for _ in range(2)]
        assert stored == [True, False], (path, stored)
        (event,) = store.collection.find({})
        assert "PR-1" in str(event)
        assert "hunter2" not in str(event)


def forked_child(uri: str) -> None:
    """A client of a forked child, whose parent has one too."""
    with MongoClient(uri) as client:
        client.smoke.forked.insert_one({"_id": "parent"})
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with MongoClient(uri) as own:
                    own.smoke.forked.insert_one({"_id": "child"})
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert client.smoke.forked.count_documents({}) == 2


def main() -> int:
    """Run the parts, one after the other; the first error ends it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--without-mongodb", action="store_true", help="leave out what needs a MongoDB")
    with_mongodb = not parser.parse_args().without_mongodb
    for part in (installed_files, codec, command_line):
        part()
        print(f"passed: {part.__doc__}", flush=True)
    if not with_mongodb:
        # The gateway starts without its MongoDB.
        with serving("mongodb://127.0.0.1:9/") as variables:
            print(f"passed: the gateway listens on {variables['DATA_API_ENDPOINT']}", flush=True)
        print("left out: what needs a MongoDB", flush=True)
        return 0
    with mongodb() as (_, port), serving(f"mongodb://127.0.0.1:{port}/") as variables:
        # The package trusts what this names, as other software in containers does.
        os.environ["SSL_CERT_FILE"] = variables["SSL_CERT_FILE"]
        for with_variables in (both_paths, event_store):
            with_variables(variables)
            print(f"passed: {with_variables.__doc__}", flush=True)
        print(run("check", environment=variables), flush=True)
        print("passed: `connect-mongodb check` of both paths", flush=True)
        if hasattr(os, "fork"):
            forked_child(variables["DB_HOST"])
            print(f"passed: {forked_child.__doc__}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
