"""The examples of the reference: one function per member, in `docs/reference/examples/`.

The pages show the body of a function below the member of its name, awaited and blocking, and
`tests/test_reference.py` runs both. What an example prints is the comment of its line.
"""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from scripts.unasync import ASYNC_ONLY, blocking

FOLDER = Path(__file__).parent.parent / "docs" / "reference" / "examples"

PACKAGE = "connect.eaas.mongodb"

# The public classes and modules, each with the files that have the examples of its members. Examples in later files are
# for members that the first file leaves out. Blocking classes have the examples of their awaited ones.
FILES = {
    "AsyncMongoClient": ["client"],
    "AsyncDatabase": ["database"],
    "AsyncCollection": ["collection"],
    "AsyncCursor": ["cursor"],
    "AsyncRawBatchCursor": ["raw_batch_cursor", "cursor"],
    "AsyncClientSession": ["session"],
    "AsyncChangeStream": ["change_stream"],
    "InsertOneResult": ["insert_one_result"],
    "InsertManyResult": ["insert_many_result"],
    "UpdateResult": ["update_result"],
    "DeleteResult": ["delete_result"],
}

# The example of a class as a whole.
OVERVIEW = "overview"

# How the docstring of a member begins that is only there for its error.
NOT_ITERABLE = "Raise `TypeError`"

_PRINT = re.compile(r"^ *print\(.*\)  # (?P<expected>.*)$")


@dataclass(frozen=True)
class Example:
    """An example of a member."""

    file: str
    name: str
    arguments: tuple[str, ...]
    """What it is given: `collection`, `client`, …"""
    code: str
    """The body of the function, as the page shows it."""
    awaited_only: bool
    """Whether the blocking classes have no such member."""

    @property
    def blocking(self) -> str | None:
        """The blocking variant, unless there is none or it is the same."""
        text = blocking(self.code)
        return None if self.awaited_only or text == self.code else text

    @property
    def requires(self) -> bool:
        """Whether it needs what not every MongoDB has."""
        return self.code.startswith("# Requires ")

    def expected(self) -> dict[int, str]:
        """What is printed, by the line of `code`."""
        lines = enumerate(self.code.splitlines(), start=1)
        return {number: found["expected"] for number, line in lines if (found := _PRINT.match(line))}


def read(file: str) -> dict[str, Example]:
    """Read the examples of a file, by the names of their members."""
    text = (FOLDER / f"{file}.py").read_text(encoding="utf-8")
    lines = text.splitlines()
    examples = {}
    for node in ast.parse(text).body:
        if not isinstance(node, ast.AsyncFunctionDef):
            continue
        assert node.returns is not None, f"{file}.py: {node.name} has no annotation of its result"
        body = lines[node.returns.end_lineno : node.end_lineno]
        name = node.name.rstrip("_")
        examples[name] = Example(
            file=file,
            name=name,
            arguments=tuple(argument.arg for argument in node.args.args),
            code=textwrap.dedent("\n".join(body)),
            awaited_only=name in ASYNC_ONLY,
        )
    return examples


def examples_of(name: str) -> dict[str, Example]:
    """The examples of a class or a module, by the names of their members."""
    found: dict[str, Example] = {}
    for file in FILES.get(name.removeprefix(f"{PACKAGE}."), []):
        found = read(file) | found
    return found
