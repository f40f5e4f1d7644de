"""Whole applications, written for Motor and for PyMongo: as they are, and with nothing but their imports changed."""

from __future__ import annotations

import asyncio
import copy
import importlib.util
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from bson import ObjectId
from pymongo import MongoClient as PyMongoClient
from pymongo.errors import AutoReconnect, DuplicateKeyError, InvalidOperation

from tests.apps import HERE, moved, replacements, without_imports
from tests.servers import secantusdb

# Whether the applications run on this package too.
OURS = True

LIBRARIES = ["motor", "pymongo"]
VARIANTS = [*LIBRARIES, *([f"{library}-moved" for library in LIBRARIES] if OURS else [])]

SAMPLES = Path(__file__).parents[1] / "demo" / "samples"
LOGGER = logging.getLogger("tests.apps")

ORDER: dict[str, Any] = {
    "marketplace": "MP-71206",
    "customer": {"id": "TA-8757-7142-2923", "name": "Ünï & Söhne"},
    "lines": [{"sku": "SEATS", "quantity": 3, "price": 10.5}, {"sku": "STORAGE", "quantity": 1, "price": 99.0}],
}


def load(kind: str, variant: str, directory: Path) -> ModuleType:
    """Import an application, `web` or `events`, as it is or moved."""
    library, _, is_moved = variant.partition("-")
    source = (HERE / f"{kind}_{library}.py").read_text(encoding="utf-8")
    # Hypothesis draws the constants of imported modules, but for those in a folder of this name.
    (directory / "tests").mkdir(exist_ok=True)
    path = directory / "tests" / f"app_{kind}_{variant.replace('-', '_')}.py"
    path.write_text(moved(source) if is_moved else source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # FastAPI looks an annotation's names up there.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def settings(mongodb_uri: str, names: tuple[str, str]) -> dict[str, str]:
    """The variables of an application with a database of its own."""
    return {"MONGODB_URI": mongodb_uri, "DB": f"{names[0]}_{names[1]}"}


@pytest.fixture
def database(pymongo_client: PyMongoClient[dict[str, Any]], settings: dict[str, str]) -> Iterator[Any]:
    """That database, read by PyMongo."""
    yield pymongo_client[settings["DB"]]
    pymongo_client.drop_database(settings["DB"])


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """A MongoDB that can be told to drop connections: its URI, and how to tell it."""
    with secantusdb(0, str(tmp_path_factory.mktemp("failing")), "--enable-test-commands") as (_, port):
        admin: PyMongoClient[dict[str, Any]]
        with PyMongoClient("127.0.0.1", port) as admin:

            def drop(command: str, times: int) -> None:
                data = {"failCommands": [command], "closeConnection": True}
                admin.admin.command({"configureFailPoint": "failCommand", "mode": {"times": times}, "data": data})

            yield f"mongodb://127.0.0.1:{port}/", drop


def test_nothing_but_imports_changes() -> None:
    for path in (HERE / f"{kind}_{library}.py" for kind in ("web", "events") for library in LIBRARIES):
        source = path.read_text(encoding="utf-8")
        changed = moved(source)
        assert without_imports(changed) == without_imports(source)
        assert "import AsyncIOMotor" not in changed
        assert "from motor" not in changed
        assert "pymongo.asynchronous" not in changed
        assert "from connect.eaas.mongodb import" in changed
    assert ("gridfs", "AsyncGridFSBucket") in replacements()


# The web application


@asynccontextmanager
async def running(module: ModuleType, settings: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """The application from its start to its end, and a client of it."""
    app = module.create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://connect/api") as client:
            yield client


@pytest.fixture
def web_module(variant: str, tmp_path: Path) -> ModuleType:
    return load("web", variant, tmp_path)


@pytest.fixture
async def web(web_module: ModuleType, settings: dict[str, str], database: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with running(web_module, settings) as client:
        yield client


async def created(web: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await web.post("/orders", json={**ORDER, **fields})
    assert answer.status_code == 201, answer.text
    order: dict[str, Any] = answer.json()
    return order


async def stock(web: httpx.AsyncClient) -> dict[str, int]:
    return {f"{row['sku']}@{row['warehouse']}": row["quantity"] for row in (await web.get("/stock")).json()}


async def filled(web: httpx.AsyncClient, **quantities: int) -> None:
    changes = [{"action": "new", "sku": "SEATS", "warehouse": name, "quantity": n} for name, n in quantities.items()]
    assert (await web.post("/stock/import", json=changes)).status_code == 200


async def test_an_order_lives(web: httpx.AsyncClient, database: Any) -> None:
    order = await created(web)
    assert ObjectId.is_valid(order["id"])
    assert {key: order[key] for key in ("number", "status", *ORDER)} == {
        "number": "ORD-00001",
        "status": "draft",
        **ORDER,
    }
    assert order["created"].endswith("+00:00")
    assert (await web.get(f"/orders/{order['id']}")).json() == order

    changed = (await web.patch(f"/orders/{order['id']}", json={"note": "soon"})).json()
    assert changed["note"] == "soon"
    assert "created" not in changed
    assert changed["updated"].endswith("+00:00")
    answer = await web.put(f"/orders/{order['id']}/lines/STORAGE", params={"quantity": 7})
    assert answer.json() == {"matched": 1, "modified": 1}
    answer = await web.put(f"/orders/{order['id']}/lines/OTHER", params={"quantity": 7})
    assert answer.json() == {"matched": 1, "modified": 0}
    assert [line["quantity"] for line in database.orders.find_one()["lines"]] == [3, 7]

    assert (await web.delete(f"/orders/{order['id']}")).status_code == 204
    assert (await web.delete(f"/orders/{order['id']}")).status_code == 404
    assert (await web.get(f"/orders/{order['id']}")).status_code == 404
    assert (await web.get("/orders/no-object-id")).status_code == 400
    assert database.orders.count_documents({}) == 0


async def test_pages_of_orders(web: httpx.AsyncClient) -> None:
    await created(web, marketplace="MP-0", customer={"id": "TA-0"})
    await asyncio.gather(
        *(created(web, marketplace=f"MP-{n % 2}", customer={"id": f"TA-{n % 3}"}) for n in range(1, 7))
    )
    page = (await web.get("/orders", params={"skip": 2, "limit": 3})).json()
    assert page["total"] == 7
    assert [order["number"] for order in page["items"]] == ["ORD-00003", "ORD-00004", "ORD-00005"]
    assert all("lines" not in order for order in page["items"])
    page = (await web.get("/orders", params={"marketplace": "MP-1", "order_by": "-number"})).json()
    assert page["total"] == 3
    numbers = [order["number"] for order in page["items"]]
    assert numbers == sorted(numbers, reverse=True)
    assert (await web.get("/orders/customers", params={"marketplace": "MP-1"})).json() == ["TA-0", "TA-1", "TA-2"]
    lines = [json.loads(line) for line in (await web.get("/orders/export")).text.splitlines()]
    assert [line["number"] for line in lines] == [f"ORD-{n:05}" for n in range(1, 8)]
    assert all("$oid" in line["_id"] for line in lines)


async def test_what_is_refused_has_its_status(web: httpx.AsyncClient) -> None:
    await created(web, number="A-1")
    answer = await web.post("/orders", json={**ORDER, "number": "A-1"})
    assert (answer.status_code, answer.json()) == (409, {"code": 11000, "duplicate": {"number": "A-1"}})
    none_of_it = {**ORDER["lines"][0], "quantity": 0}
    for field, value in (("status", "lost"), ("lines", []), ("lines", [none_of_it])):
        answer = await web.post("/orders", json={**ORDER, field: value})
        assert (answer.status_code, answer.json()) == (422, {"code": 121, "why": True})
    order = await created(web)
    answer = await web.put(f"/orders/{order['id']}/lines/SEATS", params={"quantity": -1})
    assert (answer.status_code, answer.json()["code"]) == (422, 121)
    assert (await web.get("/orders")).json()["total"] == 2


async def test_revenue_is_reported(web: httpx.AsyncClient) -> None:
    await created(web, marketplace="MP-1")
    await created(web, marketplace="MP-1", lines=[{"sku": "SEATS", "quantity": 2, "price": 5.0}])
    await created(web, marketplace="MP-2", lines=[{"sku": "SEATS", "quantity": 2, "price": 400.25}])
    await created(web, marketplace="MP-3", status="failed")
    answer = await web.get("/orders/revenue")
    assert answer.json() == [
        {"marketplace": "MP-2", "revenue": 800.5, "orders": 1},
        {"marketplace": "MP-1", "revenue": 140.5, "orders": 2},
    ]
    assert [row["marketplace"] for row in (await web.get("/orders/revenue", params={"least": 200})).json()] == ["MP-2"]


async def test_stock_is_imported_in_bulk(web: httpx.AsyncClient) -> None:
    changes = [
        {"action": "new", "sku": "SEATS", "warehouse": "A", "quantity": 5},
        {"action": "add", "sku": "SEATS", "warehouse": "A", "quantity": 2},
        {"action": "add", "sku": "SEATS", "warehouse": "B", "quantity": 1},
        {"action": "new", "sku": "OLD", "warehouse": "A"},
        {"action": "remove", "sku": "OLD", "warehouse": "A"},
    ]
    answer = await web.post("/stock/import", json=changes)
    assert (answer.status_code, answer.json()) == (
        200,
        {"inserted": 2, "modified": 1, "deleted": 1, "upserted": 1, "upserted_lines": [2], "errors": []},
    )
    assert await stock(web) == {"SEATS@A": 7, "SEATS@B": 1}

    changes = [
        {"action": "new", "sku": "STORAGE", "warehouse": "A", "quantity": 1},
        {"action": "new", "sku": "SEATS", "warehouse": "A", "quantity": 1},
        {"action": "add", "sku": "SEATS", "warehouse": "B", "quantity": 1},
    ]
    answer = await web.post("/stock/import", json=changes)
    assert (answer.status_code, answer.json()) == (
        207,
        {"inserted": 1, "modified": 0, "deleted": 0, "upserted": 0, "errors": [{"line": 1, "code": 11000}]},
    )
    answer = await web.post("/stock/import", params={"ordered": False}, json=changes)
    assert (answer.status_code, answer.json()) == (
        207,
        {
            "inserted": 0,
            "modified": 1,
            "deleted": 0,
            "upserted": 0,
            "errors": [{"line": 0, "code": 11000}, {"line": 1, "code": 11000}],
        },
    )
    assert await stock(web) == {"SEATS@A": 7, "SEATS@B": 2, "STORAGE@A": 1}


async def test_stock_moves_whole_or_not_at_all(web: httpx.AsyncClient, database: Any) -> None:
    await filled(web, A=5, B=1)
    transfer = {"sku": "SEATS", "source": "A", "target": "B", "quantity": 4}
    answer = await web.post("/stock/transfer", json=transfer)
    assert (answer.status_code, answer.json()) == (200, {"transfers": 1})
    assert await stock(web) == {"SEATS@A": 1, "SEATS@B": 5}

    assert (await web.post("/stock/transfer", json=transfer)).status_code == 409
    assert await stock(web) == {"SEATS@A": 1, "SEATS@B": 5}
    assert database.transfers.count_documents({}) == 1

    preview = await web.post("/stock/preview", json={**transfer, "source": "B", "target": "C"})
    assert [(row["warehouse"], row["quantity"]) for row in preview.json()] == [("A", 1), ("B", 1), ("C", 4)]
    assert (await web.post("/stock/preview", json=transfer)).status_code == 409
    assert await stock(web) == {"SEATS@A": 1, "SEATS@B": 5}


async def test_an_order_is_approved_with_its_stock(web: httpx.AsyncClient) -> None:
    await filled(web, A=5)
    both = await created(web)
    seats = await created(web, lines=[{"sku": "SEATS", "quantity": 3, "price": 1}])
    # There is no storage: the seats that were taken for the first line come back.
    assert (await web.post(f"/orders/{both['id']}/approve", params={"warehouse": "A"})).status_code == 409
    assert await stock(web) == {"SEATS@A": 5}
    assert (await web.get(f"/orders/{both['id']}")).json()["status"] == "draft"
    answer = await web.post(f"/orders/{seats['id']}/approve", params={"warehouse": "A"})
    assert (answer.status_code, answer.json()["status"]) == (200, "approved")
    assert (await web.post(f"/orders/{seats['id']}/approve", params={"warehouse": "A"})).status_code == 404
    assert await stock(web) == {"SEATS@A": 2}


async def test_transfers_at_once_lose_nothing(web: httpx.AsyncClient) -> None:
    """They get into each other's way: who is sent away may come again, and the sum stays."""
    await filled(web, A=100)
    orders = [await created(web, lines=[{"sku": "SEATS", "quantity": 3, "price": 1}]) for _ in range(6)]
    answers = await asyncio.gather(
        *(web.post(f"/orders/{order['id']}/approve", params={"warehouse": "A"}) for order in orders)
    )
    assert [answer.status_code for answer in answers] == [200] * 6
    assert await stock(web) == {"SEATS@A": 82}


async def test_settings_are_kept(web: httpx.AsyncClient, database: Any) -> None:
    answer = await web.put("/settings/MP-1", json={"currency": "EUR", "limits": [1, 2.5, None]})
    assert answer.status_code == 201
    first = answer.json()
    assert first["values"] == {"currency": "EUR", "limits": [1, 2.5, None]}
    assert "id" not in first
    answer = await web.put("/settings/MP-1", json={"currency": "USD"})
    assert (answer.status_code, answer.json()) == (200, {**first, "values": {"currency": "USD"}})
    assert database.settings.find_one()["key"].subtype == 4
    answer = await web.delete("/settings/MP-1")
    assert answer.json()["values"] == {"currency": "USD"}
    assert (await web.delete("/settings/MP-1")).status_code == 404


async def test_attachments_come_back_as_they_were(web: httpx.AsyncClient, database: Any) -> None:
    order = await created(web)
    content = bytes(range(256)) * 20
    url = f"/orders/{order['id']}/attachments"

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1500):
            yield content[start : start + 1500]

    answer = await web.put(f"{url}/b.bin", content=parts(), headers={"Content-Type": "application/x-own"})
    assert (answer.status_code, answer.json()["length"]) == (201, len(content))
    file_id = answer.json()["id"]
    await web.put(f"{url}/a.txt", content=b"", headers={"Content-Type": "text/plain"})
    listed = (await web.get(url)).json()
    assert [(file["name"], file["length"]) for file in listed] == [("a.txt", 0), ("b.bin", len(content))]
    assert database["attachments.chunks"].count_documents({"files_id": ObjectId(file_id)}) == 5

    answer = await web.get(f"/attachments/{file_id}")
    assert answer.content == content
    assert answer.headers["content-type"] == "application/x-own"
    assert (await web.delete(f"/attachments/{file_id}")).status_code == 204
    assert (await web.delete(f"/attachments/{file_id}")).status_code == 404
    assert (await web.get(f"/attachments/{file_id}")).status_code == 404
    assert database["attachments.chunks"].count_documents({"files_id": ObjectId(file_id)}) == 0


async def test_the_application_knows_its_client(web: httpx.AsyncClient) -> None:
    await created(web)
    health = (await web.get("/health")).json()
    assert health["version"].startswith("8.")
    assert health["commands"]["insert"] == 1
    assert health["commands"]["createIndexes"] == 4
    assert health["commands"]["ping"] == 1
    assert health["commands"]["succeeded"] >= 8
    await web.post("/orders", json={**ORDER, "status": "lost"})
    indexes = (await web.get("/indexes")).json()
    assert sorted(indexes["orders"]) == ["_id_", "by_marketplace", "customer.id_1", "number_1"]
    assert indexes["stock"] == {"_id_": False, "sku_1_warehouse_1": True}


async def test_the_application_starts_again_and_ends(
    web_module: ModuleType, settings: dict[str, str], database: Any
) -> None:
    for number in range(2):
        app = web_module.create_app(settings)
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://connect/api") as web:
                await created(web)
                assert (await web.post("/orders", json={**ORDER, "status": "lost"})).status_code == 422
        with pytest.raises(InvalidOperation):
            await app.state.db.orders.find_one()
        assert database.orders.count_documents({}) == number + 1


async def test_a_lost_connection_is_503(
    web_module: ModuleType, failing: tuple[str, Any], settings: dict[str, str]
) -> None:
    uri, drop = failing
    async with running(web_module, {**settings, "MONGODB_URI": uri}) as web:
        await created(web)
        # Two in a row: the driver's own repeat is lost too.
        drop("find", 2)
        answer = await web.get("/orders")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert (await web.get("/orders")).status_code == 200


# The events application


def sample(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


PURCHASE = sample("asset-purchase-request")
TIER_CONFIG = sample("tier-config-setup-request")
SCHEDULE = {"id": "EFS-1", "parameter": {"older_than": 0}}
PURCHASE_TYPE = "asset_purchase_request_processing"
TIER_TYPE = "tier_config_setup_request_processing"


@pytest.fixture
def events_module(variant: str, tmp_path: Path) -> ModuleType:
    return load("events", variant, tmp_path)


@pytest.fixture
async def events(events_module: ModuleType, settings: dict[str, str], database: Any) -> AsyncIterator[Any]:
    """The class of the application, started. Connect makes an object of it for each event."""
    application = events_module.EventsApplication
    await application.on_startup(LOGGER, settings)
    yield lambda: application(LOGGER, settings)
    await application.on_shutdown(LOGGER, settings)


async def test_events_of_all_kinds_are_handled(events: Any, database: Any) -> None:
    purchase, tier_config = copy.deepcopy(PURCHASE), copy.deepcopy(TIER_CONFIG)
    assert await events().handle_asset_purchase(purchase) == "success"
    assert await events().handle_tier_config(tier_config) == "success"
    assert purchase == PURCHASE
    assert tier_config == TIER_CONFIG
    assert [event["object"] for event in database.events.find(sort=[("_id", 1)])] == [PURCHASE, TIER_CONFIG]
    asset = database.assets.find_one()
    assert (asset["_id"], asset["requests"]) == (PURCHASE["asset"]["id"], 1)
    assert asset["items"] == [item["id"] for item in PURCHASE["asset"]["items"]]
    configuration = database.tier_configs.find_one()
    assert configuration == {
        "_id": "TC-625-056-106",
        "account": "TA-0-2765-9792-6632",
        "level": 1,
        "params": {"TIER1_MPN": "000000"},
    }
    await asyncio.sleep(0.01)
    assert await events().handle_schedule(SCHEDULE) == {"marked": 2, "by_type": {PURCHASE_TYPE: 1, TIER_TYPE: 1}}
    assert await events().handle_schedule(SCHEDULE) == {"marked": 0, "by_type": {PURCHASE_TYPE: 1, TIER_TYPE: 1}}


async def test_an_event_that_comes_again_is_stored_and_counted_once(events: Any, database: Any) -> None:
    results = await asyncio.gather(*(events().handle_asset_purchase(copy.deepcopy(PURCHASE)) for _ in range(5)))
    assert sorted(results) == ["skip"] * 4 + ["success"]
    assert database.events.count_documents({}) == 1
    assert await events().count(PURCHASE_TYPE) == 1
    assert await events().count("another") == 0


async def test_an_objects_history_is_kept(events: Any) -> None:
    for minute in range(4):
        request = {**PURCHASE, "updated": f"2020-05-21T08:2{minute}:00+00:00"}
        assert await events().handle_asset_purchase(request) == "success"
        await asyncio.sleep(0.002)
    history = await events().history(PURCHASE["id"])
    assert [event["revision"][14:16] for event in history] == ["23", "22", "21", "20"]
    assert all(set(event) == {"event_type", "revision", "received"} for event in history)
    assert len(await events().history(PURCHASE["id"], limit=2)) == 2
    latest = await events().latest(PURCHASE_TYPE)
    assert latest["object"]["updated"] == "2020-05-21T08:23:00+00:00"
    assert await events().latest("another") is None


async def test_a_transaction_that_fails_stores_nothing(events: Any, database: Any) -> None:
    pair = [("a", {"id": 1}), ("b", {"id": 2})]
    assert await events().store_all(pair) == 2
    with pytest.raises(DuplicateKeyError) as caught:
        await events().store_all([("c", {"id": 3}), *pair])
    assert caught.value.code == 11000
    assert database.events.count_documents({}) == 2


async def test_old_events_go_by_an_index(events: Any, database: Any) -> None:
    indexes = database.events.index_information()
    assert indexes["ttl"]["expireAfterSeconds"] == 90 * 86400
    assert indexes["history"]["key"] == [("object.id", 1), ("received", -1)]
    assert sum(index.get("unique", False) for index in indexes.values()) == 1


async def test_a_changed_time_to_live_makes_the_index_anew(
    events_module: ModuleType, settings: dict[str, str], database: Any
) -> None:
    database.events.create_index("received", expireAfterSeconds=60, name="ttl")
    await events_module.EventsApplication.on_startup(LOGGER, settings)
    await events_module.EventsApplication.on_shutdown(LOGGER, settings)
    assert database.events.index_information()["ttl"]["expireAfterSeconds"] == 90 * 86400


async def test_a_follower_sees_events_as_they_come_and_goes_on(events_module: ModuleType, events: Any) -> None:
    follower = events_module.Follower(events().events)
    await events().store("before", {"id": "0"}, "")
    await follower.open()
    collecting = asyncio.create_task(follower.collect(2))
    for number in range(1, 3):
        await events().store("now", {"id": str(number)}, "")
    changes = await asyncio.wait_for(collecting, 20)
    assert [change["object"]["id"] for change in changes] == ["1", "2"]
    # What is stored while nobody looks is seen later.
    for number in range(3, 6):
        await events().store("later", {"id": str(number)}, "")
    await asyncio.wait_for(follower.collect(1), 20)
    await asyncio.wait_for(follower.collect(2), 20)
    assert follower.collected == ["1", "2", "3", "4", "5"]


async def test_lost_connections_are_overcome(
    events_module: ModuleType, failing: tuple[str, Any], settings: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    uri, drop = failing
    settings = {**settings, "MONGODB_URI": uri}
    application = events_module.EventsApplication
    await application.on_startup(LOGGER, settings)
    try:
        events = application(LOGGER, settings)
        await events.handle_asset_purchase({**PURCHASE, "updated": "warm"})

        async def update() -> Any:
            return await events.db.assets.update_one({"_id": PURCHASE["asset"]["id"]}, {"$inc": {"requests": 1}})

        # Two in a row: the driver's own repeat is lost too, and the application tries again.
        drop("update", 2)
        result = await events_module.with_retries(update, LOGGER)
        assert result.modified_count == 1
        assert [record.levelname for record in caplog.records if "attempt" in record.message] == ["WARNING"]
        asset = await events.db.assets.find_one({})
        assert asset["requests"] == 2

        drop("update", 20)
        with pytest.raises(AutoReconnect):
            await events_module.with_retries(update, LOGGER)
        drop("update", 0)

        # In a transaction nothing is repeated but the whole of it.
        drop("insert", 1)
        assert await events.store("again", {"id": "1"}, "") is True
        assert await events.count("again") == 1
    finally:
        await application.on_shutdown(LOGGER, settings)
