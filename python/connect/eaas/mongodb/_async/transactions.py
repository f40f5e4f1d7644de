"""`with_transaction` of an asynchronous session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from connect.eaas.mongodb._common.transactions import Attempts, async_sleep, can_commit_again, is_transient
from pymongo.errors import PyMongoError

if TYPE_CHECKING:
    from connect.eaas.mongodb._native import AsyncClientSession

T = TypeVar("T")


async def with_transaction(
    session: AsyncClientSession,
    callback: Callable[[AsyncClientSession], Awaitable[T]],
    options: tuple[Any, ...],
) -> T:
    """Run `callback(session)` in a transaction."""
    attempts = Attempts()
    failed: BaseException | None = None
    while True:
        delay = attempts.delay()
        if failed is not None:
            if not attempts.has_time(delay):
                raise failed
            await async_sleep(delay)
        session.start_transaction(*options)
        try:
            result = await callback(session)
        except BaseException as error:
            if session.in_transaction:
                await session.abort_transaction()
            if is_transient(error) and attempts.has_time():
                failed = error
                continue
            raise
        if not session.in_transaction:
            # The callback has committed or aborted the transaction.
            return result
        while True:
            try:
                await session.commit_transaction()
            except PyMongoError as error:
                if not attempts.has_time():
                    raise
                if can_commit_again(error):
                    continue
                if is_transient(error):
                    failed = error
                    break
                raise
            return result
