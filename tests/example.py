"""Runs the example extension's own tests in the runner's environment: `python -m tests.example`.

That environment has no MongoDB of its own (as a user's may have none): it gets ours.
"""

from __future__ import annotations

import os
import subprocess
import sys

from connect.eaas.mongodb.cli import dev

from demo.runner import EXAMPLE, RUNNER_ENVIRONMENT


def main() -> int:
    """Run them; give pytest's exit status."""
    with dev.mongodb() as (_, port):
        command = [str(RUNNER_ENVIRONMENT / "bin" / "python"), "-m", "pytest", "-p", "no:cacheprovider"]
        environment = {
            **os.environ,
            "TEST_MONGODB_URI": f"mongodb://127.0.0.1:{port}/",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.run(command, cwd=EXAMPLE, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
