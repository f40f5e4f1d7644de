"""Members of `AsyncGridOut`."""

from __future__ import annotations

from connect.eaas.mongodb.gridfs import AsyncGridFSBucket


async def overview(bucket: AsyncGridFSBucket) -> None:
    file_id = await bucket.upload_from_stream("report.txt", b"first\nsecond\n")
    async with await bucket.open_download_stream(file_id) as file:
        async for line in file:
            print(line)  # b'first\n', b'second\n'


async def filename(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"text"))
    print(file.filename)  # report.txt


async def name(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"text"))
    print(file.name)  # report.txt


async def content_type(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"text"))
    print(file.content_type)  # None


async def length(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"text"))
    print(file.length)  # 4


async def chunk_size(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"text"))
    print(file.chunk_size)  # 261120


async def upload_date(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"text"))
    print(file.upload_date.year > 2000)  # True


async def aliases(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"text"))
    print(file.aliases)  # None


async def metadata(bucket: AsyncGridFSBucket) -> None:
    file_id = await bucket.upload_from_stream("report.txt", b"text", metadata={"month": "2026-11"})
    file = await bucket.open_download_stream(file_id)
    print(file.metadata)  # {'month': '2026-11'}


async def md5(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"text"))
    print(file.md5)  # None


async def open_(bucket: AsyncGridFSBucket) -> None:
    await bucket.upload_from_stream("report.txt", b"text")
    for file in await bucket.find().to_list():
        print((await file.open()).length)  # 4


async def read(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"text"))
    print(await file.read(2), await file.read())  # b'te' b'xt'


async def readline(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"first\nsecond"))
    print(await file.readline())  # b'first\n'


async def readlines(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"first\nsecond"))
    print(await file.readlines())  # [b'first\n', b'second']


async def readchunk(bucket: AsyncGridFSBucket) -> None:
    file_id = await bucket.upload_from_stream("report.txt", b"text", chunk_size_bytes=3)
    file = await bucket.open_download_stream(file_id)
    print(await file.readchunk(), await file.readchunk())  # b'tex' b't'


async def to_list(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"first\nsecond"))
    print(await file.to_list())  # [b'first\n', b'second']


async def tell(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"text"))
    await file.read(3)
    print(file.tell())  # 3


async def seek(bucket: AsyncGridFSBucket) -> None:
    import os

    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"text"))
    await file.seek(-2, os.SEEK_END)
    print(await file.read())  # b'xt'


async def close(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"text"))
    await file.close()
    print(file.closed)  # True


async def closed(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"text"))
    print(file.closed)  # False


async def readable(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"text"))
    print(file.readable())  # True


async def seekable(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"text"))
    print(file.seekable())  # True


async def writable(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"text"))
    print(file.writable())  # False


async def flush(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"text"))
    file.flush()
    print(file.tell())  # 0


async def isatty(bucket: AsyncGridFSBucket) -> None:
    file = await bucket.open_download_stream(await bucket.upload_from_stream("report.txt", b"text"))
    print(file.isatty())  # False
