"""The driver path against servers that are not there, refuse, or ask for TLS."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from connect.eaas.mongodb import AsyncMongoClient, MongoClient
from pymongo import MongoClient as UntypedPyMongoClient
from pymongo.errors import AutoReconnect, ConfigurationError, OperationFailure, ServerSelectionTimeoutError

from tests.servers import Namespace, Server, free_port, secantusdb, secantusdb_command, silent

PyMongoClient: Any = UntypedPyMongoClient

PASSWORD = "hunter2:/@%ü"


@pytest.mark.parametrize("host", ["127.0.0.1", "nowhere.invalid"])
def test_no_server_is_a_server_selection_timeout_that_names_the_host(host: str) -> None:
    port = free_port()
    begun = time.monotonic()
    with pytest.raises(ServerSelectionTimeoutError, match=rf"{host}:{port}") as refused:
        MongoClient(f"mongodb://u:hunter2@{host}:{port}/?serverSelectionTimeoutMS=400").a.b.insert_one({})
    assert time.monotonic() - begun < 5
    assert "hunter2" not in str(refused.value)


def test_a_missing_srv_record_is_a_server_selection_timeout_that_names_the_host() -> None:
    config = {
        "DB": "d",
        "DB_HOST": "cluster0.example.invalid",
        "DB_USER": "u",
        "DB_PASSWORD": "hunter2",
        "DRIVER_COLLECTION": "c",
        "DB_OPTIONS": "serverSelectionTimeoutMS=800",
    }
    begun = time.monotonic()
    with pytest.raises(ServerSelectionTimeoutError, match=r"_mongodb\._tcp\.cluster0\.example\.invalid") as refused:
        MongoClient.from_config(config).get_default_collection().insert_one({})
    assert time.monotonic() - begun < 5
    assert "hunter2" not in str(refused.value)


def test_a_server_that_says_nothing_does_not_hang() -> None:
    with silent() as port:
        begun = time.monotonic()
        with pytest.raises(AutoReconnect):
            MongoClient(f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=500").a.b.insert_one({})
        assert time.monotonic() - begun < 10


def test_a_server_of_another_kind_does_not_hang(gateway_url: str) -> None:
    address = gateway_url.removeprefix("http://")
    with pytest.raises(AutoReconnect, match=address):
        MongoClient(f"mongodb://{address}/?serverSelectionTimeoutMS=500").a.b.insert_one({})


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A MongoDB with authentication: a user of our own, and one who may only read."""
    folder = str(tmp_path_factory.mktemp("guarded"))
    with secantusdb(0, folder) as (_, port), PyMongoClient("127.0.0.1", port) as client:
        client.admin.command("createUser", "us er", pwd=PASSWORD, roles=["root"])
        client.admin.command("createUser", "reader", pwd=PASSWORD, roles=[{"role": "read", "db": "d"}])
    with secantusdb(0, folder, "--auth") as (_, port):
        yield port


def guarded_config(port: int, **changed: str) -> dict[str, str]:
    return {
        "DB": "d",
        "DB_HOST": f"127.0.0.1:{port}",
        "DB_USER": "us er",
        "DB_PASSWORD": PASSWORD,
        "DRIVER_COLLECTION": "c",
        "DB_OPTIONS": "",
        **changed,
    }


def test_user_and_password_are_encoded_into_the_uri(guarded: int) -> None:
    collection = MongoClient.from_config(guarded_config(guarded)).get_default_collection()
    inserted = collection.insert_one({"a": 1})
    assert collection.find_one(inserted.inserted_id) == {"_id": inserted.inserted_id, "a": 1}
    MongoClient("127.0.0.1", guarded, username="us er", password=PASSWORD).d.c.insert_one({})


async def test_a_wrong_password_is_an_operation_failure_with_its_code(guarded: int) -> None:
    client = AsyncMongoClient.from_config(guarded_config(guarded, DB_PASSWORD="hunter3"))
    with pytest.raises(OperationFailure) as refused:
        await client.get_default_collection().insert_one({})
    assert refused.value.code == 18
    assert "authentication failed" in str(refused.value)
    assert f"127.0.0.1:{guarded}" in str(refused.value)
    assert "hunter3" not in str(refused.value)


@pytest.mark.parametrize("user", ["reader", ""])
def test_no_rights_are_an_operation_failure_with_their_code(guarded: int, user: str) -> None:
    config = guarded_config(guarded, DB_USER=user, DB_PASSWORD=PASSWORD if user else "")
    with pytest.raises(OperationFailure) as refused:
        MongoClient.from_config(config).get_default_collection().insert_one({})
    assert refused.value.code == 13
    assert refused.value.details is not None


@contextlib.contextmanager
def mongodb_over_tls(folder: Path) -> Iterator[tuple[int, Path]]:
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost", "127.0.0.1")
    ca_file, cert_file, key_file = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    leaf.cert_chain_pems[0].write_to_path(str(cert_file))
    leaf.private_key_pem.write_to_path(str(key_file))
    arguments = ["--tls-cert-file", str(cert_file), "--tls-key-file", str(key_file)]
    with secantusdb(0, None, *arguments) as (_, port):
        yield port, ca_file


def test_tls_trusts_tls_ca_file_and_ssl_cert_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with mongodb_over_tls(tmp_path) as (port, ca_file):
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        uri = f"mongodb://localhost:{port}/?tls=true&serverSelectionTimeoutMS=2000"
        with pytest.raises(ServerSelectionTimeoutError, match=r"(?i)certificate|issuer"):
            MongoClient(uri).d.c.insert_one({})
        assert MongoClient(uri, tlsCAFile=str(ca_file)).d.c.insert_one({}).acknowledged
        monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
        assert MongoClient(uri).d.c.insert_one({}).acknowledged
        with pytest.raises(FileNotFoundError):
            MongoClient(uri, tlsCAFile=str(tmp_path / "none.pem"))


def test_a_server_that_comes_back_is_used_again(tmp_path: Path) -> None:
    port = free_port()
    client = MongoClient(f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=500")
    with secantusdb(port, str(tmp_path)):
        client.d.c.insert_one({"_id": 1})
    with pytest.raises(AutoReconnect):
        client.d.c.insert_one({"_id": 2})
    with secantusdb(port, str(tmp_path)):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(AutoReconnect):
                client.d.c.insert_one({"_id": 3})
                break
        assert client.d.c.find_one(1) == {"_id": 1}
        assert client.d.c.find_one(3) == {"_id": 3}


def test_a_server_that_dies_under_load_answers_every_call(tmp_path: Path) -> None:
    """Each call ends, and what was acknowledged is stored."""
    port = free_port()

    async def main(server: Server) -> set[int]:
        collection = AsyncMongoClient(f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=1000").d.c
        await collection.insert_one({"_id": -1})
        acknowledged: set[int] = set()

        async def insert(number: int) -> None:
            with contextlib.suppress(AutoReconnect):
                await collection.insert_one({"_id": number})
                acknowledged.add(number)

        calls = asyncio.gather(*(insert(number) for number in range(40_000)))
        while not acknowledged:
            await asyncio.sleep(0.01)
        server.process.kill()
        await asyncio.wait_for(calls, 60)
        return acknowledged

    with secantusdb(port, str(tmp_path), "--sync-on-commit") as (server, _):
        acknowledged = asyncio.run(main(server))
    assert 0 < len(acknowledged) < 40_000
    with secantusdb(port, str(tmp_path)), PyMongoClient("127.0.0.1", port) as client:
        stored = {document["_id"] for document in client.d.c.find({"_id": {"$gte": 0}})}
    assert acknowledged <= stored


def test_a_lost_connection_does_not_store_twice(tmp_path: Path) -> None:
    """The server closes the connection after it stored: the driver's repeat must not store again."""
    with secantusdb(0, str(tmp_path), "--enable-test-commands") as (_, port):
        with PyMongoClient("127.0.0.1", port) as admin:
            collection = MongoClient(f"mongodb://127.0.0.1:{port}/").d.c
            collection.insert_one({"warm": 1})
            for number in range(5):
                admin.admin.command(
                    {
                        "configureFailPoint": "failCommand",
                        "mode": {"times": 1},
                        "data": {"failCommands": ["insert"], "closeConnection": True},
                    }
                )
                collection.insert_one({"number": number})
            assert [document["number"] for document in admin.d.c.find({"number": {"$exists": True}})] == [*range(5)]


def test_find_one_takes_its_options(config: dict[str, str], reader: Any) -> None:
    reader.insert_many([{"_id": number, "a": number % 2} for number in range(6)])
    reader.create_index("a")
    collection = MongoClient.from_config(config).get_default_collection()
    assert collection.find_one({"a": 1}, sort=[("_id", -1)]) == {"_id": 5, "a": 1}
    assert collection.find_one({"a": 1}, sort=["_id"], skip=1) == {"_id": 3, "a": 1}
    assert collection.find_one({"a": 0}, hint="a_1", max_time_ms=5000, comment="c") is not None
    assert collection.find_one({"a": 0}, hint=[("a", 1)], sort={"_id": 1}) == {"_id": 0, "a": 0}
    with pytest.raises(OperationFailure):
        collection.find_one({"$noSuchOperator": 1})
    with pytest.raises(TypeError):
        collection.find_one({}, sort=5)  # type: ignore[arg-type]


def test_unacknowledged_writes_that_are_journaled_are_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"^Cannot set w to 0 and j to True$"):
        MongoClient("mongodb://h/", w=0, journal=True)


SRV_PROGRAM = """
    import asyncio, socket, time
    # Both servers have just been started.
    for _ in range(600):
        try:
            socket.create_connection((socket.gethostbyname('shard0.connect.test'), 27017), 5).close()
            break
        except OSError:
            time.sleep(0.05)
    from connect.eaas.mongodb import AsyncMongoClient, MongoClient
    config = dict(DB='d', DB_HOST='cluster0.connect.test', DB_USER='us er', DB_PASSWORD={password!r},
                  DRIVER_COLLECTION='c', DB_OPTIONS='tlsCAFile={ca_file}')
    inserted = MongoClient.from_config(config).get_default_collection().insert_one({{'over': 'srv'}})
    async def main():
        collection = AsyncMongoClient.from_config(config).get_default_collection()
        assert (await collection.find_one(inserted.inserted_id))['over'] == 'srv'
    asyncio.run(main())
    print('stored over mongodb+srv')
"""


def test_a_bare_host_is_found_by_its_srv_record_over_tls(tmp_path: Path, namespace: Namespace) -> None:
    """The tutorial's form of DB_HOST, with a DNS of our own in a network namespace of our own."""
    authority = trustme.CA()
    leaf = authority.issue_cert("shard0.connect.test", "127.0.0.1")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    leaf.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    leaf.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    data = str(tmp_path / "data")
    with secantusdb(0, data) as (_, port), PyMongoClient("127.0.0.1", port) as client:
        client.admin.command("createUser", "us er", pwd=PASSWORD, roles=["root"])
    mongodb = [secantusdb_command(), "--host", "127.0.0.1", "--port", "27017", "--storage-path", data]
    mongodb += ["--auth", "--tls-cert-file", str(tmp_path / "cert.pem")]
    mongodb += ["--tls-key-file", str(tmp_path / "key.pem"), "--log-level", "WARNING"]
    for command in ([sys.executable, "-m", "tests.dns", "27017"], mongodb):
        namespace.start(command)
    program = textwrap.dedent(SRV_PROGRAM).format(password=PASSWORD, ca_file=tmp_path / "ca.pem")
    ended = subprocess.run(
        [*namespace.inside, sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "stored over mongodb+srv\n"), ended.stderr


def test_threads_share_one_client(config: dict[str, str], reader: Any) -> None:
    def work(thread: int) -> None:
        for number in range(30):
            MongoClient.from_config(config).get_default_collection().insert_one({"_id": [thread, number]})

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reader.count_documents({}) == 240
