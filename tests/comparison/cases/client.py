"""Cases of clients."""

from __future__ import annotations

from typing import Any

from tests.comparison.cases.common import case, table
from tests.comparison.harness import Call, World, awaited


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
