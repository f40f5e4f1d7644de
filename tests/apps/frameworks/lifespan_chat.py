"""A FastAPI application: a client in the lifespan, dependencies, background tasks, a stream and a WebSocket.

`create_app(uri, database)` makes its client when the application starts. `create_app_of_module(uri, database)` makes
it at once, as applications do that have it at module level.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from bson import ObjectId
from bson.errors import InvalidId
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from pymongo import AsyncMongoClient, MongoClient, ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase


class Message(BaseModel):
    """What is said in a room."""

    author: str
    text: str


async def db_of(request: Request) -> AsyncDatabase[dict[str, Any]]:
    db: AsyncDatabase[dict[str, Any]] = request.app.state.db
    return db


async def transaction(request: Request) -> AsyncIterator[AsyncClientSession]:
    """A dependency whose transaction spans the request."""
    async with request.app.state.db.client.start_session() as session:
        async with await session.start_transaction():
            yield session


Db = Annotated[AsyncDatabase[dict[str, Any]], Depends(db_of)]
Transaction = Annotated[AsyncClientSession, Depends(transaction)]


async def count_words(db: AsyncDatabase[dict[str, Any]], room: str, text: str) -> None:
    # Not in the room's document: the transaction of the request that adds this task may still be open.
    await db.words.update_one({"_id": room}, {"$inc": {"words": len(text.split())}}, upsert=True)


def routes(app: FastAPI) -> FastAPI:
    @app.post("/rooms/{room}", status_code=201)
    async def say(room: str, message: Message, db: Db, session: Transaction, later: BackgroundTasks) -> dict[str, Any]:
        state: Any = await db.rooms.find_one_and_update(
            {"_id": room}, {"$inc": {"last": 1}}, upsert=True, return_document=ReturnDocument.AFTER, session=session
        )
        if message.text == "fail":
            raise HTTPException(422, "refused")
        said = {"room": room, "number": state["last"], **message.model_dump()}
        result = await db.messages.insert_one(said, session=session)
        later.add_task(count_words, db, room, message.text)
        return {"id": str(result.inserted_id), "number": state["last"]}

    @app.get("/rooms/{room}")
    async def read(room: str, db: Db) -> dict[str, Any]:
        state = await db.rooms.find_one({"_id": room})
        if state is None:
            raise HTTPException(404)
        return {**state, **(await db.words.find_one({"_id": room}, {"_id": 0}) or {})}

    @app.get("/messages/{message}")
    async def one(message: str, db: Db) -> dict[str, Any]:
        try:
            found = await db.messages.find_one({"_id": ObjectId(message)}, {"_id": 0})
        except InvalidId as error:
            raise HTTPException(400, str(error)) from error
        if found is None:
            raise HTTPException(404)
        return found

    @app.get("/rooms/{room}/log")
    async def log(room: str, db: Db) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            async for message in db.messages.find({"room": room}, sort=[("number", 1)], batch_size=2):
                yield f"{message['number']} {message['author']}: {message['text']}\n"

        return StreamingResponse(lines(), media_type="text/plain")

    @app.websocket("/rooms/{room}/live")
    async def live(websocket: WebSocket, room: str) -> None:
        db: AsyncDatabase[dict[str, Any]] = websocket.app.state.db
        async with await db.messages.watch([{"$match": {"fullDocument.room": room}}]) as stream:
            await websocket.accept()
            for _ in range(2):
                change = await stream.next()
                await websocket.send_json({"text": change["fullDocument"]["text"]})
        await websocket.close()

    # A function without `async` runs in a thread, and uses the blocking client.
    @app.get("/statistics")
    def statistics(request: Request) -> list[dict[str, Any]]:
        pipeline = [{"$group": {"_id": "$author", "count": {"$sum": 1}}}, {"$sort": {"_id": 1}}]
        return list(request.app.state.blocking[request.app.state.db.name].messages.aggregate(pipeline))

    return app


def create_app(uri: str, database: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        client: AsyncMongoClient[dict[str, Any]]
        async with AsyncMongoClient(uri, serverSelectionTimeoutMS=5000) as client:
            with MongoClient[dict[str, Any]](uri) as blocking:
                app.state.db, app.state.blocking = client[database], blocking
                await app.state.db.messages.create_index([("room", 1), ("number", 1)], unique=True)
                yield

    return routes(FastAPI(lifespan=lifespan))


def create_app_of_module(uri: str, database: str) -> FastAPI:
    app = FastAPI()
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri)
    blocking: MongoClient[dict[str, Any]] = MongoClient(uri)
    app.state.db, app.state.blocking = client[database], blocking
    return routes(app)
