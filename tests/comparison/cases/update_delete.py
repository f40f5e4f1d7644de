"""Cases of updates, replacements and deletions."""

from __future__ import annotations

from typing import Any

from bson import (
    SON,
    Decimal128,
)
from pymongo import (
    ASCENDING,
)
from pymongo.collation import Collation

from tests.comparison.cases.common import DOCUMENTS, EVERYTHING, GERMAN, OLD_ID, SET, pymongo_document, table
from tests.comparison.harness import Call, World


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
