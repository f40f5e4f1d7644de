"""Parsing an event into a model, against a `msgspec.Struct` and a pydantic model with the same fields."""

from __future__ import annotations

import keyword
import time
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ForwardRef

ROOT = "AssetRequest"


def models(request: dict[str, Any]) -> dict[str, float]:
    """The time to parse the request, in microseconds: the best of many, in turns."""
    import msgspec
    import pydantic
    from connect.eaas.mongodb import _native
    from connect.eaas.mongodb.events import AssetRequest

    known: dict[str, Any] = {"Decimal": Decimal, "datetime": datetime, "date": date, "Any": Any}
    structs, classes = dict(known), dict(known)
    for name, _, _, fields in _native.event_models():
        usable = [(field, annotation) for field, annotation, _ in fields if not keyword.iskeyword(field)]
        # msgspec has no unions of two structs, and so takes anything where there is one.
        typed = [(field, _union_free(annotation)) for field, annotation in usable]
        structs[name] = msgspec.defstruct(
            name,
            [(field, _type(annotation, name, structs), None) for field, annotation in typed],
            kw_only=True,
        )
        members = {field: (_type(annotation, name, classes), None) for field, annotation in typed}
        extra = pydantic.ConfigDict(extra="allow", protected_namespaces=())
        classes[name] = pydantic.create_model(name, __config__=extra, **members)
    struct, model = structs[ROOT], classes[ROOT]
    assert AssetRequest(request).to_dict() == request
    calls = {
        "our AssetRequest": lambda: AssetRequest(request),
        "msgspec.convert": lambda: msgspec.convert(request, struct),
        "pydantic model_validate": lambda: model.model_validate(request),
    }
    runs: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(30):
        for name, call in calls.items():
            begun = time.perf_counter()
            for _ in range(200):
                call()
            runs[name].append((time.perf_counter() - begun) / 200 * 1e6)
    return {name: min(measured) for name, measured in runs.items()}


def _union_free(annotation: str) -> str:
    if "[" in annotation and "|" in annotation:
        return "Any"
    parts = annotation.split(" | ")
    return parts[0] if len(parts) == 1 else "str" if "str" in parts else parts[0]


def _type(annotation: str, name: str, known: dict[str, Any]) -> Any:
    if annotation == "Any":
        return Any
    if annotation == name:
        # A model that is made of itself is taken as it comes.
        return dict[str, Any] | None
    if annotation.startswith("list["):
        inner = _type(annotation[5:-1], name, known)
        return list[inner] | None  # type: ignore[valid-type]
    if annotation.startswith("dict["):
        return dict[str, Any] | None
    found = known.get(annotation, {"str": str, "int": int, "float": float, "bool": bool}.get(annotation))
    assert found is not None, ForwardRef(annotation)
    return found | None
