"""Rates that two instances of the gateway share through MongoDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from connect.eaas.mongodb.cli.main import main

from tests.gateways import Gateway, configured, create_key, gateway, until

DATABASE = "tests_shared_rates"
SHARED = f'[limits.shared]\ndata_source = "Cluster0"\ndatabase = "{DATABASE}"\ncollection = "rates"\n'
TARGET = {"dataSource": "Cluster0", "database": "app", "collection": "c"}


@pytest.fixture(scope="module")
def instances(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Gateway]]:
    """Two instances with one key file, and a rate of a request per hour after a burst of 5."""
    folder = tmp_path_factory.mktemp("shared")
    create = {name: create_key(folder, name, "*", rights="read") for name in ("one", "other")}
    KEYS.update(create)
    limits = f"[limits]\nrequests_per_second = 0.0003\nburst = 5\n{SHARED}"
    with (
        gateway(folder, configured(mongodb_uri, limits)) as first,
        gateway(folder, configured(mongodb_uri, limits)) as second,
    ):
        yield first, second


KEYS: dict[str, str] = {}


def test_a_request_of_one_instance_counts_on_the_other(instances: tuple[Gateway, Gateway], pymongo_client: Any) -> None:
    first, second = instances
    rates = pymongo_client[DATABASE]["rates"]
    assert [first.post("findOne", TARGET, KEYS["one"]).status_code for _ in range(4)] == [200] * 4
    until(lambda: (rates.find_one("one") or {"tokens": 5})["tokens"] < 1.5)
    # The first request tells of the others.
    assert second.post("findOne", TARGET, KEYS["one"]).status_code == 200
    until(lambda: rates.find_one("one")["tokens"] < 0.5)
    refused = second.post("findOne", TARGET, KEYS["one"])
    until(lambda: second.post("findOne", TARGET, KEYS["one"]).status_code == 429)
    assert first.post("findOne", TARGET, KEYS["one"]).status_code in (200, 429)
    until(lambda: first.post("findOne", TARGET, KEYS["one"]).status_code == 429)
    assert refused.status_code in (200, 429)
    # Others have rates of their own.
    assert second.post("findOne", TARGET, KEYS["other"]).status_code == 200
    # Each by itself would have let through 10 requests, and left -5.
    assert rates.find_one("one")["tokens"] > -3.5
    (index,) = (index for name, index in rates.index_information().items() if name != "_id_")
    assert index["expireAfterSeconds"] > 60


def test_without_mongodb_each_instance_limits_by_itself(tmp_path: Path) -> None:
    key = create_key(tmp_path, "k", "*", rights="read")
    limits = f"[limits]\nrequests_per_second = 0.001\nburst = 3\n{SHARED}"
    uri = "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200"
    with gateway(tmp_path, configured(uri, limits)) as running:
        assert [running.post("findOne", TARGET, key).status_code for _ in range(5)] == [503] * 3 + [429] * 2
        line = running.logged(lambda line: "rates of callers are not shared" in line.get("message", ""))
        assert line["level"] == "warning"


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        (SHARED, "limits.requests_per_second"),
        (f"[limits]\nrequests_per_second = 1\n{SHARED}".replace("Cluster0", "Other"), "limits.shared.data_source"),
        (f"[limits]\nrequests_per_second = 1\n{SHARED}".replace(DATABASE, "a b"), "limits.shared.database"),
        (f"[limits]\nrequests_per_second = 1\n{SHARED}".replace('"rates"', '"a$b"'), "limits.shared.collection"),
        ("[limits]\nstream_seconds = 0", "limits.stream_seconds"),
        ("[limits]\nheartbeat_seconds = 0", "limits.heartbeat_seconds"),
        ("[limits]\nexport_seconds = 90000", "limits.export_seconds"),
        ("[cursors]\nseconds = 0", "cursors.seconds"),
        ('[cursors]\nsecret_file = "none"', "cursors.secret_file"),
        ('[cursors]\nsecret_file = "short"', "at least 16 random bytes"),
        ('[cursors]\nsecret_file = "gateway.toml"', "has the mode 0644, so every user can read it"),
    ],
)
def test_invalid_settings_are_named(tmp_path: Path, limits: str, named: str) -> None:
    create_key(tmp_path, "k", "*")
    (tmp_path / "short").write_text("too short", encoding="utf-8")
    (tmp_path / "short").chmod(0o600)
    (tmp_path / "gateway.toml").write_text(configured("mongodb://127.0.0.1/", limits), encoding="utf-8")
    (tmp_path / "gateway.toml").chmod(0o644)
    result = CliRunner().invoke(main, ["gateway", "--config", str(tmp_path / "gateway.toml")])
    assert result.exit_code == 2
    assert named in result.output
