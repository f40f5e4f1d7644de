"""`connect-mongodb`: its commands and their arguments."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
from connect.eaas.mongodb import __version__


class Failure(click.ClickException):
    """A failure that its user can mend: one line on stderr, exit status 2."""

    exit_code = 2

    def show(self, file: object = None) -> None:
        """Print the line."""
        click.echo(f"connect-mongodb: {' '.join(self.message.split())}", err=True)


def fail(message: str) -> NoReturn:
    """End the command with one line on stderr and exit status 2."""
    raise Failure(message)


class OneLine(click.Group):
    """A group whose errors of usage are one line each, like every other failure."""

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, *, standalone_mode: bool = True, **more: Any
    ) -> Any:
        """Run the command, and end the process with its status."""
        try:
            ended = super().main(args, standalone_mode=False, **more)
        except click.exceptions.NoArgsIsHelpError as help_wanted:
            help_wanted.show()
            ended = help_wanted.exit_code
        except click.UsageError as wrong:
            command = wrong.ctx.command_path if wrong.ctx else "connect-mongodb"
            Failure(f"{wrong.format_message()} (see {command} --help)").show()
            ended = Failure.exit_code
        except click.ClickException as failure:
            failure.show()
            ended = failure.exit_code
        except click.Abort:
            ended = 130
        if not standalone_mode:
            return ended
        sys.exit(ended if isinstance(ended, int) else 0)


@click.group(cls=OneLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="connect-mongodb")
def main() -> None:
    """MongoDB for CloudBlue Connect extensions."""


@main.command()
@click.option(
    "--mongodb-uri",
    envvar="MONGODB_URI",
    required=True,
    metavar="URI",
    help="The MongoDB to serve (or the variable MONGODB_URI, to keep a password out of sight).",
)
@click.option(
    "--api-key-file",
    required=True,
    metavar="FILE",
    help="The keys that may call: one a line; empty lines and lines that begin with # are passed over.",
)
@click.option(
    "--listen",
    default="127.0.0.1:8080",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to listen; port 0 takes a free one.",
)
@click.option(
    "--data-source",
    metavar="NAME",
    help="The only dataSource to serve; any, if left out.",
)
def gateway(mongodb_uri: str, api_key_file: str, listen: str, data_source: str | None) -> None:
    """Serve the Data API in front of a MongoDB, until SIGTERM or Ctrl-C."""
    from connect.eaas.mongodb._native import run_gateway
    from pymongo.errors import ConfigurationError

    try:
        keys = Path(api_key_file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        fail(f"the key file {api_key_file} cannot be read ({reason})")
    # The gateway handles Ctrl-C itself; Python's handler would raise afterwards.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        run_gateway(mongodb_uri, keys, listen, _print_address, data_source, _most_connections())
    except (ConfigurationError, RuntimeError) as error:
        fail(f"gateway: {error}")


def _most_connections() -> int:
    """As many as leave descriptors for MongoDB and files, once there may be as many as may be."""
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return 1024
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return 1024 if soft == resource.RLIM_INFINITY else max(16, min(1024, soft - 200))


def _print_address(address: str) -> None:
    click.echo(f"Listening on http://{address}")


PORT = click.IntRange(0, 65535)


def _database_name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    if not 0 < len(name.encode()) < 64 or any(character in ' .$/\\"\0' for character in name):
        raise click.BadParameter("a database's name has 1 to 63 bytes, and none of: space . $ / \\ \"")
    return name


@main.command()
@click.option("--port", default=0, type=PORT, metavar="PORT", help="MongoDB's port; a free one, if left out.")
@click.option("--http-port", default=0, type=PORT, metavar="PORT", help="The Data API's port; a free one, if left out.")
@click.option(
    "--data-dir",
    metavar="FOLDER",
    help="Where MongoDB keeps its data; a folder that is removed at the end, if left out.",
)
@click.option(
    "--db",
    default="events",
    show_default=True,
    metavar="NAME",
    callback=_database_name,
    help="The database to name.",
)
@click.option(
    "--format",
    "output",
    type=click.Choice(["table", "env"]),
    default="table",
    show_default=True,
    help="How to print the variables: for people, or as NAME=value lines.",
)
def dev(port: int, http_port: int, data_dir: str | None, db: str, output: str) -> None:
    """Start a MongoDB and the Data API in front of it, for development.

    Prints the variables to paste into Connect, and runs until Ctrl-C or SIGTERM.
    Needs the extra `dev`: pip install 'connect-eaas-mongodb[dev]'.
    """
    from connect.eaas.mongodb.cli.dev import DevelopmentError, serve

    try:
        serve(port=port, http_port=http_port, data_dir=data_dir, database=db, output=output)
    except DevelopmentError as error:
        fail(f"dev: {error}")
