"""Writes the blocking half of the package from the asynchronous half.

Run `python -m scripts.unasync` after a change in `python/connect/eaas/mongodb/_async/` or
`scripts/native.pyi`. It writes `_sync/` and the stubs of the native module, `_native.pyi`.

The source is valid Python that is type-checked. Where the two halves differ in more than
words, both variants are written by hand in `_common/`, and their names differ by a prefix
that this script removes: `AsyncOnce` and `Once`, `async_sleep` and `sleep`.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "python" / "connect" / "eaas" / "mongodb"
STUBS = Path(__file__).parent / "native.pyi"

WORDS = [
    (r"\bawait ", ""),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\b_Async(?=[A-Z])", "_"),
    (r"\basync_(?=[a-z])", ""),
    (r"\b__a(enter|exit|iter|next)__", r"__\1__"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\b([Aa])n asynchronous\b", r"\1 blocking"),
    (r"\b([Aa])n `async with`", r"\1 `with`"),
    (r"\basynchronous\b", "blocking"),
    (r" Awaiting it is optional\.", ""),
]

# Members that the blocking classes lack.
ASYNC_ONLY = {"__await__", "aclose", "aconnect"}

# The Data API's classes, each with the driver's class and the members that they share.
COMMON = """
    codec_options read_preference write_concern read_concern
    __getitem__ __getattr__ __eq__ __hash__ __class_getitem__
    __init__ __copy__ __deepcopy__ __iter__ __next__ next
"""
DATA_API = {
    "AsyncDataApiClient": ("AsyncMongoClient", f"get_database close __aenter__ __aexit__ {COMMON}"),
    "AsyncDataApiDatabase": ("AsyncDatabase", f"client name get_collection with_options __bool__ {COMMON}"),
    "AsyncDataApiCollection": (
        "AsyncCollection",
        f"""
            name full_name database with_options __bool__ __call__ {COMMON}
            insert_many find_one find aggregate
            update_one update_many replace_one delete_one delete_many
            count_documents estimated_document_count distinct bulk_write
            find_one_and_update find_one_and_replace find_one_and_delete
            _save_event _save_events _drain
        """,
    ),
}

AWAITABLES = ("Coroutine[Any, Any, ", "Awaitable[")


def unwrap(text: str) -> str:
    """Replace each `Coroutine[Any, Any, T]` and `Awaitable[T]` by `T`."""
    for start in AWAITABLES:
        while (at := text.find(start)) >= 0:
            depth, end = 1, at + len(start)
            while depth:
                depth += {"[": 1, "]": -1}.get(text[end], 0)
                end += 1
            text = text[:at] + text[at + len(start) : end - 1] + text[end:]
    return text


def blocking(text: str) -> str:
    """The blocking variant of asynchronous code."""
    text = unwrap(text)
    for pattern, word in WORDS:
        text = re.sub(pattern, word, text)
    return text


def formatted(text: str, path: Path) -> str:
    """The code without unused imports, and as the project's formatter writes it."""
    for command in (["check", "--quiet", "--fix", "--select=F401,I001"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(path), "-"]
        result = subprocess.run(ruff, input=text, capture_output=True, text=True, encoding="utf-8", check=True)
        text = result.stdout
    return text


def lines_of(lines: list[str], node: ast.stmt) -> str:
    """The source of a statement, with its decorators."""
    decorators = getattr(node, "decorator_list", [])
    first = min(part.lineno for part in (node, *decorators))
    return "\n".join(lines[first - 1 : node.end_lineno])


def name_of(node: ast.stmt) -> str:
    """The name that a statement of a class defines; empty for the docstring."""
    target = getattr(node, "target", node)
    return str(getattr(target, "id", getattr(target, "name", "")))


def stubs(source: str) -> str:
    """The stubs of the native module: the source with its blocking classes, and the complete Data API classes."""
    lines = source.splitlines()
    body = ast.parse(source).body
    classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
    members = {name: {name_of(each): lines_of(lines, each) for each in node.body} for name, node in classes.items()}

    def data_api(text: str) -> str:
        for name, (driver, _) in DATA_API.items():
            text = re.sub(rf"\b{driver}\b", name, text)
        return text

    out = []
    for node in body:
        if not isinstance(node, ast.ClassDef) or not node.name.startswith("Async"):
            out.append(lines_of(lines, node))
            continue
        header = "\n".join([*(f"@{ast.unparse(each)}" for each in node.decorator_list), lines[node.lineno - 1]])
        texts = members[node.name]
        if node.name in DATA_API:
            driver, shared = DATA_API[node.name]
            texts |= {name: data_api(members[driver][name]) for name in shared.split()}
        out += [header, *texts.values()]
        out += [blocking(text) for text in (header, *(texts[name] for name in texts if name not in ASYNC_ONLY))]
    return "\n".join(out) + "\n"


def generated() -> dict[Path, str]:
    """The text of each generated file, by path."""
    files = {}
    for source in sorted((PACKAGE / "_async").glob("[a-z]*.py")):
        path = PACKAGE / "_sync" / source.name
        header = f"# Generated by scripts/unasync.py from _async/{source.name}. Do not edit.\n"
        text = source.read_text(encoding="utf-8").replace("connect.eaas.mongodb._async", "connect.eaas.mongodb._sync")
        files[path] = formatted(header + blocking(text), path)
    path = PACKAGE / "_native.pyi"
    header = "# Generated by scripts/unasync.py from scripts/native.pyi. Do not edit.\n"
    files[path] = formatted(header + stubs(STUBS.read_text(encoding="utf-8")), path)
    return files


if __name__ == "__main__":
    for target, content in generated().items():
        target.write_text(content, encoding="utf-8")
