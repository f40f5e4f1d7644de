"""Cases of documents and commands that are too large."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateOne

from tests.comparison.cases.common import Of, aggregated, table
from tests.comparison.harness import Call, World, outcome

MIB = 1024 * 1024
# With the rest of its document, more than a document may have, and less than a command.
SIXTEEN = 16 * MIB
# More than any command but a bulk write.
TWENTY = 20 * MIB
# More than a message.
FIFTY = 50 * MIB


def document(size: int, _id: Any = 9) -> dict[str, Any]:
    return {"_id": _id, "a": "x" * size}


def filtered(size: int) -> dict[str, Any]:
    return {"word": {"$ne": "x" * size}}


def counted(call: Of) -> Call:
    """A call, and how many documents there are afterwards: `stored` would show all of them."""
    return lambda w: called(w, call)


async def called(w: World, call: Of) -> Any:
    given = await outcome(lambda: call(w.collection))
    if isinstance(given, Exception):
        given = shortened(given)
    return given, await w.collection.count_documents({})


def shortened(error: Exception) -> Exception:
    """An error whose details contain the operation: not the text of it that is too large."""
    details: Any = getattr(error, "details", None)
    for rejected in (details or {}).get("writeErrors", []):
        for operation in (rejected.get("op", {}), rejected.get("op", {}).get("u", {})):
            if isinstance(operation, dict) and "a" in operation:
                operation["a"] = len(operation["a"])
    return error


CALLS: dict[str, Callable[[Any, int], Any]] = {
    "insert_one": lambda c, size: c.insert_one(document(size)),
    "insert_one, a comment": lambda c, size: c.insert_one({"_id": 9}, comment="x" * size),
    "update_one": lambda c, size: c.update_one({"_id": 1}, {"$set": {"a": "x" * size}}),
    "update_many": lambda c, size: c.update_many(filtered(size), {"$set": {"a": 1}}),
    "replace_one": lambda c, size: c.replace_one({"_id": 1}, {"a": "x" * size}),
    "delete_one": lambda c, size: c.delete_one(filtered(size)),
    "find_one_and_replace": lambda c, size: c.find_one_and_replace({"_id": 1}, {"a": "x" * size}, {"_id": 1}),
    "find_one_and_update": lambda c, size: c.find_one_and_update({"_id": 1}, {"$set": {"a": "x" * size}}, {"_id": 1}),
    "create_index": lambda c, size: c.create_index("n", comment="x" * size),
    "aggregate": lambda c, size: aggregated(c, [{"$match": filtered(size)}, {"$project": {"_id": 1}}]),
    "command": lambda c, size: c.database.command("count", "things", query=filtered(size)),
    "cursor_command": lambda c, size: c.database.cursor_command("find", "things", filter=filtered(size), batchSize=9),
}
table("a size, a command", {name: counted(lambda c, call=call: call(c, TWENTY)) for name, call in CALLS.items()})  # type: ignore[misc]
table(
    "a size, a document",
    {
        name: counted(lambda c, call=CALLS[name]: call(c, SIXTEEN))  # type: ignore[misc]
        for name in ("insert_one", "update_one", "replace_one", "find_one_and_replace")
    },
    commands=False,
)


def bulk(size: int) -> list[Any]:
    return [InsertOne({"_id": 10}), ReplaceOne({"_id": 1}, {"a": "x" * size}), DeleteOne({"_id": 2})]


for _size, _name in ((SIXTEEN, "16 MiB"), (TWENTY, "20 MiB"), (FIFTY, "50 MiB")):
    table(
        f"a size, {_name}",
        {
            "insert_many": counted(
                lambda c, size=_size: c.insert_many([{"_id": 10}, document(size), {"_id": 11}])  # type: ignore[misc]
            ),
            "insert_many, unordered": counted(
                lambda c, size=_size: c.insert_many([{"_id": 10}, document(size), {"_id": 11}], False)  # type: ignore[misc]
            ),
            "bulk_write": counted(lambda c, size=_size: c.bulk_write(bulk(size))),  # type: ignore[misc]
            "bulk_write, unordered": counted(lambda c, size=_size: c.bulk_write(bulk(size), False)),  # type: ignore[misc]
            "bulk_write, an update": counted(
                lambda c, size=_size: c.bulk_write([UpdateOne({"_id": 1}, {"$set": {"a": "x" * size}})])  # type: ignore[misc]
            ),
        },
        commands=False,
    )


def by_the_client(size: int, ordered: bool) -> Call:
    def write(w: World) -> Any:
        namespace = f"{w.setup.name}.things"
        models = [
            InsertOne({"_id": 10}, namespace=namespace),
            InsertOne(document(size), namespace=namespace),
            InsertOne({"_id": 11}, namespace=namespace),
        ]
        return w.client.bulk_write(models, ordered=ordered)

    async def written(w: World) -> Any:
        given = await outcome(lambda: write(w))
        for rejected in getattr(given, "write_errors", []):
            rejected["op"]["document"]["a"] = len(rejected["op"]["document"]["a"])
        return given, await w.collection.count_documents({})

    return written


table(
    "a size, client.bulk_write",
    {
        f"{name}, {'ordered' if ordered else 'unordered'}": by_the_client(size, ordered)
        for size, name in ((SIXTEEN, "16 MiB"), (TWENTY, "20 MiB"), (FIFTY, "50 MiB"))
        for ordered in (True, False)
    },
    commands=False,
)
