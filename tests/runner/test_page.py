"""The page of stored events in a web application: its routes, and who sees what, by the runner's headers."""

from __future__ import annotations

import importlib
import json
import os
import textwrap
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from connect.eaas.core.decorators import admin_pages, module_pages, router, web_app
from connect.eaas.core.extension import WebApplicationBase
from connect.eaas.core.testing import WebAppTestClient
from connect.eaas.core.validation.validators.webapp import validate_webapp
from connect.eaas.mongodb import VARIABLES, EventStore
from connect.eaas.mongodb.cli.page import page
from connect.eaas.mongodb.page import ADMIN_PAGES, EVENTS_PAGE, STATIC_FILES, EventsPageMixin, _access

PURCHASE = "asset_purchase_request_processing"
OWNERS = {"EIN-1": "VA-1", "EIN-2": "VA-2"}
"""Which account each installation belongs to, for the key `ApiKey <installation>`."""


class Connect(ThreadingHTTPServer):
    """The part of Connect's API that gives an installation to whoever has its key."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str]] = []
        self.status: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/public/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Connect

    def do_GET(self) -> None:
        installation, key = self.path.rsplit("/", 1)[1], self.headers["Authorization"]
        self.server.asked.append((installation, key))
        status = 404
        body: dict[str, Any] = {"error_code": "NFND_000", "errors": ["Object not found."]}
        if self.server.status is not None:
            status = self.server.status
        elif installation == "EIN-9":
            status, body = 200, {"id": "EIN-1", "owner": {"id": "VA-1"}}
        elif installation in OWNERS and key in (f"ApiKey {installation}", "ApiKey of all"):
            status, body = 200, {"id": installation, "owner": {"id": OWNERS[installation]}}
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def connect() -> Iterator[Connect]:
    with Connect() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def config() -> dict[str, str]:
    return {
        "DB": f"store_event_{os.getpid()}",
        "DB_HOST": os.environ["TEST_MONGODB_URI"],
        "DB_USER": "",
        "DB_PASSWORD": "",
        "DRIVER_COLLECTION": f"page_{uuid.uuid4().hex}",
        "DATA_API_ENDPOINT": os.environ["TEST_GATEWAY_URL"],
        "API_KEY": os.environ["TEST_GATEWAY_KEY"],
        "CLUSTER": "Cluster0",
    }


@pytest.fixture
def application() -> Iterator[Callable[[], Any]]:
    """A function that defines a web application with the page."""
    routes = list(router.routes)

    def define() -> Any:
        @web_app(router)
        @module_pages("Stored events", EVENTS_PAGE)
        @admin_pages(ADMIN_PAGES)
        class Application(EventsPageMixin, WebApplicationBase):
            @router.get("/own")
            def own(self) -> dict[str, str]:
                return {"own": "route"}

        return Application

    router.routes = []
    _access._confirmed.clear()
    yield define
    router.routes = routes
    _access._confirmed.clear()


class Caller:
    """Requests as the runner passes them on: with its headers after those of the request."""

    def __init__(self, application: Any, config: dict[str, str], connect: Connect) -> None:
        self._client = WebAppTestClient(application)
        self._config = config
        self._connect = connect

    def get(self, path: str, runners: dict[str, str], own: dict[str, str] | None = None, config: Any = None) -> Any:
        """Request a path of the page; `runners` are the headers of the runner, `own` those of the request."""
        from starlette.testclient import TestClient

        headers = dict(own or {})
        headers.update(
            {
                "X-Connect-Api-Gateway-Url": self._connect.url,
                "X-Connect-User-Agent": "runner",
                "X-Connect-Extension-Id": "SRVC-0000",
                "X-Connect-Environment-Id": "ENV-0000-01",
                "X-Connect-Environment-Type": "development",
                "X-Connect-Config": json.dumps(config or self._config),
                **runners,
            }
        )
        client = TestClient(self._client.app, base_url="http://localhost")
        client.headers.clear()
        return client.get(f"/api/stored-events/{path}", headers=headers)


@pytest.fixture
def caller(application: Callable[[], Any], config: dict[str, str], connect: Connect) -> Caller:
    store = EventStore.from_config(config)
    for number in (1, 2):
        store.save(PURCHASE, {"id": f"PR-{number}", "status": "pending"}, installation_id=f"EIN-{number}")
    return Caller(application(), config, connect)


ADMIN = {"X-Connect-Call-Type": "admin", "X-Connect-Account-Id": "PA-1"}


def user(number: int, **more: str) -> dict[str, str]:
    """The runner's headers for a user of an installation."""
    return {
        "X-Connect-Call-Type": "user",
        "X-Connect-Installation-Id": f"EIN-{number}",
        "X-Connect-Installation-Api-Key": f"ApiKey EIN-{number}",
        "X-Connect-Account-Id": f"VA-{number}",
        **more,
    }


def seen(response: Any) -> list[str]:
    assert response.status_code == 200, response.text
    return sorted(event["object_id"] for event in response.json())


def test_the_owner_sees_all_and_an_installation_its_own(caller: Caller, connect: Connect) -> None:
    assert seen(caller.get("events", ADMIN)) == ["PR-1", "PR-2"]
    assert connect.asked == []
    assert seen(caller.get("events", user(1))) == ["PR-1"]
    assert seen(caller.get("events", user(2))) == ["PR-2"]
    response = caller.get("events", ADMIN)
    assert response.headers["Content-Range"] == "items 0-1/2"
    assert response.headers["Cache-Control"] == "no-store"
    other = next(event["id"] for event in response.json() if event["object_id"] == "PR-2")
    assert caller.get(f"events/{other}", user(2)).json()["document"] == {"id": "PR-2", "status": "pending"}
    assert caller.get(f"events/{other}", user(1)).status_code == 404
    assert caller.get("objects/PR-2", user(1)).status_code == 404
    assert caller.get("events?installation=EIN-2", user(1)).status_code == 403


def test_connect_is_asked_once_for_an_installation(caller: Caller, connect: Connect) -> None:
    for _ in range(3):
        caller.get("events", user(1))
    assert connect.asked == [("EIN-1", "ApiKey EIN-1")]
    # Another key is another question.
    assert caller.get("events", user(1, **{"X-Connect-Installation-Api-Key": "ApiKey stolen"})).status_code == 403
    assert len(connect.asked) == 2


FORGED: dict[str, dict[str, str]] = {
    "call type": {"x-connect-call-type": "admin"},
    "call type in capitals": {"X-CONNECT-CALL-TYPE": "admin"},
    "installation": {"x-connect-installation-id": "EIN-2"},
    "key": {"x-connect-installation-api-key": "ApiKey EIN-2"},
    "account": {"x-connect-account-id": "VA-2"},
    "API": {"x-connect-api-gateway-url": "http://127.0.0.1:1/"},
    "variables": {"x-connect-config": "{}"},
    "all of another": {name.lower(): value for name, value in user(2).items()},
}


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_header_beside_the_runners_is_refused(case: str, caller: Caller) -> None:
    response = caller.get("events", user(1), own=FORGED[case])
    assert response.status_code == 403
    assert response.json()["error_code"] == "AUTH_003"
    assert "the request has several headers X-Connect-" in response.json()["errors"][0]


@pytest.mark.parametrize("spelling", [str, str.lower, str.upper], ids=["same", "lower", "upper"])
def test_a_header_of_the_same_value_changes_nothing(spelling: Callable[[str], str], caller: Caller) -> None:
    own = {spelling(name): value for name, value in user(1).items()}
    assert seen(caller.get("events", user(1), own=own)) == ["PR-1"]


NOT_OWN: dict[str, dict[str, str]] = {
    "no installation": {},
    "forged installation": {"X-Connect-Installation-Id": "EIN-2"},
    "forged installation with a key of the caller": {
        "X-Connect-Installation-Id": "EIN-2",
        "X-Connect-Installation-Api-Key": "ApiKey EIN-1",
    },
    "installation of another account": {
        "X-Connect-Installation-Id": "EIN-2",
        "X-Connect-Installation-Api-Key": "ApiKey of all",
    },
    "unknown installation": {
        "X-Connect-Installation-Id": "EIN-3",
        "X-Connect-Installation-Api-Key": "ApiKey EIN-3",
    },
    "another id in the response": {
        "X-Connect-Installation-Id": "EIN-9",
        "X-Connect-Installation-Api-Key": "ApiKey EIN-9",
    },
    "another path": {
        "X-Connect-Installation-Id": "EIN-2/../EIN-1",
        "X-Connect-Installation-Api-Key": "ApiKey EIN-1",
    },
}


@pytest.mark.parametrize("case", NOT_OWN)
@pytest.mark.parametrize("call_type", ["user", "Admin", "", "administrator", None])
def test_where_the_runner_sets_no_installation_forged_headers_show_nothing(
    call_type: str | None, case: str, caller: Caller
) -> None:
    runners = {"X-Connect-Account-Id": "VA-1"} | ({} if call_type is None else {"X-Connect-Call-Type": call_type})
    response = caller.get("events", runners, own=NOT_OWN[case])
    assert (response.status_code, response.json()["error_code"]) == (403, "AUTH_003")


@pytest.mark.parametrize("status", [500, 429, 502])
def test_where_connect_does_not_confirm_an_installation_nothing_is_shown_and_it_is_asked_again(
    status: int, caller: Caller, connect: Connect
) -> None:
    connect.status = status
    response = caller.get("events", user(1))
    assert (response.status_code, response.json()["error_code"]) == (503, "CONNECT_UNREACHABLE")
    connect.status = None
    assert seen(caller.get("events", user(1))) == ["PR-1"]


def test_errors_have_connects_shape(caller: Caller, config: dict[str, str]) -> None:
    response = caller.get("events?offset=9", ADMIN)
    assert response.status_code == 400
    assert response.json() == {
        "error_code": "VAL_001",
        "errors": ["offset: 9 is beyond the end, because there are 2 events"],
    }
    away = {**config, "DB_HOST": "127.0.0.1:1", "DB_OPTIONS": "serverSelectionTimeoutMS=100"}
    response = caller.get("events", ADMIN, config=away)
    assert (response.status_code, response.json()["error_code"]) == (503, "MONGODB_UNREACHABLE")
    response = caller.get("events", ADMIN, config={"DB": "x"})
    assert (response.status_code, response.json()["error_code"]) == (500, "MONGODB_CONFIGURATION")


def test_the_page_is_registered_where_connect_expects_it(application: Callable[[], Any]) -> None:
    found = application()
    assert found.get_ui_modules() == {
        "modules": {"label": "Stored events", "url": "/static/stored-events/index.html"},
        "admins": [{"label": "Stored events", "url": "/static/stored-events/index.html"}],
    }
    assert (STATIC_FILES / EVENTS_PAGE.removeprefix("/static/")).is_file()
    authenticated, others = found.get_routers()
    assert {route.path for route in authenticated.routes} == {"/own", "/stored-events/{path:path}"}
    assert not others.routes


def test_connects_validation_accepts_what_the_command_adds_and_advises(
    application: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "added_page"
    package.mkdir()
    (package / "extension.json").write_text("{}", encoding="utf-8")
    advised = CliRunner().invoke(page, ["add", str(tmp_path)]).output
    code = textwrap.dedent(advised.partition("registered yet:\n")[2].partition("\nCommit")[0])
    (package / "__init__.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    found = importlib.import_module("added_page").MyWebApplication
    result = validate_webapp({"extension_classes": {"webapp": found}})
    assert (result.items, result.must_exit) == ([], False)
    assert (Path(found.get_static_root()) / EVENTS_PAGE.removeprefix("/static/")).is_file()
    assert len(found.get_variables()) == len(VARIABLES)


def test_the_routes_exist_again_after_the_runner_has_reloaded_the_application(
    application: Callable[[], Any], config: dict[str, str], connect: Connect
) -> None:
    for _ in range(2):
        router.routes = []
        caller = Caller(application(), config, connect)
        assert caller.get("events", ADMIN).status_code == 200


def test_an_import_and_a_class_that_is_no_web_application_yet_add_no_route(application: Callable[[], Any]) -> None:
    assert router.routes == []

    class Shared(EventsPageMixin, WebApplicationBase):
        pass

    @web_app(router)
    class Application(Shared):
        pass

    assert [route.path for route in router.routes] == ["/stored-events/{path:path}"]


def test_the_page_reads_on_the_path_that_the_application_names(
    application: Callable[[], Any], config: dict[str, str], connect: Connect
) -> None:
    @web_app(router)
    class Application(EventsPageMixin, WebApplicationBase):
        events_page_path = "data_api"

    given = {**config, "HTTP_COLLECTION": config["DRIVER_COLLECTION"]}
    EventStore.from_config(given).save(PURCHASE, {"id": "PR-1"})
    caller = Caller(Application, given, connect)
    assert caller.get("context", ADMIN).json()["path"] == "data_api"
    assert seen(caller.get("events", ADMIN)) == ["PR-1"]
