"""The options of a client, as PyMongo validates them.

PyMongo's own validators run here, so a client raises its errors and warnings, and a keyword overrides
the same option of the connection string. The native module skips this for options whose values are
plainly valid, because importing PyMongo takes a quarter of a second.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_plus

from pymongo import common
from pymongo.client_options import ClientOptions
from pymongo.errors import ConfigurationError, InvalidURI

try:
    from pymongo import uri_parser_shared as parser
except ImportError:  # PyMongo before 4.12
    from pymongo import uri_parser as parser  # type: ignore[no-redef]

__all__ = ["Parsed", "driver_info", "parse"]

SCHEMES = ("mongodb://", "mongodb+srv://")
Options = common._CaseInsensitiveDictionary


class Parsed(NamedTuple):
    """A client's arguments."""

    uri: str
    """The connection string for the driver."""
    options: ClientOptions
    """PyMongo's read-only view, `client.options`."""
    given: Options
    """The validated options, by name in any case."""


class _Target(NamedTuple):
    seeds: list[tuple[str, int | None]]
    fqdn: str | None
    username: str | None
    password: str | None
    database: str | None
    options: Options


# What the driver cannot do: the option, and the alternative.
UNSUPPORTED = {
    "auto_encryption_opts": "encrypt with PyMongo's ClientEncryption before the insert, or use PyMongo's client",
    "server_selector": "select servers with readPreference, readPreferenceTags and localThresholdMS",
    "srv_host_validator": "list the hosts in a mongodb:// connection string",
    "srvallowedhostssuffix": "list the hosts in a mongodb:// connection string",
    "tlscrlfile": "revoke trust with a tlsCAFile that lists only the certificates to trust",
    "tlsallowinvalidhostnames": (
        "use a certificate that names the host, or tlsAllowInvalidCertificates=true, which verifies neither the "
        "certificate nor the host name"
    ),
}
SPELLING = {
    "srvallowedhostssuffix": "srvAllowedHostsSuffix",
    "tlscrlfile": "tlsCRLFile",
    "tlsallowinvalidhostnames": "tlsAllowInvalidHostnames",
}

# The compressors that are built in, so that they need no other package.
COMPRESSORS = ("snappy", "zlib", "zstd")


def parse(host: Any, port: Any, keywords: Mapping[str, Any]) -> Parsed:
    """Validate the arguments of a client.

    Raises:
        pymongo.errors.PyMongoError, ValueError, TypeError: as PyMongo's client.
        pymongo.errors.ConfigurationError: the driver does not support an option.
    """
    port = 27017 if port is None else port
    if not isinstance(port, int):
        raise TypeError(f"port must be an instance of int, not {type(port)}")
    given = Options(keywords)
    hosts = ["localhost"] if host is None else [host] if isinstance(host, str) else host
    target = _target(hosts, port, given.get("srvMaxHosts"))
    # Motor's client has io_loop: a client of this package runs on any loop.
    for unused in ("_pool_class", "_monitor_class", "_condition_class", "io_loop"):
        given.pop(unused, None)
    given["document_class"] = given.get("document_class") or dict
    if given.get("type_registry") is None:
        given.pop("type_registry", None)
    for name, default in (("tz_aware", False), ("connect", True)):
        if given.get(name) is None:
            given[name] = target.options.get(name, default)
    options = target.options
    options.update(_validated(parser._handle_option_deprecations(given)))
    options = parser._normalize_options(parser._handle_security_options(options))
    parser._check_options(target.seeds, options)
    if options.get("srv_host_validator") is not None:
        if options.get("srvAllowedHostsSuffix") is not None:
            raise ConfigurationError("Cannot specify both srv_host_validator and srvAllowedHostsSuffix")
        if target.fqdn is None:
            raise ConfigurationError("The srv_host_validator option is only allowed with 'mongodb+srv://' URIs")
    frequency = options.get("heartbeatFrequencyMS")
    if frequency is not None and frequency < common.MIN_HEARTBEAT_INTERVAL:
        least = common.MIN_HEARTBEAT_INTERVAL * 1000
        raise ConfigurationError(f"heartbeatFrequencyMS cannot be less than {least}")
    _check_supported(options)
    username = options.get("username", target.username)
    password = options.get("password", target.password)
    described = ClientOptions(username, password, target.database, options)
    return Parsed(_uri(target, username, password, options, described), described, options)


def driver_info(info: Any) -> tuple[str, str | None, str | None]:
    """Return the fields of a `DriverInfo`, for `append_metadata`."""
    from pymongo.driver_info import DriverInfo

    if not isinstance(info, DriverInfo):
        raise TypeError(f"driver_info must be an instance of DriverInfo, not {type(info)}")
    return info.name or "", info.version, info.platform


def _target(hosts: Iterable[str], port: int, srv_max_hosts: Any) -> _Target:
    """Read the hosts and connection strings that a client connects to."""
    hosts = list(hosts)
    if sum("/" in host for host in hosts) > 1:
        raise ConfigurationError("host must not contain multiple MongoDB URIs")
    target = _Target([], None, None, None, None, Options())
    seeds: dict[tuple[str, int | None], None] = {}
    for host in hosts:
        if "/" in host:
            target = _connection_string(host, port, srv_max_hosts)
            seeds.update(dict.fromkeys(target.seeds))
        else:
            seeds.update(dict.fromkeys(parser.split_hosts(host, port)))
    if not seeds:
        raise ConfigurationError("need to specify at least one host")
    return target._replace(seeds=list(seeds))


def _connection_string(uri: str, port: int, srv_max_hosts: Any) -> _Target:
    scheme = next((scheme for scheme in SCHEMES if uri.startswith(scheme)), None)
    if scheme is None:
        raise InvalidURI("Invalid URI scheme: URI must begin with 'mongodb://' or 'mongodb+srv://'")
    rest = uri.removeprefix(scheme)
    if not rest:
        raise InvalidURI("Must provide at least one hostname or IP")
    authority, _, query = rest.partition("?")
    authority, _, path = authority.partition("/")
    userinfo, at, hosts = authority.rpartition("@")
    database = unquote_plus(path).partition(".")[0] or None
    if database is not None and any(character in database for character in '/ "$'):
        raise InvalidURI("Bad database name")
    options = _query(query)
    username, password = parser.parse_userinfo(userinfo) if at else ("", "")
    is_srv = scheme == SCHEMES[1]
    if is_srv and options.get("directConnection"):
        raise ConfigurationError(f"Cannot specify directConnection=true with {scheme} URIs")
    seeds = parser.split_hosts(hosts, default_port=None if is_srv else port)
    if is_srv and len(seeds) != 1:
        raise InvalidURI(f"{scheme} URIs must include one, and only one, hostname")
    if is_srv and seeds[0][1] is not None:
        raise InvalidURI(f"{scheme} URIs must not include a port number")
    if not is_srv:
        given = {name: options.get(name) for name in ("srvServiceName", "srvAllowedHostsSuffix")}
        given["srvMaxHosts"] = srv_max_hosts or options.get("srvMaxHosts") or None
        for name in (name for name, value in given.items() if value is not None):
            raise ConfigurationError(f"The {name} option is only allowed with 'mongodb+srv://' URIs")
    parser._check_options(seeds, options)
    return _Target(seeds, seeds[0][0] if is_srv else None, username or None, password or None, database, options)


def _query(query: str) -> Options:
    """Validate the options of a connection string."""
    compressors: list[str] | None = None
    kept = []
    separator = ";" if ";" in query and "&" not in query else "&"
    for option in query.split(separator) if query else []:
        name, assigned, value = option.partition("=")
        # PyMongo's validator rejects those whose Python package is missing.
        if assigned and name.lower() == "compressors":
            compressors = _compressors(unquote_plus(value), from_uri=True)
        else:
            kept.append(option)
    options = Options()
    if kept:
        options.update(parser.split_options(separator.join(kept), validate=True, warn=True, normalize=False))
    if compressors is not None:
        options["compressors"] = compressors
    return options


def _validated(keywords: Options) -> Options:
    """Validate the keywords."""
    validated = Options()
    for name, value in dict(keywords).items():
        spelled = keywords.cased_key(name)
        if name.lower() == "compressors":
            validated[spelled] = _compressors(value)
        else:
            validated[spelled] = common.validate(spelled, value)[1]
    return validated


def _compressors(value: Any, *, from_uri: bool = False) -> list[str]:
    names = value.split(",") if isinstance(value, str) else list(value)
    for name in names:
        if name not in COMPRESSORS:
            warnings.warn("Unsupported compressor" if from_uri else f"Unsupported compressor: {name}", stacklevel=5)
    return [name for name in names if name in COMPRESSORS]


def _check_supported(options: Options) -> None:
    for name, alternative in UNSUPPORTED.items():
        if not options.get(name):
            continue
        if name == "tlsallowinvalidhostnames" and options.get("tlsallowinvalidcertificates"):
            continue
        raise ConfigurationError(f"{SPELLING.get(name, name)} is not supported: {alternative}")
    if options.get("authMechanism") == "GSSAPI":
        raise ConfigurationError(
            "authMechanism=GSSAPI is not supported: use SCRAM-SHA-256, MONGODB-X509, PLAIN, MONGODB-AWS or MONGODB-OIDC"
        )


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _whole_millis(seconds: float | None) -> str:
    """Milliseconds for the driver, which has no "never": the longest time that it accepts stands for it."""
    return str(2**32 - 1) if seconds is None else str(max(round(seconds * 1000), 1 if seconds else 0))


def _millis(seconds: float | None) -> str | None:
    return None if seconds is None else repr(seconds * 1000)


def _optional(write: Callable[[Any], str]) -> Callable[[Any], str | None]:
    return lambda value: None if value is None else write(value)


def _pool_size(size: int | None) -> str:
    # 0 and None are no limit.
    return str(size or 2**32 - 1)


def _properties(properties: Mapping[str, Any]) -> str | None:
    given = ",".join(f"{name}:{value}" for name, value in properties.items() if isinstance(value, str))
    return given or None


# The options that the driver or the native module understands, and how each is written.
WRITTEN: dict[str, Callable[[Any], str | None]] = {
    "appName": _optional(str),
    "authMechanism": lambda mechanism: None if mechanism == "DEFAULT" else mechanism,
    "authMechanismProperties": _properties,
    "authSource": lambda source: source or None,
    "compressors": lambda compressors: ",".join(compressors) or None,
    "connectTimeoutMS": _whole_millis,
    "directConnection": _text,
    "heartbeatFrequencyMS": _optional(_whole_millis),
    "journal": _text,
    "loadBalanced": _text,
    "localThresholdMS": lambda millis: str(round(millis)),
    "maxIdleTimeMS": _optional(_whole_millis),
    "maxConnecting": str,
    "maxPoolSize": _pool_size,
    "minPoolSize": str,
    "readConcernLevel": _optional(str),
    "replicaSet": _optional(str),
    "retryReads": _text,
    "retryWrites": _text,
    "serverMonitoringMode": str,
    "serverSelectionTimeoutMS": _whole_millis,
    "socketTimeoutMS": _millis,
    "srvMaxHosts": lambda most: str(most) if most else None,
    "srvServiceName": str,
    "timeoutMS": _millis,
    "tls": _text,
    "tlsAllowInvalidCertificates": _text,
    "tlsCAFile": _optional(str),
    "tlsCertificateKeyFile": _optional(str),
    "tlsCertificateKeyFilePassword": _optional(str),
    "w": str,
    "waitQueueTimeoutMS": _millis,
    "wTimeoutMS": str,
}
READ_PREFERENCE: dict[str, Callable[[Any], str | None]] = {
    "readPreference": str,
    "maxStalenessSeconds": lambda seconds: None if seconds == -1 else str(seconds),
}


def _uri(
    target: _Target, username: str | None, password: str | None, options: Options, described: ClientOptions
) -> str:
    """Write the connection string for the driver."""
    written = dict(WRITTEN)
    if "read_preference" not in options:
        written |= READ_PREFERENCE
    if target.fqdn is None:
        del written["srvMaxHosts"], written["srvServiceName"]
    texts = [(name, write(options[name])) for name, write in written.items() if name in options]
    if "read_preference" not in options:
        for tags in options.get("readPreferenceTags", []):
            texts.append(("readPreferenceTags", ",".join(f"{name}:{value}" for name, value in tags.items())))
    # The server treats `fsync` as `j`.
    if options.get("fsync") and "journal" not in options:
        texts.append(("journal", "true"))
    # `zlibCompressionLevel` has no effect without the compressor.
    if "zlib" in options.get("compressors", []) and "zlibCompressionLevel" in options:
        texts.append(("zlibCompressionLevel", str(options["zlibCompressionLevel"])))
    for name, keyword in (
        ("maxAdaptiveRetries", "max_adaptive_retries"),
        ("enableOverloadRetargeting", "enable_overload_retargeting"),
    ):
        value = options.get(keyword, options.get(name))
        texts.append((name, None if value is None else _text(value)))
    # PyMongo has decided by now whether the options of TLS imply TLS.
    if described.pool_options._ssl_context is None:
        texts = [(name, text) for name, text in texts if name == "tls" or not name.startswith("tls")]
    elif "tls" not in options:
        texts.append(("tls", "true"))
    query = "&".join(f"{name}={quote(text, safe='')}" for name, text in texts if text is not None)
    userinfo = ""
    if username:
        userinfo = quote(username, safe="") + (":" + quote(password, safe="") if password else "") + "@"
    hosts = target.fqdn or ",".join(_host(*seed) for seed in target.seeds)
    scheme = SCHEMES[target.fqdn is not None]
    path = "" if target.database is None else quote(target.database, safe="")
    return f"{scheme}{userinfo}{hosts}/{path}" + (f"?{query}" if query else "")


def _host(host: str, port: int | None) -> str:
    if host.endswith(".sock"):
        return quote(host, safe="")
    if ":" in host:
        host = "[" + host.replace("%", "%25") + "]"
    return host if port is None else f"{host}:{port}"
