"""The generated blocking code is up to date."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys

import connect.eaas.mongodb as package
import pytest

from scripts import unasync


def test_generated_files_are_up_to_date() -> None:
    """If this fails, run `python -m scripts.unasync`."""
    generated = unasync.generated()
    assert set((unasync.PACKAGE / "_sync").glob("[a-z]*.py")) <= set(generated)
    for path, text in generated.items():
        assert path.read_text(encoding="utf-8") == text, path.name


def test_generated_modules_are_blocking() -> None:
    for path, text in unasync.generated().items():
        if path.suffix == ".py":
            kinds = {type(node) for node in ast.walk(ast.parse(text))}
            assert not kinds & {ast.Await, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith}, path.name


def test_awaitable_types_are_replaced_by_their_results() -> None:
    source = "def f(call: Callable[[], Awaitable[list[T]]]) -> Coroutine[Any, Any, dict[str, list[T]]]: ..."
    assert unasync.blocking(source) == "def f(call: Callable[[], list[T]]) -> dict[str, list[T]]: ..."


def test_names_and_keywords_are_replaced() -> None:
    source = "async with AsyncThing() as thing:\n    await async_sleep(await thing.__anext__())"
    assert unasync.blocking(source) == "with Thing() as thing:\n    sleep(thing.__next__())"


def test_data_api_classes_have_the_members_that_they_share() -> None:
    stubs = ast.parse(unasync.stubs(unasync.STUBS.read_text(encoding="utf-8")))
    classes = {node.name: node for node in stubs.body if isinstance(node, ast.ClassDef)}
    for name, (_, shared) in unasync.DATA_API.items():
        members = {unasync.name_of(node) for node in classes[name].body}
        assert set(shared.split()) <= members
        blocking = {unasync.name_of(node) for node in classes[name.removeprefix("Async")].body}
        assert {unasync.blocking(member) for member in members} == blocking


# They need Connect's libraries: the tests in tests/runner/ import them.
FOR_WEB_APPLICATIONS = ("connect.eaas.mongodb.page", "connect.eaas.mongodb.web")

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(package.__path__, "connect.eaas.mongodb.")
    if "__main__" not in module.name and not module.name.startswith(FOR_WEB_APPLICATIONS)
)


@pytest.mark.parametrize("name", MODULES)
def test_each_module_can_be_imported_first(name: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", f"import {name}"], check=True, timeout=60)
