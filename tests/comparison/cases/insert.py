"""Cases of `insert_one` and `insert_many`."""

from __future__ import annotations

from collections import OrderedDict
from decimal import Decimal
from typing import Any

from bson import (
    SON,
    Regex,
)
from pymongo import (
    InsertOne,
    UpdateOne,
)

from tests.comparison.cases.common import (
    EVERYTHING,
    OLD_UUID,
    Color,
    Document,
    Name,
    case,
    pymongo_document,
    table,
    with_index,
    with_validator,
)
from tests.comparison.harness import World, outcome


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
    },
    documents=(),
)


@case("insert_one", documents=())
async def given_twice(w: World) -> Any:
    document = {"_id": 1, "a": 1}
    await w.collection.insert_one(document)
    return await outcome(lambda: w.collection.insert_one(document)), document
