"""What the awaited and the blocking GridFS have in common."""

from __future__ import annotations

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
"""A chunk's size in bytes: a little less than a power of two, so that its document fits in one."""

BATCH_SIZE: Final = 16 * 1024 * 1024
"""The most bytes of chunks that wait to be sent together."""
CHUNK_OVERHEAD: Final = 512
"""What a waiting chunk takes beside its data, roughly."""

FILES_INDEX: Final = [("filename", 1), ("uploadDate", 1)]
CHUNKS_INDEX: Final = [("files_id", 1), ("n", 1)]

_DUPLICATE_KEY: Final = (11000, 11001, 12582)


class AsyncStream:
    """Where `AsyncGridOut` begins: asyncio has no `io.IOBase`."""

    closed = False


Stream = io.IOBase


class ClosedFileError(InvalidOperation, AttributeError):
    """An attribute was set after its file was closed."""


def given(session: Any) -> dict[str, Any]:
    """The argument for a session, if there is one."""
    return {} if session is None else {"session": session}


def refuse_transaction(session: Any) -> None:
    """Raise where a transaction is on: GridFS is not meant for them."""
    if session is not None and session.in_transaction:
        raise InvalidOperation("GridFS does not support multi-document transactions")


def check_database(database: Any, wanted: str) -> None:
    """Raise a `TypeError` for all but a database, of the flavor that the name says."""
    if not hasattr(type(database), "command") or _is_other_flavor(database, wanted):
        raise TypeError(f"database must be an instance of {wanted}, not {type(database)}")


def check_collection(collection: Any, wanted: str) -> None:
    """Raise a `TypeError` for all but a collection, of the flavor that the name says."""
    if not hasattr(type(collection), "insert_many") or _is_other_flavor(collection.database, wanted):
        raise TypeError(f"root_collection must be an instance of {wanted}, not {type(collection)}")


def check_write_concern(what: str, write_concern: Any) -> None:
    """Raise where writes are not confirmed."""
    if not write_concern.acknowledged:
        raise ConfigurationError(f"{what} must use acknowledged write_concern")


def check_filename(filename: object) -> None:
    """Raise a `TypeError` for all but a text."""
    if not isinstance(filename, str):
        raise TypeError(f"filename must be an instance of str, not {type(filename)}")


def _is_other_flavor(database: Any, wanted: str) -> bool:
    client = type(database.client)
    mine, other = ("__aenter__", "__enter__") if wanted.startswith("Async") else ("__enter__", "__aenter__")
    return hasattr(client, other) and not hasattr(client, mine)


def plain(entity: Any, **changes: Any) -> Any:
    """A database or a collection with these options, and without the user's own types: chunks are bytes."""
    options = entity.codec_options
    if options.type_registry != TypeRegistry():
        changes["codec_options"] = options.with_options(type_registry=TypeRegistry())
    changes = {name: value for name, value in changes.items() if value is not None and value != getattr(entity, name)}
    return entity.with_options(**changes) if changes else entity


def is_duplicate(error: BulkWriteError) -> bool:
    """Whether a document was refused because its key exists."""
    return any(each.get("code") in _DUPLICATE_KEY for each in (error.details or {}).get("writeErrors", ()))


def as_single(error: BulkWriteError) -> PyMongoError:
    """The error that an insert of one document would have been."""
    details: Any = error.details or {}
    kinds: list[tuple[str, type[WriteError] | type[WriteConcernError]]]
    kinds = [("writeErrors", WriteError), ("writeConcernErrors", WriteConcernError)]
    for name, kind in kinds:
        if details.get(name):
            last = details[name][-1]
            return kind(last.get("errmsg"), last.get("code"), last)
    return error


def as_bytes(data: Any, encoding: str | None) -> bytes:
    """What is to be written, as bytes."""
    if isinstance(data, str):
        if encoding is None:
            raise TypeError("must specify an encoding for file in order to write str")
        return data.encode(encoding)
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError("can only write strings or file-like objects")
    return bytes(data)


class OutField(Generic[T]):
    """An attribute of a file that is being read: a field of its document."""

    def __init__(self, name: str, doc: str, default: Any = None) -> None:
        """The field of that name, or the default where there is none."""
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
    """An attribute of a file that is being written: a field of its document."""

    def _get(self, file: Any) -> T:
        value: T = file._file.get(self._name, self._default)
        return value

    def __set__(self, file: Any, value: T) -> None:
        file._put(self._name, value)


class FixedField(InField[T]):
    """One that is not changed."""

    def __set__(self, file: Any, value: T) -> None:
        raise AttributeError(f"{self._name!r} is read-only")


class ClosedField(FixedField[T]):
    """One that is known once the file is closed."""

    def _get(self, file: Any) -> T:
        if not file._closed:
            raise AttributeError(f"can only get {self._name!r} on a closed file")
        return super()._get(file)
