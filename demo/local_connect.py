"""A Connect of our own: as much of its WebSocket and REST API as the runner uses."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
from aiohttp import WSMsgType, web
from connect.eaas.mongodb.events import EVENT_TYPES

from demo.rest import Collections

EVENT_TYPE = "asset_purchase_request_processing"
SERVICE = "SRVC-0000-0000"


@dataclass
class Task:
    """A task that was handed to the runner, and what came back."""

    task_id: str
    object_id: str
    result: asyncio.Future[dict[str, Any]]


@dataclass
class WebResponse:
    """What the extension's web application responded with."""

    status: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Any:
        """The content as JSON."""
        return json.loads(self.content)


@dataclass
class LocalConnect:
    """Hands tasks to runners that connect, serves the tasks' objects, takes the results."""

    variables: dict[str, str]
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    event_types: dict[str, str] = field(default_factory=lambda: {EVENT_TYPE: "status"})
    """The background events that there are, and the field with the status of their objects, if they have any."""
    tasks: dict[str, Task] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    """The files of transformations, by name."""
    steps: list[tuple[str, str]] = field(default_factory=list)
    """The transformation requests that were processed or failed."""
    packages: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the package index says of packages, by name: the core metadata of the newest release."""
    setup_requests: list[dict[str, Any]] = field(default_factory=list)
    collections: Collections = field(default_factory=Collections)
    """The collections of the REST API, at `http_url`."""
    ws_port: int = 0
    rest_port: int = 0
    http_url: str = ""
    """The REST API without TLS, for clients that do not know the certificate."""
    ca_file: Path = Path()

    def __post_init__(self) -> None:
        self._runners: dict[tuple[str, str], web.WebSocketResponse] = {}
        self._web_responses: dict[str, asyncio.Future[WebResponse]] = {}
        self._correlation_ids = map("call-{}".format, itertools.count(1))
        self._changed = asyncio.Condition()

    def _workers(self, kind: str) -> list[web.WebSocketResponse]:
        return [socket for (_, known), socket in self._runners.items() if known == kind]

    async def connected(self, runners: int = 1, kind: str = "background") -> None:
        """Wait until so many runners' connections of a kind have been set up."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._workers(kind)) >= runners)

    async def disconnected(self) -> None:
        """Wait until no runner is connected."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._runners)

    async def send_task(
        self,
        task_id: str,
        obj: Any,
        event_type: str = EVENT_TYPE,
        runner: int = 0,
        *,
        category: str = "background",
        data: Any = None,
        installation: dict[str, Any] | None = None,
    ) -> Task:
        """Hand a task to one of the runners; its `result` is the task's output.

        The runner asks for the object by its id, but finds that of an
        interactive task in the task itself, as Connect has it.
        """
        if category == "interactive":
            object_id, data = "PRD-000-000-000", obj
        else:
            object_id = obj["id"]
            self.objects[object_id] = obj
        result: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        task = self.tasks[task_id] = Task(task_id, object_id, result)
        kind = {"interactive": "interactive", "transformation": "tfnapp"}.get(category, "background")
        await self.connected(kind=kind)
        runners = self._workers(kind)
        options = {"task_id": task_id, "task_category": category}
        if installation is not None:
            self.objects[installation["id"]] = installation
            options["installation_id"] = installation["id"]
        if installation is not None or category == "transformation":
            options["api_key"] = "ApiKey SU-000-000-001:local"
        await runners[runner % len(runners)].send_json(
            {
                "version": 2,
                "message_type": "task",
                "data": {
                    "model_type": "task",
                    "options": options,
                    "input": {"event_type": event_type, "object_id": object_id, "data": data},
                },
            }
        )
        return task

    async def web_request(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        json_content: Any = None,
        caller: dict[str, str] | None = None,
    ) -> WebResponse:
        """Forward an HTTP request to the web application of a runner, as Connect does for a user.

        Args:
            method: the HTTP method.
            path: the path with its query, such as `/api/orders?limit=10` or `/static/index.html`.
            headers: the headers of the request.
            json_content: the content of the request.
            caller: who calls, where it differs from a user of an installation: `installation_id`, `account_id`,
                `account_role`, `user_id`, `call_type`, `call_source`.
        """
        await self.connected(kind="webapp")
        content = "" if json_content is None else base64.encodebytes(json.dumps(json_content).encode()).decode()
        correlation_id = next(self._correlation_ids)
        response: asyncio.Future[WebResponse] = asyncio.get_running_loop().create_future()
        self._web_responses[correlation_id] = response
        options = {
            "correlation_id": correlation_id,
            "reply_to": "local",
            "api_key": "ApiKey SU-000-000-001:local",
            "installation_id": "EIN-0000-0000-0000",
            "user_id": "UR-000-000-000",
            "account_id": "VA-000-000",
            "account_role": "vendor",
            "call_type": "user",
            "call_source": "ui",
        }
        request = {
            "method": method,
            "url": path,
            "headers": ({} if json_content is None else {"Content-Type": "application/json"}) | (headers or {}),
            "content": content,
        }
        try:
            await self._workers("webapp")[0].send_json(
                {
                    "version": 2,
                    "message_type": "web_task",
                    "data": {"model_type": "web_task", "options": options | (caller or {}), "request": request},
                }
            )
            return await response
        finally:
            del self._web_responses[correlation_id]

    async def change_variables(self, variables: dict[str, str]) -> None:
        """Change the extension's variables, of the runners that are connected too."""
        self.variables = variables
        for socket in list(self._runners.values()):
            await socket.send_json(self._setup_response())

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=2**24)
        await socket.prepare(request)
        kind = request.query.get("runner_type") or request.match_info.get("kind", "background")
        key = (request.match_info["instance"], kind)
        async for message in socket:
            if message.type != WSMsgType.TEXT:
                continue
            received = json.loads(message.data)
            if received["message_type"] == "setup_request":
                self.setup_requests.append(received["data"])
                await socket.send_json(self._setup_response())
                async with self._changed:
                    self._runners[key] = socket
                    self._changed.notify_all()
            elif received["message_type"] == "task":
                self._take_result(received["data"])
            elif received["message_type"] == "web_task":
                self._take_response(received["data"])
        if self._runners.get(key) is socket:
            del self._runners[key]
            async with self._changed:
                self._changed.notify_all()
        return socket

    def _take_result(self, data: dict[str, Any]) -> None:
        task = self.tasks.get(data["options"]["task_id"])
        if task is not None and not task.result.done():
            task.result.set_result(data["output"])

    def _take_response(self, data: dict[str, Any]) -> None:
        response = self._web_responses.get(data["options"]["correlation_id"])
        if response is not None and not response.done():
            found = data["response"]
            content = base64.decodebytes(found["content"].encode())
            response.set_result(WebResponse(found["status"], found["headers"], content))

    def _setup_response(self) -> dict[str, Any]:
        secure = {"API_KEY", "DB_PASSWORD"}
        return {
            "version": 2,
            "message_type": "setup_response",
            "data": {
                "model_type": "setup_response",
                "variables": [
                    {"name": name, "value": value, "secure": name in secure} for name, value in self.variables.items()
                ],
                "environment_type": "development",
                "logging": {
                    "log_level": "INFO",
                    "runner_log_level": "INFO",
                    "meta": {
                        "account_id": "VA-000-000",
                        "account_name": "Vendor",
                        "service_id": SERVICE,
                        "products": ["PRD-000-000-000"],
                        "hub_id": "HB-0000-0000",
                    },
                },
                "event_definitions": [
                    {
                        "event_type": event_type,
                        "api_resource_endpoint": "requests/{pk}",
                        "api_collection_endpoint": "requests",
                        "api_collection_filter": f"and(eq(id,${{_object_id_}}),in({field},${{_statuses_}}))"
                        if field
                        else "eq(id,${_object_id_})",
                    }
                    for event_type, field in self.event_types.items()
                ],
            },
        }

    async def _count(self, request: web.Request) -> web.StreamResponse:
        """Answer `…/requests?and(eq(id,…),in(status,(…)))&limit=0`."""
        if "requests" in self.collections.rows:
            request.match_info["path"] = "requests"
            return await self.collections.handle(request)
        query = request.query_string
        object_id = re.search(r"eq\(id,([^)]+)\)", query)
        statuses = re.search(r"in\((\w+),\(([^)]*)\)\)", query)
        obj = self.objects.get(object_id[1]) if object_id else None
        found = int(obj is not None and (statuses is None or obj[statuses[1]] in statuses[2].split(",")))
        return web.json_response([], headers={"Content-Range": f"items 0-{max(found - 1, 0)}/{found}"})

    async def _object(self, request: web.Request) -> web.StreamResponse:
        obj = self.objects.get(request.match_info["pk"])
        if obj is None and "requests" in self.collections.rows:
            request.match_info["path"] = f"requests/{request.match_info['pk']}"
            return await self.collections.handle(request)
        if obj is None:
            return web.json_response({"error_code": "NOT_FOUND", "errors": ["Not found."]}, status=404)
        return web.json_response(obj)

    async def _event_definitions(self, request: web.Request) -> web.Response:
        """All event types, as Connect's command line lists them."""
        found = [
            {
                "type": known.name,
                "name": known.name,
                "group": known.model.__name__,
                "category": known.category,
                "extension_type": "multiaccount",
                "object_statuses": list(known.statuses),
            }
            for known in EVENT_TYPES.values()
        ]
        first, limit = int(request.query.get("offset", 0)), int(request.query.get("limit", 100))
        page = found[first : first + limit]
        content_range = f"items {first}-{first + len(page) - 1}/{len(found)}"
        return web.json_response(page, headers={"Content-Range": content_range})

    async def _package(self, request: web.Request) -> web.Response:
        return web.json_response({"info": self.packages[request.match_info["name"]]})

    async def _input_file(self, request: web.Request) -> web.Response:
        return web.Response(body=self.files[request.match_info["name"]])

    async def _output_file(self, request: web.Request) -> web.Response:
        self.files[f"{request.match_info['batch']}-output"] = await request.read()
        # The runner parses it itself: as JSON, its client would have done so already.
        return web.Response(text='{"id": "MFL-0000-0000-0000"}', status=201)

    async def _transformed(self, request: web.Request) -> web.Response:
        """A step of a transformation request: `process` or `fail`, or what the runner reports meanwhile."""
        step = request.match_info.get("step")
        if step is not None:
            self.steps.append((request.match_info["pk"], step))
        return web.json_response({})


@asynccontextmanager
async def local_connect(variables: dict[str, str], folder: Path) -> AsyncIterator[LocalConnect]:
    """Run a local Connect; its certificates go into `folder`."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(tls)
    connect = LocalConnect(variables)
    connect.ca_file = folder / "connect-ca.pem"
    authority.cert_pem.write_to_path(str(connect.ca_file))

    sockets = web.Application()
    sockets.router.add_get("/public/v1/devops/ws/{environment}/{instance}", connect._socket)
    sockets.router.add_get("/public/v1/devops/ws/{environment}/{instance}/{kind}", connect._socket)
    rest = web.Application()
    rest.router.add_get("/public/v1/devops/event-definitions", connect._event_definitions)
    rest.router.add_get("/packages/{name}/json", connect._package)
    rest.router.add_get("/packages/{name}/{version}/json", connect._package)
    rest.router.add_get("/public/v1/requests", connect._count)
    rest.router.add_get("/public/v1/requests/{pk}", connect._object)
    service = f"/public/v1/devops/services/{SERVICE}"
    rest.router.add_get(service + "/environments/{environment}/schedules/{pk}", connect._object)
    rest.router.add_get(service + "/installations/{pk}", connect._object)
    rest.router.add_get("/public/v1/devops/installations/{pk}", connect._object)
    rest.router.add_get("/files/{name}", connect._input_file)
    rest.router.add_post("/public/v1/media/folders/streams_batches/{batch}/files", connect._output_file)
    rest.router.add_put("/public/v1/{stream}/requests/{pk}", connect._transformed)
    rest.router.add_post("/public/v1/{stream}/requests/{pk}/{step}", connect._transformed)
    rest.router.add_post("/public/v1/conversations/{pk}/messages", connect._transformed)
    rest.router.add_get("/public/v1/{path:.+}", connect.collections.handle)
    runners = [
        web.AppRunner(sockets, access_log=None, shutdown_timeout=1),
        web.AppRunner(rest, access_log=None, shutdown_timeout=1),
    ]
    try:
        for runner in runners:
            await runner.setup()
        ws_site = web.TCPSite(runners[0], "127.0.0.1", 0)
        rest_site = web.TCPSite(runners[1], "127.0.0.1", 0, ssl_context=tls)
        await ws_site.start()
        await rest_site.start()
        http_site = web.TCPSite(runners[1], "127.0.0.1", 0)
        await http_site.start()
        connect.ws_port = runners[0].addresses[0][1]
        connect.rest_port = runners[1].addresses[0][1]
        connect.http_url = f"http://127.0.0.1:{runners[1].addresses[1][1]}/public/v1"
        yield connect
    finally:
        for runner in runners:
            await runner.cleanup()
