"""The extension's environment variables."""

from __future__ import annotations

from typing import TypedDict

from connect.eaas.mongodb._native import variables

__all__ = ["VARIABLES", "Variable"]


class Variable(TypedDict):
    """A variable as Connect's `@variables` decorator takes it."""

    name: str
    initial_value: str
    secure: bool


VARIABLES: list[Variable] = variables()
"""All variables that both paths read; Connect creates those that it does not have yet."""
