"""The event store, on both paths."""

from __future__ import annotations

import asyncio
import copy
import datetime
import inspect
import json
import threading
from typing import Any

import pytest
from connect.eaas.mongodb import (
    AsyncEventStore,
    AsyncMongoClient,
    DeadLetter,
    EventStore,
    EventValidationError,
    SaveResult,
)
from connect.eaas.mongodb.events import AssetRequest, TierConfigRequest
from pymongo.errors import AutoReconnect, ConfigurationError, DuplicateKeyError, PyMongoError

from demo.purchase_requests import purchase_requests, sample
from tests.conftest import API_KEY
from tests.servers import answered, relay

PURCHASE = "asset_purchase_request_processing"
STORES: list[Any] = [AsyncEventStore, EventStore]
PATHS = ["driver", "data_api"]


async def result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def all_of(cursor: Any) -> list[Any]:
    found: list[Any] = await result(cursor.to_list())
    return found


@pytest.fixture(params=[(store, path) for store in STORES for path in PATHS], ids=lambda p: f"{p[0].__name__}-{p[1]}")
def store(request: pytest.FixtureRequest, config: dict[str, str]) -> Any:
    cls, path = request.param
    return cls.from_config(config, path=path)


@pytest.fixture
def purchase() -> dict[str, Any]:
    return sample("asset-purchase-request")


def plain(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in ("_id", "_connect")}


async def test_an_event_is_stored_as_it_is_with_what_is_known_of_it(
    store: Any, reader: Any, purchase: dict[str, Any]
) -> None:
    before = copy.deepcopy(purchase)
    saved = await result(store.save(PURCHASE, purchase, task_id="TQ-1", installation_id="EIN-1"))
    assert isinstance(saved, SaveResult)
    assert (saved.stored, saved.duplicate) == (True, False)
    assert repr(saved) == f"SaveResult(id='{saved.id}', stored=True)"
    assert purchase == before
    (stored,) = reader.find()
    assert json.dumps(plain(stored)) == json.dumps(purchase)
    assert next(iter(stored)) == "_id"
    assert stored["_id"] == saved.id
    assert saved.id.startswith(purchase["id"] + ":")
    known = stored["_connect"]
    assert known["event_type"] == PURCHASE
    assert known["object"] == "AssetRequest"
    assert (known["task_id"], known["installation_id"]) == ("TQ-1", "EIN-1")
    assert known["product_id"] == purchase["asset"]["product"]["id"]
    tiers, connection = purchase["asset"]["tiers"], purchase["asset"]["connection"]
    assert known["account_ids"] == [
        *(tiers[tier]["id"] for tier in ("customer", "tier1")),
        *(connection[role]["id"] for role in ("vendor", "provider")),
    ]
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    assert abs((known["received_at"] - now).total_seconds()) < 60
    assert known["schema_version"] == 1
    assert known["object_id"] == purchase["id"]
    assert known["status"] == purchase["status"]
    assert "deviations" not in known


async def test_the_same_content_is_stored_once_and_a_changed_object_again(
    store: Any, reader: Any, purchase: dict[str, Any]
) -> None:
    first = await result(store.save(PURCHASE, purchase))
    again = await result(store.save(PURCHASE, copy.deepcopy(purchase)))
    other_order = await result(store.save(PURCHASE, dict(reversed(list(purchase.items())))))
    assert (first.stored, again.duplicate, other_order.duplicate) == (True, True, True)
    assert first.id == again.id == other_order.id
    changed = await result(store.save(PURCHASE, {**purchase, "status": "approved"}))
    assert changed.stored
    assert changed.id != first.id
    assert reader.count_documents({}) == 2


async def test_the_id_of_a_record_never_changes(store: Any) -> None:
    # Users have records with these ids: another one would store their events a second time.
    params = [{"id": "a", "value": ""}, [1, 2.5, True, None]]
    asset = {"id": "AS-1", "external_uid": "u", "external_id": "e", "params": params}
    numbers = {"n": 5_000_000_000, "aaaaaaaab": 1, "aaaaaaaaa": 2, "é": {}}
    saved = await result(store.save(PURCHASE, {"id": "PR-1", "type": "purchase", "asset": asset, **numbers}))
    assert saved.id == "PR-1:6e13ed6a4839c96bb5f67b4d8e90adfb"
    saved = await result(store.save(PURCHASE, [1, {"b": 1, "a": 2}]))
    assert saved.id == f"{PURCHASE}:2780f49c263da482c5c806af23d23898"


@pytest.mark.parametrize("path", PATHS)
async def test_of_many_deliveries_at_once_one_is_stored(
    path: Any, config: dict[str, str], reader: Any, purchase: dict[str, Any]
) -> None:
    store = AsyncEventStore.from_config(config, path=path)
    requests = purchase_requests(50)
    saved = await asyncio.gather(*(store.save(PURCHASE, request) for request in requests * 5))
    assert sum(one.stored for one in saved) == 50
    assert reader.count_documents({}) == 50
    assert {one.id for one in saved} == {document["_id"] for document in reader.find()}


def test_threads_store_once_too(config: dict[str, str], reader: Any) -> None:
    requests = purchase_requests(20)
    stored: list[bool] = []

    def work() -> None:
        store = EventStore.from_config(config)
        stored.extend([store.save(PURCHASE, request).stored for request in requests])

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(stored) == 20
    assert reader.count_documents({}) == 20


async def test_instances_of_models_are_stored_too(store: Any, reader: Any, purchase: dict[str, Any]) -> None:
    assert (await result(store.save(PURCHASE, AssetRequest(purchase)))).stored
    assert (await result(store.save(PURCHASE, purchase))).duplicate
    assert (await result(store.save(PURCHASE, TierConfigRequest(sample("tier-config-setup-request"))))).stored
    assert (await result(store.save(PURCHASE, AssetRequest(purchase).asset))).stored
    assert reader.find_one({"id": purchase["asset"]["id"]})["product"] == purchase["asset"]["product"]


@pytest.mark.parametrize(
    ("obj", "says"),
    [
        ({"id": "PR-1", "note": "x" * 2**24}, "larger than MongoDB's limit"),
        ({"id": "PR-1", "n": 2**64}, "n: an integer that needs more than 64 bits"),
        ([[2**64]], r"payload\[0\]\[0\]: an integer"),
        ({"id": "PR-1", "n": {"x": object()}}, "n.x: expected a JSON value, got object"),
        ({"id": "PR-1", 5: 1}, "expected a field name of type str, got int"),
    ],
)
async def test_what_cannot_be_stored_is_refused_with_its_path(store: Any, reader: Any, obj: Any, says: str) -> None:
    with pytest.raises(EventValidationError, match=says):
        await result(store.save(PURCHASE, obj))
    with pytest.raises(EventValidationError, match="event_type"):
        await result(store.save(5, {"id": "PR-1"}))
    cycle: dict[str, Any] = {"id": "PR-1"}
    cycle["self"] = cycle
    with pytest.raises(EventValidationError, match="self: the object contains itself"):
        await result(store.save(PURCHASE, cycle))
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    with pytest.raises(EventValidationError, match="nested too deep"):
        await result(store.save(PURCHASE, {"id": "PR-1", "deep": deep}))
    assert reader.count_documents({}) == 0


def with_password(value: Any = "hunter2") -> dict[str, Any]:
    param = {"id": "p", "type": "password", "value": value, "structured_value": {"deep": [value]}}
    return {
        "id": "PR-1",
        "asset": {"params": [param, {"id": "t", "type": "text", "value": "seen"}], "external_id": "E-1"},
        "new": {"more": [param]},
    }


async def test_passwords_are_not_stored(store: Any, reader: Any) -> None:
    obj = with_password()
    await result(store.save(PURCHASE, obj))
    assert obj == with_password()
    (stored,) = reader.find()
    assert "hunter2" not in str(stored)
    assert stored["asset"]["params"][0]["value"] == "***"
    assert stored["asset"]["params"][1]["value"] == "seen"


@pytest.mark.parametrize("path", PATHS)
async def test_redaction_is_configurable(path: Any, config: dict[str, str], reader: Any) -> None:
    variables = {**config, "EVENTS_REDACT": "asset.external_id , new.*.id", "EVENTS_REDACT_KEY": "a key"}
    store = AsyncEventStore.from_config(variables, path=path)
    first = await store.save(PURCHASE, with_password("a"))
    (stored,) = reader.find()
    assert stored["asset"]["external_id"].startswith("hmac-sha256:")
    assert stored["new"]["more"][0]["id"].startswith("hmac-sha256:")
    assert "E-1" not in str(stored)
    # With a key, a changed password is a changed object; without it could be guessed by its digest.
    assert (await store.save(PURCHASE, with_password("b"))).stored
    assert (await store.save(PURCHASE, with_password("a"))).id == first.id
    open_store = AsyncEventStore.from_config(config, path=path, redact=False)
    await open_store.save(PURCHASE, {**with_password(), "note": "open"})
    assert "hunter2" in str(reader.find_one({"note": "open"}))
    with pytest.raises(ConfigurationError, match="the path"):
        AsyncEventStore.from_config({**config, "EVENTS_REDACT": "a[0].b"})


async def test_history_latest_and_find(store: Any, reader: Any) -> None:
    # The key is redacted, and makes no difference here.
    requests = [{**request, "activation_key": ""} for request in purchase_requests(30)]
    for request in requests[:3]:
        await result(store.save(PURCHASE, request))
    for status in ("approved", "failed"):
        await asyncio.sleep(0.002)
        await result(store.save(PURCHASE, {**requests[0], "status": status, "note": status}))
    tier_config = sample("tier-config-setup-request")
    await result(store.save("tier_config_setup_request_processing", tier_config))

    history = await all_of(store.history(requests[0]["id"]))
    assert [event.document["status"] for event in history] == [requests[0]["status"], "approved", "failed"]
    latest = await result(store.latest(requests[0]["id"]))
    assert latest.document == {**requests[0], "status": "failed", "note": "failed"}
    assert isinstance(latest.event, AssetRequest)
    assert latest.event.note == "failed"
    assert (latest.event_type, latest.object) == (PURCHASE, "AssetRequest")
    assert latest.received_at.utcoffset() == datetime.timedelta(0)
    assert await result(store.latest("no such object")) is None

    assert len(await all_of(store.find())) == 6
    assert len(await all_of(store.find(limit=2))) == 2
    found = await all_of(store.find(event_type="tier_config_setup_request_processing"))
    assert [event.document for event in found] == [tier_config]
    assert isinstance(found[0].event, TierConfigRequest)
    assert {event.document["status"] for event in await all_of(store.find(status=["approved", "failed"]))} == {
        "approved",
        "failed",
    }
    product = requests[0]["asset"]["product"]["id"]
    assert len(await all_of(store.find(product=product))) == 5
    assert len(await all_of(store.find(product=tier_config["configuration"]["product"]["id"]))) == 1
    assert len(await all_of(store.find(marketplace="MP-71206", product=product))) == 5
    customer = requests[0]["asset"]["tiers"]["customer"]["id"]
    assert {event.document["id"] for event in await all_of(store.find(account=customer))} == {
        request["id"] for request in requests[:3]
    }
    moment = history[1].received_at
    assert len(await all_of(store.find(since=moment))) == 3
    assert len(await all_of(store.find(until=moment))) == 3
    ordered = await all_of(store.find(newest_first=False))
    assert [event.received_at for event in ordered] == sorted(event.received_at for event in ordered)


async def test_cursors_iterate(store: Any) -> None:
    for request in purchase_requests(5):
        await result(store.save(PURCHASE, request))
    cursor = store.find()
    if hasattr(cursor, "__aiter__"):
        seen = [event.document["id"] async for event in cursor]
    else:
        seen = [event.document["id"] for event in cursor]
    assert len(set(seen)) == 5
    await result(cursor.close())


async def test_many_are_saved_with_a_result_each(store: Any, reader: Any) -> None:
    requests = purchase_requests(1200)
    events: list[Any] = [(PURCHASE, request) for request in requests]
    events[5] = (PURCHASE, {"id": 2**64})
    events[7] = (PURCHASE, requests[6])
    outcomes = await result(store.save_many(events))
    assert len(outcomes) == 1200
    assert isinstance(outcomes[5], EventValidationError)
    assert sorted([outcomes[6].stored, outcomes[7].stored]) == [False, True]
    assert sum(isinstance(one, SaveResult) and one.stored for one in outcomes) == 1198
    assert reader.count_documents({}) == 1198
    again = await result(store.save_many(iter(events)))
    assert sum(isinstance(one, SaveResult) and one.duplicate for one in again) == 1199
    with pytest.raises(TypeError, match="pairs"):
        await result(store.save_many([5]))


@pytest.mark.parametrize("cls", STORES)
async def test_indexes_are_created_and_a_changed_time_to_live_is_applied(
    cls: Any, config: dict[str, str], reader: Any, pymongo_client: Any, names: tuple[str, str]
) -> None:
    store = cls.from_config({**config, "EVENTS_TTL_DAYS": "30"})
    await result(store.ensure_indexes())
    await result(store.ensure_indexes())
    indexes = reader.index_information()
    assert indexes["connect_ttl"]["expireAfterSeconds"] == 30 * 86_400
    assert {"connect_history", "connect_event_type", "connect_status", "connect_product"} <= set(indexes)
    await result(cls.from_config({**config, "EVENTS_TTL_DAYS": "0.5"}).ensure_indexes())
    assert reader.index_information()["connect_ttl"]["expireAfterSeconds"] == 43_200
    await result(cls.from_config(config).ensure_indexes())
    assert "connect_ttl" not in reader.index_information()
    letters = pymongo_client[names[0]][f"{names[1]}_dead_letters"]
    assert letters.index_information()["connect_ttl"]["expireAfterSeconds"] == 90 * 86_400
    await result(cls.from_config({**config, "EVENTS_DEAD_LETTER_TTL_DAYS": "1"}).ensure_indexes())
    assert letters.index_information()["connect_ttl"]["expireAfterSeconds"] == 86_400
    await result(cls.from_config({**config, "EVENTS_DEAD_LETTER_TTL_DAYS": "0"}).ensure_indexes())
    assert "connect_ttl" not in letters.index_information()
    with pytest.raises(NotImplementedError, match="driver path"):
        await result(cls.from_config(config, path="data_api").ensure_indexes())
    with pytest.raises(ConfigurationError, match="EVENTS_DEAD_LETTER_TTL_DAYS"):
        cls.from_config({**config, "EVENTS_DEAD_LETTER_TTL_DAYS": "-1"})
    for days in ("x", "0", "-1", "1e9"):
        with pytest.raises(ConfigurationError, match="EVENTS_TTL_DAYS"):
            cls.from_config({**config, "EVENTS_TTL_DAYS": days})


def test_the_path_is_the_drivers_where_there_is_one(config: dict[str, str]) -> None:
    assert "AsyncCollection(" in repr(AsyncEventStore.from_config(config).collection)
    without = {**config, "DB_HOST": ""}
    assert "AsyncDataApiCollection(" in repr(AsyncEventStore.from_config(without).collection)
    wrong: Any = "carrier pigeon"
    with pytest.raises(ConfigurationError, match="path"):
        AsyncEventStore.from_config(config, path=wrong)


@pytest.mark.parametrize("path", PATHS)
async def test_another_unique_index_is_no_duplicate_of_the_event(
    path: Any, config: dict[str, str], reader: Any, purchase: dict[str, Any]
) -> None:
    reader.create_index("asset.id", unique=True)
    store = AsyncEventStore.from_config(config, path=path)
    assert (await store.save(PURCHASE, purchase)).stored
    assert (await store.save(PURCHASE, purchase)).duplicate
    with pytest.raises(DuplicateKeyError):
        await store.save(PURCHASE, {**purchase, "note": "another"})


async def test_lost_answers_tell_who_stored_it(
    gateway_url: str, config: dict[str, str], reader: Any, names: tuple[str, str]
) -> None:
    """A repeat that finds its own record has stored it; one that finds another's has not."""

    def lose_first(action: str, number: int, pass_on: Any) -> bytes | None:
        answer: bytes = pass_on()
        return None if number == 1 and action.startswith("insert") else answer

    requests = purchase_requests(20)
    with relay(gateway_url, lose_first) as server:
        store = AsyncEventStore.from_config(
            {**config, "DATA_API_ENDPOINT": server.url, "API_KEY": API_KEY}, path="data_api"
        )
        saved = await asyncio.gather(*(store.save(PURCHASE, request) for request in requests))
        assert all(one.stored for one in saved)
    with relay(gateway_url, lose_first) as server:
        store = AsyncEventStore.from_config(
            {**config, "DATA_API_ENDPOINT": server.url, "API_KEY": API_KEY}, path="data_api"
        )
        saved = await asyncio.gather(*(store.save(PURCHASE, request) for request in requests))
        assert all(one.duplicate for one in saved)
    assert reader.count_documents({}) == 20


async def test_a_server_that_does_not_name_the_duplicate_is_asked(
    gateway_url: str, config: dict[str, str], reader: Any, purchase: dict[str, Any]
) -> None:
    def spoil(action: str, number: int, pass_on: Any) -> bytes | None:
        answer: bytes = pass_on()
        return answered("400 Bad Request", '{"error": "E11000"}') if b"E11000" in answer else answer

    with relay(gateway_url, spoil) as server:
        store = AsyncEventStore.from_config({**config, "DATA_API_ENDPOINT": server.url}, path="data_api")
        assert (await store.save(PURCHASE, purchase)).stored
        assert (await store.save(PURCHASE, purchase)).duplicate
    assert reader.count_documents({}) == 1


async def test_mongodb_away_is_an_error_of_pymongos(config: dict[str, str], purchase: dict[str, Any]) -> None:
    away = {**config, "DB_HOST": "127.0.0.1:1", "DB_OPTIONS": "serverSelectionTimeoutMS=200"}
    with pytest.raises(AutoReconnect):
        await AsyncEventStore.from_config(away).save(PURCHASE, purchase)
    with pytest.raises(PyMongoError):
        EventStore.from_config({**config, "DATA_API_ENDPOINT": "http://127.0.0.1:1"}, path="data_api").save(
            PURCHASE, purchase
        )


async def test_events_without_ids_and_of_unknown_types_are_stored_too(store: Any, reader: Any) -> None:
    action = {"method": "POST", "jwt_payload": {"asset_id": "AS-1"}}
    saved = await result(store.save("product_action_execution", action))
    assert saved.id.startswith("product_action_execution:")
    assert (await result(store.save("made_up", {"x": 1}))).stored
    assert {document["_connect"]["object"] for document in reader.find()} == {"ProductAction", "Other"}


async def letter_for(store: Any, obj: Any, **ids: str) -> None:
    with pytest.raises(EventValidationError) as refused:
        await result(store.save(PURCHASE, obj))
    await result(store.add_dead_letter(PURCHASE, obj, refused.value, **ids))


async def test_a_dead_letter_keeps_the_whole_object_redacted_as_a_record_is(store: Any, reader: Any) -> None:
    obj = {**with_password(), "value": "kept", "list": [1, [2]], "number": 2**70, "activation_key": "hunter2"}
    for _ in range(2):
        await letter_for(store, obj, task_id="TQ-1", installation_id="EIN-1")
    (letter,) = await all_of(store.dead_letters())
    assert isinstance(letter, DeadLetter)
    expected = with_password("***")
    expected["asset"]["params"][0]["structured_value"] = "***"
    assert letter.payload == {**expected, "value": "kept", "list": [1, [2]], "number": 2**70, "activation_key": "***"}
    assert "hunter2" not in str(letter)
    assert letter.errors == (("number", "an integer that needs more than 64 bits"),)
    assert (letter.event_type, letter.object_id) == (PURCHASE, "PR-1")
    assert (letter.task_id, letter.installation_id) == ("TQ-1", "EIN-1")
    assert letter.received_at.utcoffset() == datetime.timedelta(0)
    assert reader.count_documents({}) == 0


async def test_a_dead_letter_is_replayed_once_the_object_can_be_stored(store: Any, reader: Any) -> None:
    await letter_for(store, {"id": "PR-1", "n": 2**70}, task_id="TQ-1")
    await letter_for(store, {"id": "PR-2", "n": 2**70}, task_id="TQ-2")
    (letter,) = await all_of(store.dead_letters(object_id="PR-1"))
    with pytest.raises(EventValidationError, match="64 bits"):
        await result(store.replay(letter))
    assert len(await all_of(store.dead_letters())) == 2
    saved = await result(store.replay(letter, {**letter.payload, "n": str(letter.payload["n"])}))
    assert saved.stored
    assert reader.find_one({"id": "PR-1"})["_connect"]["task_id"] == "TQ-1"
    assert [one.object_id for one in await all_of(store.dead_letters())] == ["PR-2"]
    assert await all_of(store.dead_letters(task_id="TQ-1")) == []
    assert len(await all_of(store.dead_letters(event_type=PURCHASE, since=letter.received_at, limit=5))) == 1


async def test_a_dead_letter_of_any_size_is_whole(store: Any, pymongo_client: Any, names: tuple[str, str]) -> None:
    obj = {"id": "PR-5", "note": "é" * (9 << 20)}
    await letter_for(store, obj)
    (letter,) = await all_of(store.dead_letters())
    assert letter.payload == obj
    letters = pymongo_client[names[0]][f"{names[1]}_dead_letters"]
    assert letters.count_documents({}) == 10
    assert len(letter.data.encode()) > 16 << 20
    await result(store.replay(letter, {**obj, "note": "short"}))
    assert letters.count_documents({}) == 0


async def test_draining_waits_for_what_is_under_way(config: dict[str, str], reader: Any) -> None:
    store = AsyncEventStore.from_config(config)
    saving = [asyncio.ensure_future(store.save(PURCHASE, request)) for request in purchase_requests(100)]
    await asyncio.sleep(0)
    await store.drain()
    assert reader.count_documents({}) == 100
    await asyncio.gather(*saving)


async def test_commands_run(config: dict[str, str], reader: Any, names: tuple[str, str]) -> None:
    database = AsyncMongoClient.from_config(config)[names[0]]
    assert (await database.command("ping"))["ok"] == 1
    reader.insert_one({})
    assert (await database.command("count", names[1]))["n"] == 1
    assert (await database.command({"count": names[1]}, query={"x": 1}))["n"] == 0


@pytest.mark.parametrize("kind", [str, type("Kind", (str,), {}), lambda _: object()])
async def test_dead_letters_hold_no_password_whose_type_was_lost(store: Any, kind: Any) -> None:
    choices = [2**70] * 60
    param = {"id": "p", "value": "hunter2", "value_choices": choices, "type": kind("password")}
    await letter_for(store, {"id": "PR-5", "asset": {"params": [param]}})
    (letter,) = await all_of(store.dead_letters())
    assert "hunter2" not in str(letter)


async def test_the_order_within_a_millisecond_is_kept(store: Any) -> None:
    for n in range(30):
        await result(store.save(PURCHASE, {"id": "PR-1", "note": str(n)}))
    assert (await result(store.latest("PR-1"))).document["note"] == "29"
    assert [e.document["note"] for e in await all_of(store.find(limit=3))] == ["29", "28", "27"]
    assert [e.document["note"] for e in await all_of(store.history("PR-1"))] == [str(n) for n in range(30)]


@pytest.mark.parametrize("path", PATHS)
async def test_a_redacted_event_is_still_typed(path: Any, config: dict[str, str], purchase: dict[str, Any]) -> None:
    variables = {**config, "EVENTS_REDACT": "asset.tiers.customer.contact_info, created"}
    store = AsyncEventStore.from_config(variables, path=path)
    param = {"id": "p", "type": "password", "value_choices": [], "structured_value": {}, "value": "x"}
    purchase["asset"]["params"] = [param]
    await store.save(PURCHASE, purchase)
    stored = await store.latest(purchase["id"])
    assert stored is not None
    event: Any = stored.event
    assert event.asset.tiers.customer.contact_info == "***"
    assert event.created == "***"
    assert event.deviations == ()
    assert event.asset.params[0].value == "***"
    assert event.asset.params[0].value_choices == []


@pytest.mark.parametrize("path", PATHS)
async def test_with_a_key_the_order_in_a_redacted_value_does_not_matter(
    path: Any, config: dict[str, str], reader: Any
) -> None:
    store = AsyncEventStore.from_config({**config, "EVENTS_REDACT_KEY": "k"}, path=path)

    def event(value: dict[str, str]) -> dict[str, Any]:
        return {"id": "PR-1", "asset": {"params": [{"id": "p", "type": "password", "structured_value": value}]}}

    assert (await store.save(PURCHASE, event({"a": "1", "b": "2"}))).stored
    assert (await store.save(PURCHASE, event({"b": "2", "a": "1"}))).duplicate
