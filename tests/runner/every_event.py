"""An extension that handles every event, for the real runner.

Half of its handlers are awaited. The variable `EXTENSION_STYLE` says how they
are declared: by decorators, or in `extension.json` as before there were any.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from connect.eaas.core.decorators import event, schedulable, transformation, variables
from connect.eaas.core.extension import EventsApplicationBase, TransformationsApplicationBase
from connect.eaas.core.responses import (
    BackgroundResponse,
    InteractiveResponse,
    RowTransformationResponse,
    ScheduledExecutionResponse,
)
from connect.eaas.mongodb import STORE_VARIABLES, VARIABLES, store_event
from connect.eaas.mongodb.events import EVENT_TYPES, EventValidationError, parse_event
from connect.eaas.runner.constants import EVENT_TYPE_EXT_METHOD_MAP

DECLARED = os.environ.get("EXTENSION_STYLE") == "declared"
DESCRIPTOR: dict[str, Any] = {"name": "Every event", "readme_url": "", "changelog_url": "", "audience": ["vendor"]}


def answer(application: Any, event_type: str, category: str, obj: Any) -> Any:
    """Handle an object, as what it is."""
    try:
        name = type(parse_event(event_type, obj)).__name__
    except EventValidationError:
        name = "what cannot be stored"
    application.logger.info("handled %s as %s", event_type, name)
    if category == "interactive":
        return InteractiveResponse.done(body={"object": name})
    if category == "scheduled":
        return ScheduledExecutionResponse.done()
    return BackgroundResponse.done()


def handler(event_type: str, category: str, name: str, awaited: bool) -> Any:
    """A handler that is decorated with nothing but `store_event`."""

    def handle(self: Any, obj: Any) -> Any:
        return answer(self, event_type, category, obj)

    async def handle_awaited(self: Any, obj: Any) -> Any:
        return answer(self, event_type, category, obj)

    function: Any = handle_awaited if awaited else handle
    function.__name__ = name
    return store_event(function)


def decorated() -> dict[str, Any]:
    """The members of an application with decorators."""
    members: dict[str, Any] = {"get_descriptor": classmethod(lambda cls: DESCRIPTOR)}
    for place, (event_type, category, _, statuses) in enumerate(EVENT_TYPES.values()):
        if category == "transformation":
            continue
        name = f"handle_{event_type}"
        function = handler(event_type, category, name, awaited=place % 2 == 0)
        if category == "scheduled":
            members[name] = schedulable("Name", "Description")(function)
        else:
            members[name] = event(event_type, statuses=list(statuses) if category == "background" else None)(function)
    return members


def declared() -> dict[str, Any]:
    """The members of an application without."""
    descriptor = {
        **DESCRIPTOR,
        "capabilities": {
            event_type: list(EVENT_TYPES[event_type].statuses) for event_type in EVENT_TYPE_EXT_METHOD_MAP
        },
        "schedulables": [{"method": "refresh", "name": "Name", "description": "Description"}],
        "variables": VARIABLES,
    }
    members: dict[str, Any] = {"get_descriptor": classmethod(lambda cls: descriptor)}
    for place, (event_type, name) in enumerate(EVENT_TYPE_EXT_METHOD_MAP.items()):
        members[name] = handler(event_type, EVENT_TYPES[event_type].category, name, awaited=place % 2 == 0)
    members["refresh"] = handler("scheduled_execution", "scheduled", "refresh", awaited=True)
    return members


class Common(EventsApplicationBase):
    # There are no variables for that path, so that it cannot store.
    @event("made_up_check", statuses=["draft"])
    @store_event(path="data_api")
    async def check(self, obj: Any) -> Any: ...


EventsApplication: Any = type("EventsApplication", (Common,), declared() if DECLARED else decorated())
if not DECLARED:
    EventsApplication = variables(VARIABLES + STORE_VARIABLES)(EventsApplication)


class TransformationsApplication(TransformationsApplicationBase):
    factor: ClassVar[int] = 2

    @classmethod
    def get_descriptor(cls) -> dict[str, Any]:
        return DESCRIPTOR

    @transformation("Double", "Doubles a number", "/static/dialog.html")
    @store_event
    async def double(self, row: Any) -> Any:
        return RowTransformationResponse.done({"doubled": row["number"] * self.factor})

    @transformation("Double", "Doubles a number", "/static/dialog.html")
    @store_event
    def double_blocking(self, row: Any, row_styles: Any) -> Any:
        return RowTransformationResponse.done(
            {"doubled": row["number"] * self.factor}, {"doubled": row_styles["number"]}
        )
