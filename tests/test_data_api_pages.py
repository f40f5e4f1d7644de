"""Cursors of the Data API's clients: pages where the server has them, and one response where it has none."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from connect.eaas.mongodb import AsyncDataApiClient, DataApiClient, DataApiError
from pymongo.errors import CursorNotFound

from tests.conftest import API_KEY
from tests.gateways import Gateway, create_key, gateway, until
from tests.servers import Relay, answered, canned, relay

CLIENTS: list[Any] = [AsyncDataApiClient, DataApiClient]
REJECTED = answered("400 Bad Request", '{"error": "unknown field: cursor", "error_code": "InvalidParameter"}')
ABSENT = answered("404 Not Found", "<html>nothing here</html>")
FOUND = answered("200 OK", '{"documents": [{"_id": 1}, {"_id": 2}]}')


async def result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def collection(client: Any, url: str, names: tuple[str, str], **options: Any) -> Any:
    options = {"api_key": API_KEY, "data_source": "Cluster0", "timeoutMS": 10_000} | options
    return client(url, **options)[names[0]][names[1]]


def sent(request: bytes) -> dict[str, Any]:
    """Return the path's last part and the arguments of a request, without the place that it is for."""
    head, _, body = request.partition(b"\r\n\r\n")
    arguments = json.loads(body) if body else {}
    for name in ("dataSource", "database", "collection"):
        arguments.pop(name, None)
    return {"path": head.split(b" ")[1].decode().rsplit("/", 1)[1]} | arguments


@pytest.fixture
def server(gateway_url: str) -> Iterator[Relay]:
    """A proxy that notes the requests to the gateway."""
    with relay(gateway_url, lambda _action, _number, pass_on: pass_on()) as server:
        yield server


@pytest.fixture
def stored(reader: Any) -> list[dict[str, Any]]:
    """25 documents, in an order that is not that of `_id`."""
    documents = [{"_id": number, "n": -number} for number in range(25)]
    reader.insert_many(documents[::-1])
    return documents


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_small_result_is_one_request(
    client: Any, server: Relay, names: tuple[str, str], stored: list[dict[str, Any]]
) -> None:
    small = collection(client, server.url, names)
    assert len(await result(small.find().to_list())) == 25
    assert server.actions == ["find"]
    assert len(await result(small.find(limit=3, batch_size=3).to_list())) == 3
    assert len(await result(small.find(batch_size=4).sort("n").limit(3).to_list())) == 3
    assert server.actions == ["find"] * 3
    counted = await result((await result(small.aggregate([{"$count": "all"}]))).to_list())
    assert counted == [{"all": 25}]
    assert server.actions == ["find"] * 3 + ["aggregate"]
    with pytest.raises(DataApiError, match="nonsense"):
        await result(small.find({"$nonsense": 1}).to_list())
    # MongoDB's error says that the server knows pages.
    assert server.actions == ["find"] * 3 + ["aggregate", "find"]


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_large_result_is_read_page_by_page(
    client: Any, server: Relay, names: tuple[str, str], stored: list[dict[str, Any]]
) -> None:
    large = collection(client, server.url, names)
    assert await result(large.find(batch_size=10).to_list()) == stored
    assert server.actions == ["find"] * 3
    assert await result(large.find(batch_size=10).sort("n").to_list()) == stored[::-1]
    assert server.actions == ["find"] * 6
    assert await result(large.find(batch_size=10, skip=2, limit=15).to_list()) == stored[2:17]
    assert server.actions == ["find"] * 8
    cursor = await result(large.aggregate([{"$sort": {"_id": 1}}], batchSize=10))
    assert [document["_id"] for document in await result(cursor.to_list())] == list(range(25))
    assert server.actions == ["find"] * 8 + ["aggregate"] * 3


@pytest.mark.parametrize("client", CLIENTS)
async def test_without_a_batch_size_only_pages_of_any_instance_are_asked_for(
    client: Any, server: Relay, names: tuple[str, str], stored: list[dict[str, Any]]
) -> None:
    asking = collection(client, server.url, names)
    await result(asking.find().to_list())
    assert await result(asking.find().sort("n").to_list()) == stored[::-1]
    cursor = await result(asking.aggregate([{"$match": {}}]))
    assert len(await result(cursor.to_list())) == 25
    assert ["cursor" in json.loads(body) for body in server.bodies] == [True, False, False]


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_cursor_holds_two_pages_at_most(
    client: Any, server: Relay, names: tuple[str, str], stored: list[dict[str, Any]]
) -> None:
    cursor = collection(client, server.url, names).find(batch_size=2)
    assert await result(cursor.next()) == stored[0]
    assert cursor.retrieved == 2
    assert await result(cursor.to_list(4)) == stored[1:5]
    assert cursor.retrieved <= 6
    # One more page is read ahead.
    until(lambda: len(server.actions) == 4)
    assert cursor.alive
    assert await result(cursor.to_list()) == stored[5:]
    assert not cursor.alive
    cursor.rewind()
    assert await result(cursor.to_list(3)) == stored[:3]


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_page_whose_response_is_lost_is_requested_again(
    client: Any, gateway_url: str, names: tuple[str, str], stored: list[dict[str, Any]]
) -> None:
    def lose_the_second(_action: str, number: int, pass_on: Any) -> bytes | None:
        answer: bytes = pass_on()
        return None if number == 2 else answer

    with relay(gateway_url, lose_the_second) as server:
        large = collection(client, server.url, names)
        assert await result(large.find(batch_size=10).to_list()) == stored
        assert server.actions == ["find"] * 4
    with relay(gateway_url, lose_the_second) as server:
        cursor = collection(client, server.url, names).find(batch_size=10).sort("n")
        # The gateway has read the page from MongoDB's cursor, which cannot go back.
        with pytest.raises(CursorNotFound, match="run the query again") as lost:
            await result(cursor.to_list())
        assert lost.value.code == 43
        assert not cursor.alive


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def key(folder: Path) -> str:
    return create_key(folder, "one", "*")


def configured(uri: str, more: str) -> str:
    return f'keys_file = "keys.toml"\n{more}\n[data_sources.Cluster0]\nuri = "{uri}"\n'


@pytest.fixture(scope="module")
def narrow(mongodb_uri: str, folder: Path, key: str) -> Iterator[Gateway]:
    """A gateway that keeps one cursor for each caller."""
    with gateway(folder, configured(mongodb_uri, "[cursors]\nper_caller = 1\n")) as started:
        yield started


@pytest.mark.parametrize("client", CLIENTS)
async def test_closing_a_cursor_closes_it_on_the_gateway(
    client: Any, narrow: Gateway, key: str, names: tuple[str, str], stored: list[dict[str, Any]]
) -> None:
    target = {"dataSource": "Cluster0", "database": names[0], "collection": names[1]}

    def is_free() -> bool:
        response = narrow.post("find", target | {"sort": {"n": 1}, "batchSize": 2, "cursor": True}, key)
        if response.status_code != 200:
            assert "open cursors" in response.json()["error"]
            return False
        closed = narrow.post("find", target | {"cursor": response.json()["cursor"], "close": True}, key)
        assert (closed.status_code, closed.json()) == (200, {"documents": [], "cursor": None})
        return True

    sorted_by = collection(client, narrow.url, names, api_key=key)
    for end in ("close", "del", "limit"):
        until(is_free)
        cursor = sorted_by.find(batch_size=2, limit=6 if end == "limit" else 0).sort("n")
        first = await result(cursor.next())
        assert first["_id"] == 24
        if end == "limit":
            assert len(await result(cursor.to_list())) == 5
        else:
            assert not is_free()
            if end == "close":
                await result(cursor.close())
            del cursor
    until(is_free)


async def test_only_a_pages_cursor_can_be_closed(narrow: Gateway, key: str) -> None:
    target = {"dataSource": "Cluster0", "database": "app", "collection": "c", "close": True}
    for more, error_code in (
        ({}, "InvalidParameter"),
        ({"cursor": True}, "InvalidParameter"),
        ({"cursor": False}, "InvalidParameter"),
        ({"cursor": "x"}, "InvalidCursor"),
        ({"cursor": "x", "filter": {}}, "InvalidParameter"),
    ):
        response = narrow.post("find", target | more, key)
        assert (response.status_code, response.json()["error_code"]) == (400, error_code)


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_cursor_that_expired_is_not_found(
    client: Any, mongodb_uri: str, folder: Path, key: str, names: tuple[str, str], stored: list[dict[str, Any]]
) -> None:
    def delay_further_pages(_action: str, number: int, pass_on: Any) -> bytes:
        time.sleep(0.01 if number > 1 else 0)
        answer: bytes = pass_on()
        return answer

    expiring = configured(mongodb_uri, "[cursors]\nseconds = 0.001\n")
    with gateway(folder, expiring) as started, relay(started.url, delay_further_pages) as server:
        cursor = collection(client, server.url, names, api_key=key).find(batch_size=10)
        assert await result(cursor.next()) == stored[0]
        with pytest.raises(CursorNotFound, match="expired"):
            await result(cursor.to_list())
        assert not cursor.alive


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_server_that_ignores_pages_answers_the_whole_result(client: Any, names: tuple[str, str]) -> None:
    with canned(FOUND) as server:
        whole = collection(client, server.url, names)
        for _ in range(2):
            assert await result(whole.find(batch_size=1).to_list()) == [{"_id": 1}, {"_id": 2}]
        found = await result((await result(whole.aggregate([], batchSize=1))).to_list())
    assert found == [{"_id": 1}, {"_id": 2}]
    first, second, third = map(sent, server.requests)
    assert first == {"path": "find", "filter": {}, "cursor": True, "batchSize": 1}
    assert second == {"path": "find", "filter": {}}
    assert third == {"path": "aggregate", "pipeline": []}


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_server_that_rejects_pages_is_asked_once_what_it_has(client: Any, names: tuple[str, str]) -> None:
    with canned(REJECTED, ABSENT, FOUND) as server:
        whole = collection(client, server.url, names)
        for _ in range(3):
            assert await result(whole.find({"a": 1}).to_list()) == [{"_id": 1}, {"_id": 2}]
    requests = [sent(request) for request in server.requests]
    assert [request["path"] for request in requests] == ["find", "openapi.json", "find", "find", "find"]
    one = {"$numberInt": "1"}
    assert requests[0] == {"path": "find", "filter": {"a": one}, "cursor": True}
    assert requests[2:] == [{"path": "find", "filter": {"a": one}}] * 3


@pytest.mark.parametrize("client", CLIENTS)
async def test_an_error_of_a_server_with_pages_is_raised_as_it_is(
    client: Any, gateway_url: str, names: tuple[str, str]
) -> None:
    description = json.dumps(
        {
            "paths": {
                "/action/find": {
                    "post": {
                        "requestBody": {
                            "content": {"application/json": {"schema": {"properties": {"cursor": {}, "filter": {}}}}}
                        }
                    }
                }
            }
        }
    )
    answers = {"find": REJECTED, "openapi.json": answered("200 OK", description)}
    with canned(by_action=answers) as server:
        for _ in range(2):
            with pytest.raises(DataApiError, match="unknown field"):
                await result(collection(client, server.url, names).find().to_list())
    assert [sent(request)["path"] for request in server.requests] == ["find", "openapi.json"] * 2
    # A wrong key says nothing about pages.
    denied = answered("401 Unauthorized", '{"error": "no", "error_code": "InvalidSession"}')
    with canned(denied) as server:
        with pytest.raises(DataApiError, match="API_KEY"):
            await result(collection(client, server.url, names).find().to_list())
        assert len(server.requests) == 1


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_pipeline_that_writes_is_sent_once_and_without_pages(client: Any, names: tuple[str, str]) -> None:
    with canned(answered("200 OK", '{"documents": []}')) as server:
        cursor = await result(collection(client, server.url, names).aggregate([{"$out": "elsewhere"}], batchSize=5))
        assert await result(cursor.to_list()) == []
    assert list(map(sent, server.requests)) == [{"path": "aggregate", "pipeline": [{"$out": "elsewhere"}]}]


@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_gateway_has_in_another_form_is_named(client: Any, names: tuple[str, str]) -> None:
    found = collection(client, "http://127.0.0.1:1", names)
    with pytest.raises(NotImplementedError, match=r"AsyncMongoClient.*action transaction"):
        found.database.client.start_session()
    for watched in (found, found.database, found.database.client):
        with pytest.raises(NotImplementedError, match=r"AsyncMongoClient.*route watch"):
            watched.watch()
    with pytest.raises(NotImplementedError, match=r"AsyncMongoClient or MongoClient$"):
        found.create_index("a")


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_cursor_can_be_read_after_its_client_was_closed(
    client: Any, gateway_url: str, names: tuple[str, str], stored: list[dict[str, Any]]
) -> None:
    large = collection(client, gateway_url, names)
    cursor = large.find(batch_size=10)
    assert await result(cursor.next()) == stored[0]
    await result(large.database.client.close())
    assert await result(cursor.to_list()) == stored[1:]
