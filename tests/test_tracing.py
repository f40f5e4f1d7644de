"""OpenTelemetry's instrumentation of PyMongo: the spans are those that PyMongo has, with merged inserts too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", params=["default", "database"])
def spans(request: pytest.FixtureRequest, mongodb_uri: str, pymongo_client: Any) -> dict[str, Any]:
    """The spans of the application with each library, with old and new names of attributes."""
    found = {}
    for library in ("ours", "pymongo"):
        database = f"traced_{os.getpid()}_{request.param}"
        environment = {**os.environ}
        if request.param != "default":
            environment["OTEL_SEMCONV_STABILITY_OPT_IN"] = request.param
        done = subprocess.run(
            [sys.executable, "-m", "tests.apps.traced", library, mongodb_uri, database],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=ROOT,
            env=environment,
            check=False,
        )
        pymongo_client.drop_database(database)
        assert done.returncode == 0, done.stderr
        found[library] = json.loads(done.stdout.splitlines()[-1])
    assert found["ours"].pop("client").startswith("connect.eaas.mongodb")
    assert found["pymongo"].pop("client").startswith("pymongo")
    return {library: one["spans"] for library, one in found.items()}


def concurrent(span: dict[str, Any]) -> bool:
    """Whether a span is of the concurrent inserts."""
    return "concurrent" in span["name"] or "concurrent" in str(span["attributes"])


def test_calls_have_pymongos_spans(spans: dict[str, Any]) -> None:
    """The name, kind, parent, attributes, status and links of each span, in the order of their ends."""
    ours, theirs = ([one for one in spans[library] if not concurrent(one)] for library in ("ours", "pymongo"))
    # The package ends its sessions when it closes, as does PyMongo, and neither in a call.
    ours, theirs = ([one for one in some if not one["name"].endswith("endSessions")] for some in (ours, theirs))
    assert ours == theirs
    statuses = {one["status"][0] for one in ours}
    assert statuses == {"UNSET", "ERROR"}
    assert any(one["parent"] == "transaction" for one in ours)
    assert len([one for one in ours if one["kind"] == "CLIENT"]) > 15


def test_a_merged_insert_has_one_span_that_is_linked_to_all_callers(spans: dict[str, Any]) -> None:
    every = {f"concurrent {number}" for number in range(50)}
    inserts = {
        library: [one for one in spans[library] if concurrent(one) and one["kind"] == "CLIENT"] for library in spans
    }
    assert [one["links"] for one in inserts["pymongo"]] == [[]] * 50
    assert len(inserts["ours"]) < 50
    callers = [caller for one in inserts["ours"] for caller in (one["parent"], *one["links"])]
    assert sorted(callers) == sorted(every)
    # But for that, they are PyMongo's.
    own = ("parent", "links", "attributes")
    known = [{key: value for key, value in one.items() if key not in own} for one in inserts["pymongo"]]
    for one in inserts["ours"]:
        assert {key: value for key, value in one.items() if key not in own} == known[0]
        assert one["attributes"].keys() == inserts["pymongo"][0]["attributes"].keys()
    assert {one["parent"] for one in inserts["pymongo"]} == every
