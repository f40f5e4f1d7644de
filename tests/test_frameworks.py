"""Applications of frameworks: each runs on PyMongo and on this package, and the results are compared.

Each runs in a process of its own: what it imports, registers and configures is for the whole process.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import pprint
import re
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.apps import HERE, moved

FRAMEWORKS = HERE / "frameworks"
# An application as it is, and with its imports changed.
VARIANTS = ("theirs", "ours")

REFUSED = "Cannot use AsyncMongoClient in different event loop"


@pytest.fixture
def databases(mongodb_uri: str, names: tuple[str, str], pymongo_client: Any) -> Iterator[dict[str, str]]:
    """A database for each variant."""
    found = {variant: f"{names[0]}_{names[1]}_{variant}" for variant in VARIANTS}
    yield found
    for name in found.values():
        pymongo_client.drop_database(name)


def variant_of(source: Path, variant: str, folder: Path) -> Path:
    """A copy of an application's file, as it is or with its imports changed."""
    text = source.read_text(encoding="utf-8")
    path = folder / variant / source.name
    path.parent.mkdir()
    path.write_text(moved(text) if variant == "ours" else text, encoding="utf-8")
    return path


def ended(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run to its end."""
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
    )


def of_both(run: Any) -> list[Any]:
    """The results of both variants, which run at the same time."""
    with ThreadPoolExecutor(len(VARIANTS)) as threads:
        return list(threads.map(run, VARIANTS))


# Sentry


def told(event: dict[str, Any], database: str) -> dict[str, Any]:
    """What an event tells, but for what differs in every run: times, ids, and the name of the database."""

    def steady(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: steady(item) for key, item in value.items() if key not in UNSTEADY}
        if isinstance(value, list):
            return [steady(item) for item in value]
        if not isinstance(value, str):
            return value
        value = value.replace(database, "DATABASE")
        if not value.startswith("{"):
            return value
        command = json.loads(value)
        return {name: command[name] for name in sorted(command) if name not in OPTIONAL}

    places = {span["span_id"]: span["op"] for span in event.get("spans", [])}
    spans = [
        {
            "op": span["op"],
            "description": span["description"],
            "origin": span["origin"],
            "parent": places.get(span["parent_span_id"], "the transaction"),
            "status": span.get("tags", {}).get("status"),
            "data": span["data"],
            "tags": span.get("tags"),
        }
        for span in event.get("spans", [])
    ]
    exceptions = [one["type"] for one in event.get("exception", {}).get("values", [])]
    # When a client's end is told depends on who ends its sessions.
    breadcrumbs = [
        [one["category"], one["message"], one["data"]]
        for one in event.get("breadcrumbs", {}).get("values", [])
        if "endSessions" not in one["message"]
    ]
    kept = {"transaction": event.get("transaction"), "message": event.get("logentry", event.get("message"))}
    found: dict[str, Any] = steady({**kept, "spans": spans, "exceptions": exceptions, "breadcrumbs": breadcrumbs})
    return found


# Of Sentry's data: ids, and what the process and its threads are.
UNSTEADY = {"operation_ids", "thread.id", "thread.name"}
# Fields of commands that only one of the libraries sends, as the comparison with PyMongo says too.
OPTIONAL = {"$readPreference", "autocommit", "cursor", "txnNumber"}


def test_sentry_gets_the_same_spans_breadcrumbs_and_errors(
    mongodb_uri: str, databases: dict[str, str], tmp_path: Path
) -> None:
    def run(variant: str) -> Any:
        source = variant_of(FRAMEWORKS / "sentry_orders.py", variant, tmp_path)
        result = ended([str(source), mongodb_uri, databases[variant]], tmp_path)
        assert result.returncode == 0, result.stderr
        return [told(event, databases[variant]) for event in json.loads(result.stdout)]

    theirs, ours = of_both(run)
    assert [event["exceptions"] for event in theirs if event["exceptions"]] == [
        ["DuplicateKeyError"],
        ["OperationFailure"],
    ]
    transactions = [event for event in theirs if event["spans"]]
    assert [event["transaction"] for event in transactions] == ["place", "report"]
    assert len(transactions[0]["spans"]) >= 12
    assert "4111" not in json.dumps(theirs)
    assert len(ours) == len(theirs)
    for expected, given in zip(theirs, ours, strict=True):
        assert pprint.pformat(given, width=200) == pprint.pformat(expected, width=200)


# FastAPI


def create(variant: str, folder: Path, name: str, *arguments: str) -> FastAPI:
    """The application of a variant."""
    source = (FRAMEWORKS / "lifespan_chat.py").read_text(encoding="utf-8")
    # FastAPI looks the names of annotations up in the module.
    (folder / "tests").mkdir(exist_ok=True)
    path = folder / "tests" / f"chat_{variant}.py"
    path.write_text(moved(source) if variant == "ours" else source, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(path.parent))
        module = __import__(path.stem)
    app: FastAPI = getattr(module, name)(*arguments)
    return app


def conversation(client: TestClient) -> list[Any]:
    """What a client gets of all routes."""
    got: list[Any] = []
    for author, text in (("a", "hello you"), ("b", "fail"), ("b", "hello"), ("a", "how are you")):
        answer = client.post("/rooms/1", json={"author": author, "text": text})
        got.append((answer.status_code, {**answer.json(), "id": None}))
    message = answer.json()["id"]
    for path in ("/rooms/1", "/rooms/2", f"/messages/{message}", "/messages/x", f"/messages/{'0' * 24}", "/statistics"):
        answer = client.get(path)
        got.append((path.replace(message, "ID"), answer.status_code, answer.json()))
    got.append(client.get("/rooms/1/log").text)
    with client.websocket_connect("/rooms/2/live") as live:
        for text in ("one", "two"):
            client.post("/rooms/2", json={"author": "c", "text": text})
        got += [live.receive_json(), live.receive_json()]
    return got


def test_fastapi_with_a_lifespan_gives_the_same_each_time_it_starts(
    mongodb_uri: str, databases: dict[str, str], tmp_path: Path, pymongo_client: Any
) -> None:
    results = []
    for variant in VARIANTS:
        for _ in range(2):
            with TestClient(create(variant, tmp_path, "create_app", mongodb_uri, databases[variant])) as client:
                results.append(conversation(client))
            pymongo_client.drop_database(databases[variant])
    assert results[0][:4] == [
        (201, {"id": None, "number": 1}),
        (422, {"id": None, "detail": "refused"}),
        (201, {"id": None, "number": 2}),
        (201, {"id": None, "number": 3}),
    ]
    assert results[0][-3:] == ["1 a: hello you\n2 b: hello\n3 a: how are you\n", {"text": "one"}, {"text": "two"}]
    assert results == [results[0]] * 4


def test_fastapi_with_a_client_of_the_module_needs_no_lifespan(
    mongodb_uri: str, databases: dict[str, str], tmp_path: Path
) -> None:
    """Without its context, Starlette's TestClient runs each request in a loop of its own."""
    program = """
        import json, sys
        from fastapi.testclient import TestClient
        from lifespan_chat import create_app_of_module
        client = TestClient(create_app_of_module(*sys.argv[1:]))
        said = {"author": "a", "text": "hello"}
        try:
            numbers = [client.post("/rooms/1", json=said).json()["number"] for _ in range(3)]
            print(json.dumps([numbers, client.get("/rooms/1").json()]))
        except RuntimeError as error:
            print(str(error).partition(".")[0])
    """

    def run(variant: str) -> str:
        folder = variant_of(FRAMEWORKS / "lifespan_chat.py", variant, tmp_path).parent
        arguments = [textwrap.dedent(program), mongodb_uri, databases[variant]]
        result = ended(["-c", *arguments], folder)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    theirs, ours = of_both(run)
    assert theirs == REFUSED
    assert json.loads(ours) == [[1, 2, 3], {"_id": "1", "last": 3, "words": 3}]


# Django

ORDERS = """\
number,status,created
1,open,2026-01-31T23:30
2,open,2026-02-01T08:00
3,paid,2026-02-02T08:00
"""


def test_django_s_commands_and_views_give_the_same(mongodb_uri: str, databases: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS, encoding="utf-8")
    (tmp_path / "more.csv").write_text(f"{ORDERS}4,late,2026-03-01T08:00\n", encoding="utf-8")

    def run(variant: str) -> list[Any]:
        project = tmp_path / variant
        for source in (FRAMEWORKS / "django_orders").rglob("*.py"):
            target = project / source.relative_to(FRAMEWORKS / "django_orders")
            target.parent.mkdir(parents=True, exist_ok=True)
            text = source.read_text(encoding="utf-8")
            is_moved = (variant == "ours" and "import MongoClient" in text) or "import ClientSession" in text
            target.write_text(moved(text) if is_moved and variant == "ours" else text, encoding="utf-8")
        done = []
        for command in (
            ["import_orders", "../orders.csv", "--atomic"],
            ["import_orders", "../more.csv", "--atomic"],
            ["import_orders", "../more.csv"],
            ["import_orders", "../more.csv", "--update"],
            ["report_orders"],
        ):
            result = ended(
                ["-W", "error", "manage.py", *command, "--no-color"],
                project,
                MONGODB_URI=mongodb_uri,
                MONGODB_DB=databases[variant],
            )
            done.append((result.returncode, result.stdout, result.stderr))
        return done

    theirs, ours = of_both(run)
    assert [status for status, _, _ in theirs] == [0, 1, 1, 0, 0], theirs
    assert theirs[0][1] == "imported 3\n"
    assert theirs[1][2] == "CommandError: nothing was imported: code 65\n"
    assert theirs[4][1].splitlines()[-3:] == [
        "exported [1, 2, 3, 4]",
        '200 {"number": 1, "status": "open", "created": "2026-01-31T22:30:00Z"}',
        '404 {"error": "there is no such order"}',
    ]
    assert ours == theirs


# Jupyter


def results_of(notebook: NotebookNode) -> dict[str, Any]:
    """The results of a notebook's cells, by their ids."""
    found: dict[str, Any] = {}
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        found[cell["id"]] = [output.get("data", {}).get("text/plain", output.get("text")) for output in outputs]
    return found


def test_a_notebook_gives_the_same_and_again_after_a_restart(
    mongodb_uri: str, databases: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = nbformat.read(FRAMEWORKS / "readings.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    for name in ("HOME", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path))

    async def executed(variant: str) -> list[dict[str, Any]]:
        notebook = copy.deepcopy(source)
        if variant == "ours":
            notebook.cells[1].source = moved(notebook.cells[1].source)
        environment = {**os.environ, "NOTEBOOK_URI": mongodb_uri, "NOTEBOOK_DATABASE": databases[variant]}
        client: Any = NotebookClient(notebook, timeout=60)
        found = []
        async with client.async_setup_kernel(env=environment, cwd=str(tmp_path)):
            for again in (False, True):
                if again:
                    await client.km.restart_kernel(now=False)
                    await client.kc.wait_for_ready(timeout=60)
                for number, cell in enumerate(notebook.cells):
                    await client.async_execute_cell(cell, number)
                found.append(results_of(notebook))
        return found

    async def main() -> list[list[dict[str, Any]]]:
        return list(await asyncio.gather(*map(executed, VARIANTS)))

    theirs, ours = asyncio.run(main())
    # The last cell runs a loop in a thread.
    assert [run.pop("thread") for run in theirs] == [[f"['{REFUSED}']"]] * 2
    assert [run.pop("thread") for run in ours] == [["[12]"]] * 2
    assert theirs[0]["cursor"] == ["[11, 10, 9]"]
    assert theirs[0]["followed"] == ["['a', 'b']"]
    assert theirs[0]["transaction"] == ["(12, 12)"]
    assert sum(map(len, theirs[0].values())) == 13
    assert ours == theirs == [theirs[0]] * 2


# pytest-asyncio


def test_an_applications_tests_in_all_loop_scopes_pass_on_ours_only(
    mongodb_uri: str, databases: dict[str, str], tmp_path: Path
) -> None:
    # The plugin of Connect's client needs packages that are not in this environment.
    without_plugins = [f"-pno:{name}" for name in ("cacheprovider", "anyio", "pytest_connect_client")]

    def run(variant: str) -> tuple[Counter[str], str]:
        path = variant_of(FRAMEWORKS / "loop_scopes.py", variant, tmp_path)
        result = ended(
            ["-m", "pytest", "-rA", *without_plugins, "--asyncio-mode=strict", path.name],
            path.parent,
            MONGODB_URI=mongodb_uri,
            MONGODB_DB=databases[variant],
        )
        return Counter(re.findall(r"^(PASSED|FAILED|ERROR) ", result.stdout, re.MULTILINE)), result.stdout

    (theirs, told_of_theirs), (ours, told_of_ours) = of_both(run)
    assert ours == {"PASSED": 7}, told_of_ours
    assert theirs["FAILED"] + theirs["ERROR"] >= 5, told_of_theirs
    assert REFUSED in told_of_theirs
