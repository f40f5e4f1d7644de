"""`store_event`: an event handler whose event is stored before it runs."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import multiprocessing
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping
from importlib import import_module
from queue import Empty, Queue
from threading import Lock, Thread
from typing import Any, Final, Literal, NamedTuple, TypeVar, overload

from connect.eaas.mongodb.variables import VARIABLES

__all__ = ["drain_store", "open_store", "store_event"]

Handler = TypeVar("Handler", bound=Callable[..., Any])
OnError = Literal["reschedule", "fail", "raise", "continue"]
OnInvalid = Literal["handle", "fail", "reschedule"]

INTERACTIVE_SECONDS: Final = 5.0
"""How long storing may take where somebody waits for the answer, unless said otherwise."""

MOST_SAID: Final = 4000
"""The longest message of a task, in characters: that of the runner's own."""

LONGEST_COUNTDOWN: Final = 3600
"""The longest that a background event waits before Connect delivers it again, in seconds."""

_MOST_KNOWN = 10_000

_METHODS: Final = {
    "process_new_listing_request": "listing_new_request_processing",
    "process_remove_listing_request": "listing_remove_request_processing",
    "process_usage_file": "usage_file_request_processing",
    "process_usage_chunk_file": "part_usage_file_request_processing",
    "process_product_custom_event": "product_custom_event_processing",
    "execute_product_action": "product_action_execution",
}
"""Methods that the runner calls for the capabilities in `extension.json`, and whose names follow no rule."""

_WORKERS: Final = {
    "start_interactive_worker_process": "interactive",
    "start_background_worker_process": "background",
}
"""What the runner's worker processes run, and the category of the events that they get."""


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


def _header(application: Any, name: str) -> str | None:
    """A header that the runner gives the application's clients of Connect's API."""
    for attribute in ("client", "installation_client"):
        headers = getattr(getattr(application, attribute, None), "default_headers", None)
        value = headers.get(name) if isinstance(headers, Mapping) else None
        if isinstance(value, str) and value:
            return value
    return None


def _declared(application: Any, name: str) -> str | None:
    """The event type of a method that `extension.json` declares, as the runner finds it."""
    from connect.eaas.mongodb.events import EVENT_TYPES

    event_type = _METHODS.get(name)
    for beginning, ending in (("process_", "_processing"), ("validate_", "_validation")):
        if event_type is None and name.startswith(beginning):
            event_type = name.removeprefix(beginning) + ending
    if event_type in EVENT_TYPES:
        return event_type
    try:
        schedulables = application.get_descriptor()["schedulables"]
        return "scheduled_execution" if any(known["method"] == name for known in schedulables) else None
    except Exception:
        # There is no such file, or it declares no schedulables.
        return None


def _worker() -> str | None:
    """The category of the events that this process gets, where it is a worker of the runner's."""
    target = getattr(multiprocessing.current_process(), "_target", None)
    return _WORKERS.get(getattr(target, "__name__", ""))


class _Event(NamedTuple):
    """What a handler is for."""

    event_type: str
    category: str
    certain: bool = True
    """Whether the category is known, and not inferred."""

    @classmethod
    def of(cls, application: Any, policy: _Policy) -> _Event:
        """What the method's decorators say, and else what the runner called it for."""
        constants = import_module("connect.eaas.core.constants")
        info = policy.mark(application, constants.EVENT_INFO_ATTR_NAME)
        if info is not None:
            return cls._of_type(str(info["event_type"]), info.get("statuses") is not None)
        if policy.mark(application, constants.SCHEDULABLE_INFO_ATTR_NAME) is not None:
            return cls("scheduled_execution", "scheduled")
        event_type = _header(application, "EAAS_TASK_TYPE")
        extension = import_module("connect.eaas.core.extension")
        if isinstance(application, extension.TransformationsApplicationBase):
            return cls(event_type or "transformation_request", "transformation")
        return cls._of_type(event_type or _declared(application, policy.handler.__name__) or "unknown", True)

    @classmethod
    def _of_type(cls, event_type: str, statuses: bool) -> _Event:
        from connect.eaas.mongodb.events import EVENT_TYPES

        known = EVENT_TYPES.get(event_type)
        if known is not None:
            return cls(event_type, known.category)
        category = _worker()
        if category is None:
            interactive = event_type.endswith(("_validation", "_execution")) or "_custom_event_" in event_type
            # `@event` has to list the statuses of background events.
            category = "interactive" if interactive or not statuses else "background"
        return cls(event_type, category, certain=False)


class _Policy:
    """What one decorated handler does."""

    def __init__(
        self,
        handler: Callable[..., Any],
        on_error: OnError | None,
        on_invalid: OnInvalid,
        countdown: int,
        timeout: float | None,
        options: dict[str, Any],
    ) -> None:
        self.handler = handler
        self.on_error = on_error
        self.on_invalid = on_invalid
        self.countdown = countdown
        self.timeout = timeout
        self.options = options
        self.lock = Lock()
        self.wrappers: list[Callable[..., Any]] = []
        """What `store_event` has made of the handler, the outermost last."""
        self.inner: _Policy | None = getattr(handler, "_store_event", None)
        names = list(inspect.signature(handler).parameters)
        self.argument_name = names[1] if len(names) > 1 else "request"

    def wraps(self, wrapper: Callable[..., Any]) -> Callable[..., Any]:
        """Remember what the handler is wrapped in: other decorators may mark it."""
        policy: _Policy | None = self
        while policy is not None:
            policy.wrappers.append(wrapper)
            policy = policy.inner
        wrapper._store_event = self  # type: ignore[attr-defined]
        return wrapper

    def mark(self, application: Any, name: str) -> Any:
        """What a decorator of `connect-eaas-core` has noted of the handler, or `None`."""
        # The class has the outermost function, unless another decorator has renamed it.
        method = getattr(type(application), self.handler.__name__, None)
        for function in (method, *reversed(self.wrappers), self.handler):
            info = getattr(function, "__dict__", {}).get(name)
            if isinstance(info, Mapping):
                return info
        return None

    def event_object(self, application: Any, event: _Event, arguments: tuple[Any, ...], more: dict[str, Any]) -> Any:
        """What to store: what the handler is called with, but of a transformation its request, and not each row."""
        if event.category == "transformation":
            return getattr(application, "transformation_request", None)
        return arguments[0] if arguments else more.get(self.argument_name)

    def store_options(self, application: Any) -> dict[str, Any]:
        context = getattr(application, "context", None)
        known = {name: getattr(context, name, None) for name in ("extension_id", "environment_id")}
        return {name: value for name, value in known.items() if isinstance(value, str) and value} | self.options

    @staticmethod
    def config(application: Any) -> Mapping[str, Any]:
        """The extension's variables."""
        config = getattr(application, "config", None)
        return config if isinstance(config, Mapping) else {}

    @staticmethod
    def ids(application: Any) -> dict[str, str | None]:
        """What is known of the task."""
        extra = getattr(getattr(application, "logger", None), "extra", None)
        installation = getattr(application, "installation", None)
        task_id = extra.get("task_id") if isinstance(extra, Mapping) else None
        installation_id = installation.get("id") if isinstance(installation, Mapping) else None
        return {
            "task_id": task_id if isinstance(task_id, str) else _header(application, "EAAS_TASK_ID"),
            "installation_id": installation_id if isinstance(installation_id, str) else None,
        }

    def is_not_to_be_stored(self, application: Any, event: _Event, obj: Any) -> bool:
        """Whether the handler runs without a store: there is no task, and none of the variables is set.

        The runner always has a task. The tests that Connect's CLI writes for
        an extension have none, and no variables.
        """
        if event.category == "transformation" and not isinstance(obj, Mapping):
            return True
        config = self.config(application)
        if any(variable["name"] in config for variable in VARIABLES) or self.ids(application)["task_id"] is not None:
            return False
        self.log(application, "warning", "the event is not stored: there is no task, and no variable is set")
        return True

    def seconds(self, event: _Event) -> float | None:
        """How long storing may take."""
        if self.timeout is not None:
            return self.timeout
        return INTERACTIVE_SECONDS if event.category == "interactive" else None

    def key(self, application: Any, store: Any, obj: Any) -> str:
        """What failures are counted by: the object, or else the task, on its path."""
        object_id = obj.get("id") if isinstance(obj, Mapping) else None
        of = object_id if isinstance(object_id, (str, int)) else self.ids(application)["task_id"]
        return f"{type(store.collection).__name__} {of}"

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
        if event.category == "transformation":
            return responses.RowTransformationResponse.fail(output=message)
        if event.category == "scheduled":
            return responses.ScheduledExecutionResponse.fail(output=message)
        if event.category == "background":
            return _Policy.readable(event, responses.BackgroundResponse.fail(output=message))
        if event.event_type.endswith("_validation"):
            return responses.InteractiveResponse.fail(http_status=400, body=obj, output=message)
        # Whoever called is told no more than that; what MongoDB said is for the task.
        return responses.InteractiveResponse.fail(http_status=503, body=_REFUSED, output=message)

    @staticmethod
    def readable(event: _Event, answer: Any) -> Any:
        """The answer to a background event, so that an interactive one can have it too if its category is unknown."""
        if not event.certain:
            answer.data = {"http_status": 503, "headers": None, "body": _REFUSED}
        return answer

    def reschedule(self, application: Any, store: Any, event: _Event, obj: Any) -> Any:
        """The answer that Connect is to deliver the event again."""
        responses = import_module("connect.eaas.core.responses")
        times = min(_failures.count(self.key(application, store, obj)), 16)
        countdown = min(self.countdown * 2**times, LONGEST_COUNTDOWN)
        return self.readable(event, responses.BackgroundResponse.reschedule(countdown=countdown))

    def misconfigured(self, event: _Event, error: Exception, obj: Any) -> Any:
        """The answer where a variable is at fault."""
        if event.category == "background":
            # The runner tells Connect what it was, and Connect delivers again.
            raise error
        return self.refusal(event, str(error), obj)

    def failed(self, application: Any, store: Any, event: _Event, error: Exception, obj: Any) -> Any:
        """The answer where storing failed; `None` to go on without."""
        policy = self.on_error or ("reschedule" if event.category == "background" else "fail")
        reason = _reason(error)
        self.log(application, "warning", "the event could not be stored: %s", reason)
        if _is_unexpected(error):
            # Where it was raised; its message could hold data.
            self.log(application, "error", "%s", "".join(traceback.format_tb(error.__traceback__)))
        if policy == "continue":
            return None
        if policy == "raise":
            raise error
        if policy == "reschedule" and event.category == "background":
            return self.reschedule(application, store, event, obj)
        return self.refusal(event, f"the event could not be stored, and was not handled: {reason}", obj)

    def stored(self, application: Any, store: Any, saved: Any, obj: Any) -> None:
        """It is stored."""
        _failures.forget(self.key(application, store, obj))
        self.log(application, "info", "the event is stored in %s: %s", store.collection.full_name, saved)

    def invalid(self, application: Any, store: Any, event: _Event, error: Exception, obj: Any) -> Any:
        """The answer to an object that cannot be stored; `None` to handle it all the same."""
        self.log(application, "error", "the event cannot be stored: %s", error)
        if self.on_invalid == "handle":
            return None
        if self.on_invalid == "reschedule" and event.category == "background":
            return self.reschedule(application, store, event, obj)
        return self.refusal(event, str(error), obj)

    def letter_failed(self, application: Any, error: Exception) -> None:
        """A dead letter could not be kept: raises where MongoDB cannot be reached, and only then."""
        from pymongo.errors import ConnectionFailure

        if isinstance(error, (ConnectionFailure, TimeoutError, asyncio.TimeoutError)):
            raise error
        self.log(application, "error", "the event could not be kept as a dead letter: %s", _reason(error))


_REFUSED: Final = {"error": "the event could not be taken"}


def _is_unexpected(error: Exception) -> bool:
    """Whether it is neither MongoDB's nor of our own making."""
    from pymongo.errors import PyMongoError

    return not isinstance(error, (PyMongoError, TimeoutError))


def _reason(error: Exception) -> str:
    """What to say of an error."""
    return type(error).__name__ if _is_unexpected(error) else str(error)


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

    Goes below `@event`, `@schedulable` or `@transformation`, on a handler that
    is awaited or not::

        @event('asset_purchase_request_processing', statuses=['pending'])
        @store_event
        async def handle(self, request): ...

    A handler that `extension.json` declares, without `@event`, is stored under
    the event type that the runner called it for. Of a transformation its request
    is stored, once, and not each row. The decorator may be used twice on a
    handler, with a `path` each.

    Where there is no task, and none of this package's variables is set, as in
    the tests that `ccli project extension bootstrap` writes, nothing is stored
    and the handler runs.

    Args:
        handler: the handler, where the decorator has no arguments.
        on_error: what happens to an event that could not be stored, for example
            because MongoDB cannot be reached. `reschedule` (the default for
            background events, and for these only): Connect delivers it again,
            after `countdown` seconds, twice as long each time, up to an hour;
            `fail` (the default for all others): the task fails with a message;
            `raise`: the handler raises the exception; `continue`: the handler runs.
        on_invalid: what happens to an object that can never be stored, because
            it is nested too deep, larger than 16 MiB, or has an integer beyond
            64 bits. It goes into the collection of dead letters first.
            `handle` (the default): the handler runs; `fail`: the task fails with
            a message that says what is wrong; `reschedule`: Connect delivers it
            again, as with `on_error` (background events only; others fail).
        countdown: the first wait, in seconds; Connect makes it at least 30.
        timeout: how long storing may take, in seconds; the default is 5 for
            interactive events, and the client's own limits for others. Used
            twice on a handler, each has its own.
        **options: `path`, and what `AsyncEventStore` takes.

    Raises:
        ValueError: a wrong `on_error`, `on_invalid`, `countdown` or `timeout`.
    """
    if on_error not in (None, "reschedule", "fail", "raise", "continue"):
        raise ValueError("on_error must be 'reschedule', 'fail', 'raise' or 'continue'")
    if on_invalid not in ("handle", "fail", "reschedule"):
        raise ValueError("on_invalid must be 'handle', 'fail' or 'reschedule'")
    if countdown < 1 or (timeout is not None and timeout <= 0):
        raise ValueError("countdown and timeout must be more than 0")

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        policy = _Policy(handler, on_error, on_invalid, countdown, timeout, options)
        return policy.wraps(_awaited(policy) if inspect.iscoroutinefunction(handler) else _blocking(policy))

    return decorate if handler is None else decorate(handler)


def _awaited(policy: _Policy) -> Callable[..., Any]:
    @functools.wraps(policy.handler)
    async def wrapper(self: Any, *arguments: Any, **more: Any) -> Any:
        event = _Event.of(self, policy)
        store = _stored_once if event.category == "transformation" else _store
        answer = await store(policy, self, event, policy.event_object(self, event, arguments, more))
        return await policy.handler(self, *arguments, **more) if answer is None else answer

    return wrapper


async def _store(policy: _Policy, application: Any, event: _Event, obj: Any) -> Any:
    """Store the event; gives the answer to it, or `None` where it is to be handled."""
    from connect.eaas.mongodb.events import EventValidationError
    from connect.eaas.mongodb.store import AsyncEventStore
    from pymongo.errors import ConfigurationError

    if policy.is_not_to_be_stored(application, event, obj):
        return None
    seconds = policy.seconds(event)
    try:
        store = AsyncEventStore.from_config(policy.config(application), **policy.store_options(application))
    except ConfigurationError as error:
        return policy.misconfigured(event, error, obj)
    ids = policy.ids(application)
    try:
        try:
            saved = await asyncio.wait_for(store.save(event.event_type, obj, **ids), seconds)
        except EventValidationError as error:
            letter = store.add_dead_letter(event.event_type, obj, error, **ids)
            try:
                await asyncio.wait_for(letter, seconds)
            except Exception as failure:
                policy.letter_failed(application, failure)
            return policy.invalid(application, store, event, error, obj)
    except asyncio.TimeoutError:
        return policy.failed(application, store, event, _late(seconds), obj)
    except Exception as error:
        return policy.failed(application, store, event, error, obj)
    policy.stored(application, store, saved, obj)
    return None


async def _stored_once(policy: _Policy, application: Any, event: _Event, obj: Any) -> Any:
    """The same for all rows of a transformation: the runner has an application for each request."""
    known = _known_of(application)
    task = known.get(policy)
    if task is None:
        task = known[policy] = asyncio.ensure_future(_store(policy, application, event, obj))
    # A row that takes too long is cancelled by itself.
    return await asyncio.shield(task)


def _blocking(policy: _Policy) -> Callable[..., Any]:
    @functools.wraps(policy.handler)
    def wrapper(self: Any, *arguments: Any, **more: Any) -> Any:
        event = _Event.of(self, policy)
        store = _stored_once_blocking if event.category == "transformation" else _store_blocking
        answer = store(policy, self, event, policy.event_object(self, event, arguments, more))
        return policy.handler(self, *arguments, **more) if answer is None else answer

    return wrapper


def _store_blocking(policy: _Policy, application: Any, event: _Event, obj: Any) -> Any:
    """As `_store`."""
    from connect.eaas.mongodb.events import EventValidationError
    from connect.eaas.mongodb.store import EventStore
    from pymongo.errors import ConfigurationError

    if policy.is_not_to_be_stored(application, event, obj):
        return None
    seconds = policy.seconds(event)
    try:
        store = EventStore.from_config(policy.config(application), **policy.store_options(application))
    except ConfigurationError as error:
        return policy.misconfigured(event, error, obj)
    ids = policy.ids(application)
    try:
        try:
            saved = _within(seconds, lambda: store.save(event.event_type, obj, **ids))
        except EventValidationError as error:
            invalid = error
            try:
                _within(seconds, lambda: store.add_dead_letter(event.event_type, obj, invalid, **ids))
            except Exception as failure:
                policy.letter_failed(application, failure)
            return policy.invalid(application, store, event, invalid, obj)
    except Exception as error:
        return policy.failed(application, store, event, error, obj)
    policy.stored(application, store, saved, obj)
    return None


def _stored_once_blocking(policy: _Policy, application: Any, event: _Event, obj: Any) -> Any:
    """As `_stored_once`; rows that come meanwhile wait."""
    known = _known_of(application)
    with policy.lock:
        lock, outcome = known.setdefault(policy, (Lock(), []))
    with lock:
        if not outcome:
            outcome.append(_store_blocking(policy, application, event, obj))
        return outcome[0]


def _known_of(application: Any) -> dict[_Policy, Any]:
    """What this application has stored already, by decorator."""
    known: dict[_Policy, Any] = getattr(application, "__dict__", {}).setdefault("_store_event", {})
    return known


def _late(seconds: float | None) -> TimeoutError:
    return TimeoutError("it was not stored in time" if seconds is None else f"it was not stored within {seconds} s")


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
        raise _late(seconds) from None
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
