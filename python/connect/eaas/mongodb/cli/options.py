"""What the commands on stored events have in common: variables, times, the store."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click
from connect.eaas.mongodb._common.store import parse_time
from connect.eaas.mongodb.cli.failures import fail

if TYPE_CHECKING:
    from connect.eaas.mongodb.store import EventStore

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Moment(click.ParamType):  # type: ignore[type-arg]
    """A time with a time zone, or a number of days before the present."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the time.

        Raises:
            click.BadParameter: it cannot be read, or has no time zone.
        """
        if isinstance(value, datetime.datetime):
            return value
        text = str(value).strip()
        now = datetime.datetime.now(datetime.timezone.utc)
        try:
            if re.fullmatch(r"\d{1,6}d", text):
                return now - datetime.timedelta(days=int(text[:-1]))
            time = parse_time(text)
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is not a time: write 2024-01-31T12:00:00Z, or 90d for 90 days ago", param, ctx)
        if time.tzinfo is None:
            whole = time.isoformat(timespec="seconds")
            self.fail(f"{text!r} has no time zone: write {whole}Z for UTC, or {whole}+02:00", param, ctx)
        return time


MOMENT = Moment()


def store_options(function: Decorated) -> Decorated:
    """Add the options that say which store a command uses."""
    path = click.option(
        "--path",
        type=click.Choice(["driver", "http"]),
        help="Path to MongoDB. Default: the driver if DB_HOST is set.",
    )
    env_file = click.option(
        "--env-file",
        metavar="FILE",
        help="File with the variables as NAME=value lines. Default: the environment.",
    )
    return path(env_file(function))


def variables_of(command: str, env_file: str | None) -> Mapping[str, str]:
    """Return the variables of the environment or of a file."""
    if env_file is None:
        return os.environ
    from connect.eaas.mongodb.cli.check import CheckError, variables_of_file

    try:
        return variables_of_file(env_file)
    except CheckError as error:
        fail(f"{command}: {error}")


def open_store(command: str, variables: Mapping[str, str], path: str | None) -> EventStore:
    """Return the event store of the variables."""
    from connect.eaas.mongodb.store import EventStore
    from pymongo.errors import ConfigurationError, InvalidURI

    chosen: Any = {"http": "data_api"}.get(path or "", path)
    try:
        return EventStore.from_config(variables, path=chosen)
    except (ConfigurationError, InvalidURI) as error:
        fail(f"{command}: {error}")
