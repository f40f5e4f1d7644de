"""The example's web application in the real runner: requests as Connect forwards them."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from connect.eaas.mongodb import VARIABLES
from pymongo import MongoClient as PyMongoClient

from demo.job import alive, extension_variables
from demo.local_connect import LocalConnect, WebResponse, local_connect
from demo.purchase_requests import sample
from demo.runner import RUNNER_ENVIRONMENT, cextrun
from tests.conftest import API_KEY

pytestmark = pytest.mark.skipif(
    not (RUNNER_ENVIRONMENT / "bin" / "cextrun").exists(), reason="the runner's environment is not set up"
)

DATABASE = f"end_to_end_web_{os.getpid()}"
OWNER = {"call_type": "admin"}
OTHER = {"account_id": "VA-999-999", "installation_id": "EIN-9999"}
AT_ONCE = 50


@dataclass
class Run:
    """What came of a run."""

    responses: dict[str, WebResponse] = field(default_factory=dict)
    at_once: list[WebResponse] = field(default_factory=list)
    connections: int = 0
    """How many connections MongoDB accepted for the requests at once, and as many after them."""
    setups: list[dict[str, Any]] = field(default_factory=list)
    stored: list[dict[str, Any]] = field(default_factory=list)
    log: str = ""


async def requests(connect: LocalConnect, run: Run, mongodb: PyMongoClient[dict[str, Any]], until: Any) -> None:
    async def call(name: str, method: str, path: str, **options: Any) -> None:
        run.responses[name] = await until(connect.web_request(method, path, **options))

    def created() -> int:
        return int(mongodb.admin.command("serverStatus")["connections"]["totalCreated"])

    notes = "/api/objects/AS-1/notes"
    await call("created", "POST", notes, json_content={"text": "Ünï"})
    await call("invalid", "POST", notes, json_content={"txt": "a"})
    await call("notes", "GET", notes)
    await call("notes of another account", "GET", notes, caller=OTHER)

    request = sample("asset-purchase-request") | {"status": "pending"}
    task = await until(connect.send_task("TQ-1", request))
    await until(task.result)
    await call("requests", "GET", "/api/requests", caller=OWNER)
    await call("requests of all accounts", "GET", "/api/requests")

    elsewhere = '{"DB": "elsewhere", "DB_HOST": "evil.example:1"}'
    await call("forged caller", "GET", "/api/requests", headers={"x-connect-call-type": "admin"})
    await call("forged variables", "GET", notes, headers={"x-connect-config": elsewhere})
    await call("forged account", "GET", notes, headers={"x-connect-account-id": "VA-999-999"})

    before = await asyncio.to_thread(created)
    run.at_once = await until(asyncio.gather(*(connect.web_request("GET", notes) for _ in range(AT_ONCE))))
    for _ in range(AT_ONCE):
        run.at_once.append(await until(connect.web_request("GET", notes)))
    run.connections = await asyncio.to_thread(created) - before

    variables = connect.variables
    away = {"DB_HOST": "127.0.0.1:1", "DB_OPTIONS": "serverSelectionTimeoutMS=200"}
    await connect.change_variables(variables | away)
    await call("unreachable", "GET", notes)
    await connect.change_variables(variables | {"DB_HOST": "http://u:hunter2@h"})
    await call("invalid variable", "GET", notes)
    await connect.change_variables(variables | {"DB_HOST": ""})
    await call("notes by the Data API", "GET", notes)
    await call("requests by the Data API", "GET", "/api/requests", caller=OWNER)
    await connect.change_variables(variables)
    await call("notes again", "GET", notes)


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory,
    mongodb_uri: str,
    gateway_url: str,
    pymongo_client: PyMongoClient[dict[str, Any]],
) -> Run:
    folder: Path = tmp_path_factory.mktemp("web")
    run = Run()

    async def main() -> None:
        async with local_connect(extension_variables(mongodb_uri, gateway_url, API_KEY, DATABASE), folder) as connect:
            async with cextrun(connect, folder) as runner:

                def until(awaitable: Awaitable[Any]) -> Any:
                    return alive(awaitable, runner)

                await requests(connect, run, pymongo_client, until)
                run.log = await asyncio.to_thread(runner.log)
                runner.kill()
            run.setups = connect.setup_requests

    asyncio.run(main())
    run.stored = list(pymongo_client[DATABASE]["notes"].find())
    pymongo_client.drop_database(DATABASE)
    return run


def test_the_endpoints_use_mongodb(run: Run) -> None:
    created = run.responses["created"]
    assert created.status == 201, run.log
    assert created.json() == {"object_id": "AS-1", "notes": ["Ünï"]}
    assert run.responses["notes"].json() == created.json()
    assert [note["text"] for note in run.stored] == ["Ünï"]


def test_the_caller_s_errors_stay_fastapi_s(run: Run) -> None:
    assert run.responses["invalid"].status == 422


def test_what_an_event_stored_is_found_by_the_web_application(run: Run) -> None:
    (found,) = run.responses["requests"].json()
    assert found["id"] == sample("asset-purchase-request")["id"]
    assert found["status"] == "pending"


def test_the_call_s_context_reaches_the_endpoints(run: Run) -> None:
    assert run.responses["notes of another account"].json()["notes"] == []
    assert run.responses["requests of all accounts"].status == 403


@pytest.mark.parametrize("name", ["forged caller", "forged variables", "forged account"])
def test_a_caller_cannot_set_the_headers_of_the_runner(run: Run, name: str) -> None:
    response = run.responses[name]
    assert response.status == 403
    assert response.json()["error_code"] == "AUTH_003"
    assert "evil.example" not in response.content.decode()


def test_requests_share_the_connections_of_one_client(run: Run) -> None:
    assert {response.status for response in run.at_once} == {200}
    # At most one for each request at once; a client per request opens one at least, and others that monitor.
    assert run.connections <= AT_ONCE


def test_an_unreachable_mongodb_is_503(run: Run) -> None:
    response = run.responses["unreachable"]
    assert response.status == 503
    assert response.json()["error_code"] == "MONGODB_UNREACHABLE"
    assert "MONGODB_UNREACHABLE: ServerSelectionTimeoutError" in run.log


def test_an_invalid_variable_is_named_without_its_value(run: Run) -> None:
    response = run.responses["invalid variable"]
    assert response.status == 500
    assert response.json()["error_code"] == "MONGODB_CONFIGURATION"
    assert "DB_HOST" in response.json()["errors"][0]
    assert "hunter2" not in response.content.decode() + run.log


def test_changed_variables_are_used_by_the_next_request(run: Run) -> None:
    assert run.responses["notes by the Data API"].json()["notes"] == ["Ünï"]
    assert [found["status"] for found in run.responses["requests by the Data API"].json()] == ["pending"]
    assert run.responses["notes again"].json()["notes"] == ["Ünï"]


def test_the_web_application_declares_its_variables(run: Run) -> None:
    (setup,) = [setup for setup in run.setups if setup["ui_modules"] is not None]
    assert [variable["name"] for variable in setup["variables"]] == [variable["name"] for variable in VARIABLES]
    assert {variable["name"] for variable in setup["variables"] if variable["secure"]} == {"API_KEY", "DB_PASSWORD"}


def test_without_connect_s_libraries_the_error_names_the_extra() -> None:
    # The environment of these tests does not have them.
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'connect-eaas-mongodb\[web\]'"):
        importlib.import_module("connect.eaas.mongodb.web")
