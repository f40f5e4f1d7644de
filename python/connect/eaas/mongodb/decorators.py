"""`store_event`: an event handler whose event is stored before it runs."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from importlib import import_module
from queue import Empty, Queue
from threading import Lock, Thread
from typing import Any, Final, Literal, NamedTuple, TypeVar, overload

__all__ = ["drain_store", "open_store", "store_event"]

Handler = TypeVar("Handler", bound=Callable[..., Any])
OnError = Literal["reschedule", "fail", "raise", "continue"]

INTERACTIVE_SECONDS: Final = 5.0
"""How long storing may take where somebody waits for the answer, unless said otherwise."""

MOST_SAID: Final = 4000
"""The longest message of a task, in characters: that of the runner's own."""

LONGEST_COUNTDOWN: Final = 3600
"""The longest that a background event waits before Connect delivers it again, in seconds."""

_MOST_KNOWN = 10_000


class _Failures:
    """How often in a row storing an object has failed, in this process."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def count(self, key: str) -> int:
        """Count one more; gives how many there were before."""
        with self._lock:
            before = self._counts.pop(key, 0)
            self._counts[key] = before + 1
            if len(self._counts) > _MOST_KNOWN:
                self._counts.popitem(last=False)
            return before

    def forget(self, key: str) -> None:
        """It was stored."""
        with self._lock:
            self._counts.pop(key, None)


_failures = _Failures()


class _Event(NamedTuple):
    """What a handler is for."""

    event_type: str
    category: str

    @classmethod
    def of(cls, application: Any, handler: Callable[..., Any]) -> _Event:
        """What `@event` says of the method, or that it is for a schedule."""
        from connect.eaas.mongodb.events import EVENT_TYPES

        constants = import_module("connect.eaas.core.constants")
        # The class has the outermost function, which `@event` marks.
        method = getattr(type(application), handler.__name__, handler)
        info = getattr(method, constants.EVENT_INFO_ATTR_NAME, None)
        if info is None:
            return cls("scheduled_execution", "scheduled")
        event_type = str(info["event_type"])
        known = EVENT_TYPES.get(event_type)
        if known is not None:
            return cls(event_type, known.category)
        # `@event` takes statuses for background events, and for those only.
        return cls(event_type, "background" if info.get("statuses") else "interactive")


class _Policy:
    """What one decorated handler does."""

    def __init__(
        self,
        handler: Callable[..., Any],
        on_error: OnError | None,
        countdown: int,
        timeout: float | None,
        options: dict[str, Any],
    ) -> None:
        self.handler = handler
        self.on_error = on_error
        self.countdown = countdown
        self.timeout = timeout
        self.options = options

    def store_options(self, application: Any) -> dict[str, Any]:
        context = getattr(application, "context", None)
        known = {name: getattr(context, name, None) for name in ("extension_id", "environment_id")}
        return {name: value for name, value in known.items() if isinstance(value, str) and value} | self.options

    @staticmethod
    def ids(application: Any) -> dict[str, str | None]:
        """What is known of the task."""
        extra = getattr(getattr(application, "logger", None), "extra", None)
        installation = getattr(application, "installation", None)
        task_id = extra.get("task_id") if isinstance(extra, Mapping) else None
        installation_id = installation.get("id") if isinstance(installation, Mapping) else None
        return {
            "task_id": task_id if isinstance(task_id, str) else None,
            "installation_id": installation_id if isinstance(installation_id, str) else None,
        }

    def seconds(self, event: _Event) -> float | None:
        """How long storing may take."""
        if self.timeout is not None:
            return self.timeout
        return INTERACTIVE_SECONDS if event.category == "interactive" else None

    @staticmethod
    def key(store: Any, obj: Any) -> str:
        """What failures are counted by: the object, on its path."""
        return f"{type(store.collection).__name__} {obj.get('id') if isinstance(obj, Mapping) else ''}"

    @staticmethod
    def log(application: Any, level: str, message: str, *arguments: Any) -> None:
        """Say it, where there is something to say it to."""
        said = getattr(getattr(application, "logger", None), level, None)
        if callable(said):
            said(message, *arguments)

    @staticmethod
    def refusal(event: _Event, message: str, obj: Any) -> Any:
        """The answer that the event has failed for good."""
        message = message[:MOST_SAID]
        responses = import_module("connect.eaas.core.responses")
        if event.category == "background":
            return responses.BackgroundResponse.fail(output=message)
        if event.category == "scheduled":
            return responses.ScheduledExecutionResponse.fail(output=message)
        if event.event_type.endswith("_validation"):
            return responses.ValidationResponse.fail(data=obj, output=message)
        # Whoever called is told no more than that; what MongoDB said is for the task.
        body = {"error": "the event could not be taken"}
        return responses.InteractiveResponse.fail(http_status=503, body=body, output=message)

    def misconfigured(self, event: _Event, error: Exception, obj: Any) -> Any:
        """The answer where a variable is at fault."""
        if event.category == "background":
            # The runner tells Connect what it was, and Connect delivers again.
            raise error
        return self.refusal(event, str(error), obj)

    def failed(self, application: Any, store: Any, event: _Event, error: Exception, obj: Any) -> Any:
        """The answer where storing failed; `None` to go on without."""
        policy = self.on_error or ("reschedule" if event.category == "background" else "fail")
        self.log(application, "warning", "the event could not be stored: %s", error)
        if policy == "continue":
            return None
        if policy == "raise":
            raise error
        if policy == "reschedule" and event.category == "background":
            responses = import_module("connect.eaas.core.responses")
            times = min(_failures.count(self.key(store, obj)), 16)
            return responses.BackgroundResponse.reschedule(countdown=min(self.countdown * 2**times, LONGEST_COUNTDOWN))
        return self.refusal(event, f"the event could not be stored, and was not handled: {error}", obj)

    def stored(self, application: Any, store: Any, saved: Any, obj: Any) -> None:
        """It is stored."""
        _failures.forget(self.key(store, obj))
        self.log(application, "info", "the event is stored in %s: %s", store.collection.full_name, saved)

    def invalid(self, application: Any, event: _Event, error: Exception, obj: Any) -> Any:
        """The answer to an object that is not valid."""
        self.log(application, "error", "the event is not valid: %s", error)
        return self.refusal(event, str(error), obj)


@overload
def store_event(
    handler: Handler,
    /,
    *,
    on_error: OnError | None = None,
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
    countdown: int = 60,
    timeout: float | None = None,
    **options: Any,
) -> Callable[[Handler], Handler]: ...
def store_event(
    handler: Callable[..., Any] | None = None,
    /,
    *,
    on_error: OnError | None = None,
    countdown: int = 60,
    timeout: float | None = None,
    **options: Any,
) -> Any:
    """Store an event before its handler runs.

    Goes below `@event` or `@schedulable`, on a handler that is awaited or not::

        @event('asset_purchase_request_processing', statuses=['pending'])
        @store_event
        async def handle(self, request): ...

    An object that is not what its model says goes into the collection of dead
    letters, with what is wrong with it, and its task fails with a message that
    says so. Where MongoDB is away, `on_error` says what becomes of the event. It
    may be used twice on a handler, with a `path` each.

    Args:
        handler: the handler, where the decorator has no arguments.
        on_error: `reschedule` (for background events, and what they do unless
            said otherwise): Connect delivers it again, after `countdown` seconds,
            twice as long each time, up to an hour; `fail` (what interactive and
            scheduled events do): the task fails with a message; `raise`: as the
            runner takes an exception; `continue`: run the handler all the same.
        countdown: the first wait, in seconds; Connect makes it at least 30.
        timeout: how long storing may take, in seconds; of interactive events 5,
            unless said otherwise, and else the client's own limits. Used twice
            on a handler, each has its own.
        **options: `path`, and what `AsyncEventStore` takes.

    Raises:
        ValueError: a wrong `on_error`, `countdown` or `timeout`.
    """
    if on_error not in (None, "reschedule", "fail", "raise", "continue"):
        raise ValueError("on_error must be 'reschedule', 'fail', 'raise' or 'continue'")
    if countdown < 1 or (timeout is not None and timeout <= 0):
        raise ValueError("countdown and timeout must be more than 0")

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        policy = _Policy(handler, on_error, countdown, timeout, options)
        return _awaited(policy) if inspect.iscoroutinefunction(handler) else _blocking(policy)

    return decorate if handler is None else decorate(handler)


def _awaited(policy: _Policy) -> Callable[..., Any]:
    @functools.wraps(policy.handler)
    async def wrapper(self: Any, request: Any, *arguments: Any, **more: Any) -> Any:
        from connect.eaas.mongodb.events import EventValidationError
        from connect.eaas.mongodb.store import AsyncEventStore
        from pymongo.errors import ConfigurationError, PyMongoError

        event = _Event.of(self, policy.handler)
        seconds = policy.seconds(event)
        try:
            store = AsyncEventStore.from_config(self.config, **policy.store_options(self))
        except ConfigurationError as error:
            return policy.misconfigured(event, error, request)
        ids = policy.ids(self)
        try:
            try:
                saved = await asyncio.wait_for(store.save(event.event_type, request, **ids), seconds)
            except EventValidationError as error:
                letter = store.add_dead_letter(event.event_type, request, error, task_id=ids["task_id"])
                await asyncio.wait_for(letter, seconds)
                return policy.invalid(self, event, error, request)
        except (PyMongoError, asyncio.TimeoutError) as error:
            said = error if isinstance(error, PyMongoError) else TimeoutError(f"it was not stored within {seconds} s")
            answer = policy.failed(self, store, event, said, request)
            if answer is not None:
                return answer
        else:
            policy.stored(self, store, saved, request)
        return await policy.handler(self, request, *arguments, **more)

    return wrapper


def _blocking(policy: _Policy) -> Callable[..., Any]:
    @functools.wraps(policy.handler)
    def wrapper(self: Any, request: Any, *arguments: Any, **more: Any) -> Any:
        from connect.eaas.mongodb.events import EventValidationError
        from connect.eaas.mongodb.store import EventStore
        from pymongo.errors import ConfigurationError, PyMongoError

        event = _Event.of(self, policy.handler)
        seconds = policy.seconds(event)
        try:
            store = EventStore.from_config(self.config, **policy.store_options(self))
        except ConfigurationError as error:
            return policy.misconfigured(event, error, request)
        ids = policy.ids(self)
        try:
            try:
                saved = _within(seconds, lambda: store.save(event.event_type, request, **ids))
            except EventValidationError as error:
                invalid = error
                task_id = ids["task_id"]
                letter = (event.event_type, request, invalid)
                _within(seconds, lambda: store.add_dead_letter(*letter, task_id=task_id))
                return policy.invalid(self, event, invalid, request)
        except (PyMongoError, TimeoutError) as error:
            answer = policy.failed(self, store, event, error, request)
            if answer is not None:
                return answer
        else:
            policy.stored(self, store, saved, request)
        return policy.handler(self, request, *arguments, **more)

    return wrapper


def _within(seconds: float | None, call: Callable[[], Any]) -> Any:
    """Make a call that blocks, in no more than so many seconds."""
    if seconds is None:
        return call()
    ended: Queue[tuple[bool, Any]] = Queue()

    def work() -> None:
        try:
            ended.put((True, call()))
        except BaseException as error:
            ended.put((False, error))

    Thread(target=work, name="connect-mongodb-store", daemon=True).start()
    try:
        good, outcome = ended.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"it was not stored within {seconds} s") from None
    if good:
        return outcome
    raise outcome


async def open_store(config: Mapping[str, Any], *, logger: Any = None, **options: Any) -> bool:
    """Open the store early, for an application's `on_startup`: connects, and makes the indexes.

    A MongoDB that is away, or a variable at fault, does not keep the extension
    from starting: that is logged, and shows with the first event.

    Args:
        config: the extension's variables.
        logger: what is told of a failure.
        **options: as `AsyncEventStore.from_config` takes them.

    Returns:
        Whether the store is open, with its indexes where its path can make them.
    """
    from connect.eaas.mongodb.store import AsyncEventStore
    from pymongo.errors import PyMongoError

    try:
        store = AsyncEventStore.from_config(config, **options)
        await store.collection.find_one({"_id": None})
        await store.ensure_indexes()
    except NotImplementedError:
        # The Data API cannot make them; whoever has the driver path does.
        return True
    except PyMongoError as error:
        if logger is not None:
            logger.warning("the event store could not be opened, and is tried again with the first event: %s", error)
        return False
    return True


async def drain_store(config: Mapping[str, Any], **options: Any) -> None:
    """Wait until nothing is on its way to MongoDB, for an application's `on_shutdown`.

    Where the server answers nothing for five seconds, a warning is logged and the wait ends.

    Args:
        config: the extension's variables.
        **options: as `AsyncEventStore.from_config` takes them.
    """
    from connect.eaas.mongodb.store import AsyncEventStore
    from pymongo.errors import ConfigurationError, NetworkTimeout

    try:
        store = AsyncEventStore.from_config(config, **options)
    except ConfigurationError:
        # Then nothing is on its way.
        return
    try:
        await store.drain()
    except NetworkTimeout as error:
        logging.getLogger(__name__).warning("the event store was not drained: %s", error)
