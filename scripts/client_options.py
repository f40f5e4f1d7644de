"""The options of a client: a verdict on each of PyMongo's, for `docs/options.md`.

`tests/test_options.py` checks that each option of PyMongo's validators has a verdict, and that it is true.
"""

from __future__ import annotations

from pymongo import common

SAME, DIFFERENT, REFUSED = "the same", "different", "refused"

# The spelling of MongoDB's documentation; PyMongo takes any case.
SPELLED = """
    appName authMechanism authMechanismProperties authOIDCAllowedHosts authSource connectTimeoutMS directConnection
    enableOverloadRetargeting heartbeatFrequencyMS loadBalanced localThresholdMS maxAdaptiveRetries maxConnecting
    maxIdleTimeMS maxPoolSize maxStalenessSeconds minPoolSize readConcernLevel readPreference readPreferenceTags
    replicaSet retryReads retryWrites serverMonitoringMode serverSelectionTimeoutMS socketTimeoutMS
    srvAllowedHostsSuffix srvMaxHosts srvServiceName timeoutMS tlsAllowInvalidCertificates tlsAllowInvalidHostnames
    tlsCAFile tlsCRLFile tlsCertificateKeyFile tlsCertificateKeyFilePassword tlsDisableOCSPEndpointCheck tlsInsecure
    uuidRepresentation waitQueueMultiple waitQueueTimeoutMS wTimeoutMS zlibCompressionLevel
"""
SPELLING = {name.lower(): name for name in SPELLED.split()}

# All others are the same.
DIFFERENCES: dict[str, tuple[str, str]] = {
    "auto_encryption_opts": (
        REFUSED,
        "the driver is built without `libmongocrypt`: encrypt with PyMongo's `ClientEncryption` before the insert, or "
        "use PyMongo's client",
    ),
    "authmechanism": (DIFFERENT, "no `GSSAPI`, which raises `ConfigurationError`; `MONGODB-AWS` needs no package"),
    "compressors": (DIFFERENT, "`snappy`, `zlib` and `zstd` are built in, and need no package"),
    "connect": (DIFFERENT, "has no effect: a client connects with its first call"),
    "driver": (DIFFERENT, "the names before it are those of the Rust driver and of this package"),
    "fsync": (DIFFERENT, "is sent as `j`, which the server takes it for; `write_concern` shows it as it was given"),
    "readpreferencetags": (
        DIFFERENT,
        "the client selects servers by them, as in PyMongo; the driver sends them as `tagSets`, where a mongos expects "
        "`tags`",
    ),
    "server_selector": (
        REFUSED,
        "the driver would call Python on its own threads: use `readPreference`, `readPreferenceTags` and "
        "`localThresholdMS`",
    ),
    "sockettimeoutms": (
        DIFFERENT,
        "the driver has no such limit, so this package drops the command, and the driver closes its connection",
    ),
    "srv_host_validator": (REFUSED, "the driver resolves the DNS seed list: list the hosts in a `mongodb://` string"),
    "srvallowedhostssuffix": (REFUSED, "as `srv_host_validator`"),
    "tlsallowinvalidhostnames": (
        REFUSED,
        "rustls verifies a host name with its certificate, and the driver gives no access to the verifier: use a "
        "certificate that names the host, or `tlsAllowInvalidCertificates`, which verifies neither. With the latter "
        "or `tlsInsecure`, and if it is false, it is the same",
    ),
    "tlscrlfile": (
        REFUSED,
        "the driver gives no access to rustls's revocation lists: trust only certain certificates, in `tlsCAFile`",
    ),
    "tlsdisableocspendpointcheck": (
        DIFFERENT,
        "has no effect, because rustls never asks an OCSP endpoint; PyMongo does only with `pymongo[ocsp]`",
    ),
}

INTRODUCTION = """# Options of a client

`MongoClient(…)` and `AsyncMongoClient(…)` take the options of PyMongo {version}, as keywords and in the connection
string. PyMongo's own validators check them, so the errors and warnings are PyMongo's: an unknown option of a connection
string is a warning, an unknown keyword a `ConfigurationError`; a wrong value is a warning in a connection string, and a
`ValueError` or `TypeError` as a keyword. A keyword overrides the same option of the connection string. An option that
is refused raises a `ConfigurationError` that names the alternative.
`python -m scripts.compatibility` generates this page, and `tests/test_options.py` checks each verdict with both
libraries.

`from_config` reads variables and not PyMongo's arguments. It rejects an invalid connection string with an error that
names the variable.

## Time limits

| limit | of what | error |
| --- | --- | --- |
| `serverSelectionTimeoutMS` (30 s) | finding a server | `ServerSelectionTimeoutError` |
| `connectTimeoutMS` (20 s) | opening a connection | `AutoReconnect`, `ServerSelectionTimeoutError` |
| `waitQueueTimeoutMS` | waiting for one of `maxPoolSize` connections, all in use | `WaitQueueTimeoutError` |
| `socketTimeoutMS` | waiting for a reply; the command is retried as after any network error | `NetworkTimeout` |
| `timeoutMS`, `pymongo.timeout(…)` | a call with all its retries | `NetworkTimeout`, `ExecutionTimeout`, … |

`timeoutMS` bounds each call and each fetch of a cursor's batch. `with pymongo.timeout(seconds):` bounds all calls in
the block together, and replaces `timeoutMS`. As in PyMongo, each command then carries what is left as `maxTimeMS`, the
limits of the single command do not apply, network errors are retried until the end, and `error.timeout` is true. A call
with such a limit is sent by itself, not merged with others. Commits and aborts carry no `maxTimeMS`. The limits apply
to the driver path; the Data API's clients have a `timeoutMS` of their own, and the gateway rejects the option.

## Options

"""


def verdict(name: str) -> tuple[str, str]:
    """Return the verdict on an option of PyMongo's validators, and the difference."""
    return DIFFERENCES.get(name, (SAME, ""))


def page() -> str:
    """Return the text of `docs/options.md`."""
    from pymongo import version

    minor = ".".join(version.split(".")[:2])
    rows = sorted((SPELLING.get(name, name), *verdict(name)) for name in common.VALIDATORS)
    counts = ", ".join(f"{sum(row[1] == kind for row in rows)} {kind}" for kind in (SAME, DIFFERENT, REFUSED))
    out = [INTRODUCTION.format(version=minor) + f"{counts}.", "", "| option | compared | difference |"]
    out.append("| --- | --- | --- |")
    out += [f"| `{name}` | {kind} | {why} |" for name, kind, why in sorted(rows, key=lambda row: row[0].lower())]
    return "\n".join(out) + "\n"
