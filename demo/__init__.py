"""The main job, end to end, on real parts: what `make demo` runs, and what the tests share."""
