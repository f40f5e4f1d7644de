"""The client for `fetch`: its own tests in Node.js and an edge runtime, and the same calls in a browser."""

from __future__ import annotations

import functools
import http.server
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import chromium
from tests.conftest import API_KEY
from tests.gateways import configured, create_key, gateway
from tests.node import build_package, run_node
from tests.servers import Quiet, serving

CLIENT = Path(__file__).parents[1] / "clients" / "typescript"
TESTS = sorted(path.name for path in (CLIENT / "test").glob("*.test.js"))
PATH = "/app/data-abcde/endpoint/data/v1"


@pytest.mark.parametrize("name", TESTS)
def test_the_tests_of_the_package_pass(gateway_url: str, name: str) -> None:
    build_package(CLIENT)
    variables = {"DATA_API_ENDPOINT": gateway_url + PATH, "DATA_API_KEY": API_KEY}
    variables["DATA_API_DATABASE"] = f"tests_{os.getpid()}"
    done = run_node("--test", "--test-reporter=tap", f"test/{name}", folder=CLIENT, **variables)
    assert "\n# fail 0\n" in done.stdout, done.stdout
    assert "\n# skipped 0\n" in done.stdout, done.stdout
    assert "\n# pass 0\n" not in done.stdout, done.stdout


class _Files(Quiet, http.server.SimpleHTTPRequestHandler):
    """Serves files."""


@pytest.fixture
def origin() -> Iterator[str]:
    """The origin of a page that has the client."""
    build_package(CLIENT)
    handler = functools.partial(_Files, directory=str(CLIENT))
    with serving(handler) as port:
        yield f"http://127.0.0.1:{port}"


SCENARIO = """async (settings) => {
    const client = await import("/dist/index.js");
    const { scenario } = await import("/test/scenario.js");
    return await scenario(client, settings);
}"""


def test_a_page_of_another_origin_calls_all_actions(
    mongodb_uri: str, origin: str, names: tuple[str, str], tmp_path: Path
) -> None:
    key = create_key(tmp_path, "page")
    cors = f'[cors]\norigins = ["{origin}"]'
    with gateway(tmp_path, configured(mongodb_uri, tables=cors)) as running, chromium() as browser:
        page = browser.new_page()
        page.goto(f"{origin}/test/scenario.js")
        settings = {"endpoint": running.url + PATH, "apiKey": key, "database": names[0], "collection": names[1]}
        assert {"supports", "more actions", "streams", "watch"} <= set(page.evaluate(SCENARIO, settings))
