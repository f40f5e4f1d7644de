"""Which crates have a new version that `Cargo.toml` does not allow: `python -m tests.distributions.upgrades`.

It exits with status 1 if one of `WATCHED` has one: what these change, this package has to follow. The Python packages'
new versions are those of `make test-newest`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WATCHED = {"aws-lc-rs", "bson", "mongodb", "pyo3", "rustls", "tokio"}

# As `cargo update --dry-run --verbose` writes it, for a version that its requirement does not allow.
AVAILABLE = re.compile(r"^\s*(?:Unchanged|Updating|Adding) (\S+) v(\S+).*\(available: v([^,)]+)", re.MULTILINE)


def available(output: str) -> list[tuple[str, str, str]]:
    """The crates with a newer version, that of now and the newer one, in the output of `cargo update`."""
    return [(found[1], found[2], found[3]) for found in AVAILABLE.finditer(output)]


def main() -> int:
    """Print all of them; 1 if there are watched ones."""
    direct = subprocess.run(
        ["cargo", "tree", "--locked", "--depth", "1", "--prefix", "none", "--edges", "normal", "--target", "all"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    names = {line.split()[0] for line in direct.stdout.splitlines() if line}
    done = subprocess.run(
        ["cargo", "update", "--dry-run", "--verbose"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    if "Updating" not in done.stdout and "Unchanged" not in done.stdout and "Locking" not in done.stdout:
        raise SystemExit(f"cargo update printed nothing that is known:\n{done.stdout}")
    newer = [(name, now, new) for name, now, new in available(done.stdout) if name in names]
    for name, now, new in newer:
        print(f"{'to be followed' if name in WATCHED else 'not needed yet'}: {name} {new} (this package uses {now})")
    print(f"{len(newer)} of {len(names) - 1} direct requirements have a newer version that Cargo.toml does not allow")
    return int(any(name in WATCHED for name, _, _ in newer))


if __name__ == "__main__":
    sys.exit(main())
