"""The options of `connect-mongodb key create` that restrict a key to some documents or fields."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from connect.eaas.mongodb.cli.failures import fail

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS = [
    click.option(
        "--filter",
        "rule_filter",
        metavar="FILTER",
        help='Condition on the documents, as Extended JSON: \'{"owner": "%%user.id"}\'.',
    ),
    click.option("--allow-fields", metavar="PATHS", help="The only fields to read and write, comma-separated."),
    click.option("--deny-fields", metavar="PATHS", help="Fields that are neither read nor written, comma-separated."),
    click.option(
        "--schema",
        metavar="FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File with a JSON Schema of the documents that are written.",
    ),
]


def rule_options(command: _Command) -> _Command:
    """Add the options of a rule to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def rule_arguments(
    rule_filter: str | None, allow_fields: str | None, deny_fields: str | None, schema: Path | None
) -> dict[str, Any]:
    """Return the arguments of `create_key` for the values of the options."""
    text = None
    if schema is not None:
        try:
            text = schema.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            fail(f"key: the file {schema} cannot be read ({getattr(error, 'strerror', None) or 'it is not text'})")
    return {
        "filter": rule_filter,
        "allow_fields": _paths(allow_fields),
        "deny_fields": _paths(deny_fields),
        "schema": text,
    }


def _paths(text: str | None) -> list[str] | None:
    return None if text is None else [path.strip() for path in text.split(",") if path.strip()]
