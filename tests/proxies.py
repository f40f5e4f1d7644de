"""A proxy in front of MongoDB, or of a Data API, that closes idle connections or goes silent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

__all__ = ["Proxy", "listener", "proxy"]

T = TypeVar("T")

OP_MSG = 2013
# What tells nothing of whether a connection is a pool's or a monitor's.
HANDSHAKE = {"hello", "ismaster", "isMaster"}


@contextlib.asynccontextmanager
async def listener(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Call `serve` with each connection to the port that this yields. At the end, no socket is open.

    `asyncio.start_server` does not give that: a server that closes leaves the connection that it was accepting.
    """
    loop = asyncio.get_running_loop()
    accepted: list[socket.socket] = []
    transports: list[asyncio.WriteTransport] = []
    serving: set[asyncio.Task[None]] = set()

    async def serve_one(connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        transports.append(writer.transport)
        try:
            with contextlib.suppress(OSError):
                await serve(reader, writer)
        finally:
            writer.close()

    def accept() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listening.accept()
            connection.setblocking(False)
            accepted.append(connection)
            task = loop.create_task(serve_one(connection))
            serving.add(task)
            task.add_done_callback(serving.discard)

    with socket.create_server(("127.0.0.1", 0), backlog=200) as listening:
        listening.setblocking(False)
        loop.add_reader(listening, accept)
        try:
            yield listening.getsockname()[1]
        finally:
            loop.remove_reader(listening)
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)
            for transport in transports:
                transport.abort()
            # Transports close in the loop's next turns.
            for _ in range(100):
                await asyncio.sleep(0)
            # Also those of tasks that were cancelled before they ran.
            for connection in accepted:
                connection.close()


class _Connection:
    """A client's connection, and the one to the server."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        # Whether it carried more than a handshake: monitors carry nothing else.
        self.used = False
        self.busy = False

    def abort(self, reset: bool) -> None:
        if reset:
            sock: socket.socket = self.client.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.transport.abort()
        self.server.transport.abort()


class Proxy:
    """Passes bytes on, until it is told otherwise. Its methods may be called in any thread."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self._target = port
        self._connections: set[_Connection] = set()
        self._listening = contextlib.AsyncExitStack()
        self._loop = asyncio.new_event_loop()
        self._passing = asyncio.Event()
        self._delay = 0.0
        self._commands: list[str] = []

    @property
    def uri(self) -> str:
        """A connection string of a MongoDB, which would otherwise tell of its own port."""
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    @property
    def commands(self) -> list[str]:
        """The names of the commands of MongoDB that came, but for handshakes."""
        return self._do(lambda: list(self._commands))

    def delay(self, seconds: float) -> None:
        """Pass on the answers to what is no handshake later than they came."""
        self._do(lambda: setattr(self, "_delay", seconds))

    def idle(self) -> int:
        """How many connections wait in clients' pools."""
        return self._do(lambda: len(self._pooled()))

    def close_idle(self, *, reset: bool) -> int:
        """Close the connections that wait in clients' pools, by FIN or by RST; how many there were."""

        def close() -> int:
            pooled = self._pooled()
            for connection in pooled:
                connection.abort(reset)
            return len(pooled)

        return self._do(close)

    def silence(self) -> None:
        """Pass nothing on any more, and keep all connections open; new ones are taken."""
        self._do(self._passing.clear)

    def speak(self) -> None:
        """Pass on what was held back, and what comes."""
        self._do(self._passing.set)

    def _pooled(self) -> list[_Connection]:
        return [connection for connection in self._connections if connection.used and not connection.busy]

    def _do(self, what: Callable[[], T]) -> T:
        async def done() -> T:
            return what()

        return self._run(done())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opening = asyncio.ensure_future(asyncio.open_connection("127.0.0.1", self._target))
        try:
            answers, server = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The connection may be open by now.
            opening.add_done_callback(lambda opened: opened.result()[1].transport.abort())
            raise
        connection = _Connection(writer, server)
        self._connections.add(connection)
        try:
            await asyncio.gather(self._requests(connection, reader), self._answers(connection, answers))
        finally:
            self._connections.discard(connection)
            connection.abort(False)

    async def _requests(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(1 << 16):
            command = _command(data)
            if command not in HANDSHAKE:
                connection.used = connection.busy = True
            if command and command not in HANDSHAKE:
                self._commands.append(command)
            await self._passing.wait()
            connection.server.write(data)
            await connection.server.drain()
        connection.abort(False)

    async def _answers(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(1 << 16):
            if connection.used and self._delay:
                await asyncio.sleep(self._delay)
            await self._passing.wait()
            connection.client.write(data)
            connection.busy = False
            await connection.client.drain()
        connection.abort(False)

    async def _start(self) -> None:
        self._passing.set()
        self.port = await self._listening.enter_async_context(listener(self._serve))

    async def _stop(self) -> None:
        await self._listening.aclose()


def _command(data: bytes) -> str | None:
    """The name of the command that begins here, if one does."""
    if len(data) < 27 or int.from_bytes(data[12:16], "little") != OP_MSG or data[20] != 0:
        return "hello" if data[12:16] == struct.pack("<i", 2004) else None
    # The type of the body's first element, then its name.
    return data[26 : data.index(b"\0", 26)].decode(errors="replace")


@contextlib.contextmanager
def proxy(port: int) -> Iterator[Proxy]:
    """Run a proxy in front of this port."""
    running = Proxy(port)
    thread = threading.Thread(target=running._loop.run_forever, daemon=True)
    thread.start()
    try:
        running._run(running._start())
        yield running
    finally:
        running._run(running._stop())
        running._loop.call_soon_threadsafe(running._loop.stop)
        thread.join(20)
        running._loop.close()
