"""The event store: stores each event once, on either path.

`await AsyncEventStore.from_config(self.config).save(event_type, obj)` stores the
object's fields unchanged. The `_id` is made of the object's id and a digest of its
content: the same content is stored once, however often and by however many instances
it is delivered, and a changed object becomes a new record. The sub-document `_connect`
holds the event's metadata.
"""

from __future__ import annotations

# `typing.get_type_hints` resolves the annotations of `DeadLetter` in this module.
import datetime  # noqa: F401
from typing import Any, Final  # noqa: F401

from connect.eaas.mongodb._async.store import AsyncDeadLetterCursor, AsyncEventCursor, AsyncEventStore
from connect.eaas.mongodb._common.store import DeadLetter, EventNumber, StoredEvent
from connect.eaas.mongodb._common.store import Path as Path
from connect.eaas.mongodb._native import SaveResult, store_metrics
from connect.eaas.mongodb._sync.store import DeadLetterCursor, EventCursor, EventStore
from connect.eaas.mongodb.variables import Variable

__all__ = [
    "STORE_VARIABLES",
    "AsyncDeadLetterCursor",
    "AsyncEventCursor",
    "AsyncEventStore",
    "DeadLetter",
    "DeadLetterCursor",
    "EventCursor",
    "EventNumber",
    "EventStore",
    "SaveResult",
    "StoredEvent",
    "store_metrics",
]

STORE_VARIABLES: Final[list[Variable]] = [
    {"name": "EVENTS_REDACT", "initial_value": "", "secure": False},
    {"name": "EVENTS_KEEP", "initial_value": "", "secure": False},
    {"name": "EVENTS_REDACT_KEY", "initial_value": "", "secure": True},
    {"name": "EVENTS_TTL_DAYS", "initial_value": "", "secure": False},
    {"name": "EVENTS_DEAD_LETTER_TTL_DAYS", "initial_value": "", "secure": False},
]
"""Additional variables, for `@variables(VARIABLES + STORE_VARIABLES)`; all are optional.

`EVENTS_REDACT`: additional paths to redact, separated by commas.
`EVENTS_KEEP`: paths that are stored although they are redacted by default.
`EVENTS_REDACT_KEY`: the key of the digests that replace redacted values.
`EVENTS_TTL_DAYS`: the number of days after which MongoDB removes an event, once
`ensure_indexes` has been called. By default, events are kept.
`EVENTS_DEAD_LETTER_TTL_DAYS`: the same for dead letters; 90 by default, `0` keeps them.
"""
