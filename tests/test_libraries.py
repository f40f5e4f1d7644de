"""Libraries that use MongoDB, in applications that run on PyMongo and on this package: the same results and bytes."""

from __future__ import annotations

import difflib
import itertools
import json
import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import UUID

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient as PyMongoClient

from tests.apps.libraries import APPLICATIONS, WAYS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "libraries.md"

# What differs from run to run: ids that are made at random, and the time.
IDS = re.compile(rb"(?<![0-9a-f])(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|[0-9a-f]{24})(?![0-9a-f])")
TIMES = re.compile(rb"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?\+00:00")

# What these applications write at the same time comes in any order.
UNORDERED = {"celery", "langgraph"}

# APScheduler 4 has the name of APScheduler 3: it is in a folder of its own.
FOLDERS = {"apscheduler4": Path(sys.prefix) / "apscheduler4"}

# They make their clients themselves, or take PyMongo's own class only.
NOT_GIVEN = {"apscheduler4", "kombu"}


def has(application: str) -> bool:
    """Whether a library can be installed with this version of Python."""
    return application in FOLDERS or find_spec(application) is not None


def run(application: str, how: str, uri: str, database: str) -> Any:
    """Run an application in a process of its own; return its journal."""
    command = [sys.executable, "-m", "tests.apps.libraries", application, how, uri, database]
    # The order of sets and so that of pickled ones is the same in each process.
    environment = {**os.environ, "PYTHONHASHSEED": "0", "C_FORCE_ROOT": "1", "LANGSMITH_TRACING": "false"}
    if application in FOLDERS:
        environment["PYTHONPATH"] = str(FOLDERS[application])
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, f"{application}, {how}:\n{ended.stdout[-3000:]}\n{ended.stderr[-6000:]}"
    return json.loads(ended.stdout)


class Numbered:
    """Replaces each id that is made at random by the number of its first appearance, of the same length."""

    def __init__(self) -> None:
        self.numbers: dict[bytes, int] = {}

    def number(self, name: bytes) -> int:
        return self.numbers.setdefault(name, len(self.numbers) + 1)

    def text(self, match: re.Match[bytes]) -> bytes:
        digits = b"%0*x" % (len(match[0].replace(b"-", b"")), self.number(match[0].replace(b"-", b"")))
        return digits.rjust(len(match[0]), b"-")

    def clean(self, raw: bytes, ids: Iterable[bytes] = (), times: Iterable[Any] = ()) -> bytes:
        for one in ids:
            number = self.number(one.hex().encode())
            raw = raw.replace(one, number.to_bytes(len(one), "big"))
        for moment in times:
            raw = raw.replace(bson.encode({"": moment})[6:14], bytes(8))
        return TIMES.sub(lambda match: b"T" * len(match[0]), IDS.sub(self.text, raw))


def values_of(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for one in value.values():
            yield from values_of(one)
    elif isinstance(value, list):
        for one in value:
            yield from values_of(one)
    else:
        yield value


def is_now(value: Any) -> bool:
    """Whether a value is a time of this run, as a date or as a number of seconds."""
    if isinstance(value, float):
        return abs(time.time() - value) < 3600
    return isinstance(value, datetime) and abs(datetime.now(timezone.utc) - value) < timedelta(hours=1)


def id_bytes(value: Any) -> bytes | None:
    """The bytes of an id that was made at random."""
    if isinstance(value, bson.ObjectId):
        return value.binary
    if isinstance(value, bson.Binary) and value.subtype == 4 and UUID(bytes=bytes(value)).version == 4:
        return bytes(value)
    return None


def cleaned(raw: bytes, numbers: Numbered) -> bytes:
    options: bson.CodecOptions[dict[str, Any]] = bson.CodecOptions(tz_aware=True)
    values = list(values_of(bson.decode(raw, options)))
    return numbers.clean(raw, [one for one in map(id_bytes, values) if one], [one for one in values if is_now(one)])


def masked(raw: bytes) -> bytes:
    """A document without any id: what it is sorted by."""
    numbers = Numbered()
    numbers.number = lambda name: 0  # type: ignore[method-assign]
    return cleaned(raw, numbers)


def stored(client: PyMongoClient[dict[str, Any]], database: str, unordered: bool) -> dict[str, list[bytes]]:
    """The bytes of all documents, and of the collections' options and indexes."""
    result: dict[str, list[bytes]] = {}
    names = sorted(name for name in client.list_database_names() if name == database or name.startswith(f"{database}_"))
    for name in names:
        place: Any = client.get_database(name, codec_options=bson.CodecOptions(document_class=RawBSONDocument))
        label = name.removeprefix(database)
        listed = client[name].list_collections(filter={"name": {"$not": {"$regex": "^system\\."}}})
        infos = sorted(listed, key=lambda info: str(info["name"]))
        for info in infos:
            collection = f"{label}/{info['name']}"
            options = {key: value for key, value in info["options"].items() if key != "uuid"}
            result[f"{collection}: options"] = [bson.encode({"type": info["type"], **options})]
            if info["type"] == "view":
                continue
            documents = [one.raw for one in place[info["name"]].find()]
            if unordered:
                documents.sort(key=masked)
            numbers = Numbered()
            result[collection] = [cleaned(one, numbers) for one in documents]
            indexes = sorted(place[info["name"]].list_indexes(), key=lambda index: str(index["name"]))
            result[f"{collection}: indexes"] = [bson.encode(one) for one in indexes]
    return result


def test_the_code_of_the_page_runs() -> None:
    blocks = re.findall(r"^( *)```python\n(.*?)^\1```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 8

    codes = [textwrap.dedent(code) for _, code in blocks if "langgraph" not in code or has("langgraph")]
    # What calls install() has a process of its own.
    alone = [code for code in codes if "install()" in code]
    together = "\n".join(code for code in codes if code not in alone)
    assert len(alone) == 1
    for code in (*alone, together):
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
        assert ended.returncode == 0, f"{code}\n{ended.stderr}"


@pytest.mark.parametrize("application", APPLICATIONS)
def test_an_application_runs_on_both(
    application: str, mongodb_uri: str, names: tuple[str, str], pymongo_client: PyMongoClient[dict[str, Any]]
) -> None:
    if not has(application):
        pytest.skip(f"{application} does not support this Python")
    ways = [how for how in WAYS if how != "given" or application not in NOT_GIVEN]
    databases = {how: f"{names[0]}_{application}_{how}" for how in ways}
    # In databases of the same length: their names are in what is stored.
    longest = max(map(len, databases.values()))
    databases = {how: name.ljust(longest, "x") for how, name in databases.items()}
    with ThreadPoolExecutor(len(ways)) as threads:
        futures = {how: threads.submit(partial(run, application, how, mongodb_uri, databases[how])) for how in ways}
    journals = {how: future.result() for how, future in futures.items()}
    documents = {how: stored(pymongo_client, name, application in UNORDERED) for how, name in databases.items()}
    for how in ways[1:]:
        compare(how, journals, documents, databases)
    for name in pymongo_client.list_database_names():
        if name.startswith(tuple(databases.values())):
            pymongo_client.drop_database(name)


def same(how: str, what: str, expected: list[Any], found: list[Any]) -> None:
    if found == expected:
        return
    before, after = (json.dumps(one, indent=1, ensure_ascii=False, default=repr) for one in (expected, found))
    diff = difflib.unified_diff(before.splitlines(), after.splitlines(), "pymongo", how, lineterm="")
    pytest.fail("\n".join([what, *itertools.islice(diff, 200)]))


def compare(how: str, journals: dict[str, Any], documents: dict[str, Any], databases: dict[str, str]) -> None:
    """Fail if an application saw or stored something else than with PyMongo."""

    def entries(one: str) -> list[Any]:
        text = Numbered().clean(json.dumps(journals[one], ensure_ascii=False).encode()).decode()
        found: list[Any] = json.loads(text.replace(databases[one], "DB"))
        return found

    same(how, "the journal", entries("pymongo"), entries(how))
    expected, found = documents["pymongo"], documents[how]
    same(how, "collections", sorted(expected), sorted(found))
    for place, wanted in expected.items():
        stored_ = [one.replace(databases[how].encode(), databases["pymongo"].encode()) for one in found[place]]
        same(how, place, [bson.decode(one) for one in wanted], [bson.decode(one) for one in stored_])
        same(how, f"{place}, bytes", wanted, stored_)
