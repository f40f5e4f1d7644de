"""Documents and commands that are too large: PyMongo's messages, and a client that goes on working.

`tests/comparison/cases/sizes.py` compares results and errors with PyMongo's.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
from connect.eaas.mongodb import AsyncMongoClient, MongoClient
from pymongo import InsertOne, UpdateOne
from pymongo import MongoClient as PyMongoClient
from pymongo.errors import DocumentTooLarge

MIB = 1024 * 1024
TWENTY = "x" * (20 * MIB)
# More than a message.
FIFTY = "x" * (50 * MIB)
COMMANDS: dict[str, Callable[[Any], Any]] = {
    "insert_one": lambda c: c.insert_one({"a": TWENTY}),
    "update_one": lambda c: c.update_one({}, {"$set": {"a": TWENTY}}),
    "delete_one": lambda c: c.delete_one({"a": TWENTY}),
    "find_one_and_delete": lambda c: c.find_one_and_delete({"a": TWENTY}),
    "insert_many": lambda c: c.insert_many([{"_id": 9, "a": FIFTY}]),
    "bulk_write": lambda c: c.bulk_write([UpdateOne({}, {"$set": {"a": FIFTY}})]),
    "command": lambda c: c.database.command("ping", comment=TWENTY),
}


async def result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


# What PyMongo sends, so that the server closes the connection: ours is not sent.
READS: dict[str, Callable[[Any], Any]] = {
    "find_one": lambda c: c.find_one({"a": FIFTY}),
    "find": lambda c: c.find({"a": FIFTY}).to_list(),
    "count_documents": lambda c: c.count_documents({"a": FIFTY}),
    "distinct": lambda c: c.distinct("a", {"a": FIFTY}),
    "aggregate": lambda c: c.aggregate([{"$match": {"a": FIFTY}}]),
}


def shape(error: BaseException) -> str:
    """A message without the size, since commands differ in their other fields."""
    return re.sub(r"\(\d+ bytes", "(N bytes", str(error)).removesuffix(".")


@pytest.mark.parametrize("client_class", [AsyncMongoClient, MongoClient])
@pytest.mark.parametrize("name", COMMANDS)
async def test_messages_begin_with_pymongo_s(
    name: str,
    client_class: Any,
    mongodb_uri: str,
    pymongo_client: PyMongoClient[dict[str, Any]],
    names: tuple[str, str],
) -> None:
    call = COMMANDS[name]
    with pytest.raises(DocumentTooLarge) as theirs:
        call(pymongo_client[names[0]][names[1]])
    client = client_class(mongodb_uri)
    collection = client[names[0]][names[1]]
    with pytest.raises(DocumentTooLarge) as ours:
        await result(call(collection))
    assert shape(ours.value).startswith(shape(theirs.value))
    assert TWENTY[:100] not in str(ours.value)
    assert await result(collection.count_documents({})) == 0
    await result(client.close())


@pytest.mark.parametrize("client_class", [AsyncMongoClient, MongoClient])
@pytest.mark.parametrize("name", READS)
async def test_reads_larger_than_a_message_are_not_sent(
    name: str, client_class: Any, mongodb_uri: str, names: tuple[str, str]
) -> None:
    client = client_class(mongodb_uri)
    collection = client[names[0]][names[1]]
    with pytest.raises(DocumentTooLarge, match="command document too large"):
        await result(READS[name](collection))
    assert await result(collection.count_documents({})) == 0
    await result(client.close())


async def test_the_client_s_bulk_write_names_the_document(
    mongodb_uri: str, names: tuple[str, str], reader: Any
) -> None:
    namespace = ".".join(names)
    async with AsyncMongoClient(mongodb_uri) as client:
        writes = [InsertOne({"_id": 1}, namespace=namespace), InsertOne({"_id": 2, "a": FIFTY}, namespace=namespace)]
        with pytest.raises(
            DocumentTooLarge, match=r"^BSON document too large \(52428\d{3} bytes\) - the connected server"
        ):
            await client.bulk_write(writes)
    assert reader.count_documents({}) == 1
