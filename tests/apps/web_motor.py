"""A Connect web application, on Motor: a marketplace's orders, stock and settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Annotated, Any
from uuid import uuid4

from bson import ObjectId, json_util
from bson.errors import InvalidId
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from gridfs import NoFile
from motor.motor_asyncio import (
    AsyncIOMotorClient,
    AsyncIOMotorClientSession,
    AsyncIOMotorCollection,
    AsyncIOMotorCursor,
    AsyncIOMotorDatabase,
    AsyncIOMotorGridFSBucket,
)
from pydantic import BaseModel, Field
from pymongo import ASCENDING, DESCENDING, DeleteOne, IndexModel, InsertOne, ReturnDocument, UpdateOne
from pymongo.errors import AutoReconnect, BulkWriteError, CollectionInvalid, DuplicateKeyError, WriteError
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

Document = dict[str, Any]
Client = AsyncIOMotorClient[Document]
Database = AsyncIOMotorDatabase[Document]
Collection = AsyncIOMotorCollection[Document]

DOCUMENT_VALIDATION_FAILED = 121

ORDER_SCHEMA = {
    "$jsonSchema": {
        "bsonType": "object",
        "required": ["number", "marketplace", "customer", "status", "lines", "created"],
        "properties": {
            "number": {"bsonType": "string"},
            "status": {"enum": ["draft", "approved", "failed"]},
            "created": {"bsonType": "date"},
            "lines": {
                "bsonType": "array",
                "minItems": 1,
                "items": {
                    "bsonType": "object",
                    "required": ["sku", "quantity", "price"],
                    "properties": {"quantity": {"bsonType": "int", "minimum": 1}},
                },
            },
        },
    }
}

router = APIRouter(prefix="/api")


class StockChange(BaseModel):
    """One line of an import of stock."""

    action: str
    sku: str
    warehouse: str
    quantity: int = 0


class Transfer(BaseModel):
    """Stock that goes from one warehouse to another."""

    sku: str
    source: str
    target: str
    quantity: int = Field(gt=0)


class CommandCounter(CommandListener):
    """Counts the commands that the client sends."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def started(self, event: CommandStartedEvent) -> None:
        self.counts[event.command_name] += 1

    def succeeded(self, event: CommandSucceededEvent) -> None:
        self.counts["succeeded"] += 1

    def failed(self, event: CommandFailedEvent) -> None:
        self.counts["failed"] += 1


# Start and end


async def ensure_collection(db: Database, name: str, validator: Document) -> Collection:
    """Make the collection, or give the one there is the validator of this version."""
    try:
        return await db.create_collection(name, validator=validator, validationLevel="strict")
    except CollectionInvalid:
        await db.command("collMod", name, validator=validator)
        return db[name]


async def ensure_indexes(db: Database) -> None:
    await db.orders.create_index("number", unique=True)
    await db.orders.create_indexes(
        [
            IndexModel([("marketplace", ASCENDING), ("created", DESCENDING)], name="by_marketplace"),
            IndexModel("customer.id", sparse=True),
        ]
    )
    await db.stock.create_index([("sku", ASCENDING), ("warehouse", ASCENDING)], unique=True)
    await db.settings.create_index("marketplace", unique=True)


def create_app(config: Mapping[str, str]) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        commands = CommandCounter()
        client: Client = AsyncIOMotorClient(
            config["MONGODB_URI"],
            appname="orders",
            serverSelectionTimeoutMS=5000,
            maxPoolSize=20,
            tz_aware=True,
            uuidRepresentation="standard",
            event_listeners=[commands],
        )
        app.state.client, app.state.commands = client, commands
        app.state.db = client.get_database(config["DB"])
        await ensure_collection(app.state.db, "orders", ORDER_SCHEMA)
        await ensure_indexes(app.state.db)
        yield
        client.close()

    app = FastAPI(title="Orders", lifespan=lifespan)
    app.include_router(router)
    app.add_exception_handler(DuplicateKeyError, on_duplicate)
    app.add_exception_handler(WriteError, on_write_error)
    app.add_exception_handler(InvalidId, on_invalid_id)
    app.add_exception_handler(AutoReconnect, on_lost_connection)
    return app


def on_duplicate(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DuplicateKeyError)
    return JSONResponse({"code": error.code, "duplicate": (error.details or {}).get("keyValue")}, status_code=409)


def on_write_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, WriteError)
    if error.code != DOCUMENT_VALIDATION_FAILED:
        return JSONResponse({"code": error.code}, status_code=500)
    return JSONResponse({"code": error.code, "why": "errInfo" in (error.details or {})}, status_code=422)


def on_invalid_id(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, status_code=400)


def on_lost_connection(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": "the database is away"}, status_code=503, headers={"Retry-After": "5"})


# Dependencies


def get_client(request: Request) -> Client:
    client = request.app.state.client
    assert isinstance(client, AsyncIOMotorClient)
    return client


def get_db(request: Request) -> Database:
    db = request.app.state.db
    assert isinstance(db, AsyncIOMotorDatabase)
    return db


def get_orders(db: Annotated[Database, Depends(get_db)]) -> Collection:
    return db.get_collection("orders")


async def get_session(client: Annotated[Client, Depends(get_client)]) -> AsyncIterator[AsyncIOMotorClientSession]:
    async with await client.start_session() as session:
        yield session


def get_bucket(db: Annotated[Database, Depends(get_db)]) -> AsyncIOMotorGridFSBucket:
    return AsyncIOMotorGridFSBucket(db, bucket_name="attachments", chunk_size_bytes=1024)


ClientDependency = Annotated[Client, Depends(get_client)]
DatabaseDependency = Annotated[Database, Depends(get_db)]
OrdersDependency = Annotated[Collection, Depends(get_orders)]
SessionDependency = Annotated[AsyncIOMotorClientSession, Depends(get_session)]
BucketDependency = Annotated[AsyncIOMotorGridFSBucket, Depends(get_bucket)]


# Helpers


def present(document: Document) -> Document:
    """A document as the front end wants it."""
    shown = {"id": document["_id"]} if "_id" in document else {}
    shown |= {key: value for key, value in document.items() if key != "_id"}
    return {
        key: str(value) if isinstance(value, ObjectId) else value.isoformat() if isinstance(value, datetime) else value
        for key, value in shown.items()
    }


def found(document: Document | None) -> Document:
    if document is None:
        raise HTTPException(404)
    return present(document)


async def rows(source: Collection | AsyncIOMotorCursor[Document]) -> list[Document]:
    """All of a collection, or what a cursor gives."""
    cursor = source.find() if isinstance(source, AsyncIOMotorCollection) else source
    assert isinstance(cursor, AsyncIOMotorCursor)
    return [present(document) async for document in cursor]


async def next_number(db: Database) -> str:
    counter = await db.counters.find_one_and_update(
        {"_id": "orders"}, {"$inc": {"value": 1}}, upsert=True, return_document=ReturnDocument.AFTER
    )
    assert counter is not None
    return f"ORD-{counter['value']:05}"


# Orders


@router.post("/orders", status_code=201)
async def create_order(order: dict[str, Any], db: DatabaseDependency) -> dict[str, Any]:
    order.setdefault("number", await next_number(db))
    order.setdefault("status", "draft")
    order["created"] = datetime.now(timezone.utc)
    result = await db.orders.insert_one(order)
    return found(await db.orders.find_one({"_id": result.inserted_id}))


@router.get("/orders")
async def list_orders(
    orders: OrdersDependency,
    marketplace: str | None = None,
    skip: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(le=100)] = 10,
    order_by: str = "number",
) -> dict[str, Any]:
    query = {} if marketplace is None else {"marketplace": marketplace}
    direction = DESCENDING if order_by.startswith("-") else ASCENDING
    cursor = orders.find(query, {"lines": 0}).sort(order_by.lstrip("-"), direction).skip(skip).limit(limit)
    return {"total": await orders.count_documents(query), "items": await rows(cursor)}


@router.get("/orders/export")
async def export_orders(orders: OrdersDependency) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        async for order in orders.find({}, batch_size=2).sort([("number", ASCENDING)]):
            yield json_util.dumps(order) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@router.get("/orders/customers")
async def customers(orders: OrdersDependency, marketplace: str) -> list[str]:
    return sorted(await orders.distinct("customer.id", {"marketplace": marketplace}))


@router.get("/orders/revenue")
async def revenue(orders: OrdersDependency, least: int = 0) -> list[dict[str, Any]]:
    cursor = orders.aggregate(
        [
            {"$match": {"status": {"$ne": "failed"}}},
            {"$unwind": "$lines"},
            {
                "$group": {
                    "_id": "$marketplace",
                    "revenue": {"$sum": {"$multiply": ["$lines.quantity", "$lines.price"]}},
                    "orders": {"$addToSet": "$number"},
                }
            },
            {"$match": {"revenue": {"$gte": least}}},
            {"$project": {"_id": 0, "marketplace": "$_id", "revenue": 1, "orders": {"$size": "$orders"}}},
            {"$sort": {"revenue": -1}},
        ],
        allowDiskUse=True,
    )
    return await cursor.to_list(length=None)


@router.get("/orders/{order_id}")
async def get_order(order_id: str, orders: OrdersDependency) -> dict[str, Any]:
    return found(await orders.find_one({"_id": ObjectId(order_id)}))


@router.patch("/orders/{order_id}")
async def change_order(order_id: str, changes: dict[str, Any], orders: OrdersDependency) -> dict[str, Any]:
    return found(
        await orders.find_one_and_update(
            {"_id": ObjectId(order_id)},
            {"$set": changes, "$currentDate": {"updated": True}},
            projection={"created": 0},
            return_document=ReturnDocument.AFTER,
        )
    )


@router.put("/orders/{order_id}/lines/{sku}")
async def change_quantity(
    order_id: str, sku: str, quantity: Annotated[int, Query()], orders: OrdersDependency
) -> dict[str, int]:
    result = await orders.update_one(
        {"_id": ObjectId(order_id)},
        {"$set": {"lines.$[line].quantity": quantity}},
        array_filters=[{"line.sku": sku}],
    )
    return {"matched": result.matched_count, "modified": result.modified_count}


@router.delete("/orders/{order_id}", status_code=204)
async def delete_order(order_id: str, orders: OrdersDependency) -> None:
    if not (await orders.delete_one({"_id": ObjectId(order_id)})).deleted_count:
        raise HTTPException(404)


# Stock


@router.get("/stock")
async def list_stock(db: DatabaseDependency) -> list[dict[str, Any]]:
    cursor = db.stock.find({}, {"_id": False}, sort=[("sku", 1), ("warehouse", 1)])
    return await cursor.to_list(length=100)


@router.post("/stock/import")
async def import_stock(
    changes: list[StockChange], db: DatabaseDependency, response: Response, ordered: bool = True
) -> dict[str, Any]:
    requests: list[InsertOne[Document] | UpdateOne | DeleteOne] = []
    for change in changes:
        key = {"sku": change.sku, "warehouse": change.warehouse}
        if change.action == "new":
            requests.append(InsertOne({**key, "quantity": change.quantity}))
        elif change.action == "add":
            requests.append(UpdateOne(key, {"$inc": {"quantity": change.quantity}}, upsert=True))
        else:
            requests.append(DeleteOne(key))
    try:
        result = await db.stock.bulk_write(requests, ordered=ordered)
    except BulkWriteError as error:
        response.status_code = 207
        details = error.details
        return {
            "inserted": details["nInserted"],
            "modified": details["nModified"],
            "deleted": details["nRemoved"],
            "upserted": len(details["upserted"]),
            "errors": [{"line": one["index"], "code": one["code"]} for one in details["writeErrors"]],
        }
    return {
        "inserted": result.inserted_count,
        "modified": result.modified_count,
        "deleted": result.deleted_count,
        "upserted": result.upserted_count,
        "upserted_lines": sorted(result.upserted_ids or {}),
        "errors": [],
    }


async def move(db: Database, transfer: Transfer, session: AsyncIOMotorClientSession) -> None:
    """Take stock from one warehouse and give it to another, within the session's transaction."""
    await db.stock.update_one(
        {"sku": transfer.sku, "warehouse": transfer.target},
        {"$inc": {"quantity": transfer.quantity}},
        upsert=True,
        session=session,
    )
    taken = await db.stock.update_one(
        {"sku": transfer.sku, "warehouse": transfer.source, "quantity": {"$gte": transfer.quantity}},
        {"$inc": {"quantity": -transfer.quantity}},
        session=session,
    )
    if not taken.modified_count:
        raise HTTPException(409, "not enough of it")


@router.post("/stock/transfer")
async def transfer_stock(transfer: Transfer, db: DatabaseDependency, session: SessionDependency) -> dict[str, Any]:
    async with session.start_transaction(write_concern=WriteConcern("majority")):
        await move(db, transfer, session)
        await db.transfers.insert_one({**transfer.model_dump(), "at": datetime.now(timezone.utc)}, session=session)
    return {"transfers": await db.transfers.count_documents({"sku": transfer.sku})}


@router.post("/stock/preview")
async def preview_transfer(transfer: Transfer, db: DatabaseDependency, session: SessionDependency) -> list[Any]:
    """What the stock would be: done, looked at, and undone."""
    session.start_transaction()
    try:
        await move(db, transfer, session)
        cursor = db.stock.find({"sku": transfer.sku}, {"_id": 0}, session=session).sort("warehouse")
        stock: list[Any] = await cursor.to_list(length=None)
        return stock
    finally:
        if session.in_transaction:  # type: ignore[truthy-function]
            await session.abort_transaction()


@router.post("/orders/{order_id}/approve")
async def approve_order(order_id: str, warehouse: str, db: DatabaseDependency, client: ClientDependency) -> Document:
    """Take all that is in the order from a warehouse, and approve it: both, or nothing."""

    async def approve(session: AsyncIOMotorClientSession) -> Document:
        order = await db.orders.find_one_and_update(
            {"_id": ObjectId(order_id), "status": "draft"},
            {"$set": {"status": "approved"}},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if order is None:
            raise HTTPException(404)
        for line in order["lines"]:
            taken = await db.stock.update_one(
                {"sku": line["sku"], "warehouse": warehouse, "quantity": {"$gte": line["quantity"]}},
                {"$inc": {"quantity": -line["quantity"]}},
                session=session,
            )
            if not taken.matched_count:
                raise HTTPException(409, f"not enough of {line['sku']}")
        return present(order)

    async with await client.start_session() as session:
        order: Document = await session.with_transaction(
            approve, read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority")
        )
        return order


# Settings


@router.put("/settings/{marketplace}")
async def save_settings(
    marketplace: str, values: dict[str, Any], db: DatabaseDependency, response: Response
) -> dict[str, Any]:
    settings = db.settings.with_options(write_concern=WriteConcern("majority"), read_concern=ReadConcern("majority"))
    result = await settings.update_one(
        {"marketplace": marketplace},
        {"$set": {"values": values}, "$setOnInsert": {"key": uuid4(), "created": datetime.now(timezone.utc)}},
        upsert=True,
    )
    response.status_code = 201 if result.upserted_id is not None else 200
    return found(await settings.find_one({"marketplace": marketplace}, {"_id": 0}))


@router.delete("/settings/{marketplace}")
async def delete_settings(marketplace: str, db: DatabaseDependency) -> dict[str, Any]:
    return found(await db.settings.find_one_and_delete({"marketplace": marketplace}, projection=["values"]))


# Attachments


@router.put("/orders/{order_id}/attachments/{filename}", status_code=201)
async def upload(order_id: str, filename: str, request: Request, bucket: BucketDependency) -> dict[str, Any]:
    metadata = {"order": ObjectId(order_id), "type": request.headers.get("content-type")}
    async with bucket.open_upload_stream(filename, metadata=metadata) as stream:
        async for chunk in request.stream():
            await stream.write(chunk)
    return {"id": str(stream._id), "length": stream.length}


@router.get("/orders/{order_id}/attachments")
async def list_attachments(order_id: str, bucket: BucketDependency) -> list[dict[str, Any]]:
    cursor = bucket.find({"metadata.order": ObjectId(order_id)}).sort("filename", ASCENDING)
    return [{"id": str(file._id), "name": file.filename, "length": file.length} async for file in cursor]


@router.get("/attachments/{file_id}")
async def download(file_id: str, bucket: BucketDependency) -> StreamingResponse:
    try:
        stream = await bucket.open_download_stream(ObjectId(file_id))
    except NoFile:
        raise HTTPException(404) from None

    async def chunks() -> AsyncIterator[bytes]:
        while chunk := await stream.readchunk():
            yield chunk

    return StreamingResponse(chunks(), media_type=(stream.metadata or {}).get("type"))


@router.delete("/attachments/{file_id}", status_code=204)
async def delete_attachment(file_id: str, bucket: BucketDependency) -> None:
    try:
        await bucket.delete(ObjectId(file_id))
    except NoFile:
        raise HTTPException(404) from None


# Operations


@router.get("/health")
async def health(client: ClientDependency, request: Request) -> dict[str, Any]:
    await client.admin.command("ping")
    version = (await client.server_info())["version"]
    return {"version": version, "commands": dict(request.app.state.commands.counts)}


@router.get("/indexes")
async def indexes(db: DatabaseDependency) -> dict[str, Any]:
    cursor = db.orders.list_indexes()
    names = [index["name"] for index in await cursor.to_list(None)]
    stock = await db.stock.index_information()
    return {"orders": names, "stock": {name: one.get("unique", False) for name, one in stock.items()}}
