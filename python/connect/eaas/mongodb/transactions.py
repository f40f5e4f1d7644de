"""`with_transaction`: a callback in a transaction, again where that may help.

As MongoDB's drivers have it (https://github.com/mongodb/specifications, transactions-convenient-api).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pymongo.errors import ExecutionTimeout, OperationFailure, PyMongoError

if TYPE_CHECKING:
    from ._native import AsyncClientSession, ClientSession

T = TypeVar("T")

# For how long it is tried, in seconds.
_LIMIT = 120.0
# How long to wait before another try, at most, in seconds.
_FIRST_WAIT, _LONGEST_WAIT, _GROWTH = 0.005, 0.5, 1.5


class _Tries:
    """How often, and how much longer."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._count = 0

    def wait(self) -> float:
        """How long to wait before the next try."""
        self._count += 1
        if self._count == 1:
            return 0.0
        longest = min(_FIRST_WAIT * _GROWTH ** (self._count - 1), _LONGEST_WAIT)
        return random.random() * longest

    def may_go_on(self, wait: float = 0.0) -> bool:
        """Whether there is time for another try."""
        return time.monotonic() - self._begun + wait < _LIMIT


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, PyMongoError) and error.has_error_label("TransientTransactionError")


def _may_be_committed(error: PyMongoError) -> bool:
    """Whether committing again tells what became of the first time."""
    out_of_time = isinstance(error, ExecutionTimeout) or (isinstance(error, OperationFailure) and error.code == 50)
    return error.has_error_label("UnknownTransactionCommitResult") and not out_of_time


async def with_transaction_async(
    session: AsyncClientSession,
    callback: Callable[[AsyncClientSession], Awaitable[T]],
    options: tuple[Any, ...],
) -> T:
    """Awaits `callback(session)` in a transaction."""
    tries = _Tries()
    failed: BaseException | None = None
    while True:
        wait = tries.wait()
        if failed is not None:
            if not tries.may_go_on(wait):
                raise failed
            await asyncio.sleep(wait)
        session.start_transaction(*options)
        try:
            result = await callback(session)
        except BaseException as error:
            if session.in_transaction:
                await session.abort_transaction()
            if _is_transient(error) and tries.may_go_on():
                failed = error
                continue
            raise
        if not session.in_transaction:
            # The callback has ended it.
            return result
        while True:
            try:
                await session.commit_transaction()
            except PyMongoError as error:
                if not tries.may_go_on():
                    raise
                if _may_be_committed(error):
                    continue
                if _is_transient(error):
                    failed = error
                    break
                raise
            return result


def with_transaction(
    session: ClientSession,
    callback: Callable[[ClientSession], T],
    options: tuple[Any, ...],
) -> T:
    """Calls `callback(session)` in a transaction."""
    tries = _Tries()
    failed: BaseException | None = None
    while True:
        wait = tries.wait()
        if failed is not None:
            if not tries.may_go_on(wait):
                raise failed
            time.sleep(wait)
        session.start_transaction(*options)
        try:
            result = callback(session)
        except BaseException as error:
            if session.in_transaction:
                session.abort_transaction()
            if _is_transient(error) and tries.may_go_on():
                failed = error
                continue
            raise
        if not session.in_transaction:
            # The callback has ended it.
            return result
        while True:
            try:
                session.commit_transaction()
            except PyMongoError as error:
                if not tries.may_go_on():
                    raise
                if _may_be_committed(error):
                    continue
                if _is_transient(error):
                    failed = error
                    break
                raise
            return result
