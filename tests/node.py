"""Node.js and packages from npm for tests, where there are any."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

OLDEST = 18
"""The first version with `fetch`."""


@functools.cache
def _missing() -> str | None:
    """What is missing to run programs for Node.js."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "needs Node.js and npm (apt install nodejs npm)"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").split(".")[0]) < OLDEST:
        return f"needs Node.js {OLDEST} or later, and this is {version.strip()}"
    return None


def needs_node() -> None:
    """Skip the test where there is no Node.js."""
    if reason := _missing():
        pytest.skip(reason)


def install_packages(folder: Path) -> None:
    """Install what the folder's lock file names, unless it is there. Skip the test where there is no Node.js."""
    needs_node()
    lock_file = folder / "package-lock.json"
    wanted = hashlib.sha256(lock_file.read_bytes()).hexdigest()
    installed = folder / "node_modules" / ".installed"
    # Each worker is a process.
    with (folder / ".npmrc").open() as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if installed.exists() and installed.read_text() == wanted:
            return
        done = subprocess.run(["npm", "ci"], cwd=folder, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise RuntimeError(f"npm ci in {folder} failed: {done.stderr.strip()}")
        installed.write_text(wanted)


def run_node(
    *arguments: str, folder: Path, standard_input: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a program for Node.js in a folder, with more environment variables; raise its output if it fails."""
    needs_node()
    done = subprocess.run(
        ["node", *arguments],
        cwd=folder,
        input=standard_input,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **variables},
    )
    if done.returncode != 0:
        raise AssertionError(f"node {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done
