"""The gateway, next to the Data API as MongoDB's Express template has it (`benches/express`).

`python -m benches.gateway [--quick]` runs this alone. All servers stand in front of the null server
and stay; a round asks each for one run, so that what disturbs the machine disturbs all.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from connect.eaas.mongodb.cli import dev

from benches.report import Figures, gateway_section

ROOT = Path(__file__).parent.parent
EXPRESS = ROOT / "benches" / "express"
ACTIONS = {"insertOne": 201, "findOne": 200}
CONNECTIONS = (1, 64, 512)
PATH = "/app/data-app/endpoint/data/v1/action"


class ExpressError(Exception):
    """What keeps the peer from being measured."""


@dataclass
class Server:
    """A server under test."""

    name: str
    port: int
    pids: list[int]


def install_express() -> str:
    """Install the peer's packages, if they are not there; give the versions of all that it is made of."""
    for command in ("node", "npm"):
        if shutil.which(command) is None:
            raise ExpressError(f"{command} is not installed")
    wanted: dict[str, str] = json.loads((EXPRESS / "package.json").read_text(encoding="utf-8"))["dependencies"]
    if any(_installed(name) != version for name, version in wanted.items()):
        install = ["npm", "install", "--omit=dev", "--no-package-lock", "--no-audit", "--no-fund"]
        installed = subprocess.run(install, cwd=EXPRESS, capture_output=True, text=True)
        if installed.returncode != 0:
            said = installed.stderr.strip().splitlines() or ["it said nothing"]
            raise ExpressError(f"npm install failed ({said[0]})")
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return f"Express {wanted['express']}, the official driver {wanted['mongodb']}, Node {node.removeprefix('v')}"


def _installed(name: str) -> str | None:
    try:
        package = json.loads((EXPRESS / "node_modules" / name / "package.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return str(package.get("version"))


@contextlib.contextmanager
def our_gateway(mongodb_uri: str, key: str) -> Iterator[Server]:
    """Run the gateway."""
    with dev.gateway(mongodb_uri, key) as (server, url):
        port = urlsplit(url).port
        assert port is not None
        yield Server("ours", port, [server.process.pid])


@contextlib.contextmanager
def express(mongodb_uri: str, key: str, workers: int) -> Iterator[Server]:
    """Run the peer, as so many processes."""
    variables = {"NODE_ENV": "production", "MONGODB_URI": mongodb_uri, "API_KEY": key, "WORKERS": str(workers)}
    settings = [f"{name}={value}" for name, value in variables.items()]
    server = dev.Server("Express", ["env", *settings, "node", str(EXPRESS / "server.js")])
    try:
        port = int(server.wait_for_line("Listening on "))
        pid = server.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
        name = "Express" if workers == 1 else f"Express, {workers} processes"
        yield Server(name, port, [pid, *map(int, children)])
    finally:
        server.stop()


class Load:
    """The load generator's process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benches.load"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, order: dict[str, Any]) -> dict[str, float]:
        """Have it carry an order out."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '{"error": "it ended"}')
        if "error" in answer:
            raise RuntimeError(f"the load generator failed: {answer['error']}")
        return dict(answer)

    def end(self) -> None:
        """End it."""
        with self.process as process:
            process.kill()


class Comparison:
    """All servers, and what is asked of them."""

    def __init__(self, servers: list[Server], request: dict[str, Any], key: str, folder: Path) -> None:
        self.servers = servers
        self.request = request
        target = {"dataSource": "Cluster0", "database": "db", "collection": "coll"}
        self.headers = {"Content-Type": "application/json", "Accept": "application/json", "api-key": key}
        self.bodies = {
            "insertOne": json.dumps({**target, "document": request}).encode(),
            "findOne": json.dumps({**target, "filter": {"id": request["id"]}}).encode(),
        }
        self.files = {action: folder / f"{action}.request" for action in ACTIONS}
        for action, file in self.files.items():
            headers = {"Host": "127.0.0.1", **self.headers, "Content-Length": len(self.bodies[action])}
            head = [f"POST {PATH}/{action} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
            file.write_bytes("\r\n".join([*head, "", ""]).encode() + self.bodies[action])

    def check(self) -> None:
        """See that all servers give the same answers."""
        for server in self.servers:
            for action, status in ACTIONS.items():
                url = f"http://127.0.0.1:{server.port}{PATH}/{action}"
                request = urllib.request.Request(url, self.bodies[action], self.headers)
                with urllib.request.urlopen(request) as response:
                    answer = json.load(response)
                    assert response.status == status, (server.name, action, response.status)
                if action == "insertOne":
                    assert len(bytes.fromhex(answer["insertedId"])) == 12, (server.name, answer)
                else:
                    assert answer == {"document": self.request}, (server.name, answer)

    def measure(self, load: Load, action: str, connections: int, seconds: float, rounds: int) -> Figures:
        """The medians of some rounds, by server, and the least ratio of ours to the peer in a round."""
        runs: dict[str, list[dict[str, float]]] = {server.name: [] for server in self.servers}
        for _ in range(rounds):
            for server in self.servers:
                order = {
                    "port": server.port,
                    "pids": server.pids,
                    "request": str(self.files[action]),
                    "status": ACTIONS[action],
                    "connections": connections,
                    "seconds": seconds,
                }
                runs[server.name].append(load.run(order))
        medians = {
            name: {figure: statistics.median(run[figure] for run in measured) for figure in measured[0]}
            for name, measured in runs.items()
        }
        pairs = zip(runs["ours"], runs.get("Express", []), strict=False)
        ratios = [ours["per_second"] / peer["per_second"] for ours, peer in pairs]
        if ratios:
            medians["ours"]["least_ratio"] = min(ratios)
        return medians


def compare(
    mongodb_uri: str, request: dict[str, Any], folder: Path, quick: bool
) -> tuple[dict[tuple[str, int], Figures], str]:
    """What each server does, by action and connections; and what is to be said of it."""
    key = dev.new_api_key()
    found: dict[tuple[str, int], Figures] = {}
    rounds, seconds = (1, 0.25) if quick else (5, 1.0)
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(our_gateway(mongodb_uri, key))]
        try:
            peer = install_express()
            servers += [stack.enter_context(express(mongodb_uri, key, workers)) for workers in (1, 2)]
        except (ExpressError, dev.DevelopmentError) as error:
            peer = f"not measured in this run: {error}"
        comparison = Comparison(servers, request, key, folder)
        comparison.check()
        load = Load()
        stack.callback(load.end)
        for action in ACTIONS:
            # Node compiles what has run for a while.
            comparison.measure(load, action, 64, 0.5 if quick else 2.0, 1)
            for connections in CONNECTIONS:
                found[action, connections] = comparison.measure(load, action, connections, seconds, rounds)
                print(f"  {action}, connections: {connections}", flush=True)
    return found, f"{peer}. Medians of {rounds} rounds of {seconds:g} s"


def main() -> None:
    """Run it, and print the report's section."""
    import bson

    from benches.run import SAMPLE, null_server

    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="one short round of each, to see that it works")
    arguments = parser.parse_args()
    request = json.loads(SAMPLE.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="connect-mongodb-bench-") as folder:
        document = Path(folder) / "document.bson"
        document.write_bytes(bson.encode(request))
        with null_server(document) as null:
            found, about = compare(null.mongodb, request, Path(folder), arguments.quick)
    print("\n".join(gateway_section(found, about)))


if __name__ == "__main__":
    main()
