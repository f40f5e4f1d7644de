"""Tests that need `connect-eaas-core`: `python -m tests.example` runs them with both generations of it."""
