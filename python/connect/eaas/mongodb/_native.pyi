from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, TypeAlias, final

from connect.eaas.mongodb.variables import Variable
from typing_extensions import Self

VERSION: Final[str]

_Document: TypeAlias = Mapping[str, Any]
_Sort: TypeAlias = str | Mapping[str, Any] | Sequence[str | tuple[str, Any]]

def variables() -> list[Variable]: ...
def _forked() -> None: ...
def bson_encode(document: _Document, /) -> bytes: ...
def bson_decode(data: bytes, /) -> dict[str, Any]: ...
def ejson_encode(document: _Document, /) -> bytes: ...
def ejson_decode(data: bytes, /) -> dict[str, Any]: ...
def ejson_from_bson(data: bytes, /) -> bytes: ...
def run_gateway(
    mongodb_uri: str,
    keys: str,
    listen: str,
    listening: Callable[[str], object],
    data_source: str | None = None,
) -> None: ...

@final
class InsertOneResult:
    """The result of `insert_one`; the shape of `pymongo.results.InsertOneResult`."""

    def __new__(cls, inserted_id: Any, acknowledged: bool) -> Self: ...
    @property
    def inserted_id(self) -> Any:
        """The `_id` of the inserted document."""

    @property
    def acknowledged(self) -> bool:
        """Whether MongoDB confirmed the write: always, since `w=0` is refused."""

@final
class InsertManyResult:
    """The result of `insert_many`; the shape of `pymongo.results.InsertManyResult`."""

    def __new__(cls, inserted_ids: list[Any], acknowledged: bool) -> Self: ...
    @property
    def inserted_ids(self) -> list[Any]:
        """The `_id`s of the inserted documents, in the order in which they were given."""

    @property
    def acknowledged(self) -> bool:
        """Whether MongoDB confirmed the write: always, since `w=0` is refused."""

@final
class AsyncMongoClient:
    """A MongoDB client (the driver path) with PyMongo's API, to be awaited.

    Making one does no I/O: it connects with its first call. It may be used
    from any thread and any event loop, asyncio's or uvloop's, also from
    several at once, and in forked and spawned processes.
    """

    def __new__(
        cls,
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        coalesce: bool = True,
        **options: Any,
    ) -> Self:
        """Make a client.

        Args:
            host: a `mongodb://` or `mongodb+srv://` URI, or `host[:port]`, or a
                list of these; `localhost` if absent.
            port: the port of hosts that come without one, 27017 if absent.
            coalesce: whether concurrent `insert_one` calls may leave as one command;
                each still gets its own result.
            options: options of the connection string, by their names there
                (`serverSelectionTimeoutMS=5000`, in milliseconds; `tls=True`;
                `w="majority"`), and `username` and `password`.

        Raises:
            pymongo.errors.InvalidURI: the URI cannot be read.
            pymongo.errors.ConfigurationError: an option is unknown or wrong.
        """

    @classmethod
    def from_config(cls, config: Mapping[str, str]) -> AsyncMongoClient:
        """Give the client for the extension's variables.

        The same values give the same client in one process, from any thread
        or event loop. Changed values give a new one; the old one closes once
        its last call has ended and nobody holds it.

        Args:
            config: the variables, as in `self.config`: `DB`, `DB_HOST`,
                `DRIVER_COLLECTION`, and, where `DB_HOST` is a bare host,
                `DB_USER` and `DB_PASSWORD`; optionally `DB_OPTIONS`. Looks for
                a server for 5 seconds, unless `DB_OPTIONS` says otherwise.

        Raises:
            pymongo.errors.ConfigurationError: names every variable that is
                missing or malformed, and no value. No I/O is done.
        """

    def get_database(self, name: str | None = None) -> AsyncDatabase:
        """Give the database of that name, or the default one.

        Raises:
            pymongo.errors.InvalidName: MongoDB does not allow the name.
            pymongo.errors.ConfigurationError: there is no default.
        """

    def get_default_database(self) -> AsyncDatabase:
        """Give the database that the connection string or the variables name.

        Raises:
            pymongo.errors.ConfigurationError: they name none.
        """

    def get_default_collection(self) -> AsyncCollection:
        """Give the collection that the variables name.

        Raises:
            pymongo.errors.ConfigurationError: the client does not come from `from_config`.
        """

    def close(self) -> Coroutine[Any, Any, None]:
        """Close the connections; calls under way fail with `AutoReconnect` or `InvalidOperation`.

        A client of `from_config` serves others too and stays open: it closes
        when its variables change.
        """

    def __aenter__(self) -> Coroutine[Any, Any, Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> Coroutine[Any, Any, None]: ...
    def __getitem__(self, name: str, /) -> AsyncDatabase: ...
    def __getattr__(self, name: str, /) -> AsyncDatabase: ...

@final
class AsyncDatabase:
    """A database of an `AsyncMongoClient`."""

    @property
    def client(self) -> AsyncMongoClient:
        """The client that it came from."""

    @property
    def name(self) -> str:
        """The database's name."""

    def get_collection(self, name: str) -> AsyncCollection:
        """Give the collection of that name.

        Raises:
            pymongo.errors.InvalidName: MongoDB does not allow the name.
        """

    def __getitem__(self, name: str, /) -> AsyncCollection: ...
    def __getattr__(self, name: str, /) -> AsyncCollection: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __bool__(self) -> bool: ...

@final
class AsyncCollection:
    """A collection of an `AsyncMongoClient`."""

    @property
    def name(self) -> str:
        """The collection's name."""

    @property
    def full_name(self) -> str:
        """The database's and the collection's name, with a dot between."""

    @property
    def database(self) -> AsyncDatabase:
        """The database that it is in."""

    def insert_one(
        self,
        document: _Document,
        bypass_document_validation: bool | None = None,
        session: None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, InsertOneResult]:
        """Insert a document.

        The document is not changed. An `_id` is made if it has none. A lost
        connection is tried once more, without storing twice (retryable writes).

        Args:
            document: a mapping with `str` keys, at most 16 MiB as BSON.
            bypass_document_validation: whether to skip the collection's validator.
            session: not supported yet.
            comment: shows up in the server's log and profiler.

        Raises:
            pymongo.errors.DuplicateKeyError: the `_id`, or another unique key, exists.
            pymongo.errors.DocumentTooLarge: it is larger than 16 MiB.
            bson.errors.InvalidDocument: BSON cannot hold it; names the field's path.
            pymongo.errors.ServerSelectionTimeoutError: no server within the timeout.
            pymongo.errors.OperationFailure: MongoDB refused (rights, validation, …).
            pymongo.errors.AutoReconnect: the connection was lost.
        """

    def insert_many(
        self,
        documents: Iterable[_Document],
        ordered: bool = True,
        bypass_document_validation: bool | None = None,
        session: None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, InsertManyResult]:
        """Insert documents, in as few commands as the server's limits allow.

        Args:
            documents: one or more documents.
            ordered: whether to stop at the first that is refused.
            bypass_document_validation: whether to skip the collection's validator.
            session: not supported yet.
            comment: shows up in the server's log and profiler.

        Raises:
            pymongo.errors.BulkWriteError: some were refused; `details` says which.
            TypeError: `documents` is not a list, or empty.
            pymongo.errors.PyMongoError: as `insert_one`.
        """

    def find_one(
        self,
        filter: Any = None,
        projection: Mapping[str, Any] | Iterable[str] | None = None,
        skip: int = 0,
        *,
        sort: _Sort | None = None,
        hint: _Sort | None = None,
        max_time_ms: int | None = None,
        comment: Any = None,
        session: None = None,
    ) -> Coroutine[Any, Any, dict[str, Any] | None]:
        """Find the first document that matches, or `None`.

        Args:
            filter: a query; anything but a mapping is an `_id` to look for.
            projection: the fields to return: names, or a mapping of names to 1 or 0.
            skip: how many matches to pass over.
            sort: in which order to look.
            hint: the index to use, by its name or its keys.
            max_time_ms: how long the server may work on it, in milliseconds.
            comment: shows up in the server's log and profiler.
            session: not supported yet.

        Raises:
            pymongo.errors.OperationFailure: MongoDB refused the query.
            pymongo.errors.ExecutionTimeout: it took longer than `max_time_ms`.
            pymongo.errors.ServerSelectionTimeoutError: no server within the timeout.
            pymongo.errors.AutoReconnect: the connection was lost.
        """

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __getitem__(self, name: str, /) -> Self: ...
    def __getattr__(self, name: str, /) -> Self: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __bool__(self) -> bool: ...

@final
class MongoClient:
    """A MongoDB client (the driver path) with PyMongo's API; its calls wait with the GIL released.

    Making one does no I/O: it connects with its first call. It may be used
    from any thread and any event loop, asyncio's or uvloop's, also from
    several at once, and in forked and spawned processes.
    """

    def __new__(
        cls,
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        coalesce: bool = True,
        **options: Any,
    ) -> Self:
        """Make a client.

        Args:
            host: a `mongodb://` or `mongodb+srv://` URI, or `host[:port]`, or a
                list of these; `localhost` if absent.
            port: the port of hosts that come without one, 27017 if absent.
            coalesce: whether concurrent `insert_one` calls may leave as one command;
                each still gets its own result.
            options: options of the connection string, by their names there
                (`serverSelectionTimeoutMS=5000`, in milliseconds; `tls=True`;
                `w="majority"`), and `username` and `password`.

        Raises:
            pymongo.errors.InvalidURI: the URI cannot be read.
            pymongo.errors.ConfigurationError: an option is unknown or wrong.
        """

    @classmethod
    def from_config(cls, config: Mapping[str, str]) -> MongoClient:
        """Give the client for the extension's variables.

        The same values give the same client in one process, from any thread
        or event loop. Changed values give a new one; the old one closes once
        its last call has ended and nobody holds it.

        Args:
            config: the variables, as in `self.config`: `DB`, `DB_HOST`,
                `DRIVER_COLLECTION`, and, where `DB_HOST` is a bare host,
                `DB_USER` and `DB_PASSWORD`; optionally `DB_OPTIONS`. Looks for
                a server for 5 seconds, unless `DB_OPTIONS` says otherwise.

        Raises:
            pymongo.errors.ConfigurationError: names every variable that is
                missing or malformed, and no value. No I/O is done.
        """

    def get_database(self, name: str | None = None) -> Database:
        """Give the database of that name, or the default one.

        Raises:
            pymongo.errors.InvalidName: MongoDB does not allow the name.
            pymongo.errors.ConfigurationError: there is no default.
        """

    def get_default_database(self) -> Database:
        """Give the database that the connection string or the variables name.

        Raises:
            pymongo.errors.ConfigurationError: they name none.
        """

    def get_default_collection(self) -> Collection:
        """Give the collection that the variables name.

        Raises:
            pymongo.errors.ConfigurationError: the client does not come from `from_config`.
        """

    def close(self) -> None:
        """Close the connections; calls under way fail with `AutoReconnect` or `InvalidOperation`.

        A client of `from_config` serves others too and stays open: it closes
        when its variables change.
        """

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None: ...
    def __getitem__(self, name: str, /) -> Database: ...
    def __getattr__(self, name: str, /) -> Database: ...

@final
class Database:
    """A database of an `MongoClient`."""

    @property
    def client(self) -> MongoClient:
        """The client that it came from."""

    @property
    def name(self) -> str:
        """The database's name."""

    def get_collection(self, name: str) -> Collection:
        """Give the collection of that name.

        Raises:
            pymongo.errors.InvalidName: MongoDB does not allow the name.
        """

    def __getitem__(self, name: str, /) -> Collection: ...
    def __getattr__(self, name: str, /) -> Collection: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __bool__(self) -> bool: ...

@final
class Collection:
    """A collection of an `MongoClient`."""

    @property
    def name(self) -> str:
        """The collection's name."""

    @property
    def full_name(self) -> str:
        """The database's and the collection's name, with a dot between."""

    @property
    def database(self) -> Database:
        """The database that it is in."""

    def insert_one(
        self,
        document: _Document,
        bypass_document_validation: bool | None = None,
        session: None = None,
        comment: Any = None,
    ) -> InsertOneResult:
        """Insert a document.

        The document is not changed. An `_id` is made if it has none. A lost
        connection is tried once more, without storing twice (retryable writes).

        Args:
            document: a mapping with `str` keys, at most 16 MiB as BSON.
            bypass_document_validation: whether to skip the collection's validator.
            session: not supported yet.
            comment: shows up in the server's log and profiler.

        Raises:
            pymongo.errors.DuplicateKeyError: the `_id`, or another unique key, exists.
            pymongo.errors.DocumentTooLarge: it is larger than 16 MiB.
            bson.errors.InvalidDocument: BSON cannot hold it; names the field's path.
            pymongo.errors.ServerSelectionTimeoutError: no server within the timeout.
            pymongo.errors.OperationFailure: MongoDB refused (rights, validation, …).
            pymongo.errors.AutoReconnect: the connection was lost.
        """

    def insert_many(
        self,
        documents: Iterable[_Document],
        ordered: bool = True,
        bypass_document_validation: bool | None = None,
        session: None = None,
        comment: Any = None,
    ) -> InsertManyResult:
        """Insert documents, in as few commands as the server's limits allow.

        Args:
            documents: one or more documents.
            ordered: whether to stop at the first that is refused.
            bypass_document_validation: whether to skip the collection's validator.
            session: not supported yet.
            comment: shows up in the server's log and profiler.

        Raises:
            pymongo.errors.BulkWriteError: some were refused; `details` says which.
            TypeError: `documents` is not a list, or empty.
            pymongo.errors.PyMongoError: as `insert_one`.
        """

    def find_one(
        self,
        filter: Any = None,
        projection: Mapping[str, Any] | Iterable[str] | None = None,
        skip: int = 0,
        *,
        sort: _Sort | None = None,
        hint: _Sort | None = None,
        max_time_ms: int | None = None,
        comment: Any = None,
        session: None = None,
    ) -> dict[str, Any] | None:
        """Find the first document that matches, or `None`.

        Args:
            filter: a query; anything but a mapping is an `_id` to look for.
            projection: the fields to return: names, or a mapping of names to 1 or 0.
            skip: how many matches to pass over.
            sort: in which order to look.
            hint: the index to use, by its name or its keys.
            max_time_ms: how long the server may work on it, in milliseconds.
            comment: shows up in the server's log and profiler.
            session: not supported yet.

        Raises:
            pymongo.errors.OperationFailure: MongoDB refused the query.
            pymongo.errors.ExecutionTimeout: it took longer than `max_time_ms`.
            pymongo.errors.ServerSelectionTimeoutError: no server within the timeout.
            pymongo.errors.AutoReconnect: the connection was lost.
        """

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __getitem__(self, name: str, /) -> Self: ...
    def __getattr__(self, name: str, /) -> Self: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __bool__(self) -> bool: ...

@final
class AsyncDataApiClient:
    """A client of the Data API (MongoDB over HTTP), to be awaited.

    Making one does no I/O: it connects with its first call. It may be used
    from any thread and any event loop, asyncio's or uvloop's, also from
    several at once, and in forked and spawned processes.
    """

    def __new__(
        cls,
        endpoint: str,
        *,
        api_key: str,
        data_source: str,
        database: str | None = None,
        collection: str | None = None,
        timeoutMS: int = 30000,
        connectTimeoutMS: int = 5000,
        retryWrites: bool = True,
        coalesce: bool = True,
    ) -> Self:
        """Make a client.

        Args:
            endpoint: the base URL, up to and without `/action/…`.
            api_key: sent as the `api-key` header.
            data_source: sent as `dataSource`.
            database: the default database.
            collection: the default collection.
            timeoutMS: how long a call may take, repeats included, in milliseconds.
            connectTimeoutMS: how long a connection may take, in milliseconds.
            retryWrites: whether a call that is safe to repeat is repeated, twice at most.
            coalesce: whether concurrent `insert_one` calls may leave as one request,
                where their `_id`s are made here; each still gets its own result.

        Raises:
            pymongo.errors.ConfigurationError: names the argument that is wrong.
        """

    @classmethod
    def from_config(cls, config: Mapping[str, str]) -> AsyncDataApiClient:
        """Give the client for the extension's variables.

        The same values give the same client in one process, from any thread
        or event loop. Changed values give a new one; the old one closes once
        its last call has ended and nobody holds it.

        Args:
            config: the variables, as in `self.config`: `DB`, `DATA_API_ENDPOINT`,
                `API_KEY`, `CLUSTER` and `HTTP_COLLECTION`.

        Raises:
            pymongo.errors.ConfigurationError: names every variable that is
                missing or malformed, and no value. No I/O is done.
        """

    def get_database(self, name: str | None = None) -> AsyncDataApiDatabase:
        """Give the database of that name, or the default one.

        Raises:
            pymongo.errors.InvalidName: MongoDB does not allow the name.
            pymongo.errors.ConfigurationError: there is no default.
        """

    def get_default_database(self) -> AsyncDataApiDatabase:
        """Give the database that the arguments or the variables name.

        Raises:
            pymongo.errors.ConfigurationError: they name none.
        """

    def get_default_collection(self) -> AsyncDataApiCollection:
        """Give the collection that the arguments or the variables name.

        Raises:
            pymongo.errors.ConfigurationError: they name none.
        """

    def close(self) -> Coroutine[Any, Any, None]:
        """Close the connections once the calls under way have ended.

        A client of `from_config` serves others too and stays open: it closes
        when its variables change.
        """

    def __aenter__(self) -> Coroutine[Any, Any, Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> Coroutine[Any, Any, None]: ...
    def __getitem__(self, name: str, /) -> AsyncDataApiDatabase: ...
    def __getattr__(self, name: str, /) -> AsyncDataApiDatabase: ...

@final
class AsyncDataApiDatabase:
    """A database of an `AsyncDataApiClient`."""

    @property
    def client(self) -> AsyncDataApiClient:
        """The client that it came from."""

    @property
    def name(self) -> str:
        """The database's name."""

    def get_collection(self, name: str) -> AsyncDataApiCollection:
        """Give the collection of that name.

        Raises:
            pymongo.errors.InvalidName: MongoDB does not allow the name.
        """

    def __getitem__(self, name: str, /) -> AsyncDataApiCollection: ...
    def __getattr__(self, name: str, /) -> AsyncDataApiCollection: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __bool__(self) -> bool: ...

@final
class AsyncDataApiCollection:
    """A collection of an `AsyncDataApiClient`."""

    @property
    def name(self) -> str:
        """The collection's name."""

    @property
    def full_name(self) -> str:
        """The database's and the collection's name, with a dot between."""

    @property
    def database(self) -> AsyncDataApiDatabase:
        """The database that it is in."""

    def insert_one(
        self,
        document: _Document,
        bypass_document_validation: bool | None = None,
        session: None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, InsertOneResult]:
        """Insert a document.

        The document is not changed. An `_id` is made if it has none; then a
        call that got no answer is repeated, without storing twice.

        Args:
            document: a mapping with `str` keys, at most 16 MiB as BSON.
            bypass_document_validation: not in the Data API.
            session: not in the Data API.
            comment: not in the Data API.

        Raises:
            pymongo.errors.DuplicateKeyError: the `_id`, or another unique key, exists.
            pymongo.errors.DocumentTooLarge: it is larger than 16 MiB.
            bson.errors.InvalidDocument: BSON cannot hold it; names the field's path.
            DataApiError: the Data API refused, or gave no answer of its own.
            pymongo.errors.AutoReconnect: no connection could be made.
            pymongo.errors.NetworkTimeout: no answer within the timeout.
            NotImplementedError: an argument that the Data API does not have.
        """

    def insert_many(
        self,
        documents: Iterable[_Document],
        ordered: bool = True,
        bypass_document_validation: bool | None = None,
        session: None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, InsertManyResult]:
        """Insert documents, in as few commands as the server's limits allow.

        Args:
            documents: one or more documents.
            ordered: whether to stop at the first that is refused.
            bypass_document_validation: not in the Data API.
            session: not in the Data API.
            comment: not in the Data API.

        Raises:
            pymongo.errors.BulkWriteError: some were refused; `details` says which.
            TypeError: `documents` is not a list, or empty.
            pymongo.errors.PyMongoError: as `insert_one`.
        """

    def find_one(
        self,
        filter: Any = None,
        projection: Mapping[str, Any] | Iterable[str] | None = None,
        skip: int = 0,
        *,
        sort: _Sort | None = None,
        hint: _Sort | None = None,
        max_time_ms: int | None = None,
        comment: Any = None,
        session: None = None,
    ) -> Coroutine[Any, Any, dict[str, Any] | None]:
        """Find the first document that matches, or `None`.

        Args:
            filter: a query; anything but a mapping is an `_id` to look for.
            projection: the fields to return: names, or a mapping of names to 1 or 0.
            skip: not in the Data API.
            sort: not in the Data API.
            hint: not in the Data API.
            max_time_ms: not in the Data API.
            comment: not in the Data API.
            session: not in the Data API.

        Raises:
            DataApiError: the Data API refused, or gave no answer of its own.
            pymongo.errors.AutoReconnect: no connection could be made.
            pymongo.errors.NetworkTimeout: no answer within the timeout.
            NotImplementedError: an argument that the Data API does not have.
        """

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __getitem__(self, name: str, /) -> Self: ...
    def __getattr__(self, name: str, /) -> Self: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __bool__(self) -> bool: ...

@final
class DataApiClient:
    """A client of the Data API (MongoDB over HTTP); its calls wait with the GIL released.

    Making one does no I/O: it connects with its first call. It may be used
    from any thread and any event loop, asyncio's or uvloop's, also from
    several at once, and in forked and spawned processes.
    """

    def __new__(
        cls,
        endpoint: str,
        *,
        api_key: str,
        data_source: str,
        database: str | None = None,
        collection: str | None = None,
        timeoutMS: int = 30000,
        connectTimeoutMS: int = 5000,
        retryWrites: bool = True,
        coalesce: bool = True,
    ) -> Self:
        """Make a client.

        Args:
            endpoint: the base URL, up to and without `/action/…`.
            api_key: sent as the `api-key` header.
            data_source: sent as `dataSource`.
            database: the default database.
            collection: the default collection.
            timeoutMS: how long a call may take, repeats included, in milliseconds.
            connectTimeoutMS: how long a connection may take, in milliseconds.
            retryWrites: whether a call that is safe to repeat is repeated, twice at most.
            coalesce: whether concurrent `insert_one` calls may leave as one request,
                where their `_id`s are made here; each still gets its own result.

        Raises:
            pymongo.errors.ConfigurationError: names the argument that is wrong.
        """

    @classmethod
    def from_config(cls, config: Mapping[str, str]) -> DataApiClient:
        """Give the client for the extension's variables.

        The same values give the same client in one process, from any thread
        or event loop. Changed values give a new one; the old one closes once
        its last call has ended and nobody holds it.

        Args:
            config: the variables, as in `self.config`: `DB`, `DATA_API_ENDPOINT`,
                `API_KEY`, `CLUSTER` and `HTTP_COLLECTION`.

        Raises:
            pymongo.errors.ConfigurationError: names every variable that is
                missing or malformed, and no value. No I/O is done.
        """

    def get_database(self, name: str | None = None) -> DataApiDatabase:
        """Give the database of that name, or the default one.

        Raises:
            pymongo.errors.InvalidName: MongoDB does not allow the name.
            pymongo.errors.ConfigurationError: there is no default.
        """

    def get_default_database(self) -> DataApiDatabase:
        """Give the database that the arguments or the variables name.

        Raises:
            pymongo.errors.ConfigurationError: they name none.
        """

    def get_default_collection(self) -> DataApiCollection:
        """Give the collection that the arguments or the variables name.

        Raises:
            pymongo.errors.ConfigurationError: they name none.
        """

    def close(self) -> None:
        """Close the connections once the calls under way have ended.

        A client of `from_config` serves others too and stays open: it closes
        when its variables change.
        """

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None: ...
    def __getitem__(self, name: str, /) -> DataApiDatabase: ...
    def __getattr__(self, name: str, /) -> DataApiDatabase: ...

@final
class DataApiDatabase:
    """A database of an `DataApiClient`."""

    @property
    def client(self) -> DataApiClient:
        """The client that it came from."""

    @property
    def name(self) -> str:
        """The database's name."""

    def get_collection(self, name: str) -> DataApiCollection:
        """Give the collection of that name.

        Raises:
            pymongo.errors.InvalidName: MongoDB does not allow the name.
        """

    def __getitem__(self, name: str, /) -> DataApiCollection: ...
    def __getattr__(self, name: str, /) -> DataApiCollection: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __bool__(self) -> bool: ...

@final
class DataApiCollection:
    """A collection of an `DataApiClient`."""

    @property
    def name(self) -> str:
        """The collection's name."""

    @property
    def full_name(self) -> str:
        """The database's and the collection's name, with a dot between."""

    @property
    def database(self) -> DataApiDatabase:
        """The database that it is in."""

    def insert_one(
        self,
        document: _Document,
        bypass_document_validation: bool | None = None,
        session: None = None,
        comment: Any = None,
    ) -> InsertOneResult:
        """Insert a document.

        The document is not changed. An `_id` is made if it has none; then a
        call that got no answer is repeated, without storing twice.

        Args:
            document: a mapping with `str` keys, at most 16 MiB as BSON.
            bypass_document_validation: not in the Data API.
            session: not in the Data API.
            comment: not in the Data API.

        Raises:
            pymongo.errors.DuplicateKeyError: the `_id`, or another unique key, exists.
            pymongo.errors.DocumentTooLarge: it is larger than 16 MiB.
            bson.errors.InvalidDocument: BSON cannot hold it; names the field's path.
            DataApiError: the Data API refused, or gave no answer of its own.
            pymongo.errors.AutoReconnect: no connection could be made.
            pymongo.errors.NetworkTimeout: no answer within the timeout.
            NotImplementedError: an argument that the Data API does not have.
        """

    def insert_many(
        self,
        documents: Iterable[_Document],
        ordered: bool = True,
        bypass_document_validation: bool | None = None,
        session: None = None,
        comment: Any = None,
    ) -> InsertManyResult:
        """Insert documents, in as few commands as the server's limits allow.

        Args:
            documents: one or more documents.
            ordered: whether to stop at the first that is refused.
            bypass_document_validation: not in the Data API.
            session: not in the Data API.
            comment: not in the Data API.

        Raises:
            pymongo.errors.BulkWriteError: some were refused; `details` says which.
            TypeError: `documents` is not a list, or empty.
            pymongo.errors.PyMongoError: as `insert_one`.
        """

    def find_one(
        self,
        filter: Any = None,
        projection: Mapping[str, Any] | Iterable[str] | None = None,
        skip: int = 0,
        *,
        sort: _Sort | None = None,
        hint: _Sort | None = None,
        max_time_ms: int | None = None,
        comment: Any = None,
        session: None = None,
    ) -> dict[str, Any] | None:
        """Find the first document that matches, or `None`.

        Args:
            filter: a query; anything but a mapping is an `_id` to look for.
            projection: the fields to return: names, or a mapping of names to 1 or 0.
            skip: not in the Data API.
            sort: not in the Data API.
            hint: not in the Data API.
            max_time_ms: not in the Data API.
            comment: not in the Data API.
            session: not in the Data API.

        Raises:
            DataApiError: the Data API refused, or gave no answer of its own.
            pymongo.errors.AutoReconnect: no connection could be made.
            pymongo.errors.NetworkTimeout: no answer within the timeout.
            NotImplementedError: an argument that the Data API does not have.
        """

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __getitem__(self, name: str, /) -> Self: ...
    def __getattr__(self, name: str, /) -> Self: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __bool__(self) -> bool: ...
