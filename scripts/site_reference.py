"""The reference of the site: how stubs are shown, and the example of each member.

An extension of griffe, which `mkdocs.yml` names.
"""

from __future__ import annotations

import textwrap
from typing import Any

import griffe

from scripts.examples import NOT_ITERABLE, OVERVIEW, Example, examples_of, examples_of_modules

_AWAITABLE = ("Coroutine[Any, Any, ", "Awaitable[")


def _markdown(example: Example) -> str:
    """An example as the page shows it: awaited and blocking, where they differ."""

    def fenced(code: str) -> str:
        return f"```python\n{code}\n```"

    if example.blocking is None:
        return fenced(example.code)
    tabs = (("Awaited", example.code), ("Blocking", example.blocking))
    return "\n\n".join(f'=== "{title}"\n\n{textwrap.indent(fenced(code), "    ")}' for title, code in tabs)


class Examples(griffe.Extension):
    """Shows a stub's `Coroutine` as `async`, and adds examples to docstrings."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Add the examples of a class and of its members."""
        _create(cls)
        examples = examples_of(cls.name)
        for name, member in list(cls.members.items()):
            if member.docstring and member.docstring.value.startswith(NOT_ITERABLE):
                del cls.members[name]
            if isinstance(member, griffe.Function | griffe.Attribute):
                _unwrap(member)
                _append(member, examples.get(name))
        _merge_docstrings(cls)
        _append(cls, examples.get(OVERVIEW))

    def on_module_members(self, *, mod: griffe.Module, **_: Any) -> None:
        """Add the examples of functions and constants."""
        examples = examples_of_modules()
        for name, member in mod.members.items():
            if isinstance(member, griffe.Function | griffe.Attribute | griffe.Class):
                _append(member, examples.get(name))


def _create(cls: griffe.Class) -> None:
    """Show the arguments of `__new__`, which those of `__init__` of a native class are not."""
    new = cls.members.get("__new__")
    if isinstance(new, griffe.Function):
        del cls.members["__new__"]
        new.name = "__init__"
        new.returns = None
        cls.set_member("__init__", new)


def _merge_docstrings(cls: griffe.Class) -> None:
    """Describe the arguments with the class, before the example."""
    init = cls.members.get("__init__")
    if isinstance(init, griffe.Function) and cls.docstring and init.docstring:
        cls.docstring.value = f"{cls.docstring.value.rstrip()}\n\n{init.docstring.value}"
        init.docstring = None


def _unwrap(member: griffe.Function | griffe.Attribute) -> None:
    """Show what awaiting gives, and that it is to be awaited."""
    annotation = member.annotation
    text = str(annotation)
    if not isinstance(annotation, griffe.ExprSubscript) or not text.startswith(_AWAITABLE):
        return
    inner = annotation.slice
    if isinstance(inner, griffe.ExprTuple):
        inner = inner.elements[-1]
    member.labels.add("async")
    if isinstance(member, griffe.Function):
        member.returns = inner
    else:
        member.annotation = inner


def _append(member: griffe.Object, example: Example | None) -> None:
    """Add an example to a docstring."""
    if example is None or member.docstring is None:
        return
    text = textwrap.indent(_markdown(example), "    ")
    member.docstring.value = f"{member.docstring.value.rstrip()}\n\nExamples:\n{text}"
