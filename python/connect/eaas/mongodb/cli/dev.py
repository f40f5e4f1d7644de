"""`connect-mongodb dev`, and the server processes that it and the tests start."""

from __future__ import annotations

import contextlib
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

START_SECONDS = 30
STOP_SECONDS = 15


class DevelopmentError(Exception):
    """The development servers cannot start or keep running."""


class Server:
    """A server in its own process, which ends with the block that started it."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self.output: list[str] = []
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Ctrl-C must not reach the servers: they are stopped in order.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line.rstrip())
            del self.output[:-50]

    def failed(self) -> DevelopmentError:
        """Return the error for a server that exited by itself, with its last line of output."""
        self._reader.join(1)
        last = next((line for line in reversed(self.output) if line.strip()), "no output")
        return DevelopmentError(f"{self.name} exited with status {self.process.poll()}: {last}")

    def wait_for_line(self, beginning: str) -> str:
        """Wait until it prints a line that begins with `beginning`; return the rest of the line."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for line in self.output:
                if line.startswith(beginning):
                    return line.removeprefix(beginning).strip()
            if self.process.poll() is not None:
                raise self.failed()
            time.sleep(0.02)
        raise DevelopmentError(f"{self.name} did not start within {START_SECONDS} seconds")

    def wait_for_port(self, port: int) -> None:
        """Wait until it accepts connections on the port."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise self.failed()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.05)
        raise DevelopmentError(f"{self.name} did not start within {START_SECONDS} seconds")

    def stop(self) -> None:
        """Terminate it; kill it if it does not exit in time."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(1)
        if self.process.stdout is not None:
            self.process.stdout.close()


# Below the range of outgoing connections: none of those can take a port between its choice and its use,
# or while its server restarts.
_PORTS = range(16384, 32768)


def free_port() -> int:
    """Return a free port of 127.0.0.1; on Linux, no other process gets it while this one runs."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            _reserve(port)
            return port
    raise DevelopmentError("no port is free")


def _reserve(port: int) -> None:
    """Reserve the port against other processes; raise `OSError` if one has reserved it."""
    if sys.platform != "linux":
        return
    # A name in the abstract namespace is a lock that ends with its process.
    with socket.socket(socket.AF_UNIX) as reservation:
        reservation.bind(f"\0connect-mongodb-port-{port}")
        # Leave it open.
        reservation.detach()


def secantusdb_command() -> str:
    """Return the path of SecantusDB's server."""
    scripts = Path(sysconfig.get_path("scripts"))
    command = shutil.which("secantusd-py", path=str(scripts)) or shutil.which("secantusd-py")
    if command is None:
        raise DevelopmentError(
            "SecantusDB, the MongoDB for development, is not installed: pip install 'connect-eaas-mongodb[dev]'"
        )
    return command


@contextlib.contextmanager
def mongodb(port: int = 0, data_dir: str | None = None, *arguments: str) -> Iterator[tuple[Server, int]]:
    """Run SecantusDB; yield the server and its port."""
    command = secantusdb_command()
    port = port or free_port()
    with contextlib.ExitStack() as stack:
        folder = data_dir or stack.enter_context(
            tempfile.TemporaryDirectory(prefix="connect-mongodb-", ignore_cleanup_errors=True)
        )
        server = Server(
            "SecantusDB",
            [command, "--host", "127.0.0.1", "--port", str(port), "--storage-path", folder]
            + ["--log-level", "WARNING", *arguments],
        )
        stack.callback(server.stop)
        server.wait_for_port(port)
        yield server, port


@contextlib.contextmanager
def gateway(mongodb_uri: str, key: str, port: int = 0) -> Iterator[tuple[Server, str]]:
    """Run the gateway; yield the server and its base URL."""
    with tempfile.TemporaryDirectory(prefix="connect-mongodb-") as folder:
        key_file = Path(folder) / "keys"
        key_file.touch(mode=0o600)
        key_file.write_text(key + "\n", encoding="utf-8")
        server = Server(
            "the gateway",
            [sys.executable, "-m", "connect.eaas.mongodb.cli", "gateway", "--mongodb-uri", mongodb_uri]
            + ["--api-key-file", str(key_file), "--listen", f"127.0.0.1:{port}"],
        )
        try:
            yield server, server.wait_for_line("Listening on ")
        finally:
            server.stop()


def new_api_key() -> str:
    """Return a random key of 256 bits."""
    return secrets.token_urlsafe(32)


def serve(*, port: int, http_port: int, data_dir: str | None, database: str, output: str) -> None:
    """Run both servers until Ctrl-C or SIGTERM."""
    stopping = threading.Event()

    def stop(signum: int, frame: FrameType | None) -> None:
        stopping.set()

    previous = {signum: signal.signal(signum, stop) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        key = new_api_key()
        with (
            mongodb(port, data_dir) as (database_server, mongodb_port),
            gateway(f"mongodb://127.0.0.1:{mongodb_port}", key, http_port) as (gateway_server, url),
        ):
            variables = {
                "DB": database,
                "DATA_API_ENDPOINT": url,
                "API_KEY": key,
                "CLUSTER": "Cluster0",
                "HTTP_COLLECTION": "requests_http",
                "DB_HOST": f"127.0.0.1:{mongodb_port}",
                "DB_USER": "",
                "DB_PASSWORD": "",
                "DRIVER_COLLECTION": "requests_driver",
                "DB_OPTIONS": "",
            }
            _print_variables(variables, output)
            while not stopping.wait(0.2):
                for server in (database_server, gateway_server):
                    if server.process.poll() is not None:
                        raise server.failed()
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def _print_variables(variables: dict[str, str], output: str) -> None:
    if output == "env":
        for name, value in variables.items():
            click.echo(f"{name}={value}")
        click.echo("", nl=True)
    else:
        from rich import box
        from rich.console import Console
        from rich.table import Table

        table = Table("variable", "value", box=box.SIMPLE)
        for name, value in variables.items():
            table.add_row(name, value)
        # Wide enough for all values, so that they can be copied.
        console = Console(width=max(100, len(max(variables.values(), key=len)) + 30))
        console.print("MongoDB and the Data API are running. The variables for Connect:")
        console.print(table)
        console.print("Press Ctrl-C to stop both.")
    sys.stdout.flush()
