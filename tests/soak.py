"""A soak of the gateway: `python -m tests.soak [--seconds 600] [--connections 32]` (Linux only).

Workers call a real gateway, in front of a real SecantusDB, as fast as it answers, with a few bad
requests in between, while SecantusDB is killed with SIGKILL every minute and started again on its
data and its port. Each worker has documents of its own, knows what each must be, and checks every
answer; it also reads in pages and as NDJSON, and each collection has a change stream. Every third
worker is a user who logs in by a password, again and again, and whose rule admits the user's own
documents only. While MongoDB is away a call may fail with 503 or 504, or by a connection that
breaks; what a write did that failed so is not known, and the document may be as before or as after
it. At the end PyMongo reads everything, past the gateway and after one more SIGKILL, and the gateway
must have stayed one process that has not grown, and must end with status 0.

Three things of SecantusDB's that this takes into account:

- Without a journaled write concern it loses acknowledged writes of its last moments when it is
  killed (what it has not yet handed to the system); with `journal=true` it loses none. So the URI
  that the gateway is given asks for that, and a gateway that dropped it would be found out.
- It keeps in memory alone which retryable writes it has carried out. One that was under way when it
  was killed, and that the driver repeats on its successor, may be carried out twice there, or find
  itself done: both are taken as right for writes under way at a kill, and for no other.
- It sets the speed: the workers wait for it and not for the gateway, and the more so once it has
  10,000 retryable writes to remember, all of which it goes through at each further one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import itertools
import json
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bson import json_util
from bson.json_util import JSONMode, JSONOptions
from connect.eaas.mongodb import _native
from pymongo import MongoClient as PyMongoClient
from pymongo.errors import PyMongoError

from tests import gateways, servers

DATABASE = "soak"
COLLECTIONS = 4
SELECTION_MS = 2_000

SHORTEST_SECONDS = 20
KILL_SECONDS = 60
AWAY_SECONDS = (5.0, 0.5)
"""For how long MongoDB is away, in turn: long enough for calls to fail, and so short that repeats find it."""
WARM_UP_SECONDS = 30
PROGRESS_SECONDS = 10
RECOVERY_SECONDS = 10
"""Within which the gateway answers again once MongoDB is back."""
LONGEST_CALL_SECONDS = 30
OVERSIZE_SECONDS = 5

MOST_MORE_KIB = 20 * 1024
MOST_MORE_SHARE = 0.2
MOST_MORE_DESCRIPTORS = 20
MOST_MORE_THREADS = 8

DOCUMENTS = 120
"""About how many documents a worker keeps; more than MongoDB gives in one batch."""
BODY_BYTES = 64 * 2**20
"""The largest body that the gateway takes."""
DOCUMENT_BYTES = 16 * 2**20
"""The largest document that MongoDB takes."""

PASSWORD = "a password of the soak"
LOGIN_PATH = "/api/client/v2.0/app/soak/auth/providers/local-userpass/login"

JSON = "application/json"
EJSON = "application/ejson"
NDJSON = "application/x-ndjson"
BROKEN: Final = 0
NO_ANSWER: Final = -1
STATUS_NAMES = {BROKEN: "broken", NO_ANSWER: "no answer"}
DUPLICATE_KEY = 11000

Document = dict[str, Any]
Content = Document | None
"""What a document is; `None` where there is none."""
Said = tuple[int, Any]
"""A status, and the answer; of an error MongoDB's code, or the gateway's."""


@dataclass
class Ledger:
    """What was called and answered, and all that was wrong."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    errors_while_away: int = 0
    acknowledged: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """How many calls there were."""
        return self.answers.total()

    def count(self, action: str, status: int) -> None:
        """Count a call."""
        self.answers[action, STATUS_NAMES.get(status, str(status))] += 1

    def fault(self, what: str) -> None:
        """Note what is wrong, and say it at once."""
        self.faults.append(what)
        if len(self.faults) <= 20:
            say(f"WRONG: {what}")


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


class FragileMongoDB:
    """A SecantusDB that is killed, and started again on its data and its port."""

    def __init__(self, folder: str, ledger: Ledger) -> None:
        self.port = servers.free_port()
        self.kills = 0
        self.away = False
        """From just before it is killed until the gateway gives answers of its successor's."""
        self.recoveries: list[float] = []
        self._folder = folder
        self._ledger = ledger
        self._back_at: float | None = None
        self._running = contextlib.ExitStack()
        self._server: servers.Server | None = None

    @property
    def uri(self) -> str:
        """What the gateway is given."""
        options = f"w=1&journal=true&serverSelectionTimeoutMS={SELECTION_MS}"
        return f"mongodb://127.0.0.1:{self.port}/?{options}"

    def start(self) -> None:
        """Start it, on the data that there is."""
        self._server, _ = self._running.enter_context(servers.mongodb(self.port, self._folder))

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._server is not None:
            os.killpg(self._server.process.pid, signal.SIGKILL)
            self._server.process.wait()
            self._server = None
        # Its context finds it dead.
        self._running.close()

    def stop(self) -> None:
        """End it in order."""
        self._running.close()

    async def misbehave(self, seconds: float) -> None:
        """Be killed again and again, and come back; no more near the end."""
        begun = time.monotonic()
        interval = min(KILL_SECONDS, seconds / 3)
        for number, away in zip(itertools.count(1), itertools.cycle(AWAY_SECONDS)):
            if number * interval > seconds - interval / 2:
                return
            await asyncio.sleep(begun + number * interval - time.monotonic())
            self.away, self._back_at = True, None
            self.kills += 1
            await asyncio.to_thread(self.kill)
            await asyncio.sleep(min(away, interval / 4))
            await asyncio.to_thread(self.start)
            self._back_at = time.monotonic()

    def answered(self) -> None:
        """The gateway gave an answer that is MongoDB's."""
        if self.away and self._back_at is not None:
            self.away = False
            self.recoveries.append(time.monotonic() - self._back_at)
            if self.recoveries[-1] > RECOVERY_SECONDS:
                self._ledger.fault(f"the gateway answered {self.recoveries[-1]:.1f} s after MongoDB was back")


class Connection:
    """A keep-alive connection to the gateway; a new one after one that broke or ended."""

    def __init__(self, url: str, key: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._address = host, int(port)
        self.credentials = {"api_key": key}
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    def request(self, action: str, body: bytes, method: str = "POST", **headers: str | None) -> bytes:
        """A request for an action as HTTP/1.1 has it; a header that is `None` is left out."""
        return self.request_of_path(f"/action/{action}", body, method, **headers)

    def request_of_path(self, path: str, body: bytes, method: str = "POST", **headers: str | None) -> bytes:
        """A request as HTTP/1.1 has it."""
        sent = {"host": "gateway", **self.credentials, "content_type": JSON, "content_length": str(len(body))}
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in (sent | headers).items() if value is not None]
        return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body

    async def call(self, parts: Iterable[bytes]) -> tuple[int, bytes]:
        """Send a request; give the answer's status, or `BROKEN` or `NO_ANSWER`, and its body."""
        try:
            return await asyncio.wait_for(self._exchange(parts), LONGEST_CALL_SECONDS)
        except asyncio.TimeoutError:
            self.close()
            return NO_ANSWER, b""
        except (OSError, EOFError):
            self.close()
            return BROKEN, b""

    async def begin(self, parts: Iterable[bytes]) -> asyncio.StreamReader:
        """Send a request; give where its answer comes."""
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(*self._address)
        for part in parts:
            self._writer.write(part)
            await self._writer.drain()
        return self._reader

    def close(self) -> None:
        """End it, whatever is under way."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _exchange(self, parts: Iterable[bytes]) -> tuple[int, bytes]:
        reader = await self.begin(parts)
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        if headers.get("transfer-encoding") == "chunked":
            body = await _chunks(reader)
        else:
            body = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            self.close()
        return int(status.split(" ")[1]), body


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    chunks = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        chunks.append((await reader.readexactly(size + 2))[:-2])
    await reader.readexactly(2)
    return b"".join(chunks)


class Language:
    """How a worker writes requests and reads answers: plain JSON, or canonical EJSON."""

    def __init__(self, canonical: bool) -> None:
        mode = JSONMode.CANONICAL if canonical else JSONMode.RELAXED
        self.media_type = EJSON if canonical else JSON
        self._options = JSONOptions(json_mode=mode, tz_aware=False)
        self._canonical = canonical

    def write(self, request: Document) -> bytes:
        """The body of a request."""
        return json_util.dumps(request, json_options=self._options).encode()

    def read(self, status: int, body: bytes) -> Said:
        """What an answer says."""
        try:
            said = json_util.loads(body, json_options=self._options) if self._canonical else json.loads(body)
        except ValueError:
            return status, body[:100]
        if not isinstance(said, dict):
            return status, said
        if status >= 400:
            return status, _error_code(said)
        if not self._canonical:
            for document in [said.get("document"), *said.get("documents", [])]:
                _restore_date(document)
        return status, said


def _error_code(said: Document) -> Any:
    """MongoDB's code, of a batch that of its first error; else the gateway's."""
    for error in said.get("details", {}).get("writeErrors", []):
        return error["code"]
    return said.get("code", said.get("error_code"))


def _restore_date(document: Content) -> None:
    """A date of plain JSON is a text."""
    if document is not None and isinstance(at := document.get("at"), str):
        with contextlib.suppress(ValueError):
            document["at"] = datetime.datetime.fromisoformat(at.removesuffix("Z"))


@dataclass(frozen=True)
class Answer:
    """An answer, and whether MongoDB was away, or killed, while it was waited for."""

    status: int
    said: Said
    disturbed: bool

    @property
    def excused(self) -> bool:
        """Whether it is an error that MongoDB's being away explains."""
        return self.disturbed and self.status in (503, 504, BROKEN)


@dataclass(frozen=True)
class Write:
    """A call that changes one document."""

    action: str
    key: str
    request: Document
    change: Callable[[Content], Content]
    """What it makes of the document."""
    right: Callable[[Content], Said]
    """Its right answer, by what the document was."""


def different(contents: Iterable[Content]) -> list[Content]:
    """Each content once."""
    once: list[Content] = []
    for content in contents:
        if content not in once:
            once.append(content)
    return once


def user_name(number: int) -> str:
    """The name of a worker, as the user who owns its documents."""
    return f"worker-{number}@example.com"


def configure(folder: Path, mongodb_uri: str, connections: int) -> tuple[str, str]:
    """Write the files of a gateway; return its configuration and a key without a rule."""
    key = gateways.create_key(folder, "soak")
    keys = folder / "keys.toml"
    text = keys.read_text(encoding="utf-8")
    for name in map(user_name, range(connections)):
        rule = ('{"owner": "%%user.custom_data.owner"}', None, None, None)
        data, rights = [("owner", name)], ["read", "write"]
        text = _native.add_user(text, name, PASSWORD, rights=rights, places=["*"], data=data, rule=rule)
    keys.write_text(text, encoding="utf-8")
    signing_keys = folder / "gateway-key.toml"
    signing_keys.touch(mode=0o600)
    signing_keys.write_text(
        _native.add_signing_key("", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"), encoding="utf-8"
    )
    logins = '[logins]\nproviders = ["local-userpass"]\nkey_file = "gateway-key.toml"'
    source = f'[data_sources.Cluster0]\nuri = "{mongodb_uri}"'
    return f'access_log = false\nkeys_file = "keys.toml"\n{source}\n{logins}\n', key


class Worker:
    """Calls without end, one after the other, on documents of its own."""

    def __init__(self, number: int, connection: Connection, mongodb: FragileMongoDB, ledger: Ledger) -> None:
        self.number = number
        self.collection = f"documents_{number % COLLECTIONS}"
        self.known: dict[str, list[Content]] = {}
        """What each document may be; a document that is not in here does not exist."""
        self._doubtful: set[str] = set()
        self._connection = connection
        self._mongodb = mongodb
        self._ledger = ledger
        self._language = Language(canonical=number % 2 == 1)
        self._place = {"dataSource": "Cluster0", "database": DATABASE, "collection": self.collection}
        self._chance = random.Random(number)
        self._numbers = itertools.count(1)
        self._mix = {
            self.insert_one: 20,
            self.insert_many: 2,
            self.find_one: 25,
            self.find: 8,
            self.update_one: 16,
            self.replace_one: 8,
            self.delete_one: 18,
            self.aggregate: 4,
            self.pages: 3,
            self.lines: 3,
            self.bad_request: 4,
            self.hang_up: 0.3,
        }
        if self.is_user:
            # A token precedes the wrong key that a bad request has.
            del self._mix[self.bad_request]
            self._mix[self.log_in] = 0.5

    @property
    def is_user(self) -> bool:
        """Whether it logs in, and has a rule."""
        return self.number % 3 == 2

    async def log_in(self) -> None:
        """Log in by the password, and send the token from then on. MongoDB is not asked."""
        body = json.dumps({"username": user_name(self.number), "password": PASSWORD}).encode()
        login = self._connection.request_of_path(LOGIN_PATH, body, api_key=None, authorization=None)
        status, text = await self._connection.call([login])
        self._ledger.count("log in", status)
        if status == 200:
            self._connection.credentials = {"authorization": f"Bearer {json.loads(text)['access_token']}"}
        else:
            self._ledger.fault(f"the login of worker {self.number}: {text[:300]!r}")

    async def work(self, until: float) -> None:
        """Call until then."""
        if self.is_user:
            await self.log_in()
        while time.monotonic() < until:
            if self._doubtful and not self._mongodb.away:
                await self.look(next(iter(self._doubtful)))
            else:
                (action,) = self._chance.choices(list(self._mix), list(self._mix.values()))
                await action()

    async def insert_one(self) -> None:
        """Insert a document; now and then one whose `_id` is taken."""
        if len(self.known) > DOCUMENTS:
            return await self.delete_one()
        key = self._key(new=0.98)
        document = self._document(key)

        def right(content: Content) -> Said:
            return (400, DUPLICATE_KEY) if content else (201, {"insertedId": key})

        request = {"document": document}
        return await self._write(Write("insertOne", key, request, lambda content: content or document, right))

    async def insert_many(self) -> None:
        """Insert some documents at once."""
        documents = [self._document(self._key(new=1)) for _ in range(self._chance.randint(2, 12))]
        keys = [document["_id"] for document in documents]
        answer = await self._call("insertMany", {"documents": documents})
        certain = answer.said == (201, {"insertedIds": keys})
        if certain:
            self._ledger.acknowledged["insertMany"] += len(keys)
        elif answer.excused or (answer.disturbed and answer.said == (400, DUPLICATE_KEY)):
            self._ledger.unknown += len(keys)
        else:
            self._wrong("insertMany", answer, [(201, {"insertedIds": keys})])
        for key, document in zip(keys, documents, strict=True):
            self._note(key, [document] if certain else [None, document])

    async def update_one(self) -> None:
        """Change a document by operators; sometimes one that is not there, or not yet."""
        key, upsert = self._key(new=0.1), self._chance.random() < 0.3
        fields = {name: value for name, value in self._document(key).items() if name not in ("_id", "n")}

        def change(content: Content) -> Content:
            if content is None and not upsert:
                return None
            return {"_id": key, **fields, "n": (content["n"] if content else 0) + 1}

        def right(content: Content) -> Said:
            counts = {"matchedCount": int(content is not None), "modifiedCount": int(content is not None)}
            return 200, counts | ({"upsertedId": key} if content is None and upsert else {})

        update = {"$inc": {"n": 1}, "$set": fields}
        request = {"filter": {"_id": key}, "update": update, "upsert": upsert}
        await self._write(Write("updateOne", key, request, change, right))

    async def replace_one(self) -> None:
        """Put another document in the place of one."""
        key = self._key(new=0.1)
        document = self._document(key)

        def right(content: Content) -> Said:
            return 200, {
                "matchedCount": int(content is not None),
                "modifiedCount": int(content not in (None, document)),
            }

        replacement = {name: value for name, value in document.items() if name != "_id"}
        request = {"filter": {"_id": key}, "replacement": replacement}
        await self._write(Write("replaceOne", key, request, lambda content: content and document, right))

    async def delete_one(self) -> None:
        """Delete a document, or none."""
        key = self._key(new=0.05)

        def right(content: Content) -> Said:
            return 200, {"deletedCount": int(content is not None)}

        await self._write(Write("deleteOne", key, {"filter": {"_id": key}}, lambda content: None, right))

    async def find_one(self) -> None:
        """Look at a document."""
        await self.look(self._key(new=0.1))

    async def look(self, key: str) -> None:
        """Look at this document: it must be what it may be, and is then known."""
        answer = await self._call("findOne", {"filter": {"_id": key}})
        may_be = self.known.get(key, [None])
        seen = [content for content in may_be if answer.said == (200, {"document": content})]
        if seen:
            self._note(key, seen)
        elif not answer.excused:
            self._wrong("findOne", answer, [(200, {"document": content}) for content in may_be])
            # There is no more to learn of it.
            self._note(key, may_be[-1:])

    async def find(self) -> None:
        """Find documents: all, in batches, or some."""
        if self._doubtful:
            return await self.find_one()
        least, skip, limit = self._chance.choice([0, 0, 500]), self._chance.choice([0, 7]), self._chance.choice([0, 20])
        request: Document = {"filter": {"worker": self.number, "n": {"$gte": least}}, "sort": {"_id": 1}}
        request |= ({"skip": skip} if skip else {}) | ({"limit": limit} if limit else {})
        found = [document for document in self._documents() if document["n"] >= least][skip:][: limit or None]
        return await self._read("find", request, found)

    async def pages(self) -> None:
        """Find documents in pages: by `_id`, or by a cursor that the gateway keeps."""
        if self._doubtful:
            await self.find_one()
            return
        size = self._chance.choice([20, 50, 200])
        request: Document = {"filter": {"worker": self.number}, "cursor": True, "batchSize": size}
        if is_kept := self._chance.random() < 0.5:
            request["sort"] = {"worker": 1, "_id": 1}
        found: list[Document] = []
        disturbed = False
        while True:
            answer = await self._call("find", request)
            disturbed = disturbed or answer.disturbed
            if answer.excused or (disturbed and is_kept and answer.said == (400, "InvalidCursor")):
                return
            page = answer.said[1] if answer.status == 200 else None
            if not isinstance(page, dict) or page.keys() != {"documents", "cursor"} or len(page["documents"]) > size:
                self._wrong("page of find", answer, [(200, {"documents": [], "cursor": None})])
                return
            found += page["documents"]
            if page["cursor"] is None:
                break
            request = {"cursor": page["cursor"]}
        self._ledger.acknowledged["pages"] += 1
        if found != self._documents():
            self._ledger.fault(f"pages of worker {self.number} gave {len(found)} other documents than there are")

    async def lines(self) -> None:
        """Find documents as NDJSON, and go away now and then before all have come."""
        if self._doubtful:
            await self.find_one()
            return
        kills, away = self._mongodb.kills, self._mongodb.away
        body = self._language.write({**self._place, "filter": {"worker": self.number}, "sort": {"_id": 1}})
        sent = self._connection.request("find", body, accept=f"{NDJSON}; format=canonical")
        if self._chance.random() < 0.2:
            with contextlib.suppress(OSError, EOFError, asyncio.TimeoutError):
                reader = await self._connection.begin([sent])
                await asyncio.wait_for(reader.readline(), LONGEST_CALL_SECONDS)
            self._connection.close()
            self._ledger.answers["lines", "hung up"] += 1
            return
        status, text = await self._connection.call([sent])
        disturbed = away or self._mongodb.away or self._mongodb.kills != kills
        self._ledger.count("lines", status)
        options = JSONOptions(json_mode=JSONMode.CANONICAL, tz_aware=False)
        if status == 200:
            self._mongodb.answered()
            if [json_util.loads(line, json_options=options) for line in text.splitlines()] != self._documents():
                self._ledger.fault(f"lines of worker {self.number} are other documents than there are")
        elif not (disturbed and status in (503, 504, BROKEN)):
            self._ledger.fault(f"lines of worker {self.number}: {STATUS_NAMES.get(status, status)} {text[:200]!r}")
        else:
            self._ledger.errors_while_away += 1

    async def aggregate(self) -> None:
        """Count and add up."""
        if self._doubtful:
            return await self.find_one()
        group = {"_id": "$open", "count": {"$sum": 1}, "n": {"$sum": "$n"}}
        pipeline = [{"$match": {"worker": self.number}}, {"$group": group}, {"$sort": {"_id": 1}}]
        sums = []
        for state in (False, True):
            if numbers := [document["n"] for document in self._documents() if document["open"] is state]:
                sums.append({"_id": state, "count": len(numbers), "n": sum(numbers)})
        return await self._read("aggregate", {"pipeline": pipeline}, sums)

    async def bad_request(self) -> None:
        """What is refused, whether MongoDB is away or not."""
        bad = self._chance.choice(BAD_REQUESTS)
        body = bad.body or json.dumps(self._place | bad.request).encode()
        request = self._connection.request(bad.action, body, bad.method, **bad.headers)
        status, text = await self._connection.call([request])
        self._ledger.count(f"bad: {bad.name}", status)
        said = self._language.read(status, text)
        if not bad.allows(said):
            self._ledger.fault(f"{bad.name}: {said!r:.300} instead of {(bad.status, bad.error_code)}")

    async def hang_up(self) -> None:
        """Ask for documents and go away before they are there, or while they come."""
        body = self._language.write({**self._place, "filter": {"worker": self.number}})
        with contextlib.suppress(OSError):
            await self._connection.begin([self._connection.request("find", body)])
            await asyncio.sleep(self._chance.uniform(0, 0.05))
        self._connection.close()
        self._ledger.answers["find", "hung up"] += 1

    async def _write(self, write: Write) -> None:
        """Carry it out, check the answer, and note what the document is or may be then."""
        answer = await self._call(write.action, write.request)
        before = self.known.get(write.key, [None])
        once = [write.change(content) for content in before]
        # What was under way at a kill may have been sent twice.
        starts = before + once if answer.disturbed else before
        fit = [content for content in starts if write.right(content) == answer.said]
        if fit:
            self._ledger.acknowledged[write.action] += answer.status < 400
            self._note(write.key, [write.change(content) for content in fit])
            return
        if answer.excused:
            self._ledger.unknown += 1
        else:
            self._wrong(write.action, answer, [write.right(content) for content in starts])
        self._note(write.key, before + once + [write.change(content) for content in once])

    async def _read(self, action: str, request: Document, right: list[Document]) -> None:
        answer = await self._call(action, request)
        if answer.said == (200, {"documents": right}) or answer.excused:
            return
        if answer.status == 200 and isinstance(given := answer.said[1].get("documents"), list):
            first = next((pair for pair in itertools.zip_longest(given, right) if pair[0] != pair[1]), None)
            self._ledger.fault(
                f"{action} of worker {self.number} gave {len(given)} documents instead of {len(right)}; "
                f"the first that differs and what it should be: {first!r:.600}"
            )
        else:
            self._wrong(action, answer, [(200, {"documents": right})])

    async def _call(self, action: str, request: Document) -> Answer:
        kills, away = self._mongodb.kills, self._mongodb.away
        body = self._language.write({**self._place, **request})
        media_type = self._language.media_type
        sent = self._connection.request(action, body, content_type=media_type, accept=media_type)
        status, text = await self._connection.call([sent])
        if 200 <= status < 300:
            self._mongodb.answered()
        # It may have come back, been killed, or both, meanwhile.
        disturbed = away or self._mongodb.away or self._mongodb.kills != kills
        answer = Answer(status, self._language.read(status, text), disturbed)
        self._ledger.count(action, status)
        self._ledger.errors_while_away += answer.excused
        return answer

    def _wrong(self, action: str, answer: Answer, right: list[Said]) -> None:
        when = ", while MongoDB was away" if answer.disturbed else ""
        right_ones = " or ".join(f"{said!r:.300}" for said in right)
        self._ledger.fault(f"{action} of worker {self.number}{when}: {answer.said!r:.300} instead of {right_ones}")

    def _note(self, key: str, may_be: list[Content]) -> None:
        may_be = different(may_be)
        self.known[key] = may_be
        self._doubtful.discard(key)
        if len(may_be) > 1:
            self._doubtful.add(key)
        elif may_be == [None]:
            del self.known[key]

    def _key(self, new: float) -> str:
        """One of its documents' `_id`s, or, with the probability `new`, one that there never was."""
        if not self.known or self._chance.random() < new:
            return f"{self.number:03}-{next(self._numbers):07}"
        return self._chance.choice(list(self.known))

    def _document(self, key: str) -> Document:
        """A document unlike any other."""
        chance = self._chance
        size = 200_000 if chance.random() < 0.003 else int(chance.expovariate(1 / 200))
        return {
            "_id": key,
            "worker": self.number,
            "owner": user_name(self.number),
            "n": chance.randrange(1000),
            "open": chance.random() < 0.5,
            "at": datetime.datetime(2026, 1, 1) + datetime.timedelta(milliseconds=chance.randrange(10**10)),
            "text": f'Zoë "{chance.random()}" \\ 試験\n' + "x" * size,
            "items": [{"quantity": n, "price": n / 4} for n in range(chance.randrange(4))],
        }

    def _documents(self) -> list[Document]:
        """All of its documents, while there is no doubt about any, by `_id`."""
        return [content for _, (content,) in sorted(self.known.items()) if content is not None]


@dataclass(frozen=True)
class BadRequest:
    """A request that is refused before MongoDB is asked."""

    name: str
    status: int
    error_code: str
    request: Document = field(default_factory=lambda: {"filter": {}})
    body: bytes = b""
    action: str = "findOne"
    method: str = "POST"
    headers: dict[str, str | None] = field(default_factory=dict)
    is_limited: bool = False
    """Whether it gets 429 once there were too many."""

    def allows(self, said: tuple[int, str]) -> bool:
        """Whether this is the gateway's answer to it."""
        return said == (self.status, self.error_code) or (self.is_limited and said == (429, "TooManyRequests"))


BAD_REQUESTS = [
    BadRequest("wrong key", 401, "InvalidSession", headers={"api_key": "not-the-key-of-it"}, is_limited=True),
    BadRequest("no key", 400, "InvalidParameter", headers={"api_key": None}),
    BadRequest("half a body", 400, "InvalidParameter", body=b'{"dataSource": "Clus'),
    BadRequest("no JSON", 400, "InvalidParameter", body=b"\xff\xfe<html>"),
    BadRequest("no document", 400, "MissingParameter", {}, action="insertOne"),
    BadRequest("no such type", 400, "InvalidParameter", {"filter": {"_id": {"$oid": "zz"}}}),
    BadRequest("forbidden operator", 403, "OperationNotAllowed", {"filter": {"$where": "sleep(1000)"}}),
    BadRequest("forbidden database", 403, "InvalidParameter", {"filter": {}, "database": "admin"}),
    BadRequest("no such action", 404, "NotFound", action="dropDatabase"),
    BadRequest("wrong method", 405, "MethodNotAllowed", method="GET"),
    BadRequest("wrong media type", 415, "InvalidParameter", headers={"content_type": "text/plain"}),
]


class Follower:
    """Follows the changes of a collection, and connects again with the last id when a stream ends."""

    def __init__(self, url: str, key: str, collection: str, mongodb: FragileMongoDB, ledger: Ledger) -> None:
        self._address = url.removeprefix("http://").split(":")
        self._mongodb = mongodb
        self._ledger = ledger
        path = f"/watch?dataSource=Cluster0&database={DATABASE}&collection={collection}"
        self._head = f"GET {path} HTTP/1.1\r\nHost: gateway\r\napi-key: {key}\r\nAccept: text/event-stream\r\n"
        self._id = ""

    async def follow(self, until: float) -> None:
        """Follow the changes until then."""
        while (left := until - time.monotonic()) > 0:
            with contextlib.suppress(asyncio.TimeoutError, OSError, EOFError):
                await asyncio.wait_for(self._stream(until), left)
            await asyncio.sleep(0.2)

    async def _stream(self, until: float) -> None:
        kills, away = self._mongodb.kills, self._mongodb.away
        reader, writer = await asyncio.open_connection(self._address[0], int(self._address[1]))
        try:
            last = f"Last-Event-ID: {self._id}\r\n" if self._id else ""
            writer.write(f"{self._head}{last}\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ")[1])
            self._ledger.count("watch", status)
            disturbed = away or self._mongodb.away or self._mongodb.kills != kills
            if status != 200:
                # A SecantusDB that was killed may not have all that the last one had reported.
                lost = status == 410 and self._mongodb.kills and self._id
                if not (disturbed and status in (503, 504)) and not lost:
                    self._ledger.fault(f"a change stream got {status}: {head!r:.300}")
                self._id = ""
                return
            while size := int(await asyncio.wait_for(reader.readuntil(b"\r\n"), LONGEST_CALL_SECONDS), 16):
                self._read((await reader.readexactly(size + 2))[:-2])
                # A task that is cancelled while it reads may not notice it.
                if time.monotonic() > until:
                    return
        except asyncio.TimeoutError:
            self._ledger.fault("a change stream was silent")
        finally:
            writer.close()

    def _read(self, part: bytes) -> None:
        """Read the blocks of a part: the gateway sends each block in one."""
        for block in part.decode().removesuffix("\n\n").split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            self._id = fields.get("id", self._id)
            if "event" in fields:
                self._ledger.answers["watch", fields["event"]] += 1
                error = json.loads(fields["data"])
                # What would be 410, 504 and 503.
                explained = error["error_code"] in ("ChangeStreamHistoryLost", "ExecutionTimeLimitExceeded")
                if not (self._mongodb.kills and (explained or "MongoDB cannot be reached" in error["error"])):
                    self._ledger.fault(f"a change stream ended with {fields['data']:.300}")
            elif "data" in fields:
                self._ledger.answers["watch", "change"] += 1
                if "operationType" not in json.loads(fields["data"]):
                    self._ledger.fault(f"a change is {fields['data']:.300}")


async def send_too_much(connection: Connection, ledger: Ledger, until: float) -> None:
    """Send what is too large, one after the other: each is refused."""
    place = {"dataSource": "Cluster0", "database": DATABASE, "collection": "oversize"}
    text = "x" * (DOCUMENT_BYTES + 1)
    too_large = json.dumps({**place, "document": {"text": text}}).encode()
    cases: dict[str, Callable[[], Iterable[bytes]]] = {
        "document too large": lambda: [connection.request("insertOne", too_large)],
        "body too large": lambda: [connection.request("insertOne", b"{", content_length="99999999999")],
        "body without end": lambda: body_without_end(connection),
    }
    begun = time.monotonic()
    while time.monotonic() < until:
        for name, request in cases.items():
            status, _ = await connection.call(request())
            ledger.count(f"bad: {name}", status)
            if status != 413:
                ledger.fault(f"{name}: {STATUS_NAMES.get(status, status)} instead of 413")
            # What was begun cannot go on.
            connection.close()
        # Often at first: what the allocator keeps of such sizes is then kept before it is measured.
        warm = time.monotonic() > begun + warm_up(until - begun)
        await asyncio.sleep(OVERSIZE_SECONDS if warm else OVERSIZE_SECONDS / 20)


def body_without_end(connection: Connection) -> Iterator[bytes]:
    """A request that says no size; all that the gateway takes, and a byte."""
    yield connection.request("insertOne", b"", content_length=None, transfer_encoding="chunked")
    chunk = b"%x\r\n%s\r\n" % (2**20, b" " * 2**20)
    yield from itertools.repeat(chunk, BODY_BYTES // 2**20)
    yield b"1\r\n \r\n"


def warm_up(seconds: float) -> float:
    """How long the gateway is given until what it holds counts."""
    return min(WARM_UP_SECONDS, seconds / 5)


@dataclass(frozen=True)
class Sample:
    """What a process holds."""

    kib: int
    descriptors: int
    threads: int


def sample(pid: int) -> Sample:
    """What it holds now."""
    process = Path("/proc") / str(pid)
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
    descriptors = sum(1 for _ in (process / "fd").iterdir())
    return Sample(int(status["VmRSS"].split()[0]), descriptors, int(status["Threads"]))


class Watch:
    """Looks at the gateway every second, and says how it goes."""

    def __init__(self, gateway: servers.Server, mongodb: FragileMongoDB, ledger: Ledger) -> None:
        self.samples: list[Sample] = []
        """Those after the warm-up."""
        self._gateway = gateway
        self._mongodb = mongodb
        self._ledger = ledger

    async def watch(self, seconds: float) -> None:
        """Look until the end."""
        begun = time.monotonic()
        said_calls = 0
        for second in range(1, math.ceil(seconds) + 1):
            await asyncio.sleep(begun + second - time.monotonic())
            if self._gateway.process.poll() is not None:
                raise self._gateway.failed()
            seen = sample(self._gateway.process.pid)
            if second > warm_up(seconds):
                self.samples.append(seen)
            if second % PROGRESS_SECONDS == 0:
                self._say(second, self._ledger.calls - said_calls, seen)
                said_calls = self._ledger.calls

    def _say(self, second: int, calls: int, seen: Sample) -> None:
        away = " (MongoDB is away)" if self._mongodb.away else ""
        say(
            f"{second:5} s  {self._ledger.calls:8} requests, {calls / PROGRESS_SECONDS:6.0f} a second  "
            f"{self._ledger.errors_while_away:6} errors while away  RSS {seen.kib / 1024:6.1f} MiB  "
            f"{seen.descriptors:4} descriptors  {seen.threads:3} threads{away}"
        )


def median(samples: list[Sample]) -> Sample:
    """The median of each."""
    return Sample(
        int(statistics.median(seen.kib for seen in samples)),
        int(statistics.median(seen.descriptors for seen in samples)),
        int(statistics.median(seen.threads for seen in samples)),
    )


def check_growth(samples: list[Sample], ledger: Ledger) -> None:
    """Compare the first fifth with the last one."""
    fifth = max(1, len(samples) // 5)
    first, last = median(samples[:fifth]), median(samples[-fifth:])
    say(
        f"the gateway: {first.kib / 1024:.1f} MiB at first, {last.kib / 1024:.1f} MiB at last "
        f"(most: {max(seen.kib for seen in samples) / 1024:.1f}); {first.descriptors} and {last.descriptors} "
        f"descriptors; {first.threads} and {last.threads} threads"
    )
    if last.kib - first.kib > max(MOST_MORE_KIB, first.kib * MOST_MORE_SHARE):
        ledger.fault("the gateway's memory grew")
    if last.descriptors - first.descriptors > MOST_MORE_DESCRIPTORS:
        ledger.fault("the gateway's descriptors grew")
    if last.threads - first.threads > MOST_MORE_THREADS:
        ledger.fault("the gateway's threads grew")


async def load(
    gateway: servers.Server,
    url: str,
    key: str,
    mongodb: FragileMongoDB,
    ledger: Ledger,
    seconds: float,
    connections: int,
) -> list[Worker]:
    """Run the load, and stop the gateway at the end of it, with its connections open; give the workers."""
    until = time.monotonic() + seconds
    open_connections = [Connection(url, key) for _ in range(connections + 1)]
    workers = [Worker(n, connection, mongodb, ledger) for n, connection in enumerate(open_connections[:-1])]
    watch = Watch(gateway, mongodb, ledger)
    followers = [Follower(url, key, f"documents_{number}", mongodb, ledger) for number in range(COLLECTIONS)]
    await asyncio.gather(
        *(worker.work(until) for worker in workers),
        *(follower.follow(until) for follower in followers),
        send_too_much(open_connections[-1], ledger, until),
        mongodb.misbehave(seconds),
        watch.watch(seconds),
    )
    if not ledger.answers["watch", "change"]:
        ledger.fault("there was no change on any change stream")
    if mongodb.away:
        ledger.fault("the gateway did not answer again after MongoDB was back")
    check_growth(watch.samples, ledger)
    await asyncio.to_thread(stop, gateway, ledger)
    for connection in open_connections:
        connection.close()
    return workers


def stop(gateway: servers.Server, ledger: Ledger) -> None:
    """Stop the gateway: it ends with status 0, and has said where it listened and that MongoDB was away."""
    gateway.process.terminate()
    try:
        status = gateway.process.wait(servers.STOP_SECONDS)
    except subprocess.TimeoutExpired:
        ledger.fault(f"the gateway did not end within {servers.STOP_SECONDS} seconds")
        return
    gateway.stop()
    if status != 0:
        ledger.fault(f"the gateway ended with status {status}")
    for line in gateway.output:
        if not line.startswith("Listening on ") and '"level":"warning"' not in line:
            ledger.fault(f"the gateway said: {line}")


def check_stored(mongodb: FragileMongoDB, workers: list[Worker], ledger: Ledger) -> None:
    """Read all documents by PyMongo: they are what they may be, and there are no others."""
    known = {(worker.collection, key): may_be for worker in workers for key, may_be in worker.known.items()}
    stored: dict[tuple[str, str], Content] = {}
    document: Document
    client: PyMongoClient[Document]
    with PyMongoClient(f"mongodb://127.0.0.1:{mongodb.port}/", serverSelectionTimeoutMS=10_000) as client:
        for name in client[DATABASE].list_collection_names():
            for document in client[DATABASE][name].find():
                stored[name, document["_id"]] = document
    doubtful = sum(len(may_be) > 1 for may_be in known.values())
    say(f"in MongoDB: {len(stored)} documents; of {len(known)} that are known {doubtful} may or may not be there")
    for name, key in stored.keys() - known.keys():
        ledger.fault(f"{key} was deleted, or never inserted, and is in {name}")
    for (name, key), may_be in known.items():
        content = stored.get((name, key))
        if content not in may_be:
            right = " or ".join(f"{one!r:.300}" for one in may_be)
            ledger.fault(f"{key} in {name} is {content!r:.300} instead of {right}")


def summarize(mongodb: FragileMongoDB, ledger: Ledger, seconds: float) -> None:
    """Say what happened, and the verdict."""
    say(f"{ledger.calls} requests in {seconds:.0f} s:")
    for action in sorted({action for action, _ in ledger.answers}):
        counts = sorted((status, count) for (of, status), count in ledger.answers.items() if of == action)
        say(f"  {action:24}" + "  ".join(f"{status}: {count}" for status, count in counts))
    recoveries = ", ".join(f"{after:.1f}" for after in mongodb.recoveries)
    say(f"MongoDB was killed {mongodb.kills} times; answers came again after {recoveries} s of its being back")
    by_action = ", ".join(f"{action} {count}" for action, count in sorted(ledger.acknowledged.items()))
    say(f"{ledger.acknowledged.total()} acknowledged writes ({by_action}), {ledger.unknown} of unknown outcome")
    say("all right" if not ledger.faults else f"FAILED: {len(ledger.faults)} faults, the first: {ledger.faults[0]}")


def soak(seconds: float, connections: int) -> Ledger:
    """Run it, and say what happened; give what came of it."""
    ledger, begun = Ledger(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="connect-mongodb-soak-", ignore_cleanup_errors=True) as folder:
        mongodb = FragileMongoDB(folder, ledger)
        try:
            mongodb.start()
            create_indexes(mongodb)
            files = Path(folder) / "gateway"
            files.mkdir()
            configuration, key = configure(files, mongodb.uri, connections)
            with gateways.gateway(files, configuration) as running:
                workers = asyncio.run(load(running.server, running.url, key, mongodb, ledger, seconds, connections))
            # What was acknowledged last must survive it too.
            mongodb.kill()
            mongodb.start()
            check_stored(mongodb, workers, ledger)
        except (servers.DevelopmentError, PyMongoError) as error:
            ledger.fault(str(error))
        finally:
            mongodb.stop()
    summarize(mongodb, ledger, time.monotonic() - begun)
    return ledger


def create_indexes(mongodb: FragileMongoDB) -> None:
    """So that a worker's documents are found without reading all."""
    client: PyMongoClient[Document]
    with PyMongoClient(mongodb.uri) as client:
        for number in range(COLLECTIONS):
            client[DATABASE][f"documents_{number}"].create_index("worker")


def main() -> int:
    """Give 0 if all was right."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="A soak of the gateway.")
    parser.add_argument("--seconds", type=float, default=600, help=f"for how long; at least {SHORTEST_SECONDS}")
    parser.add_argument("--connections", type=int, default=32, help="how many connections call at once")
    arguments = parser.parse_args()
    if arguments.seconds < SHORTEST_SECONDS or arguments.connections < 1:
        parser.error(f"at least {SHORTEST_SECONDS} seconds and 1 connection")
    # As Ctrl-C: everything that was started ends.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return 1 if soak(arguments.seconds, arguments.connections).faults else 0
    except KeyboardInterrupt:
        say("Stopped.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
