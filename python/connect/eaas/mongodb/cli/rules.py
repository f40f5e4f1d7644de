"""The options of `connect-mongodb key create` and `user add` that restrict permissions to some documents or fields."""

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


def rule_of(
    command: str, rule_filter: str | None, allow_fields: str | None, deny_fields: str | None, schema: Path | None
) -> tuple[str | None, list[str] | None, list[str] | None, str | None]:
    """Return the parts of the rule that the options of a command describe."""
    text = None
    if schema is not None:
        try:
            text = schema.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            fail(
                f"{command}: the file {schema} cannot be read ({getattr(error, 'strerror', None) or 'it is not text'})"
            )
    return rule_filter, _paths(allow_fields), _paths(deny_fields), text


def _paths(text: str | None) -> list[str] | None:
    return None if text is None else [path.strip() for path in text.split(",") if path.strip()]
