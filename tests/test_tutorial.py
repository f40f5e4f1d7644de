"""docs/tutorial.md, as it is written: its files and commands, with Connect's command line and the real runner."""

from __future__ import annotations

import ast
import asyncio
import copy
import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from connect.eaas.mongodb import VARIABLES
from connect.eaas.mongodb.cli.check import variables_of_file
from pymongo import MongoClient as PyMongoClient

from demo.local_connect import LocalConnect, local_connect
from demo.runner import CCLI_ENVIRONMENT, ROOT, RUNNER_ENVIRONMENT, runner_environment
from tests.servers import needs_secantusdb
from tests.test_ccli import ccli, runner_release
from tests.walkthrough import DOCS, Block, Terminal, blocks, changed, missing, pip_install, terminals
from tests.walkthrough import virtual_environment as make_environment

PAGE = DOCS / "tutorial.md"
DEVELOPMENT = Path(os.environ.get("DEVELOPMENT_VENV", ROOT / ".venv"))
FIRST, DATABASE, RUNNER = "first terminal", "second terminal", "third terminal"
SERVERS = ("connect-mongodb dev", "cextrun")
REQUEST = json.loads((ROOT / "demo" / "samples" / "asset-purchase-request.json").read_text(encoding="utf-8"))

pytestmark = pytest.mark.skipif(
    not ((CCLI_ENVIRONMENT / "bin" / "ccli").exists() and (RUNNER_ENVIRONMENT / "bin" / "cextrun").exists()),
    reason="the environments of the runner and of Connect's command line are not set up",
)


class Reader:
    """Does what the page says."""

    def __init__(self, connect: LocalConnect, folder: Path, terminal: Callable[[str], Terminal]) -> None:
        self.connect = connect
        self.folder = folder
        self.terminal = terminal
        self.requests = 0
        self.results: list[str] = []

    async def follow(self, block: Block) -> None:
        """Do what one code block says."""
        if block.language == "sh":
            await self.type(self.terminal(block.title or FIRST), block)
        elif block.language == "text":
            await self.read(block)
        else:
            file = self.terminal(FIRST).folder / block.title
            if block.language == "diff":
                text = changed(file.read_text(encoding="utf-8"), block.text)
            else:
                text = block.text
                if "@store_event\n" in text:
                    assert class_without_decorators(text) == class_without_decorators(file.read_text(encoding="utf-8"))
            file.write_text(self.of_here(text), encoding="utf-8")

    def of_here(self, text: str) -> str:
        """The text with the address of this Connect."""
        return text.replace("api.connect.cloudblue.com", f"127.0.0.1:{self.connect.ws_port}")

    async def type(self, terminal: Terminal, block: Block) -> None:
        """Type the commands into a terminal."""
        terminal.output = ""
        for command in block.commands():
            words = shlex.split(command)
            if words[:3] == ["ccli", "project", "extension"]:
                terminal.output += await ccli(self.connect, terminal.folder, *words[3:])
            elif words[1:3] == ["-m", "venv"]:
                commands = ["cextrun", "connect-mongodb", "pytest"]
                await asyncio.to_thread(make_environment, terminal.folder / words[3], RUNNER_ENVIRONMENT, commands)
            elif words[:2] == ["pip", "install"]:
                rest = command.removeprefix("pip install")
                await asyncio.to_thread(pip_install, rest, terminal.folder, RUNNER_ENVIRONMENT, [DEVELOPMENT])
            elif command.startswith(SERVERS):
                # The runner waits for Connect to close its connections.
                await asyncio.to_thread(terminal.stop, 2 if command.startswith("cextrun") else 20)
                await asyncio.wait_for(self.connect.disconnected(), 60)
                # This Connect has no TLS for its WebSocket, and the runner would ask PyPI for its newest version.
                terminal.start(command.replace("cextrun", "exec cextrun -u -n"))
                await self.started(terminal, command)
            else:
                await asyncio.to_thread(terminal.run, command)

    async def started(self, terminal: Terminal, command: str) -> None:
        """Wait for a server; read what it prints as the page's reader does."""
        if command.startswith("cextrun"):
            await self.until(self.connect.connected(), terminal)
            return
        await self.until(shown(terminal, "DB_OPTIONS="), terminal)
        self.connect.variables = variables_of_file(str(self.folder / "mongodb.env"))

    async def read(self, block: Block) -> None:
        """Compare what was printed; create a purchase request first where the runner prints of it."""
        terminal = self.terminal(block.title or FIRST)
        if block.title == RUNNER:
            await self.purchase()
        deadline = asyncio.get_running_loop().time() + 20
        while (absent := missing(block.text, terminal.printed())) and terminal.alive():
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.05)
        assert not absent, f"not printed: {absent}\n\n{terminal.printed()}"

    async def purchase(self) -> None:
        """Create a purchase request in Connect, which delivers it twice."""
        self.requests += 1
        request = {**copy.deepcopy(REQUEST), "id": f"PR-7658-9572-0778-{self.requests:03}", "status": "pending"}
        for delivery in range(2):
            task = await self.connect.send_task(f"TQ-{self.requests}-{delivery}", request)
            output = await self.until(task.result, self.terminal(RUNNER))
            self.results.append(output["result"])

    async def until(self, awaitable: Any, terminal: Terminal) -> Any:
        """Wait, but not if the terminal's command has ended."""
        waiting = asyncio.ensure_future(awaitable)
        for _ in range(60):
            done, _pending = await asyncio.wait({waiting}, timeout=1)
            if done:
                return waiting.result()
            if not terminal.alive():
                break
        waiting.cancel()
        raise AssertionError(f"it has ended, or takes too long:\n{terminal.printed()}")


def class_without_decorators(code: str) -> str:
    """The class of a module, which but for its decorators is as Connect's command line generates it."""
    (found,) = (node for node in ast.parse(code).body if isinstance(node, ast.ClassDef))
    found.decorator_list = []
    for node in found.body:
        if isinstance(node, ast.AsyncFunctionDef):
            node.decorator_list = []
    return ast.dump(found)


async def shown(terminal: Terminal, line: str) -> None:
    while line not in terminal.printed():
        await asyncio.sleep(0.02)


async def test_the_tutorial_works_as_it_is_written(tmp_path: Path) -> None:
    needs_secantusdb()
    async with local_connect({}, tmp_path) as connect:
        connect.packages["connect-extension-runner"] = runner_release()
        environment = runner_environment(connect, "tutorial")
        # The page sets these.
        for name in ("API_KEY", "ENVIRONMENT_ID", "SERVER_ADDRESS"):
            del environment[name]
        # The MongoDB for development is in another environment than the runner.
        environment["PATH"] = f"{environment['PATH']}:{DEVELOPMENT / 'bin'}"
        with terminals(tmp_path, environment) as terminal:
            reader = Reader(connect, tmp_path, terminal)
            for block in blocks(PAGE):
                await reader.follow(block)
            await asyncio.to_thread(terminal(RUNNER).stop, 2)
            variables = connect.variables
            client: PyMongoClient[dict[str, Any]]
            with PyMongoClient(f"mongodb://{variables['DB_HOST']}") as client:
                database: Any = client[variables["DB"]]
                stored = {name: database[name].distinct("id") for name in ("requests_driver", "requests_http")}
                notes = sorted(note["text"] for note in database["notes"].find())

    assert set(reader.results) == {"success"}
    assert reader.requests == 2
    first, second = "PR-7658-9572-0778-001", "PR-7658-9572-0778-002"
    assert stored == {"requests_driver": [first, second], "requests_http": [second]}
    # The second request is delivered twice, and `insert_one` does not know that.
    assert notes == ["written by the driver"] * 2 + ["written through HTTP"] * 2
    setup = next(setup for setup in connect.setup_requests if setup["event_subscriptions"])
    assert [variable["name"] for variable in setup["variables"]] == [variable["name"] for variable in VARIABLES]
