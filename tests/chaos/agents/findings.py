"""An agent that is killed before and after each of its writes, as findings for `make chaos`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.chaos.agents.play import Played, play
from tests.chaos.report import Finding
from tests.fixtures.emulator import EmulatorProcess

_MOMENTS = ("before", "after")
_AT_ONCE = 3


def of_agents() -> Iterator[Finding]:
    """
    Yield a finding for each moment of a write.

    A turn has no id before its answer, so the turn that a killed process has open may be paid for twice.
    """
    with tempfile.TemporaryDirectory() as name, EmulatorProcess(Path(name) / "emulator") as emulator:
        folder = Path(name)
        whole = play(folder / "T1", emulator.workspace(), at=0, moment="after")
        for moment in _MOMENTS:

            def killed_at(number: int, moment: str = moment) -> Played:
                return play(folder / moment / str(number) / "T1", emulator.workspace(), at=number, moment=moment)

            with ThreadPoolExecutor(_AT_ONCE) as pool:
                played = list(pool.map(killed_at, range(1, len(whole.steps) + 1)))
            yield _finding(f"SIGKILL {moment} each write of an agent", whole, played)


def _finding(fault: str, whole: Played, played: list[Played]) -> Finding:
    kills = sum(each.killed for each in played)
    acted_twice = sum(max(0, each.acted - whole.acted) for each in played)
    torn = sum(each.steps != whole.steps for each in played)
    return Finding(
        subject="this project",
        fault=fault,
        runs=len(played),
        rows_lost=sum(not each.answered for each in played),
        billed_twice=sum(each.billed_twice for each in played),
        may_be_billed_twice=kills,
        # Any other problem also makes the finding unclean.
        orphans=acted_twice + torn + len(played) - kills,
        note=f"{kills} kills, {acted_twice} acted twice, {torn} transcripts torn",
    )
