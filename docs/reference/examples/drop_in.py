"""`install` and `uninstall`."""

from __future__ import annotations


async def install() -> None:
    from connect.eaas.mongodb import install

    # Before libraries import PyMongo's classes.
    install()

    from pymongo import MongoClient

    print(MongoClient.__module__)  # connect.eaas.mongodb


async def uninstall() -> None:
    from connect.eaas.mongodb import install, uninstall

    install()
    uninstall()

    from pymongo import MongoClient

    print(MongoClient.__module__)  # pymongo.synchronous.mongo_client
