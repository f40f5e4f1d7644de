"""The real runner, in its own environment and its own process."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from demo.local_connect import LocalConnect

ROOT = Path(__file__).parent.parent
RUNNER_ENVIRONMENT = Path(os.environ.get("RUNNER_VENV", ROOT / ".venv" / "runner"))
CCLI_ENVIRONMENT = Path(os.environ.get("CCLI_VENV", ROOT / ".venv" / "ccli"))
"""The environment of Connect's command line, with the next generation of Connect's libraries."""
EXAMPLE = ROOT / "examples" / "connect-extension-mongodb"

STOP_SECONDS = 20


@dataclass
class Runner:
    """A `cextrun` that runs."""

    process: subprocess.Popen[bytes]
    log_file: Path

    def log(self) -> str:
        """What it has logged so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """End it at once. It then hands in nothing more, and its application does not shut down."""
        _kill_session(self.process)


def runner_environment(connect: LocalConnect, instance: str) -> dict[str, str]:
    """The variables that Connect gives a runner's container."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return environment | {
        "API_KEY": "ApiKey SU-000-000-000:local",
        "ENVIRONMENT_ID": "ENV-0000-0000-01",
        "INSTANCE_ID": instance,
        "SERVER_ADDRESS": f"127.0.0.1:{connect.ws_port}",
        "API_ADDRESS": f"localhost:{connect.rest_port}",
        "SSL_CERT_FILE": str(connect.ca_file),
        "REQUESTS_CA_BUNDLE": str(connect.ca_file),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@asynccontextmanager
async def cextrun(
    connect: LocalConnect, folder: Path, instance: str = "local", environment: Mapping[str, str] | None = None
) -> AsyncIterator[Runner]:
    """Run `cextrun` with the example extension; it logs into `folder`.

    A `PYTHONPATH` in `environment` may lead to another extension.
    """
    runner = _start(connect, folder, instance, environment or {})
    try:
        yield runner
        # It takes its time: it hands in what it has, and waits for the local Connect to close its connections.
        runner.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(runner.process.wait, STOP_SECONDS)
    finally:
        _kill_session(runner.process)


def _start(connect: LocalConnect, folder: Path, instance: str, environment: Mapping[str, str]) -> Runner:
    command = RUNNER_ENVIRONMENT / "bin" / "cextrun"
    if not command.exists():
        raise RuntimeError(f"the runner is not installed in {RUNNER_ENVIRONMENT}: run make setup")
    log_file = folder / f"cextrun-{instance}.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [str(command), "-u", "-n", "--no-rich-logging"],
            cwd=folder,
            env=runner_environment(connect, instance) | dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Runner(process, log_file)


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    """End what is left of it: its workers are in its session, and must not outlive it."""
    for _ in range(20):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            break
        process.poll()
        time.sleep(0.05)
    process.wait()


_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) (\S+) [A-Z]+ PID_\d+ (.*)$", re.MULTILINE)
_INVOKE = re.compile(r"invoke method handle_asset_purchase_request_processing for task (\S+)")
_RESULT = re.compile(r"the event is stored in (\S+): SaveResult\(id='([^']+)', (?:stored|duplicate)=True\)")


@dataclass
class Logged:
    """When the runner logged what, in seconds."""

    invoked: dict[str, float]
    """By the task's id."""
    stored: dict[tuple[str, str], float]
    """By the collection's full name and the record's `_id`."""


def read_log(text: str) -> Logged:
    """Find when each task's handler was invoked and when each record was logged as stored."""
    logged = Logged({}, {})
    for stamp, logger, message in _LINE.findall(text):
        at = datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S,%f").timestamp()
        if logger.startswith("connect.eaas.runner") and (invoked := _INVOKE.match(message)):
            logged.invoked[invoked[1]] = at
        elif logger.startswith("eaas.") and (stored := _RESULT.match(message)):
            logged.stored.setdefault((stored[1], stored[2]), at)
    return logged
