"""Arbitrary documents, queries and updates: both libraries send, store and find the same."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

from bson import SON, Decimal128, Int64, Regex
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne
from pymongo.collation import Collation

from tests.comparison import harness
from tests.comparison.blocking import drive
from tests.comparison.cases import DOCUMENTS, aggregated
from tests.comparison.harness import Case, World, outcome
from tests.strategies import bson_scalars, documents, keys, plain_keys

Both = tuple[harness.Side, harness.Side]

some = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def compared(
    both: Both, setup: Any, call: Callable[[World], Any], stored: Any = DOCUMENTS, commands: bool = True
) -> None:
    """Compare a call that makes its own arguments: PyMongo changes those of inserts."""
    drive(harness.compare(Case("arbitrary", call, stored, commands=commands), *both, setup))


def new(value: Any) -> Any:
    return copy.deepcopy(value)


any_document = documents(bson_scalars, keys).map(lambda document: {"_id": "made", **document})
fields = st.sampled_from(["n", "word", "tags", "sub.x", "items.k", "items.0.v", "when", "_id", "nowhere"])
values = st.one_of(
    st.sampled_from([1, 2, 4, 2.0, "a", "B", "é", None, True, [], ["c"], {"x": 1}, Int64(2), Decimal128("2.5")]),
    st.sampled_from([Regex("^b", "i"), re.compile("A", re.IGNORECASE), SON([("x", 1)]), ("a", "b")]),
    bson_scalars,
)
conditions = st.one_of(
    values,
    st.builds(
        lambda operator, value: {operator: value},
        st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$size", "$exists", "$type", "$nonsense"]),
        values,
    ),
    st.builds(
        lambda operator, several: {operator: several},
        st.sampled_from(["$in", "$nin", "$all", "$mod"]),
        st.lists(values, max_size=3),
    ),
    st.builds(lambda value: {"$not": {"$gt": value}}, values),
    st.builds(lambda value: {"$elemMatch": {"k": value}}, values),
)
simple_filters = st.dictionaries(fields, conditions, max_size=3)
filters = st.one_of(
    simple_filters,
    st.builds(
        lambda operator, several: {operator: several},
        st.sampled_from(["$and", "$or", "$nor"]),
        st.lists(simple_filters, max_size=3),
    ),
    documents(bson_scalars, keys),
)
projections = st.one_of(
    st.none(),
    st.dictionaries(fields, st.sampled_from([0, 1, True, False, {"$slice": 1}]), max_size=3),
    st.lists(fields, max_size=3),
)
sorts = st.one_of(
    st.none(),
    st.lists(st.tuples(fields, st.sampled_from([1, -1])), min_size=1, max_size=2),
    st.dictionaries(fields, st.sampled_from([1, -1]), min_size=1, max_size=2),
)
updates = st.one_of(
    st.dictionaries(
        st.sampled_from(["$set", "$unset", "$inc", "$mul", "$min", "$max", "$push", "$pull", "$addToSet", "$rename"]),
        st.dictionaries(fields, values, min_size=1, max_size=2),
        min_size=1,
        max_size=2,
    ),
    st.lists(st.builds(lambda field, value: {"$set": {field: value}}, plain_keys, values), max_size=2),
    documents(bson_scalars, keys),
)
replacements = documents(bson_scalars, keys)
collations = st.sampled_from([None, Collation("en", strength=1), {"locale": "de"}])


@given(document=any_document)
@some
def test_any_document_is_stored_the_same(both_blocking: Both, setup: Any, document: Any) -> None:
    async def inserted(w: World) -> Any:
        given = await outcome(lambda: w.collection.insert_one(new(document)))
        return (
            given,
            await outcome(lambda: w.collection.find_one({})),
            await outcome(lambda: w.collection.find().to_list()),
        )

    compared(both_blocking, setup, inserted, ())


@given(several=st.lists(any_document, max_size=4), ordered=st.booleans())
@some
def test_any_documents_are_stored_the_same(both_blocking: Both, setup: Any, several: Any, ordered: bool) -> None:
    def with_ids() -> list[Any]:
        return [{**new(document), "_id": number % 3} for number, document in enumerate(several)]

    compared(both_blocking, setup, lambda w: w.collection.insert_many(with_ids(), ordered=ordered), ())


@given(
    wanted=filters,
    projection=projections,
    sort=sorts,
    skip=st.integers(0, 2),
    limit=st.integers(-2, 2),
    batch_size=st.integers(0, 3),
    collation=collations,
)
@some
def test_any_query_finds_the_same(both_blocking: Both, setup: Any, wanted: Any, **options: Any) -> None:
    compared(both_blocking, setup, lambda w: w.collection.find(new(wanted), **options).to_list())


@given(wanted=filters, update=updates, upsert=st.booleans(), method=st.sampled_from(["update_one", "update_many"]))
@some
def test_any_update_changes_the_same(
    both_blocking: Both, setup: Any, wanted: Any, update: Any, upsert: bool, method: str
) -> None:
    compared(both_blocking, setup, lambda w: getattr(w.collection, method)(new(wanted), new(update), upsert=upsert))


@given(wanted=filters, update=updates, projection=projections, sort=sorts, upsert=st.booleans(), after=st.booleans())
@some
def test_any_find_and_update_gives_the_same(
    both_blocking: Both, setup: Any, wanted: Any, update: Any, projection: Any, sort: Any, upsert: bool, after: bool
) -> None:
    compared(
        both_blocking,
        setup,
        lambda w: w.collection.find_one_and_update(
            new(wanted), new(update), projection, sort, upsert=upsert, return_document=after
        ),
    )


@given(wanted=filters, replacement=replacements, upsert=st.booleans(), collation=collations)
@some
def test_any_replacement_stores_the_same(
    both_blocking: Both, setup: Any, wanted: Any, replacement: Any, upsert: bool, collation: Any
) -> None:
    compared(
        both_blocking,
        setup,
        lambda w: w.collection.replace_one(new(wanted), new(replacement), upsert=upsert, collation=collation),
    )


@given(wanted=filters, many=st.booleans(), collation=collations)
@some
def test_any_deletion_leaves_the_same(both_blocking: Both, setup: Any, wanted: Any, many: bool, collation: Any) -> None:
    compared(
        both_blocking,
        setup,
        lambda w: (w.collection.delete_many if many else w.collection.delete_one)(new(wanted), collation=collation),
    )


models = st.one_of(
    st.builds(lambda document: ("InsertOne", (document,)), any_document),
    st.builds(lambda wanted, update: ("UpdateOne", (wanted, update, True)), simple_filters, updates),
    st.builds(lambda wanted, update: ("UpdateMany", (wanted, update)), simple_filters, updates),
    st.builds(lambda wanted, new_one: ("ReplaceOne", (wanted, new_one, True)), simple_filters, replacements),
    st.builds(lambda wanted: ("DeleteOne", (wanted,)), simple_filters),
    st.builds(lambda wanted: ("DeleteMany", (wanted,)), simple_filters),
)
MODELS: dict[str, Any] = {
    model.__name__: model for model in (InsertOne, UpdateOne, UpdateMany, ReplaceOne, DeleteOne, DeleteMany)
}


@given(several=st.lists(models, max_size=6), ordered=st.booleans())
@some
def test_any_bulk_write_does_the_same(both_blocking: Both, setup: Any, several: Any, ordered: bool) -> None:
    def made() -> list[Any]:
        return [MODELS[name](*new(arguments)) for name, arguments in several]

    # Of its commands PyMongo numbers none where one could not be repeated; ours those that can.
    compared(both_blocking, setup, lambda w: w.collection.bulk_write(made(), ordered=ordered), commands=False)


stages = st.one_of(
    st.builds(lambda wanted: {"$match": wanted}, simple_filters),
    st.builds(lambda value: {"$project": {"a": {"$literal": value}, "n": 1}}, values),
    st.builds(lambda field: {"$group": {"_id": f"${field}", "count": {"$sum": 1}}}, fields),
    st.builds(lambda field: {"$sort": {field: -1, "_id": 1}}, fields),
    st.builds(lambda number: {"$limit": number}, st.integers(-1, 3)),
    st.builds(lambda field: {"$unwind": f"${field}"}, fields),
    st.builds(lambda value: {"$set": {"made": value}}, values),
)


@given(pipeline=st.lists(stages, max_size=4), batch_size=st.sampled_from([None, 1, 2]))
@some
def test_any_pipeline_gives_the_same(both_blocking: Both, setup: Any, pipeline: Any, batch_size: Any) -> None:
    options = {} if batch_size is None else {"batchSize": batch_size}
    compared(both_blocking, setup, lambda w: aggregated(w.collection, new(pipeline), **options))


@given(field=st.one_of(fields, keys), wanted=filters)
@some
def test_any_distinct_and_count_give_the_same(both_blocking: Both, setup: Any, field: str, wanted: Any) -> None:
    async def counted(w: World) -> Any:
        return [
            await outcome(lambda: w.collection.distinct(field, new(wanted))),
            await outcome(lambda: w.collection.count_documents(new(wanted))),
        ]

    compared(both_blocking, setup, counted)
