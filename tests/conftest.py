"""Servers and clients for the tests. All servers are real, and end with the tests."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import pytest
from connect.eaas.mongodb.cli import dev
from pymongo import MongoClient as PyMongoClient

# Those need the runner's environment: `python -m tests.example`.
collect_ignore = ["runner"]

API_KEY = "test-key-of-the-gateway"


@pytest.fixture(scope="session")
def mongodb_port() -> Iterator[int]:
    """The port of a SecantusDB."""
    with dev.mongodb() as (_, port):
        yield port


@pytest.fixture(scope="session")
def mongodb_uri(mongodb_port: int) -> str:
    return f"mongodb://127.0.0.1:{mongodb_port}/"


@pytest.fixture(scope="session")
def pymongo_client(mongodb_uri: str) -> Iterator[PyMongoClient[dict[str, Any]]]:
    """PyMongo, as an independent reader."""
    client: PyMongoClient[dict[str, Any]]
    with PyMongoClient(mongodb_uri, serverSelectionTimeoutMS=10_000) as client:
        yield client


@pytest.fixture(scope="session")
def gateway_url(mongodb_uri: str) -> Iterator[str]:
    """The base URL of a gateway in front of that MongoDB."""
    with dev.gateway(mongodb_uri, API_KEY) as (_, url):
        yield url


_numbers = itertools.count()


@pytest.fixture
def names() -> tuple[str, str]:
    """A database and a collection of the test's own."""
    return f"tests_{os.getpid()}", f"collection_{next(_numbers)}"


@pytest.fixture
def config(mongodb_port: int, gateway_url: str, names: tuple[str, str]) -> dict[str, str]:
    """The variables of both paths, to one collection of the test's own."""
    return {
        "DB": names[0],
        "DATA_API_ENDPOINT": gateway_url,
        "API_KEY": API_KEY,
        "CLUSTER": "Cluster0",
        "HTTP_COLLECTION": names[1],
        "DB_HOST": f"127.0.0.1:{mongodb_port}",
        "DB_USER": "",
        "DB_PASSWORD": "",
        "DRIVER_COLLECTION": names[1],
        "DB_OPTIONS": "",
    }


@pytest.fixture
def reader(pymongo_client: PyMongoClient[dict[str, Any]], names: tuple[str, str]) -> Any:
    """The test's collection, read by PyMongo."""
    return pymongo_client[names[0]][names[1]]
