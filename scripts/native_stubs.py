"""Writes the native module's stubs, `python/connect/eaas/mongodb/_native.pyi`.

`python -m scripts.native_stubs`, after a change of `scripts/native.pyi.in`, which has the classes of the driver
path that are awaited. Those that block, and those of the Data API, have the same methods, as far as the path goes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parent / "native.pyi.in"
STUBS = Path(__file__).parent.parent / "python/connect/eaas/mongodb/_native.pyi"

HEADER = "# Written by scripts/native_stubs.py of scripts/native.pyi.in.\n"
ONLY_AWAITED = re.compile(r"    def [^\n]*# awaited only\n(?:        [^\n]*\n|\n)*")
AWAIT = re.compile(r"    def __await__[^\n]*\n")
DRIVER_ONLY = re.compile(r"    # driver path\n.*?    # both paths\n", re.DOTALL)
MARKS = re.compile(r"    # (?:driver path|both paths)\n")


def unwrapped(text: str) -> str:
    """`text` with the results of coroutines in their place."""
    start = "Coroutine[Any, Any, "
    while (at := text.find(start)) >= 0:
        depth, end = 1, at + len(start)
        while depth:
            depth += {"[": 1, "]": -1}.get(text[end], 0)
            end += 1
        text = text[:at] + text[at + len(start) : end - 1] + text[end:]
    return text


def blocking(text: str) -> str:
    """The same classes, not awaited."""
    text = AWAIT.sub("", ONLY_AWAITED.sub("", text))
    text = unwrapped(text)
    for awaited, not_awaited in [
        ("__aenter__", "__enter__"),
        ("__aexit__", "__exit__"),
        ("__aiter__", "__iter__"),
        ("__anext__", "__next__"),
        ("StopAsyncIteration", "StopIteration"),
        (", to be awaited.", "."),
        (", which may be awaited first", ""),
        (" It may be awaited first.", ""),
        (", and may be awaited first", ""),
    ]:
        text = text.replace(awaited, not_awaited)
    return re.sub(r"\bAsync(\w)", r"\1", text).replace("of an `", "of a `")


def data_api(text: str, client: str) -> str:
    """The same classes, of the Data API; `client` is how its client begins."""
    text = DRIVER_ONLY.sub("", text)
    own = text.index("    def get_database(")
    text = client + "\n" + text[own:]
    text = re.sub(r"\bAsync(MongoClient|Database|Collection)\b", r"AsyncDataApi\1", text)
    text = text.replace("AsyncDataApiMongoClient", "AsyncDataApiClient")
    for theirs, own_words in [
        (
            "A lost\n        connection is tried once more, without storing twice (retryable writes).",
            "A\n        call that got no answer is repeated, without storing twice.",
        ),
        ("that the connection string or the variables name", "that the arguments or the variables name"),
        ("the client does not come from `from_config`", "they name none"),
        (
            'class AsyncDataApiCollection(Generic[_DocumentT]):\n    """A collection of an `AsyncDataApiClient`.',
            'class AsyncDataApiCollection(Generic[_DocumentT]):\n    """A collection of an `AsyncDataApiClient`.\n\n'
            "    What the Data API does not have raises `NotImplementedError`: of the arguments of writes\n"
            "    it has `upsert` and `ordered`, of those of reads `projection`, and for `find` also\n"
            "    `sort`, `skip` and `limit`. Other errors are `DataApiError` where the Data API refused.\n    ",
        ),
    ]:
        if theirs not in text:
            raise ValueError(f"{SOURCE.name} does not have {theirs!r}")
        text = text.replace(theirs, own_words)
    return text


def stubs() -> str:
    """The stubs' text, not formatted."""
    source = SOURCE.read_text(encoding="utf-8")
    source, tail = source.split("@@TAIL\n")
    source, http_client = source.split("@@DATA_API\n")
    source, cursors = source.split("@@CURSOR\n")
    begin = source.index("@final\nclass AsyncMongoClient")
    head, driver = source[:begin], source[begin:]
    http = "@final\n" + data_api(driver, http_client)
    parts = [driver, blocking(driver), http, blocking(http), cursors, blocking(cursors)]
    return HEADER + head + MARKS.sub("", "\n".join(parts)) + "\n" + tail


def formatted(text: str) -> str:
    """As the project's formatter has it."""
    ruff = Path(sys.executable).parent / "ruff"
    command = [str(ruff), "format", "--stdin-filename", str(STUBS), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    STUBS.write_text(formatted(stubs()), encoding="utf-8")
