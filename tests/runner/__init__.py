"""Tests that need `connect-eaas-core`: run in the runner's environment, by `python -m tests.example`."""
