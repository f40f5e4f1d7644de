"""Publishes the driver's events to PyMongo's event listeners.

The listeners are PyMongo's own classes (`pymongo.monitoring`), passed to a client as `event_listeners=[…]` or
registered for all clients with `pymongo.monitoring.register`, as tracing libraries do. The events of commands are
subclasses of PyMongo's, with the contexts of all callers whose calls a command executes.
"""

from __future__ import annotations

import contextvars
import datetime
import time
import traceback
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Protocol

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import monitoring
from pymongo.errors import AutoReconnect
from pymongo.hello import Hello
from pymongo.server_description import ServerDescription
from pymongo.topology_description import TopologyDescription

_KINDS = (
    monitoring.CommandListener,
    monitoring.ConnectionPoolListener,
    monitoring.ServerHeartbeatListener,
    monitoring.ServerListener,
    monitoring.TopologyListener,
)

# Decodes values that PyMongo's default codec options reject.
LENIENT: Any = CodecOptions(
    unicode_decode_error_handler="replace", datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


def check_listeners(listeners: Any) -> list[Any]:
    """Return the listeners of `event_listeners`; raise `TypeError` if one is not a listener."""
    if not isinstance(listeners, Sequence):
        raise TypeError(f"event_listeners must be a list or a tuple, not {type(listeners)}")
    for listener in listeners:
        if not isinstance(listener, _KINDS):
            raise TypeError(
                "Listeners for event_listeners must be either a CommandListener, ServerHeartbeatListener, "
                f"ServerListener, TopologyListener, or ConnectionPoolListener, not {type(listener)}"
            )
    return list(listeners)


class Body(Protocol):
    """A command or a reply."""

    def decode(self) -> dict[str, Any]:
        """Return the document."""


class CommandStartedEvent(monitoring.CommandStartedEvent):
    """PyMongo's event, whose command is decoded when it is first read."""

    __slots__ = ("_body", "_document", "callers")

    callers: tuple[contextvars.Context, ...]
    """The contexts of the callers, in the order of their documents in a merged insert; empty if no call caused the
    command. The listener runs in a copy of the first."""

    def __init__(self, body: Body, callers: tuple[contextvars.Context, ...], name: str, **common: Any) -> None:
        """Create the event from the command, which is empty if it contains secrets."""
        super().__init__({name: 1}, **common)
        self.callers = callers
        self._body = body
        self._document: Mapping[str, Any] | None = None

    @property
    def command(self) -> Any:
        """The command document, or an empty one if it contains secrets."""
        if self._document is None:
            self._document = self._body.decode()
        return self._document


class CommandSucceededEvent(monitoring.CommandSucceededEvent):
    """PyMongo's event, whose reply is decoded when it is first read."""

    __slots__ = ("_body", "_document", "callers")

    callers: tuple[contextvars.Context, ...]
    """The contexts of the callers, as in `CommandStartedEvent`."""

    def __init__(
        self, body: Body, callers: tuple[contextvars.Context, ...], duration: datetime.timedelta, **common: Any
    ) -> None:
        """Create the event from the reply, which is empty if the command contains secrets."""
        super().__init__(duration, {}, **common)
        self.callers = callers
        self._body = body
        self._document: Mapping[str, Any] | None = None

    @property
    def reply(self) -> Any:
        """The reply, or an empty document if the command contains secrets."""
        if self._document is None:
            self._document = self._body.decode()
        return self._document


class CommandFailedEvent(monitoring.CommandFailedEvent):
    """PyMongo's event."""

    __slots__ = ("callers",)

    callers: tuple[contextvars.Context, ...]
    """The contexts of the callers, as in `CommandStartedEvent`."""

    def __init__(
        self, callers: tuple[contextvars.Context, ...], duration: datetime.timedelta, failure: Any, **common: Any
    ) -> None:
        """Create the event from the server's error."""
        super().__init__(duration, failure, **common)
        self.callers = callers


def _address(address: Sequence[Any]) -> Any:
    return (address[0], address[1])


def _seconds(fields: dict[str, Any]) -> datetime.timedelta:
    return datetime.timedelta(seconds=fields["duration"])


def server_description(fields: dict[str, Any]) -> ServerDescription:
    """Return PyMongo's description of a server."""
    error = AutoReconnect(fields["error"]) if "error" in fields else None
    hello = Hello(fields["hello"]) if "hello" in fields else None
    return ServerDescription(_address(fields["address"]), hello, fields.get("round_trip_time"), error)


def topology_description(fields: dict[str, Any], topology_id: Any = None) -> TopologyDescription:
    """Return PyMongo's description of a topology."""
    servers = [server_description(server) for server in fields.get("servers", [])]
    return TopologyDescription(
        fields.get("topology_type", 4),
        {server.address: server for server in servers},
        fields.get("replica_set_name"),
        fields.get("max_set_version"),
        fields.get("max_election_id"),
        SimpleNamespace(_topology_id=topology_id, heartbeat_frequency=10.0),
    )


class Publisher:
    """Calls the listeners of a client."""

    def __init__(self, listeners: list[Any]) -> None:
        registered = getattr(monitoring, "_LISTENERS", None)
        self._listeners = [one for kind in registered or () for one in kind]
        self._listeners += listeners
        # The databases of commands in progress, which only the first event has, and their start, by request id.
        self._in_progress: dict[int, tuple[dict[str, Any], float]] = {}

    def _wants(self, *kinds: type[Any]) -> bool:
        return any(isinstance(listener, kinds) for listener in self._listeners)

    @property
    def commands(self) -> bool:
        """Whether a listener receives command events."""
        return self._wants(monitoring.CommandListener)

    @property
    def pools(self) -> bool:
        """Whether a listener receives connection pool events."""
        return self._wants(monitoring.ConnectionPoolListener)

    @property
    def servers(self) -> bool:
        """Whether a listener receives server, heartbeat or topology events."""
        return self._wants(monitoring.ServerHeartbeatListener, monitoring.ServerListener, monitoring.TopologyListener)

    def publish(self, name: str, fields: dict[str, Any]) -> None:
        """Create the event, and call the listeners of its kind."""
        if name == "command_interrupted":
            self._interrupt(fields)
        else:
            self._call(*getattr(self, f"_{name}")(fields))

    def _call(self, kind: type[Any], method: str, event: Any) -> None:
        for listener in self._listeners:
            if isinstance(listener, kind):
                try:
                    getattr(listener, method)(event)
                except Exception:  # As with PyMongo, an error of a listener does not affect the operation.
                    traceback.print_exc()

    def _command(self, fields: dict[str, Any], database: str) -> dict[str, Any]:
        return {
            "callers": fields.get("callers", ()),
            "request_id": fields["request_id"],
            "connection_id": _address(fields["connection_id"]),
            # Commands that no call caused have no operation.
            "operation_id": fields.get("operation_id", fields["request_id"]),
            "service_id": fields["service_id"],
            "server_connection_id": fields["server_connection_id"],
            "database_name": database,
        }

    def _command_started(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        body = fields.pop("body")
        self._in_progress[fields["request_id"]] = (fields, time.monotonic())
        common = self._command(fields, fields["database_name"])
        event = CommandStartedEvent(body, name=fields["command_name"], **common)
        return monitoring.CommandListener, "started", event

    def _ended(self, fields: dict[str, Any]) -> dict[str, Any]:
        started, _ = self._in_progress.pop(fields["request_id"], ({}, 0.0))
        common = self._command(fields, started.get("database_name", ""))
        return {**common, "command_name": fields["command_name"]}

    def _command_succeeded(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        event = CommandSucceededEvent(fields["body"], duration=_seconds(fields), **self._ended(fields))
        return monitoring.CommandListener, "succeeded", event

    def _command_failed(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        event = CommandFailedEvent(duration=_seconds(fields), failure=fields["failure"], **self._ended(fields))
        return monitoring.CommandListener, "failed", event

    def _interrupt(self, fields: dict[str, Any]) -> None:
        """End the commands of an operation that was cancelled, whose end the driver does not report."""
        operation = fields["operation_id"]
        interrupted = [one for one in self._in_progress.values() if one[0].get("operation_id") == operation]
        for started, since in interrupted:
            failure = {"errmsg": "operation interrupted by CancelledError", "errtype": "CancelledError"}
            ended = {**started, "duration": time.monotonic() - since, "failure": failure}
            self._call(*self._command_failed(ended))

    def _pool_created(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        event = monitoring.PoolCreatedEvent(_address(fields["address"]), fields["options"])
        return monitoring.ConnectionPoolListener, "pool_created", event

    def _pool_ready(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        return monitoring.ConnectionPoolListener, "pool_ready", monitoring.PoolReadyEvent(_address(fields["address"]))

    def _pool_cleared(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        event = monitoring.PoolClearedEvent(
            _address(fields["address"]), fields["service_id"], interrupt_connections=fields["interrupt_connections"]
        )
        return monitoring.ConnectionPoolListener, "pool_cleared", event

    def _pool_closed(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        return monitoring.ConnectionPoolListener, "pool_closed", monitoring.PoolClosedEvent(_address(fields["address"]))

    def _connection_created(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        event = monitoring.ConnectionCreatedEvent(_address(fields["address"]), fields["connection_id"])
        return monitoring.ConnectionPoolListener, "connection_created", event

    def _connection_ready(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        event = monitoring.ConnectionReadyEvent(
            _address(fields["address"]), fields["connection_id"], fields["duration"]
        )
        return monitoring.ConnectionPoolListener, "connection_ready", event

    def _connection_closed(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        event = monitoring.ConnectionClosedEvent(_address(fields["address"]), fields["connection_id"], fields["reason"])
        return monitoring.ConnectionPoolListener, "connection_closed", event

    def _connection_check_out_started(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        event = monitoring.ConnectionCheckOutStartedEvent(_address(fields["address"]))
        return monitoring.ConnectionPoolListener, "connection_check_out_started", event

    def _connection_check_out_failed(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        event = monitoring.ConnectionCheckOutFailedEvent(
            _address(fields["address"]), fields["reason"], fields["duration"]
        )
        return monitoring.ConnectionPoolListener, "connection_check_out_failed", event

    def _connection_checked_out(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        event = monitoring.ConnectionCheckedOutEvent(
            _address(fields["address"]), fields["connection_id"], fields["duration"]
        )
        return monitoring.ConnectionPoolListener, "connection_checked_out", event

    def _connection_checked_in(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        event = monitoring.ConnectionCheckedInEvent(_address(fields["address"]), fields["connection_id"])
        return monitoring.ConnectionPoolListener, "connection_checked_in", event

    def _heartbeat_started(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        event = monitoring.ServerHeartbeatStartedEvent(_address(fields["connection_id"]), fields["awaited"])
        return monitoring.ServerHeartbeatListener, "started", event

    def _heartbeat_succeeded(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        event = monitoring.ServerHeartbeatSucceededEvent(
            fields["duration"], Hello(fields["reply"]), _address(fields["connection_id"]), fields["awaited"]
        )
        return monitoring.ServerHeartbeatListener, "succeeded", event

    def _heartbeat_failed(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        error = AutoReconnect(fields["reply"].get("errmsg", ""))
        event = monitoring.ServerHeartbeatFailedEvent(
            fields["duration"], error, _address(fields["connection_id"]), fields["awaited"]
        )
        return monitoring.ServerHeartbeatListener, "failed", event

    def _server_opening(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        event = monitoring.ServerOpeningEvent(_address(fields["server_address"]), fields["topology_id"])
        return monitoring.ServerListener, "opened", event

    def _server_closed(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        event = monitoring.ServerClosedEvent(_address(fields["server_address"]), fields["topology_id"])
        return monitoring.ServerListener, "closed", event

    def _server_changed(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        event = monitoring.ServerDescriptionChangedEvent(
            server_description(fields["previous_description"]),
            server_description(fields["new_description"]),
            _address(fields["server_address"]),
            fields["topology_id"],
        )
        return monitoring.ServerListener, "description_changed", event

    def _topology_opening(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        return monitoring.TopologyListener, "opened", monitoring.TopologyOpenedEvent(fields["topology_id"])

    def _topology_closed(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        return monitoring.TopologyListener, "closed", monitoring.TopologyClosedEvent(fields["topology_id"])

    def _topology_changed(self, fields: dict[str, Any]) -> tuple[type[Any], str, Any]:
        topology_id = fields["topology_id"]
        event = monitoring.TopologyDescriptionChangedEvent(
            topology_description(fields["previous_description"], topology_id),
            topology_description(fields["new_description"], topology_id),
            topology_id,
        )
        return monitoring.TopologyListener, "description_changed", event


# The attributes of a client that depend on the topology.


def primary(fields: dict[str, Any]) -> Any:
    """Return the primary's address, or `None`."""
    return next(iter(_of_type(fields, "RSPrimary")), None)


def _of_type(fields: dict[str, Any], kind: str) -> set[Any]:
    description = topology_description(fields)
    servers = description.server_descriptions().values()
    return {server.address for server in servers if server.server_type_name == kind}


def secondaries(fields: dict[str, Any]) -> set[Any]:
    """Return the secondaries' addresses."""
    return _of_type(fields, "RSSecondary")


def arbiters(fields: dict[str, Any]) -> set[Any]:
    """Return the arbiters' addresses."""
    return _of_type(fields, "RSArbiter")


def nodes(fields: dict[str, Any]) -> frozenset[Any]:
    """Return the addresses of all known servers."""
    known = topology_description(fields).server_descriptions().values()
    return frozenset(server.address for server in known if server.is_server_type_known)


def address(fields: dict[str, Any]) -> Any:
    """Return the address of the server that receives writes, or `None`."""
    writable = [
        server.address for server in topology_description(fields).server_descriptions().values() if server.is_writable
    ]
    return writable[0] if writable else None


def is_primary(fields: dict[str, Any]) -> bool:
    """Whether the server is writable."""
    return address(fields) is not None


def is_mongos(fields: dict[str, Any]) -> bool:
    """Whether the server is a `mongos` of a sharded cluster."""
    return bool(_of_type(fields, "Mongos"))
