"""A proxy in front of MongoDB, or of a Data API, that closes idle connections or goes silent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

__all__ = ["Proxy", "proxy", "turns"]

T = TypeVar("T")

OP_MSG = 2013
# What tells nothing of whether a connection is a pool's or a monitor's.
HANDSHAKE = {"hello", "ismaster", "isMaster"}


async def turns(count: int = 100) -> None:
    """Let the event loop run what is due, such as the steps of accepting and of closing a connection."""
    for _ in range(count):
        await asyncio.sleep(0)


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
        self._serving: set[asyncio.Task[Any]] = set()
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
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        opening = asyncio.ensure_future(asyncio.open_connection("127.0.0.1", self._target))
        try:
            answers, server = await asyncio.shield(opening)
        except OSError:
            return writer.transport.abort()
        except asyncio.CancelledError:
            # The connection may be open by now.
            writer.transport.abort()
            with contextlib.suppress(OSError):
                (await opening)[1].transport.abort()
            return None
        connection = _Connection(writer, server)
        self._connections.add(connection)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(self._requests(connection, reader), self._answers(connection, answers))
        self._connections.discard(connection)
        connection.abort(False)
        return None

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
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=200)
        self.port = self._listening.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._listening.close()
        for connection in list(self._connections):
            connection.abort(False)
        self._passing.set()
        # A connection may have been accepted just now; transports close in the loop's next turns.
        await turns()
        while self._serving:
            serving = list(self._serving)
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)
            await turns()
        # asyncio still accepts the connections that the system had accepted.
        while accepting := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.gather(*accepting, return_exceptions=True)
            await turns()


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
