"""The page of stored events, for the web application of an extension (`connect-eaas-mongodb[web]`).

    from connect.eaas.core.decorators import admin_pages, module_pages, router, variables, web_app
    from connect.eaas.core.extension import WebApplicationBase
    from connect.eaas.mongodb import VARIABLES
    from connect.eaas.mongodb.page import ADMIN_PAGES, EVENTS_PAGE, EventsPageMixin

    @web_app(router)
    @module_pages("Stored events", EVENTS_PAGE)
    @admin_pages(ADMIN_PAGES)
    @variables(VARIABLES)
    class MyWebApplication(EventsPageMixin, WebApplicationBase):
        pass

`connect-mongodb page add` copies the page's static files into the extension. docs/events-page.md describes all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final

# FastAPI resolves the annotations of the endpoint in this module.
import connect.eaas.mongodb.web  # noqa: F401
from connect.eaas.core.decorators import router
from connect.eaas.core.inject.common import get_config
from connect.eaas.mongodb._async.page import AsyncEventsPage
from connect.eaas.mongodb._common.page import PageError
from connect.eaas.mongodb._common.store import Path as StorePath
from connect.eaas.mongodb.page._access import access_of
from connect.eaas.mongodb.store import AsyncEventStore
from connect.eaas.mongodb.web.errors import client_errors
from fastapi import Depends, Request, Response

__all__ = ["ADMIN_PAGES", "EVENTS_PAGE", "STATIC_FILES", "EventsPageMixin"]

EVENTS_PAGE: Final = "/static/stored-events/index.html"
"""The URL of the page, for `@module_pages`."""

ADMIN_PAGES: Final = [{"label": "Stored events", "url": EVENTS_PAGE}]
"""The page for the owner of the extension, for `@admin_pages`."""

STATIC_FILES: Final = Path(__file__).parent / "static"
"""The folder that `connect-mongodb page add` copies."""

ROUTE: Final = "/stored-events/{path:path}"


class EventsPageMixin:
    """Adds the routes of the page of stored events, below `/api/stored-events/`, to a web application.

    Each caller sees the events of the own installation only; the owner of the extension sees all.
    """

    events_page_path: ClassVar[StorePath | None] = None
    """The path that events are read on, `driver` or `data_api`; by default the driver if `DB_HOST` is set."""

    def __init_subclass__(cls, **more: Any) -> None:
        """Register the routes for the subclass, so that an import alone registers none."""
        super().__init_subclass__(**more)
        if hasattr(cls, "_stored_events"):
            return

        # `web_app` makes the method an endpoint of this class, and changes its signature: each class has its own.
        async def _stored_events(  # type: ignore[no-untyped-def]  # An annotation would be the response's model.
            self,
            request: Request,
            config: dict[str, Any] = Depends(get_config),  # noqa: B008
        ):
            return await _answer(request, config, cls.events_page_path)

        cls._stored_events = _stored_events  # type: ignore[attr-defined]
        router.get(ROUTE, include_in_schema=False)(_stored_events)


async def _answer(request: Request, config: dict[str, Any], path: StorePath | None) -> Response:
    try:
        access = await access_of(request.headers.getlist)
        with client_errors():
            page = AsyncEventsPage(AsyncEventStore.from_config(config, path=path), access)
            answer = await page.answer(request.path_params["path"], request.query_params.multi_items())
    except PageError as error:
        return Response(error.body, error.status_code, {"Cache-Control": "no-store"}, "application/json")
    headers = {"Cache-Control": "no-store"}
    if answer.content_range is not None:
        headers["Content-Range"] = answer.content_range
    return Response(answer.body, 200, headers, "application/json")
