"""Runs the tests that need the runner's environment: `python -m tests.example`.

They are the example extension's own, and those of what rests on `connect-eaas-core`.

That environment has no servers of its own (as a user's may have none): it gets the MongoDB of
`TEST_MONGODB_URI`, or ours, and a gateway in front of it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from demo.runner import EXAMPLE, RUNNER_ENVIRONMENT
from tests import servers


def main() -> int:
    """Run them; give pytest's exit status."""
    with contextlib.ExitStack() as stack:
        uri = servers.GIVEN_URI
        if not uri:
            _, port = stack.enter_context(servers.mongodb())
            uri = f"mongodb://127.0.0.1:{port}/"
        key = servers.new_api_key()
        _, url = stack.enter_context(servers.gateway(uri, key))
        command = [str(RUNNER_ENVIRONMENT / "bin" / "python"), "-m", "pytest", "-p", "no:cacheprovider"]
        tests = Path(__file__).parent / "runner"
        environment = {**os.environ, "TEST_MONGODB_URI": uri, "TEST_GATEWAY_URL": url, "TEST_GATEWAY_KEY": key}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        options = ["-c", str(tests / "pytest.ini"), "--import-mode=importlib"]
        ended = [
            subprocess.run(command, cwd=EXAMPLE, env=environment, check=False).returncode,
            subprocess.run([*command, *options, str(tests)], cwd=tests, env=environment, check=False).returncode,
        ]
        return max(ended)


if __name__ == "__main__":
    sys.exit(main())
