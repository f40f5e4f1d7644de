"""`store_event` for asynchronous handlers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from connect.eaas.mongodb._common.store_event import AsyncOnce, Event, Policy, async_within


def wrap(policy: Policy) -> Callable[..., Any]:
    """Return a function that stores the event, and then calls the handler."""

    @functools.wraps(policy.handler)
    async def wrapper(self: Any, *arguments: Any, **options: Any) -> Any:
        event = Event.of(self, policy)
        obj = policy.event_object(self, event, arguments, options)
        if event.category == "transformation":
            # The runner creates an application per request, and calls the handler for each row.
            response = await policy.once(self, AsyncOnce).call(_store, policy, self, event, obj)
        else:
            response = await _store(policy, self, event, obj)
        return await policy.handler(self, *arguments, **options) if response is None else response

    return wrapper


async def _store(policy: Policy, application: Any, event: Event, obj: Any) -> Any:
    """Store the event; return the response to it, or `None` to call the handler."""
    from connect.eaas.mongodb._async.store import AsyncEventStore
    from connect.eaas.mongodb.events import EventValidationError
    from pymongo.errors import ConfigurationError

    if policy.skips_storing(application, event, obj):
        return None
    seconds = policy.seconds(event)
    try:
        store = AsyncEventStore.from_config(policy.config(application), **policy.store_options(application))
    except ConfigurationError as error:
        return policy.misconfigured(event, error, obj)
    ids = policy.ids(application)
    try:
        try:
            saved = await async_within(seconds, store.save, event.event_type, obj, **ids)
        except EventValidationError as invalid:
            try:
                await async_within(seconds, store.add_dead_letter, event.event_type, obj, invalid, **ids)
            except Exception as error:
                policy.letter_failed(application, error)
            return policy.invalid(application, store, event, invalid, obj)
    except Exception as error:
        return policy.failed(application, store, event, error, obj)
    policy.stored(application, store, saved, obj)
    return None
