"""The same cases with the clients that block."""

from __future__ import annotations

from typing import Any

import pytest

from tests.comparison import harness
from tests.comparison.blocking import drive
from tests.comparison.cases import CASES
from tests.comparison.differences import differing


@pytest.mark.parametrize("name", CASES)
def test_a_call_does_what_pymongos_does(
    name: str, both_blocking: tuple[harness.Side, harness.Side], setup: Any
) -> None:
    with differing(name):
        drive(harness.compare(CASES[name], *both_blocking, setup))
