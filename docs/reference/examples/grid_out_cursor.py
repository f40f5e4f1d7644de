"""Members of `AsyncGridOutCursor`."""

from __future__ import annotations

from connect.eaas.mongodb.gridfs import AsyncGridFSBucket


async def overview(bucket: AsyncGridFSBucket) -> None:
    await bucket.upload_from_stream("report.txt", b"text")
    async for file in bucket.find({"filename": "report.txt"}):
        print(await file.read())  # b'text'


async def session(bucket: AsyncGridFSBucket) -> None:
    print(bucket.find().session)  # None


async def sort(bucket: AsyncGridFSBucket) -> None:
    await bucket.upload_from_stream("b.txt", b"text")
    await bucket.upload_from_stream("a.txt", b"text")
    print([file.filename async for file in bucket.find().sort("filename")])  # ['a.txt', 'b.txt']


async def skip(bucket: AsyncGridFSBucket) -> None:
    await bucket.upload_from_stream("a.txt", b"text")
    await bucket.upload_from_stream("b.txt", b"text")
    print([file.filename async for file in bucket.find(sort={"filename": 1}).skip(1)])  # ['b.txt']


async def limit(bucket: AsyncGridFSBucket) -> None:
    await bucket.upload_from_stream("a.txt", b"text")
    await bucket.upload_from_stream("b.txt", b"text")
    print([file.filename async for file in bucket.find(sort={"filename": 1}).limit(1)])  # ['a.txt']


async def batch_size(bucket: AsyncGridFSBucket) -> None:
    await bucket.upload_from_stream("a.txt", b"text")
    print(len(await bucket.find().batch_size(100).to_list()))  # 1


async def clone(bucket: AsyncGridFSBucket) -> None:
    await bucket.upload_from_stream("a.txt", b"text")
    cursor = bucket.find()
    await cursor.to_list()
    print(len(await cursor.clone().to_list()))  # 1


async def rewind(bucket: AsyncGridFSBucket) -> None:
    await bucket.upload_from_stream("a.txt", b"text")
    cursor = bucket.find()
    await cursor.next()
    await cursor.rewind()
    print((await cursor.next()).filename)  # a.txt


async def next_(bucket: AsyncGridFSBucket) -> None:
    await bucket.upload_from_stream("a.txt", b"text")
    file = await bucket.find().next()
    print(file.filename)  # a.txt


async def to_list(bucket: AsyncGridFSBucket) -> None:
    await bucket.upload_from_stream("a.txt", b"text")
    print([file.filename for file in await bucket.find().to_list(10)])  # ['a.txt']


async def close(bucket: AsyncGridFSBucket) -> None:
    await bucket.upload_from_stream("a.txt", b"text")
    cursor = bucket.find()
    await cursor.next()
    await cursor.close()
    print(await cursor.to_list())  # []
