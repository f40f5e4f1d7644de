"""Whether values and events match those that a specification expects."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp, json_util
from pymongo import monitoring

TYPES: dict[str, tuple[type, ...]] = {
    "double": (float,),
    "string": (str,),
    "object": (Mapping,),
    "array": (Sequence,),
    "binData": (Binary, bytes),
    "objectId": (ObjectId,),
    "bool": (bool,),
    "date": (datetime.datetime,),
    "null": (type(None),),
    "regex": (Regex, re.Pattern),
    "dbPointer": (DBRef,),
    "javascript": (Code,),
    "int": (int,),
    "long": (Int64, int),
    "decimal": (Decimal128,),
    "maxKey": (MaxKey,),
    "minKey": (MinKey,),
    "timestamp": (Timestamp,),
    "number": (int, float, Decimal128),
}
EVENTS: dict[str, type] = {
    "commandStartedEvent": monitoring.CommandStartedEvent,
    "commandSucceededEvent": monitoring.CommandSucceededEvent,
    "commandFailedEvent": monitoring.CommandFailedEvent,
}
ABSENT: Any = type("Absent", (), {"__repr__": lambda _: "nothing"})()


class Matcher:
    """Matches values. `entity` returns an entity of the test, and `session_id` the id of a session."""

    def __init__(self, entity: Callable[[str], Any], session_id: Callable[[str], Any]) -> None:
        self._entity = entity
        self._session_id = session_id

    def match(self, expected: Any, actual: Any, where: str = "it", root: bool = True) -> None:
        """Fail if a value is not the expected one. A document at the root may have more fields."""
        if isinstance(expected, Mapping):
            if len(expected) == 1 and next(iter(expected)).startswith("$$"):
                ((operator, argument),) = expected.items()
                self._operate(operator, argument, actual, where, root)
                return
            assert isinstance(actual, Mapping), f"{where} is {actual!r}, not a document like {expected!r}"
            for key, value in expected.items():
                self.match(value, actual.get(key, ABSENT), f"{where}.{key}", root=False)
            if not root:
                assert set(actual) <= set(expected), f"{where} has {sorted(set(actual) - set(expected))} too"
        elif isinstance(expected, list):
            assert isinstance(actual, Sequence), f"{where} is {actual!r}, not a list like {expected!r}"
            assert len(expected) == len(actual), f"{where} has {len(actual)} elements, not {len(expected)}: {actual!r}"
            for place, value in enumerate(expected):
                # In a list at the root, documents are roots.
                self.match(value, actual[place], f"{where}[{place}]", root=root)
        else:
            numbers = isinstance(expected, (int, float)) and not isinstance(expected, bool)
            same_type = isinstance(actual, (int, float)) if numbers else isinstance(actual, type(expected))
            if not same_type or expected != actual:
                raise AssertionError(f"{where} is {actual!r}, not {expected!r}")

    def _operate(self, operator: str, argument: Any, actual: Any, where: str, root: bool) -> None:
        if operator == "$$exists":
            assert (actual is not ABSENT) == argument, f"{where} is {actual!r}"
        elif operator == "$$unsetOrMatches":
            if actual is not ABSENT and not (root and actual is None):
                self.match(argument, actual, where, root)
        elif operator == "$$type":
            aliases = [argument] if isinstance(argument, str) else argument
            types = tuple(one for alias in aliases for one in TYPES[alias])
            assert isinstance(actual, types), f"{where} is {actual!r}, not of {aliases}"
        elif operator == "$$matchesEntity":
            assert actual == self._entity(argument), f"{where} is {actual!r}, not {self._entity(argument)!r}"
        elif operator == "$$sessionLsid":
            assert actual == self._session_id(argument), f"{where} is {actual!r}, not of {argument}"
        elif operator == "$$matchesHexBytes":
            assert bytes(actual) == bytes.fromhex(argument), f"{where} is {actual!r}"
        elif operator == "$$lte":
            if actual is ABSENT or actual > argument:
                raise AssertionError(f"{where} is {actual!r}, more than {argument}")
        elif operator == "$$matchAsDocument":
            self.match(argument, json_util.loads(actual), where, root=False)
        elif operator == "$$matchAsRoot":
            self.match(argument, actual, where)
        else:
            raise NotImplementedError(operator)

    def match_event(self, expected: Mapping[str, Any], actual: Any, where: str) -> None:
        """Fail if a command event is not the expected one."""
        ((kind, fields),) = expected.items()
        matches = isinstance(actual, EVENTS[kind])
        assert matches, f"{where} is {told(actual)}, not a {kind}: {fields!r}"
        for field, value in fields.items():
            if field in ("command", "reply"):
                self.match(value, getattr(actual, field), f"{where}, {field}")
            elif field == "hasServiceId":
                assert (actual.service_id is not None) == value, where
            elif field == "hasServerConnectionId":
                assert isinstance(actual.server_connection_id, int) == value, where
            else:
                name = {"commandName": "command_name", "databaseName": "database_name"}[field]
                assert getattr(actual, name) == value, f"{where}: {name} is {getattr(actual, name)!r}, not {value!r}"


def told(event: Any) -> str:
    """An event, for a message."""
    about = getattr(event, "command", None) or getattr(event, "reply", None) or getattr(event, "failure", None)
    return f"{type(event).__name__} {event.command_name}: {json.dumps(about, default=str)[:500]}"
