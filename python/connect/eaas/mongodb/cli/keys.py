"""The commands on the gateway's keys and users."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from connect.eaas.mongodb.cli.failures import fail, refusals
from connect.eaas.mongodb.cli.key_files import KEY_FILE, KeyFile, in_days, utc
from connect.eaas.mongodb.cli.rules import rule_of, rule_options

ALLOW = click.option(
    "--allow",
    metavar="RIGHTS",
    help="Permissions, comma-separated: read, write, code ($where, $function, $accumulator), "
    "out ($out, $merge), stats ($collStats and similar stages). In a terminal, the command asks for them.",
)
ON = click.option(
    "--on",
    "places",
    multiple=True,
    metavar="PLACE",
    help="Where the permissions apply: DATA_SOURCE/DATABASE/COLLECTION; * matches any text. Repeatable. "
    "In a terminal, the command asks for it.",
)


def _permissions(command: str, allow: str | None, places: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the rights and the places; ask for what is not given."""
    missing = ["--allow"] * (allow is None) + ["--on"] * (not places)
    if missing and not _is_terminal():
        verb = "is" if len(missing) == 1 else "are"
        fail(f"{command}: {' and '.join(missing)} {verb} required, as in --allow read --on 'Cluster0/shop/orders_*'")
    if allow is None:
        allow = str(click.prompt("Rights, comma-separated (read, write, code, out, stats)", err=True))
    if not places:
        places = [str(click.prompt("On (DATA_SOURCE/DATABASE/COLLECTION; * matches any text)", err=True))]
    return [right.strip() for right in allow.split(",")], list(places)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _password(command: str) -> str:
    """Ask for a password, or read the first line of stdin. An argument would be visible to other processes."""
    if _is_terminal():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    try:
        line = sys.stdin.readline()
    except UnicodeDecodeError:
        fail(f"{command}: the password on stdin is not text")
    return line.removesuffix("\n").removesuffix("\r")


@click.group()
def key() -> None:
    """Create, list and revoke API keys in a file for `gateway`.

    The file contains hashes, not keys. Send SIGHUP to a running gateway to reload the file.
    """


@key.command("create")
@KEY_FILE
@click.option("--name", required=True, metavar="NAME", help="Name of the key in logs.")
@ALLOW
@ON
@click.option(
    "--expires",
    metavar="TIME",
    help="Expiry: 2027-01-31, 2027-01-31T12:00:00Z, or in days from now: 90d. Default: never.",
)
@rule_options
def create_key(
    path: Path, name: str, allow: str | None, places: Sequence[str], expires: str | None, **options: Any
) -> None:
    """Create a key and print it. It cannot be shown again."""
    from connect.eaas.mongodb._native import create_key

    rule = rule_of("key create", **options)
    rights, places = _permissions("key create", allow, places)
    file = KeyFile("key", path)
    with refusals("key"), file.locked():
        before = file.read(missing_ok=True)
        text, made = create_key(before, name, rights=rights, places=places, expires=_moment(expires), rule=rule)
        file.write(text)
    click.echo(made)


@key.command("list")
@KEY_FILE
def list_keys(path: Path) -> None:
    """List the keys of a file with their permissions and expiry."""
    from connect.eaas.mongodb._native import list_keys

    with refusals("key"):
        keys = list_keys(KeyFile("key", path).read())
    for entry in keys:
        expiry = f"expires {entry['expires']}" if entry["expires"] else "never expires"
        state = " (expired)" if entry["expired"] else ""
        click.echo(f"{entry['name']}: {'; '.join(entry['permissions'])}; {expiry}{state}")


@key.command("revoke")
@KEY_FILE
@click.option("--name", required=True, metavar="NAME", help="Name of the key.")
def revoke_key(path: Path, name: str) -> None:
    """Remove a key from a file. A running gateway accepts it until it receives SIGHUP."""
    from connect.eaas.mongodb._native import revoke_key

    file = KeyFile("key", path)
    with refusals("key"), file.locked():
        file.write(revoke_key(file.read(), name))


def _moment(expires: str | None) -> str | None:
    """Convert a number of days, such as `90d`, to a time; return any other text unchanged."""
    days = expires.removesuffix("d") if expires else ""
    if expires is None or days == expires or not days.isdecimal():
        return expires
    return in_days("key", days)


@click.group()
def user() -> None:
    """Add, list and remove users who log in at `gateway` with a password.

    The users are in the key file, which contains hashes, not passwords. The password is asked for, or read from stdin.
    Send SIGHUP to a running gateway to reload the file.
    """


NAME = click.option("--name", required=True, metavar="NAME", help="Name of the user, such as an email address.")


@user.command("add")
@KEY_FILE
@NAME
@ALLOW
@ON
@click.option(
    "--data",
    multiple=True,
    metavar="NAME=TEXT",
    help="What rules can use as %%user.custom_data.NAME. Repeatable.",
)
@rule_options
def add_user(
    path: Path, name: str, allow: str | None, places: Sequence[str], data: Sequence[str], **options: Any
) -> None:
    """Add a user with a password."""
    from connect.eaas.mongodb._native import add_user

    custom_data = _custom_data(data)
    rule = rule_of("user add", **options)
    rights, places = _permissions("user add", allow, places)
    password = _password("user add")
    file = KeyFile("user", path)
    with refusals("user"), file.locked():
        before = file.read(missing_ok=True)
        file.write(add_user(before, name, password, rights=rights, places=places, data=custom_data, rule=rule))


def _custom_data(data: Sequence[str]) -> list[tuple[str, str]]:
    texts: dict[str, str] = {}
    for pair in data:
        name, equals, text = pair.partition("=")
        if not name or not equals:
            fail("user add: --data must have the form NAME=TEXT")
        if name in texts:
            fail(f"user add: --data gives {name} twice")
        texts[name] = text
    return list(texts.items())


@user.command("list")
@KEY_FILE
def list_users(path: Path) -> None:
    """List the users of a file with their permissions."""
    from connect.eaas.mongodb._native import list_users

    with refusals("user"):
        users = list_users(KeyFile("user", path).read())
    for entry in users:
        state = " (disabled)" if entry["disabled"] else ""
        click.echo(f"{entry['name']}: {'; '.join(entry['permissions'])}; id {entry['id']}{state}")


@user.command("remove")
@KEY_FILE
@NAME
def remove_user(path: Path, name: str) -> None:
    """Remove a user. The user's sessions end when the running gateway receives SIGHUP."""
    from connect.eaas.mongodb._native import remove_user

    file = KeyFile("user", path)
    with refusals("user"), file.locked():
        file.write(remove_user(file.read(), name))


@user.command("password")
@KEY_FILE
@NAME
def change_password(path: Path, name: str) -> None:
    """Change a password. The user's sessions end when the running gateway receives SIGHUP."""
    from connect.eaas.mongodb._native import set_password

    password = _password("user password")
    file = KeyFile("user", path)
    with refusals("user"), file.locked():
        file.write(set_password(file.read(), name, password))


@click.group("gateway-key")
def gateway_key() -> None:
    """Create and rotate the key that signs the tokens of logins at `gateway`.

    Send SIGHUP to a running gateway to reload the file.
    """


@gateway_key.command("create")
@KEY_FILE
def create_gateway_key(path: Path) -> None:
    """Create a file with a key."""
    from connect.eaas.mongodb._native import add_signing_key

    file = KeyFile("gateway-key", path)
    with refusals("gateway-key"), file.locked():
        if path.exists():
            fail(f"gateway-key: the file {path} exists: run connect-mongodb gateway-key rotate")
        now = utc(datetime.datetime.now(datetime.timezone.utc))
        file.write(add_signing_key("", now, now))


@gateway_key.command("rotate")
@KEY_FILE
@click.option(
    "--after",
    default=10,
    show_default=True,
    type=click.IntRange(0, 10_000),
    metavar="MINUTES",
    help="When the new key begins to sign. All instances must have reloaded the file by then.",
)
@click.option(
    "--keep",
    default=60,
    show_default=True,
    type=click.IntRange(0, 400),
    metavar="DAYS",
    help="How long an old key is kept: the lifetime of refresh tokens.",
)
@click.option("--revoke", is_flag=True, help="Remove all old keys now, because one is known: every session ends.")
def rotate_gateway_key(path: Path, after: int, keep: int, revoke: bool) -> None:
    """Add a key. Old keys verify tokens until the tokens have expired."""
    from connect.eaas.mongodb._native import add_signing_key

    file = KeyFile("gateway-key", path)
    with refusals("gateway-key"), file.locked():
        before = file.read()
        now = datetime.datetime.now(datetime.timezone.utc)
        begins = now if revoke else now + datetime.timedelta(minutes=after)
        file.write(add_signing_key("" if revoke else before, utc(begins), in_days("gateway-key", -keep)))
