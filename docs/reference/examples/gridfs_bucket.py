"""Members of `AsyncGridFSBucket`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncDatabase
from connect.eaas.mongodb.gridfs import AsyncGridFSBucket


async def overview(database: AsyncDatabase) -> None:
    from connect.eaas.mongodb.gridfs import AsyncGridFSBucket

    bucket = AsyncGridFSBucket(database, bucket_name="invoices")
    file_id = await bucket.upload_from_stream("2026-11.csv", b"A-1;10\nA-2;25\n")
    async with await bucket.open_download_stream(file_id) as file:
        async for line in file:
            print(line.decode().strip())  # A-1;10, A-2;25


async def open_upload_stream(bucket: AsyncGridFSBucket) -> None:
    async with bucket.open_upload_stream("report.txt", metadata={"month": "2026-11"}) as file:
        await file.write(b"first line\n")
        await file.write(b"second line\n")
    print(file.length)  # 23


async def open_upload_stream_with_id(bucket: AsyncGridFSBucket) -> None:
    async with bucket.open_upload_stream_with_id("report-1", "report.txt") as file:
        await file.write(b"text")
    print(file.length)  # 4


async def upload_from_stream(bucket: AsyncGridFSBucket) -> None:
    import io

    file_id = await bucket.upload_from_stream("report.txt", io.BytesIO(b"text"))
    print(type(file_id).__name__)  # ObjectId


async def upload_from_stream_with_id(bucket: AsyncGridFSBucket) -> None:
    await bucket.upload_from_stream_with_id("report-1", "report.txt", b"text")
    print(len(await bucket.find({"_id": "report-1"}).to_list()))  # 1


async def open_download_stream(bucket: AsyncGridFSBucket) -> None:
    file_id = await bucket.upload_from_stream("report.txt", b"text")
    async with await bucket.open_download_stream(file_id) as file:
        print(await file.read())  # b'text'


async def open_download_stream_by_name(bucket: AsyncGridFSBucket) -> None:
    await bucket.upload_from_stream("report.txt", b"first")
    await bucket.upload_from_stream("report.txt", b"second")
    oldest = await bucket.open_download_stream_by_name("report.txt", revision=0)
    print(await oldest.read())  # b'first'


async def download_to_stream(bucket: AsyncGridFSBucket) -> None:
    import io

    file_id = await bucket.upload_from_stream("report.txt", b"text")
    target = io.BytesIO()
    await bucket.download_to_stream(file_id, target)
    print(target.getvalue())  # b'text'


async def download_to_stream_by_name(bucket: AsyncGridFSBucket) -> None:
    import io

    await bucket.upload_from_stream("report.txt", b"text")
    target = io.BytesIO()
    await bucket.download_to_stream_by_name("report.txt", target)
    print(target.getvalue())  # b'text'


async def delete(bucket: AsyncGridFSBucket) -> None:
    file_id = await bucket.upload_from_stream("report.txt", b"text")
    await bucket.delete(file_id)
    print(await bucket.find().to_list())  # []


async def delete_by_name(bucket: AsyncGridFSBucket) -> None:
    await bucket.upload_from_stream("report.txt", b"first")
    await bucket.upload_from_stream("report.txt", b"second")
    await bucket.delete_by_name("report.txt")
    print(await bucket.find().to_list())  # []


async def find(bucket: AsyncGridFSBucket) -> None:
    await bucket.upload_from_stream("report.txt", b"text", metadata={"month": "2026-11"})
    async for file in bucket.find({"metadata.month": "2026-11"}):
        print(file.filename, file.length)  # report.txt 4


async def rename(bucket: AsyncGridFSBucket) -> None:
    file_id = await bucket.upload_from_stream("draft.txt", b"text")
    await bucket.rename(file_id, "report.txt")
    print([file.filename async for file in bucket.find()])  # ['report.txt']


async def rename_by_name(bucket: AsyncGridFSBucket) -> None:
    await bucket.upload_from_stream("draft.txt", b"text")
    await bucket.rename_by_name("draft.txt", "report.txt")
    print([file.filename async for file in bucket.find()])  # ['report.txt']
