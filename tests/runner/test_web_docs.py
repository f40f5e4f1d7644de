"""The code of docs/web-apps.md: each block does what the page says."""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from connect.eaas.core.decorators import router
from connect.eaas.core.testing import WebAppTestClient
from connect.eaas.mongodb import VARIABLES, MongoClient

PAGE = Path(__file__).parents[2] / "docs" / "web-apps.md"
BLOCKS = dict(re.findall(r"^```python\n# ([^\n]+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S))
APPLICATIONS = ["a collection", "an attribute", "before: a client per request", "after: a client per request"]

URI = os.environ["TEST_MONGODB_URI"]
HOST = URI.removeprefix("mongodb://").removesuffix("/")
CONFIG = {"DB": f"store_event_page_{os.getpid()}", "DB_HOST": URI}
# Of the code before, which puts the host into a connection string of its own.
BEFORE = {"DB_NAME": CONFIG["DB"], "DB_HOST": HOST, "DB_USER": "", "DB_PASSWORD": ""}
REQUESTS = 20

numbers = itertools.count()


Run = Callable[[str], Any]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Imports a block as a module. The router, of which a process has one, then has the block's routes alone."""
    routes = list(router.routes)
    imported = []

    def import_block(title: str) -> Any:
        router.routes.clear()
        name = f"page_{next(numbers)}"
        path = tmp_path / f"{name}.py"
        # There is no SRV record of the test's MongoDB, and nobody to log in as; nor has it the default port.
        code = BLOCKS[title].replace("mongodb+srv://{user}:{password}@", "mongodb://").replace("127.0.0.1:27017", URI)
        path.write_text(code, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Where core looks for the file of a class.
        sys.modules[name] = module
        imported.append(name)
        spec.loader.exec_module(module)
        return module

    yield import_block
    router.routes[:] = routes
    for name in imported:
        del sys.modules[name]


@pytest.fixture(scope="module")
def orders() -> Iterator[Any]:
    database = MongoClient.from_config({**CONFIG, "DRIVER_COLLECTION": "orders"})[CONFIG["DB"]]
    yield database["orders"]
    database.client.drop_database(database.name)


def test_all_code_is_run() -> None:
    assert set(BLOCKS) == {*APPLICATIONS, "a test"}
    assert PAGE.read_text(encoding="utf-8").count("```python") == len(BLOCKS)


@pytest.mark.parametrize("title", APPLICATIONS)
def test_the_application_reads_an_order(title: str, orders: Any, run: Run) -> None:
    application = run(title).Shop
    orders.insert_one({"_id": title, "items": [1]})
    response = WebAppTestClient(application).get(f"/api/orders/{title}", config={**CONFIG, **config(title)})
    assert response.json() == {"_id": title, "items": [1]}
    assert application.get_variables() == ([] if title.startswith("before") else VARIABLES)


def config(title: str) -> dict[str, str]:
    if not title.startswith("before"):
        return {}
    if "@" in HOST or "?" in HOST or not URI.startswith("mongodb://"):
        pytest.skip("needs a MongoDB whose connection string is its address alone")
    return BEFORE


@pytest.mark.parametrize("title", ["before: a client per request", "after: a client per request"])
def test_how_many_connections_requests_open(title: str, orders: Any, run: Run) -> None:
    def created() -> int:
        return int(orders.database.client.admin.command("serverStatus")["connections"]["totalCreated"])

    client = WebAppTestClient(run(title).Shop)
    variables = {**CONFIG, **config(title)}
    client.get("/api/orders/none", config=variables)
    before = created()
    for _ in range(REQUESTS):
        assert client.get("/api/orders/none", config=variables).status_code == 200
    opened = created() - before
    assert opened >= REQUESTS if title.startswith("before") else opened < REQUESTS / 2


def test_the_test(run: Run) -> None:
    test = run("a test")
    test.Shop = run("a collection").Shop
    test.test_an_order(WebAppTestClient)
