"""Starts gateways with a test's own configuration, and sends requests to them."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import trustme
from connect.eaas.mongodb import _native

from tests.servers import Server

PAGE = (Path(__file__).parents[1] / "docs" / "gateway.md").read_text(encoding="utf-8")


class Stream:
    """An open change stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()
        self.id = ""

    def block(self) -> dict[str, str]:
        """Read one block of fields; a comment is the field without a name."""
        fields: dict[str, str] = {}
        for line in self._lines:
            if not line:
                break
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        self.id = fields.get("id", self.id)
        return fields

    def event(self) -> dict[str, str]:
        """Read up to the next event."""
        while "data" not in (fields := self.block()):
            assert fields, "the stream has ended"
        return fields

    def change(self) -> dict[str, Any]:
        """Read up to the next change."""
        change: dict[str, Any] = json.loads(self.event()["data"])
        return change

    def rest(self) -> list[dict[str, str]]:
        """Read to the end."""
        return list(iter(self.block, {}))

    def end(self) -> dict[str, Any]:
        """Read up to the error that the stream ends with, and return it."""
        # A stream with many changes must end too.
        for _ in range(400):
            fields = self.block()
            assert fields, "the stream has ended without an error"
            if fields.get("event") == "error":
                assert self.rest() == []
                error: dict[str, Any] = json.loads(fields["data"])
                return error
        raise AssertionError("the stream goes on")


class Gateway:
    """A running gateway, its files, and a client for it."""

    def __init__(self, server: Server, url: str, folder: Path) -> None:
        self.server = server
        self.url = url
        self.folder = folder

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port that it listens on."""
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    def post(self, action: str, body: Any, key: str | None = None, **headers: str) -> httpx.Response:
        """Call an action."""
        sent = {"Content-Type": "application/json"} | ({"api-key": key} if key else {})
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.post(f"{self.url}/action/{action}", content=content, headers=sent, verify=False, timeout=30)

    @contextlib.contextmanager
    def watch(
        self, parameters: dict[str, str], headers: dict[str, str], client: httpx.Client | None = None
    ) -> Iterator[Stream]:
        """Open a change stream by GET."""
        sent = {"Accept": "text/event-stream"} | headers
        url = f"{self.url}/watch"
        with (client or httpx).stream("GET", url, params=parameters, headers=sent, timeout=20) as response:
            yield Stream(response)

    def client(self, key: str) -> httpx.Client:
        """Create a client that sends many requests with one key."""
        return httpx.Client(base_url=f"{self.url}/action/", headers={"api-key": key}, timeout=30)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Send a GET request."""
        return httpx.get(f"{self.url}{path}", timeout=30, verify=False, **options)

    def metric(self, name: str) -> float:
        """Return the value of a metric by its name and labels, or 0 if it does not exist yet."""
        lines = self.get("/metrics").text.splitlines()
        found = [line for line in lines if line.startswith(f"connect_mongodb_gateway_{name} ")]
        return float(found[0].rsplit(" ", 1)[1]) if found else 0.0

    @contextlib.contextmanager
    def temporary_key(self, name: str, *places: str, **settings: Any) -> Iterator[str]:
        """Create a key, and revoke it at the end."""
        with self._changing_keys():
            key = create_key(self.folder, name, *places, **settings)
            self.reload()
            yield key

    @contextlib.contextmanager
    def changed_keys(self, old: str, new: str) -> Iterator[None]:
        """Replace a text in the key file, and restore it at the end."""
        with self._changing_keys() as path:
            before = path.read_text(encoding="utf-8")
            assert old in before
            path.write_text(before.replace(old, new), encoding="utf-8")
            self.reload()
            yield

    @contextlib.contextmanager
    def _changing_keys(self) -> Iterator[Path]:
        path = self.folder / "keys.toml"
        before = path.read_text(encoding="utf-8")
        try:
            yield path
        finally:
            path.write_text(before, encoding="utf-8")
            self.reload()

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


def command(folder: Path, configuration: str, listen: str = "127.0.0.1:0") -> list[str]:
    """Write the configuration of a gateway into a folder, and return the command that runs it."""
    path = folder / "gateway.toml"
    path.write_text(f'listen = "{listen}"\n{configuration}', encoding="utf-8")
    return [sys.executable, "-m", "connect.eaas.mongodb.cli", "gateway", "--config", str(path)]


@contextlib.contextmanager
def gateway(
    folder: Path, configuration: str, *, listen: str = "127.0.0.1:0", launcher: Sequence[str] = ()
) -> Iterator[Gateway]:
    """Run a gateway with this configuration, in this folder; `launcher` is a command that runs its arguments."""
    server = LoggedServer("the gateway", [*launcher, *command(folder, configuration, listen)])
    try:
        yield Gateway(server, server.wait_for_line("Listening on "), folder)
    finally:
        server.stop()


def refused_configuration(folder: Path, configuration: str) -> str:
    """Start a gateway with an invalid configuration, and return its message, which does not contain `hunter2`."""
    ended = subprocess.run(command(folder, configuration), capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert "hunter2" not in ended.stderr
    return ended.stderr


def raw_request(
    action: str, key: str, body: bytes, *headers: str, length: int | None = None, version: str = "1.1"
) -> bytes:
    """Return the bytes of a request; with another `length` than that of the body, it is a part of one."""
    sent = ["Host: x", f"api-key: {key}", "Content-Type: application/json", *headers]
    sent.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([f"POST /action/{action} HTTP/{version}", *sent, "", ""]).encode() + body


def configured(uri: str, more: str = "", tables: str = "") -> str:
    """Return a configuration with one data source, more settings and tables."""
    return f'keys_file = "keys.toml"\n{more}\n[data_sources.Cluster0]\nuri = "{uri}"\n{tables}\n'


def section(title: str) -> str:
    """Return a section of docs/gateway.md."""
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def create_key(
    folder: Path,
    name: str,
    *places: str,
    rights: str = "read,write",
    expires: str | None = None,
    rule: dict[str, Any] | None = None,
) -> str:
    """Add a key to the folder's key file, and return it; `rule` is the filter of its permissions."""
    path = folder / "keys.toml"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    parts = None if rule is None else (json.dumps(rule), None, None, None)
    text, key = _native.create_key(
        text, name, rights=rights.split(","), places=places or ["*"], expires=expires, rule=parts
    )
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return key


@contextlib.contextmanager
def busy(collection: Any) -> Iterator[None]:
    """Insert a document into a collection every 50 ms."""
    done = threading.Event()

    def insert() -> None:
        while not done.wait(0.05):
            collection.insert_one({})

    thread = threading.Thread(target=insert)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


TLS = '[tls]\ncertificate = "tls.pem"\nkey = "tls.pem"\n'


def issue(authority: trustme.CA, folder: Path, name: str = "tls", host: str = "localhost") -> Path:
    """Write a certificate and its key into one file, and return its path."""
    leaf = authority.issue_cert(host, "127.0.0.1")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return folder / f"{name}.pem"


def certificate(running: Gateway, context: ssl.SSLContext) -> bytes:
    """Return the gateway's certificate."""
    with (
        socket.create_connection(running.address, 10) as plain,
        context.wrap_socket(plain, server_hostname=running.address[0]) as tls,
    ):
        return tls.getpeercert(binary_form=True) or b""


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
