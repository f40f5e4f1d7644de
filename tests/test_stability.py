"""What `docs/stability.md` calls stable is exported and documented, and nothing else is exported."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "python/connect/eaas/mongodb"
PAGE = (ROOT / "docs/stability.md").read_text(encoding="utf-8")
INTERNAL = {"bulk", "cli", "monitoring"}
NEED_CONNECT = ("web", "page")

STABLE = re.findall(r"`(connect\.eaas\.mongodb[a-z_.]*)`", "".join(re.findall(r"^\| `connect.*$", PAGE, re.MULTILINE)))


def path_of(module: str) -> Path:
    path = PACKAGE.joinpath(*module.split(".")[3:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def exported(module: str) -> list[str]:
    """The names in `__all__`, read from the source: some modules can only be imported with Connect's libraries."""
    for statement in ast.parse(path_of(module).read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(statement.value)]
    pytest.fail(f"{module} has no __all__")


def test_the_page_names_every_public_module() -> None:
    modules = {
        ".".join(("connect", "eaas", "mongodb", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in PACKAGE.rglob("*.py")
        if not any(part.startswith("_") and part != "__init__.py" for part in path.relative_to(PACKAGE).parts)
        and path.relative_to(PACKAGE).parts[0].removesuffix(".py") not in INTERNAL
    }
    assert sorted(STABLE) == sorted({module.removesuffix(".__init__") for module in modules})
    (sentence,) = re.findall(r"the modules (`bulk[^;]+);", PAGE)
    assert set(re.findall(r"`(\w+)`", sentence)) == INTERNAL


@pytest.mark.parametrize("name", STABLE)
def test_a_stable_name_has_documentation(name: str) -> None:
    names = exported(name)
    assert len(names) == len(set(names))
    if name.split(".")[3:4] and name.split(".")[3] in NEED_CONNECT:
        defined = {
            statement.name: ast.get_docstring(statement)
            for statement in ast.parse(path_of(name).read_text(encoding="utf-8")).body
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        }
        assert all(defined[one] for one in names if one in defined)
        return
    module = importlib.import_module(name)
    for one in names:
        value = getattr(module, one)
        if inspect.isclass(value) or inspect.isroutine(value):
            assert inspect.getdoc(value), f"{name}.{one} has no docstring"
    # What a module defines and does not export is private, and its name says so.
    own = {
        one
        for one, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == name
    }
    assert {one for one in own if not one.startswith("_")} <= set(names)
