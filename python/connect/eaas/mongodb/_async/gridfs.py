"""GridFS with an asynchronous API: files of any size in MongoDB.

A file is a document in `<bucket>.files`, and its bytes are documents in
`<bucket>.chunks`. The classes have the API of PyMongo's `gridfs` package, and
accept any database that has PyMongo's asynchronous API.
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
from connect.eaas.mongodb._common import gridfs as common
from connect.eaas.mongodb._common.gridfs import DEFAULT_CHUNK_SIZE, ClosedField, FixedField, InField, OutField, given
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

__all__ = ["AsyncGridFS", "AsyncGridFSBucket", "AsyncGridIn", "AsyncGridOut", "AsyncGridOutCursor"]


class AsyncGridFSBucket:
    """The files of one bucket of a database."""

    __module__ = "connect.eaas.mongodb.gridfs"

    def __init__(
        self,
        db: Any,
        bucket_name: str = "fs",
        chunk_size_bytes: int = DEFAULT_CHUNK_SIZE,
        write_concern: Any = None,
        read_preference: Any = None,
    ) -> None:
        """Create a bucket, without I/O.

        Args:
            db: the database.
            bucket_name: the prefix of the names of the two collections.
            chunk_size_bytes: the chunk size of new files, in bytes.
            write_concern: replaces the database's.
            read_preference: replaces the database's.

        Raises:
            TypeError: `db` is not a database of an asynchronous client.
            pymongo.errors.ConfigurationError: the write concern is unacknowledged.
        """
        common.check_database(db, "AsyncDatabase")
        common.check_write_concern("GridFSBucket", db.write_concern if write_concern is None else write_concern)
        self._bucket_name = bucket_name
        self._chunk_size_bytes = chunk_size_bytes
        self._collection = common.plain(db[bucket_name], write_concern=write_concern, read_preference=read_preference)
        self._files = self._collection["files"]
        self._chunks = self._collection["chunks"]

    def open_upload_stream(
        self,
        filename: str,
        chunk_size_bytes: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        session: Any = None,
    ) -> AsyncGridIn:
        """Open a new file for writing; it exists once it is closed.

        Args:
            filename: the file's name; it need not be unique.
            chunk_size_bytes: the chunk size in bytes; the bucket's by default.
            metadata: stored in the file's document as `metadata`.
            session: the session of all operations.

        Raises:
            TypeError: `filename` is not a `str`.
        """
        return self._new(filename, chunk_size_bytes, metadata, session)

    def open_upload_stream_with_id(
        self,
        file_id: Any,
        filename: str,
        chunk_size_bytes: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        session: Any = None,
    ) -> AsyncGridIn:
        """Open a new file with that `_id` for writing; see `open_upload_stream`.

        Writing or closing it raises `gridfs.errors.FileExists` if a file with the `_id` exists.
        """
        return self._new(filename, chunk_size_bytes, metadata, session, _id=file_id)

    def _new(
        self,
        filename: str,
        chunk_size_bytes: int | None,
        metadata: Mapping[str, Any] | None,
        session: Any,
        **fields: Any,
    ) -> AsyncGridIn:
        common.check_filename(filename)
        fields["filename"] = filename
        fields["chunk_size"] = self._chunk_size_bytes if chunk_size_bytes is None else chunk_size_bytes
        if metadata is not None:
            fields["metadata"] = metadata
        return AsyncGridIn(self._collection, session=session, **fields)

    async def upload_from_stream(
        self,
        filename: str,
        source: Any,
        chunk_size_bytes: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        session: Any = None,
    ) -> Any:
        """Store bytes, or the content of an object with a `read` method, and return the new file's `_id`."""
        async with self.open_upload_stream(filename, chunk_size_bytes, metadata, session=session) as file:
            await file.write(source)
        return file._id

    async def upload_from_stream_with_id(
        self,
        file_id: Any,
        filename: str,
        source: Any,
        chunk_size_bytes: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        session: Any = None,
    ) -> None:
        """Store bytes, or the content of an object with a `read` method, as the file with that `_id`.

        Raises:
            gridfs.errors.FileExists: a file with the `_id` exists.
        """
        async with self.open_upload_stream_with_id(
            file_id, filename, chunk_size_bytes, metadata, session=session
        ) as file:
            await file.write(source)

    async def open_download_stream(self, file_id: Any, session: Any = None) -> AsyncGridOut:
        """Open the file with that `_id` for reading.

        Raises:
            gridfs.errors.NoFile: no such file exists.
        """
        file = AsyncGridOut(self._collection, file_id, session=session)
        await file.open()
        return file

    async def open_download_stream_by_name(
        self, filename: str, revision: int = -1, session: Any = None
    ) -> AsyncGridOut:
        """Open a file of that name for reading.

        Args:
            filename: the name.
            revision: which of the files of that name: 0 is the oldest, 1 the next,
                -1 the newest, -2 the second newest.
            session: the session of all operations.

        Raises:
            gridfs.errors.NoFile: no such file exists.
        """
        common.check_filename(filename)
        return await _revision(self._collection, {"filename": filename}, revision, session)

    async def download_to_stream(self, file_id: Any, destination: Any, session: Any = None) -> None:
        """Write the content of the file with that `_id` to an object with a `write` method.

        Raises:
            gridfs.errors.NoFile: no such file exists.
        """
        await _copy(await self.open_download_stream(file_id, session=session), destination)

    async def download_to_stream_by_name(
        self, filename: str, destination: Any, revision: int = -1, session: Any = None
    ) -> None:
        """Write the content of a file of that name to an object with a `write` method.

        `revision` has the meaning that it has for `open_download_stream_by_name`.

        Raises:
            gridfs.errors.NoFile: no such file exists.
        """
        await _copy(await self.open_download_stream_by_name(filename, revision, session=session), destination)

    async def delete(self, file_id: Any, session: Any = None) -> None:
        """Remove the file with that `_id`.

        Raises:
            gridfs.errors.NoFile: no such file exists. Chunks with the `_id` are removed nevertheless.
        """
        common.refuse_transaction(session)
        result = await self._files.delete_one({"_id": {"$eq": file_id}}, **given(session))
        await self._chunks.delete_many({"files_id": {"$eq": file_id}}, **given(session))
        if not result.deleted_count:
            raise NoFile(f"no file could be deleted because none matched {file_id}")

    async def delete_by_name(self, filename: str, session: Any = None) -> None:
        """Remove all files of that name.

        Raises:
            gridfs.errors.NoFile: no such file exists.
        """
        common.refuse_transaction(session)
        files = await self._files.find({"filename": filename}, {"_id": 1}, **given(session)).to_list()
        ids = [file["_id"] for file in files]
        result = await self._files.delete_many({"_id": {"$in": ids}}, **given(session))
        await self._chunks.delete_many({"files_id": {"$in": ids}}, **given(session))
        if not result.deleted_count:
            raise NoFile(f"no file could be deleted because none matched filename {filename!r}")

    def find(self, *args: Any, **kwargs: Any) -> AsyncGridOutCursor:
        """Find the files whose documents match a query; arguments as for `AsyncGridOutCursor`, without the first."""
        return AsyncGridOutCursor(self._collection, *args, **kwargs)

    async def rename(self, file_id: Any, new_filename: str, session: Any = None) -> None:
        """Rename the file with that `_id`.

        Raises:
            gridfs.errors.NoFile: no such file exists.
        """
        common.refuse_transaction(session)
        update = {"$set": {"filename": new_filename}}
        result = await self._files.update_one({"_id": {"$eq": file_id}}, update, **given(session))
        if not result.matched_count:
            raise NoFile(f"no files could be renamed {new_filename!r} because none matched file_id {file_id}")

    async def rename_by_name(self, filename: str, new_filename: str, session: Any = None) -> None:
        """Rename all files of that name.

        Raises:
            gridfs.errors.NoFile: no such file exists.
        """
        common.refuse_transaction(session)
        update = {"$set": {"filename": new_filename}}
        result = await self._files.update_many({"filename": filename}, update, **given(session))
        if not result.matched_count:
            raise NoFile(f"no files could be renamed {new_filename!r} because none matched filename {filename!r}")


class AsyncGridFS:
    """The files of one bucket, with the older of PyMongo's two interfaces."""

    __module__ = "connect.eaas.mongodb.gridfs"

    def __init__(self, database: Any, collection: str = "fs") -> None:
        """The bucket whose collections' names begin with `collection`.

        Raises:
            TypeError: `database` is not a database of an asynchronous client.
            pymongo.errors.ConfigurationError: its write concern is unacknowledged.
        """
        common.check_database(database, "AsyncDatabase")
        common.check_write_concern("database", database.write_concern)
        self._collection = common.plain(database[collection])
        self._files = self._collection["files"]
        self._chunks = self._collection["chunks"]

    def new_file(self, **kwargs: Any) -> AsyncGridIn:
        """Open a new file for writing; keywords as for `AsyncGridIn`."""
        return AsyncGridIn(self._collection, **kwargs)

    async def put(self, data: Any, **kwargs: Any) -> Any:
        """Store bytes, or the content of an object with a `read` method, and return the new file's `_id`.

        Keywords as for `AsyncGridIn`; with `encoding`, `data` may be a `str`.

        Raises:
            gridfs.errors.FileExists: a file with the given `_id` exists.
        """
        async with AsyncGridIn(self._collection, **kwargs) as file:
            await file.write(data)
        return file._id

    async def get(self, file_id: Any, session: Any = None) -> AsyncGridOut:
        """Open the file with that `_id` for reading.

        Raises:
            gridfs.errors.NoFile: no such file exists.
        """
        file = AsyncGridOut(self._collection, file_id, session=session)
        await file.open()
        return file

    async def get_version(
        self, filename: str | None = None, version: int | None = -1, session: Any = None, **kwargs: Any
    ) -> AsyncGridOut:
        """Open one of the files that match a name, other fields, or both.

        Args:
            filename: the name; `None` matches any.
            version: 0 is the oldest, 1 the next, -1 the newest, -2 the second newest.
            session: the session of all operations.
            **kwargs: other fields of the file's document.

        Raises:
            gridfs.errors.NoFile: no such file exists.
        """
        if filename is not None:
            kwargs["filename"] = filename
        return await _revision(self._collection, kwargs, -1 if version is None else version, session)

    async def get_last_version(self, filename: str | None = None, session: Any = None, **kwargs: Any) -> AsyncGridOut:
        """Open the newest of the files that match; see `get_version`."""
        return await self.get_version(filename=filename, session=session, **kwargs)

    async def delete(self, file_id: Any, session: Any = None) -> None:
        """Remove the file with that `_id`, if it exists."""
        common.refuse_transaction(session)
        await self._files.delete_one({"_id": {"$eq": file_id}}, **given(session))
        await self._chunks.delete_many({"files_id": {"$eq": file_id}}, **given(session))

    async def list(self, session: Any = None) -> list[str]:
        """List the distinct names of all files."""
        common.refuse_transaction(session)
        names = await self._files.distinct("filename", **given(session))
        return [name for name in names if name is not None]

    async def find_one(
        self,
        filter: Any = None,  # noqa: A002
        session: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> AsyncGridOut | None:
        """Return the first file that matches, or `None`; `filter` may also be an `_id`."""
        if filter is not None and not isinstance(filter, Mapping):
            filter = {"_id": {"$eq": filter}}  # noqa: A001
        found = await self.find(filter, *args, session=session, **kwargs).limit(1).to_list()
        return found[0] if found else None

    def find(self, *args: Any, **kwargs: Any) -> AsyncGridOutCursor:
        """Find the files whose documents match a query; arguments as for `AsyncGridOutCursor`, without the first."""
        return AsyncGridOutCursor(self._collection, *args, **kwargs)

    async def exists(self, document_or_id: Any = None, session: Any = None, **kwargs: Any) -> bool:
        """Whether a file with that `_id`, that query or those fields exists."""
        common.refuse_transaction(session)
        if kwargs:
            document_or_id = kwargs
        elif document_or_id is not None and not isinstance(document_or_id, Mapping):
            document_or_id = {"_id": {"$eq": document_or_id}}
        return await self._files.find_one(document_or_id, ["_id"], **given(session)) is not None


class AsyncGridIn(common.AsyncFileToWrite):
    """A file that is being written.

    Others can read it once `close` has returned. If writing fails, or the body of
    an `async with` statement raises, the stored chunks are removed. Attributes
    that the class does not define are fields of the file's document.
    """

    __module__ = "connect.eaas.mongodb.gridfs"

    _id = FixedField[Any]("_id", "The file's `_id`.")
    filename = InField[str | None]("filename", "The file's name.")
    name = InField[str | None]("filename", "The file's name.")
    content_type = InField[str | None]("contentType", "The file's MIME type, or `None`.")
    length = ClosedField[int]("length", "The size in bytes; available once the file is closed.", 0)
    chunk_size = FixedField[int]("chunkSize", "The chunk size in bytes.")
    upload_date = ClosedField[datetime.datetime]("uploadDate", "When the file was closed.")
    md5 = ClosedField[str | None]("md5", "Always `None`: no checksum is computed.")

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
        """Create a file to write to, without I/O.

        Args:
            root_collection: the collection of the bucket's name.
            session: the session of all operations.
            **kwargs: fields of the file's document. `_id`, by default a new `ObjectId`;
                `chunk_size` or `chunkSize`; `content_type` or `contentType`;
                `encoding`, with which `str` data may be written.

        Raises:
            TypeError: `root_collection` is not a collection of an asynchronous client.
            ValueError: the chunk size is less than 1.
            pymongo.errors.ConfigurationError: the collection's write concern is unacknowledged.
        """
        common.check_collection(root_collection, "AsyncCollection")
        common.check_write_concern("root_collection", root_collection.write_concern)
        common.refuse_transaction(session)
        root = common.plain(root_collection, read_preference=ReadPreference.PRIMARY)
        if "content_type" in kwargs:
            kwargs["contentType"] = kwargs.pop("content_type")
        if "chunk_size" in kwargs:
            kwargs["chunkSize"] = kwargs.pop("chunk_size")
        kwargs.setdefault("_id", ObjectId())
        kwargs.setdefault("chunkSize", DEFAULT_CHUNK_SIZE)
        size = int(kwargs["chunkSize"])
        if size < 1:
            raise ValueError(f"the size of chunks must be at least 1, not {size}")
        # Bypasses `__setattr__`, which puts unknown attributes into the document.
        self.__dict__.update(
            _session=session,
            _files=root["files"],
            _chunks=root["chunks"],
            _file=kwargs,
            _closed=False,
            _indexed=False,
            _size=size,
            # The number of bytes in complete chunks; `_rest` holds those after them.
            _position=0,
            _rest=bytearray(),
            # The chunks that are not sent yet, and the number of the next one.
            _batch=[],
            _batch_size=0,
            _number=0,
            # What to remove on failure: the chunks below `_stored`, those whose `_id`s are
            # in `_in_doubt`, and, if `_filed`, the file's document.
            _stored=0,
            _in_doubt=[],
            _filed=False,
        )

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
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

    async def set(self, name: str, value: Any) -> None:
        """Set a field of the file's document, also in MongoDB if the file is closed."""
        self._file[name] = value
        if self._closed:
            await self._files.update_one({"_id": {"$eq": self._file["_id"]}}, {"$set": {name: value}})

    async def write(self, data: Any) -> None:
        """Write bytes, or the content of an object with a `read` method; a `str` if the file has an `encoding`.

        Chunks are sent in batches, the last batch by `close`.

        Raises:
            ValueError: the file is closed.
            TypeError: `data` has another type.
            gridfs.errors.FileExists: a file with the `_id` exists.
            pymongo.errors.PyMongoError: the write failed.
        """
        if self._closed:
            raise ValueError("cannot write to a closed file")
        read = getattr(data, "read", None)
        if read is None:
            data = common.as_bytes(data, self._file.get("encoding"))
        try:
            if read is None:
                await self._take(data)
            else:
                while piece := await common.async_result(read(max(self._size, DEFAULT_CHUNK_SIZE))):
                    await self._take(piece)
        except BaseException as error:
            await self._fail(error)
            raise

    async def writelines(self, sequence: Iterable[Any]) -> None:
        """Write each item, without separators."""
        for line in sequence:
            await self.write(line)

    async def close(self) -> None:
        """Send the remaining chunks and the file's document. Closing a closed file has no effect.

        Raises:
            gridfs.errors.FileExists: a file with the `_id` exists.
            pymongo.errors.PyMongoError: the write failed.
        """
        if self._closed:
            return
        try:
            if self._rest:
                await self._add(bytes(self._rest))
                self._rest.clear()
            await self._send()
            self._file["length"] = Int64(self._position)
            self._file["uploadDate"] = datetime.datetime.now(datetime.timezone.utc)
            self._filed = True
            try:
                await self._files.insert_one(self._file, **given(self._session))
            except DuplicateKeyError as error:
                self._filed = False
                raise self._exists() from error
        except BaseException as error:
            await self._fail(error)
            raise
        self._closed = True

    async def abort(self) -> None:
        """Close the file and remove its stored chunks."""
        self._closed = True
        await self._remove()

    async def _take(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        start = 0
        if self._rest:
            start = min(self._size - len(self._rest), len(view))
            self._rest += view[:start]
            if len(self._rest) < self._size:
                return
            await self._add(bytes(self._rest))
            self._rest.clear()
        while len(view) - start >= self._size:
            await self._add(bytes(view[start : start + self._size]))
            start += self._size
        self._rest += view[start:]

    async def _add(self, data: bytes) -> None:
        size = len(data) + common.CHUNK_OVERHEAD
        if self._batch and self._batch_size + size > common.BATCH_SIZE:
            await self._send()
        # The `_id` is generated here, so that a failed insert's chunks can be identified and removed.
        self._batch.append({"_id": ObjectId(), "files_id": self._file["_id"], "n": self._number, "data": data})
        self._batch_size += size
        self._number += 1
        self._position += len(data)

    async def _send(self) -> None:
        if not self._indexed:
            common.refuse_transaction(self._session)
            await self._create_index(self._files, common.FILES_INDEX, unique=False)
            await self._create_index(self._chunks, common.CHUNKS_INDEX, unique=True)
            self._indexed = True
        if not self._batch:
            return
        self._in_doubt = [chunk["_id"] for chunk in self._batch]
        try:
            await self._chunks.insert_many(self._batch, **given(self._session))
        except BulkWriteError as error:
            if common.is_duplicate(error):
                raise self._exists() from error
            raise common.as_single(error) from error
        self._in_doubt = []
        self._stored = self._number
        self._batch = []
        self._batch_size = 0

    async def _create_index(self, collection: Any, keys: list[tuple[str, int]], *, unique: bool) -> None:
        if await collection.find_one(projection={"_id": 1}, **given(self._session)) is not None:
            return
        try:
            indexes = await (await collection.list_indexes(**given(self._session))).to_list()
        except OperationFailure:
            # The collection does not exist yet.
            indexes = []
        if keys not in [list(index["key"].items()) for index in indexes]:
            await collection.create_index(keys, unique=unique, **given(self._session))

    def _exists(self) -> FileExists:
        return FileExists(f"file with _id {self._file['_id']!r} already exists")

    async def _fail(self, error: BaseException) -> None:
        self._closed = True
        if not self._can_clean_up(error):
            return
        with suppress(PyMongoError):
            await self._remove()

    async def _remove(self) -> None:
        """Remove only what this upload has stored: another one may have the same `_id`."""
        self._rest.clear()
        self._batch = []
        file_id = self._file["_id"]
        if self._filed:
            mine = {"_id": {"$eq": file_id}, "uploadDate": self._file["uploadDate"]}
            await self._files.delete_one(mine, **given(self._session))
            self._filed = False
        parts: list[dict[str, Any]] = []
        if self._stored:
            parts.append({"n": {"$lt": self._stored}})
        if self._in_doubt:
            parts.append({"_id": {"$in": self._in_doubt}})
        if parts:
            await self._chunks.delete_many({"files_id": {"$eq": file_id}, "$or": parts}, **given(self._session))
            self._stored = 0
            self._in_doubt = []

    def read(self, size: int = -1) -> NoReturn:
        """Not supported: raises `io.UnsupportedOperation`."""
        raise io.UnsupportedOperation("read")

    def readable(self) -> bool:
        """Return `False`."""
        return False

    def seekable(self) -> bool:
        """Return `False`."""
        return False

    def writable(self) -> bool:
        """Return `True`."""
        return True

    def writeable(self) -> bool:
        """Return `True`; PyMongo's spelling of `writable`."""
        return True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        if exc_val is None:
            await self.close()
        elif not self._closed:
            await self._fail(exc_val)


class AsyncGridOut(common.AsyncFileToRead):
    """A file that is being read.

    Attributes that the class does not define are fields of the file's document.
    """

    __module__ = "connect.eaas.mongodb.gridfs"

    _id = OutField[Any]("_id", "The file's `_id`.")
    filename = OutField[str]("filename", "The file's name.")
    name = OutField[str]("filename", "The file's name.")
    content_type = OutField[str | None]("contentType", "The file's MIME type, or `None`.")
    length = OutField[int]("length", "The size in bytes.", 0)
    chunk_size = OutField[int]("chunkSize", "The chunk size in bytes.")
    upload_date = OutField[datetime.datetime]("uploadDate", "When the file was stored.")
    aliases = OutField[list[str] | None]("aliases", "Alternative names, in files of old clients.")
    metadata = OutField[Mapping[str, Any] | None]("metadata", "The `metadata` that the file was stored with.")
    md5 = OutField[str | None]("md5", "The MD5 digest, in files of old clients.")

    def __init__(
        self, root_collection: Any, file_id: Any = None, file_document: Any = None, session: Any = None
    ) -> None:
        """Create a file to read from, without I/O.

        Args:
            root_collection: the collection of the bucket's name.
            file_id: the file's `_id`.
            file_document: the file's document, if it was read already; `file_id` is then ignored.
            session: the session of all operations.

        Raises:
            TypeError: `root_collection` is not a collection of an asynchronous client.
        """
        common.check_collection(root_collection, "AsyncCollection")
        common.refuse_transaction(session)
        super().__init__()
        root = common.plain(root_collection)
        self._files = root["files"]
        self._chunks = root["chunks"]
        self._file_id = file_id
        self._file = file_document
        self._session = session
        self._position = 0
        # The current chunk, and its offset in the file.
        self._chunk = b""
        self._chunk_start = 0
        self._reader: _AsyncReader | None = None

    async def open(self) -> Self:
        """Read the file's document unless it was read already, and return the file.

        Raises:
            gridfs.errors.NoFile: no such file exists.
        """
        if not self._file:
            common.refuse_transaction(self._session)
            self._file = await self._files.find_one({"_id": {"$eq": self._file_id}}, **given(self._session))
            if not self._file:
                raise NoFile(f"no file in gridfs collection {self._files.full_name} with _id {self._file_id!r}")
        return self

    def __getattr__(self, name: str) -> Any:
        if "_file" in self.__dict__ and not name.startswith("__"):
            file = self._opened(name)
            if name in file:
                return file[name]
        raise AttributeError(f"{type(self).__name__} object has no attribute {name!r}")

    async def read(self, size: int | None = -1) -> bytes:
        """Read at most `size` bytes; all remaining bytes if `size` is negative.

        Raises:
            gridfs.errors.CorruptGridFile: a chunk is missing, superfluous or of a wrong size.
            gridfs.errors.NoFile: no such file exists.
        """
        return await self._read(size)

    async def readline(self, size: int | None = -1) -> bytes:
        """Read to the end of the line, at most `size` bytes; errors as for `read`."""
        return await self._read(size, line=True)

    async def readlines(self, size: int | None = -1) -> list[bytes]:
        """Read lines until their total size exceeds `size` bytes, if it is positive; errors as for `read`."""
        lines: list[bytes] = []
        count = 0
        while line := await self._read(-1, line=True):
            lines.append(line)
            count += len(line)
            if size is not None and 0 < size < count:
                break
        return lines

    async def readchunk(self) -> bytes:
        """Read the rest of the current chunk; errors as for `read`."""
        await self.open()
        if self._position >= int(self.length):
            return b""
        await self._fetch()
        data = self._chunk[self._position - self._chunk_start :]
        self._position += len(data)
        return data

    async def to_list(self) -> list[bytes]:
        """Read all remaining lines."""
        return await self.readlines()

    async def _read(self, size: int | None, *, line: bool = False) -> bytes:
        await self.open()
        length = int(self.length)
        left = length - self._position
        if size is None or size < 0 or size > left:
            size = left
        parts: list[memoryview] = []
        while size > 0:
            await self._fetch()
            start = self._position - self._chunk_start
            stop = min(start + size, len(self._chunk))
            if line and (newline := self._chunk.find(b"\n", start, stop)) >= 0:
                stop = newline + 1
                size = stop - start
            parts.append(memoryview(self._chunk)[start:stop])
            self._position += stop - start
            size -= stop - start
        if parts and self._position == length and self._reader is not None:
            await self._reader.finish()
        return b"".join(parts)

    async def _fetch(self) -> None:
        """Load the chunk at the current position."""
        if 0 <= self._position - self._chunk_start < len(self._chunk):
            return
        size = int(self.chunk_size)
        number = self._position // size
        if self._reader is not None and self._reader.number != number:
            await self._reader.close()
            self._reader = None
        if self._reader is None:
            self._reader = _AsyncReader(self._chunks, self._file, number, self._session)
        self._chunk = await self._reader.next()
        self._chunk_start = number * size

    def tell(self) -> int:
        """Return the position in the file."""
        return self._position

    async def seek(self, pos: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position and return it.

        Args:
            pos: the offset in bytes.
            whence: what the offset is relative to: `os.SEEK_SET` (start of the file), `os.SEEK_CUR`
                (current position) or `os.SEEK_END` (end of the file).

        Raises:
            OSError: the position is negative, or `whence` is invalid.
        """
        if whence == os.SEEK_CUR:
            pos += self._position
        elif whence == os.SEEK_END:
            await self.open()
            pos += int(self.length)
        elif whence != os.SEEK_SET:
            raise OSError(22, "Invalid value for `whence`")
        if pos < 0:
            raise OSError(22, "Invalid value for `pos` - must be positive")
        self._position = pos
        return pos

    async def close(self) -> None:
        """Close the file and its cursor."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()
        self._mark_closed()

    def readable(self) -> bool:
        """Return `True`."""
        return True

    def seekable(self) -> bool:
        """Return `True`."""
        return True

    def writable(self) -> bool:
        """Return `False`."""
        return False

    def write(self, value: Any) -> NoReturn:
        """Not supported: raises `io.UnsupportedOperation`."""
        raise io.UnsupportedOperation("write")

    def writelines(self, lines: Any) -> NoReturn:
        """Not supported: raises `io.UnsupportedOperation`."""
        raise io.UnsupportedOperation("writelines")

    def truncate(self, size: int | None = None) -> NoReturn:
        """Not supported: raises `io.UnsupportedOperation`."""
        raise io.UnsupportedOperation("truncate")

    def fileno(self) -> NoReturn:
        """Not supported: raises `io.UnsupportedOperation`."""
        raise io.UnsupportedOperation("fileno")

    def flush(self) -> None:
        """Does nothing."""

    def isatty(self) -> bool:
        """Return `False`."""
        return False

    def __aiter__(self) -> Self:
        """Iterate over the lines."""
        return self

    async def __anext__(self) -> bytes:
        if line := await self.readline():
            return line
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        """Override `io.IOBase.__del__`, which would close the file and so do I/O."""


class _AsyncReader:
    """Reads a file's chunks in order, from a given one, and verifies each."""

    def __init__(self, chunks: Any, file: Mapping[str, Any], number: int, session: Any) -> None:
        self._chunks = chunks
        self._file_id = file["_id"]
        self._length = int(file.get("length", 0))
        self._size = int(file["chunkSize"])
        self._session = session
        self._cursor: Any = None
        self._is_finished = False
        self.number = number

    async def next(self) -> bytes:
        """Return the next chunk, which must exist."""
        number = self.number
        chunk = await self._next_document()
        if chunk is None:
            raise CorruptGridFile(f"no chunk #{number}")
        if chunk["n"] != number:
            await self.close()
            raise CorruptGridFile(f"Missing chunk: expected chunk #{number} but found chunk with n={chunk['n']}")
        data = bytes(chunk["data"])
        expected = min(self._size, self._length - number * self._size)
        if len(data) != expected:
            await self.close()
            raise CorruptGridFile(
                f"truncated chunk #{number}: expected chunk length to be {expected} "
                f"but found chunk with length {len(data)}"
            )
        self.number += 1
        return data

    async def finish(self) -> None:
        """Verify that no chunk follows the last one."""
        while not self._is_finished:
            chunk = await self._next_document()
            if chunk is None:
                self._is_finished = True
            elif len(chunk["data"]):
                await self.close()
                raise CorruptGridFile(
                    f"Extra chunk found: expected {self.number} chunks but found chunk with n={chunk['n']}"
                )

    async def _next_document(self) -> Any:
        is_new = self._cursor is None
        while True:
            if self._cursor is None:
                common.refuse_transaction(self._session)
                query = {"files_id": {"$eq": self._file_id}, "n": {"$gte": self.number}}
                self._cursor = self._chunks.find(query, sort=[("n", 1)], **given(self._session))
            try:
                return await self._cursor.next()
            except StopAsyncIteration:
                return None
            except CursorNotFound:
                # The server closes a cursor that is idle for ten minutes.
                if is_new:
                    raise
                await self.close()
                is_new = True

    async def close(self) -> None:
        """Close the cursor on the server."""
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            await cursor.close()


class AsyncGridOutCursor:
    """A cursor over the files that match a query; other methods are those of the collection's cursor."""

    __module__ = "connect.eaas.mongodb.gridfs"

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
        """Query the files of a bucket, without I/O.

        Args:
            collection: the collection of the bucket's name.
            filter: a query for the files' documents.
            skip: the number of files to skip.
            limit: the maximum number of files; 0 means no limit.
            no_cursor_timeout: whether the server keeps an idle cursor open.
            sort: a list of (name, direction) pairs, or a mapping.
            batch_size: the number of documents per batch.
            session: the session of the cursor and of the files.
        """
        common.check_collection(collection, "AsyncCollection")
        common.refuse_transaction(session)
        options: dict[str, Any] = {
            "skip": skip,
            "limit": limit,
            "no_cursor_timeout": no_cursor_timeout,
            "sort": sort,
            "batch_size": batch_size,
        }
        options = {name: value for name, value in options.items() if value}
        self._session = session
        self._collection = common.plain(collection)
        self._cursor = self._collection["files"].find(filter, **options, **given(session))

    @property
    def session(self) -> Any:
        """The session of the cursor."""
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
        """Set the sort order."""
        self._cursor.sort(key_or_list, direction)
        return self

    def skip(self, skip: int) -> Self:
        """Set the number of files to skip."""
        self._cursor.skip(skip)
        return self

    def limit(self, limit: int) -> Self:
        """Set the maximum number of files."""
        self._cursor.limit(limit)
        return self

    def batch_size(self, batch_size: int) -> Self:
        """Set the number of documents per batch."""
        self._cursor.batch_size(batch_size)
        return self

    def add_option(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not supported: raises `NotImplementedError`."""
        raise NotImplementedError("Method does not exist for GridOutCursor")

    def remove_option(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not supported: raises `NotImplementedError`."""
        raise NotImplementedError("Method does not exist for GridOutCursor")

    def clone(self) -> Self:
        """Return an unevaluated copy of the cursor."""
        clone = type(self).__new__(type(self))
        clone._session = self._session
        clone._collection = self._collection
        clone._cursor = self._cursor.clone()
        return clone

    async def rewind(self) -> Self:
        """Restart the query: the next file is its first."""
        await common.async_result(self._cursor.rewind())
        return self

    def _file(self, document: Any) -> AsyncGridOut:
        return AsyncGridOut(self._collection, file_document=document, session=self._session)

    async def next(self) -> AsyncGridOut:
        """Return the next file.

        Raises:
            StopAsyncIteration: no file is left.
        """
        common.refuse_transaction(self._session)
        return self._file(await self._cursor.next())

    async def to_list(self, length: int | None = None) -> list[AsyncGridOut]:
        """Return all remaining files, or at most `length` of them."""
        common.refuse_transaction(self._session)
        return [self._file(document) for document in await self._cursor.to_list(length)]

    async def close(self) -> None:
        """Close the cursor on the server."""
        await self._cursor.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AsyncGridOut:
        return await self.next()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.close()


async def _revision(root: Any, query: dict[str, Any], revision: int, session: Any) -> AsyncGridOut:
    """Open one of the files that match, by the order in which they were stored."""
    common.refuse_transaction(session)
    direction, skip = (-1, -revision - 1) if revision < 0 else (1, revision)
    cursor = root["files"].find(query, **given(session)).sort("uploadDate", direction).skip(skip).limit(1)
    found = await cursor.to_list()
    if not found:
        raise NoFile(f"no version {revision} for filename {query.get('filename')!r}")
    return AsyncGridOut(root, file_document=found[0], session=session)


async def _copy(file: AsyncGridOut, destination: Any) -> None:
    async with file:
        while chunk := await file.readchunk():
            await common.async_result(destination.write(chunk))
