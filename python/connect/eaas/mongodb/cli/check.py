"""`connect-mongodb check`: what of the paths to MongoDB works from here, and what to mend."""

from __future__ import annotations

import concurrent.futures
import contextlib
import io
import ipaddress
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
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar
from urllib.parse import quote, unquote, urlsplit

import click
from connect.eaas.mongodb import VARIABLES, Collection, DataApiClient, DataApiCollection, MongoClient
from pymongo.errors import (
    ConfigurationError,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.read_preferences import ReadPreference
from pymongo.uri_parser import split_hosts

T = TypeVar("T")
PathName: TypeAlias = Literal["driver", "http"]
Result: TypeAlias = Literal["ok", "failed", "skipped", "not configured"]
Explain: TypeAlias = Callable[[Exception], str]

OWN_VARIABLES: dict[PathName, tuple[str, ...]] = {
    "driver": ("DB_HOST", "DB_USER", "DB_PASSWORD", "DRIVER_COLLECTION", "DB_OPTIONS"),
    "http": ("DATA_API_ENDPOINT", "API_KEY", "CLUSTER", "HTTP_COLLECTION"),
}
"""The variables that one path has and the other has not."""

SECRET_OPTIONS = ("authmechanismproperties", "proxypassword", "tlscertificatekeyfilepassword")
"""The options of a connection string that are kept out of sight, in lower case."""

UNAUTHENTICATED = (18, 8000)
"""MongoDB's and Atlas' codes for a user or a password that is wrong."""

UNAUTHORIZED = 13
"""MongoDB's code for what the user may not do."""

UNFIT = (121, 11000)
"""MongoDB's codes for a document that a validator or a unique index refuses, though the user may insert."""

WAY = ("name", "TCP", "TLS")
"""The checks of the way to a host, where none is known."""

NO_DOCUMENT = "connect-mongodb-check"
"""The `_id` of a document that there is not, to be looked for."""

PINGS = 5
"""How many calls the latency is measured with."""

SKIPPED = "\N{EN DASH}"
"""How a table shows a check that was not made."""


class CheckError(Exception):
    """What keeps the checks from being made."""


class FaultError(Exception):
    """What a check found wrong, in words for whom it concerns."""


@dataclass(frozen=True)
class Check:
    """What came of one check."""

    path: PathName
    what: str
    result: Result
    detail: str


def run(path: str, *, env_file: str | None, seconds: int, output: str) -> bool:
    """Check a path, or both where they are configured, and print what came of it.

    Args:
        path: `driver`, `http` or `both`.
        env_file: a file of variables, to be read in place of the environment.
        seconds: how long to wait for a connection, and for an answer.
        output: `table` or `json`.

    Returns:
        Whether all that is configured works; not so where nothing is.

    Raises:
        CheckError: the file cannot be used.
    """
    given = os.environ if env_file is None else _of_file(env_file)
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


def _of_file(name: str) -> dict[str, str]:
    """The variables of a file of NAME=value lines; quotes around a value are left out."""
    try:
        text = Path(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise CheckError(f"the file {name} cannot be read ({reason})") from None
    variables = {}
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line.startswith("#"):
            continue
        # The line is not shown: it may be part of a secret.
        if (given := re.fullmatch(r"(?:export\s+)?(\w+)\s*=\s*(.*)", line)) is None:
            raise CheckError(f"line {number} of {name} is not NAME=value")
        variable, value = given.groups()
        quoted = re.fullmatch(r"""(["'])(.*)\1""", value)
        variables[variable] = quoted[2] if quoted else value
    return variables


class Secrets:
    """What no output may hold."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        found = [variables.get("API_KEY", ""), variables.get("DB_PASSWORD", "")]
        found += _userinfo(variables.get("DB_HOST", ""))
        found += [value for name, value in _options(variables).items() if name in SECRET_OPTIONS]
        found += [part for proxy in urllib.request.getproxies().values() for part in _userinfo(proxy)]
        written = {form for text in found for form in (text.strip(), unquote(text), quote(text, safe=""))}
        longest_first = sorted(filter(None, written), key=len, reverse=True)
        # A short one is hidden where it is a word, so that a password of one letter spoils no other words.
        patterns = [re.escape(text) if len(text) > 5 else rf"(?<!\w){re.escape(text)}(?!\w)" for text in longest_first]
        self._pattern = re.compile("|".join(patterns)) if patterns else None

    def hide(self, text: str) -> str:
        """The text without them."""
        return self._pattern.sub("***", text) if self._pattern else text


def _userinfo(url: str) -> set[str]:
    """The user and the password in a URL, and both as they are written there, also where '/' is not encoded."""
    rest = url.partition("://")[2] or url
    found = {text.rpartition("@")[0] for text in (rest, rest.partition("/")[0])}
    return found | {part for userinfo in found for part in userinfo.split(":", 1)}


def _options(variables: Mapping[str, str]) -> dict[str, str]:
    """The connection string's options, their names in lower case."""
    texts = (variables.get("DB_HOST", "").partition("?")[2], variables.get("DB_OPTIONS", "").strip().lstrip("?&"))
    pairs = [option.partition("=") for text in texts for option in text.split("&")]
    return {name.lower(): unquote(value) for name, _, value in pairs if name}


# What came of the checks.


@dataclass
class Report:
    """What came of the checks of one path, in order."""

    path: PathName
    seconds: int
    secrets: Secrets
    checks: list[Check] = field(default_factory=list)

    def add(self, what: str, result: Result, detail: str = "") -> None:
        """Note a check's result; its detail becomes one line without a secret."""
        detail = "".join(character if character.isprintable() else " " for character in detail)
        hide = self.secrets.hide
        self.checks.append(Check(self.path, hide(what), result, hide(" ".join(detail.split()))))

    def run(self, what: str, call: Callable[[], str], explain: Explain, *, possible: bool = True) -> bool:
        """Make a check, if what it needs worked; give whether it works.

        Args:
            what: its name.
            call: makes it; gives the detail.
            explain: says what to mend where it raised.
            possible: whether what it needs worked.
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
        """How long a check may take: to connect and to get an answer take `seconds` each, at most."""
        return 2 * self.seconds + 1


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Give what the call gives, or leave it alone after that time.

    Raises:
        TimeoutError: it was not done.
    """
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()

    def work() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    # The process does not wait for it at its end.
    threading.Thread(target=work, daemon=True).start()
    concurrent.futures.wait([outcome], seconds)
    if not outcome.done():
        raise TimeoutError(
            f"no answer within {seconds:g} s: see whether the server is overloaded, or waits for members that are away"
        )
    return outcome.result()


# The network.


@dataclass(frozen=True)
class Tls:
    """How a path trusts its servers.

    Attributes:
        advice: how to have it trust another authority.
        authorities: a file of certificates to trust; the system's and SSL_CERT_FILE's, if absent.
        client: a file of the client's own certificate.
        password: of the client's key.
        strict: whether a server that is not trusted is refused.
    """

    advice: str
    authorities: str | None = None
    client: str | None = None
    password: str | None = None
    strict: bool = True

    def context(self, strict: bool) -> ssl.SSLContext:
        """The context of a handshake."""
        context = ssl.create_default_context(cafile=self.authorities)
        # Neither client asks for more than it needs.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if not strict:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client:
            context.load_cert_chain(self.client, password=self.password)
        return context


@dataclass(frozen=True)
class Host:
    """A server to reach, or the proxy before it.

    Attributes:
        name: its name or address.
        port: its port.
        source: where it is named.
        tls: how it is trusted, if it speaks TLS.
    """

    name: str
    port: int
    source: str
    tls: Tls | None = None

    def __str__(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"

    def resolve(self) -> str:
        """Look its name up; give its addresses."""
        found = socket.getaddrinfo(self.name, self.port, type=socket.SOCK_STREAM)
        return ", ".join(dict.fromkeys(str(address[0]) for *_, address in found))

    def connect(self, seconds: float) -> str:
        """Connect to it; give the address that took the connection."""
        with socket.create_connection((self.name, self.port), seconds) as connection:
            return f"connected to {connection.getpeername()[0]}"

    def shake_hands(self, tls: Tls, seconds: float) -> str:
        """Agree on TLS with it; give what is known of its certificate."""
        try:
            return self._shake_hands(tls.context(strict=True), seconds)
        except ssl.SSLCertVerificationError as error:
            if tls.strict:
                raise
            agreed = self._shake_hands(tls.context(strict=False), seconds)
            return f"{agreed}; not trusted ({error.verify_message}), which the options allow"

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
        return f"{version}; the certificate is trusted, and valid until {until:%Y-%m-%d}"

    def explain(self, error: Exception) -> str:
        """What to mend where it cannot be reached."""
        if isinstance(error, socket.gaierror):
            return f"the name does not resolve here ({error.strerror}): check it in {self.source}, and the DNS"
        if isinstance(error, ConnectionRefusedError):
            return f"nothing listens there: check the port in {self.source}, and that the server runs"
        if isinstance(error, TimeoutError):
            return (
                f"no answer in time: check the address in {self.source}, the firewalls between, and the list of "
                "addresses that may connect (in Atlas: Network Access)"
            )
        return f"no connection ({_reason(error)}): check the address in {self.source}, and the network"

    def explain_tls(self, error: Exception) -> str:
        """What to mend where TLS cannot be agreed on."""
        if isinstance(error, ssl.SSLCertVerificationError):
            if error.verify_code == 10:
                return "the certificate has expired: renew it on the server"
            if error.verify_code in (62, 64):
                return f"the certificate is not for {self.name}: use a name that it has, in {self.source}"
            advice = self.tls.advice if self.tls else "trust its authority"
            return f"the certificate is not trusted ({error.verify_message}): {advice}"
        return f"no TLS there ({_reason(error)}): check the port, and that the server speaks TLS"


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__


def _reach(report: Report, host: Host) -> bool:
    """Check the way to a host; give whether it is open."""
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


# What both paths do with a collection.


class Document:
    """A document that shows what the user may do.

    Attributes:
        stored: whether it is in the collection; `None` where no answer came.
    """

    def __init__(self, collection: Collection[Any] | DataApiCollection[Any]) -> None:
        self.collection = collection
        self.identity = f"connect-mongodb-check-{secrets.token_hex(8)}"
        self.stored: bool | None = False

    def insert(self) -> str:
        """Insert it."""
        self.stored = None  # Until there is an answer.
        try:
            self.collection.insert_one({"_id": self.identity})
        except PyMongoError as error:
            self.stored = False if _is_refusal(error) else None
            if getattr(error, "code", None) not in UNFIT:
                raise
            return "allowed, though a validator or a unique index refuses the document of this check"
        self.stored = True
        return f"inserted a document into {self.collection.full_name}"

    def find(self) -> str:
        """Find it, if it was inserted."""
        found = self.collection.find_one({"_id": self.identity})
        if self.stored and found is None:
            raise FaultError("the document that was just inserted is not found: is it read from another server?")
        return "found it" if found else "allowed"

    def delete(self) -> str:
        """Delete it, if it was inserted."""
        deleted = self.collection.delete_one({"_id": self.identity}).deleted_count
        if self.stored and not deleted:
            raise FaultError("the document that was just inserted is not found: is it in another collection?")
        return "deleted it" if deleted else "allowed"

    def explain_left(self, error: Exception) -> str:
        """What to mend where it could not be deleted."""
        if self.stored is False:
            return plain(error)
        return f"{plain(error)}; delete {self.identity} from {self.collection.full_name}, if it is there"


def _is_refusal(error: Exception) -> bool:
    """Whether a server answered that it did not do it."""
    status = getattr(error, "status", None) or 0
    return getattr(error, "code", None) is not None or 400 <= status < 500


def _check_rights(report: Report, document: Document, names: tuple[str, str, str]) -> bool:
    """Insert a document, find it and delete it, which is done whatever happens before; give whether finding works."""
    insert, find, delete = names
    try:
        report.run(insert, document.insert, plain)
        return report.run(find, document.find, plain)
    finally:
        report.run(delete, document.delete, document.explain_left)


def _check_latency(report: Report, call: Callable[[], object], name: str, *, possible: bool = True) -> None:
    def measure() -> str:
        return f"{statistics.median(_times(call)):.1f} ms (the median of {PINGS} {name})"

    report.run("latency", measure, plain, possible=possible)


def _times(call: Callable[[], object]) -> Iterator[float]:
    """How many milliseconds each of some calls took."""
    for _ in range(PINGS):
        begun = time.perf_counter()
        call()
        yield (time.perf_counter() - begun) * 1000


def plain(error: Exception) -> str:
    """The error's message, with what the driver knows of its servers in short, and without the command's name."""
    message, _, topology = str(error).partition(". Server selection timeout:")
    message = re.sub(r"^run the command \S+ at \S+: ", "", message)
    reasons = re.findall(r"Address: ([^ ]+), Type: \w+, Error: Kind: (.+?), labels:", topology)
    told = "; ".join(f"{address}: {reason}" for address, reason in reasons)
    return f"{message} ({told})" if told else message


# The driver path.


class Driver:
    """The driver path's client, and what came of its first command."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables
        self.options = _options(variables)
        self.srv = _is_srv(variables.get("DB_HOST", "").strip())
        self.refusal: Exception | None = None
        self.client: MongoClient[dict[str, Any]] | None = None

    def ask(self, seconds: int, patience: int) -> None:
        """Have the client look for its servers and log in."""
        try:
            # As they are, so that a fault is found in what is given.
            MongoClient.from_config(self.variables)
            self.client = MongoClient.from_config(self._bounded(seconds))
            _within(patience, self.ping)
        except Exception as error:
            self.refusal = error

    def _bounded(self, seconds: int) -> dict[str, str]:
        """The variables, with that time to look for a server in place of theirs."""
        host, _, query = self.variables["DB_HOST"].strip().partition("?")
        options = [*query.split("&"), *self.variables.get("DB_OPTIONS", "").strip().lstrip("?&").split("&")]
        times = ("serverselectiontimeoutms", "connecttimeoutms")
        kept = [option for option in options if option and option.partition("=")[0].lower() not in times]
        kept += [f"serverSelectionTimeoutMS={seconds * 1000}", f"connectTimeoutMS={seconds * 1000}"]
        return {**self.variables, "DB_HOST": host, "DB_OPTIONS": "&".join(kept)}

    @property
    def usable(self) -> MongoClient[dict[str, Any]]:
        """The client, which is there once the variables can be used."""
        if self.client is None:
            raise self.refusal or FaultError("there is no client")
        return self.client

    def ping(self) -> None:
        """Have the server answer."""
        self.usable.get_default_database().command("ping")

    def collection(self) -> Collection[dict[str, Any]]:
        """The collection, where what was written can be read at once."""
        return self.usable.get_default_collection().with_options(read_preference=ReadPreference.PRIMARY)

    def configured(self) -> str:
        """Whether the variables can be used."""
        if isinstance(self.refusal, ConfigurationError):
            raise self.refusal
        return self.usable.get_default_collection().full_name

    def members(self) -> set[tuple[str, int | None]]:
        """The servers that the client knows of, from the DNS or from each other."""
        return set(self.usable.topology_description.server_descriptions())

    def hosts(self) -> list[Host]:
        """The servers to reach: those that DB_HOST names, and those that the client knows of."""
        tls = self._tls()
        seeds = set() if self.srv else _seeds(self.variables["DB_HOST"])
        hosts = [Host(name, port, "DB_HOST", tls) for name, port in sorted(seeds) if port]
        source = "the SRV record, or the replica set's configuration" if self.srv else "the replica set's configuration"
        return hosts + [Host(name, port, source, tls) for name, port in sorted(self.members() - seeds) if port]

    def _tls(self) -> Tls | None:
        options = self.options
        if (options.get("tls") or options.get("ssl") or str(self.srv)).lower() != "true":
            return None
        system = os.environ.get("SSL_CERT_FILE", "")
        return Tls(
            "name the file of its authority's certificate with tlsCAFile in DB_OPTIONS, or SSL_CERT_FILE",
            options.get("tlscafile") or (system if Path(system).is_file() else None),
            options.get("tlscertificatekeyfile"),
            options.get("tlscertificatekeyfilepassword"),
            not any(options.get(name) == "true" for name in ("tlsinsecure", "tlsallowinvalidcertificates")),
        )

    def found(self) -> str:
        """Whether the DNS knows the servers."""
        if self.refusal and not self.members():
            raise self.refusal
        return ", ".join(map(str, self.hosts()))

    def logged_in(self) -> str:
        """Whether the server lets the user in."""
        if self.refusal is not None:
            raise self.refusal
        if self._has_user():
            return "logged in"
        try:
            self.collection().find_one({"_id": NO_DOCUMENT})
        except OperationFailure as error:
            if error.code != UNAUTHORIZED:
                raise
            raise FaultError("MongoDB asks for a user, and none is set: set DB_USER and DB_PASSWORD") from None
        return "MongoDB asks for no user"

    def _has_user(self) -> bool:
        host = self.variables["DB_HOST"]
        named = "@" in host if "://" in host else bool(self.variables.get("DB_USER", "").strip())
        return named or "authmechanism" in self.options

    def explain(self, error: Exception) -> str:
        """What to mend where the server does not let the user in, or there is none to do so."""
        if getattr(error, "code", None) in UNAUTHENTICATED:
            return (
                "MongoDB refuses the user or the password: check DB_USER and DB_PASSWORD (or those in DB_HOST, "
                "percent-encoded), and authSource in DB_OPTIONS, the database that the user is defined in"
            )
        said = plain(error)
        if not isinstance(error, ServerSelectionTimeoutError):
            return said
        if "replicaset" in self.options and not self.members():
            return "no server there is of the replica set that replicaSet names: correct that option, or leave it out"
        broken = re.search("reset|end of file|eof|closed", said, re.IGNORECASE)
        return f"{said}; where MongoDB asks for TLS, add tls=true to DB_OPTIONS" if broken and not self._tls() else said

    def version(self) -> str:
        """The server's version."""
        return f"MongoDB {self.usable.server_info()['version']}"


def _seeds(host: str) -> set[tuple[str, int | None]]:
    """The hosts and ports in DB_HOST, where it is not the name of an SRV record."""
    authority = re.split("[/?]", host.strip().partition("://")[2] or host.strip())[0].rpartition("@")[2]
    # What the driver takes and PyMongo does not is checked once the driver is there.
    with contextlib.suppress(PyMongoError, ValueError):
        return set(split_hosts(authority))
    return set()


def _is_srv(host: str) -> bool:
    """Whether the driver takes it for the name of an SRV record."""
    if "://" in host:
        return host.startswith("mongodb+srv://")
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return False
    return "." in host and not any(character in host for character in ":,[")


def _check_driver(report: Report, variables: Mapping[str, str]) -> None:
    driver = Driver(variables)
    driver.ask(report.seconds, report.patience)
    rights = ("write", "read", "delete")
    if not report.run("variables", driver.configured, plain):
        _skip(report, *WAY, "authentication", "server version", *rights, "latency")
        return
    found = not driver.srv or report.run("SRV record", driver.found, plain)
    if not found:
        _skip(report, *WAY)
    ways = [_reach(report, host) for host in driver.hosts()]
    # Where the client knows no server any more, it says why.
    reached = any(ways) or not ways
    if not report.run("authentication", driver.logged_in, driver.explain, possible=found and reached):
        _skip(report, "server version", *rights, "latency")
        return
    report.run("server version", driver.version, plain)
    _check_rights(report, Document(driver.collection()), rights)
    _check_latency(report, driver.ping, "pings")


# The Data API path.


def _endpoint(url: str) -> Host:
    """The host of the Data API."""
    parts = urlsplit(url.strip())
    tls = Tls("name the file of its authority's certificate with SSL_CERT_FILE") if parts.scheme == "https" else None
    return Host(parts.hostname or "", parts.port or (443 if tls else 80), "DATA_API_ENDPOINT", tls)


def _proxy(url: str) -> Host | None:
    """The proxy that the client goes through for that URL, if any."""
    parts, proxies = urlsplit(url.strip()), urllib.request.getproxies()
    variable = next((name for name in (parts.scheme, "all") if name in proxies), None)
    if variable is None or urllib.request.proxy_bypass(parts.netloc):
        return None
    with contextlib.suppress(ValueError):
        proxy = urlsplit(proxies[variable] if "://" in proxies[variable] else f"http://{proxies[variable]}")
        port = proxy.port or (443 if proxy.scheme == "https" else 80)
        return Host(proxy.hostname or "", port, f"{variable.upper()}_PROXY")
    return None


def _data_api_client(variables: Mapping[str, str], seconds: int) -> DataApiClient[dict[str, Any]]:
    """The client of these variables, with that time for a call in place of its own."""
    return DataApiClient(
        variables["DATA_API_ENDPOINT"],
        api_key=variables["API_KEY"],
        data_source=variables["CLUSTER"],
        database=variables["DB"].strip(),
        collection=variables["HTTP_COLLECTION"].strip(),
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
    proxy = _proxy(variables["DATA_API_ENDPOINT"])
    reached = _reach(report, proxy or _endpoint(variables["DATA_API_ENDPOINT"]))
    with _data_api_client(variables, report.seconds) as client:
        collection = client.get_default_collection()

        def find() -> object:
            return collection.find_one({"_id": NO_DOCUMENT})

        def accepted() -> str:
            try:
                find()
            except PyMongoError as error:
                if not _knows_key(error):
                    raise
            return f"accepted, through the proxy {proxy}" if proxy else "accepted"

        if not report.run("key", accepted, _explain_key, possible=reached):
            _skip(report, *actions, "latency")
            return
        finds = _check_rights(report, Document(collection), actions)
        _check_latency(report, find, "findOne calls", possible=finds)


def _knows_key(error: Exception) -> bool:
    """Whether what is refused is the call and not the key: by MongoDB, or since the key may not do this."""
    forbidden = getattr(error, "status", None) == 403 and getattr(error, "error_code", None) is not None
    return forbidden or getattr(error, "code", None) is not None


def _explain_key(error: Exception) -> str:
    status = getattr(error, "status", None)
    if status in (401, 403):
        return f"the Data API refuses the key (HTTP {status}): check API_KEY, and what it may do"
    if status == 404:
        return "there is no Data API at that path (HTTP 404): check DATA_API_ENDPOINT, up to and without /action"
    if isinstance(error, NetworkTimeout):
        return f"{plain(error)}: check the port in DATA_API_ENDPOINT, and that the Data API runs there"
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
    # Lines that are not cut, where there is no terminal to fit them into.
    console = Console(width=None if sys.stdout.isatty() else 1000, markup=False, emoji=False, highlight=False)
    with console.capture() as printed:
        console.print(table)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # It may not have all characters.
        sys.stdout.reconfigure(errors="replace")
    for line in printed.get().splitlines():
        click.echo(line.rstrip())
