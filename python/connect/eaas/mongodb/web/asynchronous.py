"""The dependencies of endpoints that await."""

from __future__ import annotations

from typing import Any

from connect.eaas.mongodb import AsyncDataApiClient, AsyncMongoClient
from connect.eaas.mongodb._common.store import Path
from connect.eaas.mongodb.store import AsyncEventStore
from connect.eaas.mongodb.web._dependencies import (
    Clients,
    CollectionDependency,
    DatabaseDependency,
    Dependency,
    StoreDependency,
)

__all__ = ["collection", "database", "event_store"]

_CLIENTS = Clients(driver=AsyncMongoClient, data_api=AsyncDataApiClient, store=AsyncEventStore)


def database(name: str | None = None, *, path: Path | None = None) -> Dependency:
    """Create a dependency on a database: `db: AsyncDatabase = Depends(database())`.

    Args:
        name: the database; by default that of the variable `DB`.
        path: `driver` or `data_api`; by default the driver if the variable `DB_HOST` is set. On the Data API path, the
            endpoint gets an `AsyncDataApiDatabase`.

    Raises:
        pymongo.errors.ConfigurationError: `path` is invalid.
    """
    return DatabaseDependency(_CLIENTS, path, name)


def collection(name: str | None = None, *, path: Path | None = None) -> Dependency:
    """Create a dependency on a collection: `orders: AsyncCollection = Depends(collection("orders"))`.

    Args:
        name: the collection, in the database of the variable `DB`; by default that of the variable
            `DRIVER_COLLECTION`, or of `HTTP_COLLECTION` on the Data API path.
        path: `driver` or `data_api`; by default the driver if the variable `DB_HOST` is set. On the Data API path, the
            endpoint gets an `AsyncDataApiCollection`.

    Raises:
        pymongo.errors.ConfigurationError: `path` is invalid.
    """
    return CollectionDependency(_CLIENTS, path, name)


def event_store(*, path: Path | None = None, **options: Any) -> Dependency:
    """Create a dependency on the event store: `store: AsyncEventStore = Depends(event_store())`.

    Args:
        path: `driver` or `data_api`; by default the driver if the variable `DB_HOST` is set.
        **options: the options of `AsyncEventStore`. `extension_id` and `environment_id` are those of the call.

    Raises:
        pymongo.errors.ConfigurationError: `path` is invalid.
    """
    return StoreDependency(_CLIENTS, path, options)
