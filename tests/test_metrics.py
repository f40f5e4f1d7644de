"""`connect.eaas.mongodb.metrics`: what a scrape shows after calls."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymongo
import pytest
from connect.eaas.mongodb import AsyncEventStore, AsyncMongoClient, MongoClient
from connect.eaas.mongodb.metrics import COMMANDS, SECONDS, MongoMetrics
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from pymongo.errors import OperationFailure, ServerSelectionTimeoutError

from tests.servers import free_port, secantusdb

PAGE = Path(__file__).parents[1] / "docs" / "monitoring.md"
CLIENT = "connect_mongodb_client_"
STORE = "connect_mongodb_store_"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


Scraped = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(registry: CollectorRegistry) -> Scraped:
    """What Prometheus reads."""
    return parsed(generate_latest(registry).decode())


def parsed(shown: str) -> Scraped:
    """Each sample's value, by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(shown)
        for sample in family.samples
    }


def value(scraped: Scraped, name: str, **labels: str) -> float:
    return scraped.get((name, tuple(sorted(labels.items()))), 0.0)


def names(scraped: Scraped) -> set[str]:
    return {name for name, _ in scraped}


async def test_commands_are_counted_by_name_and_outcome(
    mongodb_uri: str, names: tuple[str, str], registry: CollectorRegistry
) -> None:
    metrics = MongoMetrics(registry)
    async with AsyncMongoClient(mongodb_uri, event_listeners=metrics.listeners) as client:
        collection = client[names[0]][names[1]]
        await asyncio.gather(*(collection.insert_one({"_id": number}) for number in range(100)))
        await collection.find({}, batch_size=60).to_list()
        for command in ("unknown one", "unknown two"):
            with pytest.raises(OperationFailure):
                await client[names[0]].command(command)
        scraped = scrape(registry)
    duration = f"{CLIENT}command_duration_seconds"
    inserts = value(scraped, f"{duration}_count", command="insert", outcome="succeeded")
    # Each of the inserts is counted once, in the command that it was merged into.
    assert value(scraped, f"{CLIENT}insert_callers_sum") == 100
    assert value(scraped, f"{CLIENT}insert_callers_count") == inserts < 100
    assert value(scraped, f"{duration}_count", command="find", outcome="succeeded") == 1
    assert value(scraped, f"{duration}_count", command="getMore", outcome="succeeded") == 1
    assert value(scraped, f"{duration}_count", command="other", outcome="failed") == 2
    assert value(scraped, f"{duration}_sum", command="insert", outcome="succeeded") > 0
    assert value(scraped, f"{duration}_bucket", command="insert", outcome="succeeded", le="+Inf") == inserts
    buckets = {dict(labels).get("le") for name, labels in scraped if name == f"{duration}_bucket"}
    assert buckets == {"+Inf", *(str(seconds) for seconds in SECONDS)}
    assert value(scraped, f"{CLIENT}commands_in_progress") == 0
    shown = generate_latest(registry).decode()
    assert "unknown" not in shown
    assert names[0] not in shown
    assert names[1] not in shown


async def test_pools_heartbeats_and_servers(mongodb_uri: str, registry: CollectorRegistry) -> None:
    metrics = MongoMetrics(registry)
    client: AsyncMongoClient[Any] = AsyncMongoClient(mongodb_uri, event_listeners=metrics.listeners)
    await client.admin.command("ping")
    # A connection is checked in after the reply.
    await until(lambda: value(scrape(registry), f"{CLIENT}pool_connections_in_use") == 0)
    scraped = scrape(registry)
    opened = value(scraped, f"{CLIENT}pool_connections")
    assert opened >= 1
    assert value(scraped, f"{CLIENT}pool_waiting") == 0
    assert value(scraped, f"{CLIENT}pool_checkout_seconds_count", outcome="succeeded") >= 1
    assert value(scraped, f"{CLIENT}pool_connection_setup_seconds_count") == opened
    assert value(scraped, f"{CLIENT}heartbeats_total", outcome="succeeded") >= 1
    assert value(scraped, f"{CLIENT}heartbeat_duration_seconds_count") >= 1
    types = {dict(labels)["type"]: count for (name, labels), count in scraped.items() if name == f"{CLIENT}servers"}
    assert {kind for kind, count in types.items() if count} <= {"RSPrimary", "Standalone"}
    assert sum(types.values()) == 1
    await client.close()
    scraped = scrape(registry)
    assert value(scraped, f"{CLIENT}pool_connections") == 0
    assert value(scraped, f"{CLIENT}pool_connections_closed_total", reason="poolClosed") == opened
    assert sum(count for (name, _), count in scraped.items() if name == f"{CLIENT}servers") == 0


def test_servers_that_do_not_answer(registry: CollectorRegistry) -> None:
    metrics = MongoMetrics(registry)
    uri = f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=200"
    with MongoClient(uri, event_listeners=metrics.listeners) as client:
        with pytest.raises(ServerSelectionTimeoutError):
            client.d.c.find_one()
        scraped = scrape(registry)
    assert value(scraped, f"{CLIENT}heartbeats_total", outcome="failed") >= 1
    assert value(scraped, f"{CLIENT}servers", type="Unknown") == 1
    assert value(scraped, f"{CLIENT}commands_in_progress") == 0


@pytest.mark.parametrize("make", [MongoClient, pymongo.MongoClient], ids=["ours", "pymongo"])
def test_servers_are_labels_on_request(make: Any, mongodb_port: int, registry: CollectorRegistry) -> None:
    """Of PyMongo's clients as well."""
    metrics = MongoMetrics(registry, by_server=True, buckets=[1, 2])
    with make(f"mongodb://127.0.0.1:{mongodb_port}/", event_listeners=metrics.listeners) as client:
        client.admin.command("ping")
        scraped = scrape(registry)
    server = f"127.0.0.1:{mongodb_port}"
    duration = f"{CLIENT}command_duration_seconds"
    assert value(scraped, f"{duration}_count", command="ping", outcome="succeeded", server=server) == 1
    assert value(scraped, f"{CLIENT}pool_connections", server=server) >= 1
    assert {dict(labels)["le"] for name, labels in scraped if name == f"{duration}_bucket"} == {"1.0", "2.0", "+Inf"}


async def test_cancelled_commands_are_no_longer_in_progress(registry: CollectorRegistry) -> None:
    metrics = MongoMetrics(registry)
    with secantusdb(0, None, "--enable-test-commands") as (_, port):
        async with AsyncMongoClient(f"mongodb://127.0.0.1:{port}/", event_listeners=metrics.listeners) as client:
            block = {"failCommands": ["find"], "blockConnection": True, "blockTimeMS": 500}
            await client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": block})
            task = asyncio.create_task(client.d.c.find_one())
            await until(lambda: value(scrape(registry), f"{CLIENT}commands_in_progress") == 1)
            task.cancel()
            await until(lambda: value(scrape(registry), f"{CLIENT}commands_in_progress") == 0)
            duration = f"{CLIENT}command_duration_seconds_count"
            assert value(scrape(registry), duration, command="find", outcome="cancelled") == 1


async def until(reached: Callable[[], bool]) -> None:
    for _ in range(4000):
        if reached():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("the state was not reached")


async def test_the_event_store(mongodb_uri: str, names: tuple[str, str], registry: CollectorRegistry) -> None:
    MongoMetrics(registry)
    before = scrape(registry)
    async with AsyncMongoClient(mongodb_uri) as client:
        store = AsyncEventStore(client[names[0]][names[1]])
        for identity in ("PR-1", "PR-2", "PR-1", "PR-1"):
            await store.save("asset_purchase_request_processing", {"id": identity})
    after = scrape(registry)
    saved = {
        outcome: value(after, f"{STORE}events_total", outcome=outcome)
        - value(before, f"{STORE}events_total", outcome=outcome)
        for outcome in ("stored", "duplicate", "unstorable")
    }
    assert saved == {"stored": 2, "duplicate": 2, "unstorable": 0}


def test_the_page_lists_the_metrics(mongodb_uri: str, registry: CollectorRegistry) -> None:
    """Each with its type and its labels, and the command names that are labels are those of this package."""
    rows = re.findall(
        r"^\| `(connect_mongodb_\w+)` \| (\w+) \| ([^|]*)\|", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    metrics = MongoMetrics(registry)
    with MongoClient(mongodb_uri, event_listeners=metrics.listeners) as client:
        client.d.c.insert_one({})
        client.d.c.drop()
    unused = {"pool_cleared", "heartbeat_duration_seconds"}
    found = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        if family.name.endswith("_created"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert family.samples or family.name.removeprefix(CLIENT) in unused
        found[name] = (family.type, labels)
    assert documented == found
    assert {"insert", "find", "getMore", "findAndModify", "commitTransaction"} <= COMMANDS


# In processes of their own: the registrations are the process's.
def run(script: str, *arguments: str, **environment: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment}, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_of_the_documentation(config: dict[str, str]) -> None:
    """It observes the clients of `from_config`."""
    [example] = re.findall(r"```python\n(from connect.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    script = f"{example}\n" + textwrap.dedent("""
        import json, sys
        from connect.eaas.mongodb import MongoClient
        from prometheus_client import generate_latest
        MongoClient.from_config(json.loads(sys.argv[1])).get_default_collection().insert_one({})
        print(generate_latest().decode())
    """)
    scraped = parsed(run(script, json.dumps(config)))
    assert value(scraped, f"{CLIENT}command_duration_seconds_count", command="insert", outcome="succeeded") == 1


def test_the_multiprocess_mode(config: dict[str, str], tmp_path: Path) -> None:
    """A scrape adds up the processes."""
    script = """
        import json, os, sys
        from connect.eaas.mongodb import MongoClient
        from connect.eaas.mongodb.metrics import MongoMetrics
        from prometheus_client import CollectorRegistry, generate_latest, multiprocess

        MongoMetrics().register()
        for _ in range(3):
            child = os.fork()
            if child == 0:
                collection = MongoClient.from_config(json.loads(sys.argv[1])).get_default_collection()
                collection.insert_one({})
                collection.find_one()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            multiprocess.mark_process_dead(child)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        print(generate_latest(registry).decode())
    """
    scraped = parsed(run(script, json.dumps(config), PROMETHEUS_MULTIPROC_DIR=str(tmp_path)))
    duration = f"{CLIENT}command_duration_seconds_count"
    assert value(scraped, duration, command="insert", outcome="succeeded") == 3
    assert value(scraped, duration, command="find", outcome="succeeded") == 3
    assert not any(name.startswith(STORE) for name in names(scraped))


def test_without_prometheus_client_the_error_names_the_extra() -> None:
    script = """
        import sys
        sys.modules["prometheus_client"] = None
        try:
            import connect.eaas.mongodb.metrics
        except ModuleNotFoundError as error:
            print(error)
    """
    assert "pip install 'connect-eaas-mongodb[metrics]'" in run(script)
