"""`connect-mongodb page`: the page of stored events, in an extension and outside of Connect."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
from connect.eaas.mongodb.cli.failures import fail
from connect.eaas.mongodb.cli.options import open_store, store_options, variables_of

STATIC_FILES = Path(__file__).parent.parent / "page" / "static"
FOLDER = "stored-events"
SKIPPED_FOLDERS = {"node_modules", "static", "tests"}

NEXT_STEPS = """
Register the page in the class of the web application, if it is not registered yet:

    from connect.eaas.core.decorators import admin_pages, module_pages, router, variables, web_app
    from connect.eaas.core.extension import WebApplicationBase
    from connect.eaas.mongodb import VARIABLES
    from connect.eaas.mongodb.page import ADMIN_PAGES, EVENTS_PAGE, EventsPageMixin

    @web_app(router)
    @module_pages("Stored events", EVENTS_PAGE)
    @admin_pages(ADMIN_PAGES)
    @variables(VARIABLES)
    class MyWebApplication(EventsPageMixin, WebApplicationBase):
        pass

Commit the folder: the runner serves it as it is."""


@click.group()
def page() -> None:
    """The page of stored events: put it into an extension, or serve it here."""


@page.command("add")
@click.argument(
    "project", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="[PROJECT]"
)
def add(project: Path) -> None:
    """Copy the page's static files into an extension.

    PROJECT is the folder of the extension's project, by default the current one. The files are copied into the folder
    static/stored-events/ beside extension.json. Repeat this after an upgrade of connect-eaas-mongodb.
    """
    target = _package(project) / "static" / FOLDER
    source = STATIC_FILES / FOLDER
    is_new = not target.exists()
    try:
        target.mkdir(parents=True, exist_ok=True)
        names = {file.name for file in source.iterdir()}
        for file in sorted(source.iterdir()):
            shutil.copyfile(file, target / file.name)
        removed = [old for old in target.iterdir() if old.name not in names and old.suffix in (".js", ".css", ".html")]
        for old in removed:
            old.unlink()
    except OSError as error:
        fail(f"page: {target} cannot be written ({error.strerror})")
    click.echo(f"{'Created' if is_new else 'Updated'} {target}")
    if is_new:
        click.echo(NEXT_STEPS)


def _package(project: Path) -> Path:
    """Return the folder of the extension's package: that of extension.json."""
    if (project / "extension.json").is_file():
        return project
    found = sorted(
        file.parent for file in project.glob("*/extension.json") if not SKIPPED_FOLDERS & {*file.parent.parts}
    )
    if not found:
        fail(
            f"page: there is no extension.json in {project.resolve()} or in a folder of it: "
            "name the folder of the extension's project"
        )
    if len(found) > 1:
        names = ", ".join(str(folder) for folder in found)
        fail(f"page: there is more than one extension.json: name one of these folders: {names}")
    return found[0]


@page.command("serve")
@click.option(
    "--port",
    default=0,
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Port to listen on. Default: a free port.",
)
@store_options
@click.option(
    "--installation",
    metavar="ID",
    help="Show only what this installation sees. Default: all events, as the owner sees them.",
)
def serve(port: int, env_file: str | None, path: str | None, installation: str | None) -> None:
    """Serve the page on 127.0.0.1, outside of Connect, until Ctrl-C or SIGTERM.

    The variables are those of the extension, such as DB, DB_HOST and DRIVER_COLLECTION. Only the printed URL, which
    contains a token, opens the page.
    """
    from connect.eaas.mongodb.cli.page_server import run

    if installation is not None and not installation.strip():
        fail("page: --installation must not be empty")
    store = open_store("page", variables_of("page", env_file), path)
    try:
        run(store, port=port, installation=installation)
    except OSError as error:
        fail(f"page: port {port} of 127.0.0.1 cannot be opened ({error.strerror})")
