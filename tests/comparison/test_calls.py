"""All cases, awaited."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.comparison import harness
from tests.comparison.cases import CASES, LACKING
from tests.comparison.differences import DIFFERENT, differing


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.awaited])
async def test_a_call_does_what_pymongos_does(name: str, both: tuple[harness.Side, harness.Side], setup: Any) -> None:
    with differing(name):
        await asyncio.wait_for(harness.compare(CASES[name], *both, setup), harness.CASE_SECONDS)


@pytest.mark.parametrize("name", LACKING)
def test_what_the_server_lacks_it_still_lacks(name: str, setup: Any) -> None:
    """What fails here can be compared: move it to the cases."""
    if "secantusVersion" not in setup.client.admin.command("buildInfo"):
        pytest.skip("is of SecantusDB, and TEST_MONGODB_URI names a server of another kind")
    refused = LACKING[name]
    with pytest.raises(refused.error) as told:
        refused.call(setup)
    assert getattr(told.value, "code", None) == refused.code


def test_there_is_enough_to_compare() -> None:
    assert len(CASES) >= 300


def test_what_differs_is_compared() -> None:
    assert set(DIFFERENT) <= set(CASES)
