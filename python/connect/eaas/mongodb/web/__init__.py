"""Dependencies for the web application of an extension, with FastAPI (`connect-eaas-mongodb[web]`).

    from connect.eaas.core.decorators import router, variables, web_app
    from connect.eaas.core.extension import WebApplicationBase
    from connect.eaas.mongodb import VARIABLES, AsyncCollection
    from connect.eaas.mongodb.web import collection
    from fastapi import Depends

    @variables(VARIABLES)
    @web_app(router)
    class Shop(WebApplicationBase):
        @router.get("/orders/{order_id}")
        async def order(self, order_id: str, orders: AsyncCollection = Depends(collection("orders"))):
            return await orders.find_one({"_id": order_id})

`database`, `collection` and `event_store` are the dependencies of endpoints that await. They are those of
`connect.eaas.mongodb.web.asynchronous`. Endpoints that block have theirs in `connect.eaas.mongodb.web.synchronous`,
under the same names, as `connect.eaas.core.inject` has.

All requests of the process share one client, with its pool of connections: that of `from_config` for the variables that
`connect.eaas.core.inject.common.get_config` returns. When the variables change, the next request uses a new client.

An error of MongoDB in an endpoint becomes Connect's `ClientError`, with the status 503 if MongoDB is unreachable.
"""

from __future__ import annotations

try:
    import connect.eaas.core.inject.common  # noqa: F401
except ModuleNotFoundError as _missing:
    if _missing.name not in ("connect.eaas.core", "connect.eaas.core.inject", "fastapi"):
        raise
    raise ModuleNotFoundError(
        "connect.eaas.mongodb.web requires connect-eaas-core: pip install 'connect-eaas-mongodb[web]'",
        name=_missing.name,
    ) from None

from connect.eaas.mongodb.web.asynchronous import collection, database, event_store
from connect.eaas.mongodb.web.errors import client_error, client_errors

__all__ = ["client_error", "client_errors", "collection", "database", "event_store"]
