"""The calls that are compared: a table of names and of what is done, written awaited.

A case is given a `World`, whose `collection` holds `DOCUMENTS` unless said otherwise. What it
gives, or raises, is compared, and so is what it leaves behind.
"""

from __future__ import annotations

import datetime
import enum
import re
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import bson
from bson import (
    SON,
    Binary,
    Code,
    CodecOptions,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
    UuidRepresentation,
)
from bson.codec_options import DatetimeConversion, TypeCodec, TypeRegistry
from bson.raw_bson import RawBSONDocument
from pymongo import (
    ASCENDING,
    DESCENDING,
    GEO2D,
    GEOSPHERE,
    HASHED,
    TEXT,
    CursorType,
    DeleteMany,
    DeleteOne,
    IndexModel,
    InsertOne,
    ReadPreference,
    ReplaceOne,
    ReturnDocument,
    UpdateMany,
    UpdateOne,
    WriteConcern,
)
from pymongo.client_session_shared import TransactionOptions
from pymongo.collation import Collation, CollationCaseFirst, CollationStrength
from pymongo.errors import OperationFailure
from pymongo.operations import SearchIndexModel
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import Nearest, Secondary

from tests.comparison.harness import TIMEOUT_MS, Call, Case, World, awaited, outcome

CASES: dict[str, Case] = {}
# Of a collection.
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


def add(case: Case) -> None:
    assert case.name not in CASES, case.name
    CASES[case.name] = case


def table(
    group: str, calls: Mapping[str, Call], documents: Sequence[Mapping[str, Any]] = DOCUMENTS, **options: Any
) -> None:
    """Cases of a kind."""
    for name, call in calls.items():
        add(Case(f"{group}: {name}", call, documents, **options))


def case(group: str, documents: Sequence[Mapping[str, Any]] = DOCUMENTS, **options: Any) -> Callable[[Call], Call]:
    """A case that takes more than an expression. Its name is its function's."""

    def added(call: Call) -> Call:
        add(Case(f"{group}: {call.__name__.replace('_', ' ').strip()}", call, documents, **options))
        return call

    return added


async def listed(cursor: Any) -> list[Any]:
    """All of a cursor, one by one."""
    return [document async for document in cursor]


async def aggregated(holder: Any, pipeline: Any, **options: Any) -> Any:
    return await (await holder.aggregate(pipeline, **options)).to_list()


def with_index(*keys: Any, **options: Any) -> Of:
    """An index that is there before."""
    return lambda setup: setup.things.create_index(*keys, **options)


def with_validator(setup: Any) -> None:
    setup.create_collection("things", validator={"n": {"$type": "int"}})


def pymongo_document(**fields: Any) -> RawBSONDocument:
    return RawBSONDocument(bson.encode(fields))


class Money:
    """What only a codec knows."""

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
    """A document of another class."""


# ---------------------------------------------------------------------- insert_one and insert_many


async def type_of_id(world: World, document: Any) -> Any:
    return type((await world.collection.insert_one(document)).inserted_id)


table(
    "insert_one",
    {
        "an id": lambda w: w.collection.insert_one({"_id": 1, "a": 1}),
        "no id": lambda w: w.collection.insert_one({"a": 1}),
        "an id in the middle": lambda w: w.collection.insert_one({"a": 1, "_id": 2, "b": 3}),
        "an empty document": lambda w: type_of_id(w, {}),
        "all types": lambda w: w.collection.insert_one({"_id": 1, **EVERYTHING}),
        "a nan": lambda w: w.collection.insert_one({"_id": 1, "nan": float("nan")}),
        "an id that is null": lambda w: w.collection.insert_one({"_id": None}),
        "an id that is a document": lambda w: w.collection.insert_one({"_id": {"b": 1, "a": 2}}),
        "an id that is a list": lambda w: w.collection.insert_one({"_id": [1]}),
        "an id that is a regex": lambda w: w.collection.insert_one({"_id": Regex("a")}),
        "an id with an operator": lambda w: w.collection.insert_one({"_id": {"$a": 1}}),
        "a SON": lambda w: w.collection.insert_one(SON([("_id", 1), ("b", 1), ("a", SON([("z", 1)]))])),
        "an OrderedDict": lambda w: w.collection.insert_one(OrderedDict([("_id", 1), ("b", 1), ("a", 2)])),
        "a subclass of dict": lambda w: w.collection.insert_one(Document(_id=1, inner=Document(a=1))),
        "a raw document": lambda w: w.collection.insert_one(pymongo_document(_id=1, a={"b": 1})),
        "a raw document without id": lambda w: w.collection.insert_one(pymongo_document(a=1)),
        "a raw document within": lambda w: w.collection.insert_one({"_id": 1, "raw": pymongo_document(a=1)}),
        "keys with dots and dollars": lambda w: w.collection.insert_one({"_id": 1, "a.b": 1, "c": {"$d": 1, "e.f": 2}}),
        "a key that begins with a dollar": lambda w: w.collection.insert_one({"_id": 1, "$a": 1}),
        "an empty key": lambda w: w.collection.insert_one({"_id": 1, "": 1}),
        "a subclass of str": lambda w: w.collection.insert_one({"_id": 1, "name": Name("x"), "color": Color.RED}),
        "a comment": lambda w: w.collection.insert_one({"_id": 1}, comment="why"),
        "a comment that is a document": lambda w: w.collection.insert_one({"_id": 1}, comment={"why": [1]}),
        "bypass": lambda w: w.collection.insert_one({"_id": 1}, bypass_document_validation=True),
        "no bypass": lambda w: w.collection.insert_one({"_id": 1}, bypass_document_validation=False),
        "bypass by place": lambda w: w.collection.insert_one({"_id": 1}, True, None, "why"),
        "none": lambda w: w.collection.insert_one(None),
        "a number": lambda w: w.collection.insert_one(5),
        "a list": lambda w: w.collection.insert_one([{}]),
        "a text": lambda w: w.collection.insert_one("a"),
        "what BSON cannot hold": lambda w: w.collection.insert_one({"a": object()}),
        "a decimal": lambda w: w.collection.insert_one({"a": Decimal("1.0")}),
        "a set": lambda w: w.collection.insert_one({"a": {1}}),
        "a large number": lambda w: w.collection.insert_one({"a": 2**63}),
        "a key that is a number": lambda w: w.collection.insert_one({1: 1}),
        "a key with a null": lambda w: w.collection.insert_one({"a\0": 1}),
        "a uuid": lambda w: w.collection.insert_one({"a": OLD_UUID}),
        "a regex with a null": lambda w: w.collection.insert_one({"a": Regex("a\0")}),
        "a surrogate": lambda w: w.collection.insert_one({"a": "\ud800"}),
        "no arguments": lambda w: w.collection.insert_one(),
        "a wrong keyword": lambda w: w.collection.insert_one({}, nonsense=1),
        "too large": lambda w: w.collection.insert_one({"_id": 1, "a": "x" * (16 * 1024 * 1024)}),
    },
    documents=(),
)
table(
    "insert_one, there are some",
    {
        "a duplicate": lambda w: w.collection.insert_one({"_id": 1}),
        "another": lambda w: w.collection.insert_one({"_id": 5}),
    },
)
table(
    "insert_one, a unique index",
    {
        "a duplicate": lambda w: w.collection.insert_one({"_id": 9, "word": "a"}),
        "none": lambda w: w.collection.insert_one({"_id": 9, "word": "z"}),
    },
    prepare=with_index("word", unique=True),
)
table(
    "a validator",
    {
        "insert_one refused": lambda w: w.collection.insert_one({"_id": 1, "n": "x"}),
        "insert_one bypassed": lambda w: w.collection.insert_one({"_id": 1, "n": "x"}, bypass_document_validation=True),
        "insert_one": lambda w: w.collection.insert_one({"_id": 1, "n": 1}),
        "insert_many refused": lambda w: w.collection.insert_many([{"_id": 1, "n": 1}, {"_id": 2, "n": "x"}]),
        "insert_many bypassed": lambda w: w.collection.insert_many(
            [{"_id": 1, "n": 1}, {"_id": 2, "n": "x"}], bypass_document_validation=True
        ),
        "update refused": lambda w: w.collection.update_one({"_id": 1}, {"$set": {"n": "x"}}, upsert=True),
        "update bypassed": lambda w: w.collection.update_one(
            {"_id": 1}, {"$set": {"n": "x"}}, upsert=True, bypass_document_validation=True
        ),
        "update_many bypassed": lambda w: w.collection.update_many(
            {"_id": 1}, {"$set": {"n": "x"}}, upsert=True, bypass_document_validation=True
        ),
        "replace refused": lambda w: w.collection.replace_one({"_id": 1}, {"n": "x"}, upsert=True),
        "replace bypassed": lambda w: w.collection.replace_one(
            {"_id": 1}, {"n": "x"}, upsert=True, bypass_document_validation=True
        ),
        "find_one_and_update refused": lambda w: w.collection.find_one_and_update(
            {"_id": 1}, {"$set": {"n": "x"}}, upsert=True
        ),
        "find_one_and_update bypassed": lambda w: w.collection.find_one_and_update(
            {"_id": 1}, {"$set": {"n": "x"}}, upsert=True, bypassDocumentValidation=True
        ),
        "bulk_write refused": lambda w: w.collection.bulk_write(
            [InsertOne({"_id": 1, "n": 1}), InsertOne({"_id": 2, "n": "x"})]
        ),
        "bulk_write bypassed": lambda w: w.collection.bulk_write(
            [InsertOne({"_id": 1, "n": 1}), UpdateOne({"_id": 1}, {"$set": {"n": "x"}})],
            bypass_document_validation=True,
        ),
    },
    documents=(),
    prepare=with_validator,
)
table(
    "insert_many",
    {
        "plain": lambda w: w.collection.insert_many([{"_id": 1}, {"_id": "x", "a": [1]}]),
        "no ids": lambda w: w.collection.insert_many([{"a": n} for n in range(3)]),
        "a generator": lambda w: w.collection.insert_many({"_id": n} for n in range(3)),
        "a tuple": lambda w: w.collection.insert_many(({"_id": 1}, {"_id": 2})),
        "unordered": lambda w: w.collection.insert_many([{"_id": 1}, {"_id": 2}], ordered=False),
        "unordered by place": lambda w: w.collection.insert_many([{"_id": 1}, {"_id": 2}], False),
        "a duplicate": lambda w: w.collection.insert_many([{"_id": 1}, {"_id": 2}, {"_id": 1, "a": 2}, {"_id": 3}]),
        "a duplicate, unordered": lambda w: w.collection.insert_many(
            [{"_id": 1}, {"_id": 2}, {"_id": 1, "a": 2}, {"_id": 3}, {"_id": 2}], ordered=False
        ),
        "raw documents": lambda w: w.collection.insert_many([pymongo_document(_id=1), pymongo_document(_id=2, a=1)]),
        "a comment": lambda w: w.collection.insert_many([{"_id": 1}], comment="why"),
        "bypass": lambda w: w.collection.insert_many([{"_id": 1}], bypass_document_validation=True),
        "many": lambda w: w.collection.insert_many([{"_id": n} for n in range(1100)]),
        "an empty list": lambda w: w.collection.insert_many([]),
        "an empty generator": lambda w: w.collection.insert_many({} for _ in range(0)),
        "a document": lambda w: w.collection.insert_many({"a": 1}),
        "none": lambda w: w.collection.insert_many(None),
        "a number": lambda w: w.collection.insert_many(5),
        "a text": lambda w: w.collection.insert_many("abc"),
        "a list of numbers": lambda w: w.collection.insert_many([1, 2]),
        "one that is no document": lambda w: w.collection.insert_many([{"_id": 1}, "x"]),
        "what BSON cannot hold": lambda w: w.collection.insert_many([{"_id": 1}, {"_id": 2, "a": object()}]),
        "a key that begins with a dollar": lambda w: w.collection.insert_many([{"_id": 1}, {"_id": 2, "$a": 1}]),
        "too large": lambda w: w.collection.insert_many([{"_id": 1}, {"_id": 2, "a": "x" * (16 * 1024 * 1024)}]),
    },
    documents=(),
)


@case("insert_one", documents=())
async def given_twice(w: World) -> Any:
    document = {"_id": 1, "a": 1}
    await w.collection.insert_one(document)
    return await outcome(lambda: w.collection.insert_one(document)), document


# ---------------------------------------------------------------------- updates, replacements, deletions

GERMAN = Collation("de", strength=1)
SET: dict[str, Any] = {"$set": {"seen": True}}


def updates(method: str) -> dict[str, Call]:
    def u(w: World, *arguments: Any, **options: Any) -> Any:
        return getattr(w.collection, method)(*arguments, **options)

    return {
        "some match": lambda w: u(w, {"n": 2}, SET),
        "none match": lambda w: u(w, {"n": 9}, SET),
        "nothing changes": lambda w: u(w, {"_id": 1}, {"$set": {"n": 1}}),
        "all": lambda w: u(w, {}, {"$inc": {"n": 1}, "$push": {"tags": "d"}}, comment="x"),
        "unset": lambda w: u(w, {}, {"$unset": {"sub": ""}, "$rename": {"word": "text"}}),
        "upsert": lambda w: u(w, {"_id": 9}, {"$set": {"n": 9}}, upsert=True),
        "upsert makes an id": lambda w: u(w, {"n": 9}, SET, upsert=True),
        "upsert by place": lambda w: u(w, {"_id": "x"}, {"$inc": {"n": 9}}, True),
        "upsert that matches": lambda w: u(w, {"_id": 1}, SET, upsert=True),
        "upsert with setOnInsert": lambda w: u(w, {"_id": 9}, {"$setOnInsert": {"n": 9}}, upsert=True),
        "upsert of an id null": lambda w: u(w, {"_id": None}, SET, upsert=True),
        "a pipeline": lambda w: u(w, {"_id": 1}, [{"$set": {"n": {"$add": ["$n", 10]}}}]),
        "a pipeline and let": lambda w: u(w, {"_id": 1}, [{"$set": {"n": "$$given"}}], let={"given": 7}),
        "let in the filter": lambda w: u(w, {"$expr": {"$eq": ["$n", "$$given"]}}, SET, let={"given": 4}),
        "array filters": lambda w: u(w, {}, {"$set": {"tags.$[t]": "z"}}, array_filters=[{"t": {"$in": ["a", "c"]}}]),
        "array filters of documents": lambda w: u(
            w, {"_id": 3}, {"$inc": {"items.$[i].v": 5}}, array_filters=[{"i.k": 2}]
        ),
        "array filters that are not used": lambda w: u(w, {}, SET, array_filters=[{"t": 1}]),
        "a collation": lambda w: u(w, {"word": "B"}, SET, collation=GERMAN),
        "a collation that is a dict": lambda w: u(w, {"word": "É"}, SET, collation={"locale": "fr", "strength": 1}),
        "a hint": lambda w: u(w, {"n": 2}, SET, hint="_id_"),
        "a hint by keys": lambda w: u(w, {"n": 2}, SET, hint=[("_id", 1)]),
        "a hint that is not there": lambda w: u(w, {"n": 2}, SET, hint="nowhere"),
        "a hint of keys not there": lambda w: u(w, {"n": 2}, SET, hint=[("x", ASCENDING)]),
        "a comment": lambda w: u(w, {"n": 2}, SET, comment={"a": 1}),
        "bypass": lambda w: u(w, {"n": 2}, SET, bypass_document_validation=True),
        "bypass false": lambda w: u(w, {"n": 2}, SET, bypass_document_validation=False),
        "an unknown operator": lambda w: u(w, {}, {"$nonsense": 1}),
        "an unknown operator in the filter": lambda w: u(w, {"n": {"$nonsense": 1}}, SET),
        "a change of the id": lambda w: u(w, {"_id": 1}, {"$set": {"_id": 2}}),
        "inc of a text": lambda w: u(w, {"_id": 1}, {"$inc": {"word": 1}}),
        "a conflict": lambda w: u(w, {"_id": 1}, {"$set": {"a": 1}, "$unset": {"a": 1}}),
        "positional": lambda w: u(w, {"items.k": 2}, {"$set": {"items.$.v": 9}}),
        "no operator": lambda w: u(w, {}, {"a": 1}),
        "an operator second": lambda w: u(w, {}, {"a": 1, "$set": {"b": 1}}),
        "an operator first": lambda w: u(w, {}, {"$set": {"b": 1}, "a": 1}),
        "empty": lambda w: u(w, {}, {}),
        "an empty pipeline": lambda w: u(w, {}, []),
        "a number for an update": lambda w: u(w, {}, 5),
        "none for an update": lambda w: u(w, {}, None),
        "a number for a filter": lambda w: u(w, 5, SET),
        "none for a filter": lambda w: u(w, None, SET),
        "a text for upsert": lambda w: u(w, {}, SET, upsert="yes"),
        "array filters that are a document": lambda w: u(w, {}, SET, array_filters={"a": 1}),
        "array filters and a text": lambda w: u(w, {}, SET, array_filters="a"),
        "a number for a hint": lambda w: u(w, {}, SET, hint=5),
        "a text for a collation": lambda w: u(w, {}, SET, collation="de"),
        "a text for let": lambda w: u(w, {}, SET, let="a"),
        "a wrong session": lambda w: u(w, {}, SET, session=5),
        "a value that BSON cannot hold": lambda w: u(w, {}, {"$set": {"a": object()}}),
        "a raw filter": lambda w: u(w, pymongo_document(_id=1), SET),
        "an ordered update": lambda w: u(w, SON(_id=1), SON([("$set", SON([("b", 1), ("a", 2)]))])),
        "no update": lambda w: u(w, {}),
    }


table("update_one", updates("update_one"))
table("update_many", updates("update_many"))
table(
    "update_one",
    {
        "a sort": lambda w: w.collection.update_one({}, SET, sort={"n": -1}),
        "a sort of pairs": lambda w: w.collection.update_one({}, SET, sort=[("n", -1)]),
        "all options by place": lambda w: w.collection.update_one({"_id": 1}, SET, False, None, None, None, None, None),
    },
)
table("update_many", {"a sort": lambda w: w.collection.update_many({}, SET, sort={"n": -1})})
table(
    "replace_one",
    {
        "plain": lambda w: w.collection.replace_one({"_id": 1}, {"new": True}),
        "by another field": lambda w: w.collection.replace_one({"n": 2}, {}),
        "none match": lambda w: w.collection.replace_one({"n": 9}, {"new": True}),
        "the same": lambda w: w.collection.replace_one({"_id": 1}, DOCUMENTS[0]),
        "with its id": lambda w: w.collection.replace_one({"n": 1}, {"_id": 1, "a": 1}),
        "with another id": lambda w: w.collection.replace_one({"n": 1}, {"_id": 2, "a": 1}),
        "upsert": lambda w: w.collection.replace_one({"_id": 8}, {"n": Decimal128("1.50")}, upsert=True),
        "upsert by place": lambda w: w.collection.replace_one({"_id": 8}, {"n": 1}, True),
        "upsert makes an id": lambda w: w.collection.replace_one({"n": 8}, {"n": 9}, upsert=True),
        "a sort": lambda w: w.collection.replace_one({}, {"new": 1}, sort={"n": -1}),
        "a hint": lambda w: w.collection.replace_one({"n": 2}, {"new": 1}, hint="_id_"),
        "a hint by keys": lambda w: w.collection.replace_one({"n": 2}, {"new": 1}, hint=[("_id", 1)]),
        "a hint that is not there": lambda w: w.collection.replace_one({"n": 2}, {"new": 1}, hint="nowhere"),
        "a collation": lambda w: w.collection.replace_one({"word": "B"}, {"new": 1}, collation=GERMAN),
        "let": lambda w: w.collection.replace_one({"$expr": {"$eq": ["$n", "$$m"]}}, {"new": 1}, let={"m": 4}),
        "a comment": lambda w: w.collection.replace_one({"_id": 1}, {"new": 1}, comment="why"),
        "bypass": lambda w: w.collection.replace_one({"_id": 1}, {"new": 1}, bypass_document_validation=True),
        "a raw document": lambda w: w.collection.replace_one({"_id": 1}, pymongo_document(a=1)),
        "all types": lambda w: w.collection.replace_one({"_id": 1}, EVERYTHING),
        "an operator": lambda w: w.collection.replace_one({}, {"$set": {"a": 1}}),
        "an operator second": lambda w: w.collection.replace_one({"_id": 1}, {"a": 1, "$set": {"a": 1}}),
        "a number": lambda w: w.collection.replace_one({}, 5),
        "a list": lambda w: w.collection.replace_one({}, [{"a": 1}]),
        "a number for a filter": lambda w: w.collection.replace_one(5, {}),
        "a text for let": lambda w: w.collection.replace_one({}, {}, let="a"),
    },
)


def deletions(method: str) -> dict[str, Call]:
    def d(w: World, *arguments: Any, **options: Any) -> Any:
        return getattr(w.collection, method)(*arguments, **options)

    return {
        "some match": lambda w: d(w, {"n": 2}),
        "none match": lambda w: d(w, {"n": 9}),
        "all": lambda w: d(w, {}),
        "a collation": lambda w: d(w, {"word": "B"}, collation=GERMAN),
        "a collation by place": lambda w: d(w, {"word": "b"}, Collation("en", strength=2)),
        "a hint": lambda w: d(w, {"n": 2}, hint="_id_"),
        "a hint by keys": lambda w: d(w, {"n": 2}, hint=[("_id", 1)]),
        "a hint that is not there": lambda w: d(w, {"n": 2}, hint="nowhere"),
        "let": lambda w: d(w, {"$expr": {"$eq": ["$n", "$$m"]}}, let={"m": 4}),
        "a comment": lambda w: d(w, {"n": 2}, comment="why"),
        "an unknown operator": lambda w: d(w, {"n": {"$nonsense": 1}}),
        "a number": lambda w: d(w, 5),
        "none": lambda w: d(w, None),
        "a list": lambda w: d(w, []),
        "an id": lambda w: d(w, OLD_ID),
        "a number for a hint": lambda w: d(w, {}, hint=5),
        "a text for a collation": lambda w: d(w, {}, collation="de"),
        "a text for let": lambda w: d(w, {}, let="a"),
        "nothing": lambda w: d(w),
    }


table("delete_one", deletions("delete_one"))
table("delete_many", deletions("delete_many"))

# ---------------------------------------------------------------------- find_one and find


table(
    "find_one",
    {
        "nothing": lambda w: w.collection.find_one(),
        "an id": lambda w: w.collection.find_one(3),
        "an id that is not there": lambda w: w.collection.find_one(OLD_ID),
        "a filter": lambda w: w.collection.find_one({"n": {"$gt": 1}}),
        "none match": lambda w: w.collection.find_one({"n": 9}),
        "a projection": lambda w: w.collection.find_one({"n": 1}, {"n": 1, "_id": 0}),
        "a projection of names": lambda w: w.collection.find_one({"n": 1}, ["n", "word"]),
        "an empty projection": lambda w: w.collection.find_one({"n": 1}, []),
        "an empty projection dict": lambda w: w.collection.find_one({"n": 1}, {}),
        "a sort": lambda w: w.collection.find_one({}, sort=[("n", -1)]),
        "a sort dict": lambda w: w.collection.find_one({}, sort={"n": -1}),
        "skip": lambda w: w.collection.find_one({}, skip=2),
        "skip by place": lambda w: w.collection.find_one({}, None, 2),
        "a hint": lambda w: w.collection.find_one({"n": 2}, hint="_id_"),
        "a comment": lambda w: w.collection.find_one({"n": 2}, comment="why"),
        "max_time_ms": lambda w: w.collection.find_one({"n": 2}, max_time_ms=5000),
        "let": lambda w: w.collection.find_one({"$expr": {"$eq": ["$n", "$$m"]}}, let={"m": 4}),
        "a collation": lambda w: w.collection.find_one({"word": "B"}, collation=GERMAN, sort=[("_id", -1)]),
        "limit is set": lambda w: w.collection.find_one({}, limit=5),
        "batch_size": lambda w: w.collection.find_one({}, batch_size=5),
        "an unknown operator": lambda w: w.collection.find_one({"n": {"$nonsense": 1}}),
        "a number for a projection": lambda w: w.collection.find_one({}, 5),
        "a wrong keyword": lambda w: w.collection.find_one({}, nonsense=1),
        "a raw filter": lambda w: w.collection.find_one(pymongo_document(_id=1)),
    },
)
FINDS: dict[str, Of] = {
    "all": lambda c: c.find(),
    "a filter": lambda c: c.find({"n": 2}),
    "filter by keyword": lambda c: c.find(filter={"n": 2}),
    "none match": lambda c: c.find({"n": 9}),
    "a projection": lambda c: c.find({}, {"n": 1}),
    "a projection without": lambda c: c.find({}, {"n": 0, "tags": 0}),
    "a projection of names": lambda c: c.find({}, ["word"]),
    "a projection of a tuple": lambda c: c.find({}, ("word", "n")),
    "a projection of a set": lambda c: c.find({}, {"word"}),
    "an empty projection": lambda c: c.find({}, []),
    "a slice in the projection": lambda c: c.find({}, {"tags": {"$slice": 1}}),
    "elemMatch in the projection": lambda c: c.find({}, {"items": {"$elemMatch": {"k": 2}}}),
    "skip and limit": lambda c: c.find({}, skip=1, limit=2),
    "skip and limit by place": lambda c: c.find({}, None, 1, 2),
    "skip and limit, called": lambda c: c.find().skip(1).limit(2),
    "a negative limit": lambda c: c.find(limit=-2),
    "a negative limit, called": lambda c: c.find().limit(-3),
    "limit 0": lambda c: c.find().limit(0),
    "batch_size 1": lambda c: c.find(batch_size=1),
    "batch_size 2": lambda c: c.find().batch_size(2),
    "batch_size and limit": lambda c: c.find(batch_size=2, limit=3),
    "batch_size over limit": lambda c: c.find(batch_size=5, limit=3),
    "a sort": lambda c: c.find().sort("n"),
    "a sort down": lambda c: c.find().sort("n", DESCENDING),
    "a sort of pairs": lambda c: c.find().sort([("n", -1), ("_id", 1)]),
    "a sort of names": lambda c: c.find().sort(["n", "_id"]),
    "a sort of mixed": lambda c: c.find().sort(["n", ("_id", -1)]),
    "a sort dict": lambda c: c.find().sort({"n": -1, "_id": -1}),
    "a sort argument": lambda c: c.find(sort=[("n", -1)]),
    "a sort argument of a name": lambda c: c.find(sort=["n"]),
    "a sort argument dict": lambda c: c.find(sort={"n": 1}),
    "the last sort": lambda c: c.find().sort("n").sort("_id", -1),
    "a hint": lambda c: c.find({"n": 2}).hint("_id_"),
    "a hint by keys": lambda c: c.find({"n": 2}).hint([("_id", 1)]),
    "a hint by a dict": lambda c: c.find({"n": 2}).hint({"_id": 1}),
    "natural": lambda c: c.find().hint([("$natural", -1)]),
    "a hint taken back": lambda c: c.find({"n": 2}, hint="nowhere").hint(None),
    "a hint that is not there": lambda c: c.find(hint="nowhere"),
    "min and max": lambda c: c.find().min([("_id", 2)]).max([("_id", 4)]).hint("_id_"),
    "min and max arguments": lambda c: c.find(min=[("_id", 2)], max=[("_id", 3)], hint=[("_id", 1)]),
    "min without hint": lambda c: c.find().min([("_id", 2)]),
    "a collation": lambda c: c.find({"word": "b"}).collation(GERMAN),
    "a collation that sorts": lambda c: c.find(collation=Collation("en", strength=2)).sort([("word", 1), ("_id", -1)]),
    "a collation dict": lambda c: c.find({"word": "b"}, collation={"locale": "en", "strength": 2}),
    "a collation of all": lambda c: c.find(
        {"word": "b"},
        collation=Collation(
            "en", strength=CollationStrength.SECONDARY, caseFirst=CollationCaseFirst.UPPER, numericOrdering=True
        ),
    ),
    "a comment": lambda c: c.find(comment="why"),
    "a comment, called": lambda c: c.find().comment({"why": 1}),
    "max_time_ms": lambda c: c.find().max_time_ms(5000),
    "max_time_ms argument": lambda c: c.find(max_time_ms=5000),
    "allow_disk_use": lambda c: c.find(allow_disk_use=True).sort("n"),
    "allow_disk_use, called": lambda c: c.find().allow_disk_use(True).sort("n"),
    "allow_disk_use false": lambda c: c.find(allow_disk_use=False),
    "return_key": lambda c: c.find({"_id": {"$gt": 0}}, return_key=True).hint("_id_"),
    "show_record_id": lambda c: c.find({}, {"n": 1}, show_record_id=True),
    "no_cursor_timeout": lambda c: c.find(no_cursor_timeout=True),
    "allow_partial_results": lambda c: c.find(allow_partial_results=True),
    "oplog_replay": lambda c: c.find(oplog_replay=True),
    "exhaust": lambda c: c.find(cursor_type=CursorType.EXHAUST, batch_size=2),
    "let": lambda c: c.find({"$expr": {"$eq": ["$n", "$$m"]}}, let={"m": 2}),
    "max_scan": lambda c: c.find().max_scan(100),
    "an unknown operator": lambda c: c.find({"n": {"$nonsense": 1}}),
    "a where": lambda c: c.find().where("this.n == 2"),
    "a where that is code": lambda c: c.find({"n": 2}).where(Code("this.n == 2")),
    "dates": lambda c: c.find({"when": OLD_DATE}),
    "a regex": lambda c: c.find({"word": re.compile("^b", re.IGNORECASE)}),
    "a SON": lambda c: c.find(SON([("n", 2), ("_id", 3)])),
}
WRONG_FINDS: dict[str, Of] = {
    "a number for a filter": lambda c: c.find(5),
    "a list for a filter": lambda c: c.find([]),
    "a number for a projection": lambda c: c.find({}, 5),
    "a text for a projection": lambda c: c.find({}, "n"),
    "a text for skip": lambda c: c.find(skip="x"),
    "a float for skip": lambda c: c.find().skip(1.5),
    "a negative skip": lambda c: c.find().skip(-1),
    "a negative skip argument": lambda c: c.find(skip=-1),
    "a text for limit": lambda c: c.find(limit="x"),
    "none for limit": lambda c: c.find().limit(None),
    "a large limit": lambda c: c.find().limit(2**31),
    "a negative batch_size": lambda c: c.find().batch_size(-1),
    "a negative batch_size argument": lambda c: c.find(batch_size=-1),
    "a text for batch_size": lambda c: c.find().batch_size("x"),
    "a number for a sort": lambda c: c.find().sort(5),
    "a number for a sort argument": lambda c: c.find(sort=5),
    "an empty sort": lambda c: c.find().sort([]),
    "a sort of a number": lambda c: c.find().sort([5]),
    "a sort of three": lambda c: c.find().sort([("a", 1, 2)]),
    "a sort in a wrong direction": lambda c: c.find().sort("n", 5),
    "a sort in no direction": lambda c: c.find().sort([("n", None)]),
    "a text for a direction": lambda c: c.find().sort("n", "up"),
    "a number for a hint": lambda c: c.find().hint(5),
    "an empty hint": lambda c: c.find().hint([]),
    "min and no list": lambda c: c.find().min(5),
    "an empty min": lambda c: c.find().min([]),
    "a dict for max": lambda c: c.find().max({"_id": 1}),
    "a text for a collation": lambda c: c.find(collation="de"),
    "a number for a collation": lambda c: c.find().collation(5),
    "a wrong locale": lambda c: c.find(collation={"locale": "nowhere"}),
    "a collation without locale": lambda c: c.find(collation={"strength": 1}),
    "a text for max_time_ms": lambda c: c.find().max_time_ms("x"),
    "a text for allow_disk_use": lambda c: c.find().allow_disk_use("x"),
    "a text for max_await_time_ms": lambda c: c.find().max_await_time_ms("x"),
    "a text for no_cursor_timeout": lambda c: c.find(no_cursor_timeout="x"),
    "a text for oplog_replay": lambda c: c.find(oplog_replay="x"),
    "a wrong cursor_type": lambda c: c.find(cursor_type=7),
    "exhaust and limit": lambda c: c.find(cursor_type=CursorType.EXHAUST, limit=2),
    "a text for let": lambda c: c.find({}, let="x"),
    "a wrong keyword": lambda c: c.find(nonsense=1),
    "a number for where": lambda c: c.find().where(5),
    "a text for add_option": lambda c: c.find().add_option("x"),
    "a text for remove_option": lambda c: c.find().remove_option("x"),
    "a text for max_scan": lambda c: c.find().max_scan("x"),
}


# PyMongo's awaited cursor has neither.
SLICES: dict[str, Of] = {
    "a slice": lambda c: c.find().sort("_id")[1:3],
    "an open slice": lambda c: c.find().sort("_id")[1:],
    "a slice from the start": lambda c: c.find().sort("_id")[:2],
    "an empty slice": lambda c: c.find()[2:2],
    "an index": lambda c: c.find()[0],
    "a slice that steps": lambda c: c.find()[0:4:2],
    "a slice backwards": lambda c: c.find()[3:1],
    "a negative slice": lambda c: c.find()[-2:],
    "a text as an index": lambda c: c.find()["a"],
}


def found(call: Of) -> Call:
    async def all_found(w: World) -> Any:
        return await (await awaited(call(w.collection))).to_list()

    return all_found


def found_one_by_one(call: Of) -> Call:
    async def all_found(w: World) -> Any:
        cursor = call(w.collection)
        documents = [document async for document in cursor]
        return documents, cursor.alive, cursor.retrieved, cursor.cursor_id

    return all_found


table("find", {name: found(call) for name, call in FINDS.items()})
table("find, wrong", {name: found(call) for name, call in WRONG_FINDS.items()})
ONE_BY_ONE = (
    "all",
    "none match",
    "batch_size 1",
    "batch_size and limit",
    "a negative limit",
    "exhaust",
)
table("slices", {name: found(call) for name, call in SLICES.items()}, awaited=False)
table("find, one by one", {name: found_one_by_one(FINDS[name]) for name in ONE_BY_ONE})


@case("cursor", NUMBERS)
async def some_at_a_time(w: World) -> Any:
    cursor = w.collection.find(batch_size=4).sort("_id")
    first = [cursor.alive, cursor.retrieved, cursor.cursor_id]
    seen = [await cursor.next(), await cursor.to_list(2), cursor.retrieved, bool(cursor.cursor_id)]
    seen += [await cursor.to_list(10), cursor.retrieved, cursor.alive]
    seen += [await cursor.to_list(), cursor.retrieved, cursor.alive, cursor.cursor_id, await cursor.to_list()]
    return first, seen, await outcome(cursor.next)


@case("cursor", NUMBERS)
async def a_list_of_a_wrong_length(w: World) -> Any:
    cursor = w.collection.find()
    return await outcome(lambda: cursor.to_list(0)), await outcome(lambda: cursor.to_list(-1))


@case("cursor", NUMBERS)
async def rewind(w: World) -> Any:
    cursor = w.collection.find({"n": {"$lt": 6}}, batch_size=3).sort("n")
    seen = [await cursor.next(), await cursor.next()]
    again = await cursor.rewind()
    return seen, again is cursor, cursor.retrieved, await cursor.to_list()


@case("cursor", NUMBERS)
async def clone(w: World) -> Any:
    cursor = w.collection.find({"n": {"$lt": 6}}, {"n": 1}, skip=1, comment="why", batch_size=3).sort("n", -1)
    await cursor.next()
    copy = cursor.clone()
    seen = [copy.alive, copy.retrieved, await copy.limit(2).to_list()]
    await cursor.close()
    return seen


@case("cursor", NUMBERS)
async def no_options_once_begun(w: World) -> Any:
    cursor = w.collection.find(batch_size=3)
    await cursor.next()
    calls: dict[str, Any] = {
        "sort": lambda: cursor.sort("n"),
        "limit": lambda: cursor.limit(1),
        "skip": lambda: cursor.skip(1),
        "hint": lambda: cursor.hint("_id_"),
        "batch_size": lambda: cursor.batch_size(2),
        "comment": lambda: cursor.comment("x"),
        "collation": lambda: cursor.collation(GERMAN),
        "max_time_ms": lambda: cursor.max_time_ms(5),
        "max_await_time_ms": lambda: cursor.max_await_time_ms(5),
        "min": lambda: cursor.min([("n", 1)]),
        "max": lambda: cursor.max([("n", 1)]),
        "allow_disk_use": lambda: cursor.allow_disk_use(True),
        "where": lambda: cursor.where("x"),
        "max_scan": lambda: cursor.max_scan(5),
        "add_option": lambda: cursor.add_option(16),
        "remove_option": lambda: cursor.remove_option(16),
    }
    told = {}
    for name, call in calls.items():
        given = await outcome(call)
        told[name] = given if isinstance(given, Exception) else given is cursor
    await cursor.close()
    return told


@case("cursor", NUMBERS)
async def close_ends_it(w: World) -> Any:
    cursor = w.collection.find(batch_size=3)
    await cursor.next()
    seen = [cursor.alive, bool(cursor.cursor_id)]
    await cursor.close()
    await cursor.close()
    return seen, cursor.alive, await cursor.to_list(), await outcome(cursor.next)


@case("cursor", NUMBERS)
async def a_context(w: World) -> Any:
    async with w.collection.find(batch_size=3) as cursor:
        await cursor.next()
        seen = cursor.alive
    return seen, cursor.alive


@case("cursor", NUMBERS)
async def its_properties(w: World) -> Any:
    cursor = w.collection.find()
    before = (cursor.collection == w.collection, cursor.session, cursor.address, cursor.cursor_id, cursor.alive)
    await cursor.next()
    return before, isinstance(cursor.address, tuple), cursor.alive


@case("cursor", NUMBERS)
async def distinct(w: World) -> Any:
    cursor = w.collection.find({"n": {"$lt": 5}}, comment="why").max_time_ms(5000).collation(GERMAN)
    return await cursor.distinct("odd"), await w.collection.find().distinct("odd")


@case("cursor", NUMBERS)
async def explain(w: World) -> Any:
    told = await w.collection.find({"n": 2}).sort("n").explain()
    return sorted(key for key in told if key in ("queryPlanner", "executionStats", "ok"))


@case("cursor", NUMBERS)
async def explain_with_a_limit(w: World) -> Any:
    return "queryPlanner" in await w.collection.find({"n": 2}, limit=3, skip=1, comment="x").explain()


@case("cursor", NUMBERS)
async def options_as_a_mask(w: World) -> Any:
    cursor = w.collection.find()
    added = await awaited(cursor.add_option(16))
    removed = added.remove_option(16)
    await awaited(cursor.add_option(128))
    return added is cursor, removed is cursor, len(await cursor.to_list())


def capped(setup: Any) -> None:
    setup.create_collection("things", capped=True, size=100_000)
    setup.things.insert_many(NUMBERS[:3])


@case("cursor", (), prepare=capped, once=True)
async def tailable(w: World) -> Any:
    cursor = w.collection.find(cursor_type=CursorType.TAILABLE)
    seen = [await cursor.next() for _ in range(3)]
    ended = await outcome(cursor.next)
    alive = cursor.alive
    w.setup.things.insert_one({"_id": 100})
    seen.append(await cursor.next())
    await cursor.close()
    return seen, ended, alive, cursor.alive


@case("cursor", (), prepare=capped, once=True)
async def tailable_that_waits(w: World) -> Any:
    cursor = w.collection.find(cursor_type=CursorType.TAILABLE_AWAIT).max_await_time_ms(50)
    seen = [await cursor.next() for _ in range(3)]
    ended = await outcome(cursor.next)
    w.setup.things.insert_one({"_id": 100})
    seen.append(await cursor.next())
    await cursor.close()
    return seen, ended


@case("cursor")
async def tailable_on_what_is_not_capped(w: World) -> Any:
    return await w.collection.find(cursor_type=CursorType.TAILABLE).to_list()


@case("cursor", NUMBERS)
async def that_the_server_forgot(w: World) -> Any:
    cursor = w.collection.find(batch_size=3)
    seen = [await cursor.next() for _ in range(3)]
    w.setup.command("killCursors", "things", cursors=[cursor.cursor_id])
    return seen, await outcome(cursor.next), cursor.alive, await outcome(cursor.to_list)


@case("cursor", NUMBERS)
async def a_wrong_query_and_again(w: World) -> Any:
    cursor = w.collection.find({"n": {"$nonsense": 1}})
    return await outcome(cursor.next), cursor.alive, await outcome(cursor.next), await outcome(cursor.to_list)


@case("find_raw_batches", NUMBERS)
async def all_of_them(w: World) -> Any:
    batches = [batch async for batch in w.collection.find_raw_batches(batch_size=12).sort("_id")]
    return [type(batch) for batch in batches], [bson.decode_all(batch) for batch in batches]


@case("find_raw_batches", NUMBERS)
async def a_filter_and_a_projection(w: World) -> Any:
    cursor = w.collection.find_raw_batches({"odd": True}, {"n": 1}, limit=3)
    return [bson.decode_all(batch) for batch in await cursor.to_list()], await outcome(cursor.explain) is not None


table(
    "find_raw_batches",
    {
        "none match": lambda w: w.collection.find_raw_batches({"n": 99}).to_list(),
        "a wrong query": lambda w: w.collection.find_raw_batches({"n": {"$nonsense": 1}}).to_list(),
        "a wrong filter": lambda w: w.collection.find_raw_batches(5).to_list(),
    },
)

# ---------------------------------------------------------------------- find and modify

table(
    "find_one_and_update",
    {
        "plain": lambda w: w.collection.find_one_and_update({"n": 2}, SET),
        "after": lambda w: w.collection.find_one_and_update({"n": 2}, SET, return_document=ReturnDocument.AFTER),
        "none match": lambda w: w.collection.find_one_and_update({"n": 9}, SET),
        "a sort": lambda w: w.collection.find_one_and_update({"n": 2}, SET, sort=[("_id", -1)]),
        "a sort dict": lambda w: w.collection.find_one_and_update({"n": 2}, SET, sort={"_id": -1}),
        "a projection": lambda w: w.collection.find_one_and_update({"n": 2}, SET, {"n": 1}),
        "a projection of names": lambda w: w.collection.find_one_and_update({"n": 2}, SET, projection=["word"]),
        "upsert": lambda w: w.collection.find_one_and_update({"_id": 9}, {"$set": {"n": 9}}, upsert=True),
        "upsert, after": lambda w: w.collection.find_one_and_update(
            {"_id": 9}, {"$set": {"n": 9}}, upsert=True, return_document=ReturnDocument.AFTER
        ),
        "a pipeline": lambda w: w.collection.find_one_and_update({"_id": 1}, [{"$set": {"n": "$$m"}}], let={"m": 5}),
        "array filters": lambda w: w.collection.find_one_and_update(
            {"_id": 1}, {"$set": {"tags.$[t]": "z"}}, array_filters=[{"t": "a"}]
        ),
        "a hint": lambda w: w.collection.find_one_and_update({"n": 2}, SET, hint="_id_"),
        "a hint by keys": lambda w: w.collection.find_one_and_update({"n": 2}, SET, hint=[("_id", 1)]),
        "a hint that is not there": lambda w: w.collection.find_one_and_update({"n": 2}, SET, hint="nowhere"),
        "a collation": lambda w: w.collection.find_one_and_update({"word": "B"}, SET, collation=GERMAN),
        "a comment": lambda w: w.collection.find_one_and_update({"n": 2}, SET, comment="why"),
        "maxTimeMS": lambda w: w.collection.find_one_and_update({"n": 2}, SET, maxTimeMS=5000),
        "another option": lambda w: w.collection.find_one_and_update({"n": 2}, SET, bypassDocumentValidation=True),
        "an unknown option": lambda w: w.collection.find_one_and_update({"n": 2}, SET, nonsense=1),
        "no operator": lambda w: w.collection.find_one_and_update({}, {"a": 1}),
        "empty": lambda w: w.collection.find_one_and_update({}, {}),
        "a number for an update": lambda w: w.collection.find_one_and_update({}, 5),
        "a number for a filter": lambda w: w.collection.find_one_and_update(5, SET),
        "a number for return_document": lambda w: w.collection.find_one_and_update({}, SET, return_document=5),
        "an unknown operator": lambda w: w.collection.find_one_and_update({}, {"$nonsense": 1}),
        "a change of the id": lambda w: w.collection.find_one_and_update({"_id": 1}, {"$set": {"_id": 2}}),
        "a text for let": lambda w: w.collection.find_one_and_update({}, SET, let="x"),
        "array filters that are no list": lambda w: w.collection.find_one_and_update({}, SET, array_filters={"a": 1}),
    },
)
table(
    "find_one_and_replace",
    {
        "plain": lambda w: w.collection.find_one_and_replace({"n": 2}, {"new": 1}),
        "after": lambda w: w.collection.find_one_and_replace({"n": 2}, {"new": 1}, return_document=True),
        "none match": lambda w: w.collection.find_one_and_replace({"n": 9}, {"new": 1}),
        "a projection": lambda w: w.collection.find_one_and_replace({"n": 2}, {"new": 1}, ["n"]),
        "a sort": lambda w: w.collection.find_one_and_replace({}, {"new": 1}, sort=[("n", -1)]),
        "upsert": lambda w: w.collection.find_one_and_replace({"_id": 9}, {"new": 1}, upsert=True),
        "upsert, after": lambda w: w.collection.find_one_and_replace(
            {"_id": 9}, {"new": 1}, upsert=True, return_document=ReturnDocument.AFTER
        ),
        "a hint": lambda w: w.collection.find_one_and_replace({"n": 2}, {"new": 1}, hint="_id_"),
        "a collation": lambda w: w.collection.find_one_and_replace({"word": "B"}, {"new": 1}, collation=GERMAN),
        "let": lambda w: w.collection.find_one_and_replace({"$expr": {"$eq": ["$n", "$$m"]}}, {"a": 1}, let={"m": 4}),
        "a comment": lambda w: w.collection.find_one_and_replace({"n": 2}, {"new": 1}, comment="why"),
        "maxTimeMS": lambda w: w.collection.find_one_and_replace({"n": 2}, {"new": 1}, maxTimeMS=5000),
        "an operator": lambda w: w.collection.find_one_and_replace({}, {"$set": {"a": 1}}),
        "a number": lambda w: w.collection.find_one_and_replace({}, 5),
        "a raw document": lambda w: w.collection.find_one_and_replace({"_id": 1}, pymongo_document(a=1)),
    },
)
table(
    "find_one_and_delete",
    {
        "plain": lambda w: w.collection.find_one_and_delete({"n": 2}),
        "none match": lambda w: w.collection.find_one_and_delete({"n": 9}),
        "a sort": lambda w: w.collection.find_one_and_delete({"n": 2}, sort=[("_id", -1)]),
        "a projection": lambda w: w.collection.find_one_and_delete({"n": 2}, {"n": 1, "_id": 0}),
        "a projection of names": lambda w: w.collection.find_one_and_delete({"n": 2}, ["n"]),
        "a hint": lambda w: w.collection.find_one_and_delete({"n": 2}, hint="_id_"),
        "a hint that is not there": lambda w: w.collection.find_one_and_delete({"n": 2}, hint="nowhere"),
        "a collation": lambda w: w.collection.find_one_and_delete({"word": "B"}, collation=GERMAN),
        "let": lambda w: w.collection.find_one_and_delete({"$expr": {"$eq": ["$n", "$$m"]}}, let={"m": 4}),
        "a comment": lambda w: w.collection.find_one_and_delete({"n": 2}, comment="why"),
        "maxTimeMS": lambda w: w.collection.find_one_and_delete({"n": 2}, maxTimeMS=5000),
        "an unknown option": lambda w: w.collection.find_one_and_delete({}, nonsense=1),
        "a number": lambda w: w.collection.find_one_and_delete(5),
        "a number for a projection": lambda w: w.collection.find_one_and_delete({}, 5),
        "a number for a sort": lambda w: w.collection.find_one_and_delete({}, sort=5),
    },
)

# ---------------------------------------------------------------------- counts, distinct, aggregate

table(
    "counts",
    {
        "count_documents": lambda w: w.collection.count_documents({}),
        "count_documents, a filter": lambda w: w.collection.count_documents({"n": 2}),
        "count_documents, none": lambda w: w.collection.count_documents({"n": 9}),
        "count_documents, skip and limit": lambda w: w.collection.count_documents({}, skip=1, limit=2),
        "count_documents, a hint": lambda w: w.collection.count_documents({"n": 2}, hint="_id_"),
        "count_documents, a hint by keys": lambda w: w.collection.count_documents({"n": 2}, hint=[("_id", 1)]),
        "count_documents, a hint that is not there": lambda w: w.collection.count_documents({"n": 2}, hint="nowhere"),
        "count_documents, a collation": lambda w: w.collection.count_documents({"word": "B"}, collation=GERMAN),
        "count_documents, maxTimeMS": lambda w: w.collection.count_documents({}, maxTimeMS=5000),
        "count_documents, a comment": lambda w: w.collection.count_documents({}, comment="why"),
        "count_documents, no filter": lambda w: w.collection.count_documents(),
        "count_documents, a number": lambda w: w.collection.count_documents(5),
        "count_documents, none for a filter": lambda w: w.collection.count_documents(None),
        "count_documents, an unknown option": lambda w: w.collection.count_documents({}, nonsense=1),
        "count_documents, an unknown operator": lambda w: w.collection.count_documents({"n": {"$nonsense": 1}}),
        "count_documents, limit 0": lambda w: w.collection.count_documents({}, limit=0),
        "count_documents of nothing": lambda w: w.other.count_documents({}),
        "estimated": lambda w: w.collection.estimated_document_count(),
        "estimated, a comment": lambda w: w.collection.estimated_document_count(comment="why"),
        "estimated, maxTimeMS": lambda w: w.collection.estimated_document_count(maxTimeMS=5000),
        "estimated, of nothing": lambda w: w.other.estimated_document_count(),
        "estimated, an unknown option": lambda w: w.collection.estimated_document_count(nonsense=1),
        "estimated, a session": lambda w: w.collection.estimated_document_count(session=None),
        "distinct": lambda w: w.collection.distinct("n"),
        "distinct, a filter": lambda w: w.collection.distinct("tags", {"n": {"$lt": 3}}),
        "distinct, nested": lambda w: w.collection.distinct("sub.x"),
        "distinct, a collation": lambda w: w.collection.distinct("word", collation=GERMAN),
        "distinct, a comment": lambda w: w.collection.distinct("n", comment="why"),
        "distinct, maxTimeMS": lambda w: w.collection.distinct("n", maxTimeMS=5000),
        "distinct, a hint": lambda w: w.collection.distinct("n", hint="_id_"),
        "distinct, a hint by keys": lambda w: w.collection.distinct("n", hint=[("_id", 1)]),
        "distinct, no field": lambda w: w.collection.distinct("nowhere"),
        "distinct, a number": lambda w: w.collection.distinct(5),
        "distinct, a number for a filter": lambda w: w.collection.distinct("n", 5),
        "distinct, an unknown operator": lambda w: w.collection.distinct("n", {"n": {"$nonsense": 1}}),
    },
)
GROUPED: list[dict[str, Any]] = [
    {"$match": {"n": {"$gt": 0}}},
    {"$group": {"_id": "$n", "count": {"$sum": 1}, "ids": {"$push": "$_id"}}},
    {"$sort": {"_id": 1}},
]
table(
    "aggregate",
    {
        "plain": lambda w: aggregated(w.collection, GROUPED),
        "an empty pipeline": lambda w: aggregated(w.collection, []),
        "nothing found": lambda w: aggregated(w.collection, [{"$match": {"n": 9}}]),
        "batchSize": lambda w: aggregated(w.collection, [{"$sort": {"_id": 1}}], batchSize=2),
        "batchSize 0": lambda w: aggregated(w.collection, [{"$sort": {"_id": 1}}], batchSize=0),
        "allowDiskUse": lambda w: aggregated(w.collection, GROUPED, allowDiskUse=True),
        "maxTimeMS": lambda w: aggregated(w.collection, GROUPED, maxTimeMS=5000),
        "let": lambda w: aggregated(w.collection, [{"$match": {"$expr": {"$eq": ["$n", "$$m"]}}}], let={"m": 4}),
        "a comment": lambda w: aggregated(w.collection, GROUPED, comment={"why": 1}),
        "a hint": lambda w: aggregated(w.collection, GROUPED, hint="_id_"),
        "a hint by a dict": lambda w: aggregated(w.collection, GROUPED, hint={"_id": 1}),
        "a hint that is not there": lambda w: aggregated(w.collection, GROUPED, hint="nowhere"),
        "a collation": lambda w: aggregated(w.collection, [{"$match": {"word": "B"}}], collation=GERMAN),
        "bypass": lambda w: aggregated(w.collection, GROUPED, bypassDocumentValidation=True),
        "out": lambda w: aggregated(w.collection, [{"$match": {"n": 2}}, {"$out": "other"}]),
        "merge": lambda w: aggregated(w.collection, [{"$match": {"n": 2}}, {"$merge": {"into": "other"}}]),
        "out and a concern": lambda w: aggregated(
            w.collection.with_options(write_concern=WriteConcern(w=1, wtimeout=1000)), [{"$out": "other"}]
        ),
        "out, batchSize": lambda w: aggregated(w.collection, [{"$out": "other"}], batchSize=2),
        "an unknown stage": lambda w: aggregated(w.collection, [{"$nonsense": 1}]),
        "an unknown option": lambda w: aggregated(w.collection, [], nonsense=1),
        "a cursor option": lambda w: aggregated(w.collection, [], cursor={"batchSize": 2}),
        "explain": lambda w: aggregated(w.collection, [], explain=True),
        "a document": lambda w: aggregated(w.collection, {"$match": {}}),
        "none": lambda w: aggregated(w.collection, None),
        "a tuple": lambda w: aggregated(w.collection, ({"$match": {"n": 2}},)),
        "a list of numbers": lambda w: aggregated(w.collection, [5]),
        "a text for let": lambda w: aggregated(w.collection, [], let="x"),
        "of nothing": lambda w: aggregated(w.other, [{"$match": {}}]),
        "lookup": lambda w: aggregated(
            w.collection,
            [
                {"$lookup": {"from": "things", "localField": "n", "foreignField": "_id", "as": "l"}},
                {"$sort": {"_id": 1}},
            ],
        ),
        "of a database": lambda w: aggregated(w.database, [{"$documents": [{"a": 1}, {"a": 2}]}]),
        "of a database, options": lambda w: aggregated(
            w.database, [{"$documents": [{"a": 1}, {"a": 2}]}], comment="x", batchSize=1, maxTimeMS=5000
        ),
        "of a database, wrong": lambda w: aggregated(w.database, [{"$match": {}}]),
        "of a database, no list": lambda w: aggregated(w.database, 5),
    },
)


@case("aggregate", NUMBERS)
async def its_cursor(w: World) -> Any:
    cursor = await w.collection.aggregate([{"$sort": {"_id": 1}}], batchSize=4)
    seen = [cursor.alive, bool(cursor.cursor_id), cursor.session, await cursor.next(), await cursor.to_list(5)]
    seen += [await cursor.try_next(), cursor.batch_size(10) is cursor, len(await listed(cursor))]
    return seen, cursor.alive, await outcome(cursor.next), await cursor.to_list(), await cursor.try_next()


@case("aggregate", NUMBERS)
async def its_cursor_closed(w: World) -> Any:
    async with await w.collection.aggregate([], batchSize=4) as cursor:
        await cursor.next()
    return cursor.alive, await cursor.to_list(), await outcome(cursor.next)


@case("aggregate", NUMBERS)
async def its_cursor_and_wrong_arguments(w: World) -> Any:
    cursor = await w.collection.aggregate([])
    return [
        await outcome(lambda: cursor.batch_size("x")),
        await outcome(lambda: cursor.batch_size(-1)),
        await outcome(lambda: cursor.to_list(0)),
    ]


@case("aggregate_raw_batches", NUMBERS)
async def batches(w: World) -> Any:
    cursor = await w.collection.aggregate_raw_batches([{"$sort": {"_id": 1}}], batchSize=12)
    return [bson.decode_all(batch) for batch in await listed(cursor)]


table(
    "aggregate_raw_batches",
    {
        "a wrong stage": lambda w: w.collection.aggregate_raw_batches([{"$nonsense": 1}]),
        "a document": lambda w: w.collection.aggregate_raw_batches({}),
    },
)

# ---------------------------------------------------------------------- bulk_write

wrong: Any = 5
EVERY_MODEL: list[Callable[[], Any]] = [
    lambda: InsertOne({"_id": 10, "n": 10}),
    lambda: UpdateOne({"_id": 1}, {"$set": {"n": 11}}),
    lambda: UpdateMany({"n": 2}, {"$inc": {"n": 1}}),
    lambda: ReplaceOne({"_id": 4}, {"new": 1}),
    lambda: DeleteOne({"_id": 10}),
    lambda: DeleteMany({"n": {"$gt": 10}}),
    lambda: UpdateOne({"_id": 20}, {"$set": {"n": 20}}, upsert=True),
    lambda: ReplaceOne({"_id": 21}, {"n": 21}, upsert=True),
    lambda: UpdateMany({"_id": 22}, {"$set": {"n": 22}}, upsert=True),
    lambda: UpdateOne({"n": 23}, {"$set": {"a": 1}}, upsert=True),
]


def every_model() -> list[Any]:
    return [make() for make in EVERY_MODEL]


def bulk(*models: Callable[[], Any], **options: Any) -> Call:
    """A bulk write of models that are made anew for each library: an insert puts an id into its document."""
    return lambda w: w.collection.bulk_write([make() for make in models], **options)


def insert(**document: Any) -> Callable[[], Any]:
    return lambda: InsertOne(dict(document))


table(
    "bulk_write",
    {
        "every model": lambda w: w.collection.bulk_write(every_model()),
        "every model, unordered": lambda w: w.collection.bulk_write(every_model(), ordered=False),
        "every model, unordered by place": lambda w: w.collection.bulk_write(every_model(), False),
        "an insert": bulk(insert(_id=9)),
        "an insert without id": bulk(lambda: InsertOne({"a": 1})),
        "an insert of a raw document": bulk(lambda: InsertOne(pymongo_document(_id=9, a=1))),
        "a tuple of models": lambda w: w.collection.bulk_write((InsertOne({"_id": 9}), DeleteOne({"_id": 1}))),
        "a generator of models": lambda w: w.collection.bulk_write(InsertOne({"_id": n}) for n in range(10, 12)),
        "a duplicate in the middle": bulk(insert(_id=9), insert(_id=1), insert(_id=10), lambda: DeleteOne({"_id": 2})),
        "a duplicate in the middle, unordered": bulk(
            insert(_id=9), insert(_id=1), insert(_id=10), lambda: DeleteOne({"_id": 2}), insert(_id=2), ordered=False
        ),
        "a wrong update in the middle": bulk(
            lambda: UpdateOne({"_id": 1}, {"$set": {"a": 1}}),
            lambda: UpdateOne({"_id": 1}, {"$inc": {"word": 1}}),
            lambda: UpdateOne({"_id": 2}, {"$set": {"a": 1}}),
        ),
        "a wrong update in the middle, unordered": bulk(
            lambda: UpdateOne({"_id": 1}, {"$set": {"a": 1}}),
            lambda: UpdateOne({"_id": 1}, {"$inc": {"word": 1}}, upsert=True),
            lambda: UpdateOne({"_id": 22}, {"$set": {"a": 1}}, upsert=True),
            lambda: DeleteOne({"_id": 3}, hint="nowhere"),
            ordered=False,
        ),
        "an unknown operator": bulk(lambda: UpdateOne({"_id": 1}, {"$nonsense": 1}), insert(_id=9)),
        "updates of both kinds": bulk(
            lambda: UpdateOne({"n": 2}, {"$set": {"a": 1}}), lambda: UpdateMany({"n": 2}, {"$set": {"b": 1}})
        ),
        "a pipeline": bulk(lambda: UpdateOne({"_id": 1}, [{"$set": {"n": {"$add": ["$n", 1]}}}])),
        "array filters": bulk(
            lambda: UpdateOne({"_id": 1}, {"$set": {"tags.$[t]": "z"}}, array_filters=[{"t": "a"}]),
            lambda: UpdateMany({}, {"$set": {"tags.$[t]": "y"}}, array_filters=[{"t": "c"}]),
        ),
        "collations": bulk(
            lambda: UpdateOne({"word": "A"}, {"$set": {"a": 1}}, collation=GERMAN),
            lambda: UpdateMany({"word": "B"}, {"$set": {"a": 1}}, collation=GERMAN),
            lambda: ReplaceOne({"word": "É"}, {"a": 1}, collation=GERMAN),
            lambda: DeleteOne({"word": "b"}, collation=GERMAN),
            lambda: DeleteMany({"word": "B"}, collation={"locale": "en", "strength": 2}),
        ),
        "hints": bulk(
            lambda: UpdateOne({"n": 1}, {"$set": {"a": 1}}, hint="_id_"),
            lambda: UpdateMany({"n": 2}, {"$set": {"a": 1}}, hint=[("_id", 1)]),
            lambda: ReplaceOne({"n": 4}, {"a": 1}, hint="_id_"),
            lambda: DeleteOne({"n": 1}, hint="_id_"),
            lambda: DeleteMany({"n": 2}, hint={"_id": 1}),
        ),
        "sorts": bulk(
            lambda: UpdateOne({}, {"$set": {"a": 1}}, sort={"n": -1}), lambda: ReplaceOne({}, {"a": 2}, sort={"_id": 1})
        ),
        "a comment": bulk(insert(_id=9), lambda: DeleteOne({"_id": 9}), comment="why"),
        "let": bulk(
            lambda: UpdateOne({"$expr": {"$eq": ["$n", "$$m"]}}, {"$set": {"a": 1}}),
            lambda: DeleteOne({"$expr": {"$eq": ["$n", "$$m"]}}),
            let={"m": 2},
        ),
        "bypass": bulk(insert(_id=9), lambda: DeleteOne({"_id": 9}), bypass_document_validation=True),
        "bypass false": bulk(insert(_id=9), bypass_document_validation=False),
        "many": lambda w: w.collection.bulk_write(
            [InsertOne({"_id": 100 + n}) for n in range(1005)] + [DeleteOne({"_id": 100 + n}) for n in range(5)]
        ),
        "many of all kinds, unordered": lambda w: w.collection.bulk_write(
            [
                model
                for n in range(100, 140)
                for model in (InsertOne({"_id": n}), UpdateOne({"_id": n}, {"$set": {"a": n}}))
            ],
            ordered=False,
        ),
        "an empty list": lambda w: w.collection.bulk_write([]),
        "a document": lambda w: w.collection.bulk_write({}),
        "none": lambda w: w.collection.bulk_write(None),
        "a list of documents": lambda w: w.collection.bulk_write([{"a": 1}]),
        "a model and a document": lambda w: w.collection.bulk_write([InsertOne({"_id": 9}), {"a": 1}]),
        "a class of models": lambda w: w.collection.bulk_write([InsertOne]),
        "an index model": lambda w: w.collection.bulk_write([IndexModel("a")]),
        "a model of a namespace": lambda w: w.collection.bulk_write([InsertOne({"_id": 9}, namespace="a.b")]),
        "no operator": bulk(lambda: UpdateOne({}, {"a": 1})),
        "an empty update": bulk(lambda: UpdateOne({}, {})),
        "a replacement with an operator": bulk(lambda: ReplaceOne({}, {"$set": {"a": 1}})),
        "a number to insert": bulk(lambda: InsertOne(wrong)),
        "a number for a filter": bulk(lambda: DeleteOne(wrong)),
        "what BSON cannot hold": bulk(insert(_id=9), insert(_id=10, a=object())),
        "a text for let": lambda w: w.collection.bulk_write([InsertOne({"_id": 9})], let="x"),
        "a wrong session": lambda w: w.collection.bulk_write([InsertOne({"_id": 9})], session=5),
    },
)


def namespaced(w: World) -> list[Any]:
    name = w.setup.name
    things, other = f"{name}.things", f"{name}.other"
    return [
        InsertOne({"_id": 10, "n": 10}, namespace=things),
        InsertOne({"_id": 1, "n": 1}, namespace=other),
        UpdateOne({"_id": 1}, {"$set": {"n": 11}}, namespace=things),
        UpdateMany({"n": 2}, {"$inc": {"n": 1}}, namespace=things),
        UpdateOne({"_id": 5}, {"$set": {"n": 1}}, namespace=other, upsert=True),
        ReplaceOne({"_id": 4}, {"new": 1}, namespace=things),
        DeleteOne({"_id": 10}, namespace=things),
        DeleteMany({"n": {"$gt": 10}}, namespace=things),
    ]


def things(w: World, *models: Callable[..., Any]) -> list[Any]:
    return [make(f"{w.setup.name}.things") for make in models]


table(
    "client.bulk_write",
    {
        "every model": lambda w: w.client.bulk_write(namespaced(w)),
        "every model, verbose": lambda w: w.client.bulk_write(namespaced(w), verbose_results=True),
        "every model, unordered": lambda w: w.client.bulk_write(namespaced(w), ordered=False, verbose_results=True),
        "a comment": lambda w: w.client.bulk_write(things(w, lambda ns: DeleteOne({}, namespace=ns)), comment="why"),
        "let": lambda w: w.client.bulk_write(
            things(w, lambda ns: UpdateOne({"$expr": {"$eq": ["$n", "$$m"]}}, {"$set": {"a": 1}}, namespace=ns)),
            let={"m": 4},
        ),
        "bypass": lambda w: w.client.bulk_write(
            things(w, lambda ns: InsertOne({"_id": 9}, namespace=ns)), bypass_document_validation=True
        ),
        "a write concern": lambda w: w.client.bulk_write(
            things(w, lambda ns: InsertOne({"_id": 9}, namespace=ns)), write_concern=WriteConcern(w="majority")
        ),
        "options of models": lambda w: w.client.bulk_write(
            things(
                w,
                lambda ns: UpdateOne({"word": "A"}, {"$set": {"a": 1}}, collation=GERMAN, namespace=ns),
                lambda ns: UpdateOne(
                    {"_id": 1}, {"$set": {"tags.$[t]": "z"}}, array_filters=[{"t": "a"}], namespace=ns
                ),
                lambda ns: ReplaceOne({"n": 4}, {"a": 1}, hint="_id_", namespace=ns),
                lambda ns: UpdateOne({}, {"$set": {"last": 1}}, sort={"_id": -1}, namespace=ns),
                lambda ns: DeleteMany({"n": 2}, hint=[("_id", 1)], namespace=ns),
            ),
            verbose_results=True,
        ),
        "a duplicate in the middle": lambda w: w.client.bulk_write(
            things(
                w,
                lambda ns: InsertOne({"_id": 9}, namespace=ns),
                lambda ns: InsertOne({"_id": 1}, namespace=ns),
                lambda ns: InsertOne({"_id": 10}, namespace=ns),
            )
        ),
        "a duplicate in the middle, unordered": lambda w: w.client.bulk_write(
            things(
                w,
                lambda ns: InsertOne({"_id": 9}, namespace=ns),
                lambda ns: InsertOne({"_id": 1}, namespace=ns),
                lambda ns: InsertOne({"_id": 10}, namespace=ns),
            ),
            ordered=False,
            verbose_results=True,
        ),
        "a duplicate first": lambda w: w.client.bulk_write(
            things(w, lambda ns: InsertOne({"_id": 1}, namespace=ns), lambda ns: DeleteOne({}, namespace=ns))
        ),
        "an unknown operator": lambda w: w.client.bulk_write(
            things(w, lambda ns: UpdateOne({}, {"$nonsense": 1}, namespace=ns))
        ),
        "no ids": lambda w: w.client.bulk_write(
            things(w, lambda ns: InsertOne({"a": 1}, namespace=ns), lambda ns: InsertOne({"a": 2}, namespace=ns)),
            verbose_results=True,
        ),
        "many": lambda w: w.client.bulk_write(
            [InsertOne({"_id": n}, namespace=f"{w.setup.name}.other") for n in range(600)], verbose_results=False
        ),
        "no namespace": lambda w: w.client.bulk_write([InsertOne({"_id": 9})]),
        "an empty list": lambda w: w.client.bulk_write([]),
        "a document": lambda w: w.client.bulk_write({}),
        "a list of documents": lambda w: w.client.bulk_write([{"a": 1}]),
        "no operator": lambda w: w.client.bulk_write(things(w, lambda ns: UpdateOne({}, {"a": 1}, namespace=ns))),
        "unacknowledged and verbose": lambda w: w.client.bulk_write(
            things(w, lambda ns: InsertOne({"_id": 9}, namespace=ns)),
            write_concern=WriteConcern(w=0),
            verbose_results=True,
        ),
        "unacknowledged and ordered": lambda w: w.client.bulk_write(
            things(w, lambda ns: InsertOne({"_id": 9}, namespace=ns)), write_concern=WriteConcern(w=0)
        ),
    },
)

# ---------------------------------------------------------------------- indexes

table(
    "create_index",
    {
        "a name": lambda w: w.collection.create_index("n"),
        "a name down": lambda w: w.collection.create_index([("n", DESCENDING)]),
        "names": lambda w: w.collection.create_index(["n", "word"]),
        "mixed": lambda w: w.collection.create_index(["n", ("word", -1)]),
        "pairs": lambda w: w.collection.create_index([("n", 1), ("word", -1)]),
        "a dict": lambda w: w.collection.create_index({"n": 1, "word": -1}),
        "a SON": lambda w: w.collection.create_index(SON([("n", 1)])),
        "hashed": lambda w: w.collection.create_index([("n", HASHED)]),
        "2d": lambda w: w.collection.create_index([("place", GEO2D)], min=-100, max=100, bits=20),
        "2dsphere": lambda w: w.collection.create_index([("place", GEOSPHERE)]),
        "text": lambda w: w.collection.create_index(
            [("word", TEXT)], weights={"word": 5}, default_language="english", language_override="lang"
        ),
        "wildcard": lambda w: w.collection.create_index([("$**", 1)], wildcardProjection={"n": 1}),
        "its own name": lambda w: w.collection.create_index("n", name="mine"),
        "unique": lambda w: w.collection.create_index("word", unique=True),
        "unique, refused": lambda w: w.collection.create_index("n", unique=True),
        "sparse": lambda w: w.collection.create_index("n", sparse=True),
        "hidden": lambda w: w.collection.create_index("n", hidden=True),
        "background": lambda w: w.collection.create_index("n", background=True),
        "ttl": lambda w: w.collection.create_index("when", expireAfterSeconds=3_000_000_000 // 2),
        "partial": lambda w: w.collection.create_index("n", partialFilterExpression={"n": {"$gt": 1}}),
        "a collation": lambda w: w.collection.create_index("word", collation=Collation("en", strength=2)),
        "a collation dict": lambda w: w.collection.create_index("word", collation={"locale": "en"}),
        "a comment": lambda w: w.collection.create_index("n", comment="why"),
        "maxTimeMS": lambda w: w.collection.create_index("n", maxTimeMS=5000),
        "commitQuorum": lambda w: w.collection.create_index("n", commitQuorum="majority"),
        "twice": lambda w: w.collection.create_index("_id"),
        "an unknown option": lambda w: w.collection.create_index("n", nonsense=1),
        "an empty list": lambda w: w.collection.create_index([]),
        "a number": lambda w: w.collection.create_index(5),
        "a list of numbers": lambda w: w.collection.create_index([5]),
        "a wrong direction": lambda w: w.collection.create_index([("n", "nonsense")]),
        "no direction": lambda w: w.collection.create_index([("n", None)]),
        "on what is not there": lambda w: w.other.create_index("n"),
    },
)


@case("create_index")
async def in_conflict(w: World) -> Any:
    await w.collection.create_index("n", name="mine")
    return [
        await outcome(lambda: w.collection.create_index("n", name="other")),
        await outcome(lambda: w.collection.create_index("word", name="mine")),
        await outcome(lambda: w.collection.create_index("n", name="mine")),
    ]


@case("create_indexes")
async def all_kinds(w: World) -> Any:
    return await w.collection.create_indexes(
        [
            IndexModel("n"),
            IndexModel([("word", -1)], name="down", sparse=True),
            IndexModel(["a", ("b", -1)], unique=True, partialFilterExpression={"a": {"$exists": True}}),
            IndexModel([("when", 1)], expireAfterSeconds=10**9),
            IndexModel([("d", GEOSPHERE)]),
            IndexModel([("e", 1)], collation=Collation("de"), hidden=True),
            IndexModel({"f": 1, "g": -1}, background=True),
        ],
        comment="why",
    )


table(
    "create_indexes",
    {
        "one": lambda w: w.collection.create_indexes([IndexModel("n")]),
        "maxTimeMS": lambda w: w.collection.create_indexes([IndexModel("n")], maxTimeMS=5000),
        "commitQuorum": lambda w: w.collection.create_indexes([IndexModel("n")], commitQuorum=1),
        "an empty list": lambda w: w.collection.create_indexes([]),
        "a list of names": lambda w: w.collection.create_indexes(["n"]),
        "a model": lambda w: w.collection.create_indexes(IndexModel("n")),
        "refused": lambda w: w.collection.create_indexes([IndexModel("word"), IndexModel("n", unique=True)]),
    },
)


def with_indexes(setup: Any) -> None:
    setup.things.create_index([("n", 1), ("word", -1)], unique=False, sparse=True)
    setup.things.create_index("when", name="mine", expireAfterSeconds=10**9, collation=Collation("en"))


async def remaining(w: World, call: Any) -> Any:
    given = await outcome(call)
    return given, sorted(await w.collection.index_information())


table(
    "indexes, there are some",
    {
        "index_information": lambda w: w.collection.index_information(),
        "index_information, a comment": lambda w: w.collection.index_information(comment="why"),
        "index_information of nothing": lambda w: w.other.index_information(),
        "drop_index, a name": lambda w: remaining(w, lambda: w.collection.drop_index("mine")),
        "drop_index, keys": lambda w: remaining(w, lambda: w.collection.drop_index([("n", 1), ("word", -1)])),
        "drop_index, a dict": lambda w: remaining(w, lambda: w.collection.drop_index({"n": 1, "word": -1})),
        "drop_index, options": lambda w: remaining(
            w, lambda: w.collection.drop_index("mine", comment="why", maxTimeMS=5000)
        ),
        "drop_index, of the id": lambda w: remaining(w, lambda: w.collection.drop_index("_id_")),
        "drop_index, not there": lambda w: remaining(w, lambda: w.collection.drop_index("nowhere")),
        "drop_index, keys not there": lambda w: remaining(w, lambda: w.collection.drop_index([("z", 1)])),
        "drop_index, no collection": lambda w: remaining(w, lambda: w.other.drop_index("mine")),
        "drop_index, a number": lambda w: remaining(w, lambda: w.collection.drop_index(5)),
        "drop_index, an empty list": lambda w: remaining(w, lambda: w.collection.drop_index([])),
        "drop_indexes": lambda w: remaining(w, lambda: w.collection.drop_indexes()),
        "drop_indexes, options": lambda w: remaining(
            w, lambda: w.collection.drop_indexes(comment="why", maxTimeMS=5000)
        ),
        "drop_indexes, no collection": lambda w: remaining(w, lambda: w.other.drop_indexes()),
    },
    prepare=with_indexes,
)


@case("indexes, there are some", prepare=with_indexes)
async def list_indexes(w: World) -> Any:
    cursor = await w.collection.list_indexes(comment="why")
    return await cursor.to_list(), cursor.alive, await (await w.other.list_indexes()).to_list()


table(
    "search indexes",
    {
        "create_search_index": lambda w: w.collection.create_search_index({"definition": {"mappings": {}}}),
        "create_search_index, a model": lambda w: w.collection.create_search_index(
            SearchIndexModel({"mappings": {"dynamic": True}}, name="mine", type="search"), comment="why"
        ),
        "create_search_indexes": lambda w: w.collection.create_search_indexes(
            [SearchIndexModel({"mappings": {}}), SearchIndexModel({"mappings": {}}, "two", type="vectorSearch")]
        ),
        "create_search_indexes, an empty list": lambda w: w.collection.create_search_indexes([]),
        "create_search_indexes, documents": lambda w: w.collection.create_search_indexes([{"definition": {}}]),
        "update_search_index": lambda w: w.collection.update_search_index("mine", {"mappings": {}}, comment="why"),
        "drop_search_index": lambda w: w.collection.drop_search_index("mine", comment="why"),
        "list_search_indexes": lambda w: w.collection.list_search_indexes(),
        "list_search_indexes, a name": lambda w: w.collection.list_search_indexes("mine", comment="why", batchSize=5),
    },
)

# ---------------------------------------------------------------------- collections and databases

CREATIONS: dict[str, Call] = {
    "plain": lambda w: w.database.create_collection("made"),
    "capped": lambda w: w.database.create_collection("made", capped=True, size=4096, max=10),
    "a validator": lambda w: w.database.create_collection(
        "made",
        validator={"$jsonSchema": {"bsonType": "object", "required": ["n"]}},
        validationLevel="moderate",
        validationAction="warn",
    ),
    "a collation": lambda w: w.database.create_collection("made", collation=Collation("en", strength=2)),
    "a collation dict": lambda w: w.database.create_collection("made", collation={"locale": "en"}),
    "a time series": lambda w: w.database.create_collection(
        "made", timeseries={"timeField": "t", "metaField": "m", "granularity": "minutes"}, expireAfterSeconds=10**6
    ),
    "a clustered index": lambda w: w.database.create_collection(
        "made", clusteredIndex={"key": {"_id": 1}, "unique": True, "name": "clustered"}
    ),
    "a view": lambda w: w.database.create_collection("made", viewOn="things", pipeline=[{"$match": {"n": 2}}]),
    "pre-images": lambda w: w.database.create_collection("made", changeStreamPreAndPostImages={"enabled": True}),
    "a storage engine": lambda w: w.database.create_collection("made", storageEngine={"wiredTiger": {}}),
    "index option defaults": lambda w: w.database.create_collection("made", indexOptionDefaults={}),
    "a comment": lambda w: w.database.create_collection("made", comment="why"),
    "maxTimeMS": lambda w: w.database.create_collection("made", maxTimeMS=5000),
    "a write concern": lambda w: w.database.create_collection("made", write_concern=WriteConcern(w=1)),
    "no look before": lambda w: w.database.create_collection("made", check_exists=False),
    "that is there": lambda w: w.database.create_collection("things"),
    "that is there, no look before": lambda w: w.database.create_collection("things", check_exists=False),
    "that is there with other options, no look before": lambda w: w.database.create_collection(
        "things", check_exists=False, capped=True, size=4096
    ),
    "an unknown option": lambda w: w.database.create_collection("made", nonsense=1),
    "capped without a size": lambda w: w.database.create_collection("made", capped=True),
    "a wrong name": lambda w: w.database.create_collection("a..b"),
    "a number": lambda w: w.database.create_collection(5),
}
table("create_collection", CREATIONS)
table("create_collection, two", {name: CREATIONS[name] for name in ("plain", "that is there")}, documents=())


@case("create_collection")
async def with_its_options(w: World) -> Any:
    made = await w.database.create_collection(
        "made",
        CodecOptions(tz_aware=True),
        Nearest(),
        WriteConcern(w="majority"),
        ReadConcern("majority"),
    )
    return made, made.codec_options.tz_aware, made.read_preference, made.write_concern, made.read_concern


async def listed_collections(w: World, **options: Any) -> Any:
    entries = await (await w.database.list_collections(**options)).to_list()
    return sorted(entries, key=lambda entry: str(entry["name"]))


def some_collections(setup: Any) -> None:
    setup.create_collection("capped", capped=True, size=4096)
    setup.create_collection("view", viewOn="things", pipeline=[])


async def sorted_names(w: World, **options: Any) -> Any:
    return sorted(await w.database.list_collection_names(**options))


table(
    "listing collections",
    {
        "list_collections": lambda w: listed_collections(w),
        "list_collections, a filter": lambda w: listed_collections(w, filter={"options.capped": True}),
        "list_collections, options": lambda w: listed_collections(w, comment="why", nameOnly=True),
        "list_collections, a batch size": lambda w: listed_collections(w, cursor={"batchSize": 1}),
        "list_collections, authorizedCollections": lambda w: listed_collections(
            w, nameOnly=True, authorizedCollections=True
        ),
        "list_collections, a wrong filter": lambda w: listed_collections(w, filter=5),
        "names": lambda w: sorted_names(w),
        "names, a filter": lambda w: sorted_names(w, filter={"name": "capped"}),
        "names, a filter of a regex": lambda w: sorted_names(w, filter={"name": {"$regex": "^c"}}),
        "names, a filter of options": lambda w: sorted_names(w, filter={"options.capped": True}),
        "names, a comment": lambda w: sorted_names(w, comment="why"),
        "names, nameOnly": lambda w: sorted_names(w, nameOnly=False),
        "names, an unknown option": lambda w: sorted_names(w, nonsense=1),
        "names, a wrong filter": lambda w: sorted_names(w, filter=5),
        "options": lambda w: w.collection.options(),
        "options of a capped": lambda w: w.database.capped.options(comment="why"),
        "options of a view": lambda w: w.database.view.options(),
        "options of nothing": lambda w: w.other.options(),
    },
    prepare=some_collections,
)


async def the_count_after(w: World, call: Any) -> Any:
    given = await outcome(call)
    return given, sorted(await w.database.list_collection_names())


def another(setup: Any) -> None:
    setup.other.insert_one({"_id": "other"})


table(
    "renaming and dropping",
    {
        "rename": lambda w: the_count_after(w, lambda: w.collection.rename("renamed")),
        "rename, options": lambda w: the_count_after(
            w, lambda: w.collection.rename("renamed", comment="why", dropTarget=False)
        ),
        "rename to what is there": lambda w: the_count_after(w, lambda: w.collection.rename("other")),
        "rename, dropTarget": lambda w: the_count_after(w, lambda: w.collection.rename("other", dropTarget=True)),
        "rename of nothing": lambda w: the_count_after(w, lambda: w.database.nothing.rename("renamed")),
        "rename to itself": lambda w: the_count_after(w, lambda: w.collection.rename("things")),
        "rename to a number": lambda w: the_count_after(w, lambda: w.collection.rename(5)),
        "rename to an empty name": lambda w: the_count_after(w, lambda: w.collection.rename("")),
        "rename to dots": lambda w: the_count_after(w, lambda: w.collection.rename("a..b")),
        "rename to a dot": lambda w: the_count_after(w, lambda: w.collection.rename(".a")),
        "rename to a dollar": lambda w: the_count_after(w, lambda: w.collection.rename("$a")),
        "drop": lambda w: the_count_after(w, lambda: w.collection.drop()),
        "drop, a comment": lambda w: the_count_after(w, lambda: w.collection.drop(comment="why")),
        "drop of nothing": lambda w: the_count_after(w, lambda: w.database.nothing.drop()),
        "drop_collection": lambda w: the_count_after(w, lambda: w.database.drop_collection(w.collection)),
        "drop_collection, a name": lambda w: the_count_after(w, lambda: w.database.drop_collection("things")),
        "drop_collection, a comment": lambda w: the_count_after(
            w, lambda: w.database.drop_collection("things", comment="why")
        ),
        "drop_collection of nothing": lambda w: the_count_after(w, lambda: w.database.drop_collection("nothing")),
        "drop_collection, a number": lambda w: the_count_after(w, lambda: w.database.drop_collection(5)),
        "drop_database": lambda w: the_count_after(w, lambda: w.client.drop_database(w.database)),
        "drop_database, a name": lambda w: the_count_after(w, lambda: w.client.drop_database(w.database.name)),
        "drop_database, a comment": lambda w: the_count_after(
            w, lambda: w.client.drop_database(w.database, comment="why")
        ),
        "drop_database, a number": lambda w: the_count_after(w, lambda: w.client.drop_database(5)),
    },
    prepare=another,
)


async def validated(w: World, *arguments: Any, **options: Any) -> Any:
    told = await w.database.validate_collection(*arguments, **options)
    return {key: told[key] for key in ("ns", "nrecords", "valid", "ok", "nIndexes") if key in told}


table(
    "validate_collection",
    {
        "a name": lambda w: validated(w, "things"),
        "a collection": lambda w: validated(w, w.collection),
        "options": lambda w: validated(w, "things", scandata=True, full=False, comment="why"),
        "full": lambda w: validated(w, "things", full=True),
        "background": lambda w: validated(w, "things", background=False),
        "of nothing": lambda w: validated(w, "nothing"),
        "a number": lambda w: validated(w, 5),
        "a number for background": lambda w: validated(w, "things", background=5),
    },
)

table(
    "dereference",
    {
        "an id": lambda w: w.database.dereference(DBRef("things", 1)),
        "not there": lambda w: w.database.dereference(DBRef("things", 99)),
        "its database": lambda w: w.database.dereference(DBRef("things", 1, w.database.name)),
        "another database": lambda w: w.database.dereference(DBRef("things", 1, "elsewhere")),
        "a comment": lambda w: w.database.dereference(DBRef("things", 1), comment="why"),
        "a projection": lambda w: w.database.dereference(DBRef("things", 1), projection={"n": 1}),
        "a number": lambda w: w.database.dereference(5),
    },
)


@case("dereference", documents=())
async def a_stored_reference(w: World) -> Any:
    await w.collection.insert_one({"_id": 1, "to": DBRef("other", "x"), "more": DBRef("other", 1, "d", a=2)})
    await w.other.insert_one({"_id": "x", "a": 1})
    document = await w.collection.find_one(1)
    return document, await w.database.dereference(document["to"])


async def told(w: World, *arguments: Any, **options: Any) -> Any:
    """An answer without what is of the moment."""
    return await w.database.command(*arguments, **options)


table(
    "command",
    {
        "ping": lambda w: told(w, "ping"),
        "a document": lambda w: told(w, {"ping": 1}),
        "a SON": lambda w: told(w, SON([("count", "things"), ("query", {"n": 2})])),
        "a value": lambda w: told(w, "count", "things"),
        "a value and more": lambda w: told(w, "count", "things", query={"n": 2}, skip=1),
        "a comment": lambda w: told(w, "ping", comment="why"),
        "distinct": lambda w: told(w, "distinct", "things", key="n"),
        "an insert": lambda w: told(w, "insert", "things", documents=[{"_id": 9}]),
        "a find": lambda w: told(w, {"find": "things", "filter": {"n": 2}}),
        "an unknown command": lambda w: told(w, "nonsense"),
        "an unknown command, unchecked": lambda w: told(w, "nonsense", check=False),
        "a write error": lambda w: told(w, "insert", "things", documents=[{"_id": 1}]),
        "an allowed error": lambda w: told(w, "nonsense", allowable_errors=["no such command: 'nonsense'"]),
        "an allowed code": lambda w: told(w, "nonsense", allowable_errors=[59]),
        "another allowed code": lambda w: told(w, "nonsense", allowable_errors=[60]),
        "a read preference": lambda w: told(w, "ping", read_preference=ReadPreference.NEAREST),
        "a secondary": lambda w: told(w, "count", "things", read_preference=ReadPreference.SECONDARY_PREFERRED),
        "codec options": lambda w: told(
            w, {"find": "things", "filter": {"_id": 4}}, codec_options=CodecOptions(tz_aware=True)
        ),
        "a document class": lambda w: told(
            w, {"find": "things", "filter": {"_id": 4}}, codec_options=CodecOptions(document_class=SON)
        ),
        "a raw document": lambda w: raw_count(w),
        "a number": lambda w: told(w, 5),
        "an empty document": lambda w: told(w, {}),
        "an explain": lambda w: explained(w),
        "a read concern within": lambda w: told(w, "count", "things", readConcern={"level": "majority"}),
        "a wrong write concern": lambda w: told(
            w, "insert", "things", documents=[{"_id": 9}], writeConcern={"w": 50, "wtimeout": 50}
        ),
    },
)


async def raw_count(w: World) -> Any:
    answer = await w.database.command({"count": "things"}, codec_options=CodecOptions(document_class=RawBSONDocument))
    return type(answer), answer["n"]


async def explained(w: World) -> Any:
    return "queryPlanner" in await w.database.command("explain", {"find": "things"}, verbosity="queryPlanner")


table(
    "cursor_command",
    {
        "a find": lambda w: commanded(w, {"find": "things", "filter": {"n": 2}}),
        "a batch size": lambda w: commanded(w, {"find": "things", "batchSize": 1}),
        "a name": lambda w: commanded(w, "find", "things", filter={"n": 4}),
        "a comment": lambda w: commanded(w, {"find": "things", "batchSize": 2}, comment="why"),
        "aggregate": lambda w: commanded(w, {"aggregate": "things", "pipeline": [], "cursor": {}}),
        "listCollections": lambda w: commanded(w, {"listCollections": 1, "nameOnly": True}),
        "codec options": lambda w: commanded(
            w, {"find": "things", "filter": {"_id": 4}}, codec_options=CodecOptions(tz_aware=True)
        ),
        "a read preference": lambda w: commanded(w, {"find": "things"}, read_preference=ReadPreference.NEAREST),
        "max_await_time_ms": lambda w: commanded(w, {"find": "things"}, max_await_time_ms=50),
        "no cursor": lambda w: commanded(w, "ping"),
        "an unknown command": lambda w: commanded(w, "nonsense"),
    },
)


async def commanded(w: World, *arguments: Any, **options: Any) -> Any:
    return await (await w.database.cursor_command(*arguments, **options)).to_list()


# ---------------------------------------------------------------------- the client


async def one_of_them(w: World, **options: Any) -> Any:
    databases = await (await w.client.list_databases(**options)).to_list()
    return [sorted(each) for each in databases if each["name"] == w.database.name]


table(
    "client",
    {
        "list_database_names": lambda w: contains(w.client.list_database_names(), w.database.name),
        "list_database_names, a comment": lambda w: contains(
            w.client.list_database_names(comment="why"), w.database.name
        ),
        "list_databases": lambda w: one_of_them(w),
        "list_databases, a filter": lambda w: one_of_them(w, filter={"name": w.database.name}),
        "list_databases, nameOnly": lambda w: one_of_them(w, nameOnly=True, comment="why"),
        "list_databases, a wrong filter": lambda w: one_of_them(w, filter=5),
        "list_databases, an unknown option": lambda w: one_of_them(w, nonsense=1),
        "server_info": lambda w: some_info(w),
        "get_database": lambda w: [w.client.get_database("a"), w.client["a"], w.client.a, w.client.a == w.client["a"]],
        "no default": lambda w: w.client.get_default_database(),
        "no default database": lambda w: w.client.get_database(),
        "a default": lambda w: w.client.get_default_database("a"),
        "a wrong default": lambda w: w.client.get_default_database("a b"),
        "address": lambda w: address(w),
        "nodes": lambda w: properties(w, "nodes", "is_primary", "is_mongos", "primary", "secondaries", "arbiters"),
        "a call": lambda w: w.client(),
        "a call of a database": lambda w: w.database(),
        "a call of a collection": lambda w: w.collection.insertOne({}),
        "iteration": lambda w: w.client.next(),
        "iteration of a database": lambda w: w.database.next(),
        "iteration of a collection": lambda w: w.collection.next(),
        "a truth": lambda w: bool(w.client),
        "a database's truth": lambda w: bool(w.database),
        "a collection's truth": lambda w: bool(w.collection),
        "concerns": lambda w: [w.client.read_concern, w.client.write_concern, w.client.read_preference],
        "codec options": lambda w: w.client.codec_options,
        "hosts": lambda w: [w.client.HOST, w.client.PORT],
        "a private name": lambda w: w.client._private,
        "a database's private name": lambda w: w.database._private,
        "a collection's private name": lambda w: w.collection._private,
    },
)


async def contains(names: Any, name: str) -> bool:
    return name in await names


async def some_info(w: World) -> Any:
    info = await w.client.server_info()
    return {key: info[key] for key in ("version", "versionArray", "ok", "maxBsonObjectSize")}


async def address(w: World) -> Any:
    await w.client.admin.command("ping")
    found = await awaited(w.client.address)
    return found == w.setup.client.address


async def properties(w: World, *names: str) -> Any:
    await w.client.admin.command("ping")
    return [await awaited(getattr(w.client, name)) for name in names]


NAMES: list[Any] = ["", "a b", "a.b", "$x", "x" * 64, "a/b", "a\\b", 'a"b', "a\0b", 5, None, "$external", "ü"]


def database_named(name: Any) -> Call:
    return lambda w: w.client[name]


def collection_named(name: Any) -> Call:
    return lambda w: w.database[name]


table("a database's name", {repr(name)[:12]: database_named(name) for name in NAMES})
COLLECTION_NAMES: list[Any] = ["", "$x", "a$x", ".x", "x.", "a..b", "x\0", 5, None, "$cmd", "oplog.$main", "a b", "ü"]
table("a collection's name", {repr(name)[:14]: collection_named(name) for name in COLLECTION_NAMES})


@case("names")
async def of_collections(w: World) -> Any:
    nested = w.database.some.nested.collection
    return [
        nested,
        nested.full_name,
        nested.name,
        nested.database == w.database,
        w.database["some.nested"]["collection"] == nested,
        nested != w.database.other,
        len({w.collection, w.database["things"], w.other}),
        w.collection.database.client == w.client,
        w.database.get_collection("x").full_name == f"{w.database.name}.x",
        w.collection == 5,
        w.database == 5,
    ]


# ---------------------------------------------------------------------- concerns and preferences


@case("with_options")
async def of_a_collection(w: World) -> Any:
    changed = w.collection.with_options(
        codec_options=CodecOptions(tz_aware=True),
        read_preference=Secondary(tag_sets=[{"a": "b"}], max_staleness=100),
        write_concern=WriteConcern(w="majority", wtimeout=500, j=True),
        read_concern=ReadConcern("local"),
    )
    return [
        changed,
        changed == w.collection,
        [changed.codec_options.tz_aware, changed.read_preference, changed.write_concern, changed.read_concern],
        [w.collection.codec_options, w.collection.read_preference],
        [w.collection.write_concern, w.collection.read_concern],
        changed.with_options().write_concern,
    ]


@case("with_options")
async def of_a_database(w: World) -> Any:
    changed = w.database.with_options(
        CodecOptions(document_class=SON), ReadPreference.NEAREST, WriteConcern(w=1), ReadConcern("majority")
    )
    collection = changed["things"]
    other = changed.get_collection("things", write_concern=WriteConcern(w=2))
    return [
        changed == w.database,
        [collection.codec_options.document_class, collection.read_preference, collection.write_concern],
        [collection.read_concern, other.write_concern, other.read_concern],
        await collection.find_one(4),
    ]


@case("with_options")
async def of_get_database(w: World) -> Any:
    changed = w.client.get_database(
        w.database.name,
        codec_options=CodecOptions(tz_aware=True),
        read_preference=ReadPreference.SECONDARY_PREFERRED,
        write_concern=WriteConcern(w="majority"),
        read_concern=ReadConcern("available"),
    )
    await changed.things.insert_one({"_id": 9})
    return await changed.things.find_one(4), changed.write_concern, changed.read_concern, changed.read_preference


MAJORITY = WriteConcern(w="majority", wtimeout=5000, j=False)


def concerned(call: Of, **options: Any) -> Call:
    return lambda w: call(w.collection.with_options(**options))


async def index_of(collection: Any) -> Any:
    return await collection.create_index("n"), await collection.drop_index("n_1")


WRITES: dict[str, Of] = {
    "insert_one": lambda c: c.insert_one({"_id": 9}),
    "insert_many": lambda c: c.insert_many([{"_id": 9}, {"_id": 10}]),
    "update_one": lambda c: c.update_one({"_id": 1}, {"$set": {"a": 1}}),
    "update_many": lambda c: c.update_many({}, {"$set": {"a": 1}}),
    "replace_one": lambda c: c.replace_one({"_id": 1}, {"a": 1}),
    "delete_one": lambda c: c.delete_one({"_id": 1}),
    "delete_many": lambda c: c.delete_many({}),
    "bulk_write": lambda c: c.bulk_write([InsertOne({"_id": 9}), DeleteOne({"_id": 1})]),
    "find_one_and_update": lambda c: c.find_one_and_update({"_id": 1}, {"$set": {"a": 1}}),
    "find_one_and_delete": lambda c: c.find_one_and_delete({"_id": 1}),
    "indexes": index_of,
    "drop": lambda c: c.drop(),
    "rename": lambda c: c.rename("renamed"),
    "aggregate": lambda c: aggregated(c, [{"$out": "other"}]),
}
READS: dict[str, Of] = {
    "find": lambda c: c.find({"n": 2}).to_list(),
    "find_one": lambda c: c.find_one({"n": 2}),
    "count_documents": lambda c: c.count_documents({}),
    "estimated_document_count": lambda c: c.estimated_document_count(),
    "distinct": lambda c: c.distinct("n"),
    "aggregate": lambda c: aggregated(c, GROUPED),
    "list_indexes": lambda c: c.index_information(),
}
table("a write concern", {name: concerned(call, write_concern=MAJORITY) for name, call in WRITES.items()})
# More nodes than there are: written, and told to be not enough.
UNREACHABLE = WriteConcern(w=5, wtimeout=50)
table("an unreachable concern", {name: concerned(call, write_concern=UNREACHABLE) for name, call in WRITES.items()})
table("a read concern", {name: concerned(call, read_concern=ReadConcern("majority")) for name, call in READS.items()})
table(
    "a wrong read concern",
    {name: concerned(READS[name], read_concern=ReadConcern("x")) for name in ("find", "distinct")},
)
table(
    "a read preference",
    {name: concerned(call, read_preference=ReadPreference.SECONDARY_PREFERRED) for name, call in READS.items()},
)


def unacknowledged(call: Of) -> Call:
    async def written(w: World) -> Any:
        before = list(w.setup.things.find())
        given = await outcome(lambda: call(w.collection.with_options(write_concern=WriteConcern(w=0))))
        # Nobody says when it is done: until it shows, and no more comes.
        seen = before
        for _ in range(10):
            time.sleep(0.015)
            last, seen = seen, list(w.setup.things.find())
            if seen == last != before:
                break
        return given

    return written


UNACKNOWLEDGED = ("insert_one", "insert_many", "update_one", "update_many", "replace_one", "delete_one", "bulk_write")
table("unacknowledged", {name: unacknowledged(WRITES[name]) for name in UNACKNOWLEDGED}, once=True)
table(
    "unacknowledged, wrong",
    {
        "array filters": unacknowledged(
            lambda c: c.update_one({}, {"$set": {"tags.$[t]": 1}}, array_filters=[{"t": "a"}])
        ),
        "a collation": unacknowledged(lambda c: c.delete_one({}, collation=GERMAN)),
        "a hint": unacknowledged(lambda c: c.update_one({"_id": 1}, SET, hint="_id_")),
        "a session": unacknowledged(lambda c: c.insert_one({"_id": 9}, session=c.database.client.start_session())),
        "bypass": unacknowledged(lambda c: c.insert_one({"_id": 9}, bypass_document_validation=True)),
        "a duplicate": unacknowledged(lambda c: c.insert_one({"_id": 1})),
    },
    once=True,
)
WRONG_OPTIONS: dict[str, Call] = {
    "codec_options": lambda w: w.collection.with_options(codec_options=5),
    "read_preference": lambda w: w.collection.with_options(read_preference="primary"),
    "write_concern": lambda w: w.collection.with_options(write_concern={"w": 1}),
    "read_concern": lambda w: w.collection.with_options(read_concern="majority"),
    "a database's codec_options": lambda w: w.database.with_options(codec_options=5),
    "a database's read_preference": lambda w: w.database.with_options(read_preference=5),
    "a database's write_concern": lambda w: w.client.get_database("a", write_concern=5),
    "a database's read_concern": lambda w: w.client.get_database("a", read_concern=5),
    "a keyword": lambda w: w.collection.with_options(nonsense=5),
}
table("with_options, wrong", WRONG_OPTIONS)

# ---------------------------------------------------------------------- codec options


def coded(call: Callable[[World, Any], Any], **options: Any) -> Call:
    """A call with a collection of those codec options."""
    return lambda w: call(w, w.collection.with_options(codec_options=CodecOptions(**options)))


async def there_and_back(w: World, collection: Any) -> Any:
    """All that gives documents back."""
    await collection.insert_one({"_id": 9, "when": OLD_DATE, "sub": {"a": [{"b": 1}]}, "id": OLD_UUID.bytes})
    return [
        await collection.find_one(9),
        await collection.find({"_id": {"$gte": 4}}).sort("_id").to_list(),
        await aggregated(collection, [{"$match": {"_id": 9}}]),
        await collection.distinct("when"),
        await collection.find_one_and_update({"_id": 9}, {"$set": {"a": 1}}),
    ]


async def uuids(w: World, collection: Any) -> Any:
    inserted = await outcome(lambda: collection.insert_one({"_id": 9, "a": OLD_UUID}))
    for subtype in (3, 4):
        w.setup.things.insert_one({"_id": 20 + subtype, "a": Binary(OLD_UUID.bytes, subtype)})
    found = await outcome(lambda: collection.find({"_id": {"$gte": 9}}).sort("_id").to_list())
    by_value = await outcome(lambda: collection.find_one({"a": OLD_UUID}, {"_id": 1}))
    return inserted, found, by_value


MONEY = TypeRegistry([MoneyCodec()])
FALLBACK = TypeRegistry(fallback_encoder=lambda value: str(value) if isinstance(value, Decimal) else value)


async def money(w: World, collection: Any) -> Any:
    return [
        await outcome(lambda: collection.insert_one({"_id": 9, "price": Money(5), "more": [{"price": Money(6)}]})),
        await outcome(lambda: collection.find_one(9)),
        await outcome(lambda: collection.find_one({"price": Money(5)}, {"price": 1})),
        await outcome(lambda: collection.update_one({"_id": 9}, {"$set": {"price": Money(7)}})),
        await outcome(lambda: collection.find({"_id": 9}).to_list()),
        await outcome(lambda: aggregated(collection, [{"$match": {"price": Money(7)}}])),
        await outcome(lambda: collection.distinct("price")),
        await outcome(lambda: collection.bulk_write([InsertOne({"_id": 10, "price": Money(8)})])),
        await outcome(lambda: collection.find_one_and_update({"_id": 10}, {"$set": {"price": Money(9)}})),
        await outcome(lambda: collection.delete_one({"price": Money(9)})),
    ]


async def decimals(w: World, collection: Any) -> Any:
    return [
        await outcome(lambda: collection.insert_one({"_id": 9, "price": Decimal("1.5")})),
        await outcome(lambda: collection.insert_one({"_id": 10, "price": object()})),
        await outcome(lambda: collection.find_one({"price": Decimal("1.5")})),
    ]


def with_odd_values(setup: Any) -> None:
    # No date that Python's cannot hold, and no text that is not UTF-8: see `LACKING`.
    setup.things.insert_one({"_id": 30, "first": DatetimeMS(-62135596800000), "last": DatetimeMS(253402300799999)})
    setup.things.insert_one({"_id": 31, "near": DatetimeMS(0), "text": "x\x00y"})


async def odd_values(w: World, collection: Any) -> Any:
    return await outcome(lambda: collection.find_one(30)), await outcome(lambda: collection.find_one(31))


PARIS = datetime.timezone(datetime.timedelta(hours=1))
table(
    "codec options",
    {
        "tz_aware": coded(there_and_back, tz_aware=True),
        "tzinfo": coded(there_and_back, tz_aware=True, tzinfo=PARIS),
        "a SON": coded(there_and_back, document_class=SON),
        "an OrderedDict": coded(there_and_back, document_class=OrderedDict),
        "a class of dicts": coded(there_and_back, document_class=Document),
        "raw documents": coded(there_and_back, document_class=RawBSONDocument),
    },
)
# PyMongo tells listeners of the values before they are encoded.
table(
    "codec options",
    {
        "uuid, unspecified": coded(uuids),
        "uuid, standard": coded(uuids, uuid_representation=UuidRepresentation.STANDARD),
        "uuid, python": coded(uuids, uuid_representation=UuidRepresentation.PYTHON_LEGACY),
        "uuid, java": coded(uuids, uuid_representation=UuidRepresentation.JAVA_LEGACY),
        "uuid, csharp": coded(uuids, uuid_representation=UuidRepresentation.CSHARP_LEGACY),
        "a codec": coded(money, type_registry=MONEY),
        "a codec and a class": coded(money, type_registry=MONEY, document_class=SON, tz_aware=True),
        "no codec": coded(money),
        "a fallback": coded(decimals, type_registry=FALLBACK),
        "no fallback": coded(decimals),
    },
    commands=False,
)
table(
    "codec options, odd values",
    {
        "strict": coded(odd_values),
        "errors are ignored": coded(odd_values, unicode_decode_error_handler="ignore"),
        "errors are replaced": coded(odd_values, unicode_decode_error_handler="replace"),
        "milliseconds": coded(odd_values, datetime_conversion=DatetimeConversion.DATETIME_MS),
        "automatic": coded(odd_values, datetime_conversion=DatetimeConversion.DATETIME_AUTO),
        "clamped": coded(odd_values, datetime_conversion=DatetimeConversion.DATETIME_CLAMP),
        "clamped and aware": coded(odd_values, datetime_conversion=DatetimeConversion.DATETIME_CLAMP, tz_aware=True),
    },
    prepare=with_odd_values,
)


@case("codec options", commands=False)
async def of_a_client(w: World) -> Any:
    client = w.open(tz_aware=True, document_class=SON, uuidRepresentation="standard")
    things = client[w.database.name].things
    await things.insert_one({"_id": 9, "a": OLD_UUID})
    return client.codec_options, await things.find({"_id": {"$gte": 4}}).to_list(), things.codec_options.tz_aware


@case("codec options", commands=False)
async def of_a_clients_registry(w: World) -> Any:
    client = w.open(type_registry=MONEY, tzinfo=PARIS, tz_aware=True, datetime_conversion="DATETIME_MS")
    return await money(w, client[w.database.name].things)


@case("codec options")
async def of_errors(w: World) -> Any:
    things = w.collection.with_options(codec_options=CodecOptions(document_class=SON, tz_aware=True))
    return await outcome(lambda: things.insert_one({"_id": 4, "when": OLD_DATE}))


# ---------------------------------------------------------------------- a client's options

table(
    "a client's options",
    {
        "read and write concern": lambda w: with_client(w, w="majority", wTimeoutMS=5000, readConcernLevel="local"),
        "journal": lambda w: with_client(w, journal=True),
        "a read preference": lambda w: with_client(w, readPreference="nearest"),
        "no retries": lambda w: with_client(w, retryWrites=False, retryReads=False),
        "an appname and pools": lambda w: with_client(w, appname="x", maxPoolSize=5, minPoolSize=1, maxIdleTimeMS=9000),
        "timeouts": lambda w: with_client(w, socketTimeoutMS=9000, connectTimeoutMS=9000, waitQueueTimeoutMS=900),
        "timeoutMS": lambda w: with_client(w, timeoutMS=TIMEOUT_MS),
        "compressors": lambda w: with_client(w, compressors="zlib"),
        "a direct connection": lambda w: with_client(w, directConnection=True),
        "the set's name": lambda w: with_client(w, replicaSet="secantus"),
        "w 0": lambda w: with_client(w, w=0),
        "an unknown option": lambda w: with_client(w, nonsense=1),
        "a wrong number": lambda w: with_client(w, maxPoolSize="x"),
        "a negative number": lambda w: with_client(w, maxPoolSize=-1),
        "a wrong read preference": lambda w: with_client(w, readPreference="x"),
        "a wrong level": lambda w: with_client(w, readConcernLevel=5),
        "a wrong document class": lambda w: with_client(w, document_class=5),
        "a wrong tz_aware": lambda w: with_client(w, tz_aware="x"),
        "a wrong uuid representation": lambda w: with_client(w, uuidRepresentation="x"),
        "wrong listeners": lambda w: with_client(w, event_listeners=[5]),
        "a wrong host": lambda w: w.open(5),
        "a wrong uri": lambda w: w.open("mongodb://"),
        "a wrong scheme": lambda w: w.open("http://localhost"),
        "a wrong port": lambda w: w.open("localhost", "x"),
        "an unescaped name": lambda w: w.open("mongodb://a:b@c:d@localhost"),
    },
)


async def with_client(world: World, **options: Any) -> Any:
    client = world.open(**options)
    things = client[world.database.name].things
    seen = [client.write_concern, client.read_concern, client.read_preference]
    if options.get("w") == 0:
        return seen
    return seen, await things.insert_one({"_id": 9}), await things.find_one(9), await things.delete_one({"_id": 9})


@case("a client's options")
async def a_default_database(w: World) -> Any:
    client = w.open(f"{w.side.uri}{w.database.name}?w=1")
    return [
        client.get_default_database().name == w.database.name,
        client.get_database().name == w.database.name,
        client.get_default_database("other").name == w.database.name,
        client.get_default_database(write_concern=WriteConcern(w=3)).write_concern,
    ]


@case("a client's options")
async def closed(w: World) -> Any:
    client = w.open()
    things = client[w.database.name].things
    await things.find_one()
    await client.close()
    return [
        await outcome(lambda: things.find_one()),
        await outcome(lambda: things.insert_one({"_id": 9})),
        await outcome(lambda: client.close()),
    ]


@case("a client's options", commands=False)
async def a_context_of_it(w: World) -> Any:
    async with w.open() as client:
        seen = await client[w.database.name].things.find_one(1)
    return seen, await outcome(lambda: client[w.database.name].things.find_one())


@case("a client's options", commands=False)
async def nobody_there(w: World) -> Any:
    client = w.open("mongodb://127.0.0.1:9/", serverSelectionTimeoutMS=50)
    return [
        await outcome(lambda: client.a.b.find_one()),
        await outcome(lambda: client.a.b.insert_one({})),
    ]


# ---------------------------------------------------------------------- sessions


def with_session(call: Callable[[Any, Any], Any], **options: Any) -> Call:
    """A call, twice, with a session: the second is after the first."""

    async def called(w: World) -> Any:
        session = w.session(**options)
        first = await outcome(lambda: call(w.collection, session))
        return first, await outcome(lambda: w.collection.find_one({"_id": 1}, session=session))

    return called


def made(c: Any) -> str:
    return str(c.name)


SESSION_CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "insert_one": lambda c, s: c.insert_one({"_id": 9}, session=s),
    "insert_many": lambda c, s: c.insert_many([{"_id": 9}, {"_id": 10}], session=s),
    "update_one": lambda c, s: c.update_one({"_id": 1}, SET, session=s),
    "update_many": lambda c, s: c.update_many({}, SET, session=s),
    "replace_one": lambda c, s: c.replace_one({"_id": 1}, {"a": 1}, session=s),
    "delete_one": lambda c, s: c.delete_one({"_id": 4}, session=s),
    "delete_many": lambda c, s: c.delete_many({"_id": 4}, session=s),
    "bulk_write": lambda c, s: c.bulk_write([InsertOne({"_id": 9}), DeleteOne({"_id": 9})], session=s),
    "find": lambda c, s: c.find({}, session=s, batch_size=2).to_list(),
    "find_one": lambda c, s: c.find_one({"n": 2}, session=s),
    "find_raw_batches": lambda c, s: c.find_raw_batches({}, session=s, batch_size=2).to_list(),
    "find_one_and_update": lambda c, s: c.find_one_and_update({"_id": 1}, SET, session=s),
    "find_one_and_replace": lambda c, s: c.find_one_and_replace({"_id": 1}, {"a": 1}, session=s),
    "find_one_and_delete": lambda c, s: c.find_one_and_delete({"_id": 4}, session=s),
    "count_documents": lambda c, s: c.count_documents({}, session=s),
    "distinct": lambda c, s: c.distinct("n", session=s),
    "aggregate": lambda c, s: aggregated(c, GROUPED, session=s),
    "aggregate with out": lambda c, s: aggregated(c, [{"$out": "other"}], session=s),
    "database.aggregate": lambda c, s: aggregated(c.database, [{"$documents": [{"a": 1}]}], session=s),
    "create_index": lambda c, s: c.create_index("n", session=s),
    "create_indexes": lambda c, s: c.create_indexes([IndexModel("n")], session=s),
    "drop_index": lambda c, s: c.drop_index("nowhere", session=s),
    "drop_indexes": lambda c, s: c.drop_indexes(session=s),
    "index_information": lambda c, s: c.index_information(session=s),
    "list_indexes": lambda c, s: listed_of(c.list_indexes(session=s)),
    "options": lambda c, s: c.options(session=s),
    "rename": lambda c, s: c.rename("other", session=s),
    "drop": lambda c, s: c.drop(session=s),
    "create_collection": lambda c, s: c.database.create_collection("made", session=s),
    "drop_collection": lambda c, s: c.database.drop_collection("other", session=s),
    "list_collection_names": lambda c, s: c.database.list_collection_names(session=s),
    "list_collections": lambda c, s: listed_of(c.database.list_collections(session=s)),
    "validate_collection": lambda c, s: is_valid(c.database.validate_collection("things", session=s)),
    "dereference": lambda c, s: c.database.dereference(DBRef("things", 1), session=s),
    "command": lambda c, s: c.database.command("count", "things", session=s),
    "cursor_command": lambda c, s: listed_of(c.database.cursor_command({"find": "things", "batchSize": 2}, session=s)),
    "drop_database": lambda c, s: c.database.client.drop_database("nowhere", session=s),
    "list_database_names": lambda c, s: contains(c.database.client.list_database_names(session=s), "x"),
    "server_info": lambda c, s: is_there(c.database.client.server_info(session=s)),
    "client.bulk_write": lambda c, s: c.database.client.bulk_write(
        [InsertOne({"_id": 9}, namespace=c.full_name)], session=s
    ),
    "list_search_indexes": lambda c, s: c.list_search_indexes(session=s),
}


async def listed_of(cursor: Any) -> Any:
    return await (await cursor).to_list()


async def is_valid(answer: Any) -> Any:
    return (await answer)["valid"]


async def is_there(answer: Any) -> Any:
    return bool(await answer)


table("a session", {name: with_session(call) for name, call in SESSION_CALLS.items()})
SNAPSHOT_CALLS = (
    "find",
    "find_one",
    "count_documents",
    "distinct",
    "aggregate",
    "insert_one",
    "update_one",
    "bulk_write",
)
table("a snapshot session", {name: with_session(SESSION_CALLS[name], snapshot=True) for name in SNAPSHOT_CALLS})
table(
    "a session without causal consistency",
    {name: with_session(SESSION_CALLS[name], causal_consistency=False) for name in ("find", "insert_one")},
)


@case("a session")
async def its_state(w: World) -> Any:
    session = w.session()
    seen = [session.has_ended, session.in_transaction, session.operation_time, type(session.session_id)]
    seen += [list(session.session_id), session.options.causal_consistency, session.options.default_transaction_options]
    await w.collection.find_one({}, session=session)
    seen += [type(session.operation_time), sorted(session.cluster_time), session.client == w.client]
    await session.end_session()
    await session.end_session()
    return [
        seen,
        session.has_ended,
        await outcome(lambda: session.session_id),
        await outcome(lambda: session.start_transaction()),
        await outcome(lambda: w.collection.find_one({}, session=session)),
        await outcome(lambda: w.collection.insert_one({}, session=session)),
        await outcome(lambda: w.collection.find({}, session=session).to_list()),
    ]


@case("a session")
async def its_context(w: World) -> Any:
    async with w.session() as session:
        first = await w.collection.find_one({"_id": 1}, session=session)
    return first, session.has_ended


@case("a session")
async def of_another_client(w: World) -> Any:
    session = w.session(w.open())
    return [
        await outcome(lambda: w.collection.find_one({}, session=session)),
        await outcome(lambda: w.collection.insert_one({"_id": 9}, session=session)),
        await outcome(lambda: w.collection.find({}, session=session).to_list()),
        await outcome(lambda: w.database.command("ping", session=session)),
    ]


@case("a session")
async def of_a_cursor(w: World) -> Any:
    session = w.session()
    cursor = w.collection.find({}, session=session, batch_size=2)
    seen = [cursor.session == session, (await cursor.next())["_id"], cursor.session == session]
    copy = cursor.clone()
    seen += [len(await copy.to_list()), len(await cursor.to_list()), cursor.session == session]
    return seen


@case("a session")
async def two_of_them(w: World) -> Any:
    first, second = w.session(), w.session()
    seen = first.session_id != second.session_id
    await w.collection.insert_one({"_id": 9}, session=first)
    second.advance_operation_time(first.operation_time)
    second.advance_cluster_time(first.cluster_time)
    return seen, second.operation_time == first.operation_time, await w.collection.find_one({"_id": 9}, session=second)


WRONG_SESSIONS: dict[str, Call] = {
    "both consistencies": lambda w: w.client.start_session(causal_consistency=True, snapshot=True),
    "options that are none": lambda w: w.client.start_session(default_transaction_options=5),
    "a text for causal_consistency": lambda w: w.client.start_session(causal_consistency="x"),
    "an unknown option": lambda w: w.client.start_session(nonsense=1),
    "a wrong cluster time": lambda w: w.session().advance_cluster_time(5),
    "a cluster time without one": lambda w: w.session().advance_cluster_time({}),
    "a wrong operation time": lambda w: w.session().advance_operation_time(5),
    "a text, to insert": lambda w: w.collection.insert_one({"_id": 9}, session="x"),
}
table("a session, wrong", WRONG_SESSIONS)


@case("a session")
async def bound(w: World) -> Any:
    session = w.session()
    async with session.bind(end_session=False):
        await w.collection.insert_one({"_id": 9})
        seen = await w.collection.find_one({"_id": 9})
    return seen, session.has_ended


# ---------------------------------------------------------------------- transactions


def in_transaction(call: Callable[[Any, Any], Any], **options: Any) -> Call:
    async def called(w: World) -> Any:
        session = w.session()
        seen: list[Any] = []
        async with await session.start_transaction(**options):
            seen.append(await outcome(lambda: call(w.collection, session)))
            seen.append(session.in_transaction)
        return seen, session.in_transaction

    return called


TRANSACTED = (
    "insert_one",
    "insert_many",
    "update_one",
    "update_many",
    "replace_one",
    "delete_one",
    "delete_many",
    "bulk_write",
    "find",
    "find_one",
    "find_raw_batches",
    "find_one_and_update",
    "find_one_and_delete",
    "count_documents",
    "distinct",
    "aggregate",
    "client.bulk_write",
    "command",
    "create_index",
    "create_collection",
    "aggregate with out",
    "list_collection_names",
    "drop",
)
table("a transaction", {name: in_transaction(SESSION_CALLS[name]) for name in TRANSACTED})
table(
    "a transaction's options",
    {
        "concerns": in_transaction(
            SESSION_CALLS["insert_one"],
            read_concern=ReadConcern("snapshot"),
            write_concern=WriteConcern(w="majority", wtimeout=5000),
            read_preference=ReadPreference.PRIMARY,
            max_commit_time_ms=5000,
        ),
        "by place": lambda w: by_place(w),
        "a secondary": lambda w: on_a_secondary(w),
        "unacknowledged": in_transaction(SESSION_CALLS["insert_one"], write_concern=WriteConcern(w=0)),
        "a wrong read concern": in_transaction(SESSION_CALLS["find"], read_concern=5),
        "a wrong write concern": in_transaction(SESSION_CALLS["find"], write_concern=5),
        "a wrong read preference": in_transaction(SESSION_CALLS["find"], read_preference=5),
        "a wrong time": in_transaction(SESSION_CALLS["find"], max_commit_time_ms="x"),
        "a wrong level": in_transaction(SESSION_CALLS["find"], read_concern=ReadConcern("available")),
        "a concern of the collection's": in_transaction(
            lambda c, s: c.with_options(write_concern=WriteConcern(w=1)).insert_one({"_id": 9}, session=s)
        ),
        "a read preference of the collection's": in_transaction(
            lambda c, s: c.with_options(read_preference=ReadPreference.SECONDARY).find_one({}, session=s)
        ),
        "a collection that is unacknowledged": in_transaction(
            lambda c, s: c.with_options(write_concern=WriteConcern(w=0)).insert_one({"_id": 9}, session=s)
        ),
    },
)


async def by_place(w: World) -> Any:
    session = w.session()
    await session.start_transaction(ReadConcern("local"), WriteConcern(w=1), ReadPreference.PRIMARY, 5000)
    await w.collection.insert_one({"_id": 9}, session=session)
    await session.commit_transaction()
    return session.in_transaction


async def on_a_secondary(w: World) -> Any:
    client = w.open(serverSelectionTimeoutMS=100)
    session = w.session(client)
    await session.start_transaction(read_preference=ReadPreference.SECONDARY)
    return await client[w.database.name].things.find({}, session=session).to_list()


@case("a transaction")
async def committed(w: World) -> Any:
    session = w.session()
    await session.start_transaction()
    await w.collection.insert_one({"_id": 9}, session=session)
    seen = [
        await w.collection.find_one({"_id": 9}),
        await w.collection.find_one({"_id": 9}, session=session),
        await w.collection.update_one({"_id": 1}, SET, session=session),
        await w.collection.delete_many({"n": 2}, session=session),
        session.in_transaction,
    ]
    await session.commit_transaction()
    seen += [session.in_transaction, await w.collection.find_one({"_id": 9})]
    # Once more, which is allowed.
    await session.commit_transaction()
    return seen, await outcome(session.abort_transaction)


@case("a transaction")
async def aborted(w: World) -> Any:
    session = w.session()
    await session.start_transaction()
    await w.collection.insert_one({"_id": 9}, session=session)
    await session.abort_transaction()
    return [
        session.in_transaction,
        await w.collection.find_one({"_id": 9}),
        await outcome(session.abort_transaction),
        await outcome(session.commit_transaction),
    ]


@case("a transaction")
async def with_nothing_in_it(w: World) -> Any:
    session = w.session()
    await session.start_transaction()
    await session.commit_transaction()
    await session.start_transaction()
    await session.abort_transaction()
    return session.in_transaction


@case("a transaction")
async def states(w: World) -> Any:
    session = w.session()
    seen = [await outcome(session.commit_transaction), await outcome(session.abort_transaction)]
    await session.start_transaction()
    seen += [await outcome(session.start_transaction), session.in_transaction]
    await session.end_session()
    return seen, session.has_ended, await outcome(session.commit_transaction)


@case("a transaction")
async def ended_with_its_session(w: World) -> Any:
    async with w.session() as session:
        await session.start_transaction()
        await w.collection.insert_one({"_id": 9}, session=session)
    return await w.collection.count_documents({"_id": 9})


@case("a transaction")
async def whose_block_raises(w: World) -> Any:
    session = w.session()

    async def block() -> None:
        async with await session.start_transaction():
            await w.collection.insert_one({"_id": 9}, session=session)
            raise KeyError("mine")

    return await outcome(block), session.in_transaction, await w.collection.count_documents({"_id": 9})


@case("a transaction")
async def whose_write_is_refused(w: World) -> Any:
    session = w.session()
    await session.start_transaction()
    return [
        await outcome(lambda: w.collection.insert_one({"_id": 9}, session=session)),
        await outcome(lambda: w.collection.insert_one({"_id": 1}, session=session)),
        await outcome(lambda: w.collection.insert_one({"_id": 10}, session=session)),
        await outcome(session.commit_transaction),
        session.in_transaction,
        await w.collection.count_documents({}),
    ]


@case("a transaction")
async def in_conflict_with_another(w: World) -> Any:
    first, second = w.session(), w.session()
    await first.start_transaction()
    await second.start_transaction()
    await w.collection.update_one({"_id": 1}, {"$set": {"by": 1}}, session=first)
    refused = await outcome(lambda: w.collection.update_one({"_id": 1}, {"$set": {"by": 2}}, session=second))
    await first.commit_transaction()
    return refused, await outcome(second.commit_transaction), await w.collection.find_one({"_id": 1})


@case("a transaction", once=True)
async def in_conflict_with_a_find_and_modify(w: World) -> Any:
    first, second = w.session(), w.session()
    await first.start_transaction()
    await second.start_transaction()
    await w.collection.update_one({"_id": 1}, {"$set": {"by": 1}}, session=first)
    refused = await outcome(lambda: w.collection.find_one_and_update({"_id": 1}, {"$set": {"by": 2}}, session=second))
    many = w.session()
    await many.start_transaction()
    bulked = await outcome(lambda: w.collection.bulk_write([UpdateOne({"_id": 1}, {"$set": {"by": 3}})], session=many))
    await first.abort_transaction()
    return refused, bulked


@case("a transaction")
async def two_after_another(w: World) -> Any:
    session = w.session(
        default_transaction_options=TransactionOptions(ReadConcern("snapshot"), WriteConcern(w="majority"))
    )
    for number in (9, 10):
        async with await session.start_transaction():
            await w.collection.insert_one({"_id": number}, session=session)
            await w.other.insert_one({"_id": number}, session=session)
    return await w.collection.count_documents({}), session.options.default_transaction_options is not None


@case("a transaction")
async def a_cursor_in_it(w: World) -> Any:
    session = w.session()
    async with await session.start_transaction():
        cursor = w.collection.find({}, session=session, batch_size=2).sort("_id")
        seen = [await cursor.next()]
        await w.collection.delete_many({}, session=session)
        seen += await cursor.to_list()
    return seen


@case("with_transaction")
async def gives_what_its_callback_gives(w: World) -> Any:
    async def callback(session: Any) -> Any:
        await w.collection.insert_one({"_id": 9}, session=session)
        return session.in_transaction, await w.collection.count_documents({}, session=session)

    session = w.session()
    return await session.with_transaction(callback), session.in_transaction


@case("with_transaction")
async def with_options(w: World) -> Any:
    async def callback(session: Any) -> Any:
        return await w.collection.insert_one({"_id": 9}, session=session)

    return await w.session().with_transaction(
        callback,
        read_concern=ReadConcern("majority"),
        write_concern=WriteConcern(w=1),
        read_preference=ReadPreference.PRIMARY,
        max_commit_time_ms=5000,
    )


@case("with_transaction")
async def whose_callback_raises(w: World) -> Any:
    async def callback(session: Any) -> Any:
        await w.collection.insert_one({"_id": 9}, session=session)
        raise KeyError("mine")

    session = w.session()
    return await outcome(lambda: session.with_transaction(callback)), session.in_transaction


@case("with_transaction")
async def whose_callback_is_refused(w: World) -> Any:
    async def callback(session: Any) -> Any:
        await w.collection.insert_one({"_id": 9}, session=session)
        await w.collection.insert_one({"_id": 1}, session=session)

    return await outcome(lambda: w.session().with_transaction(callback))


@case("with_transaction")
async def whose_callback_is_to_be_repeated(w: World) -> Any:
    calls: list[int] = []

    async def callback(session: Any) -> Any:
        calls.append(1)
        await w.collection.insert_one({"_id": 9}, session=session)
        if len(calls) < 3:
            raise OperationFailure("mine", 112, {"errorLabels": ["TransientTransactionError"]})
        return len(calls)

    return await w.session().with_transaction(callback), len(calls)


@case("with_transaction")
async def whose_callback_commits(w: World) -> Any:
    async def callback(session: Any) -> Any:
        await w.collection.insert_one({"_id": 9}, session=session)
        await session.commit_transaction()
        return "done"

    return await w.session().with_transaction(callback)


@case("with_transaction")
async def whose_callback_aborts(w: World) -> Any:
    async def callback(session: Any) -> Any:
        await w.collection.insert_one({"_id": 9}, session=session)
        await session.abort_transaction()
        return "done"

    return await w.session().with_transaction(callback)


# ---------------------------------------------------------------------- change streams


async def next_of(stream: Any, wanted: int) -> list[Any]:
    return [await stream.next() for _ in range(wanted)]


def watched(watch: Callable[[World], Any], wanted: int = 4) -> Call:
    """What a change stream tells of some writes."""

    async def told(w: World) -> Any:
        async with await watch(w) as stream:
            w.setup.things.insert_one({"_id": 9, "n": 1})
            w.setup.things.update_one({"_id": 9}, {"$set": {"n": 2, "a.b": 1}, "$unset": {"z": 1}})
            w.setup.things.replace_one({"_id": 9}, {"new": True})
            w.setup.things.delete_one({"_id": 9})
            return await next_of(stream, wanted)

    return told


def with_images(setup: Any) -> None:
    setup.create_collection("things", changeStreamPreAndPostImages={"enabled": True})


table(
    "watch",
    {
        "a collection": watched(lambda w: w.collection.watch()),
        "a database": watched(lambda w: w.database.watch()),
        "a client": watched(lambda w: w.client.watch([{"$match": {"ns.db": w.setup.name}}])),
        "a pipeline": watched(lambda w: w.collection.watch([{"$match": {"operationType": "update"}}]), 1),
        "a projection": watched(lambda w: w.collection.watch([{"$project": {"documentKey": 1}}])),
        "full_document": watched(lambda w: w.collection.watch(full_document="updateLookup")),
        "full_document, default": watched(lambda w: w.collection.watch(full_document="default")),
        "full_document, whenAvailable": watched(lambda w: w.collection.watch(full_document="whenAvailable")),
        "a batch size": watched(lambda w: w.collection.watch(batch_size=2)),
        "max_await_time_ms": watched(lambda w: w.collection.watch(max_await_time_ms=200)),
        "a comment": watched(lambda w: w.collection.watch(comment="why")),
        "a collation": watched(lambda w: w.collection.watch(collation=GERMAN)),
        "expanded events": watched(lambda w: w.collection.watch(show_expanded_events=True)),
        "a session": watched(lambda w: w.collection.watch(session=w.session())),
        "a read concern": watched(lambda w: w.collection.with_options(read_concern=ReadConcern("majority")).watch()),
        "codec options": watched(
            lambda w: w.collection.with_options(codec_options=CodecOptions(document_class=SON, tz_aware=True)).watch()
        ),
        "a database, options": watched(
            lambda w: w.database.watch([], "updateLookup", batch_size=3, max_await_time_ms=200, comment="x")
        ),
        "a client, options": watched(
            lambda w: w.client.watch([{"$match": {"ns.db": w.setup.name}}], full_document="updateLookup", batch_size=3)
        ),
    },
    documents=(),
    once=True,
)
table(
    "watch, with images",
    {
        "before": watched(lambda w: w.collection.watch(full_document_before_change="whenAvailable")),
        "after": watched(lambda w: w.collection.watch(full_document="required")),
        "both": watched(
            lambda w: w.collection.watch(full_document="whenAvailable", full_document_before_change="required")
        ),
    },
    documents=(),
    prepare=with_images,
    once=True,
)


async def watched_and_closed(holder: Any, *arguments: Any, **options: Any) -> Any:
    async with await holder.watch(*arguments, **options) as stream:
        return stream.alive


table(
    "watch, wrong",
    {
        "a text for a pipeline": lambda w: watched_and_closed(w.collection, "x"),
        "a document for a pipeline": lambda w: watched_and_closed(w.collection, {}),
        "an unknown stage": lambda w: watched_and_closed(w.collection, [{"$nonsense": 1}]),
        "a stage that may not be": lambda w: watched_and_closed(w.collection, [{"$group": {"_id": 1}}]),
        "an unknown full_document": lambda w: watched_and_closed(w.collection, full_document="x"),
        "a number for full_document": lambda w: watched_and_closed(w.collection, full_document=5),
        "a text for batch_size": lambda w: watched_and_closed(w.collection, batch_size="x"),
        "a text for a token": lambda w: watched_and_closed(w.collection, resume_after="x"),
        "a wrong token": lambda w: watched_and_closed(w.collection, resume_after={"_data": "x"}),
        "a token that is no token": lambda w: watched_and_closed(w.collection, start_after={"a": 1}),
        "a number for a time": lambda w: watched_and_closed(w.collection, start_at_operation_time=5),
        "two tokens": lambda w: watched_and_closed(
            w.collection, resume_after={"_data": "8"}, start_after={"_data": "8"}
        ),
        "an unknown option": lambda w: watched_and_closed(w.collection, nonsense=1),
        "a wrong session": lambda w: watched_and_closed(w.collection, session=5),
        "a wrong pipeline of a database": lambda w: watched_and_closed(w.database, 5),
        "a wrong pipeline of a client": lambda w: watched_and_closed(w.client, 5),
    },
    once=True,
)


# PyMongo refuses it once it has begun, and leaves a cursor.
add(
    Case(
        "watch, wrong: a text for max_await_time_ms",
        lambda w: watched_and_closed(w.collection, max_await_time_ms="x"),
        DOCUMENTS,
        commands=False,
    )
)


@case("watch", once=True)
async def try_next(w: World) -> Any:
    async with await w.collection.watch(max_await_time_ms=50) as stream:
        seen = [await stream.try_next(), stream.alive, sorted(stream.resume_token)]
        w.setup.things.insert_one({"_id": 9})
        found = None
        while found is None:
            found = await stream.try_next()
        seen += [found, stream.resume_token == found["_id"], await stream.try_next()]
    return seen, stream.alive


@case("watch", once=True)
async def closed_stream(w: World) -> Any:
    stream = await w.collection.watch(max_await_time_ms=50)
    await stream.close()
    await stream.close()
    return stream.alive, await outcome(stream.next), await outcome(stream.try_next)


async def resumed(w: World, option: str) -> Any:
    async with await w.collection.watch() as stream:
        for number in (9, 10, 11):
            w.setup.things.insert_one({"_id": number})
        token = (await stream.next())["_id"]
        same = stream.resume_token == token
    async with await w.collection.watch(**{option: token}) as stream:
        begun = stream.resume_token == token
        return same, begun, [change["documentKey"] for change in await next_of(stream, 2)]


@case("watch", once=True)
async def resume_after(w: World) -> Any:
    return await resumed(w, "resume_after")


@case("watch", once=True)
async def start_after(w: World) -> Any:
    return await resumed(w, "start_after")


@case("watch", once=True)
async def start_at_operation_time(w: World) -> Any:
    session = w.session()
    await w.collection.find_one({}, session=session)
    w.setup.things.insert_one({"_id": 9})
    async with await w.collection.watch(start_at_operation_time=session.operation_time, batch_size=1) as stream:
        changes = [await stream.next()]
        while changes[-1]["documentKey"] != {"_id": 9}:
            changes.append(await stream.next())
    return changes[-1]["operationType"]


@case("watch", once=True)
async def iterated(w: World) -> Any:
    seen = []
    async with await w.collection.watch() as stream:
        w.setup.things.insert_many([{"_id": number} for number in range(10, 15)])
        async for change in stream:
            seen.append(change["documentKey"])
            if len(seen) == 5:
                break
    return seen, await outcome(stream.next)


@case("watch", once=True)
async def invalidated_by_a_drop(w: World) -> Any:
    async with await w.collection.watch() as stream:
        w.setup.things.drop()
        seen = [change["operationType"] for change in await next_of(stream, 2)]
        token = stream.resume_token
        after = await outcome(stream.next)
        alive = stream.alive
    refused = await outcome(lambda: watched_and_closed(w.collection, resume_after=token))
    async with await w.collection.watch(start_after=token) as stream:
        w.setup.things.insert_one({"_id": 1})
        return seen, after, alive, refused, (await stream.next())["operationType"]


@case("watch", once=True)
async def of_a_rename_and_a_database(w: World) -> Any:
    async with await w.database.watch(show_expanded_events=True) as stream:
        w.setup.create_collection("made")
        w.setup.made.rename("renamed")
        w.setup.renamed.drop()
        return [change["operationType"] for change in await next_of(stream, 3)]


@case("watch", once=True)
async def without_the_token(w: World) -> Any:
    async with await w.collection.watch([{"$project": {"_id": 0}}]) as stream:
        w.setup.things.insert_one({"_id": 9})
        return await outcome(stream.next), stream.alive


@case("watch", once=True)
async def whose_cursor_is_gone(w: World) -> Any:
    async with await w.collection.watch(max_await_time_ms=100) as stream:
        w.setup.things.insert_one({"_id": 9})
        first = await stream.next()
        cursor = w.side.recorder.all()[-1].body.get("getMore")
        if cursor:
            w.setup.command("killCursors", "things", cursors=[cursor])
        w.setup.things.insert_one({"_id": 10})
        return first["documentKey"], (await stream.next())["documentKey"]


@case("watch", once=True)
async def a_transaction(w: World) -> Any:
    async with await w.collection.watch() as stream:
        session = w.session()
        async with await session.start_transaction():
            await w.collection.insert_one({"_id": 9}, session=session)
            await w.collection.update_one({"_id": 1}, SET, session=session)
        changes = await next_of(stream, 2)
        return [[change["operationType"], "lsid" in change, type(change["txnNumber"])] for change in changes]


# ---------------------------------------------------------------------- what the server lacks


@dataclass(frozen=True)
class Refused:
    """How the server refuses what it lacks."""

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
"""What the server refuses: of these, only the refusal can be compared."""
