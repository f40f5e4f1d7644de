"""The gateway's results in pages and as NDJSON, and the time limit of responses that have begun."""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from bson import Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp, json_util

from tests.gateways import Gateway, configured, create_key, gateway, raw_request, section, until
from tests.wiretap import wiretap

DATABASE = "app"
NDJSON = "application/x-ndjson"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cursors")


@pytest.fixture(scope="module")
def keys(folder: Path) -> dict[str, str]:
    keys = {name: create_key(folder, name, f"*/{DATABASE}/*") for name in ("one", "other", "many")}
    for name, rule in (("reader", None), ("ruled", {"n": 3})):
        keys[name] = create_key(folder, name, f"*/{DATABASE}/paged", rights="read", rule=rule)
    return keys


@pytest.fixture(scope="module")
def running(mongodb_uri: str, folder: Path, keys: dict[str, str]) -> Iterator[Gateway]:
    limits = "[cursors]\nper_caller = 3\n[limits]\ndocuments = 500"
    with gateway(folder, configured(mongodb_uri, limits)) as started:
        yield started


@pytest.fixture(scope="module")
def another(mongodb_uri: str, folder: Path, running: Gateway) -> Iterator[Gateway]:
    """Another instance, with the same key file."""
    with gateway(folder, configured(mongodb_uri, "[cursors]\nseconds = 0.001")) as started:
        yield started


@pytest.fixture(scope="module")
def paged(pymongo_client: Any) -> list[dict[str, Any]]:
    """A collection with 250 documents, in an order that is not that of `_id`."""
    documents = [{"_id": (number * 7) % 250, "n": number % 10} for number in range(250)]
    collection = pymongo_client[DATABASE]["paged"]
    collection.delete_many({})
    collection.insert_many(documents)
    return documents


def target(collection: str = "paged", **more: Any) -> dict[str, Any]:
    return {"dataSource": "Cluster0", "database": DATABASE, "collection": collection} | more


def pages(running: Gateway, key: str, action: str, request: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Read all pages."""
    read = []
    cursor: Any = True
    while cursor is not None:
        request = request | {"cursor": True} if cursor is True else target(request["collection"], cursor=cursor)
        response = running.post(action, request, key)
        assert response.status_code == 200, response.text
        read.append(response.json()["documents"])
        cursor = response.json()["cursor"]
    return read


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"sort": {"_id": 1}},
        {"sort": {"_id": -1}},
        {"filter": {"n": {"$lt": 5}}, "projection": {"n": 1}},
        {"skip": 30, "limit": 75},
        {"limit": 100},
        {"limit": 40},
        {"filter": {"n": 77}},
        # These are kept open by the gateway.
        {"sort": {"n": 1, "_id": 1}},
        {"sort": {"n": -1, "_id": 1}, "skip": 30, "limit": 75},
        {"projection": {"_id": 0, "n": 1}, "sort": {"_id": 1}},
    ],
)
def test_the_pages_of_find_are_the_result(
    running: Gateway, keys: dict[str, str], paged: list[Any], query: dict[str, Any]
) -> None:
    read = pages(running, keys["one"], "find", target(batchSize=50, **query))
    # Without an order, more documents than those of a page are in the order of `_id`.
    order = {"sort": {"_id": 1}} if len(read) > 1 else {}
    complete = running.post("find", target(**order | query), keys["one"]).json()["documents"]
    assert [document for page in read for document in page] == complete
    assert all(len(page) <= 50 for page in read)
    assert len(read) == 1 if len(complete) < 50 else len(read) >= 2


def test_the_pages_of_aggregate_are_the_result(running: Gateway, keys: dict[str, str], paged: list[Any]) -> None:
    pipeline = [{"$sort": {"n": 1, "_id": -1}}, {"$project": {"n": 1}}]
    read = pages(running, keys["one"], "aggregate", target(batchSize=60, pipeline=pipeline))
    complete = running.post("aggregate", target(pipeline=pipeline), keys["one"]).json()["documents"]
    assert [document for page in read for document in page] == complete
    assert [len(page) for page in read][:4] == [60, 60, 60, 60]


def test_ids_of_all_types_are_paged_in_order(running: Gateway, keys: dict[str, str], pymongo_client: Any) -> None:
    ids: list[Any] = [
        MinKey(),
        None,
        float("nan"),
        float("-inf"),
        -5,
        Int64(2**40),
        1.5,
        Decimal128("2.5"),
        "",
        "a",
        "b",
    ]
    ids += [{}, {"a": 1}, {"a": "x"}, b"", b"xy", ObjectId(b"\0" * 12), ObjectId(), False, True]
    ids += [json_util.loads('{"$date": 0}'), Timestamp(1, 1), MaxKey()]
    collection = pymongo_client[DATABASE]["typed"]
    collection.delete_many({})
    collection.insert_many([{"_id": identity, "at": place} for place, identity in enumerate(ids)])
    for direction in (1, -1):
        query = target("typed", batchSize=1, sort={"_id": direction}, projection={"at": 1})
        expected = [document["at"] for document in collection.find({}, {"at": 1}).sort("_id", direction)]
        read = [document["at"] for page in pages(running, keys["one"], "find", query) for document in page]
        assert read == expected
    assert len(expected) == len(ids)


def test_a_view_without_unique_ids_is_paged_by_a_kept_cursor(
    running: Gateway, keys: dict[str, str], pymongo_client: Any
) -> None:
    database = pymongo_client[DATABASE]
    database.drop_collection("unwound")
    database.drop_collection("lists")
    database["lists"].insert_many([{"_id": number, "items": [1, 2, 3]} for number in range(4)])
    database.create_collection("unwound", viewOn="lists", pipeline=[{"$unwind": "$items"}])
    for query in ({}, {"sort": {"_id": 1}}, {"sort": {"items": 1, "_id": 1}}):
        for size in (2, 3, 4, 7):
            read = pages(running, keys["one"], "find", target("unwound", batchSize=size, **query))
            assert sum(len(page) for page in read) == 12, (query, size)


def test_a_result_that_fits_a_page_is_not_sorted(
    running: Gateway, keys: dict[str, str], paged: list[Any], pymongo_client: Any
) -> None:
    natural = [document["_id"] for document in pymongo_client[DATABASE]["paged"].find()]
    assert natural != sorted(natural)
    (page,) = pages(running, keys["one"], "find", target())
    assert [document["_id"] for document in page] == natural
    (page,) = pages(running, keys["one"], "find", target(limit=10))
    assert [document["_id"] for document in page] == natural[:10]
    (page,) = pages(running, keys["one"], "find", target(sort={"_id": 1}))
    assert [document["_id"] for document in page] == sorted(natural)
    (page,) = pages(running, keys["one"], "find", target(filter={"_id": -1}))
    assert page == []


def test_each_page_is_for_the_caller_and_the_collection_of_the_first(
    running: Gateway, keys: dict[str, str], paged: list[Any]
) -> None:
    queries: list[dict[str, Any]] = [{}, {"sort": {"n": 1}}]
    for query in queries:
        cursor = running.post("find", target(cursor=True, batchSize=10, **query), keys["one"]).json()["cursor"]
        for key, action, request in [
            (keys["other"], "find", target(cursor=cursor)),
            (keys["one"], "aggregate", target(cursor=cursor)),
            (keys["one"], "find", target("other", cursor=cursor)),
            (keys["one"], "find", target(cursor=cursor[:-4])),
            (keys["one"], "find", target(cursor="A" + cursor[1:])),
            (keys["one"], "find", target(cursor="x")),
            (keys["one"], "find", target(cursor="")),
        ]:
            response = running.post(action, request, key)
            assert (response.status_code, response.json()["error_code"]) == (400, "InvalidCursor"), request
            assert "run the query again" in response.json()["error"]
        # It is not used up by them.
        assert len(running.post("find", target(cursor=cursor), keys["one"]).json()["documents"]) == 10


def test_a_token_has_nothing_to_read(running: Gateway, keys: dict[str, str], paged: list[Any]) -> None:
    query = target(cursor=True, batchSize=10, filter={"secret": {"$ne": "a-secret-value"}})
    first, second = (running.post("find", query, keys["one"]).json()["cursor"] for _ in range(2))
    assert first != second
    padded = first + "=" * (-len(first) % 4)
    assert b"secret" not in base64.urlsafe_b64decode(padded)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"cursor": 1}, "'cursor'"),
        ({"cursor": {}}, "'cursor'"),
        ({"cursor": True, "batchSize": 0}, "'batchSize'"),
        ({"cursor": True, "batchSize": -1}, "'batchSize'"),
        ({"cursor": True, "batchSize": 501}, "from 1 to 500"),
        ({"cursor": True, "batchSize": 1.5}, "'batchSize'"),
        ({"cursor": True, "batchSize": "10"}, "'batchSize'"),
        ({"cursor": "x", "filter": {}}, "with the 'cursor' of a page"),
    ],
)
def test_invalid_pages_are_rejected(running: Gateway, keys: dict[str, str], more: dict[str, Any], named: str) -> None:
    response = running.post("find", target(**more), keys["one"])
    assert (response.status_code, response.json()["error_code"]) == (400, "InvalidParameter")
    assert named in response.json()["error"]


def test_a_pipeline_that_writes_has_no_pages(running: Gateway) -> None:
    with running.temporary_key("out", "*", rights="read,write,out") as key:
        response = running.post("aggregate", target(cursor=True, pipeline=[{"$out": "elsewhere"}]), key)
    assert response.status_code == 400
    assert "leave out 'cursor'" in response.json()["error"]


def test_kept_cursors_are_for_one_page_and_their_number_is_limited(
    running: Gateway, keys: dict[str, str], paged: list[Any]
) -> None:
    query = target(cursor=True, batchSize=100, sort={"n": 1})
    cursors = [running.post("find", query, keys["many"]).json()["cursor"] for _ in range(3)]
    refused = running.post("find", query, keys["many"])
    assert (refused.status_code, refused.json()["error_code"]) == (429, "TooManyRequests")
    assert "the caller has 3 open cursors" in refused.json()["error"]
    # Others have places of their own, and pages by `_id` need none.
    assert running.post("find", query, keys["other"]).status_code == 200
    assert running.post("find", target(cursor=True), keys["many"]).status_code == 200
    after = running.post("find", target(cursor=cursors[0]), keys["many"]).json()["cursor"]
    again = running.post("find", target(cursor=cursors[0]), keys["many"])
    assert again.json()["error_code"] == "InvalidCursor"
    assert "already used" in again.json()["error"]
    while after is not None:
        after = running.post("find", target(cursor=after), keys["many"]).json()["cursor"]
    # A cursor that was read to its end leaves its place.
    assert running.post("find", query, keys["many"]).status_code == 200


def test_instances_share_the_pages_by_id(
    running: Gateway, another: Gateway, keys: dict[str, str], paged: list[Any]
) -> None:
    first = running.post("find", target(cursor=True, batchSize=100), keys["one"]).json()
    second = another.post("find", target(cursor=first["cursor"]), keys["one"]).json()
    assert [document["_id"] for document in second["documents"]] == list(range(100, 200))
    # Its tokens expire within a millisecond.
    expired = another.post("find", target(cursor=second["cursor"]), keys["one"])
    assert (expired.status_code, expired.json()["error_code"]) == (400, "InvalidCursor")
    assert "has expired" in expired.json()["error"]
    kept = running.post("find", target(cursor=True, sort={"n": 1}, batchSize=100), keys["one"]).json()["cursor"]
    elsewhere = another.post("find", target(cursor=kept), keys["one"])
    assert elsewhere.json()["error_code"] == "InvalidCursor"
    assert "another instance" in elsewhere.json()["error"]


def test_permissions_are_checked_for_each_page(running: Gateway, keys: dict[str, str], paged: list[Any]) -> None:
    queries: list[dict[str, Any]] = [{}, {"sort": {"n": 1}}]
    cursors = [
        running.post("find", target(cursor=True, batchSize=10, **query), keys["reader"]).json()["cursor"]
        for query in queries
    ]
    with running.changed_keys('collection = "paged"', 'collection = "elsewhere"'):
        for cursor in cursors:
            response = running.post("find", target(cursor=cursor), keys["reader"])
            assert (response.status_code, response.json()["error_code"]) == (403, "NoMatchingRuleFound")


def test_a_rule_applies_to_each_page_and_line(running: Gateway, keys: dict[str, str], paged: list[Any]) -> None:
    queries: list[dict[str, Any]] = [{}, {"sort": {"n": 1, "_id": 1}}]
    for query in queries:
        read = pages(running, keys["ruled"], "find", target(batchSize=10, **query))
        assert [document["n"] for page in read for document in page] == [3] * 25
    read = pages(running, keys["ruled"], "aggregate", target(batchSize=10, pipeline=[{"$sort": {"_id": 1}}]))
    assert [document["n"] for page in read for document in page] == [3] * 25
    lines = running.post("find", target(), keys["ruled"], accept=NDJSON).text.splitlines()
    assert [json.loads(line)["n"] for line in lines] == [3] * 25


def test_a_changed_rule_ends_a_kept_cursor(running: Gateway, keys: dict[str, str], paged: list[Any]) -> None:
    query = target(cursor=True, batchSize=10)
    by_id = running.post("find", query, keys["ruled"]).json()["cursor"]
    kept = running.post("find", query | {"sort": {"n": 1}}, keys["ruled"]).json()["cursor"]
    with running.changed_keys('{"n":{"$eq":3}}', '{"n":{"$eq":4}}'):
        # A new query has the new rule.
        documents = running.post("find", target(cursor=by_id), keys["ruled"]).json()["documents"]
        assert {document["n"] for document in documents} == {4}
        ended = running.post("find", target(cursor=kept), keys["ruled"])
        assert (ended.status_code, ended.json()["error_code"]) == (400, "InvalidCursor")
        assert "other permissions" in ended.json()["error"]


def test_the_request_of_the_documentation_is_answered_in_pages(
    running: Gateway, keys: dict[str, str], pymongo_client: Any
) -> None:
    text = section("How do I read a large result?")
    request = json.loads(re.findall(r"-d '(.*)'", text)[0]) | {"database": DATABASE}
    collection = pymongo_client[DATABASE][request["collection"]]
    collection.delete_many({})
    collection.insert_many([{"_id": number, "status": "open"} for number in range(1001)])
    assert [len(read) for read in pages(running, keys["one"], "find", request)] == [500, 500, 1]


@pytest.mark.parametrize(
    ("accept", "written"),
    [
        (NDJSON, {"_id": 5, "n": 5, "at": {"$date": "1970-01-01T00:00:00Z"}}),
        (f"{NDJSON}; format=relaxed", {"_id": 5, "n": 5, "at": {"$date": "1970-01-01T00:00:00Z"}}),
        (f"{NDJSON};format=plain", {"_id": 5, "n": 5, "at": "1970-01-01T00:00:00Z"}),
        (
            f"application/json;q=0.5, {NDJSON};format=canonical",
            {"_id": {"$numberInt": "5"}, "n": {"$numberInt": "5"}, "at": {"$date": {"$numberLong": "0"}}},
        ),
    ],
)
def test_ndjson_has_a_document_per_line(
    running: Gateway, keys: dict[str, str], pymongo_client: Any, accept: str, written: dict[str, Any]
) -> None:
    collection = pymongo_client[DATABASE]["lines"]
    collection.delete_many({})
    collection.insert_many([{"_id": n, "n": n, "at": json_util.loads('{"$date": 0}')} for n in range(300)])
    queries: dict[str, dict[str, Any]] = {
        "find": {"sort": {"_id": 1}},
        "aggregate": {"pipeline": [{"$sort": {"_id": 1}}]},
    }
    for action, query in queries.items():
        response = running.post(action, target("lines", **query), keys["one"], accept=accept)
        assert (response.status_code, response.headers["content-type"]) == (200, NDJSON)
        lines = [json.loads(line) for line in response.text.split("\n")[:-1]]
        assert len(lines) == 300
        assert lines[5] == written
        assert response.text.endswith("}\n")


def test_ndjson_of_nothing_is_empty(running: Gateway, keys: dict[str, str]) -> None:
    response = running.post("find", target(filter={"none": 1}), keys["one"], accept=NDJSON)
    assert (response.status_code, response.content) == (200, b"")


def test_errors_before_the_first_line_are_json(running: Gateway, keys: dict[str, str], paged: list[Any]) -> None:
    for request, accept, status in [
        (target(filter={"$unknown": 1}), NDJSON, 400),
        (target("x", database="admin"), NDJSON, 403),
        (target(cursor=True), NDJSON, 400),
        (target(), f"{NDJSON};format=xml", 400),
    ]:
        response = running.post("find", request, keys["one"], accept=accept)
        assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
        assert response.json()["error"]
    # Actions without documents have one response.
    response = running.post("findOne", target(), keys["one"], accept=NDJSON)
    assert response.headers["content-type"] == "application/json"


def test_ndjson_that_breaks_off_is_aborted(running: Gateway, keys: dict[str, str], pymongo_client: Any) -> None:
    collection = pymongo_client[DATABASE]["too_many"]
    collection.delete_many({})
    collection.insert_many([{"n": n} for n in range(600)])
    with pytest.raises(httpx.RemoteProtocolError):
        running.post("find", target("too_many"), keys["one"], accept=NDJSON)


def test_ndjson_is_refused_where_its_end_could_not_be_told(running: Gateway, keys: dict[str, str]) -> None:
    body = json.dumps(target()).encode()
    with socket.create_connection(running.address, 10) as wire:
        wire.sendall(raw_request("find", keys["one"], body, f"Accept: {NDJSON}", version="1.0"))
        response = b"".join(iter(lambda: wire.recv(65536), b""))
    assert b" 400 " in response.split(b"\r\n")[0]
    assert b"requires HTTP/1.1" in response


def test_a_change_stream_has_no_end_and_no_response(running: Gateway) -> None:
    with running.temporary_key("stats", "*", rights="read,stats") as key:
        response = running.post("aggregate", target(pipeline=[{"$changeStream": {}}]), key)
    assert (response.status_code, response.json()["error_code"]) == (400, "InvalidParameter")
    assert "/watch" in response.json()["error"]


@pytest.mark.parametrize(
    ("accept", "limits"),
    [
        # Long enough for the first documents to come.
        ("application/json", "request_seconds = 2"),
        (NDJSON, "request_seconds = 20\nexport_seconds = 2"),
    ],
)
def test_a_response_that_takes_too_long_is_aborted(
    mongodb_port: int, tmp_path: Path, pymongo_client: Any, accept: str, limits: str
) -> None:
    key = create_key(tmp_path, "k")
    collection = pymongo_client[DATABASE]["large"]
    collection.delete_many({})
    collection.insert_many([{"text": "x" * 100_000} for _ in range(250)])
    configuration = f"[limits]\n{limits}"
    with wiretap(mongodb_port) as tap, gateway(tmp_path, configured(tap.uri, configuration)) as started:
        body = json.dumps(target("large")).encode()
        with socket.socket() as wire:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            wire.settimeout(20)
            wire.connect(started.address)
            wire.sendall(raw_request("find", key, body, f"Accept: {accept}"))
            # The client reads so slowly that the time is over before the end.
            response = wire.recv(1000)
            until(lambda: tap.commands("killCursors"))
            response += b"".join(iter(lambda: wire.recv(1 << 20), b""))
        assert response.startswith(b"HTTP/1.1 200")
        assert not response.endswith(b"0\r\n\r\n")
        line = started.logged(lambda line: line.get("action") == "find")
        assert (line["status"], line["error_code"]) == (200, "ExecutionTimeLimitExceeded")
