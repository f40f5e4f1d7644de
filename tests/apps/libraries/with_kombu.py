"""Messages of a marketplace, with MongoDB as Kombu's broker, which is Celery's library for brokers."""

from __future__ import annotations

import asyncio
from typing import Any

from kombu import Connection, Consumer, Exchange, Producer, Queue

from tests.apps.libraries import Drivers, Journal


def drain(connection: Connection, received: list[Any], count: int) -> None:
    """Wait for this number of messages, and see that there are no more."""
    while len(received) < count:
        connection.drain_events(timeout=30)
    try:
        connection.drain_events(timeout=0.3)
    except TimeoutError:
        return


def used(drivers: Drivers, journal: Journal) -> None:
    direct = Queue("requests", Exchange("direct", "direct"), routing_key="new")
    topic = Queue("assets", Exchange("topic", "topic"), routing_key="assets.*")
    everyone = [Queue(name, Exchange("everyone", "fanout")) for name in ("first", "second")]
    options = {"calc_queue_size": True, "polling_interval": 0.02}
    received: list[Any] = []

    def receive(body: Any, message: Any) -> None:
        received.append([message.delivery_info["routing_key"], body])
        if body == {"again": True} and len(received) < 2:
            message.requeue()
        else:
            message.ack()

    servers, _, uri_options = drivers.uri.partition("?")
    with Connection(f"{servers}{drivers.database}?{uri_options}", transport_options=options) as connection:
        channel = connection.channel()
        producer = Producer(channel)
        for number, priority in enumerate((1, 9, 5)):
            producer.publish(
                {"n": number, "ü": [1.5, None]}, "new", priority=priority, exchange=direct.exchange, declare=[direct]
            )
        journal.note("waiting", direct(channel).queue_declare(passive=False).message_count)
        with Consumer(channel, [direct], callbacks=[receive], accept=["json"]):
            drain(connection, received, 3)
        journal.note("by priority", received)
        received.clear()
        producer.publish({"again": True}, "new", exchange=direct.exchange)
        with Consumer(channel, [direct], callbacks=[receive], accept=["json"]):
            drain(connection, received, 2)
        journal.note("requeued", received)
        received.clear()
        for key in ("assets.new", "assets.old", "others.new"):
            producer.publish({"key": key}, key, exchange=topic.exchange, declare=[topic])
        with Consumer(channel, [topic], callbacks=[receive], accept=["json"]):
            drain(connection, received, 2)
        journal.note("by topic", received)
        received.clear()
        with Consumer(channel, everyone, callbacks=[receive], accept=["json"]):
            producer.publish({"to": "all"}, exchange=everyone[0].exchange)
            drain(connection, received, 2)
        journal.note("to all", received)
        for number in range(4):
            producer.publish({"n": number}, "new", exchange=direct.exchange)
        journal.note("purged", direct(channel).purge())
        producer.publish({"stays": True}, "new", exchange=direct.exchange)
        topic(channel).delete()


async def main(drivers: Drivers, journal: Journal) -> None:
    await asyncio.to_thread(used, drivers, journal)
