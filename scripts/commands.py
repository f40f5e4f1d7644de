"""Writes `docs/reference/commands.md`: `connect-mongodb` with all its commands and options.

Run `python -m scripts.commands` after a change in `python/connect/eaas/mongodb/cli/`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click
from connect.eaas.mongodb.cli import main

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "commands.md"

INTRODUCTION = """\
# Commands

`connect-mongodb` has these commands. `connect-mongodb COMMAND --help` shows the same. On invalid arguments, or a file,
address or URI that cannot be used, each command prints one line to stderr and exits with status 2.
"""


def text() -> str:
    """The page."""
    return "\n".join([INTRODUCTION, *_commands(main, "connect-mongodb")]).rstrip() + "\n"


def _commands(group: click.Group, path: str) -> Iterator[str]:
    for name in sorted(group.commands):
        command = group.commands[name]
        at = f"{path} {name}"
        if command.hidden:
            continue
        if isinstance(command, click.Group):
            yield from _commands(command, at)
            continue
        context = click.Context(command, info_name=at)
        yield f"## `{at}`\n"
        yield f"{_prose(command.help)}\n"
        yield f"```\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n"
        options = [each for each in command.params if isinstance(each, click.Option)]
        rows = [record for each in options if (record := each.get_help_record(context))]
        if rows:
            yield "| option | meaning |\n| --- | --- |"
            yield from (f"| `{_cell(names)}` | {_cell(_prose(meaning))} |" for names, meaning in rows)
            yield ""


def _prose(text: str | None) -> str:
    """A help text without the line breaks of the terminal, up to the mark that hides the rest."""
    clean = inspect.cleandoc(text or "").split("\f")[0].replace("\b\n", "")
    return "\n\n".join(" ".join(part.split()) for part in clean.split("\n\n")).strip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
