"""Cases of collections, databases and commands."""

from __future__ import annotations

from typing import Any

from bson import (
    SON,
    CodecOptions,
    DBRef,
)
from bson.raw_bson import RawBSONDocument
from pymongo import (
    ReadPreference,
    WriteConcern,
)
from pymongo.collation import Collation
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import Nearest

from tests.comparison.cases.common import case, table
from tests.comparison.harness import Call, World, outcome

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
    run = await w.database.validate_collection(*arguments, **options)
    return {key: run[key] for key in ("ns", "nrecords", "valid", "ok", "nIndexes") if key in run}


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


async def run(w: World, *arguments: Any, **options: Any) -> Any:
    """Run a command."""
    return await w.database.command(*arguments, **options)


async def is_hello(w: World) -> Any:
    """Run a command that authenticates: listeners receive nothing of it."""
    answer = await run(w, {"hello": 1, "speculativeAuthenticate": {"saslStart": 1, "mechanism": "x"}})
    return answer["ok"], w.side.recorder.all()[-1].body


table(
    "command",
    {
        "ping": lambda w: run(w, "ping"),
        "a hello with credentials": lambda w: is_hello(w),
        "a document": lambda w: run(w, {"ping": 1}),
        "a SON": lambda w: run(w, SON([("count", "things"), ("query", {"n": 2})])),
        "a value": lambda w: run(w, "count", "things"),
        "a value and more": lambda w: run(w, "count", "things", query={"n": 2}, skip=1),
        "a comment": lambda w: run(w, "ping", comment="why"),
        "distinct": lambda w: run(w, "distinct", "things", key="n"),
        "an insert": lambda w: run(w, "insert", "things", documents=[{"_id": 9}]),
        "a find": lambda w: run(w, {"find": "things", "filter": {"n": 2}}),
        "an unknown command": lambda w: run(w, "nonsense"),
        "an unknown command, unchecked": lambda w: run(w, "nonsense", check=False),
        "a write error": lambda w: run(w, "insert", "things", documents=[{"_id": 1}]),
        "an allowed error": lambda w: run(w, "nonsense", allowable_errors=["no such command: 'nonsense'"]),
        "an allowed code": lambda w: run(w, "nonsense", allowable_errors=[59]),
        "another allowed code": lambda w: run(w, "nonsense", allowable_errors=[60]),
        "a read preference": lambda w: run(w, "ping", read_preference=ReadPreference.NEAREST),
        "a secondary": lambda w: run(w, "count", "things", read_preference=ReadPreference.SECONDARY_PREFERRED),
        "codec options": lambda w: run(
            w, {"find": "things", "filter": {"_id": 4}}, codec_options=CodecOptions(tz_aware=True)
        ),
        "a document class": lambda w: run(
            w, {"find": "things", "filter": {"_id": 4}}, codec_options=CodecOptions(document_class=SON)
        ),
        "a raw document": lambda w: raw_count(w),
        "a number": lambda w: run(w, 5),
        "an empty document": lambda w: run(w, {}),
        "an explain": lambda w: explained(w),
        "a read concern within": lambda w: run(w, "count", "things", readConcern={"level": "majority"}),
        "a wrong write concern": lambda w: run(
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
