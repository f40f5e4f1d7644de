"""`connect-mongodb check`: tests both paths with an extension's variables and explains how to fix failures."""

from __future__ import annotations

import concurrent.futures
import io
import json
import os
import re
import secrets
import socket
import ssl
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar
from urllib.parse import quote, unquote

import click
from connect.eaas.mongodb import VARIABLES, Collection, DataApiClient, DataApiCollection, MongoClient
from connect.eaas.mongodb._native import _check_acknowledged, _data_api_route, _driver_route, _secrets
from pymongo.errors import (
    ConfigurationError,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.read_preferences import ReadPreference

if TYPE_CHECKING:
    from connect.eaas.mongodb._native import _DataApiRoute, _DriverRoute

T = TypeVar("T")
PathName: TypeAlias = Literal["driver", "http"]
Result: TypeAlias = Literal["ok", "failed", "skipped", "not configured"]
Explain: TypeAlias = Callable[[Exception], str]

OWN_VARIABLES: dict[PathName, tuple[str, ...]] = {
    "driver": ("DB_HOST", "DB_USER", "DB_PASSWORD", "DRIVER_COLLECTION", "DB_OPTIONS"),
    "http": ("DATA_API_ENDPOINT", "API_KEY", "CLUSTER", "HTTP_COLLECTION"),
}
"""The variables that belong to one path only."""

UNAUTHENTICATED = (18, 8000)
"""MongoDB's and Atlas' codes for a wrong user or password."""

UNAUTHORIZED = 13
"""MongoDB's code for a missing privilege."""

UNFIT = (121, 11000)
"""MongoDB's codes for a document that a validator or a unique index rejects, although the user may insert."""

WAY = ("name", "TCP", "TLS")
"""The network checks of a host, if no host is known."""

NO_DOCUMENT = "connect-mongodb-check"
"""The `_id` of a document that does not exist."""

PINGS = 5
"""The number of calls that measure the latency."""

SKIPPED = "\N{EN DASH}"
"""How the table shows a skipped check."""


class CheckError(Exception):
    """The checks cannot be run."""


class FaultError(Exception):
    """A check found a fault; the message is for the user."""


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    path: PathName
    what: str
    result: Result
    detail: str


def run(path: str, *, env_file: str | None, seconds: int, output: str) -> bool:
    """Check a path, or each configured path, and print the results.

    Args:
        path: `driver`, `http` or `both`.
        env_file: a file of variables, which replaces the environment.
        seconds: the limit for a connection, and for a response.
        output: `table` or `json`.

    Returns:
        Whether every configured path works; false if none is configured.

    Raises:
        CheckError: the file cannot be read or parsed.
    """
    given = os.environ if env_file is None else variables_of_file(env_file)
    variables = {name: given[name] for name in (variable["name"] for variable in VARIABLES) if name in given}
    paths = [name for name in OWN_VARIABLES if path in (name, "both")]
    checks = [check for one in paths for check in _check(one, variables, path != "both", seconds)]
    results = {check.result for check in checks}
    works = "ok" in results and "failed" not in results
    if output == "json":
        click.echo(json.dumps({"works": works, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        _print_table(checks)
    return works


def _check(path: PathName, variables: Mapping[str, str], asked: bool, seconds: int) -> list[Check]:
    report = Report(path, seconds, Secrets(variables))
    own = OWN_VARIABLES[path]
    if not asked and not any(variables.get(name, "").strip() for name in own):
        report.add("variables", "not configured", f"none of {', '.join(own)} is set")
    elif path == "driver":
        _check_driver(report, variables)
    else:
        _check_data_api(report, variables)
    return report.checks


# The variables.


def variables_of_file(name: str) -> dict[str, str]:
    """Read the variables from a file of NAME=value lines; remove quotes around values."""
    try:
        text = Path(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise CheckError(f"the file {name} cannot be read ({reason})") from None
    variables = {}
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line.startswith("#"):
            continue
        # Do not show the line: it may be part of a secret.
        if (given := re.fullmatch(r"(?:export\s+)?(\w+)\s*=\s*(.*)", line)) is None:
            raise CheckError(f"line {number} of {name} is not NAME=value")
        variable, value = given.groups()
        quoted = re.fullmatch(r"""(["'])(.*)\1""", value)
        variables[variable] = quoted[2] if quoted else value
    return variables


class Secrets:
    """Hides secrets in output."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        found = _secrets(variables)
        written = {form for text in found for form in (text.strip(), unquote(text), quote(text, safe=""))}
        longest_first = sorted(filter(None, written), key=len, reverse=True)
        # Hide a short one only as a whole word: a password of one letter must not garble other words.
        patterns = [re.escape(text) if len(text) > 5 else rf"(?<!\w){re.escape(text)}(?!\w)" for text in longest_first]
        self._pattern = re.compile("|".join(patterns)) if patterns else None

    def hide(self, text: str) -> str:
        """Replace the secrets in `text` with `***`."""
        return self._pattern.sub("***", text) if self._pattern else text


# Results.


@dataclass
class Report:
    """The results of one path's checks, in order."""

    path: PathName
    seconds: int
    secrets: Secrets
    checks: list[Check] = field(default_factory=list)

    def add(self, what: str, result: Result, detail: str = "") -> None:
        """Add a check's result; reduce its detail to one line without secrets."""
        detail = "".join(character if character.isprintable() else " " for character in detail)
        hide = self.secrets.hide
        self.checks.append(Check(self.path, hide(what), result, hide(" ".join(detail.split()))))

    def run(self, what: str, call: Callable[[], str], explain: Explain, *, possible: bool = True) -> bool:
        """Run a check, unless a prerequisite failed; return whether it succeeded.

        Args:
            what: the name of the check.
            call: runs the check and returns the detail.
            explain: converts an exception to a message that says how to fix it.
            possible: whether the prerequisites succeeded.
        """
        if not possible:
            self.add(what, "skipped")
            return False
        try:
            detail = _within(self.patience, call)
        except Exception as error:
            self.add(what, "failed", explain(error))
            return False
        self.add(what, "ok", detail)
        return True

    @property
    def patience(self) -> int:
        """The limit of a check in seconds: connecting and the response take at most `seconds` each."""
        return 2 * self.seconds + 1


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Return the result of `call`, or abandon it after `seconds`.

    Raises:
        TimeoutError: the call did not finish.
    """
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()

    def work() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    # A daemon thread does not delay the exit of the process.
    threading.Thread(target=work, daemon=True).start()
    concurrent.futures.wait([outcome], seconds)
    if not outcome.done():
        raise TimeoutError(
            f"no response within {seconds:g} s: check whether the server is overloaded or waits for unavailable members"
        )
    return outcome.result()


# The network.


@dataclass(frozen=True)
class Tls:
    """The TLS settings of a path.

    Attributes:
        advice: how to trust another certificate authority.
        authorities: file of trusted certificates; if absent, the system's and SSL_CERT_FILE's.
        client: file of the client certificate.
        password: password of the client's key.
        strict: whether an untrusted server is rejected.
    """

    advice: str
    authorities: str | None = None
    client: str | None = None
    password: str | None = None
    strict: bool = True

    def context(self, strict: bool) -> ssl.SSLContext:
        """Return the context of a handshake."""
        context = ssl.create_default_context(cafile=self.authorities)
        # Match both clients, which do not verify strictly (RFC 5280).
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if not strict:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client:
            context.load_cert_chain(self.client, password=self.password)
        return context


@dataclass(frozen=True)
class Host:
    """A server, or the proxy in front of it.

    Attributes:
        name: host name or address.
        port: port.
        source: the setting that names it.
        tls: its TLS settings, if it uses TLS.
    """

    name: str
    port: int
    source: str
    tls: Tls | None = None

    def __str__(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"

    def resolve(self) -> str:
        """Resolve its name; return its addresses."""
        found = socket.getaddrinfo(self.name, self.port, type=socket.SOCK_STREAM)
        return ", ".join(dict.fromkeys(str(address[0]) for *_, address in found))

    def connect(self, seconds: float) -> str:
        """Connect to it; return the address that accepted."""
        with socket.create_connection((self.name, self.port), seconds) as connection:
            return f"connected to {connection.getpeername()[0]}"

    def shake_hands(self, tls: Tls, seconds: float) -> str:
        """Perform a TLS handshake; return a description of its certificate."""
        try:
            return self._shake_hands(tls.context(strict=True), seconds)
        except ssl.SSLCertVerificationError as error:
            if tls.strict:
                raise
            agreed = self._shake_hands(tls.context(strict=False), seconds)
            return f"{agreed}; not trusted ({error.verify_message}), but the options allow that"

    def _shake_hands(self, context: ssl.SSLContext, seconds: float) -> str:
        with (
            socket.create_connection((self.name, self.port), seconds) as connection,
            context.wrap_socket(connection, server_hostname=self.name) as secured,
        ):
            certificate = secured.getpeercert()
            version = secured.version() or "TLS"
        if not certificate:
            return version
        until = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), timezone.utc)
        return f"{version}; the certificate is trusted and valid until {until:%Y-%m-%d}"

    def explain(self, error: Exception) -> str:
        """Explain why it is unreachable and how to fix that."""
        if isinstance(error, socket.gaierror):
            return f"the name does not resolve ({error.strerror}): check {self.source} and the DNS"
        if isinstance(error, ConnectionRefusedError):
            return f"connection refused: check the port in {self.source}, and that the server is running"
        if isinstance(error, TimeoutError):
            return (
                f"timeout: check the address in {self.source}, firewalls, and the IP access list "
                "(in Atlas: Network Access)"
            )
        return f"cannot connect ({_reason(error)}): check the address in {self.source} and the network"

    def explain_tls(self, error: Exception) -> str:
        """Explain why the TLS handshake failed and how to fix that."""
        if isinstance(error, ssl.SSLCertVerificationError):
            if error.verify_code == 10:
                return "the certificate has expired: renew it on the server"
            if error.verify_code in (62, 64):
                return f"the certificate is not for {self.name}: set {self.source} to a name in the certificate"
            advice = self.tls.advice if self.tls else "trust its certificate authority"
            return f"the certificate is not trusted ({error.verify_message}): {advice}"
        return f"the TLS handshake failed ({_reason(error)}): check the port, and that the server uses TLS"


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__


def _reach(report: Report, host: Host) -> bool:
    """Check the network path to a host; return whether it works."""
    seconds = report.seconds
    resolves = report.run(f"name {host.name}", host.resolve, host.explain)
    connects = report.run(f"TCP {host}", lambda: host.connect(seconds), host.explain, possible=resolves)
    tls = host.tls
    if tls is None:
        return connects
    return report.run(f"TLS {host}", lambda: host.shake_hands(tls, seconds), host.explain_tls, possible=connects)


def _skip(report: Report, *checks: str) -> None:
    for what in checks:
        report.add(what, "skipped")


# Checks of a collection, for both paths.


class Document:
    """A document that tests the user's privileges.

    Attributes:
        stored: whether it is in the collection; `None` if there was no response.
    """

    def __init__(self, collection: Collection[Any] | DataApiCollection[Any]) -> None:
        self.collection = collection
        self.identity = f"connect-mongodb-check-{secrets.token_hex(8)}"
        self.stored: bool | None = False

    def insert(self) -> str:
        """Insert it."""
        self.stored = None  # Until there is a response.
        try:
            self.collection.insert_one({"_id": self.identity})
        except PyMongoError as error:
            self.stored = False if _is_refusal(error) else None
            if getattr(error, "code", None) not in UNFIT:
                raise
            return "allowed, although a validator or a unique index rejects this check's document"
        self.stored = True
        return f"inserted a document into {self.collection.full_name}"

    def find(self) -> str:
        """Find it, if it was inserted."""
        found = self.collection.find_one({"_id": self.identity})
        if self.stored and found is None:
            raise FaultError("the inserted document was not found: check whether reads go to another server")
        return "found it" if found else "allowed"

    def delete(self) -> str:
        """Delete it, if it was inserted."""
        deleted = self.collection.delete_one({"_id": self.identity}).deleted_count
        if self.stored and not deleted:
            raise FaultError("the inserted document was not found: check whether it is in another collection")
        return "deleted it" if deleted else "allowed"

    def explain_left(self, error: Exception) -> str:
        """Explain why it could not be deleted and how to remove it."""
        if self.stored is False:
            return plain(error)
        return f"{plain(error)}; if the document {self.identity} is in {self.collection.full_name}, delete it"


def _is_refusal(error: Exception) -> bool:
    """Return whether the server responded that it did not execute the operation."""
    status = getattr(error, "status", None) or 0
    return getattr(error, "code", None) is not None or 400 <= status < 500


def _check_rights(report: Report, document: Document, names: tuple[str, str, str]) -> bool:
    """Insert a document, find it and always delete it; return whether finding works."""
    insert, find, delete = names
    try:
        report.run(insert, document.insert, plain)
        return report.run(find, document.find, plain)
    finally:
        report.run(delete, document.delete, document.explain_left)


def _check_latency(report: Report, call: Callable[[], object], name: str, *, possible: bool = True) -> None:
    def measure() -> str:
        return f"{statistics.median(_times(call)):.1f} ms (median of {PINGS} {name})"

    report.run("latency", measure, plain, possible=possible)


def _times(call: Callable[[], object]) -> Iterator[float]:
    """Yield the duration of each call in milliseconds."""
    for _ in range(PINGS):
        begun = time.perf_counter()
        call()
        yield (time.perf_counter() - begun) * 1000


def plain(error: Exception) -> str:
    """Return the error's message, without the command's name and with a short summary of the servers' errors."""
    message, _, topology = str(error).partition(". Server selection timeout:")
    message = re.sub(r"^run the command \S+ at \S+: ", "", message)
    reasons = re.findall(r"Address: ([^ ]+), Type: \w+, Error: Kind: (.+?), labels:", topology)
    summary = "; ".join(f"{address}: {reason}" for address, reason in reasons)
    return f"{message} ({summary})" if summary else message


# The driver path.


class Driver:
    """The driver path's client, and the result of its first command."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables
        self.refusal: Exception | None = None
        self._route: _DriverRoute | None = None
        self._client: MongoClient[dict[str, Any]] | None = None

    def ask(self, seconds: int, patience: int) -> None:
        """Connect, log in and ping."""
        try:
            # First unchanged, so that errors refer to the given variables.
            MongoClient.from_config(self.variables)
            self._route = _driver_route(self.variables, seconds * 1000)
            self._client = MongoClient(self._route["uri"])
            _within(patience, self.ping)
        except Exception as error:
            self.refusal = error

    @property
    def route(self) -> _DriverRoute:
        """Return how the driver reaches MongoDB; raise the error of the variables."""
        if self._route is None:
            raise self.refusal or FaultError("the variables were not read")
        return self._route

    @property
    def client(self) -> MongoClient[dict[str, Any]]:
        """Return the client; raise the error that prevented its creation."""
        if self._client is None:
            raise self.refusal or FaultError("the client was not created")
        return self._client

    def ping(self) -> None:
        """Ping the server."""
        self.client[self.route["database"]].command("ping")

    def collection(self) -> Collection[dict[str, Any]]:
        """Return the collection on the primary, so that a write can be read immediately."""
        collection = self.client[self.route["database"]][self.route["collection"]]
        return collection.with_options(read_preference=ReadPreference.PRIMARY)

    def configured(self) -> str:
        """Return the collection's full name; raise `ConfigurationError` if the variables are invalid."""
        if isinstance(self.refusal, ConfigurationError):
            raise self.refusal
        collection = self.collection()
        _check_acknowledged(collection)
        return collection.full_name

    def members(self) -> set[tuple[str, int | None]]:
        """Return the servers that the client has discovered, from the DNS or from each other."""
        return set(self.client.topology_description.server_descriptions())

    def hosts(self) -> list[Host]:
        """Return the servers to check: those in DB_HOST, and those that the client has discovered."""
        tls, seeds = self.tls(), self.route["seeds"]
        hosts = [Host(name, port, "DB_HOST", tls) for name, port in sorted(set(seeds))]
        source = "the replica set's configuration"
        if self.route["srv"]:
            source = f"the SRV record or {source}"
        return hosts + [Host(name, port, source, tls) for name, port in sorted(self.members() - {*seeds}) if port]

    def tls(self) -> Tls | None:
        """Return the TLS settings, if connections use TLS."""
        tls = self.route["tls"]
        if tls is None:
            return None
        system = os.environ.get("SSL_CERT_FILE", "")
        return Tls(
            "set tlsCAFile in DB_OPTIONS, or SSL_CERT_FILE, to the file of its CA certificate",
            tls["authorities"] or (system if Path(system).is_file() else None),
            tls["certificate"],
            tls["password"],
            tls["strict"],
        )

    def found(self) -> str:
        """Return the servers; raise an error if the SRV record does not resolve."""
        if self.refusal and not self.members():
            raise self.refusal
        return ", ".join(map(str, self.hosts()))

    def logged_in(self) -> str:
        """Check authentication; return the detail."""
        if self.refusal is not None:
            raise self.refusal
        if self.route["authenticates"]:
            return "logged in"
        try:
            self.collection().find_one({"_id": NO_DOCUMENT})
        except OperationFailure as error:
            if error.code != UNAUTHORIZED:
                raise
            raise FaultError("MongoDB requires authentication: set DB_USER and DB_PASSWORD") from None
        return "MongoDB does not require authentication"

    def explain(self, error: Exception) -> str:
        """Explain why authentication failed, or why there is no server, and how to fix that."""
        if getattr(error, "code", None) in UNAUTHENTICATED:
            return (
                "authentication failed: check DB_USER and DB_PASSWORD (or those in DB_HOST, percent-encoded), and "
                "authSource in DB_OPTIONS, the database in which the user is defined"
            )
        message = plain(error)
        if not isinstance(error, ServerSelectionTimeoutError):
            return message
        if self.route["replica_set"] and not self.members():
            return "no server is a member of the replica set in the option replicaSet: correct or remove that option"
        broken = re.search("reset|end of file|eof|closed", message, re.IGNORECASE)
        if not broken or self.tls():
            return message
        return f"{message}; if MongoDB requires TLS, add tls=true to DB_OPTIONS"

    def version(self) -> str:
        """Return the server's version."""
        return f"MongoDB {self.client.server_info()['version']}"


def _check_driver(report: Report, variables: Mapping[str, str]) -> None:
    driver = Driver(variables)
    driver.ask(report.seconds, report.patience)
    rights = ("write", "read", "delete")
    if not report.run("variables", driver.configured, plain):
        _skip(report, *WAY, "authentication", "server version", *rights, "latency")
        return
    found = not driver.route["srv"] or report.run("SRV record", driver.found, plain)
    if not found:
        _skip(report, *WAY)
    ways = [_reach(report, host) for host in driver.hosts()]
    # If the client has no server, its own error explains why.
    reached = any(ways) or not ways
    if not report.run("authentication", driver.logged_in, driver.explain, possible=found and reached):
        _skip(report, "server version", *rights, "latency")
        return
    report.run("server version", driver.version, plain)
    _check_rights(report, Document(driver.collection()), rights)
    _check_latency(report, driver.ping, "pings")


# The Data API path.


def _first_host(route: _DataApiRoute) -> Host:
    """Return the proxy that the client uses, or the host of the Data API."""
    if route["proxy"] is not None:
        (name, port), variable = route["proxy"]
        return Host(name, port, variable)
    tls = Tls("set SSL_CERT_FILE to the file of its CA certificate") if route["tls"] else None
    return Host(*route["host"], "DATA_API_ENDPOINT", tls)


def _data_api_client(route: _DataApiRoute, seconds: int) -> DataApiClient[dict[str, Any]]:
    """Return the client of the variables, with `seconds` as its timeouts."""
    return DataApiClient(
        route["endpoint"],
        api_key=route["api_key"],
        data_source=route["data_source"],
        database=route["database"],
        collection=route["collection"],
        timeoutMS=seconds * 1000,
        connectTimeoutMS=seconds * 1000,
    )


def _check_data_api(report: Report, variables: Mapping[str, str]) -> None:
    actions = ("insertOne", "findOne", "deleteOne")

    def configured() -> str:
        return DataApiClient.from_config(variables).get_default_collection().full_name

    if not report.run("variables", configured, plain):
        _skip(report, *WAY, "key", *actions, "latency")
        return
    route = _data_api_route(variables)
    first = _first_host(route)
    reached = _reach(report, first)
    with _data_api_client(route, report.seconds) as client:
        collection = client.get_default_collection()

        def find() -> object:
            return collection.find_one({"_id": NO_DOCUMENT})

        def accepted() -> str:
            try:
                find()
            except PyMongoError as error:
                if not _knows_key(error):
                    raise
            return f"accepted, through the proxy {first}" if route["proxy"] else "accepted"

        if not report.run("key", accepted, _explain_key, possible=reached):
            _skip(report, *actions, "latency")
            return
        finds = _check_rights(report, Document(collection), actions)
        _check_latency(report, find, "findOne calls", possible=finds)


def _knows_key(error: Exception) -> bool:
    """Return whether the key is valid: MongoDB rejected the call, or the key lacks the permission for it."""
    forbidden = getattr(error, "status", None) == 403 and getattr(error, "error_code", None) is not None
    return forbidden or getattr(error, "code", None) is not None


def _explain_key(error: Exception) -> str:
    status = getattr(error, "status", None)
    if status in (401, 403):
        return f"the Data API rejects the key (HTTP {status}): check API_KEY and its permissions"
    if status == 404:
        return "there is no Data API at this path (HTTP 404): check DATA_API_ENDPOINT, which must not include /action"
    if isinstance(error, NetworkTimeout):
        return f"{plain(error)}: check the port in DATA_API_ENDPOINT, and that the Data API is running"
    return plain(error)


# The table.


def _print_table(checks: list[Check]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    styles = {"ok": "green", "failed": "bold red"}
    table = Table("path", "what", "result", "detail", box=box.SIMPLE)
    for check in checks:
        result = SKIPPED if check.result == "skipped" else check.result
        table.add_row(check.path, check.what, Text(result, styles.get(check.result, "")), check.detail)
    # Do not wrap lines if the output is not a terminal.
    console = Console(width=None if sys.stdout.isatty() else 1000, markup=False, emoji=False, highlight=False)
    with console.capture() as printed:
        console.print(table)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Its encoding may lack some characters.
        sys.stdout.reconfigure(errors="replace")
    for line in printed.get().splitlines():
        click.echo(line.rstrip())
