"""Runs Connect's command line, `ccli`, with another package index: that of `PACKAGE_INDEX`."""

from __future__ import annotations

import os
import sys

from connect.cli.ccli import main
from connect.cli.plugins.project.extension import utils

INDEX = os.environ["PACKAGE_INDEX"]

if __name__ == "__main__":
    utils.PYPI_EXTENSION_RUNNER_URL = f"{INDEX}/connect-extension-runner/json"
    utils.PYPI_EXTENSION_RUNNER_RELEASE_URL = f"{INDEX}/connect-extension-runner/{{version}}/json"
    # It reports errors by its output alone.
    sys.exit(main())
