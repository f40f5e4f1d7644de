"""Cases of the options of a client."""

from __future__ import annotations

from typing import Any

from pymongo import (
    WriteConcern,
)

from tests.comparison.cases.common import case, table
from tests.comparison.harness import TIMEOUT_MS, World, outcome
from tests.servers import with_options

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
        "the set's name": lambda w: with_client(w, replicaSet=set_name(w)),
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


def set_name(world: World) -> str:
    """The name of the server's replica set; of none, one that no set has."""
    return str(world.setup.client.admin.command("hello").get("setName", "none"))


async def with_client(world: World, **options: Any) -> Any:
    client = world.open(**options)
    things = client[world.database.name].things
    seen = [client.write_concern, client.read_concern, client.read_preference]
    if options.get("w") == 0:
        return seen
    return seen, await things.insert_one({"_id": 9}), await things.find_one(9), await things.delete_one({"_id": 9})


@case("a client's options")
async def a_default_database(w: World) -> Any:
    client = w.open(with_options(w.side.uri, w.database.name, w="1"))
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
