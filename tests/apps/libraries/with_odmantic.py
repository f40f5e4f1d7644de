"""A marketplace's orders, kept with ODMantic: its asynchronous engine, and the same with its blocking one."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID

from bson import ObjectId, Regex
from odmantic import AIOEngine, EmbeddedModel, Field, Index, Model, Reference, SyncEngine, query
from odmantic.bson import Binary, Int64
from pymongo import IndexModel

from tests.apps.libraries import Drivers, Journal


class Level(str, Enum):
    LOW = "low"
    HIGH = "high"


class Contact(EmbeddedModel):
    email: str
    phones: list[str] = []


class Customer(Model):
    key: str = Field(primary_field=True)
    name: str = Field(unique=True)
    contact: Contact
    level: Level = Level.LOW

    model_config = {"collection": "customers"}


class Warehouse(Model):
    city: str = Field(index=True)
    rooms: dict[str, int] = {}

    model_config = {
        "collection": "warehouses",
        "indexes": lambda: [Index(Warehouse.city, query.desc(Warehouse.rooms), name="by_city")],
    }


class Line(EmbeddedModel):
    sku: str
    quantity: int
    price: Decimal


class Order(Model):
    id: ObjectId = Field(default_factory=ObjectId, primary_field=True)
    number: int = Field(unique=True, key_name="no")
    customer: Customer = Reference()
    warehouse: Warehouse = Reference(key_name="from")
    lines: list[Line] = []
    created: datetime
    token: UUID
    seal: Binary = Binary(b"")
    total: Int64 = Int64(0)
    pattern: Regex | None = None
    note: str | None = None

    model_config = {
        "collection": "orders",
        "indexes": lambda: [IndexModel([("created", -1)], name="newest", sparse=True)],
        "parse_doc_with_default_factories": True,
    }


START = datetime(2024, 5, 1, 8, 30, 15, 123000)
MODELS = [Customer, Warehouse, Order]


def customer(number: int) -> Customer:
    contact = Contact(email=f"a{number}@example.com", phones=["1", "2"][:number])
    return Customer(key=f"TA-{number}", name=f"Ünï {number}", contact=contact)


def order(number: int, buyer: Customer, warehouse: Warehouse) -> Order:
    return Order(
        number=number,
        customer=buyer,
        warehouse=warehouse,
        lines=[Line(sku=f"S{n}", quantity=n, price=Decimal(f"{n}.50")) for n in range(number % 3)],
        created=START.replace(day=number + 1),
        token=UUID(int=number),
        seal=Binary(bytes([number])),
        total=Int64(2**40 + number),
        pattern=Regex("^a", "i") if number == 1 else None,
    )


async def asynchronous(drivers: Drivers, journal: Journal) -> None:
    client = drivers.motor_client(drivers.uri, uuidRepresentation="standard")
    engine = AIOEngine(client=client, database=drivers.database)
    await engine.configure_database(MODELS)
    await engine.database.customers.drop_index("name_1")
    await engine.database.customers.create_index("name", unique=True, sparse=True)
    await journal.refused_later("another index", engine.configure_database([Customer]))
    await engine.configure_database([Customer], update_existing_indexes=True)
    buyer, other = customer(1), customer(2)
    warehouse = Warehouse(city="Wien", rooms={"a": 1, "b": 2})
    orders = [order(n, buyer, warehouse) for n in range(1, 5)]
    await engine.save(orders[0])
    await engine.save_all([*orders[1:], other])
    journal.note("saved", [await engine.count(model) for model in MODELS])
    await journal.refused_later("a second number", engine.save(order(2, buyer, warehouse)))
    journal.note("found", await engine.find(Order, Order.customer == "TA-1", sort=query.desc(Order.number)))
    journal.note("a page", await engine.find(Order, sort=(Order.created, Order.number), skip=1, limit=2))
    journal.note("iterated", [one.number async for one in engine.find(Order, Order.number > 1, sort=Order.number)])
    journal.note(
        "operators",
        [
            await engine.count(Order, query.or_(Order.number == 1, Order.total > 2**40 + 2)),
            await engine.count(Order, query.in_(Order.number, [1, 2]), Order.number != 2),
            await engine.count(Customer, query.match(Customer.name, "^Ünï")),
            await engine.count(Customer, Customer.contact.email == "a1@example.com"),
            await engine.count(Order, {"lines.sku": "S1"}),
        ],
    )
    one = await engine.find_one(Order, Order.number == 2)
    assert one is not None
    one.note = "changed"
    one.lines.append(Line(sku="LATE", quantity=1, price=Decimal("1")))
    one.customer.level = Level.HIGH
    await engine.save(one)
    one.model_update({"note": "patched"})
    await engine.save(one)
    journal.note("none", await engine.find_one(Order, Order.number == 99))

    async with engine.session() as session:
        journal.note("in a session", await session.find_one(Order, Order.number == 2))
        await session.save(customer(3))
        journal.note("counted in a session", await session.count(Customer))
        async with session.transaction() as transaction:
            await transaction.save(customer(4))
            await transaction.remove(Order, Order.number == 4)
            await transaction.commit()
    journal.note("committed", [await engine.count(model) for model in MODELS])
    async with engine.transaction() as transaction:
        await transaction.remove(Order)
        journal.note("inside", await transaction.count(Order))
        await transaction.abort()
    journal.note("aborted", await engine.count(Order))
    transaction = engine.transaction()
    await transaction.start()
    await transaction.save(customer(5))
    journal.note("outside", await engine.find_one(Customer, Customer.key == "TA-5"))
    await transaction.commit()
    try:
        async with engine.transaction() as failing:
            await failing.save(customer(6))
            raise RuntimeError("no")
    except RuntimeError as error:
        journal.note("raised", str(error))

    await engine.delete(one)
    await journal.refused_later("deleted twice", engine.delete(one))
    journal.note(
        "removed",
        [
            await engine.remove(Customer, Customer.level == Level.LOW, just_one=True),
            await engine.remove(Order, Order.number > 3),
        ],
    )
    collection = engine.get_collection(Order)
    raw = await collection.find_one({"no": 3})
    assert raw is not None
    journal.note("raw", raw)
    journal.note(
        "aggregated",
        await collection.aggregate(
            [
                {"$unwind": "$lines"},
                {"$group": {"_id": "$lines.sku", "n": {"$sum": "$lines.quantity"}}},
                {"$sort": {"_id": 1}},
            ]
        ).to_list(length=None),
    )
    await collection.insert_one({"no": "not a number", "_id": ObjectId("0" * 24)})
    await journal.refused_later("a document of another shape", engine.find_one(Order, {"_id": ObjectId("0" * 24)}))
    done = client.close()
    if asyncio.iscoroutine(done):
        await done


def blocking(drivers: Drivers, journal: Journal) -> None:
    client = drivers.sync_client(drivers.uri, uuidRepresentation="standard")
    engine = SyncEngine(client=client, database=f"{drivers.database}_blocking")
    engine.configure_database(MODELS)
    buyer = customer(1)
    warehouse = Warehouse(city="Wien")
    engine.save_all([order(n, buyer, warehouse) for n in range(1, 5)])
    journal.note("blocking: found", list(engine.find(Order, Order.number > 2, sort=Order.number)))
    journal.note("blocking: counted", engine.count(Order))
    journal.refused("blocking: a second number", lambda: engine.save(order(2, buyer, warehouse)))
    with engine.session() as session:
        session.save(customer(2))
        with session.transaction() as transaction:
            transaction.save(customer(3))
            transaction.commit()
    with engine.transaction() as transaction:
        transaction.remove(Order)
        transaction.abort()
    try:
        with engine.transaction() as transaction:
            transaction.save(customer(4))
            raise RuntimeError("no")
    except RuntimeError as error:
        journal.note("blocking: raised", str(error))
    one = engine.find_one(Order, Order.number == 2)
    assert one is not None
    engine.delete(one)
    journal.note("blocking: left", [engine.count(model) for model in MODELS])
    journal.note("blocking: removed", engine.remove(Customer, Customer.name == "Ünï 2"))
    client.close()


async def main(drivers: Drivers, journal: Journal) -> None:
    await asynchronous(drivers, journal)
    blocking(drivers, journal)
