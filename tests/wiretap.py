"""A proxy in front of MongoDB that records what a client sends."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import bson

OP_QUERY, OP_COMPRESSED, OP_MSG = 2004, 2012, 2013
HANDSHAKE = {"hello", "ismaster", "isMaster"}


@dataclass
class Wiretap:
    """What clients have sent."""

    port: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list)
    compressed: list[tuple[int, bytes]] = field(default_factory=list)
    """The compressor of each compressed message, and the first bytes that it wrote."""

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    @property
    def handshakes(self) -> list[dict[str, Any]]:
        return [message for message in self.messages if next(iter(message)) in HANDSHAKE and "client" in message]

    def commands(self, name: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if next(iter(message)) == name]

    def record(self, head: bytes, body: bytes) -> None:
        (operation,) = struct.unpack_from("<i", head, 12)
        if operation == OP_COMPRESSED:
            self.compressed.append((body[8], body[9:11]))
        elif operation == OP_MSG and body[4] == 0:
            (length,) = struct.unpack_from("<i", body, 5)
            self.messages.append(bson.decode(body[5 : 5 + length]))
        elif operation == OP_QUERY:
            start = body.index(b"\0", 4) + 9
            self.messages.append(bson.decode(body[start:]))


def _exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = source.recv(size - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


@contextlib.contextmanager
def wiretap(server_port: int) -> Iterator[Wiretap]:
    """Run a proxy in threads of its own."""
    state = Wiretap()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            client: socket.socket = self.request
            with socket.create_connection(("127.0.0.1", server_port)) as server, contextlib.suppress(OSError):
                threading.Thread(target=answers, args=(server, client), daemon=True).start()
                while True:
                    head = _exactly(client, 16)
                    body = _exactly(client, struct.unpack_from("<i", head)[0] - 16)
                    state.record(head, body)
                    server.sendall(head + body)

    def answers(server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as proxy:
        state.port = proxy.server_address[1]
        thread = threading.Thread(target=proxy.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield state
        finally:
            proxy.shutdown()
            thread.join()
