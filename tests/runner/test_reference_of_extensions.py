"""The examples of the reference that need `connect-eaas-core`: what they print is what their comments say."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from connect.eaas.core.decorators import router
from connect.eaas.mongodb import MongoClient, page

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))
from scripts.examples import OF_EXTENSIONS, OF_MODULES, Example, read  # noqa: E402

EXAMPLES = [example for file in OF_EXTENSIONS for example in read(file).values()]


@pytest.fixture
def config() -> Iterator[dict[str, str]]:
    """The variables of a database that has an order."""
    variables = {"DB": f"store_event_reference_{os.getpid()}", "DB_HOST": os.environ["TEST_MONGODB_URI"]}
    variables["DRIVER_COLLECTION"] = "events"
    database = MongoClient.from_config(variables)[variables["DB"]]
    database.orders.insert_one({"_id": "A-1", "status": "pending", "total": 10})
    yield variables
    database.client.drop_database(database.name)


@pytest.fixture(autouse=True)
def own_routes() -> Iterator[None]:
    """The routes of an example alone, of which a process has one list."""
    routes = list(router.routes)
    router.routes.clear()
    yield
    router.routes[:] = routes


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
async def test_an_example_prints_what_it_says(example: Example, config: dict[str, str]) -> None:
    printed: list[str] = []
    text = f"async def example({', '.join(example.arguments)}):\n{textwrap.indent(example.code, '    ')}\n"
    # Core looks for the file of a class.
    space: dict[str, Any] = {"__name__": __name__, "print": lambda *values: printed.append(" ".join(map(str, values)))}
    exec(compile(text, example.name, "exec", dont_inherit=True), space)
    await space["example"](*({"config": config}[name] for name in example.arguments))
    assert printed == list(example.expected().values())


def test_the_page_and_its_mixin_have_examples() -> None:
    assert set(page.__all__) - {"EventsPageMixin"} <= {name for file in OF_MODULES for name in read(file)}
    assert "overview" in read("events_page_mixin")
