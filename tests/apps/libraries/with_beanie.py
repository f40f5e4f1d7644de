"""A marketplace's requests, assets and prices, kept with Beanie."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, ClassVar
from uuid import UUID

import pymongo
from beanie import (
    BackLink,
    BulkWriter,
    DecimalAnnotation,
    DeleteRules,
    Document,
    DocumentWithSoftDelete,
    Granularity,
    Indexed,
    Insert,
    Link,
    PydanticObjectId,
    Replace,
    SortDirection,
    TimeSeriesConfig,
    UnionDoc,
    Update,
    UpdateResponse,
    View,
    WriteRules,
    after_event,
    before_event,
    init_beanie,
)
from beanie.executors.migrate import MigrationSettings, run_migrate
from beanie.migrations.database import DBHandler
from beanie.migrations.models import RunningDirections, RunningMode
from beanie.migrations.runner import MigrationNode
from beanie.odm.operators.find.array import ElemMatch
from beanie.odm.operators.find.comparison import GT, In, NotIn
from beanie.odm.operators.find.evaluation import RegEx
from beanie.odm.operators.find.logical import Nor, Or
from beanie.odm.operators.update.array import AddToSet, Pull, Push
from beanie.odm.operators.update.general import CurrentDate, Inc, Max, Set, SetOnInsert, Unset
from bson import Binary
from pydantic import BaseModel, Field
from pymongo import IndexModel

from tests.apps.libraries import Drivers, Journal

MIGRATIONS = Path(__file__).parent / "beanie_migrations"


class Status(str, Enum):
    PENDING = "pending"
    APPROVED = "approved"
    FAILED = "failed"


class Item(BaseModel):
    sku: str
    quantity: int
    price: DecimalAnnotation


class Account(Document):
    id: str
    name: Annotated[str, Indexed(index_type=pymongo.DESCENDING)]
    country: str | None = None
    assets: list[BackLink[Asset]] = Field(default_factory=list, json_schema_extra={"original_field": "owner"})

    class Settings:
        name = "accounts"
        keep_nulls = False
        validate_on_save = True


class Product(Document):
    code: Annotated[str, Indexed(unique=True)]
    title: str
    tags: set[str] = set()

    class Settings:
        name = "products"
        use_cache = True
        cache_expiration_time = timedelta(minutes=5)
        cache_capacity = 10


class Asset(Document):
    id: UUID
    owner: Link[Account]
    products: list[Link[Product]] = []
    parent: Link[Asset] | None = None
    valid_until: date

    class Settings:
        name = "assets"


class Request(Document):
    number: Annotated[int, Indexed(unique=True)]
    status: Status = Status.PENDING
    items: list[Item] = []
    note: str | None = None
    created: datetime
    seal: bytes = b""
    changes: int = 0

    log: ClassVar[list[str]] = []

    @before_event(Insert, Replace)
    def counted(self) -> None:
        self.changes += 1

    @after_event(Insert, Replace, Update)
    async def written(self) -> None:
        self.log.append(f"{self.number} written")

    class Settings:
        name = "requests"
        use_state_management = True
        state_management_save_previous = True
        use_revision = True
        indexes: ClassVar[list[Any]] = [
            "status",
            [("created", pymongo.DESCENDING), ("number", pymongo.ASCENDING)],
            IndexModel([("items.sku", 1)], name="skus", sparse=True),
            IndexModel([("created", 1)], name="aging", expireAfterSeconds=10_000_000_00),
        ]


class Total(BaseModel):
    id: str = Field(alias="_id")
    amount: DecimalAnnotation
    requests: int


class Summary(View):
    status: str
    requests: int

    class Settings:
        name = "summaries"
        source = Request
        pipeline: ClassVar[list[Any]] = [
            {"$group": {"_id": "$status", "requests": {"$sum": 1}}},
            {"$project": {"_id": 0, "status": "$_id", "requests": 1}},
            {"$sort": {"status": 1}},
        ]


class Parties(UnionDoc):
    class Settings:
        name = "parties"


class Vendor(Document):
    vendor: str

    class Settings:
        union_doc = Parties


class Distributor(Document):
    distributor: str
    level: int

    class Settings:
        union_doc = Parties


class Price(Document):
    sku: str
    amount: DecimalAnnotation

    class Settings:
        name = "prices"
        is_root = True


class TieredPrice(Price):
    tiers: dict[str, int]


class Draft(DocumentWithSoftDelete):
    title: str

    class Settings:
        name = "drafts"


class Usage(Document):
    at: datetime
    meter: str
    value: float

    class Settings:
        name = "usage"
        timeseries = TimeSeriesConfig(time_field="at", meta_field="meter", granularity=Granularity.hours)


class RequestOfToday(Request):
    """The same collection with one index less."""

    class Settings:
        name = "requests"
        indexes: ClassVar[list[Any]] = ["status", IndexModel([("items.sku", 1)], name="skus", sparse=True)]


class Short(BaseModel):
    number: int
    status: Status


MODELS = [Account, Product, Asset, Request, Summary, Parties, Vendor, Distributor, Price, TieredPrice, Draft, Usage]
START = datetime(2024, 5, 1, 8, tzinfo=timezone.utc)


def request(number: int, **fields: Any) -> Request:
    items = [
        Item(sku=f"SKU-{n}", quantity=n + number, price=Decimal(f"{n}.{number:02}")) for n in range(number % 3 + 1)
    ]
    return Request(number=number, items=items, created=START + timedelta(hours=number), seal=bytes([number]), **fields)


async def documents_live(journal: Journal) -> None:
    first = await request(1).insert()
    journal.note("inserted", first)
    await journal.refused_later("inserted twice", request(1).insert())
    many = await Request.insert_many([request(n) for n in range(2, 9)])
    journal.note("inserted many", len(many.inserted_ids))
    first.note = "to be changed"
    journal.note("changed", [first.is_changed, first.get_changes(), first.has_changed])
    await first.save_changes()
    journal.note("saved changes", [first.is_changed, first.get_previous_changes()])
    first.items.append(Item(sku="LATE", quantity=1, price=Decimal("9.99")))
    await first.replace()
    first.status = Status.APPROVED
    await first.save()
    stale = await Request.find_one(Request.number == 1)
    assert stale is not None
    await first.set({Request.note: "newer"})
    stale.note = "older"
    await journal.refused_later("a stale revision", stale.replace())
    await stale.sync()
    journal.note("synchronized", stale)
    journal.note("by id", await Request.get(first.id))
    journal.note("none", await Request.get(PydanticObjectId("0" * 24)))
    await first.inc({Request.changes: 5})
    await first.current_date({Request.created: True})
    journal.note("updated", first)
    journal.note(
        "upsert inserts",
        await Request.find_one(Request.number == 50).upsert(Set({Request.note: "not there"}), on_insert=request(50)),
    )
    journal.note(
        "upsert updates",
        await Request.find_one(Request.number == 50).upsert(
            Set({Request.note: "there"}), on_insert=request(50), response_type=UpdateResponse.NEW_DOCUMENT
        ),
    )
    journal.note("deleted", (await (await Request.find_one(Request.number == 50)).delete()).deleted_count)
    journal.note("actions", Request.log)


async def queries_run(journal: Journal) -> None:
    journal.note("sorted", await Request.find(Request.number > 2).sort(-Request.number).skip(1).limit(3).to_list())
    journal.note(
        "projected",
        await Request.find(
            In(Request.number, [2, 3, 4]), projection_model=Short, sort=[("number", SortDirection.DESCENDING)]
        ).to_list(),
    )
    journal.note(
        "operators",
        [
            await Request.find(Or(GT(Request.number, 6), Request.status == Status.APPROVED)).count(),
            await Request.find(Nor(Request.number == 2, Request.number == 3)).count(),
            await Request.find(ElemMatch(Request.items, {"sku": "SKU-2", "quantity": {"$gt": 3}})).count(),
            await Request.find(RegEx(Request.note, "^NEW", "i")).count(),
            await Request.find(NotIn(Request.number, [1]), {"seal": b"\x04"}).count(),
            await Request.find(Request.items.sku == "LATE").exists(),
            await Request.find(Request.number == -1).exists(),
            await Request.count(),
        ],
    )
    journal.note("iterated", [found.number async for found in Request.find_all(batch_size=2).sort("+number")])
    journal.note("first", await Request.find(Request.status == Status.PENDING).sort("number").first_or_none())
    journal.note("distinct", sorted(await Request.distinct("items.sku")))
    journal.note(
        "numbers",
        [
            await Request.find_all().sum(Request.changes),
            await Request.find_all().avg(Request.number),
            await Request.find_all().max(Request.number),
            await Request.find(Request.status == Status.PENDING).min(Request.number),
        ],
    )
    journal.note(
        "aggregated",
        await Request.find(Request.number < 8)
        .aggregate(
            [
                {"$unwind": "$items"},
                {"$group": {"_id": "$items.sku", "amount": {"$sum": "$items.price"}, "requests": {"$sum": 1}}},
                {"$sort": {"_id": 1}},
            ],
            projection_model=Total,
        )
        .to_list(),
    )
    journal.note(
        "aggregated, iterated", [one async for one in Request.aggregate([{"$sortByCount": "$status"}], batchSize=1)]
    )
    journal.note("a view", await Summary.find(Summary.requests > 0).to_list())
    journal.note("explained", bool(await Request.get_pymongo_collection().find({"status": "pending"}).explain()))
    journal.note("raw", await Request.find({"number": 2}).project(Short).first_or_none())
    lazy = await Request.find(Request.number == 3, lazy_parse=True).to_list()
    journal.note("lazy", lazy[0].items)


async def updates_run(journal: Journal) -> None:
    result = await Request.find(Request.number > 4).update(
        Set({Request.status: Status.FAILED}), Inc({Request.changes: 2}), Max({Request.note: "m"})
    )
    journal.note("updated many", [result.matched_count, result.modified_count, result.acknowledged, result.upserted_id])
    one = await Request.find_one(Request.number == 2).update(
        Push({Request.items: {"sku": "PUSHED", "quantity": 1, "price": Decimal("1.5")}}),
        response_type=UpdateResponse.NEW_DOCUMENT,
    )
    journal.note("new document", one)
    journal.note(
        "old document",
        await Request.find_one(Request.number == 2).update(
            Pull({Request.items: {"sku": "PUSHED"}}), response_type=UpdateResponse.OLD_DOCUMENT
        ),
    )
    await Request.find_one(Request.number == 3).update(Unset({Request.note: 1}), AddToSet({"labels": "a"}))
    await Request.find_one(Request.number == 4).update([{"$set": {"changes": {"$add": ["$number", 100]}}}])
    await Request.find_one(Request.number == 60).update(
        SetOnInsert({"created": START, "items": [], "seal": b""}), CurrentDate({"note": {"$type": "date"}}), upsert=True
    )
    await Request.find(Request.number == 60).delete()
    journal.note(
        "replaced many", await Request.replace_many([one async for one in Request.find(In(Request.number, [7, 8]))])
    )
    async with BulkWriter() as bulk:
        await Request.insert_one(request(70), bulk_writer=bulk)
        await Request.find_one(Request.number == 70).update(Set({Request.note: "in bulk"}), bulk_writer=bulk)
        await Request.find(Request.number < 3).update_many(Inc({Request.changes: 1}), bulk_writer=bulk)
        await Request.find_one(Request.number == 8).delete_one(bulk_writer=bulk)
        await Request.find_one(Request.number == 7).replace_one(request(7, note="whole"), bulk_writer=bulk)
    journal.note("after the bulk", await Request.find_all(sort="number").to_list())
    async with Request.bulk_writer(ordered=False) as unordered:
        await Request.insert_one(request(71), bulk_writer=unordered)
        result = await unordered.commit()
        assert result is not None
        journal.note(
            "a bulk's result", [result.inserted_count, result.matched_count, result.bulk_api_result["nInserted"]]
        )
        unordered.operations.clear()
    failing = BulkWriter(ordered=False)
    await Request.insert_one(request(71), bulk_writer=failing)
    await Request.insert_one(request(72), bulk_writer=failing)
    await journal.refused_later("a bulk that fails in part", failing.commit())


async def links_are_followed(journal: Journal) -> None:
    await Account(id="TA-1", name="Ünï Söhne", country="AT").insert()
    owner = Account(id="TA-2", name="Other")
    products = [Product(code=f"PRD-{n}", title=f"Product {n}", tags={"x", "y"}) for n in range(3)]
    parent = Asset(id=UUID(int=1), owner=owner, products=products[:1], valid_until=date(2030, 1, 31))
    child = Asset(id=UUID(int=2), owner=owner, products=products, parent=parent, valid_until=date(2031, 1, 31))
    await child.insert(link_rule=WriteRules.WRITE)
    journal.note("linked", [await Account.count(), await Product.count(), await Asset.count()])
    found = await Asset.find_one(Asset.id == UUID(int=2))
    assert found is not None
    journal.note("links", [type(found.owner).__name__, found.owner.to_dict(), len(found.products)])
    await found.fetch_link(Asset.owner)
    await found.fetch_all_links()
    journal.note("fetched", found)
    journal.note(
        "fetched at once", await Asset.find(Asset.owner.name == "Other", fetch_links=True).sort("_id").to_list()
    )
    journal.note("depth", await Asset.find_one(Asset.id == UUID(int=2), fetch_links=True, nesting_depth=1))
    back = await Account.find_one(Account.id == "TA-2", fetch_links=True, nesting_depth=1)
    assert back is not None
    journal.note("back links", sorted(str(asset.id) for asset in back.assets))
    journal.note(
        "cached",
        [await Product.find(Product.code == "PRD-1").to_list(), await Product.find(Product.code == "PRD-1").to_list()],
    )
    found.products[0].title = "Changed through a link"
    await found.save(link_rule=WriteRules.WRITE)
    journal.note("written through", await Product.find_one({"code": "PRD-0"}, ignore_cache=True))
    await found.delete(link_rule=DeleteRules.DELETE_LINKS)
    journal.note("deleted with links", [await Account.count(), await Product.count(), await Asset.count()])


async def kinds_differ(journal: Journal) -> None:
    await Vendor(vendor="Adobe").insert()
    await Distributor(distributor="Ingram", level=1).insert()
    journal.note("a union", await Parties.all().to_list())
    journal.note("a union, filtered", await Parties.find({"level": 1}).to_list())
    async with Parties.bulk_writer() as bulk:
        await Vendor.insert_one(Vendor(vendor="Other"), bulk_writer=bulk)
    await Price(sku="A", amount=Decimal("12345678901234567890.12345")).insert()
    await TieredPrice(sku="B", amount=Decimal("-0.10"), tiers={"10": 5}).insert()
    journal.note("inherited", await Price.find(with_children=True).to_list())
    journal.note("of one kind", await TieredPrice.find_all().to_list())
    draft = await Draft(title="first").insert()
    await Draft(title="second").insert()
    await draft.delete()
    journal.note(
        "softly deleted",
        [draft.is_deleted(), await Draft.find_all().to_list(), await Draft.find_many_in_all().to_list()],
    )
    await draft.hard_delete()
    await Usage.insert_many([Usage(at=START + timedelta(minutes=n), meter=f"M-{n % 2}", value=n / 4) for n in range(6)])
    journal.note("usage", await Usage.find(Usage.meter == "M-1").sort("at").to_list())


async def transactions_hold(client: Any, journal: Journal) -> None:
    async with client.start_session() as session:
        async with await session.start_transaction():
            await request(80).insert(session=session)
            await Request.find_one(Request.number == 80, session=session).update(Set({Request.note: "inside"}))
            journal.note("inside", await Request.find_one(Request.number == 80, session=session))
            journal.note("outside", await Request.find_one(Request.number == 80))
        journal.note("committed", await Request.find_one(Request.number == 80))
    async with client.start_session() as session:
        try:
            async with await session.start_transaction():
                await Request.find(Request.number > 1, session=session).delete()
                journal.note("left inside", await Request.find_all(session=session).count())
                raise RuntimeError("changed my mind")
        except RuntimeError as error:
            journal.note("raised", str(error))
    journal.note("rolled back", await Request.count())

    async def move(session: Any) -> int:
        taken = await Request.find_one(Request.number == 1, session=session)
        assert taken is not None
        await taken.inc({Request.changes: -1}, session=session)
        async with BulkWriter(session=session) as bulk:
            await Request.insert_one(request(81), bulk_writer=bulk)
        return taken.changes

    async with client.start_session() as session:
        journal.note("with a callback", await session.with_transaction(move))
    journal.note("moved", await Request.find_one(Request.number == 81))


async def migrations_run(drivers: Drivers, database: Any, journal: Journal) -> None:
    accounts = database.get_collection("old_accounts")
    await accounts.insert_many([{"_id": n, "name": f"Name {n}", "seal": Binary(b"x", 5)} for n in range(25)])

    async def migrate(direction: RunningDirections, distance: int) -> None:
        if drivers.given:
            # Beanie's own command makes a PyMongo client of its own from the URI.
            DBHandler.client = database.client
            DBHandler.database = database
            mode = RunningMode(direction=direction, distance=distance)
            root = await MigrationNode.build(MIGRATIONS)
            await root.run(mode=mode, allow_index_dropping=True, use_transaction=True)
        else:
            await run_migrate(
                MigrationSettings(
                    direction=direction,
                    distance=distance,
                    connection_uri=drivers.uri,
                    database_name=database.name,
                    path=MIGRATIONS,
                    allow_index_dropping=True,
                    use_transaction=True,
                )
            )

    await migrate(RunningDirections.FORWARD, 1)
    journal.note("one forward", await accounts.find({}, sort=[("_id", 1)]).to_list())
    await migrate(RunningDirections.FORWARD, 0)
    journal.note("all forward", await accounts.find({}, sort=[("_id", 1)], limit=3).to_list())
    await migrate(RunningDirections.BACKWARD, 1)
    journal.note("one backward", await accounts.find({}, sort=[("_id", 1)], limit=3).to_list())
    journal.note("log", await database.migrations_log.find({}, {"_id": 0, "name": 1, "is_current": 1}).to_list(None))


async def main(drivers: Drivers, journal: Journal) -> None:
    client = drivers.async_client(drivers.uri, tz_aware=True, uuidRepresentation="standard")
    database = client[drivers.database]
    await init_beanie(database=database, document_models=MODELS)
    await init_beanie(database=database, document_models=MODELS, recreate_views=True)
    journal.note("indexes", await Request.get_pymongo_collection().index_information())
    await documents_live(journal)
    await links_are_followed(journal)
    await queries_run(journal)
    await updates_run(journal)
    await kinds_differ(journal)
    await transactions_hold(client, journal)
    await init_beanie(database=database, document_models=[RequestOfToday], allow_index_dropping=True)
    journal.note("fewer indexes", await RequestOfToday.get_pymongo_collection().index_information())
    await migrations_run(drivers, database, journal)
    journal.note("inspected", await Product.inspect_collection())
    await Product.delete_all()
    await client.close()
