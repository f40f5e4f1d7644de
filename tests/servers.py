"""Servers for tests: SecantusDB, nx-27017, gateways, servers that misbehave, a network of their own."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from connect.eaas.mongodb.cli.dev import (
    START_SECONDS,
    STOP_SECONDS,
    DevelopmentError,
    Server,
    free_port,
    gateway,
    mongodb,
    new_api_key,
    secantusdb_command,
)
from pymongo.uri_parser import parse_uri

# `connect-mongodb dev` starts its servers in the same way as the tests.
__all__ = ["START_SECONDS", "STOP_SECONDS", "DevelopmentError", "Server", "free_port", "gateway", "mongodb"]
__all__ += ["new_api_key", "secantusdb_command"]
__all__ += ["GIVEN_URI", "Canned", "Namespace", "Quiet", "Relay", "answered", "canned", "needs_secantusdb"]
__all__ += ["network_namespace", "nx_27017", "plain_address", "relay", "secantusdb"]
__all__ += ["serving", "silent", "with_options"]

GIVEN_URI = os.environ.get("TEST_MONGODB_URI")
"""The MongoDB to test with, in place of a server that the tests start."""


def needs_secantusdb() -> None:
    """Skip the test where `TEST_MONGODB_URI` names the MongoDB to test with."""
    if GIVEN_URI:
        pytest.skip("needs a SecantusDB of its own, and TEST_MONGODB_URI names another server")


def plain_address(uri: str) -> tuple[str, int] | None:
    """The address in a connection string that has one host of this machine, and neither a user nor options."""
    if uri.startswith("mongodb+srv://"):
        return None
    parsed = parse_uri(uri)
    if len(parsed["nodelist"]) != 1 or parsed["username"] is not None or parsed["options"] or parsed["database"]:
        return None
    host, port = parsed["nodelist"][0]
    return (host, port) if host in ("127.0.0.1", "localhost") and port else None


def with_options(uri: str, database: str = "", **options: str) -> str:
    """A connection string with a database, and with more options."""
    head, _, query = uri.partition("?")
    scheme, _, rest = head.partition("://")
    hosts, _, path = rest.partition("/")
    head = f"{scheme}://{hosts}/{database or path}"
    more = [f"{name}={quote(value, safe='')}" for name, value in options.items()]
    return f"{head}?{'&'.join([*filter(None, query.split('&')), *more])}"


@contextlib.contextmanager
def secantusdb(port: int = 0, data_dir: str | None = None, *arguments: str) -> Iterator[tuple[Server, int]]:
    """Run a SecantusDB of the test's own: one with users, TLS or fail points, or one that is stopped.

    Skip the test where `TEST_MONGODB_URI` names the MongoDB to test with.
    """
    needs_secantusdb()
    with mongodb(port, data_dir, *arguments) as (server, at):
        try:
            yield server, at
        finally:
            if data_dir is None:
                # Nothing is kept: no need to end it politely.
                server.process.kill()


@contextlib.contextmanager
def nx_27017() -> Iterator[tuple[Server, int]]:
    """Run nx-27017, a server that shares no code with SecantusDB, with its data in memory."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="nx-27017-", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-c", "from nx_27017.nx_27017 import main; main()"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--data-dir", "memory"]
        command += ["--pid-file", f"{folder}/pid", "--log-file", f"{folder}/log"]
        server = Server("nx-27017", command)
        try:
            server.wait_for_port(port)
            yield server, port
        finally:
            # Nothing is kept: no need to end it politely.
            server.process.kill()
            server.stop()


@dataclass
class Namespace:
    """A network namespace whose DNS server is 127.0.0.1."""

    inside: list[str]
    """The beginning of a command that runs there."""
    stack: contextlib.ExitStack

    def start(self, command: list[str]) -> None:
        """Start a process there, which ends with the namespace."""
        process = subprocess.Popen([*self.inside, *command])
        self.stack.callback(process.wait, 20)
        self.stack.callback(process.kill)


@contextlib.contextmanager
def network_namespace() -> Iterator[Namespace]:
    """Make a network namespace; skip the test where that needs more rights or tools than there are."""
    name = f"connect-mongodb-{os.getpid()}"
    resolver = Path("/etc/netns") / name
    if shutil.which("ip") is None or not os.access("/etc", os.W_OK):
        pytest.skip("needs root and iproute2 to make a network namespace")
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"cannot make a network namespace: {made.stderr.strip()}")
    inside = ["ip", "netns", "exec", name]
    with contextlib.ExitStack() as stack:
        stack.callback(subprocess.run, ["ip", "netns", "delete", name], check=False)
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        stack.callback(shutil.rmtree, resolver, ignore_errors=True)
        resolver.mkdir(parents=True, exist_ok=True)
        (resolver / "resolv.conf").write_text("nameserver 127.0.0.1\n", encoding="utf-8")
        yield Namespace(inside, stack)


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
                    (
                        int(line.split(b":")[1])
                        for line in head.split(b"\r\n")
                        if line.lower().startswith(b"content-length")
                    ),
                    # A GET has no body.
                    0,
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

    with serving(Handler) as port:
        state.url = f"http://127.0.0.1:{port}"
        yield state


class Quiet:
    """A handler of HTTP that prints no requests."""

    def log_message(self, *arguments: object) -> None:
        """Keep the output of the tests clean."""


@contextlib.contextmanager
def serving(handler: Callable[..., socketserver.BaseRequestHandler]) -> Iterator[int]:
    """Serve each connection with a handler, in a thread of its own; yield the port."""
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
    bodies: list[bytes] = field(default_factory=list)


@contextlib.contextmanager
def relay(url: str, spoil: Callable[[str, int, Callable[[], bytes]], bytes | None]) -> Iterator[Relay]:
    """Pass requests on to `url`, but give the answers that `spoil(action, its number, pass on)` makes.

    `None` closes the connection without one.
    """
    state = Relay()
    lock = threading.Lock()

    class Handler(Quiet, http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            action = self.path.rsplit("/", 1)[1]
            with lock:
                state.actions.append(action)
                state.bodies.append(body)
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

    with serving(Handler) as port:
        state.url = f"http://127.0.0.1:{port}"
        yield state


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield listening.getsockname()[1]
