"""Starts gateways with a test's own configuration, and sends requests to them."""

from __future__ import annotations

import contextlib
import json
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from connect.eaas.mongodb import _native

from tests.servers import Server


class Gateway:
    """A running gateway, its files, and a client for it."""

    def __init__(self, server: Server, url: str, folder: Path) -> None:
        self.server = server
        self.url = url
        self.folder = folder

    def post(self, action: str, body: Any, key: str | None = None, **headers: str) -> httpx.Response:
        """Call an action."""
        sent = {"Content-Type": "application/json"} | ({"api-key": key} if key else {})
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.post(f"{self.url}/action/{action}", content=content, headers=sent, verify=False, timeout=30)

    def client(self, key: str) -> httpx.Client:
        """Create a client that sends many requests with one key."""
        return httpx.Client(base_url=f"{self.url}/action/", headers={"api-key": key}, timeout=30)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Send a GET request."""
        return httpx.get(f"{self.url}{path}", timeout=30, **options)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.server.process.send_signal(number)

    def log(self) -> list[dict[str, Any]]:
        """Return the lines of the log so far."""
        return [json.loads(line) for line in list(self.server.output) if line.startswith("{")]

    def logged(self, matches: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for a matching line of the log, and return it."""
        found: dict[str, Any] = until(lambda: next((line for line in self.log() if matches(line)), None))
        return found

    def reload(self, result: str = "were reloaded") -> None:
        """Send SIGHUP, and wait until the log contains the result."""
        before = len([line for line in self.log() if "message" in line])
        self.signal(signal.SIGHUP)
        until(lambda: any(result in line["message"] for line in [x for x in self.log() if "message" in x][before:]))


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait until the condition returns a true value, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"the condition was not met within {seconds} s")


class LoggedServer(Server):
    """A server that keeps all lines of its output."""

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line.rstrip())


@contextlib.contextmanager
def gateway(
    folder: Path, configuration: str, *, listen: str = "127.0.0.1:0", launcher: Sequence[str] = ()
) -> Iterator[Gateway]:
    """Run a gateway with this configuration, in this folder; `launcher` is a command that runs its arguments."""
    path = folder / "gateway.toml"
    path.write_text(f'listen = "{listen}"\n{configuration}', encoding="utf-8")
    command = [sys.executable, "-m", "connect.eaas.mongodb.cli", "gateway", "--config", str(path)]
    server = LoggedServer("the gateway", [*launcher, *command])
    try:
        yield Gateway(server, server.wait_for_line("Listening on "), folder)
    finally:
        server.stop()


def create_key(folder: Path, name: str, *places: str, rights: str = "read,write", expires: str | None = None) -> str:
    """Add a key to the folder's key file, and return it."""
    path = folder / "keys.toml"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    text, key = _native.create_key(text, name, rights=rights.split(","), places=places or ["*"], expires=expires)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return key


def trusting(authority: Path, certificate: Path | None = None) -> ssl.SSLContext:
    """Create a TLS context that trusts one authority, optionally with a client certificate."""
    context = ssl.create_default_context(cafile=str(authority))
    if certificate is not None:
        context.load_cert_chain(str(certificate))
    return context


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run calls concurrently, and return their results in order."""
    results: list[Any] = [None] * len(calls)

    def run(index: int) -> None:
        results[index] = calls[index]()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
