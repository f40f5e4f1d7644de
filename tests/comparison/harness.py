"""Runs a call with either library, records what came of it, and compares."""

from __future__ import annotations

import datetime
import difflib
import gc
import inspect
import os
import pprint
import re
import threading
import time
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import bson
import connect.eaas.mongodb as library
import pymongo
import pymongo.results
from bson import Binary, CodecOptions, DatetimeMS, DBRef, Int64, ObjectId, Regex, Timestamp, UuidRepresentation
from bson.binary import UUID_SUBTYPE
from bson.codec_options import DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo import monitoring
from pymongo.errors import OperationFailure, PyMongoError

from tests.comparison.blocking import adapted, plain

WITH_PYMONGO = os.environ.get("COMPARE_WITH") == "pymongo"
COMMANDS = os.environ.get("COMPARE_COMMANDS") != "no"

Client = Callable[..., Any]
UntypedPyMongoClient: Client = pymongo.MongoClient

# What answers hold beside their content: of the moment, or of the cluster.
VOLATILE = {"$clusterTime", "operationTime", "electionId", "opTime", "connectionId", "atClusterTime"}
# Whose value is made by the server, anew for each collection or event.
MADE = {"_data": "token", "uuid": "uuid", "ui": "uuid", "collectionUUID": "uuid"}
# The same in the server's messages.
MOMENTARY = re.compile(
    r"(?<=cursor id )\d+|(?<=transaction number )\d+|Timestamp\(\d+, \d+\)|(?<=_data: \")[0-9a-f]+"
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
# Lists in commands whose entries are options, in any order.
STATEMENTS = {"updates", "deletes", "ops", "indexes", "nsInfo"}
# Documents in commands whose fields are options, in any order.
OPTIONS = {"collation", "writeConcern", "readConcern", "cursor"}
# Fields of commands that are not compared: who sent it, and from where it may be read.
UNCOMPARED = {"lsid", "$clusterTime", "$db", "$readPreference"}
LABELS = (
    "NoWritesPerformed",
    "ResumableChangeStreamError",
    "RetryableError",
    "RetryableWriteError",
    "SystemOverloadedError",
    "TransientTransactionError",
    "UnknownTransactionCommitResult",
)
# What is as old is of the test's own making; what is younger, of its run.
RECENT_SECONDS = 24 * 60 * 60
# What takes longer hangs.
CASE_SECONDS = 120
# `timeoutMS` of the clients that have one: each command says what is left of it.
TIMEOUT_MS = 91_000
SHORT_TIMEOUT_MS = 270
WRITING: CodecOptions[dict[str, Any]] = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)
# Reads whatever can be stored.
READING: CodecOptions[dict[str, Any]] = CodecOptions(
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)


@dataclass(frozen=True)
class Accepted:
    """A difference of two commands that says the same: a field that may be absent, or have this value."""

    command: str
    """The command's name, or `*`."""
    path: str
    """The field, with dots: `updates.multi` is that of all entries of the list."""
    value: Any
    """What the server takes it for where it is absent."""
    reason: str


ACCEPTED: list[Accepted] = [
    Accepted("findAndModify", "fields", {}, "nothing to leave out"),
    Accepted("update", "updates.multi", False, "the default"),
    Accepted("update", "updates.upsert", False, "the default"),
    Accepted("findAndModify", "new", False, "the default"),
    Accepted("findAndModify", "upsert", False, "the default"),
    Accepted("distinct", "query", {}, "the default"),
    Accepted("dropDatabase", "comment", None, "PyMongo sends the comment that it was not given"),
]
# Ours fetches the next batch while one is read: it may ask for one more, and let go of it then.
NEXT_BATCHES = {"getMore", "killCursors"}
# Of a new connection, if there are users: how many there are is the pools' matter.
LOGIN = {"saslStart", "saslContinue"}


class _Word(str):
    """A text that is shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Names:
    """Numbers for what has another value in every run, in order of appearance."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, Any], int] = {}

    def word(self, kind: str, value: Any) -> _Word:
        numbers = self._numbers
        mine = sum(1 for known, _ in numbers if known == kind) + 1
        return _Word(f"<{kind} {numbers.setdefault((kind, value), mine)}>")


def _recent(moment: datetime.datetime) -> bool:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return bool(abs((datetime.datetime.now(datetime.timezone.utc) - moment).total_seconds()) < RECENT_SECONDS)


def shape(value: Any, names: Names) -> Any:
    """A value as something that two libraries share if they gave the same: types told, ids numbered."""
    value = plain(value)
    kind = type(value)
    if kind is str:
        return MOMENTARY.sub("…", value) if len(value) > 20 else value
    if value is None or kind in (bool, int, bytes):
        return value
    if kind is float or kind is complex:
        return _Word(repr(value))
    if isinstance(value, RawBSONDocument):
        return {_Word(f"<{kind.__name__}>"): shape(bson.decode(value.raw, READING), names)}
    if isinstance(value, Mapping):
        inner = {key: _field(key, item, names) for key, item in value.items() if key not in VOLATILE}
        return inner if kind is dict else {_Word(f"<{kind.__name__}>"): inner}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        inner_list = [shape(item, names) for item in items]
        return inner_list if kind is list else tuple(inner_list) if kind is tuple else {kind.__name__: inner_list}
    if isinstance(value, ObjectId):
        return names.word("ObjectId", value) if _recent(value.generation_time) else _Word(repr(value))
    if isinstance(value, datetime.datetime):
        return names.word("datetime", None) if _recent(value) else _Word(repr(value))
    if isinstance(value, DatetimeMS):
        return _Word(f"DatetimeMS({int(value)})")
    if isinstance(value, Timestamp):
        return names.word("Timestamp", None) if abs(value.time - time.time()) < RECENT_SECONDS else _Word(repr(value))
    if isinstance(value, DBRef):
        return {_Word("<DBRef>"): shape(dict(value.as_doc()), names)}
    if isinstance(value, BaseException):
        return error_shape(value, names)
    if isinstance(value, type):
        return _Word(f"class {value.__name__}")
    if hasattr(pymongo.results, kind.__name__):
        return _result_shape(value, names)
    if isinstance(value, (Binary, Regex, re.Pattern, uuid.UUID, int, str, bytes)):
        return _Word(f"{kind.__name__}({value!r})")
    for ending, name in (("Collection", "full_name"), ("Database", "name")):
        if kind.__name__.endswith(ending):
            return _Word(f"<{kind.__name__} {getattr(value, name)}>")
    if "object at 0x" in repr(value):
        return _Word(f"<{kind.__name__}>")
    return _Word(f"{kind.__name__}: {value!r}")


def _field(key: Any, value: Any, names: Names) -> Any:
    if key in MADE and isinstance(value, (str, bytes, uuid.UUID)):
        return names.word(MADE[key], value)
    return shape(value, names)


def _by_key(answer: Any) -> Any:
    """What a server said, of which the order says nothing."""
    return {key: answer[key] for key in sorted(answer, key=str)} if isinstance(answer, dict) else answer


def _result_shape(value: Any, names: Names) -> Any:
    """A result by all that PyMongo's class of that name has."""
    theirs = getattr(pymongo.results, type(value).__name__)
    shaped: dict[Any, Any] = {}
    for name in dir(theirs):
        if name.startswith("_"):
            continue
        try:
            shaped[name] = _by_key(shape(getattr(value, name), names))
        except Exception as error:
            shaped[name] = error_shape(error, names)
    # Its beginning and its end: between them is what the fields said.
    written = re.fullmatch(r"(\w+\().*?((?:, (?:acknowledged|verbose)=\w+)*\))", repr(value), re.DOTALL)
    shaped["repr"] = "…".join(written.groups()) if written else repr(value)
    return {_Word(f"<{type(value).__name__}>"): shaped}


def error_shape(error: BaseException, names: Names) -> Any:
    """An error: its class, and what PyMongo's errors carry. Messages may differ."""
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    shaped: dict[Any, Any] = {}
    if isinstance(error, PyMongoError):
        shaped["timeout"] = error.timeout
        shaped["labels"] = [label for label in LABELS if error.has_error_label(label)]
        for name in ("code", "details", "errors", "write_errors", "write_concern_errors", "partial_result", "document"):
            if hasattr(error, name):
                shaped[name] = _by_key(shape(getattr(error, name), names))
    return {_Word(f"{module}{kind.__name__}"): shaped}


async def awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def outcome(call: Callable[[], Any]) -> Any:
    """The result of a call, or its error: for cases that go on after one."""
    try:
        return await awaited(call())
    except Exception as error:
        return error


# What leaves: command monitoring.


@dataclass
class Sent:
    """A command that left, and how it ended."""

    name: str
    database: str
    body: Any
    request_id: Any
    ended: str = ""
    failure: Any = None
    cursor: int = 0
    """The cursor that it opened or read."""
    ends: bool = False
    """Whether the cursor has no more."""


class Recorder(monitoring.CommandListener):
    """Records the commands of a client."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self._lock = threading.Lock()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        body = _copied(event.command)
        with self._lock:
            self.sent.append(Sent(event.command_name, event.database_name, body, event.request_id))
            self.sent[-1].cursor = int(body["getMore"]) if event.command_name == "getMore" else 0

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._end(event.request_id, "succeeded", None, _cursor(event.reply))

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        failure: Any = event.failure
        self._end(event.request_id, "failed", failure.get("code") if isinstance(failure, Mapping) else None)

    def _end(self, request_id: Any, ended: str, failure: Any, cursor: int = 0) -> None:
        with self._lock:
            for one in reversed(self.sent):
                if one.request_id == request_id and one.ended in ("", "no end told"):
                    one.ended, one.failure, one.cursor = ended, failure, cursor or one.cursor
                    one.ends = not cursor
                    return

    def since(self, before: int) -> list[Sent]:
        """What left since, with the end of the cursors that were closed, which nobody waits for."""
        deadline = time.monotonic() + 0.1
        while _left_open(sent := self.all()[before:]) and time.monotonic() < deadline:
            time.sleep(0.005)
        return sent

    def all(self) -> list[Sent]:
        """All that left so far, once each has ended, or will not."""
        deadline = time.monotonic() + 1
        while any(not one.ended for one in self.sent) and time.monotonic() < deadline:
            time.sleep(0.005)
        with self._lock:
            for one in self.sent:
                one.ended = one.ended or "no end told"
            return list(self.sent)


def _left_open(sent: Sequence[Sent]) -> bool:
    """Whether there are cursors that were neither read to their end nor ended."""
    last = {one.body.get("getMore", one.cursor): one.ends for one in sent if one.cursor}
    killed = {int(cursor) for one in sent if one.name == "killCursors" for cursor in one.body["cursors"]}
    return any(not ends and cursor not in killed for cursor, ends in last.items())


def _cursor(reply: Any) -> int:
    cursor = reply.get("cursor") if isinstance(reply, Mapping) else None
    return int(cursor.get("id") or 0) if isinstance(cursor, Mapping) else 0


def _copied(command: Any) -> Any:
    """A command as the server reads it: its values are BSON's, whatever they were made of."""
    try:
        return bson.decode(bson.encode(command, codec_options=WRITING), READING)
    except Exception:
        return dict(command)


def _plain(number: Any) -> Any:
    """The options' numbers: 5 is 5, of whatever width."""
    if isinstance(number, float) and number == int(number):
        return int(number)
    return int(number) if isinstance(number, Int64) else number


def _sorted(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _sorted(options[key]) if key in OPTIONS and isinstance(options[key], Mapping) else _plain(options[key])
        for key in sorted(options)
    }


def _counts(stage: Any) -> Any:
    """A stage that the client makes of a number."""
    if isinstance(stage, Mapping) and len(stage) == 1 and next(iter(stage)) in ("$skip", "$limit"):
        return {key: _plain(value) for key, value in stage.items()}
    return stage


def _first_id(document: Any) -> Any:
    """A document as it is stored: with its `_id` first."""
    if isinstance(document, Mapping) and "_id" in document:
        return {"_id": document["_id"]} | dict(document)
    return document


def _accept(name: str, body: dict[str, Any]) -> None:
    for accepted in ACCEPTED:
        if accepted.command not in ("*", name):
            continue
        *way, last = accepted.path.split(".")
        holders: list[Any] = [body]
        for step in way:
            found = [holder[step] for holder in holders if isinstance(holder, dict) and step in holder]
            holders = [entry for one in found for entry in (one if isinstance(one, list) else [one])]
        for holder in holders:
            if isinstance(holder, dict) and last in holder and holder[last] == accepted.value:
                del holder[last]


def command_shape(sent: Sent, names: Names, sessions: Sequence[bytes]) -> Any:
    """A command by what it asks for."""
    body = {key: value for key, value in sent.body.items() if key not in UNCOMPARED}
    for key in STATEMENTS & set(body):
        if isinstance(body[key], list):
            body[key] = [_sorted(entry) if isinstance(entry, Mapping) else entry for entry in body[key]]
    if isinstance(body.get("documents"), list):
        body["documents"] = [_first_id(document) for document in body["documents"]]
    if isinstance(body.get("pipeline"), list):
        body["pipeline"] = [_counts(stage) for stage in body["pipeline"]]
    if isinstance(body.get("explain"), Mapping):
        body["explain"] = _sorted(body["explain"])
    for entry in body.get("ops", []) if isinstance(body.get("ops"), list) else []:
        if isinstance(entry, dict) and "document" in entry:
            entry["document"] = _first_id(entry["document"])
    if sent.name == "getMore":
        body["getMore"] = names.word("cursor", int(body["getMore"]))
    if sent.name == "killCursors":
        body["cursors"] = [names.word("cursor", int(one)) for one in body["cursors"]]
    if sent.name == "endSessions":
        body["endSessions"] = "any"
    if "txnNumber" in body:
        body["txnNumber"] = "any"
    if any(0 <= one - body.get("maxTimeMS", 0) < max(60, one // 100) for one in (TIMEOUT_MS, SHORT_TIMEOUT_MS)):
        body["maxTimeMS"] = "what is left"
    _accept(sent.name, body)
    first = {sent.name: body.pop(sent.name, None)}
    shaped = shape(first | _sorted(body), names)
    lsid = sent.body.get("lsid")
    if isinstance(lsid, Mapping):
        with suppress(ValueError):
            shaped["session"] = sessions.index(bytes(_session_bytes(lsid["id"]))) + 1
    ended = sent.ended if sent.failure is None else f"{sent.ended} with {sent.failure}"
    return [_Word(f"{sent.database}: {ended}"), shaped]


def _session_bytes(value: Any) -> bytes:
    return value.bytes if isinstance(value, uuid.UUID) else bytes(value)


# A library, and the world that a case sees.


@dataclass
class Side:
    """A library: how its clients are made, and one of them."""

    name: str
    make: Client
    uri: str
    adapt: Callable[[Any], Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    """What all its clients are given."""
    recorder: Recorder = field(default_factory=Recorder)
    client: Any = None

    def open(self, *arguments: Any, recorder: Recorder | None = None, **options: Any) -> Any:
        """A client, adapted; monitored, where that is compared."""
        options = {**self.options, **options}
        if COMMANDS or self.name == "theirs":
            options.setdefault("event_listeners", [recorder or self.recorder])
        return self.adapt(self.make(*(arguments or (self.uri,)), **options))


Call = Callable[["World"], Any]


@dataclass(frozen=True)
class Case:
    """A call, or some, of which the result is compared."""

    name: str
    call: Call
    documents: Sequence[Mapping[str, Any]] = ()
    prepare: Callable[[Any], Any] | None = None
    """Makes what the case needs, of PyMongo's database."""
    once: bool = False
    """Commands that repeat the one before are left out: polls, of which the clock says how many."""
    commands: bool = True
    """Whether the commands are compared."""
    awaited: bool = True
    """Whether it is for the awaited client, of which PyMongo's has not all that the blocking one has."""


class World:
    """What a case works with: a library's client, and a database and collections of its own."""

    def __init__(self, side: Side, setup: Any) -> None:
        self.side = side
        self.client = side.client
        self.database = self.client[setup.name]
        self.collection = self.database["things"]
        self.other = self.database["other"]
        self.setup = setup
        """The database by PyMongo, which blocks and is not recorded."""
        self.names = Names()
        self._sessions: list[Any] = []
        self._session_ids: list[bytes] = []
        self._clients: list[Any] = []

    def open(self, *arguments: Any, **options: Any) -> Any:
        """A client of the case's own, which ends with it."""
        self._clients.append(self.side.open(*arguments, **options))
        return self._clients[-1]

    def session(self, client: Any = None, **options: Any) -> Any:
        """A session, whose commands are told apart, and which ends with the case."""
        session = (client or self.client).start_session(**options)
        self._sessions.append(session)
        with suppress(Exception):
            self._session_ids.append(_session_bytes(session.session_id["id"]))
        return session

    async def end(self) -> None:
        for session in self._sessions:
            with suppress(Exception):
                await session.end_session()
        if self._session_ids:
            # A transaction that has failed may be open still.
            sessions = [{"id": Binary(one, UUID_SUBTYPE)} for one in self._session_ids]
            with suppress(OperationFailure):
                self.setup.client.admin.command("killSessions", sessions)
        for client in self._clients:
            with suppress(PyMongoError):
                await client.close()
        if self._clients:
            forget_sockets()

    def commands(self, sent: Sequence[Sent], once: bool) -> list[Any]:
        """What left, and last which cursors were ended: that may wait."""
        shaped: list[Any] = []
        killed: list[Any] = []
        cursors = {one.cursor for one in sent}
        for one in sent:
            if one.name == "killCursors" and cursors.isdisjoint(one.body["cursors"]):
                # That of a case before: cursors that were let go are ended at leisure.
                continue
            if one.name in NEXT_BATCHES | LOGIN:
                continue
            command = command_shape(one, self.names, self._session_ids)
            into = killed if one.name == "killCursors" else shaped
            if not (once and into and _written(into[-1]) == _written(command)):
                into.append(command)
        return shaped + killed


def forget_sockets() -> None:
    """Collect the sockets that PyMongo leaves of connections that were refused, with no warning of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@dataclass
class Record:
    """What came of a case."""

    result: Any
    stored: Any
    commands: Any


async def run(case: Case, side: Side, setup: Any) -> Record:
    """Run a case with a library, on a database of its own."""
    try:
        if case.documents:
            setup["things"].insert_many(case.documents)
        if case.prepare is not None:
            case.prepare(setup)
        world = World(side, setup)
        before = len(side.recorder.all())
        try:
            result: Any = {"result": shape(await awaited(case.call(world)), world.names)}
        except Exception as error:
            result = {"error": shape(error, world.names)}
        sent = side.recorder.since(before) if COMMANDS else []
        commands = world.commands(sent, case.once) if case.commands else []
        await world.end()
        return Record(result, stored(setup, world.names), commands)
    finally:
        setup.client.drop_database(setup.name)


def stored(setup: Any, names: Names) -> Any:
    """All that is in a database: collections, their options, documents and indexes."""
    found: dict[str, Any] = {}
    for entry in sorted(setup.list_collections(), key=lambda entry: str(entry["name"])):
        name = entry["name"]
        about: dict[str, Any] = {"type": entry["type"], "options": entry["options"]}
        if entry["type"] == "collection":
            collection = setup.get_collection(name, codec_options=READING)
            about["documents"] = [bson.decode_all(raw, READING) for raw in collection.find_raw_batches()]
            about["indexes"] = sorted(collection.list_indexes(), key=lambda index: str(index["name"]))
        found[name] = about
    return shape(found, names)


def _written(value: Any) -> str:
    return pprint.pformat(value, width=110, sort_dicts=False)


def differences(theirs: Record, ours: Record) -> str:
    """In which way two records differ; nothing where they are the same."""
    told: list[str] = []
    for part in ("result", "stored", "commands"):
        if part == "commands" and not COMMANDS:
            continue
        left, right = _written(getattr(theirs, part)), _written(getattr(ours, part))
        if left == right:
            continue
        told.append(f"  {part}:")
        told += [f"    {line}" for line in _beside(left, right)]
    return "\n".join(told)


def _beside(left: str, right: str) -> Iterator[str]:
    if max(len(left), len(right)) < 200 and "\n" not in left + right:
        yield f"theirs: {left}"
        yield f"ours:   {right}"
        return
    lines = list(difflib.unified_diff(left.splitlines(), right.splitlines(), "theirs", "ours", lineterm="", n=2))
    yield from (line[:300] for line in lines[:80] if not line.startswith("@@"))


async def compare(case: Case, theirs: Side, ours: Side, setup: Any) -> None:
    """Fail where the libraries differ in a case."""
    first = await run(case, theirs, setup)
    second = await run(case, ours, setup)
    told = differences(first, second)
    if told:
        raise AssertionError(f"\ncase {case.name!r}\n{told}")


def sides(
    uri: str, blocking: bool = False, options: Mapping[str, Any] | None = None, pymongo_options: Any = None
) -> tuple[Side, Side]:
    """Both libraries; what only PyMongo takes is for it alone."""
    theirs: Client = pymongo.MongoClient if blocking else pymongo.AsyncMongoClient
    ours: Client = library.MongoClient if blocking else library.AsyncMongoClient
    adapt = adapted if blocking else _unchanged
    of_pymongo = {**(options or {}), **(pymongo_options or {})}
    return (
        Side("theirs", theirs, uri, adapt, of_pymongo),
        Side("ours", theirs, uri, adapt, of_pymongo) if WITH_PYMONGO else Side("ours", ours, uri, adapt, options or {}),
    )


def _unchanged(value: Any) -> Any:
    return value


@asynccontextmanager
async def opened(both: tuple[Side, Side]) -> AsyncIterator[tuple[Side, Side]]:
    """Both, connected."""
    for side in both:
        side.client = side.open()
        await side.client.admin.command("ping")
    try:
        yield both
    finally:
        for side in both:
            await side.client.close()


def reader(uri: str) -> Any:
    """PyMongo, as the one who prepares and looks at what is stored."""
    return UntypedPyMongoClient(uri, serverSelectionTimeoutMS=10_000)
