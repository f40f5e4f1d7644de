"""`connect-mongodb`: its commands and their arguments."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
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
    "--config",
    envvar="GATEWAY_CONFIG",
    metavar="FILE",
    help="A configuration (TOML) with data sources, keys, TLS and limits; instead of all other options.",
)
@click.option(
    "--mongodb-uri",
    envvar="MONGODB_URI",
    metavar="URI",
    help="The MongoDB to serve (or the variable MONGODB_URI, to keep a password out of sight).",
)
@click.option(
    "--api-key-file",
    metavar="FILE",
    help="The keys that may call: a file of `connect-mongodb key`, or keys themselves, one a line.",
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
@click.option("--access-log", is_flag=True, help="Write a line of JSON to stderr for each request.")
@click.pass_context
def gateway(context: click.Context, /, config: str | None, mongodb_uri: str | None, **options: Any) -> None:
    """Serve the Data API in front of a MongoDB, until SIGTERM or Ctrl-C.

    SIGHUP has it read keys and certificates again. docs/gateway.md has the configuration.
    """
    from connect.eaas.mongodb._native import run_gateway

    keys_file = options.pop("api_key_file")
    if config is not None:
        given = [name for name in options if _is_given(context, name)] + ["api_key_file"] * (keys_file is not None)
        if given or _is_given(context, "mongodb_uri"):
            fail("gateway: --config goes without other options: write them into the configuration")
        arguments: dict[str, Any] = {"config": config}
    elif mongodb_uri is None or keys_file is None:
        fail("gateway: give --config, or --mongodb-uri and --api-key-file (see connect-mongodb gateway --help)")
    else:
        arguments = {"mongodb_uri": mongodb_uri, "keys_file": keys_file, **options}
    # The gateway handles Ctrl-C itself; Python's handler would raise afterwards.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with _refusals("gateway"):
        run_gateway(_print_address, connections=_most_connections(), **arguments)


@contextlib.contextmanager
def _refusals(command: str) -> Iterator[None]:
    """Have what the native module refuses end the command, in a line."""
    from pymongo.errors import ConfigurationError, InvalidURI

    try:
        yield
    except (ConfigurationError, InvalidURI, RuntimeError) as error:
        fail(f"{command}: {error}")


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


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


def _print_address(url: str) -> None:
    click.echo(f"Listening on {url}")


@main.group()
def key() -> None:
    """Make, list and revoke keys of the Data API, in a file for `gateway`.

    The file holds hashes, not keys. A gateway that runs takes over what has changed with SIGHUP.
    """


KEY_FILE = click.option(
    "--file", "path", required=True, metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="The file."
)


@key.command("create")
@KEY_FILE
@click.option("--name", required=True, metavar="NAME", help="What logs call it.")
@click.option(
    "--allow",
    default="read,write",
    show_default=True,
    metavar="RIGHTS",
    help="What it may do, with commas between: read, write, code ($where, $function, $accumulator), "
    "out ($out, $merge), stats ($collStats and the like).",
)
@click.option(
    "--on",
    "places",
    multiple=True,
    default=["*"],
    show_default=True,
    metavar="PLACE",
    help="Where: DATA_SOURCE/DATABASE/COLLECTION, each with * for any text; may be given again.",
)
@click.option("--expires", metavar="TIME", help="Until when: 2027-01-31, 2027-01-31T12:00:00Z, or days from now: 90d.")
def create_key(path: Path, name: str, allow: str, places: Sequence[str], expires: str | None) -> None:
    """Make a key, and print it: it is not kept anywhere else."""
    from connect.eaas.mongodb._native import create_key

    rights = [right.strip() for right in allow.split(",")]
    with _refusals("key"), _alone_with(path):
        before = _read_keys(path, missing_ok=True)
        text, made = create_key(before, name, rights=rights, places=places, expires=_moment(expires))
        _write_keys(path, text)
    click.echo(made)


@key.command("list")
@KEY_FILE
def list_keys(path: Path) -> None:
    """Show the keys of a file: their names, what they may do, and until when."""
    from connect.eaas.mongodb._native import list_keys

    with _refusals("key"):
        keys = list_keys(_read_keys(path))
    for entry in keys:
        until = f"until {entry['expires']}" if entry["expires"] else "without an end"
        state = " (ended)" if entry["expired"] else ""
        click.echo(f"{entry['name']}: {'; '.join(entry['permissions'])}; {until}{state}")


@key.command("revoke")
@KEY_FILE
@click.option("--name", required=True, metavar="NAME", help="The key's name.")
def revoke_key(path: Path, name: str) -> None:
    """Take a key out of a file. A gateway that runs lets it in until it gets SIGHUP."""
    from connect.eaas.mongodb._native import revoke_key

    with _refusals("key"), _alone_with(path):
        _write_keys(path, revoke_key(_read_keys(path), name))


def _moment(expires: str | None) -> str | None:
    """A time as it is given; of `90d`, the time in 90 days."""
    days = expires.removesuffix("d") if expires else ""
    if expires is None or days == expires or not days.isdecimal():
        return expires
    try:
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=int(days))
    except OverflowError:
        fail("key: --expires is too far away")
    return end.strftime("%Y-%m-%dT%H:%M:%SZ")


def _read_keys(path: Path, *, missing_ok: bool = False) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if missing_ok:
            return ""
        fail(f"key: there is no file {path}")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"key: the file {path} cannot be read ({getattr(error, 'strerror', None) or 'it is not text'})")


@contextlib.contextmanager
def _alone_with(path: Path) -> Iterator[None]:
    """Keep other commands from changing the file meanwhile."""
    try:
        import fcntl
    except ImportError:  # Windows has no such locks.
        yield
        return
    try:
        folder = os.open(path.resolve().parent, os.O_RDONLY)
    except OSError as error:
        fail(f"key: the folder of {path} cannot be opened ({error.strerror})")
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _write_keys(path: Path, text: str) -> None:
    """Put a new file in the place of the old one, its owner's still, so that no reader sees half of it."""
    path = path.resolve()
    try:
        before = path.stat() if path.exists() else None
        mode = before.st_mode & 0o777 if before else 0o600
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        new = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            new.chmod(mode)
            if before and (before.st_uid, before.st_gid) != (new.stat().st_uid, new.stat().st_gid):
                os.chown(new, before.st_uid, before.st_gid)
            new.replace(path)
        except BaseException:
            new.unlink()
            raise
    except OSError as error:
        fail(f"key: the file {path} cannot be written ({error.strerror})")


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


@main.command()
@click.option(
    "--path",
    type=click.Choice(["driver", "http", "both"]),
    default="both",
    show_default=True,
    help="The path to check; both: those whose variables are set.",
)
@click.option(
    "--env-file",
    metavar="FILE",
    help="The variables, as NAME=value lines; those of the environment, if left out.",
)
@click.option(
    "--timeout",
    type=click.IntRange(1, 600),
    default=5,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a connection, and for an answer.",
)
@click.option(
    "--format",
    "output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print what came of it.",
)
def check(path: str, env_file: str | None, timeout: int, output: str) -> None:
    """Check from here that MongoDB can be reached and used, and say what to mend.

    Takes an extension's variables. Inserts a document into each collection, and
    deletes it. Ends with status 0 if all that is configured works, and with 1 if
    something does not, or nothing is configured.
    """
    from connect.eaas.mongodb.cli.check import CheckError, run

    try:
        works = run(path, env_file=env_file, seconds=timeout, output=output)
    except CheckError as error:
        fail(f"check: {error}")
    sys.exit(0 if works else 1)
