"""Orders whose database calls Sentry traces: `python sentry_orders.py URI DATABASE` prints what Sentry would send.

Sentry's integration registers a listener for all clients with `pymongo.monitoring.register`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import sentry_sdk
from pymongo import AsyncMongoClient, InsertOne, MongoClient, UpdateOne
from pymongo.errors import DuplicateKeyError, OperationFailure
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.pymongo import PyMongoIntegration
from sentry_sdk.transport import Transport


class Collected(Transport):
    """Keeps what would be sent."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        for item in envelope.items:
            event = item.get_event() or item.get_transaction_event()
            if event is not None:
                self.events.append(json.loads(json.dumps(event, default=str)))


def place(client: MongoClient[dict[str, Any]], database: str) -> None:
    """A blocking web request."""
    orders = client[database].orders
    orders.create_index("number", unique=True)
    orders.insert_one({"number": 1, "card": "4111 1111"})
    orders.bulk_write([InsertOne({"number": 2}), UpdateOne({"number": 1}, {"$set": {"paid": True}})])
    orders.update_one({"number": 2}, {"$set": {"paid": False}})
    assert orders.find_one({"number": 1}, {"_id": 0}) == {"number": 1, "card": "4111 1111", "paid": True}
    assert len(list(orders.find({}, sort=[("number", 1)]))) == 2
    orders.find_one_and_update({"number": 2}, {"$set": {"note": "late"}})
    assert orders.count_documents({"paid": True}) == 1
    with client.start_session() as session, session.start_transaction():
        orders.delete_one({"number": 2}, session=session)
    try:
        orders.insert_one({"number": 1})
    except DuplicateKeyError as error:
        sentry_sdk.capture_exception(error)
    try:
        client[database].command("noSuchCommand")
    except OperationFailure as error:
        sentry_sdk.capture_exception(error)


async def report(client: AsyncMongoClient[dict[str, Any]], database: str) -> None:
    """An awaited one."""
    orders = client[database].orders
    await orders.insert_many([{"number": number} for number in (3, 4)])
    assert [await one_report(orders, number) for number in (3, 4)] == [1, 1]
    async for order in await orders.aggregate([{"$match": {"number": 3}}, {"$project": {"_id": 0}}]):
        assert order == {"number": 3}
    sentry_sdk.capture_message("reported")


async def one_report(orders: Any, number: int) -> int:
    with sentry_sdk.start_span(op="report", name=f"report {number}"):
        return int(await orders.count_documents({"number": number}))


def main(uri: str, database: str) -> list[dict[str, Any]]:
    """Run both, traced; give the events."""
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:1/1",
        transport=Collected,
        traces_sample_rate=1.0,
        send_default_pii=False,
        default_integrations=False,
        integrations=[PyMongoIntegration()],
    )
    client: MongoClient[dict[str, Any]] = MongoClient(uri)
    with sentry_sdk.start_transaction(op="web", name="place"):
        place(client, database)
    client.close()

    async def awaited() -> None:
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri)
        with sentry_sdk.start_transaction(op="web", name="report"):
            await report(client, database)
        await client.close()

    asyncio.run(awaited())
    sentry_sdk.flush()
    transport = sentry_sdk.get_client().transport
    assert isinstance(transport, Collected)
    return transport.events


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout)
