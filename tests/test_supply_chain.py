"""What a release says of itself and of the code of others in it."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")

ROOT = Path(__file__).parent.parent
PACKAGE = "connect-eaas-mongodb"

Crate = tuple[str, str]


def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    read: dict[str, Any] = tomllib.loads(text_of("Cargo.toml"))
    return read


@pytest.fixture(scope="module")
def locked() -> dict[Crate, dict[str, Any]]:
    """The crates that this package needs, by Cargo.lock: not those that only the fuzzers and the benchmark need."""
    packages = tomllib.loads(text_of("Cargo.lock"))["package"]
    by_name: dict[str, list[dict[str, Any]]] = {}
    for package in packages:
        by_name.setdefault(package["name"], []).append(package)
    needed: dict[Crate, dict[str, Any]] = {}
    waiting = [PACKAGE]
    while waiting:
        # A dependency is its name, with the version if there are several.
        name, *version = waiting.pop().split()
        package = next(one for one in by_name[name] if version in ([], [one["version"]]))
        if (name, package["version"]) not in needed:
            needed[name, package["version"]] = package
            waiting += package.get("dependencies", [])
    return {crate: package for crate, package in needed.items() if "source" in package}


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    """The texts in the installed distribution's .dist-info."""
    installed = importlib.metadata.distribution(PACKAGE).files or []
    paths = [path for path in installed if path.parts[0].endswith(".dist-info")]
    return {"/".join(path.parts[1:]): path.read_text(encoding="utf-8") for path in paths if len(path.parts) > 2}


@pytest.fixture(scope="module")
def materials(files: dict[str, str]) -> dict[str, Any]:
    """The bill of materials in the wheel."""
    (name,) = (name for name in files if name.startswith("sboms/"))
    read: dict[str, Any] = json.loads(files[name])
    return read


def test_the_bill_of_materials_has_the_locked_crates(
    materials: dict[str, Any], locked: dict[Crate, dict[str, Any]], manifest: dict[str, Any]
) -> None:
    assert (materials["bomFormat"], materials["metadata"]["component"]["name"]) == ("CycloneDX", PACKAGE)
    assert materials["metadata"]["component"]["version"] == manifest["package"]["version"]
    hashes = {
        (component["name"], component["version"]): [one["content"] for one in component["hashes"]]
        for component in materials["components"]
    }
    assert hashes == {crate: [package["checksum"]] for crate, package in locked.items()}
    # Which component needs which is in it too.
    references = {component["bom-ref"] for component in materials["components"]}
    needed = {reference for one in materials["dependencies"] for reference in one.get("dependsOn", ())}
    assert references == needed


def test_the_wheel_has_the_licences(files: dict[str, str]) -> None:
    expression = importlib.metadata.metadata(PACKAGE)["License-Expression"]
    assert expression == "Apache-2.0"
    licences = importlib.metadata.metadata(PACKAGE).get_all("License-File")
    assert licences == ["LICENSE", "THIRD-PARTY-LICENSES"]
    for name in licences:
        assert files[f"licenses/{name}"] == text_of(name)


def test_the_third_party_licences_are_of_the_locked_crates(
    locked: dict[Crate, dict[str, Any]], manifest: dict[str, Any], materials: dict[str, Any]
) -> None:
    """`make lint` compares the whole text."""
    listed = re.findall(r"^(\S+) (\d\S+): (.+)\. ?(?:https:\S+)?$", text_of("THIRD-PARTY-LICENSES"), re.MULTILINE)
    crates = {(name, version) for name, version, _ in listed}
    assert crates <= set(locked)
    platforms = manifest["target"].values()
    required = {*manifest["dependencies"], *(name for one in platforms for name in one["dependencies"])}
    assert required <= {name for name, _ in crates}
    # Each is under the licence that the bill of materials states.
    stated = {
        (component["name"], component["version"]): " ".join(component["licenses"][0]["expression"].split())
        for component in materials["components"]
    }
    assert {(name, version): licence for name, version, licence in listed} == {crate: stated[crate] for crate in crates}


def test_everything_has_the_version_of_the_package(manifest: dict[str, Any]) -> None:
    version = manifest["package"]["version"]
    assert importlib.metadata.version(PACKAGE) == version
    assert yaml.safe_load(text_of("CITATION.cff"))["version"] == version
    assert json.loads(text_of("clients/typescript/package.json"))["version"] == version
    assert f"connect-mongodb-gateway:{version}\n" in text_of("deploy/kubernetes/deployment.yaml")
    assert re.findall(r"^## (\S+)", text_of("CHANGELOG.md"), re.MULTILINE)[0] == version


@pytest.mark.parametrize(
    ("schema", "path"), [("citation-file-format", "CITATION.cff"), ("dependabot", ".github/dependabot.yml")]
)
def test_the_file_conforms_to_its_schema(schema: str, path: str) -> None:
    command = [f"{sys.prefix}/bin/check-jsonschema", "--builtin-schema", f"vendor.{schema}", str(ROOT / path)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


MANIFESTS = {
    "cargo": ["Cargo.toml"],
    "pip": ["pyproject.toml", "dev.txt"],
    "npm": ["package.json"],
    "docker": ["Containerfile"],
    "docker-compose": ["compose.yaml"],
}


def test_dependabot_finds_the_dependencies() -> None:
    updates = yaml.safe_load(text_of(".github/dependabot.yml"))["updates"]
    assert {update["package-ecosystem"] for update in updates} == {*MANIFESTS, "github-actions"}
    for update in updates:
        names = MANIFESTS.get(update["package-ecosystem"], [".github"])
        for directory in update.get("directories") or [update["directory"]]:
            folder = ROOT / directory.removeprefix("/")
            assert any((folder / name).exists() for name in names), folder


def steps() -> list[tuple[str, str]]:
    """The instructions of the image, each with its arguments."""
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text_of("Containerfile"), flags=re.MULTILINE))
    return [(line.split()[0], line.partition(" ")[2]) for line in text.splitlines() if line]


def test_the_image_is_built_from_what_dockerignore_leaves(manifest: dict[str, Any]) -> None:
    lines = [line for line in text_of(".dockerignore").splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    left = [PurePosixPath(line[1:]) for line in lines if line.startswith("!")]
    assert all((ROOT / path).exists() for path in left)
    project = tomllib.loads(text_of("pyproject.toml"))
    needed = ["Cargo.toml", "Cargo.lock", "pyproject.toml", project["project"]["readme"], "src"]
    needed += [*project["project"]["license-files"], project["tool"]["maturin"]["python-source"]]
    needed += manifest["workspace"]["members"]
    for path in map(PurePosixPath, needed):
        assert any(path.is_relative_to(one) for one in left), path
    # No secret of a gateway that is run from the sources, and nothing that was built.
    for path in map(PurePosixPath, ("deploy", "target", ".venv", ".git")):
        assert not any(path.is_relative_to(one) or one.is_relative_to(path) for one in left), path


def test_the_image_is_built_and_run_on_the_same_system(manifest: dict[str, Any]) -> None:
    build, run = (arguments.split()[0] for instruction, arguments in steps() if instruction == "FROM")
    compiler, system = re.fullmatch(r"rust:(\d+\.\d+)-slim-(\w+)", build).groups()  # type: ignore[union-attr]
    project = tomllib.loads(text_of("pyproject.toml"))
    python = re.fullmatch(rf"python:(3\.\d+)-slim-{system}", run)
    assert python is not None
    assert Version(python[1]) in SpecifierSet(project["project"]["requires-python"])
    assert Version(compiler) >= Version(manifest["package"]["rust-version"])
    (maturin,) = (word for _, arguments in steps() for word in arguments.split() if word.startswith("maturin=="))
    (required,) = project["build-system"]["requires"]
    assert Version(maturin.removeprefix("maturin==")) in Requirement(required).specifier
