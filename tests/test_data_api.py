"""The Data API's client against servers of all kinds."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
from bson import ObjectId, json_util
from connect.eaas.mongodb import AsyncDataApiClient, DataApiClient, DataApiError
from pymongo import InsertOne
from pymongo.errors import AutoReconnect, BulkWriteError, DuplicateKeyError, NetworkTimeout, PyMongoError

from tests.servers import answered, canned, free_port, silent

KEY = "hunter2-hunter2"
STORED = answered("201 Created", '{"insertedId": {"$oid": "6193504e1be4ab27791c8133"}}')
FOUND = answered("200 OK", '{"document": {"_id": 1}}')
DUPLICATE = answered(
    "400 Bad Request",
    json.dumps(
        {
            "error": "E11000 duplicate key error collection: d.c index: _id_ dup key: { _id: 1 }",
            "error_code": "MongoDBError",
        }
    ),
)


def collection(url: str, **options: Any) -> Any:
    client = DataApiClient(url, api_key=KEY, data_source="Cluster0", **{"timeoutMS": 10_000, **options})
    return client["db"]["coll"]


def body(request: bytes) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(request.split(b"\r\n\r\n", 1)[1])
    return parsed


def test_a_request_is_the_data_apis() -> None:
    with canned(STORED) as server:
        inserted = collection(server.url + "/app/x/endpoint/data/v1/").insert_one({"a": 1, "b": [None, 2**40]})
    (request,) = server.requests
    head = request.split(b"\r\n\r\n")[0].lower().split(b"\r\n")
    assert request.startswith(b"POST /app/x/endpoint/data/v1/action/insertOne HTTP/1.1\r\n")
    assert f"api-key: {KEY}".encode() in head
    assert b"content-type: application/ejson" in head
    assert b"accept: application/ejson" in head
    assert body(request) == {
        "dataSource": "Cluster0",
        "database": "db",
        "collection": "coll",
        "document": {
            "_id": {"$oid": str(inserted.inserted_id)},
            "a": {"$numberInt": "1"},
            "b": [None, {"$numberLong": str(2**40)}],
        },
    }


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        (answered("200 OK", "<html><body>Welcome</body></html>"), 200, "Welcome"),
        (answered("201 Created", ""), 201, "empty"),
        (answered("201 Created", "{}"), 201, "insertedId"),
        (answered("201 Created", "[]"), 201, "not JSON"),
        (answered("500 Internal Server Error", "<h1>Oops</h1>"), 500, "Oops"),
        (answered("500 Internal Server Error", ""), 500, "no body"),
        (answered("500 X", '{"error": "broken", "error_code": "InternalServerError"}'), 500, "broken"),
        (answered("404 Not Found", "nothing here"), 404, "nothing here"),
        (answered("302 Found", "", "Location: https://elsewhere.example/\r\n"), 302, "elsewhere.example"),
        (answered("307 Temporary Redirect", "", "Location: /x\r\n"), 307, "redirects to /x"),
        (answered("401 Unauthorized", '{"error": "no", "error_code": "InvalidSession"}'), 401, "API_KEY"),
        (answered("403 Forbidden", '{"error": "no rights"}'), 403, "no rights"),
        (answered("200 OK", f'{{"error": "{KEY}"}}'), 200, "insertedId"),
        (answered("500 X", f'{{"error": "{KEY} is wrong"}}'), 500, "is wrong"),
    ],
)
def test_a_wrong_answer_is_a_data_api_error_and_not_asked_for_again(answer: bytes, status: int, says: str) -> None:
    with canned(answer) as server:
        with pytest.raises(DataApiError) as refused:
            collection(server.url).insert_one({})
        assert len(server.requests) == 1
    assert refused.value.status == status
    assert says in str(refused.value)
    assert f"HTTP {status}" in str(refused.value)
    assert "127.0.0.1" in str(refused.value)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    "answer",
    [
        answered("500 X", "x" * 190 + KEY),
        answered("200 OK", KEY * 4000),
        answered("500 X", json.dumps({"error": "e", "error_code": KEY, "code": 1, "details": {"sent": [KEY]}})),
        answered("302 Found", "", f"Location: https://x/{KEY}\r\n"),
        answered("400 X", json.dumps({"error": "\t" * 990 + KEY + " E11000", "code": 11000, "details": {KEY: 1}})),
    ],
)
def test_a_server_that_echoes_the_key_does_not_make_it_show(answer: bytes) -> None:
    for key in (KEY, 'hunter2"\\hunter2'):
        quoted = json.dumps(key)[1:-1]
        spoilt = answer.replace(KEY.encode(), quoted.encode())
        spoilt = spoilt.replace(b"Content-Length", b"X-Length")
        with canned(spoilt) as server:
            client = DataApiClient(server.url, api_key=key, data_source="Cluster0", timeoutMS=5000)
            for many in (False, True):
                with pytest.raises(PyMongoError) as refused:
                    client.d.c.insert_many([{}, {}]) if many else client.d.c.insert_one({})
                shown = f"{refused.value!r} {refused.value} {vars(refused.value)}"
                assert "hunter2" not in shown


@pytest.mark.parametrize(
    "written",
    ["hunter2\\/hunter2", "\\u0068unter2/hunter2", "hunter2%2Fhunter2", "hunter2/hunter2"],
)
def test_a_key_that_is_written_another_way_does_not_show_either(written: str) -> None:
    with canned(answered("500 X", f'{{"message": "key {written} is wrong"}}')) as server:
        with pytest.raises(DataApiError) as refused:
            DataApiClient(server.url, api_key="hunter2/hunter2", data_source="c").d.c.find_one({})
    assert "hunter2" not in str(refused.value)


def test_the_servers_word_for_the_error_is_kept() -> None:
    with canned(answered("401 X", '{"error": "no", "error_code": "InvalidSession"}')) as server:
        with pytest.raises(DataApiError) as refused:
            collection(server.url).find_one({})
    assert (refused.value.status, refused.value.error_code) == (401, "InvalidSession")


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        (None, None, "without a response"),
        (b"HTTP/1.1 201 Created\r\nContent-Le", None, "without a response"),
        (answered("201 Created", '{"insertedId": ', length=5000), 201, "truncated after 15 bytes"),
        (answered("429 Too Many Requests", '{"error": "slow down"}'), 429, "slow down"),
        (answered("503 Service Unavailable", "maintenance"), 503, "maintenance"),
        (answered("502 Bad Gateway", ""), 502, "no body"),
    ],
)
def test_an_insert_is_tried_three_times_where_that_is_safe(answer: bytes | None, status: int | None, says: str) -> None:
    with canned(answer) as server:
        with pytest.raises(DataApiError) as refused:
            collection(server.url).insert_one({"a": 1})
        assert len(server.requests) == 3
        # The same document each time, so that it cannot be stored twice.
        assert len({request.split(b"\r\n\r\n", 1)[1] for request in server.requests}) == 1
    assert refused.value.status == status
    assert says in str(refused.value)
    with canned(answer) as server:
        with pytest.raises(DataApiError):
            collection(server.url).insert_one({"_id": "my own"})
        with pytest.raises(DataApiError):
            collection(server.url, retryWrites=False).insert_one({})
        assert len(server.requests) == 2


@pytest.mark.parametrize("lost", [None, answered("201 Created", "{", length=9), answered("503 X"), answered("429 X")])
def test_a_document_that_the_lost_try_stored_is_not_a_duplicate(lost: bytes | None) -> None:
    with canned(lost, DUPLICATE, FOUND) as server:
        inserted = collection(server.url).insert_one({"a": 1})
        assert body(server.requests[2])["filter"] == {"_id": {"$oid": str(inserted.inserted_id)}}
        assert len(server.requests) == 3
    assert isinstance(inserted.inserted_id, ObjectId)


def test_a_duplicate_at_the_first_try_or_of_another_key_is_one() -> None:
    with canned(DUPLICATE) as server, pytest.raises(DuplicateKeyError):
        collection(server.url).insert_one({})
    other = answered("400 X", '{"error": "E11000 duplicate key error collection: d.c index: serial_1"}')
    nothing = answered("200 OK", '{"document": null}')
    for duplicate in (other, DUPLICATE):
        with canned(None, duplicate, nothing) as server, pytest.raises(DuplicateKeyError):
            collection(server.url).insert_one({})
    with canned(None, DUPLICATE, answered("403 X", '{"error": "no reading"}')) as server:
        with pytest.raises(AutoReconnect, match="check whether the document is stored failed"):
            collection(server.url).insert_one({})
    with canned(None, DUPLICATE) as server, pytest.raises(DataApiError):
        collection(server.url).insert_one({"_id": "my own"})


def test_a_batch_that_was_lost_is_asked_for_document_by_document() -> None:
    with canned(None, DUPLICATE, DUPLICATE, FOUND, STORED) as server:
        inserted = collection(server.url).insert_many([{"a": 1}, {"a": 2}])
        assert len(inserted.inserted_ids) == 2
        names = [request.split(b" ")[1].rsplit(b"/", 1)[1] for request in server.requests]
        assert names == [b"insertMany", b"insertMany", b"insertOne", b"findOne", b"insertOne"]
    with canned(DUPLICATE) as server, pytest.raises(BulkWriteError) as refused:
        collection(server.url).insert_many([{"a": 1}, {"a": 2}])
    assert refused.value.details["writeErrors"][0]["code"] == 11000


def test_a_server_says_when_to_come_again() -> None:
    with canned(answered("429 X", "", "Retry-After: 1\r\n"), STORED) as server:
        begun = time.monotonic()
        collection(server.url).insert_one({})
        assert time.monotonic() - begun >= 1
    # Not longer than the call may take.
    with canned(answered("503 X", "", "Retry-After: 3600\r\n"), STORED) as server, pytest.raises(DataApiError):
        collection(server.url, timeoutMS=2000).insert_one({})


@pytest.mark.parametrize("document", [{}, {"_id": "own"}])
def test_nobody_there_is_an_auto_reconnect_that_names_the_host(document: dict[str, Any]) -> None:
    port = free_port()
    with pytest.raises(AutoReconnect, match=rf"127\.0\.0\.1:{port}") as refused:
        collection(f"http://127.0.0.1:{port}").insert_one(document)
    assert "DATA_API_ENDPOINT" in str(refused.value)
    with pytest.raises(AutoReconnect, match=r"nowhere\.invalid"):
        collection("http://nowhere.invalid").insert_one(document)


def test_no_answer_in_time_is_a_network_timeout() -> None:
    with silent() as port:
        begun = time.monotonic()
        with pytest.raises(NetworkTimeout, match=r"within 0\.4 s"):
            collection(f"http://127.0.0.1:{port}", timeoutMS=400).insert_one({})
        assert time.monotonic() - begun < 5


def certificates(folder: Path) -> tuple[Path, ssl.SSLContext, trustme.LeafCert]:
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    leaf.configure_cert(context)
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return ca_file, context, leaf


async def test_tls_trusts_ssl_cert_file_and_speaks_http_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    ca_file, _, leaf = certificates(tmp_path)
    leaf.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    versions: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        versions.append(scope["http_version"])
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", b"application/ejson")]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"insertedId": 1, "insertedIds": []}'})

    config = Config()
    port = free_port()
    config.bind = [f"127.0.0.1:{port}"]
    config.certfile = config.keyfile = str(tmp_path / "server.pem")
    config.errorlog = None
    stop = asyncio.Event()
    server = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait))
    try:
        await _listening(port)
        url = f"https://localhost:{port}"
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        stranger = AsyncDataApiClient(url, api_key=KEY, data_source="c", timeoutMS=5000)
        with pytest.raises(AutoReconnect, match=r"(?i)certificate"):
            await stranger.d.c.insert_one({})
        monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
        client = AsyncDataApiClient(url, api_key=KEY, data_source="c", timeoutMS=5000)
        await asyncio.gather(*(client.d.c.insert_one({"_id": n}) for n in range(20)))
        await asyncio.gather(*(client.d.c.insert_one({}) for _ in range(20)))
        assert set(versions) == {"2"}
        assert len(versions) > 20
    finally:
        stop.set()
        await server


async def _listening(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            await writer.wait_closed()
            return
    raise AssertionError("the server did not start")


def test_a_proxy_variable_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    with canned(STORED) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        collection("http://data.example.invalid/v1").insert_one({})
        assert proxy.requests[0].startswith(b"POST http://data.example.invalid/v1/action/insertOne")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with canned(STORED) as server:
            collection(server.url).insert_one({})
            assert len(server.requests) == 1


def test_connections_are_kept(gateway_url: str, names: tuple[str, str]) -> None:
    import psutil

    from tests.conftest import API_KEY

    client = DataApiClient(gateway_url, api_key=API_KEY, data_source="c")
    port = int(gateway_url.rsplit(":", 1)[1])

    def connections() -> int:
        open_now = psutil.Process().net_connections()
        return len([c for c in open_now if c.raddr and c.raddr.port == port and c.status == "ESTABLISHED"])

    client[names[0]][names[1]].insert_one({})
    before = connections()
    for _ in range(20):
        client[names[0]][names[1]].insert_one({})
    assert connections() <= before


@pytest.mark.parametrize(
    "arguments",
    [{"comment": "x"}, {"session": object()}, {"bypass_document_validation": True}],
)
def test_what_the_data_api_lacks_is_named(arguments: dict[str, Any]) -> None:
    with pytest.raises(NotImplementedError, match=next(iter(arguments))):
        collection("http://127.0.0.1:1").insert_one({}, **arguments)


NO_DESCRIPTION = answered("404 Not Found", '{"error": "no such path"}')


@pytest.mark.parametrize(
    ("call", "missing"),
    [
        (lambda c: c.find_one({}, sort=[("a", 1)]), "sort of findOne"),
        (lambda c: c.find({}, hint="a_1").to_list(), "hint of find"),
        (lambda c: c.update_one({}, {"$set": {"a": 1}}, collation={"locale": "en"}), "collation of updateOne"),
        (lambda c: c.delete_many({}, let={"a": 1}), "let of deleteMany"),
        (lambda c: c.count_documents({}), "countDocuments"),
        (lambda c: c.estimated_document_count(), "estimatedDocumentCount"),
        (lambda c: c.distinct("a"), "distinct"),
        (lambda c: c.find_one_and_delete({}), "findOneAndDelete"),
        (lambda c: c.bulk_write([InsertOne({})]), "bulkWrite"),
    ],
)
@pytest.mark.parametrize(
    "answer",
    [NO_DESCRIPTION, answered("200 OK", "<html>"), answered("200 OK", '{"paths": {"/action/find": 1}}')],
)
def test_what_the_server_lacks_is_named_and_not_sent(answer: bytes, call: Any, missing: str) -> None:
    with canned(answer) as server:
        asked = collection(server.url)
        for _ in range(2):
            with pytest.raises(NotImplementedError, match=f"has no {missing}: leave it out, use a gateway that has it"):
                call(asked)
        # It was asked once.
        assert len(server.requests) == 1


def test_a_server_that_cannot_say_what_it_has_is_asked_again() -> None:
    with canned(answered("503 Service Unavailable", "")) as server:
        asked = collection(server.url, retryWrites=False)
        for _ in range(2):
            with pytest.raises(AutoReconnect, match=r"could not be asked what it has \(HTTP 503"):
                asked.count_documents({})
        assert len(server.requests) == 2
    with canned(None, NO_DESCRIPTION) as server:
        with pytest.raises(NotImplementedError, match="countDocuments"):
            collection(server.url).count_documents({})
        assert len(server.requests) == 2


def test_what_all_servers_have_is_not_asked_for() -> None:
    with canned(answered("200 OK", '{"matchedCount": 1, "modifiedCount": 1}')) as server:
        collection(server.url).update_one({}, {"$set": {"a": 1}}, upsert=True)
        assert len(server.requests) == 1


def test_relaxed_answers_are_read_too() -> None:
    answer = {"document": {"_id": 1, "n": 1.5, "d": {"$date": "2020-01-01T00:00:00Z"}, "l": 2**40}}
    with canned(answered("200 OK", json.dumps(answer))) as server:
        found = collection(server.url).find_one({"a": {"$gt": 1}})
    assert found == json_util.loads(json.dumps(answer["document"]), json_options=json_util.JSONOptions(tz_aware=False))
