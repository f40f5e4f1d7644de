"""`find`: cursors on both paths."""

from __future__ import annotations

import asyncio
import gc
import inspect
import time
from typing import Any

import pytest
from connect.eaas.mongodb import AsyncDataApiClient, AsyncMongoClient, DataApiClient, MongoClient
from pymongo.collation import Collation
from pymongo.errors import CursorNotFound, InvalidOperation, OperationFailure

DRIVER: list[Any] = [AsyncMongoClient, MongoClient]
HTTP: list[Any] = [AsyncDataApiClient, DataApiClient]


async def result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def all_of(cursor: Any) -> list[Any]:
    if hasattr(cursor, "__aiter__"):
        return [document async for document in cursor]
    return list(cursor)


@pytest.fixture(params=DRIVER + HTTP)
def collection(request: pytest.FixtureRequest, config: dict[str, str]) -> Any:
    return request.param.from_config(config).get_default_collection()


@pytest.fixture(params=DRIVER)
def driver_collection(request: pytest.FixtureRequest, config: dict[str, str]) -> Any:
    return request.param.from_config(config).get_default_collection()


@pytest.fixture
def numbers(reader: Any) -> list[dict[str, Any]]:
    documents = [{"_id": n, "n": n, "odd": bool(n % 2), "text": "x" * 50} for n in range(500)]
    reader.insert_many(documents)
    return documents


async def test_all_documents_come_in_order(collection: Any, numbers: list[dict[str, Any]]) -> None:
    for cursor in (collection.find(), collection.find({}), collection.find({"n": {"$gte": 0}}).sort("n")):
        assert await all_of(cursor) == numbers
        assert not cursor.alive
        assert await all_of(cursor) == []
    assert await result(collection.find({"n": -1}).to_list()) == []


async def test_queries_take_a_projection_an_order_and_bounds(collection: Any, numbers: list[dict[str, Any]]) -> None:
    async def ids(cursor: Any) -> list[int]:
        return [document["_id"] for document in await result(cursor.to_list())]

    assert await ids(collection.find({"odd": True}).sort("n", -1).limit(3)) == [499, 497, 495]
    assert await ids(collection.find({}, skip=10, limit=3, sort=[("n", 1)])) == [10, 11, 12]
    assert await ids(collection.find().sort([("odd", -1), ("n", 1)]).skip(1).limit(2)) == [3, 5]
    assert await ids(collection.find().sort({"n": -1})[2:5]) == [497, 496, 495]
    assert await ids(collection.find()[5:5]) == []
    assert await result(collection.find({"n": 7}, {"n": 1, "_id": 0}).to_list()) == [{"n": 7}]
    assert await result(collection.find({"n": 7}, ["odd"]).to_list()) == [{"_id": 7, "odd": True}]


async def test_a_cursor_gives_one_or_some_at_a_time(collection: Any, numbers: list[dict[str, Any]]) -> None:
    cursor = collection.find().sort("n")
    assert cursor.alive
    assert (await result(cursor.next()))["n"] == 0
    assert [d["n"] for d in await result(cursor.to_list(3))] == [1, 2, 3]
    assert [d["n"] for d in await result(cursor.to_list(200))] == list(range(4, 204))
    assert cursor.retrieved >= 204
    assert len(await result(cursor.to_list())) == 296
    with pytest.raises((StopIteration, StopAsyncIteration)):
        await result(cursor.next())
    with pytest.raises(ValueError, match="length"):
        await result(cursor.to_list(0))
    cursor.rewind()
    assert (await result(cursor.next()))["n"] == 0
    copy = cursor.clone().limit(1)
    assert [d["n"] for d in await all_of(copy)] == [0]


async def test_a_cursor_that_has_begun_takes_no_options(collection: Any, numbers: list[dict[str, Any]]) -> None:
    cursor = collection.find()
    await result(cursor.next())
    for name, argument in (("sort", "n"), ("limit", 1), ("skip", 1), ("__getitem__", slice(1, 2))):
        with pytest.raises(InvalidOperation, match="after executing"):
            getattr(cursor, name)(argument)
    # What has come already is still there, as with PyMongo.
    await result(cursor.close())
    assert cursor.alive
    left = await all_of(cursor)
    assert [document["n"] for document in left] == list(range(1, 1 + len(left)))
    assert not cursor.alive


async def test_a_cursor_is_a_context(collection: Any, numbers: list[dict[str, Any]]) -> None:
    if hasattr(collection.find(), "__aenter__"):
        async with collection.find() as cursor:
            await cursor.next()
    else:
        with collection.find() as cursor:
            cursor.next()
    await all_of(cursor)
    assert not cursor.alive
    assert cursor.collection == collection


async def test_wrong_arguments_are_named(collection: Any) -> None:
    wrong: list[dict[str, Any]] = [{"filter": 5}, {"projection": 5}, {"sort": 5}, {"skip": "x"}, {"limit": "x"}]
    for arguments in wrong:
        with pytest.raises(TypeError):
            collection.find(**arguments)
    for arguments in ({"snapshot": True}, {"oplog_replay": True}, {"max_scan": 1}):
        with pytest.raises(NotImplementedError, match=next(iter(arguments))):
            collection.find(**arguments)
    if "Async" in type(collection).__name__:
        with pytest.raises(IndexError):
            collection.find()[1]
    with pytest.raises(
        OperationFailure if "DataApi" not in type(collection).__name__ else Exception, match=r"\$nonsense"
    ):
        await result(collection.find({"$nonsense": 1}).to_list())


@pytest.mark.parametrize("client", HTTP)
async def test_what_the_data_api_lacks_is_named(client: Any, config: dict[str, str]) -> None:
    collection = client.from_config(config).get_default_collection()
    for arguments in (
        {"limit": -1},
        {"cursor_type": 2},
        {"return_key": True},
        {"min": {"a": 1}, "hint": {"a": 1}},
    ):
        with pytest.raises(NotImplementedError, match=next(iter(arguments))):
            await result(collection.find({}, **arguments).to_list())


async def test_options_reach_mongodb(driver_collection: Any, numbers: list[dict[str, Any]], reader: Any) -> None:
    find = driver_collection.find
    reader.create_index("n")
    assert len(await result(find({}, batch_size=7).to_list())) == 500
    assert len(await result(find({}, limit=-5).to_list())) == 5
    assert [d["n"] for d in await result(find().hint("n_1").min([("n", 490)]).max([("n", 492)]).to_list())] == [
        490,
        491,
    ]
    with pytest.raises(OperationFailure):
        await result(find().hint("no_such_index").to_list())
    reader.insert_many([{"_id": "a", "word": "b"}, {"_id": "b", "word": "A"}])
    words = find({"word": {"$exists": True}}).sort("word")
    assert [d["word"] for d in await all_of(words.clone())] == ["A", "b"]
    assert [d["word"] for d in await all_of(words.collation(Collation("en")))] == ["A", "b"]
    assert (await result(driver_collection.find_one({"$expr": {"$eq": ["$n", "$$wanted"]}}, let={"wanted": 9})))[
        "n"
    ] == 9


async def test_a_large_result_streams(driver_collection: Any, reader: Any) -> None:
    """Batches of the size that the server likes, each with a document or more."""
    reader.insert_many([{"_id": n, "text": "x" * 1_000_000} for n in range(60)])
    seen = 0
    if hasattr(driver_collection.find(), "__aiter__"):
        async for document in driver_collection.find():
            seen += document["_id"]
    else:
        for document in driver_collection.find():
            seen += document["_id"]
    assert seen == sum(range(60))


async def test_a_cursor_let_go_is_killed_on_the_server(
    config: dict[str, str], numbers: list[dict[str, Any]], pymongo_client: Any
) -> None:
    def open_cursors() -> int:
        return int(pymongo_client.admin.command("serverStatus")["metrics"]["cursor"]["open"]["total"])

    collection = AsyncMongoClient.from_config(config).get_default_collection()
    before = open_cursors()
    cursors = [collection.find(batch_size=2) for _ in range(5)]
    for cursor in cursors:
        await cursor.next()
    del cursor
    cursors.clear()
    gc.collect()
    deadline = time.monotonic() + 10
    while open_cursors() > before and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    assert open_cursors() <= before


async def test_a_cursor_that_the_server_forgot_says_so(
    config: dict[str, str], numbers: list[dict[str, Any]], pymongo_client: Any, names: tuple[str, str]
) -> None:
    pymongo_client[names[0]].drop_collection(names[1])
    pymongo_client[names[0]][names[1]].insert_many([{"_id": n} for n in range(50)])
    cursor = AsyncMongoClient.from_config(config).get_default_collection().find(batch_size=5)
    await cursor.next()
    pymongo_client[names[0]].drop_collection(names[1])
    with pytest.raises((CursorNotFound, OperationFailure)):
        await cursor.to_list()
    assert not cursor.alive


@pytest.mark.parametrize("client", [AsyncMongoClient, AsyncDataApiClient])
async def test_many_cursors_at_once(client: Any, config: dict[str, str], numbers: list[dict[str, Any]]) -> None:
    collection = client.from_config(config).get_default_collection()
    lists = await asyncio.gather(*(collection.find({"odd": bool(n % 2)}).to_list() for n in range(50)))
    assert [len(found) for found in lists] == [250] * 50


async def test_a_cancelled_cursor_goes_on(config: dict[str, str], numbers: list[dict[str, Any]]) -> None:
    cursor = AsyncMongoClient.from_config(config).get_default_collection().find(batch_size=10).sort("n")
    seen = 0
    for _ in range(20):
        task = asyncio.ensure_future(cursor.next())
        await asyncio.sleep(0)
        if task.cancel():
            try:
                seen += (await task)["n"] >= 0
            except asyncio.CancelledError:
                continue
    left = await cursor.to_list()
    assert len(left) + seen == 500


@pytest.mark.parametrize("enabled", [True, False])
async def test_the_garbage_collector_is_left_as_it_was(
    collection: Any, numbers: list[dict[str, Any]], enabled: bool
) -> None:
    try:
        if not enabled:
            gc.disable()
        assert len(await result(collection.find().to_list())) == 500
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
