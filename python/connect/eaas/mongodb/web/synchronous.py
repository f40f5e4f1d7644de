"""The dependencies of endpoints that block, which FastAPI runs in threads."""

from __future__ import annotations

from typing import Any

from connect.eaas.mongodb import DataApiClient, MongoClient
from connect.eaas.mongodb._common.store import Path
from connect.eaas.mongodb.store import EventStore
from connect.eaas.mongodb.web._dependencies import (
    Clients,
    CollectionDependency,
    DatabaseDependency,
    Dependency,
    StoreDependency,
)

__all__ = ["collection", "database", "event_store"]

_CLIENTS = Clients(driver=MongoClient, data_api=DataApiClient, store=EventStore)


def database(name: str | None = None, *, path: Path | None = None) -> Dependency:
    """Create a dependency on a database: `db: Database = Depends(database())`.

    Args:
        name: the database; by default that of the variable `DB`.
        path: `driver` or `data_api`; by default the driver if the variable `DB_HOST` is set. On the Data API path, the
            endpoint gets a `DataApiDatabase`.

    Raises:
        pymongo.errors.ConfigurationError: `path` is invalid.
    """
    return DatabaseDependency(_CLIENTS, path, name)


def collection(name: str | None = None, *, path: Path | None = None) -> Dependency:
    """Create a dependency on a collection: `orders: Collection = Depends(collection("orders"))`.

    Args:
        name: the collection, in the database of the variable `DB`; by default that of the variable
            `DRIVER_COLLECTION`, or of `HTTP_COLLECTION` on the Data API path.
        path: `driver` or `data_api`; by default the driver if the variable `DB_HOST` is set. On the Data API path, the
            endpoint gets a `DataApiCollection`.

    Raises:
        pymongo.errors.ConfigurationError: `path` is invalid.
    """
    return CollectionDependency(_CLIENTS, path, name)


def event_store(*, path: Path | None = None, **options: Any) -> Dependency:
    """Create a dependency on the event store: `store: EventStore = Depends(event_store())`.

    Args:
        path: `driver` or `data_api`; by default the driver if the variable `DB_HOST` is set.
        **options: the options of `EventStore`. `extension_id` and `environment_id` are those of the call.

    Raises:
        pymongo.errors.ConfigurationError: `path` is invalid.
    """
    return StoreDependency(_CLIENTS, path, options)
