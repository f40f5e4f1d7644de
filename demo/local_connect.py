"""A Connect of our own: as much of its WebSocket and REST API as the runner uses."""

from __future__ import annotations

import asyncio
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

EVENT_TYPE = "asset_purchase_request_processing"


@dataclass
class Task:
    """A task that was handed to the runner, and what came back."""

    task_id: str
    object_id: str
    result: asyncio.Future[dict[str, Any]]


@dataclass
class LocalConnect:
    """Hands tasks to runners that connect, serves the tasks' objects, takes the results."""

    variables: dict[str, str]
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    setup_requests: list[dict[str, Any]] = field(default_factory=list)
    ws_port: int = 0
    rest_port: int = 0
    ca_file: Path = Path()

    def __post_init__(self) -> None:
        self._runners: dict[str, web.WebSocketResponse] = {}
        self._changed = asyncio.Condition()

    async def connected(self, runners: int = 1) -> None:
        """Wait until so many runners' background connections have been set up."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._runners) >= runners)

    async def send_task(self, task_id: str, obj: dict[str, Any], event_type: str = EVENT_TYPE, runner: int = 0) -> Task:
        """Hand a background task to one of the runners; its `result` is the task's output."""
        self.objects[obj["id"]] = obj
        result: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        task = self.tasks[task_id] = Task(task_id, obj["id"], result)
        await self.connected()
        runners = list(self._runners.values())
        await runners[runner % len(runners)].send_json(
            {
                "version": 2,
                "message_type": "task",
                "data": {
                    "model_type": "task",
                    "options": {"task_id": task_id, "task_category": "background"},
                    "input": {"event_type": event_type, "object_id": obj["id"]},
                },
            }
        )
        return task

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=2**24)
        await socket.prepare(request)
        background = request.query.get("runner_type") != "interactive"
        instance = request.match_info["instance"]
        async for message in socket:
            if message.type != WSMsgType.TEXT:
                continue
            received = json.loads(message.data)
            if received["message_type"] == "setup_request":
                self.setup_requests.append(received["data"])
                await socket.send_json(self._setup_response())
                if background:
                    async with self._changed:
                        self._runners[instance] = socket
                        self._changed.notify_all()
            elif received["message_type"] == "task":
                self._take_result(received["data"])
        if self._runners.get(instance) is socket:
            del self._runners[instance]
        return socket

    def _take_result(self, data: dict[str, Any]) -> None:
        task = self.tasks.get(data["options"]["task_id"])
        if task is not None and not task.result.done():
            task.result.set_result(data["output"])

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
                        "service_id": "SRVC-0000-0000",
                        "products": ["PRD-000-000-000"],
                        "hub_id": "HB-0000-0000",
                    },
                },
                "event_definitions": [
                    {
                        "event_type": EVENT_TYPE,
                        "api_resource_endpoint": "requests/{pk}",
                        "api_collection_endpoint": "requests",
                        "api_collection_filter": "and(eq(id,${_object_id_}),in(status,${_statuses_}))",
                    }
                ],
            },
        }

    async def _count(self, request: web.Request) -> web.Response:
        """Answer `…/requests?and(eq(id,…),in(status,(…)))&limit=0`."""
        query = request.query_string
        object_id = re.search(r"eq\(id,([^)]+)\)", query)
        statuses = re.search(r"in\(status,\(([^)]*)\)\)", query)
        obj = self.objects.get(object_id[1]) if object_id else None
        found = int(obj is not None and (statuses is None or obj["status"] in statuses[1].split(",")))
        return web.json_response([], headers={"Content-Range": f"items 0-{max(found - 1, 0)}/{found}"})

    async def _object(self, request: web.Request) -> web.Response:
        obj = self.objects.get(request.match_info["pk"])
        if obj is None:
            return web.json_response({"error_code": "NOT_FOUND", "errors": ["Not found."]}, status=404)
        return web.json_response(obj)


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
    rest = web.Application()
    rest.router.add_get("/public/v1/requests", connect._count)
    rest.router.add_get("/public/v1/requests/{pk}", connect._object)
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
        connect.ws_port = runners[0].addresses[0][1]
        connect.rest_port = runners[1].addresses[0][1]
        yield connect
    finally:
        for runner in runners:
            await runner.cleanup()
