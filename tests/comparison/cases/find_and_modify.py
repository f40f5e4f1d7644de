"""Cases of `find_one_and_update`, `find_one_and_replace` and `find_one_and_delete`."""

from __future__ import annotations

from pymongo import (
    ReturnDocument,
)

from tests.comparison.cases.common import GERMAN, SET, pymongo_document, table

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
