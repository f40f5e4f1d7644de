"""Writes `docs/compatibility.md`: PyMongo's public API compared with ours, member by member; and `docs/options.md`.

Run `python -m scripts.compatibility` after a change of the driver path's API.
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

from scripts import client_options
from tests.comparison.differences import DIFFERENT as DIFFERENCES

TABLE = Path(__file__).parent.parent / "docs" / "compatibility.md"
OPTIONS = TABLE.with_name("options.md")

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
    "AsyncCursor.max_scan": "MongoDB removed `maxScan` in 4.2",
}
DIFFERENT = {
    "AsyncMongoClient.close": "does not close a client from `from_config`, which is shared; `await` is optional",
    "AsyncMongoClient.address": "queries the server each time, as do `primary`, `secondaries` and the like",
    "AsyncMongoClient.bulk_write": "with a session outside a transaction: see *Sessions* below",
    "AsyncCollection.insert_one": "does not add `_id` to the caller's document, unless the client has `add_ids=True`",
    "AsyncCollection.insert_many": "does not add `_id` to the caller's documents, unless the client has `add_ids=True`",
    "AsyncCollection.find": "named parameters, not `*args`; no `oplog_replay`, `max_scan`, `snapshot`",
    "AsyncCollection.find_one": "as `find`",
    "AsyncCollection.drop": "no `encrypted_fields`",
    "AsyncDatabase.drop_collection": "no `encrypted_fields`",
    "AsyncDatabase.create_collection": "no `encryptedFields`",
    "AsyncCursor.address": "`None` if it may be any of several servers, since the driver does not tell",
    "AsyncCommandCursor.address": "`None` if it may be any of several servers, since the driver does not tell",
    "AsyncCommandCursor.batch_size": "has no effect, because the command is sent when the cursor is created",
}

NOTES = """## Beyond the members

- **Sessions.** Outside a transaction, an insert or bulk write with a session is sent in a session of the client's
  own, so that it can be retried safely. The caller's session adopts its cluster and operation times, so causal
  consistency holds.
- **Connection strings.** The page [Options of a client](options.md) compares each option. `hedge` of a
  read preference is not sent.
- **Unacknowledged writes.** `w=0` gives PyMongo's results and errors. The driver cannot leave a command unanswered: the
  command contains `writeConcern: {w: 0}` and no transaction number, but also the id of a session of the driver's own,
  and its answer is awaited and ignored. So a call takes as long as an acknowledged one. It raises an exception if the
  command cannot be sent, but not for the server's errors or a connection that is lost before the answer. Listeners see
  the server's answer. An event store and the gateway refuse `w=0`.
- **Sizes.** The server refuses a document of more than 16 MiB, as with PyMongo. A command of more than 16 MiB + 16 382
  bytes raises `DocumentTooLarge` before it is sent. A bulk write sends commands of up to 16 MiB (PyMongo: 48 MB), and a
  document that is larger, up to 48 MB, as a command of its own.
- **Authentication.** The mechanisms are SCRAM-SHA-1 and SCRAM-SHA-256, MONGODB-X509, PLAIN, MONGODB-AWS (without
  another package) and MONGODB-OIDC. The latter supports PyMongo's `OIDC_CALLBACK`, `OIDC_HUMAN_CALLBACK` and
  `ALLOWED_HOSTS`, or an `ENVIRONMENT` of `azure`, `gcp` or `k8s`. If a callback raises an exception, the call that
  needed the token raises an `OperationFailure` (code 18) that names it. GSSAPI is not built in.
- **Encryption and compression.** Client-side encryption is not supported. Compressors are zlib, zstd and snappy.
- **Listeners.** PyMongo's listeners are supported, from `event_listeners` or `pymongo.monitoring.register`. A
  dedicated thread calls them, in the context (`contextvars`) of the call, before the call returns its result. The
  events of a merged insert have the contexts of all its callers in an attribute of their own, `callers`
  ([monitoring](monitoring.md)).
- **Codec options.** Type registries, document classes, time zones and the other codec options are PyMongo's own, and
  cost what they cost there. `tz_aware` and `uuid_representation` are as fast as the default.
- **Classes.** Databases and collections are made by their classes, too: `AsyncCollection(database, "name", …)`. The
  classes of clients, databases and collections can be extended. Objects and results pass `isinstance` for PyMongo's
  class of the same name: `isinstance(client, pymongo.AsyncMongoClient)` is true. `type(client)` is the package's class,
  and a type checker sees that class. PyMongo's private attributes, such as `client._topology`, are absent.
- **Errors about arguments** have PyMongo's classes and messages. The message for a missing, unknown or surplus argument
  names the blocking class: `Collection.insert_one() missing …` for an `AsyncCollection`, too.
- **Options that the package does not know**, such as `aggregate(pipeline, newOption=1)`, are sent to the server, which
  decides about them.
- **GridFS** is `connect.eaas.mongodb.gridfs`, with PyMongo's classes and, for Motor, `AsyncIOMotorGridFSBucket`.
- **Motor's spelling** works too: `async with await client.start_session()`, `async with session.start_transaction()`,
  `collection.aggregate(…)`, `list_indexes()` and `watch()` without `await`, `client.close()` without `await`.
- **Data API path.** The same collections, as far as the Data API supports them: inserts, `find_one`, `find`, updates,
  replacements, deletions, `aggregate`, `with_options(codec_options)`. The package's gateway also has `find_one_and_*`,
  `count_documents`, `estimated_document_count`, `distinct`, `bulk_write`, and options of MongoDB's commands such as
  `collation`, `hint`, `sort` and `let`: the client asks the server once (`GET …/openapi.json`). Anything else, and
  what the server does not have, raises `NotImplementedError`, which names the driver path.
- **Cursors of the Data API path** read pages of `batch_size` documents and hold two of them at most. The first page
  is the only request of a small result. Without `batch_size`, a `find` without `sort` and `collation` reads pages of
  the gateway's default (1,000 documents), and any other query returns its whole result in one response. A result of
  several pages without a `sort` is in the order of `_id`. A server without pages, such as one that is compatible with
  Atlas, answers the whole result in one response of up to 128 MiB, and `batch_size` has no effect; if it rejects the
  argument `cursor`, the client asks it once for `/openapi.json` and does without from then on. `cursor_id` and
  `address` are `None`. After `close()` of the client, its cursors can still be read.
- **Transactions of the Data API path.** `start_session` raises `NotImplementedError`. The gateway's action
  [`transaction`](gateway.md#how-do-i-run-a-transaction) runs several operations in one request, all or none.

## Known differences in behaviour

Each of these is a case in `tests/comparison/`, which runs the same calls with both libraries on the same server and
compares results, errors, stored documents and the commands sent.
"""


def parameters(function: Any) -> list[str] | None:
    """Return the names of a method's parameters, or `None` if they cannot be inspected."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return None
    return [name for name in names if name != "self"]


def verdict(owner: str, name: str, theirs: Any, mine: Any) -> tuple[str, str]:
    """Compare a member of PyMongo's class with ours; return the result and the reason."""
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
    """Return the names of a class's public members."""
    return sorted(name for name in dir(cls) if not name.startswith("_"))


def table() -> str:
    """Return the document's text."""
    out = [
        "# Compatibility with PyMongo",
        "",
        "The driver path has PyMongo's API. The tables compare the async classes, member by member; the blocking",
        "classes have the same methods. An absent member raises `AttributeError`; an absent argument raises",
        "`NotImplementedError` or `TypeError`. `python -m scripts.compatibility` generates this page from PyMongo 4's",
        "`pymongo.asynchronous` and this package, and the tests check it.",
        "",
    ]
    for name, theirs, mine in CLASSES:
        rows = [(member, *verdict(name, member, theirs, mine)) for member in public(theirs)]
        counts = {kind: sum(row[1] == kind for row in rows) for kind in ("the same", "different", "absent")}
        summary = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        out += [f"## `{name}`", "", f"{summary}.", "", "| member | compared | difference |", "| --- | --- | --- |"]
        out += [f"| `{member}` | {kind} | {why} |" for member, kind, why in rows]
        out.append("")
    out += [NOTES]
    for reason in dict.fromkeys(DIFFERENCES.values()):
        cases = ", ".join(f"*{case}*" for case, why in DIFFERENCES.items() if why == reason)
        out.append(f"- {reason}: {cases}")
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
    OPTIONS.write_text(client_options.page(), encoding="utf-8")
