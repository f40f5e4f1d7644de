"""What `store_event` does for asynchronous and for blocking handlers."""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import traceback
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from queue import Empty, Queue
from threading import Lock, Thread
from typing import Any, Final, Literal, NamedTuple, TypeVar

from connect.eaas.mongodb.variables import VARIABLES

T = TypeVar("T")
REFUSED: Final = {"error": "the event could not be processed"}
OnError = Literal["reschedule", "fail", "raise", "continue"]
OnInvalid = Literal["handle", "fail", "reschedule"]

INTERACTIVE_SECONDS: Final = 5.0
"""The default time limit for storing an interactive event, whose caller waits for the response."""

MAX_MESSAGE_CHARACTERS: Final = 4000
"""The maximum length of a task's message; the runner truncates its own messages to the same length."""

MAX_COUNTDOWN_SECONDS: Final = 3600
"""The maximum time before Connect delivers a background event again."""

MAX_COUNTED_OBJECTS = 10_000

EVENT_TYPES_OF_METHODS: Final = {
    "process_new_listing_request": "listing_new_request_processing",
    "process_remove_listing_request": "listing_remove_request_processing",
    "process_usage_file": "usage_file_request_processing",
    "process_usage_chunk_file": "part_usage_file_request_processing",
    "process_product_custom_event": "product_custom_event_processing",
    "execute_product_action": "product_action_execution",
}
"""The event types of methods whose names follow no rule; the runner calls them for `extension.json`'s capabilities."""

CATEGORIES_OF_WORKERS: Final = {
    "start_interactive_worker_process": "interactive",
    "start_background_worker_process": "background",
}
"""The category of the events that a worker process of the runner handles, by the function that it runs."""


class Failures:
    """Counts, per object, the consecutive failures to store it in this process."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def count(self, key: str) -> int:
        """Count a failure, and return the number of previous ones."""
        with self._lock:
            before = self._counts.pop(key, 0)
            self._counts[key] = before + 1
            if len(self._counts) > MAX_COUNTED_OBJECTS:
                self._counts.popitem(last=False)
            return before

    def forget(self, key: str) -> None:
        """Reset the count, because the object was stored."""
        with self._lock:
            self._counts.pop(key, None)


failures = Failures()


def header_of(application: Any, name: str) -> str | None:
    """Return a header that the runner sets on the application's clients of Connect's API, or `None`."""
    for attribute in ("client", "installation_client"):
        headers = getattr(getattr(application, attribute, None), "default_headers", None)
        value = headers.get(name) if isinstance(headers, Mapping) else None
        if isinstance(value, str) and value:
            return value
    return None


def declared_event_type(application: Any, name: str) -> str | None:
    """Return the event type of a method that `extension.json` declares, by the runner's rules, or `None`."""
    from connect.eaas.mongodb.events import EVENT_TYPES

    event_type = EVENT_TYPES_OF_METHODS.get(name)
    for beginning, ending in (("process_", "_processing"), ("validate_", "_validation")):
        if event_type is None and name.startswith(beginning):
            event_type = name.removeprefix(beginning) + ending
    if event_type in EVENT_TYPES:
        return event_type
    try:
        schedulables = application.get_descriptor()["schedulables"]
        return "scheduled_execution" if any(known["method"] == name for known in schedulables) else None
    except Exception:
        # The file is missing, or declares no schedulables.
        return None


def worker_category() -> str | None:
    """Return the category of the events of this process if it is a worker of the runner, else `None`."""
    target = getattr(multiprocessing.current_process(), "_target", None)
    return CATEGORIES_OF_WORKERS.get(getattr(target, "__name__", ""))


class Event(NamedTuple):
    """The event that a handler is called for."""

    event_type: str
    category: str
    certain: bool = True
    """Whether the category is known, rather than inferred."""

    @classmethod
    def of(cls, application: Any, policy: Policy) -> Event:
        """Read the event from the method's decorators, or else from what the runner called it for."""
        constants = import_module("connect.eaas.core.constants")
        info = policy.mark(application, constants.EVENT_INFO_ATTR_NAME)
        if info is not None:
            return cls._of_type(str(info["event_type"]), info.get("statuses") is not None)
        if policy.mark(application, constants.SCHEDULABLE_INFO_ATTR_NAME) is not None:
            return cls("scheduled_execution", "scheduled")
        event_type = header_of(application, "EAAS_TASK_TYPE")
        extension = import_module("connect.eaas.core.extension")
        if isinstance(application, extension.TransformationsApplicationBase):
            return cls(event_type or "transformation_request", "transformation")
        return cls._of_type(event_type or declared_event_type(application, policy.handler.__name__) or "unknown", True)

    @classmethod
    def _of_type(cls, event_type: str, statuses: bool) -> Event:
        from connect.eaas.mongodb.events import EVENT_TYPES

        known = EVENT_TYPES.get(event_type)
        if known is not None:
            return cls(event_type, known.category)
        category = worker_category()
        if category is None:
            interactive = event_type.endswith(("_validation", "_execution")) or "_custom_event_" in event_type
            # `@event` requires statuses for background events.
            category = "interactive" if interactive or not statuses else "background"
        return cls(event_type, category, certain=False)


class Policy:
    """What `store_event` does for one decorated handler."""

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
        """The functions that wrap the handler, the outermost last."""
        self.inner: Policy | None = getattr(handler, "_store_event", None)
        names = list(inspect.signature(handler).parameters)
        self.argument_name = names[1] if len(names) > 1 else "request"

    def wraps(self, wrapper: Callable[..., Any]) -> Callable[..., Any]:
        """Register a function that wraps the handler, since other decorators may mark that function."""
        policy: Policy | None = self
        while policy is not None:
            policy.wrappers.append(wrapper)
            policy = policy.inner
        wrapper._store_event = self  # type: ignore[attr-defined]
        return wrapper

    def mark(self, application: Any, name: str) -> Any:
        """Return the attribute that a decorator of `connect-eaas-core` set on the handler, or `None`."""
        # The class holds the outermost function, unless another decorator has renamed it.
        method = getattr(type(application), self.handler.__name__, None)
        for function in (method, *reversed(self.wrappers), self.handler):
            info = getattr(function, "__dict__", {}).get(name)
            if isinstance(info, Mapping):
                return info
        return None

    def once(self, application: Any, kind: type[T]) -> T:
        """Return the application's `AsyncOnce` or `Once` of this decorator."""
        known = getattr(application, "__dict__", {}).setdefault("_store_event", {})
        with self.lock:
            once: T = known.setdefault(self, kind())
        return once

    def event_object(self, application: Any, event: Event, arguments: tuple[Any, ...], more: dict[str, Any]) -> Any:
        """Return the object to store: the handler's argument, or, for a transformation's row, its request."""
        if event.category == "transformation":
            return getattr(application, "transformation_request", None)
        return arguments[0] if arguments else more.get(self.argument_name)

    def store_options(self, application: Any) -> dict[str, Any]:
        """Return the options of the event store."""
        context = getattr(application, "context", None)
        known = {name: getattr(context, name, None) for name in ("extension_id", "environment_id")}
        return {name: value for name, value in known.items() if isinstance(value, str) and value} | self.options

    @staticmethod
    def config(application: Any) -> Mapping[str, Any]:
        """Return the extension's variables."""
        config = getattr(application, "config", None)
        return config if isinstance(config, Mapping) else {}

    @staticmethod
    def ids(application: Any) -> dict[str, str | None]:
        """Return the ids of the task and of the installation, as far as they are known."""
        extra = getattr(getattr(application, "logger", None), "extra", None)
        installation = getattr(application, "installation", None)
        task_id = extra.get("task_id") if isinstance(extra, Mapping) else None
        installation_id = installation.get("id") if isinstance(installation, Mapping) else None
        return {
            "task_id": task_id if isinstance(task_id, str) else header_of(application, "EAAS_TASK_ID"),
            "installation_id": installation_id if isinstance(installation_id, str) else None,
        }

    def skips_storing(self, application: Any, event: Event, obj: Any) -> bool:
        """Whether the handler runs without storing: there is no task, and none of the variables is set.

        The runner always sets a task. The tests that Connect's CLI generates for an
        extension have neither a task nor variables.
        """
        if event.category == "transformation" and not isinstance(obj, Mapping):
            return True
        config = self.config(application)
        if any(variable["name"] in config for variable in VARIABLES) or self.ids(application)["task_id"] is not None:
            return False
        self.log(application, "warning", "the event is not stored, because there is no task and no variable is set")
        return True

    def seconds(self, event: Event) -> float | None:
        """Return the time limit for storing, in seconds, or `None`."""
        if self.timeout is not None:
            return self.timeout
        return INTERACTIVE_SECONDS if event.category == "interactive" else None

    def key(self, application: Any, store: Any, obj: Any) -> str:
        """Return the key that failures are counted by: the path, and the object's or the task's id."""
        object_id = obj.get("id") if isinstance(obj, Mapping) else None
        of = object_id if isinstance(object_id, (str, int)) else self.ids(application)["task_id"]
        return f"{type(store.collection).__name__} {of}"

    @staticmethod
    def log(application: Any, level: str, message: str, *arguments: Any) -> None:
        """Write to the application's log, if it has one."""
        write = getattr(getattr(application, "logger", None), level, None)
        if callable(write):
            write(message, *arguments)

    @staticmethod
    def refusal(event: Event, message: str, obj: Any) -> Any:
        """Return the response that the event has failed permanently."""
        message = message[:MAX_MESSAGE_CHARACTERS]
        responses = import_module("connect.eaas.core.responses")
        if event.category == "transformation":
            return responses.RowTransformationResponse.fail(output=message)
        if event.category == "scheduled":
            return responses.ScheduledExecutionResponse.fail(output=message)
        if event.category == "background":
            return Policy.readable(event, responses.BackgroundResponse.fail(output=message))
        if event.event_type.endswith("_validation"):
            return responses.InteractiveResponse.fail(http_status=400, body=obj, output=message)
        # The caller gets no details; MongoDB's message goes into the task's output.
        return responses.InteractiveResponse.fail(http_status=503, body=REFUSED, output=message)

    @staticmethod
    def readable(event: Event, response: Any) -> Any:
        """Return the response to a background event; it also fits an interactive one if the category is inferred."""
        if not event.certain:
            response.data = {"http_status": 503, "headers": None, "body": REFUSED}
        return response

    def reschedule(self, application: Any, store: Any, event: Event, obj: Any) -> Any:
        """Return the response that makes Connect deliver the event again."""
        responses = import_module("connect.eaas.core.responses")
        times = min(failures.count(self.key(application, store, obj)), 16)
        countdown = min(self.countdown * 2**times, MAX_COUNTDOWN_SECONDS)
        return self.readable(event, responses.BackgroundResponse.reschedule(countdown=countdown))

    def misconfigured(self, event: Event, error: Exception, obj: Any) -> Any:
        """Return the response to an event that cannot be stored because a variable is missing or invalid."""
        if event.category == "background":
            # The runner reports the error to Connect, which delivers the event again.
            raise error
        return self.refusal(event, str(error), obj)

    def failed(self, application: Any, store: Any, event: Event, error: Exception, obj: Any) -> Any:
        """Return the response to an event that could not be stored, or `None` to call the handler."""
        policy = self.on_error or ("reschedule" if event.category == "background" else "fail")
        reason = reason_of(error)
        self.log(application, "warning", "the event could not be stored: %s", reason)
        if is_unexpected(error):
            # Only where the error was raised, since its message could contain data.
            self.log(application, "error", "%s", "".join(traceback.format_tb(error.__traceback__)))
        if policy == "continue":
            return None
        if policy == "raise":
            raise error
        if policy == "reschedule" and event.category == "background":
            return self.reschedule(application, store, event, obj)
        return self.refusal(event, f"the event could not be stored, and was not handled: {reason}", obj)

    def stored(self, application: Any, store: Any, saved: Any, obj: Any) -> None:
        """Log that the event is stored, and reset the count of failures."""
        failures.forget(self.key(application, store, obj))
        self.log(application, "info", "the event is stored in %s: %s", store.collection.full_name, saved)

    def invalid(self, application: Any, store: Any, event: Event, error: Exception, obj: Any) -> Any:
        """Return the response to an object that can never be stored, or `None` to call the handler."""
        self.log(application, "error", "the event cannot be stored: %s", error)
        if self.on_invalid == "handle":
            return None
        if self.on_invalid == "reschedule" and event.category == "background":
            return self.reschedule(application, store, event, obj)
        return self.refusal(event, str(error), obj)

    def letter_failed(self, application: Any, error: Exception) -> None:
        """Log that a dead letter could not be stored; raise the error if MongoDB is unreachable."""
        from pymongo.errors import ConnectionFailure

        if isinstance(error, (ConnectionFailure, TimeoutError, asyncio.TimeoutError)):
            raise error
        self.log(application, "error", "the event could not be stored as a dead letter: %s", reason_of(error))


def is_unexpected(error: Exception) -> bool:
    """Whether the error is neither MongoDB's nor a time limit's."""
    from pymongo.errors import PyMongoError

    return not isinstance(error, (PyMongoError, TimeoutError))


def reason_of(error: Exception) -> str:
    """Describe an error without data of the event."""
    return type(error).__name__ if is_unexpected(error) else str(error)


class AsyncOnce:
    """Makes a call for the first caller, whose result all later callers share."""

    def __init__(self) -> None:
        self._task: asyncio.Future[Any] | None = None

    async def call(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """Await `function(*arguments)`, unless it was called before."""
        if self._task is None:
            self._task = asyncio.ensure_future(function(*arguments))
        # The runner cancels a row that takes too long; the others still need the result.
        return await asyncio.shield(self._task)


class Once:
    """Makes a call for the first caller, whose result all later callers share."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._results: list[Any] = []

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call `function(*arguments)`, unless it was called before."""
        with self._lock:
            if not self._results:
                self._results.append(function(*arguments))
            return self._results[0]


def too_late(seconds: float | None) -> TimeoutError:
    """Return the error of a call that exceeded its time limit."""
    return TimeoutError("it was not stored in time" if seconds is None else f"it was not stored within {seconds} s")


async def async_within(
    seconds: float | None, function: Callable[..., Awaitable[T]], *arguments: Any, **options: Any
) -> T:
    """Await `function(*arguments, **options)` for at most `seconds`.

    Raises:
        TimeoutError: the call has not completed within that time.
    """
    try:
        return await asyncio.wait_for(function(*arguments, **options), seconds)
    except asyncio.TimeoutError:
        raise too_late(seconds) from None


def within(seconds: float | None, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Call `function(*arguments, **options)`, and wait for at most `seconds`.

    Raises:
        TimeoutError: the call has not completed within that time. It continues in its thread.
    """
    if seconds is None:
        return function(*arguments, **options)
    outcomes: Queue[tuple[Any, BaseException | None]] = Queue()

    def work() -> None:
        try:
            outcomes.put((function(*arguments, **options), None))
        except BaseException as error:
            outcomes.put((None, error))

    Thread(target=work, name="connect-mongodb-store", daemon=True).start()
    try:
        result, error = outcomes.get(timeout=seconds)
    except Empty:
        raise too_late(seconds) from None
    if error is not None:
        raise error
    value: T = result
    return value
