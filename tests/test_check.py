"""`connect-mongodb check`: what it finds, and what it says of it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import trustme
from click.testing import CliRunner
from connect.eaas.mongodb import VARIABLES
from connect.eaas.mongodb.cli import main
from pymongo import MongoClient as PyMongoClient

from tests.conftest import API_KEY
from tests.servers import (
    Namespace,
    answered,
    free_port,
    relay,
    secantusdb,
    secantusdb_command,
    serving,
    silent,
    with_options,
)

PASSWORD = "hunter2:/@%ü"
WRONG = "hunter3-hunter3"
SECRETS = (API_KEY, "hunter2", "hunter3", quote(PASSWORD, safe=""))
DRIVER = ("DB_HOST", "DB_USER", "DB_PASSWORD", "DRIVER_COLLECTION", "DB_OPTIONS")

FORBIDDEN = answered("403 Forbidden", '{"error": "no rule allows it", "error_code": "NoMatchingRuleFound"}')

WAY = ["name", "TCP"]
OF_DRIVER = ["variables", *WAY, "authentication", "server", "write", "read", "delete", "latency"]
OF_HTTP = ["variables", *WAY, "key", "insertOne", "findOne", "deleteOne", "latency"]


@dataclass
class Found:
    """What a run of the command found."""

    status: int
    checks: list[dict[str, str]]

    def results(self, path: str) -> dict[str, str]:
        """The results of a path, by the first words of what was checked; of several, the last."""
        return {check["what"].split()[0]: check["result"] for check in self.checks if check["path"] == path}

    def failures(self, path: str) -> list[tuple[str, str]]:
        """What failed of a path, and the details."""
        of_path = [check for check in self.checks if (check["path"], check["result"]) == (path, "failed")]
        return [(check["what"].split()[0], check["detail"]) for check in of_path]

    def skipped(self, path: str) -> list[str]:
        """What could not be checked of a path."""
        return [what for what, result in self.results(path).items() if result == "skipped"]


def output_of(variables: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Run the command with these variables and no others; give its status and output, which show no secret."""
    runner = CliRunner(env={variable["name"]: None for variable in VARIABLES})
    ended = runner.invoke(main, ["check", "--timeout", "1", *arguments], env=variables)
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    assert not any(secret in ended.output for secret in SECRETS), ended.output
    return ended.exit_code, ended.output


def check(variables: dict[str, str], *arguments: str) -> Found:
    """The same, with the checks that it made."""
    status, output = output_of(variables, *arguments, "--format", "json")
    shown = json.loads(output)
    assert shown["works"] == (status == 0)
    assert all("\n" not in check["detail"] for check in shown["checks"])
    return Found(status, shown["checks"])


def driver_only(config: dict[str, str], **changes: str) -> dict[str, str]:
    return {name: config[name] for name in ("DB", *DRIVER)} | changes


def http_only(config: dict[str, str], **changes: str) -> dict[str, str]:
    return {name: value for name, value in config.items() if name not in DRIVER} | changes


def create_users(folder: str) -> None:
    """Make data with two users there: `writer`, and `reader` who may only read."""
    client: PyMongoClient[dict[str, Any]]
    with secantusdb(0, folder) as (_, port), PyMongoClient("127.0.0.1", port) as client:
        database = f"tests_{os.getpid()}"
        client.admin.command("createUser", "writer", pwd=PASSWORD, roles=["root"])
        client.admin.command("createUser", "reader", pwd=PASSWORD, roles=[{"role": "read", "db": database}])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of an authority, and of servers whose certificates it gave."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    leaves = {
        "server": authority.issue_cert("localhost", "127.0.0.1", "shard0.connect.test"),
        "misnamed": authority.issue_cert("elsewhere.test"),
    }
    for name, leaf in leaves.items():
        leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}.pem"))
    return {name: str(folder / f"{name}.pem") for name in ("ca", *leaves)}


@pytest.fixture(scope="module")
def guarded_data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Data with users."""
    folder = str(tmp_path_factory.mktemp("guarded"))
    create_users(folder)
    return folder


@pytest.fixture(scope="module")
def guarded(guarded_data: str, certificates: dict[str, str]) -> Iterator[str]:
    """The address of a server that asks for TLS and a user."""
    pem = certificates["server"]
    with secantusdb(0, guarded_data, "--auth", "--tls-cert-file", pem, "--tls-key-file", pem) as (server, port):
        try:
            yield f"127.0.0.1:{port}"
        finally:
            # Nothing is kept: no need to end it politely.
            server.process.kill()


@pytest.fixture
def guarded_config(guarded: str, certificates: dict[str, str], config: dict[str, str]) -> dict[str, str]:
    """The variables of the driver path to it, all of them right."""
    options = f"tls=true&tlsCAFile={certificates['ca']}&authSource=admin"
    return driver_only(config, DB_HOST=guarded, DB_USER="writer", DB_PASSWORD=PASSWORD, DB_OPTIONS=options)


@pytest.fixture(autouse=True)
def _plain(request: pytest.FixtureRequest) -> None:
    """Which checks there are depends on TLS and users: those of the shared MongoDB have neither."""
    if "config" in request.fixturenames:
        request.getfixturevalue("mongodb_address")


# What works.


def test_both_paths_work_and_leave_no_document(config: dict[str, str], reader: Any) -> None:
    reader.insert_one({"_id": "mine"})
    found = check(config)
    assert found.status == 0
    assert found.results("driver") == dict.fromkeys(OF_DRIVER, "ok")
    assert found.results("http") == dict.fromkeys(OF_HTTP, "ok")
    assert [document["_id"] for document in reader.find()] == ["mine"]


def test_the_table_has_a_line_for_each_check(config: dict[str, str]) -> None:
    status, output = output_of(config)
    assert status == 0
    lines = [line.split() for line in output.splitlines() if line.split()[:1] in (["driver"], ["http"])]
    assert [line[1] for line in lines] == [*OF_DRIVER, *OF_HTTP]


def test_it_is_a_command_of_its_own_process(config: dict[str, str]) -> None:
    command = [sys.executable, "-m", "connect.eaas.mongodb.cli", "check", "--path", "http"]
    environment = {**os.environ, **config, "API_KEY": WRONG}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "failed" in ended.stdout
    assert WRONG not in ended.stdout


def test_tls_and_a_user_work(guarded_config: dict[str, str]) -> None:
    found = check(guarded_config)
    assert found.status == 0
    assert set(found.results("driver")) == {*OF_DRIVER, "TLS"}
    assert "valid until" in next(check["detail"] for check in found.checks if check["what"].startswith("TLS"))


def test_a_user_in_a_uri_works_and_is_not_shown(guarded_config: dict[str, str]) -> None:
    uri = f"mongodb://writer:{quote(PASSWORD, safe='')}@{guarded_config['DB_HOST']}/"
    status, output = output_of(guarded_config | {"DB_HOST": uri, "DB_USER": "", "DB_PASSWORD": ""})
    assert status == 0
    assert "writer" not in output


def test_ssl_cert_file_is_trusted_too(
    guarded_config: dict[str, str], certificates: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certificates["ca"])
    assert check(guarded_config | {"DB_OPTIONS": "tls=true&authSource=admin"}).status == 0


def test_times_of_the_variables_give_way_to_the_command_s(config: dict[str, str]) -> None:
    uri = with_options(f"mongodb://{config['DB_HOST']}", serverSelectionTimeoutMS="1")
    assert check(driver_only(config, DB_HOST=uri, DB_OPTIONS="connectTimeoutMS=1")).status == 0


def test_a_document_that_the_collection_refuses_is_no_lack_of_rights(config: dict[str, str], reader: Any) -> None:
    reader.create_index("number", unique=True)
    reader.insert_one({"_id": "without a number"})
    found = check(config)
    assert found.status == 0
    assert [check["detail"] for check in found.checks if "unique index" in check["detail"]]
    assert reader.count_documents({}) == 1


@pytest.mark.parametrize("spoiled", ["insertOne", "findOne"])
@pytest.mark.parametrize("answer", [None, answered("500 Internal Server Error", '{"error": "out of order"}')])
def test_no_document_is_left_where_a_check_before_fails(
    spoiled: str, answer: bytes | None, config: dict[str, str], reader: Any
) -> None:
    def spoil(action: str, number: int, pass_on: Callable[[], bytes]) -> bytes | None:
        given = pass_on()
        # The first findOne is that of the key.
        return answer if action == spoiled and (number > 1 or action != "findOne") else given

    with relay(config["DATA_API_ENDPOINT"], spoil) as server:
        found = check(http_only(config, DATA_API_ENDPOINT=server.url))
    assert found.status == 1
    assert found.failures("http")[0][0] == spoiled
    assert found.results("http")["deleteOne"] == "ok"
    assert reader.count_documents({}) == 0


def test_a_document_that_cannot_be_deleted_is_named(config: dict[str, str], reader: Any) -> None:
    def spoil(action: str, number: int, pass_on: Callable[[], bytes]) -> bytes | None:
        return FORBIDDEN if action == "deleteOne" else pass_on()

    with relay(config["DATA_API_ENDPOINT"], spoil) as server:
        ((what, detail),) = check(http_only(config, DATA_API_ENDPOINT=server.url)).failures("http")
    assert what == "deleteOne"
    assert reader.find_one()["_id"] in detail


# What is not configured.


def test_a_path_without_variables_is_not_configured_and_no_failure(config: dict[str, str]) -> None:
    found = check(driver_only(config))
    assert found.status == 0
    assert found.results("http") == {"variables": "not configured"}
    found = check(http_only(config))
    assert found.status == 0
    assert found.results("driver") == {"variables": "not configured"}


def test_nothing_configured_is_a_failure() -> None:
    found = check({})
    assert found.status == 1
    assert {check["result"] for check in found.checks} == {"not configured"}


@pytest.mark.parametrize("path", ["driver", "http"])
def test_a_path_that_is_asked_for_must_be_configured(path: str, config: dict[str, str]) -> None:
    other = http_only(config) if path == "driver" else driver_only(config)
    found = check(other, "--path", path)
    assert found.status == 1
    assert {check["path"] for check in found.checks} == {path}
    assert [what for what, _ in found.failures(path)] == ["variables"]


def test_variables_that_are_missing_are_named_and_the_rest_is_skipped(config: dict[str, str]) -> None:
    found = check(config | {"DRIVER_COLLECTION": "", "API_KEY": " ", "CLUSTER": ""})
    assert found.status == 1
    ((_, of_driver),) = found.failures("driver")
    assert "DRIVER_COLLECTION" in of_driver
    ((_, of_http),) = found.failures("http")
    assert "API_KEY" in of_http
    assert "CLUSTER" in of_http
    for path in ("driver", "http"):
        assert set(found.results(path).values()) == {"failed", "skipped"}


# What is wrong.


def test_a_name_that_does_not_resolve_is_said(config: dict[str, str]) -> None:
    found = check(config | {"DB_HOST": "nowhere.invalid:27017", "DATA_API_ENDPOINT": "https://nowhere.invalid/app"})
    assert found.status == 1
    for path, variable in (("driver", "DB_HOST"), ("http", "DATA_API_ENDPOINT")):
        ((what, detail),) = found.failures(path)
        assert what == "name"
        assert variable in detail
        assert {"TCP", "latency"} <= set(found.skipped(path))


def test_each_host_is_checked_also_where_another_works(config: dict[str, str]) -> None:
    found = check(driver_only(config, DB_HOST=f"nowhere.invalid:1,{config['DB_HOST']}"))
    assert found.status == 1
    assert [what for what, _ in found.failures("driver")] == ["name"]
    assert found.results("driver")["delete"] == "ok"


@pytest.mark.parametrize("host", ["nowhere.invalid", "mongodb+srv://user:hunter2@nowhere.invalid/"])
def test_an_srv_record_that_is_missing_is_said(host: str, config: dict[str, str]) -> None:
    found = check(driver_only(config, DB_HOST=host, DB_USER="user", DB_PASSWORD=PASSWORD))
    ((what, detail),) = found.failures("driver")
    assert what == "SRV"
    assert "_mongodb._tcp.nowhere.invalid" in detail
    assert {"name", "authentication", "delete"} <= set(found.skipped("driver"))


def test_a_closed_port_is_said(config: dict[str, str]) -> None:
    port = free_port()
    found = check(config | {"DB_HOST": f"127.0.0.1:{port}", "DATA_API_ENDPOINT": f"http://127.0.0.1:{port}"})
    for path, variable in (("driver", "DB_HOST"), ("http", "DATA_API_ENDPOINT")):
        ((what, detail),) = found.failures(path)
        assert what == "TCP"
        assert variable in detail


def test_a_server_that_says_nothing_is_said(config: dict[str, str]) -> None:
    with silent() as port:
        found = check(config | {"DB_HOST": f"127.0.0.1:{port}", "DATA_API_ENDPOINT": f"http://127.0.0.1:{port}"})
    assert [what for what, _ in found.failures("driver")] == ["authentication"]
    assert [what for what, _ in found.failures("http")] == ["key"]


def test_a_proxy_is_checked_in_place_of_the_data_api(config: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://user:hunter2@127.0.0.1:{free_port()}")
    ((what, detail),) = check(http_only(config, DATA_API_ENDPOINT="http://nowhere.invalid")).failures("http")
    assert what == "TCP"
    assert "HTTP_PROXY" in detail


def test_a_wrong_key_is_said(config: dict[str, str]) -> None:
    found = check(http_only(config, API_KEY=WRONG))
    ((what, detail),) = found.failures("http")
    assert what == "key"
    assert "API_KEY" in detail
    assert found.skipped("http") == ["insertOne", "findOne", "deleteOne", "latency"]


def test_a_key_that_may_not_read_is_accepted_all_the_same(config: dict[str, str], reader: Any) -> None:
    with relay(
        config["DATA_API_ENDPOINT"], lambda action, number, pass_on: FORBIDDEN if action == "findOne" else pass_on()
    ) as server:
        found = check(http_only(config, DATA_API_ENDPOINT=server.url))
    assert [what for what, _ in found.failures("http")] == ["findOne"]
    assert found.skipped("http") == ["latency"]
    assert reader.count_documents({}) == 0


def test_a_wrong_path_of_the_data_api_is_said(config: dict[str, str]) -> None:
    found = check(http_only(config, DATA_API_ENDPOINT=config["DATA_API_ENDPOINT"] + "/elsewhere"))
    ((_, detail),) = found.failures("http")
    assert "DATA_API_ENDPOINT" in detail


@pytest.mark.parametrize("in_uri", [False, True])
def test_a_wrong_password_is_said(in_uri: bool, guarded_config: dict[str, str]) -> None:
    uri = f"mongodb://writer:{WRONG}@{guarded_config['DB_HOST']}/"
    found = check(guarded_config | ({"DB_HOST": uri} if in_uri else {"DB_PASSWORD": WRONG}))
    assert found.status == 1
    ((what, detail),) = found.failures("driver")
    assert what == "authentication"
    assert "DB_PASSWORD" in detail
    assert found.skipped("driver") == ["server", "write", "read", "delete", "latency"]


def test_a_user_that_is_missing_is_said(guarded_config: dict[str, str]) -> None:
    found = check(guarded_config | {"DB_USER": "", "DB_PASSWORD": ""})
    ((what, detail),) = found.failures("driver")
    assert what == "authentication"
    assert "DB_USER" in detail


def test_rights_that_are_missing_are_said(guarded_config: dict[str, str]) -> None:
    found = check(guarded_config | {"DB_USER": "reader"})
    assert [what for what, _ in found.failures("driver")] == ["write", "delete"]
    assert found.results("driver")["read"] == "ok"


def test_a_certificate_that_is_not_trusted_is_said(guarded_config: dict[str, str]) -> None:
    found = check(guarded_config | {"DB_OPTIONS": "tls=true"})
    ((what, detail),) = found.failures("driver")
    assert what == "TLS"
    assert "tlsCAFile" in detail
    found = check(guarded_config | {"DB_OPTIONS": "tls=true&tlsInsecure=true&authSource=admin"})
    assert found.status == 0
    assert any("not trusted" in check["detail"] for check in found.checks)


def test_tls_that_is_asked_for_and_not_used_is_said(guarded_config: dict[str, str]) -> None:
    ((what, detail),) = check(guarded_config | {"DB_OPTIONS": "authSource=admin"}).failures("driver")
    assert what == "authentication"
    assert "tls=true" in detail


def test_tls_where_there_is_none_is_said(config: dict[str, str]) -> None:
    endpoint = config["DATA_API_ENDPOINT"].replace("http:", "https:")
    found = check(config | {"DATA_API_ENDPOINT": endpoint, "DB_OPTIONS": "tls=true"})
    assert [what for what, _ in found.failures("driver")] == ["TLS"]
    assert [what for what, _ in found.failures("http")] == ["TLS"]


def test_another_replica_set_is_said(config: dict[str, str]) -> None:
    ((what, detail),) = check(driver_only(config, DB_OPTIONS="replicaSet=other")).failures("driver")
    assert what == "authentication"
    assert "replicaSet" in detail


# Over TLS and by SRV records.


def pass_on(source: socket.socket, target: socket.socket) -> None:
    """Send what the one says to the other, until it has no more to say."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def tls_before(url: str, certificate: str) -> Iterator[str]:
    """Speak TLS in front of a Data API; give the URL."""
    address = urlsplit(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError), context.wrap_socket(self.request, server_side=True) as client:
                with socket.create_connection((address.hostname, address.port or 80)) as server:
                    back = threading.Thread(target=pass_on, args=(server, client))
                    back.start()
                    pass_on(client, server)
                    back.join()

    with serving(Handler) as port:
        yield f"https://localhost:{port}"


def test_unacknowledged_writes_are_a_fault(config: dict[str, str]) -> None:
    found = check(driver_only(config, DB_OPTIONS="w=0"))
    assert found.failures("driver") == [
        ("variables", "the event store needs acknowledged writes: remove the write concern w=0, or use w=1")
    ]
    assert "write" in found.skipped("driver")


def test_the_data_api_s_certificate_is_checked(
    config: dict[str, str], certificates: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certificates["ca"])
    with tls_before(config["DATA_API_ENDPOINT"], certificates["server"]) as url:
        found = check(http_only(config, DATA_API_ENDPOINT=url))
        assert found.status == 0
        assert found.results("http")["TLS"] == "ok"
    with tls_before(config["DATA_API_ENDPOINT"], certificates["misnamed"]) as url:
        ((what, detail),) = check(http_only(config, DATA_API_ENDPOINT=url)).failures("http")
        assert what == "TLS"
        assert "not for localhost" in detail


def test_the_servers_of_an_srv_record_are_checked(
    config: dict[str, str], certificates: dict[str, str], tmp_path: Path, namespace: Namespace
) -> None:
    create_users(str(tmp_path))
    pem = certificates["server"]
    mongodb = [secantusdb_command(), "--host", "127.0.0.1", "--port", "27017", "--storage-path", str(tmp_path)]
    mongodb += ["--auth", "--tls-cert-file", pem, "--tls-key-file", pem, "--log-level", "ERROR"]
    variables = driver_only(config, DB_HOST="cluster0.connect.test", DB_USER="writer", DB_PASSWORD=PASSWORD)
    variables["DB_OPTIONS"] = f"tlsCAFile={certificates['ca']}"
    for command in ([sys.executable, "-m", "tests.dns", "27017"], mongodb):
        namespace.start(command)
    command = [*namespace.inside, sys.executable, "-m", "connect.eaas.mongodb.cli", "check", "--path", "driver"]
    # The servers need a moment.
    for _ in range(20):
        ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables}, timeout=60)
        if ended.returncode == 0:
            break
        time.sleep(0.2)
    assert ended.returncode == 0, ended.stdout
    assert [line.split()[1] for line in ended.stdout.splitlines() if line.split()[:1] == ["driver"]] == [
        *("variables", "SRV", "name", "TCP", "TLS"),
        *OF_DRIVER[3:],
    ]
    assert "hunter2" not in ended.stdout


# Files of variables.


def test_a_file_is_read_in_place_of_the_environment(config: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "variables"
    lines = ["# from `connect-mongodb dev --format env`", ""]
    lines += [f"{name}={value}" for name, value in http_only(config).items()]
    lines += ["OTHER=1", "  export DRIVER_COLLECTION = 'c' ", f'DB_HOST="{config["DB_HOST"]}"']
    file.write_text("\n".join(lines))
    found = check({"DB_HOST": "nowhere.invalid:1", "DB_OPTIONS": "tls=true"}, "--env-file", str(file))
    assert found.status == 0
    assert found.results("driver") == dict.fromkeys(OF_DRIVER, "ok")
    assert found.results("http") == dict.fromkeys(OF_HTTP, "ok")


@pytest.mark.parametrize("text", [None, b"\xff\xfe", b"DB=x\nhunter2"])
def test_a_file_that_cannot_be_read_is_one_line_and_status_2(text: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "variables"
    if text is not None:
        file.write_bytes(text)
    status, output = output_of({}, "--env-file", str(file))
    assert (status, output.count("\n")) == (2, 1)
    assert str(file) in output


@pytest.mark.parametrize("arguments", [["--path", "other"], ["--timeout", "0"], ["--timeout", "x"], ["--format", "x"]])
def test_wrong_usage_is_one_line_and_status_2(arguments: list[str]) -> None:
    status, output = output_of({}, *arguments)
    assert (status, output.count("\n")) == (2, 1)
