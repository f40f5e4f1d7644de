"""`store_event`: stores an event before its handler runs."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from connect.eaas.mongodb._async import store_event as asynchronous
from connect.eaas.mongodb._common.store_event import OnError as OnError
from connect.eaas.mongodb._common.store_event import OnInvalid as OnInvalid
from connect.eaas.mongodb._common.store_event import Policy
from connect.eaas.mongodb._sync import store_event as blocking

__all__ = ["drain_store", "open_store", "store_event"]

Handler = TypeVar("Handler", bound=Callable[..., Any])


@overload
def store_event(
    handler: Handler,
    /,
    *,
    on_error: OnError | None = None,
    on_invalid: OnInvalid = "handle",
    countdown: int = 60,
    timeout: float | None = None,
    **options: Any,
) -> Handler: ...
@overload
def store_event(
    handler: None = None,
    /,
    *,
    on_error: OnError | None = None,
    on_invalid: OnInvalid = "handle",
    countdown: int = 60,
    timeout: float | None = None,
    **options: Any,
) -> Callable[[Handler], Handler]: ...
def store_event(
    handler: Callable[..., Any] | None = None,
    /,
    *,
    on_error: OnError | None = None,
    on_invalid: OnInvalid = "handle",
    countdown: int = 60,
    timeout: float | None = None,
    **options: Any,
) -> Any:
    """Store an event before its handler runs.

    The decorator goes below `@event`, `@schedulable` or `@transformation`, on an
    asynchronous or a blocking handler:

        @event('asset_purchase_request_processing', statuses=['pending'])
        @store_event
        async def handle(self, request): ...

    If `extension.json` declares the handler, without `@event`, its events are
    stored under the event type that the runner called it for. For a
    transformation, the request is stored once, rather than each row. A handler
    may have the decorator twice, each with its own `path`.

    If there is no task and none of this package's variables is set, as in the
    tests that `ccli project extension bootstrap` generates, nothing is stored
    and the handler runs.

    Args:
        handler: the handler, if the decorator has no arguments.
        on_error: what happens to an event that could not be stored, for example
            because MongoDB is unreachable. `reschedule` (background events only,
            and their default): Connect delivers the event again after `countdown`
            seconds, a delay that doubles each time, up to an hour;
            `fail` (the default for all others): the task fails with a message;
            `raise`: the handler raises the exception; `continue`: the handler runs.
        on_invalid: what happens to an object that can never be stored, because
            it is nested too deeply, larger than 16 MiB, or has an integer beyond
            64 bits. The object is first stored as a dead letter.
            `handle` (the default): the handler runs; `fail`: the task fails with
            a message that names the problems; `reschedule`: Connect delivers the
            event again, as with `on_error` (background events only; others fail).
        countdown: the first delay, in seconds; Connect raises it to at least 30.
        timeout: the time limit for storing, in seconds; the default is 5 for
            interactive events, and the client's own timeouts for others. Each
            decorator of a handler has its own.
        **options: `path`, and the options of `AsyncEventStore`.

    Raises:
        ValueError: `on_error`, `on_invalid`, `countdown` or `timeout` is invalid.
    """
    if on_error not in (None, "reschedule", "fail", "raise", "continue"):
        raise ValueError("on_error must be 'reschedule', 'fail', 'raise' or 'continue'")
    if on_invalid not in ("handle", "fail", "reschedule"):
        raise ValueError("on_invalid must be 'handle', 'fail' or 'reschedule'")
    if countdown < 1 or (timeout is not None and timeout <= 0):
        raise ValueError("countdown and timeout must be more than 0")

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        policy = Policy(handler, on_error, on_invalid, countdown, timeout, options)
        wrap = asynchronous.wrap if inspect.iscoroutinefunction(handler) else blocking.wrap
        return policy.wraps(wrap(policy))

    return decorate if handler is None else decorate(handler)


async def open_store(config: Mapping[str, Any], *, logger: Any = None, **options: Any) -> bool:
    """Open the store early, in an application's `on_startup`: connect, and create the indexes.

    If MongoDB is unreachable or a variable is invalid, the extension starts
    nevertheless: the error is logged, and occurs again with the first event.

    Args:
        config: the extension's variables.
        logger: the logger of a failure.
        **options: the options of `AsyncEventStore.from_config`.

    Returns:
        Whether the store is open, with its indexes if its path can create them.
    """
    from connect.eaas.mongodb.store import AsyncEventStore
    from pymongo.errors import PyMongoError

    try:
        store = AsyncEventStore.from_config(config, **options)
        await store.collection.find_one({"_id": None})
        await store.ensure_indexes()
    except NotImplementedError:
        # The Data API cannot create indexes; an application with the driver path does.
        return True
    except PyMongoError as error:
        if logger is not None:
            logger.warning("the event store could not be opened; the first event tries again: %s", error)
        return False
    return True


async def drain_store(config: Mapping[str, Any], **options: Any) -> None:
    """Wait until all inserts in flight have completed, in an application's `on_shutdown`.

    If the server does not respond for five seconds, a warning is logged and the wait ends.

    Args:
        config: the extension's variables.
        **options: the options of `AsyncEventStore.from_config`.
    """
    from connect.eaas.mongodb.store import AsyncEventStore
    from pymongo.errors import ConfigurationError, NetworkTimeout

    try:
        store = AsyncEventStore.from_config(config, **options)
    except ConfigurationError:
        # Without a valid configuration nothing was sent.
        return
    try:
        await store.drain()
    except NetworkTimeout as error:
        logging.getLogger(__name__).warning("the event store was not drained: %s", error)
