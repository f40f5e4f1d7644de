"""Functions and constants of modules."""

from __future__ import annotations

from connect.eaas.mongodb import AsyncEventStore


async def parse_event() -> None:
    from connect.eaas.mongodb import parse_event

    request = {"id": "PR-1", "status": "pending", "asset": {"id": "AS-1", "product": {"id": "PRD-1"}}}
    event = parse_event("asset_purchase_request_processing", request)
    print(type(event).__name__, event.asset.product.id, event.asset.marketplace)  # AssetRequest PRD-1 None


async def EVENT_TYPES() -> None:  # noqa: N802
    from connect.eaas.mongodb.events import EVENT_TYPES

    print(EVENT_TYPES["tier_config_setup_request_processing"].model.__name__)  # TierConfigRequest


async def VARIABLES() -> None:  # noqa: N802
    from connect.eaas.mongodb import VARIABLES

    print([variable["name"] for variable in VARIABLES if variable["secure"]])  # ['API_KEY', 'DB_PASSWORD']


async def STORE_VARIABLES() -> None:  # noqa: N802
    from connect.eaas.mongodb import STORE_VARIABLES

    print(STORE_VARIABLES[0]["name"])  # EVENTS_REDACT


async def Variable() -> None:  # noqa: N802
    from connect.eaas.mongodb.variables import Variable

    region: Variable = {"name": "REGION", "initial_value": "eu", "secure": False}
    print(region["name"])  # REGION


async def store_metrics(store: AsyncEventStore) -> None:
    from connect.eaas.mongodb.store import store_metrics

    before = store_metrics()["events_stored"]
    await store.save("asset_purchase_request_processing", {"id": "PR-1"})
    print(store_metrics()["events_stored"] - before)  # 1


async def KINDS() -> None:  # noqa: N802
    from connect.eaas.mongodb.backfill import KINDS

    print(list(KINDS)[:2])  # ['requests', 'tier-config-requests']


async def SECONDS() -> None:  # noqa: N802
    from connect.eaas.mongodb.metrics import SECONDS

    print(SECONDS[0], SECONDS[-1])  # 0.0005 30.0


async def COMMANDS() -> None:  # noqa: N802
    from connect.eaas.mongodb.metrics import COMMANDS

    print("find" in COMMANDS)  # True


async def DEFAULT_CHUNK_SIZE() -> None:  # noqa: N802
    from connect.eaas.mongodb.gridfs import DEFAULT_CHUNK_SIZE

    print(DEFAULT_CHUNK_SIZE)  # 261120
