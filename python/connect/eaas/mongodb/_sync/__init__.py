"""The blocking API, which `scripts/unasync.py` generates from `_async/`."""
