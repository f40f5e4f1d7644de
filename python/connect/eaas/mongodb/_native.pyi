from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
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
    connections: int = 1024,
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
class UpdateResult:
    """The result of an update or a replacement; the shape of `pymongo.results.UpdateResult`."""

    @property
    def matched_count(self) -> int:
        """How many documents matched."""

    @property
    def modified_count(self) -> int:
        """How many documents were changed."""

    @property
    def upserted_id(self) -> Any:
        """The `_id` of the document that was inserted since none matched, or `None`."""

    @property
    def did_upsert(self) -> bool:
        """Whether a document was inserted since none matched."""

    @property
    def raw_result(self) -> dict[str, Any]:
        """What the server said."""

    @property
    def acknowledged(self) -> bool:
        """Whether MongoDB confirmed the write: always, since `w=0` is refused."""

@final
class DeleteResult:
    """The result of a deletion; the shape of `pymongo.results.DeleteResult`."""

    @property
    def deleted_count(self) -> int:
        """How many documents were deleted."""

    @property
    def raw_result(self) -> dict[str, Any]:
        """What the server said."""

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
    def list_database_names(self, session: None = None, comment: Any = None) -> Coroutine[Any, Any, list[str]]:
        """The names of the databases."""

    def drop_database(
        self, name_or_database: str | AsyncDatabase, session: None = None, comment: Any = None
    ) -> Coroutine[Any, Any, None]:
        """Remove a database, by its name or itself."""

    def server_info(self, session: None = None) -> Coroutine[Any, Any, dict[str, Any]]:
        """What the server says of itself."""

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

    def list_collection_names(
        self, session: None = None, filter: _Document | None = None, comment: Any = None
    ) -> Coroutine[Any, Any, list[str]]:
        """The names of the collections."""

    def create_collection(
        self, name: str, *, session: None = None, check_exists: bool | None = True, **kwargs: Any
    ) -> Coroutine[Any, Any, AsyncCollection]:
        """Make a collection; gives it. Keywords are the options of MongoDB's `create`.

        Raises:
            pymongo.errors.CollectionInvalid: there is one of that name.
        """

    def drop_collection(
        self, name_or_collection: str | AsyncCollection, session: None = None, comment: Any = None
    ) -> Coroutine[Any, Any, None]:
        """Remove a collection, by its name or itself; nothing where there is none."""

    def command(
        self, command: str | _Document, value: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """Run a command on the primary; gives the server's answer.

        Args:
            command: the command's name, or the whole command.
            value: the value of the name, where the name is given; 1, unless said otherwise.
            **kwargs: more fields of the command.

        Raises:
            pymongo.errors.OperationFailure: MongoDB refused it.
            pymongo.errors.PyMongoError: as `find_one`.
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
        collation: Any = None,
        let: _Document | None = None,
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
            collation: how texts compare.
            let: variables for the query's expressions.

        Raises:
            pymongo.errors.OperationFailure: MongoDB refused the query.
            pymongo.errors.ExecutionTimeout: it took longer than `max_time_ms`.
            pymongo.errors.ServerSelectionTimeoutError: no server within the timeout.
            pymongo.errors.AutoReconnect: the connection was lost.
        """

    def find(
        self,
        filter: _Document | None = None,
        projection: Mapping[str, Any] | Iterable[str] | None = None,
        skip: int = 0,
        limit: int = 0,
        no_cursor_timeout: bool = False,
        cursor_type: int = 0,
        sort: _Sort | None = None,
        allow_partial_results: bool = False,
        oplog_replay: bool = False,
        batch_size: int = 0,
        collation: Any = None,
        hint: _Sort | None = None,
        max_scan: None = None,
        max_time_ms: int | None = None,
        max: _Sort | None = None,
        min: _Sort | None = None,
        return_key: bool | None = None,
        show_record_id: bool | None = None,
        snapshot: None = None,
        comment: Any = None,
        session: None = None,
        allow_disk_use: bool | None = None,
        let: _Document | None = None,
    ) -> AsyncCursor:
        """Find all documents that match; gives a cursor, which asks the server once it is read.

        The arguments are PyMongo's. `cursor_type` other than 0, `oplog_replay`,
        `max_scan`, `snapshot` and `session` are not supported.

        Raises:
            NotImplementedError: an argument that is not supported; names it.
            TypeError: an argument of a wrong type.
        """

    def update_one(
        self,
        filter: _Document,
        update: _Document | list[Any],
        upsert: bool = False,
        bypass_document_validation: bool | None = None,
        collation: Any = None,
        array_filters: Sequence[_Document] | None = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        sort: _Sort | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, UpdateResult]:
        """Update the first document that matches.

        Arguments as PyMongo's.

        Raises:
            ValueError: the update has no operators.
            pymongo.errors.DuplicateKeyError: it would make a unique key twice.
            pymongo.errors.OperationFailure: MongoDB refused it.
            pymongo.errors.PyMongoError: as `insert_one`.
        """

    def update_many(
        self,
        filter: _Document,
        update: _Document | list[Any],
        upsert: bool = False,
        array_filters: Sequence[_Document] | None = None,
        bypass_document_validation: bool | None = None,
        collation: Any = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, UpdateResult]:
        """Update all documents that match; arguments and errors as `update_one`'s."""

    def replace_one(
        self,
        filter: _Document,
        replacement: _Document,
        upsert: bool = False,
        bypass_document_validation: bool | None = None,
        collation: Any = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        sort: _Sort | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, UpdateResult]:
        """Replace the first document that matches; arguments and errors as `update_one`'s.

        Raises:
            ValueError: the replacement has operators.
        """

    def delete_one(
        self,
        filter: _Document,
        collation: Any = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, DeleteResult]:
        """Delete the first document that matches; errors as `update_one`'s."""

    def delete_many(
        self,
        filter: _Document,
        collation: Any = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, DeleteResult]:
        """Delete all documents that match; errors as `update_one`'s."""

    def aggregate(
        self,
        pipeline: list[_Document],
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> AsyncCursor:
        """Run an aggregation pipeline; gives a cursor, which asks the server once it is read. It may be awaited first.

        Raises:
            TypeError: the pipeline is no list, or a keyword is not known.
        """

    def count_documents(
        self, filter: _Document, session: None = None, comment: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, int]:
        """How many documents match. Keywords: `skip`, `limit`, `maxTimeMS`, `hint`, `collation`."""

    def estimated_document_count(self, comment: Any = None, **kwargs: Any) -> Coroutine[Any, Any, int]:
        """How many documents there are, as the collection's metadata say. Keyword: `maxTimeMS`."""

    def distinct(
        self,
        key: str,
        filter: _Document | None = None,
        session: None = None,
        comment: Any = None,
        hint: _Sort | None = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, list[Any]]:
        """The values that a field has in the documents that match. Keywords: `maxTimeMS`, `collation`."""

    def find_one_and_update(
        self,
        filter: _Document,
        update: _Document | list[Any],
        projection: Mapping[str, Any] | Iterable[str] | None = None,
        sort: _Sort | None = None,
        upsert: bool = False,
        return_document: bool = False,
        array_filters: Sequence[_Document] | None = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, dict[str, Any] | None]:
        """Update the first document that matches; gives it as it was, or as it is then.

        `return_document` is PyMongo's `ReturnDocument`. Keywords: `maxTimeMS`,
        `collation`, `bypass_document_validation`. Errors as `update_one`'s.
        """

    def find_one_and_replace(
        self,
        filter: _Document,
        replacement: _Document,
        projection: Mapping[str, Any] | Iterable[str] | None = None,
        sort: _Sort | None = None,
        upsert: bool = False,
        return_document: bool = False,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, dict[str, Any] | None]:
        """Replace the first document that matches; as `find_one_and_update`."""

    def find_one_and_delete(
        self,
        filter: _Document,
        projection: Mapping[str, Any] | Iterable[str] | None = None,
        sort: _Sort | None = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, dict[str, Any] | None]:
        """Delete the first document that matches; gives it. As `find_one_and_update`."""

    def index_information(self, session: None = None, comment: Any = None) -> Coroutine[Any, Any, dict[str, Any]]:
        """What is known of each index, by its name."""

    def list_indexes(self, session: None = None, comment: Any = None) -> AsyncCursor:
        """The indexes; gives a cursor. It may be awaited first."""

    def drop_index(self, index_or_name: _Sort, session: None = None, comment: Any = None) -> Coroutine[Any, Any, None]:
        """Remove an index, by its name or its keys."""

    def drop_indexes(self, session: None = None, comment: Any = None) -> Coroutine[Any, Any, None]:
        """Remove all indexes but that of `_id`."""

    def drop(self, session: None = None, comment: Any = None) -> Coroutine[Any, Any, None]:
        """Remove the collection; nothing where there is none."""

    def create_index(
        self, keys: _Sort, session: None = None, comment: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, str]:
        """Make an index; gives its name. Keywords are the options of MongoDB's `createIndexes`."""

    def _save_event(
        self,
        settings: StoreSettings,
        event_type: str,
        obj: dict[str, Any] | Model,
        task_id: str | None = None,
        installation_id: str | None = None,
    ) -> Coroutine[Any, Any, SaveResult]: ...
    def _save_events(
        self, settings: StoreSettings, events: Iterable[tuple[str, dict[str, Any] | Model]]
    ) -> Coroutine[Any, Any, list[SaveResult | Exception]]: ...
    def _drain(self) -> Coroutine[Any, Any, None]: ...
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
    def list_database_names(self, session: None = None, comment: Any = None) -> list[str]:
        """The names of the databases."""

    def drop_database(self, name_or_database: str | Database, session: None = None, comment: Any = None) -> None:
        """Remove a database, by its name or itself."""

    def server_info(self, session: None = None) -> dict[str, Any]:
        """What the server says of itself."""

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

    def list_collection_names(
        self, session: None = None, filter: _Document | None = None, comment: Any = None
    ) -> list[str]:
        """The names of the collections."""

    def create_collection(
        self, name: str, *, session: None = None, check_exists: bool | None = True, **kwargs: Any
    ) -> Collection:
        """Make a collection; gives it. Keywords are the options of MongoDB's `create`.

        Raises:
            pymongo.errors.CollectionInvalid: there is one of that name.
        """

    def drop_collection(self, name_or_collection: str | Collection, session: None = None, comment: Any = None) -> None:
        """Remove a collection, by its name or itself; nothing where there is none."""

    def command(self, command: str | _Document, value: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Run a command on the primary; gives the server's answer.

        Args:
            command: the command's name, or the whole command.
            value: the value of the name, where the name is given; 1, unless said otherwise.
            **kwargs: more fields of the command.

        Raises:
            pymongo.errors.OperationFailure: MongoDB refused it.
            pymongo.errors.PyMongoError: as `find_one`.
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
        collation: Any = None,
        let: _Document | None = None,
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
            collation: how texts compare.
            let: variables for the query's expressions.

        Raises:
            pymongo.errors.OperationFailure: MongoDB refused the query.
            pymongo.errors.ExecutionTimeout: it took longer than `max_time_ms`.
            pymongo.errors.ServerSelectionTimeoutError: no server within the timeout.
            pymongo.errors.AutoReconnect: the connection was lost.
        """

    def find(
        self,
        filter: _Document | None = None,
        projection: Mapping[str, Any] | Iterable[str] | None = None,
        skip: int = 0,
        limit: int = 0,
        no_cursor_timeout: bool = False,
        cursor_type: int = 0,
        sort: _Sort | None = None,
        allow_partial_results: bool = False,
        oplog_replay: bool = False,
        batch_size: int = 0,
        collation: Any = None,
        hint: _Sort | None = None,
        max_scan: None = None,
        max_time_ms: int | None = None,
        max: _Sort | None = None,
        min: _Sort | None = None,
        return_key: bool | None = None,
        show_record_id: bool | None = None,
        snapshot: None = None,
        comment: Any = None,
        session: None = None,
        allow_disk_use: bool | None = None,
        let: _Document | None = None,
    ) -> Cursor:
        """Find all documents that match; gives a cursor, which asks the server once it is read.

        The arguments are PyMongo's. `cursor_type` other than 0, `oplog_replay`,
        `max_scan`, `snapshot` and `session` are not supported.

        Raises:
            NotImplementedError: an argument that is not supported; names it.
            TypeError: an argument of a wrong type.
        """

    def update_one(
        self,
        filter: _Document,
        update: _Document | list[Any],
        upsert: bool = False,
        bypass_document_validation: bool | None = None,
        collation: Any = None,
        array_filters: Sequence[_Document] | None = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        sort: _Sort | None = None,
        comment: Any = None,
    ) -> UpdateResult:
        """Update the first document that matches.

        Arguments as PyMongo's.

        Raises:
            ValueError: the update has no operators.
            pymongo.errors.DuplicateKeyError: it would make a unique key twice.
            pymongo.errors.OperationFailure: MongoDB refused it.
            pymongo.errors.PyMongoError: as `insert_one`.
        """

    def update_many(
        self,
        filter: _Document,
        update: _Document | list[Any],
        upsert: bool = False,
        array_filters: Sequence[_Document] | None = None,
        bypass_document_validation: bool | None = None,
        collation: Any = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> UpdateResult:
        """Update all documents that match; arguments and errors as `update_one`'s."""

    def replace_one(
        self,
        filter: _Document,
        replacement: _Document,
        upsert: bool = False,
        bypass_document_validation: bool | None = None,
        collation: Any = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        sort: _Sort | None = None,
        comment: Any = None,
    ) -> UpdateResult:
        """Replace the first document that matches; arguments and errors as `update_one`'s.

        Raises:
            ValueError: the replacement has operators.
        """

    def delete_one(
        self,
        filter: _Document,
        collation: Any = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> DeleteResult:
        """Delete the first document that matches; errors as `update_one`'s."""

    def delete_many(
        self,
        filter: _Document,
        collation: Any = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> DeleteResult:
        """Delete all documents that match; errors as `update_one`'s."""

    def aggregate(
        self,
        pipeline: list[_Document],
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Cursor:
        """Run an aggregation pipeline; gives a cursor, which asks the server once it is read.

        Raises:
            TypeError: the pipeline is no list, or a keyword is not known.
        """

    def count_documents(self, filter: _Document, session: None = None, comment: Any = None, **kwargs: Any) -> int:
        """How many documents match. Keywords: `skip`, `limit`, `maxTimeMS`, `hint`, `collation`."""

    def estimated_document_count(self, comment: Any = None, **kwargs: Any) -> int:
        """How many documents there are, as the collection's metadata say. Keyword: `maxTimeMS`."""

    def distinct(
        self,
        key: str,
        filter: _Document | None = None,
        session: None = None,
        comment: Any = None,
        hint: _Sort | None = None,
        **kwargs: Any,
    ) -> list[Any]:
        """The values that a field has in the documents that match. Keywords: `maxTimeMS`, `collation`."""

    def find_one_and_update(
        self,
        filter: _Document,
        update: _Document | list[Any],
        projection: Mapping[str, Any] | Iterable[str] | None = None,
        sort: _Sort | None = None,
        upsert: bool = False,
        return_document: bool = False,
        array_filters: Sequence[_Document] | None = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any] | None:
        """Update the first document that matches; gives it as it was, or as it is then.

        `return_document` is PyMongo's `ReturnDocument`. Keywords: `maxTimeMS`,
        `collation`, `bypass_document_validation`. Errors as `update_one`'s.
        """

    def find_one_and_replace(
        self,
        filter: _Document,
        replacement: _Document,
        projection: Mapping[str, Any] | Iterable[str] | None = None,
        sort: _Sort | None = None,
        upsert: bool = False,
        return_document: bool = False,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any] | None:
        """Replace the first document that matches; as `find_one_and_update`."""

    def find_one_and_delete(
        self,
        filter: _Document,
        projection: Mapping[str, Any] | Iterable[str] | None = None,
        sort: _Sort | None = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any] | None:
        """Delete the first document that matches; gives it. As `find_one_and_update`."""

    def index_information(self, session: None = None, comment: Any = None) -> dict[str, Any]:
        """What is known of each index, by its name."""

    def list_indexes(self, session: None = None, comment: Any = None) -> Cursor:
        """The indexes; gives a cursor."""

    def drop_index(self, index_or_name: _Sort, session: None = None, comment: Any = None) -> None:
        """Remove an index, by its name or its keys."""

    def drop_indexes(self, session: None = None, comment: Any = None) -> None:
        """Remove all indexes but that of `_id`."""

    def drop(self, session: None = None, comment: Any = None) -> None:
        """Remove the collection; nothing where there is none."""

    def create_index(self, keys: _Sort, session: None = None, comment: Any = None, **kwargs: Any) -> str:
        """Make an index; gives its name. Keywords are the options of MongoDB's `createIndexes`."""

    def _save_event(
        self,
        settings: StoreSettings,
        event_type: str,
        obj: dict[str, Any] | Model,
        task_id: str | None = None,
        installation_id: str | None = None,
    ) -> SaveResult: ...
    def _save_events(
        self, settings: StoreSettings, events: Iterable[tuple[str, dict[str, Any] | Model]]
    ) -> list[SaveResult | Exception]: ...
    def _drain(self) -> None: ...
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
        collation: Any = None,
        let: _Document | None = None,
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

    def find(
        self,
        filter: _Document | None = None,
        projection: Mapping[str, Any] | Iterable[str] | None = None,
        skip: int = 0,
        limit: int = 0,
        no_cursor_timeout: bool = False,
        cursor_type: int = 0,
        sort: _Sort | None = None,
        allow_partial_results: bool = False,
        oplog_replay: bool = False,
        batch_size: int = 0,
        collation: Any = None,
        hint: _Sort | None = None,
        max_scan: None = None,
        max_time_ms: int | None = None,
        max: _Sort | None = None,
        min: _Sort | None = None,
        return_key: bool | None = None,
        show_record_id: bool | None = None,
        snapshot: None = None,
        comment: Any = None,
        session: None = None,
        allow_disk_use: bool | None = None,
        let: _Document | None = None,
    ) -> AsyncCursor:
        """Find all documents that match; gives a cursor, which asks the server once it is read.

        The Data API has `filter`, `projection`, `sort`, `skip` and `limit` (not
        negative) only, and gives all documents in one answer; what else is given
        raises `NotImplementedError`.

        Raises:
            NotImplementedError: an argument that is not supported; names it.
            TypeError: an argument of a wrong type.
        """

    def update_one(
        self,
        filter: _Document,
        update: _Document | list[Any],
        upsert: bool = False,
        bypass_document_validation: bool | None = None,
        collation: Any = None,
        array_filters: Sequence[_Document] | None = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        sort: _Sort | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, UpdateResult]:
        """Update the first document that matches.

        Arguments as PyMongo's. The Data API has `upsert` only; what else is given raises
        `NotImplementedError`.

        Raises:
            ValueError: the update has no operators.
            pymongo.errors.DuplicateKeyError: it would make a unique key twice.
            pymongo.errors.OperationFailure: MongoDB refused it.
            pymongo.errors.PyMongoError: as `insert_one`.
        """

    def update_many(
        self,
        filter: _Document,
        update: _Document | list[Any],
        upsert: bool = False,
        array_filters: Sequence[_Document] | None = None,
        bypass_document_validation: bool | None = None,
        collation: Any = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, UpdateResult]:
        """Update all documents that match; arguments and errors as `update_one`'s."""

    def replace_one(
        self,
        filter: _Document,
        replacement: _Document,
        upsert: bool = False,
        bypass_document_validation: bool | None = None,
        collation: Any = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        sort: _Sort | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, UpdateResult]:
        """Replace the first document that matches; arguments and errors as `update_one`'s.

        Raises:
            ValueError: the replacement has operators.
        """

    def delete_one(
        self,
        filter: _Document,
        collation: Any = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, DeleteResult]:
        """Delete the first document that matches; errors as `update_one`'s."""

    def delete_many(
        self,
        filter: _Document,
        collation: Any = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, DeleteResult]:
        """Delete all documents that match; errors as `update_one`'s."""

    def aggregate(
        self,
        pipeline: list[_Document],
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> AsyncCursor:
        """Run an aggregation pipeline; gives a cursor, which asks the server once it is read. It may be awaited first.

        Raises:
            TypeError: the pipeline is no list, or a keyword is not known.
        """

    def _save_event(
        self,
        settings: StoreSettings,
        event_type: str,
        obj: dict[str, Any] | Model,
        task_id: str | None = None,
        installation_id: str | None = None,
    ) -> Coroutine[Any, Any, SaveResult]: ...
    def _save_events(
        self, settings: StoreSettings, events: Iterable[tuple[str, dict[str, Any] | Model]]
    ) -> Coroutine[Any, Any, list[SaveResult | Exception]]: ...
    def _drain(self) -> Coroutine[Any, Any, None]: ...
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
        collation: Any = None,
        let: _Document | None = None,
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

    def find(
        self,
        filter: _Document | None = None,
        projection: Mapping[str, Any] | Iterable[str] | None = None,
        skip: int = 0,
        limit: int = 0,
        no_cursor_timeout: bool = False,
        cursor_type: int = 0,
        sort: _Sort | None = None,
        allow_partial_results: bool = False,
        oplog_replay: bool = False,
        batch_size: int = 0,
        collation: Any = None,
        hint: _Sort | None = None,
        max_scan: None = None,
        max_time_ms: int | None = None,
        max: _Sort | None = None,
        min: _Sort | None = None,
        return_key: bool | None = None,
        show_record_id: bool | None = None,
        snapshot: None = None,
        comment: Any = None,
        session: None = None,
        allow_disk_use: bool | None = None,
        let: _Document | None = None,
    ) -> Cursor:
        """Find all documents that match; gives a cursor, which asks the server once it is read.

        The Data API has `filter`, `projection`, `sort`, `skip` and `limit` (not
        negative) only, and gives all documents in one answer; what else is given
        raises `NotImplementedError`.

        Raises:
            NotImplementedError: an argument that is not supported; names it.
            TypeError: an argument of a wrong type.
        """

    def update_one(
        self,
        filter: _Document,
        update: _Document | list[Any],
        upsert: bool = False,
        bypass_document_validation: bool | None = None,
        collation: Any = None,
        array_filters: Sequence[_Document] | None = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        sort: _Sort | None = None,
        comment: Any = None,
    ) -> UpdateResult:
        """Update the first document that matches.

        Arguments as PyMongo's. The Data API has `upsert` only; what else is given raises
        `NotImplementedError`.

        Raises:
            ValueError: the update has no operators.
            pymongo.errors.DuplicateKeyError: it would make a unique key twice.
            pymongo.errors.OperationFailure: MongoDB refused it.
            pymongo.errors.PyMongoError: as `insert_one`.
        """

    def update_many(
        self,
        filter: _Document,
        update: _Document | list[Any],
        upsert: bool = False,
        array_filters: Sequence[_Document] | None = None,
        bypass_document_validation: bool | None = None,
        collation: Any = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> UpdateResult:
        """Update all documents that match; arguments and errors as `update_one`'s."""

    def replace_one(
        self,
        filter: _Document,
        replacement: _Document,
        upsert: bool = False,
        bypass_document_validation: bool | None = None,
        collation: Any = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        sort: _Sort | None = None,
        comment: Any = None,
    ) -> UpdateResult:
        """Replace the first document that matches; arguments and errors as `update_one`'s.

        Raises:
            ValueError: the replacement has operators.
        """

    def delete_one(
        self,
        filter: _Document,
        collation: Any = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> DeleteResult:
        """Delete the first document that matches; errors as `update_one`'s."""

    def delete_many(
        self,
        filter: _Document,
        collation: Any = None,
        hint: _Sort | None = None,
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> DeleteResult:
        """Delete all documents that match; errors as `update_one`'s."""

    def aggregate(
        self,
        pipeline: list[_Document],
        session: None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Cursor:
        """Run an aggregation pipeline; gives a cursor, which asks the server once it is read.

        Raises:
            TypeError: the pipeline is no list, or a keyword is not known.
        """

    def _save_event(
        self,
        settings: StoreSettings,
        event_type: str,
        obj: dict[str, Any] | Model,
        task_id: str | None = None,
        installation_id: str | None = None,
    ) -> SaveResult: ...
    def _save_events(
        self, settings: StoreSettings, events: Iterable[tuple[str, dict[str, Any] | Model]]
    ) -> list[SaveResult | Exception]: ...
    def _drain(self) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __getitem__(self, name: str, /) -> Self: ...
    def __getattr__(self, name: str, /) -> Self: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __bool__(self) -> bool: ...

@final
class AsyncCursor:
    """The documents of a query, as they come. The next batch is fetched while this one is read.

    Options are set before the first document is asked for; afterwards setting
    one raises `pymongo.errors.InvalidOperation`.
    """

    @property
    def collection(self) -> Any:
        """The collection that it reads."""

    @property
    def alive(self) -> bool:
        """Whether more documents may come."""

    @property
    def retrieved(self) -> int:
        """How many documents have been taken."""

    def to_list(self, length: int | None = None) -> Coroutine[Any, Any, list[dict[str, Any]]]:
        """All documents that are left, or at most `length` of them.

        Raises:
            ValueError: `length` is 0.
            pymongo.errors.PyMongoError: as `find_one`.
        """

    def sort(self, key_or_list: _Sort, direction: Any = None) -> Self:
        """Set the order: a field's name and a direction, a list of names or of pairs, or a mapping."""

    def skip(self, skip: int) -> Self:
        """Set how many matches to pass over."""

    def limit(self, limit: int) -> Self:
        """Set the most documents to return; 0 is no limit, a negative number one batch."""

    def batch_size(self, batch_size: int) -> Self:
        """Set the most documents in one batch; 0 is the server's own choice."""

    def hint(self, index: _Sort | None) -> Self:
        """Set the index to use, by its name or its keys."""

    def collation(self, collation: Any) -> Self:
        """Set how texts compare: a `pymongo.collation.Collation`, or a mapping."""

    def comment(self, comment: Any) -> Self:
        """Set a comment, which shows up in the server's log and profiler."""

    def max_time_ms(self, max_time_ms: int | None) -> Self:
        """Set how long the server may work on it, in milliseconds."""

    def allow_disk_use(self, allow_disk_use: bool) -> Self:
        """Set whether the server may sort on disk."""

    def max(self, spec: _Sort) -> Self:
        """Set the exclusive upper bound in the index of `hint`."""

    def min(self, spec: _Sort) -> Self:
        """Set the inclusive lower bound in the index of `hint`."""

    def clone(self) -> Self:
        """The same query, not begun."""

    def rewind(self) -> Self:
        """Begin anew: the next document is the query's first."""

    def __getitem__(self, index: slice[int | None, int | None, None], /) -> Self: ...
    def next(self) -> Coroutine[Any, Any, dict[str, Any]]:
        """The next document; raises `StopAsyncIteration` where there is none."""

    def close(self) -> Coroutine[Any, Any, None]:
        """Let the server go of the query."""

    def __await__(self) -> Generator[Any, None, Self]: ...
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Coroutine[Any, Any, dict[str, Any]]: ...
    def __aenter__(self) -> Coroutine[Any, Any, Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> Coroutine[Any, Any, None]: ...

@final
class Cursor:
    """The documents of a query, as they come. The next batch is fetched while this one is read.

    Options are set before the first document is asked for; afterwards setting
    one raises `pymongo.errors.InvalidOperation`.
    """

    @property
    def collection(self) -> Any:
        """The collection that it reads."""

    @property
    def alive(self) -> bool:
        """Whether more documents may come."""

    @property
    def retrieved(self) -> int:
        """How many documents have been taken."""

    def to_list(self, length: int | None = None) -> list[dict[str, Any]]:
        """All documents that are left, or at most `length` of them.

        Raises:
            ValueError: `length` is 0.
            pymongo.errors.PyMongoError: as `find_one`.
        """

    def sort(self, key_or_list: _Sort, direction: Any = None) -> Self:
        """Set the order: a field's name and a direction, a list of names or of pairs, or a mapping."""

    def skip(self, skip: int) -> Self:
        """Set how many matches to pass over."""

    def limit(self, limit: int) -> Self:
        """Set the most documents to return; 0 is no limit, a negative number one batch."""

    def batch_size(self, batch_size: int) -> Self:
        """Set the most documents in one batch; 0 is the server's own choice."""

    def hint(self, index: _Sort | None) -> Self:
        """Set the index to use, by its name or its keys."""

    def collation(self, collation: Any) -> Self:
        """Set how texts compare: a `pymongo.collation.Collation`, or a mapping."""

    def comment(self, comment: Any) -> Self:
        """Set a comment, which shows up in the server's log and profiler."""

    def max_time_ms(self, max_time_ms: int | None) -> Self:
        """Set how long the server may work on it, in milliseconds."""

    def allow_disk_use(self, allow_disk_use: bool) -> Self:
        """Set whether the server may sort on disk."""

    def max(self, spec: _Sort) -> Self:
        """Set the exclusive upper bound in the index of `hint`."""

    def min(self, spec: _Sort) -> Self:
        """Set the inclusive lower bound in the index of `hint`."""

    def clone(self) -> Self:
        """The same query, not begun."""

    def rewind(self) -> Self:
        """Begin anew: the next document is the query's first."""

    def __getitem__(self, index: slice[int | None, int | None, None], /) -> Self: ...
    def next(self) -> dict[str, Any]:
        """The next document; raises `StopIteration` where there is none."""

    def close(self) -> None:
        """Let the server go of the query."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> dict[str, Any]: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None: ...

class Model:
    """An object of Connect's, or a part of one. The classes of `connect.eaas.mongodb.events` derive from it."""

    def __new__(cls, data: dict[str, Any] | Self, /) -> Self:
        """Make an instance of a `dict`.

        Raises:
            connect.eaas.mongodb.events.EventValidationError: the `dict` is not
                what the model says; lists every problem with its path.
        """

    def to_dict(self) -> dict[str, Any]:
        """The object as a `dict`: equal to what it was made from, in the same order."""

    @classmethod
    def _of_stored(cls, document: dict[str, Any]) -> Self: ...
    def __getattr__(self, name: str, /) -> Any: ...
    def __getitem__(self, name: str, /) -> Any: ...
    def __contains__(self, name: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __dir__(self) -> list[str]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: Any) -> Self: ...

def parse_event(event_type: str, obj: dict[str, Any] | Model) -> Model:
    """The object of an event, as an instance of its class.

    The class is that of the event type; of a type that is not known, what its
    name or the object's id tells, or `Other`.

    Raises:
        connect.eaas.mongodb.events.EventValidationError: the object is not what
            its model says, or of another kind; lists every problem with its path.
    """

def event_models() -> list[tuple[str, str, str | None, list[tuple[str, str, str]]]]: ...
def event_types() -> list[tuple[str, str, str, tuple[str, ...]]]: ...

@final
class StoreSettings:
    def __new__(
        cls,
        redact: bool,
        redact_paths: list[str],
        redact_key: str | None = None,
        extension_id: str | None = None,
        environment_id: str | None = None,
    ) -> Self: ...
    def remains(self, obj: object) -> dict[str, Any] | None: ...

@final
class SaveResult:
    """What came of saving an event."""

    @property
    def id(self) -> str:
        """The record's `_id`: the object's id and a digest of its content."""

    @property
    def stored(self) -> bool:
        """Whether this call stored it."""

    @property
    def duplicate(self) -> bool:
        """Whether the same content was stored already."""

    def __eq__(self, other: object, /) -> bool: ...
