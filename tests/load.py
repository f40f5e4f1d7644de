"""A load test of the gateway: `python -m tests.load [--seconds 600] [--idle 10000] [--busy 500]` (Linux only).

Idle connections send one request, stay open, and send another at the end. Busy connections send one request after
the other: finds, inserts and updates. No request may fail, no connection may end, and the gateway's memory may not
grow. The result is a table with the times of requests.

The client is one process with one socket for each connection. Its addresses are 127.0.1.0 and those after it, so that
neither the ports of one address nor the gateway's limit for one peer run out.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import json
import random
import resource
import signal
import statistics
import sys
import tempfile
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop
from connect.eaas.mongodb import _native
from connect.eaas.mongodb.cli.dev import Server, mongodb

DATABASE = "load"
COLLECTION = "documents"
FIRST_ADDRESS = ipaddress.IPv4Address("127.0.1.0")
"""All addresses of 127.0.0.0/8 are this machine's."""
CONNECTIONS_OF_AN_ADDRESS = 50
CONNECTING_AT_ONCE = 100
OPEN_FILES_MORE = 256
"""What the client and the gateway open besides their connections."""
REQUEST_SECONDS = 60
PROGRESS_SECONDS = 10
WARM_UP_SHARE = 0.2
MOST_MORE_KIB = 20 * 1024
MOST_MORE_SHARE = 0.1


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


@dataclass
class Ledger:
    """What happened."""

    times: dict[str, array[float]] = field(default_factory=lambda: defaultdict(lambda: array("d")))
    """The seconds of each request, by action."""
    faults: Counter[str] = field(default_factory=Counter)
    samples: list[int] = field(default_factory=list)
    """The gateway's resident memory in KiB, each second after the warm-up."""

    @property
    def requests(self) -> int:
        return sum(map(len, self.times.values()))


def is_complete(head: bytearray, body: bytearray) -> bool:
    """Whether all of a response has arrived: one with a length, or in chunks."""
    _, has_length, rest = head.lower().partition(b"content-length:")
    return len(body) >= int(rest.split(b"\r\n", 1)[0]) if has_length else body.endswith(b"0\r\n\r\n")


class Connection(asyncio.Protocol):
    """A connection that sends one request after the other."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._waiting: asyncio.Future[int] | None = None
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is a transport of its own.
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end and self._waiting is not None and is_complete(head, body):
            self._received.clear()
            waiting, self._waiting = self._waiting, None
            if not waiting.done():
                waiting.set_result(int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("the connection ended in a request"))

    async def send(self, request: bytes) -> int:
        """Send a request, and return the status of its response."""
        if self._transport is None or not self.is_open:
            raise ConnectionError("the connection has ended")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await asyncio.wait_for(self._waiting, REQUEST_SECONDS * 2)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Requests:
    """Makes the requests."""

    def __init__(self, host: str, key: str) -> None:
        self._host = host
        self._key = key
        self._place = {"dataSource": "Cluster0", "database": DATABASE, "collection": COLLECTION}
        self.healthy = f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()

    def action(self, name: str, body: dict[str, object]) -> bytes:
        """A request for an action."""
        content = json.dumps({**self._place, **body}).encode()
        head = (
            f"POST /action/{name} HTTP/1.1\r\nHost: {self._host}\r\napi-key: {self._key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content


async def connect(
    address: tuple[str, int], count: int, first: int, requests: Requests, ledger: Ledger
) -> list[Connection]:
    """Open connections, from several addresses of this machine, and send a request by each."""
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def one(number: int) -> Connection:
        source = FIRST_ADDRESS + (first + number) // CONNECTIONS_OF_AN_ADDRESS
        async with gate:
            _, connection = await loop.create_connection(Connection, *address, local_addr=(str(source), 0))
            await check(connection, requests, ledger, "at first")
            return connection

    return await asyncio.gather(*(one(number) for number in range(count)))


async def check(connection: Connection, requests: Requests, ledger: Ledger, when: str) -> None:
    """Send a request by an idle connection."""
    try:
        if (status := await connection.send(requests.healthy)) != 200:
            ledger.faults[f"idle, {when}: status {status}"] += 1
    except (OSError, asyncio.TimeoutError) as error:
        ledger.faults[f"idle, {when}: {error or 'no response'}"] += 1


async def work(connection: Connection, number: int, requests: Requests, ledger: Ledger, until: float) -> None:
    """Send one request after the other."""
    chance = random.Random(number)
    kept = 0
    while time.monotonic() < until:
        kind, key = chance.random(), f"{number}-{chance.randrange(max(kept, 1))}"
        # Mostly reads: SecantusDB gets slower with each write that it remembers.
        if kept < 4 or kind < 0.02:
            action, wanted = "insertOne", 201
            body: dict[str, object] = {"document": {"_id": f"{number}-{kept}", "n": 0, "text": "x" * 1000}}
        elif kind < 0.87:
            action, wanted, body = "findOne", 200, {"filter": {"_id": key}}
        elif kind < 0.89:
            action, wanted = "updateOne", 200
            body = {"filter": {"_id": key}, "update": {"$inc": {"n": 1}}}
        else:
            action, wanted = "find", 200
            body = {"filter": {"_id": {"$in": [f"{number}-{n}" for n in range(4)]}}, "limit": 4}
        begun = time.perf_counter()
        try:
            status = await connection.send(requests.action(action, body))
        except (OSError, asyncio.TimeoutError) as error:
            ledger.faults[f"{action}: {error or 'no response'}"] += 1
            return
        ledger.times[action].append(time.perf_counter() - begun)
        if status != wanted:
            ledger.faults[f"{action}: status {status}"] += 1
        elif action == "insertOne":
            kept += 1


def resident_kib(process: int) -> int:
    """The resident memory of a process."""
    text = (Path("/proc") / str(process) / "status").read_text(encoding="ascii")
    return int(next(line for line in text.splitlines() if line.startswith("VmRSS:")).split()[1])


async def watch(process: int, ledger: Ledger, seconds: float) -> None:
    """Look at the gateway's memory every second, and say how it goes."""
    begun, last = time.monotonic(), 0
    for second in range(1, int(seconds) + 1):
        await asyncio.sleep(begun + second - time.monotonic())
        kib = resident_kib(process)
        if second > seconds * WARM_UP_SHARE:
            ledger.samples.append(kib)
        if second % PROGRESS_SECONDS == 0:
            rate = (ledger.requests - last) / PROGRESS_SECONDS
            last = ledger.requests
            say(f"{second:5} s  {last:8} requests, {rate:6.0f} a second  {kib / 1024:6.1f} MiB")


async def load(gateway: Server, url: str, key: str, ledger: Ledger, options: argparse.Namespace) -> None:
    """Run the load."""
    split = urlsplit(url)
    address = (split.hostname or "", split.port or 0)
    requests = Requests(split.netloc, key)
    pid = gateway.process.pid
    before = resident_kib(pid)
    idle = await connect(address, options.idle, 0, requests, ledger)
    with_idle = resident_kib(pid)
    say(
        f"{options.idle} idle connections: {before / 1024:.1f} MiB before, {with_idle / 1024:.1f} MiB with them, "
        f"{(with_idle - before) / max(options.idle, 1):.1f} KiB each"
    )
    busy = await connect(address, options.busy, options.idle, requests, ledger)
    until = time.monotonic() + options.seconds
    workers: list[Awaitable[None]] = [
        work(connection, number, requests, ledger, until) for number, connection in enumerate(busy)
    ]
    await asyncio.gather(*workers, watch(pid, ledger, options.seconds))
    if ended := sum(not connection.is_open for connection in idle):
        ledger.faults["idle: the connection ended"] += ended
    for connection in idle:
        if connection.is_open:
            await check(connection, requests, ledger, "at last")
    for connection in [*idle, *busy]:
        connection.close()


def summarize(ledger: Ledger, options: argparse.Namespace) -> None:
    """Say what happened, as a table, and the verdict."""
    say("\n| action | requests | a second | median | 99 of 100 | longest |")
    say("| --- | --- | --- | --- | --- | --- |")
    all_times = array("d")
    for times in ledger.times.values():
        all_times.extend(times)
    for name, times in [*sorted(ledger.times.items()), ("all", all_times)]:
        sorted_times = sorted(times)

        def at(share: float, seconds: list[float] = sorted_times) -> str:
            return f"{seconds[min(int(len(seconds) * share), len(seconds) - 1)] * 1000:.0f} ms"

        if sorted_times:
            rate = f"{len(times) / options.seconds:.0f}"
            say(f"| {name} | {len(times)} | {rate} | {at(0.5)} | {at(0.99)} | {at(1)} |")
    fifth = max(1, len(ledger.samples) // 5)
    first, last = (statistics.median(part) for part in (ledger.samples[:fifth], ledger.samples[-fifth:]))
    most = max(ledger.samples)
    say(f"\nMemory: {first / 1024:.1f} MiB at first, {last / 1024:.1f} MiB at last, {most / 1024:.1f} MiB at most")
    if last - first > max(MOST_MORE_KIB, first * MOST_MORE_SHARE):
        ledger.faults["the gateway's memory grew"] += 1
    for fault, count in ledger.faults.most_common():
        say(f"FAULT: {fault} ({count})")
    say("FAILED" if ledger.faults else "all right")


@contextlib.contextmanager
def started(uri: str, connections: int) -> Iterator[tuple[Server, str, str]]:
    """Run a gateway that takes so many connections; yield it, its URL and a key."""
    with tempfile.TemporaryDirectory(prefix="connect-mongodb-load-") as name:
        folder = Path(name)
        text, key = _native.create_key("", "load", rights=["read", "write"], places=[f"*/{DATABASE}/*"], expires=None)
        keys = folder / "keys.toml"
        keys.touch(mode=0o600)
        keys.write_text(text, encoding="utf-8")
        config = folder / "gateway.toml"
        config.write_text(
            'listen = "127.0.0.1:0"\nkeys_file = "keys.toml"\naccess_log = false\n'
            f"[data_sources.Cluster0]\nuri = {json.dumps(uri)}\n"
            # An idle connection stays open for longer than the test.
            f"[limits]\nconnections = {connections}\nkeep_alive_seconds = 86400\nrequest_seconds = {REQUEST_SECONDS}\n",
            encoding="utf-8",
        )
        command = [sys.executable, "-m", "connect.eaas.mongodb.cli", "gateway", "--config", str(config)]
        server = Server("the gateway", command)
        try:
            yield server, server.wait_for_line("Listening on "), key
        finally:
            server.stop()


def raise_open_files(wanted: int) -> None:
    """Let this process, and those that it starts, open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
        except (ValueError, OSError):
            raise SystemExit(
                f"{wanted} open files are needed, and the limit is {hard}: raise it (ulimit -Hn {wanted})"
            ) from None


def main() -> int:
    """Give 0 if all was right."""
    parser = argparse.ArgumentParser(prog="python -m tests.load", description="A load test of the gateway.")
    parser.add_argument("--seconds", type=float, default=600, help="for how long the busy connections work")
    parser.add_argument("--idle", type=int, default=10_000, help="how many connections are idle")
    parser.add_argument("--busy", type=int, default=500, help="how many connections work")
    parser.add_argument("--mongodb-uri", help="in place of a SecantusDB; the database 'load' is written to")
    options = parser.parse_args()
    if options.seconds < 5 or options.idle < 0 or options.busy < 1 or options.idle + options.busy > 100_000:
        parser.error("at least 5 seconds and 1 busy connection, and at most 100,000 connections")
    connections = options.idle + options.busy
    raise_open_files(connections + OPEN_FILES_MORE)
    # As Ctrl-C: everything that was started ends.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ledger = Ledger()
    with contextlib.ExitStack() as stack:
        uri = options.mongodb_uri
        if uri is None:
            _, port = stack.enter_context(mongodb())
            uri = f"mongodb://127.0.0.1:{port}/"
        gateway, url, key = stack.enter_context(started(uri, connections + 8))
        runner: Callable[..., None] = uvloop.run
        runner(load(gateway, url, key, ledger, options))
        if gateway.process.poll() is not None:
            ledger.faults["the gateway ended"] += 1
    summarize(ledger, options)
    return 1 if ledger.faults else 0


if __name__ == "__main__":
    sys.exit(main())
