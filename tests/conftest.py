"""Servers and clients for the tests. All servers are real, and end with the tests.

Each worker of pytest-xdist is a process with servers of its own.
"""

from __future__ import annotations

import gc
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from pymongo import MongoClient as PyMongoClient

from tests.servers import GIVEN_URI, Namespace, gateway, network_namespace, plain_address, secantusdb

# Those need the runner's environment: `python -m tests.example`.
collect_ignore = ["runner"]

API_KEY = "test-key-of-the-gateway"

# The gateway rejects files with keys that other users can read.
os.umask(0o077)

# The same examples in every run, unless `--hypothesis-profile=random` asks for others. Tests build their
# settings from the profile that is loaded when they are imported, so it is loaded here.
settings.register_profile("fixed", derandomize=True, deadline=None, database=None, print_blob=True)
settings.register_profile("random", derandomize=False, deadline=None, database=None, print_blob=True)
settings.load_profile("fixed")


# The databases of tests: with fixed names, and with names that begin like these.
DATABASES = ["app", "elsewhere", "wire"]
PREFIXES = ["comparison_", "end_to_end_", "every_event_", "managers_", "store_event_", "tests_"]


def is_of_tests(database: str) -> bool:
    """Whether tests use a database of this name."""
    return database in DATABASES or database.startswith(tuple(PREFIXES))


# What `--fast` leaves out: modules that compare with PyMongo call by call, run the real runner, or start
# servers and processes of their own in most tests. Property tests are left out too.
SLOW = ["comparison", "test_apps.py", "test_check.py", "test_cli.py", "test_driver.py", "test_end_to_end.py"]
SLOW += ["test_gateway_access.py", "test_gateway_contract.py", "test_gateway_logins.py", "test_gateway_operation.py"]
SLOW += ["test_gateway_limits.py", "test_gateway_server.py", "test_gridfs.py"]
SLOW += ["test_drop_in.py", "test_libraries.py", "test_options.py", "test_tracing.py", "test_unacknowledged.py"]
SLOW += ["test_closing.py", "test_every_event.py", "test_faults.py", "test_frameworks.py", "test_idle.py"]
SLOW += ["test_page_browser.py", "test_page_command.py", "test_page_runner.py", "test_processes.py"]
SLOW += ["test_data_api_samples.py", "test_deployment.py", "test_nginx.py", "test_npm_clients.py"]
SLOW += ["test_typescript_client.py", "test_how_to.py", "test_troubleshooting.py"]
SLOW += ["test_backfill.py", "test_ccli.py", "test_real_objects.py", "test_tutorial.py", "test_web_app.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="leave out slow modules and property tests")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if config.getoption("--fast") and collection_path.name in SLOW else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--fast"):
        items[:] = [item for item in items if item.get_closest_marker("hypothesis") is None]
    # Each worker begins with one part of the list: let no part end with a test that takes a minute.
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    longest = [item for item in items if item.path.name == "test_end_to_end.py"]
    others = [item for item in items if item not in longest]
    for number, item in enumerate(longest):
        others.insert(number % workers * (len(items) // workers), item)
    items[:] = others


def pytest_collection_finish() -> None:
    """Leave what there is now out of each later collection of garbage: many tests ask for one."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def mongodb_uri() -> Iterator[str]:
    """The MongoDB that tests share: that of `TEST_MONGODB_URI`, or a SecantusDB of this process."""
    if GIVEN_URI is not None:
        yield GIVEN_URI
        return
    # A change stream that starts in the past reads all of the oplog.
    with secantusdb(0, None, "--oplog-max-entries", "5000") as (_, port):
        yield f"mongodb://127.0.0.1:{port}/"


@pytest.fixture(scope="session")
def mongodb_address(mongodb_uri: str) -> tuple[str, int]:
    """Its host and port, for tests that connect to it by a proxy of their own."""
    address = plain_address(mongodb_uri)
    if address is None:
        pytest.skip("needs one MongoDB on this machine, without TLS and users, and TEST_MONGODB_URI names another")
    return address


@pytest.fixture(scope="session")
def mongodb_port(mongodb_address: tuple[str, int]) -> int:
    return mongodb_address[1]


@pytest.fixture(scope="session")
def pymongo_client(mongodb_uri: str) -> Iterator[PyMongoClient[dict[str, Any]]]:
    """PyMongo, as an independent reader."""
    client: PyMongoClient[dict[str, Any]]
    with PyMongoClient(mongodb_uri, serverSelectionTimeoutMS=10_000) as client:
        yield client


@pytest.fixture(scope="session", autouse=True)
def given_mongodb(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave nothing in a MongoDB that is not ours, and touch nothing that was there."""
    if GIVEN_URI is None:
        yield
        return
    client = request.getfixturevalue("pymongo_client")
    there = sorted(name for name in client.list_database_names() if is_of_tests(name))
    if there:
        raise pytest.UsageError(
            f"TEST_MONGODB_URI names a MongoDB that has the databases {', '.join(there)}: the tests would change "
            "them. Drop them if an earlier run was killed, or name another MongoDB"
        )
    yield
    for name in client.list_database_names():
        if is_of_tests(name):
            client.drop_database(name)


@pytest.fixture(scope="session")
def gateway_url(mongodb_uri: str) -> Iterator[str]:
    """The base URL of a gateway in front of that MongoDB."""
    with gateway(mongodb_uri, API_KEY) as (_, url):
        yield url


_numbers = itertools.count()


@pytest.fixture
def names() -> tuple[str, str]:
    """A database and a collection of the test's own."""
    return f"tests_{os.getpid()}", f"collection_{next(_numbers)}"


@pytest.fixture
def config(mongodb_uri: str, gateway_url: str, names: tuple[str, str]) -> dict[str, str]:
    """The variables of both paths, to one collection of the test's own."""
    address = plain_address(mongodb_uri)
    return {
        "DB": names[0],
        "DATA_API_ENDPOINT": gateway_url,
        "API_KEY": API_KEY,
        "CLUSTER": "Cluster0",
        "HTTP_COLLECTION": names[1],
        "DB_HOST": f"{address[0]}:{address[1]}" if address else mongodb_uri,
        "DB_USER": "",
        "DB_PASSWORD": "",
        "DRIVER_COLLECTION": names[1],
        "DB_OPTIONS": "",
    }


@pytest.fixture
def reader(pymongo_client: PyMongoClient[dict[str, Any]], names: tuple[str, str]) -> Any:
    """The test's collection, read by PyMongo."""
    return pymongo_client[names[0]][names[1]]


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A network namespace of the test's own."""
    with network_namespace() as made:
        yield made
