"""The page of stored events in the real runner: requests as Connect forwards them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from connect.eaas.mongodb import EventStore
from pymongo import MongoClient as PyMongoClient

from demo.job import alive
from demo.local_connect import LocalConnect, WebResponse, local_connect
from demo.runner import ROOT, RUNNER_ENVIRONMENT, cextrun

pytestmark = pytest.mark.skipif(
    not (RUNNER_ENVIRONMENT / "bin" / "cextrun").exists(), reason="the runner's environment is not set up"
)

DATABASE = f"end_to_end_page_{os.getpid()}"
MINE, OTHERS = "EIN-0000-0000-0000", "EIN-9999-0000-0000"
EVENTS = "/api/stored-events/events"
OWNER = {"call_type": "admin"}
NO_INSTALLATION: dict[str, Any] = {"installation_id": None, "api_key": None}
FORGED = {
    "call type": {"X-Connect-Call-Type": "admin"},
    "call type in lower case": {"x-connect-call-type": "admin"},
    "installation": {"X-Connect-Installation-Id": OTHERS},
    "installation in lower case": {"x-connect-installation-id": OTHERS},
    "variables": {"X-Connect-Config": "{}"},
    "variables in lower case": {"x-connect-config": "{}"},
}
"""Headers of a caller. The runner replaces those of its own spelling, and passes on the others."""


def extension_path(folder: Path) -> str:
    """Where the runner finds the extension."""
    metadata = folder / "stored_events_page-1.0.dist-info"
    metadata.mkdir()
    text = "Metadata-Version: 2.1\nName: stored-events-page\nVersion: 1.0\n"
    (metadata / "METADATA").write_text(text, encoding="utf-8")
    entry_points = "[connect.eaas.ext]\nwebapp = stored_events_page:WebApplication\n"
    (metadata / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    return f"{folder}:{ROOT / 'tests' / 'runner'}"


async def requests(connect: LocalConnect, until: Any) -> dict[str, WebResponse]:
    found: dict[str, WebResponse] = {}

    async def call(name: str, path: str, **options: Any) -> None:
        found[name] = await until(connect.web_request("GET", path, **options))

    await call("owner", EVENTS, caller=OWNER)
    await call("user", EVENTS)
    await call("page", "/static/stored-events/index.html")
    await call("script", "/static/stored-events/connect-ui-toolkit.js")
    await call("beyond the end", f"{EVENTS}?offset=60")
    await call("another installation", f"{EVENTS}?installation={OTHERS}")
    await call("other account", EVENTS, caller={"account_id": "VA-1"})
    await call("no installation", EVENTS, caller=NO_INSTALLATION)
    forged = {"X-Connect-Installation-Id": OTHERS, "X-Connect-Installation-Api-Key": "ApiKey SU-1:own"}
    await call("no installation, forged", EVENTS, caller=NO_INSTALLATION, headers=forged)
    for name, headers in FORGED.items():
        await call(f"forged {name}", EVENTS, headers=headers)
    return found


@pytest.fixture(scope="module")
def responses(
    tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str, pymongo_client: PyMongoClient[dict[str, Any]]
) -> dict[str, WebResponse]:
    folder: Path = tmp_path_factory.mktemp("page")
    variables = {"DB": DATABASE, "DB_HOST": mongodb_uri, "DRIVER_COLLECTION": "events"}
    store = EventStore.from_config(variables)
    for installation, object_id in ((MINE, "PR-1"), (OTHERS, "PR-2"), (None, "PR-3")):
        store.save("asset_purchase_request_processing", {"id": object_id}, installation_id=installation)
    found: dict[str, WebResponse] = {}

    async def main() -> None:
        async with local_connect(variables, folder) as connect:
            connect.objects[MINE] = {"id": MINE, "owner": {"id": "VA-000-000"}}
            connect.objects[OTHERS] = {"id": OTHERS, "owner": {"id": "VA-999-999"}}
            async with cextrun(connect, folder, environment={"PYTHONPATH": extension_path(folder)}) as runner:

                def until(awaitable: Awaitable[Any]) -> Any:
                    return alive(awaitable, runner)

                found.update(await requests(connect, until))
                runner.kill()

    asyncio.run(main())
    pymongo_client.drop_database(DATABASE)
    return found


def seen(response: WebResponse) -> list[str]:
    assert response.status == 200, response.content
    return sorted(event["object_id"] for event in response.json())


def test_the_owner_sees_all_events_and_a_user_those_of_the_installation(responses: dict[str, WebResponse]) -> None:
    assert seen(responses["owner"]) == ["PR-1", "PR-2", "PR-3"]
    assert responses["owner"].headers["content-range"] == "items 0-2/3"
    assert seen(responses["user"]) == ["PR-1"]
    assert responses["another installation"].status == 403


def test_the_runner_serves_the_page(responses: dict[str, WebResponse]) -> None:
    assert responses["page"].headers["content-type"].startswith("text/html")
    assert b"Stored events" in responses["page"].content
    assert "javascript" in responses["script"].headers["content-type"]


def test_errors_have_connects_shape(responses: dict[str, WebResponse]) -> None:
    assert responses["beyond the end"].status == 400
    assert responses["beyond the end"].json() == {
        "error_code": "VAL_001",
        "errors": ["offset: 60 is beyond the end, because there are 1 events"],
    }


@pytest.mark.parametrize("case", ["other account", "no installation", "no installation, forged"])
def test_who_does_not_own_the_installation_sees_nothing(case: str, responses: dict[str, WebResponse]) -> None:
    assert (responses[case].status, responses[case].json()["error_code"]) == (403, "AUTH_003")


@pytest.mark.parametrize("case", FORGED)
def test_forged_headers_show_no_more(case: str, responses: dict[str, WebResponse]) -> None:
    response = responses[f"forged {case}"]
    if case.endswith("in lower case"):
        assert response.status == 403
        assert "several headers" in response.json()["errors"][0]
    else:
        assert seen(response) == ["PR-1"]
