"""What the runner's own task managers make of the answers that `store_event` gives by itself."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from connect.eaas.core.decorators import event, schedulable, transformation
from connect.eaas.core.extension import EventsApplicationBase, TransformationsApplicationBase
from connect.eaas.core.proto import Message, SetupResponse, Task
from connect.eaas.core.responses import (
    BackgroundResponse,
    InteractiveResponse,
    RowTransformationResponse,
    ScheduledExecutionResponse,
)
from connect.eaas.mongodb import MongoClient, store_event
from connect.eaas.mongodb.events import EVENT_TYPES
from connect.eaas.runner.config import ConfigHelper
from connect.eaas.runner.handlers.events import EventsApp
from connect.eaas.runner.handlers.transformations import TfnApp
from connect.eaas.runner.managers import (
    BackgroundTasksManager,
    InteractiveTasksManager,
    ScheduledTasksManager,
    TransformationTasksManager,
)
from connect.eaas.runner.managers.transformation import RowTransformationError

MANAGERS = {
    "background": BackgroundTasksManager,
    "interactive": InteractiveTasksManager,
    "scheduled": ScheduledTasksManager,
}
DONE = {
    "background": BackgroundResponse.done(),
    "interactive": InteractiveResponse.done(body={"done": True}),
    "scheduled": ScheduledExecutionResponse.done(),
    "transformation": RowTransformationResponse.done({"a": 1}),
}
UNKNOWN = {
    "made_up_processing": "background",
    "made_up_validation": "interactive",
    "made_up_execution": "interactive",
}
CATEGORIES = {name: known.category for name, known in EVENT_TYPES.items()} | UNKNOWN

# In the order of their names, of the task's result and the message, for each category.
OUTCOMES: dict[str, dict[str, tuple[str, str]]] = {
    "stored": dict.fromkeys(("background", "interactive", "scheduled"), ("success", "")),
    "away": {
        "background": ("reschedule", ""),
        "interactive": ("fail", "the event could not be stored"),
        "scheduled": ("fail", "the event could not be stored"),
    },
    "silent": {
        "background": ("reschedule", ""),
        "interactive": ("fail", "not stored within 0.2 s"),
        "scheduled": ("fail", "not stored within 0.2 s"),
    },
    "misconfigured": {
        "background": ("retry", "DRIVER_COLLECTION"),
        "interactive": ("fail", "DRIVER_COLLECTION"),
        "scheduled": ("fail", "DRIVER_COLLECTION"),
    },
    "invalid": dict.fromkeys(("background", "interactive", "scheduled"), ("success", "")),
    "invalid, fail": dict.fromkeys(("background", "interactive", "scheduled"), ("fail", "64 bits")),
    "invalid, reschedule": {
        "background": ("reschedule", ""),
        "interactive": ("fail", "64 bits"),
        "scheduled": ("fail", "64 bits"),
    },
    "away, fail": dict.fromkeys(("background", "interactive", "scheduled"), ("fail", "the event could not be stored")),
    "away, reschedule": {
        "background": ("reschedule", ""),
        "interactive": ("fail", "the event could not be stored"),
        "scheduled": ("fail", "the event could not be stored"),
    },
    "away, raise": {
        "background": ("retry", "ServerSelectionTimeoutError"),
        "interactive": ("fail", "ServerSelectionTimeoutError"),
        "scheduled": ("retry", "ServerSelectionTimeoutError"),
    },
    "away, continue": dict.fromkeys(("background", "interactive", "scheduled"), ("success", "")),
}

_numbers = itertools.count()


def policy_of(outcome: str) -> dict[str, Any]:
    options: dict[str, Any] = {"timeout": 0.2} if outcome == "silent" else {}
    where, _, policy = outcome.partition(", ")
    if policy:
        options["on_invalid" if where == "invalid" else "on_error"] = policy
    return options


@pytest.fixture
def variables(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    outcome = request.getfixturevalue("outcome")
    names = {"DB": f"managers_{os.getpid()}", "DRIVER_COLLECTION": f"events_{next(_numbers)}"}
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        host = os.environ["TEST_MONGODB_URI"]
        if outcome.startswith("away"):
            host = "127.0.0.1:1"
        elif outcome == "silent":
            host = f"127.0.0.1:{silent.getsockname()[1]}"
        elif outcome == "misconfigured":
            names["DRIVER_COLLECTION"] = ""
        options = "serverSelectionTimeoutMS=100" if outcome.startswith("away") else ""
        yield {**names, "DB_HOST": host, "DB_USER": "", "DB_PASSWORD": "", "DB_OPTIONS": options}


@pytest.fixture
def config(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> ConfigHelper:
    """The runner's configuration, as Connect hands it over."""
    for name, value in {
        "API_KEY": "ApiKey SU-000-000-000:local",
        "ENVIRONMENT_ID": "ENV-0000-0000-01",
        "INSTANCE_ID": "local",
        "SERVER_ADDRESS": "127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    config = ConfigHelper()
    setup = {
        "variables": [{"name": name, "value": value, "secure": False} for name, value in variables.items()],
        "environment_type": "development",
        "logging": {"meta": {"service_id": "SRVC-0000-0000"}},
        "event_definitions": [],
    }
    config.update_dynamic_config(SetupResponse(**setup))
    return config


def object_of(event_type: str, outcome: str) -> dict[str, Any]:
    known = EVENT_TYPES.get(event_type)
    # What is in the way of every store: an integer beyond 64 bits.
    rest = {"number": 2**70} if outcome.startswith("invalid") else {"number": 1}
    if known is not None and known.model.__name__ in ("ProductAction", "CustomEvent"):
        return {"method": "POST", **rest}
    return {"id": f"XX-{next(_numbers)}", "method": "handle", **rest}


def application_for(event_type: str, category: str, style: str, outcome: str) -> Any:
    def handle(self: Any, obj: Any) -> Any:
        return DONE[category]

    async def awaited(self: Any, obj: Any) -> Any:
        return DONE[category]

    awaited.__name__ = "handle"
    handler = store_event(**policy_of(outcome))(awaited if style == "awaited" else handle)
    if category == "scheduled":
        handler = schedulable("Name", "Description")(handler)
    else:
        handler = event(event_type, statuses=["pending"] if category == "background" else None)(handler)

    def get_descriptor(cls: Any) -> dict[str, Any]:
        return {"readme_url": "", "changelog_url": ""}

    members = {"handle": handler, "get_descriptor": classmethod(get_descriptor)}
    return type("Application", (EventsApplicationBase,), members)


@pytest.mark.parametrize("style", ["awaited", "blocking"])
@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_the_manager_makes_a_result_of_every_answer(
    outcome: str, style: str, config: ConfigHelper, variables: dict[str, str]
) -> None:
    """Of every event type: the task's result is the one that is meant, and can be sent to Connect."""
    results: asyncio.Queue[Task] = asyncio.Queue()
    tasks: dict[str, tuple[str, Any]] = {}
    for number, (event_type, category) in enumerate(CATEGORIES.items()):
        if category == "transformation":
            continue
        application = application_for(event_type, category, style, outcome)

        class Handler(EventsApp):
            def get_application(self, application: Any = application) -> Any:
                return application

        manager = MANAGERS[category](config, Handler(config), results.put)
        obj = object_of(event_type, outcome)

        async def argument(task: Any, obj: Any = obj) -> Any:
            return obj

        manager.get_argument = argument
        task_id = f"TQ-{number}"
        options = {"task_id": task_id, "task_category": category}
        await manager.submit(Task(options=options, input={"event_type": event_type, "object_id": "XX", "data": obj}))
        tasks[task_id] = (event_type, obj)
    for _ in range(len(tasks)):
        result = await asyncio.wait_for(results.get(), 60)
        event_type, obj = tasks.pop(result.options.task_id)
        category = CATEGORIES[event_type]
        expected, message = OUTCOMES[outcome][category]
        assert result.output.result == expected, (event_type, result.output)
        assert message in (result.output.message or ""), (event_type, result.output)
        assert ("Traceback" in (result.output.message or "")) == (expected == "retry" or "raise" in outcome)
        if expected == "reschedule":
            assert result.output.countdown == 60
        if category == "interactive" and "raise" not in outcome:
            assert set(result.output.data) == {"http_status", "headers", "body"}, event_type
            validation = event_type.endswith("_validation")
            if expected == "success":
                assert result.output.data == {"http_status": 200, "headers": None, "body": {"done": True}}
            elif validation:
                assert (result.output.data["http_status"], result.output.data["body"]) == (400, obj)
            else:
                assert result.output.data["http_status"] == 503
                assert message not in str(result.output.data)
        # As the worker sends it.
        assert Message(version=2, message_type="task", data=result).serialize()["data"]["output"]["result"] == expected
    assert not tasks
    if outcome == "stored":
        with MongoClient(variables["DB_HOST"]) as client:
            documents = client[variables["DB"]][variables["DRIVER_COLLECTION"]].find().to_list()
        types = [document["_connect"]["event_type"] for document in documents]
        assert sorted(types) == sorted(name for name, known in CATEGORIES.items() if known != "transformation")


@pytest.mark.parametrize("style", ["awaited", "blocking"])
@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_the_manager_of_transformations_reads_every_answer(
    outcome: str, style: str, config: ConfigHelper
) -> None:
    event_type = "billing_transformation_request"
    request = {"id": f"TFR-{next(_numbers)}", "number": 2**70 if outcome.startswith("invalid") else 1}

    class Application(TransformationsApplicationBase):
        @transformation("Name", "Description", "/static/dialog.html")
        @store_event(**policy_of(outcome))
        async def awaited(self, row: Any) -> Any:
            return RowTransformationResponse.done(row)

        @transformation("Name", "Description", "/static/dialog.html")
        @store_event(**policy_of(outcome))
        def blocking(self, row: Any, row_styles: Any) -> Any:
            assert row_styles == {"a": None}
            return RowTransformationResponse.done(row)

    class Handler(TfnApp):
        def get_application(self) -> Any:
            return Application

    handler = Handler(config)
    manager = TransformationTasksManager(config, handler, None)
    method = handler.get_method(event_type, "TQ-1", style, transformation_request=request, api_key="ApiKey")
    assert inspect.iscoroutinefunction(method) == (style == "awaited")
    rows = [manager.transform_row(method, number, {"a": number}, {"a": None}) for number in range(5)]
    answers: list[Any] = await asyncio.gather(*rows, return_exceptions=True)
    said = {
        "away": "row transformation failed: the event could not be stored",
        "silent": "row transformation failed: the event could not be stored, and was not handled: it was not stored",
        "misconfigured": "row transformation failed: .*DRIVER_COLLECTION",
        "invalid, fail": "row transformation failed: .*64 bits",
        "invalid, reschedule": "row transformation failed: .*64 bits",
        "away, raise": "Connection refused|No servers|127.0.0.1:1",
    }
    said |= dict.fromkeys(("away, fail", "away, reschedule"), said["away"])
    if outcome in said:
        for answer in answers:
            assert isinstance(answer, RowTransformationError)
            with pytest.raises(RowTransformationError, match=said[outcome]):
                raise answer
    else:
        assert [answer.transformed_row for answer in answers] == [{"a": number} for number in range(5)]


@pytest.mark.parametrize("outcome", ["away"])
async def test_an_answer_to_an_event_of_an_unknown_category_is_read_by_both_managers(
    outcome: str, config: ConfigHelper
) -> None:
    """Its name and its statuses may mislead."""
    application = application_for("made_up_processing", "background", "awaited", outcome)

    class Handler(EventsApp):
        def get_application(self) -> Any:
            return application

    results: asyncio.Queue[Task] = asyncio.Queue()
    manager = InteractiveTasksManager(config, Handler(config), results.put)
    options = {"task_id": "TQ-1", "task_category": "interactive"}
    task = Task(options=options, input={"event_type": "made_up_processing", "object_id": "XX", "data": {"id": "XX"}})
    await manager.submit(task)
    output = (await asyncio.wait_for(results.get(), 60)).output
    assert "Traceback" not in (output.message or "")
    assert output.data["http_status"] == 503
