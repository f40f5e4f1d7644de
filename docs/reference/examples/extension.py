"""What extensions use, with `connect-eaas-core`: decorators, dependencies of web applications, the page."""

from __future__ import annotations


async def store_event(config: dict[str, str]) -> None:
    import logging

    from connect.eaas.core.decorators import event
    from connect.eaas.core.extension import EventsApplicationBase
    from connect.eaas.core.responses import BackgroundResponse
    from connect.eaas.mongodb import AsyncEventStore, store_event

    class Application(EventsApplicationBase):
        @event("asset_purchase_request_processing", statuses=["pending"])
        @store_event(on_error="reschedule", redact_paths=["asset.tiers.*.tax_id"])
        async def handle_purchase(self, request):
            return BackgroundResponse.done()

    # Connect's runner does this:
    application = Application(client=None, logger=logging.getLogger(), config=config)
    response = await application.handle_purchase({"id": "PR-1", "status": "pending"})
    print(response.status)  # success
    print(await AsyncEventStore.from_config(config).count(object_id="PR-1"))  # 1


async def open_store(config: dict[str, str]) -> None:
    from connect.eaas.core.extension import EventsApplicationBase
    from connect.eaas.mongodb import open_store

    class Application(EventsApplicationBase):
        @classmethod
        async def on_startup(cls, logger, config):
            await open_store(config, logger=logger)

    print(await open_store(config))  # True


async def drain_store(config: dict[str, str]) -> None:
    from connect.eaas.core.extension import EventsApplicationBase
    from connect.eaas.mongodb import drain_store

    class Application(EventsApplicationBase):
        @classmethod
        async def on_shutdown(cls, logger, config):
            await drain_store(config)

    await drain_store(config)


async def backfill_on_schedule() -> None:
    from connect.eaas.core.decorators import schedulable
    from connect.eaas.core.extension import EventsApplicationBase
    from connect.eaas.mongodb.backfill import backfill_on_schedule

    class Application(EventsApplicationBase):
        @schedulable("Backfill", "Stores the requests that Connect has.")
        async def backfill(self, schedule):
            return await backfill_on_schedule(self, schedule, "requests", "tier-config-requests")

    print(Application.get_schedulables()[0]["name"])  # Backfill


async def database(config: dict[str, str]) -> None:
    from connect.eaas.core.decorators import router, web_app
    from connect.eaas.core.extension import WebApplicationBase
    from connect.eaas.core.testing import WebAppTestClient
    from connect.eaas.mongodb import AsyncDatabase
    from connect.eaas.mongodb.web import database
    from fastapi import Depends

    @web_app(router)
    class Shop(WebApplicationBase):
        @router.get("/orders/{order_id}")
        async def order(self, order_id: str, db: AsyncDatabase = Depends(database())):
            return await db.orders.find_one({"_id": order_id})

    print(WebAppTestClient(Shop).get("/api/orders/A-1", config=config).json()["total"])  # 10


async def collection(config: dict[str, str]) -> None:
    from connect.eaas.core.decorators import router, web_app
    from connect.eaas.core.extension import WebApplicationBase
    from connect.eaas.core.testing import WebAppTestClient
    from connect.eaas.mongodb import AsyncCollection
    from connect.eaas.mongodb.web import collection
    from fastapi import Depends

    @web_app(router)
    class Shop(WebApplicationBase):
        @router.get("/orders/{order_id}")
        async def order(self, order_id: str, orders: AsyncCollection = Depends(collection("orders"))):
            return await orders.find_one({"_id": order_id})

    print(WebAppTestClient(Shop).get("/api/orders/A-1", config=config).json()["total"])  # 10


async def event_store(config: dict[str, str]) -> None:
    from connect.eaas.core.decorators import router, web_app
    from connect.eaas.core.extension import WebApplicationBase
    from connect.eaas.core.testing import WebAppTestClient
    from connect.eaas.mongodb import AsyncEventStore
    from connect.eaas.mongodb.web import event_store
    from fastapi import Depends

    @web_app(router)
    class Shop(WebApplicationBase):
        @router.get("/numbers")
        async def numbers(self, store: AsyncEventStore = Depends(event_store())):
            return {"purchases": await store.count(event_type="asset_purchase_request_processing")}

    print(WebAppTestClient(Shop).get("/api/numbers", config=config).json())  # {'purchases': 0}


async def client_error() -> None:
    from connect.eaas.mongodb.web import client_error
    from pymongo.errors import DuplicateKeyError

    error = client_error(DuplicateKeyError("E11000 duplicate key error", 11000))
    print(error.status_code)  # 409


async def client_errors() -> None:
    from connect.eaas.core.utils import client_error_exception_handler
    from connect.eaas.mongodb.web import client_errors
    from pymongo.errors import ServerSelectionTimeoutError

    try:
        with client_errors():
            raise ServerSelectionTimeoutError("no server")
    except Exception as error:
        print(client_error_exception_handler(None, error).status_code)  # 503


async def EVENTS_PAGE() -> None:  # noqa: N802
    from connect.eaas.mongodb.page import EVENTS_PAGE

    print(EVENTS_PAGE)  # /static/stored-events/index.html


async def ADMIN_PAGES() -> None:  # noqa: N802
    from connect.eaas.mongodb.page import ADMIN_PAGES

    print(ADMIN_PAGES[0]["label"])  # Stored events


async def STATIC_FILES() -> None:  # noqa: N802
    from connect.eaas.mongodb.page import STATIC_FILES

    print((STATIC_FILES / "stored-events" / "index.html").exists())  # True
