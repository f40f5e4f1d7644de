"""Writes `docs/compatibility.md`: PyMongo's public API beside ours, method by method.

`python -m scripts.compatibility`, after a change of what the driver path offers.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from connect.eaas import mongodb as ours
from pymongo.asynchronous import (
    change_stream,
    client_session,
    collection,
    command_cursor,
    cursor,
    database,
    mongo_client,
)

from tests.comparison.differences import DIFFERENT as DIFFERENCES

TABLE = Path(__file__).parent.parent / "docs" / "compatibility.md"

CLASSES: list[tuple[str, Any, Any]] = [
    ("AsyncMongoClient", mongo_client.AsyncMongoClient, ours.AsyncMongoClient),
    ("AsyncDatabase", database.AsyncDatabase, ours.AsyncDatabase),
    ("AsyncCollection", collection.AsyncCollection, ours.AsyncCollection),
    ("AsyncCursor", cursor.AsyncCursor, ours.AsyncCursor),
    ("AsyncCommandCursor", command_cursor.AsyncCommandCursor, ours.AsyncCommandCursor),
    ("AsyncClientSession", client_session.AsyncClientSession, ours.AsyncClientSession),
    ("AsyncChangeStream", change_stream.AsyncChangeStream, ours.AsyncChangeStream),
]

ABSENT = {
    "AsyncMongoClient.append_metadata": "the driver's name and version are sent",
    "AsyncMongoClient.eq_props": "compare clients with `==`",
    "AsyncMongoClient.options": "ask `codec_options`, `read_preference`, `write_concern` and `read_concern`",
    "AsyncMongoClient.next": "a client is no iterator",
    "AsyncDatabase.next": "a database is no iterator",
    "AsyncCollection.next": "a collection is no iterator",
    "AsyncCursor.max_scan": "MongoDB has had no `maxScan` since 4.2",
}
DIFFERENT = {
    "AsyncMongoClient.close": "a client from `from_config` stays open: it serves others. It need not be awaited",
    "AsyncMongoClient.address": "asks the server each time; so do `primary`, `secondaries` and the like",
    "AsyncMongoClient.bulk_write": "in a session outside a transaction: see *Sessions* below",
    "AsyncMongoClient.watch": "no `comment`",
    "AsyncDatabase.watch": "no `comment`",
    "AsyncCollection.watch": "no `comment`",
    "AsyncCollection.insert_one": "the caller's document gets no `_id`, unless the client has `add_ids=True`",
    "AsyncCollection.insert_many": "the caller's documents get no `_id`, unless the client has `add_ids=True`",
    "AsyncCollection.find": "named, not `*args`; no `oplog_replay`, `max_scan`, `snapshot`, exhaust cursors",
    "AsyncCollection.find_one": "as `find`",
    "AsyncCollection.drop": "no `encrypted_fields`",
    "AsyncDatabase.drop_collection": "no `encrypted_fields`",
    "AsyncDatabase.create_collection": "no `encryptedFields`",
    "AsyncCursor.address": "always `None`: the driver does not tell",
    "AsyncCommandCursor.address": "always `None`: the driver does not tell",
    "AsyncCommandCursor.batch_size": "of no effect once the command is sent, which is when it is made",
    "AsyncCursor.add_option": "no exhaust cursors",
    "AsyncClientSession.bind": "raises `NotImplementedError`: pass `session=` to each call",
    "AsyncCursor.max": "also takes a mapping",
    "AsyncCursor.min": "also takes a mapping",
}

NOTES = """## Beyond the members

- **Sessions.** An insert or a bulk write of a session, outside a transaction, goes in a session of the client's own,
  so that it can be repeated safely; the caller's session takes over its times, so that causal consistency holds.
- **Connection strings.** `w=0`, `socketTimeoutMS`, `waitQueueTimeoutMS` and `timeoutMS` are a `ConfigurationError`,
  as is a value that is none (PyMongo raises `ValueError` or `TypeError` for some). The mechanisms are SCRAM-SHA-1 and
  SCRAM-SHA-256, MONGODB-X509, PLAIN, MONGODB-AWS (no other package is needed) and MONGODB-OIDC, the latter with
  PyMongo's `OIDC_CALLBACK`, `OIDC_HUMAN_CALLBACK` and `ALLOWED_HOSTS` or an `ENVIRONMENT` of `azure`, `gcp` or `k8s`;
  what a callback raises is named by the `OperationFailure` (code 18) of the call that needed the token. GSSAPI is not
  built in, and client-side encryption is not supported. Compressors
  are zlib, zstd and snappy. `hedge` of a read preference is not sent.
- **Listeners.** PyMongo's, from `event_listeners` or `pymongo.monitoring.register`. They are called by a thread of
  their own, in the context (`contextvars`) of the call, and have heard of a call when its result is there. While a
  `CommandListener` listens, inserts are not merged.
- **Type registries, document classes, time zones** and the other codec options are PyMongo's own, and cost what they
  cost there; `tz_aware` and `uuid_representation` are as fast as the default.
- **GridFS** is `connect.eaas.mongodb.gridfs`, with PyMongo's classes and, for Motor, `AsyncIOMotorGridFSBucket`.
- **Motor's spelling** works too: `async with await client.start_session()`, `async with session.start_transaction()`,
  `collection.aggregate(…)`, `list_indexes()` and `watch()` without `await`, `client.close()` without `await`.
- **Data API path.** The same collections, as far as the Data API goes: inserts, `find_one`, `find`, updates,
  replacements, deletions, `aggregate`, `with_options(codec_options)`. Anything else raises `NotImplementedError`,
  which names the driver path.

## What the comparison with PyMongo knows to differ

Each of these is a case of `tests/comparison/`, which runs the same calls with both libraries on the same server and
compares results, errors, what is stored and the commands that were sent.
"""


def parameters(function: Any) -> list[str] | None:
    """The names of a method's parameters, or `None` where it has none that can be seen."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return None
    return [name for name in names if name != "self"]


def verdict(owner: str, name: str, theirs: Any, mine: Any) -> tuple[str, str]:
    """How a member of PyMongo's class compares."""
    key = f"{owner}.{name}"
    if not hasattr(mine, name):
        return "absent", ABSENT[key]
    if key in DIFFERENT:
        return "different", DIFFERENT[key]
    member, own = inspect.getattr_static(theirs, name), getattr(mine, name)
    if isinstance(member, property) or not callable(own):
        return "the same", ""
    wanted, given = parameters(getattr(theirs, name)), parameters(own)
    if wanted is None or given is None or wanted == given:
        return "the same", ""
    lacking = [name for name in wanted if name not in given and name not in ("args", "kwargs")]
    if lacking:
        return "different", "without " + ", ".join(f"`{name}`" for name in lacking)
    return "the same", ""


def public(cls: Any) -> list[str]:
    """The names of a class's public members."""
    return sorted(name for name in dir(cls) if not name.startswith("_"))


def table() -> str:
    """The document's text."""
    out = [
        "# Beside PyMongo's API",
        "",
        "The driver path's classes, awaited, beside PyMongo's; those that block have the same methods. Written by",
        "`python -m scripts.compatibility`, of PyMongo 4's `pymongo.asynchronous` and of this package, and checked by",
        "the tests. What is absent raises `AttributeError`, or, as an argument, `NotImplementedError` or `TypeError`.",
        "",
    ]
    for name, theirs, mine in CLASSES:
        rows = [(member, *verdict(name, member, theirs, mine)) for member in public(theirs)]
        counts = {kind: sum(row[1] == kind for row in rows) for kind in ("the same", "different", "absent")}
        summary = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        out += [f"## `{name}`", "", f"{summary}.", "", "| member | | |", "| --- | --- | --- |"]
        out += [f"| `{member}` | {kind} | {why} |" for member, kind, why in rows]
        out.append("")
    out += [NOTES]
    for reason in dict.fromkeys(DIFFERENCES.values()):
        cases = ", ".join(f"*{case}*" for case, why in DIFFERENCES.items() if why == reason)
        out.append(f"- {reason}: {cases}")
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
