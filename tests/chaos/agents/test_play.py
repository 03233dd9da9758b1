"""Kill points of an agent; `make chaos PART=agents` plays all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.agents.play import play
from tests.fixtures.emulator import Emulator


@pytest.mark.parametrize(("at", "moment"), [(1, "before"), (4, "before")])
def test_an_agent_that_is_killed_goes_on_with_the_next_step(
    tmp_path: Path, emulator: Emulator, at: int, moment: str
) -> None:
    """The fourth write is the result of the writing tool: it has acted, and the next process calls it again."""
    played = play(tmp_path / "T1", emulator, at=at, moment=moment)
    assert played.answered
    assert played.acted == 1
    assert played.billed_twice == (1 if at == 1 else 0)
