"""What the comparison needs: both libraries' clients, and a database of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.comparison import harness
from tests.comparison.blocking import drive


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(mongodb_uri: str) -> AsyncIterator[tuple[harness.Side, harness.Side]]:
    """PyMongo's awaited client and ours."""
    async with harness.opened(harness.sides(mongodb_uri)) as both:
        yield both


@pytest.fixture(scope="module")
def both_blocking(mongodb_uri: str) -> Iterator[tuple[harness.Side, harness.Side]]:
    """PyMongo's blocking client and ours, in the shape of the awaited ones."""
    opened = harness.opened(harness.sides(mongodb_uri, blocking=True))
    yield drive(opened.__aenter__())
    drive(opened.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def setup(mongodb_uri: str) -> Iterator[Any]:
    """The database that cases run on, by a client that is not recorded."""
    with harness.reader(mongodb_uri) as client:
        name = f"comparison_{os.getpid()}"
        client.drop_database(name)
        yield client[name]
        client.drop_database(name)
