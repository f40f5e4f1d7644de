"""What the asynchronous and the blocking GridFS have in common."""

from __future__ import annotations

import inspect
import io
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, overload

from bson.codec_options import TypeRegistry
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    InvalidOperation,
    PyMongoError,
    WriteConcernError,
    WriteError,
)

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

DEFAULT_CHUNK_SIZE: Final = 255 * 1024
"""The default chunk size in bytes: slightly below 256 KiB, so that a chunk's document fits into 256 KiB."""

BATCH_SIZE: Final = 16 * 1024 * 1024
"""The maximum size of a batch of chunks, in bytes."""
CHUNK_OVERHEAD: Final = 512
"""The approximate size of a chunk's document without its data, in bytes."""

FILES_INDEX: Final = [("filename", 1), ("uploadDate", 1)]
CHUNKS_INDEX: Final = [("files_id", 1), ("n", 1)]

_DUPLICATE_KEY: Final = (11000, 11001, 12582)


class ClosedFileError(InvalidOperation, AttributeError):
    """An attribute was set after its file was closed."""


class AsyncFileToWrite:
    """What only `AsyncGridIn` does."""

    _file: dict[str, Any]
    _closed: bool

    def _put(self, name: str, value: Any) -> None:
        # Setting an attribute cannot await an update of the stored document.
        if self._closed:
            raise ClosedFileError(
                f"AsyncGridIn does not support setting {name!r} after being closed: use AsyncGridIn.set() instead"
            )
        self._file[name] = value

    @staticmethod
    def _can_clean_up(error: BaseException) -> bool:
        # A generator that is being closed cannot await.
        return not isinstance(error, GeneratorExit)


class FileToWrite:
    """What only `GridIn` does."""

    def set(self, name: str, value: Any) -> None:
        """Set a field of the file's document, also in MongoDB if the file is closed."""
        raise NotImplementedError

    def _put(self, name: str, value: Any) -> None:
        self.set(name, value)

    @staticmethod
    def _can_clean_up(error: BaseException) -> bool:
        return True


class AsyncFileToRead:
    """What only `AsyncGridOut` does: asyncio has no counterpart of `io.IOBase`."""

    closed = False
    _file: Any

    def _opened(self, name: str) -> Any:
        if not self._file:
            raise InvalidOperation(f"You must call AsyncGridOut.open() before accessing the {name} property")
        return self._file

    def _mark_closed(self) -> None:
        self.closed = True


class FileToRead(io.IOBase):
    """What only `GridOut` does."""

    _file: Any

    def open(self) -> Self:
        """Read the file's document unless it was read already, and return the file."""
        raise NotImplementedError

    def _opened(self, name: str) -> Any:
        return self.open()._file

    def _mark_closed(self) -> None:
        io.IOBase.close(self)


async def async_result(value: Any) -> Any:
    """Await a value if it is awaitable: the user's file objects may be asynchronous or blocking."""
    return await value if inspect.isawaitable(value) else value


def result(value: Any) -> Any:
    """Return the value: the user's file objects are blocking."""
    return value


def given(session: Any) -> dict[str, Any]:
    """The keyword argument for a session, unless it is `None`."""
    return {} if session is None else {"session": session}


def refuse_transaction(session: Any) -> None:
    """Raise `InvalidOperation` in a transaction, which GridFS does not support."""
    if session is not None and session.in_transaction:
        raise InvalidOperation("GridFS does not support multi-document transactions")


def check_database(database: Any, wanted: str) -> None:
    """Raise `TypeError` unless `database` is a database of the wanted kind, asynchronous or blocking."""
    if not hasattr(type(database), "command") or _is_other_kind(database, wanted):
        raise TypeError(f"database must be an instance of {wanted}, not {type(database)}")


def check_collection(collection: Any, wanted: str) -> None:
    """Raise `TypeError` unless `collection` is a collection of the wanted kind, asynchronous or blocking."""
    if not hasattr(type(collection), "insert_many") or _is_other_kind(collection.database, wanted):
        raise TypeError(f"root_collection must be an instance of {wanted}, not {type(collection)}")


def check_write_concern(what: str, write_concern: Any) -> None:
    """Raise `ConfigurationError` if the write concern is unacknowledged."""
    if not write_concern.acknowledged:
        raise ConfigurationError(f"{what} must use acknowledged write_concern")


def check_filename(filename: object) -> None:
    """Raise `TypeError` unless the name is a `str`."""
    if not isinstance(filename, str):
        raise TypeError(f"filename must be an instance of str, not {type(filename)}")


def _is_other_kind(database: Any, wanted: str) -> bool:
    client = type(database.client)
    mine, other = ("__aenter__", "__enter__") if wanted.startswith("Async") else ("__enter__", "__aenter__")
    return hasattr(client, other) and not hasattr(client, mine)


def plain(entity: Any, **changes: Any) -> Any:
    """A database or a collection with these options and without a type registry, since chunks are bytes."""
    options = entity.codec_options
    if options.type_registry != TypeRegistry():
        changes["codec_options"] = options.with_options(type_registry=TypeRegistry())
    changes = {name: value for name, value in changes.items() if value is not None and value != getattr(entity, name)}
    return entity.with_options(**changes) if changes else entity


def is_duplicate(error: BulkWriteError) -> bool:
    """Whether a document was rejected because of a duplicate key."""
    return any(each.get("code") in _DUPLICATE_KEY for each in (error.details or {}).get("writeErrors", ()))


def as_single(error: BulkWriteError) -> PyMongoError:
    """The error that an insert of a single document would have raised."""
    details: Any = error.details or {}
    kinds: list[tuple[str, type[WriteError] | type[WriteConcernError]]]
    kinds = [("writeErrors", WriteError), ("writeConcernErrors", WriteConcernError)]
    for name, kind in kinds:
        if details.get(name):
            last = details[name][-1]
            return kind(last.get("errmsg"), last.get("code"), last)
    return error


def as_bytes(data: Any, encoding: str | None) -> bytes:
    """Convert data to bytes."""
    if isinstance(data, str):
        if encoding is None:
            raise TypeError("must specify an encoding for file in order to write str")
        return data.encode(encoding)
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError("can only write strings or file-like objects")
    return bytes(data)


class OutField(Generic[T]):
    """An attribute of a file that is being read, stored in its document."""

    def __init__(self, name: str, doc: str, default: Any = None) -> None:
        """The field of that name, or `default` if the document lacks it."""
        self.__doc__ = doc
        self._name = name
        self._default = default

    @overload
    def __get__(self, file: None, owner: Any = None) -> Self: ...

    @overload
    def __get__(self, file: Any, owner: Any = None) -> T: ...

    def __get__(self, file: Any, owner: Any = None) -> Self | T:
        return self if file is None else self._get(file)

    def __set__(self, file: Any, value: T) -> None:
        raise AttributeError(f"{self._name!r} is read-only")

    def _get(self, file: Any) -> T:
        value: T = file._opened(self._name).get(self._name, self._default)
        return value


class InField(OutField[T]):
    """An attribute of a file that is being written, stored in its document."""

    def _get(self, file: Any) -> T:
        value: T = file._file.get(self._name, self._default)
        return value

    def __set__(self, file: Any, value: T) -> None:
        file._put(self._name, value)


class FixedField(InField[T]):
    """A read-only attribute."""

    def __set__(self, file: Any, value: T) -> None:
        raise AttributeError(f"{self._name!r} is read-only")


class ClosedField(FixedField[T]):
    """A read-only attribute that is available once the file is closed."""

    def _get(self, file: Any) -> T:
        if not file._closed:
            raise AttributeError(f"can only get {self._name!r} on a closed file")
        return super()._get(file)
