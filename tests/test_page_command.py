"""`connect-mongodb page`: the files for an extension, and the page outside of Connect."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from connect.eaas.mongodb import EventStore
from connect.eaas.mongodb.cli.page import STATIC_FILES

from demo.purchase_requests import sample
from tests.servers import Server, free_port

COMMAND = [sys.executable, "-m", "connect.eaas.mongodb.cli", "page"]
FILES = sorted(file.name for file in (STATIC_FILES / "stored-events").iterdir())


def run(*arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    ended = subprocess.run(
        [*COMMAND, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    return ended.returncode, ended.stdout, ended.stderr


def extension(folder: Path, package: str = "my_extension") -> Path:
    (folder / package).mkdir(parents=True)
    (folder / package / "extension.json").write_text("{}", encoding="utf-8")
    return folder / package


def test_add_copies_the_files_beside_extension_json_and_tells_what_to_do_next(tmp_path: Path) -> None:
    package = extension(tmp_path)
    status, output, _ = run("add", cwd=tmp_path)
    target = package / "static" / "stored-events"
    assert status == 0
    assert sorted(file.name for file in target.iterdir()) == FILES
    for file in FILES:
        assert (target / file).read_bytes() == (STATIC_FILES / "stored-events" / file).read_bytes()
    assert "class MyWebApplication(EventsPageMixin, WebApplicationBase)" in output
    # The licence goes along.
    assert "Apache License" in (target / "connect-ui-toolkit.LICENSE.txt").read_text(encoding="utf-8")


def test_add_updates_the_files_and_leaves_those_of_the_user(tmp_path: Path) -> None:
    package = extension(tmp_path)
    target = package / "static" / "stored-events"
    run("add", str(tmp_path))
    (target / "main.js").write_text("old", encoding="utf-8")
    (target / "removed.js").write_text("of an earlier version", encoding="utf-8")
    (target / "notes.txt").write_text("the user's", encoding="utf-8")
    (package / "static" / "index.html").write_text("the user's", encoding="utf-8")
    status, output, _ = run("add", str(package))
    assert (status, output) == (0, f"Updated {target}\n")
    assert sorted(file.name for file in target.iterdir()) == sorted([*FILES, "notes.txt"])
    assert (target / "main.js").read_bytes() == (STATIC_FILES / "stored-events" / "main.js").read_bytes()
    assert (package / "static" / "index.html").read_text(encoding="utf-8") == "the user's"


def test_add_explains_where_it_finds_no_extension(tmp_path: Path) -> None:
    status, _, error = run("add", str(tmp_path))
    assert (status, error.count("\n")) == (2, 1)
    assert f"there is no extension.json in {tmp_path}" in error
    extension(tmp_path, "one")
    extension(tmp_path, "two")
    status, _, error = run("add", str(tmp_path))
    assert status == 2
    assert f"name one of these folders: {tmp_path / 'one'}, {tmp_path / 'two'}" in error
    status, _, error = run("add", str(tmp_path / "none"))
    assert status == 2
    assert "does not exist" in error


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_add_explains_what_it_cannot_write(tmp_path: Path) -> None:
    package = extension(tmp_path)
    package.chmod(0o500)
    status, _, error = run("add", str(tmp_path))
    assert status == 2
    assert "cannot be written (Permission denied)" in error


@contextlib.contextmanager
def served(config: dict[str, str], folder: Path, *arguments: str) -> Iterator[tuple[Server, str]]:
    """Run `page serve` with these variables; yield the server and its URL."""
    env_file = folder / "variables"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in config.items()), encoding="utf-8")
    server = Server("the page", [*COMMAND, "serve", "--env-file", str(env_file), *arguments])
    try:
        yield server, server.wait_for_line("The page of stored events: ")
    finally:
        server.stop()


class Browser:
    """Requests with the cookie of the token."""

    def __init__(self, url: str) -> None:
        self.address = urlsplit(url)
        status, headers, _ = self.get(f"/?{self.address.query}", cookie="")
        assert status == 303
        self.cookie, _, attributes = headers["Set-Cookie"].partition(";")
        assert attributes == " HttpOnly; SameSite=Strict; Path=/"
        assert headers["Location"] == "/static/stored-events/index.html"

    def get(
        self, path: str, *, cookie: str | None = None, host: str | None = None, method: str = "GET"
    ) -> tuple[int, dict[str, str], str]:
        assert self.address.hostname is not None
        connection = http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=30)
        headers = {"Cookie": self.cookie if cookie is None else cookie, "Host": host or self.address.netloc}
        with contextlib.closing(connection):
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read().decode()


def test_serve_shows_the_page_and_its_data_to_the_browser_with_the_token(
    config: dict[str, str], tmp_path: Path
) -> None:
    store = EventStore.from_config(config)
    for number in range(11):
        store.save("asset_purchase_request_processing", {**sample("asset-purchase-request"), "id": f"PR-{number}"})
    with served(config, tmp_path) as (server, url):
        assert url.startswith("http://127.0.0.1:")
        browser = Browser(url)
        for file in FILES:
            status, headers, body = browser.get(f"/static/stored-events/{file}")
            assert status == 200
            assert body == (STATIC_FILES / "stored-events" / file).read_text(encoding="utf-8")
            assert headers["X-Content-Type-Options"] == "nosniff"
        assert browser.get("/static/stored-events/main.js")[1]["Content-Type"] == "text/javascript; charset=utf-8"
        status, headers, body = browser.get("/api/stored-events/events?limit=2")
        assert (status, headers["Content-Range"]) == (200, "items 0-1/11")
        assert [event["object_id"] for event in json.loads(body)] == ["PR-10", "PR-9"]
        status, _, body = browser.get("/api/stored-events/events?offset=60")
        assert (status, json.loads(body)["error_code"]) == (400, "VAL_001")
        assert browser.get("/")[0] == 303
        assert browser.get("/", method="POST")[0] == 501
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0


def test_serve_refuses_everyone_else(config: dict[str, str], tmp_path: Path) -> None:
    with served(config, tmp_path) as (_, url):
        browser = Browser(url)
        paths = ["/", "/?token=", "/?token=guess", "/static/stored-events/index.html", "/api/stored-events/events"]
        for path in paths:
            for cookie in ("", "connect_mongodb_page=x", browser.cookie[:-1], f"x{browser.cookie}", "\x01=;;"):
                status, headers, body = browser.get(path, cookie=cookie)
                assert (status, "Set-Cookie" in headers) == (403, False), (path, cookie)
                assert "Open the URL" in body
        # A name of an attacker that leads to 127.0.0.1.
        assert browser.get("/api/stored-events/context", host="attacker.example")[0] == 403
        assert browser.get("/api/stored-events/context", host=f"localhost:{browser.address.port}")[0] == 200
        for path in ("/static/stored-events/../__init__.py", "/static/stored-events/%2e%2e/_access.py", "/etc/passwd"):
            assert browser.get(path)[0] == 404


def test_serve_shows_what_one_installation_sees(config: dict[str, str], tmp_path: Path) -> None:
    store = EventStore.from_config(config)
    for number in (1, 2):
        store.save("asset_purchase_request_processing", {"id": f"PR-{number}"}, installation_id=f"EIN-{number}")
    with served(config, tmp_path, "--installation", "EIN-2", "--path", "http") as (_, url):
        browser = Browser(url)
        context: dict[str, Any] = json.loads(browser.get("/api/stored-events/context")[2])
        assert (context["owner"], context["installation"], context["path"]) == (False, "EIN-2", "data_api")
        events = json.loads(browser.get("/api/stored-events/events")[2])
        assert [event["object_id"] for event in events] == ["PR-2"]


def test_serve_tells_that_mongodb_is_unreachable(config: dict[str, str], tmp_path: Path) -> None:
    away = {**config, "DB_HOST": f"127.0.0.1:{free_port()}", "DB_OPTIONS": "serverSelectionTimeoutMS=200"}
    away |= {"DB_USER": "someone", "DB_PASSWORD": "a-secret-password"}
    with served(away, tmp_path) as (_, url):
        status, _, body = Browser(url).get("/api/stored-events/context")
        error = json.loads(body)
        assert (status, error["error_code"]) == (503, "MONGODB_UNREACHABLE")
        assert away["DB_HOST"] in error["errors"][0]
        assert "a-secret-password" not in body


def test_serve_explains_what_it_cannot_use(config: dict[str, str], tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name not in config}
    status, _, error = run("serve", env=env)
    assert (status, error.count("\n")) == (2, 1)
    assert "DATA_API_ENDPOINT" in error
    status, _, error = run("serve", "--env-file", str(tmp_path / "none"), env=env)
    assert (status, "cannot be read (No such file or directory)" in error) == (2, True)
    with served(config, tmp_path) as (_, url):
        port = str(urlsplit(url).port)
        status, _, error = run("serve", "--port", port, env={**env, **config})
        assert (status, f"port {port} of 127.0.0.1 cannot be opened" in error) == (2, True)
