"""`manage.py report_orders`: counts by status and month, and a check of the views with Django's test clients."""

from __future__ import annotations

import json
from typing import Any

from asgiref.sync import async_to_sync
from django.core.management.base import BaseCommand
from django.test import AsyncClient, Client

from orders.mongodb import database


class Command(BaseCommand):
    help = "Report orders."

    def handle(self, *args: Any, **options: Any) -> None:
        month = {"$dateToString": {"format": "%Y-%m", "date": "$created"}}
        pipeline = [
            {"$group": {"_id": {"status": "$status", "month": month}, "count": {"$sum": 1}}},
            {"$sort": {"_id.status": 1, "_id.month": 1}},
        ]
        for row in database().orders.aggregate(pipeline):
            self.stdout.write(f"{row['_id']['status']} {row['_id']['month']} {row['count']}")
        self.stdout.write(f"imports {database().imports.count_documents({})}")
        lines = b"".join(Client().get("/export").streaming_content).decode().splitlines()
        self.stdout.write(f"exported {[json.loads(line)['number'] for line in lines]}")
        for number in (1, 99):
            answer = async_to_sync(AsyncClient().get)(f"/orders/{number}")
            self.stdout.write(f"{answer.status_code} {answer.content.decode()}")
