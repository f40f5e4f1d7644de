"""The examples of the reference: one function per member, in `docs/reference/examples/`.

The pages show the body of a function below the member of its name, awaited and blocking, and
`tests/test_reference.py` runs both. What an example prints is the comment of its line.
"""

from __future__ import annotations

import ast
import functools
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from scripts.unasync import ASYNC_ONLY, blocking

FOLDER = Path(__file__).parent.parent / "docs" / "reference" / "examples"

# The public classes, each with the files that have the examples of its members. A later file has those that the earlier
# ones lack. Blocking classes have the examples of their awaited ones.
FILES = {
    "AsyncMongoClient": ["client"],
    "AsyncDatabase": ["database"],
    "AsyncCollection": ["collection"],
    "AsyncCursor": ["cursor"],
    "AsyncRawBatchCursor": ["raw_batch_cursor", "cursor"],
    "AsyncClientSession": ["session"],
    "AsyncChangeStream": ["change_stream"],
    "AsyncDataApiClient": ["data_api_client"],
    "AsyncDataApiDatabase": ["data_api_database"],
    "AsyncDataApiCollection": ["data_api_collection", "collection"],
    "InsertOneResult": ["insert_one_result"],
    "InsertManyResult": ["insert_many_result"],
    "UpdateResult": ["update_result"],
    "DeleteResult": ["delete_result"],
    "DataApiError": ["data_api_error"],
    "EventValidationError": ["event_validation_error"],
    "AsyncEventStore": ["event_store"],
    "AsyncEventCursor": ["event_cursor"],
    "AsyncDeadLetterCursor": ["dead_letter_cursor"],
    "SaveResult": ["save_result"],
    "StoredEvent": ["stored_event"],
    "EventNumber": ["event_number"],
    "DeadLetter": ["dead_letter"],
    "Model": ["model"],
    "Deviation": ["deviation"],
    "EventType": ["event_type"],
    "BackfillError": ["backfill_error"],
    "BackfillProgress": ["backfill_progress"],
    "Kind": ["kind"],
    "AsyncGridFSBucket": ["gridfs_bucket"],
    "AsyncGridFS": ["gridfs"],
    "AsyncGridIn": ["grid_in"],
    "AsyncGridOut": ["grid_out"],
    "AsyncGridOutCursor": ["grid_out_cursor"],
    "MongoMetrics": ["mongo_metrics"],
    "EventsPageMixin": ["events_page_mixin"],
}

# Those of functions and constants.
OF_MODULES = ["module_members", "extension", "drop_in"]

# Examples that need `connect-eaas-core`: tests/runner/ runs them.
OF_EXTENSIONS = ["extension", "events_page_mixin"]

# The example of a class as a whole.
OVERVIEW = "overview"

# How the docstrings of members begin that are only there for their errors.
NOT_ITERABLE = "Raise `TypeError`"
NOT_SUPPORTED = "Not supported: "

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
        """The blocking variant, unless there is none or it is the same. Extensions await."""
        text = blocking(self.code)
        if self.awaited_only or text == self.code or self.file in OF_EXTENSIONS:
            return None
        return text

    @property
    def requires(self) -> bool:
        """Whether it needs what not every MongoDB has."""
        return self.code.startswith("# Requires ")

    def expected(self) -> dict[int, str]:
        """What is printed, by the line of `code`."""
        lines = enumerate(self.code.splitlines(), start=1)
        return {number: found["expected"] for number, line in lines if (found := _PRINT.match(line))}


@functools.cache
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
    """The examples of a class, by the names of its members."""
    return _merged(FILES.get(name, []))


def examples_of_modules() -> dict[str, Example]:
    """The examples of functions and constants, by their names."""
    return _merged(OF_MODULES)


def _merged(files: list[str]) -> dict[str, Example]:
    found: dict[str, Example] = {}
    for file in files:
        found = read(file) | found
    return found
