"""Fast, safe MongoDB storage for CloudBlue Connect extensions.

Two ways to MongoDB, each awaited or not:

- the driver path: `AsyncMongoClient` and `MongoClient`, with PyMongo's API;
- the Data API path: `AsyncDataApiClient` and `DataApiClient`, over HTTP.

Above them, `AsyncEventStore` and `EventStore` store Connect's events, each once,
`store_event` does so before a handler runs, and `events` has their models.

`from_config(self.config)` makes a client from the extension's variables, and
gives the same client for the same variables. `VARIABLES` is the list for
Connect's `@variables` decorator.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from connect.eaas.mongodb._native import (
    VERSION,
    AsyncChangeStream,
    AsyncClientSession,
    AsyncCollection,
    AsyncCursor,
    AsyncDataApiClient,
    AsyncDataApiCollection,
    AsyncDataApiDatabase,
    AsyncDatabase,
    AsyncMongoClient,
    AsyncRawBatchCursor,
    ChangeStream,
    ClientSession,
    Collection,
    Cursor,
    DataApiClient,
    DataApiCollection,
    DataApiDatabase,
    Database,
    DeleteResult,
    InsertManyResult,
    InsertOneResult,
    MongoClient,
    RawBatchCursor,
    UpdateResult,
    _before_fork,
    _forked,
)
from connect.eaas.mongodb.variables import VARIABLES

__version__ = VERSION

# What a command gives is a cursor as any other.
AsyncCommandCursor = AsyncCursor
CommandCursor = Cursor

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_forked)

if TYPE_CHECKING:
    from connect.eaas.mongodb.decorators import drain_store, open_store, store_event
    from connect.eaas.mongodb.drop_in import install, uninstall
    from connect.eaas.mongodb.errors import DataApiError
    from connect.eaas.mongodb.events import EventValidationError, parse_event
    from connect.eaas.mongodb.store import (
        STORE_VARIABLES,
        AsyncEventStore,
        DeadLetter,
        EventStore,
        SaveResult,
        StoredEvent,
    )

__all__ = [
    "STORE_VARIABLES",
    "VARIABLES",
    "AsyncChangeStream",
    "AsyncClientSession",
    "AsyncCollection",
    "AsyncCommandCursor",
    "AsyncCursor",
    "AsyncDataApiClient",
    "AsyncDataApiCollection",
    "AsyncDataApiDatabase",
    "AsyncDatabase",
    "AsyncEventStore",
    "AsyncMongoClient",
    "AsyncRawBatchCursor",
    "ChangeStream",
    "ClientSession",
    "Collection",
    "CommandCursor",
    "Cursor",
    "DataApiClient",
    "DataApiCollection",
    "DataApiDatabase",
    "DataApiError",
    "Database",
    "DeadLetter",
    "DeleteResult",
    "EventStore",
    "EventValidationError",
    "InsertManyResult",
    "InsertOneResult",
    "MongoClient",
    "RawBatchCursor",
    "SaveResult",
    "StoredEvent",
    "UpdateResult",
    "__version__",
    "drain_store",
    "install",
    "open_store",
    "parse_event",
    "store_event",
    "uninstall",
]


# Imported when they are named: `errors` brings PyMongo's whole client along, a
# quarter of a second, and who only inserts needs no models.
_LATER = {
    "DataApiError": "errors",
    "EventValidationError": "events",
    "parse_event": "events",
    "STORE_VARIABLES": "store",
    "AsyncEventStore": "store",
    "DeadLetter": "store",
    "EventStore": "store",
    "SaveResult": "store",
    "StoredEvent": "store",
    "drain_store": "decorators",
    "install": "drop_in",
    "open_store": "decorators",
    "store_event": "decorators",
    "uninstall": "drop_in",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(f"connect.eaas.mongodb.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
