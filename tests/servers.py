"""Servers that misbehave, and certificates."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from connect.eaas.mongodb.cli.dev import free_port

__all__ = ["Canned", "Relay", "answered", "canned", "free_port", "relay", "silent"]


def answered(status: str, body: str | bytes = b"", headers: str = "", length: int | None = None) -> bytes:
    """An HTTP/1.1 answer."""
    body = body.encode() if isinstance(body, str) else body
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\nConnection: close\r\n{headers}\r\n".encode() + body


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


@dataclass
class Relay:
    """A proxy in front of a Data API that may spoil answers."""

    url: str = ""
    actions: list[str] = field(default_factory=list)


@contextlib.contextmanager
def relay(url: str, spoil: Callable[[str, int, Callable[[], bytes]], bytes | None]) -> Iterator[Relay]:
    """Pass requests on to `url`, but give the answers that `spoil(action, its number, pass on)` makes.

    `None` closes the connection without one.
    """
    state = Relay()
    lock = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            action = self.path.rsplit("/", 1)[1]
            with lock:
                state.actions.append(action)
                number = state.actions.count(action)
            self.close_connection = True
            answer = spoil(action, number, lambda: self.pass_on(body))
            if answer is not None:
                self.wfile.write(answer)

        def pass_on(self, body: bytes) -> bytes:
            host, port = url.removeprefix("http://").split(":")
            connection = http.client.HTTPConnection(host, int(port), timeout=30)
            connection.request("POST", self.path, body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            return answered(f"{answer.status} {answer.reason}", content)

        def log_message(self, *arguments: object) -> None:
            pass

    with _server(Handler) as port:
        state.url = f"http://127.0.0.1:{port}"
        yield state


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield listening.getsockname()[1]
