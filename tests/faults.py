"""A proxy in front of MongoDB that spoils messages, by count and never by the clock.

It reads the framing of the wire protocol, so that it knows whether the server has got a command when it cuts the
connection. What keeps a client connected (`hello`, authentication) passes untouched unless a plan says otherwise, since
how often that is sent depends on time.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import itertools
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import bson

from tests.proxies import listener

OP_MSG = 2013
HANDSHAKE = frozenset(
    {"hello", "ismaster", "isMaster", "saslStart", "saslContinue", "buildInfo", "endSessions", "killCursors", "ping"}
)


class Fault(enum.Enum):
    """What happens to a command, or to its answer."""

    CUT_BEFORE = "the connection closes, and the server has not got the command"
    CUT_AFTER = "the connection closes after the server has answered"
    RESET_BEFORE = "the connection is reset, and the server has not got the command"
    RESET_AFTER = "the connection is reset after the server has answered"
    TRUNCATED = "half of the answer arrives, then the connection closes"
    HALF_CLOSED = "the proxy stops sending before the answer, and still reads"
    DELAYED = "the answer comes late"
    TRICKLED = "the answer comes in small pieces"
    DUPLICATED = "the answer comes twice"


# All but the one that no TCP connection does.
FAULTS = tuple(fault for fault in Fault if fault is not Fault.DUPLICATED)
# Those that lose the answer.
LOSSES = tuple(fault for fault in FAULTS if fault not in (Fault.DELAYED, Fault.TRICKLED))
_BEFORE = (Fault.CUT_BEFORE, Fault.RESET_BEFORE)


@dataclass(frozen=True)
class Command:
    """A command on its way to the server."""

    number: int  # Of those that a plan decides on, from 1.
    name: str
    body: dict[str, Any]

    @property
    def identity(self) -> object:
        """The same for a command and for its repeat, where that is known."""
        if (lsid := self.body.get("lsid")) and "txnNumber" in self.body:
            return bytes(lsid["id"]), self.body["txnNumber"]
        return self.name, repr(self.body.get("getMore")), repr(self.body.get("comment"))


Plan = Callable[[Command], "Fault | None"]


def every(number: int, faults: tuple[Fault, ...] = FAULTS, seed: int = 0, *names: str) -> Plan:
    """A plan: each `number`th command (of these names, if given) meets the next fault of a seeded order.

    No command meets two: its repeat passes. So whoever repeats once gets through, whatever runs beside it.
    """
    shuffled = random.Random(seed).sample(faults, len(faults))
    order = itertools.cycle(shuffled)
    spoilt: set[object] = set()
    count = 0

    def plan(command: Command) -> Fault | None:
        nonlocal count
        if names and command.name not in names:
            return None
        count += 1
        if count % number or command.identity in spoilt:
            return None
        spoilt.add(command.identity)
        return next(order)

    return plan


@dataclass
class Faulty:
    """A running proxy."""

    port: int = 0
    plan: Plan | None = None
    commands: Counter[str] = field(default_factory=Counter)
    faults: Counter[tuple[str, Fault]] = field(default_factory=Counter)
    # What passes untouched, and is not counted.
    untouched: frozenset[str] = HANDSHAKE
    # The transaction numbers of each session, in the order in which they came.
    numbers: dict[bytes, list[int]] = field(default_factory=dict)
    _number: int = 0

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    def decide(self, name: str, body: dict[str, Any]) -> Fault | None:
        """The fault that this command meets."""
        if "txnNumber" in body:
            self.numbers.setdefault(bytes(body["lsid"]["id"]), []).append(body["txnNumber"])
        if name in self.untouched:
            return None
        self.commands[name] += 1
        self._number += 1
        fault = self.plan(Command(self._number, name, body)) if self.plan else None
        if fault is not None:
            self.faults[name, fault] += 1
        return fault

    def met(self, name: str, faults: tuple[Fault, ...]) -> int:
        """How many commands of this name met one of these faults."""
        return sum(self.faults[name, fault] for fault in faults)


def _command(body: bytes) -> dict[str, Any]:
    """The document of an OP_MSG, without those of its sequences."""
    if body[4] != 0:
        return {}
    (length,) = struct.unpack_from("<i", body, 5)
    return dict(bson.decode(body[5 : 5 + length]))


async def _message(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes]:
    """The next message: its id, whom it answers, its operation, and all its bytes."""
    head = await reader.readexactly(16)
    length, request, response, operation = struct.unpack("<iiii", head)
    return request, response, operation, head + await reader.readexactly(length - 16)


class _Link:
    """A client's connection, and the one to the server that belongs to it."""

    def __init__(self, state: Faulty, client: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        self.state = state
        self.from_client, self.to_client = client
        self.pending: dict[int, Fault] = {}

    async def run(self, server_port: int) -> None:
        opening = asyncio.ensure_future(asyncio.open_connection("127.0.0.1", server_port))
        try:
            self.from_server, self.to_server = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The connection may be open by now.
            opening.add_done_callback(lambda opened: opened.result()[1].close())
            raise
        pumps = [asyncio.create_task(self.commands()), asyncio.create_task(self.answers())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            # Nothing is awaited from here on, where a task that is cancelled twice would end early.
            for writer in (self.to_server, self.to_client):
                writer.close()

    async def commands(self) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request, _, operation, message = await _message(self.from_client)
                if operation == OP_MSG and (body := _command(message[16:])):
                    fault = self.state.decide(next(iter(body)), body)
                    if fault in _BEFORE:
                        self.lose(fault)
                        return
                    if fault is not None:
                        self.pending[request] = fault
                self.to_server.write(message)
                await self.to_server.drain()

    async def answers(self) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                _, response, _, message = await _message(self.from_server)
                match self.pending.pop(response, None):
                    case None:
                        self.to_client.write(message)
                    case Fault.DUPLICATED:
                        self.to_client.write(message + message)
                    case Fault.DELAYED:
                        await asyncio.sleep(0.05)
                        self.to_client.write(message)
                    case Fault.TRICKLED:
                        for start in range(0, len(message), 40):
                            self.to_client.write(message[start : start + 40])
                            await self.to_client.drain()
                            await asyncio.sleep(0.001)
                    case Fault.HALF_CLOSED:
                        self.to_client.write_eof()
                        # The client closes its side when it sees that.
                        while await self.from_server.read(65536):
                            pass
                    case Fault.TRUNCATED:
                        self.to_client.write(message[: len(message) // 2])
                        await self.to_client.drain()
                        return
                    case fault:
                        self.lose(fault)
                        return
                await self.to_client.drain()

    def lose(self, fault: Fault) -> None:
        """Closes the client's connection, or resets it."""
        if fault in (Fault.RESET_BEFORE, Fault.RESET_AFTER):
            peer: socket.socket = self.to_client.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.to_client.transport.abort()
        else:
            self.to_client.close()


@contextlib.contextmanager
def faulty(server_port: int, plan: Plan | None = None) -> Iterator[Faulty]:
    """Run a proxy in a thread of its own."""
    state = Faulty(plan=plan)
    loop = asyncio.new_event_loop()
    started = threading.Event()
    stop = asyncio.Event()

    async def link(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _Link(state, (reader, writer)).run(server_port)

    async def serve() -> None:
        async with listener(link) as state.port:
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield state
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
