"""Follows a page of the documentation as its reader does: writes its files, and runs its commands.

A code block is, by its language and its title:

- `sh`: commands for the first terminal, or for the one in the title,
- `text`: lines that they print, where `…` stands for any text; with a title, lines of that terminal,
- `diff`: a change of the file in the title,
- any other language with a title: a file.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement

from demo.runner import ROOT

DOCS = ROOT / "docs"

_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A code block of a page."""

    language: str
    title: str
    text: str

    def commands(self) -> list[str]:
        """The commands of a shell's block, one per line, without comments and continued lines."""
        joined = self.text.replace("\\\n", " ")
        return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def blocks(page: Path) -> list[Block]:
    """All code blocks of a page, in order."""
    return [Block(*found) for found in _BLOCK.findall(page.read_text(encoding="utf-8"))]


def file_of(page: Path, title: str) -> str:
    """The only file of this title on a page."""
    (found,) = (block.text for block in blocks(page) if block.title == title)
    return found


def changed(text: str, diff: str) -> str:
    """A text after a change, whose lines begin with a blank, `+` or `-`."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] != "+")
    after = "".join(line[1:] for line in lines if line[0] != "-")
    assert text.count(before) == 1, f"the file does not have, or has several times:\n{before}"
    return text.replace(before, after)


def missing(expected: str, printed: str) -> list[str]:
    """The lines of a `text` block that were not printed, in this order."""
    left, absent = printed.splitlines(), []
    for line in filter(str.strip, expected.splitlines()):
        parts = [r"\s+".join(map(re.escape, part.split())) for part in line.strip().split("…")]
        pattern = re.compile(r"\s*.*\s*".join(parts))
        place = next((number for number, shown in enumerate(left) if pattern.search(shown)), None)
        if place is None:
            absent.append(line)
        else:
            del left[: place + 1]
    return absent


@dataclass
class Terminal:
    """A terminal with a shell, which keeps its folder and its variables."""

    folder: Path
    environment: dict[str, str]
    scratch: Path
    """A folder for what it needs itself."""
    output: str = ""
    """What the last block printed."""
    _server: subprocess.Popen[bytes] | None = None
    _log: Path = field(default_factory=Path)

    def run(self, command: str, status: int = 0) -> str:
        """Run a command, and return what it printed."""
        state = self.scratch / "state"
        keep = f"ended=$?; {{ pwd; env -0; }} > {shlex.quote(str(state))}; exit $ended"
        ended = subprocess.run(
            ["bash", "-c", f"{command}\n{keep}"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == status, f"{command}\n{ended.stdout}"
        folder, _, variables = state.read_text(encoding="utf-8").partition("\n")
        self.folder = Path(folder)
        self.environment = dict(line.split("=", 1) for line in variables.split("\0") if line)
        self.output += ended.stdout
        return ended.stdout

    def start(self, command: str) -> None:
        """Start a command that runs until Ctrl-C, which ends the one before."""
        self.stop()
        self._log = self.scratch / "output"
        with self._log.open("wb") as log:
            self._server = subprocess.Popen(
                ["bash", "-c", command],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def printed(self) -> str:
        """What the command that was started has printed, or else the last block."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._server else self.output

    def alive(self) -> bool:
        """Whether the command that was started still runs."""
        return self._server is not None and self._server.poll() is None

    def stop(self, seconds: float = 20) -> None:
        """Press Ctrl-C, and wait."""
        if self._server is None:
            return
        for signum, limit in ((signal.SIGINT, seconds), (signal.SIGKILL, 20)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._server.pid, signum)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(limit)
                break
        # What it started may be left.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._server.pid, signal.SIGKILL)
        self._server = None


@contextlib.contextmanager
def terminals(folder: Path, environment: dict[str, str]) -> Iterator[Callable[[str], Terminal]]:
    """Open terminals by their names; all begin in `folder`."""
    opened: dict[str, Terminal] = {}

    def terminal(name: str) -> Terminal:
        if name not in opened:
            scratch = folder / f".{name.replace(' ', '-')}"
            scratch.mkdir()
            opened[name] = Terminal(folder, dict(environment), scratch)
        return opened[name]

    try:
        yield terminal
    finally:
        for each in reversed(opened.values()):
            each.stop()


def virtual_environment(folder: Path, source: Path, commands: list[str]) -> None:
    """Make a virtual environment with what `source` has, except for the example extension."""
    subprocess.run([str(source / "bin" / "python"), "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = (folder / "lib").glob("python3*/site-packages")
    (given,) = (source / "lib").glob("python3*/site-packages")
    for entry in given.iterdir():
        if not entry.name.startswith("connect_extension_mongodb"):
            (packages / entry.name).symlink_to(entry)
    for name in commands:
        command = folder / "bin" / name
        command.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" "{source}/bin/{name}" "$@"\n', encoding="utf-8")
        command.chmod(0o755)


def pip_install(arguments: str, folder: Path, source: Path, others: list[Path]) -> None:
    """Do as `pip install`, without an index: install the project of the folder, find all else where it is."""
    words = shlex.split(arguments)
    if words == ["-e", "."]:
        options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
        pip = [
            str(source / "bin" / "python"),
            "-m",
            "pip",
            "--python",
            str(folder / ".venv" / "bin" / "python"),
            "install",
        ]
        subprocess.run([*pip, *options, "-e", "."], cwd=folder, check=True, timeout=120)
        return
    paths = [str(found) for place in (source, *others) for found in (place / "lib").glob("python3*/site-packages")]
    for requirement in requirements(arguments):
        find(requirement, paths)


def requirements(arguments: str) -> list[Requirement]:
    """The requirements that `pip install` is given."""
    return [Requirement(word) for word in shlex.split(arguments)]


def find(wanted: Requirement, paths: list[str]) -> None:
    """Check that a requirement, and those of its extras, are installed."""
    found = next(iter(distributions(name=wanted.name, path=paths)), None)
    assert found is not None, f"{wanted.name} is not installed"
    assert wanted.specifier.contains(found.version, prereleases=True), f"{wanted}: {found.version} is installed"
    for text in found.requires or []:
        needed = Requirement(text)
        for extra in wanted.extras:
            if needed.marker and needed.marker.evaluate({"extra": extra}) and not needed.marker.evaluate({"extra": ""}):
                find(needed, paths)
