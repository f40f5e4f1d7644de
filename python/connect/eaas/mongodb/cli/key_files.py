"""Reads, locks and replaces the gateway's files of keys and users."""

from __future__ import annotations

import contextlib
import datetime
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import click
from connect.eaas.mongodb.cli.failures import fail

KEY_FILE = click.option(
    "--file", "path", required=True, metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Key file."
)


class KeyFile:
    """A file of keys, for a command that reads or changes it."""

    def __init__(self, command: str, path: Path) -> None:
        self.command = command
        self.path = path

    def read(self, *, missing_ok: bool = False) -> str:
        """Return the text of the file."""
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            if missing_ok:
                return ""
            self._fail("does not exist")
        except (OSError, UnicodeDecodeError) as error:
            self._fail(f"cannot be read ({getattr(error, 'strerror', None) or 'it is not text'})")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the file's folder against other commands."""
        try:
            import fcntl
        except ImportError:  # Windows has no such locks.
            yield
            return
        try:
            folder = os.open(self.path.resolve().parent, os.O_RDONLY)
        except OSError as error:
            fail(f"{self.command}: the folder of {self.path} cannot be opened ({error.strerror})")
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def write(self, text: str) -> None:
        """Replace the file atomically, so that no reader sees a partial file.

        The file keeps its owner, and its mode without the rights that the gateway rejects.
        """
        path = self.path.resolve()
        try:
            before = path.stat() if path.exists() else None
            mode = before.st_mode & 0o750 if before else 0o600
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
            new = Path(name)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
                # Its owner first: a file that its group may read is never that of another group.
                if before and (before.st_uid, before.st_gid) != (new.stat().st_uid, new.stat().st_gid):
                    os.chown(new, before.st_uid, before.st_gid)
                new.chmod(mode)
                new.replace(path)
            except BaseException:
                new.unlink(missing_ok=True)
                raise
        except OSError as error:
            self._fail(f"cannot be written ({error.strerror})")

    def _fail(self, problem: str) -> NoReturn:
        fail(f"{self.command}: the file {self.path} {problem}")


def utc(moment: datetime.datetime) -> str:
    """Return a time as the files contain it."""
    return moment.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def in_days(command: str, days: int | str) -> str:
    """Return the time this many days from now."""
    try:
        return utc(datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=int(days)))
    except (OverflowError, ValueError):  # Python converts at most 4,300 digits.
        fail(f"{command}: the time is too far away")
