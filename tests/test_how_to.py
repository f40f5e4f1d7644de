"""README.md, docs/how-to/ and docs/scaling.md: their files and commands, and what they say of shard keys."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from connect.eaas.mongodb import EventStore, MongoClient
from connect.eaas.mongodb._native import _driver_route
from connect.eaas.mongodb.cli.check import variables_of_file
from pymongo import MongoClient as PyMongoClient
from pymongo.errors import OperationFailure
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from demo.runner import ROOT, RUNNER_ENVIRONMENT
from tests.servers import secantusdb
from tests.test_tutorial import DEVELOPMENT
from tests.test_tutorial import PAGE as TUTORIAL
from tests.walkthrough import DOCS, Terminal, blocks, changed, file_of, find, missing, requirements

CHOOSE, TEST, ATLAS = (DOCS / "how-to" / f"{name}.md" for name in ("choose-a-path", "test-an-extension", "atlas"))
SCALING = DOCS / "scaling.md"
NEEDS_RUNNER = pytest.mark.skipif(
    not (RUNNER_ENVIRONMENT / "bin" / "pytest").exists(), reason="the runner's environment is not set up"
)
TYPE = "asset_purchase_request_processing"


def terminal(folder: Path, **environment: str) -> Terminal:
    """A terminal with this package's commands."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    scratch = folder / ".terminal"
    scratch.mkdir(exist_ok=True)
    return Terminal(folder, {**os.environ, "PATH": path, **environment}, scratch)


def env_file(folder: Path, variables: dict[str, str]) -> None:
    """Write the file of variables that the pages name."""
    text = "".join(f"{name}={value}\n" for name, value in variables.items())
    (folder / "mongodb.env").write_text(text, encoding="utf-8")


# README.md.

README = """
import asyncio, json, logging, sys
from connect.eaas.mongodb import AsyncMongoClient
code, config, request = json.load(sys.stdin)
exec(code)
application = MyEventsApplication(None, logging.getLogger(), config)
for _ in range(2):
    assert asyncio.run(application.handle_purchase(request)).status == "success"
"""


@NEEDS_RUNNER
def test_the_handler_of_the_readme(config: dict[str, str], pymongo_client: Any) -> None:
    code = next(block.text for block in blocks(ROOT / "README.md") if block.language == "python")
    config = {**config, "DB": f"{config['DB']}_readme"}
    request = {"id": "PR-1", "status": "pending", "asset": {"id": "AS-1"}}
    command = [str(RUNNER_ENVIRONMENT / "bin" / "python"), "-c", README]
    try:
        subprocess.run(command, input=json.dumps([code, config, request]), text=True, timeout=60, check=True)
        database = pymongo_client[config["DB"]]
        assert list(database["orders"].find()) == [{"_id": "AS-1", "status": "pending"}]
        assert [stored["id"] for stored in database[config["DRIVER_COLLECTION"]].find()] == ["PR-1"]
    finally:
        pymongo_client.drop_database(config["DB"])


# Choose a path.


@pytest.mark.parametrize("path", ["driver", "data_api"])
async def test_code_that_does_not_know_its_path(path: str, config: dict[str, str], pymongo_client: Any) -> None:
    space: dict[str, Any] = {}
    exec(compile(file_of(CHOOSE, "paths.py"), "paths.py", "exec"), space)
    config = {**config, "DB": f"{config['DB']}_{path}", "PATH_TO_MONGODB": path}
    stored = {"object": "PR-1", "text": "seen twice", "seen": True}
    try:
        for _ in range(2):
            assert await space["add_note"](config, "PR-1", "seen twice") == stored
        assert pymongo_client[config["DB"]]["notes"].count_documents({}) == 1
    finally:
        pymongo_client.drop_database(config["DB"])


def test_the_latency_of_each_path(tmp_path: Path, config: dict[str, str]) -> None:
    env_file(tmp_path, config)
    commands = [command for block in blocks(CHOOSE) if block.language == "sh" for command in block.commands()]
    assert len(commands) == 2
    for command in commands:
        assert "latency" in terminal(tmp_path).run(command)


# Test an extension.


@NEEDS_RUNNER
def test_the_fixtures_and_the_tests_of_an_extension(tmp_path: Path, mongodb_uri: str) -> None:
    package = tmp_path / "stateful_mongodb"
    (tmp_path / "tests").mkdir()
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "events.py").write_text(
        next(block.text for block in blocks(TUTORIAL) if block.title.endswith("/events.py")), encoding="utf-8"
    )
    for title in ("tests/conftest.py", "tests/test_storage.py"):
        (tmp_path / title).write_text(file_of(TEST, title), encoding="utf-8")
    install, run = (block for block in blocks(TEST) if block.language == "sh")
    paths = [
        str(found) for place in (RUNNER_ENVIRONMENT, DEVELOPMENT) for found in (place / "lib").glob("*/site-packages")
    ]
    for requirement in requirements(install.text.removeprefix("pip install")):
        find(requirement, paths)
    (printed,) = (block.text for block in blocks(TEST) if block.language == "text")
    here = terminal(tmp_path, TEST_MONGODB_URI=mongodb_uri)
    (command,) = run.commands()
    # With pytest of the environment that has Connect's libraries.
    here.run(f'"{RUNNER_ENVIRONMENT}/bin/python" -m {command}')
    assert missing(printed, here.output) == [], here.output


def test_the_dependency_for_tests_goes_into_a_generated_project() -> None:
    (diff,) = (block.text for block in blocks(TEST) if block.language == "diff")
    generated = '[tool.poetry.dev-dependencies]\npytest = ">=8,<9"\npytest-cov = ">=2.10.1,<7"\n'
    assert changed(generated, diff).splitlines()[1].startswith("connect-eaas-mongodb = ")


# Go to MongoDB Atlas.


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A MongoDB with the user of the page, and no other."""
    folder = str(tmp_path_factory.mktemp("guarded"))
    database, create = re.findall(r'getSiblingDB\("(\w+)"\)\.runCommand\((.*)\)', file_of(ATLAS, "user.js"))[0]
    with secantusdb(0, folder) as (_, port), PyMongoClient("127.0.0.1", port) as client:  # type: ignore[var-annotated]
        client[database].command(json.loads(create))
    with secantusdb(0, folder, "--auth") as (_, port):
        yield f"127.0.0.1:{port}"


def of_atlas(folder: Path) -> dict[str, str]:
    """The variables of the page."""
    (folder / "mongodb.env").write_text(file_of(ATLAS, "mongodb.env"), encoding="utf-8")
    return variables_of_file(str(folder / "mongodb.env"))


def test_the_variables_are_those_of_an_srv_host_with_tls(tmp_path: Path) -> None:
    route = _driver_route(of_atlas(tmp_path), 1000)
    assert route["srv"]
    assert route["tls"] is not None
    assert route["authenticates"]
    assert (route["database"], route["collection"]) == ("events", "requests")
    assert "maxPoolSize=20" in route["uri"]


def test_the_user_may_do_all_that_an_extension_does(tmp_path: Path, guarded: str) -> None:
    variables = of_atlas(tmp_path) | {"DB_HOST": guarded, "DB_OPTIONS": "authSource=events"}
    env_file(tmp_path, variables)
    (check,) = (block for block in blocks(ATLAS) if block.language == "sh")
    here = terminal(tmp_path, **variables)
    shown = here.run("; ".join(check.commands()))
    assert "failed" not in shown
    (tmp_path / "create_indexes.py").write_text(file_of(ATLAS, "create_indexes.py"), encoding="utf-8")
    here.run("python create_indexes.py")
    store = EventStore.from_config(variables)
    assert store.save(TYPE, {"id": "PR-1"}).stored
    with pytest.raises(OperationFailure, match="not authorized"):
        MongoClient.from_config(variables)["elsewhere"]["requests"].insert_one({})


# Scaling.


class Filters(CommandListener):
    """The filters that were sent, by the name of the command."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "find":
            self.sent.append(("find", event.command["filter"]))
        elif event.command_name == "update":
            self.sent += [("update", each["q"]) for each in event.command["updates"]]

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


def shard_keys() -> dict[str, list[str]]:
    """The fields of the page's shard keys."""
    keys = {}
    for name in ("hashed.js", "by-object.js"):
        (fields,) = re.findall(r"shardCollection\(.*?, \{(.*)\}\)", file_of(SCALING, name))
        keys[name] = [field.split(":")[0].strip(' "') for field in fields.split(",")]
    return keys


def value_at(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document


OBJECTS: list[tuple[str, Any]] = [
    (TYPE, {"id": "PR-1", "status": "pending"}),
    (TYPE, {"id": 7, "status": "pending"}),
    (TYPE, {"status": "no id"}),
    (TYPE, {"id": "x" * 500, "status": "a long id"}),
    (TYPE, {"id": "PR-2", "_id": "reserved"}),
    (TYPE, {"id": "PR-3", "$field": 1}),
    (TYPE, ["a", "list"]),
    ("scheduled_execution", {"id": "EFS-1"}),
]


@pytest.mark.parametrize("name", ["hashed.js", "by-object.js"])
def test_records_of_the_same_event_are_routed_to_the_same_shard(name: str, mongodb_uri: str, names: Any) -> None:
    key = shard_keys()[name]
    assert "_id" in key
    with MongoClient(mongodb_uri) as client:
        # Two instances, on shards of their own: each stores what it is given.
        shards = [client[names[0]][f"{names[1]}_{number}"] for number in range(2)]
        for event_type, obj in OBJECTS:
            stored = []
            for number, shard in enumerate(shards):
                again = dict(reversed(obj.items())) if isinstance(obj, dict) else obj
                saved = EventStore(shard).save(
                    event_type, again if number else obj, task_id="TQ-1", installation_id=f"EIN-{number}"
                )
                stored.append(shard.find_one({"_id": saved.id}) or {})
            first, second = stored
            assert first["_id"] == second["_id"]
            assert [value_at(first, field) for field in key] == [value_at(second, field) for field in key]
            # With what differs between deliveries in the key, they are not.
            assert first["_connect"]["receipt"] != second["_connect"]["receipt"]


def test_the_calls_that_use_one_shard(mongodb_uri: str, names: Any) -> None:
    """With the key of the object's id, those that filter by it; with the hashed key, those that filter by `_id`."""
    filters = Filters()
    with MongoClient(mongodb_uri, event_listeners=[filters]) as client:
        store = EventStore(client[names[0]][names[1]])
        saved = store.save(TYPE, {"id": "PR-1"}, installation_id="EIN-1")
        calls: dict[str, Any] = {
            "history": lambda: store.history("PR-1").to_list(),
            "latest": lambda: store.latest("PR-1"),
            "find": lambda: store.find(object_id="PR-1").to_list(),
            "get": lambda: store.get(saved.id),
            "installation": lambda: store.save(TYPE, {"id": "PR-1"}, installation_id="EIN-2"),
        }
        sent = {}
        for name, call in calls.items():
            filters.sent.clear()
            call()
            sent[name] = [dict(each) for _, each in filters.sent]
    for name in ("history", "latest", "find"):
        assert [each.get("_connect.object_id") for each in sent[name]] == ["PR-1"], name
    for name in ("get", "installation"):
        assert sent[name], name
        assert all(each["_id"] == saved.id and "_connect.object_id" not in each for each in sent[name]), name


def test_no_index_of_the_store_is_unique(mongodb_uri: str, names: Any, reader: Any) -> None:
    with MongoClient(mongodb_uri) as client:
        EventStore(client[names[0]][names[1]], ttl_seconds=60).ensure_indexes()
    indexes = reader.index_information()
    assert "connect_ttl" in indexes or any("expireAfterSeconds" in index for index in indexes.values())
    assert not [name for name, index in indexes.items() if index.get("unique")]


def test_the_pages_have_no_other_files() -> None:
    """A block with a title is one that a test here uses."""
    titles = {
        page.stem: {block.title for block in blocks(page) if block.title} for page in (CHOOSE, TEST, ATLAS, SCALING)
    }
    assert titles == {
        "choose-a-path": {"paths.py"},
        "test-an-extension": {"tests/conftest.py", "tests/test_storage.py", "pyproject.toml"},
        "atlas": {"user.js", "mongodb.env", "create_indexes.py"},
        "scaling": {"hashed.js", "by-object.js"},
    }
