"""`connect-mongodb events`, on both paths."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64, ObjectId
from click.testing import CliRunner, Result
from connect.eaas.mongodb import EventStore
from connect.eaas.mongodb.cli import main
from connect.eaas.mongodb.cli.events import Difference, differences

from demo.purchase_requests import purchase_requests, sample
from tests.test_cli import COMMAND

PURCHASE = "asset_purchase_request_processing"
PATHS = ["driver", "http"]


@pytest.fixture(params=PATHS)
def run(request: pytest.FixtureRequest, config: dict[str, str]) -> Any:
    """Run a command on one of the paths."""

    def call(*arguments: str, text: str | None = None, **variables: str) -> Result:
        command = ["events", arguments[0], "--path", request.param, *arguments[1:]]
        return CliRunner().invoke(main, command, input=text, env={**config, **variables})

    return call


@pytest.fixture
def stored(config: dict[str, str]) -> list[dict[str, Any]]:
    """Three versions of a purchase request, and a tier configuration request."""
    store = EventStore.from_config(config)
    versions = []
    for status, quantity in (("pending", "1"), ("pending", "5"), ("approved", "5")):
        version = sample("asset-purchase-request")
        version["status"] = status
        version["asset"]["items"][0]["quantity"] = quantity
        store.save(PURCHASE, version, task_id="TQ-1")
        versions.append(version)
    store.save("tier_config_setup_request_processing", sample("tier-config-setup-request"))
    return versions


def lines(result: Result) -> list[Any]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_list_prints_a_table_and_json(run: Any, stored: list[dict[str, Any]]) -> None:
    table = run("list")
    assert table.exit_code == 0
    titles, *rows = table.stdout.splitlines()
    assert titles.split() == ["Received", "Event", "type", "Object", "Status", "Product", "Marketplace", "Record"]
    assert len(rows) == 4
    assert "tier_config_setup_request_processing" in rows[0]
    assert [row.split()[3] for row in rows[1:]] == ["approved", "pending", "pending"]
    events = lines(run("list", "--json", "--oldest-first"))
    assert [event["status"] for event in events[:3]] == ["pending", "pending", "approved"]
    first = events[0]
    assert first["object_id"] == stored[0]["id"]
    assert first["product_id"] == stored[0]["asset"]["product"]["id"]
    assert first["id"].startswith(stored[0]["id"] + ":")
    assert first["received_at"].endswith("Z")
    assert first["task_id"] == "TQ-1"


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--type", PURCHASE], 3),
        (["--type", PURCHASE, "--type", "tier_config_setup_request_processing"], 4),
        (["--type", PURCHASE, "--status", "pending"], 2),
        (["--object", "PR-none"], 0),
        (["--account", "VA-none"], 0),
        (["--product", "PRD-none", "--marketplace", "MP-none"], 0),
        (["--since", "1d"], 4),
        (["--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00+02:00"], 0),
        (["--limit", "2"], 2),
        (["--limit", "0"], 4),
    ],
    ids=lambda value: "-".join(value).replace("--", "") if isinstance(value, list) else None,
)
def test_list_filters_as_find_does(run: Any, stored: Any, arguments: list[str], count: int) -> None:
    assert len(lines(run("list", "--json", *arguments))) == count


def test_an_unknown_value_of_a_filter_is_named(run: Any, stored: Any) -> None:
    result = run("list", "--type", "asset_purchase_request_procesing", "--status", "aproved")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == (
        "no event matches: asset_purchase_request_procesing is not a known event type (did you mean "
        f"{PURCHASE}?); aproved is not a known status (did you mean approved?)\n"
    )


def test_show_takes_a_record_or_an_object(run: Any, stored: list[dict[str, Any]]) -> None:
    events = lines(run("list", "--json", "--oldest-first"))
    shown = run("show", stored[0]["id"])
    assert shown.exit_code == 0
    assert "approved" in shown.stdout
    known, _, document = shown.stdout.partition("{")
    assert events[2]["id"] in known
    assert json.loads("{" + document) == json.loads(json.dumps(stored[2]))
    (record,) = lines(run("show", "--json", events[0]["id"]))
    assert record["_id"] == events[0]["id"]
    assert record["_connect"]["status"] == "pending"
    missing = run("show", "PR-none")
    assert missing.exit_code == 1
    assert missing.stderr == ("connect-mongodb: events show: neither a record nor an object has the ID PR-none\n")


def test_history_lists_the_versions_of_an_object(run: Any, stored: list[dict[str, Any]]) -> None:
    versions = lines(run("history", "--json", stored[0]["id"]))
    assert [version["status"] for version in versions] == ["pending", "pending", "approved"]
    assert len(run("history", stored[0]["id"]).stdout.splitlines()) == 4
    assert run("history", "PR-none").stderr.endswith("no event of the object PR-none is stored\n")


def test_diff_compares_versions(run: Any, stored: list[dict[str, Any]]) -> None:
    assert lines(run("diff", "--json", stored[0]["id"])) == [
        {"path": "status", "change": "changed", "before": "pending", "after": "approved"}
    ]
    first, second, _ = (version["id"] for version in lines(run("history", "--json", stored[0]["id"])))
    text = run("diff", first, second).stdout
    item = stored[0]["asset"]["items"][0]["id"]
    assert text.splitlines()[2:] == [f"asset.items[{item}].quantity", '  - "1"', '  + "5"']
    assert run("diff", first, first).stdout.splitlines()[-1] == "The objects are equal."
    assert "no event" in run("diff", "PR-none").stderr
    (tier,) = lines(run("list", "--json", "--type", "tier_config_setup_request_processing"))
    assert "only one version" in run("diff", tier["object_id"]).stderr


def test_differences_are_found_at_any_depth() -> None:
    before = {"a": 1, "b": {"c": [1, 2]}, "d": [{"id": "x", "v": 1}, {"id": "y"}], "e": None, "f": True}
    after = {"a": 1.0, "b": {"c": [1, 3, 4]}, "d": [{"id": "y"}, {"id": "x", "v": 2}], "g": "new", "f": 1}
    assert list(differences(before, after)) == [
        Difference("a", "changed", 1, 1.0),
        Difference("b.c[1]", "changed", 2, 3),
        Difference("b.c[2]", "added", None, 4),
        Difference("d[x].v", "changed", 1, 2),
        Difference("e", "removed", None, None),
        Difference("f", "changed", True, 1),
        Difference("g", "added", None, "new"),
    ]


def test_export_and_import_round_trip(run: Any, config: dict[str, str], reader: Any, tmp_path: Path) -> None:
    store = EventStore.from_config(config)
    for result in store.save_many((PURCHASE, request) for request in purchase_requests(1100)):
        assert not isinstance(result, Exception)
    store.save(PURCHASE, {"id": "PR-1", "$in": [1], "n": 2**40, "f": 1.0, "z": -0.0})
    anything: Any = [1, {"a": None}]
    store.save("made_up", anything, task_id="TQ-1")
    # What the store does not write itself.
    other = {
        "_id": "other",
        "_connect": {"received_at": datetime.datetime(2024, 1, 1)},
        "values": [Int64(1), 1, 1.0, Decimal128("1.10"), ObjectId(), b"\x00", datetime.datetime(1, 1, 1), None],
    }
    reader.insert_one(other)
    before = {record["_id"]: bson.encode(record) for record in reader.find()}
    file = tmp_path / "events.ndjson"
    exported = run("export", str(file))
    assert (exported.exit_code, exported.stderr) == (0, "1,103 events exported\n")
    text = file.read_text()
    assert len(text.splitlines()) == 1103
    assert sorted(run("export").stdout.splitlines()) == sorted(text.splitlines())
    assert list(tmp_path.iterdir()) == [file]
    reader.drop()
    assert run("import", "--dry-run", str(file)).stderr == "1,103 events can be imported\n"
    assert reader.count_documents({}) == 0
    imported = run("import", str(file))
    assert (imported.exit_code, imported.stderr) == (0, "1,103 events imported, 0 already stored\n")
    assert {record["_id"]: bson.encode(record) for record in reader.find()} == before
    reader.delete_many({"_id": {"$in": list(before)[:3]}})
    assert run("import", text=text).stderr == "3 events imported, 1,100 already stored\n"
    assert {record["_id"]: bson.encode(record) for record in reader.find()} == before
    some = run("export", "--type", "made_up")
    assert [json.loads(line)["_connect"]["payload"] for line in some.stdout.splitlines()] == [
        [{"$numberInt": "1"}, {"a": None}]
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2: not Extended JSON"),
        ("[]", "line 2: not a stored event: it has no text in _id"),
        ('{"_id": {"$numberInt": "1"}, "_connect": {}}', "it has no text in _id"),
        ('{"_id": "a"}', "it has no _connect"),
        ('{"_id": "a", "_connect": {"received_at": {"$date": "soon"}}}', "not Extended JSON"),
        ("[" * 100_000, "line 2: n"),
    ],
    ids=["json", "list", "id", "no-metadata", "date", "deep"],
)
def test_import_names_the_line_that_is_no_event(run: Any, reader: Any, line: str, says: str) -> None:
    result = run("import", text='{"_id": "first", "_connect": {}}\n' + line + "\n")
    assert result.exit_code == 1
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.endswith("; 1 events before it are stored\n")
    assert reader.count_documents({}) == 1


@pytest.mark.parametrize("field", ["n", "a\\u0000b", "text"], ids=["number", "nul", "surrogate"])
def test_import_explains_a_line_that_bson_cannot_hold(run: Any, reader: Any, field: str) -> None:
    value = {"n": str(2**70), "text": '"\\ud800"'}.get(field, "1")
    result = run("import", text=f'{{"_id": "a", "_connect": {{}}, "{field}": {value}}}\n')
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert result.stderr.startswith("connect-mongodb: events import: ")
    assert reader.count_documents({}) == 0


def test_import_tells_of_a_record_that_another_unique_index_refuses(run: Any, reader: Any) -> None:
    reader.create_index("order", unique=True)
    reader.insert_one({"_id": "there", "_connect": {}, "order": 1})
    text = "".join(f'{{"_id": "{name}", "_connect": {{}}, "order": 1}}\n' for name in ("there", "new"))
    result = run("import", text=text)
    assert (result.exit_code, "uplicate" in result.stderr or "E11000" in result.stderr) == (1, True), result.stderr
    assert run("import", text=text.splitlines()[0] + "\n").stderr == "0 events imported, 1 already stored\n"


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        (["list", "--since", "2024-01-31"], {}, "has no time zone"),
        (["list", "--since", "0001-01-01T00:00:00+05:00"], {}, "is not a time"),
        (["list", "--since", "1d", "--until", "2d"], {}, "--since must be before --until"),
        (["list", "--limit", "-1"], {}, "--limit"),
        (["list", "--status", " "], {}, "--status is empty"),
        (["list"], {"DB": "", "DB_HOST": ""}, "DB"),
        (["show"], {}, "Missing argument 'ID'"),
        (["import", "/nowhere"], {}, "/nowhere"),
        (["export", "/nowhere/file"], {}, "the file /nowhere/file cannot be written"),
    ],
    ids=lambda value: "-".join(value).replace("/", "") if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_status_2(
    run: Any, arguments: list[str], variables: dict[str, str], says: str
) -> None:
    result = run(*arguments, **variables)
    assert result.exit_code == 2
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_reader_may_end_before_the_export(config: dict[str, str]) -> None:
    EventStore.from_config(config).save_many((PURCHASE, request) for request in purchase_requests(100))
    with subprocess.Popen(
        [*COMMAND, "events", "export"], env={**os.environ, **config}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(8) == b'{"_id": '
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_mongodb_that_is_not_there_is_one_line_and_status_1(config: dict[str, str]) -> None:
    away = {**config, "DB_HOST": "127.0.0.1:1", "DB_OPTIONS": "serverSelectionTimeoutMS=200"}
    result = CliRunner().invoke(main, ["events", "list"], env=away)
    assert result.exit_code == 1
    assert result.stderr.startswith("connect-mongodb: events list: ")
    assert len(result.stderr.splitlines()) == 1
