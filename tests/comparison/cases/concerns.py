"""Cases of `with_options`, read and write concerns."""

from __future__ import annotations

from typing import Any

from bson import (
    SON,
    CodecOptions,
)
from pymongo import (
    DeleteOne,
    InsertOne,
    ReadPreference,
    WriteConcern,
)
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import Secondary

from tests.comparison.cases.common import Of, aggregated, case, table
from tests.comparison.cases.count_aggregate import GROUPED
from tests.comparison.harness import Call, World


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
# More nodes than exist: the write succeeds with a write concern error.
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
