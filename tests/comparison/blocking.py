"""The blocking clients in the awaited ones' shape, so that the same cases run with them.

What PyMongo's awaited classes await is a coroutine here too, which blocks and is done at
once: `drive` runs such a case without an event loop.
"""

from __future__ import annotations

import inspect
from collections.abc import Coroutine
from typing import Any

from pymongo.asynchronous.change_stream import AsyncChangeStream
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.command_cursor import AsyncCommandCursor
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.asynchronous.mongo_client import AsyncMongoClient


def _awaited(*classes: type) -> frozenset[str]:
    return frozenset(
        name for one in classes for name in dir(one) if inspect.iscoroutinefunction(getattr(one, name, None))
    )


# By the ending of a class's name, PyMongo's or ours: what is awaited.
AWAITED = {
    "MongoClient": _awaited(AsyncMongoClient),
    "Database": _awaited(AsyncDatabase),
    "Collection": _awaited(AsyncCollection),
    "Cursor": _awaited(AsyncCursor, AsyncCommandCursor),
    "ClientSession": _awaited(AsyncClientSession),
    "ChangeStream": _awaited(AsyncChangeStream),
    "Context": frozenset[str](),
}


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run what never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise RuntimeError("it waits for an event loop")


def _ending(value: Any) -> str | None:
    kind = type(value)
    if not kind.__module__.startswith(("pymongo.", "connect.eaas.mongodb")) and kind.__module__ != "builtins":
        return None
    return next((ending for ending in AWAITED if kind.__name__.endswith(ending)), None)


def adapted(value: Any) -> Any:
    """A value as the awaited client would give it."""
    ending = _ending(value)
    return value if ending is None else Adapted(value, AWAITED[ending])


def plain(value: Any) -> Any:
    """A value as the blocking client takes it."""
    if isinstance(value, Adapted):
        return value._inner
    if inspect.iscoroutinefunction(value):
        return lambda *arguments: plain(drive(value(*map(adapted, arguments))))
    return value


class Adapted:
    """A blocking object, to be awaited."""

    def __init__(self, inner: Any, awaits: frozenset[str]) -> None:
        self._inner = inner
        self._awaits = awaits

    def _given(self, value: Any) -> Any:
        return self if value is self._inner else adapted(value)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not inspect.isroutine(value):
            return self._given(value)

        def call(*arguments: Any, **options: Any) -> Any:
            return self._given(value(*map(plain, arguments), **{key: plain(option) for key, option in options.items()}))

        async def later(*arguments: Any, **options: Any) -> Any:
            try:
                return call(*arguments, **options)
            except StopIteration:
                raise StopAsyncIteration from None

        return later if name in self._awaits else call

    def __getitem__(self, key: Any) -> Any:
        return self._given(self._inner[key])

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._inner(*arguments, **options)

    def __eq__(self, other: object) -> bool:
        return bool(self._inner == plain(other))

    def __hash__(self) -> int:
        return hash(self._inner)

    def __bool__(self) -> bool:
        return bool(self._inner)

    def __aiter__(self) -> Adapted:
        return self

    async def __anext__(self) -> Any:
        try:
            return adapted(next(self._inner))
        except StopIteration:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Any:
        return self._given(self._inner.__enter__())

    async def __aexit__(self, *error: Any) -> Any:
        return self._inner.__exit__(*error)
