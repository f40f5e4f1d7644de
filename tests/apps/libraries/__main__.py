"""Run one application with one kind of clients, and print its journal."""

from __future__ import annotations

import asyncio
import importlib
import sys

from tests.apps.libraries import Drivers, Journal


def refuse_pymongo() -> None:
    """Let PyMongo's own clients raise an error: a library that made one would prove nothing."""
    import pymongo

    def refuse(self: object, *args: object, **options: object) -> None:
        raise AssertionError(f"a client of PyMongo was made: {type(self)}")

    for client in (pymongo.MongoClient, pymongo.AsyncMongoClient):
        client.__init__ = refuse  # type: ignore[method-assign]


def drivers(how: str, uri: str, database: str) -> Drivers:
    """The clients that an application gets."""
    if how == "given":
        from connect.eaas.mongodb import AsyncMongoClient, MongoClient

        return Drivers(how, uri, database, MongoClient, AsyncMongoClient, AsyncMongoClient)
    if how == "installed":
        from connect.eaas.mongodb import install

        install()
    import pymongo
    from motor.motor_asyncio import AsyncIOMotorClient

    return Drivers(how, uri, database, pymongo.MongoClient, pymongo.AsyncMongoClient, AsyncIOMotorClient)


def main() -> None:
    application, how, uri, database = sys.argv[1:]
    if how != "pymongo":
        refuse_pymongo()
    clients = drivers(how, uri, database)
    module = importlib.import_module(f"tests.apps.libraries.with_{application}")
    journal = Journal()
    asyncio.run(module.main(clients, journal))
    print(journal.text())


if __name__ == "__main__":
    main()
