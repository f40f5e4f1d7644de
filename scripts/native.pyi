# The source of `_native.pyi`; run `python -m scripts.unasync` after a change.
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from types import GenericAlias, TracebackType
from typing import Any, ClassVar, Final, Generic, NoReturn, TypeAlias, TypedDict, final, type_check_only

from bson.codec_options import CodecOptions, TypeRegistry
from bson.dbref import DBRef
from bson.timestamp import Timestamp
from connect.eaas.mongodb.events import Deviation
from connect.eaas.mongodb.variables import Variable
from pymongo.client_options import ClientOptions
from pymongo.driver_info import DriverInfo
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
def _before_fork() -> None: ...
def _forked() -> None: ...
def bson_encode(document: _Document, /) -> bytes: ...
def bson_decode(data: bytes, /) -> dict[str, Any]: ...
def ejson_encode(document: _Document, /) -> bytes: ...
def ejson_decode(data: bytes, /) -> dict[str, Any]: ...
def ejson_from_bson(data: bytes, /) -> bytes: ...
def run_gateway(
    listening: Callable[[str, str | None], object],
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
    text: str,
    name: str,
    *,
    rights: Sequence[str],
    places: Sequence[str],
    expires: str | None = None,
    rule: tuple[str | None, Sequence[str] | None, Sequence[str] | None, str | None] | None = None,
) -> tuple[str, str]: ...
def list_keys(text: str) -> list[dict[str, Any]]: ...
def revoke_key(text: str, name: str) -> str: ...
def add_user(
    text: str,
    name: str,
    password: str,
    *,
    rights: Sequence[str],
    places: Sequence[str],
    data: Sequence[tuple[str, str]],
    rule: tuple[str | None, Sequence[str] | None, Sequence[str] | None, str | None] | None = None,
) -> str: ...
def list_users(text: str) -> list[dict[str, Any]]: ...
def remove_user(text: str, name: str) -> str: ...
def set_password(text: str, name: str, password: str) -> str: ...
def add_signing_key(text: str, begins: str, expired: str) -> str: ...

@type_check_only
class _TlsRoute(TypedDict):
    authorities: str | None
    certificate: str | None
    password: str | None
    strict: bool

@type_check_only
class _DriverRoute(TypedDict):
    uri: str
    database: str
    collection: str
    seeds: list[tuple[str, int]]
    srv: bool
    authenticates: bool
    replica_set: bool
    tls: _TlsRoute | None

@type_check_only
class _DataApiRoute(TypedDict):
    endpoint: str
    api_key: str
    data_source: str
    database: str
    collection: str
    host: tuple[str, int]
    tls: bool
    proxy: tuple[tuple[str, int], str] | None

def _driver_route(variables: Mapping[str, str], timeout_ms: int, /) -> _DriverRoute: ...
def _data_api_route(variables: Mapping[str, str], /) -> _DataApiRoute: ...
def _secrets(variables: Mapping[str, str], /) -> list[str]: ...
def _is_database_name(name: str, /) -> bool: ...
def _write_filter(filter: _Document, /) -> _Document: ...
def _update(update: _Document | list[_Document], /) -> _Document | list[_Document]: ...
def _replacement(replacement: _Document, /) -> _Document: ...

@final
class InsertOneResult:
    """The result of `insert_one`; the shape of `pymongo.results.InsertOneResult`."""

    def __new__(cls, inserted_id: Any, acknowledged: bool) -> Self: ...
    @property
    def inserted_id(self) -> Any:
        """The `_id` of the inserted document."""

    @property
    def acknowledged(self) -> bool:
        """Whether MongoDB acknowledged the write: `False` with the write concern `w=0`."""

@final
class InsertManyResult:
    """The result of `insert_many`; the shape of `pymongo.results.InsertManyResult`."""

    def __new__(cls, inserted_ids: list[Any], acknowledged: bool) -> Self: ...
    @property
    def inserted_ids(self) -> list[Any]:
        """The `_id`s of the inserted documents, in the order of the arguments."""

    @property
    def acknowledged(self) -> bool:
        """Whether MongoDB acknowledged the write: `False` with the write concern `w=0`."""

@final
class UpdateResult:
    """The result of an update or a replacement; the shape of `pymongo.results.UpdateResult`.

    If the write is unacknowledged, the counts and the `_id` raise `pymongo.errors.InvalidOperation`.
    """

    @property
    def matched_count(self) -> int:
        """The number of documents that matched."""

    @property
    def modified_count(self) -> int:
        """The number of modified documents."""

    @property
    def upserted_id(self) -> Any:
        """The `_id` of the upserted document, or `None`."""

    @property
    def did_upsert(self) -> bool:
        """Whether a document was upserted."""

    @property
    def raw_result(self) -> dict[str, Any] | None:
        """The server's reply, or `None` if the write is unacknowledged."""

    @property
    def acknowledged(self) -> bool:
        """Whether MongoDB acknowledged the write: `False` with the write concern `w=0`."""

@final
class DeleteResult:
    """The result of a deletion; the shape of `pymongo.results.DeleteResult`.

    If the write is unacknowledged, `deleted_count` raises `pymongo.errors.InvalidOperation`.
    """

    @property
    def deleted_count(self) -> int:
        """The number of deleted documents."""

    @property
    def raw_result(self) -> dict[str, Any]:
        """The server's reply."""

    @property
    def acknowledged(self) -> bool:
        """Whether MongoDB acknowledged the write: `False` with the write concern `w=0`."""

class AsyncMongoClient(Generic[_DocumentT]):
    """An asynchronous MongoDB client (the driver path) with PyMongo's API.

    Creating a client does no I/O: it connects with its first call. It may be used
    from several threads and event loops (asyncio's or uvloop's) at once, and in
    forked and spawned processes.
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
        """Create a client.

        Args:
            host: a `mongodb://` or `mongodb+srv://` URI, `host[:port]`, or a list of
                these; `localhost` by default.
            port: the port of hosts without one; 27017 by default.
            document_class: the class of documents that are read; `dict` by default.
            tz_aware: whether dates that are read have the time zone UTC.
            connect: ignored: the client connects with its first call.
            type_registry: the codecs of values of other classes.
            coalesce: whether concurrent `insert_one` calls may be sent as one command;
                each still gets its own result. Has no effect with a `CommandListener`.
            add_ids: whether inserted documents get the generated `_id`, as with PyMongo.
            options: PyMongo's other options, by name (`serverSelectionTimeoutMS=5000`, in
                milliseconds; `tls=True`; `w="majority"`; `event_listeners=[…]`). They
                override those of the URI. `docs/options.md` lists all of them.

        Raises:
            pymongo.errors.InvalidURI: the URI is malformed.
            pymongo.errors.ConfigurationError: an option is unknown or invalid, or the driver
                does not support it; the message then names an alternative.
            ValueError, TypeError: a value is invalid, as in PyMongo.
        """

    @property
    def options(self) -> ClientOptions:
        """The client's options."""

    def append_metadata(self, driver_info: DriverInfo) -> None:
        """Add the name, version and platform of a wrapping library to the handshakes of new connections."""

    @classmethod
    def from_config(cls, config: Mapping[str, str]) -> AsyncMongoClient[dict[str, Any]]:
        """Return the client for the extension's variables.

        Within a process, the same values return the same client, from any thread or
        event loop. Changed values return a new client; the old one closes once its
        last call has completed and it is no longer referenced.

        Args:
            config: the variables, as in `self.config`: `DB`, `DB_HOST`,
                `DRIVER_COLLECTION`, and, where `DB_HOST` is a bare host,
                `DB_USER` and `DB_PASSWORD`; optionally `DB_OPTIONS`. The server
                selection timeout is 5 seconds, unless `DB_OPTIONS` sets another.

        Raises:
            pymongo.errors.ConfigurationError: variables are missing or
                malformed; the message names each, without values. No I/O is done.
        """

    def get_database(
        self,
        name: str | None = None,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> AsyncDatabase[_DocumentT]:
        """Return the database of that name, or the default database, with the given options.

        Raises:
            pymongo.errors.InvalidName: MongoDB does not allow the name.
            pymongo.errors.ConfigurationError: no default database is set.
        """

    def get_default_database(
        self,
        default: str | None = None,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> AsyncDatabase[_DocumentT]:
        """Return the database that the connection string or the variables name, or else `default`.

        Raises:
            pymongo.errors.ConfigurationError: neither is set.
        """

    def get_default_collection(self) -> AsyncCollection[_DocumentT]:
        """Return the collection that the variables name.

        Raises:
            pymongo.errors.ConfigurationError: the client was not created by `from_config`.
        """

    def close(self) -> Coroutine[Any, Any, None]:
        """Close the connections; calls in progress fail with `AutoReconnect` or `InvalidOperation`.

        A client of `from_config` is shared and stays open: it closes when its
        variables change.
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
        """List the names of the databases."""

    def drop_database(
        self, name_or_database: str | AsyncDatabase[Any], session: AsyncClientSession | None = None, comment: Any = None
    ) -> Coroutine[Any, Any, None]:
        """Drop a database, given by name or as an object."""

    def server_info(self, session: AsyncClientSession | None = None) -> Coroutine[Any, Any, dict[str, Any]]:
        """Return information about the server (`buildInfo`)."""

    def list_databases(
        self, session: AsyncClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> AsyncCursor[dict[str, Any]]:
        """Return a cursor over the databases. Awaiting it is optional."""

    def start_session(
        self,
        causal_consistency: bool | None = None,
        default_transaction_options: Any = None,
        snapshot: bool | None = False,
    ) -> AsyncClientSession:
        """Start a session, without I/O. Awaiting it is optional.

        Args:
            causal_consistency: whether reads observe the session's own writes on any node;
                `True` by default, unless `snapshot` is set.
            default_transaction_options: PyMongo's `TransactionOptions` for its transactions.
            snapshot: whether all reads use the same point in time.

        Raises:
            pymongo.errors.ConfigurationError: both `causal_consistency` and `snapshot` are set.
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
        """Execute writes to any collections, given as PyMongo's models with a `namespace`; requires MongoDB 8.0.

        Raises:
            pymongo.errors.ClientBulkWriteException: MongoDB rejected some of the writes; its `error` names them.
            pymongo.errors.PyMongoError: the errors of `find_one`.
        """

    def watch(
        self,
        pipeline: Sequence[_Document] | None = None,
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
        """Open a change stream of all databases. Awaiting it is optional.

        The arguments are PyMongo's. After a lost connection, the stream resumes automatically.
        """

    @property
    def address(self) -> Coroutine[Any, Any, tuple[str, int] | None]:
        """The address of the server that receives writes, or `None`."""

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
        """Whether a writable server is available."""

    @property
    def is_mongos(self) -> Coroutine[Any, Any, bool]:
        """Whether the server is a `mongos` of a sharded cluster."""

    @property
    def nodes(self) -> frozenset[tuple[str, int]]:
        """The addresses of the currently known servers."""

    @property
    def topology_description(self) -> TopologyDescription:
        """PyMongo's description of the currently known servers."""

    HOST: Final[str]
    PORT: Final[int]
    def aconnect(self) -> Coroutine[Any, Any, None]:
        """Resolve the DNS seed list of a `mongodb+srv://` URI before the first call."""

    def aclose(self) -> Coroutine[Any, Any, None]:
        """An alias of `close`."""

    @property
    def codec_options(self) -> CodecOptions[Any]:
        """The codec options: how documents are encoded and decoded."""

    @property
    def read_preference(self) -> Any:
        """The read preference: which servers reads use."""

    @property
    def write_concern(self) -> WriteConcern:
        """The write concern: when a write is acknowledged."""

    @property
    def read_concern(self) -> ReadConcern:
        """The read concern: which data reads return."""

    def eq_props(self) -> tuple[Any, ...]:
        """Return what makes clients equal: the hosts, the replica set, and the SRV record and its service."""

    def __getitem__(self, name: str, /) -> AsyncDatabase[_DocumentT]: ...
    def __getattr__(self, name: str, /) -> AsyncDatabase[_DocumentT]: ...
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: Any, /) -> Self: ...
    __iter__: ClassVar[None] = None
    def __next__(self) -> NoReturn: ...
    def next(self) -> NoReturn:
        """Raise `TypeError`: the object is not iterable."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

class AsyncDatabase(Generic[_DocumentT]):
    """A database of an `AsyncMongoClient`."""

    def __new__(
        cls,
        client: AsyncMongoClient[_DocumentT],
        name: str,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> Self:
        """Create the object for a database, as `client[name]` does. Options that are not given are the client's."""

    @property
    def client(self) -> AsyncMongoClient[_DocumentT]:
        """The client of the database."""

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
        """Return the collection of that name, with the given options.

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
        """Return the same database with other options."""

    @property
    def codec_options(self) -> CodecOptions[Any]:
        """The codec options: how documents are encoded and decoded."""

    @property
    def read_preference(self) -> Any:
        """The read preference: which servers reads use."""

    @property
    def write_concern(self) -> WriteConcern:
        """The write concern: when a write is acknowledged."""

    @property
    def read_concern(self) -> ReadConcern:
        """The read concern: which data reads return."""

    def list_collection_names(
        self,
        session: AsyncClientSession | None = None,
        filter: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, list[str]]:
        """List the names of the collections."""

    def list_collections(
        self,
        session: AsyncClientSession | None = None,
        filter: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> AsyncCursor[dict[str, Any]]:
        """Return a cursor over the collections. Awaiting it is optional."""

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
        """Create a collection and return it. Keywords are the options of MongoDB's `create` command.

        Raises:
            pymongo.errors.CollectionInvalid: a collection of that name exists.
        """

    def drop_collection(
        self,
        name_or_collection: str | AsyncCollection[Any],
        session: AsyncClientSession | None = None,
        comment: Any = None,
        encrypted_fields: None = None,
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """Drop a collection, given by name or as an object, if it exists; return the server's reply."""

    def command(
        self,
        command: str | _Document,
        value: Any = 1,
        check: bool = True,
        allowable_errors: Sequence[str | int] | None = None,
        read_preference: Any = None,
        codec_options: CodecOptions[Any] | None = None,
        session: AsyncClientSession | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """Run a command on the primary and return the server's reply.

        Args:
            command: the command's name, or the whole command.
            value: the value of the command's name, if `command` is a name; 1 by default.
            check: whether an error reply raises.
            allowable_errors: messages and codes of errors that do not raise.
            read_preference: the servers that may be used; the primary by default.
            codec_options: how the command is encoded and the reply decoded; PyMongo's defaults by default.
            session: the session of the command.
            comment: appears in the server's log and profiler.
            **kwargs: additional fields of the command.

        Raises:
            pymongo.errors.OperationFailure: MongoDB rejected it.
            pymongo.errors.PyMongoError: the errors of `find_one`.
        """

    def cursor_command(
        self,
        command: str | _Document,
        value: Any = 1,
        read_preference: Any = None,
        codec_options: CodecOptions[Any] | None = None,
        session: AsyncClientSession | None = None,
        comment: Any = None,
        max_await_time_ms: int | None = None,
        **kwargs: Any,
    ) -> AsyncCursor[Any]:
        """Run a command whose reply is a cursor, and return that cursor. Awaiting it is optional."""

    def aggregate(
        self,
        pipeline: Sequence[_Document],
        session: AsyncClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> AsyncCursor[Any]:
        """Run a pipeline that needs no collection, and return a cursor. Awaiting it is optional."""

    def validate_collection(
        self,
        name_or_collection: str | AsyncCollection[Any],
        scandata: bool = False,
        full: bool = False,
        session: AsyncClientSession | None = None,
        background: bool | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """Validate a collection's data and indexes; return the server's reply.

        Raises:
            pymongo.errors.CollectionInvalid: the collection is corrupt.
        """

    def dereference(
        self, dbref: DBRef, session: AsyncClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, _DocumentT | None]:
        """Return the document that a `DBRef` refers to, or `None`."""

    def watch(
        self,
        pipeline: Sequence[_Document] | None = None,
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
        """Open a change stream of all collections. Awaiting it is optional.

        The arguments are PyMongo's. After a lost connection, the stream resumes automatically.
        """

    def __getitem__(self, name: str, /) -> AsyncCollection[_DocumentT]: ...
    def __getattr__(self, name: str, /) -> AsyncCollection[_DocumentT]: ...
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: Any, /) -> Self: ...
    __iter__: ClassVar[None] = None
    def __next__(self) -> NoReturn: ...
    def next(self) -> NoReturn:
        """Raise `TypeError`: the object is not iterable."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __bool__(self) -> bool: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

class AsyncCollection(Generic[_DocumentT]):
    """A collection of an `AsyncMongoClient`."""

    def __new__(
        cls,
        database: AsyncDatabase[_DocumentT],
        name: str,
        create: bool = False,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
        session: AsyncClientSession | None = None,
        **kwargs: Any,
    ) -> Self:
        """Create the object for a collection, as `database[name]` does. Options that are not given are the database's.

        `create` and keywords, which PyMongo deprecates, are for the blocking class only: they create the collection
        on the server.
        """

    @property
    def name(self) -> str:
        """The collection's name."""

    @property
    def full_name(self) -> str:
        """The namespace: `<database>.<collection>`."""

    @property
    def database(self) -> AsyncDatabase[_DocumentT]:
        """The database of the collection."""

    def with_options(
        self,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> AsyncCollection[_DocumentT]:
        """Return the same collection with other options."""

    @property
    def codec_options(self) -> CodecOptions[Any]:
        """The codec options: how documents are encoded and decoded."""

    @property
    def read_preference(self) -> Any:
        """The read preference: which servers reads use."""

    @property
    def write_concern(self) -> WriteConcern:
        """The write concern: when a write is acknowledged."""

    @property
    def read_concern(self) -> ReadConcern:
        """The read concern: which data reads return."""

    def insert_one(
        self,
        document: _Document,
        bypass_document_validation: bool | None = None,
        session: AsyncClientSession | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, InsertOneResult]:
        """Insert a document.

        The caller's document is not modified. An `_id` is generated if it has none. After
        a lost connection, the insert is retried once, without storing the document twice.

        Args:
            document: a mapping with `str` keys, at most 16 MiB as BSON.
            bypass_document_validation: whether to skip the collection's validator.
            session: the session of the call.
            comment: appears in the server's log and profiler.

        Raises:
            pymongo.errors.DuplicateKeyError: the `_id` or another unique key exists.
            pymongo.errors.DocumentTooLarge: the document is larger than 16 MiB.
            bson.errors.InvalidDocument: a value cannot be encoded as BSON; the message names its path.
            pymongo.errors.ServerSelectionTimeoutError: no server is available within the timeout.
            pymongo.errors.OperationFailure: MongoDB rejected the command (permissions, validation, …).
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
        """Insert documents with as few commands as the server's limits allow.

        Args:
            documents: one or more documents.
            ordered: whether to stop at the first error.
            bypass_document_validation: whether to skip the collection's validator.
            session: the session of the call.
            comment: appears in the server's log and profiler.

        Raises:
            pymongo.errors.BulkWriteError: some writes failed; `details` names them.
            TypeError: `documents` is not a list, or is empty.
            pymongo.errors.PyMongoError: the errors of `insert_one`.
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

        The arguments are those of `find`, except that a `filter` that is not a mapping is
        an `_id`; `limit` is ignored.

        Raises:
            pymongo.errors.OperationFailure: MongoDB rejected the query.
            pymongo.errors.ExecutionTimeout: the query took longer than `max_time_ms` milliseconds.
            pymongo.errors.ServerSelectionTimeoutError: no server is available within the timeout.
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
        """Return a cursor over the documents that match; the query is sent when the cursor is first read.

        The arguments are PyMongo's. `oplog_replay`, `max_scan` and `snapshot`, which MongoDB
        has removed, and `CursorType.EXHAUST` are not supported.

        Raises:
            NotImplementedError: an argument is not supported; the message names it.
            TypeError: an argument has a wrong type.
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

        The arguments are PyMongo's.

        Raises:
            ValueError: the update has no operators.
            pymongo.errors.DuplicateKeyError: the update would duplicate a unique key.
            pymongo.errors.OperationFailure: MongoDB rejected it.
            pymongo.errors.PyMongoError: the errors of `insert_one`.
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
        """Update all documents that match; arguments and errors as for `update_one`."""

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
        """Replace the first document that matches; arguments and errors as for `update_one`.

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
        """Delete the first document that matches; errors as for `update_one`."""

    def delete_many(
        self,
        filter: _Document,
        collation: Any = None,
        hint: _Sort | None = None,
        session: AsyncClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, DeleteResult]:
        """Delete all documents that match; errors as for `update_one`."""

    def aggregate(
        self,
        pipeline: Sequence[_Document],
        session: AsyncClientSession | None = None,
        let: _Document | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> AsyncCursor[Any]:
        """Run an aggregation pipeline, and return a cursor. Awaiting it is optional.

        The pipeline is sent when the cursor is first read.

        Raises:
            TypeError: the pipeline is not a list, or a keyword is unknown.
        """

    def count_documents(
        self, filter: _Document, session: AsyncClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, int]:
        """Count the documents that match. Keywords: `skip`, `limit`, `maxTimeMS`, `hint`, `collation`."""

    def estimated_document_count(self, comment: Any = None, **kwargs: Any) -> Coroutine[Any, Any, int]:
        """Estimate the number of documents from the collection's metadata. Keyword: `maxTimeMS`."""

    def distinct(
        self,
        key: str,
        filter: _Document | None = None,
        session: AsyncClientSession | None = None,
        comment: Any = None,
        hint: _Sort | None = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, list[Any]]:
        """List the distinct values of a field in the documents that match. Keywords: `maxTimeMS`, `collation`."""

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
        """Update the first document that matches; return it as it was before, or as it is afterwards.

        `return_document` is PyMongo's `ReturnDocument`. Keywords: `maxTimeMS`,
        `collation`, `bypass_document_validation`. Errors as for `update_one`.
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
        """Replace the first document that matches; otherwise like `find_one_and_update`."""

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
        """Delete the first document that matches and return it; otherwise like `find_one_and_update`."""

    def index_information(
        self, session: AsyncClientSession | None = None, comment: Any = None
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """Return information about each index, by name."""

    def list_indexes(
        self, session: AsyncClientSession | None = None, comment: Any = None
    ) -> AsyncCursor[dict[str, Any]]:
        """Return a cursor over the indexes. Awaiting it is optional."""

    def drop_index(
        self, index_or_name: _Sort, session: AsyncClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, None]:
        """Drop an index, given by name or by keys."""

    def drop_indexes(
        self, session: AsyncClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, None]:
        """Drop all indexes except that of `_id`."""

    def drop(
        self,
        session: AsyncClientSession | None = None,
        comment: Any = None,
        encrypted_fields: None = None,
    ) -> Coroutine[Any, Any, None]:
        """Drop the collection, if it exists."""

    def create_index(
        self, keys: _Sort, session: AsyncClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, str]:
        """Create an index and return its name. Keywords are the options of MongoDB's `createIndexes` command."""

    def create_indexes(
        self,
        indexes: Sequence[IndexModel],
        session: AsyncClientSession | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, list[str]]:
        """Create indexes from PyMongo's `IndexModel`s and return their names. Keywords: `maxTimeMS`, `commitQuorum`."""

    def create_search_index(
        self,
        model: _Document | SearchIndexModel,
        session: AsyncClientSession | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, str]:
        """Create a search index from PyMongo's `SearchIndexModel` or a mapping, and return its name."""

    def create_search_indexes(
        self,
        models: list[SearchIndexModel],
        session: AsyncClientSession | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, list[str]]:
        """Create search indexes and return their names."""

    def drop_search_index(
        self, name: str, session: AsyncClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, None]:
        """Drop a search index; no effect if the collection does not exist."""

    def update_search_index(
        self,
        name: str,
        definition: _Document,
        session: AsyncClientSession | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, None]:
        """Replace the definition of a search index."""

    def list_search_indexes(
        self, name: str | None = None, session: AsyncClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> AsyncCursor[dict[str, Any]]:
        """Return a cursor over the search indexes, or the one of that name. Awaiting it is optional."""

    def rename(
        self, new_name: str, session: AsyncClientSession | None = None, comment: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """Rename the collection; return the server's reply. Keyword: `dropTarget`."""

    def options(
        self, session: AsyncClientSession | None = None, comment: Any = None
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """Return the options that the collection was created with."""

    def bulk_write(
        self,
        requests: list[Any],
        ordered: bool = True,
        bypass_document_validation: bool | None = None,
        session: AsyncClientSession | None = None,
        comment: Any = None,
        let: _Document | None = None,
    ) -> Coroutine[Any, Any, BulkWriteResult]:
        """Execute writes (PyMongo's `InsertOne`, `UpdateOne`, …) with as few commands as possible.

        Args:
            requests: the writes.
            ordered: whether to stop at the first error.
            bypass_document_validation: whether to skip the collection's validator.
            session: the session of the writes.
            comment: appears in the server's log and profiler.
            let: variables for the writes' expressions.

        Raises:
            pymongo.errors.BulkWriteError: some writes failed; `details` names them.
            pymongo.errors.InvalidOperation: `requests` is empty.
            pymongo.errors.PyMongoError: the errors of `insert_one`.
        """

    def find_raw_batches(self, *args: Any, **kwargs: Any) -> AsyncRawBatchCursor[bytes]:
        """Like `find`, but each item is a batch of documents as BSON."""

    def aggregate_raw_batches(
        self,
        pipeline: Sequence[_Document],
        session: AsyncClientSession | None = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> AsyncRawBatchCursor[bytes]:
        """Like `aggregate`, but each item is a batch of documents as BSON."""

    def watch(
        self,
        pipeline: Sequence[_Document] | None = None,
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
        """Open a change stream of the collection. Awaiting it is optional.

        The arguments are PyMongo's. After a lost connection, the stream resumes automatically.
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
    def __getitem__(self, name: str, /) -> AsyncCollection[_DocumentT]: ...
    def __getattr__(self, name: str, /) -> AsyncCollection[_DocumentT]: ...
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: Any, /) -> Self: ...
    __iter__: ClassVar[None] = None
    def __next__(self) -> NoReturn: ...
    def next(self) -> NoReturn:
        """Raise `TypeError`: the object is not iterable."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __bool__(self) -> bool: ...
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class AsyncCursor(Generic[_DocumentT]):
    """A cursor over the documents of a query. It prefetches the next batch.

    Options can be set before the first document is requested; afterwards, setting one
    raises `pymongo.errors.InvalidOperation`.
    """

    @property
    def collection(self) -> Any:
        """The collection of the query."""

    @property
    def alive(self) -> bool:
        """Whether the cursor may return more documents."""

    @property
    def cursor_id(self) -> int | None:
        """The server's cursor id: `None` before the query is sent, 0 once it is exhausted."""

    @property
    def session(self) -> AsyncClientSession | None:
        """The session of the cursor."""

    @property
    def address(self) -> tuple[str, int] | None:
        """The server's host and port, after its first reply.

        `None` if it may be any of several servers, since the driver does not tell: with a read preference other than
        `primary`, or several mongos.
        """

    @property
    def retrieved(self) -> int:
        """The number of documents that were returned."""

    def to_list(self, length: int | None = None) -> Coroutine[Any, Any, list[_DocumentT]]:
        """Return all remaining documents, or at most `length` of them.

        Raises:
            ValueError: `length` is 0.
            pymongo.errors.PyMongoError: the errors of `find_one`.
        """

    def sort(self, key_or_list: _Sort, direction: Any = None) -> Self:
        """Set the sort order: a field's name and a direction, a list of names or of pairs, or a mapping."""

    def skip(self, skip: int) -> Self:
        """Set the number of documents to skip."""

    def limit(self, limit: int) -> Self:
        """Set the maximum number of documents; 0 means no limit, a negative number a single batch."""

    def batch_size(self, batch_size: int) -> Self:
        """Set the maximum number of documents per batch; 0 means the server's default."""

    def hint(self, index: _Sort | None) -> Self:
        """Set the index to use, by name or by keys."""

    def collation(self, collation: Any) -> Self:
        """Set the collation: a `pymongo.collation.Collation`, or a mapping."""

    def comment(self, comment: Any) -> Self:
        """Set a comment, which appears in the server's log and profiler."""

    def max_time_ms(self, max_time_ms: int | None) -> Self:
        """Set the server's time limit for the query, in milliseconds."""

    def allow_disk_use(self, allow_disk_use: bool) -> Self:
        """Set whether the server may use temporary files to sort."""

    def max(self, spec: _Sort) -> Self:
        """Set the exclusive upper bound in the index of `hint`."""

    def min(self, spec: _Sort) -> Self:
        """Set the inclusive lower bound in the index of `hint`."""

    def max_await_time_ms(self, max_await_time_ms: int | None) -> Self:
        """Set how long the server waits for new documents, in milliseconds, with `CursorType.TAILABLE_AWAIT`."""

    def add_option(self, mask: int) -> Self:
        """Set flags of the query, such as `CursorType.TAILABLE`.

        Raises:
            pymongo.errors.InvalidOperation: `CursorType.EXHAUST` with a limit.
        """

    def remove_option(self, mask: int) -> Self:
        """Unset flags of the query."""

    def where(self, code: Any) -> Self:
        """Set a condition in JavaScript."""

    def distinct(self, key: str) -> Coroutine[Any, Any, list[Any]]:
        """List the distinct values of a field in the documents that match."""

    def explain(self) -> Coroutine[Any, Any, dict[str, Any]]:
        """Return the server's plan of the query."""

    def clone(self) -> Self:
        """Return an unevaluated copy of the cursor."""

    def rewind(self) -> Self:
        """Reset the cursor: the next document is the query's first."""

    def __getitem__(self, index: Any, /) -> Any: ...
    def next(self) -> Coroutine[Any, Any, _DocumentT]:
        """Return the next document; raise `StopAsyncIteration` if none is left."""

    def try_next(self) -> Coroutine[Any, Any, _DocumentT | None]:
        """Return the next document, or `None` if none is available now."""

    def close(self) -> Coroutine[Any, Any, None]:
        """Close the cursor on the server."""

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
    """A cursor over the batches of a query, as BSON. It prefetches the next batch.

    Options can be set before the first batch is requested; afterwards, setting one
    raises `pymongo.errors.InvalidOperation`.
    """

    @property
    def collection(self) -> Any:
        """The collection of the query."""

    @property
    def alive(self) -> bool:
        """Whether the cursor may return more documents."""

    @property
    def cursor_id(self) -> int | None:
        """The server's cursor id: `None` before the query is sent, 0 once it is exhausted."""

    @property
    def session(self) -> AsyncClientSession | None:
        """The session of the cursor."""

    @property
    def address(self) -> tuple[str, int] | None:
        """The server's host and port, after its first reply.

        `None` if it may be any of several servers, since the driver does not tell: with a read preference other than
        `primary`, or several mongos.
        """

    @property
    def retrieved(self) -> int:
        """The number of documents that were returned."""

    def to_list(self, length: int | None = None) -> Coroutine[Any, Any, list[_DocumentT]]:
        """Return all remaining documents, or at most `length` of them.

        Raises:
            ValueError: `length` is 0.
            pymongo.errors.PyMongoError: the errors of `find_one`.
        """

    def sort(self, key_or_list: _Sort, direction: Any = None) -> Self:
        """Set the sort order: a field's name and a direction, a list of names or of pairs, or a mapping."""

    def skip(self, skip: int) -> Self:
        """Set the number of documents to skip."""

    def limit(self, limit: int) -> Self:
        """Set the maximum number of documents; 0 means no limit, a negative number a single batch."""

    def batch_size(self, batch_size: int) -> Self:
        """Set the maximum number of documents per batch; 0 means the server's default."""

    def hint(self, index: _Sort | None) -> Self:
        """Set the index to use, by name or by keys."""

    def collation(self, collation: Any) -> Self:
        """Set the collation: a `pymongo.collation.Collation`, or a mapping."""

    def comment(self, comment: Any) -> Self:
        """Set a comment, which appears in the server's log and profiler."""

    def max_time_ms(self, max_time_ms: int | None) -> Self:
        """Set the server's time limit for the query, in milliseconds."""

    def allow_disk_use(self, allow_disk_use: bool) -> Self:
        """Set whether the server may use temporary files to sort."""

    def max(self, spec: _Sort) -> Self:
        """Set the exclusive upper bound in the index of `hint`."""

    def min(self, spec: _Sort) -> Self:
        """Set the inclusive lower bound in the index of `hint`."""

    def max_await_time_ms(self, max_await_time_ms: int | None) -> Self:
        """Set how long the server waits for new documents, in milliseconds, with `CursorType.TAILABLE_AWAIT`."""

    def add_option(self, mask: int) -> Self:
        """Set flags of the query, such as `CursorType.TAILABLE`.

        Raises:
            pymongo.errors.InvalidOperation: `CursorType.EXHAUST` with a limit.
        """

    def remove_option(self, mask: int) -> Self:
        """Unset flags of the query."""

    def where(self, code: Any) -> Self:
        """Set a condition in JavaScript."""

    def distinct(self, key: str) -> Coroutine[Any, Any, list[Any]]:
        """List the distinct values of a field in the documents that match."""

    def explain(self) -> Coroutine[Any, Any, dict[str, Any]]:
        """Return the server's plan of the query."""

    def clone(self) -> Self:
        """Return an unevaluated copy of the cursor."""

    def rewind(self) -> Self:
        """Reset the cursor: the next document is the query's first."""

    def __getitem__(self, index: Any, /) -> Any: ...
    def next(self) -> Coroutine[Any, Any, _DocumentT]:
        """Return the next document; raise `StopAsyncIteration` if none is left."""

    def try_next(self) -> Coroutine[Any, Any, _DocumentT | None]:
        """Return the next document, or `None` if none is available now."""

    def close(self) -> Coroutine[Any, Any, None]:
        """Close the cursor on the server."""

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
    """A session: its calls are ordered, and can form a transaction. Not for concurrent calls."""

    @property
    def client(self) -> AsyncMongoClient[Any]:
        """The client that started the session."""

    @property
    def options(self) -> Any:
        """PyMongo's `SessionOptions`."""

    @property
    def session_id(self) -> dict[str, Any]:
        """The session's id (`lsid`)."""

    @property
    def has_ended(self) -> bool:
        """Whether the session has ended."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is in progress."""

    @property
    def cluster_time(self) -> dict[str, Any] | None:
        """The newest cluster time that the session has seen."""

    @property
    def operation_time(self) -> Timestamp | None:
        """The operation time of the last call."""

    def advance_cluster_time(self, cluster_time: _Document) -> None:
        """Advance to the cluster time of another session, if it is newer."""

    def advance_operation_time(self, operation_time: Timestamp) -> None:
        """Advance to the operation time of another session, if it is newer."""

    def start_transaction(
        self,
        read_concern: ReadConcern | None = None,
        write_concern: WriteConcern | None = None,
        read_preference: Any = None,
        max_commit_time_ms: int | None = None,
    ) -> AsyncTransactionContext:
        """Start a transaction, and return its context manager. Awaiting it is optional.

        At its end, the context manager commits the transaction, or aborts it after an exception.

        Raises:
            pymongo.errors.InvalidOperation: a transaction is in progress, or the session has ended.
        """

    def commit_transaction(self) -> Coroutine[Any, Any, None]:
        """Commit the transaction.

        Raises:
            pymongo.errors.InvalidOperation: no transaction is in progress.
            pymongo.errors.PyMongoError: with the label `UnknownTransactionCommitResult`,
                the transaction may have been committed, and committing again is safe.
        """

    def abort_transaction(self) -> Coroutine[Any, Any, None]:
        """Abort the transaction.

        Raises:
            pymongo.errors.InvalidOperation: no transaction is in progress.
        """

    def with_transaction(
        self,
        callback: Callable[[AsyncClientSession], Coroutine[Any, Any, _T]],
        read_concern: ReadConcern | None = None,
        write_concern: WriteConcern | None = None,
        read_preference: Any = None,
        max_commit_time_ms: int | None = None,
    ) -> Coroutine[Any, Any, _T]:
        """Run `callback(session)` in a transaction, and retry transient errors for up to 120 s.

        Raises:
            Exception: any error of the callback.
            pymongo.errors.PyMongoError: the transaction could not be committed.
        """

    def bind(self, end_session: bool = True) -> AsyncBoundSessionContext:
        """Return a context manager in whose block calls without `session` use this session.

        Args:
            end_session: whether the end of the block ends the session.

        Raises:
            pymongo.errors.InvalidOperation: a call of another client, inside the block.
        """

    def end_session(self) -> Coroutine[Any, Any, None]:
        """End the session, and abort a transaction in progress."""

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
    """The context manager of a transaction."""

    def __await__(self) -> Generator[Any, None, Self]: ...
    def __aenter__(self) -> Coroutine[Any, Any, Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> Coroutine[Any, Any, None]: ...

@final
@type_check_only
class AsyncBoundSessionContext:
    """The context manager of `bind`."""

    def __aenter__(self) -> Coroutine[Any, Any, AsyncClientSession]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> Coroutine[Any, Any, None]: ...

@final
class AsyncChangeStream(Generic[_DocumentT]):
    """A change stream of a collection, a database or all databases."""

    @property
    def alive(self) -> bool:
        """Whether the stream may return more changes."""

    @property
    def resume_token(self) -> dict[str, Any] | None:
        """The token to resume after, or `None` before the first one."""

    def next(self) -> Coroutine[Any, Any, _DocumentT]:
        """Wait for the next change and return it.

        Raises:
            StopAsyncIteration: the stream is closed.
            pymongo.errors.PyMongoError: the errors of `find_one`.
        """

    def try_next(self) -> Coroutine[Any, Any, _DocumentT | None]:
        """Return the next change, or `None` if there is none within `max_await_time_ms`."""

    def close(self) -> Coroutine[Any, Any, None]:
        """Close the stream on the server."""

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

# The Data API classes declare what differs from the driver's. `scripts/unasync.py` adds the members that they share.
class AsyncDataApiClient(Generic[_DocumentT]):
    """An asynchronous client of the Data API (MongoDB over HTTP).

    Creating a client does no I/O: it connects with its first call. It may be used
    from several threads and event loops (asyncio's or uvloop's) at once, and in
    forked and spawned processes.
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
        """Create a client.

        Args:
            endpoint: the base URL, without `/action/…`.
            api_key: sent as the `api-key` header.
            data_source: sent as `dataSource`.
            database: the default database.
            collection: the default collection.
            timeoutMS: the time limit of a call, including retries, in milliseconds.
            connectTimeoutMS: the time limit of connecting, in milliseconds.
            retryWrites: whether calls that are safe to repeat are retried, at most twice.
            coalesce: whether concurrent `insert_one` calls may be sent as one request, if
                the client generates their `_id`s; each still gets its own result.
            add_ids: whether inserted documents get the generated `_id`, as with PyMongo.

        Raises:
            pymongo.errors.ConfigurationError: an argument is invalid; the message names it.
        """

    @classmethod
    def from_config(cls, config: Mapping[str, str]) -> AsyncDataApiClient[dict[str, Any]]:
        """Return the client for the extension's variables.

        Within a process, the same values return the same client, from any thread or
        event loop. Changed values return a new client; the old one closes once its
        last call has completed and it is no longer referenced.

        Args:
            config: the variables, as in `self.config`: `DB`, `DATA_API_ENDPOINT`,
                `API_KEY`, `CLUSTER` and `HTTP_COLLECTION`.

        Raises:
            pymongo.errors.ConfigurationError: variables are missing or
                malformed; the message names each, without values. No I/O is done.
        """

    def get_default_database(
        self,
        default: str | None = None,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> AsyncDataApiDatabase[_DocumentT]:
        """Return the database that the arguments or the variables name, or else `default`.

        Raises:
            pymongo.errors.ConfigurationError: neither is set.
        """

    def get_default_collection(self) -> AsyncDataApiCollection[_DocumentT]:
        """Return the collection that the arguments or the variables name.

        Raises:
            pymongo.errors.ConfigurationError: neither the arguments nor the variables name one.
        """

class AsyncDataApiDatabase(Generic[_DocumentT]):
    """A database of an `AsyncDataApiClient`."""

    def __new__(
        cls, client: AsyncDataApiClient[_DocumentT], name: str, codec_options: CodecOptions[Any] | None = None
    ) -> Self:
        """Create the object for a database, as `client[name]` does."""

class AsyncDataApiCollection(Generic[_DocumentT]):
    """A collection of an `AsyncDataApiClient`.

    MongoDB's own Data API had the arguments `upsert` and `ordered` of writes, `projection` of
    reads, and `sort`, `skip` and `limit` of `find`. With `connect-mongodb gateway`, there are also
    counts, `distinct`, `bulk_write`, `find_one_and_*`, and options such as `collation`, `hint`,
    `sort` and `let`: the client asks the server once for what it has. What the server does not
    have raises `NotImplementedError`. If the Data API rejects a call, it raises `DataApiError`.
    """

    def __new__(
        cls, database: AsyncDataApiDatabase[_DocumentT], name: str, codec_options: CodecOptions[Any] | None = None
    ) -> Self:
        """Create the object for a collection, as `database[name]` does."""

    def insert_one(
        self,
        document: _Document,
        bypass_document_validation: bool | None = None,
        session: AsyncClientSession | None = None,
        comment: Any = None,
    ) -> Coroutine[Any, Any, InsertOneResult]:
        """Insert a document.

        The caller's document is not modified. An `_id` is generated if it has none. A call
        without a response is repeated, without storing the document twice.

        Args:
            document: a mapping with `str` keys, at most 16 MiB as BSON.
            bypass_document_validation: whether to skip the collection's validator.
            session: the session of the call.
            comment: appears in the server's log and profiler.

        Raises:
            pymongo.errors.DuplicateKeyError: the `_id` or another unique key exists.
            pymongo.errors.DocumentTooLarge: the document is larger than 16 MiB.
            bson.errors.InvalidDocument: a value cannot be encoded as BSON; the message names its path.
            pymongo.errors.ServerSelectionTimeoutError: no server is available within the timeout.
            pymongo.errors.OperationFailure: MongoDB rejected the command (permissions, validation, …).
            pymongo.errors.AutoReconnect: the connection was lost.
        """

class Model:
    """An object of Connect, or a part of one; the base class of those in `connect.eaas.mongodb.events`."""

    def __new__(cls, data: Mapping[str, Any] | Model, *, strict: bool = False) -> Self:
        """Create an instance from any JSON object.

        The object may differ from the class: see `deviations`. An attribute whose value has
        another type than the class declares returns the value unchanged.

        Args:
            data: the object, or an instance of another class.
            strict: whether to raise if the object differs.

        Raises:
            connect.eaas.mongodb.events.EventValidationError: `data` is not a JSON object,
                or differs from the class and `strict` is set. The message lists each problem
                with its path.
        """

    @classmethod
    def validate(cls, data: Mapping[str, Any] | Model) -> Self:
        """Create an instance with `strict`: the object must match the class.

        Raises:
            connect.eaas.mongodb.events.EventValidationError: it does not; the message lists each problem.
        """

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """The differences between the object and the class, at most 50."""

    def to_dict(self) -> dict[str, Any]:
        """Return the object as a `dict`, equal to the original and in the same order."""

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
    """Return the object of an event as an instance of its class.

    The object's id determines the class, or else the event type; if neither does, the
    class is `Other`.

    Args:
        event_type: the type of the event, known or not.
        obj: any JSON object.
        strict: whether to raise if the object differs from the class.

    Raises:
        connect.eaas.mongodb.events.EventValidationError: `obj` is not a JSON object, or
            differs from the class and `strict` is set. The message lists each problem with
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
    def for_backfill(self, backfill: str) -> StoreSettings: ...
    def dead_letter(self, event_type: object, obj: object) -> tuple[str, str | None]: ...

def store_metrics() -> dict[str, Any]:
    """Return the event store's counters in this process.

    `events_stored`, `events_duplicate`, `events_deviating` (different from their model),
    `events_unstorable` and `dead_letters` are counts; `deviations` maps a class and a field,
    such as `("AssetRequest", "asset.external_id")`, to the number of its deviations. At most
    1,000 fields are counted.
    """

def _check_acknowledged(collection: object) -> None: ...
def _count_dead_letter() -> None: ...

@final
class SaveResult:
    """The result of saving an event."""

    @property
    def id(self) -> str:
        """The record's `_id`: the object's id and a digest of its content."""

    @property
    def stored(self) -> bool:
        """Whether this call stored the event."""

    @property
    def duplicate(self) -> bool:
        """Whether the same content was already stored."""

    def __eq__(self, other: object, /) -> bool: ...
