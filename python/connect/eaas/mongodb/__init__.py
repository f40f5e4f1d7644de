"""Fast, safe MongoDB storage for CloudBlue Connect extensions.

Two ways to MongoDB, each awaited or not:

- the driver path: `AsyncMongoClient` and `MongoClient`, with PyMongo's API;
- the Data API path: `AsyncDataApiClient` and `DataApiClient`, over HTTP.

`from_config(self.config)` makes a client from the extension's variables, and
gives the same client for the same variables. `VARIABLES` is the list for
Connect's `@variables` decorator.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from connect.eaas.mongodb._native import (
    VERSION,
    AsyncCollection,
    AsyncCursor,
    AsyncDataApiClient,
    AsyncDataApiCollection,
    AsyncDataApiDatabase,
    AsyncDatabase,
    AsyncMongoClient,
    Collection,
    Cursor,
    DataApiClient,
    DataApiCollection,
    DataApiDatabase,
    Database,
    InsertManyResult,
    InsertOneResult,
    MongoClient,
    _forked,
)
from connect.eaas.mongodb.variables import VARIABLES

__version__ = VERSION

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

if TYPE_CHECKING:
    from connect.eaas.mongodb.errors import DataApiError

__all__ = [
    "VARIABLES",
    "AsyncCollection",
    "AsyncCursor",
    "AsyncDataApiClient",
    "AsyncDataApiCollection",
    "AsyncDataApiDatabase",
    "AsyncDatabase",
    "AsyncMongoClient",
    "Collection",
    "Cursor",
    "DataApiClient",
    "DataApiCollection",
    "DataApiDatabase",
    "DataApiError",
    "Database",
    "InsertManyResult",
    "InsertOneResult",
    "MongoClient",
    "__version__",
]


def __getattr__(name: str) -> Any:
    # Its base class brings PyMongo's whole client along: a quarter of a second
    # that only those pay who name the error.
    if name == "DataApiError":
        from connect.eaas.mongodb.errors import DataApiError

        return DataApiError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
