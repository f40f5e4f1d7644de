"""Members of `DataApiError`."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncDataApiCollection


async def overview(http_collection: AsyncDataApiCollection) -> None:
    from connect.eaas.mongodb import DataApiError

    try:
        await http_collection.find_one({"$where": "sleep(1000) || true"})
    except DataApiError as error:
        print(error.status, error.error_code)  # 403 OperationNotAllowed
