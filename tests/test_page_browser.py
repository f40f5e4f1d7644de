"""The page of stored events in a browser: headless Chromium, where there is one."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from connect.eaas.mongodb import EventStore, EventValidationError

from demo.purchase_requests import sample
from tests.browser import chromium
from tests.test_page_command import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize

PURCHASE = "asset_purchase_request_processing"
CHANGE = "asset_change_request_processing"
POLL = 6_000
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


class Opened:
    """The page in a browser, and the server behind it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._note)

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def open(self, view: str) -> None:
        """Show a view, such as `#/numbers`, and wait for its data."""
        base = self.url.split("/?")[0]
        self.page.goto("about:blank")
        self.page.goto(f"{base}/static/stored-events/index.html{view}")
        self.page.locator("main[aria-busy=false]").wait_for()

    def texts(self, selector: str) -> list[str]:
        """The texts of the elements that are shown."""
        return [" ".join(text.split()) for text in self.page.locator(selector).all_inner_texts()]

    def poll(self) -> None:
        """Let the time pass until the page has refreshed itself."""
        with self.page.expect_response("**/api/stored-events/**"):
            self.page.clock.run_for(POLL)


@pytest.fixture
def store(config: dict[str, str]) -> EventStore:
    store = EventStore.from_config(config, path="driver")
    store.ensure_indexes()
    return store


@pytest.fixture
def opened(
    request: pytest.FixtureRequest, browser: Browser, config: dict[str, str], tmp_path: Path
) -> Iterator[Opened]:
    arguments: tuple[str, ...] = getattr(request, "param", ())
    with served(config, tmp_path, *arguments) as (_, url):
        context = browser.new_context(viewport=DESKTOP, locale="en-GB", timezone_id="Europe/Berlin")
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.clock.install()
        page.goto(url)
        found = Opened(page, url)
        yield found
        context.close()
        assert found.errors == []


def request_object(number: int, **more: Any) -> dict[str, Any]:
    return {**sample("asset-purchase-request"), "id": f"PR-{number:04}", **more}


def saved(store: EventStore, number: int, event_type: str = PURCHASE, **more: Any) -> str:
    return store.save(event_type, request_object(number, **more), installation_id=f"EIN-{number % 2}").id


def test_the_list_has_pages_and_filters_that_the_address_keeps(opened: Opened, store: EventStore) -> None:
    for number in range(12):
        saved(store, number, status="failed" if number == 3 else "pending")
    opened.open("#/events")
    page = opened.page
    objects = ".events td[data-label=Object]"
    assert opened.texts(objects) == [f"PR-{number:04}" for number in range(11, 1, -1)]
    assert "1–10 of 12" in opened.texts(".pager")[0]
    assert page.get_by_role("button", name="Previous page").is_disabled()
    page.get_by_role("button", name="Next page").click()
    page.get_by_text("11–12 of 12").wait_for()
    assert opened.texts(objects) == ["PR-0001", "PR-0000"]
    assert page.get_by_role("button", name="Last page").is_disabled()
    page.go_back()
    page.get_by_text("1–10 of 12").wait_for()
    page.get_by_label("Rows").select_option("25")
    page.get_by_text("1–12 of 12").wait_for()
    page.get_by_label("Status").fill("failed")
    page.get_by_label("From").fill("2020-01-31T12:00")
    page.get_by_role("button", name="Apply").click()
    page.get_by_text("1–1 of 1").wait_for()
    assert opened.texts(objects) == ["PR-0003"]
    # The time of the form is in the browser's zone; a request has it in UTC.
    assert "since=2020-01-31T11%3A00%3A00.000Z" in page.url
    page.reload()
    page.get_by_text("1–1 of 1").wait_for()
    assert page.get_by_label("From").input_value() == "2020-01-31T12:00"
    assert opened.texts("summary")[0] == "Filters (2)"
    page.get_by_role("button", name="Clear").click()
    page.get_by_text("1–12 of 12").wait_for()
    page.get_by_label("Object").fill("PR-none")
    page.get_by_label("Object").press("Enter")
    page.get_by_text("No event matches these filters.").wait_for()
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_text("1–12 of 12").wait_for()


@pytest.mark.parametrize(
    "opened", [("--installation", "EIN-1"), ("--path", "http")], ids=["user", "data_api"], indirect=True
)
def test_the_list_tells_whose_events_it_shows(opened: Opened, store: EventStore) -> None:
    for number in range(2):
        saved(store, number)
    opened.open("#/events")
    header = opened.texts(".events th")
    notices = opened.texts(".notice")
    if opened.page.get_by_text("The events of your installation EIN-1").count():
        assert opened.texts(".events td[data-label=Object]") == ["PR-0001"]
        assert "INSTALLATION" not in header
        assert opened.page.get_by_label("Installation").count() == 0
        assert notices == []
    else:
        assert opened.texts(".events td[data-label=Object]") == ["PR-0001", "PR-0000"]
        assert "INSTALLATION" in header
        assert "the Data API, which cannot tell whether the indexes exist" in notices[0]


def test_an_empty_store_and_missing_indexes_are_told(opened: Opened) -> None:
    opened.open("#/events")
    assert "No event is stored yet." in opened.texts(".state")[0]
    assert "Indexes are missing" in opened.texts(".notice")[0]
    opened.open("#/dead-letters")
    assert "There are no dead letters" in opened.texts(".state")[0]
    opened.open("#/numbers")
    assert opened.texts(".state") == ["No event was received in this time.", "Nothing failed in this time."]
    opened.open("#/nonsense")
    assert opened.page.url.endswith("#/events")


def test_new_events_appear_while_the_page_is_in_front(opened: Opened, store: EventStore) -> None:
    saved(store, 1)
    opened.open("#/events")
    page = opened.page
    link = page.get_by_role("link", name="PR-0001")
    link.focus()
    saved(store, 2)
    opened.poll()
    page.get_by_role("link", name="PR-0002").wait_for()
    assert opened.texts("#announcer") == ["1 new event"]
    # The focus stays where it was.
    assert link.evaluate("element => element === document.activeElement")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.evaluate(
        "Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    page.clock.run_for(4 * POLL)
    assert requests == []
    page.evaluate("delete document.visibilityState")
    opened.poll()
    page.get_by_role("button", name="Live").click()
    requests.clear()
    page.clock.run_for(4 * POLL)
    assert requests == []
    saved(store, 3)
    with page.expect_response("**/events?**"):
        page.get_by_role("button", name="Live").click()
    page.get_by_role("link", name="PR-0003").wait_for()


def test_an_object_has_a_time_line_and_versions_side_by_side(opened: Opened, store: EventStore) -> None:
    first = request_object(1, status="pending", note="a", price=9007199254740993)
    asset = {**first["asset"], "params": [{"id": "p1", "value": "x"}, {"id": "p2", "value": "y"}]}
    second = {**first, "status": "inquiring", "asset": asset}
    third = {
        **second,
        "status": "failed",
        "asset": {**asset, "params": [asset["params"][1], {"id": "p3", "value": "z"}]},
    }
    del third["note"]
    for obj in (first, second, third):
        store.save(PURCHASE, obj)
    opened.open("#/events?status=failed")
    page = opened.page
    page.get_by_role("link", name="PR-0001").click()
    page.locator(".comparison").wait_for()
    assert [text.split()[-2] for text in opened.texts(".timeline li")] == ["failed", "inquiring", "pending"]
    rows = {text.split()[0]: text for text in opened.texts(".comparison tbody tr")}
    # An item of a list is found by its id, so the one that moved is the same.
    assert {name: row.split()[1] for name, row in rows.items()} == {
        "status": "Changed",
        "note": "Removed",
        "asset.params[p1]": "Removed",
        "asset.params[p3]": "Added",
    }
    assert rows["status"] == 'status Changed "inquiring" "failed"'
    page.get_by_label("Show the fields that are the same").check()
    assert page.locator(".comparison tr.same").count() > 50
    page.get_by_label("Compare with the version of").select_option(index=1)
    page.wait_for_url("**with=**")
    page.locator(".comparison").wait_for()
    assert "asset.params" in "".join(opened.texts(".comparison tbody tr"))
    page.locator(".timeline a").nth(2).click()
    page.get_by_text("This is the oldest version").wait_for()
    assert page.locator(".timeline [aria-current]").count() == 1
    # Larger than JavaScript's integers, and not rounded.
    assert "9007199254740993" in opened.texts(".json")[0]
    page.get_by_role("link", name="Events").first.click()
    page.locator("table.events").wait_for()


def test_the_json_of_an_event_folds_and_shows_what_is_redacted_and_deviates(opened: Opened, store: EventStore) -> None:
    record_id = store.save(PURCHASE, request_object(1, activation_key="secret", note=7, deep={"a": {"b": {"c": 1}}})).id
    opened.open(f"#/events/{record_id}")
    page = opened.page
    assert opened.texts(".redacted") == ["***"]
    assert "secret" not in page.locator("main").inner_text()
    assert "note a string int" in opened.texts(".card table tbody tr")
    assert page.locator(".json .name", has_text='"c"').count() == 0
    page.get_by_role("button", name="Unfold all").click()
    assert page.locator(".json .name", has_text='"c"').is_visible()
    page.get_by_role("button", name="Fold all", exact=True).click()
    assert not page.locator(".json .name", has_text='"id"').first.is_visible()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy JSON").click()
    page.get_by_text("Copied.").wait_for(state="attached")
    assert '"activation_key": "***"' in page.evaluate("navigator.clipboard.readText()")


def test_text_of_an_object_is_never_markup(opened: Opened, store: EventStore) -> None:
    markup = "<img src=x onerror=\"document.title='attacked'\">"
    store.save(f"{markup}_processing", {"id": markup, "status": markup, markup: markup})
    opened.open("#/events")
    assert opened.texts(".events td[data-label=Object]") == [markup]
    opened.page.get_by_role("link", name="<img").click()
    opened.page.locator(".json").wait_for()
    assert markup.replace('"', '\\"') in opened.texts(".json")[0]
    opened.open("#/numbers")
    assert opened.page.locator("img").count() == 0
    assert "attacked" not in opened.page.title()


def letter(store: EventStore, number: int) -> None:
    obj = request_object(number, price=2**70)
    with pytest.raises(EventValidationError) as invalid:
        store.save(PURCHASE, obj)
    store.add_dead_letter(PURCHASE, obj, invalid.value, task_id=f"TQ-{number}")


def test_dead_letters_are_shown_with_what_is_wrong_with_them(opened: Opened, store: EventStore) -> None:
    for number in range(11):
        letter(store, number)
    opened.open("#/dead-letters")
    page = opened.page
    assert "1–10 of 11" in opened.texts(".pager")[0]
    page.get_by_label("Task").fill("TQ-3")
    page.get_by_role("button", name="Apply").click()
    page.get_by_text("1–1 of 1").wait_for()
    assert "an integer that needs more than 64 bits" in opened.texts(".events tbody tr")[0]
    page.get_by_role("link", name="PR-0003").click()
    page.get_by_text("This object could not be stored as an event").wait_for()
    assert "price an integer that needs more than 64 bits" in opened.texts("main tbody tr")
    assert str(2**70) in opened.texts(".json")[0]


def test_numbers_are_plotted_per_hour_and_type_with_what_failed(opened: Opened, store: EventStore, reader: Any) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    for number in range(30):
        event_type = (PURCHASE, CHANGE)[number % 2]
        record_id = saved(store, number, event_type, status="failed" if number % 10 == 0 else "approved")
        time = now - datetime.timedelta(hours=number)
        reader.update_one({"_id": record_id}, {"$set": {"_connect.received_at": time}})
    letter(store, 99)
    opened.open("#/numbers")
    page = opened.page
    page.locator(".plot svg").wait_for()
    assert opened.texts(".tile") == ["Events 24", "Most in one hour 1", "Failed 3", "Dead letters 1"]
    assert page.locator(".plot path[data-type]").count() == 3
    assert page.locator(".plot path").first.get_attribute("d").count("M") == 12  # type: ignore[union-attr]
    page.locator(".plot svg").focus()
    page.keyboard.press("End")
    assert "1 event, 1 of failed objects – asset_purchase_request_processing 1" in opened.texts(".readout")[0]
    page.keyboard.press("ArrowLeft")
    assert "1 event – asset_change_request_processing 1" in opened.texts(".readout")[0]
    page.locator(".plot svg").hover(position={"x": 60, "y": 50})
    assert "event" in opened.texts(".readout")[0]
    page.get_by_text("The numbers as a table").click()
    page.locator(".folded tbody tr").first.wait_for()
    assert len(opened.texts(".folded tbody tr")) == 24
    page.get_by_label("Last week").check(force=True)
    page.get_by_text("30", exact=True).first.wait_for()
    assert opened.texts(".tile")[0] == "Events 30"
    assert page.get_by_label("Last week").is_checked()
    page.get_by_role("row", name="asset_purchase_request_processing failed").get_by_role("link").click()
    page.get_by_text("1–3 of 3").wait_for()


def test_a_failed_request_is_explained_and_tried_again(opened: Opened, store: EventStore) -> None:
    saved(store, 1)
    page = opened.page
    # A filter in a link, which the server cannot read.
    opened.open("#/events?since=2026-01-31T12:00:00")
    assert "The request cannot be read." in opened.texts("[role=alert]")[0]
    assert "has no time zone: append Z for UTC" in opened.texts("[role=alert]")[0]
    opened.open("#/events?offset=70")
    assert "offset: 70 is beyond the end, because there are 1 events" in opened.texts("[role=alert]")[0]
    opened.open("#/objects/PR-none")
    assert "no event of the object PR-none is stored" in opened.texts("[role=alert]")[0]
    answers = ["abort", "503", "html", "ok"]

    def answer(route: Any) -> None:
        kind = answers[0]
        if kind == "abort":
            route.abort()
        elif kind == "503":
            body = '{"error_code": "MONGODB_UNREACHABLE", "errors": ["The database is not reachable."]}'
            route.fulfill(status=503, content_type="application/json", body=body)
        elif kind == "html":
            route.fulfill(status=200, content_type="text/html", body="<p>Another application</p>")
        else:
            route.continue_()

    page.route("**/api/stored-events/events**", answer)
    opened.open("#/events")
    for text in ("The server does not respond.", "The database is not reachable.", "does not have the routes"):
        page.get_by_text(text).wait_for()
        answers.pop(0)
        page.get_by_role("button", name="Try again").click()
    page.get_by_role("link", name="PR-0001").wait_for()
    # A refresh that fails leaves what is shown.
    answers[0] = "503"
    opened.poll()
    page.get_by_text("The database does not respond.").wait_for()
    assert page.get_by_role("link", name="PR-0001").is_visible()
    # The browser itself reports failed requests.
    opened.errors[:] = [error for error in opened.errors if "Failed to load resource" not in error]


def test_the_page_tells_that_it_loads(opened: Opened, store: EventStore) -> None:
    saved(store, 1)
    waiting: list[Any] = []
    opened.page.route("**/api/stored-events/numbers**", lambda route: waiting.append(route))
    opened.open("#/events")
    opened.page.get_by_role("link", name="Numbers").click()
    opened.page.locator("main[aria-busy=true]", has_text="Loading…").wait_for()
    while not waiting:
        opened.page.wait_for_timeout(10)
    waiting[0].continue_()
    opened.page.locator(".plot svg").wait_for()


def test_the_page_works_with_the_keyboard(opened: Opened, store: EventStore) -> None:
    saved(store, 1)
    saved(store, 2, status="failed")
    opened.open("#/events")
    page = opened.page

    def tab_to(name: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "document.activeElement.innerText || document.activeElement.labels?.[0].innerText || ''"
            )
            if name.lower() in focused.lower():
                return
        raise AssertionError(f"{name} is not reached")

    tab_to("Skip to the content")
    assert page.locator("#skip").bounding_box()["y"] >= 0  # type: ignore[index]
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    tab_to("Status")
    page.keyboard.type("failed")
    page.keyboard.press("Enter")
    page.get_by_text("1–1 of 1").wait_for()
    page.evaluate("document.activeElement.blur()")
    tab_to("PR-0002")
    page.keyboard.press("Enter")
    page.locator(".timeline").wait_for()
    # The view has the focus, so that a screen reader reads it.
    assert page.evaluate("document.activeElement.id") == "content"
    # Within a view, what was used keeps the focus.
    for number in range(3, 25):
        saved(store, number)
    opened.open("#/events")
    tab_to("›")
    page.keyboard.press("Enter")
    page.get_by_text("11–20 of 24").wait_for()
    page.keyboard.press("Enter")
    page.get_by_text("21–24 of 24").wait_for()
    opened.open("#/numbers")
    page.get_by_label("Last day").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**period=week")
    page.locator("main[aria-busy=false]").wait_for()
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**period=month")
    page.evaluate("document.getElementById('skip').focus()")
    tab_to("Dead letters")
    page.keyboard.press("Enter")
    page.get_by_text("There are no dead letters").wait_for()


VIEWS = ["#/events", "#/objects/PR-0001", "#/numbers", "#/dead-letters", "#/events?limit=x"]


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_each_view_fits_and_has_no_barrier(viewport: ViewportSize, opened: Opened, store: EventStore) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    for status in ("pending", "approved", "failed"):
        saved(store, 1, status=status, activation_key="secret")
    letter(store, 2)
    letters = store.dead_letters().to_list()
    opened.page.set_viewport_size(viewport)
    for view in [*VIEWS, f"#/dead-letters/{letters[0].id}"]:
        opened.open(view)
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], view
        found = axe.Axe().run(opened.page).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == [], view
    opened.errors[:] = [error for error in opened.errors if "Failed to load resource" not in error]


HOST = """<!doctype html><title>Connect</title><script>
window.received = [];
addEventListener("message", ({ data, source }) => {
  received.push(data);
  if (data?.events?.$mounted) source.postMessage({ $id: data.$id, events: { $init: {} } }, "*");
});
</script><iframe name="slot" src="/static/stored-events/index.html" style="width: 900px"></iframe>"""


def test_inside_of_connect_the_page_tells_the_host_its_size(opened: Opened, store: EventStore) -> None:
    saved(store, 1)
    page = opened.page

    def without_its_ban_on_frames(route: Any) -> None:
        answer = route.fetch()
        headers = {name: value for name, value in answer.headers.items() if name != "content-security-policy"}
        route.fulfill(response=answer, headers=headers)

    page.route("**/index.html", without_its_ban_on_frames)
    page.route("**/host", lambda route: route.fulfill(status=200, content_type="text/html", body=HOST))
    page.goto(f"{opened.url.split('/?')[0]}/host")
    page.frame_locator("iframe").get_by_role("link", name="PR-0001").wait_for()
    page.wait_for_function("received.some((one) => one?.events?.$size?.height > 300)")
    names = page.evaluate("received.flatMap((one) => Object.keys(one?.events || {}))")
    assert names[:2] == ["$created", "$mounted"]
    assert set(page.evaluate("received.map((one) => one.$id)")) == {"slot"}


def test_an_unknown_browser_gets_nothing(opened: Opened, browser: Browser) -> None:
    with contextlib.closing(browser.new_context()) as context:
        stranger = context.new_page()
        response = stranger.goto(f"{opened.url.split('/?')[0]}/static/stored-events/index.html")
        assert response is not None
        assert response.status == 403


def test_an_object_of_many_versions_shows_them_step_by_step(opened: Opened, store: EventStore) -> None:
    ids = [saved(store, 1, note=f"version {number}") for number in range(103)]
    opened.open("#/objects/PR-0001")
    page = opened.page
    assert page.locator(".timeline a").count() == 100
    page.get_by_role("button", name="Show older versions (3)").click()
    page.locator(".timeline a").nth(102).wait_for()
    # A version that arrives does not replace the one that is shown.
    saved(store, 1, note="version 103")
    opened.poll()
    page.locator(".timeline a").nth(103).wait_for()
    assert page.locator(".timeline li").nth(1).locator("[aria-current]").count() == 1
    opened.open(f"#/objects/PR-0001?version={ids[0]}")
    assert "This is the oldest version" in opened.texts("main")[0]
    assert '"version 0"' in opened.texts(".json")[0]
