"""Runs every client in turn, in the same run, and writes `docs/benchmarks.md` with its plots.

`python -m benches.run [--quick]`. Each peer is a process of its own that stays; a round asks each
for one run, so that what disturbs the machine disturbs all. The figures are medians of the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bson
from connect.eaas.mongodb.cli import dev

from benches.client import PEERS
from benches.gateway import compare
from benches.models import models
from benches.report import Report, write
from benches.scaling import Scaling
from benches.start import first_event, imports, weights

ROOT = Path(__file__).parent.parent
RELEASE = ROOT / "target" / "release"
SAMPLE = ROOT / "demo" / "samples" / "asset-purchase-request.json"

RUST_PEERS = ("rust insert_one", "rust insert_many", "reqwest")
DRIVER = (
    "tutorial (Motor per event)",
    "Motor",
    "PyMongo async",
    "PyMongo threads",
    "mongojet",
    "rust insert_one",
    "rust insert_many",
    "ours",
    "ours unmerged",
    "ours threads",
)
HTTP = (
    "tutorial (httpx per event)",
    "httpx",
    "aiohttp",
    "reqwest",
    "ours http",
    "ours http unmerged",
    "ours http threads",
)
CONCURRENCY = (1, 8, 64, 512)
SIZES = {"0.5 kB": 500, "3 kB": None, "30 kB": 30_000, "300 kB": 300_000}


@dataclass
class Servers:
    """Where the peers send to."""

    mongodb: str
    http: str
    key: str = "key"


class Peer:
    """A peer's process."""

    def __init__(self, name: str) -> None:
        self.name = name
        command = (
            [str(RELEASE / "bare-client"), name]
            if name in RUST_PEERS
            else [sys.executable, str(ROOT / "benches" / "client.py"), name]
        )
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def run(self, order: dict[str, Any]) -> dict[str, float] | None:
        """Have it carry an order out; `None` if it could not."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if self.process.poll() is not None:
            return None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


@contextlib.contextmanager
def peers(names: tuple[str, ...]) -> Iterator[list[Peer]]:
    """Run these peers' processes."""
    running = [Peer(name) for name in names]
    try:
        yield running
    finally:
        for peer in running:
            peer.end()


@contextlib.contextmanager
def null_server(document: Path) -> Iterator[Servers]:
    """Run the server that stores nothing."""
    with subprocess.Popen(
        [str(RELEASE / "null-server"), str(document)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        mongodb, http = process.stdout.readline().split()
        try:
            yield Servers(f"mongodb://127.0.0.1:{mongodb}/", f"http://127.0.0.1:{http}")
        finally:
            process.kill()


@contextlib.contextmanager
def real_servers() -> Iterator[Servers]:
    """Run SecantusDB and the gateway."""
    key = dev.new_api_key()
    with dev.mongodb() as (_, port), dev.gateway(f"mongodb://127.0.0.1:{port}/", key) as (_, url):
        yield Servers(f"mongodb://127.0.0.1:{port}/", url, key)


def sized(request: dict[str, Any], size: int | None) -> dict[str, Any]:
    """The request, cut or filled to about so many bytes."""
    if size is None:
        return request
    if size < 1000:
        return {name: request[name] for name in ("id", "type", "status", "created", "contract", "marketplace")}
    filled = json.loads(json.dumps(request))
    item = filled["asset"]["items"][0]
    missing = size - len(bson.encode(filled))
    copies = max(missing, 0) // len(bson.encode(item)) + (missing > 0)
    filled["asset"]["items"].extend(json.loads(json.dumps([item] * copies)))
    return dict(filled)


def median(runs: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]} if runs else {}


class Benchmark:
    """The whole run."""

    def __init__(self, quick: bool, folder: Path) -> None:
        self.quick = quick
        self.folder = folder
        self.request = json.loads(SAMPLE.read_text(encoding="utf-8"))
        self.files: dict[str, dict[str, str]] = {}
        for name, size in SIZES.items():
            self.files[name] = self.file(size)
        self.seconds = 0.25 if quick else 0.5
        self.rounds = 1 if quick else 5

    def file(self, size: str | int | None) -> dict[str, str]:
        """The files of a document of this size, as BSON and JSON."""
        if isinstance(size, str):
            return self.files[size]
        files = {"bson": self.folder / f"{size or 'sample'}.bson", "json": self.folder / f"{size or 'sample'}.json"}
        if not files["bson"].exists():
            document = sized(self.request, size)
            files["bson"].write_bytes(bson.encode(document))
            files["json"].write_text(json.dumps(document), encoding="utf-8")
        return {kind: str(path) for kind, path in files.items()}

    def measure(
        self,
        running: list[Peer],
        servers: Servers,
        size: str | int = "3 kB",
        concurrency: int = 64,
        rounds: int = 1,
        work: str = "call",
        seconds: float | None = None,
        collections: int = 1,
    ) -> dict[str, dict[str, float]]:
        """The medians of some rounds, by peer. A size is a name of `SIZES` or a number of bytes."""
        order = {
            "mongodb": servers.mongodb,
            "http": servers.http,
            "key": servers.key,
            "concurrency": concurrency,
            "seconds": seconds or self.seconds,
            "work": work,
            "collections": collections,
            **self.file(size),
        }
        runs: dict[str, list[dict[str, float]]] = {peer.name: [] for peer in running}
        for number in range(rounds):
            # Each peer is first in some round: what one leaves behind, such as heat, disturbs all.
            first = number % len(running)
            for peer in running[first:] + running[:first]:
                if (figures := peer.run(order)) is not None:
                    runs[peer.name].append(figures)
        print(f"  {size}, {concurrency} at once, {work}", flush=True)
        return {name: median(measured) for name, measured in runs.items() if measured}

    def run(self) -> Report:
        """Measure all."""
        report = Report(machine(), versions(), datetime.date.today().isoformat(), self.rounds, self.seconds)
        with null_server(Path(self.files["3 kB"]["bson"])) as null:
            for path, names in (("driver", DRIVER), ("http", HTTP)):
                print(f"{path} path, null server", flush=True)
                with peers(names) as running:
                    for concurrency in CONCURRENCY:
                        rounds = self.rounds if concurrency != 8 else 1
                        figures = self.measure(running, null, concurrency=concurrency, rounds=rounds)
                        report.main[path, concurrency] = figures
                    for size in SIZES:
                        if size != "3 kB":
                            for concurrency in (1, 64) if self.quick else CONCURRENCY:
                                report.sizes[path, size, concurrency] = self.measure(running, null, size, concurrency)
            print("reads, null server", flush=True)
            with peers(("Motor", "PyMongo async", "mongojet", "ours")) as running:
                report.reads["find_one by _id, 64 at once"] = self.measure(running, null, work="find_one")
            with peers(("Motor", "PyMongo async", "ours")) as running:
                report.reads["find of 1,000, 1 at once"] = self.measure(
                    running, null, concurrency=1, work="find", rounds=self.rounds
                )
            print("batches, sizes, distance, concurrency, collections", flush=True)
            scaling = Scaling(self, RELEASE)
            scaling.run(null)
            report.scaling, report.more_targets = [table.lines() for table in scaling.tables], scaling.targets
            print("growth", flush=True)
            report.growth = growth(null, 50_000 if self.quick else 1_000_000)
            print("the gateway, next to Express", flush=True)
            report.gateway, report.gateway_about = compare(null.mongodb, self.request, self.folder, self.quick)
        print("SecantusDB and the gateway", flush=True)
        for path, names in (
            ("driver", ("Motor", "PyMongo async", "mongojet", "ours", "ours unmerged")),
            ("http", ("httpx", "aiohttp", "ours http", "ours http unmerged")),
        ):
            report.real[path] = {}
            for name in names:
                # A server of its own for each: the server slows down as its collections grow.
                with real_servers() as real, peers((name,)) as running:
                    rounds, seconds = (1, 0.5) if self.quick else (3, 1.0)
                    report.real[path] |= self.measure(running, real, rounds=rounds, seconds=seconds)
        with real_servers() as real:
            report.first = first_event(real.mongodb, SAMPLE, 5 if self.quick else 21)
        print("codec and imports", flush=True)
        report.codec = codec(self.request)
        report.models = models(self.request)
        report.imports = imports(5 if self.quick else 21)
        report.weights = weights()
        return report


def growth(servers: Servers, inserts: int) -> dict[str, float]:
    """The memory of a process over so many inserts, in bytes."""
    program = f"""
import asyncio, json, os, uvloop
from connect.eaas.mongodb import AsyncMongoClient
request = json.load(open({str(SAMPLE)!r}))
def resident():
    return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
async def main():
    collection = AsyncMongoClient({servers.mongodb!r}).db.coll
    async def work(count):
        for _ in range(count):
            await collection.insert_one(request)
    await asyncio.gather(*(work({min(inserts, 50_000)} // 64) for _ in range(64)))
    before = resident()
    await asyncio.gather(*(work({inserts} // 64) for _ in range(64)))
    print(json.dumps(dict(inserts={inserts}, before=before, growth=resident() - before)))
uvloop.run(main())
"""
    return dict(json.loads(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout))


def codec(request: dict[str, Any]) -> dict[str, float]:
    """The time of a call, in microseconds: the best of many, in turns."""
    import orjson
    from connect.eaas.mongodb import _native

    data = bson.encode(request)
    calls = {
        "bson.encode": lambda: bson.encode(request),
        "ours encode": lambda: _native.bson_encode(request),
        "bson.decode": lambda: bson.decode(data),
        "ours decode": lambda: _native.bson_decode(data),
        "json.dumps": lambda: json.dumps(request),
        "orjson.dumps": lambda: orjson.dumps(request),
        "ours EJSON encode": lambda: _native.ejson_encode(request),
    }
    runs: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(30):
        for name, call in calls.items():
            begun = time.perf_counter()
            for _ in range(500):
                call()
            runs[name].append((time.perf_counter() - begun) / 500 * 1e6)
    return {name: min(measured) for name, measured in runs.items()}


def machine() -> str:
    """What this runs on."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = names[0].split(":", 1)[1].strip() if names else platform.machine()
    return f"{len(os.sched_getaffinity(0))} cores, {name}, Linux {platform.release().split('-')[0]}"


def versions() -> str:
    """Of what is compared."""
    from importlib.metadata import version

    names = (
        "connect-eaas-mongodb",
        "pymongo",
        "motor",
        "mongojet",
        "httpx",
        "aiohttp",
        "uvloop",
        "msgspec",
        "pydantic",
        "SecantusDB",
    )
    listed = [f"{name} {version(name)}" for name in names]
    return ", ".join([f"Python {platform.python_version()}", *listed])


def main() -> None:
    """Run it, and write the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="one short round of each, to see that it works")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="the folder for the report")
    arguments = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="connect-mongodb-bench-") as folder:
        report = Benchmark(arguments.quick, Path(folder)).run()
    report.minutes = (time.monotonic() - begun) / 60
    print(write(report, arguments.out))
    assert set(DRIVER + HTTP) - set(RUST_PEERS) <= set(PEERS)


if __name__ == "__main__":
    main()
