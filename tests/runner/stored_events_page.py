"""A web application with the page of stored events; `test_page_runner.py` runs it in the real runner."""

from __future__ import annotations

from typing import Any

from connect.eaas.core.decorators import admin_pages, module_pages, router, variables, web_app
from connect.eaas.core.extension import WebApplicationBase
from connect.eaas.mongodb import VARIABLES
from connect.eaas.mongodb.page import ADMIN_PAGES, EVENTS_PAGE, STATIC_FILES, EventsPageMixin


@web_app(router)
@module_pages("Stored events", EVENTS_PAGE)
@admin_pages(ADMIN_PAGES)
@variables(VARIABLES)
class WebApplication(EventsPageMixin, WebApplicationBase):
    @classmethod
    def get_descriptor(cls) -> dict[str, Any]:
        return {
            "name": "Stored events",
            "description": "The page of stored events.",
            "version": "1.0.0",
            "audience": ["vendor"],
            "readme_url": "https://example.com/README.md",
            "changelog_url": "https://example.com/CHANGELOG.md",
        }

    @classmethod
    def get_static_root(cls) -> str:
        # An extension has a copy of them.
        return str(STATIC_FILES)
