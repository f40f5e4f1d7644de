"""The example and Connect's command line: what `ccli project extension` makes of it, with a local Connect."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import importlib.metadata
import json
import os
import pty
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.local_connect import LocalConnect, local_connect
from demo.runner import CCLI_ENVIRONMENT, EXAMPLE, ROOT, RUNNER_ENVIRONMENT

pytestmark = pytest.mark.skipif(
    not ((CCLI_ENVIRONMENT / "bin" / "ccli").exists() and (RUNNER_ENVIRONMENT / "bin" / "cextrun").exists()),
    reason="the environments of the runner and of Connect's command line are not set up",
)

NAME = "connect_extension_mongodb"
ANSWERS = {
    "project_name": "MongoDB Extension",
    "project_slug": NAME,
    "description": "Keeps purchase requests in MongoDB, through the Data API and through the driver.",
    "version": "0.1.0",
    "author": "connect-eaas-mongodb",
    "license": "Apache Software License 2.0",
    "package_name": NAME,
    "use_asyncio": "y",
    "use_github_actions": "n",
    "server_address": "localhost",
    "api_key": "ApiKey SU-000-000-000:local",
    "environment_id": "ENV-0000-0000-01",
    "extension_type": "multiaccount",
    "extension_audience": ["vendor", "distributor"],
    "application_types": ["events", "webapp"],
    "event_types": ["background"],
    "background": ["asset_purchase_request_processing"],
    "interactive": [],
    "webapp_supports_ui": "n",
    "include_variables_example": "n",
}

UNCHANGED = [".flake8", ".gitignore", "Dockerfile", "HOWTO.md", "LICENSE", "docker-compose.yml", "poetry.toml"]

SECRET = f".{NAME}_dev.env"
"""The file with the API key, which is not kept in version control; the example has one without values."""


def runner_release() -> dict[str, Any]:
    """What a package index says of the runner that is installed."""
    (packages,) = (RUNNER_ENVIRONMENT / "lib").glob("python3*/site-packages")
    (found,) = importlib.metadata.distributions(name="connect-extension-runner", path=[str(packages)])
    return {
        "version": found.version,
        "requires_python": found.metadata["Requires-Python"],
        "requires_dist": found.requires,
    }


def read_terminal(terminal: int) -> str:
    """Read all that a program writes to its terminal; answer its question at the end of the wizard."""
    written = b""
    confirmed = False
    # Linux reports the end of a terminal as an error.
    with contextlib.suppress(OSError):
        while read := os.read(terminal, 65536):
            written += read
            # The program asks for the cursor's position.
            if b"\x1b[6n" in read:
                os.write(terminal, b"\x1b[1;1R")
            if not confirmed and b"Create" in written:
                confirmed = True
                os.write(terminal, b"\r")
    return written.decode("utf-8", "replace")


async def ccli(connect: LocalConnect, folder: Path, *arguments: str) -> str:
    """Run a command of `ccli project extension`, in a terminal; give its output."""
    endpoint = f"https://localhost:{connect.rest_port}"
    account = {
        "id": "VA-000-000",
        "name": "Vendor",
        "api_key": ANSWERS["api_key"],
        "endpoint": f"{endpoint}/public/v1",
    }
    (folder / "config.json").write_text(json.dumps({"active": account["id"], "accounts": [account]}), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")} | {
        "REQUESTS_CA_BUNDLE": str(connect.ca_file),
        "PACKAGE_INDEX": f"{endpoint}/packages",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TERM": "xterm",
        "COLUMNS": "200",
    }
    python, script = CCLI_ENVIRONMENT / "bin" / "python", ROOT / "tests" / "runner" / "ccli.py"
    ours, theirs = pty.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            str(python),
            str(script),
            *("-c", str(folder), "project", "extension", *arguments),
            env=environment,
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
    finally:
        os.close(theirs)
    try:
        output = await asyncio.wait_for(asyncio.to_thread(read_terminal, ours), 120)
        assert await process.wait() == 0, output
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        os.close(ours)
    return output


def run_ccli(folder: Path, *arguments: str) -> str:
    async def main() -> str:
        async with local_connect({}, folder) as connect:
            connect.packages["connect-extension-runner"] = runner_release()
            return await ccli(connect, folder, *arguments)

    return asyncio.run(main())


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of today's command line, with the example's answers."""
    folder = tmp_path_factory.mktemp("bootstrap")
    answers = folder / "answers.json"
    answers.write_text(json.dumps(ANSWERS), encoding="utf-8")
    output = run_ccli(folder, "bootstrap", "--output-dir", str(folder), "--load-answers", str(answers))
    project = folder / NAME
    assert project.is_dir(), output
    return project


def files(project: Path) -> Iterator[str]:
    for path in project.rglob("*"):
        relative = path.relative_to(project)
        if path.is_file() and relative.parts[0] != ".git":
            yield str(relative)


def test_the_example_has_all_files_of_a_generated_project(generated: Path) -> None:
    missing = {name for name in files(generated) if not (EXAMPLE / name).exists()}
    assert missing - {SECRET} == set()
    assert (EXAMPLE / f"{SECRET}.example").exists()


@pytest.mark.parametrize("name", UNCHANGED)
def test_the_file_is_as_generated(generated: Path, name: str) -> None:
    assert (EXAMPLE / name).read_text(encoding="utf-8") == (generated / name).read_text(encoding="utf-8")


def test_the_descriptor_is_as_generated(generated: Path) -> None:
    before, after = (
        json.loads((folder / NAME / "extension.json").read_text(encoding="utf-8")) for folder in (generated, EXAMPLE)
    )
    # The command line keeps the answers in a set.
    assert sorted(before.pop("audience")) == sorted(after.pop("audience"))
    assert before == after


def test_the_project_file_adds_this_package_only(generated: Path) -> None:
    before, after = (
        (folder / "pyproject.toml").read_text(encoding="utf-8").splitlines() for folder in (generated, EXAMPLE)
    )
    changes = [line for line in difflib.ndiff(before, after) if not line.startswith("  ")]
    assert all(line.startswith("+ connect-eaas-mongodb = ") for line in changes), changes
    assert len(changes) == 2


def test_the_example_is_valid(tmp_path: Path) -> None:
    output = run_ccli(tmp_path, "validate", str(EXAMPLE))
    assert f"Extension Project {EXAMPLE} has been successfully validated." in output, output


def test_an_error_is_found(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("__pycache__", "htmlcov"))
    dockerfile = project / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text(encoding="utf-8").replace("runner:", "runner:1"), encoding="utf-8")
    output = run_ccli(tmp_path, "validate", str(project))
    assert "successfully validated" not in output
    assert "Invalid base image in Dockerfile" in output, output


def test_a_newer_runner_changes_the_versions_only(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("__pycache__", "htmlcov"))
    newer = {"version": "99.1", "requires_python": "<3.15,>=3.10", "requires_dist": ["connect-eaas-core<40,>=39"]}

    async def main() -> str:
        async with local_connect({}, tmp_path) as connect:
            connect.packages["connect-extension-runner"] = newer
            return await ccli(connect, tmp_path, "bump", "--project-dir", str(project))

    output = asyncio.run(main())
    assert "successfully updated to 99.1" in output, output
    changed = (project / "pyproject.toml").read_text(encoding="utf-8")
    assert 'connect-eaas-core = "<40,>=39"' in changed
    assert "connect-eaas-mongodb = {" in changed
    assert "connect-extension-runner:99.1" in (project / "Dockerfile").read_text(encoding="utf-8")
