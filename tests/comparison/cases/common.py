"""Documents, values and helpers of the cases."""

from __future__ import annotations

import datetime
import enum
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import bson
from bson import (
    Binary,
    Code,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from bson.codec_options import TypeCodec
from bson.raw_bson import RawBSONDocument
from pymongo.collation import Collation

from tests.comparison.harness import Call, Case

CASES: dict[str, Case] = {}
# A call with a collection or a database.
Of = Callable[[Any], Any]

OLD_ID = ObjectId("6193504e1be4ab27791c8133")
OLD_UUID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
OLD_DATE = datetime.datetime(2020, 2, 29, 12, 30, 15, 123000)

DOCUMENTS: list[dict[str, Any]] = [
    {"_id": 1, "n": 1, "word": "a", "tags": ["a", "b"], "sub": {"x": 1}},
    {"_id": 2, "n": 2, "word": "B", "tags": [], "sub": {"x": Decimal128("2.5")}},
    {"_id": 3, "n": 2, "word": "b", "tags": ["c"], "items": [{"k": 1, "v": 1}, {"k": 2, "v": 2}]},
    {"_id": 4, "n": 4, "word": "é", "when": OLD_DATE},
]
NUMBERS: list[dict[str, Any]] = [{"_id": n, "n": n, "odd": bool(n % 2)} for n in range(30)]

EVERYTHING: dict[str, Any] = {
    "double": 1.5,
    "text": "ünï\0code 🚀",
    "document": {"a": {"b": [1, [2, {"c": None}]]}},
    "empty": {},
    "list": [],
    "tuple": (1, 2),
    "bytes": b"\x00\x01",
    "binary": Binary(b"12", 128),
    "id": OLD_ID,
    "true": True,
    "date": OLD_DATE,
    "aware": OLD_DATE.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
    "null": None,
    "regex": Regex("^a", "i"),
    "pattern": re.compile("a.b", re.IGNORECASE),
    "code": Code("x()"),
    "scoped": Code("x()", {"y": 1}),
    "int": 2**31 - 1,
    "long": 2**40,
    "int64": Int64(5),
    "timestamp": Timestamp(1, 2),
    "decimal": Decimal128("1.10"),
    "min": MinKey(),
    "max": MaxKey(),
    "ref": DBRef("c", OLD_ID, "d", extra=1),
    "inf": float("-inf"),
    "early": DatetimeMS(-62135596800000),
}

GERMAN = Collation("de", strength=1)
SET: dict[str, Any] = {"$set": {"seen": True}}


def add(case: Case) -> None:
    assert case.name not in CASES, case.name
    CASES[case.name] = case


def table(
    group: str, calls: Mapping[str, Call], documents: Sequence[Mapping[str, Any]] = DOCUMENTS, **options: Any
) -> None:
    """Add a group of cases."""
    for name, call in calls.items():
        add(Case(f"{group}: {name}", call, documents, **options))


def case(group: str, documents: Sequence[Mapping[str, Any]] = DOCUMENTS, **options: Any) -> Callable[[Call], Call]:
    """Add a case that needs more than an expression. It is named after its function."""

    def added(call: Call) -> Call:
        add(Case(f"{group}: {call.__name__.replace('_', ' ').strip()}", call, documents, **options))
        return call

    return added


async def listed(cursor: Any) -> list[Any]:
    """Iterate over a cursor and return its documents."""
    return [document async for document in cursor]


async def aggregated(holder: Any, pipeline: Any, **options: Any) -> Any:
    return await (await holder.aggregate(pipeline, **options)).to_list()


def with_index(*keys: Any, **options: Any) -> Of:
    """Create an index before the case runs."""
    return lambda setup: setup.things.create_index(*keys, **options)


def with_validator(setup: Any) -> None:
    setup.create_collection("things", validator={"n": {"$type": "int"}})


def pymongo_document(**fields: Any) -> RawBSONDocument:
    return RawBSONDocument(bson.encode(fields))


class Money:
    """A type that needs a codec."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.cents == self.cents

    def __hash__(self) -> int:
        return hash(self.cents)

    def __repr__(self) -> str:
        return f"Money({self.cents})"


class MoneyCodec(TypeCodec):
    python_type = Money
    bson_type = Int64

    def transform_python(self, value: Any) -> Any:
        return Int64(value.cents)

    def transform_bson(self, value: Any) -> Any:
        return Money(int(value))


class Color(str, enum.Enum):
    RED = "red"


class Name(str):
    __slots__ = ()


class Document(dict[str, Any]):
    """A custom document class."""
