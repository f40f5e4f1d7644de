"""The options of a client: each verdict of `docs/options.md`, by what both libraries do with the option."""

from __future__ import annotations

import contextlib
import datetime
import subprocess
import sys
import textwrap
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bson
import connect.eaas.mongodb as library
import pymongo
import pytest
import trustme
from bson.codec_options import TypeDecoder, TypeRegistry
from pymongo import common, monitoring
from pymongo.driver_info import DriverInfo
from pymongo.encryption_options import AutoEncryptionOpts
from pymongo.read_preferences import Nearest
from pymongo.server_api import ServerApi

from scripts import client_options, compatibility
from tests.servers import free_port, secantusdb
from tests.wiretap import Wiretap, wiretap

THEIRS: Any = pymongo.MongoClient
OURS: Any = library.MongoClient
# Long enough for a server that is there.
PATIENCE_MS = 5000


@dataclass
class World:
    """Servers and files."""

    port: int
    tap: Wiretap
    admin: Any
    tls_port: int
    files: Path

    def fail(self, *commands: str, times: int = 1, **data: Any) -> None:
        """Let the next of these commands fail."""
        point = {"failCommands": list(commands), **data}
        self.admin.command({"configureFailPoint": "failCommand", "mode": {"times": times}, "data": point})

    def file(self, name: str) -> str:
        return str(self.files / name)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("options")
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    leaf.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    leaf.private_key_pem.write_to_path(str(folder / "key.pem"))
    leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / "both.pem"))
    tls = ["--tls-cert-file", str(folder / "cert.pem"), "--tls-key-file", str(folder / "key.pem")]
    with contextlib.ExitStack() as stack:
        _, port = stack.enter_context(secantusdb(0, None, "--enable-test-commands"))
        _, tls_port = stack.enter_context(secantusdb(0, None, *tls))
        client: Any = stack.enter_context(pymongo.MongoClient("127.0.0.1", port))
        client.d.c.insert_many([{"_id": number, "at": datetime.datetime(2026, 1, 1)} for number in range(10)])
        yield World(port, stack.enter_context(wiretap(port)), client.admin, tls_port, folder)


@pytest.fixture(autouse=True)
def nothing_fails(world: World) -> Iterator[None]:
    yield
    world.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def told(error: BaseException) -> Any:
    """An error, as far as both libraries have it in common."""
    if isinstance(error, pymongo.errors.PyMongoError) and not isinstance(error, pymongo.errors.ConfigurationError):
        return type(error), getattr(error, "code", None), error.timeout, sorted(error._error_labels)
    return type(error), str(error)


def outcome(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What a call returns, or the error that it raises; and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call(*arguments, **options)
        except Exception as error:
            result = told(error)
    shown = [(warning.category, str(warning.message)) for warning in caught]
    return result, [warning for warning in shown if warning[0] is not ResourceWarning]


def made(make: Any, host: str, **options: Any) -> None:
    make(host, **options).close()


@contextlib.contextmanager
def opened(make: Any, uri: str, **options: Any) -> Iterator[Any]:
    client = make(uri, **options)
    try:
        yield client
    finally:
        client.close()


def described(make: Any, *hosts: Any, **options: Any) -> Any:
    """A client's properties."""
    client = make(*hosts, **options)
    try:
        given = client.options
        names = [name for name in dir(type(given)) if not name.startswith("_")]
        seen = {name: getattr(given, name) for name in names}
        pool = seen.pop("pool_options")
        seen.pop("event_listeners")
        for name in dir(type(pool)):
            if not name.startswith("_") and name != "metadata":
                seen["pool " + name] = getattr(pool, name)
        own = {name: getattr(client, name) for name in ("codec_options", "read_concern", "read_preference")}
        if given.write_concern.acknowledged:
            own["write_concern"] = client.write_concern
        return {**seen, **own, "tls": pool._ssl_context is not None}
    finally:
        client.close()


# ---- What each option does -------------------------------------------------------------------------------------------

Effect = Callable[[World, Any, Mapping[str, Any]], Any]


def sent(*names: str) -> Effect:
    """The fields of the commands that a client sends."""

    def effect(world: World, make: Any, options: Mapping[str, Any]) -> Any:
        world.tap.messages.clear()
        with opened(make, world.tap.uri, **options) as client:
            client.d.w.replace_one({"_id": 1}, {"a": 1}, upsert=True)
            client.d.c.find_one(1)
        commands = [*world.tap.commands("update"), *world.tap.commands("find")]
        return [{name: command[name] for name in names if name in command} for command in commands]

    return effect


def preferred(world: World, make: Any, options: Mapping[str, Any]) -> Any:
    """The read preference that the primary of a replica set is told."""
    listener = Commands()
    address = f"mongodb://127.0.0.1:{world.port}/?replicaSet=secantus"
    with opened(make, address, event_listeners=[listener], **options) as client:
        client.d.c.find_one(1)
        return listener.preferences


def greeted(*path: str) -> Effect:
    """A field of the handshake."""

    def effect(world: World, make: Any, options: Mapping[str, Any]) -> Any:
        world.tap.messages.clear()
        with opened(make, world.tap.uri, **options) as client:
            client.d.c.find_one(1)
        values: list[Any] = list(world.tap.handshakes)
        for name in path:
            # The connections that monitor the server have other handshakes.
            values = [value[name] for value in values if name in value]
        return values[0] if values else None

    return effect


def compression(world: World, make: Any, options: Mapping[str, Any]) -> Any:
    world.tap.compressed.clear()
    with opened(make, world.tap.uri, **{"compressors": "zlib", **options}) as client:
        client.d.w.replace_one({"_id": 1}, {"a": "x" * 1000}, upsert=True)
    return world.tap.compressed[0]


def found(world: World, make: Any, options: Mapping[str, Any]) -> Any:
    """What a document is read as."""
    with opened(make, world.tap.uri, **options) as client:
        document = client.d.c.find_one(1)
        return type(document), document["at"]


def slow(command: str, times: int) -> Effect:
    """What comes of calls whose replies are late."""

    def effect(world: World, make: Any, options: Mapping[str, Any]) -> Any:
        with opened(make, world.tap.uri, **options) as client:
            client.admin.command("ping")
            world.fail(command, times=times, blockConnection=True, blockTimeMS=400)
            call = client.d.w.insert_one if command == "insert" else client.d.c.find_one
            result = outcome(lambda: call({"x": bson.ObjectId()}) is None)
            world.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
            return result

    return effect


def unreachable(world: World, make: Any, options: Mapping[str, Any]) -> Any:
    with opened(make, f"mongodb://127.0.0.1:{free_port()}/", **options) as client:
        return outcome(client.d.c.find_one)


def retried(command: str, **data: Any) -> Effect:
    """How often a command is sent that fails, and what comes of it."""

    def effect(world: World, make: Any, options: Mapping[str, Any]) -> Any:
        world.tap.messages.clear()
        with opened(make, world.tap.uri, **options) as client:
            client.admin.command("ping")
            world.fail(command, times=50, **data)
            call = client.d.w.insert_one if command == "insert" else client.d.c.find_one
            result = outcome(lambda: call({}))
        world.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        return result, len(world.tap.commands(command))

    return effect


class Pools(monitoring.ConnectionPoolListener):
    """Notes the events of connections."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self.ready = 0

    def connection_ready(self, event: Any) -> None:
        self.ready += 1

    def connection_closed(self, event: Any) -> None:
        self.closed.append(event.reason)

    def _ignore(self, event: Any) -> None: ...

    pool_created = pool_ready = pool_cleared = pool_closed = connection_created = _ignore
    connection_check_out_started = connection_check_out_failed = _ignore
    connection_checked_out = connection_checked_in = _ignore


def waited_for(condition: Callable[[], Any]) -> bool:
    until = time.monotonic() + 20
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return bool(condition())


def idle(world: World, make: Any, options: Mapping[str, Any]) -> Any:
    pools = Pools()
    with opened(make, world.tap.uri, event_listeners=[pools], **options) as client:

        def closed() -> bool:
            client.d.c.find_one()
            return "idle" in pools.closed

        return waited_for(closed)


def kept_open(world: World, make: Any, options: Mapping[str, Any]) -> Any:
    pools = Pools()
    with opened(make, world.tap.uri, event_listeners=[pools], **options) as client:
        client.d.c.find_one()
        return waited_for(lambda: pools.ready >= options["minPoolSize"])


def crowded(world: World, make: Any, options: Mapping[str, Any]) -> Any:
    """A call while all connections are in use."""
    with opened(make, world.tap.uri, **{"waitQueueTimeoutMS": 150, "maxPoolSize": 1, **options}) as client:
        client.d.c.find_one()
        world.tap.messages.clear()
        world.fail("find", blockConnection=True, blockTimeMS=800)
        first = threading.Thread(target=client.d.c.find_one)
        first.start()
        waited_for(lambda: world.tap.commands("find"))
        result = outcome(lambda: client.d.c.find_one() is None)
        first.join()
        return result


class Heartbeats(monitoring.ServerHeartbeatListener):
    """Notes the heartbeats."""

    def __init__(self) -> None:
        self.awaited: list[bool] = []

    def started(self, event: Any) -> None:
        self.awaited.append(event.awaited)

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...


def heartbeats(world: World, make: Any, options: Mapping[str, Any]) -> Any:
    """Whether a server is polled: the third heartbeat comes within the test's patience."""
    heard = Heartbeats()
    given = {"serverMonitoringMode": "poll", "heartbeatFrequencyMS": 500, "event_listeners": [heard], **options}
    with opened(make, world.tap.uri, **given) as client:
        client.d.c.find_one()
        waited_for(lambda: len(heard.awaited) >= 3)
        return heard.awaited[1:3]


def topology(world: World, make: Any, options: Mapping[str, Any]) -> Any:
    with opened(make, f"mongodb://127.0.0.1:{world.tap.port}/", serverSelectionTimeoutMS=300, **options) as client:
        result, _ = outcome(lambda: client.admin.command("ping")["ok"])
        shown = result[0] if isinstance(result, tuple) else result
        return shown, client.topology_description.topology_type_name


def login(world: World, make: Any, options: Mapping[str, Any]) -> Any:
    """How a client logs in."""
    world.tap.messages.clear()
    given = {"username": "nobody", "password": "secret", "serverSelectionTimeoutMS": 2000, **options}
    with opened(make, world.tap.uri, **given) as client:
        result = outcome(client.d.c.find_one)[0]
    started = world.tap.commands("saslStart") or [
        {"saslStart": 1, **handshake["speculativeAuthenticate"], "$db": handshake["speculativeAuthenticate"]["db"]}
        for handshake in world.tap.handshakes
        if "speculativeAuthenticate" in handshake
    ]
    return result[0], started[0].get("mechanism"), started[0]["$db"]


def over_tls(world: World, make: Any, options: Mapping[str, Any]) -> Any:
    uri = f"mongodb://localhost:{world.tls_port}/"
    patience = PATIENCE_MS if len(options) > 1 or "tlsCAFile" in options or "tlsInsecure" in options else 700
    with opened(make, uri, serverSelectionTimeoutMS=patience, **options) as client:
        result = outcome(lambda: client.admin.command("ping")["ok"])
        return result[0] if isinstance(result[0], float) else result[0][0]


def nothing(world: World, make: Any, options: Mapping[str, Any]) -> Any:
    """For an option that one server does not show: its properties are compared."""
    uri = SRV if any(name.startswith("srv") for name in options) else "mongodb://localhost/"
    make(uri, **{"connect": False, **options}).close()


class Decimals(TypeDecoder):
    """A decoder."""

    bson_type = bson.Int64

    def transform_bson(self, value: Any) -> Any:
        return str(value)


class Commands(monitoring.CommandListener):
    """Notes the commands."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.preferences: list[Any] = []

    def started(self, event: Any) -> None:
        self.names.append(event.command_name)
        self.preferences.append(event.command.get("$readPreference"))

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...


def heard(world: World, make: Any, options: Mapping[str, Any]) -> Any:
    listener = Commands()
    with opened(make, world.tap.uri, event_listeners=[listener]) as client:
        client.d.c.find_one(1)
        return listener.names


@dataclass
class Sample:
    """Values of an option, and what to look at."""

    good: Any
    effect: Effect
    bad: Any = field(default_factory=list)
    more: Mapping[str, Any] = field(default_factory=dict)
    """Other options that the option needs."""
    uri: str = "mongodb://localhost:1/"


OVERLOADED = {"errorCode": 462, "errorLabels": ["SystemOverloadedError", "RetryableError"]}
FILE = "/nonexistent/file.pem"
SRV = "mongodb+srv://cluster.example.com/"
SAMPLES: dict[str, Sample] = {
    "appName": Sample("an app", greeted("client", "application"), ["x" * 129, 5]),
    "authMechanism": Sample("SCRAM-SHA-1", login, ["nonsense", 5]),
    "authMechanismProperties": Sample("SERVICE_NAME:x", login, ["x", "X:y", 5]),
    "authSource": Sample("elsewhere", login, ["", 5]),
    "compressors": Sample("zlib", greeted("compression"), ["nonsense", "zlib,nonsense"]),
    "connect": Sample(False, nothing, ["x"]),
    "connectTimeoutMS": Sample(700, nothing, ["x", -1, 2e9]),
    "directConnection": Sample(True, topology, ["x", 1]),
    "driver": Sample(DriverInfo("a library", "1.0"), greeted("client", "driver", "name"), ["x"]),
    "enableOverloadRetargeting": Sample(True, nothing, ["x", 1]),
    "enable_overload_retargeting": Sample(True, nothing, ["x"]),
    "fsync": Sample(True, sent("writeConcern"), ["x", 1]),
    "heartbeatFrequencyMS": Sample(700, heartbeats, ["x", -1, 100]),
    "journal": Sample(True, sent("writeConcern"), ["x", 1]),
    "loadBalanced": Sample(True, topology, ["x", 1]),
    "localThresholdMS": Sample(5, nothing, ["x", -1]),
    "maxAdaptiveRetries": Sample(0, retried("find", **OVERLOADED), ["x", -1]),
    "max_adaptive_retries": Sample(1, retried("insert", **OVERLOADED), ["x", -1]),
    "maxConnecting": Sample(3, nothing, ["x", 0]),
    "maxIdleTimeMS": Sample(1, idle, ["x", -1]),
    "maxPoolSize": Sample(1, crowded, ["x", -1]),
    "maxStalenessSeconds": Sample(100, preferred, ["x", 0], {"readPreference": "secondaryPreferred"}),
    "minPoolSize": Sample(3, kept_open, ["x", -1, 101]),
    "readConcernLevel": Sample("majority", sent("readConcern"), [5]),
    "readPreference": Sample("secondaryPreferred", preferred, ["x", 5]),
    "readPreferenceTags": Sample(["a:b,c:d", ""], preferred, ["x"], {"readPreference": "nearest"}),
    "replicaSet": Sample("another", topology, [5]),
    "retryReads": Sample(False, retried("find", closeConnection=True), ["x", 1]),
    "retryWrites": Sample(False, retried("insert", closeConnection=True), ["x", 1]),
    "serverMonitoringMode": Sample("stream", heartbeats, ["x", 5]),
    "serverSelectionTimeoutMS": Sample(100, unreachable, ["x", -1]),
    "socketTimeoutMS": Sample(150, slow("find", 2), ["x", -1]),
    "srvAllowedHostsSuffix": Sample("example.com", nothing, [5], uri=SRV),
    "srvMaxHosts": Sample(2, nothing, ["x", -1], uri=SRV),
    "srvServiceName": Sample("service", nothing, [5], uri=SRV),
    "timeoutMS": Sample(150, slow("insert", 2), ["x", -1]),
    "ssl": Sample(False, sent("update"), ["x", 1]),
    "tls": Sample(True, over_tls, ["x", 1]),
    "tlsAllowInvalidCertificates": Sample(True, over_tls, ["x", 1], {"tls": True}),
    "tlsAllowInvalidHostnames": Sample(True, over_tls, ["x", 1], {"tls": True}),
    "tlsCAFile": Sample("ca.pem", over_tls, [5, FILE]),
    "tlsCRLFile": Sample("ca.pem", over_tls, [5, FILE]),
    "tlsCertificateKeyFile": Sample("both.pem", over_tls, [5, FILE], {"tlsCAFile": "ca.pem"}),
    "tlsCertificateKeyFilePassword": Sample("secret", over_tls, [5], {"tlsCAFile": "ca.pem"}),
    "tlsDisableOCSPEndpointCheck": Sample(True, over_tls, ["x", 1], {"tlsCAFile": "ca.pem"}),
    "tlsInsecure": Sample(True, over_tls, ["x", 1], {"tls": True}),
    "w": Sample(1, sent("writeConcern"), [-1, 1.5]),
    "wTimeoutMS": Sample(4000, sent("writeConcern"), ["x", -1]),
    "waitQueueMultiple": Sample(3, nothing, ["x", -1]),
    "waitQueueTimeoutMS": Sample(100, crowded, ["x", -1]),
    "zlibCompressionLevel": Sample(9, compression, ["x", 10, -2]),
    "tz_aware": Sample(True, found, ["x", 5]),
    "unicode_decode_error_handler": Sample("ignore", found, ["x", 5]),
    "uuidRepresentation": Sample("standard", found, ["x", 5]),
    "datetime_conversion": Sample("DATETIME_MS", found, [1.5]),
    "document_class": Sample(bson.SON, found, [5, int]),
    "type_registry": Sample(TypeRegistry([Decimals()]), found, [5]),
    "tzinfo": Sample(datetime.timezone.utc, found, [5], {"tz_aware": True}),
    "read_preference": Sample(Nearest(), preferred, ["x", 5]),
    "event_listeners": Sample([], heard, [5, [5]]),
    "username": Sample("somebody", login, [5], {"password": "p"}),
    "password": Sample("anything", login, [5], {"username": "u"}),
    "server_api": Sample(ServerApi("1"), sent("apiVersion"), [5]),
    "server_selector": Sample(lambda servers: servers, nothing, [5]),
    "srv_host_validator": Sample(lambda _: True, nothing, [5], uri=SRV),
    "auto_encryption_opts": Sample(AutoEncryptionOpts.__new__(AutoEncryptionOpts), nothing, [5]),
    "authOIDCAllowedHosts": Sample(["h"], nothing, [5]),
}
# Ours differs from PyMongo's in the effect.
SEEN = {"driver", "fsync", "readPreferenceTags"}


def named(world: World, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, with the paths of files."""
    files = {"tlsCAFile", "tlsCRLFile", "tlsCertificateKeyFile"}
    return {
        name: world.file(value) if name in files and isinstance(value, str) else value
        for name, value in options.items()
    }


def of_verdict(*verdicts: str) -> list[str]:
    return [name for name in SAMPLES if client_options.verdict(name.lower())[0] in verdicts]


def test_every_option_has_a_verdict_and_a_sample() -> None:
    assert {name.lower() for name in SAMPLES} == set(common.VALIDATORS)
    assert set(client_options.DIFFERENCES) <= set(common.VALIDATORS)
    assert {client_options.SPELLING.get(name.lower(), name) for name in SAMPLES} == set(SAMPLES)


def test_the_page_is_up_to_date() -> None:
    """If this fails, run `python -m scripts.compatibility`."""
    assert compatibility.OPTIONS.read_text(encoding="utf-8") == client_options.page()


@pytest.mark.parametrize("name", of_verdict("the same", "different"))
def test_an_option_does_what_it_does_in_pymongo(world: World, name: str) -> None:
    sample = SAMPLES[name]
    options = named(world, {name: sample.good, **sample.more})
    theirs, ours = (outcome(sample.effect, world, make, options) for make in (THEIRS, OURS))
    if name in SEEN:
        assert ours != theirs
        return
    assert ours == theirs


@pytest.mark.parametrize("name", of_verdict("the same", "different"))
def test_an_options_value_is_shown_as_in_pymongo(world: World, name: str) -> None:
    sample = SAMPLES[name]
    options = named(world, {name: sample.good, **sample.more})
    if name.startswith("auth"):
        options = {"username": "u", "password": "p", **options}
    theirs, ours = (described(make, sample.uri, **{"connect": False, **options}) for make in (THEIRS, OURS))
    assert ours == theirs
    text = sample.good if isinstance(sample.good, str) else str(sample.good).lower()
    if name.lower() in common.URI_OPTIONS_VALIDATOR_MAP and isinstance(sample.good, (str, int)):
        uri = f"{sample.uri}?{name.upper()}={quote(options[name] if name.endswith('File') else text)}"
        rest = {other: value for other, value in options.items() if other != name}
        theirs, ours = (described(make, uri, **{"connect": False, **rest}) for make in (THEIRS, OURS))
        assert ours == theirs


@pytest.mark.parametrize("name", SAMPLES)
def test_a_wrong_value_fails_as_in_pymongo(name: str) -> None:
    """As a keyword with an error, in a connection string with a warning."""
    more = {"readPreference": "nearest"} if name in ("maxStalenessSeconds", "readPreferenceTags") else {}
    for value in SAMPLES[name].bad:
        uri = SAMPLES[name].uri
        calls = [(uri, {name: value, **more})]
        in_uri = name.lower() in common.URI_OPTIONS_VALIDATOR_MAP and name not in of_verdict("refused")
        if in_uri and isinstance(value, (str, int)):
            calls.append((f"{uri}?{name}={value}", more))
        for host, options in calls:
            arguments = {"connect": False, **options}
            theirs, ours = (outcome(made, make, host, **arguments) for make in (THEIRS, OURS))
            assert ours == theirs, (name, value)


@pytest.mark.parametrize("name", of_verdict("refused"))
def test_what_is_refused_names_the_alternative(world: World, name: str) -> None:
    sample = SAMPLES[name]
    uri = sample.uri
    options = named(world, {name: sample.good, **sample.more})
    with pytest.raises(pymongo.errors.ConfigurationError, match=rf"^{name} is not supported: \w+"):
        OURS(uri, **options)
    if name.lower() in common.URI_OPTIONS_VALIDATOR_MAP:
        value = "true" if sample.good is True else options[name]
        rest = {other: value for other, value in options.items() if other != name}
        with pytest.raises(pymongo.errors.ConfigurationError, match=rf"^{name} is not supported: \w+"):
            OURS(f"{uri}?{name}={value}", **rest)
        if name.startswith("tls"):
            config = {"DB": "d", "DB_HOST": "h:1", "DRIVER_COLLECTION": "c", "DB_OPTIONS": f"{name}={value}"}
            with pytest.raises(pymongo.errors.ConfigurationError, match=rf"{name} is not supported: \w+"):
                OURS.from_config(config)


# ---- Where options come from ----------------------------------------------------------------------------------------

ARGUMENTS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "no arguments": ((), {}),
    "a host": (("h",), {}),
    "a host and a port": (("h", 5), {}),
    "a host with a port, and a port": (("h:6", 5), {}),
    "hosts": ((["h1", "h2:7"], 5), {}),
    "hosts in one text": (("h1,h2:7", 5), {}),
    "hosts and a connection string": ((["h1:5", "mongodb://h2:6/d?w=2"],), {}),
    "two connection strings": ((["mongodb://h1/", "mongodb://h2/"],), {}),
    "no hosts": (([],), {}),
    "an empty host": (("h1,,h2",), {}),
    "an IPv6 address": (("[::1]:5",), {}),
    "an IPv6 address without brackets": (("::1",), {}),
    "a socket": (("mongodb://%2Ftmp%2Fmongodb-27017.sock/d",), {}),
    "a connection string and a port": (("mongodb://h1,h2:7/", 5), {}),
    "a text for a port": (("h", "5"), {}),
    "a host in capitals": (("H.Example.COM",), {}),
    "a keyword over the string": (("mongodb://h/?w=2&appName=a&maxPoolSize=5",), {"w": 3, "APPNAME": "b"}),
    "None over the string": (("mongodb://h/?maxPoolSize=5",), {"maxPoolSize": None}),
    "an option twice": (("mongodb://h/?w=2&w=3",), {}),
    "an unknown option twice": (("mongodb://h/?nonsense=2&nonsense=3",), {}),
    "semicolons": (("mongodb://h/?w=2;journal=true",), {}),
    "both separators": (("mongodb://h/?w=2;journal=true&appName=x",), {}),
    "no value": (("mongodb://h/?w",), {}),
    "an unknown option": (("mongodb://h/?nonsense=1",), {}),
    "an unknown keyword": (("mongodb://h/",), {"nonsense": 1}),
    "a keyword of PyMongo 3": (("mongodb://h/",), {"socketKeepAlive": True}),
    "a proxy": (("mongodb://h/?proxyHost=p&proxyPort=1",), {}),
    "no options after the mark": (("mongodb://h/?",), {}),
    "no slash": (("mongodb://h?w=2",), {}),
    "a database": (("mongodb://h/d",), {}),
    "a database and a collection": (("mongodb://h/d.c",), {}),
    "a wrong database": (("mongodb://h/a%20b",), {}),
    "w and j": (("mongodb://h/",), {"w": 0, "journal": True}),
    "fsync and j": (("mongodb://h/",), {"fsync": True, "journal": True}),
    "a password alone": (("mongodb://h/",), {"password": "p"}),
    "a user alone": (("mongodb://h/",), {"username": "u"}),
    "a user alone in the string": (("mongodb://u@h/",), {}),
    "a user with an empty password": (("mongodb://u:@h/",), {}),
    "a user of X.509": (("mongodb://u@h/?authMechanism=MONGODB-X509&tls=true",), {}),
    "a user over the string": (("mongodb://u:p@h/",), {"username": "v", "password": "q"}),
    "an escaped user": (("mongodb://u%40x:p%2F%3F@h/",), {}),
    "an unescaped user": (("mongodb://u@x:p@h/",), {}),
    "no host": (("mongodb://",), {}),
    "another scheme": (("http://h",), {}),
    "tags without a mode": (("mongodb://h/?readPreferenceTags=a:b",), {}),
    "several tag sets": (("mongodb://h/?readPreference=nearest&readPreferenceTags=a:b&readPreferenceTags=",), {}),
    "staleness without a mode": (("mongodb://h/?maxStalenessSeconds=100",), {}),
    "small pools": (("mongodb://h/",), {"minPoolSize": 5, "maxPoolSize": 4}),
    "a direct connection to several": (("mongodb://h1,h2/?directConnection=true",), {}),
    "a load balancer and a set": (("mongodb://h/?loadBalanced=true&replicaSet=x",), {}),
    "a load balancer with several hosts": (("mongodb://h1,h2/?loadBalanced=true",), {}),
    "a service name without SRV": (("mongodb://h/?srvServiceName=x",), {}),
    "SRV with a port": (("mongodb+srv://h.example.com:5/",), {}),
    "SRV with a direct connection": (("mongodb+srv://h.example.com/?directConnection=true",), {}),
    "two ways to be insecure": (("mongodb://h/?tlsInsecure=true&tlsAllowInvalidCertificates=true",), {}),
    "TLS and no TLS": (("mongodb://h/?tls=true&ssl=false",), {}),
    "TLS that is implied": (("mongodb://h/?tlsAllowInvalidCertificates=false",), {}),
    "an option of TLS without TLS": (("mongodb://h/?tls=false&tlsAllowInvalidHostnames=false",), {}),
    "options in any case": (("mongodb://h/?APPNAME=x",), {"SERVERSELECTIONTIMEOUTMS": 5000}),
    "zero for times": (("mongodb://h/",), {"connectTimeoutMS": 0, "socketTimeoutMS": 0, "timeoutMS": 0}),
    "texts for numbers": (("mongodb://h/",), {"maxPoolSize": "7", "serverSelectionTimeoutMS": "70.5"}),
    "numbers with fractions": (("mongodb://h/?socketTimeoutMS=0.5&heartbeatFrequencyMS=600.5",), {}),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_are_read_as_in_pymongo(name: str) -> None:
    hosts, options = ARGUMENTS[name]
    arguments = {"connect": False, **options}

    def seen(make: Any) -> Any:
        shown = described(make, *hosts, **arguments)
        client = make(*hosts, **arguments)
        shown["database"] = outcome(lambda: client.get_default_database().name)
        client.close()
        return shown

    theirs, ours = (outcome(seen, make) for make in (THEIRS, OURS))
    assert ours == theirs


def test_a_client_of_variables_shows_its_options() -> None:
    config = {"DB": "d", "DB_HOST": "h:1", "DRIVER_COLLECTION": "c", "DB_OPTIONS": "maxPoolSize=7&timeoutMS=90"}
    options = OURS.from_config(config).options
    assert (options.pool_options.max_pool_size, options.timeout, options.server_selection_timeout) == (7, 0.09, 5.0)


def test_plainly_valid_options_do_not_import_pymongo() -> None:
    program = """
        import sys
        from connect.eaas.mongodb import MongoClient
        MongoClient("mongodb+srv://u:p@h.example.com/d?retryWrites=true&w=majority&appName=x", maxPoolSize=5)
        MongoClient(serverSelectionTimeoutMS=500, tls=True).close()
        print("pymongo" in sys.modules)
        MongoClient("mongodb://h/?nonsense=1")
        print("pymongo" in sys.modules)
    """
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == ["False", "True"]


# ---- Time limits ----------------------------------------------------------------------------------------------------


def test_an_abandoned_connection_is_closed(world: World) -> None:
    """Its late reply does not become the reply to another command."""
    pools = Pools()
    options = {"socketTimeoutMS": 150, "maxPoolSize": 1, "retryReads": False, "event_listeners": [pools]}
    with opened(OURS, world.tap.uri, **options) as client:
        client.admin.command("ping")
        world.fail("find", blockConnection=True, blockTimeMS=400)
        with pytest.raises(pymongo.errors.NetworkTimeout):
            client.d.c.find_one(1)
        assert client.d.c.find_one(2)["_id"] == 2
        assert waited_for(lambda: "error" in pools.closed)


def test_a_timeout_sends_a_write_once_more_with_its_number(world: World) -> None:
    world.tap.messages.clear()
    with opened(OURS, world.tap.uri, socketTimeoutMS=150) as client:
        client.admin.command("ping")
        world.fail("insert", blockConnection=True, blockTimeMS=400)
        key = bson.ObjectId()
        client.d.w.insert_one({"_id": key})
        sends = world.tap.commands("insert")
        assert len(sends) == 2
        assert sends[0]["txnNumber"] == sends[1]["txnNumber"]
        assert client.d.w.count_documents({"_id": key}) == 1


@pytest.mark.parametrize("make", [THEIRS, OURS], ids=["pymongo", "ours"])
def test_a_timeout_in_a_transaction_is_transient(world: World, make: Any) -> None:
    with opened(make, world.tap.uri, socketTimeoutMS=150) as client, client.start_session() as session:
        client.d.w.insert_one({})
        session.start_transaction()
        client.d.w.insert_one({}, session=session)
        world.fail("find", blockConnection=True, blockTimeMS=400)
        with pytest.raises(pymongo.errors.NetworkTimeout) as late:
            client.d.w.find_one(session=session)
        assert late.value.has_error_label("TransientTransactionError")
        session.abort_transaction()


@pytest.mark.parametrize("make", [THEIRS, OURS], ids=["pymongo", "ours"])
def test_a_commit_whose_reply_is_late_is_repeated(world: World, make: Any) -> None:
    with opened(make, world.tap.uri, socketTimeoutMS=150) as client, client.start_session() as session:
        key = bson.ObjectId()
        client.d.w.insert_one({})
        session.start_transaction()
        client.d.w.insert_one({"_id": key}, session=session)
        world.fail("commitTransaction", blockConnection=True, blockTimeMS=400)
        session.commit_transaction()
        assert client.d.w.find_one(key) == {"_id": key}


CALLS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "find_one": ("find", lambda c: c.find_one(1)),
    "find": ("find", lambda c: c.find(batch_size=2).to_list()),
    "aggregate": ("aggregate", lambda c: c.aggregate([{"$limit": 3}]).to_list()),
    "count_documents": ("aggregate", lambda c: c.count_documents({})),
    "estimated_document_count": ("count", lambda c: c.estimated_document_count()),
    "distinct": ("distinct", lambda c: c.distinct("_id")),
    "insert_one": ("insert", lambda c: c.insert_one({})),
    "insert_many": ("insert", lambda c: c.insert_many([{}, {}])),
    "update_many": ("update", lambda c: c.update_many({"none": 1}, {"$set": {"a": 1}})),
    "replace_one": ("update", lambda c: c.replace_one({"none": 1}, {})),
    "delete_one": ("delete", lambda c: c.delete_one({"none": 1})),
    "find_one_and_update": ("findAndModify", lambda c: c.find_one_and_update({"none": 1}, {"$set": {"a": 1}})),
    "find_one_and_delete": ("findAndModify", lambda c: c.find_one_and_delete({"none": 1}, maxTimeMS=1)),
    "list_indexes": ("listIndexes", lambda c: c.list_indexes().to_list()),
    "create_index": ("createIndexes", lambda c: c.create_index("none")),
    "command": ("collStats", lambda c: c.database.command("collStats", "c")),
    "list_collection_names": ("listCollections", lambda c: c.database.list_collection_names()),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_with_a_timeout_sends_what_is_left(world: World, name: str) -> None:
    """By `timeoutMS`, and by `pymongo.timeout` around calls of a client without one."""
    command, call = CALLS[name]
    limit = 90_000
    for make in (THEIRS, OURS):
        for options in ({"timeoutMS": limit}, {}):
            world.tap.messages.clear()
            with opened(make, world.tap.uri, **options) as client:
                scope = contextlib.nullcontext() if options else pymongo.timeout(limit / 1000)
                with scope:
                    call(client.d.c if command != "createIndexes" else client.d[f"c{uuid.uuid4().hex}"])
            given = [message.get("maxTimeMS", 0) for message in world.tap.commands(command)]
            assert given
            assert all(limit / 2 < time_ms <= limit for time_ms in given)
            # As in PyMongo, a cursor's next batch has none: the server would reject it.
            assert all("maxTimeMS" not in message for message in world.tap.commands("getMore"))


@pytest.mark.parametrize("make", [THEIRS, OURS], ids=["pymongo", "ours"])
def test_a_timeout_replaces_the_limit_of_the_write_concern(world: World, make: Any) -> None:
    world.tap.messages.clear()
    with opened(make, world.tap.uri, w=1, wTimeoutMS=100, timeoutMS=90_000) as client:
        client.d.w.insert_one({})
    assert world.tap.commands("insert")[0]["writeConcern"] == {"w": 1}


@pytest.mark.parametrize("make", [THEIRS, OURS], ids=["pymongo", "ours"])
def test_no_timeout_inside_of_a_timeout_of_zero(world: World, make: Any) -> None:
    world.tap.messages.clear()
    with opened(make, world.tap.uri, timeoutMS=90_000) as client, pymongo.timeout(0):
        client.d.c.find_one(1)
    assert "maxTimeMS" not in world.tap.commands("find")[0]


@pytest.mark.parametrize("make", [THEIRS, OURS], ids=["pymongo", "ours"])
def test_network_errors_are_retried_until_the_timeout(world: World, make: Any) -> None:
    calls: dict[str, Callable[[Any], Any]] = {"find": lambda c: c.find_one(1), "insert": lambda c: c.insert_one({})}
    for command, call in calls.items():
        world.tap.messages.clear()
        with opened(make, world.tap.uri, timeoutMS=60_000) as client:
            client.admin.command("ping")
            world.fail(command, times=4, closeConnection=True)
            call(client.d.c if command == "find" else client.d.w)
        assert len(world.tap.commands(command)) == 5


@pytest.mark.parametrize("make", [THEIRS, OURS], ids=["pymongo", "ours"])
def test_a_timeout_bounds_the_next_batch(world: World, make: Any) -> None:
    with opened(make, world.tap.uri) as client:
        client.d.c.find_one()
        world.fail("getMore", times=2, blockConnection=True, blockTimeMS=800)
        with pytest.raises(pymongo.errors.PyMongoError) as late, pymongo.timeout(0.25):
            client.d.c.find(batch_size=2).to_list()
        assert late.value.timeout


async def test_a_timeout_bounds_awaited_calls(world: World) -> None:
    client = library.AsyncMongoClient(world.tap.uri)
    await client.d.c.find_one()
    world.fail("find", times=2, blockConnection=True, blockTimeMS=400)
    with pytest.raises(pymongo.errors.NetworkTimeout), pymongo.timeout(0.15):
        await client.d.c.find_one(1)
    world.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
    assert await client.d.c.find_one(1) is not None
    await client.close()


def test_a_timeout_that_is_over_sends_nothing(world: World) -> None:
    with opened(OURS, world.tap.uri) as client:
        client.d.c.find_one()
        world.tap.messages.clear()
        with pymongo.timeout(0.001):
            time.sleep(0.01)
            with pytest.raises(pymongo.errors.ExecutionTimeout) as late:
                client.d.c.insert_one({})
        assert (late.value.code, late.value.timeout) == (50, True)
        assert world.tap.commands("insert") == []


def test_metadata_can_be_appended(world: World) -> None:
    world.tap.messages.clear()
    with opened(OURS, world.tap.uri, driver=DriverInfo("first", "1")) as client:
        client.append_metadata(DriverInfo("second", "2", "a platform"))
        client.d.c.find_one()
        driver = world.tap.handshakes[-1]["client"]["driver"]
        assert driver["name"].endswith("|connect-eaas-mongodb|first|second")
        assert driver["version"].endswith("|1|2")
        assert world.tap.handshakes[-1]["client"]["platform"].endswith("|a platform")
        client.append_metadata(DriverInfo("third"))
        with pytest.raises(TypeError, match="driver_info must be an instance of DriverInfo"):
            client.append_metadata("third")
