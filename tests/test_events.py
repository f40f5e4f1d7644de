"""The event models: on real objects, and on all that Connect's specification allows."""

from __future__ import annotations

import copy
import datetime
import json
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from bson import ObjectId
from connect.eaas.mongodb import events
from connect.eaas.mongodb._native import event_models
from connect.eaas.mongodb.events import (
    EVENT_TYPES,
    Asset,
    AssetRequest,
    BillingRequest,
    Case,
    Contract,
    Deviation,
    EventDefinition,
    EventValidationError,
    Installation,
    Item,
    Listing,
    ListingRequest,
    Model,
    Param,
    PriceListVersion,
    Product,
    Task,
    TierAccountRequest,
    TierConfigRequest,
    TransformationRequest,
    Translation,
    UsageChunkFile,
    UsageFile,
    parse_event,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demo.purchase_requests import purchase_requests
from scripts import events_module

SAMPLES = Path(__file__).parent.parent / "demo" / "samples"
PURCHASE = json.loads((SAMPLES / "asset-purchase-request.json").read_text(encoding="utf-8"))
TIER_CONFIG = json.loads((SAMPLES / "tier-config-setup-request.json").read_text(encoding="utf-8"))
SPECIFICATION = yaml.safe_load(
    (Path(__file__).parent / "data" / "connect-events-openapi.yml").read_text(encoding="utf-8")
)


def same(left: Any, right: Any) -> bool:
    """Equal, of the same types, and in the same order."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right) or (left != left and right != right)


def problems(model: type[Model], obj: Any) -> dict[str, str]:
    """What `validate` finds wrong, which is what `deviations` lists of an object."""
    with pytest.raises(EventValidationError) as refused:
        model.validate(obj)
    with pytest.raises(EventValidationError) as strictly:
        model(obj, strict=True)
    assert str(strictly.value) == str(refused.value)
    for path, message in refused.value.errors:
        assert (f"{path}: {message}" if path else message) in str(refused.value)
    return dict(refused.value.errors)


def test_a_real_purchase_request_is_typed() -> None:
    request = parse_event("asset_purchase_request_processing", PURCHASE)
    assert isinstance(request, AssetRequest)
    assert request.id == PURCHASE["id"]
    assert request.asset is not None
    assert isinstance(request.asset, Asset)
    assert request.asset.product is not None
    assert request.asset.product.id == PURCHASE["asset"]["product"]["id"]
    assert request.created == datetime.datetime.fromisoformat(PURCHASE["created"])
    assert request.created is not None
    assert request.created.tzinfo is not None
    assert request.asset.items is not None
    item = request.asset.items[0]
    assert isinstance(item, Item)
    assert item.quantity == Decimal(PURCHASE["asset"]["items"][0]["quantity"])
    assert same(request.to_dict(), PURCHASE)


def test_a_real_tier_config_request_is_typed() -> None:
    request = parse_event("tier_config_setup_request_processing", TIER_CONFIG)
    assert isinstance(request, TierConfigRequest)
    assert request.configuration is not None
    assert request.configuration.tier_level == 1
    assert request.configuration.account is not None
    assert request.configuration.account.contact_info is not None
    assert request.configuration.account.contact_info.contact is not None
    assert request.configuration.account.contact_info.contact.first_name == "Hillard"
    assert isinstance(request.params, list)
    assert request.params[0].constraints is not None
    assert request.params[0].constraints.required is False
    assert same(request.to_dict(), TIER_CONFIG)


def test_generated_purchase_requests_come_back_equal() -> None:
    for request in purchase_requests(200):
        assert same(AssetRequest(request).to_dict(), request)


# What the specification allows.

DATES = st.datetimes(min_value=datetime.datetime(1900, 1, 1), timezones=st.just(datetime.timezone.utc))


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """All that a schema of the specification allows."""
    strategy = _values(schema)
    return st.none() | strategy if schema.get("nullable") else strategy


def _values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return st.deferred(lambda: values(SPECIFICATION["components"]["schemas"][name]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"]) | st.text(max_size=8)
    kind = schema["type"]
    if kind == "object":
        choices = schema.get("oneOf")
        if choices:
            return st.one_of([values(choice) for choice in choices])
        properties = {name: values(member) for name, member in schema.get("properties", {}).items()}
        if not properties:
            return st.dictionaries(
                st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5), json_values, max_size=3
            )
        needed = {name: properties[name] for name in schema.get("required", []) if name in properties}
        optional = {name: value for name, value in properties.items() if name not in needed}
        return st.fixed_dictionaries(needed, optional=optional)
    if kind == "array":
        return st.lists(values(schema["items"]), max_size=3)
    if kind == "string":
        form = schema.get("format")
        if form in ("datetime", "date-time"):
            return DATES.map(datetime.datetime.isoformat)
        if form == "date":
            return st.dates().map(datetime.date.isoformat)
        return st.text(st.characters(codec="utf-8"), max_size=10)
    simple = {
        "integer": st.integers(-(2**63), 2**63 - 1),
        "number": st.integers(-(2**31), 2**31) | st.floats(allow_nan=False),
        "boolean": st.booleans(),
    }
    return simple[kind]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def of_path(path: str) -> dict[str, Any]:
    schema: dict[str, Any] = SPECIFICATION["paths"][path]["get"]["responses"]["200"]["content"]["application/json"][
        "schema"
    ]
    return schema


OBJECTS: list[tuple[type[Model], str, str]] = [
    (AssetRequest, "/requests/{id}", "PR-1-001"),
    (TierConfigRequest, "/tier/config-requests/{id}", "TCR-1"),
    (ListingRequest, "/listing-requests/{id}", "LSTR-1"),
    (TierAccountRequest, "/tier/account-requests/{id}", "TAR-1"),
    (UsageFile, "/usage/files/{id}", "UF-1"),
    (UsageChunkFile, "/usage/chunks/{id}", "UFC-1"),
    (BillingRequest, "/subscriptions/requests/{id}", "BRV-1"),
    (Case, "/helpdesk/cases/{id}", "CA-1"),
]


@pytest.mark.parametrize(("model", "path", "key"), OBJECTS)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_the_specification_allows_is_taken_and_comes_back(
    model: type[Model], path: str, key: str, data: st.DataObject
) -> None:
    schema = of_path(path)
    obj = {**data.draw(values(schema)), "id": key}
    # Connect adds fields without notice.
    if data.draw(st.booleans()):
        obj["added"] = data.draw(json_values)
    parsed = model(obj)
    assert same(parsed.to_dict(), obj)
    for name in obj:
        assert name in parsed
        assert same(parsed[name], obj[name])
        getattr(parsed, name)
    assert pickle.loads(pickle.dumps(parsed)) == parsed


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_event_definitions_too(data: st.DataObject) -> None:
    obj = data.draw(values({"$ref": "#/components/schemas/eaas.EventDefinition"}))
    assert same(EventDefinition(obj).to_dict(), obj)


@given(
    st.dictionaries(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8), json_values, max_size=6)
)
@settings(deadline=None)
def test_objects_of_types_that_are_not_known_are_kept(obj: dict[str, Any]) -> None:
    parsed = parse_event("made_up_processing", obj)
    assert isinstance(parsed, events.Other)
    assert same(parsed.to_dict(), obj)
    assert list(parsed) == list(obj)
    for name, value in obj.items():
        assert same(parsed[name], value)


def test_every_property_of_the_specification_is_a_field() -> None:
    """So that a field is found by its attribute, and by a type checker."""
    models = {name: {field for field, *_ in fields} for name, _, _, fields in event_models()}
    for model, path, _ in OBJECTS:
        schema = of_path(path)
        if "$ref" in schema:
            schema = SPECIFICATION["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        assert set(schema["properties"]) <= models[model.__name__]


def test_the_module_is_what_the_models_say() -> None:
    """Else run `python -m scripts.events_module`."""
    written = Path(events.__file__).read_text(encoding="utf-8")
    assert "".join(written.split()) == "".join(events_module.module().split())


# What Connect adds, and what it leaves out.


OF_THE_ENUMERATION = 25
"""The types of `connect.eaas.core.enums.EventType`. Connect offers more."""


def test_all_types_of_events_that_extensions_handle_are_known() -> None:
    more = {
        "listing_request_processing": ("background", ListingRequest, "completed"),
        "listing_processing": ("background", Listing, "unlisted"),
        "helpdesk_case_processing": ("background", Case, "resolved"),
        "product_changed": ("background", Product, "endofsale"),
        "contract_changed": ("background", Contract, "enrolling"),
        "pricelist_version_changed": ("background", PriceListVersion, "scheduled"),
        "translation_change": ("background", Translation, "active"),
        "installation_status_change": ("background", Installation, "uninstalled"),
        "billing_transformation_request": ("transformation", TransformationRequest, "pending"),
        "pricing_transformation_request": ("transformation", TransformationRequest, "pending"),
    }
    assert len(EVENT_TYPES) == OF_THE_ENUMERATION + len(more)
    for name, (category, model, status) in more.items():
        assert (EVENT_TYPES[name].category, EVENT_TYPES[name].model) == (category, model)
        assert status in EVENT_TYPES[name].statuses
    known = EVENT_TYPES["asset_purchase_request_processing"]
    assert (known.category, known.model) == ("background", AssetRequest)
    assert "pending" in known.statuses
    assert EVENT_TYPES["product_action_execution"].category == "interactive"
    assert EVENT_TYPES["scheduled_execution"].category == "scheduled"
    assert EVENT_TYPES["asset_change_request_validation"].statuses == ("draft", "inquiring")
    assert "processed" in EVENT_TYPES["usage_file_request_processing"].statuses


@pytest.mark.parametrize(
    ("event_type", "key", "model"),
    [
        ("asset_made_up_processing", "PR-1", AssetRequest),
        ("helpdesk_case_pending", "CA-1", Case),
        ("made_up", "TCR-1", TierConfigRequest),
        ("made_up", "BRV-1", BillingRequest),
        ("made_up", "XX-1", events.Other),
        ("asset_made_up", "AS-1", Asset),
        ("made_up", "TA-1", events.TierAccount),
        ("made_up", "TC-1", events.TierConfig),
        ("listing_processing", "LST-1", Listing),
        ("listing_processing", "LSTR-1", ListingRequest),
        ("listing_request_processing", "LST-1", Listing),
        ("listing_made_up", "XX-1", Listing),
        ("asset_purchase_request_processing", "TCR-1", TierConfigRequest),
        ("asset_purchase_request_processing", "XX-1", AssetRequest),
        ("usage_transformation_request", "XX-1", TransformationRequest),
        ("product_custom_event_processing", "PR-1", events.CustomEvent),
    ],
)
def test_an_objects_class_is_told_by_its_id_and_else_by_the_types_name(event_type: str, key: str, model: Any) -> None:
    assert type(parse_event(event_type, {"id": key})) is model


def test_a_real_listing_is_no_listing_request() -> None:
    obj = {
        "id": "LST-000-000-000",
        "status": "unlisted",
        "contract": {"id": "CRD-00000-00000-00000", "marketplace": {"id": "MP-00000", "name": "Marketplace"}},
        "product": {"id": "PRD-000-000-000", "version": 2, "status": "published"},
        "created": "2023-06-27T12:29:06+00:00",
        "upgrade_available": True,
    }
    listing = parse_event("listing_processing", obj)
    assert isinstance(listing, Listing)
    assert listing.product is not None
    assert (listing.product.version, listing.upgrade_available) == (2, True)
    assert same(listing.to_dict(), obj)


def test_a_real_installation_is_typed() -> None:
    account = {"id": "PA-000-000", "name": "Provider account 00", "icon": "/media/icon.png", "role": "distributor"}
    obj = {
        "id": "EIN-8436-7221-8308",
        "environment": {
            "id": "ENV-2244-9935-01",
            "type": "development",
            "icon": "googleExtensionBaseline",
            "extension": {"id": "SRVC-2244-9935", "name": "ext", "owner": account, "extension_id": "EXT-426-640"},
            "hostname": "srvc-2244-9935-dev",
            "domain": "ext.example",
            "git": {},
            "runtime": "local",
        },
        "owner": account,
        "settings": {"account_info": {"any": ["thing"]}},
        "events": {"installed": {"at": "2023-06-27T11:22:01+00:00", "by": {"id": "UR-000-000-000", "name": "Name"}}},
        "status": "installed",
    }
    installation = parse_event("installation_status_change", obj)
    assert isinstance(installation, Installation)
    assert installation.environment is not None
    assert installation.environment.extension is not None
    assert installation.environment.extension.owner is not None
    assert installation.environment.extension.owner.role == "distributor"
    assert installation.events is not None
    assert installation.events.installed is not None
    assert installation.events.installed.at == datetime.datetime(2023, 6, 27, 11, 22, 1, tzinfo=datetime.timezone.utc)
    assert same(installation.to_dict(), obj)


def test_a_real_translation_is_typed() -> None:
    obj = {
        "id": "TRN-8100-3865-4869",
        "context": {"id": "LCX-2604-7704-5548", "instance_id": "PRD-746-555-769", "name": "Name", "type": "product"},
        "owner": {"id": "VA-063-000", "name": "Vendor account 00"},
        "locale": {"id": "ES-AR", "name": "Argentinian Spanish"},
        "stats": {"total": 30, "translated": 20},
        "auto": {"enabled": False, "status": "off"},
        "status": "active",
        "primary": False,
    }
    translation = parse_event("translation_change", obj)
    assert isinstance(translation, Translation)
    assert translation.context is not None
    assert translation.locale is not None
    assert translation.stats is not None
    assert (translation.context.instance_id, translation.locale.id) == ("PRD-746-555-769", "ES-AR")
    assert translation.stats.translated == 20
    assert same(translation.to_dict(), obj)


def test_a_real_transformation_request_is_typed() -> None:
    obj = {
        "id": "TFR-000",
        "status": "pending",
        "files": {"input": {"id": "MFL-0001", "name": "/path/to/input.xlsx"}, "output": {"id": None, "name": None}},
        "batch": {"id": "TRB-0001"},
        "transformation": {
            "columns": {"input": [{"name": "price", "type": "str", "nullable": True}], "output": [{"name": "id"}]},
            "settings": [{"from": "ColumnA", "to": "NewColC"}],
        },
        "stats": {"rows": {"total": 7, "processed": 0}},
    }
    request = parse_event("billing_transformation_request", obj)
    assert isinstance(request, TransformationRequest)
    assert request.files is not None
    assert request.files.input is not None
    assert request.files.input.name == "/path/to/input.xlsx"
    assert request.transformation is not None
    assert request.transformation.columns is not None
    assert request.transformation.columns.input is not None
    assert request.transformation.columns.input[0].nullable is True
    assert request.transformation.settings == [{"from": "ColumnA", "to": "NewColC"}]
    assert same(request.to_dict(), obj)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (events.Constraints, {"meta": {"a": 1}, "hint": "a", "placeholder": "b", "default": [1]}),
        (
            UsageFile,
            {
                "id": "UF-1",
                "created_by": "a@example.com",
                "uploaded_by": {"id": "UR-1"},
                "submitted_by": "b",
                "note": "c",
            },
        ),
        (events.TierAccount, {"marketplace": {"id": "MP-1"}}),
        (AssetRequest, {"id": "PR-1", "external_attributes": {"a": {"b": 1}}}),
        (events.Template, {"representation": "a"}),
        (Product, {"version": 2, "public": True, "capabilities": {"ppu": None}}),
        (events.Hub, {"account_id": "PA-1", "uuid": "u", "instance_id": "i"}),
        (Param, {"reconciliation": True}),
        (events.Reference, {"type": "a", "icon": "b"}),
        (events.TierConfig, {"tiers": {"tier1": {"id": "TA-1"}}}),
        (Listing, {"upgrade_available": False}),
    ],
)
def test_fields_that_connect_has_added_have_a_type(model: type[Model], fields: dict[str, Any]) -> None:
    obj: Any = model(fields)
    for name, value in fields.items():
        assert name in model.__annotations__
        found = getattr(obj, name)
        assert (found.to_dict() if isinstance(found, Model) else found) == value


def test_moments_of_usage_files_are_moments() -> None:
    names = ("created_at", "uploaded_at", "submitted_at")
    file: Any = UsageFile({"id": "UF-1", **dict.fromkeys(names, "2020-05-21T08:19:37+00:00")})
    assert {getattr(file, name).year for name in names} == {2020}


def test_unknown_fields_statuses_and_values_are_kept() -> None:
    request: Any = AssetRequest({"id": "PR-1", "status": "made_up", "type": "made_up", "new": {"a": [1, {"b": None}]}})
    assert request.status == "made_up"
    assert request.new == {"a": [1, {"b": None}]}
    assert request["new"]["a"][0] == 1
    assert "new" in request
    assert "note" not in request
    assert request.note is None
    assert {"new", "note", "asset"} <= set(dir(request))
    with pytest.raises(AttributeError, match="no field 'nonsense'"):
        _ = request.nonsense
    with pytest.raises(KeyError, match="note"):
        _ = request["note"]
    with pytest.raises(AttributeError):
        request.note = "x"


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("10", Decimal(10)),
        ("0.5", Decimal("0.5")),
        ("unlimited", "unlimited"),
        (7, Decimal(7)),
        (2.5, Decimal("2.5")),
        ("", ""),
        (None, None),
        ("1e5", "1e5"),
    ],
)
def test_quantities_are_decimals_or_words(quantity: Any, expected: Any) -> None:
    item = Item({"quantity": quantity})
    assert item.quantity == expected
    assert type(item.quantity) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-05-21T08:19:37+00:00", datetime.datetime(2020, 5, 21, 8, 19, 37, tzinfo=datetime.timezone.utc)),
        ("2020-05-21T08:19:37.5", datetime.datetime(2020, 5, 21, 8, 19, 37, 500_000, tzinfo=datetime.timezone.utc)),
        ("2020-05-21", datetime.datetime(2020, 5, 21, tzinfo=datetime.timezone.utc)),
        (
            "2020-05-21T08:19:37+02:00",
            datetime.datetime(2020, 5, 21, 8, 19, 37, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
        ),
        ("", None),
    ],
)
def test_moments_are_aware(text: str, expected: Any) -> None:
    moment = AssetRequest({"id": "x", "created": text}).created
    assert moment == expected
    assert moment is None or moment.utcoffset() == expected.utcoffset()


def test_dates_are_dates_and_keywords_have_an_underscore() -> None:
    period = events.UsagePeriod({"from": "2020-01-01", "to": "2020-02-01T00:00:00Z"})
    assert period.from_ == datetime.date(2020, 1, 1)
    assert isinstance(period.to, datetime.datetime)
    assert getattr(period, "from") == datetime.date(2020, 1, 1)


# As Python objects.


def test_instances_match_compare_copy_and_pickle() -> None:
    request = AssetRequest(PURCHASE)
    match request:
        case AssetRequest(id=key, type="purchase", asset=Asset(status=status)):
            assert (key, status) == (PURCHASE["id"], PURCHASE["asset"]["status"])
        case _:
            pytest.fail("it does not match")
    match request:
        case AssetRequest("another id"):
            pytest.fail("it matches another id")
    again = AssetRequest(dict(reversed(list(PURCHASE.items()))))
    assert request == again
    assert request != AssetRequest({**PURCHASE, "note": "x"})
    assert request != TierConfigRequest(TIER_CONFIG)
    assert request.asset != request
    assert copy.copy(request) is request
    assert copy.deepcopy([request]) == [request]
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        for one in (request, request.asset):
            back = pickle.loads(pickle.dumps(one, protocol))
            assert (type(back), back) == (type(one), one)
    with pytest.raises(TypeError, match="unhashable"):
        hash(request)
    assert AssetRequest(request) == request


def test_a_view_outlives_its_object() -> None:
    asset = AssetRequest(PURCHASE).asset
    assert asset is not None
    assert asset.to_dict() == PURCHASE["asset"]


def test_the_object_is_not_changed_nor_followed() -> None:
    obj = copy.deepcopy(PURCHASE)
    request = AssetRequest(obj)
    assert obj == PURCHASE
    obj["id"] = "changed"
    assert request.id == PURCHASE["id"]


def test_no_secret_shows() -> None:
    password = {"id": "p", "type": "password", "value": "hunter2", "structured_value": {"a": "hunter2"}}
    request = AssetRequest({"id": "PR-1", "asset": {"params": [password]}})
    assert request.asset is not None
    assert request.asset.params is not None
    for one in (request, request.asset, request.asset.params[0]):
        assert "hunter2" not in repr(one)
    assert repr(request.asset.params[0]) == "Param(id='p', type='password')"
    wrong = {**password, "title": 5, "constraints": "hunter2", "events": {"created": {"at": "hunter2"}}}
    with pytest.raises(EventValidationError) as refused:
        Param.validate(wrong)
    assert len(refused.value.errors) == 3
    assert "hunter2" not in f"{refused.value!r} {refused.value} {Param(wrong).deviations}"
    task = Task({"options": {"task_id": "t", "api_key": "hunter2"}})
    assert "hunter2" not in f"{task!r} {task.options!r}"


# Objects that differ from their class.


def test_every_deviation_is_listed_with_its_path_and_the_values_are_there() -> None:
    obj = {
        "id": "PR-1",
        "created": "yesterday",
        "status": 5,
        "asset": {"items": [{}, {}, {"quantity": ["x"]}], "params": {"a": 1}, "product": "PRD-1"},
        "new": [2**70, "\ud800", {"\0": 1, "$oid": 2}],
    }
    request: Any = AssetRequest(obj)
    assert request.deviations == (
        Deviation("created", "a date or a date and time in ISO 8601 format", "another string"),
        Deviation("status", "a string", "int"),
        Deviation("asset.items[2].quantity", "a number or a string", "list"),
        Deviation("asset.params", "a list", "dict"),
        Deviation("asset.product", "a dict", "str"),
    )
    assert problems(AssetRequest, obj) == {
        one.path: f"expected {one.expected}, got {one.actual}" for one in request.deviations
    }
    assert (request.created, request.status) == ("yesterday", 5)
    assert request.asset.items[2].quantity == ["x"]
    assert (request.asset.params, request.asset.product) == ({"a": 1}, "PRD-1")
    assert [one.path for one in request.asset.deviations] == ["items[2].quantity", "params", "product"]
    assert same(request.new, obj["new"])
    assert same(request.to_dict(), obj)
    assert pickle.loads(pickle.dumps(request)) == request
    assert AssetRequest(PURCHASE).deviations == ()
    assert AssetRequest.validate(PURCHASE).id == PURCHASE["id"]


def test_at_most_50_deviations_are_listed() -> None:
    assert len(AssetRequest({"id": "PR-1", "asset": {"items": [{"mpn": 1}] * 60}}).deviations) == 50


def test_values_of_bson_that_json_lacks_are_kept_and_deviate() -> None:
    key, moment = ObjectId(), datetime.datetime(2020, 1, 1)
    request: Any = AssetRequest({"id": "PR-1", "new": {"key": key, "moment": moment, "bytes": b"x"}, "created": moment})
    assert request.new == {"key": key, "moment": moment, "bytes": b"x"}
    assert request.created == moment
    assert {one.path for one in request.deviations} == {"new.key", "new.moment", "new.bytes", "created"}


@pytest.mark.parametrize("obj", [None, [], "x", 5, (), {1, 2}])
def test_only_an_object_has_a_class(obj: Any) -> None:
    for make in (
        AssetRequest,
        AssetRequest.validate,
        lambda obj: parse_event("asset_purchase_request_processing", obj),
    ):
        with pytest.raises(EventValidationError, match="expected a dict"):
            make(obj)


def test_an_object_has_an_id_unless_it_is_a_draft() -> None:
    assert problems(AssetRequest, {})["id"] == "expected a string, got nothing"
    assert problems(AssetRequest, {"id": None})["id"] == "expected a string, got None"
    assert problems(AssetRequest, {"id": ["x"]})["id"] == "expected a string, got list"
    assert AssetRequest({"id": 7}).id == 7  # type: ignore[comparison-overlap]
    assert AssetRequest({"status": "draft"}).deviations == ()
    # Objects without ids of their own need none.
    assert parse_event("product_action_execution", {"method": "POST"}, strict=True)["method"] == "POST"


def test_an_object_of_another_kind_deviates() -> None:
    assert "TierConfigRequest" in problems(AssetRequest, TIER_CONFIG)["id"]
    assert AssetRequest(TierConfigRequest(TIER_CONFIG)).to_dict() == TIER_CONFIG


@pytest.mark.parametrize("event_type", [None, 5, b"x", ""])
def test_an_event_type_is_a_str(event_type: Any) -> None:
    with pytest.raises(EventValidationError, match="event_type"):
        parse_event(event_type, PURCHASE)


def test_cycles_and_endless_depths_are_refused() -> None:
    cycle: dict[str, Any] = {"id": "PR-1"}
    cycle["self"] = cycle
    cycle["again"] = [cycle, cycle]
    with pytest.raises(EventValidationError, match="self: the object contains itself"):
        AssetRequest(cycle)
    deep: Any = 1
    for _ in range(2000):
        deep = [deep]
    with pytest.raises(EventValidationError, match="nested more than 1000 levels deep"):
        AssetRequest({"id": "x", "a": deep})


@pytest.mark.parametrize("value", [{1}, Decimal(1), object()])
def test_a_value_that_neither_json_nor_bson_has_is_refused(value: Any) -> None:
    with pytest.raises(EventValidationError, match=r"new\[0\]: expected a JSON value, got"):
        AssetRequest({"id": "PR-1", "new": [value]})
    with pytest.raises(EventValidationError, match="expected a field name of type str, got int"):
        AssetRequest({"id": "PR-1", "new": [{1: 2}]})


def test_errors_and_deviations_pickle() -> None:
    with pytest.raises(EventValidationError) as refused:
        AssetRequest.validate({})
    back = pickle.loads(pickle.dumps(refused.value))
    assert (str(back), back.errors) == (str(refused.value), refused.value.errors)
    deviations = AssetRequest({"id": 1}).deviations
    assert pickle.loads(pickle.dumps(deviations)) == deviations
