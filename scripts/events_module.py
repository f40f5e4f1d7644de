"""Writes `connect.eaas.mongodb.events`: a class for each model of the Rust core.

`python -m scripts.events_module`, after a change in `src/events/`.
"""

from __future__ import annotations

import keyword
import textwrap
from pathlib import Path

from connect.eaas.mongodb._native import event_models

MODULE = Path(__file__).parent.parent / "python" / "connect" / "eaas" / "mongodb" / "events.py"

HEAD = '''"""Connect's events, typed: a class for each object, and the types of events.

`parse_event(event_type, obj)` makes an instance of the object's class from the
`dict` that a handler receives; so does the class itself. Instances are immutable
views: a field becomes a Python object when it is read. A field that the class
does not declare is an attribute too, a declared field that is missing is `None`,
and `to_dict()` returns an equal `dict`.

A class describes an object and refuses none: where Connect sends a value of
another type than the class declares, the attribute returns that value, and
`deviations` lists it. Source: CloudBlue Connect's public API, version 37.

Written by `scripts/events_module.py` from the models in `src/events/`.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from connect.eaas.mongodb._native import Model, event_types, parse_event

__all__ = [
{names}]


class EventValidationError(ValueError):
    """An object cannot be stored, or is not what its class describes where that is asked for.

    The message lists every problem with its path, such as
    `asset.items[2].quantity: expected a number or a string, got list`, and
    holds no value of the object.
    """

    errors: tuple[tuple[str, str], ...]
    """The problems: of each its path, empty for the object itself, and what is wrong."""

    def __init__(self, model: str, errors: tuple[tuple[str, str], ...]) -> None:
        """For an object of the class of that name."""
        listed = "; ".join(f"{{path}}: {{message}}" if path else message for path, message in errors)
        super().__init__(f"not a valid {{model}}: {{listed}}")
        self.model = model
        self.errors = tuple(errors)

    def __reduce__(self) -> tuple[type[EventValidationError], tuple[str, tuple[tuple[str, str], ...]]]:
        return (type(self), (self.model, self.errors))


class Deviation(NamedTuple):
    """A difference between an object and what its class describes."""

    path: str
    """Where: `asset.items[2].quantity`."""
    expected: str
    """What the class describes: `a number or a string`."""
    actual: str
    """What is there: `list`. Never the value."""

'''

TAIL = '''
class EventType(NamedTuple):
    """A type of events that is known."""

    name: str
    """Its name, as `@event` takes it."""
    category: str
    """How it is delivered: `background`, `interactive`, `scheduled` or `transformation`."""
    model: type[Model]
    """The class of the object that it is about."""
    statuses: tuple[str, ...]
    """The statuses that the object may have; Connect may add others."""


EVENT_TYPES: Final[dict[str, EventType]] = {
    name: EventType(name, category, globals()[model], statuses) for name, category, model, statuses in event_types()
}
"""The types of events that are known, by their names. Others are taken too."""
'''


def docstring(text: str, indent: str) -> str:
    """The text as a docstring."""
    text = " ".join(text.split())
    lines = textwrap.wrap(text, 110 - len(indent))
    if len(lines) == 1:
        return f'{indent}"""{text}"""\n'
    return f'{indent}"""' + f"\n{indent}".join(lines) + f'\n{indent}"""\n'


def module() -> str:
    """The module's text."""
    models = event_models()
    names = sorted(
        [name for name, *_ in models]
        + ["EVENT_TYPES", "Deviation", "EventType", "EventValidationError", "Model", "parse_event"],
        key=lambda name: (not name.isupper(), name.lower() == name, name),
    )
    out = [HEAD.format(names="".join(f'    "{name}",\n' for name in names))]
    for name, doc, prefix, fields in models:
        ids = f" Their ids begin with `{prefix}`." if prefix else ""
        out.append(f"\nclass {name}(Model):\n{docstring(doc + ids, '    ')}\n    __slots__ = ()\n")
        if any(field == "id" for field, *_ in fields):
            out.append('    __match_args__ = ("id",)\n')
        out.append(f'    _model = "{name}"\n\n')
        for field, annotation, field_doc in fields:
            attribute = f"{field}_" if keyword.iskeyword(field) else field
            none = "" if annotation == "Any" else " | None"
            out.append(f"    {attribute}: {annotation}{none}\n{docstring(field_doc, '    ')}")
        out.append("\n")
    out.append(TAIL)
    return "".join(out)


if __name__ == "__main__":
    MODULE.write_text(module(), encoding="utf-8")
