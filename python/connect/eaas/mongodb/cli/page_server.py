"""The server of `connect-mongodb page serve`."""

from __future__ import annotations

import hmac
import mimetypes
import secrets
import signal
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import click
from connect.eaas.mongodb._common.page import Access, PageError
from connect.eaas.mongodb._sync.page import EventsPage
from connect.eaas.mongodb.cli.page import FOLDER, STATIC_FILES
from connect.eaas.mongodb.store import EventStore

API = "/api/stored-events/"
STATIC = f"/static/{FOLDER}/"
PAGE = f"{STATIC}index.html"

# Windows takes types from its registry, where JavaScript may be text.
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}


class PageServer(ThreadingHTTPServer):
    """Serves the page and its data to the browser that has the token."""

    daemon_threads = True

    def __init__(self, port: int, store: EventStore, access: Access) -> None:
        """Listen on a port of 127.0.0.1; 0 selects a free one."""
        super().__init__(("127.0.0.1", port), _Handler)
        self.page = EventsPage(store, access)
        self.token = secrets.token_urlsafe(32)
        self.hosts = {f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost")}
        # Cookies do not distinguish ports.
        self.cookie = f"connect_mongodb_page_{self.server_port}"

    @property
    def url(self) -> str:
        """The URL that opens the page."""
        return f"http://127.0.0.1:{self.server_port}/?token={self.token}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that closed its connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "connect-mongodb"
    sys_version = ""
    server: PageServer
    timeout = 60

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Print no requests: their addresses contain the token."""

    def do_GET(self) -> None:
        """Respond to a request."""
        # A web site whose name leads here has another host.
        if self.headers.get("Host") not in self.server.hosts:
            self._send(HTTPStatus.FORBIDDEN, "This server only responds as 127.0.0.1.")
            return
        try:
            url = urlsplit(self.path)
        except ValueError:
            self._send(HTTPStatus.BAD_REQUEST, "The address cannot be read.")
            return
        pairs = parse_qsl(url.query, keep_blank_values=True)
        path = unquote(url.path)
        if path == "/" and self._is_token(dict(pairs).get("token", "")):
            cookie = f"{self.server.cookie}={self.server.token}; HttpOnly; SameSite=Strict; Path=/"
            self._send(HTTPStatus.SEE_OTHER, "", headers={"Location": PAGE, "Set-Cookie": cookie})
        elif not self._is_token(self._cookie()):
            self._send(HTTPStatus.FORBIDDEN, "Open the URL that connect-mongodb page serve has printed.")
        elif path == "/":
            self._send(HTTPStatus.SEE_OTHER, "", headers={"Location": PAGE})
        elif path.startswith(API):
            self._answer(path.removeprefix(API), pairs)
        else:
            self._file(path)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.server.token.encode())

    def _cookie(self) -> str:
        try:
            found = SimpleCookie(self.headers.get("Cookie", "")).get(self.server.cookie)
        except CookieError:
            return ""
        return found.value if found else ""

    def _answer(self, path: str, pairs: list[tuple[str, str]]) -> None:
        try:
            answer = self.server.page.answer(path, pairs)
        except PageError as error:
            self._send(HTTPStatus(error.status_code), error.body, "application/json")
        except Exception as error:
            failure = _failure_of(error)
            self._send(HTTPStatus(failure.status_code), failure.body, "application/json")
        else:
            more = {} if answer.content_range is None else {"Content-Range": answer.content_range}
            self._send(HTTPStatus.OK, answer.body, "application/json", headers=more)

    def _file(self, path: str) -> None:
        name = path.removeprefix(STATIC)
        files = {file.name: file for file in (STATIC_FILES / FOLDER).iterdir()}
        if not path.startswith(STATIC) or name not in files:
            self._send(HTTPStatus.NOT_FOUND, "There is no such file.")
            return
        file = files[name]
        kind = TYPES.get(file.suffix) or mimetypes.guess_type(name)[0] or "text/plain"
        self._send(HTTPStatus.OK, file.read_bytes(), kind)

    def _send(
        self,
        status: HTTPStatus,
        body: str | bytes,
        kind: str = "text/plain",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        content = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _failure_of(error: Exception) -> PageError:
    """Return the error to show; the messages of the clients contain no secrets."""
    from pymongo.errors import ConnectionFailure, PyMongoError

    if isinstance(error, ConnectionFailure):
        return PageError(503, "MONGODB_UNREACHABLE", str(error))
    if isinstance(error, PyMongoError):
        return PageError(500, "MONGODB_ERROR", str(error))
    return PageError(500, "INTERNAL", f"the request failed with {type(error).__name__}")


def run(store: EventStore, *, port: int, installation: str | None) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Raises:
        OSError: the port is not free.
    """
    with PageServer(port, store, Access(installation)) as server:

        def stop(signum: int, frame: FrameType | None) -> None:
            # `shutdown` waits for the loop, which runs in this thread.
            threading.Thread(target=server.shutdown, daemon=True).start()

        previous = {signum: signal.signal(signum, stop) for signum in (signal.SIGINT, signal.SIGTERM)}
        try:
            click.echo(f"The page of stored events: {server.url}")
            click.echo("Press Ctrl-C to stop.")
            server.serve_forever(0.1)
        finally:
            for signum, handler in previous.items():
                signal.signal(signum, handler)
