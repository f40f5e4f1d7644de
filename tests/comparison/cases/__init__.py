"""Calls that are compared with PyMongo's, by method.

A case receives a `World`, whose `collection` holds `DOCUMENTS` unless it names others. Its
result or exception is compared, as are the stored documents and the commands that were sent.
"""

from __future__ import annotations

from importlib import import_module

from tests.comparison.cases.common import CASES, DOCUMENTS, aggregated
from tests.comparison.cases.unsupported import LACKING

__all__ = ["CASES", "DOCUMENTS", "LACKING", "aggregated"]

# Each module adds its cases to `CASES`, in this order.
MODULES = (
    "insert",
    "update_delete",
    "find",
    "find_and_modify",
    "count_aggregate",
    "bulk_write",
    "indexes",
    "database",
    "client",
    "concerns",
    "unacknowledged",
    "sizes",
    "codec_options",
    "client_options",
    "sessions",
    "transactions",
    "change_streams",
    "shapes",
)

for _name in MODULES:
    import_module(f"{__name__}.{_name}")
