"""Applications of some size, as they are written for Motor and for PyMongo, and what moves them to this package."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
MIGRATING = HERE.parents[1] / "docs" / "migrating.md"

_ROW = re.compile(r"^\| `from (\S+) import (\w+)` \| `(from connect\.eaas\.mongodb\S* import .+)` \|$", re.MULTILINE)


def replacements() -> dict[tuple[str, str], str]:
    """The import that takes the place of each name of a module: the table in docs/migrating.md."""
    return {(module, name): line for module, name, line in _ROW.findall(MIGRATING.read_text(encoding="utf-8"))}


def _imports(source: str) -> list[ast.Import | ast.ImportFrom]:
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]


def without_imports(source: str) -> list[str]:
    """The lines of a source that are not of an import."""
    of_imports = {line for node in _imports(source) for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    return [line for number, line in enumerate(source.splitlines(), 1) if number not in of_imports]


def moved(source: str) -> str:
    """The same source with its imports changed, each as the table says, and nothing else."""
    table = replacements()
    lines = source.splitlines()
    for node in sorted(_imports(source), key=lambda node: node.lineno, reverse=True):
        if not isinstance(node, ast.ImportFrom) or not any((node.module, name.name) in table for name in node.names):
            continue
        assert all(name.asname is None for name in node.names)
        kept = [name.name for name in node.names if (node.module, name.name) not in table]
        changed = [table[node.module or "", name.name] for name in node.names if name.name not in kept]
        if kept:
            changed.append(f"from {node.module} import {', '.join(kept)}")
        lines[node.lineno - 1 : node.end_lineno] = [" " * node.col_offset + line for line in changed]
    result = "\n".join(lines) + "\n"
    assert result != source
    assert without_imports(result) == without_imports(source)
    return result
