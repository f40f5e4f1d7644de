"""What the dependencies for awaited and for blocking endpoints have in common."""

# FastAPI reads the annotations of `__call__`, which therefore must not be strings.
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

from connect.client import ClientError
from connect.eaas.core.inject.common import get_config
from connect.eaas.mongodb._common.store import Path, path_of, text_of
from connect.eaas.mongodb.web.errors import client_errors
from fastapi import Depends, Header, Request
from pymongo.errors import ConfigurationError


def _path_of(config: dict[str, Any], path: Path | None) -> Path:
    """Return the path; raise an error that names both if neither has its variables."""
    if path is None and not text_of(config, "DB_HOST") and not text_of(config, "DATA_API_ENDPOINT"):
        raise ConfigurationError(
            "no variables of MongoDB are set: set DB and DB_HOST for the driver path, "
            "or DB, DATA_API_ENDPOINT, API_KEY and CLUSTER for the Data API path"
        )
    return path_of(config, path)


class Clients:
    """The classes of awaited or of blocking clients."""

    def __init__(self, *, driver: Any, data_api: Any, store: Any) -> None:
        self._by_path = {"driver": driver, "data_api": data_api}
        self.store = store

    def client(self, config: dict[str, Any], path: Path | None, unused: tuple[str, ...]) -> Any:
        """Return the process's client for these variables; those in `unused` may be missing."""
        path = _path_of(config, path)
        if "DRIVER_COLLECTION" in unused:
            unused = (*unused, "HTTP_COLLECTION")
        # The same placeholder for all dependencies, so that they share one client.
        placeholders = {variable: "unnamed" for variable in unused if not text_of(config, variable)}
        return self._by_path[path].from_config({**config, **placeholders})


def _check_headers(request: Request) -> None:
    """Refuse a request whose caller has set one of the runner's headers: they carry the variables and the caller's ids.

    Raises:
        ClientError: a header `X-Connect-…` has several values.
    """
    for name in {name for name in request.headers if name.startswith("x-connect-")}:
        if len(set(request.headers.getlist(name))) > 1:
            message = f"The request has several headers {name}, which only Connect may set."
            raise ClientError(message=message, status_code=403, error_code="AUTH_003", errors=[message])


class Dependency:
    """A dependency of FastAPI that gives an object of the process's client.

    Dependencies of the same function and arguments are equal: FastAPI calls one of them for a request, and
    `app.dependency_overrides[collection("orders")]` replaces all.
    """

    function: ClassVar[str]
    """The name of the function that creates it."""

    def __init__(self, clients: Clients, path: Path | None, *arguments: Any) -> None:
        # Raises the error for an invalid path here, rather than in the first request.
        path_of({}, path)
        self._clients = clients
        self._path: Path | None = path
        self._arguments = arguments

    def _open(self, config: dict[str, Any], ids: dict[str, str]) -> Any:
        """Return the object, for the extension's variables; does no I/O."""
        raise NotImplementedError

    def from_config(self, config: Mapping[str, Any]) -> Any:
        """Return the object outside of a request, for the extension's variables, as in `on_startup`.

        Raises:
            pymongo.errors.ConfigurationError: variables are missing or invalid; the message names each.
        """
        return self._open(dict(config), {})

    async def __call__(
        self,
        request: Request,
        config: dict[str, Any] = Depends(get_config),  # noqa: B008
        x_connect_extension_id: str | None = Header(None),
        x_connect_environment_id: str | None = Header(None),
    ) -> AsyncIterator[Any]:
        """Give the object to the endpoint, and raise its errors of MongoDB as `ClientError`."""
        _check_headers(request)
        ids = {"extension_id": x_connect_extension_id, "environment_id": x_connect_environment_id}
        with client_errors():
            yield self._open(config, {name: value for name, value in ids.items() if value})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dependency) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash((self.function, id(self._clients), self._path))

    def _identity(self) -> tuple[Any, ...]:
        return (self.function, id(self._clients), self._path, self._arguments)

    def __repr__(self) -> str:
        return f"<dependency {self.function} {self._arguments!r} path={self._path!r}>"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{name}: {self._instead()}")

    def __getitem__(self, name: object) -> Any:
        raise TypeError(self._instead())

    def _instead(self) -> str:
        return f"this is the dependency itself: write Depends({self.function}(…)), not Depends({self.function})"


class NamedDependency(Dependency):
    """Gives an object by its name, or the default one of the variables."""

    def __init__(self, clients: Clients, path: Path | None, name: str | None) -> None:
        super().__init__(clients, path, name)
        if not (name is None or isinstance(name, str)):
            raise TypeError(f"the name of a {self.function} must be a str, not {type(name).__name__}")
        self._name = name


class DatabaseDependency(NamedDependency):
    """Gives a database."""

    function = "database"

    def _open(self, config: dict[str, Any], ids: dict[str, str]) -> Any:
        if self._name is None:
            return self._clients.client(config, self._path, ("DRIVER_COLLECTION",)).get_default_database()
        return self._clients.client(config, self._path, ("DB", "DRIVER_COLLECTION"))[self._name]


class CollectionDependency(NamedDependency):
    """Gives a collection of the default database."""

    function = "collection"

    def _open(self, config: dict[str, Any], ids: dict[str, str]) -> Any:
        if self._name is None:
            return self._clients.client(config, self._path, ()).get_default_collection()
        return self._clients.client(config, self._path, ("DRIVER_COLLECTION",)).get_default_database()[self._name]


class StoreDependency(Dependency):
    """Gives the event store."""

    function = "event_store"

    def __init__(self, clients: Clients, path: Path | None, options: dict[str, Any]) -> None:
        super().__init__(clients, path, options)
        self._options = options

    def _open(self, config: dict[str, Any], ids: dict[str, str]) -> Any:
        return self._clients.store.from_config(config, path=_path_of(config, self._path), **ids | self._options)
