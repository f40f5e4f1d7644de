"""The deployment files in deploy/, each checked by its own linter and against a real gateway."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from click.testing import CliRunner
from connect.eaas.mongodb.cli.main import main

from tests.gateways import Gateway, configured, create_key, gateway, until
from tests.servers import Server, free_port

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SYSTEMD = DEPLOY / "systemd"
KUBERNETES = DEPLOY / "kubernetes"
PROMETHEUS = DEPLOY / "prometheus"
DASHBOARD = DEPLOY / "grafana" / "gateway.json"
METRIC = re.compile(r"connect_mongodb_gateway_\w+")
JOB = "connect-mongodb-gateway"

# Files of Kubernetes that are for other programs: kustomize, and the Helm chart of prometheus-adapter.
OTHERS = {"kustomization.yaml", "prometheus-adapter.yaml"}


def run(*command: str, folder: Path = ROOT) -> str:
    """Run a linter; raise its output if it finds something. Skip the test where it is not installed."""
    if shutil.which(command[0]) is None:
        package = {"promtool": "prometheus", "systemd-analyze": "systemd"}.get(command[0], command[0])
        pytest.skip(f"needs {command[0]} (apt install {package})")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def load(path: Path) -> Any:
    """Read a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with the path of a program that is there."""
    for unit in SYSTEMD.glob("connect-mongodb-gateway.*"):
        text = unit.read_text(encoding="utf-8")
        text = text.replace("/opt/connect-mongodb/bin/connect-mongodb", f"{sys.prefix}/bin/connect-mongodb")
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    return tmp_path


def test_units_are_valid(units: Path) -> None:
    names = sorted(path.name for path in units.iterdir())
    output = run("systemd-analyze", "verify", "--man=no", *names, folder=units)
    assert "connect-mongodb-gateway" not in output, output


def test_unit_is_hardened(units: Path) -> None:
    """The score of systemd from 0, safe, to 10."""
    name = "connect-mongodb-gateway.service"
    output = run("systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager", name, folder=units)
    assert re.search(r"Overall exposure level for .*: [01]\.\d OK", output), output


def test_compose_file_is_valid() -> None:
    file = str(DEPLOY / "compose" / "compose.yaml")
    run(f"{sys.prefix}/bin/check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)


def test_compose_file_refers_to_what_is_there() -> None:
    folder = DEPLOY / "compose"
    compose = load(folder / "compose.yaml")
    gateway = compose["services"]["gateway"]
    assert (folder / gateway["build"]["context"] / gateway["build"]["dockerfile"]).exists()
    assert (folder / "gateway.toml").exists()
    assert set(gateway["secrets"]) == set(compose["secrets"])
    text = (folder / "gateway.toml").read_text(encoding="utf-8")
    assert {path.removeprefix("/run/secrets/") for path in re.findall(r'"(/run/secrets/[^"]+)', text)} == set(
        compose["secrets"]
    )


@pytest.mark.parametrize("name", sorted(path.name for path in KUBERNETES.glob("*.yaml") if path.name not in OTHERS))
def test_manifest_is_valid(name: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    validate.validate(load(KUBERNETES / name), desired_version="1.31", strict=True)


def test_manifests_belong_together() -> None:
    kustomization = load(KUBERNETES / "kustomization.yaml")
    listed = set(kustomization["resources"])
    assert listed == {path.name for path in KUBERNETES.glob("*.yaml")} - OTHERS
    manifests = {manifest["kind"]: manifest for manifest in map(load, (KUBERNETES / name for name in listed))}
    deployment = manifests["Deployment"]
    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"]
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        manifests["Service"]["spec"]["selector"],
        manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    assert manifests["Service"]["spec"]["ports"][0]["targetPort"] in ports
    assert manifests["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert pod["spec"]["serviceAccountName"] == manifests["ServiceAccount"]["metadata"]["name"]
    namespaces = {manifest["metadata"].get("namespace") for manifest in manifests.values()} - {None}
    assert namespaces == {manifests["Namespace"]["metadata"]["name"]} == {kustomization["namespace"]}
    # The ports and files of the configuration, and the time to end.
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    settings = tomllib.loads((KUBERNETES / "gateway.toml").read_text(encoding="utf-8"))
    assert int(settings["listen"].split(":")[1]) == ports["https"]
    assert int(settings["admin_listen"].split(":")[1]) == ports["admin"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "admin"
    sources = pod["spec"]["volumes"][0]["projected"]["sources"]
    mounted = {item["path"] for source in sources if "secret" in source for item in source["secret"]["items"]}
    needed = {settings["keys_file"], *settings["tls"].values(), settings["data_sources"]["Cluster0"]["uri_file"]}
    assert mounted == needed
    sleep = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["spec"]["terminationGracePeriodSeconds"] > sleep + settings["grace_seconds"]
    # The user of the image.
    assert str(pod["spec"]["securityContext"]["runAsUser"]) in (ROOT / "Containerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["systemd", "compose", "kubernetes"])
def test_gateway_starts_with_the_configuration(mongodb_uri: str, tmp_path: Path, kind: str) -> None:
    """With other ports and files, and without TLS."""
    create_key(tmp_path, "operator")
    (tmp_path / "cluster0.uri").write_text(mongodb_uri, encoding="utf-8")
    (tmp_path / "cluster0.uri").chmod(0o600)
    text = (DEPLOY / kind / "gateway.toml").read_text(encoding="utf-8")
    admin = free_port()
    text = re.sub(r"^listen = .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r'^admin_listen = ".*:9090"', f'admin_listen = "127.0.0.1:{admin}"', text, flags=re.MULTILINE)
    text = re.sub(r"\[tls\]\n.*\n.*\n", "", text).replace("/run/secrets/", "")
    with gateway(tmp_path, text) as running:
        assert httpx.get(f"http://127.0.0.1:{admin}/readyz").status_code == 200
        assert running.get("/metrics").status_code == 404


def test_rules_are_valid() -> None:
    run("promtool", "check", "rules", "--lint-fatal", str(PROMETHEUS / "alerts.yaml"))
    run("promtool", "check", "config", str(PROMETHEUS / "prometheus.yml"))


def test_rules_fire_when_they_should() -> None:
    run("promtool", "test", "rules", "alerts.test.yaml", folder=PROMETHEUS)


@pytest.fixture(scope="module")
def served(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that has had requests of many kinds."""
    folder = tmp_path_factory.mktemp("gateway")
    key = create_key(folder, "k")
    created = CliRunner().invoke(main, ["gateway-key", "create", "--file", str(folder / "gateway-key.toml")])
    assert created.exit_code == 0, created.output
    # They have a metric of their own.
    logins = '[logins]\nproviders = ["local-userpass"]\nkey_file = "gateway-key.toml"'
    with gateway(folder, configured(mongodb_uri, tables=logins)) as running:
        target = {"dataSource": "Cluster0", "database": f"tests_{os.getpid()}", "collection": "metrics"}
        running.post("insertOne", {**target, "document": {}}, key)
        running.post("find", {**target, "filter": {}}, "wrong")
        running.post("find", {**target, "filter": {}}, key)
        yield running


def exposed(text: str) -> set[str]:
    """The names of the series that metrics have, by their types."""
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    types = re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE)
    return {name + suffix for name, kind in types for suffix in suffixes.get(kind, [""])}


def expressions() -> dict[str, str]:
    """The expressions of the dashboard, by the titles of their panels."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return {f"{panel['title']} {target['refId']}": target["expr"] for panel in panels for target in panel["targets"]}


def test_metrics_in_use_exist(served: Gateway) -> None:
    """Those of the dashboard, the rules and the autoscaler."""
    names = exposed(served.get("/metrics").text)
    rules = [rule["expr"] for group in load(PROMETHEUS / "alerts.yaml")["groups"] for rule in group["rules"]]
    adapter = (KUBERNETES / "prometheus-adapter.yaml").read_text(encoding="utf-8")
    autoscaler = load(KUBERNETES / "autoscaler.yaml")["spec"]["metrics"][0]["pods"]["metric"]["name"]
    used = set(METRIC.findall(" ".join([*expressions().values(), *rules, autoscaler, adapter])))
    assert len(used) >= 10
    assert used <= names
    # Nothing is left out of the dashboard.
    shown = set(METRIC.findall(" ".join(expressions().values())))
    assert names - shown == set()


def test_dashboard_is_complete() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, f"{panel['title']} covers another panel"
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(panels)))
    assert used - {"__rate_interval"} == variables


@pytest.fixture(scope="module")
def prometheus(served: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that reads the gateway's metrics."""
    if shutil.which("prometheus") is None:
        pytest.skip("needs Prometheus (apt install prometheus)")
    folder = tmp_path_factory.mktemp("prometheus")
    config = load(PROMETHEUS / "prometheus.yml")
    config["rule_files"] = [str(PROMETHEUS / "alerts.yaml")]
    config["global"] = dict.fromkeys(["scrape_interval", "scrape_timeout", "evaluation_interval"], "200ms")
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [served.url.removeprefix("http://")]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    server = Server("Prometheus", [*command, f"--web.listen-address={address}", "--log.level=error"])
    try:
        until(lambda: reached(f"http://{address}/-/ready"))
        yield f"http://{address}"
    finally:
        server.stop()


def reached(url: str) -> bool:
    """Whether a server responds."""
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def test_dashboard_has_data(served: Gateway, prometheus: str) -> None:
    """Each panel's query has a result in a real Prometheus, which reads a real gateway."""
    name = "connect_mongodb_gateway_requests_total"
    several = f"count_over_time({name}[1m]) > 5"

    def query(text: str) -> list[Any]:
        response = httpx.get(f"{prometheus}/api/v1/query", params={"query": text}, timeout=10)
        assert response.is_success, f"{text}: {response.text}"
        found: list[Any] = response.json()["data"]["result"]
        return found

    until(lambda: query(several))
    for title, text in expressions().items():
        wanted = text.replace("$__rate_interval", "1m").replace("$instance", ".*")
        if title.startswith("Failed"):
            query(wanted)
        else:
            assert query(wanted), f"{title}: {wanted}"

    def health() -> list[str]:
        [group] = httpx.get(f"{prometheus}/api/v1/rules").json()["data"]["groups"]
        return [rule["health"] for rule in group["rules"]]

    until(lambda: "unknown" not in health())
    assert health() == ["ok"] * 8
