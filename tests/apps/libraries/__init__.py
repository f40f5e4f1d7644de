"""Applications of the libraries that use MongoDB: written once, run on PyMongo and on this package.

An application is a module with `async def main(drivers, journal)`. It writes what it sees into the journal.
`python -m tests.apps.libraries APPLICATION HOW URI DATABASE` runs one, in a process of its own, because these
libraries keep their models and connections in globals. HOW says where its clients come from:

- `pymongo`: PyMongo, and Motor where the library needs it;
- `given`: this package's clients, which the application passes to the library;
- `installed`: `connect.eaas.mongodb.install()`, and nothing else: the library imports what it always does.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any

from bson import Timestamp
from pydantic import BaseModel
from pymongo.errors import BulkWriteError

APPLICATIONS = ["beanie", "odmantic", "mongoengine", "apscheduler", "apscheduler4", "celery", "kombu", "langgraph"]
WAYS = ["pymongo", "given", "installed"]


@dataclass
class Drivers:
    """The clients' classes, and where MongoDB is."""

    how: str
    uri: str
    database: str
    sync_client: Callable[..., Any]
    async_client: Callable[..., Any]
    motor_client: Callable[..., Any]

    @property
    def given(self) -> bool:
        """Whether the application has to pass these clients to the library, which would make PyMongo's itself."""
        return self.how == "given"


@dataclass
class Journal:
    """What an application sees, in words that are the same for equal things."""

    lines: list[tuple[str, Any]] = field(default_factory=list)

    def note(self, title: str, value: Any) -> None:
        self.lines.append((title, plain(value)))

    def refused(self, title: str, call: Callable[[], Any]) -> None:
        """Note which error a call raises."""
        try:
            value = call()
        except Exception as error:
            self.note(title, described(error))
        else:
            self.note(title, ["no error", value])

    async def refused_later(self, title: str, call: Awaitable[Any]) -> None:
        """Note which error an awaited call raises."""
        try:
            value = await call
        except Exception as error:
            self.note(title, described(error))
        else:
            self.note(title, ["no error", value])

    def text(self) -> str:
        return json.dumps(self.lines, indent=1, ensure_ascii=False)


def described(error: BaseException) -> Any:
    """An exception: its class, and what a program may read of it."""
    details = {name: getattr(error, name) for name in ("code", "details") if getattr(error, name, None) is not None}
    described = {"raised": f"{type(error).__module__}.{type(error).__name__}", **plain(details)}
    if isinstance(error, BulkWriteError):
        for one in described["details"]["writeErrors"]:
            # PyMongo adds it to the caller's document, which this package does not change.
            one["op"].pop("_id", None)
    return described


def plain(value: Any) -> Any:
    """A value as JSON: models become their fields, with the types of all that JSON does not know."""
    if value is None or (isinstance(value, bool | int | float | str) and type(value) in (bool, int, float, str)):
        return value
    if isinstance(value, BaseModel):
        return {
            "model": type(value).__name__,
            **{name: plain(getattr(value, name)) for name in type(value).model_fields},
        }
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((plain(one) for one in value), key=repr)
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [plain(one) for one in value]
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        is_now = abs(datetime.now(timezone.utc) - aware) < timedelta(hours=1)
        return ["datetime", "now" if is_now else value.isoformat(), str(value.tzinfo)]
    if isinstance(value, Timestamp):
        # The server's clock.
        return "Timestamp"
    if hasattr(value, "to_ref"):
        return plain(value.to_ref())
    return repr(value)
