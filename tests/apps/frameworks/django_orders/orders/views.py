"""Views: blocking and asynchronous."""

from __future__ import annotations

from bson import json_util
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from orders.mongodb import async_database, database


def export(request: HttpRequest) -> StreamingHttpResponse:
    """Stream the orders, a line each."""
    orders = database().orders.find({}, {"created": 0}, sort=[("number", 1)], batch_size=2)
    return StreamingHttpResponse((json_util.dumps(order) + "\n" for order in orders), content_type="application/jsonl")


async def status(request: HttpRequest, number: int) -> HttpResponse:
    """Answer with an order's status."""
    db = async_database()
    try:
        order = await db.orders.find_one({"number": number})
    finally:
        await db.client.close()
    if order is None:
        return JsonResponse({"error": "there is no such order"}, status=404)
    return JsonResponse({"number": number, "status": order["status"], "created": order["created"]})


urlpatterns = [path("export", export), path("orders/<int:number>", status)]
