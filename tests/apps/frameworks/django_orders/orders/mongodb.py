"""The clients of a process, made when they are first needed: a server that forks has none to inherit."""

from __future__ import annotations

import atexit
from functools import cache
from typing import Any

from django.conf import settings
from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.database import Database


@cache
def client() -> MongoClient[dict[str, Any]]:
    client: MongoClient[dict[str, Any]] = MongoClient(
        settings.MONGODB["URI"], tz_aware=True, appname="orders", maxPoolSize=10
    )
    atexit.register(client.close)
    return client


def database() -> Database[dict[str, Any]]:
    return client()[settings.MONGODB["DB"]]


def async_database() -> AsyncDatabase[dict[str, Any]]:
    """That of a view: Django's ASGI handler may run each request of a test in a loop of its own."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(settings.MONGODB["URI"], tz_aware=True)
    return client[settings.MONGODB["DB"]]
