"""The version, which `Cargo.toml` decides: `python -m tests.distributions.version 0.1.0` checks it for a release."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def of_cargo() -> str:
    """The version in `Cargo.toml`."""
    return _only(r'^\[package\]\nname = "connect-eaas-mongodb"\nversion = "([^"]+)"$', "Cargo.toml")


def of_lock() -> str:
    """The version in `Cargo.lock`."""
    return _only(r'^name = "connect-eaas-mongodb"\nversion = "([^"]+)"$', "Cargo.lock")


def of_changelog() -> tuple[str, str]:
    """The newest version in `CHANGELOG.md`, and when it was released: a date, or `unreleased`."""
    found = re.search(
        r"^## (\S+) \((unreleased|\d{4}-\d\d-\d\d)\)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )
    assert found is not None, "CHANGELOG.md has no line such as `## 0.1.0 (unreleased)`"
    return found[1], found[2]


def of_citation() -> str | None:
    """The version in `CITATION.cff`, if there is one."""
    if not (ROOT / "CITATION.cff").exists():
        return None
    return _only(r'^version: *"?([^"\s]+)"?$', "CITATION.cff")


def _only(pattern: str, file: str) -> str:
    found = re.findall(pattern, (ROOT / file).read_text("utf-8"), re.MULTILINE)
    assert len(found) == 1, f"{file} names {len(found)} versions"
    return str(found[0])


def problems(released: str) -> list[str]:
    """What keeps this version from being released."""
    changelog, date = of_changelog()
    places = {
        "Cargo.toml": of_cargo(),
        "Cargo.lock": of_lock(),
        "CHANGELOG.md": changelog,
        "CITATION.cff": of_citation(),
    }
    found = [f"{place} has {version}" for place, version in places.items() if version not in (released, None)]
    if date == "unreleased":
        found.append("CHANGELOG.md has no date")
    return found


def main(released: str) -> int:
    """Check the version of a release."""
    found = problems(released)
    for problem in found:
        print(f"version {released}: {problem}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
