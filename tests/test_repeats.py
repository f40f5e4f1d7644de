"""Answers that get lost on the Data API path: what is told is what was stored, once."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from connect.eaas.mongodb import AsyncDataApiClient, DataApiClient, DataApiError
from pymongo.errors import BulkWriteError, NetworkTimeout

from tests.conftest import API_KEY
from tests.servers import answered, canned, relay

Pass = Callable[[], bytes]


def client(url: str, **options: Any) -> AsyncDataApiClient:
    return AsyncDataApiClient(url, api_key=API_KEY, data_source="Cluster0", timeoutMS=20_000, **options)


def lose_first(action: str, number: int, pass_on: Pass) -> bytes | None:
    """Carry the first request of each action out, and lose its answer."""
    answer = pass_on()
    return None if number == 1 and action.startswith("insert") else answer


async def outcomes(calls: list[Any]) -> list[str]:
    done = await asyncio.gather(*calls, return_exceptions=True)
    return [type(outcome).__name__ for outcome in done]


@pytest.mark.parametrize("coalesce", [True, False])
async def test_what_another_index_refuses_is_no_success_after_a_lost_answer(
    gateway_url: str, names: tuple[str, str], reader: Any, coalesce: bool
) -> None:
    """Its name and the values look as if `_id` itself were the duplicate."""
    reader.create_index("_id_ref", unique=True, name="_id_ dup key: ")
    with relay(gateway_url, lose_first) as server:
        collection = client(server.url, coalesce=coalesce)[names[0]][names[1]]
        document = {"_id_ref": " index: _id_ dup key: { _id: 1 }"}
        done = await outcomes([collection.insert_one(document) for _ in range(40)])
    assert sorted(set(done)) == ["DuplicateKeyError", "InsertOneResult"]
    assert done.count("InsertOneResult") == reader.count_documents({}) == 1


async def test_what_a_lost_batch_stored_is_stored(gateway_url: str, names: tuple[str, str], reader: Any) -> None:
    """Also where a document's second key is a duplicate of its own first try."""
    reader.create_index("serial", unique=True)
    with relay(gateway_url, lose_first) as server:
        collection = client(server.url)[names[0]][names[1]]
        done = await outcomes([collection.insert_one({"serial": n}) for n in range(50)])
    assert set(done) == {"InsertOneResult"}
    assert sorted(document["serial"] for document in reader.find()) == list(range(50))


async def test_each_of_a_refused_batch_gets_its_own_and_nothing_is_sent_again(
    gateway_url: str, names: tuple[str, str], reader: Any
) -> None:
    reader.create_index("serial", unique=True)
    reader.insert_many([{"serial": n} for n in range(0, 60, 7)])
    with relay(gateway_url, lambda action, number, pass_on: pass_on()) as server:
        collection = client(server.url)[names[0]][names[1]]
        done = await outcomes([collection.insert_one({"serial": n}) for n in range(60)])
        assert done == ["DuplicateKeyError" if n % 7 == 0 else "InsertOneResult" for n in range(60)]
        assert server.actions.count("insertMany") >= 1
        assert len(server.actions) < 30
    assert reader.count_documents({}) == 60


async def test_a_server_that_stops_at_the_first_refused_document_loses_nothing(
    gateway_url: str, names: tuple[str, str], reader: Any
) -> None:
    """As Atlas's Data API did, whose batches are ordered."""
    reader.create_index("serial", unique=True)
    reader.insert_one({"serial": 5})
    refused = [{"index": 5, "code": 11000, "errmsg": "E11000"}]
    details = {"writeErrors": refused, "writeConcernErrors": [], "nInserted": 5}
    body = json.dumps({"error": "E11000 duplicate key error", "error_code": "MongoDBError", "details": details})

    def spoil(action: str, number: int, pass_on: Pass) -> bytes | None:
        return answered("400 Bad Request", body) if action == "insertMany" else pass_on()

    with relay(gateway_url, spoil) as server:
        collection = client(server.url)[names[0]][names[1]]
        done = await outcomes([collection.insert_one({"serial": n}) for n in range(20)])
    assert done == ["DuplicateKeyError" if n == 5 else "InsertOneResult" for n in range(20)]
    assert reader.count_documents({}) == 20


@pytest.mark.parametrize("status", ["404 Not Found", "403 Forbidden", "405 Method Not Allowed", "501 Not Implemented"])
async def test_a_server_without_insert_many_is_not_asked_for_it_again(
    gateway_url: str, names: tuple[str, str], reader: Any, status: str
) -> None:
    def spoil(action: str, number: int, pass_on: Pass) -> bytes | None:
        return answered(status, '{"error": "no such action"}') if action == "insertMany" else pass_on()

    with relay(gateway_url, spoil) as server:
        collection = client(server.url)[names[0]][names[1]]
        for _ in range(3):
            assert set(await outcomes([collection.insert_one({}) for _ in range(20)])) == {"InsertOneResult"}
        assert 1 <= server.actions.count("insertMany") <= 4
    assert reader.count_documents({}) == 60


async def test_an_answer_that_lacks_ids_is_not_believed(gateway_url: str, names: tuple[str, str], reader: Any) -> None:
    def spoil(action: str, number: int, pass_on: Pass) -> bytes | None:
        return answered("201 Created", '{"insertedIds": ["x"]}') if action == "insertMany" else pass_on()

    with relay(gateway_url, spoil) as server:
        collection = client(server.url)[names[0]][names[1]]
        assert set(await outcomes([collection.insert_one({}) for _ in range(20)])) == {"InsertOneResult"}
        assert len((await collection.insert_many([{} for _ in range(5)])).inserted_ids) == 5
    assert reader.count_documents({}) == 25


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_lost_insert_many_raises_what_it_would_have_raised(
    gateway_url: str, names: tuple[str, str], reader: Any, ordered: bool
) -> None:
    reader.create_index("serial", unique=True)
    reader.insert_many([{"serial": 3}, {"serial": 6}])
    documents = [{"serial": n} for n in range(10)]
    with relay(gateway_url, lose_first) as server:
        collection = client(server.url)[names[0]][names[1]]
        with pytest.raises(BulkWriteError) as refused:
            await collection.insert_many(documents, ordered=ordered)
    details = refused.value.details
    assert [error["index"] for error in details["writeErrors"]] == ([3] if ordered else [3, 6])
    assert {error["code"] for error in details["writeErrors"]} == {11000}
    assert details["writeErrors"][0]["op"]["serial"] == 3
    assert details["nInserted"] == (3 if ordered else 8)
    assert reader.count_documents({}) == 2 + details["nInserted"]


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"writeErrors": [{"index": -1, "code": 1}], "writeConcernErrors": [], "nInserted": 0},
        {"writeErrors": [{"index": 2**40, "code": "x"}]},
        {"writeErrors": 5, "writeConcernErrors": {}, "nInserted": []},
        {"writeErrors": [5], "nInserted": 1},
    ],
)
async def test_details_that_are_none_do_no_harm(details: Any) -> None:
    body = json.dumps({"error": "E11000", "error_code": "MongoDBError", "code": 65, "details": details})
    refusal = answered("400 Bad Request", body)
    nothing = answered("200 OK", '{"document": null}')
    with canned(by_action={"insertMany": refusal, "insertOne": refusal, "findOne": nothing}) as server:
        collection = client(server.url).d.c
        with pytest.raises(BulkWriteError) as refused:
            await collection.insert_many([{}, {}])
        assert refused.value.details["writeErrors"][0]["errmsg"] == "E11000"
        assert set(await outcomes([collection.insert_one({}) for _ in range(5)])) == {"DuplicateKeyError"}


def test_a_call_and_its_repeats_share_one_deadline() -> None:
    """Seven documents, each of which would wait as long again."""
    stop = threading.Event()

    def spoil(action: str, number: int, pass_on: Pass) -> bytes | None:
        if action == "insertMany":
            return answered("400 X", '{"error": "E11000", "code": 65}') if number > 1 else None
        stop.wait(30)
        return None

    with relay("http://127.0.0.1:1", spoil) as server:
        collection = DataApiClient(server.url, api_key=API_KEY, data_source="c", timeoutMS=1500).d.c
        begun = time.monotonic()
        with pytest.raises(NetworkTimeout):
            collection.insert_many([{} for _ in range(7)], ordered=False)
        assert time.monotonic() - begun < 7
        stop.set()


@pytest.mark.parametrize(
    "details",
    [
        {"writeErrors": [], "writeConcernErrors": [], "nInserted": 20},
        {
            "writeErrors": [{"index": 0, "code": 11000, "errmsg": "E11000"}] * 2,
            "writeConcernErrors": [],
            "nInserted": 18,
        },
    ],
)
async def test_details_that_do_not_add_up_are_not_believed(
    gateway_url: str, names: tuple[str, str], reader: Any, details: Any
) -> None:
    body = json.dumps({"error": "E11000", "error_code": "MongoDBError", "code": 65, "details": details})

    def spoil(action: str, number: int, pass_on: Pass) -> bytes | None:
        return answered("400 Bad Request", body) if action == "insertMany" else pass_on()

    with relay(gateway_url, spoil) as server:
        collection = client(server.url)[names[0]][names[1]]
        done = await outcomes([collection.insert_one({}) for _ in range(21)])
    assert set(done) == {"InsertOneResult"}
    assert reader.count_documents({}) == 21


@pytest.mark.parametrize("status", ["404 Not Found", "403 Forbidden"])
async def test_a_batch_that_was_carried_out_and_denied_is_stored(
    gateway_url: str, names: tuple[str, str], reader: Any, status: str
) -> None:
    def spoil(action: str, number: int, pass_on: Pass) -> bytes | None:
        answer = pass_on()
        return answered(status, '{"error": "no"}') if action == "insertMany" else answer

    with relay(gateway_url, spoil) as server:
        collection = client(server.url)[names[0]][names[1]]
        assert set(await outcomes([collection.insert_one({}) for _ in range(20)])) == {"InsertOneResult"}
    assert reader.count_documents({}) == 20


@pytest.mark.parametrize("coalesce", [True, False])
async def test_a_key_that_may_only_insert_loses_nothing(
    gateway_url: str, names: tuple[str, str], reader: Any, coalesce: bool
) -> None:
    def spoil(action: str, number: int, pass_on: Pass) -> bytes | None:
        if action == "findOne":
            return answered("403 Forbidden", '{"error": "no"}')
        return lose_first(action, number, pass_on)

    with relay(gateway_url, spoil) as server:
        collection = client(server.url, coalesce=coalesce)[names[0]][names[1]]
        assert set(await outcomes([collection.insert_one({}) for _ in range(20)])) == {"InsertOneResult"}
    assert reader.count_documents({}) == 20


async def test_a_text_that_looks_like_a_duplicate_is_none() -> None:
    body = json.dumps({"error": "Document failed validation: name 'E11000'", "code": 121})
    with canned(answered("400 Bad Request", body)) as server:
        with pytest.raises(DataApiError) as refused:
            await client(server.url).d.c.insert_one({})
    assert refused.value.code == 121
