"""Members of `Model`."""

from __future__ import annotations


async def overview() -> None:
    from connect.eaas.mongodb.events import AssetRequest

    request = AssetRequest({"id": "PR-1", "status": "pending", "custom": 5})
    print(request.status, request.reason, request.custom)  # pending None 5


async def deviations() -> None:
    from connect.eaas.mongodb.events import AssetRequest

    request = AssetRequest({"id": "PR-1", "status": 5})
    print(request.deviations)  # (Deviation(path='status', expected='a string', actual='int'),)


async def validate() -> None:
    from connect.eaas.mongodb import EventValidationError
    from connect.eaas.mongodb.events import AssetRequest

    try:
        AssetRequest.validate({"id": "PR-1", "status": 5})
    except EventValidationError as error:
        print(error)  # not a valid AssetRequest: status: expected a string, got int


async def to_dict() -> None:
    from connect.eaas.mongodb.events import AssetRequest

    request = AssetRequest({"id": "PR-1", "status": "pending"})
    print(request.to_dict())  # {'id': 'PR-1', 'status': 'pending'}
