"""Calls that the test server does not support, so that they cannot be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bson
from bson import (
    DatetimeMS,
)
from bson.raw_bson import RawBSONDocument
from pymongo import (
    HASHED,
    TEXT,
)
from pymongo.errors import OperationFailure

from tests.comparison.cases.common import Of


@dataclass(frozen=True)
class Refused:
    """The error of an unsupported call."""

    call: Of
    error: type[Exception]
    code: int | None


def broken_text(database: Any) -> Any:
    broken = bson.encode({"_id": 31, "a": "xyz"}).replace(b"xyz", b"x\xff\xfe")
    return database.things.insert_one(RawBSONDocument(broken))


def search_index(database: Any) -> Any:
    return database.things.create_search_index({"definition": {"mappings": {}}})


def index(kind: str) -> Of:
    return lambda database: database.things.create_index([("a", kind)])


LACKING: dict[str, Refused] = {
    "$where": Refused(lambda database: list(database.things.find({"$where": "true"})), OperationFailure, 6108304),
    "a date after the year 9999": Refused(
        lambda database: database.things.insert_one({"a": DatetimeMS(2**60)}), OperationFailure, 2
    ),
    "a text that is not UTF-8": Refused(broken_text, OperationFailure, 2),
    "search indexes": Refused(search_index, OperationFailure, 115),
    "hashed indexes": Refused(index(HASHED), OperationFailure, 67),
    "text indexes": Refused(index(TEXT), OperationFailure, 67),
}
"""The calls that the server rejects."""
