"""Takes the screenshots of docs/events-page.md: `python -m scripts.page_screenshots`.

It fills a SecantusDB with made-up events, serves the page, and needs Chromium. Pillow, where it is installed, makes the
files small.
"""

from __future__ import annotations

import copy
import datetime
import random
import shutil
import threading
from pathlib import Path
from typing import Any

from connect.eaas.mongodb import EventStore, EventValidationError
from connect.eaas.mongodb._common.page import Access
from connect.eaas.mongodb.cli.dev import mongodb
from connect.eaas.mongodb.cli.page_server import PageServer
from playwright.sync_api import Browser, ViewportSize, sync_playwright
from pymongo import MongoClient

from demo.purchase_requests import purchase_requests

FOLDER = Path(__file__).parent.parent / "docs" / "screenshots"
TYPES = [
    *["asset_purchase_request_processing"] * 6,
    *["asset_change_request_processing"] * 3,
    *["tier_config_setup_request_processing"] * 2,
    "asset_cancel_request_processing",
    "usage_file_request_processing",
    "asset_purchase_request_validation",
]
SIZES: dict[str, ViewportSize] = {"": {"width": 1280, "height": 800}, "-phone": {"width": 390, "height": 844}}


def fill(store: EventStore, collection: Any) -> str:
    """Store events of the last month; return the id of an object with several versions."""
    chance = random.Random(5)
    now = datetime.datetime.now(datetime.timezone.utc)
    objects = purchase_requests(400)
    for number, first in enumerate(objects):
        event_type = chance.choice(TYPES)
        # More in the last days, and in the middle of each day.
        ago = datetime.timedelta(days=int(29 * chance.random() ** 1.5), hours=3 + chance.gauss(0, 3) % 24)
        if number < 4:
            ago = datetime.timedelta(minutes=4 + 11 * number)
        versions: list[tuple[str, dict[str, str]]] = [
            ("pending", {}),
            ("inquiring", {"reason": "The order has no tax id"}),
        ]
        versions.append((chance.choice(["approved"] * 6 + ["failed"]), {"reason": "", "note": "Checked by the vendor"}))
        for version, (status, more) in enumerate(versions):
            obj = {**copy.deepcopy(first), "status": status, **more}
            if version == 2:
                obj["asset"]["external_id"] = f"ORDER-{number:05}"
                obj["asset"]["params"] = [*obj["asset"]["params"], {"id": "tax_id", "value": "DE123456789"}]
            saved = store.save(
                event_type,
                obj,
                task_id=f"TQ-000-{number:03}-00{version}",
                installation_id=f"EIN-1204-3300-{number % 3:04}",
            )
            time = now - ago - datetime.timedelta(minutes=7 * (2 - version))
            collection.update_one({"_id": saved.id}, {"$set": {"_connect.received_at": time}})
    for number in range(3):
        bad = {**copy.deepcopy(objects[number]), "id": f"PR-7700-1204-330{number}-001", "price": 2**70}
        try:
            store.save(TYPES[0], bad)
        except EventValidationError as error:
            store.add_dead_letter(TYPES[0], bad, error, task_id=f"TQ-000-9-{number}")
    newest = store.find(limit=1, status="approved").to_list()[0]
    return str(newest.object_id)


def shoot(browser: Browser, url: str, views: dict[str, str]) -> None:
    """Take a screenshot of each view, for a desktop and for a phone."""
    base = url.split("/?")[0]
    for suffix, size in SIZES.items():
        context = browser.new_context(viewport=size, locale="en-GB", timezone_id="Europe/Madrid")
        page = context.new_page()
        page.goto(url)
        for name, view in views.items():
            page.goto("about:blank")
            page.goto(f"{base}/static/stored-events/index.html{view}")
            page.locator("main[aria-busy=false]").wait_for()
            page.mouse.move(size["width"] // 2, 0)
            path = FOLDER / f"{name}{suffix}.png"
            page.screenshot(path=path, full_page=name != "events" and not suffix)
            shrink(path)
        context.close()


def shrink(path: Path) -> None:
    """Reduce the colours of an image, if Pillow is installed."""
    try:
        from PIL import Image
    except ImportError:
        return
    with Image.open(path) as image:
        image.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
            path, optimize=True
        )


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with mongodb() as (_, port):
        variables = {"DB": "events", "DB_HOST": f"127.0.0.1:{port}", "DRIVER_COLLECTION": "requests"}
        store = EventStore.from_config(variables)
        store.ensure_indexes()
        client: MongoClient[dict[str, Any]]
        with MongoClient(f"mongodb://127.0.0.1:{port}/") as client:
            object_id = fill(store, client["events"]["requests"])
        with PageServer(0, store, Access(None)) as server, sync_playwright() as playwright:
            threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            views = {"events": "#/events", "object": f"#/objects/{object_id}", "numbers": "#/numbers?period=week"}
            shoot(browser, server.url, views)
            browser.close()
            server.shutdown()


if __name__ == "__main__":
    main()
