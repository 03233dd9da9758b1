"""A process that asks is killed at its writes: no row is lost, and no more is paid twice than may be open."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.kill_points.invariants import Outcome
from tests.chaos.kill_points.pipelines import asked
from tests.chaos.kill_points.scenarios import killed_at, writes_of
from tests.chaos.kill_points.step_process import MESSAGE, Moment
from tests.chaos.kill_points.world import World
from tests.fixtures.emulator import Emulator, EmulatorProcess

#: A canary of three, and one chunk more.
_ROWS = 9
_AT_ONCE = 4
_PART = "asked"


def new_world(folder: Path, emulator: Emulator, open_requests: int = 1) -> World:
    return World(folder / "world", emulator, rows=_ROWS, kind=asked(open_requests))


@pytest.fixture(scope="session")
def writes(tmp_path_factory: pytest.TempPathFactory, emulator_process: EmulatorProcess) -> list[str]:
    """What a run writes that asks one request at a time, in order."""
    return writes_of(new_world(tmp_path_factory.mktemp("undisturbed"), emulator_process.workspace()))


def paid_twice(outcome: Outcome) -> int:
    """How many requests were, if nothing else is wrong."""
    assert not outcome.problems
    assert (outcome.rows_lost, outcome.orphans) == (0, 0)
    return outcome.billed_twice


def test_each_answer_is_stored_before_the_next_request_is_asked(writes: list[str]) -> None:
    calls = [kind for kind in writes if kind in (MESSAGE, _PART)]
    assert calls == [MESSAGE, _PART] * _ROWS


@pytest.mark.parametrize(
    ("kind", "moment", "twice"),
    [
        ("asking", "after", 0),
        (MESSAGE, "after", 1),
        (_PART, "before", 1),
        (_PART, "after", 0),
        ("results", "before", 0),
        ("landed", "after", 0),
    ],
)
def test_with_one_request_open_at_most_one_is_paid_twice(
    tmp_path: Path, emulator: Emulator, writes: list[str], kind: str, moment: Moment, twice: int
) -> None:
    last = max(number for number, each in enumerate(writes, start=1) if each == kind)
    assert paid_twice(killed_at(new_world(tmp_path, emulator), {last: moment})) == twice


@pytest.mark.parametrize("moment", ["before", "after"])
def test_with_several_requests_open_at_most_so_many_are_paid_twice(
    tmp_path: Path, emulator: Emulator, writes: list[str], moment: Moment
) -> None:
    main = max(number for number, each in enumerate(writes, start=1) if each == "asking") + 2
    outcome = killed_at(new_world(tmp_path, emulator, _AT_ONCE), {main: moment, main + 6: moment})
    assert paid_twice(outcome) <= outcome.kills * _AT_ONCE
