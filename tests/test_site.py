"""The built site in a browser: `make test-docs` builds it, and then runs these tests."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SITE = os.environ.get("BUILT_SITE")
pytestmark = pytest.mark.skipif(SITE is None, reason="BUILT_SITE names no site (make test-docs)")
FOLDER = Path(SITE or ".")
PAGES = sorted(str(path.parent.relative_to(FOLDER)) for path in FOLDER.rglob("index.html")) if SITE else []
WIDTHS = {"desktop": (1280, 800), "phone": (390, 844)}
# One page of each kind, for checks that take long.
KINDS = [".", "scaling", "reference/results"]


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the site."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, directory=str(FOLDER))

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Be silent."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_scrolls_sideways_or_asks_another_host(width: str, browser: Browser, url: str) -> None:
    context = browser.new_context(viewport={"width": WIDTHS[width][0], "height": WIDTHS[width][1]})
    page = context.new_page()
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    wide = []
    for name in PAGES:
        page.goto(f"{url}{name}/")
        if page.evaluate("document.documentElement.scrollWidth") > WIDTHS[width][0]:
            wide.append(name)
    context.close()
    assert wide == []
    assert errors == []
    assert [request for request in asked if not request.startswith((url, "data:", "blob:"))] == []
    assert len(PAGES) > 40


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", KINDS)
def test_pages_have_no_barriers(name: str, scheme: Any, browser: Browser, url: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{url}{name}/")
    found = axe.Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]}).response["violations"]
    context.close()
    assert [(one["id"], node["html"]) for one in found for node in one["nodes"]] == []


def test_the_search_finds_a_member(browser: Browser, url: str) -> None:
    page = browser.new_page()
    page.goto(url)
    page.keyboard.press("/")
    page.keyboard.type("find_one_and_update", delay=20)
    page.locator(".md-search-result__link").first.wait_for()
    found = page.locator(".md-search-result__link").all()
    assert any("reference/collections" in str(link.get_attribute("href")) for link in found)
    page.close()


def test_the_lists_for_language_models_have_every_page() -> None:
    index = (FOLDER / "llms.txt").read_text(encoding="utf-8")
    whole = (FOLDER / "llms-full.txt").read_text(encoding="utf-8")
    for name in PAGES:
        file = "index.md" if name == "." else f"{name}/index.md"
        assert f"({file})" in index
        assert (FOLDER / file).read_text(encoding="utf-8") in whole
    assert "async def" not in index
    assert "Insert a document." in whole
