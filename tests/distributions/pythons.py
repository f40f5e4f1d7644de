"""Run the tests with an installed wheel: on several Pythons, or with the oldest or newest versions that are allowed.

    python -m tests.distributions.pythons --pythons "python3.10 python3.13" WHEEL
    python -m tests.distributions.pythons --versions oldest WHEEL
    python -m tests.distributions.pythons --versions newest WHEEL

Each environment is made by uv in `target/pythons/`. The tests are those of `MODULES`: they need neither frameworks nor
Connect's libraries, and no particular version of PyMongo.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / "target" / "pythons"
EXTRAS = ["metrics"]
REQUIREMENTS = ["click", "prometheus-client", "pymongo", "rich"]
"""What the package and these extras require."""
PYTHONS = ["python3.10", "python3.11", "python3.12", "python3.13", "python3.14"]

MODULES = ["async", "both_paths", "cli", "coalescing", "codec", "config", "data_api", "driver", "gateway"]
MODULES += ["gateway_cursors", "loops", "metrics", "monitoring", "processes", "store", "writes"]
"""What `tests/test_….py` is run."""

NOT_WITH_THE_OLDEST = [
    # PyMongo before 4.16 keeps no document in `InvalidDocument`.
    "test_codec.py::test_what_bson_refuses_is_refused_by_the_same_class_with_the_path",
    # PyMongo 4.9 fails itself where an `_id` that is a number was upserted.
    "test_writes.py::test_writes_do_what_pymongos_do",
    # PyMongo 4.9 does not refuse a second event loop yet.
    "test_loops.py::test_a_client_of_a_module_serves_each_asyncio_run",
    "test_loops.py::test_pymongo_gives_the_same_in_one_loop_and_refuses_a_second",
    # PyMongo 4.9 publishes other events: of cancelled calls none, and numbers of operations that differ.
    "test_monitoring.py::test_cancelled_calls_end",
    "test_monitoring.py::test_operation_ids_are_pymongos",
]
"""Comparisons with what later versions of PyMongo do."""

# On Python 3.10, PyMongo publishes no event when a call is cancelled.
NOT_ON = {"3.10": ["test_monitoring.py::test_cancelled_calls_end"]}
"""Comparisons with what PyMongo does on later Pythons."""


def main() -> int:
    """Run the tests in each environment; 0 only if none fails."""
    parser = argparse.ArgumentParser()
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--pythons", help="commands of Pythons, separated by spaces; default: all that are found")
    parser.add_argument("--versions", choices=["oldest", "newest"], help="the versions of the package's requirements")
    parser.add_argument("--pytest-args", default="", help="more arguments of pytest, separated by spaces")
    arguments = parser.parse_args()
    names = (arguments.pythons or (sys.executable if arguments.versions else " ".join(PYTHONS))).split()
    pythons = {name: found(name) for name in names}
    missing = [name for name, python in pythons.items() if python is None]
    if arguments.pythons and missing:
        raise SystemExit(f"not found, or not working: {' '.join(missing)}")
    for name in missing:
        print(f"left out: {name} is not on this machine", flush=True)
    failed = []
    for python in filter(None, pythons.values()):
        name = f"{arguments.versions or 'default'}-{describe(python)}"
        print(f"== {name}", flush=True)
        if not has_passed(name, python, arguments.wheel.resolve(), arguments.versions, arguments.pytest_args.split()):
            failed.append(name)
    run = len(pythons) - len(missing)
    print(f"failed: {', '.join(failed)}" if failed else f"passed: {run} environments", flush=True)
    return int(bool(failed) or run == 0)


def found(name: str) -> str | None:
    """A working command for a name such as `python3.12`: on `PATH`, or among pyenv's versions, or `None`."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    kept = sorted(pyenv.glob(f"{name.removeprefix('python')}.*/bin/{name}")) if name.startswith("python3.") else []
    for command in (shutil.which(name), *map(str, reversed(kept))):
        # pyenv puts a command for each version on PATH, which works only for those that are selected.
        if command and subprocess.run([command, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
            return command
    return None


def describe(python: str) -> str:
    """The version of a Python, such as 3.12."""
    command = [python, "-c", "import sys; print('{}.{}'.format(*sys.version_info))"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def uv(*arguments: str, output: Path | None = None) -> None:
    """Run uv."""
    command = [str(Path(sys.executable).with_name("uv")), *arguments]
    print(f"$ uv {' '.join(arguments)}", flush=True)
    subprocess.run(command, cwd=ROOT, check=True, stdout=output.open("wb") if output else None)


def newest(folder: Path) -> list[str]:
    """The options that select the newest versions: pre-releases too, and those that `pyproject.toml` does not allow."""
    overrides = folder / "overrides.txt"
    overrides.write_text("".join(f"{name}\n" for name in REQUIREMENTS), encoding="utf-8")
    return ["--upgrade", "--prerelease", "allow", "--overrides", str(overrides)]


def has_passed(name: str, python: str, wheel: Path, versions: str | None, options: list[str]) -> bool:
    """Make the environment, and run the tests in it."""
    folder = ENVIRONMENTS / name
    shutil.rmtree(folder, ignore_errors=True)
    uv("venv", "--quiet", "--no-project", "--no-python-downloads", "--python", python, str(folder))
    inside = folder / "bin" / "python"
    install = ["pip", "install", "--quiet", "--python", str(inside), "-r", "requirements/suite.txt"]
    if versions:
        constraints = folder / "constraints.txt"
        select = ["--resolution", "lowest-direct"] if versions == "oldest" else newest(folder)
        command = ["pip", "compile", "--quiet", "--no-deps", "--no-annotate", "--no-header", "--python", str(inside)]
        extras = [option for extra in EXTRAS for option in ("--extra", extra)]
        uv(*command, *extras, *select, "pyproject.toml", output=constraints)
        print(constraints.read_text(encoding="utf-8"), flush=True)
        install += ["--overrides", str(constraints)]
    uv(*install, f"{wheel}[{','.join(EXTRAS)}]")
    modules = [f"tests/test_{module}.py" for module in MODULES]
    pytest = [str(inside), "-m", "pytest", "-p", "no:cacheprovider", "-n", os.environ.get("WORKERS", "4")]
    left_out = [*(NOT_WITH_THE_OLDEST if versions == "oldest" else []), *NOT_ON.get(describe(python), [])]
    pytest += ["--dist", "worksteal", *(f"--deselect=tests/{test}" for test in left_out), *modules, *options]
    print(f"$ {' '.join(pytest)}", flush=True)
    # For Pythons that SecantusDB has no wheel for: the server of the development environment.
    path = os.pathsep.join([os.environ["PATH"], str(ROOT / ".venv" / "bin")])
    return subprocess.run(pytest, cwd=ROOT, env={**os.environ, "PATH": path}, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
