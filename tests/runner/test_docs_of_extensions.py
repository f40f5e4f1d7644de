"""The examples of the documentation that need `connect-eaas-core`, those of the reference among them."""

from __future__ import annotations

import logging
import os
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from connect.eaas.core.decorators import router
from connect.eaas.core.extension import EventsApplicationBase
from connect.eaas.mongodb import VARIABLES, MongoClient, page

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


def block_of(page: str, text: str) -> dict[str, Any]:
    """Run the block of a page that contains the text, and return what it defines."""
    blocks = re.findall(r"^ *```python[^\n]*\n(.*?)^ *```$", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S)
    (code,) = [textwrap.dedent(block) for block in blocks if text in block]
    names: dict[str, Any] = {"__name__": __name__, "EventsApplicationBase": EventsApplicationBase}
    exec(compile(code, page, "exec", dont_inherit=True), names)
    return names


async def test_the_application_of_the_readme_stores_the_event_and_its_order(config: dict[str, str]) -> None:
    application = block_of("README.md", "AsyncMongoClient")["MyEventsApplication"]
    handler = application(client=None, logger=logging.getLogger("tests"), config=config)
    response = await handler.handle_purchase({"id": "PR-1", "status": "pending", "asset": {"id": "AS-1"}})
    assert response.status == "success"
    database = MongoClient.from_config(config).get_default_database()
    assert database.events.count_documents({"id": "PR-1"}) == 1
    assert database.orders.find_one({"_id": "AS-1"}) == {"_id": "AS-1", "status": "pending"}
    assert application.get_variables() == VARIABLES


async def test_the_application_of_the_start_page_stores_a_request(config: dict[str, str]) -> None:
    application = block_of("docs/index.md", "@store_event")["MyEventsApplication"]
    handler = application(client=None, logger=logging.getLogger("tests"), config=config)
    for _ in range(2):
        await handler.handle_purchase({"id": "PR-1", "status": "pending"})
    assert MongoClient.from_config(config).get_default_collection().count_documents({"id": "PR-1"}) == 1


def test_the_application_of_the_page_has_its_pages_and_routes() -> None:
    application = block_of("docs/events-page.md", "EventsPageMixin")["MyWebApplication"]
    assert [route.path for route in router.routes] == ["/stored-events/{path:path}"]
    assert application.get_variables() == VARIABLES


def test_the_schedule_of_backfills_is_declared() -> None:
    application = block_of("docs/backfill.md", "schedulable")["MyEventsApplication"]
    assert [schedule["method"] for schedule in application.get_schedulables()] == ["backfill"]


def test_the_page_and_its_mixin_have_examples() -> None:
    assert set(page.__all__) - {"EventsPageMixin"} <= {name for file in OF_MODULES for name in read(file)}
    assert "overview" in read("events_page_mixin")
