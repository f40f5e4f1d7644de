"""`manage.py import_orders FILE`: store orders, all or none with `--atomic`."""

from __future__ import annotations

import csv
from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from pymongo import ASCENDING, InsertOne, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.client_session_shared import TransactionOptions
from pymongo.errors import BulkWriteError, DuplicateKeyError
from pymongo.write_concern import WriteConcern

from orders.mongodb import client, database


class Command(BaseCommand):
    help = "Import orders from a CSV file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--atomic", action="store_true")
        parser.add_argument("--update", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        orders = database().orders
        orders.create_index([("number", ASCENDING)], unique=True)
        with options["file"].open(newline="") as file:
            rows = [self.order(row) for row in csv.DictReader(file)]
        if options["atomic"]:
            self.all_or_none(rows)
        else:
            self.as_many_as_possible(rows, update=options["update"])

    def order(self, row: dict[str, str]) -> dict[str, Any]:
        created = timezone.make_aware(datetime.fromisoformat(row["created"]))
        return {"number": int(row["number"]), "status": row["status"], "created": created}

    def all_or_none(self, rows: list[dict[str, Any]]) -> None:
        def store(session: ClientSession) -> int:
            database().orders.insert_many(rows, session=session)
            database().imports.insert_one({"count": len(rows)}, session=session)
            return len(rows)

        options = TransactionOptions(write_concern=WriteConcern("majority"))
        with client().start_session(default_transaction_options=options) as session:
            try:
                stored = session.with_transaction(store)
            except (BulkWriteError, DuplicateKeyError) as error:
                raise CommandError(f"nothing was imported: code {error.code}") from error
        self.stdout.write(self.style.SUCCESS(f"imported {stored}"))

    def as_many_as_possible(self, rows: list[dict[str, Any]], update: bool) -> None:
        writes: list[Any] = [
            UpdateOne({"number": row["number"]}, {"$set": row}, upsert=True) if update else InsertOne(row)
            for row in rows
        ]
        try:
            result = database().orders.bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            wrong = [f"line {one['index'] + 2}: code {one['code']}" for one in error.details["writeErrors"]]
            self.stderr.write("\n".join(wrong))
            raise CommandError(f"imported {error.details['nInserted']} of {len(rows)}") from error
        self.stdout.write(
            f"inserted {result.inserted_count}, matched {result.matched_count}, upserted {result.upserted_count}"
        )
