"""`store_event` on real applications of `connect-eaas-core`."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from connect.eaas.core.decorators import event, schedulable, variables
from connect.eaas.core.extension import EventsApplicationBase
from connect.eaas.core.responses import (
    BackgroundResponse,
    InteractiveResponse,
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
from connect.eaas.mongodb.cli import dev
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

    @schedulable("Name", "Description")
    @store_event
    async def scheduled(self, schedule: Any) -> Any:
        self.handled.append(schedule)
        return ScheduledExecutionResponse.done()


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    key = dev.new_api_key()
    uri = os.environ["TEST_MONGODB_URI"]
    with dev.gateway(uri, key) as (_, url):
        yield {"DB_HOST": uri, "DATA_API_ENDPOINT": url, "API_KEY": key, "CLUSTER": "Cluster0"}


@pytest.fixture
def config(servers: dict[str, str], request: pytest.FixtureRequest) -> dict[str, str]:
    name = request.node.name.replace("[", "_").rstrip("]")[:40]
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
    assert len(events) == 9
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
    assert action.body == {"error": "the event could not be taken"}
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


async def test_objects_that_are_too_large_fail(config: dict[str, str]) -> None:
    answer = await application(config).purchase({"id": "PR-big", "note": "a" * (17 << 20)})
    assert answer.status == "fail"
    assert "larger than MongoDB's limit" in answer.output


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
    for arguments in ({"on_error": wrong}, {"countdown": 0}, {"timeout": 0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            store_event(**arguments)


async def test_invalid_objects_become_dead_letters_and_fail(config: dict[str, str]) -> None:
    wrong = {**PURCHASE, "status": ["pending"], "created": "never"}
    for _ in range(2):
        answer = await application(config).purchase(wrong)
        assert answer.status == "fail"
        assert "status: expected a string, got list" in answer.output
    assert application(config).change([]).status == "fail"
    assert (await application(config).action([])).http_status == 503
    assert Application.handled == []
    assert stored(config) == []
    letters = stored(config, "_dead_letters")
    assert len(letters) == 3
    assert sorted(letter["errors"][0]["path"] for letter in letters) == ["", "", "created"]


async def test_a_dead_letter_that_cannot_be_kept_is_delivered_again(away: dict[str, str]) -> None:
    assert (await application(away).purchase({**PURCHASE, "status": 5})).status == "reschedule"


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
