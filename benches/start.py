"""What a process pays before its first event is stored, and what an installation weighs."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import zlib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

# A process ends as soon as its event is stored: how an interpreter exits is no part of it.
NOTHING = "import os; os._exit(0)"

_INSERT = """
import asyncio, json, os
{head}
async def main():
    with open({sample!r}) as file:
        request = json.load(file)
    {insert}
    os._exit(0)
asyncio.run(main())
"""

PROGRAMS = {
    "ours": (
        "from connect.eaas.mongodb import AsyncMongoClient",
        "await AsyncMongoClient({mongodb!r}).db.coll.insert_one(request)",
    ),
    "ours store": (
        "from connect.eaas.mongodb import AsyncEventStore, AsyncMongoClient",
        "await AsyncEventStore(AsyncMongoClient({mongodb!r}).db.coll).save("
        '"asset_purchase_request_processing", {{**request, "number": {number}}})',
    ),
    "PyMongo async": (
        "from pymongo import AsyncMongoClient",
        "await AsyncMongoClient({mongodb!r}).db.coll.insert_one(request)",
    ),
    "mongojet": (
        "from mongojet import create_client",
        'await (await create_client({mongodb!r})).get_database("db").get_collection("coll").insert_one(request)',
    ),
    "Motor": (
        "from motor.motor_asyncio import AsyncIOMotorClient",
        "await AsyncIOMotorClient({mongodb!r}).db.coll.insert_one(request)",
    ),
}


def first_event(mongodb: str, sample: Path, rounds: int) -> dict[str, float]:
    """The time from a process's start to its first acknowledged event, beyond starting Python, in milliseconds.

    The programs take turns; the figures are medians.
    """
    took: dict[str, list[float]] = {name: [] for name in ("", *PROGRAMS)}
    for number in range(rounds + 1):
        for name, runs in took.items():
            program = NOTHING
            if name:
                head, insert = PROGRAMS[name]
                insert = insert.format(mongodb=mongodb, number=number)
                program = _INSERT.format(head=head, sample=str(sample), insert=insert)
            begun = time.perf_counter()
            _start(program)
            # The first round writes the bytecode and fills the system's cache of files.
            if number:
                runs.append((time.perf_counter() - begun) * 1e3)
    nothing = statistics.median(took.pop(""))
    return {name: statistics.median(runs) - nothing for name, runs in took.items()}


def imports(rounds: int) -> dict[str, float]:
    """What an import adds to starting Python, in milliseconds."""
    programs = {name: f"import {name}" for name in ("connect.eaas.mongodb", "bson", "pymongo")}
    took: dict[str, list[float]] = {name: [] for name in ("pass", *programs.values())}
    for _ in range(rounds):
        for program, runs in took.items():
            begun = time.perf_counter()
            _start(program)
            runs.append((time.perf_counter() - begun) * 1e3)
    nothing = statistics.median(took.pop("pass"))
    return {program: statistics.median(runs) - nothing for program, runs in took.items()}


def weights() -> dict[str, float]:
    """What a wheel's files weigh compressed, as wheels are, in megabytes."""
    weighed = {}
    for name in ("connect-eaas-mongodb", "mongojet"):
        files = distribution(name).files or []
        contents = [Path(str(file.locate())).read_bytes() for file in files if file.suffix != ".pyc"]
        weighed[name] = sum(len(zlib.compress(content, 9)) for content in contents) / 1e6
    return weighed


def _start(program: str) -> None:
    # Where bytecode is not written, each start would compile all modules.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, env=environment)


def main() -> None:
    """`python -m benches.start URI [ROUNDS]`: these figures alone."""
    mongodb, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 21
    sample = Path(__file__).parent.parent / "demo" / "samples" / "asset-purchase-request.json"
    figures: dict[str, Any] = {
        "first event, ms beyond starting Python": first_event(mongodb, sample, rounds),
        "imports, ms beyond starting Python": imports(rounds),
        "wheels, MB": weights(),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
