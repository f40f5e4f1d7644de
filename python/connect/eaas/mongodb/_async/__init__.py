"""The source of the asynchronous API, from which `scripts/unasync.py` generates the blocking API."""
