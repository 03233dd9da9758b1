"""Every kind of chaos for this project's own runs, each as a finding for `make chaos`."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.chaos.kill_points.api_troubles import TROUBLES, Trouble
from tests.chaos.kill_points.invariants import Outcome
from tests.chaos.kill_points.pipelines import ATTACHED, BETTER, CASCADE, PLAIN, RICH, UPLOADED, VARIED, Kind, asked
from tests.chaos.kill_points.place import RACING, UNHURRIED
from tests.chaos.kill_points.scenarios import (
    MENDABLE,
    RELOAD,
    cleared,
    killed_at,
    loaded_again,
    no_longer_kept,
    race,
    random_kills,
    taken_over,
    troubled,
    writes_of,
)
from tests.chaos.kill_points.step_process import CREATE, OF_FILES, Moment
from tests.chaos.kill_points.world import Worlds
from tests.chaos.report import Finding
from tests.fixtures.emulator import EmulatorProcess
from tests.fixtures.s3 import running_s3_server

SUBJECT = "this project"
_PARALLEL = (os.cpu_count() or 1) + 1
_SEEDS = range(3)
#: The bound of what a killed process pays again.
_OPEN_REQUESTS = (1, 4)
_BEFORE_AND_AFTER: tuple[Moment, ...] = ("before", "after")
#: Enough for two chunks besides the canary.
_FEW_ROWS = 23
#: Enough for a chunk besides the canary, and for one of repairs.
_FEW_RICH_ROWS = 9
#: The most problems in the note of a finding.
_MOST_NOTES = 3


def whole() -> Iterator[Finding]:
    """Yield every finding of this project's own chaos as it is made; takes some minutes."""
    with _worlds() as worlds:
        yield from findings(worlds)


def of_asked() -> Iterator[Finding]:
    """Yield only the findings of runs that ask synchronously."""
    with _worlds() as worlds:
        yield from asked_findings(worlds)


@contextmanager
def _worlds() -> Iterator[Worlds]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        emulator = stack.enter_context(EmulatorProcess(folder / "emulator", processing_seconds=0))
        yield Worlds(folder / "worlds", emulator, s3=stack.enter_context(running_s3_server()))


def findings(worlds: Worlds) -> Iterator[Finding]:
    """Yield one finding per kind of chaos."""
    kinds = writes_of(worlds.new(rows=_FEW_ROWS), faults=MENDABLE)
    numbers = range(1, len(kinds) + 1)
    first_chunk = range(1, kinds.index("landed") + 2)
    yield from _killed_once(worlds, kinds)
    yield _finding("SIGKILL before and after writes to S3", _killed_on_s3(worlds, [*first_chunk[::3], *numbers[-3:]]))
    yield _finding("SIGKILL again and again", _killed_repeatedly(worlds))
    for trouble in TROUBLES:
        yield _finding(trouble.name, _troubled(worlds, trouble))
    yield _finding("SIGKILL at each write of a second load that raises the recorded cost", _loaded_again(worlds))
    yield _finding("extract cleared, rows changed", _cleared(worlds))
    yield _finding("extract cleared, SIGKILL at each write of the new plan", _cleared_and_killed(worlds))
    yield _finding("chunks taken over, SIGKILL at each write of either run", _taken_over(worlds))
    yield _finding("SIGKILL at each write of a publish that keeps the best answer, or no longer", _kept(worlds))
    for runs in (2, 4):
        yield _finding(f"{runs} runs of a partition at once", _races(worlds, runs))
    yield from _rich_findings(worlds)
    yield from _varied_findings(worlds)
    yield from _cascade_findings(worlds)
    yield from _attached_findings(worlds)
    yield _finding("SIGKILL at each write of an upload or of a deletion of files", _uploaded(worlds))
    yield _finding("2 runs of a partition at once, with uploaded files", _races(worlds, 2, UPLOADED))


def _rich_findings(worlds: Worlds) -> Iterator[Finding]:
    note = ", with for_each, the best of two samples, checks and carry"
    yield from _killed_once(worlds, writes_of(worlds.new(rows=_FEW_RICH_ROWS, kind=RICH), faults=MENDABLE), RICH, note)
    yield _finding(f"SIGKILL again and again{note}", _killed_repeatedly(worlds, RICH))
    yield _finding(f"2 runs of a partition at once{note}", _races(worlds, 2, RICH))


def _varied_findings(worlds: Worlds) -> Iterator[Finding]:
    note = ", with variants"
    yield from _killed_once(
        worlds, writes_of(worlds.new(rows=_FEW_RICH_ROWS, kind=VARIED), faults=MENDABLE), VARIED, note
    )
    yield _finding(f"SIGKILL again and again{note}", _killed_repeatedly(worlds, VARIED))
    yield _finding(f"2 runs of a partition at once{note}", _races(worlds, 2, VARIED))


def _cascade_findings(worlds: Worlds) -> Iterator[Finding]:
    note = ", with a dearer model"
    yield from _killed_once(worlds, writes_of(worlds.new(rows=_FEW_RICH_ROWS, kind=CASCADE)), CASCADE, note)
    yield _finding(f"2 runs of a partition at once{note}", _races(worlds, 2, CASCADE))


def _attached_findings(worlds: Worlds) -> Iterator[Finding]:
    note = ", with documents"
    undisturbed = worlds.new(rows=_FEW_RICH_ROWS, kind=ATTACHED)
    yield from _killed_once(worlds, writes_of(undisturbed, faults=MENDABLE), ATTACHED, note)
    yield _finding(f"SIGKILL again and again{note}", _killed_repeatedly(worlds, ATTACHED))


def asked_findings(worlds: Worlds) -> Iterator[Finding]:
    """Kill runs that ask synchronously at each of their writes and calls, one after the other, and let some race."""
    for open_requests in _OPEN_REQUESTS:
        kind = asked(open_requests)
        note = f"asked synchronously, {open_requests} open at a time"
        plays = [
            (moment, partial(killed_at, worlds.new(rows=_FEW_RICH_ROWS, kind=kind), moment))
            for moment in _BEFORE_AND_AFTER
        ]
        yield _finding(f"SIGKILL before and after each write and call, {note}", plays, open_requests=open_requests)
    yield _finding(f"2 runs of a partition at once, {note}", _races(worlds, 2, kind)[:2], open_requests=open_requests)


def _killed_once(worlds: Worlds, writes: Sequence[str], kind: Kind = PLAIN, note: str = "") -> Iterator[Finding]:
    """
    Kill a run at each of its writes.

    :param writes: what an undisturbed run writes, in order
    """
    numbers = range(1, len(writes) + 1)
    creates = [number for number in numbers if writes[number - 1] == CREATE]
    yield _finding(f"SIGKILL before each write{note}", _killed(worlds, numbers, "before", kind))
    yield _finding(f"SIGKILL after each write{note}", _killed(worlds, numbers, "after", kind))
    yield _finding(f"SIGKILL while a body is being sent{note}", _killed(worlds, creates, "during", kind))
    yield _finding(f"SIGKILL while a create is in transit{note}", _killed(worlds, creates, "late", kind))


#: The name of a play in notes, and a function that plays it in its world.
_Play = tuple[str, Callable[[], Outcome]]


def _killed(worlds: Worlds, numbers: Iterable[int], moment: Moment, kind: Kind) -> list[_Play]:
    timing = UNHURRIED if moment == "late" else None
    rows = _FEW_ROWS if kind is PLAIN else _FEW_RICH_ROWS
    return [
        (
            f"write {number}",
            partial(killed_at, worlds.new(rows=rows, timing=timing, kind=kind), {number: moment}, faults=MENDABLE),
        )
        for number in numbers
    ]


def _killed_on_s3(worlds: Worlds, numbers: Iterable[int]) -> list[_Play]:
    return [
        (f"{moment} {number}", partial(killed_at, worlds.new(on_s3=True), {number: moment}))
        for number in numbers
        for moment in _BEFORE_AND_AFTER
    ]


def _killed_repeatedly(worlds: Worlds, kind: Kind = PLAIN) -> list[_Play]:
    kills = {seed: random_kills(random.Random(seed), share=0.15) for seed in range(12)}
    return [(f"seed {seed}", partial(killed_at, worlds.new(kind=kind), kills[seed], faults=MENDABLE)) for seed in kills]


def _troubled(worlds: Worlds, trouble: Trouble) -> list[_Play]:
    return [
        (
            f"seed {seed}",
            partial(troubled, worlds.new(timing=trouble.timing), trouble, at=seed, seed=seed, kills=seed % 3),
        )
        for seed in _SEEDS
    ]


def _loaded_again(worlds: Worlds) -> list[_Play]:
    return [
        (f"{moment} {at}", partial(loaded_again, worlds.new(rows=_FEW_ROWS), at=at, moment=moment))
        for at in RELOAD
        for moment in _BEFORE_AND_AFTER
    ]


def _races(worlds: Worlds, runs: int, kind: Kind = PLAIN) -> list[_Play]:
    at_writes: list[_Play] = [
        (f"seed {seed}", partial(race, worlds.new(timing=RACING, kind=kind), runs=runs, seed=seed))
        for seed in (None, *range(4))
    ]
    anywhere: list[_Play] = [
        (
            f"anywhere {seed}",
            partial(race, worlds.new(on_s3=True, timing=RACING, kind=kind), runs=runs, seed=seed, anywhere=True),
        )
        for seed in _SEEDS
    ]
    return [*at_writes, *anywhere]


def _cleared(worlds: Worlds) -> list[_Play]:
    return [(f"{sent} sent", partial(cleared, worlds.new(), sent=sent)) for sent in range(5)]


def _cleared_and_killed(worlds: Worlds) -> list[_Play]:
    world = worlds.new()
    cleared(world, sent=2)
    lines = [line.split()[:2] for line in world.writes("manual__1")]
    cleared_at = max(number for number, (kind, _) in enumerate(lines, start=1) if kind == "extract")
    return [
        (f"{moment} write {number}", partial(cleared, worlds.new(), sent=2, kills={number: moment}))
        for number, (_, step) in enumerate(lines, start=1)
        if number > cleared_at and step == "plan"
        for moment in _BEFORE_AND_AFTER
    ]


def _taken_over(worlds: Worlds) -> list[_Play]:
    """Return plays with kills where one run takes over chunks, and where the other run submits again."""
    world = worlds.new(rows=_FEW_ROWS)
    taken_over(world)
    plays: list[_Play] = [("undisturbed", partial(taken_over, worlds.new(rows=_FEW_ROWS)))]
    for run_id, step in (("manual__2", "plan"), ("manual__1", "submit")):
        for number, line in enumerate(world.writes(run_id), start=1):
            if line.split()[1] == step:
                plays += [
                    (
                        f"{run_id} {moment} write {number}",
                        partial(taken_over, worlds.new(rows=_FEW_ROWS), kills={run_id: {number: moment}}),
                    )
                    for moment in _BEFORE_AND_AFTER
                ]
    return plays


def _kept(worlds: Worlds) -> list[_Play]:
    """Return plays with kills in the publish that writes samples, and in the one that deletes them."""
    plays: list[_Play] = []
    for play, run_id in ((killed_at, "manual__1"), (no_longer_kept, "manual__2")):
        world = worlds.new(rows=_FEW_ROWS, kind=BETTER)
        play(world, kills={})
        plays += [
            (f"{run_id} {moment} write {number}", partial(play, worlds.new(rows=_FEW_ROWS, kind=BETTER), kills=kills))
            for number, line in enumerate(world.writes(run_id), start=1)
            if line.split()[1] == "publish"
            for moment in _BEFORE_AND_AFTER
            for kills in [{number: moment}]
        ]
    return plays


def _uploaded(worlds: Worlds) -> list[_Play]:
    """Return plays with kills at all that concerns uploaded files, on the lake and at the API."""
    writes = writes_of(worlds.new(rows=_FEW_RICH_ROWS, kind=UPLOADED))
    return [
        (
            f"{moment} write {number}",
            partial(killed_at, worlds.new(rows=_FEW_RICH_ROWS, kind=UPLOADED), {number: moment}),
        )
        for number, kind in enumerate(writes, start=1)
        if kind in OF_FILES
        for moment in _BEFORE_AND_AFTER
    ]


def _finding(fault: str, plays: Sequence[_Play], *, open_requests: int = 0) -> Finding:
    """
    Play all, some at the same time, and sum them up in one finding; its note lists the problems.

    :param open_requests: how many synchronous requests each process may have open when it is killed
    """
    with ThreadPoolExecutor(_PARALLEL) as pool:
        outcomes = list(pool.map(lambda play: play[1](), plays))
    troubles = [
        f"{name}: {'; '.join(outcome.problems)}"
        for (name, _), outcome in zip(plays, outcomes, strict=True)
        if outcome.problems
    ]
    orphans = sum(outcome.orphans for outcome in outcomes)
    lost = sum(outcome.rows_lost for outcome in outcomes)
    twice = sum(outcome.billed_twice for outcome in outcomes)
    kills = sum(outcome.kills for outcome in outcomes)
    notes = [
        *troubles[:_MOST_NOTES],
        *([f"and {len(troubles) - _MOST_NOTES} more"] if len(troubles) > _MOST_NOTES else []),
    ]
    return Finding(
        subject=SUBJECT,
        fault=fault,
        runs=len(plays),
        rows_lost=lost,
        billed_twice=twice,
        may_be_billed_twice=kills * open_requests,
        # Any other problem also makes the finding unclean.
        orphans=orphans or int(bool(troubles) and not (lost or twice)),
        note=" | ".join(notes) or (f"{kills:,} kills" if kills else ""),
    )
