"""Objects as Connect really sends them: other types than documented, unknown fields, any JSON at all."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from connect.eaas.mongodb import AsyncEventStore, EventStore, events
from connect.eaas.mongodb._native import event_models
from connect.eaas.mongodb.events import EVENT_TYPES, Model, parse_event
from connect.eaas.mongodb.store import StoredEvent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demo.purchase_requests import sample
from tests.test_events import same

PURCHASE = "asset_purchase_request_processing"
MODELS = {name: {field: annotation for field, annotation, _ in fields} for name, _, _, fields in event_models()}
VALUES: list[Any] = ["text", "", "1.0", "2020-13-45", 7, 7.5, 2**40, True, None, {"id": 1}, {}, [1, "x", None], []]


def read_all(value: Any) -> None:
    """Read every attribute of a model, declared or not, and of all models in it."""
    if isinstance(value, list):
        for item in value:
            read_all(item)
    if isinstance(value, Model):
        for name in dir(value):
            if not name.startswith("__"):
                # `AttributeError` alone would be right for a name that is neither declared nor there.
                read_all(getattr(value, name))
        with pytest.raises(AttributeError):
            _ = value.no_such_field_at_all


def example(name: str, within: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object of the model with every field, as far as it does not repeat itself."""
    made: dict[str, Any] = {}
    for field, annotation in MODELS[name].items():
        value: Any = "x"
        inner = annotation.removeprefix("list[").rstrip("]").split(" | ")[0]
        if inner in MODELS:
            value = example(inner, (*within, name)) if inner not in (*within, name) and len(within) < 3 else {}
        elif inner in ("datetime", "date"):
            value = "2020-05-21T08:19:37+00:00"
        elif inner in ("int", "float"):
            value = 1
        elif inner == "bool":
            value = True
        elif inner.startswith("dict"):
            value = {}
        made[field] = [value] if annotation.startswith("list[") else value
    return made


def variations(name: str) -> Iterator[dict[str, Any]]:
    """Objects of the model in which one field, at any depth, holds each kind of value."""
    whole = {**example(name), "id": "X-1"}

    def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        if path:
            yield path
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in items:
            yield from paths(item, (*path, key))

    for number, path in enumerate(paths(whole)):
        # At the top every kind of value; further down they take turns.
        values = VALUES if len(path) == 1 else [VALUES[number % len(VALUES)]]
        for value in values:
            changed = copy.deepcopy(whole)
            target: Any = changed
            for step in path[:-1]:
                target = target[step]
            target[path[-1]] = value
            # So that no two are the same record.
            changed["unknown"] = f"{path} {value!r}"
            yield changed


TOP_LEVEL = sorted({known.model.__name__ for known in EVENT_TYPES.values()} | {"BillingRequest", "Case"})


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_field_of_every_model_holds_every_kind_of_value(name: str) -> None:
    model: type[Model] = getattr(events, name)
    for field in MODELS[name]:
        for value in VALUES:
            obj = {field: value}
            made = model(obj)
            assert same(made.to_dict(), obj)
            assert same(made[field], value)
            read_all(made)
            json.dumps(made.deviations)


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_objects_with_any_value_in_any_place_are_stored(name: str, config: dict[str, str], reader: Any) -> None:
    model: type[Model] = getattr(events, name)
    event_type = next((known.name for known in EVENT_TYPES.values() if known.model is model), "made_up")
    objects = list(variations(name))
    objects = objects[:: max(1, len(objects) // 200)]
    assert len(objects) > 100
    for obj in objects[::20]:
        made = model(obj)
        assert same(made.to_dict(), obj)
        read_all(made)
    store = EventStore.from_config(config)
    outcomes = store.save_many((event_type, obj) for obj in objects)
    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
    assert reader.count_documents({}) == len(objects)
    stored = {event.document["unknown"]: plain(event.document) for event in store.find()}
    expected = {obj["unknown"]: redacted(obj, name == "Installation") for obj in objects}
    assert [unknown for unknown, obj in expected.items() if not same(stored[unknown], obj)] == []


def plain(value: Any) -> Any:
    """The same as JSON has it: a 64-bit integer comes back as `bson.Int64`."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


SECRET_NAMES = {"activation_key", "params_form_url", "jwt_secret", "password"}


def redacted(value: Any, installation: bool = False) -> Any:
    """What the store keeps of an object: this test's own account of `docs/store.md`."""
    if isinstance(value, list):
        return [redacted(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for name, item in value.items():
        secret = name in SECRET_NAMES or (installation and name == "settings")
        kept[name] = "***" if secret and item not in (None, "", {}, []) else redacted(item)
    return kept


# What public extensions' tests hold, and Connect sends.
REAL: list[tuple[str, dict[str, Any], set[str]]] = [
    (
        PURCHASE,
        {
            "id": "PR-0000-0000-0000-100",
            "asset": {
                "external_id": 1,
                "tiers": {"customer": {"external_id": 2}, "tier1": {"external_id": 3}},
                "params": [{"id": "p", "constraints": {"required": "true"}}],
            },
            "previous_approved_request": "",
        },
        {
            "asset.external_id",
            "asset.tiers.customer.external_id",
            "asset.tiers.tier1.external_id",
            "asset.params[0].constraints.required",
            "previous_approved_request",
        },
    ),
    ("subscription_billing", {"id": "BRV-1", "period": {"delta": "1.0"}}, {"period.delta"}),
    ("helpdesk_case_processing", {"id": "CA-000-000-000", "state": {"id": "x"}}, {"state"}),
]


@pytest.mark.parametrize(("event_type", "obj", "paths"), REAL)
@pytest.mark.parametrize("path", ["driver", "data_api"])
async def test_real_objects_are_stored_with_their_deviations(
    path: Any, event_type: str, obj: dict[str, Any], paths: set[str], config: dict[str, str], reader: Any
) -> None:
    store = AsyncEventStore.from_config(config, path=path)
    assert (await store.save(event_type, obj)).stored
    assert (await store.save(event_type, obj)).duplicate
    (stored,) = reader.find()
    assert {one["path"] for one in stored["_connect"]["deviations"]} <= paths
    assert all(set(one) == {"path", "expected", "actual"} for one in stored["_connect"]["deviations"])
    event = await store.latest(obj["id"])
    assert event is not None
    assert same(event.document, obj)
    assert {one.path for one in event.deviations} == {one["path"] for one in stored["_connect"]["deviations"]}
    read_all(event.event)


DEVIATING = """
import json, logging, sys
from connect.eaas.mongodb import EventStore
from connect.eaas.mongodb.store import store_metrics

lines = []
handler = logging.Handler()
handler.emit = lambda record: lines.append((record.levelname, record.getMessage()))
logging.getLogger("connect.eaas.mongodb.store").addHandler(handler)
logging.getLogger("connect.eaas.mongodb.store").setLevel(logging.INFO)
store = EventStore.from_config(json.loads(sys.argv[1]))
for number in (0, 1, 2, 2):
    items = [{"display_name": number}, {"display_name": ["secret"]}]
    store.save("asset_purchase_request_processing", {"id": f"PR-{number}", "asset": {"items": items}})
counts = store_metrics()
counts["deviations"] = [[*field, count] for field, count in counts["deviations"].items()]
print(json.dumps([lines, counts]))
"""


def test_a_field_that_deviates_is_counted_and_logged_once(config: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DEVIATING, json.dumps(config)], capture_output=True, text=True, check=True, timeout=60
    )
    lines, counts = json.loads(done.stdout)
    field = "asset.items[].display_name"
    assert lines == [["INFO", f"AssetRequest.{field}: expected a string, got int. The object is stored as it is"]]
    assert counts == {
        "events_stored": 3,
        "events_duplicate": 1,
        "events_deviating": 4,
        "events_unstorable": 0,
        "dead_letters": 0,
        "deviations": [["AssetRequest", field, 8]],
    }


@pytest.mark.parametrize("path", ["driver", "data_api"])
@pytest.mark.parametrize("payload", [[], [1, {"a": None}], "text", "", 5, 2.5, True, None, [{"$oid": "x"}]])
async def test_a_payload_that_is_no_object_is_stored_once(
    path: Any, payload: Any, config: dict[str, str], reader: Any
) -> None:
    store = AsyncEventStore.from_config(config, path=path)
    saved = await store.save("made_up_event", payload, task_id="TQ-1")
    assert saved.stored
    assert (await store.save("made_up_event", payload, task_id="TQ-1")).duplicate
    assert (await store.save("made_up_event", {"payload": payload}, task_id="TQ-1")).stored
    (event,) = [event for event in await store.find().to_list() if event.id == saved.id]
    assert same(plain(event.document), payload)
    assert reader.count_documents({}) == 2


@pytest.mark.parametrize("path", ["driver", "data_api"])
@pytest.mark.parametrize(
    "obj",
    [
        {"id": "PR-1", "_id": "own", "b": 1},
        {"_id": {"a": [1]}, "id": "PR-1", "_connect": {"deviations": 5}},
        {"id": "PR-1", "a": {"$oid": "0" * 24}},
        {"id": "PR-1", "a": {"$ref": "x", "$id": 1}},
        {"$date": 1, "id": "PR-1"},
        {"id": "PR-1", "nul\0name": "nul\0value", "\ud800": "\udfff", "": {"a.b": 1}},
        {"id": "PR-1", "_id": {"deep": json.loads("[" * 98 + "]" * 98)}},
        {"id": 12345, "float": 1.0, "large": 2**62, "nan": float("inf"), "zero": -0.0},
    ],
)
async def test_any_object_comes_back_as_it_was(path: Any, obj: dict[str, Any], config: dict[str, str]) -> None:
    store = AsyncEventStore.from_config(config, path=path)
    saved = await store.save(PURCHASE, obj)
    assert saved.stored
    assert (await store.save(PURCHASE, obj)).duplicate
    # Whatever path reads it.
    for reading in ("driver", "data_api"):
        events = await AsyncEventStore.from_config(config, path=reading).history(obj["id"]).to_list()
        assert [event.id for event in events] == [saved.id]
        assert same(plain(events[0].document), obj)
        assert same(plain(events[0].event.to_dict()), obj)


text = st.text(st.characters(exclude_categories=()), max_size=6)
names = text | st.sampled_from(
    ["id", "_id", "_connect", "status", "asset", "params", "items", "created", "$oid", "$ref", "a.b", "", "type"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@given(
    obj=st.dictionaries(names, json_values, max_size=6),
    event_type=st.sampled_from([PURCHASE, "scheduled_execution", "x"]),
)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("path", ["driver", "data_api"])
def test_every_json_object_is_stored_once_and_comes_back(
    path: Any, obj: dict[str, Any], event_type: str, config: dict[str, str], reader: Any
) -> None:
    # As JSON has it: two surrogates side by side are one character.
    obj = json.loads(json.dumps(obj))
    store = EventStore.from_config(config, path=path, redact=False)
    saved = store.save(event_type, obj)
    again = store.save(event_type, obj)
    assert again.duplicate
    assert again.id == saved.id
    event = StoredEvent._of(reader.find_one({"_id": saved.id}))
    assert same(plain(event.document), obj)
    if event.object_id is not None:
        assert saved.id in {one.id for one in store.history(event.object_id)}
    made = parse_event(event_type, obj)
    assert same(made.to_dict(), obj)
    assert list(made) == list(obj)
    read_all(made)


def test_an_event_with_secrets_is_stored_without_them(config: dict[str, str], reader: Any) -> None:
    store = EventStore.from_config(config)
    request = {**sample("asset-purchase-request"), "activation_key": "hunter2", "params_form_url": "hunter2"}
    store.save(PURCHASE, request)
    headers = {"Authorization": "hunter2", "Cookie": "hunter2", "X-Api-Key": "hunter2", "Accept": "seen"}
    store.save(
        "product_custom_event_processing",
        {"body": {"password": "hunter2"}, "headers": headers, "query": {"token": "hunter2"}},
    )
    store.save("product_action_execution", {"jwt_payload": {"sub": "seen"}, "headers": headers})
    store.save("installation_status_change", {"id": "EIN-1", "settings": {"any": "hunter2"}})
    assert reader.count_documents({}) == 4
    text = str(list(reader.find()))
    assert "hunter2" not in text
    assert text.count("seen") == 3
    keeping = EventStore.from_config({**config, "EVENTS_KEEP": "activation_key, headers.x-api-key"})
    keeping.save(PURCHASE, {**request, "note": "kept"})
    stored = reader.find_one({"note": "kept"})
    assert (stored["activation_key"], stored["params_form_url"]) == ("hunter2", "***")


async def test_two_runs_of_a_schedule_are_two_events_and_a_redelivered_one_is_one(
    config: dict[str, str], reader: Any
) -> None:
    store = AsyncEventStore.from_config(config)
    schedule = {"id": "EFS-1", "name": "nightly", "method": "run", "parameter": {}}
    for task_id in ("TQ-1", "TQ-2", "TQ-1"):
        await store.save("scheduled_execution", schedule, task_id=task_id)
    event = {"body": {"x": 1}, "headers": {}}
    for task_id in ("TQ-3", "TQ-4", "TQ-3"):
        await store.save("product_custom_event_processing", event, task_id=task_id)
    assert reader.count_documents({}) == 4
    assert len(await store.history("EFS-1").to_list()) == 2


async def test_find_knows_states_and_every_account_and_marketplace(config: dict[str, str]) -> None:
    store = AsyncEventStore.from_config(config)
    await store.save(
        "listing_new_request_processing",
        {
            "id": "LSTR-1",
            "state": "deploying",
            "listing": {
                "contract": {"marketplace": {"id": "MP-1"}},
                "vendor": {"id": "VA-1"},
                "product": {"id": "PRD-1"},
            },
        },
    )
    await store.save(
        "tier_account_update_request_processing",
        {"id": "TAR-1", "account": {"id": "TA-1", "marketplace": {"id": "MP-2"}}},
    )
    await store.save(
        "helpdesk_case_processing", {"id": "CA-1", "state": "pending", "issuer": {"account": {"id": "PA-1"}}}
    )
    await store.save("product_changed", {"id": "PRD-2", "owner": {"id": "VA-2"}})

    async def ids(**wanted: Any) -> set[str | None]:
        return {event.object_id for event in await store.find(**wanted).to_list()}

    assert await ids(status="deploying") == {"LSTR-1"}
    assert await ids(status=["pending", "deploying"]) == {"LSTR-1", "CA-1"}
    assert await ids(marketplace="MP-1") == {"LSTR-1"}
    assert await ids(marketplace="MP-2") == {"TAR-1"}
    assert await ids(product="PRD-1") == {"LSTR-1"}
    assert await ids(account="VA-1") == {"LSTR-1"}
    assert await ids(account=["PA-1", "VA-2"]) == {"CA-1", "PRD-2"}
    assert await ids(object_id="CA-1") == {"CA-1"}
