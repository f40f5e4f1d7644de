"""Members of `AsyncGridIn`."""

from __future__ import annotations

from connect.eaas.mongodb.gridfs import AsyncGridFSBucket


async def overview(bucket: AsyncGridFSBucket) -> None:
    async with bucket.open_upload_stream("report.txt") as file:
        await file.write(b"text")
    print(file.length, file.filename)  # 4 report.txt


async def filename(bucket: AsyncGridFSBucket) -> None:
    file = bucket.open_upload_stream("report.txt")
    print(file.filename)  # report.txt


async def name(bucket: AsyncGridFSBucket) -> None:
    file = bucket.open_upload_stream("report.txt")
    print(file.name)  # report.txt


async def content_type(bucket: AsyncGridFSBucket) -> None:
    file = bucket.open_upload_stream("report.txt")
    print(file.content_type)  # None


async def length(bucket: AsyncGridFSBucket) -> None:
    async with bucket.open_upload_stream("report.txt") as file:
        await file.write(b"text")
    print(file.length)  # 4


async def chunk_size(bucket: AsyncGridFSBucket) -> None:
    file = bucket.open_upload_stream("report.txt", chunk_size_bytes=1_048_576)
    print(file.chunk_size)  # 1048576


async def upload_date(bucket: AsyncGridFSBucket) -> None:
    async with bucket.open_upload_stream("report.txt") as file:
        await file.write(b"text")
    print(file.upload_date.year > 2000)  # True


async def md5(bucket: AsyncGridFSBucket) -> None:
    async with bucket.open_upload_stream("report.txt") as file:
        await file.write(b"text")
    print(file.md5)  # None


async def closed(bucket: AsyncGridFSBucket) -> None:
    async with bucket.open_upload_stream("report.txt") as file:
        print(file.closed)  # False
    print(file.closed)  # True


async def set_(bucket: AsyncGridFSBucket) -> None:
    async with bucket.open_upload_stream("report.txt") as file:
        await file.write(b"text")
    await file.set("reviewed", True)
    print(len(await bucket.find({"reviewed": True}).to_list()))  # 1


async def write(bucket: AsyncGridFSBucket) -> None:
    import io

    async with bucket.open_upload_stream("report.txt") as file:
        await file.write(b"first ")
        await file.write(io.BytesIO(b"second"))
    print(file.length)  # 12


async def writelines(bucket: AsyncGridFSBucket) -> None:
    async with bucket.open_upload_stream("report.txt") as file:
        await file.writelines([b"first\n", b"second\n"])
    print(file.length)  # 13


async def close(bucket: AsyncGridFSBucket) -> None:
    file = bucket.open_upload_stream("report.txt")
    await file.write(b"text")
    await file.close()
    print([found.filename async for found in bucket.find()])  # ['report.txt']


async def abort(bucket: AsyncGridFSBucket) -> None:
    file = bucket.open_upload_stream("report.txt")
    await file.write(b"text")
    await file.abort()
    print(await bucket.find().to_list())  # []


async def readable(bucket: AsyncGridFSBucket) -> None:
    print(bucket.open_upload_stream("report.txt").readable())  # False


async def seekable(bucket: AsyncGridFSBucket) -> None:
    print(bucket.open_upload_stream("report.txt").seekable())  # False


async def writable(bucket: AsyncGridFSBucket) -> None:
    print(bucket.open_upload_stream("report.txt").writable())  # True


async def writeable(bucket: AsyncGridFSBucket) -> None:
    print(bucket.open_upload_stream("report.txt").writeable())  # True
