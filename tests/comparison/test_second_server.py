"""The same cases on nx-27017, a server that shares no code with SecantusDB: what holds on both is no server's habit.

`make test` runs the cases of reading and writing documents. `make test-nx` runs all that the server is able to, awaited
too, and checks the list of what it does differently.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from bson import Decimal128

from tests.comparison import harness
from tests.comparison.blocking import drive
from tests.comparison.cases import CASES
from tests.comparison.differences import DIFFERENT, MAY_DIFFER, NX_DIFFERENT, NX_UNABLE, differing
from tests.servers import GIVEN_URI, nx_27017

Both = tuple[harness.Side, harness.Side]

COMPLETE = os.environ.get("TEST_SERVER") == "nx-27017"
ABLE = [name for name in CASES if name not in NX_UNABLE and name.partition(":")[0] not in NX_UNABLE]
# Differences from PyMongo on purpose are shown on SecantusDB.
COMPARED = [name for name in ABLE if name not in {*DIFFERENT, *NX_DIFFERENT, *MAY_DIFFER}]
DOCUMENTS = (
    "insert_",
    "update_",
    "replace_",
    "delete_",
    "find_one",
    "find:",
    "cursor:",
    "counts",
    "bulk_write",
    "client.bulk",
)
FAST = [name for name in COMPARED if name.startswith(DOCUMENTS)]


@pytest.fixture(scope="module")
def nx_uri() -> Iterator[str]:
    if GIVEN_URI:
        pytest.skip("starts a server of its own, and TEST_MONGODB_URI names another")
    with nx_27017() as (_, port), pytest.MonkeyPatch.context() as patch:
        # It sends the number 1 as an integer, which PyMongo's results show as it is.
        patch.setattr(harness, "VOLATILE", {*harness.VOLATILE, "ok"})
        yield f"mongodb://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def nx_setup(nx_uri: str) -> Iterator[Any]:
    with harness.reader(nx_uri) as client:
        yield client["comparison"]


@pytest.fixture(scope="module")
def nx_blocking(nx_uri: str) -> Iterator[Both]:
    opened = harness.opened(harness.sides(nx_uri, blocking=True))
    yield drive(opened.__aenter__())
    drive(opened.__aexit__(None, None, None))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nx_awaited(nx_uri: str) -> AsyncIterator[Both]:
    async with harness.opened(harness.sides(nx_uri)) as both:
        yield both


def storable(value: Any) -> Any:
    """A document that the server can store: it has no decimals."""
    if isinstance(value, Decimal128):
        return float(value.to_decimal())
    if isinstance(value, dict):
        return {key: storable(item) for key, item in value.items()}
    return [storable(item) for item in value] if isinstance(value, list) else value


def case_of(name: str) -> harness.Case:
    case = CASES[name]
    return replace(case, documents=[storable(document) for document in case.documents])


@pytest.mark.parametrize("name", COMPARED if COMPLETE else FAST)
def test_a_call_does_what_pymongos_does(name: str, nx_blocking: Both, nx_setup: Any) -> None:
    drive(harness.compare(case_of(name), *nx_blocking, nx_setup))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", [name for name in COMPARED if COMPLETE and CASES[name].awaited])
async def test_an_awaited_call_does_what_pymongos_does(name: str, nx_awaited: Both, nx_setup: Any) -> None:
    await asyncio.wait_for(harness.compare(case_of(name), *nx_awaited, nx_setup), harness.CASE_SECONDS)


@pytest.mark.parametrize("name", NX_DIFFERENT if COMPLETE else [])
def test_what_the_server_does_differently_still_differs(name: str, nx_blocking: Both, nx_setup: Any) -> None:
    """What has come to be the same is taken out of the list."""
    with differing(name, NX_DIFFERENT):
        drive(harness.compare(case_of(name), *nx_blocking, nx_setup))


def test_the_lists_name_cases() -> None:
    groups = {name.partition(":")[0] for name in CASES}
    assert set(NX_DIFFERENT) <= set(CASES)
    assert set(NX_UNABLE) <= set(CASES) | groups
    assert not set(NX_DIFFERENT) & set(DIFFERENT)
    assert len(FAST) >= 250
