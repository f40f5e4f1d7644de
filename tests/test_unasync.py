"""The generated blocking code is up to date."""

from __future__ import annotations

from scripts import unasync


def test_generated_files_are_up_to_date() -> None:
    """If this fails, run `python -m scripts.unasync`."""
    generated = unasync.generated()
    assert set((unasync.PACKAGE / "_sync").glob("[a-z]*.py")) <= set(generated)
    for path, text in generated.items():
        assert path.read_text(encoding="utf-8") == text, path.name
