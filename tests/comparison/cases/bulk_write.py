"""Cases of `bulk_write` of collections and clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pymongo import (
    DeleteMany,
    DeleteOne,
    IndexModel,
    InsertOne,
    ReplaceOne,
    UpdateMany,
    UpdateOne,
    WriteConcern,
)

from tests.comparison.cases.common import GERMAN, pymongo_document, table
from tests.comparison.harness import Call, World

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
    """A bulk write whose models are created for each library, because an insert adds an `_id` to its document."""
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
    },
)
