"""All places of the version agree: only `Cargo.toml` is changed for a release."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import connect.eaas.mongodb
from connect.eaas.mongodb import _native

from tests.distributions import version


def test_the_module_and_its_distribution_have_the_version_of_the_crate() -> None:
    assert connect.eaas.mongodb.__version__ == version.of_cargo()
    assert version.of_cargo() == _native.VERSION
    assert importlib.metadata.version("connect-eaas-mongodb") == version.of_cargo()


def test_the_lock_file_the_changelog_and_the_citation_have_it() -> None:
    assert version.of_lock() == version.of_cargo()
    assert version.of_changelog()[0] == version.of_cargo()
    assert version.of_citation() in (version.of_cargo(), None)


def test_a_release_needs_the_same_version_everywhere_and_a_date() -> None:
    assert "Cargo.toml has " + version.of_cargo() in version.problems("9.9.9")
    has_date = version.of_changelog()[1] != "unreleased"
    assert (version.problems(version.of_cargo()) == []) is has_date


def test_the_check_of_a_release_tells_what_is_wrong() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.distributions.version", "9.9.9"],
        cwd=version.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"version 9.9.9: Cargo.lock has {version.of_cargo()}" in done.stdout
