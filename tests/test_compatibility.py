"""docs/compatibility.md is up to date with both packages."""

from __future__ import annotations

from scripts import compatibility


def test_the_table_is_what_the_two_modules_say() -> None:
    """Else run `python -m scripts.compatibility`."""
    assert compatibility.TABLE.read_text(encoding="utf-8") == compatibility.table()


def test_what_is_called_the_same_has_the_same_arguments() -> None:
    for name, theirs, ours in compatibility.CLASSES:
        for member in compatibility.public(theirs):
            kind, _ = compatibility.verdict(name, member, theirs, ours)
            assert kind in ("the same", "different", "absent")
            assert (kind == "absent") is (ours is None or not hasattr(ours, member))
