"""GridFS: as PyMongo's, with any client."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import datetime
import inspect
import io
import os
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import gridfs as theirs
import pytest
from bson import Int64, ObjectId
from bson.codec_options import CodecOptions, TypeCodec, TypeRegistry
from connect.eaas import mongodb
from connect.eaas.mongodb import gridfs as ours
from gridfs.errors import CorruptGridFile, FileExists, NoFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient, MongoClient, ReadPreference, WriteConcern
from pymongo.errors import AutoReconnect, ConfigurationError, CursorNotFound, InvalidOperation, WriteError

CLIENTS: list[Any] = [AsyncMongoClient, MongoClient, mongodb.AsyncMongoClient, mongodb.MongoClient]

ANY_BACKEND = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


async def result(call: Any) -> Any:
    """The result of a method, awaited or not."""
    return await call if inspect.isawaitable(call) else call


@contextlib.asynccontextmanager
async def entered(manager: Any) -> AsyncIterator[Any]:
    """A context manager's block, asynchronous or not."""
    if hasattr(type(manager), "__aenter__"):
        async with manager as value:
            yield value
    else:
        with manager as value:
            yield value


async def items(iterable: Any) -> list[Any]:
    """What is iterated over, asynchronously or not."""
    if hasattr(type(iterable), "__aiter__"):
        return [item async for item in iterable]
    return list(iterable)


class Backend:
    """A client's database, with the classes for it, and PyMongo's view of the same."""

    def __init__(self, client: Any, names: tuple[str, str], pymongo_client: Any) -> None:
        self.is_awaited = hasattr(type(client), "__aenter__")
        self.name = names[1]
        self.database = client[names[0]]
        self.files = pymongo_client[names[0]][self.name].files
        self.chunks = pymongo_client[names[0]][self.name].chunks
        self.root = self.database[self.name]
        self.theirs = theirs.GridFSBucket(pymongo_client[names[0]], self.name)
        self.theirs_fs = theirs.GridFS(pymongo_client[names[0]], self.name)

    def ours(self, name: str) -> Any:
        return getattr(ours, f"Async{name}" if self.is_awaited else name)

    def bucket(self, **options: Any) -> Any:
        return self.ours("GridFSBucket")(self.database, self.name, **options)

    def fs(self) -> Any:
        return self.ours("GridFS")(self.database, self.name)

    def put(self, data: bytes, *, filename: str = "a", chunk_size: int = 4, **fields: Any) -> Any:
        """A file that PyMongo stores; its `_id`."""
        return self.theirs_fs.put(data, filename=filename, chunk_size=chunk_size, **fields)

    async def get(self, file_id: Any) -> Any:
        return await result(self.bucket().open_download_stream(file_id))

    def is_empty(self) -> bool:
        return not self.files.count_documents({}) and not self.chunks.count_documents({})


@pytest.fixture(params=CLIENTS, ids=[f"{each.__module__.partition('.')[0]}-{each.__name__}" for each in CLIENTS])
async def backend(
    request: pytest.FixtureRequest, mongodb_uri: str, names: tuple[str, str], pymongo_client: Any
) -> AsyncIterator[Backend]:
    client = request.param(mongodb_uri)
    yield Backend(client, names, pymongo_client)
    await result(client.close())


class Spy:
    """A collection that notes the inserts and queries, and fails when told to."""

    def __init__(self, collection: Any) -> None:
        self.collection = collection
        self.inserts: list[int] = []
        self.finds = 0
        self.fails: dict[str, BaseException] = {}

    def __getattr__(self, name: str) -> Any:
        if name in self.fails:
            raise self.fails[name]
        return getattr(self.collection, name)

    def insert_many(self, documents: list[Any], **options: Any) -> Any:
        self.inserts.append(sum(len(document["data"]) for document in documents))
        outcome = self.collection.insert_many(documents, **options)
        if "insert_many" not in self.fails:
            return outcome
        return self._lost(outcome)

    def _lost(self, outcome: Any) -> Any:
        """The documents are stored, and the answer is lost."""
        if not inspect.isawaitable(outcome):
            raise self.fails["insert_many"]

        async def lost() -> None:
            await outcome
            raise self.fails["insert_many"]

        return lost()

    def find(self, *args: Any, **kwargs: Any) -> Any:
        self.finds += 1
        return self.collection.find(*args, **kwargs)


class Source:
    """A file whose reads are short, and which may break."""

    def __init__(self, data: bytes, most: int, error: BaseException | None = None) -> None:
        self.file = io.BytesIO(data)
        self.most = most
        self.error = error

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(min(size, self.most))
        if not data and self.error is not None:
            raise self.error
        return data


class AwaitedSource(Source):
    async def read(self, size: int = -1) -> bytes:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().read(size)


@pytest.mark.parametrize("name", ["GridFS", "GridFSBucket", "GridIn", "GridOut", "GridOutCursor"])
@pytest.mark.parametrize("prefix", ["", "Async"])
def test_all_of_pymongos_names_are_there_with_the_same_arguments(prefix: str, name: str) -> None:
    their, our = getattr(theirs, prefix + name), getattr(ours, prefix + name)
    # Of a cursor, what the collection's cursor has is passed on.
    named = vars(their) if name == "GridOutCursor" else dir(their)
    public = [member for member in named if not member.startswith("_")] + ["__init__"]
    for member in public:
        assert hasattr(our, member), member
        if callable(getattr(their, member)) and not hasattr(io.IOBase, member):
            their_arguments, our_arguments = (
                [
                    (parameter.name, parameter.kind, parameter.default)
                    for parameter in inspect.signature(getattr(each, member)).parameters.values()
                ]
                for each in (their, our)
            )
            assert their_arguments == our_arguments, member
            assert inspect.iscoroutinefunction(getattr(their, member)) == inspect.iscoroutinefunction(
                getattr(our, member)
            ), member


def test_the_size_of_chunks_is_pymongos() -> None:
    assert ours.DEFAULT_CHUNK_SIZE == theirs.DEFAULT_CHUNK_SIZE


async def test_ours_stores_the_documents_and_indexes_that_pymongo_stores(
    backend: Backend, pymongo_client: Any, names: tuple[str, str]
) -> None:
    data, metadata = b"some bytes", {"a": [1]}
    file_id = await result(backend.bucket().upload_from_stream("a.txt", data, chunk_size_bytes=4, metadata=metadata))
    other = theirs.GridFSBucket(pymongo_client[names[0]], f"{names[1]}_theirs")
    their_id = other.upload_from_stream("a.txt", data, chunk_size_bytes=4, metadata=metadata)

    their_file: Any = other._files.find_one(their_id)
    our_file: Any = backend.files.find_one(file_id)
    assert list(our_file) == list(their_file)
    assert {name: type(value) for name, value in our_file.items()} == {
        name: type(value) for name, value in their_file.items()
    }
    assert isinstance(our_file["length"], Int64)
    for file in (our_file, their_file):
        assert abs(file.pop("uploadDate") - datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)) < (
            datetime.timedelta(minutes=1)
        )
        del file["_id"]
    assert our_file == their_file

    def stored(collection: Any) -> list[Any]:
        chunks = list(collection.find({}, sort=[("n", 1)]))
        return [
            [(name, type(value)) for name, value in chunk.items()] + [chunk["n"], chunk["data"]] for chunk in chunks
        ]

    assert stored(backend.chunks) == stored(other._chunks)
    assert backend.files.index_information() == other._files.index_information()
    assert backend.chunks.index_information() == other._chunks.index_information()


@ANY_BACKEND
@given(
    pieces=st.lists(st.binary(max_size=40), max_size=8),
    chunk_size=st.integers(1, 24),
    batch=st.integers(0, 2000),
    as_file=st.sampled_from([None, Source, AwaitedSource]),
    short=st.integers(1, 50),
)
async def test_whatever_is_written_piece_by_piece_is_what_both_read(
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
    pieces: list[bytes],
    chunk_size: int,
    batch: int,
    as_file: Any,
    short: int,
) -> None:
    monkeypatch.setattr("connect.eaas.mongodb._common.gridfs.BATCH_SIZE", batch)
    if as_file is AwaitedSource and not backend.is_awaited:
        as_file = Source
    async with entered(backend.bucket().open_upload_stream("a", chunk_size)) as file:
        for piece in pieces:
            await result(file.write(piece if as_file is None else as_file(piece, short)))
    data = b"".join(pieces)
    assert file.length == len(data)
    assert backend.theirs.open_download_stream(file._id).read() == data
    assert await result((await backend.get(file._id)).read()) == data
    sizes = [len(chunk["data"]) for chunk in backend.chunks.find({"files_id": file._id}, sort=[("n", 1)])]
    assert sizes == [len(data[start : start + chunk_size]) for start in range(0, len(data), chunk_size)]


sizes = st.integers(-1, 60)
calls = st.one_of(
    st.tuples(st.just("read"), sizes),
    st.tuples(st.just("readline"), sizes),
    st.tuples(st.just("readlines"), sizes),
    st.tuples(st.just("seek"), st.integers(-5, 70)),
    st.tuples(st.just("seek"), st.integers(-30, 30), st.just(os.SEEK_CUR)),
    st.tuples(st.just("seek"), st.integers(-70, 10), st.just(os.SEEK_END)),
    st.tuples(st.just("tell")),
    st.tuples(st.just("readchunk")),
)


@ANY_BACKEND
@given(
    data=st.text("ab\n", max_size=60).map(str.encode),
    chunk_size=st.integers(1, 24),
    sequence=st.lists(calls, max_size=20),
)
async def test_any_sequence_of_reads_is_as_a_file_in_memory(
    backend: Backend, data: bytes, chunk_size: int, sequence: list[tuple[Any, ...]]
) -> None:
    expected = io.BytesIO(data)
    file = await backend.get(backend.put(data, chunk_size=chunk_size))
    for name, *arguments in sequence:
        if name == "readchunk":
            left = chunk_size - expected.tell() % chunk_size
            assert await result(file.readchunk()) == expected.read(left)
        elif name == "readlines":
            # `BytesIO` has a thought of its own about the size.
            assert await result(file.readlines(*arguments)) == io.IOBase.readlines(expected, *arguments)
        elif name == "seek" and arguments[-1] != os.SEEK_SET and len(arguments) == 2:
            begin = expected.tell() if arguments[1] == os.SEEK_CUR else len(data)
            if begin + arguments[0] < 0:
                # For which `BytesIO` goes to the begin.
                with pytest.raises(OSError, match="positive"):
                    await result(file.seek(*arguments))
            else:
                assert await result(file.seek(*arguments)) == expected.seek(*arguments)
        elif name == "seek" and arguments[0] < 0:
            with pytest.raises(OSError, match="positive"):
                await result(file.seek(*arguments))
        else:
            assert await result(getattr(file, name)(*arguments)) == getattr(expected, name)(*arguments), name
        assert file.tell() == expected.tell()
    await result(file.close())


async def test_a_large_file_goes_in_few_batches_of_bounded_size(backend: Backend) -> None:
    data = os.urandom(20 * 1024 * 1024 + 17)
    upload = backend.bucket().open_upload_stream("a")
    upload._chunks = spy = Spy(upload._chunks)
    await result(upload.write(io.BytesIO(data)))
    await result(upload.close())
    assert len(spy.inserts) == 2
    assert sum(spy.inserts) == len(data)
    assert max(spy.inserts) <= 16 * 1024 * 1024

    file = await backend.get(upload._id)
    file._chunks = spy = Spy(file._chunks)
    assert await result(file.read()) == data
    assert spy.finds == 1
    assert backend.theirs.open_download_stream(upload._id).read() == data


async def test_a_cursor_reads_on_after_a_short_way_and_is_new_after_a_long_one(backend: Backend) -> None:
    file = await backend.get(backend.put(bytes(range(100)), chunk_size=10))
    file._chunks = spy = Spy(file._chunks)
    for position in (0, 5, 12, 3 * 10 - 1, 21):
        await result(file.seek(position))
        assert await result(file.read(1)) == bytes([position])
    assert spy.finds == 1
    for position in (0, 95):
        await result(file.seek(position))
        assert await result(file.read(1)) == bytes([position])
    assert spy.finds == 3
    await result(file.close())


async def test_a_text_needs_an_encoding(backend: Backend) -> None:
    async with entered(backend.fs().new_file(filename="a", encoding="utf-16")) as file:
        await result(file.write("ünï"))
        await result(file.writelines(["a", b"b"]))
    assert backend.theirs_fs.get(file._id).read() == "ünï".encode("utf-16") + "a".encode("utf-16") + b"b"
    for wrong in ("text", 5, None, [b"a"]):
        file = backend.bucket().open_upload_stream("b")
        with pytest.raises(TypeError):
            await result(file.write(wrong))
        await result(file.write(bytearray(b"a")))
        await result(file.write(memoryview(b"b")))
        await result(file.close())
        assert backend.theirs_fs.get(file._id).read() == b"ab"


async def test_a_file_in_text_mode_is_refused_and_nothing_stays(backend: Backend) -> None:
    with pytest.raises(TypeError):
        await result(backend.bucket().upload_from_stream("a", io.StringIO("text")))
    assert backend.is_empty()


async def test_an_empty_file_is_a_file(backend: Backend) -> None:
    file_id = await result(backend.bucket().upload_from_stream("a", b""))
    assert backend.chunks.count_documents({}) == 0
    assert backend.chunks.index_information().keys() == {"_id_", "files_id_1_n_1"}
    for _ in range(2):
        file = await backend.get(file_id)
        assert [await result(file.read()), await result(file.readline()), await result(file.readchunk())] == [b""] * 3
        assert await result(file.readlines()) == []
    assert backend.theirs.open_download_stream(file_id).read() == b""


async def test_indexes_that_are_there_stay(backend: Backend) -> None:
    # By the shell, which has floats only.
    for collection, keys, unique in (
        (backend.files, {"filename": 1.0, "uploadDate": 1.0}, False),
        (backend.chunks, {"files_id": 1.0, "n": 1.0}, True),
    ):
        index = {"key": keys, "name": "mine", "unique": unique}
        collection.database.command({"createIndexes": collection.name, "indexes": [index]})
    await result(backend.bucket().upload_from_stream("a", b"1"))
    await result(backend.bucket().upload_from_stream("a", b"1"))
    assert backend.files.index_information().keys() == {"_id_", "mine"}
    assert backend.chunks.index_information().keys() == {"_id_", "mine"}


async def test_fields_of_a_new_file(backend: Backend) -> None:
    file = backend.ours("GridIn")(backend.root, filename="a", content_type="text/plain", chunk_size=5, aliases=["b"])
    assert isinstance(file._id, ObjectId)
    assert (file.filename, file.name, file.content_type, file.chunk_size) == ("a", "a", "text/plain", 5)
    assert not file.closed
    for missing in ("length", "upload_date", "md5", "unknown", "_unknown"):
        with pytest.raises(AttributeError):
            getattr(file, missing)
    for fixed in ("_id", "chunk_size", "length"):
        with pytest.raises(AttributeError):
            setattr(file, fixed, 1)
    file.filename = "b"
    file.author = {"name": "c"}
    await result(file.set("size", 2))
    await result(file.write(b"1234567"))
    await result(file.close())
    await result(file.close())
    assert file.closed
    assert (file.length, file.md5, file.size) == (7, None, 2)
    assert file.upload_date.tzinfo is not None
    stored = backend.files.find_one(file._id)
    assert (stored["filename"], stored["author"], stored["size"], stored["contentType"], stored["aliases"]) == (
        "b",
        {"name": "c"},
        2,
        "text/plain",
        ["b"],
    )
    with pytest.raises(ValueError, match="closed"):
        await result(file.write(b"8"))

    await result(file.set("size", 3))
    if backend.is_awaited:
        with pytest.raises(InvalidOperation):
            file.filename = "c"
        with pytest.raises(AttributeError):
            file.author = "d"
    else:
        file.filename = "c"
        file.author = "d"
        assert backend.files.find_one(file._id)["author"] == "d"
        assert backend.files.find_one(file._id)["filename"] == "c"
    assert backend.files.find_one(file._id)["size"] == 3


async def test_a_new_file_is_only_written(backend: Backend) -> None:
    file = backend.bucket().open_upload_stream("a")
    with pytest.raises(io.UnsupportedOperation):
        file.read()
    assert (file.readable(), file.seekable(), file.writable(), file.writeable()) == (False, False, True, True)
    for size in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            backend.bucket().open_upload_stream("a", chunk_size_bytes=size)


async def test_fields_of_a_stored_file(backend: Backend) -> None:
    file_id = backend.put(b"12345", contentType="text/plain", metadata={"a": 1}, author="b")
    file = backend.ours("GridOut")(backend.root, file_id)
    if backend.is_awaited:
        for name in ("filename", "length", "author"):
            with pytest.raises(InvalidOperation, match="open"):
                getattr(file, name)
    assert (await result(file.open()), await result(file.open())) == (file, file)
    assert (file._id, file.filename, file.name, file.length, file.chunk_size) == (file_id, "a", "a", 5, 4)
    assert (file.content_type, file.metadata, file.author, file.md5, file.aliases) == (
        "text/plain",
        {"a": 1},
        "b",
        None,
        None,
    )
    assert file.upload_date == backend.files.find_one(file_id)["uploadDate"]
    with pytest.raises(AttributeError):
        _ = file.unknown
    with pytest.raises(AttributeError):
        file.filename = "b"
    assert (file.readable(), file.seekable(), file.writable(), file.isatty()) == (True, True, False, False)
    file.flush()
    for call in (lambda: file.write(b""), lambda: file.writelines([]), file.truncate, file.fileno):
        with pytest.raises(io.UnsupportedOperation):
            call()
    with pytest.raises(OSError, match="whence"):
        await result(file.seek(0, 5))
    assert not file.closed
    async with entered(file) as same:
        assert same is file
    assert file.closed


async def test_an_attribute_asks_for_the_file_where_that_blocks(backend: Backend) -> None:
    if not backend.is_awaited:
        file_id = backend.put(b"12345", author="b")
        assert backend.ours("GridOut")(backend.root, file_id).length == 5
        assert backend.ours("GridOut")(backend.root, file_id).author == "b"
        with pytest.raises(NoFile):
            _ = backend.ours("GridOut")(backend.root, 1).length


async def test_a_stored_file_is_its_lines(backend: Backend) -> None:
    file = await backend.get(backend.put(b"a\nbcdefgh\n\ni", chunk_size=3))
    assert await items(file) == [b"a\n", b"bcdefgh\n", b"\n", b"i"]
    await result(file.seek(2))
    assert await result(file.to_list()) == [b"bcdefgh\n", b"\n", b"i"]
    await result(file.seek(0))
    assert await result(file.readlines(3)) == [b"a\n", b"bcdefgh\n"]
    assert await result(file.read(None)) == b"\ni"


async def test_a_blocking_file_is_one_of_pythons(backend: Backend) -> None:
    if backend.is_awaited:
        return
    file = await backend.get(backend.put("a,b\nü,d\n".encode(), chunk_size=2))
    assert issubclass(ours.GridOut, io.IOBase)
    with io.TextIOWrapper(file, encoding="utf-8") as text:
        assert list(csv.reader(text)) == [["a", "b"], ["ü", "d"]]
    assert file.closed

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "text " * 1000)
    with zipfile.ZipFile(await backend.get(backend.put(packed.getvalue(), chunk_size=7))) as archive:
        assert archive.read("a.txt") == b"text " * 1000


async def test_a_file_is_copied_from_one_bucket_to_another(backend: Backend) -> None:
    data = os.urandom(1000)
    source = await backend.get(backend.put(data, chunk_size=64))
    file_id = await result(backend.bucket().upload_from_stream("b", source, chunk_size_bytes=100))
    assert backend.theirs.open_download_stream(file_id).read() == data


async def test_downloads_to_a_file(backend: Backend) -> None:
    file_id = backend.put(b"0123456789")
    for call, argument in (("download_to_stream", file_id), ("download_to_stream_by_name", "a")):
        destination = io.BytesIO()
        await result(getattr(backend.bucket(), call)(argument, destination))
        assert destination.getvalue() == b"0123456789"
    if backend.is_awaited:
        pieces = []

        class Awaited:
            async def write(self, data: bytes) -> None:
                pieces.append(data)

        await backend.bucket().download_to_stream(file_id, Awaited())
        assert pieces == [b"0123", b"4567", b"89"]


async def test_revisions(backend: Backend) -> None:
    for number in range(3):
        backend.put(b"%d" % number)
        await asyncio.sleep(0.005)
    backend.put(b"other", filename="b", author="c")
    bucket, fs = backend.bucket(), backend.fs()
    for revision, expected in ((0, b"0"), (1, b"1"), (2, b"2"), (-1, b"2"), (-2, b"1"), (-3, b"0")):
        file = await result(bucket.open_download_stream_by_name("a", revision))
        assert await result(file.read()) == expected
        file = await result(fs.get_version("a", revision))
        assert await result(file.read()) == expected
        destination = io.BytesIO()
        await result(bucket.download_to_stream_by_name("a", destination, revision))
        assert destination.getvalue() == expected
    assert await result((await result(bucket.open_download_stream_by_name("a"))).read()) == b"2"
    assert await result((await result(fs.get_last_version("a"))).read()) == b"2"
    assert await result((await result(fs.get_version("a", None))).read()) == b"2"
    assert await result((await result(fs.get_version(author="c"))).read()) == b"other"
    for revision in (3, -4):
        with pytest.raises(NoFile, match=f"no version {revision} for filename 'a'"):
            await result(bucket.open_download_stream_by_name("a", revision))
        with pytest.raises(NoFile):
            await result(fs.get_version("a", revision))
        with pytest.raises(NoFile):
            await result(bucket.download_to_stream_by_name("a", io.BytesIO(), revision))
    with pytest.raises(NoFile):
        await result(fs.get_last_version("a", author="c"))
    for call in (bucket.open_download_stream_by_name, bucket.open_upload_stream):
        with pytest.raises(TypeError, match="filename"):
            await result(call(5))


async def test_delete_and_rename(backend: Backend) -> None:
    bucket = backend.bucket()
    first, second, third = (backend.put(b"0123456789", filename=name) for name in ("a", "a", "b"))
    await result(bucket.rename(third, "c"))
    assert backend.files.find_one(third)["filename"] == "c"
    await result(bucket.rename_by_name("a", "d"))
    assert backend.files.count_documents({"filename": "d"}) == 2
    await result(bucket.delete(third))
    assert {chunk["files_id"] for chunk in backend.chunks.find()} == {first, second}
    await result(bucket.delete_by_name("d"))
    assert backend.is_empty()
    for call, *arguments in (
        ("rename", third, "e"),
        ("rename_by_name", "a", "e"),
        ("delete", third),
        ("delete_by_name", "a"),
        ("open_download_stream", third),
        ("open_download_stream_by_name", "a"),
        ("download_to_stream", third, io.BytesIO()),
    ):
        with pytest.raises(NoFile):
            await result(getattr(bucket, call)(*arguments))


async def test_an_id_is_never_a_query(backend: Backend) -> None:
    kept = backend.put(b"0123456789")
    anything: dict[str, Any] = {"$exists": True}
    for call in (backend.bucket().delete, backend.bucket().open_download_stream):
        with pytest.raises(NoFile):
            await result(call(anything))
    await result(backend.fs().delete(anything))
    assert not await result(backend.fs().exists(anything["$exists"]))
    assert backend.theirs_fs.get(kept).read() == b"0123456789"


async def test_find(backend: Backend) -> None:
    bucket = backend.bucket()
    for number in range(5):
        backend.put(b"%d" % number, filename=f"f{number}", number=number)

    async def names(cursor: Any) -> list[str]:
        files = await items(cursor)
        assert all(type(file) is backend.ours("GridOut") for file in files)
        return [file.filename for file in files]

    assert sorted(await names(bucket.find())) == ["f0", "f1", "f2", "f3", "f4"]
    assert await names(bucket.find({"number": {"$gt": 2}}, sort=[("number", -1)])) == ["f4", "f3"]
    assert await names(bucket.find({}, 1, 2, sort={"number": 1}, batch_size=1)) == ["f1", "f2"]
    assert await names(bucket.find({}, no_cursor_timeout=False).sort("number", -1).skip(1).limit(2)) == ["f3", "f2"]
    cursor = bucket.find().sort([("number", 1)]).batch_size(2).hint([("$natural", 1)]).comment("a")
    assert [file.filename for file in await result(cursor.to_list(2))] == ["f0", "f1"]
    file = await result(cursor.next())
    assert await result(file.read()) == b"2"
    assert cursor.alive
    assert cursor.session is None
    assert [file.filename for file in await result(cursor.to_list(10))] == ["f3", "f4"]
    with pytest.raises(StopAsyncIteration if backend.is_awaited else StopIteration):
        await result(cursor.next())
    assert await names(cursor.clone()) == ["f0", "f1", "f2", "f3", "f4"]
    assert await names(await result(cursor.rewind())) == ["f0", "f1", "f2", "f3", "f4"]
    await result(cursor.close())
    with pytest.raises(AttributeError):
        cursor.unknown()
    for call in (cursor.add_option, cursor.remove_option):
        with pytest.raises(NotImplementedError):
            call(2)
    async with entered(bucket.find({"number": 9})) as cursor:
        assert await result(cursor.to_list()) == []
    if not backend.is_awaited:
        assert [file.filename for file in bucket.find().sort("number", 1)[1:3]] == ["f1", "f2"]
        assert bucket.find().sort("number", 1)[1].read() == b"1"


async def test_the_older_interface(backend: Backend) -> None:
    fs = backend.fs()
    first = await result(fs.put(b"1", filename="a", _id=5))
    second = await result(fs.put(io.BytesIO(b"2"), filename="b", author="c", chunk_size=1))
    await result(fs.put(b"3", filename="b"))
    await result(fs.put(b"4"))
    assert first == 5
    assert await result((await result(fs.get(second))).read()) == b"2"
    assert sorted(await result(fs.list())) == ["a", "b"] == sorted(backend.theirs_fs.list())
    for query, fields in ((5, {}), ({"filename": "a"}, {}), (None, {"author": "c"}), ({"filename": "a"}, {"_id": 5})):
        assert await result(fs.exists(query, **fields))
    for query, fields in ((6, {}), ({"filename": "c"}, {}), (None, {"author": "d"})):
        assert not await result(fs.exists(query, **fields))
    assert (await result(fs.find_one(5))).filename == "a"
    assert (await result(fs.find_one({"author": "c"})))._id == second
    assert (await result(fs.find_one({}, None, 0, 5, sort=[("author", -1)])))._id == second
    assert await result(fs.find_one("nothing")) is None
    assert len(await items(fs.find({"filename": "b"}))) == 2
    await result(fs.delete(second))
    await result(fs.delete(second))
    with pytest.raises(NoFile, match=str(second)):
        await result(fs.get(second))
    assert backend.chunks.count_documents({"files_id": second}) == 0


async def test_a_file_with_an_id_that_exists_is_refused_and_the_other_stays(backend: Backend) -> None:
    bucket = backend.bucket()
    await result(bucket.upload_from_stream_with_id(1, "a", b"0123456789", chunk_size_bytes=4))
    with pytest.raises(FileExists, match="_id 1 already exists"):
        await result(bucket.upload_from_stream_with_id(1, "b", b"abc"))
    with pytest.raises(FileExists):
        await result(bucket.upload_from_stream_with_id(1, "b", b""))
    with pytest.raises(FileExists):
        await result(backend.fs().put(b"abcdefghijklmnopqrstuvw", _id=1, chunk_size=2))
    # One that finds its first chunks free.
    backend.chunks.delete_many({"n": {"$lt": 2}})
    with pytest.raises(FileExists):
        await result(bucket.upload_from_stream_with_id(1, "b", b"abcdefghijklm", chunk_size_bytes=2))
    assert [(chunk["n"], chunk["data"]) for chunk in backend.chunks.find()] == [(2, b"89")]
    # An empty file has none, and gets none.
    await result(bucket.upload_from_stream_with_id(2, "a", b""))
    with pytest.raises(FileExists):
        await result(bucket.upload_from_stream_with_id(2, "b", b"abc"))
    assert backend.chunks.count_documents({"files_id": 2}) == 0
    assert backend.theirs.open_download_stream(2).read() == b""
    with pytest.raises(FileExists):
        backend.theirs.upload_from_stream_with_id(2, "b", b"abc")


async def test_abort_removes_what_was_stored(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connect.eaas.mongodb._common.gridfs.BATCH_SIZE", 2000)
    kept = backend.put(b"kept", chunk_size=1)
    file = backend.bucket().open_upload_stream("b", 4)
    await result(file.write(b"0123456789" * 10))
    assert backend.chunks.count_documents({"files_id": file._id}) > 10
    await result(file.abort())
    assert file.closed
    assert backend.chunks.count_documents({}) == 4
    await result(file.close())
    await result(file.abort())
    with pytest.raises(ValueError, match="closed"):
        await result(file.write(b"1"))

    file = backend.bucket().open_upload_stream("b", 4)
    await result(file.write(b"0123456789" * 10))
    await result(file.close())
    await result(file.abort())
    assert [found["_id"] for found in backend.files.find()] == [kept]
    assert backend.chunks.count_documents({}) == 4


@pytest.mark.parametrize("after", [0, 1, 50])
async def test_an_exception_in_the_block_removes_what_was_stored(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr("connect.eaas.mongodb._common.gridfs.BATCH_SIZE", 2000)
    file = backend.bucket().open_upload_stream("a", 2)

    async def fail() -> None:
        async with entered(file):
            for _ in range(after):
                await result(file.write(b"abc"))
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await fail()
    assert file.closed
    assert backend.is_empty()


async def test_an_exception_after_close_in_the_block_leaves_the_file(backend: Backend) -> None:
    file = backend.bucket().open_upload_stream("a", 2)

    async def fail() -> None:
        async with entered(file):
            await result(file.write(b"abc"))
            await result(file.close())
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await fail()
    assert backend.theirs.open_download_stream(file._id).read() == b"abc"


@pytest.mark.parametrize("batch", [10, 2000, 10**6])
async def test_a_source_that_breaks_removes_what_was_stored(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr("connect.eaas.mongodb._common.gridfs.BATCH_SIZE", batch)
    for source in [Source, AwaitedSource][: 1 + backend.is_awaited]:
        with pytest.raises(OSError, match="broken"):
            await result(backend.bucket().upload_from_stream("a", source(b"a" * 99, 7, OSError("broken")), 4))
        file = backend.bucket().open_upload_stream("a", 4)
        with pytest.raises(OSError, match="broken"):
            await result(file.write(source(b"a" * 99, 7, OSError("broken"))))
        assert file.closed
        assert backend.is_empty()


async def test_a_lost_answer_removes_what_was_stored(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connect.eaas.mongodb._common.gridfs.BATCH_SIZE", 2000)
    file = backend.bucket().open_upload_stream("a", 4)
    file._chunks = spy = Spy(file._chunks)
    await result(file.write(b"a" * 99))
    spy.fails["insert_many"] = AutoReconnect("lost")
    with pytest.raises(AutoReconnect, match="lost"):
        await result(file.close())
    assert file.closed
    assert backend.is_empty()

    # Nothing of that hides the error, if it does not work either.
    file = backend.bucket().open_upload_stream("a", 4)
    file._chunks = spy = Spy(file._chunks)
    await result(file.write(b"a" * 99))
    spy.fails = {"insert_many": AutoReconnect("lost"), "delete_many": AutoReconnect("lost too")}
    with pytest.raises(AutoReconnect, match=r"lost$"):
        await result(file.close())
    spy.fails = {}
    await result(file.abort())
    assert backend.is_empty()


async def test_a_file_whose_document_is_refused_leaves_no_chunks(backend: Backend) -> None:
    file = backend.bucket().open_upload_stream("a", 4)
    await result(file.write(b"a" * 99))
    file._files = spy = Spy(file._files)
    spy.fails["insert_one"] = AutoReconnect("lost")
    with pytest.raises(AutoReconnect, match="lost"):
        await result(file.close())
    assert backend.is_empty()


async def test_an_upload_that_is_cancelled_removes_what_was_stored(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not backend.is_awaited:
        return
    monkeypatch.setattr("connect.eaas.mongodb._common.gridfs.BATCH_SIZE", 2000)

    class Endless:
        begun = asyncio.Event()

        async def read(self, size: int) -> bytes:
            if self.begun.is_set():
                await asyncio.sleep(60)
            self.begun.set()
            return b"a" * 100

    task = asyncio.create_task(backend.bucket().upload_from_stream("a", Endless(), 4))
    await Endless.begun.wait()
    while not backend.chunks.count_documents({}):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert backend.is_empty()


async def test_an_upload_whose_coroutine_is_closed_awaits_nothing_more(backend: Backend) -> None:
    if not backend.is_awaited:
        return
    file = backend.bucket().open_upload_stream("a", 2)

    async def upload() -> None:
        async with file:
            await file.write(b"abc")
            await asyncio.sleep(60)

    coroutine = upload()
    coroutine.send(None)
    coroutine.close()
    assert file.closed


async def test_other_write_errors_are_those_of_one_insert(backend: Backend) -> None:
    backend.chunks.create_index("data", unique=True)
    backend.chunks.insert_one({"_id": 1, "files_id": 1, "n": 0, "data": b"x"})
    with pytest.raises(FileExists):
        await result(backend.bucket().upload_from_stream("a", b"x"))
    backend.chunks.drop()
    backend.chunks.database.create_collection(backend.chunks.name, validator={"n": {"$lt": 2}})
    with pytest.raises(WriteError) as refused:
        await result(backend.bucket().upload_from_stream("a", b"abcdef", 2))
    assert refused.value.code == 121
    assert backend.is_empty()


async def corrupt(backend: Backend, change: Any) -> Any:
    file_id = backend.put(b"0123456789")
    change(backend.chunks)
    return await backend.get(file_id)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda chunks: chunks.delete_one({"n": 0}), "expected chunk #0 but found chunk with n=1"),
        (lambda chunks: chunks.delete_one({"n": 1}), "expected chunk #1 but found chunk with n=2"),
        (lambda chunks: chunks.delete_one({"n": 2}), "no chunk #2"),
        (lambda chunks: chunks.delete_many({}), "no chunk #0"),
        (lambda chunks: chunks.update_one({"n": 1}, {"$set": {"data": b"456"}}), "truncated chunk #1"),
        (lambda chunks: chunks.update_one({"n": 1}, {"$set": {"data": b"45678"}}), "truncated chunk #1"),
        (lambda chunks: chunks.update_one({"n": 2}, {"$set": {"data": b""}}), "truncated chunk #2"),
        (
            lambda chunks: chunks.insert_one({"files_id": chunks.find_one()["files_id"], "n": 3, "data": b"x"}),
            "Extra chunk",
        ),
    ],
)
async def test_chunks_that_are_not_as_they_should_be(backend: Backend, change: Any, message: str) -> None:
    file = await corrupt(backend, change)
    with pytest.raises(CorruptGridFile, match=message):
        await result(file.read())
    if "Extra" not in message:
        await result(file.seek(0))
        with pytest.raises(CorruptGridFile, match=message):
            await result(backend.bucket().download_to_stream(file._id, io.BytesIO()))
        with pytest.raises(CorruptGridFile, match=message):
            await items(file)
    await result(file.close())


async def test_extra_chunks_without_bytes_do_no_harm(backend: Backend) -> None:
    def change(chunks: Any) -> None:
        chunks.insert_one({"files_id": chunks.find_one()["files_id"], "n": 3, "data": b""})

    file = await corrupt(backend, change)
    assert await result(file.read()) == b"0123456789"


async def test_a_cursor_that_the_server_forgot_is_made_anew_once(backend: Backend) -> None:
    file = await backend.get(backend.put(b"0123456789"))

    class Forgotten:
        def __init__(self) -> None:
            self.is_closed = False

        def next(self) -> None:
            raise CursorNotFound("forgotten")

        def close(self) -> Any:
            self.is_closed = True
            return asyncio.sleep(0) if backend.is_awaited else None

    assert await result(file.read(4)) == b"0123"
    forgotten = file._reader._cursor = Forgotten()
    assert await result(file.read()) == b"456789"
    assert forgotten.is_closed

    class Forgetful(Spy):
        def find(self, *args: Any, **kwargs: Any) -> Any:
            self.finds += 1
            return Forgotten()

    await result(file.seek(0))
    file._chunks = spy = Forgetful(file._chunks)
    with pytest.raises(CursorNotFound):
        await result(file.read())
    assert spy.finds == 1


async def test_options_of_a_bucket_are_those_of_its_collections(backend: Backend) -> None:
    bucket = backend.bucket(
        chunk_size_bytes=3, write_concern=WriteConcern(w=1, j=False), read_preference=ReadPreference.SECONDARY_PREFERRED
    )
    file = bucket.open_upload_stream("a")
    for collection in (bucket._files, bucket._chunks, file._files, file._chunks):
        assert collection.write_concern == WriteConcern(w=1, j=False)
    assert bucket._files.read_preference == ReadPreference.SECONDARY_PREFERRED
    assert file._files.read_preference == ReadPreference.PRIMARY
    await result(file.write(b"abcdef"))
    await result(file.close())
    assert backend.chunks.count_documents({}) == 2
    file = await result(bucket.open_download_stream(file._id))
    assert file._chunks.read_preference == ReadPreference.SECONDARY_PREFERRED
    assert await result(file.read()) == b"abcdef"


async def test_the_users_types_do_not_touch_the_chunks(backend: Backend) -> None:
    class Reversed(TypeCodec):
        python_type = property(lambda self: Reversed)
        bson_type = property(lambda self: bytes)

        def transform_python(self, value: Any) -> Any:
            raise AssertionError

        def transform_bson(self, value: bytes) -> Any:
            return value[::-1]

    options: Any = CodecOptions(type_registry=TypeRegistry([Reversed()]), tz_aware=True)
    database = backend.database.with_options(codec_options=options)
    bucket = backend.ours("GridFSBucket")(database, backend.name)
    file_id = await result(bucket.upload_from_stream("a", b"abc"))
    file = await result(bucket.open_download_stream(file_id))
    assert await result(file.read()) == b"abc"
    assert file.upload_date.tzinfo is not None


async def test_what_is_no_database_or_collection_is_refused(backend: Backend) -> None:
    for wrong in ("text", 5, None, backend.root, backend.database.client):
        for name in ("GridFS", "GridFSBucket"):
            with pytest.raises(TypeError, match="database must be an instance of"):
                backend.ours(name)(wrong)
    for wrong in ("text", 5, None, backend.database):
        for name in ("GridIn", "GridOut", "GridOutCursor"):
            with pytest.raises(TypeError, match="root_collection must be an instance of"):
                backend.ours(name)(wrong)
    # Nor those of the other flavor.
    names = ["GridFSBucket", "GridOut"] if backend.is_awaited else ["AsyncGridFSBucket", "AsyncGridOut"]
    for name, value in zip(names, (backend.database, backend.root), strict=True):
        with pytest.raises(TypeError, match="must be an instance of"):
            getattr(ours, name)(value)


async def test_writes_that_are_not_confirmed_are_refused(backend: Backend) -> None:
    unconfirmed = WriteConcern(w=0)
    with pytest.raises(ConfigurationError, match="acknowledged"):
        backend.bucket(write_concern=unconfirmed)
    database = backend.database.with_options(write_concern=unconfirmed)
    for name in ("GridFS", "GridFSBucket"):
        with pytest.raises(ConfigurationError, match="acknowledged"):
            backend.ours(name)(database)
    with pytest.raises(ConfigurationError, match="acknowledged"):
        backend.ours("GridIn")(database["fs"])


class Session:
    """In a transaction, or not."""

    def __init__(self, *, in_transaction: bool) -> None:
        self.in_transaction = in_transaction


async def test_nothing_is_done_in_a_transaction(backend: Backend) -> None:
    file_id = backend.put(b"0123456789")
    bucket, fs, session = backend.bucket(), backend.fs(), Session(in_transaction=True)
    stored = Session(in_transaction=False)
    upload = backend.ours("GridIn")(backend.root, session=stored)
    download = backend.ours("GridOut")(backend.root, file_id, session=stored)
    stored.in_transaction = True
    for call in (
        lambda: bucket.open_upload_stream("a", session=session),
        lambda: bucket.open_upload_stream_with_id(1, "a", session=session),
        lambda: bucket.upload_from_stream("a", b"a", session=session),
        lambda: bucket.upload_from_stream_with_id(1, "a", b"a", session=session),
        lambda: bucket.open_download_stream(file_id, session=session),
        lambda: bucket.open_download_stream_by_name("a", session=session),
        lambda: bucket.download_to_stream(file_id, io.BytesIO(), session=session),
        lambda: bucket.download_to_stream_by_name("a", io.BytesIO(), session=session),
        lambda: bucket.delete(file_id, session=session),
        lambda: bucket.delete_by_name("a", session=session),
        lambda: bucket.rename(file_id, "b", session=session),
        lambda: bucket.rename_by_name("a", "b", session=session),
        lambda: bucket.find(session=session),
        lambda: fs.put(b"a", session=session),
        lambda: fs.get(file_id, session=session),
        lambda: fs.get_version("a", session=session),
        lambda: fs.get_last_version("a", session=session),
        lambda: fs.find_one(file_id, session=session),
        lambda: fs.exists(file_id, session=session),
        lambda: fs.list(session=session),
        lambda: fs.delete(file_id, session=session),
        upload.close,
        download.read,
    ):
        with pytest.raises(InvalidOperation, match="transactions"):
            await result(call())
    assert [file["filename"] for file in backend.files.find()] == ["a"]


async def test_a_session_goes_with_each_call(backend: Backend) -> None:
    async with entered(await result(backend.database.client.start_session())) as session:
        file = backend.bucket().open_upload_stream("a", session=session)
        file._files, file._chunks = (collections := [Noting(file._files), Noting(file._chunks)])
        await result(file.write(b"abc"))
        await result(file.close())
        await result(file.abort())
        sessions = [each for collection in collections for each in collection.sessions]
        assert len(sessions) == 10
        assert all(each is session for each in sessions)

        file_id = backend.put(b"0123456789")
        found = await result(backend.bucket().find(session=session).to_list())
        assert [file._session for file in found] == [session]
        bucket = backend.bucket()
        bucket._files, bucket._chunks = (collections := [Noting(bucket._files), Noting(bucket._chunks)])
        file = await result(bucket.open_download_stream(file_id, session=session))
        file._chunks = chunks = Noting(file._chunks)
        await result(file.read())
        await result(bucket.rename_by_name("a", "b", session=session))
        await result(bucket.rename(file_id, "c", session=session))
        await result(bucket.delete_by_name("c", session=session))
        with pytest.raises(NoFile):
            await result(bucket.delete(file_id, session=session))
        sessions = [each for collection in [*collections, chunks] for each in collection.sessions]
        assert len(sessions) == 8
        assert all(each is session for each in sessions)


class Noting:
    """A collection that notes the session of each call."""

    def __init__(self, collection: Any) -> None:
        self.collection = collection
        self.sessions: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.collection, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.sessions.append(kwargs.get("session"))
            return method(*args, **kwargs)

        return call


async def test_motors_name(backend: Backend) -> None:
    if not backend.is_awaited:
        return
    bucket = ours.AsyncIOMotorGridFSBucket(backend.database, bucket_name=backend.name, chunk_size_bytes=2)
    async with bucket.open_upload_stream("a", metadata={"b": 1}) as file:
        await file.write(b"abc")
    assert backend.theirs.open_download_stream_by_name("a").read() == b"abc"
    with pytest.warns(DeprecationWarning, match="collection"):
        bucket = ours.AsyncIOMotorGridFSBucket(database=backend.database, collection=backend.name)
    assert await (await bucket.open_download_stream_by_name("a")).read() == b"abc"
