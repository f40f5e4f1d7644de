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
    _once(folder, ".installed", ["npm", "ci"], [folder / "package-lock.json"])


def build_package(folder: Path) -> None:
    """Install what a package needs, and build it, unless that is done. Skip the test where there is no Node.js."""
    install_packages(folder)
    sources = [*sorted((folder / "src").iterdir()), folder / "package.json", folder / "tsconfig.json"]
    _once(folder, ".built", ["npm", "run", "build"], sources)


def _once(folder: Path, mark: str, command: list[str], sources: list[Path]) -> None:
    """Run a command unless it has run with these sources."""
    wanted = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    done_with = folder / "node_modules" / mark
    # Each worker is a process.
    with (folder / ".npmrc").open() as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if done_with.exists() and done_with.read_text() == wanted:
            return
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} in {folder} failed: {done.stdout}{done.stderr}")
        done_with.write_text(wanted)


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
