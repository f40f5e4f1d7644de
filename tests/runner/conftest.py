"""Tests that run in the environments of Connect's libraries."""

from __future__ import annotations

from importlib.util import find_spec

# Without the runner: the environment of Connect's command line.
collect_ignore = [] if find_spec("connect.eaas.runner") else ["test_managers.py"]
