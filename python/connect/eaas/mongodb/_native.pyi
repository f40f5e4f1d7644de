# Written by scripts/native_stubs.py of scripts/native.pyi.in.
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from types import GenericAlias, TracebackType
from typing import Any, Final, Generic, NoReturn, TypeAlias, final, type_check_only

from bson.codec_options import CodecOptions, TypeRegistry
from bson.dbref import DBRef
from bson.timestamp import Timestamp
from connect.eaas.mongodb.events import Deviation
from connect.eaas.mongodb.variables import Variable
from pymongo.operations import IndexModel, SearchIndexModel
from pymongo.read_concern import ReadConcern
from pymongo.results import BulkWriteResult, ClientBulkWriteResult
from pymongo.topology_description import TopologyDescription
from pymongo.write_concern import WriteConcern
from typing_extensions import Self, TypeVar

VERSION: Final[str]

_T = TypeVar("_T")
_DocumentT = TypeVar("_DocumentT", default=dict[str, Any])
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
    listening: Callable[[str], object],
    *,
    config: str | PathLike[str] | None = None,
    mongodb_uri: str | None = None,
    keys_file: str | PathLike[str] | None = None,
    listen: str = "127.0.0.1:8080",
    data_source: str | None = None,
    access_log: bool = False,
    connections: int = 1024,
) -> None: ...
def gateway_openapi() -> str: ...
def create_key(
    text: str, name: str, *, rights: Sequence[str], places: Sequence[str], expires: str | None = None
) -> tuple[str, str]: ...
def list_keys(text: str) -> list[dict[str, Any]]: ...
def revoke_key(text: str, name: str) -> str: ...

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
class AsyncMongoClient(Generic[_DocumentT]):
    """A MongoDB client (the driver path) with PyMongo's API, to be awaited.

    Making one does no I/O: it connects with its first call. It may be used
    from any thread and any event loop, asyncio's or uvloop's, also from
    several at once, and in forked and spawned processes.
    """

    def __new__(
        cls,
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        document_class: type[Any] | None = None,
        tz_aware: bool | None = None,
        connect: bool | None = None,
        type_registry: TypeRegistry | None = None,
        *,
        coalesce: bool = True,
        add_ids: bool = False,
        **options: Any,
    ) -> Self:
        """Make a client.

        Args:
            host: a `mongodb://` or `mongodb+srv://` URI, or `host[:port]`, or a
                list of these; `localhost` if absent.
            port: the port of hosts that come without one, 27017 if absent.
            document_class: the class of documents that are read; `dict` if absent.
            tz_aware: whether dates that are read have the time zone UTC.
            connect: not used: it connects with its first call.
            type_registry: how values of other classes are written and read.
            coalesce: whether concurrent `insert_one` calls may leave as one command;
                each still gets its own result. Not while a `CommandListener` listens.
            add_ids: whether documents that are inserted get the `_id` that was made
                for them, as with PyMongo.
            options: options of the connection string, by their names there
                (`serverSelectionTimeoutMS=5000`, in milliseconds; `tls=True`;
                `w="majority"`), and `username`, `password`, `tzinfo`, `event_listeners`,
                `server_api`, `read_preference` and the other names of codec options.

        Raises:
            pymongo.errors.InvalidURI: the URI cannot be read.
            pymongo.errors.ConfigurationError: an option is unknown or wrong.
        """

    @classmethod
    def from_config(cls, config: Mapping[str, str]) -> AsyncMongoClient[dict[str, Any]]:
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

    def get_database(
        self,
        name: str | None = None,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> AsyncDatabase[_DocumentT]:
        """Give the database of that name, or the default one; with other options, where they are given.

        Raises:
            pymongo.errors.InvalidName: MongoDB does not allow the name.
            pymongo.errors.ConfigurationError: there is no default.
        """

    def get_default_database(
        self,
        default: str | None = None,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> AsyncDatabase[_DocumentT]:
        """Give the database that the connection string or the variables name, or else `default`.

        Raises:
            pymongo.errors.ConfigurationError: they name none.
        """

    def get_default_collection(self) -> AsyncCollection[_DocumentT]:
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
    def list_database_names(
        self, session: AsyncClientSession | None = None, comment: Any = None
    ) -> Coroutine[Any, Any, list[str]]:
        """The names of the databases."""

    def drop_database(
        self, name_or_database: str | AsyncDatabase[Any], session: AsyncClientSession | None = None, comment: Any = None
    ) -> Coroutine[Any, Any, None]:
        """Remove a database, by its name or itself."""

    def server_info(self, session: AsyncClientSession | None = None) -> Coroutine[Any, Any, dict[str, Any]]:
        """What the server says of itself."""

    def list_databases(
        self, session: AsyncClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> AsyncCursor[dict[str, Any]]:
        """The databases; gives a cursor. It may be awaited first."""

    def start_session(
        self,
        causal_consistency: bool | None = None,
        default_transaction_options: Any = None,
        snapshot: bool | None = False,
    ) -> AsyncClientSession:
        """Start a session. It does no I/O, and may be awaited first.

        Args:
            causal_consistency: whether its reads see its own writes, on any node; yes, unless `snapshot`.
            default_transaction_options: PyMongo's `TransactionOptions` of its transactions.
            snapshot: whether all its reads see one moment.

        Raises:
            pymongo.errors.ConfigurationError: both are wanted.
        """

    def bulk_write(
        self,
        models: list[Any],
        session: AsyncClientSession | None = None,
        ordered: bool = True,
        verbose_results: bool = False,
        bypass_document_validation: bool | None = None,
        comment: Any = None,
        let: _Document | None = None,
        write_concern: WriteConcern | None = None,
    ) -> Coroutine[Any, Any, ClientBulkWriteResult]:
        """Do many writes to any collections, with PyMongo's models and a `namespace` each; needs MongoDB 8.0.

        Raises:
            pymongo.errors.ClientBulkWriteException: some were refused; tells which.
            pymongo.errors.PyMongoError: as `find_one`.
        """

    def watch(
        self,
        pipeline: list[_Document] | None = None,
        full_document: str | None = None,
        resume_after: _Document | None = None,
        max_await_time_ms: int | None = None,
        batch_size: int | None = None,
        collation: Any = None,
        start_at_operation_time: Timestamp | None = None,
        session: AsyncClientSession | None = None,
        start_after: _Document | None = None,
        comment: Any = None,
        full_document_before_change: str | None = None,
        show_expanded_events: bool | None = None,
    ) -> AsyncChangeStream[_DocumentT]:
        """Watch all databases; gives a change stream, which may be awaited first.

        The arguments are PyMongo's. A stream whose connection broke resumes by itself.
        """

    @property
    def address(self) -> Coroutine[Any, Any, tuple[str, int] | None]:
        """The address of the server that writes go to, or `None`."""

    @property
    def primary(self) -> Coroutine[Any, Any, tuple[str, int] | None]:
        """The address of the replica set's primary, or `None`."""

    @property
    def secondaries(self) -> Coroutine[Any, Any, set[tuple[str, int]]]:
        """The addresses of the replica set's secondaries."""

    @property
    def arbiters(self) -> Coroutine[Any, Any, set[tuple[str, int]]]:
        """The addresses of the replica set's arbiters."""

    @property
    def is_primary(self) -> Coroutine[Any, Any, bool]:
        """Whether a server takes writes."""

    @property
    def is_mongos(self) -> Coroutine[Any, Any, bool]:
        """Whether the server is a router of a sharded cluster."""

    @property
    def nodes(self) -> frozenset[tuple[str, int]]:
        """The addresses of the servers that are known now."""

    @property
    def topology_description(self) -> TopologyDescription:
        """PyMongo's description of the servers that are known now."""

    HOST: Final[str]
    PORT: Final[int]
    def aconnect(self) -> Coroutine[Any, Any, None]:  # awaited only
        """Resolve the DNS seed list of a `mongodb+srv://` string, so that the first call need not."""

    def aclose(self) -> Coroutine[Any, Any, None]:  # awaited only
        """As `close`."""

    @property
    def codec_options(self) -> CodecOptions[Any]:
        """How documents are read and written."""

    @property
    def read_preference(self) -> Any:
        """Which servers are read from."""

    @property
    def write_concern(self) -> WriteConcern:
        """When a write counts."""

    @property
    def read_concern(self) -> ReadConcern:
        """What a read may see."""

    def __getitem__(self, name: str, /) -> AsyncDatabase[_DocumentT]: ...
    def __getattr__(self, name: str, /) -> AsyncDatabase[_DocumentT]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class AsyncDatabase(Generic[_DocumentT]):
    """A database of an `AsyncMongoClient`."""

    @property
    def client(self) -> AsyncMongoClient[_DocumentT]:
        """The client that it came from."""

    @property
    def name(self) -> str:
        """The database's name."""

    def get_collection(
        self,
        name: str,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> AsyncCollection[_DocumentT]:
        """Give the collection of that name; with other options, where they are given.

        Raises:
            pymongo.errors.InvalidName: MongoDB does not allow the name.
        """

    def with_options(
        self,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> AsyncDatabase[_DocumentT]:
        """The same database with other options."""

    @property
    def codec_options(self) -> CodecOptions[Any]:
        """How documents are read and written."""

    @property
    def read_preference(self) -> Any:
        """Which servers are read from."""

    @property
    def write_concern(self) -> WriteConcern:
        """When a write counts."""

    @property
    def read_concern(self) -> ReadConcern:
        """What a read may see."""

    def list_collection_names(
        self,
        session: AsyncClientSession | None = None,
        filter: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, list[str]]:
        """The names of the collections."""

    def list_collections(
        self,
        session: AsyncClientSession | None = None,
        filter: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> AsyncCursor[dict[str, Any]]:
        """The collections; gives a cursor. It may be awaited first."""

    def create_collection(
        self,
        name: str,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        session: AsyncClientSession | None = None,
        check_exists: bool | None = True,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, AsyncCollection[_DocumentT]]:
        """Make a collection; gives it. Keywords are the options of MongoDB's `create`.

        Raises:
            pymongo.errors.CollectionInvalid: there is one of that name.
        """

    def drop_collection(
        self,
        name_or_collection: str | AsyncCollection[Any],
        session: AsyncClientSession | None = None,
        comment: Any = None,
        encrypted_fields: None = None,
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """Remove a collection, by its name or itself; gives the server's answer. Nothing where there is none."""

    def command(
        self,
        command: str | _Document,
        value: Any = None,
        check: bool = True,
        allowable_errors: Sequence[str | int] | None = None,
        read_preference: Any = None,
        codec_options: CodecOptions[Any] | None = None,
        session: AsyncClientSession | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """Run a command on the primary; gives the server's answer.

        Args:
            command: the command's name, or the whole command.
            value: the value of the name, where the name is given; 1, unless said otherwise.
            check: whether an answer that is an error raises.
            allowable_errors: messages and codes of errors that do not.
            read_preference: which servers may answer; the primary, unless said otherwise.
            codec_options: how the command is written and the answer read; PyMongo's defaults if absent.
            session: the session that the command is part of.
            comment: shows up in the server's log and profiler.
            **kwargs: more fields of the command.

        Raises:
            pymongo.errors.OperationFailure: MongoDB refused it.
            pymongo.errors.PyMongoError: as `find_one`.
        """

    def cursor_command(
        self,
        command: str | _Document,
        value: Any = None,
        read_preference: Any = None,
        codec_options: CodecOptions[Any] | None = None,
        session: AsyncClientSession | None = None,
        comment: Any = None,
        max_await_time_ms: int | None = None,
        **kwargs: Any,
    ) -> AsyncCursor[Any]:
        """Run a command whose answer is a cursor; gives the cursor. It may be awaited first."""

    def aggregate(
        self,
        pipeline: list[_Document],
        session: AsyncClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> AsyncCursor[Any]:
        """Run a pipeline that begins without a collection; gives a cursor. It may be awaited first."""

    def validate_collection(
        self,
        name_or_collection: str | AsyncCollection[Any],
        scandata: bool = False,
        full: bool = False,
        session: AsyncClientSession | None = None,
        background: bool | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """Check a collection's data and indexes; gives the server's answer.

        Raises:
            pymongo.errors.CollectionInvalid: something is wrong with it.
        """

    def dereference(
        self, dbref: DBRef, session: AsyncClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, _DocumentT | None]:
        """The document that a `DBRef` is of, or `None`."""

    def watch(
        self,
        pipeline: list[_Document] | None = None,
        full_document: str | None = None,
        resume_after: _Document | None = None,
        max_await_time_ms: int | None = None,
        batch_size: int | None = None,
        collation: Any = None,
        start_at_operation_time: Timestamp | None = None,
        session: AsyncClientSession | None = None,
        start_after: _Document | None = None,
        comment: Any = None,
        full_document_before_change: str | None = None,
        show_expanded_events: bool | None = None,
    ) -> AsyncChangeStream[_DocumentT]:
        """Watch all collections; gives a change stream, which may be awaited first.

        The arguments are PyMongo's. A stream whose connection broke resumes by itself.
        """

    def __getitem__(self, name: str, /) -> AsyncCollection[_DocumentT]: ...
    def __getattr__(self, name: str, /) -> AsyncCollection[_DocumentT]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __bool__(self) -> bool: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class AsyncCollection(Generic[_DocumentT]):
    """A collection of an `AsyncMongoClient`."""

    @property
    def name(self) -> str:
        """The collection's name."""

    @property
    def full_name(self) -> str:
        """The database's and the collection's name, with a dot between."""

    @property
    def database(self) -> AsyncDatabase[_DocumentT]:
        """The database that it is in."""

    def with_options(
        self,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> AsyncCollection[_DocumentT]:
        """The same collection with other options."""

    @property
    def codec_options(self) -> CodecOptions[Any]:
        """How documents are read and written."""

    @property
    def read_preference(self) -> Any:
        """Which servers are read from."""

    @property
    def write_concern(self) -> WriteConcern:
        """When a write counts."""

    @property
    def read_concern(self) -> ReadConcern:
        """What a read may see."""

    def insert_one(
        self,
        document: _Document,
        bypass_document_validation: bool | None = None,
        session: AsyncClientSession | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, InsertOneResult]:
        """Insert a document.

        The document is not changed. An `_id` is made if it has none. A lost
        connection is tried once more, without storing twice (retryable writes).

        Args:
            document: a mapping with `str` keys, at most 16 MiB as BSON.
            bypass_document_validation: whether to skip the collection's validator.
            session: the session that the call is part of.
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
        session: AsyncClientSession | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, InsertManyResult]:
        """Insert documents, in as few commands as the server's limits allow.

        Args:
            documents: one or more documents.
            ordered: whether to stop at the first that is refused.
            bypass_document_validation: whether to skip the collection's validator.
            session: the session that the call is part of.
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
        session: AsyncClientSession | None = None,
        allow_disk_use: bool | None = None,
        let: _Document | None = None,
    ) -> Coroutine[Any, Any, _DocumentT | None]:
        """Find the first document that matches, or `None`.

        The arguments are those of `find`, but that a `filter` that is no mapping is
        an `_id` to look for; `limit` is of no use.

        Raises:
            pymongo.errors.OperationFailure: MongoDB refused the query.
            pymongo.errors.ExecutionTimeout: it took longer than `max_time_ms` milliseconds.
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
        session: AsyncClientSession | None = None,
        allow_disk_use: bool | None = None,
        let: _Document | None = None,
    ) -> AsyncCursor[_DocumentT]:
        """Find all documents that match; gives a cursor, which asks the server once it is read.

        The arguments are PyMongo's. `oplog_replay`, `max_scan` and `snapshot`, which MongoDB
        has no more, are not supported, nor is `CursorType.EXHAUST`.

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
        session: AsyncClientSession | None = None,
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
        session: AsyncClientSession | None = None,
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
        session: AsyncClientSession | None = None,
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
        session: AsyncClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, DeleteResult]:
        """Delete the first document that matches; errors as `update_one`'s."""

    def delete_many(
        self,
        filter: _Document,
        collation: Any = None,
        hint: _Sort | None = None,
        session: AsyncClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, DeleteResult]:
        """Delete all documents that match; errors as `update_one`'s."""

    def aggregate(
        self,
        pipeline: list[_Document],
        session: AsyncClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> AsyncCursor[Any]:
        """Run an aggregation pipeline; gives a cursor, which asks the server once it is read. It may be awaited first.

        Raises:
            TypeError: the pipeline is no list, or a keyword is not known.
        """

    def count_documents(
        self, filter: _Document, session: AsyncClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, int]:
        """How many documents match. Keywords: `skip`, `limit`, `maxTimeMS`, `hint`, `collation`."""

    def estimated_document_count(self, comment: Any = None, **kwargs: Any) -> Coroutine[Any, Any, int]:
        """How many documents there are, as the collection's metadata say. Keyword: `maxTimeMS`."""

    def distinct(
        self,
        key: str,
        filter: _Document | None = None,
        session: AsyncClientSession | None = None,
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
        session: AsyncClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, _DocumentT | None]:
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
        session: AsyncClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, _DocumentT | None]:
        """Replace the first document that matches; as `find_one_and_update`."""

    def find_one_and_delete(
        self,
        filter: _Document,
        projection: Mapping[str, Any] | Iterable[str] | None = None,
        sort: _Sort | None = None,
        hint: _Sort | None = None,
        session: AsyncClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, _DocumentT | None]:
        """Delete the first document that matches; gives it. As `find_one_and_update`."""

    def index_information(
        self, session: AsyncClientSession | None = None, comment: Any = None
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """What is known of each index, by its name."""

    def list_indexes(
        self, session: AsyncClientSession | None = None, comment: Any = None
    ) -> AsyncCursor[dict[str, Any]]:
        """The indexes; gives a cursor. It may be awaited first."""

    def drop_index(
        self, index_or_name: _Sort, session: AsyncClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, None]:
        """Remove an index, by its name or its keys."""

    def drop_indexes(
        self, session: AsyncClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, None]:
        """Remove all indexes but that of `_id`."""

    def drop(
        self,
        session: AsyncClientSession | None = None,
        comment: Any = None,
        encrypted_fields: None = None,
    ) -> Coroutine[Any, Any, None]:
        """Remove the collection; nothing where there is none."""

    def create_index(
        self, keys: _Sort, session: AsyncClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, str]:
        """Make an index; gives its name. Keywords are the options of MongoDB's `createIndexes`."""

    def create_indexes(
        self,
        indexes: Sequence[IndexModel],
        session: AsyncClientSession | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, list[str]]:
        """Make indexes of PyMongo's `IndexModel`s; gives their names. Keywords: `maxTimeMS`, `commitQuorum`."""

    def create_search_index(
        self,
        model: _Document | SearchIndexModel,
        session: AsyncClientSession | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, str]:
        """Make a search index of PyMongo's `SearchIndexModel` or a mapping; gives its name."""

    def create_search_indexes(
        self,
        models: list[SearchIndexModel],
        session: AsyncClientSession | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, list[str]]:
        """Make search indexes; gives their names."""

    def drop_search_index(
        self, name: str, session: AsyncClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, None]:
        """Remove a search index; nothing where there is no such collection."""

    def update_search_index(
        self,
        name: str,
        definition: _Document,
        session: AsyncClientSession | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, None]:
        """Give a search index another definition."""

    def list_search_indexes(
        self, name: str | None = None, session: AsyncClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> AsyncCursor[dict[str, Any]]:
        """The search indexes, or the one of that name; gives a cursor. It may be awaited first."""

    def rename(
        self, new_name: str, session: AsyncClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """Give the collection another name; gives the server's answer. Keyword: `dropTarget`."""

    def options(
        self, session: AsyncClientSession | None = None, comment: Any = None
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """The options that the collection was made with."""

    def bulk_write(
        self,
        requests: list[Any],
        ordered: bool = True,
        bypass_document_validation: bool | None = None,
        session: AsyncClientSession | None = None,
        comment: Any = None,
        let: _Document | None = None,
    ) -> Coroutine[Any, Any, BulkWriteResult]:
        """Do many writes, PyMongo's `InsertOne`, `UpdateOne`, …, in few commands.

        Args:
            requests: the writes.
            ordered: whether to stop at the first that is refused.
            bypass_document_validation: whether to skip the collection's validator.
            session: the session that the writes are part of.
            comment: shows up in the server's log and profiler.
            let: variables for the writes' expressions.

        Raises:
            pymongo.errors.BulkWriteError: some were refused; `details` says which.
            pymongo.errors.InvalidOperation: there are none.
            pymongo.errors.PyMongoError: as `insert_one`.
        """

    def find_raw_batches(self, *args: Any, **kwargs: Any) -> AsyncRawBatchCursor[bytes]:
        """As `find`, but each item is a batch of documents as BSON."""

    def aggregate_raw_batches(
        self, pipeline: list[_Document], session: AsyncClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> AsyncRawBatchCursor[bytes]:
        """As `aggregate`, but each item is a batch of documents as BSON."""

    def watch(
        self,
        pipeline: list[_Document] | None = None,
        full_document: str | None = None,
        resume_after: _Document | None = None,
        max_await_time_ms: int | None = None,
        batch_size: int | None = None,
        collation: Any = None,
        start_at_operation_time: Timestamp | None = None,
        session: AsyncClientSession | None = None,
        start_after: _Document | None = None,
        comment: Any = None,
        full_document_before_change: str | None = None,
        show_expanded_events: bool | None = None,
    ) -> AsyncChangeStream[_DocumentT]:
        """Watch the collection; gives a change stream, which may be awaited first.

        The arguments are PyMongo's. A stream whose connection broke resumes by itself.
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
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class MongoClient(Generic[_DocumentT]):
    """A MongoDB client (the driver path) with PyMongo's API.

    Making one does no I/O: it connects with its first call. It may be used
    from any thread and any event loop, asyncio's or uvloop's, also from
    several at once, and in forked and spawned processes.
    """

    def __new__(
        cls,
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        document_class: type[Any] | None = None,
        tz_aware: bool | None = None,
        connect: bool | None = None,
        type_registry: TypeRegistry | None = None,
        *,
        coalesce: bool = True,
        add_ids: bool = False,
        **options: Any,
    ) -> Self:
        """Make a client.

        Args:
            host: a `mongodb://` or `mongodb+srv://` URI, or `host[:port]`, or a
                list of these; `localhost` if absent.
            port: the port of hosts that come without one, 27017 if absent.
            document_class: the class of documents that are read; `dict` if absent.
            tz_aware: whether dates that are read have the time zone UTC.
            connect: not used: it connects with its first call.
            type_registry: how values of other classes are written and read.
            coalesce: whether concurrent `insert_one` calls may leave as one command;
                each still gets its own result. Not while a `CommandListener` listens.
            add_ids: whether documents that are inserted get the `_id` that was made
                for them, as with PyMongo.
            options: options of the connection string, by their names there
                (`serverSelectionTimeoutMS=5000`, in milliseconds; `tls=True`;
                `w="majority"`), and `username`, `password`, `tzinfo`, `event_listeners`,
                `server_api`, `read_preference` and the other names of codec options.

        Raises:
            pymongo.errors.InvalidURI: the URI cannot be read.
            pymongo.errors.ConfigurationError: an option is unknown or wrong.
        """

    @classmethod
    def from_config(cls, config: Mapping[str, str]) -> MongoClient[dict[str, Any]]:
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

    def get_database(
        self,
        name: str | None = None,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> Database[_DocumentT]:
        """Give the database of that name, or the default one; with other options, where they are given.

        Raises:
            pymongo.errors.InvalidName: MongoDB does not allow the name.
            pymongo.errors.ConfigurationError: there is no default.
        """

    def get_default_database(
        self,
        default: str | None = None,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> Database[_DocumentT]:
        """Give the database that the connection string or the variables name, or else `default`.

        Raises:
            pymongo.errors.ConfigurationError: they name none.
        """

    def get_default_collection(self) -> Collection[_DocumentT]:
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
    def list_database_names(self, session: ClientSession | None = None, comment: Any = None) -> list[str]:
        """The names of the databases."""

    def drop_database(
        self, name_or_database: str | Database[Any], session: ClientSession | None = None, comment: Any = None
    ) -> None:
        """Remove a database, by its name or itself."""

    def server_info(self, session: ClientSession | None = None) -> dict[str, Any]:
        """What the server says of itself."""

    def list_databases(
        self, session: ClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> Cursor[dict[str, Any]]:
        """The databases; gives a cursor."""

    def start_session(
        self,
        causal_consistency: bool | None = None,
        default_transaction_options: Any = None,
        snapshot: bool | None = False,
    ) -> ClientSession:
        """Start a session. It does no I/O.

        Args:
            causal_consistency: whether its reads see its own writes, on any node; yes, unless `snapshot`.
            default_transaction_options: PyMongo's `TransactionOptions` of its transactions.
            snapshot: whether all its reads see one moment.

        Raises:
            pymongo.errors.ConfigurationError: both are wanted.
        """

    def bulk_write(
        self,
        models: list[Any],
        session: ClientSession | None = None,
        ordered: bool = True,
        verbose_results: bool = False,
        bypass_document_validation: bool | None = None,
        comment: Any = None,
        let: _Document | None = None,
        write_concern: WriteConcern | None = None,
    ) -> ClientBulkWriteResult:
        """Do many writes to any collections, with PyMongo's models and a `namespace` each; needs MongoDB 8.0.

        Raises:
            pymongo.errors.ClientBulkWriteException: some were refused; tells which.
            pymongo.errors.PyMongoError: as `find_one`.
        """

    def watch(
        self,
        pipeline: list[_Document] | None = None,
        full_document: str | None = None,
        resume_after: _Document | None = None,
        max_await_time_ms: int | None = None,
        batch_size: int | None = None,
        collation: Any = None,
        start_at_operation_time: Timestamp | None = None,
        session: ClientSession | None = None,
        start_after: _Document | None = None,
        comment: Any = None,
        full_document_before_change: str | None = None,
        show_expanded_events: bool | None = None,
    ) -> ChangeStream[_DocumentT]:
        """Watch all databases; gives a change stream.

        The arguments are PyMongo's. A stream whose connection broke resumes by itself.
        """

    @property
    def address(self) -> tuple[str, int] | None:
        """The address of the server that writes go to, or `None`."""

    @property
    def primary(self) -> tuple[str, int] | None:
        """The address of the replica set's primary, or `None`."""

    @property
    def secondaries(self) -> set[tuple[str, int]]:
        """The addresses of the replica set's secondaries."""

    @property
    def arbiters(self) -> set[tuple[str, int]]:
        """The addresses of the replica set's arbiters."""

    @property
    def is_primary(self) -> bool:
        """Whether a server takes writes."""

    @property
    def is_mongos(self) -> bool:
        """Whether the server is a router of a sharded cluster."""

    @property
    def nodes(self) -> frozenset[tuple[str, int]]:
        """The addresses of the servers that are known now."""

    @property
    def topology_description(self) -> TopologyDescription:
        """PyMongo's description of the servers that are known now."""

    HOST: Final[str]
    PORT: Final[int]
    @property
    def codec_options(self) -> CodecOptions[Any]:
        """How documents are read and written."""

    @property
    def read_preference(self) -> Any:
        """Which servers are read from."""

    @property
    def write_concern(self) -> WriteConcern:
        """When a write counts."""

    @property
    def read_concern(self) -> ReadConcern:
        """What a read may see."""

    def __getitem__(self, name: str, /) -> Database[_DocumentT]: ...
    def __getattr__(self, name: str, /) -> Database[_DocumentT]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class Database(Generic[_DocumentT]):
    """A database of a `MongoClient`."""

    @property
    def client(self) -> MongoClient[_DocumentT]:
        """The client that it came from."""

    @property
    def name(self) -> str:
        """The database's name."""

    def get_collection(
        self,
        name: str,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> Collection[_DocumentT]:
        """Give the collection of that name; with other options, where they are given.

        Raises:
            pymongo.errors.InvalidName: MongoDB does not allow the name.
        """

    def with_options(
        self,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> Database[_DocumentT]:
        """The same database with other options."""

    @property
    def codec_options(self) -> CodecOptions[Any]:
        """How documents are read and written."""

    @property
    def read_preference(self) -> Any:
        """Which servers are read from."""

    @property
    def write_concern(self) -> WriteConcern:
        """When a write counts."""

    @property
    def read_concern(self) -> ReadConcern:
        """What a read may see."""

    def list_collection_names(
        self,
        session: ClientSession | None = None,
        filter: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> list[str]:
        """The names of the collections."""

    def list_collections(
        self,
        session: ClientSession | None = None,
        filter: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Cursor[dict[str, Any]]:
        """The collections; gives a cursor."""

    def create_collection(
        self,
        name: str,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        session: ClientSession | None = None,
        check_exists: bool | None = True,
        **kwargs: Any,
    ) -> Collection[_DocumentT]:
        """Make a collection; gives it. Keywords are the options of MongoDB's `create`.

        Raises:
            pymongo.errors.CollectionInvalid: there is one of that name.
        """

    def drop_collection(
        self,
        name_or_collection: str | Collection[Any],
        session: ClientSession | None = None,
        comment: Any = None,
        encrypted_fields: None = None,
    ) -> dict[str, Any]:
        """Remove a collection, by its name or itself; gives the server's answer. Nothing where there is none."""

    def command(
        self,
        command: str | _Document,
        value: Any = None,
        check: bool = True,
        allowable_errors: Sequence[str | int] | None = None,
        read_preference: Any = None,
        codec_options: CodecOptions[Any] | None = None,
        session: ClientSession | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Run a command on the primary; gives the server's answer.

        Args:
            command: the command's name, or the whole command.
            value: the value of the name, where the name is given; 1, unless said otherwise.
            check: whether an answer that is an error raises.
            allowable_errors: messages and codes of errors that do not.
            read_preference: which servers may answer; the primary, unless said otherwise.
            codec_options: how the command is written and the answer read; PyMongo's defaults if absent.
            session: the session that the command is part of.
            comment: shows up in the server's log and profiler.
            **kwargs: more fields of the command.

        Raises:
            pymongo.errors.OperationFailure: MongoDB refused it.
            pymongo.errors.PyMongoError: as `find_one`.
        """

    def cursor_command(
        self,
        command: str | _Document,
        value: Any = None,
        read_preference: Any = None,
        codec_options: CodecOptions[Any] | None = None,
        session: ClientSession | None = None,
        comment: Any = None,
        max_await_time_ms: int | None = None,
        **kwargs: Any,
    ) -> Cursor[Any]:
        """Run a command whose answer is a cursor; gives the cursor."""

    def aggregate(
        self,
        pipeline: list[_Document],
        session: ClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Cursor[Any]:
        """Run a pipeline that begins without a collection; gives a cursor."""

    def validate_collection(
        self,
        name_or_collection: str | Collection[Any],
        scandata: bool = False,
        full: bool = False,
        session: ClientSession | None = None,
        background: bool | None = None,
        comment: Any = None,
    ) -> dict[str, Any]:
        """Check a collection's data and indexes; gives the server's answer.

        Raises:
            pymongo.errors.CollectionInvalid: something is wrong with it.
        """

    def dereference(
        self, dbref: DBRef, session: ClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> _DocumentT | None:
        """The document that a `DBRef` is of, or `None`."""

    def watch(
        self,
        pipeline: list[_Document] | None = None,
        full_document: str | None = None,
        resume_after: _Document | None = None,
        max_await_time_ms: int | None = None,
        batch_size: int | None = None,
        collation: Any = None,
        start_at_operation_time: Timestamp | None = None,
        session: ClientSession | None = None,
        start_after: _Document | None = None,
        comment: Any = None,
        full_document_before_change: str | None = None,
        show_expanded_events: bool | None = None,
    ) -> ChangeStream[_DocumentT]:
        """Watch all collections; gives a change stream.

        The arguments are PyMongo's. A stream whose connection broke resumes by itself.
        """

    def __getitem__(self, name: str, /) -> Collection[_DocumentT]: ...
    def __getattr__(self, name: str, /) -> Collection[_DocumentT]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __bool__(self) -> bool: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class Collection(Generic[_DocumentT]):
    """A collection of a `MongoClient`."""

    @property
    def name(self) -> str:
        """The collection's name."""

    @property
    def full_name(self) -> str:
        """The database's and the collection's name, with a dot between."""

    @property
    def database(self) -> Database[_DocumentT]:
        """The database that it is in."""

    def with_options(
        self,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> Collection[_DocumentT]:
        """The same collection with other options."""

    @property
    def codec_options(self) -> CodecOptions[Any]:
        """How documents are read and written."""

    @property
    def read_preference(self) -> Any:
        """Which servers are read from."""

    @property
    def write_concern(self) -> WriteConcern:
        """When a write counts."""

    @property
    def read_concern(self) -> ReadConcern:
        """What a read may see."""

    def insert_one(
        self,
        document: _Document,
        bypass_document_validation: bool | None = None,
        session: ClientSession | None = None,
        comment: Any = None,
    ) -> InsertOneResult:
        """Insert a document.

        The document is not changed. An `_id` is made if it has none. A lost
        connection is tried once more, without storing twice (retryable writes).

        Args:
            document: a mapping with `str` keys, at most 16 MiB as BSON.
            bypass_document_validation: whether to skip the collection's validator.
            session: the session that the call is part of.
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
        session: ClientSession | None = None,
        comment: Any = None,
    ) -> InsertManyResult:
        """Insert documents, in as few commands as the server's limits allow.

        Args:
            documents: one or more documents.
            ordered: whether to stop at the first that is refused.
            bypass_document_validation: whether to skip the collection's validator.
            session: the session that the call is part of.
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
        session: ClientSession | None = None,
        allow_disk_use: bool | None = None,
        let: _Document | None = None,
    ) -> _DocumentT | None:
        """Find the first document that matches, or `None`.

        The arguments are those of `find`, but that a `filter` that is no mapping is
        an `_id` to look for; `limit` is of no use.

        Raises:
            pymongo.errors.OperationFailure: MongoDB refused the query.
            pymongo.errors.ExecutionTimeout: it took longer than `max_time_ms` milliseconds.
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
        session: ClientSession | None = None,
        allow_disk_use: bool | None = None,
        let: _Document | None = None,
    ) -> Cursor[_DocumentT]:
        """Find all documents that match; gives a cursor, which asks the server once it is read.

        The arguments are PyMongo's. `oplog_replay`, `max_scan` and `snapshot`, which MongoDB
        has no more, are not supported, nor is `CursorType.EXHAUST`.

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
        session: ClientSession | None = None,
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
        session: ClientSession | None = None,
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
        session: ClientSession | None = None,
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
        session: ClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> DeleteResult:
        """Delete the first document that matches; errors as `update_one`'s."""

    def delete_many(
        self,
        filter: _Document,
        collation: Any = None,
        hint: _Sort | None = None,
        session: ClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> DeleteResult:
        """Delete all documents that match; errors as `update_one`'s."""

    def aggregate(
        self,
        pipeline: list[_Document],
        session: ClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Cursor[Any]:
        """Run an aggregation pipeline; gives a cursor, which asks the server once it is read.

        Raises:
            TypeError: the pipeline is no list, or a keyword is not known.
        """

    def count_documents(
        self, filter: _Document, session: ClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> int:
        """How many documents match. Keywords: `skip`, `limit`, `maxTimeMS`, `hint`, `collation`."""

    def estimated_document_count(self, comment: Any = None, **kwargs: Any) -> int:
        """How many documents there are, as the collection's metadata say. Keyword: `maxTimeMS`."""

    def distinct(
        self,
        key: str,
        filter: _Document | None = None,
        session: ClientSession | None = None,
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
        session: ClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> _DocumentT | None:
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
        session: ClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> _DocumentT | None:
        """Replace the first document that matches; as `find_one_and_update`."""

    def find_one_and_delete(
        self,
        filter: _Document,
        projection: Mapping[str, Any] | Iterable[str] | None = None,
        sort: _Sort | None = None,
        hint: _Sort | None = None,
        session: ClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> _DocumentT | None:
        """Delete the first document that matches; gives it. As `find_one_and_update`."""

    def index_information(self, session: ClientSession | None = None, comment: Any = None) -> dict[str, Any]:
        """What is known of each index, by its name."""

    def list_indexes(self, session: ClientSession | None = None, comment: Any = None) -> Cursor[dict[str, Any]]:
        """The indexes; gives a cursor."""

    def drop_index(
        self, index_or_name: _Sort, session: ClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> None:
        """Remove an index, by its name or its keys."""

    def drop_indexes(self, session: ClientSession | None = None, comment: Any = None, **kwargs: Any) -> None:
        """Remove all indexes but that of `_id`."""

    def drop(
        self,
        session: ClientSession | None = None,
        comment: Any = None,
        encrypted_fields: None = None,
    ) -> None:
        """Remove the collection; nothing where there is none."""

    def create_index(
        self, keys: _Sort, session: ClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> str:
        """Make an index; gives its name. Keywords are the options of MongoDB's `createIndexes`."""

    def create_indexes(
        self, indexes: Sequence[IndexModel], session: ClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> list[str]:
        """Make indexes of PyMongo's `IndexModel`s; gives their names. Keywords: `maxTimeMS`, `commitQuorum`."""

    def create_search_index(
        self,
        model: _Document | SearchIndexModel,
        session: ClientSession | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> str:
        """Make a search index of PyMongo's `SearchIndexModel` or a mapping; gives its name."""

    def create_search_indexes(
        self,
        models: list[SearchIndexModel],
        session: ClientSession | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> list[str]:
        """Make search indexes; gives their names."""

    def drop_search_index(
        self, name: str, session: ClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> None:
        """Remove a search index; nothing where there is no such collection."""

    def update_search_index(
        self,
        name: str,
        definition: _Document,
        session: ClientSession | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> None:
        """Give a search index another definition."""

    def list_search_indexes(
        self, name: str | None = None, session: ClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> Cursor[dict[str, Any]]:
        """The search indexes, or the one of that name; gives a cursor."""

    def rename(
        self, new_name: str, session: ClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Give the collection another name; gives the server's answer. Keyword: `dropTarget`."""

    def options(self, session: ClientSession | None = None, comment: Any = None) -> dict[str, Any]:
        """The options that the collection was made with."""

    def bulk_write(
        self,
        requests: list[Any],
        ordered: bool = True,
        bypass_document_validation: bool | None = None,
        session: ClientSession | None = None,
        comment: Any = None,
        let: _Document | None = None,
    ) -> BulkWriteResult:
        """Do many writes, PyMongo's `InsertOne`, `UpdateOne`, …, in few commands.

        Args:
            requests: the writes.
            ordered: whether to stop at the first that is refused.
            bypass_document_validation: whether to skip the collection's validator.
            session: the session that the writes are part of.
            comment: shows up in the server's log and profiler.
            let: variables for the writes' expressions.

        Raises:
            pymongo.errors.BulkWriteError: some were refused; `details` says which.
            pymongo.errors.InvalidOperation: there are none.
            pymongo.errors.PyMongoError: as `insert_one`.
        """

    def find_raw_batches(self, *args: Any, **kwargs: Any) -> RawBatchCursor[bytes]:
        """As `find`, but each item is a batch of documents as BSON."""

    def aggregate_raw_batches(
        self, pipeline: list[_Document], session: ClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> RawBatchCursor[bytes]:
        """As `aggregate`, but each item is a batch of documents as BSON."""

    def watch(
        self,
        pipeline: list[_Document] | None = None,
        full_document: str | None = None,
        resume_after: _Document | None = None,
        max_await_time_ms: int | None = None,
        batch_size: int | None = None,
        collation: Any = None,
        start_at_operation_time: Timestamp | None = None,
        session: ClientSession | None = None,
        start_after: _Document | None = None,
        comment: Any = None,
        full_document_before_change: str | None = None,
        show_expanded_events: bool | None = None,
    ) -> ChangeStream[_DocumentT]:
        """Watch the collection; gives a change stream.

        The arguments are PyMongo's. A stream whose connection broke resumes by itself.
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
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class AsyncDataApiClient(Generic[_DocumentT]):
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
        add_ids: bool = False,
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
            add_ids: whether documents that are inserted get the `_id` that was made
                for them, as with PyMongo.

        Raises:
            pymongo.errors.ConfigurationError: names the argument that is wrong.
        """

    @classmethod
    def from_config(cls, config: Mapping[str, str]) -> AsyncDataApiClient[dict[str, Any]]:
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

    def get_database(
        self,
        name: str | None = None,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> AsyncDataApiDatabase[_DocumentT]:
        """Give the database of that name, or the default one; with other options, where they are given.

        Raises:
            pymongo.errors.InvalidName: MongoDB does not allow the name.
            pymongo.errors.ConfigurationError: there is no default.
        """

    def get_default_database(
        self,
        default: str | None = None,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> AsyncDataApiDatabase[_DocumentT]:
        """Give the database that the arguments or the variables name, or else `default`.

        Raises:
            pymongo.errors.ConfigurationError: they name none.
        """

    def get_default_collection(self) -> AsyncDataApiCollection[_DocumentT]:
        """Give the collection that the variables name.

        Raises:
            pymongo.errors.ConfigurationError: they name none.
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
    @property
    def codec_options(self) -> CodecOptions[Any]:
        """How documents are read and written."""

    @property
    def read_preference(self) -> Any:
        """Which servers are read from."""

    @property
    def write_concern(self) -> WriteConcern:
        """When a write counts."""

    @property
    def read_concern(self) -> ReadConcern:
        """What a read may see."""

    def __getitem__(self, name: str, /) -> AsyncDataApiDatabase[_DocumentT]: ...
    def __getattr__(self, name: str, /) -> AsyncDataApiDatabase[_DocumentT]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class AsyncDataApiDatabase(Generic[_DocumentT]):
    """A database of an `AsyncDataApiClient`."""

    @property
    def client(self) -> AsyncDataApiClient[_DocumentT]:
        """The client that it came from."""

    @property
    def name(self) -> str:
        """The database's name."""

    def get_collection(
        self,
        name: str,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> AsyncDataApiCollection[_DocumentT]:
        """Give the collection of that name; with other options, where they are given.

        Raises:
            pymongo.errors.InvalidName: MongoDB does not allow the name.
        """

    def with_options(
        self,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> AsyncDataApiDatabase[_DocumentT]:
        """The same database with other options."""

    @property
    def codec_options(self) -> CodecOptions[Any]:
        """How documents are read and written."""

    @property
    def read_preference(self) -> Any:
        """Which servers are read from."""

    @property
    def write_concern(self) -> WriteConcern:
        """When a write counts."""

    @property
    def read_concern(self) -> ReadConcern:
        """What a read may see."""

    def __getitem__(self, name: str, /) -> AsyncDataApiCollection[_DocumentT]: ...
    def __getattr__(self, name: str, /) -> AsyncDataApiCollection[_DocumentT]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __bool__(self) -> bool: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class AsyncDataApiCollection(Generic[_DocumentT]):
    """A collection of an `AsyncDataApiClient`.

    What the Data API does not have raises `NotImplementedError`: of the arguments of writes
    it has `upsert` and `ordered`, of those of reads `projection`, and for `find` also
    `sort`, `skip` and `limit`. Other errors are `DataApiError` where the Data API refused.
    """

    @property
    def name(self) -> str:
        """The collection's name."""

    @property
    def full_name(self) -> str:
        """The database's and the collection's name, with a dot between."""

    @property
    def database(self) -> AsyncDataApiDatabase[_DocumentT]:
        """The database that it is in."""

    def with_options(
        self,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> AsyncDataApiCollection[_DocumentT]:
        """The same collection with other options."""

    @property
    def codec_options(self) -> CodecOptions[Any]:
        """How documents are read and written."""

    @property
    def read_preference(self) -> Any:
        """Which servers are read from."""

    @property
    def write_concern(self) -> WriteConcern:
        """When a write counts."""

    @property
    def read_concern(self) -> ReadConcern:
        """What a read may see."""

    def insert_one(
        self,
        document: _Document,
        bypass_document_validation: bool | None = None,
        session: AsyncClientSession | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, InsertOneResult]:
        """Insert a document.

        The document is not changed. An `_id` is made if it has none. A
        call that got no answer is repeated, without storing twice.

        Args:
            document: a mapping with `str` keys, at most 16 MiB as BSON.
            bypass_document_validation: whether to skip the collection's validator.
            session: the session that the call is part of.
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
        session: AsyncClientSession | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, InsertManyResult]:
        """Insert documents, in as few commands as the server's limits allow.

        Args:
            documents: one or more documents.
            ordered: whether to stop at the first that is refused.
            bypass_document_validation: whether to skip the collection's validator.
            session: the session that the call is part of.
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
        session: AsyncClientSession | None = None,
        allow_disk_use: bool | None = None,
        let: _Document | None = None,
    ) -> Coroutine[Any, Any, _DocumentT | None]:
        """Find the first document that matches, or `None`.

        The arguments are those of `find`, but that a `filter` that is no mapping is
        an `_id` to look for; `limit` is of no use.

        Raises:
            pymongo.errors.OperationFailure: MongoDB refused the query.
            pymongo.errors.ExecutionTimeout: it took longer than `max_time_ms` milliseconds.
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
        session: AsyncClientSession | None = None,
        allow_disk_use: bool | None = None,
        let: _Document | None = None,
    ) -> AsyncCursor[_DocumentT]:
        """Find all documents that match; gives a cursor, which asks the server once it is read.

        The arguments are PyMongo's. `oplog_replay`, `max_scan` and `snapshot`, which MongoDB
        has no more, are not supported, nor is `CursorType.EXHAUST`.

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
        session: AsyncClientSession | None = None,
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
        session: AsyncClientSession | None = None,
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
        session: AsyncClientSession | None = None,
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
        session: AsyncClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, DeleteResult]:
        """Delete the first document that matches; errors as `update_one`'s."""

    def delete_many(
        self,
        filter: _Document,
        collation: Any = None,
        hint: _Sort | None = None,
        session: AsyncClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, DeleteResult]:
        """Delete all documents that match; errors as `update_one`'s."""

    def aggregate(
        self,
        pipeline: list[_Document],
        session: AsyncClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> AsyncCursor[Any]:
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
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class DataApiClient(Generic[_DocumentT]):
    """A client of the Data API (MongoDB over HTTP).

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
        add_ids: bool = False,
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
            add_ids: whether documents that are inserted get the `_id` that was made
                for them, as with PyMongo.

        Raises:
            pymongo.errors.ConfigurationError: names the argument that is wrong.
        """

    @classmethod
    def from_config(cls, config: Mapping[str, str]) -> DataApiClient[dict[str, Any]]:
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

    def get_database(
        self,
        name: str | None = None,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> DataApiDatabase[_DocumentT]:
        """Give the database of that name, or the default one; with other options, where they are given.

        Raises:
            pymongo.errors.InvalidName: MongoDB does not allow the name.
            pymongo.errors.ConfigurationError: there is no default.
        """

    def get_default_database(
        self,
        default: str | None = None,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> DataApiDatabase[_DocumentT]:
        """Give the database that the arguments or the variables name, or else `default`.

        Raises:
            pymongo.errors.ConfigurationError: they name none.
        """

    def get_default_collection(self) -> DataApiCollection[_DocumentT]:
        """Give the collection that the variables name.

        Raises:
            pymongo.errors.ConfigurationError: they name none.
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
    @property
    def codec_options(self) -> CodecOptions[Any]:
        """How documents are read and written."""

    @property
    def read_preference(self) -> Any:
        """Which servers are read from."""

    @property
    def write_concern(self) -> WriteConcern:
        """When a write counts."""

    @property
    def read_concern(self) -> ReadConcern:
        """What a read may see."""

    def __getitem__(self, name: str, /) -> DataApiDatabase[_DocumentT]: ...
    def __getattr__(self, name: str, /) -> DataApiDatabase[_DocumentT]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class DataApiDatabase(Generic[_DocumentT]):
    """A database of a `DataApiClient`."""

    @property
    def client(self) -> DataApiClient[_DocumentT]:
        """The client that it came from."""

    @property
    def name(self) -> str:
        """The database's name."""

    def get_collection(
        self,
        name: str,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> DataApiCollection[_DocumentT]:
        """Give the collection of that name; with other options, where they are given.

        Raises:
            pymongo.errors.InvalidName: MongoDB does not allow the name.
        """

    def with_options(
        self,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> DataApiDatabase[_DocumentT]:
        """The same database with other options."""

    @property
    def codec_options(self) -> CodecOptions[Any]:
        """How documents are read and written."""

    @property
    def read_preference(self) -> Any:
        """Which servers are read from."""

    @property
    def write_concern(self) -> WriteConcern:
        """When a write counts."""

    @property
    def read_concern(self) -> ReadConcern:
        """What a read may see."""

    def __getitem__(self, name: str, /) -> DataApiCollection[_DocumentT]: ...
    def __getattr__(self, name: str, /) -> DataApiCollection[_DocumentT]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __bool__(self) -> bool: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class DataApiCollection(Generic[_DocumentT]):
    """A collection of a `DataApiClient`.

    What the Data API does not have raises `NotImplementedError`: of the arguments of writes
    it has `upsert` and `ordered`, of those of reads `projection`, and for `find` also
    `sort`, `skip` and `limit`. Other errors are `DataApiError` where the Data API refused.
    """

    @property
    def name(self) -> str:
        """The collection's name."""

    @property
    def full_name(self) -> str:
        """The database's and the collection's name, with a dot between."""

    @property
    def database(self) -> DataApiDatabase[_DocumentT]:
        """The database that it is in."""

    def with_options(
        self,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> DataApiCollection[_DocumentT]:
        """The same collection with other options."""

    @property
    def codec_options(self) -> CodecOptions[Any]:
        """How documents are read and written."""

    @property
    def read_preference(self) -> Any:
        """Which servers are read from."""

    @property
    def write_concern(self) -> WriteConcern:
        """When a write counts."""

    @property
    def read_concern(self) -> ReadConcern:
        """What a read may see."""

    def insert_one(
        self,
        document: _Document,
        bypass_document_validation: bool | None = None,
        session: ClientSession | None = None,
        comment: Any = None,
    ) -> InsertOneResult:
        """Insert a document.

        The document is not changed. An `_id` is made if it has none. A
        call that got no answer is repeated, without storing twice.

        Args:
            document: a mapping with `str` keys, at most 16 MiB as BSON.
            bypass_document_validation: whether to skip the collection's validator.
            session: the session that the call is part of.
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
        session: ClientSession | None = None,
        comment: Any = None,
    ) -> InsertManyResult:
        """Insert documents, in as few commands as the server's limits allow.

        Args:
            documents: one or more documents.
            ordered: whether to stop at the first that is refused.
            bypass_document_validation: whether to skip the collection's validator.
            session: the session that the call is part of.
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
        session: ClientSession | None = None,
        allow_disk_use: bool | None = None,
        let: _Document | None = None,
    ) -> _DocumentT | None:
        """Find the first document that matches, or `None`.

        The arguments are those of `find`, but that a `filter` that is no mapping is
        an `_id` to look for; `limit` is of no use.

        Raises:
            pymongo.errors.OperationFailure: MongoDB refused the query.
            pymongo.errors.ExecutionTimeout: it took longer than `max_time_ms` milliseconds.
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
        session: ClientSession | None = None,
        allow_disk_use: bool | None = None,
        let: _Document | None = None,
    ) -> Cursor[_DocumentT]:
        """Find all documents that match; gives a cursor, which asks the server once it is read.

        The arguments are PyMongo's. `oplog_replay`, `max_scan` and `snapshot`, which MongoDB
        has no more, are not supported, nor is `CursorType.EXHAUST`.

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
        session: ClientSession | None = None,
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
        session: ClientSession | None = None,
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
        session: ClientSession | None = None,
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
        session: ClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> DeleteResult:
        """Delete the first document that matches; errors as `update_one`'s."""

    def delete_many(
        self,
        filter: _Document,
        collation: Any = None,
        hint: _Sort | None = None,
        session: ClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> DeleteResult:
        """Delete all documents that match; errors as `update_one`'s."""

    def aggregate(
        self,
        pipeline: list[_Document],
        session: ClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Cursor[Any]:
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
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class AsyncCursor(Generic[_DocumentT]):
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
    def cursor_id(self) -> int | None:
        """The server's id of the cursor: `None` before it is there, 0 once the server has no more."""

    @property
    def session(self) -> AsyncClientSession | None:
        """The session that it is in."""

    @property
    def address(self) -> None:
        """Always `None`: the driver does not tell which server the cursor is on."""

    @property
    def retrieved(self) -> int:
        """How many documents have been taken."""

    def to_list(self, length: int | None = None) -> Coroutine[Any, Any, list[_DocumentT]]:
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

    def max_await_time_ms(self, max_await_time_ms: int | None) -> Self:
        """Set how long the server waits for something new, in milliseconds, for `CursorType.TAILABLE_AWAIT`."""

    def add_option(self, mask: int) -> Self:
        """Set flags of the query, such as `CursorType.TAILABLE`.

        Raises:
            NotImplementedError: `CursorType.EXHAUST`.
        """

    def remove_option(self, mask: int) -> Self:
        """Unset flags of the query."""

    def where(self, code: Any) -> Self:
        """Set a condition in JavaScript."""

    def distinct(self, key: str) -> Coroutine[Any, Any, list[Any]]:
        """The values that a field has in the documents that match."""

    def explain(self) -> Coroutine[Any, Any, dict[str, Any]]:
        """How the server would carry the query out."""

    def clone(self) -> Self:
        """The same query, not begun."""

    def rewind(self) -> Self:
        """Begin anew: the next document is the query's first."""

    def __getitem__(self, index: Any, /) -> Any: ...
    def next(self) -> Coroutine[Any, Any, _DocumentT]:
        """The next document; raises `StopAsyncIteration` where there is none."""

    def try_next(self) -> Coroutine[Any, Any, _DocumentT | None]:
        """The next document, or `None` where there is none now."""

    def close(self) -> Coroutine[Any, Any, None]:
        """Let the server go of the query."""

    def __await__(self) -> Generator[Any, None, Self]: ...
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Coroutine[Any, Any, _DocumentT]: ...
    def __aenter__(self) -> Coroutine[Any, Any, Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> Coroutine[Any, Any, None]: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class AsyncRawBatchCursor(Generic[_DocumentT]):
    """The batches of a query, as BSON. The next batch is fetched while this one is read.

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
    def cursor_id(self) -> int | None:
        """The server's id of the cursor: `None` before it is there, 0 once the server has no more."""

    @property
    def session(self) -> AsyncClientSession | None:
        """The session that it is in."""

    @property
    def address(self) -> None:
        """Always `None`: the driver does not tell which server the cursor is on."""

    @property
    def retrieved(self) -> int:
        """How many documents have been taken."""

    def to_list(self, length: int | None = None) -> Coroutine[Any, Any, list[_DocumentT]]:
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

    def max_await_time_ms(self, max_await_time_ms: int | None) -> Self:
        """Set how long the server waits for something new, in milliseconds, for `CursorType.TAILABLE_AWAIT`."""

    def add_option(self, mask: int) -> Self:
        """Set flags of the query, such as `CursorType.TAILABLE`.

        Raises:
            NotImplementedError: `CursorType.EXHAUST`.
        """

    def remove_option(self, mask: int) -> Self:
        """Unset flags of the query."""

    def where(self, code: Any) -> Self:
        """Set a condition in JavaScript."""

    def distinct(self, key: str) -> Coroutine[Any, Any, list[Any]]:
        """The values that a field has in the documents that match."""

    def explain(self) -> Coroutine[Any, Any, dict[str, Any]]:
        """How the server would carry the query out."""

    def clone(self) -> Self:
        """The same query, not begun."""

    def rewind(self) -> Self:
        """Begin anew: the next document is the query's first."""

    def __getitem__(self, index: Any, /) -> Any: ...
    def next(self) -> Coroutine[Any, Any, _DocumentT]:
        """The next document; raises `StopAsyncIteration` where there is none."""

    def try_next(self) -> Coroutine[Any, Any, _DocumentT | None]:
        """The next document, or `None` where there is none now."""

    def close(self) -> Coroutine[Any, Any, None]:
        """Let the server go of the query."""

    def __await__(self) -> Generator[Any, None, Self]: ...
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Coroutine[Any, Any, _DocumentT]: ...
    def __aenter__(self) -> Coroutine[Any, Any, Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> Coroutine[Any, Any, None]: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class AsyncClientSession:
    """A session: its calls are in their order, and can be one transaction. Not for calls at the same time."""

    @property
    def client(self) -> AsyncMongoClient[Any]:
        """The client that started it."""

    @property
    def options(self) -> Any:
        """PyMongo's `SessionOptions`."""

    @property
    def session_id(self) -> dict[str, Any]:
        """The server's id of it."""

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is in progress."""

    @property
    def cluster_time(self) -> dict[str, Any] | None:
        """The newest cluster time that it has seen."""

    @property
    def operation_time(self) -> Timestamp | None:
        """The time of its last call."""

    def advance_cluster_time(self, cluster_time: _Document) -> None:
        """Take over a cluster time of another session's, if it is newer."""

    def advance_operation_time(self, operation_time: Timestamp) -> None:
        """Take over an operation time of another session's, if it is newer."""

    def start_transaction(
        self,
        read_concern: ReadConcern | None = None,
        write_concern: WriteConcern | None = None,
        read_preference: Any = None,
        max_commit_time_ms: int | None = None,
    ) -> AsyncTransactionContext:
        """Begin a transaction, at once; gives a context, which may be awaited first.

        The context commits the transaction at its end, or aborts it where it fails.

        Raises:
            pymongo.errors.InvalidOperation: one is in progress, or the session has ended.
        """

    def commit_transaction(self) -> Coroutine[Any, Any, None]:
        """Commit the transaction.

        Raises:
            pymongo.errors.InvalidOperation: there is none.
            pymongo.errors.PyMongoError: with the label `UnknownTransactionCommitResult`
                where it may have been committed: then committing again is safe.
        """

    def abort_transaction(self) -> Coroutine[Any, Any, None]:
        """Abort the transaction.

        Raises:
            pymongo.errors.InvalidOperation: there is none.
        """

    def with_transaction(
        self,
        callback: Callable[[AsyncClientSession], Coroutine[Any, Any, _T]],
        read_concern: ReadConcern | None = None,
        write_concern: WriteConcern | None = None,
        read_preference: Any = None,
        max_commit_time_ms: int | None = None,
    ) -> Coroutine[Any, Any, _T]:
        """Call `callback(session)` in a transaction, and again where MongoDB says that it may help, for up to 120 s.

        Raises:
            Exception: what the callback raises.
            pymongo.errors.PyMongoError: it could not be committed.
        """

    def bind(self, end_session: bool = True) -> NoReturn:
        """Not supported: raises `NotImplementedError`. Pass the session to each call."""

    def end_session(self) -> Coroutine[Any, Any, None]:
        """End it; a transaction in progress is aborted."""

    def __await__(self) -> Generator[Any, None, Self]: ...
    def __aenter__(self) -> Coroutine[Any, Any, Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> Coroutine[Any, Any, None]: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
@type_check_only
class AsyncTransactionContext:
    """A transaction's context."""

    def __await__(self) -> Generator[Any, None, Self]: ...
    def __aenter__(self) -> Coroutine[Any, Any, Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> Coroutine[Any, Any, None]: ...

@final
class AsyncChangeStream(Generic[_DocumentT]):
    """The changes of a collection, a database, or all of them, as they happen."""

    @property
    def alive(self) -> bool:
        """Whether more changes may come."""

    @property
    def resume_token(self) -> dict[str, Any] | None:
        """The token to resume after; `None` before there is one."""

    def next(self) -> Coroutine[Any, Any, _DocumentT]:
        """The next change; waits for it.

        Raises:
            StopAsyncIteration: it is closed.
            pymongo.errors.PyMongoError: as `find_one`.
        """

    def try_next(self) -> Coroutine[Any, Any, _DocumentT | None]:
        """The next change, or `None` if there is none within `max_await_time_ms`."""

    def close(self) -> Coroutine[Any, Any, None]:
        """Let the server go of it."""

    def __await__(self) -> Generator[Any, None, Self]: ...
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Coroutine[Any, Any, _DocumentT]: ...
    def __aenter__(self) -> Coroutine[Any, Any, Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> Coroutine[Any, Any, None]: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class Cursor(Generic[_DocumentT]):
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
    def cursor_id(self) -> int | None:
        """The server's id of the cursor: `None` before it is there, 0 once the server has no more."""

    @property
    def session(self) -> ClientSession | None:
        """The session that it is in."""

    @property
    def address(self) -> None:
        """Always `None`: the driver does not tell which server the cursor is on."""

    @property
    def retrieved(self) -> int:
        """How many documents have been taken."""

    def to_list(self, length: int | None = None) -> list[_DocumentT]:
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

    def max_await_time_ms(self, max_await_time_ms: int | None) -> Self:
        """Set how long the server waits for something new, in milliseconds, for `CursorType.TAILABLE_AWAIT`."""

    def add_option(self, mask: int) -> Self:
        """Set flags of the query, such as `CursorType.TAILABLE`.

        Raises:
            NotImplementedError: `CursorType.EXHAUST`.
        """

    def remove_option(self, mask: int) -> Self:
        """Unset flags of the query."""

    def where(self, code: Any) -> Self:
        """Set a condition in JavaScript."""

    def distinct(self, key: str) -> list[Any]:
        """The values that a field has in the documents that match."""

    def explain(self) -> dict[str, Any]:
        """How the server would carry the query out."""

    def clone(self) -> Self:
        """The same query, not begun."""

    def rewind(self) -> Self:
        """Begin anew: the next document is the query's first."""

    def __getitem__(self, index: Any, /) -> Any: ...
    def next(self) -> _DocumentT:
        """The next document; raises `StopIteration` where there is none."""

    def try_next(self) -> _DocumentT | None:
        """The next document, or `None` where there is none now."""

    def close(self) -> None:
        """Let the server go of the query."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> _DocumentT: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class RawBatchCursor(Generic[_DocumentT]):
    """The batches of a query, as BSON. The next batch is fetched while this one is read.

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
    def cursor_id(self) -> int | None:
        """The server's id of the cursor: `None` before it is there, 0 once the server has no more."""

    @property
    def session(self) -> ClientSession | None:
        """The session that it is in."""

    @property
    def address(self) -> None:
        """Always `None`: the driver does not tell which server the cursor is on."""

    @property
    def retrieved(self) -> int:
        """How many documents have been taken."""

    def to_list(self, length: int | None = None) -> list[_DocumentT]:
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

    def max_await_time_ms(self, max_await_time_ms: int | None) -> Self:
        """Set how long the server waits for something new, in milliseconds, for `CursorType.TAILABLE_AWAIT`."""

    def add_option(self, mask: int) -> Self:
        """Set flags of the query, such as `CursorType.TAILABLE`.

        Raises:
            NotImplementedError: `CursorType.EXHAUST`.
        """

    def remove_option(self, mask: int) -> Self:
        """Unset flags of the query."""

    def where(self, code: Any) -> Self:
        """Set a condition in JavaScript."""

    def distinct(self, key: str) -> list[Any]:
        """The values that a field has in the documents that match."""

    def explain(self) -> dict[str, Any]:
        """How the server would carry the query out."""

    def clone(self) -> Self:
        """The same query, not begun."""

    def rewind(self) -> Self:
        """Begin anew: the next document is the query's first."""

    def __getitem__(self, index: Any, /) -> Any: ...
    def next(self) -> _DocumentT:
        """The next document; raises `StopIteration` where there is none."""

    def try_next(self) -> _DocumentT | None:
        """The next document, or `None` where there is none now."""

    def close(self) -> None:
        """Let the server go of the query."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> _DocumentT: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class ClientSession:
    """A session: its calls are in their order, and can be one transaction. Not for calls at the same time."""

    @property
    def client(self) -> MongoClient[Any]:
        """The client that started it."""

    @property
    def options(self) -> Any:
        """PyMongo's `SessionOptions`."""

    @property
    def session_id(self) -> dict[str, Any]:
        """The server's id of it."""

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is in progress."""

    @property
    def cluster_time(self) -> dict[str, Any] | None:
        """The newest cluster time that it has seen."""

    @property
    def operation_time(self) -> Timestamp | None:
        """The time of its last call."""

    def advance_cluster_time(self, cluster_time: _Document) -> None:
        """Take over a cluster time of another session's, if it is newer."""

    def advance_operation_time(self, operation_time: Timestamp) -> None:
        """Take over an operation time of another session's, if it is newer."""

    def start_transaction(
        self,
        read_concern: ReadConcern | None = None,
        write_concern: WriteConcern | None = None,
        read_preference: Any = None,
        max_commit_time_ms: int | None = None,
    ) -> TransactionContext:
        """Begin a transaction, at once; gives a context.

        The context commits the transaction at its end, or aborts it where it fails.

        Raises:
            pymongo.errors.InvalidOperation: one is in progress, or the session has ended.
        """

    def commit_transaction(self) -> None:
        """Commit the transaction.

        Raises:
            pymongo.errors.InvalidOperation: there is none.
            pymongo.errors.PyMongoError: with the label `UnknownTransactionCommitResult`
                where it may have been committed: then committing again is safe.
        """

    def abort_transaction(self) -> None:
        """Abort the transaction.

        Raises:
            pymongo.errors.InvalidOperation: there is none.
        """

    def with_transaction(
        self,
        callback: Callable[[ClientSession], _T],
        read_concern: ReadConcern | None = None,
        write_concern: WriteConcern | None = None,
        read_preference: Any = None,
        max_commit_time_ms: int | None = None,
    ) -> _T:
        """Call `callback(session)` in a transaction, and again where MongoDB says that it may help, for up to 120 s.

        Raises:
            Exception: what the callback raises.
            pymongo.errors.PyMongoError: it could not be committed.
        """

    def bind(self, end_session: bool = True) -> NoReturn:
        """Not supported: raises `NotImplementedError`. Pass the session to each call."""

    def end_session(self) -> None:
        """End it; a transaction in progress is aborted."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
@type_check_only
class TransactionContext:
    """A transaction's context."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None: ...

@final
class ChangeStream(Generic[_DocumentT]):
    """The changes of a collection, a database, or all of them, as they happen."""

    @property
    def alive(self) -> bool:
        """Whether more changes may come."""

    @property
    def resume_token(self) -> dict[str, Any] | None:
        """The token to resume after; `None` before there is one."""

    def next(self) -> _DocumentT:
        """The next change; waits for it.

        Raises:
            StopIteration: it is closed.
            pymongo.errors.PyMongoError: as `find_one`.
        """

    def try_next(self) -> _DocumentT | None:
        """The next change, or `None` if there is none within `max_await_time_ms`."""

    def close(self) -> None:
        """Let the server go of it."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> _DocumentT: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

class Model:
    """An object of Connect's, or a part of one. The classes of `connect.eaas.mongodb.events` derive from it."""

    def __new__(cls, data: Mapping[str, Any] | Model, *, strict: bool = False) -> Self:
        """Make an instance of any JSON object.

        The object may differ from what the class describes: see `deviations`. An attribute
        whose value is of another type than the class declares returns the value as it is.

        Args:
            data: the object, or an instance of another class.
            strict: raise where the object differs.

        Raises:
            connect.eaas.mongodb.events.EventValidationError: it is no JSON object; or, if
                `strict`, it differs from what the class describes. Lists every problem
                with its path.
        """

    @classmethod
    def validate(cls, data: Mapping[str, Any] | Model) -> Self:
        """Make an instance of an object that is what the class describes, as with `strict`.

        Raises:
            connect.eaas.mongodb.events.EventValidationError: it is not; lists every problem with its path.
        """

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """How the object differs from what the class describes: the first 50 deviations."""

    def to_dict(self) -> dict[str, Any]:
        """The object as a `dict`: equal to what it was made from, in the same order."""

    def __getattr__(self, name: str, /) -> Any: ...
    def __getitem__(self, name: str, /) -> Any: ...
    def __contains__(self, name: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __dir__(self) -> list[str]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: Any) -> Self: ...

def parse_event(event_type: str, obj: Mapping[str, Any] | Model, *, strict: bool = False) -> Model:
    """The object of an event, as an instance of its class.

    The object's id chooses the class, then the event type; `Other` is the class of what
    neither identifies.

    Args:
        event_type: the type of the event, known or not.
        obj: any JSON object.
        strict: raise where the object differs from what the class describes.

    Raises:
        connect.eaas.mongodb.events.EventValidationError: it is no JSON object; or, if
            `strict`, it differs from what its class describes. Lists every problem with
            its path.
    """

def event_models() -> list[tuple[str, str, str | None, list[tuple[str, str, str]]]]: ...
def event_types() -> list[tuple[str, str, str, tuple[str, ...]]]: ...

@final
class StoreSettings:
    def __new__(
        cls,
        redact: bool,
        redact_paths: list[str],
        keep_paths: list[str],
        redact_key: str | None = None,
        extension_id: str | None = None,
        environment_id: str | None = None,
    ) -> Self: ...
    @property
    def context(self) -> tuple[str | None, str | None]: ...
    def dead_letter(self, event_type: object, obj: object) -> tuple[str, str | None]: ...

def store_metrics() -> dict[str, Any]:
    """What the event store has counted in this process.

    `events_stored`, `events_duplicate`, `events_deviating` (different from their model),
    `events_unstorable` and `dead_letters` are counts; `deviations` maps a class and a field,
    such as `("AssetRequest", "asset.external_id")`, to how often it deviated. At most 1,000
    fields are counted.
    """

def _count_dead_letter() -> None: ...

@final
class SaveResult:
    """The result of saving an event."""

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
