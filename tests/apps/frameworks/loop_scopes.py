"""An application's tests for pytest-asyncio: one client at module level, tests in each loop scope, in mixed order.

Run with `pytest loop_scopes.py`; `MONGODB_URI` and `MONGODB_DB` name the database.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from gridfs import AsyncGridFSBucket
from pymongo import AsyncMongoClient
from pymongo.errors import DuplicateKeyError

client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(os.environ["MONGODB_URI"])
db = client[os.environ["MONGODB_DB"]]
accounts = db.accounts


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def index() -> str:
    return await accounts.create_index("owner", unique=True)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def opened(index: str) -> AsyncIterator[str]:
    """Accounts of the module's loop, for tests in any."""
    await accounts.insert_many([{"owner": owner, "balance": 10} for owner in ("a", "b")])
    yield index
    await accounts.delete_many({})


@pytest_asyncio.fixture(loop_scope="function")
async def balances(opened: str) -> AsyncIterator[Any]:
    """A cursor that is opened in one loop and read in the test's."""
    cursor = accounts.find({}, {"_id": 0}, sort=[("owner", 1)], batch_size=1)
    yield cursor
    await cursor.close()


async def transfer(amount: int) -> None:
    async def moved(session: Any) -> None:
        await accounts.update_one({"owner": "a"}, {"$inc": {"balance": -amount}}, session=session)
        await accounts.update_one({"owner": "b"}, {"$inc": {"balance": amount}}, session=session)

    async with client.start_session() as session:
        await session.with_transaction(moved)


async def total() -> Any:
    cursor = await accounts.aggregate([{"$group": {"_id": None, "total": {"$sum": "$balance"}}}])
    return (await cursor.to_list())[0]["total"]


@pytest.mark.asyncio(loop_scope="function")
async def test_in_a_loop_of_its_own(balances: Any) -> None:
    await transfer(1)
    assert [account["owner"] async for account in balances] == ["a", "b"]


@pytest.mark.asyncio(loop_scope="module")
async def test_in_the_modules_loop(opened: str) -> None:
    await asyncio.gather(*(transfer(1) for _ in range(3)))
    assert await total() == 20


@pytest.mark.asyncio(loop_scope="class")
class TestInTheClasssLoop:
    @pytest_asyncio.fixture(loop_scope="class", scope="class")
    async def file_id(self) -> Any:
        return await AsyncGridFSBucket(db).upload_from_stream("statement", b"balance: 10")

    async def test_first(self, file_id: Any) -> None:
        assert await (await AsyncGridFSBucket(db).open_download_stream(file_id)).read() == b"balance: 10"

    async def test_second(self, file_id: Any, opened: str) -> None:
        with pytest.raises(DuplicateKeyError):
            await accounts.insert_one({"owner": "a"})
        assert await total() == 20


@pytest.mark.asyncio(loop_scope="package")
async def test_in_the_packages_loop(opened: str) -> None:
    async with await accounts.watch() as stream:
        await transfer(2)
        change = await asyncio.wait_for(stream.next(), 20)
    assert change["operationType"] == "update"


@pytest.mark.asyncio(loop_scope="session")
async def test_in_the_sessions_loop(opened: str) -> None:
    assert await accounts.count_documents({}) == 2
    assert await total() == 20


@pytest.mark.asyncio(loop_scope="function")
async def test_in_another_loop_of_its_own(balances: Any) -> None:
    assert (await balances.next())["owner"] == "a"
    assert await balances.to_list() == [{"owner": "b", "balance": 16}]
