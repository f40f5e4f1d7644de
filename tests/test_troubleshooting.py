"""docs/troubleshooting.md: each message that the page shows is one that is seen."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
import trustme
from connect.eaas.mongodb import DataApiClient, MongoClient
from packaging.specifiers import SpecifierSet
from pymongo import MongoClient as PyMongoClient

from demo.runner import RUNNER_ENVIRONMENT
from tests import gateways
from tests.servers import gateway, secantusdb
from tests.test_check import PASSWORD
from tests.walkthrough import DOCS, missing

PAGE = DOCS / "troubleshooting.md"
KEY = "the-key-of-the-tests"


def sections() -> dict[str, list[str]]:
    """The `text` blocks of each section."""
    found = {}
    for part in re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        if shown := re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            found[title] = shown
    return found


SECTIONS = sections()


def raised(call: Callable[[], Any]) -> str:
    """The exception of a call, as a traceback ends."""
    with pytest.raises(Exception) as found:
        call()
    return f"{type(found.value).__name__}: {found.value}"


def driver(**changes: str) -> Any:
    """The collection of an extension's variables, on the driver path."""
    variables = {"DB": "events", "DRIVER_COLLECTION": "requests", "DB_OPTIONS": "serverSelectionTimeoutMS=300"}
    return MongoClient.from_config(variables | changes).get_default_collection()


def data_api(url: str, key: str = KEY, **changes: str) -> Any:
    """The collection of an extension's variables, on the Data API path."""
    variables = {"DB": "events", "CLUSTER": "Cluster0", "HTTP_COLLECTION": "requests"}
    variables |= {"DATA_API_ENDPOINT": url, "API_KEY": key}
    return DataApiClient.from_config(variables | changes).get_default_collection()


class Servers:
    """The servers that the messages need."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plain = ""
        self.guarded = ""
        self.tls = ""
        self.url = ""
        self.cut_off_url = ""
        self.keys: dict[str, str] = {}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("troubleshooting")
    found = Servers(folder)
    data, pem = str(folder / "data"), str(folder / "server.pem")
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    with secantusdb(0, data) as (_, port), PyMongoClient("127.0.0.1", port) as client:  # type: ignore[var-annotated]
        client.admin.command("createUser", "reader", pwd=PASSWORD, roles=[{"role": "read", "db": "events"}])
    found.keys = {"reader": gateways.create_key(folder, "reader", "Cluster0/events/*", rights="read")}
    found.keys["other"] = gateways.create_key(folder, "other", "Cluster0/events/*")
    limits = "[limits]\nrequests_per_second = 0.01\nburst = 2\n"
    with (
        secantusdb(0, data, "--auth") as (_, guarded),
        secantusdb(0, None, "--tls-cert-file", pem, "--tls-key-file", pem) as (_, tls),
        secantusdb() as (_, plain),
    ):
        found.guarded, found.tls, found.plain = (f"127.0.0.1:{port}" for port in (guarded, tls, plain))
        source = f'keys_file = "keys.toml"\n[data_sources.Cluster0]\nuri = "mongodb://{found.plain}/"\n'
        away = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300"
        with gateways.gateway(folder, source + limits) as limited, gateway(away, KEY) as (_, found.cut_off_url):
            found.url = limited.url
            yield found


EXTENSION = """
import asyncio, json, logging, sys
from connect.eaas.core.decorators import event, variables
from connect.eaas.core.extension import EventsApplicationBase
from connect.eaas.core.responses import BackgroundResponse
from connect.eaas.mongodb import VARIABLES, store_event

@variables(VARIABLES)
class Application(EventsApplicationBase):
    @event("asset_purchase_request_processing", statuses=["pending"])
    @store_event
    async def handle(self, request):
        return BackgroundResponse.done()

logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
for config, request in json.load(sys.stdin):
    result = asyncio.run(Application(None, logging.getLogger(), config).handle(request))
    print(result.status, end="\\0")
"""
AWAY = {"DB": "events", "DB_HOST": "127.0.0.1:1", "DRIVER_COLLECTION": "requests"}
AWAY["DB_OPTIONS"] = "serverSelectionTimeoutMS=300"


@functools.cache
def handled(address: str) -> list[str]:
    """What an extension logs of an event without MongoDB, of one that is too large, and of one without variables."""
    python = RUNNER_ENVIRONMENT / "bin" / "python"
    if not python.exists():
        pytest.skip("the runner's environment is not set up")
    request = {"id": "PR-1", "number": 1}
    cases = [(AWAY, request), ({**AWAY, "DB_HOST": address}, {**request, "number": 1 << 64}), ({}, request)]
    ended = subprocess.run(
        [str(python), "-c", EXTENSION], input=json.dumps(cases), capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split("\0")


def of_an_extra(module: str, package: str) -> str:
    """What an import of a module says where a package that it needs is absent."""
    code = f"import sys; sys.modules[{package!r}] = None; import {module}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    return ended.stderr


def without_secantusdb() -> str:
    """What `connect-mongodb dev` says without SecantusDB."""
    code = (
        "import shutil; shutil.which = lambda *_, **__: None\nfrom connect.eaas.mongodb.cli import main; main(['dev'])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    return ended.stderr


def of_pymongo(code: str, address: str) -> str:
    """What a program prints that uses PyMongo's own clients."""
    command = [sys.executable, "-c", f"import asyncio, os, pymongo, sys\n{code}", f"mongodb://{address}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stderr


TWO_LOOPS = """
client = pymongo.AsyncMongoClient(sys.argv[1])
for _ in range(2):
    asyncio.run(client.admin.command("ping"))
"""

FORKED = """
client = pymongo.MongoClient(sys.argv[1])
client.admin.command("ping")
child = os.fork()
client.admin.command("ping")
if child:
    os.waitpid(child, 0)
"""


def of_pip() -> str:
    """What pip says of the runner on Python 3.13: the runner's metadata excludes it."""
    (packages,) = (RUNNER_ENVIRONMENT / "lib").glob("python3*/site-packages")
    (runner,) = distributions(name="connect-extension-runner", path=[str(packages)])
    assert "3.12.0" in SpecifierSet(runner.metadata["Requires-Python"])
    assert "3.13.0" not in SpecifierSet(runner.metadata["Requires-Python"])
    return "ERROR: Could not find a version that satisfies the requirement connect-extension-runner"


def closed(address: str) -> None:
    with MongoClient(f"mongodb://{address}") as client:
        pass
    client["events"]["requests"].insert_one({})


def twice(collection: Any) -> None:
    for _ in range(2):
        collection.insert_one({"_id": 1})


def many(url: str, key: str) -> None:
    # In less time than the server asks to wait for.
    client: Any = DataApiClient(url, api_key=key, data_source="Cluster0", timeoutMS=3_000)
    for _ in range(3):
        client["events"]["requests"].find_one({})


def gateway_with_a_readable_file(folder: Path) -> None:
    keys = folder / "readable.toml"
    keys.write_text((folder / "keys.toml").read_text(encoding="utf-8"), encoding="utf-8")
    keys.chmod(0o644)
    with gateways.gateway(folder, 'keys_file = "readable.toml"\n[data_sources.Cluster0]\nuri = "mongodb://h"\n'):
        pass


def deep(value: Any) -> dict[str, Any]:
    return {"asset": {"items": [{"quantity": value}]}}


PROVOKED: dict[str, Callable[[Servers], list[str]]] = {
    "No suitable server: connection refused or timed out": lambda _: [
        raised(lambda: driver(DB_HOST="127.0.0.1:1").insert_one({}))
    ],
    "No suitable server: a name cannot be resolved": lambda _: [
        raised(lambda: driver(DB_HOST="mongodb.invalid:27017").insert_one({}))
    ],
    "No suitable server: the wrong replica set": lambda servers: [
        raised(
            lambda: driver(DB_HOST=servers.plain, DB_OPTIONS="replicaSet=rs9&serverSelectionTimeoutMS=300").insert_one(
                {}
            )
        )
    ],
    "The DNS records could not be resolved": lambda _: [
        raised(lambda: driver(DB_HOST="cluster0.abcde.mongodb.invalid", DB_USER="u", DB_PASSWORD="p").insert_one({}))
    ],
    "TLS: unknown issuer": lambda servers: [
        raised(lambda: driver(DB_HOST=servers.tls, DB_OPTIONS="tls=true&serverSelectionTimeoutMS=300").insert_one({}))
    ],
    "TLS: connection reset": lambda servers: [raised(lambda: driver(DB_HOST=servers.tls).insert_one({}))],
    "Authentication failed": lambda servers: [
        raised(
            lambda: driver(
                DB_HOST=servers.guarded, DB_USER="reader", DB_PASSWORD="wrong", DB_OPTIONS="authSource=admin"
            ).insert_one({})
        )
    ],
    "Requires authentication, or not authorized": lambda servers: [
        raised(lambda: driver(DB_HOST=servers.guarded).insert_one({})),
        raised(
            lambda: driver(
                DB_HOST=servers.guarded, DB_USER="reader", DB_PASSWORD=PASSWORD, DB_OPTIONS="authSource=admin"
            ).insert_one({})
        ),
    ],
    "Missing or malformed variables": lambda _: [
        raised(lambda: MongoClient.from_config({"DB": "events", "DB_HOST": "a b"}))
    ],
    "The event could not be stored": lambda servers: [handled(servers.plain)[0]],
    "The event cannot be stored: a dead letter": lambda servers: [handled(servers.plain)[1]],
    "The event is not stored, because there is no task": lambda servers: [handled(servers.plain)[2]],
    "Duplicate key": lambda servers: [raised(lambda: twice(driver(DB_HOST=servers.plain)))],
    "A document is too large": lambda servers: [
        raised(lambda: driver(DB_HOST=servers.plain).insert_one({"text": "x" * (16 << 20)})),
        raised(lambda: driver(DB_HOST=servers.plain).insert_one({"text": "x" * (50 << 20)})),
    ],
    "Text that is not UTF-8, and other values that BSON does not have": lambda servers: [
        raised(lambda: driver(DB_HOST=servers.plain).insert_one({"a": {"b": ["\ud800"]}})),
        raised(lambda: driver(DB_HOST=servers.plain).insert_one(deep({1}))),
        raised(lambda: driver(DB_HOST=servers.plain).insert_one(deep(1 << 64))),
    ],
    "A different event loop": lambda servers: [of_pymongo(TWO_LOOPS, servers.plain)],
    "A client opened before fork": lambda servers: [of_pymongo(FORKED, servers.plain)],
    "A closed client": lambda servers: [raised(lambda: closed(servers.plain))],
    "The runner, and Python 3.13": lambda _: [of_pip()],
    "An extra is not installed": lambda _: [
        without_secantusdb(),
        of_an_extra("connect.eaas.mongodb.web", "connect.eaas.core"),
        of_an_extra("connect.eaas.mongodb.metrics", "prometheus_client"),
    ],
    "401: invalid session": lambda servers: [raised(lambda: data_api(servers.url, "not-a-key").find_one({}))],
    "403: the right is missing": lambda servers: [
        raised(lambda: data_api(servers.url, servers.keys["reader"]).insert_one({}))
    ],
    "400: no such data source": lambda servers: [
        raised(lambda: data_api(servers.url, servers.keys["reader"], CLUSTER="Cluster1").find_one({}))
    ],
    "429: the rate of requests": lambda servers: [raised(lambda: many(servers.url, servers.keys["other"]))],
    "503: MongoDB cannot be reached": lambda servers: [raised(lambda: data_api(servers.cut_off_url).find_one({}))],
    "No connection to the Data API": lambda _: [raised(lambda: data_api("http://127.0.0.1:1").find_one({}))],
    "Not the base URL": lambda servers: [raised(lambda: data_api(f"{servers.url}/action"))],
    "A method that the Data API does not have": lambda servers: [
        raised(lambda: data_api(servers.url).create_index("status"))
    ],
    "A document that Extended JSON reads as another type": lambda servers: [
        raised(lambda: data_api(servers.url).insert_one({"a": {"$oid": "0"}}))
    ],
    "The gateway exits with status 2": lambda servers: [raised(lambda: gateway_with_a_readable_file(servers.folder))],
}


def test_each_message_is_provoked() -> None:
    assert set(SECTIONS) == set(PROVOKED)


@pytest.mark.parametrize("title", PROVOKED)
def test_the_message_is_as_shown(title: str, servers: Servers) -> None:
    messages = PROVOKED[title](servers)
    assert len(messages) == len(SECTIONS[title])
    for shown, message in zip(SECTIONS[title], messages, strict=True):
        # The page breaks lines where it likes.
        assert missing(" ".join(shown.split()), " ".join(message.split())) == [], message


def test_what_happens_to_an_event_that_is_not_stored(servers: Servers) -> None:
    results = [logged.splitlines()[-1] for logged in handled(servers.plain) if logged]
    assert results == ["reschedule", "success", "success"]
