"""The command line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from connect.eaas.mongodb import AsyncDataApiClient, AsyncMongoClient
from connect.eaas.mongodb.cli import main

COMMAND = [str(Path(sys.executable).parent / "connect-mongodb")]


def connect_mongodb(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    path = tmp_path / "keys"
    path.write_text("a-key-of-some-length\n")
    return str(path)


def test_help_and_version() -> None:
    shown = connect_mongodb("--help")
    assert shown.returncode == 0
    for command in ("gateway", "dev"):
        assert command in shown.stdout
        assert connect_mongodb(command, "--help").returncode == 0
    assert connect_mongodb("--version").stdout.startswith("connect-mongodb, version ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"),
        ("", "no key"),
        ("hunter2 hunter2", "line 1"),
        ("short", "line 1"),
        (b"\xff\xfe", "not text"),
    ],
)
def test_an_unreadable_key_file_is_one_line_and_status_2(tmp_path: Path, text: str | bytes | None, says: str) -> None:
    path = tmp_path / "keys"
    if isinstance(text, bytes):
        path.write_bytes(text)
    elif text is not None:
        path.write_text(text)
    ended = connect_mongodb("gateway", "--mongodb-uri", "mongodb://h", "--api-key-file", str(path))
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert says in ended.stderr
    assert "hunter2" not in ended.stderr


@pytest.mark.parametrize(
    "uri",
    [
        "http://h",
        "mongodb://",
        "mongodb://u:hunter2%zz@h",
        "mongodb://u:hunter2@h:x",
        "mongodb://h/?a=b",
        "mongodb://h/?w=0",
    ],
)
def test_a_bad_uri_is_one_line_and_status_2(uri: str, key_file: str) -> None:
    for arguments, environment in ((["--mongodb-uri", uri], {}), ([], {"MONGODB_URI": uri})):
        ended = connect_mongodb("gateway", *arguments, "--api-key-file", key_file, **environment)
        assert ended.returncode == 2
        assert ended.stderr.count("\n") == 1
        assert "hunter2" not in ended.stderr


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1", "127.0.0.1:99999", ":8080"])
def test_a_bad_address_is_one_line_and_status_2(listen: str, key_file: str) -> None:
    ended = connect_mongodb("gateway", "--mongodb-uri", "mongodb://h", "--api-key-file", key_file, "--listen", listen)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    "arguments",
    [["gateway"], ["gateway", "--mongodb-uri"], ["no-such-command"], ["dev", "--port", "x"], ["dev", "--format", "x"]]
    + [["dev", "--port", "-5"], ["dev", "--db", "a b$"]],
)
def test_wrong_usage_is_one_line_and_status_2(arguments: list[str]) -> None:
    ended = connect_mongodb(*arguments)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert ended.stderr.startswith("connect-mongodb: ")
    assert "--help" in ended.stderr


def test_a_used_port_is_one_line_and_status_2(key_file: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = connect_mongodb(
            "gateway", "--mongodb-uri", "mongodb://h", "--api-key-file", key_file, "--listen", listen
        )
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert listen in ended.stderr


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_dev_runs_both_paths_and_leaves_nothing(signum: signal.Signals, tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "dev", "--format", "env"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as process:
        assert process.stdout is not None
        variables = {}
        while (line := process.stdout.readline().strip()) != "":
            name, value = line.split("=", 1)
            variables[name] = value
        try:
            for client in (AsyncDataApiClient, AsyncMongoClient):
                collection = client.from_config(variables).get_default_collection()
                inserted = await collection.insert_one({"a": 1})
                assert await collection.find_one(inserted.inserted_id) == {
                    "_id": inserted.inserted_id,
                    "a": 1,
                }
        finally:
            process.send_signal(signum)
        assert process.stdout.read() == ""
        assert process.wait(30) == 0
    assert list(tmp_path.iterdir()) == []
    port = int(variables["DB_HOST"].split(":")[1])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_dev_prints_variables_for_people() -> None:
    with subprocess.Popen([*COMMAND, "dev"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = ""
        deadline = time.monotonic() + 40
        while "Ctrl-C" not in seen and time.monotonic() < deadline:
            seen += process.stdout.readline()
        process.terminate()
        assert process.wait(30) == 0
    for name in ("DATA_API_ENDPOINT", "DB_HOST", "API_KEY"):
        assert name in seen


def test_dev_says_what_keeps_it_from_starting(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = connect_mongodb("dev", "--http-port", port)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert port in ended.stderr
    not_a_folder = tmp_path / "file"
    not_a_folder.write_text("")
    ended = connect_mongodb("dev", "--data-dir", str(not_a_folder))
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)


NOT_UTF_8 = "an argument, an environment variable or the text on stdin is not UTF-8"
NEW_KEY = ["key", "create", "--name", "shop", "--allow", "read", "--on", "*"]
NEW_USER = ["user", "add", "--name", "ann@example.com", "--allow", "read", "--on", "*"]


def run(arguments: list[str], given: str = "") -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments, input=given)
    return result.exit_code, result.output


@pytest.mark.parametrize("option", ["--name", "--allow", "--on", "--filter", "--allow-fields", "--expires"])
def test_an_option_of_a_key_that_is_not_utf_8_is_one_line(tmp_path: Path, option: str) -> None:
    path = tmp_path / "keys.toml"
    ended = connect_mongodb(*NEW_KEY, "--file", str(path), option, "a\udcff")
    assert (ended.returncode, ended.stderr) == (2, f"connect-mongodb: key: {NOT_UTF_8}\n")
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (["gateway", "--mongodb-uri", "mongodb://h/\udcff", "--api-key-file", "keys"], {}),
        (["dev", "--db", "a\udcff"], {}),
        (["check"], {"DB": "hunter2\udcff", "DB_HOST": "h", "DRIVER_COLLECTION": "c"}),
        (["events", "list"], {"DB": "hunter2\udcff", "DB_HOST": "h", "DRIVER_COLLECTION": "c"}),
    ],
)
def test_what_is_not_utf_8_is_one_line_for_each_command(arguments: list[str], variables: dict[str, str]) -> None:
    ended = connect_mongodb(*arguments, **variables)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert ended.stderr.endswith(f"{NOT_UTF_8}\n")
    assert "hunter2" not in ended.stderr


def test_a_password_on_stdin_that_is_not_utf_8_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    for locale in ("C", "C.UTF-8"):
        ended = subprocess.run(
            [*COMMAND, *NEW_USER, "--file", str(path)],
            input=b"hunter2 \xff hunter2\n",
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ, "LC_ALL": locale},
        )
        assert (ended.returncode, ended.stderr.decode()) == (2, f"connect-mongodb: user: {NOT_UTF_8}\n")
    assert not path.exists()


@pytest.mark.parametrize(
    "data", [["team=north", "team=south"], ["team=north", "team=north"], ["team=a", "x=", "team="]]
)
def test_custom_data_has_each_name_once(tmp_path: Path, data: list[str]) -> None:
    path = tmp_path / "keys.toml"
    options = [option for pair in data for option in ("--data", pair)]
    status, output = run([*NEW_USER, "--file", str(path), *options], "a-password-of-some-length\n")
    assert (status, output) == (2, "connect-mongodb: user add: --data gives team twice\n")
    assert not path.exists()


def test_custom_data_may_contain_equals_signs(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    options = ["--data", "query=a=b", "--data", "empty="]
    assert run([*NEW_USER, "--file", str(path), *options], "a-password-of-some-length\n") == (0, "")
    text = path.read_text(encoding="utf-8")
    assert '"a=b"' in text
    for wrong in ("=text", "text", ""):
        status, output = run([*NEW_USER, "--file", str(path), "--data", wrong], "a-password-of-some-length\n")
        assert (status, output.count("NAME=TEXT")) == (2, 1)
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("digits", [7, 20, 5000])
def test_an_expiry_in_too_many_days_is_one_line(tmp_path: Path, digits: int) -> None:
    path = tmp_path / "keys.toml"
    status, output = run([*NEW_KEY, "--file", str(path), "--expires", f"{'9' * digits}d"])
    assert (status, output) == (2, "connect-mongodb: key: the time is too far away\n")
    assert not path.exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize(("mode", "kept"), [(0o640, 0o640), (0o600, 0o600), (0o644, 0o640), (0o660, 0o640)])
def test_a_changed_key_file_keeps_its_owner_and_its_mode(tmp_path: Path, mode: int, kept: int) -> None:
    path = tmp_path / "keys.toml"
    assert run([*NEW_KEY, "--file", str(path)])[0] == 0
    os.chown(path, 12345, 54321)
    path.chmod(mode)
    assert run(["key", "create", "--file", str(path), "--name", "b", "--allow", "read", "--on", "*"])[0] == 0
    status = path.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (12345, 54321, kept)
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys.toml"]
