"""An application with OpenTelemetry, whose spans are printed: `python -m tests.apps.traced ours|pymongo URI DATABASE`.

It is written for PyMongo. With `ours`, `install()` gives it the classes of this package.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

if sys.argv[1] == "ours":
    from connect.eaas.mongodb import install

    install()

from pymongo import AsyncMongoClient, MongoClient
from pymongo.errors import DuplicateKeyError, OperationFailure, ServerSelectionTimeoutError

PAGE = Path(__file__).parents[2] / "docs" / "monitoring.md"

tracer = trace.get_tracer("application")


async def requests(client: Any, database: str) -> None:
    """Calls one after the other, each in a span of its own."""
    orders = client[database].orders

    async def request(name: str, call: Any) -> None:
        with tracer.start_as_current_span(name):
            await call

    await request("create", orders.insert_one({"_id": 1, "state": "draft"}))
    await request("create many", orders.insert_many([{"_id": number} for number in range(2, 8)]))
    with tracer.start_as_current_span("create again"):
        with contextlib.suppress(DuplicateKeyError):
            await orders.insert_one({"_id": 1})
    await request("read", orders.find({}, batch_size=3).to_list())
    await request("read one", orders.find_one({"_id": 1}))
    await request("change", orders.update_one({"_id": 1}, {"$set": {"state": "sent"}}))
    await request("replace", orders.find_one_and_replace({"_id": 2}, {"state": "new"}))
    await request("count", orders.count_documents({"state": "sent"}))
    await request("delete", orders.delete_many({"_id": {"$gt": 5}}))
    await request("index", orders.create_index("state"))
    with tracer.start_as_current_span("wrong"):
        with contextlib.suppress(OperationFailure):
            await client[database].command("noSuchCommand")
    async with client.start_session() as session:
        with tracer.start_as_current_span("transaction"):
            async with await session.start_transaction():
                await orders.insert_one({"_id": 20}, session=session)
    await orders.find_one({"_id": "no span"})


async def at_once(client: Any, database: str) -> None:
    """Concurrent inserts, each in a span of its own."""

    async def create(number: int) -> None:
        with tracer.start_as_current_span(f"concurrent {number}"):
            await client[database].concurrent.insert_one({"_id": number})

    await asyncio.gather(*(create(number) for number in range(50)))


def blocking(uri: str, database: str) -> None:
    """The same with the blocking client."""
    client: Any
    with MongoClient(uri) as client, tracer.start_as_current_span("blocking"):
        client[database].blocking.insert_one({"_id": 1})
        list(client[database].blocking.find())
    with tracer.start_as_current_span("unreachable"):
        with contextlib.suppress(ServerSelectionTimeoutError):
            MongoClient("mongodb://127.0.0.1:9/", serverSelectionTimeoutMS=50).d.c.find_one()


def shown(span: Any, names: dict[int, str]) -> dict[str, Any]:
    """All of a span that does not depend on chance."""
    return {
        "name": span.name,
        "kind": span.kind.name,
        "parent": names.get(span.parent.span_id) if span.parent else None,
        "attributes": dict(span.attributes),
        "status": [span.status.status_code.name, span.status.description],
        "links": [names.get(link.context.span_id) for link in span.links],
    }


def main() -> None:
    _, _, uri, database = sys.argv
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    # The example of the documentation.
    [example] = re.findall(r"```python\n(from opentelemetry.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(example, {})

    async def run() -> None:
        client: Any
        async with AsyncMongoClient(uri) as client:
            await requests(client, database)
            await at_once(client, database)

    asyncio.run(run())
    blocking(uri, database)
    spans = exporter.get_finished_spans()
    names = {span.context.span_id: span.name for span in spans}
    print(json.dumps({"client": MongoClient.__module__, "spans": [shown(span, names) for span in spans]}))


if __name__ == "__main__":
    main()
