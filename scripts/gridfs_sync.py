"""Writes `connect.eaas.mongodb.gridfs._sync`: the blocking GridFS, made of the awaited one.

`python -m scripts.gridfs_sync`, after a change in `_async.py`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "python" / "connect" / "eaas" / "mongodb" / "gridfs"
SOURCE = PACKAGE / "_async.py"
MODULE = PACKAGE / "_sync.py"

# Where the two differ in more than words: each is there once.
PARTS = [
    ("GridFS, to be awaited: files", "GridFS, blocking: files"),
    (
        "database with PyMongo's asynchronous API.\n",
        "database with PyMongo's blocking API.\n\nWritten by `scripts/gridfs_sync.py` from `_async.py`.\n",
    ),
    ("import inspect\n", ""),
    # Attributes may ask the server.
    (
        """\
        if self._closed:
            raise _shared.ClosedFileError(
                f"AsyncGridIn does not support setting {name!r} after being closed: use AsyncGridIn.set() instead"
            )
        self._file[name] = value
""",
        "        self.set(name, value)\n",
    ),
    (
        """\
        if not self._file:
            raise InvalidOperation(f"You must call AsyncGridOut.open() before accessing the {name} property")
        return self._file
""",
        "        return self.open()._file\n",
    ),
    ("    InvalidOperation,\n", ""),
    (
        """\
        if isinstance(error, GeneratorExit):
            # Nothing can be awaited any more.
            return
""",
        "",
    ),
    # The base class knows whether it is closed.
    ("        self.closed = True\n", "        super().close()\n"),
    # The user's files are blocking too.
    ("await _result(read(max(self._size, DEFAULT_CHUNK_SIZE)))", "read(max(self._size, DEFAULT_CHUNK_SIZE))"),
    ("await _result(destination.write(chunk))", "destination.write(chunk)"),
    ("await _result(self._cursor.rewind())", "self._cursor.rewind()"),
    (
        '''

async def _result(value: Any) -> Any:
    """A value, or what it gives if it is to be awaited: the user's files may be of either kind."""
    return await value if inspect.isawaitable(value) else value
''',
        "",
    ),
]

WORDS = [
    (r"\bawait ", ""),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\b_Async(?=[A-Z])", "_"),
    (r"\b__a(enter|exit|iter|next)__", r"__\1__"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\ban asynchronous client\b", "a blocking client"),
]


def module() -> str:
    """The module's text."""
    text = SOURCE.read_text(encoding="utf-8")
    for theirs, ours in PARTS:
        if text.count(theirs) != 1:
            raise ValueError(f"in {SOURCE.name} not once: {theirs!r}")
        text = text.replace(theirs, ours)
    for pattern, word in WORDS:
        text = re.sub(pattern, word, text)
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(MODULE), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, encoding="utf-8", check=True).stdout


if __name__ == "__main__":
    MODULE.write_text(module(), encoding="utf-8")
