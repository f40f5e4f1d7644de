"""Servers that misbehave, and certificates."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from connect.eaas.mongodb.cli.dev import free_port

__all__ = ["Canned", "canned", "free_port", "http", "silent"]


def http(status: str, body: str | bytes = b"", headers: str = "", length: int | None = None) -> bytes:
    """An HTTP/1.1 answer."""
    body = body.encode() if isinstance(body, str) else body
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n{headers}\r\n".encode() + body


@dataclass
class Canned:
    """A server that gives each request the next of its answers, the last one for ever."""

    answers: list[bytes | None]
    by_action: dict[str, bytes] = field(default_factory=dict)
    url: str = ""
    requests: list[bytes] = field(default_factory=list)


@contextlib.contextmanager
def canned(*answers: bytes | None, by_action: dict[str, bytes] | None = None) -> Iterator[Canned]:
    """Serve these answers, in order or by action; `None` closes the connection without one."""
    state = Canned(list(answers), by_action or {})

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while head := self._head():
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                state.requests.append(head + self.rfile.read(length))
                place = min(len(state.requests), len(state.answers)) - 1
                action = head.split(b" ", 2)[1].decode().rsplit("/", 1)[1]
                answer = state.by_action[action] if state.by_action else state.answers[place]
                if answer is not None:
                    self.wfile.write(answer)
                # Each answer is the connection's last.
                return

        def _head(self) -> bytes:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = self.rfile.readline()
                if not line:
                    return b""
                head += line
            return head

    with _server(Handler) as port:
        state.url = f"http://127.0.0.1:{port}"
        yield state


@contextlib.contextmanager
def _server(handler: Callable[..., socketserver.BaseRequestHandler]) -> Iterator[int]:
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield listening.getsockname()[1]
