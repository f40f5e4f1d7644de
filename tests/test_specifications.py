"""MongoDB's specification tests: where PyMongo passes a test, so does this package.

The tests are those of PyMongo's source distribution: `make test-specifications`. Without them, this module is skipped.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import connect.eaas.mongodb as library
import pymongo
import pytest
from pymongo import common

from tests.servers import secantusdb
from tests.specifications import runner

FOLDER = os.environ.get("MONGODB_SPECIFICATIONS")
SUITES = [
    "crud/unified",
    "sessions",
    "transactions/unified",
    "transactions-convenient-api/unified",
    "change_streams/unified",
    "command_monitoring",
    "collection_management",
    "index_management",
    "read_write_concern/operation",
    "retryable_reads/unified",
    "retryable_writes/unified",
    "run_command/unified",
    "versioned-api",
    "causal_consistency",
]
# A test that takes longer hangs.
TEST_SECONDS = 60

OWN_SESSION = "a retryable write outside a transaction is sent in a session of the client's own"
OWN_NUMBER = "a transaction number is unique in the process, and does not start at 1"
REPLY_OBSERVED = "listeners receive what the server replies to an unacknowledged bulk write"
EMPTY_TRANSACTION = "a transaction without a command has no transaction number"

DIFFERENT: dict[str, str] = {
    "command_monitoring/unacknowledged-client-bulkWrite: A successful mixed client bulkWrite": REPLY_OBSERVED,
    "sessions/driver-sessions-server-support: Server supports implicit sessions": OWN_SESSION,
    "sessions/driver-sessions-dirty-session-errors: Dirty implicit session is discarded (insert)": OWN_NUMBER,
    "sessions/driver-sessions-dirty-session-errors: Dirty implicit session is discarded (findAndModify)": OWN_NUMBER,
    "transactions/commit: rerun commit after empty transaction": EMPTY_TRANSACTION,
    "transactions/commit: multiple commits after empty transaction": EMPTY_TRANSACTION,
    "transactions/commit: reset session state commit": OWN_SESSION,
    "transactions/commit: reset session state abort": OWN_SESSION,
    "transactions/retryable-writes: increment txnNumber": OWN_SESSION,
}
"""Tests that PyMongo passes and this package does not, with the reason. Each must fail."""


def _tests() -> dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]]:
    tests: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
    for suite in SUITES if FOLDER else []:
        for path in sorted((Path(FOLDER or "") / suite).glob("*.json")):
            file = runner.parsed(path.read_text(encoding="utf-8"))
            for test in file["tests"]:
                tests[f"{suite.split('/')[0]}/{path.stem}: {test['description']}"] = (file, test)
    return tests


TESTS = _tests()
pytestmark = pytest.mark.skipif(not TESTS, reason="needs MongoDB's specification tests: make test-specifications")


@pytest.fixture(scope="module")
def server() -> Iterator[runner.Server]:
    """A MongoDB that can be told to fail."""
    with pytest.MonkeyPatch.context() as patch, secantusdb(0, None, "--enable-test-commands") as (_, port):
        # PyMongo looks at a server that has stepped down every half second.
        patch.setattr(common, "MIN_HEARTBEAT_INTERVAL", 0.02)
        server = runner.Server(f"mongodb://127.0.0.1:{port}/")
        yield server
        server.close()


async def _failure(server: runner.Server, name: str, make_client: Any) -> str | None:
    """What a client does not pass of a test."""
    try:
        await asyncio.wait_for(runner.run(server, *TESTS[name], make_client), TEST_SECONDS)
    except runner.NotSupportedError as error:
        pytest.skip(str(error))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


@pytest.mark.parametrize("name", TESTS)
async def test_a_specification_that_pymongo_meets(name: str, server: runner.Server) -> None:
    theirs = await _failure(server, name, pymongo.AsyncMongoClient)
    if theirs is not None:
        pytest.skip(f"PyMongo fails on this server: {theirs}")
    ours = await _failure(server, name, library.AsyncMongoClient)
    if name in DIFFERENT:
        assert ours is not None, f"{name} passes: remove it from DIFFERENT"
    else:
        assert ours is None, ours
