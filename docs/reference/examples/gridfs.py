"""Members of `AsyncGridFS`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncDatabase
from connect.eaas.mongodb.gridfs import AsyncGridFS


async def overview(database: AsyncDatabase) -> None:
    from connect.eaas.mongodb.gridfs import AsyncGridFS

    fs = AsyncGridFS(database)
    file_id = await fs.put(b"text", filename="report.txt")
    file = await fs.get(file_id)
    print(await file.read())  # b'text'


async def new_file(fs: AsyncGridFS) -> None:
    async with fs.new_file(filename="report.txt", content_type="text/plain") as file:
        await file.write(b"text")
    print(file.content_type)  # text/plain


async def put(fs: AsyncGridFS) -> None:
    file_id = await fs.put("Ünï", filename="report.txt", encoding="utf-8")
    print(await fs.exists(file_id))  # True


async def get(fs: AsyncGridFS) -> None:
    file = await fs.get(await fs.put(b"text"))
    print(await file.read())  # b'text'


async def get_version(fs: AsyncGridFS) -> None:
    await fs.put(b"first", filename="report.txt")
    await fs.put(b"second", filename="report.txt")
    file = await fs.get_version("report.txt", 0)
    print(await file.read())  # b'first'


async def get_last_version(fs: AsyncGridFS) -> None:
    await fs.put(b"first", filename="report.txt")
    await fs.put(b"second", filename="report.txt")
    file = await fs.get_last_version("report.txt")
    print(await file.read())  # b'second'


async def delete(fs: AsyncGridFS) -> None:
    file_id = await fs.put(b"text")
    await fs.delete(file_id)
    print(await fs.exists(file_id))  # False


async def list_(fs: AsyncGridFS) -> None:
    await fs.put(b"text", filename="report.txt")
    print(await fs.list())  # ['report.txt']


async def find_one(fs: AsyncGridFS) -> None:
    await fs.put(b"text", filename="report.txt")
    file = await fs.find_one({"filename": "report.txt"})
    if file:
        print(file.length)  # 4


async def find(fs: AsyncGridFS) -> None:
    await fs.put(b"text", filename="report.txt")
    async for file in fs.find(sort=[("uploadDate", -1)]):
        print(file.filename)  # report.txt


async def exists(fs: AsyncGridFS) -> None:
    await fs.put(b"text", filename="report.txt")
    print(await fs.exists(filename="report.txt"), await fs.exists(filename="draft.txt"))  # True False
