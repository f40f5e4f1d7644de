"""Members of `EventsPageMixin`."""

from __future__ import annotations


async def overview() -> None:
    from connect.eaas.core.decorators import admin_pages, module_pages, router, variables, web_app
    from connect.eaas.core.extension import WebApplicationBase
    from connect.eaas.mongodb import VARIABLES
    from connect.eaas.mongodb.page import ADMIN_PAGES, EVENTS_PAGE, EventsPageMixin

    @web_app(router)
    @module_pages("Stored events", EVENTS_PAGE)
    @admin_pages(ADMIN_PAGES)
    @variables(VARIABLES)
    class Shop(EventsPageMixin, WebApplicationBase):
        pass

    print([route.path for route in router.routes])  # ['/stored-events/{path:path}']


async def events_page_path() -> None:
    from connect.eaas.core.decorators import router, web_app
    from connect.eaas.core.extension import WebApplicationBase
    from connect.eaas.mongodb.page import EventsPageMixin

    @web_app(router)
    class Shop(EventsPageMixin, WebApplicationBase):
        events_page_path = "data_api"

    print(Shop.events_page_path)  # data_api
