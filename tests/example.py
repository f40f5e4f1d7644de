"""Runs the tests that need Connect's libraries: `python -m tests.example`.

They are the example extension's own, as `extension-test` of Connect's image runs them, and those of what rests on
`connect-eaas-core`. They run with both generations of it: in the runner's environment, and in that of Connect's
command line.

Those environments have no servers of their own (as a user's may have none): they get the MongoDB of
`TEST_MONGODB_URI`, or ours, and a gateway in front of it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from demo.runner import CCLI_ENVIRONMENT, EXAMPLE, RUNNER_ENVIRONMENT
from tests import servers


def main() -> int:
    """Run them all; 0 only if none fails."""
    with contextlib.ExitStack() as stack:
        uri = servers.GIVEN_URI
        if not uri:
            _, port = stack.enter_context(servers.mongodb())
            uri = f"mongodb://127.0.0.1:{port}/"
        key = servers.new_api_key()
        _, url = stack.enter_context(servers.gateway(uri, key))
        tests = Path(__file__).parent / "runner"
        environment = {**os.environ, "TEST_MONGODB_URI": uri, "TEST_GATEWAY_URL": url, "TEST_GATEWAY_KEY": key}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        options = ["-c", str(tests / "pytest.ini"), "--import-mode=importlib", str(tests)]
        failed = False
        for folder in (RUNNER_ENVIRONMENT, CCLI_ENVIRONMENT):
            python = str(folder / "bin" / "python")
            pytest = [python, "-m", "pytest", "-p", "no:cacheprovider", "--no-cov"]
            for command, cwd in (
                ([python, "-m", "flake8"], EXAMPLE),
                (pytest, EXAMPLE),
                ([*pytest, *options], tests),
            ):
                print(f"{folder.name}: {' '.join(command[1:])}", flush=True)
                failed |= subprocess.run(command, cwd=cwd, env=environment, check=False).returncode != 0
        return int(failed)


if __name__ == "__main__":
    sys.exit(main())
