"""`store_event` on real applications of `connect-eaas-core`."""

from __future__ import annotations

import asyncio
import copy
import inspect
import itertools
import json
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import MagicMock

import pytest
from connect.client import ConnectClient
from connect.eaas.core.decorators import event, schedulable, transformation, variables
from connect.eaas.core.extension import EventsApplicationBase, TransformationsApplicationBase
from connect.eaas.core.responses import (
    BackgroundResponse,
    InteractiveResponse,
    RowTransformationResponse,
    ScheduledExecutionResponse,
    ValidationResponse,
)
from connect.eaas.mongodb import (
    STORE_VARIABLES,
    VARIABLES,
    AsyncEventStore,
    MongoClient,
    drain_store,
    open_store,
    store_event,
)
from connect.eaas.mongodb.events import EVENT_TYPES
from pymongo.errors import ConfigurationError, ServerSelectionTimeoutError

SAMPLES = Path(__file__).parent.parent.parent / "demo" / "samples"
PURCHASE = json.loads((SAMPLES / "asset-purchase-request.json").read_text(encoding="utf-8"))


@variables(VARIABLES + STORE_VARIABLES)
class Application(EventsApplicationBase):
    handled: ClassVar[list[Any]] = []

    @event("asset_purchase_request_processing", statuses=["pending", "approved"])
    @store_event
    async def purchase(self, request: Any) -> Any:
        """Handles purchases."""
        self.handled.append(request)
        return BackgroundResponse.done()

    @event("asset_change_request_processing", statuses=["pending"])
    @store_event(on_error="reschedule", countdown=100)
    def change(self, request: Any) -> Any:
        self.handled.append(request)
        return BackgroundResponse.done()

    @event("asset_cancel_request_processing", statuses=["pending"])
    @store_event(path="data_api")
    @store_event(path="driver")
    async def cancel(self, request: Any) -> Any:
        self.handled.append(request)
        return BackgroundResponse.done()

    @event("asset_suspend_request_processing", statuses=["pending"])
    @store_event(on_error="continue")
    async def suspend(self, request: Any) -> Any:
        self.handled.append(request)
        return BackgroundResponse.done()

    @event("asset_resume_request_processing", statuses=["pending"])
    @store_event(on_error="raise")
    async def resume(self, request: Any) -> Any:
        return BackgroundResponse.done()

    @event("asset_purchase_request_validation")
    @store_event
    async def validate(self, request: Any) -> Any:
        self.handled.append(request)
        return ValidationResponse.done(request)

    @event("product_action_execution")
    @store_event
    async def action(self, request: Any) -> Any:
        self.handled.append(request)
        return InteractiveResponse.done(body={"ok": True})

    @event("product_custom_event_processing")
    @store_event(timeout=0.2)
    async def custom(self, request: Any) -> Any:
        return InteractiveResponse.done()

    @event("made_up_processing", statuses=["pending"])
    @store_event
    async def made_up(self, request: Any) -> Any:
        return BackgroundResponse.done()

    @event("asset_renew_request_processing", statuses=["pending"])
    @store_event(on_invalid="fail")
    async def renew(self, request: Any) -> Any:
        self.handled.append(request)
        return BackgroundResponse.done()

    @event("asset_transfer_request_processing", statuses=["pending"])
    @store_event(on_invalid="reschedule", countdown=90)
    def transfer(self, request: Any) -> Any:
        self.handled.append(request)
        return BackgroundResponse.done()

    @event("asset_change_request_validation")
    @store_event(on_invalid="reschedule")
    async def validate_change(self, request: Any) -> Any:
        self.handled.append(request)
        return ValidationResponse.done(request)

    @schedulable("Name", "Description")
    @store_event
    async def scheduled(self, schedule: Any) -> Any:
        self.handled.append(schedule)
        return ScheduledExecutionResponse.done()


@pytest.fixture(scope="module")
def servers() -> dict[str, str]:
    """Those of `tests/example.py`."""
    names = {"DB_HOST": "TEST_MONGODB_URI", "DATA_API_ENDPOINT": "TEST_GATEWAY_URL", "API_KEY": "TEST_GATEWAY_KEY"}
    return {variable: os.environ[name] for variable, name in names.items()} | {"CLUSTER": "Cluster0"}


_numbers = itertools.count()


@pytest.fixture
def config(servers: dict[str, str], request: pytest.FixtureRequest) -> dict[str, str]:
    name = f"{request.node.originalname[:40]}_{next(_numbers)}"
    names = {"DB": f"store_event_{os.getpid()}", "HTTP_COLLECTION": f"{name}_http", "DRIVER_COLLECTION": name}
    return {**servers, **names, "DB_USER": "", "DB_PASSWORD": "", "DB_OPTIONS": ""}


@pytest.fixture
def away(config: dict[str, str]) -> dict[str, str]:
    """MongoDB is away."""
    return {**config, "DB_HOST": "127.0.0.1:1", "DB_OPTIONS": "serverSelectionTimeoutMS=200"}


def application(config: dict[str, str]) -> Any:
    Application.handled = []
    logger = logging.LoggerAdapter(logging.getLogger("tests"), {"task_id": "TQ-1"})
    context = SimpleNamespace(extension_id="SRVC-1", environment_id="ENV-1")
    return Application(None, logger, config, installation={"id": "EIN-1"}, context=context)


def stored(config: dict[str, str], suffix: str = "") -> list[dict[str, Any]]:
    with MongoClient(config["DB_HOST"]) as client:
        found: list[dict[str, Any]] = client[config["DB"]][config["DRIVER_COLLECTION"] + suffix].find().to_list()
        return found


def test_the_runner_sees_the_handlers_as_before() -> None:
    events = {info["method"]: info for info in Application.get_events()}
    assert events["purchase"] == {
        "method": "purchase",
        "event_type": "asset_purchase_request_processing",
        "statuses": ["pending", "approved"],
    }
    assert len(events) == 12
    assert Application.get_schedulables() == [{"method": "scheduled", "name": "Name", "description": "Description"}]
    assert inspect.iscoroutinefunction(Application.purchase)
    assert inspect.iscoroutinefunction(Application.cancel)
    assert not inspect.iscoroutinefunction(Application.change)
    assert Application.purchase.__doc__ == "Handles purchases."
    assert list(inspect.signature(Application.purchase).parameters) == ["self", "request"]
    assert Application.get_variables() == VARIABLES + STORE_VARIABLES


async def test_an_event_is_stored_and_then_handled(config: dict[str, str]) -> None:
    request = copy.deepcopy(PURCHASE)
    answer = await application(config).purchase(request)
    assert answer.status == "success"
    assert Application.handled == [request]
    assert request == PURCHASE
    (document,) = stored(config)
    known = document["_connect"]
    assert {name: known[name] for name in ("task_id", "installation_id", "extension_id", "environment_id")} == {
        "task_id": "TQ-1",
        "installation_id": "EIN-1",
        "extension_id": "SRVC-1",
        "environment_id": "ENV-1",
    }
    assert (await application(config).purchase(request)).status == "success"
    assert len(stored(config)) == 1


def test_handlers_that_are_not_awaited_too(config: dict[str, str]) -> None:
    assert application(config).change(PURCHASE).status == "success"
    assert Application.handled == [PURCHASE]
    assert [document["_connect"]["event_type"] for document in stored(config)] == ["asset_change_request_processing"]


async def test_on_both_paths(config: dict[str, str]) -> None:
    assert (await application(config).cancel(PURCHASE)).status == "success"
    assert Application.handled == [PURCHASE]
    (one,), (other,) = stored(config), stored(config, "_http")
    assert one["_id"] == other["_id"]
    assert one["_connect"]["event_type"] == other["_connect"]["event_type"] == "asset_cancel_request_processing"


async def test_background_events_are_rescheduled_with_growing_countdown(away: dict[str, str]) -> None:
    request = {**PURCHASE, "id": "PR-of-this-test"}
    answers = [await application(away).purchase(request) for _ in range(3)]
    assert [(answer.status, answer.countdown) for answer in answers] == [("reschedule", n) for n in (60, 120, 240)]
    assert Application.handled == []
    other = {**PURCHASE, "id": "PR-another-of-this-test"}
    countdowns = [application(away).change(other).countdown for _ in range(7)]
    assert countdowns == [100, 200, 400, 800, 1600, 3200, 3600]
    assert (await application(away).made_up({"id": "PR-x"})).status == "reschedule"


async def test_what_was_stored_after_all_begins_anew(config: dict[str, str], away: dict[str, str]) -> None:
    request = {**PURCHASE, "id": "PR-that-comes-back"}
    for _ in range(2):
        await application(away).purchase(request)
    assert (await application(config).purchase(request)).status == "success"
    assert (await application(away).purchase(request)).countdown == 60


async def test_interactive_events_fail_at_once_with_a_message(away: dict[str, str]) -> None:
    validation = await application(away).validate({**PURCHASE, "status": "draft"})
    assert (validation.status, validation.http_status) == ("fail", 400)
    assert "could not be stored" in validation.output
    action = await application(away).action({"method": "POST"})
    assert (action.status, action.http_status) == ("fail", 503)
    assert action.body == {"error": "the event could not be processed"}
    assert "could not be stored" in action.output
    assert Application.handled == []


async def test_interactive_events_are_answered_within_their_time(config: dict[str, str]) -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(5)
        slow = {**config, "DB_HOST": f"127.0.0.1:{silent.getsockname()[1]}"}
        begun = time.monotonic()
        answer = await application(slow).custom({"method": "POST"})
        assert (answer.status, answer.http_status) == ("fail", 503)
        assert "within 0.2 s" in answer.output
        assert time.monotonic() - begun < 4


async def test_stacked_countdowns_grow(config: dict[str, str], away: dict[str, str]) -> None:
    request = {**PURCHASE, "id": "PR-stacked"}
    countdowns = [
        (await application({**away, "DATA_API_ENDPOINT": config["DATA_API_ENDPOINT"]}).cancel(request)).countdown
        for _ in range(3)
    ]
    assert countdowns == [60, 120, 240]


async def test_a_variable_at_fault_is_told(config: dict[str, str]) -> None:
    broken = {**config, "DRIVER_COLLECTION": ""}
    with pytest.raises(ConfigurationError, match="DRIVER_COLLECTION"):
        await application(broken).purchase(PURCHASE)
    answer = await application(broken).action({"method": "POST"})
    assert (answer.status, answer.http_status) == ("fail", 503)
    assert "DRIVER_COLLECTION" in answer.output
    assert (await application(broken).scheduled({"id": "EFS-1"})).status == "fail"
    await drain_store(broken)
    assert not await open_store(broken)


async def test_unusual_contexts_and_loggers_do_no_harm(config: dict[str, str]) -> None:
    unusual = Application(None, object(), config, installation=5, context=SimpleNamespace(extension_id=5))
    assert (await unusual.purchase(PURCHASE)).status == "success"


async def test_scheduled_events_fail(config: dict[str, str], away: dict[str, str]) -> None:
    schedule = {"id": "EFS-1", "parameter": {"a": 1}}
    assert (await application(away).scheduled(schedule)).status == "fail"
    assert (await application(config).scheduled(schedule)).status == "success"
    assert stored(config)[0]["_connect"]["object"] == "ScheduledExecution"


async def test_other_policies(away: dict[str, str]) -> None:
    assert (await application(away).suspend(PURCHASE)).status == "success"
    assert Application.handled == [PURCHASE]
    with pytest.raises(ServerSelectionTimeoutError):
        await application(away).resume(PURCHASE)
    wrong: Any = "panic"
    for arguments in ({"on_error": wrong}, {"on_invalid": wrong}, {"countdown": 0}, {"timeout": 0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            store_event(**arguments)


NEVER_STORED = {**PURCHASE, "note": 2**70}


async def test_an_object_that_can_never_be_stored_becomes_a_dead_letter_and_is_handled(config: dict[str, str]) -> None:
    for _ in range(2):
        assert (await application(config).purchase(NEVER_STORED)).status == "success"
        assert Application.handled == [NEVER_STORED]
    assert application(config).change({**NEVER_STORED, "id": "PR-change"}).status == "success"
    large = {"id": "PR-large", "note": "a" * (17 << 20)}
    assert (await application(config).purchase(large)).status == "success"
    assert Application.handled == [large]
    assert stored(config) == []
    # A large one may be kept in several documents.
    letters = [letter for letter in stored(config, "_dead_letters") if "event_type" in letter]
    assert sorted(letter["event_type"] for letter in letters) == [
        "asset_change_request_processing",
        "asset_purchase_request_processing",
        "asset_purchase_request_processing",
    ]


async def test_or_its_task_fails(config: dict[str, str]) -> None:
    answer = await application(config).renew(NEVER_STORED)
    assert answer.status == "fail"
    assert "note: " in answer.output
    assert "64 bits" in answer.output
    assert Application.handled == []
    assert len(stored(config, "_dead_letters")) == 1


async def test_or_it_is_delivered_again(config: dict[str, str]) -> None:
    request = {**NEVER_STORED, "id": "PR-delivered-again"}
    answers = [application(config).transfer(request) for _ in range(2)]
    assert [(answer.status, answer.countdown) for answer in answers] == [("reschedule", 90), ("reschedule", 180)]
    assert Application.handled == []
    # Nobody delivers an interactive event again.
    validation = await application(config).validate_change(request)
    assert (validation.status, validation.http_status, validation.body) == ("fail", 400, request)
    assert len(stored(config, "_dead_letters")) == 2


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_dead_letter_that_mongodb_refuses_stops_no_handler(config: dict[str, str], blocking: bool) -> None:
    name = config["DRIVER_COLLECTION"] + "_dead_letters"
    with MongoClient(config["DB_HOST"]) as client:
        # A view takes no documents.
        client[config["DB"]].command({"create": name, "viewOn": config["DRIVER_COLLECTION"], "pipeline": []})
    if blocking:
        assert application(config).change(NEVER_STORED).status == "success"
    else:
        assert (await application(config).purchase(NEVER_STORED)).status == "success"
    assert Application.handled == [NEVER_STORED]
    assert (await application(config).renew(NEVER_STORED)).status == "fail"


async def test_a_dead_letter_that_cannot_be_kept_is_delivered_again(away: dict[str, str]) -> None:
    assert (await application(away).purchase({**NEVER_STORED, "id": "PR-a"})).status == "reschedule"
    assert application(away).change({**NEVER_STORED, "id": "PR-b"}).status == "reschedule"
    assert (await application(away).renew({**NEVER_STORED, "id": "PR-c"})).status == "reschedule"
    assert Application.handled == []


async def test_the_store_opens_early_and_drains(config: dict[str, str], away: dict[str, str]) -> None:
    assert await open_store(config)
    assert await open_store(config, path="data_api")
    assert not await open_store(away, logger=logging.getLogger("tests"))
    saving = [asyncio.ensure_future(application(config).purchase({**PURCHASE, "note": str(n)})) for n in range(50)]
    await asyncio.sleep(0)
    await drain_store(config)
    assert len(stored(config)) == 50
    await asyncio.gather(*saving)
    assert len(await AsyncEventStore.from_config(config).history(PURCHASE["id"]).to_list()) == 50


class Declared(EventsApplicationBase):
    """Its handlers are declared in `extension.json`, as before there was `@event`."""

    handled: ClassVar[list[Any]] = []

    @classmethod
    def get_descriptor(cls) -> dict[str, Any]:
        return {
            "capabilities": {"asset_purchase_request_processing": ["pending"]},
            "schedulables": [{"method": "refresh", "name": "Name", "description": "Description"}],
        }

    @store_event
    async def process_asset_purchase_request(self, request: Any) -> Any:
        return BackgroundResponse.done()

    @store_event
    def validate_tier_config_setup_request(self, request: Any) -> Any:
        return ValidationResponse.done(request)

    @store_event
    def process_usage_chunk_file(self, request: Any) -> Any:
        return BackgroundResponse.done()

    @store_event
    def execute_product_action(self, request: Any) -> Any:
        return InteractiveResponse.done()

    @store_event
    async def refresh(self, schedule: Any) -> Any:
        return ScheduledExecutionResponse.done()

    @store_event
    async def of_another_name(self, request: Any) -> Any:
        return BackgroundResponse.done()


def client_for(event_type: str, task_id: str = "TQ-1") -> ConnectClient:
    """A client of Connect as the runner makes it for a task."""
    headers = {"EAAS_EXT_ID": "SRVC-1", "EAAS_TASK_ID": task_id, "EAAS_TASK_TYPE": event_type}
    return ConnectClient("ApiKey", endpoint="https://localhost/public/v1", use_specs=False, default_headers=headers)


async def answer_of(method: Any, *arguments: Any, **more: Any) -> Any:
    answer = method(*arguments, **more)
    return await answer if inspect.isawaitable(answer) else answer


@pytest.mark.parametrize(
    ("method", "event_type"),
    [
        ("process_asset_purchase_request", "asset_purchase_request_processing"),
        ("validate_tier_config_setup_request", "tier_config_setup_request_validation"),
        ("process_usage_chunk_file", "part_usage_file_request_processing"),
        ("execute_product_action", "product_action_execution"),
        ("refresh", "scheduled_execution"),
    ],
)
@pytest.mark.parametrize("in_the_runner", [True, False])
async def test_a_handler_without_a_decorator_is_stored_under_the_type_that_it_is_for(
    config: dict[str, str], away: dict[str, str], method: str, event_type: str, in_the_runner: bool
) -> None:
    client = client_for(event_type) if in_the_runner else None
    name = EVENT_TYPES[event_type].model.__name__
    obj = {"id": {"AssetRequest": "PR-1", "TierConfigRequest": "TCR-1", "UsageChunkFile": "UFC-1"}.get(name, "EFS-1")}
    logger = logging.getLogger("tests")
    assert (await answer_of(getattr(Declared(client, logger, config), method), obj)).status == "success"
    (document,) = stored(config)
    known = document["_connect"]
    assert (known["event_type"], known["object"]) == (event_type, name)
    assert known.get("task_id") == ("TQ-1" if in_the_runner else None)
    # What it answers by itself is for that type too.
    answer = await answer_of(getattr(Declared(client, logger, away), method), obj)
    classes = {
        "background": BackgroundResponse,
        "interactive": InteractiveResponse,
        "scheduled": ScheduledExecutionResponse,
    }
    assert type(answer) is classes[EVENT_TYPES[event_type].category]


async def test_the_runner_says_what_a_handler_of_any_name_is_for(config: dict[str, str]) -> None:
    client = client_for("tier_config_change_request_processing")
    await Declared(client, logging.getLogger("tests"), config).of_another_name({"id": "TCR-1"})
    assert stored(config)[0]["_connect"]["event_type"] == "tier_config_change_request_processing"


async def test_the_decorator_says_more_than_the_runner(config: dict[str, str]) -> None:
    """A schedule that goes through requests calls the handler of a request."""
    await Application(client_for("scheduled_execution"), logging.getLogger("tests"), config).purchase(PURCHASE)
    assert stored(config)[0]["_connect"]["event_type"] == "asset_purchase_request_processing"


async def test_decorators_that_rename_a_handler_are_seen_through(config: dict[str, str]) -> None:
    def renamed(handler: Any) -> Any:
        async def another_name(self: Any, request: Any) -> Any:
            return await handler(self, request)

        another_name.__dict__.update(handler.__dict__)
        return another_name

    class Renamed(EventsApplicationBase):
        @renamed
        @event("usage_file_request_processing", statuses=["ready"])
        @store_event(path="driver")
        @store_event(path="driver", redact=False)
        async def handle(self, request: Any) -> Any:
            return BackgroundResponse.done()

    await Renamed(None, logging.getLogger("tests"), config).handle({"id": "UF-1"})
    assert [document["_connect"]["event_type"] for document in stored(config)] == ["usage_file_request_processing"]


async def test_an_interactive_event_that_is_not_known_may_list_statuses(away: dict[str, str]) -> None:
    class Unknown(EventsApplicationBase):
        @event("made_up_validation", statuses=["draft"])
        @store_event
        async def validate(self, request: Any) -> Any: ...

        @event("made_up_execution")
        @store_event
        async def execute(self, request: Any) -> Any: ...

        @event("made_up_without_statuses", statuses=[])
        @store_event
        async def without_statuses(self, request: Any) -> Any: ...

    unknown = Unknown(None, logging.getLogger("tests"), away)
    validation = await unknown.validate({"id": "MU-1"})
    assert (validation.status, validation.data["http_status"], validation.data["body"]) == ("fail", 400, {"id": "MU-1"})
    execution = await unknown.execute({"id": "MU-1"})
    assert (execution.status, execution.data["http_status"]) == ("fail", 503)
    # Background events without statuses have an empty list, for example those of translations.
    background = await unknown.without_statuses({"id": "MU-2"})
    assert (background.status, background.countdown) == ("reschedule", 60)
    # An interactive task could read it as well.
    assert background.data["http_status"] == 503


class Transformations(TransformationsApplicationBase):
    rows: ClassVar[list[Any]] = []

    @transformation("Name", "Description", "/static/dialog.html")
    @store_event
    async def awaited(self, row: Any) -> Any:
        self.rows.append(row)
        return RowTransformationResponse.done(row)

    @transformation("Name", "Description", "/static/dialog.html")
    @store_event
    def blocking(self, row: Any, row_styles: Any = None) -> Any:
        self.rows.append((row, row_styles))
        return RowTransformationResponse.done(row)


TRANSFORMATION_REQUEST = {"id": "TFR-000", "status": "pending", "batch": {"id": "TRB-0001"}}


def transformations(config: Any, **more: Any) -> Any:
    Transformations.rows = []
    client = client_for("pricing_transformation_request")
    arguments = {"transformation_request": TRANSFORMATION_REQUEST, **more}
    return Transformations(client, logging.getLogger("tests"), config, **arguments)


async def test_a_transformation_request_is_stored_once_for_all_its_rows(config: dict[str, str]) -> None:
    app = transformations(config)
    answers = await asyncio.gather(*(app.awaited({"a": n}) for n in range(20)))
    assert {answer.status for answer in answers} == {"success"}
    assert len(Transformations.rows) == 20
    (document,) = stored(config)
    known = document["_connect"]
    assert (known["event_type"], known["object"]) == ("pricing_transformation_request", "TransformationRequest")
    assert {name: document[name] for name in TRANSFORMATION_REQUEST} == TRANSFORMATION_REQUEST


def test_blocking_rows_too(config: dict[str, str]) -> None:
    app = transformations(config)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: app.blocking({"a": n}, row_styles={}), range(20)))
    assert {answer.status for answer in answers} == {"success"}
    assert len(Transformations.rows) == 20
    assert len(stored(config)) == 1


async def test_rows_of_a_request_that_could_not_be_stored_fail(away: dict[str, str]) -> None:
    app = transformations(away)
    answers = [await app.awaited({"a": 1}), await app.awaited({"a": 2}), app.blocking({"a": 3})]
    for answer in answers:
        assert isinstance(answer, RowTransformationResponse)
        assert answer.status == "fail"
        assert "could not be stored" in answer.output
    assert Transformations.rows == []


async def test_handlers_may_be_called_by_keyword(config: dict[str, str]) -> None:
    assert (await application(config).scheduled(schedule={"id": "EFS-1"})).status == "success"
    assert application(config).change(request=PURCHASE).status == "success"
    assert {document["id"] for document in stored(config)} == {"EFS-1", PURCHASE["id"]}


# The tests that Connect's CLI writes for an extension.


@pytest.mark.parametrize("handler", ["awaited", "blocking"])
@pytest.mark.parametrize("event_type", [*EVENT_TYPES, "made_up_processing"])
async def test_the_tests_that_the_cli_writes_pass(event_type: str, handler: str) -> None:
    known = EVENT_TYPES.get(event_type)
    category = known.category if known else "background"
    request = {"id": 1}
    answers = {
        "background": BackgroundResponse.done(),
        "interactive": InteractiveResponse.done(http_status=200, headers={"X-Custom-Header": "value"}, body=request),
        "scheduled": ScheduledExecutionResponse.done(),
        "transformation": RowTransformationResponse.done(request),
    }
    marks = {
        "background": event(event_type, statuses=["pending"]),
        "interactive": event(event_type),
        "scheduled": schedulable("Schedulable method", "It can be used to test DevOps scheduler."),
        "transformation": transformation("Name", "Description", "/static/dialog.html"),
    }
    base = TransformationsApplicationBase if category == "transformation" else EventsApplicationBase

    class Extension(base):  # type: ignore[valid-type,misc]
        @marks[category]
        @store_event
        async def awaited(self, request: Any) -> Any:
            self.logger.info(f"Obtained request with id {request['id']}")
            return answers[category]

        @marks[category]
        @store_event
        def blocking(self, request: Any) -> Any:
            self.logger.info(f"Obtained request with id {request['id']}")
            return answers[category]

    client = ConnectClient("ApiKey fake_api_key", endpoint="https://localhost/public/v1")
    ext = Extension(client, MagicMock(), {})
    result = await answer_of(getattr(ext, handler), request)
    assert result.status == "success"
    if category == "interactive":
        assert result.body == request
    # An application that is no more than a mock, with its variables.
    bare = MagicMock()
    assert (await answer_of(getattr(Extension, handler), bare, request)).status == "success"
    bare.logger.warning.assert_called()


async def test_the_request_of_the_clis_tests_is_handled_with_variables_too(config: dict[str, str]) -> None:
    client = ConnectClient("ApiKey fake_api_key", endpoint="https://localhost/public/v1")
    assert (await Application(client, MagicMock(), config).purchase({"id": 1})).status == "success"


async def test_a_task_of_the_runner_without_variables_is_not_taken_for_a_test() -> None:
    with pytest.raises(ConfigurationError, match="DATA_API_ENDPOINT"):
        await application({}).purchase(PURCHASE)
    with pytest.raises(ConfigurationError, match="DATA_API_ENDPOINT"):
        await Application(client_for("x"), logging.getLogger("tests"), {}).purchase(PURCHASE)
