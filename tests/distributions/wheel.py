"""Test a wheel: `python -m tests.distributions.wheel [--policy manylinux_2_17] [--without-mongodb] WHEEL`.

`auditwheel`, `abi3audit` and `check-wheel-contents` check the wheel, and its list of components is compared with
`Cargo.lock`. Then it is installed into a new environment, from a folder of wheels and without an index, and `smoke.py`
runs there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

from packaging.tags import cpython_tags
from packaging.utils import parse_wheel_filename

from tests.distributions.version import of_cargo

ROOT = Path(__file__).parents[2]
SMOKE = Path(__file__).with_name("smoke.py")
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]


def main() -> int:
    """Test the wheel; the first error ends it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--policy", help="what auditwheel must find, such as manylinux_2_17")
    parser.add_argument("--without-mongodb", action="store_true", help="leave out what needs a MongoDB")
    arguments = parser.parse_args()
    wheel = arguments.wheel.resolve()
    check_files(wheel)
    check_components(wheel)
    if arguments.policy:
        check_policy(wheel, arguments.policy)
    run(sys.executable, "-m", "abi3audit", "--strict", "--summary", str(wheel))
    run(sys.executable, "-m", "check_wheel_contents", str(wheel))
    check_pythons(wheel)
    install_and_use(wheel, with_mongodb=not arguments.without_mongodb)
    print(f"passed: {wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB", flush=True)
    return 0


def run(*command: str, environment: dict[str, str] | None = None, folder: str | None = None) -> str:
    """Run a command, show what it prints, and return it."""
    print(f"$ {' '.join(command)}", flush=True)
    process = subprocess.run(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    print(process.stdout, flush=True)
    if process.returncode != 0:
        raise SystemExit(f"{command[0]} exited with status {process.returncode}")
    return process.stdout


def check_files(wheel: Path) -> None:
    """One library of the stable ABI, types, licence and metadata, and nothing else."""
    name, version, _, tags = parse_wheel_filename(wheel.name)
    assert (name, str(version)) == ("connect-eaas-mongodb", of_cargo()), wheel.name
    assert {(tag.interpreter, tag.abi) for tag in tags} == {("cp310", "abi3")}, tags
    information = f"connect_eaas_mongodb-{version}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = HeaderParser().parsestr(archive.read(f"{information}/METADATA").decode())
    assert metadata["Version"] == str(version)
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0"
    classifiers = metadata.get_all("Classifier") or []
    assert {f"Programming Language :: Python :: {python}" for python in PYTHONS} <= set(classifiers), classifiers
    for needed in ("py.typed", "_native.pyi", "__init__.py", "page/static/stored-events/index.html"):
        assert f"connect/eaas/mongodb/{needed}" in names, needed
    for text in ("LICENSE", "THIRD-PARTY-LICENSES"):
        assert f"{information}/licenses/{text}" in names, text
    libraries = [name for name in names if name.endswith((".so", ".pyd", ".dylib", ".dll"))]
    assert len(libraries) == 1, libraries
    assert libraries[0].startswith("connect/eaas/mongodb/_native."), libraries
    strangers = [name for name in names if not name.startswith(("connect/eaas/mongodb/", f"{information}/"))]
    assert not strangers, strangers


def check_components(wheel: Path) -> None:
    """The list of components has what is compiled for Linux, and all that it has is in `Cargo.lock`."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".cyclonedx.json")]
        document = json.loads(archive.read(name))
    assert document["bomFormat"] == "CycloneDX"
    assert document["metadata"]["component"]["name"] == "connect-eaas-mongodb"
    assert document["metadata"]["component"]["version"] == of_cargo()
    listed = {(part["name"], part["version"]): part for part in document["components"]}
    locked = locked_packages()
    for key, part in listed.items():
        assert key in locked, f"{key} is not in Cargo.lock"
        assert [entry["content"] for entry in part["hashes"]] == [locked[key]], f"{key} has another checksum"
        assert part.get("licenses"), f"{key} has no licence"
    compiled = linked_packages()
    assert len(compiled) > 100, "cargo tree lists too few packages"
    missing = compiled - set(listed) - {("connect-eaas-mongodb", of_cargo())}
    assert not missing, f"the list of components lacks {sorted(missing)}"
    print(f"passed: {len(listed)} components, {len(compiled)} of them linked on Linux", flush=True)


def locked_packages() -> dict[tuple[str, str], str]:
    """The packages of `Cargo.lock` from a registry, and their checksums."""
    lock = (ROOT / "Cargo.lock").read_text(encoding="utf-8")
    entry = re.compile(
        r'^name = "(?P<name>[^"]+)"\nversion = "(?P<version>[^"]+)"\nsource = "[^"]+"\nchecksum = "(?P<sum>[^"]+)"',
        re.MULTILINE,
    )
    return {(found["name"], found["version"]): found["sum"] for found in entry.finditer(lock)}


def linked_packages() -> set[tuple[str, str]]:
    """The packages whose code is in the library for Linux on x86-64."""
    command = ["cargo", "tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none"]
    command += ["--target", "x86_64-unknown-linux-gnu", "--format", "{p}"]
    process = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return {
        (words[0], words[1].removeprefix("v"))
        for words in (line.split() for line in process.stdout.splitlines() if line)
    }


def check_policy(wheel: Path, policy: str) -> None:
    """The library needs no later system than the wheel's name says."""
    shown = " ".join(run(sys.executable, "-m", "auditwheel", "show", str(wheel)).split())
    expected = f'consistent with the following platform tag: "{policy}_'
    assert expected in shown, f"auditwheel does not find {policy}"
    platforms = {tag.platform for tag in parse_wheel_filename(wheel.name)[3]}
    assert any(platform.startswith(policy) for platform in platforms), platforms


def check_pythons(wheel: Path) -> None:
    """Each supported Python takes the wheel, and no free-threaded one: its ABI is not the stable one."""
    tags = parse_wheel_filename(wheel.name)[3]
    platforms = sorted({tag.platform for tag in tags})
    for python in PYTHONS:
        version = tuple(int(part) for part in python.split("."))
        name = f"cp{python.replace('.', '')}"
        assert tags & {*cpython_tags(version, [name], platforms)}, f"Python {python} does not take the wheel"
        if version >= (3, 13):
            free = {*cpython_tags(version, [f"{name}t"], platforms)}
            assert not tags & free, f"the free-threaded Python {python} takes the wheel"
    print("passed: each Python takes the wheel, and no free-threaded one does", flush=True)


def without_index() -> dict[str, str]:
    """This environment, without the settings of pip that would add other places of packages."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))} | {
        "PIP_CONFIG_FILE": os.devnull
    }


def install_and_use(wheel: Path, *, with_mongodb: bool) -> None:
    """Fill a folder with wheels, install from it alone into a new environment, and run `smoke.py` there."""
    requirement = f"{wheel}[dev]" if with_mongodb else str(wheel)
    requirements = ["-r", str(ROOT / "requirements" / "smoke.txt")]
    pip = ["-m", "pip", "--disable-pip-version-check"]
    with tempfile.TemporaryDirectory(prefix="connect-mongodb-wheel-") as folder:
        house, environment = Path(folder) / "wheelhouse", Path(folder) / "environment"
        run(sys.executable, *pip, "wheel", "--quiet", "--wheel-dir", str(house), requirement, *requirements)
        print(f"wheelhouse: {', '.join(sorted(path.name for path in house.iterdir()))}", flush=True)
        run(sys.executable, "-m", "venv", str(environment))
        python = str(environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
        name = f"connect-eaas-mongodb{'[dev]' if with_mongodb else ''}=={of_cargo()}"
        install = ["install", "--quiet", "--no-index", "--find-links", str(house), name, *requirements]
        run(python, *pip, *install, environment=without_index())
        options = [] if with_mongodb else ["--without-mongodb"]
        # -I: neither this folder nor the user's packages are on the path.
        run(python, "-I", "-W", "error", str(SMOKE), *options, folder=folder)


if __name__ == "__main__":
    sys.exit(main())
