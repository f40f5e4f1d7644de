"""GridFS, blocking: files in MongoDB, of any size, in PyMongo's form.

A file is a document in `<bucket>.files`, and its bytes are documents in
`<bucket>.chunks`. The classes are as those of PyMongo's `gridfs`, and take any
database with PyMongo's blocking API.

Written by `scripts/gridfs_sync.py` from `_async.py`.
"""

from __future__ import annotations

import datetime
import io
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from bson.int64 import Int64
from bson.objectid import ObjectId
from connect.eaas.mongodb.gridfs import _shared
from connect.eaas.mongodb.gridfs._shared import DEFAULT_CHUNK_SIZE, ClosedField, FixedField, InField, OutField, given
from gridfs.errors import CorruptGridFile, FileExists, NoFile
from pymongo.errors import (
    BulkWriteError,
    CursorNotFound,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
)
from pymongo.read_preferences import ReadPreference

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["GridFS", "GridFSBucket", "GridIn", "GridOut", "GridOutCursor"]


class GridFSBucket:
    """The files of one bucket of a database."""

    def __init__(
        self,
        db: Any,
        bucket_name: str = "fs",
        chunk_size_bytes: int = DEFAULT_CHUNK_SIZE,
        write_concern: Any = None,
        read_preference: Any = None,
    ) -> None:
        """A bucket; nothing is asked of the server.

        Args:
            db: the database.
            bucket_name: what the names of the two collections begin with.
            chunk_size_bytes: the chunks' size, for files that are written.
            write_concern: used instead of the database's.
            read_preference: used instead of the database's.

        Raises:
            TypeError: `db` is not a database of a blocking client.
            pymongo.errors.ConfigurationError: writes would not be confirmed.
        """
        _shared.check_database(db, "Database")
        _shared.check_write_concern("GridFSBucket", db.write_concern if write_concern is None else write_concern)
        self._bucket_name = bucket_name
        self._chunk_size_bytes = chunk_size_bytes
        self._collection = _shared.plain(db[bucket_name], write_concern=write_concern, read_preference=read_preference)
        self._files = self._collection["files"]
        self._chunks = self._collection["chunks"]

    def open_upload_stream(
        self,
        filename: str,
        chunk_size_bytes: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        session: Any = None,
    ) -> GridIn:
        """A new file to write to; it is there once it is closed.

        Args:
            filename: its name, which other files may have too.
            chunk_size_bytes: its chunks' size; else the bucket's.
            metadata: kept with the file, as `metadata`.
            session: for all that is asked of the server.

        Raises:
            TypeError: `filename` is not a text.
        """
        return self._new(filename, chunk_size_bytes, metadata, session)

    def open_upload_stream_with_id(
        self,
        file_id: Any,
        filename: str,
        chunk_size_bytes: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        session: Any = None,
    ) -> GridIn:
        """A new file with that `_id`; as `open_upload_stream`.

        Writing or closing it raises `gridfs.errors.FileExists` where there is one with the `_id`.
        """
        return self._new(filename, chunk_size_bytes, metadata, session, _id=file_id)

    def _new(
        self,
        filename: str,
        chunk_size_bytes: int | None,
        metadata: Mapping[str, Any] | None,
        session: Any,
        **fields: Any,
    ) -> GridIn:
        _shared.check_filename(filename)
        fields["filename"] = filename
        fields["chunk_size"] = self._chunk_size_bytes if chunk_size_bytes is None else chunk_size_bytes
        if metadata is not None:
            fields["metadata"] = metadata
        return GridIn(self._collection, session=session, **fields)

    def upload_from_stream(
        self,
        filename: str,
        source: Any,
        chunk_size_bytes: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        session: Any = None,
    ) -> Any:
        """Store bytes, or all that an object with `read` has; gives the new file's `_id`."""
        with self.open_upload_stream(filename, chunk_size_bytes, metadata, session=session) as file:
            file.write(source)
        return file._id

    def upload_from_stream_with_id(
        self,
        file_id: Any,
        filename: str,
        source: Any,
        chunk_size_bytes: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        session: Any = None,
    ) -> None:
        """Store bytes, or all that an object with `read` has, as the file with that `_id`.

        Raises:
            gridfs.errors.FileExists: there is one with the `_id`.
        """
        with self.open_upload_stream_with_id(file_id, filename, chunk_size_bytes, metadata, session=session) as file:
            file.write(source)

    def open_download_stream(self, file_id: Any, session: Any = None) -> GridOut:
        """The file with that `_id`, to read from.

        Raises:
            gridfs.errors.NoFile: there is none.
        """
        file = GridOut(self._collection, file_id, session=session)
        file.open()
        return file

    def open_download_stream_by_name(self, filename: str, revision: int = -1, session: Any = None) -> GridOut:
        """A file of that name, to read from.

        Args:
            filename: the name.
            revision: which of the files of that name: 0 is the oldest, 1 the next,
                -1 the newest, -2 the one before.
            session: for all that is asked of the server.

        Raises:
            gridfs.errors.NoFile: there is none.
        """
        _shared.check_filename(filename)
        return _revision(self._collection, {"filename": filename}, revision, session)

    def download_to_stream(self, file_id: Any, destination: Any, session: Any = None) -> None:
        """Write the file with that `_id` to an object with `write`.

        Raises:
            gridfs.errors.NoFile: there is none.
        """
        _copy(self.open_download_stream(file_id, session=session), destination)

    def download_to_stream_by_name(
        self, filename: str, destination: Any, revision: int = -1, session: Any = None
    ) -> None:
        """Write a file of that name to an object with `write`; `revision` as `open_download_stream_by_name`'s.

        Raises:
            gridfs.errors.NoFile: there is none.
        """
        _copy(self.open_download_stream_by_name(filename, revision, session=session), destination)

    def delete(self, file_id: Any, session: Any = None) -> None:
        """Remove the file with that `_id`.

        Raises:
            gridfs.errors.NoFile: there is none. Chunks with the `_id` are removed all the same.
        """
        _shared.refuse_transaction(session)
        result = self._files.delete_one({"_id": {"$eq": file_id}}, **given(session))
        self._chunks.delete_many({"files_id": {"$eq": file_id}}, **given(session))
        if not result.deleted_count:
            raise NoFile(f"no file could be deleted because none matched {file_id}")

    def delete_by_name(self, filename: str, session: Any = None) -> None:
        """Remove all files of that name.

        Raises:
            gridfs.errors.NoFile: there is none.
        """
        _shared.refuse_transaction(session)
        files = self._files.find({"filename": filename}, {"_id": 1}, **given(session)).to_list()
        ids = [file["_id"] for file in files]
        result = self._files.delete_many({"_id": {"$in": ids}}, **given(session))
        self._chunks.delete_many({"files_id": {"$in": ids}}, **given(session))
        if not result.deleted_count:
            raise NoFile(f"no file could be deleted because none matched filename {filename!r}")

    def find(self, *args: Any, **kwargs: Any) -> GridOutCursor:
        """The files whose documents match a query; arguments as `GridOutCursor`'s after the first."""
        return GridOutCursor(self._collection, *args, **kwargs)

    def rename(self, file_id: Any, new_filename: str, session: Any = None) -> None:
        """Give the file with that `_id` another name.

        Raises:
            gridfs.errors.NoFile: there is none.
        """
        _shared.refuse_transaction(session)
        update = {"$set": {"filename": new_filename}}
        result = self._files.update_one({"_id": {"$eq": file_id}}, update, **given(session))
        if not result.matched_count:
            raise NoFile(f"no files could be renamed {new_filename!r} because none matched file_id {file_id}")

    def rename_by_name(self, filename: str, new_filename: str, session: Any = None) -> None:
        """Give all files of that name another one.

        Raises:
            gridfs.errors.NoFile: there is none.
        """
        _shared.refuse_transaction(session)
        update = {"$set": {"filename": new_filename}}
        result = self._files.update_many({"filename": filename}, update, **given(session))
        if not result.matched_count:
            raise NoFile(f"no files could be renamed {new_filename!r} because none matched filename {filename!r}")


class GridFS:
    """The files of one bucket, with the older of PyMongo's two interfaces."""

    def __init__(self, database: Any, collection: str = "fs") -> None:
        """The files in that database whose collections' names begin with `collection`.

        Raises:
            TypeError: `database` is not a database of a blocking client.
            pymongo.errors.ConfigurationError: its writes are not confirmed.
        """
        _shared.check_database(database, "Database")
        _shared.check_write_concern("database", database.write_concern)
        self._collection = _shared.plain(database[collection])
        self._files = self._collection["files"]
        self._chunks = self._collection["chunks"]

    def new_file(self, **kwargs: Any) -> GridIn:
        """A new file to write to; keywords as `GridIn`'s."""
        return GridIn(self._collection, **kwargs)

    def put(self, data: Any, **kwargs: Any) -> Any:
        """Store bytes, or all that an object with `read` has; gives the new file's `_id`.

        Keywords as `GridIn`'s; with `encoding` among them, `data` may be a text.

        Raises:
            gridfs.errors.FileExists: `_id` was given, and there is a file with it.
        """
        with GridIn(self._collection, **kwargs) as file:
            file.write(data)
        return file._id

    def get(self, file_id: Any, session: Any = None) -> GridOut:
        """The file with that `_id`, to read from.

        Raises:
            gridfs.errors.NoFile: there is none.
        """
        file = GridOut(self._collection, file_id, session=session)
        file.open()
        return file

    def get_version(
        self, filename: str | None = None, version: int | None = -1, session: Any = None, **kwargs: Any
    ) -> GridOut:
        """One of the files of that name, or with those fields, or both.

        Args:
            filename: the name, if it matters.
            version: 0 is the oldest, 1 the next, -1 the newest, -2 the one before.
            session: for all that is asked of the server.
            **kwargs: other fields of the file's document.

        Raises:
            gridfs.errors.NoFile: there is none.
        """
        if filename is not None:
            kwargs["filename"] = filename
        return _revision(self._collection, kwargs, -1 if version is None else version, session)

    def get_last_version(self, filename: str | None = None, session: Any = None, **kwargs: Any) -> GridOut:
        """The newest of the files of that name, or with those fields, or both; as `get_version`."""
        return self.get_version(filename=filename, session=session, **kwargs)

    def delete(self, file_id: Any, session: Any = None) -> None:
        """Remove the file with that `_id`, if there is one."""
        _shared.refuse_transaction(session)
        self._files.delete_one({"_id": {"$eq": file_id}}, **given(session))
        self._chunks.delete_many({"files_id": {"$eq": file_id}}, **given(session))

    def list(self, session: Any = None) -> list[str]:
        """The names of all files, each once."""
        _shared.refuse_transaction(session)
        names = self._files.distinct("filename", **given(session))
        return [name for name in names if name is not None]

    def find_one(
        self,
        filter: Any = None,  # noqa: A002
        session: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> GridOut | None:
        """The first file that matches, or `None`; `filter` may also be an `_id`."""
        if filter is not None and not isinstance(filter, Mapping):
            filter = {"_id": {"$eq": filter}}  # noqa: A001
        found = self.find(filter, *args, session=session, **kwargs).limit(1).to_list()
        return found[0] if found else None

    def find(self, *args: Any, **kwargs: Any) -> GridOutCursor:
        """The files whose documents match a query; arguments as `GridOutCursor`'s after the first."""
        return GridOutCursor(self._collection, *args, **kwargs)

    def exists(self, document_or_id: Any = None, session: Any = None, **kwargs: Any) -> bool:
        """Whether there is a file with that `_id`, or that matches that query, or with those fields."""
        _shared.refuse_transaction(session)
        if kwargs:
            document_or_id = kwargs
        elif document_or_id is not None and not isinstance(document_or_id, Mapping):
            document_or_id = {"_id": {"$eq": document_or_id}}
        return self._files.find_one(document_or_id, ["_id"], **given(session)) is not None


class GridIn:
    """A file that is being written.

    It is there for others once `close` has returned. If writing fails, or the
    block of an `with` raises, what was stored of it is removed.
    Attributes that the class does not know are fields of the file's document.
    """

    _id = FixedField[Any]("_id", "The file's `_id`.")
    filename = InField[str | None]("filename", "The file's name.")
    name = InField[str | None]("filename", "The file's name.")
    content_type = InField[str | None]("contentType", "The file's MIME type, if it was said.")
    length = ClosedField[int]("length", "How many bytes it has, once it is closed.", 0)
    chunk_size = FixedField[int]("chunkSize", "Its chunks' size in bytes.")
    upload_date = ClosedField[datetime.datetime]("uploadDate", "When it was closed.")
    md5 = ClosedField[str | None]("md5", "No checksum is made: `None`.")

    _session: Any
    _files: Any
    _chunks: Any
    _file: dict[str, Any]
    _closed: bool
    _indexed: bool
    _size: int
    _position: int
    _rest: bytearray
    _batch: list[dict[str, Any]]
    _batch_size: int
    _number: int
    _stored: int
    _in_doubt: list[ObjectId]
    _filed: bool

    def __init__(self, root_collection: Any, session: Any = None, **kwargs: Any) -> None:
        """A new file; nothing is asked of the server.

        Args:
            root_collection: the collection of the bucket's name.
            session: for all that is asked of the server.
            **kwargs: fields of the file's document. `_id`, else a new `ObjectId`;
                `chunk_size` or `chunkSize`; `content_type` or `contentType`;
                `encoding`, with which texts may be written.

        Raises:
            TypeError: `root_collection` is not a collection of a blocking client.
            ValueError: the chunks' size is less than 1.
            pymongo.errors.ConfigurationError: the collection's writes are not confirmed.
        """
        _shared.check_collection(root_collection, "Collection")
        _shared.check_write_concern("root_collection", root_collection.write_concern)
        _shared.refuse_transaction(session)
        root = _shared.plain(root_collection, read_preference=ReadPreference.PRIMARY)
        if "content_type" in kwargs:
            kwargs["contentType"] = kwargs.pop("content_type")
        if "chunk_size" in kwargs:
            kwargs["chunkSize"] = kwargs.pop("chunk_size")
        kwargs.setdefault("_id", ObjectId())
        kwargs.setdefault("chunkSize", DEFAULT_CHUNK_SIZE)
        size = int(kwargs["chunkSize"])
        if size < 1:
            raise ValueError(f"the size of chunks must be at least 1, not {size}")
        # Not by `__setattr__`, for which what is not there yet is the document's.
        self.__dict__.update(
            _session=session,
            _files=root["files"],
            _chunks=root["chunks"],
            _file=kwargs,
            _closed=False,
            _indexed=False,
            _size=size,
            # How many bytes are in chunks; those after are the rest.
            _position=0,
            _rest=bytearray(),
            # The chunks that wait, and the next one's number.
            _batch=[],
            _batch_size=0,
            _number=0,
            # What to remove if it fails: the chunks before that number, those with
            # these `_id`s, and the file's document.
            _stored=0,
            _in_doubt=[],
            _filed=False,
        )

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._closed

    def __getattr__(self, name: str) -> Any:
        file = self.__dict__.get("_file", {})
        if name in file:
            return file[name]
        raise AttributeError(f"{type(self).__name__} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__ or hasattr(type(self), name):
            object.__setattr__(self, name, value)
        else:
            self._put(name, value)

    def _put(self, name: str, value: Any) -> None:
        self.set(name, value)

    def set(self, name: str, value: Any) -> None:
        """Set a field of the file's document; in MongoDB too, if the file is closed."""
        self._file[name] = value
        if self._closed:
            self._files.update_one({"_id": {"$eq": self._file["_id"]}}, {"$set": {name: value}})

    def write(self, data: Any) -> None:
        """Write bytes, or all that an object with `read` has; a text, if the file has an `encoding`.

        Bytes are sent in batches of chunks, and the last ones by `close`.

        Raises:
            ValueError: the file is closed.
            TypeError: `data` is none of these.
            gridfs.errors.FileExists: there is a file with the `_id`.
            pymongo.errors.PyMongoError: it could not be stored.
        """
        if self._closed:
            raise ValueError("cannot write to a closed file")
        read = getattr(data, "read", None)
        if read is None:
            data = _shared.as_bytes(data, self._file.get("encoding"))
        try:
            if read is None:
                self._take(data)
            else:
                while piece := read(max(self._size, DEFAULT_CHUNK_SIZE)):
                    self._take(piece)
        except BaseException as error:
            self._fail(error)
            raise

    def writelines(self, sequence: Iterable[Any]) -> None:
        """Write each of them, with nothing between."""
        for line in sequence:
            self.write(line)

    def close(self) -> None:
        """Send what is left, and the file's document: the file is there. Again, it does nothing.

        Raises:
            gridfs.errors.FileExists: there is a file with the `_id`.
            pymongo.errors.PyMongoError: it could not be stored.
        """
        if self._closed:
            return
        try:
            if self._rest:
                self._add(bytes(self._rest))
                self._rest.clear()
            self._send()
            self._file["length"] = Int64(self._position)
            self._file["uploadDate"] = datetime.datetime.now(datetime.timezone.utc)
            self._filed = True
            try:
                self._files.insert_one(self._file, **given(self._session))
            except DuplicateKeyError as error:
                self._filed = False
                raise self._exists() from error
        except BaseException as error:
            self._fail(error)
            raise
        self._closed = True

    def abort(self) -> None:
        """Remove what was stored of this file, and close it."""
        self._closed = True
        self._remove()

    def _take(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        start = 0
        if self._rest:
            start = min(self._size - len(self._rest), len(view))
            self._rest += view[:start]
            if len(self._rest) < self._size:
                return
            self._add(bytes(self._rest))
            self._rest.clear()
        while len(view) - start >= self._size:
            self._add(bytes(view[start : start + self._size]))
            start += self._size
        self._rest += view[start:]

    def _add(self, data: bytes) -> None:
        size = len(data) + _shared.CHUNK_OVERHEAD
        if self._batch and self._batch_size + size > _shared.BATCH_SIZE:
            self._send()
        # The `_id` is made here, to know which chunks are this file's if an insert fails.
        self._batch.append({"_id": ObjectId(), "files_id": self._file["_id"], "n": self._number, "data": data})
        self._batch_size += size
        self._number += 1
        self._position += len(data)

    def _send(self) -> None:
        if not self._indexed:
            _shared.refuse_transaction(self._session)
            self._create_index(self._files, _shared.FILES_INDEX, unique=False)
            self._create_index(self._chunks, _shared.CHUNKS_INDEX, unique=True)
            self._indexed = True
        if not self._batch:
            return
        self._in_doubt = [chunk["_id"] for chunk in self._batch]
        try:
            self._chunks.insert_many(self._batch, **given(self._session))
        except BulkWriteError as error:
            if _shared.is_duplicate(error):
                raise self._exists() from error
            raise _shared.as_single(error) from error
        self._in_doubt = []
        self._stored = self._number
        self._batch = []
        self._batch_size = 0

    def _create_index(self, collection: Any, keys: list[tuple[str, int]], *, unique: bool) -> None:
        if collection.find_one(projection={"_id": 1}, **given(self._session)) is not None:
            return
        try:
            indexes = (collection.list_indexes(**given(self._session))).to_list()
        except OperationFailure:
            # There is no such collection yet.
            indexes = []
        if keys not in [list(index["key"].items()) for index in indexes]:
            collection.create_index(keys, unique=unique, **given(self._session))

    def _exists(self) -> FileExists:
        return FileExists(f"file with _id {self._file['_id']!r} already exists")

    def _fail(self, error: BaseException) -> None:
        self._closed = True
        with suppress(PyMongoError):
            self._remove()

    def _remove(self) -> None:
        """Remove what this upload has stored, and nothing of another one with the same `_id`."""
        self._rest.clear()
        self._batch = []
        file_id = self._file["_id"]
        if self._filed:
            mine = {"_id": {"$eq": file_id}, "uploadDate": self._file["uploadDate"]}
            self._files.delete_one(mine, **given(self._session))
            self._filed = False
        parts: list[dict[str, Any]] = []
        if self._stored:
            parts.append({"n": {"$lt": self._stored}})
        if self._in_doubt:
            parts.append({"_id": {"$in": self._in_doubt}})
        if parts:
            self._chunks.delete_many({"files_id": {"$eq": file_id}, "$or": parts}, **given(self._session))
            self._stored = 0
            self._in_doubt = []

    def read(self, size: int = -1) -> NoReturn:
        """Not for a file that is being written."""
        raise io.UnsupportedOperation("read")

    def readable(self) -> bool:
        """No."""
        return False

    def seekable(self) -> bool:
        """No."""
        return False

    def writable(self) -> bool:
        """Yes."""
        return True

    def writeable(self) -> bool:
        """Yes; as PyMongo spells it."""
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        if exc_val is None:
            self.close()
        elif not self._closed:
            self._fail(exc_val)


class GridOut(_shared.Stream):
    """A file that is being read.

    Attributes that the class does not know are fields of the file's document.
    """

    _id = OutField[Any]("_id", "The file's `_id`.")
    filename = OutField[str]("filename", "The file's name.")
    name = OutField[str]("filename", "The file's name.")
    content_type = OutField[str | None]("contentType", "The file's MIME type, if it was said.")
    length = OutField[int]("length", "How many bytes it has.", 0)
    chunk_size = OutField[int]("chunkSize", "Its chunks' size in bytes.")
    upload_date = OutField[datetime.datetime]("uploadDate", "When it was stored.")
    aliases = OutField[list[str] | None]("aliases", "Other names of it, in files of old clients.")
    metadata = OutField[Mapping[str, Any] | None]("metadata", "What was given along with it.")
    md5 = OutField[str | None]("md5", "Its MD5, in files of old clients.")

    def __init__(
        self, root_collection: Any, file_id: Any = None, file_document: Any = None, session: Any = None
    ) -> None:
        """A file; nothing is asked of the server.

        Args:
            root_collection: the collection of the bucket's name.
            file_id: the file's `_id`.
            file_document: the file's document, if it is there already; then `file_id` is not used.
            session: for all that is asked of the server.

        Raises:
            TypeError: `root_collection` is not a collection of a blocking client.
        """
        _shared.check_collection(root_collection, "Collection")
        _shared.refuse_transaction(session)
        super().__init__()
        root = _shared.plain(root_collection)
        self._files = root["files"]
        self._chunks = root["chunks"]
        self._file_id = file_id
        self._file = file_document
        self._session = session
        self._position = 0
        # The chunk that was read last, and where in the file it begins.
        self._chunk = b""
        self._chunk_start = 0
        self._reader: _Reader | None = None

    def open(self) -> Self:
        """Ask for the file's document, if that is not there yet; gives the file itself.

        Raises:
            gridfs.errors.NoFile: there is none.
        """
        if not self._file:
            _shared.refuse_transaction(self._session)
            self._file = self._files.find_one({"_id": {"$eq": self._file_id}}, **given(self._session))
            if not self._file:
                raise NoFile(f"no file in gridfs collection {self._files.full_name} with _id {self._file_id!r}")
        return self

    def _opened(self, name: str) -> Any:
        return self.open()._file

    def __getattr__(self, name: str) -> Any:
        if "_file" in self.__dict__ and not name.startswith("__"):
            file = self._opened(name)
            if name in file:
                return file[name]
        raise AttributeError(f"{type(self).__name__} object has no attribute {name!r}")

    def read(self, size: int | None = -1) -> bytes:
        """Read at most so many bytes; all that are left, if it is negative.

        Raises:
            gridfs.errors.CorruptGridFile: a chunk is missing, too many, or of a wrong size.
            gridfs.errors.NoFile: there is no such file.
        """
        return self._read(size)

    def readline(self, size: int | None = -1) -> bytes:
        """Read to the end of the line, and at most so many bytes; errors as `read`'s."""
        return self._read(size, line=True)

    def readlines(self, size: int | None = -1) -> list[bytes]:
        """Read all lines, or as many as it takes for more than so many bytes; errors as `read`'s."""
        lines: list[bytes] = []
        count = 0
        while line := self._read(-1, line=True):
            lines.append(line)
            count += len(line)
            if size is not None and 0 < size < count:
                break
        return lines

    def readchunk(self) -> bytes:
        """Read the chunk, or what is left of it; errors as `read`'s."""
        self.open()
        if self._position >= int(self.length):
            return b""
        self._fetch()
        data = self._chunk[self._position - self._chunk_start :]
        self._position += len(data)
        return data

    def to_list(self) -> list[bytes]:
        """All lines that are left."""
        return self.readlines()

    def _read(self, size: int | None, *, line: bool = False) -> bytes:
        self.open()
        length = int(self.length)
        left = length - self._position
        if size is None or size < 0 or size > left:
            size = left
        parts: list[memoryview] = []
        while size > 0:
            self._fetch()
            start = self._position - self._chunk_start
            stop = min(start + size, len(self._chunk))
            if line and (newline := self._chunk.find(b"\n", start, stop)) >= 0:
                stop = newline + 1
                size = stop - start
            parts.append(memoryview(self._chunk)[start:stop])
            self._position += stop - start
            size -= stop - start
        if parts and self._position == length and self._reader is not None:
            self._reader.finish()
        return b"".join(parts)

    def _fetch(self) -> None:
        """Have the chunk that the position is in."""
        if 0 <= self._position - self._chunk_start < len(self._chunk):
            return
        size = int(self.chunk_size)
        number = self._position // size
        if self._reader is not None and self._reader.number != number:
            self._reader.close()
            self._reader = None
        if self._reader is None:
            self._reader = _Reader(self._chunks, self._file, number, self._session)
        self._chunk = self._reader.next()
        self._chunk_start = number * size

    def tell(self) -> int:
        """The position in the file."""
        return self._position

    def seek(self, pos: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position; gives the new one.

        Args:
            pos: how many bytes from there.
            whence: `os.SEEK_SET`, the file's begin, `os.SEEK_CUR`, the position, or `os.SEEK_END`, its end.

        Raises:
            OSError: it is before the begin, or `whence` is none of these.
        """
        if whence == os.SEEK_CUR:
            pos += self._position
        elif whence == os.SEEK_END:
            self.open()
            pos += int(self.length)
        elif whence != os.SEEK_SET:
            raise OSError(22, "Invalid value for `whence`")
        if pos < 0:
            raise OSError(22, "Invalid value for `pos` - must be positive")
        self._position = pos
        return pos

    def close(self) -> None:
        """Let go of the cursor, if there is one."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        super().close()

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def writable(self) -> bool:
        """No."""
        return False

    def write(self, value: Any) -> NoReturn:
        """Not for a file that is being read."""
        raise io.UnsupportedOperation("write")

    def writelines(self, lines: Any) -> NoReturn:
        """Not for a file that is being read."""
        raise io.UnsupportedOperation("writelines")

    def truncate(self, size: int | None = None) -> NoReturn:
        """Not for a file that is being read."""
        raise io.UnsupportedOperation("truncate")

    def fileno(self) -> NoReturn:
        """There is none."""
        raise io.UnsupportedOperation("fileno")

    def flush(self) -> None:
        """Does nothing."""

    def isatty(self) -> bool:
        """No."""
        return False

    def __iter__(self) -> Self:
        """The lines."""
        return self

    def __next__(self) -> bytes:
        if line := self.readline():
            return line
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        """Does nothing: what `io.IOBase` does would ask the server."""


class _Reader:
    """A file's chunks from one on, in their order, each checked."""

    def __init__(self, chunks: Any, file: Mapping[str, Any], number: int, session: Any) -> None:
        self._chunks = chunks
        self._file_id = file["_id"]
        self._length = int(file.get("length", 0))
        self._size = int(file["chunkSize"])
        self._session = session
        self._cursor: Any = None
        self._is_finished = False
        self.number = number

    def next(self) -> bytes:
        """The chunk of that number, of which there must be one."""
        number = self.number
        chunk = self._next_document()
        if chunk is None:
            raise CorruptGridFile(f"no chunk #{number}")
        if chunk["n"] != number:
            self.close()
            raise CorruptGridFile(f"Missing chunk: expected chunk #{number} but found chunk with n={chunk['n']}")
        data = bytes(chunk["data"])
        expected = min(self._size, self._length - number * self._size)
        if len(data) != expected:
            self.close()
            raise CorruptGridFile(
                f"truncated chunk #{number}: expected chunk length to be {expected} "
                f"but found chunk with length {len(data)}"
            )
        self.number += 1
        return data

    def finish(self) -> None:
        """Look whether there are more, after the last one."""
        while not self._is_finished:
            chunk = self._next_document()
            if chunk is None:
                self._is_finished = True
            elif len(chunk["data"]):
                self.close()
                raise CorruptGridFile(
                    f"Extra chunk found: expected {self.number} chunks but found chunk with n={chunk['n']}"
                )

    def _next_document(self) -> Any:
        is_new = self._cursor is None
        while True:
            if self._cursor is None:
                _shared.refuse_transaction(self._session)
                query = {"files_id": {"$eq": self._file_id}, "n": {"$gte": self.number}}
                self._cursor = self._chunks.find(query, sort=[("n", 1)], **given(self._session))
            try:
                return self._cursor.next()
            except StopIteration:
                return None
            except CursorNotFound:
                # The server forgets a cursor that was not asked for ten minutes.
                if is_new:
                    raise
                self.close()
                is_new = True

    def close(self) -> None:
        """Let go of the cursor."""
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            cursor.close()


class GridOutCursor:
    """Files that match a query, as they come; otherwise as the collection's own cursors."""

    def __init__(
        self,
        collection: Any,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        skip: int = 0,
        limit: int = 0,
        no_cursor_timeout: bool = False,
        sort: Any = None,
        batch_size: int = 0,
        session: Any = None,
    ) -> None:
        """The files of a bucket.

        Args:
            collection: the collection of the bucket's name.
            filter: a query on the files' documents.
            skip: how many to pass over.
            limit: the most files; 0 is no limit.
            no_cursor_timeout: whether the server keeps the cursor for as long as it is open.
            sort: the order: a field's name, or pairs of a name and a direction.
            batch_size: how many documents come at a time.
            session: for the files too.
        """
        _shared.check_collection(collection, "Collection")
        _shared.refuse_transaction(session)
        options: dict[str, Any] = {
            "skip": skip,
            "limit": limit,
            "no_cursor_timeout": no_cursor_timeout,
            "sort": sort,
            "batch_size": batch_size,
        }
        options = {name: value for name, value in options.items() if value}
        self._session = session
        self._collection = _shared.plain(collection)
        self._cursor = self._collection["files"].find(filter, **options, **given(session))

    @property
    def session(self) -> Any:
        """The session that was given."""
        return self._session

    def __getattr__(self, name: str) -> Any:
        if "_cursor" not in self.__dict__ or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__} object has no attribute {name!r}")
        value = getattr(self._cursor, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            result = value(*args, **kwargs)
            return self if result is self._cursor else result

        return call

    def __getitem__(self, index: Any) -> Any:
        found = self._cursor[index]
        return self if found is self._cursor else self._file(found)

    def sort(self, key_or_list: Any, direction: Any = None) -> Self:
        """Set the order."""
        self._cursor.sort(key_or_list, direction)
        return self

    def skip(self, skip: int) -> Self:
        """Set how many to pass over."""
        self._cursor.skip(skip)
        return self

    def limit(self, limit: int) -> Self:
        """Set the most files."""
        self._cursor.limit(limit)
        return self

    def batch_size(self, batch_size: int) -> Self:
        """Set how many documents come at a time."""
        self._cursor.batch_size(batch_size)
        return self

    def add_option(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not for this cursor."""
        raise NotImplementedError("Method does not exist for GridOutCursor")

    def remove_option(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not for this cursor."""
        raise NotImplementedError("Method does not exist for GridOutCursor")

    def clone(self) -> Self:
        """The same query, not asked yet."""
        clone = type(self).__new__(type(self))
        clone._session = self._session
        clone._collection = self._collection
        clone._cursor = self._cursor.clone()
        return clone

    def rewind(self) -> Self:
        """Begin anew."""
        self._cursor.rewind()
        return self

    def _file(self, document: Any) -> GridOut:
        return GridOut(self._collection, file_document=document, session=self._session)

    def next(self) -> GridOut:
        """The next file.

        Raises:
            StopIteration: there is none.
        """
        _shared.refuse_transaction(self._session)
        return self._file(self._cursor.next())

    def to_list(self, length: int | None = None) -> list[GridOut]:
        """The files that are left, or at most so many of them."""
        _shared.refuse_transaction(self._session)
        return [self._file(document) for document in self._cursor.to_list(length)]

    def close(self) -> None:
        """Let go of the cursor."""
        self._cursor.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> GridOut:
        return self.next()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()


def _revision(root: Any, query: dict[str, Any], revision: int, session: Any) -> GridOut:
    """One of the files that match, by the order in which they were stored."""
    _shared.refuse_transaction(session)
    direction, skip = (-1, -revision - 1) if revision < 0 else (1, revision)
    cursor = root["files"].find(query, **given(session)).sort("uploadDate", direction).skip(skip).limit(1)
    found = cursor.to_list()
    if not found:
        raise NoFile(f"no version {revision} for filename {query.get('filename')!r}")
    return GridOut(root, file_document=found[0], session=session)


def _copy(file: GridOut, destination: Any) -> None:
    with file:
        while chunk := file.readchunk():
            destination.write(chunk)
