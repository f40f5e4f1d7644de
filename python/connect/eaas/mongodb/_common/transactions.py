"""What the asynchronous and the blocking `with_transaction` have in common."""

from __future__ import annotations

import random
import time
from asyncio import sleep as async_sleep
from time import sleep

from pymongo.errors import ExecutionTimeout, OperationFailure, PyMongoError

__all__ = ["Attempts", "async_sleep", "can_commit_again", "is_transient", "sleep"]

# The specification's limits: the total time, and the backoff between attempts, in seconds.
LIMIT_SECONDS = 120.0
FIRST_DELAY, MAX_DELAY, GROWTH = 0.005, 0.5, 1.5


class Attempts:
    """Counts the attempts, and limits their total time."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._count = 0

    def delay(self) -> float:
        """Start an attempt; return how long to wait before it, in seconds."""
        self._count += 1
        if self._count == 1:
            return 0.0
        longest = min(FIRST_DELAY * GROWTH ** (self._count - 1), MAX_DELAY)
        return random.random() * longest

    def has_time(self, delay: float = 0.0) -> bool:
        """Whether there is time for another attempt after `delay` seconds."""
        return time.monotonic() - self._started + delay < LIMIT_SECONDS


def is_transient(error: BaseException) -> bool:
    """Whether the whole transaction may succeed if it is tried again."""
    return isinstance(error, PyMongoError) and error.has_error_label("TransientTransactionError")


def can_commit_again(error: PyMongoError) -> bool:
    """Whether the result of the commit is unknown, and committing again determines it."""
    out_of_time = isinstance(error, ExecutionTimeout) or (isinstance(error, OperationFailure) and error.code == 50)
    return error.has_error_label("UnknownTransactionCommitResult") and not out_of_time
