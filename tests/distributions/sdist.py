"""Test a source distribution: `python -m tests.distributions.sdist [--profile dev] SDIST`.

Its files are compared with what it should have. Then it is unpacked, the sources of all crates are put beside it by
`cargo vendor`, and pip builds a wheel of it without the network and with `Cargo.lock` as it is.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from tests.distributions.version import of_cargo

ROOT = Path(__file__).parents[2]

NEEDED = ["Cargo.lock", "Cargo.toml", "LICENSE", "PKG-INFO", "README.md", "THIRD-PARTY-LICENSES"]
NEEDED += ["pyproject.toml", "src/lib.rs"]
NEEDED += ["python/connect/eaas/mongodb/__init__.py", "python/connect/eaas/mongodb/_native.pyi"]
NEEDED += ["python/connect/eaas/mongodb/py.typed", "python/connect/eaas/mongodb/page/static/stored-events/index.html"]

ALLOWED = re.compile(
    r"""
    Cargo\.(lock|toml) | pyproject\.toml | PKG-INFO | README\.md | CHANGELOG\.md | LICENSE
    | THIRD-PARTY-LICENSES
    | src/ [\w/]+ \.(rs | json | html | js | css)
    | python/connect/eaas/mongodb/ [\w/-]+ \.(py | pyi)
    | python/connect/eaas/mongodb/py\.typed
    | python/connect/eaas/mongodb/page/static/stored-events/ [\w.-]+
    # The members of the workspace: Cargo.lock is of all of them.
    | (benches/bare | fuzz)/ (Cargo\.toml | src/ [\w/-]+ \.rs)
    """,
    re.VERBOSE,
)

SECRETS = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}|\bpypi-[\w-]{20}|\bghp_\w{20}")


def main() -> int:
    """Test the source distribution; the first error ends it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sdist", type=Path)
    parser.add_argument("--profile", default="dev", help="the profile of the build")
    arguments = parser.parse_args()
    sdist = arguments.sdist.resolve()
    check_files(sdist)
    build_offline(sdist, arguments.profile)
    print(f"passed: {sdist.name}, {sdist.stat().st_size / 1e6:.1f} MB", flush=True)
    return 0


def check_files(sdist: Path) -> None:
    """It has what a build needs, and nothing else."""
    base = f"connect_eaas_mongodb-{of_cargo()}"
    assert sdist.name == f"{base}.tar.gz", sdist.name
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
        assert all(member.isfile() for member in members), "it has links or folders"
        assert all(PurePosixPath(member.name).parts[0] == base for member in members), (
            "it has files outside of its folder"
        )
        names = {member.name.removeprefix(f"{base}/"): member for member in members}
        for name, member in names.items():
            content = archive.extractfile(member)
            assert content is not None
            assert SECRETS.search(content.read()) is None, f"{name} seems to have a secret"
    missing = sorted({*NEEDED} - {*names})
    assert not missing, f"it lacks {missing}"
    # Each file of the package is there, as git has it.
    listed = subprocess.run(
        ["git", "ls-files", "src", "python"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    missing = sorted({*listed.stdout.split()} - {*names})
    assert not missing, f"it lacks {missing}"
    strangers = sorted(name for name in names if not ALLOWED.fullmatch(name))
    assert not strangers, f"it should not have {strangers}"
    print(f"passed: {len(names)} files", flush=True)


def run(*command: str, folder: Path, environment: dict[str, str] | None = None, output: Path | None = None) -> None:
    """Run a command."""
    print(f"$ {' '.join(command)}", flush=True)
    with output.open("wb") if output else tempfile.TemporaryFile() as file:
        subprocess.run(command, cwd=folder, env=environment, stdout=file if output else None, check=True)


def build_offline(sdist: Path, profile: str) -> None:
    """Build a wheel of it from sources beside it: no index, no registry, no change of `Cargo.lock`."""
    with tempfile.TemporaryDirectory(prefix="connect-mongodb-sdist-") as name:
        folder = Path(name)
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        (unpacked,) = folder.iterdir()
        (unpacked / ".cargo").mkdir()
        run("cargo", "vendor", "--locked", folder=unpacked, output=unpacked / ".cargo" / "config.toml")
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            # Nothing that an earlier build has fetched.
            "CARGO_HOME": str(folder / "cargo"),
            "CARGO_NET_OFFLINE": "true",
            "CARGO_TARGET_DIR": str(folder / "target"),
            "MATURIN_PEP517_ARGS": f"--profile {profile} --frozen",
            # Whether it builds is tested, not how fast it runs.
            "CARGO_PROFILE_DEV_DEBUG": "0",
            "CARGO_PROFILE_DEV_OPT_LEVEL": "0",
        }
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-index", "--no-deps"]
        # maturin is that of this environment.
        pip += ["--no-build-isolation", "--wheel-dir", str(folder / "dist"), str(unpacked)]
        run(*pip, folder=folder, environment=environment)
        (wheel,) = (folder / "dist").iterdir()
        assert wheel.name.startswith(f"connect_eaas_mongodb-{of_cargo()}-cp310-abi3-"), wheel.name
        python = folder / "environment"
        run(sys.executable, "-m", "venv", "--system-site-packages", str(python), folder=folder)
        inside = str(python / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
        run(inside, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", str(wheel), folder=folder)
        script = "import connect.eaas.mongodb as package; print(package.__version__, package.__file__)"
        run(inside, "-I", "-c", script, folder=folder)


if __name__ == "__main__":
    sys.exit(main())
