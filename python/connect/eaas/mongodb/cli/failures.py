"""How commands fail: with one line on stderr."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NoReturn

import click

NOT_UTF_8 = "an argument, an environment variable or the text on stdin is not UTF-8"
"""Of what Python reads, it keeps bytes that are not UTF-8 as surrogates. Neither Rust nor MongoDB has them."""


class Failure(click.ClickException):
    """A failure that the user can fix: one line on stderr, exit status 2."""

    exit_code = 2

    def show(self, file: object = None) -> None:
        """Print the line."""
        click.echo(f"connect-mongodb: {' '.join(self.message.split())}", err=True)


class Interrupted(Failure):
    """A failure of what a command has begun: one line on stderr, exit status 1."""

    exit_code = 1


def fail(message: str) -> NoReturn:
    """End the command with one line on stderr and exit status 2."""
    raise Failure(message)


def fail_midway(message: str) -> NoReturn:
    """End the command with one line on stderr and exit status 1."""
    raise Interrupted(message)


@contextlib.contextmanager
def refusals(command: str) -> Iterator[None]:
    """End the command with one line if the native module raises an error."""
    from pymongo.errors import ConfigurationError, InvalidURI

    try:
        yield
    except (ConfigurationError, InvalidURI, RuntimeError) as error:
        fail(f"{command}: {error}")
    except UnicodeEncodeError:
        fail(f"{command}: {NOT_UTF_8}")
