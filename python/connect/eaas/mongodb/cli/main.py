"""The commands of `connect-mongodb` and their arguments."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Sequence
from typing import Any

import click
from connect.eaas.mongodb import __version__
from connect.eaas.mongodb.cli.backfill import backfill
from connect.eaas.mongodb.cli.events import events
from connect.eaas.mongodb.cli.failures import NOT_UTF_8, Failure, fail, refusals
from connect.eaas.mongodb.cli.keys import gateway_key, key, user
from connect.eaas.mongodb.cli.page import page


class OneLine(click.Group):
    """A group that prints each usage error in one line, like every other failure."""

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, *, standalone_mode: bool = True, **more: Any
    ) -> Any:
        """Run the command and exit with its status."""
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
        except UnicodeEncodeError as error:
            if error.encoding != "utf-8":
                raise
            Failure(NOT_UTF_8).show()
            ended = Failure.exit_code
        if not standalone_mode:
            return ended
        sys.exit(ended if isinstance(ended, int) else 0)


@click.group(cls=OneLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="connect-mongodb")
def main() -> None:
    """MongoDB for CloudBlue Connect extensions."""


@main.command()
@click.option(
    "--config",
    envvar="GATEWAY_CONFIG",
    metavar="FILE",
    help="Configuration file (TOML) with data sources, keys, TLS and limits. Replaces all other options.",
)
@click.option(
    "--mongodb-uri",
    envvar="MONGODB_URI",
    metavar="URI",
    help="Connection string of the MongoDB to serve. To hide a password, set the variable MONGODB_URI instead.",
)
@click.option(
    "--api-key-file",
    metavar="FILE",
    help="File of API keys: written by `connect-mongodb key`, or with one plain key per line.",
)
@click.option(
    "--listen",
    default="127.0.0.1:8080",
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen on: HOST:PORT, or unix:PATH. Port 0 selects a free port.",
)
@click.option(
    "--data-source",
    metavar="NAME",
    help="The only dataSource to serve. Default: any.",
)
@click.option("--access-log", is_flag=True, help="Write one line of JSON to stderr for each request.")
@click.pass_context
def gateway(context: click.Context, /, config: str | None, mongodb_uri: str | None, **options: Any) -> None:
    """Serve the Data API in front of MongoDB until SIGTERM or Ctrl-C.

    Keys and certificates are reloaded when their files change, and on SIGHUP. docs/gateway.md describes the
    configuration.
    """
    from connect.eaas.mongodb._native import run_gateway

    keys_file = options.pop("api_key_file")
    if config is not None:
        given = [name for name in options if _is_given(context, name)] + ["api_key_file"] * (keys_file is not None)
        if given or _is_given(context, "mongodb_uri"):
            fail("gateway: --config cannot be combined with other options: set them in the configuration file")
        arguments: dict[str, Any] = {"config": config}
    elif mongodb_uri is None or keys_file is None:
        fail("gateway: --config, or --mongodb-uri and --api-key-file, is required (see connect-mongodb gateway --help)")
    else:
        arguments = {"mongodb_uri": mongodb_uri, "keys_file": keys_file, **options}
    # The gateway handles Ctrl-C itself; Python's handler would raise afterwards.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with refusals("gateway"):
        run_gateway(_print_addresses, connections=_most_connections(), **arguments)


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


_MOST_FILES = 1_048_576
"""More open files than this need no limit."""


def _most_connections() -> int:
    """Raise the limit of open files; return how many connections leave enough for MongoDB and files."""
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return _MOST_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # A service manager may forbid it.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return _MOST_FILES if soft == resource.RLIM_INFINITY else max(16, min(soft, _MOST_FILES) - 200)


def _print_addresses(url: str, admin: str | None) -> None:
    if admin:
        click.echo(f"Health checks and metrics on {admin}")
    click.echo(f"Listening on {url}")


PORT = click.IntRange(0, 65535)


def _database_name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    from connect.eaas.mongodb._native import _is_database_name

    if not _is_database_name(name):
        raise click.BadParameter('a database name has 1 to 63 bytes and contains none of: space . $ / \\ "')
    return name


@main.command()
@click.option("--port", default=0, type=PORT, metavar="PORT", help="Port of MongoDB. Default: a free port.")
@click.option("--http-port", default=0, type=PORT, metavar="PORT", help="Port of the Data API. Default: a free port.")
@click.option(
    "--data-dir",
    metavar="FOLDER",
    help="Folder of MongoDB's data. Default: a temporary folder, removed at exit.",
)
@click.option(
    "--db",
    default="events",
    show_default=True,
    metavar="NAME",
    callback=_database_name,
    help="Database name in the printed variables.",
)
@click.option(
    "--format",
    "output",
    type=click.Choice(["table", "env"]),
    default="table",
    show_default=True,
    help="Output format: a table, or NAME=value lines.",
)
def dev(port: int, http_port: int, data_dir: str | None, db: str, output: str) -> None:
    """Start a MongoDB and the Data API in front of it, for development.

    Prints the variables to paste into Connect and runs until Ctrl-C or SIGTERM.
    Requires the extra `dev`: pip install 'connect-eaas-mongodb[dev]'.
    """
    from connect.eaas.mongodb.cli.dev import DevelopmentError, serve

    try:
        serve(port=port, http_port=http_port, data_dir=data_dir, database=db, output=output)
    except DevelopmentError as error:
        fail(f"dev: {error}")


@main.command(short_help="Test both paths and explain how to fix failures.")
@click.option(
    "--path",
    type=click.Choice(["driver", "http", "both"]),
    default="both",
    show_default=True,
    help="Path to check. `both` checks each path whose variables are set.",
)
@click.option(
    "--env-file",
    metavar="FILE",
    help="File with the variables as NAME=value lines. Default: the environment.",
)
@click.option(
    "--timeout",
    type=click.IntRange(1, 600),
    default=5,
    show_default=True,
    metavar="SECONDS",
    help="Limit for a connection, and for a response.",
)
@click.option(
    "--format",
    "output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Output format.",
)
def check(path: str, env_file: str | None, timeout: int, output: str) -> None:
    """Test both paths with the extension's variables and explain how to fix failures.

    Inserts a document into each collection and deletes it. Exits with status 0 if
    every configured path works, and with 1 if one fails or none is configured.
    """
    from connect.eaas.mongodb.cli.check import CheckError, run

    try:
        works = run(path, env_file=env_file, seconds=timeout, output=output)
    except CheckError as error:
        fail(f"check: {error}")
    sys.exit(0 if works else 1)


main.add_command(backfill)
main.add_command(events)
main.add_command(page)
main.add_command(key)
main.add_command(user)
main.add_command(gateway_key)
