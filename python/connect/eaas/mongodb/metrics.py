"""Prometheus metrics of clients and of the event store, with `prometheus-client` (`connect-eaas-mongodb[metrics]`).

    from connect.eaas.mongodb.metrics import MongoMetrics

    MongoMetrics().register()

`register()` observes all clients that are created afterwards, those of `from_config` included. To observe some clients
only, pass the listeners to each: `AsyncMongoClient(uri, event_listeners=metrics.listeners)`. They observe PyMongo's own
clients too.

The labels have few values: names of commands, outcomes, reasons, types of servers, and on request the servers'
addresses. No metric contains a query, a document, a name of a database or collection, or a user.

The metrics support prometheus-client's multiprocess mode, except for those of the event store: they are of the process
that is scraped, and absent from a multiprocess registry.
"""

from __future__ import annotations

import threading
from collections import Counter as Counts
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from connect.eaas.mongodb._native import store_metrics
from pymongo import monitoring

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
    from prometheus_client.core import CounterMetricFamily, Metric
    from prometheus_client.registry import Collector
except ModuleNotFoundError as _missing:
    if _missing.name != "prometheus_client":
        raise
    raise ModuleNotFoundError(
        "connect.eaas.mongodb.metrics requires prometheus-client: pip install 'connect-eaas-mongodb[metrics]'",
        name=_missing.name,
    ) from None

__all__ = ["COMMANDS", "SECONDS", "MongoMetrics"]

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""The default buckets of durations, in seconds."""

COMMANDS = frozenset(
    {
        "abortTransaction",
        "aggregate",
        "buildInfo",
        "bulkWrite",
        "collMod",
        "collStats",
        "commitTransaction",
        "count",
        "create",
        "createIndexes",
        "createSearchIndexes",
        "dbStats",
        "delete",
        "distinct",
        "drop",
        "dropDatabase",
        "dropIndexes",
        "dropSearchIndex",
        "endSessions",
        "explain",
        "find",
        "findAndModify",
        "getMore",
        "getParameter",
        "hello",
        "insert",
        "killCursors",
        "listCollections",
        "listDatabases",
        "listIndexes",
        "ping",
        "renameCollection",
        "serverStatus",
        "update",
        "updateSearchIndex",
        "validate",
    }
)
"""The names of commands that are labels. Any other command has the label `other`, so that their number is limited."""

_CALLERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_PREFIX = "connect_mongodb_client"


class MongoMetrics:
    """Metrics of clients, and of the event store, in a registry.

    Create one in each process: a registry accepts each metric once.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        by_server: bool = False,
        buckets: Iterable[float] = SECONDS,
    ) -> None:
        """Add the metrics to `registry`, by default prometheus-client's global one.

        `by_server` adds the label `server`, a server's `host:port`, to all metrics of clients but `servers`. `buckets`
        are those of the durations, in seconds.
        """
        registry = REGISTRY if registry is None else registry
        made = _Made(registry, by_server, tuple(buckets))
        self._listeners = [_Commands(made), _Pools(made), _Heartbeats(made), _Topologies(made)]
        registry.register(_EventStore())

    @property
    def listeners(self) -> list[Any]:
        """The listeners for a client's `event_listeners`."""
        return list(self._listeners)

    def register(self) -> None:
        """Observe all clients that are created from now on, with `pymongo.monitoring.register`."""
        for listener in self._listeners:
            monitoring.register(listener)


class _Made:
    """Creates metrics in a registry."""

    def __init__(self, registry: CollectorRegistry, by_server: bool, buckets: Sequence[float]) -> None:
        self._registry = registry
        self._by_server = by_server
        self._buckets = buckets

    def counter(self, name: str, documentation: str, *labels: str) -> _Labelled:
        return self._labelled(Counter, name, documentation, labels)

    def gauge(self, name: str, documentation: str, *labels: str) -> _Labelled:
        return self._labelled(Gauge, name, documentation, labels, multiprocess_mode="livesum")

    def durations(self, name: str, documentation: str, *labels: str) -> _Labelled:
        return self._labelled(Histogram, name, documentation, labels, buckets=self._buckets)

    def sizes(self, name: str, documentation: str) -> _Labelled:
        return self._labelled(Histogram, name, documentation, (), buckets=_CALLERS)

    def servers(self) -> Gauge:
        # Each process of the multiprocess mode sees the same servers.
        return Gauge(
            f"{_PREFIX}_servers",
            "Servers in the topologies of all clients, by type.",
            ["type"],
            multiprocess_mode="livemax",
            registry=self._registry,
        )

    def _labelled(self, kind: Any, name: str, documentation: str, labels: tuple[str, ...], **options: Any) -> _Labelled:
        names = [*labels, "server"] if self._by_server else list(labels)
        metric = kind(f"{_PREFIX}_{name}", documentation, names, registry=self._registry, **options)
        return _Labelled(metric, self._by_server)


class _Labelled:
    """A metric, and its children by their labels, which prometheus-client finds only under a lock."""

    def __init__(self, metric: Any, by_server: bool) -> None:
        self._metric = metric
        self._by_server = by_server
        self._children: dict[tuple[Any, ...], Any] = {}

    def of(self, server: Any, *labels: str) -> Any:
        """Return the child with these labels."""
        key = (*labels, server) if self._by_server else labels
        child = self._children.get(key)
        if child is None:
            values = (*labels, _address(server)) if self._by_server else labels
            child = self._children[key] = self._metric.labels(*values) if values else self._metric
        return child


def _address(server: Any) -> str:
    host, port = server
    if port is None:
        return str(host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Commands(monitoring.CommandListener):
    """Commands: durations, failures, and how many inserts are merged."""

    def __init__(self, made: _Made) -> None:
        self._durations = made.durations(
            "command_duration_seconds",
            "Time from sending a command to its reply, by command and outcome (succeeded, failed, cancelled).",
            "command",
            "outcome",
        )
        self._in_progress = made.gauge("commands_in_progress", "Commands that await their reply.")
        self._callers = made.sizes("insert_callers", "Calls whose documents one insert command contains.")

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self._in_progress.of(event.connection_id).inc()
        if event.command_name == "insert":
            self._callers.of(event.connection_id).observe(len(getattr(event, "callers", ())) or 1)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._ended(event, "succeeded")

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        cancelled = event.failure.get("errtype") == "CancelledError"
        self._ended(event, "cancelled" if cancelled else "failed")

    def _ended(self, event: Any, outcome: str) -> None:
        name = event.command_name if event.command_name in COMMANDS else "other"
        self._durations.of(event.connection_id, name, outcome).observe(event.duration_micros / 1e6)
        self._in_progress.of(event.connection_id).dec()


class _Pools(monitoring.ConnectionPoolListener):
    """Connection pools: connections, and the wait for them."""

    def __init__(self, made: _Made) -> None:
        self._open = made.gauge("pool_connections", "Open connections.")
        self._in_use = made.gauge("pool_connections_in_use", "Connections that run a command.")
        self._waiting = made.gauge("pool_waiting", "Commands that wait for a connection.")
        self._checkouts = made.durations(
            "pool_checkout_seconds", "Time that a command waited for a connection, by outcome.", "outcome"
        )
        self._setups = made.durations("pool_connection_setup_seconds", "Time to establish a connection.")
        self._closed = made.counter("pool_connections_closed", "Closed connections, by reason.", "reason")
        self._cleared = made.counter("pool_cleared", "How often all connections to a server were discarded.")

    def pool_created(self, event: monitoring.PoolCreatedEvent) -> None:
        pass

    def pool_ready(self, event: monitoring.PoolReadyEvent) -> None:
        pass

    def pool_cleared(self, event: monitoring.PoolClearedEvent) -> None:
        self._cleared.of(event.address).inc()

    def pool_closed(self, event: monitoring.PoolClosedEvent) -> None:
        pass

    def connection_created(self, event: monitoring.ConnectionCreatedEvent) -> None:
        self._open.of(event.address).inc()

    def connection_ready(self, event: monitoring.ConnectionReadyEvent) -> None:
        self._setups.of(event.address).observe(event.duration)

    def connection_closed(self, event: monitoring.ConnectionClosedEvent) -> None:
        self._open.of(event.address).dec()
        self._closed.of(event.address, event.reason).inc()

    def connection_check_out_started(self, event: monitoring.ConnectionCheckOutStartedEvent) -> None:
        self._waiting.of(event.address).inc()

    def connection_check_out_failed(self, event: monitoring.ConnectionCheckOutFailedEvent) -> None:
        self._waiting.of(event.address).dec()
        self._checkouts.of(event.address, "failed").observe(event.duration)

    def connection_checked_out(self, event: monitoring.ConnectionCheckedOutEvent) -> None:
        self._waiting.of(event.address).dec()
        self._in_use.of(event.address).inc()
        self._checkouts.of(event.address, "succeeded").observe(event.duration)

    def connection_checked_in(self, event: monitoring.ConnectionCheckedInEvent) -> None:
        self._in_use.of(event.address).dec()


class _Heartbeats(monitoring.ServerHeartbeatListener):
    """Heartbeats of the servers."""

    def __init__(self, made: _Made) -> None:
        self._heartbeats = made.counter("heartbeats", "Checks of a server, by outcome.", "outcome")
        self._durations = made.durations(
            "heartbeat_duration_seconds", "Time of a check that the server answers at once."
        )

    def started(self, event: monitoring.ServerHeartbeatStartedEvent) -> None:
        pass

    def succeeded(self, event: monitoring.ServerHeartbeatSucceededEvent) -> None:
        self._heartbeats.of(event.connection_id, "succeeded").inc()
        # A server answers an awaited check when something changes, or after a time.
        if not event.awaited:
            self._durations.of(event.connection_id).observe(event.duration)

    def failed(self, event: monitoring.ServerHeartbeatFailedEvent) -> None:
        self._heartbeats.of(event.connection_id, "failed").inc()


class _Topologies(monitoring.TopologyListener):
    """The types of the servers that clients know."""

    def __init__(self, made: _Made) -> None:
        self._servers = made.servers()
        self._lock = threading.Lock()
        self._by_topology: dict[Any, Counts[str]] = {}

    def opened(self, event: monitoring.TopologyOpenedEvent) -> None:
        pass

    def description_changed(self, event: monitoring.TopologyDescriptionChangedEvent) -> None:
        servers = event.new_description.server_descriptions().values()
        self._set(event.topology_id, Counts(server.server_type_name for server in servers))

    def closed(self, event: monitoring.TopologyClosedEvent) -> None:
        self._set(event.topology_id, Counts())

    def _set(self, topology: Any, servers: Counts[str]) -> None:
        with self._lock:
            before = self._by_topology.pop(topology, Counts[str]())
            if servers:
                self._by_topology[topology] = servers
            for kind in before | servers:
                self._servers.labels(kind).inc(servers[kind] - before[kind])


class _EventStore(Collector):
    """The event store's counters in this process."""

    def collect(self) -> Iterator[Metric]:
        counts = store_metrics()
        saved = CounterMetricFamily(
            "connect_mongodb_store_events",
            "Saved events, by outcome (stored, duplicate, unstorable).",
            labels=["outcome"],
        )
        for outcome in ("stored", "duplicate", "unstorable"):
            saved.add_metric([outcome], counts[f"events_{outcome}"])
        yield saved
        yield CounterMetricFamily(
            "connect_mongodb_store_deviating_events",
            "Events that deviate from their model.",
            counts["events_deviating"],
        )
        yield CounterMetricFamily(
            "connect_mongodb_store_dead_letters", "Dead letters that were written.", counts["dead_letters"]
        )
