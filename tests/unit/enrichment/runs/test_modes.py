from __future__ import annotations

from include.enrichment.runs.modes import MODES


def test_there_are_two_modes() -> None:
    assert MODES == ("batch", "synchronous")
