"""
The kill points: this project's own runs, killed at every write and met by every fault. ``whole()`` is all of it, for
`make chaos`; test_kill_points.py plays the points that money hangs on, with every test run.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from include.enrichment.errors import EnrichmentError
from include.enrichment.runs.passes import CANARY, MAIN, is_retry
from include.enrichment.storage import layout
from include.stack.stack import LOOPBACK, free_port
from tests.chaos.invariants import Outcome, billed_twice, check, half_done
from tests.chaos.report import Finding
from tests.chaos.runs import CANARY_ROWS, CHUNK_REQUESTS, ROWS, Run, RunFailed, World
from tests.chaos.step_process import CREATE, Moment, Step, Timing
from tests.fixtures.emulator import Emulator, EmulatorProcess, Fault
from tests.fixtures.lake import delete
from tests.fixtures.s3 import filesystem

SUBJECT = "this project"
#: The writes between which a crash costs money or rows, by what they write.
PATH = ("submitting", "create", "submitted", "usage", "raw", "results", "landed")
#: What a load writes whose batch is booked already: it tries to book it anew, and then replaces the line.
RELOAD = ("usage", "replace", "raw", "results")
#: Some answers fail for a passing reason and some do not fit, so that the retry pass has both to do.
MENDABLE: Sequence[Fault] = (
    {"kind": "errored", "share": 0.15},
    {"kind": "violates_schema", "share": 0.15},
)
CHANGED = 3
_PARALLEL = (os.cpu_count() or 1) + 1
#: Runs at the same time: a process that is slow for so long would be taken for dead, as in production after 25 minutes.
RACING = Timing(create_window=6.0, listing_lag=1.0)
#: What happens after a process has died must be over by then, on a busy machine as well.
UNHURRIED = Timing(create_window=3.0)
_SEEDS = range(3)
#: Enough for two chunks beside the canary.
_FEW_ROWS = 23
#: No run of ROWS rows has fewer writes: a kill that is drawn from these is met.
_FEWEST_WRITES = 45
_S3_BOOT_SECONDS = 600
_NOTES = 3


class Worlds:
    """
    Makes worlds: on one emulator, and on one S3 server if there is one.

    :param s3: the server's endpoint
    """

    def __init__(self, folder: Path, emulator: Emulator, *, s3: str | None = None) -> None:
        self._folder = folder
        self._emulator = emulator
        self._s3 = s3
        self._numbers = count(1)

    def new(self, *, rows: int = ROWS, on_s3: bool = False, timing: Timing | None = None) -> World:
        """A world with nothing in it but its tickets."""
        number = next(self._numbers)
        if not on_s3:
            return World(self._folder / f"{number}", self._emulator.workspace(), rows=rows, timing=timing)
        assert self._s3
        bucket = f"chaos-{os.getpid()}-{number}"
        filesystem(self._s3).create_dir(bucket)
        return World(
            self._folder / f"{number}",
            self._emulator.workspace(),
            rows=rows,
            lake=f"s3://{bucket}",
            s3=self._s3,
            timing=timing,
        )


# One world each


def killed_at(world: World, kills: Mapping[int, Moment], *, faults: Sequence[Fault] = ()) -> Outcome:
    """
    A run that is killed at these writes, each once.

    :param faults: in force until the retry pass
    """
    world.emulator.set_faults(faults)
    seen: list[str] = []

    def mend(step: Step) -> None:
        if is_retry(step.pass_name):
            world.emulator.set_faults([])

    run = Run(world=world, kills=kills, before_step=mend, interrupted=lambda: seen.extend(half_done(world)))
    outcome = _played(world, [run], run.whole)
    at_death = [f"right after a kill: {problem}" for problem in seen]
    return replace(outcome, orphans=outcome.orphans + len(seen), problems=[*outcome.problems, *at_death])


def writes_of(world: World, *, faults: Sequence[Fault] = ()) -> list[str]:
    """The writes of a run that nobody disturbs, in order, by kind. Raises AssertionError if it does not end well."""
    outcome = killed_at(world, {}, faults=faults)
    if outcome.problems:
        raise AssertionError(f"A run that nobody disturbs does not end well: {'; '.join(outcome.problems)}")
    return [line.split()[0] for line in world.writes("manual__1")]


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """
    Faults of the API that one run meets.

    :param on: the kind of step before which they come into force
    """

    name: str
    faults: Sequence[Fault]
    on: str = "submit"
    timing: Timing = field(default_factory=Timing)


def _status(status: int, **more: Any) -> Fault:
    return {"kind": "http_error", "status": status, **more}


TROUBLES = (
    Trouble(name="reset before the create", faults=[{"kind": "reset_before_create", "times": 2}]),
    Trouble(name="reset after the create", faults=[{"kind": "reset_after_create", "times": 2}]),
    *(
        Trouble(name=f"HTTP {status}, created", faults=[_status(status, created=True, times=2)])
        for status in (500, 529, 408, 409)
    ),
    Trouble(name="HTTP 500, not created", faults=[_status(500, times=2)]),
    Trouble(name="HTTP 429, retry-after", faults=[_status(429, retry_after=0.2, times=4)]),
    Trouble(
        name="answer after the client's timeout",
        faults=[{"kind": "slow", "seconds": 2.5, "times": 2}],
        timing=Timing(client_timeout=1.0, listing_lag=1.5),
    ),
    Trouble(
        name="list lags, create reset after",
        faults=[{"kind": "list_lag", "seconds": 0.3}, {"kind": "reset_after_create", "times": 2}],
        timing=UNHURRIED,
    ),
    Trouble(
        name="batches take a while, create reset after",
        faults=[{"kind": "duration", "seconds": 0.6, "times": 12}, {"kind": "reset_after_create", "times": 2}],
    ),
    Trouble(
        name="HTTP 503 on list, create reset after",
        faults=[_status(503, on="list", times=4), {"kind": "reset_after_create", "times": 2}],
    ),
    Trouble(
        name="404 on results, create reset after",
        faults=[
            {"kind": "not_found", "on": "results", "times": 4},
            {"kind": "reset_after_create", "times": 1},
        ],
    ),
    Trouble(
        name="odd result lines, create reset after",
        faults=[
            {"kind": "foreign_lines", "times": 1},
            {"kind": "missing_lines", "times": 1},
            {"kind": "reset_after_create", "times": 2},
        ],
    ),
    Trouble(name="404 on retrieve", faults=[{"kind": "not_found", "times": 4}], on="load"),
    Trouble(name="404 on results", faults=[{"kind": "not_found", "on": "results", "times": 2}], on="load"),
    Trouble(name="results cut in a line", faults=[{"kind": "cut_results", "times": 4}], on="load"),
    Trouble(
        name="results cut between lines",
        faults=[{"kind": "cut_results", "at": "line_boundary", "times": 2}],
        on="load",
    ),
    Trouble(name="result lines missing once", faults=[{"kind": "missing_lines", "times": 1}], on="load"),
    Trouble(name="result lines twice", faults=[{"kind": "duplicate_lines", "times": 2}], on="load"),
    Trouble(name="result lines of strangers", faults=[{"kind": "foreign_lines", "times": 2}], on="load"),
)


def troubled(world: World, trouble: Trouble, *, at: int, seed: int = 0, kills: int = 0) -> Outcome:
    """
    A run that meets the trouble at one of its chunks, while another program makes batches of the same sizes.

    :param at: at which chunk, counted from 0
    :param seed: decides at which writes it is killed
    :param kills: how many times it is killed, at random writes
    """
    draw = random.Random(f"{trouble.name} {seed}")
    steps_before = at

    def arm(step: Step) -> None:
        nonlocal steps_before
        if step.run_id == run.run_id and step.name == trouble.on:
            if steps_before == 0:
                world.emulator.set_faults(trouble.faults)
            steps_before -= 1

    moments: list[Moment] = ["before", "after"]
    run = Run(
        world=world,
        kills={number: draw.choice(moments) for number in draw.sample(range(1, _FEWEST_WRITES), kills)},
        before_step=arm,
        # The newest batches of our sizes are theirs when ours is looked for.
        interrupted=world.create_foreign,
    )

    def play() -> None:
        with world.neighbour():
            run.whole()
        if steps_before >= 0:
            raise RunFailed("the faults were never in force")

    return _played(world, [run], play)


def race(world: World, *, runs: int, seed: int | None, anywhere: bool = False) -> Outcome:
    """
    Runs of one partition at the same moment. There must be one batch for each chunk, each row sent in one of them, and
    all must end published. (A run that begins when the canary has landed has a canary of its own, of other rows.)

    :param seed: each is killed at some of its writes, which the seed decides; None: none is killed
    :param anywhere: they are killed at any moment instead, not only at a write
    """
    draw = random.Random(seed)
    racing = [
        Run(
            world=world,
            run_id=f"race__{number}",
            kills={} if seed is None or anywhere else random_kills(draw, share=0.06),
            lives=[draw.uniform(0.01, 0.25) if draw.random() < 0.3 else None for _ in range(60)] if anywhere else [],
        )
        for number in range(1, runs + 1)
    ]

    def play() -> None:
        with ThreadPoolExecutor(runs) as pool:
            for ran in [pool.submit(run.whole) for run in racing]:
                ran.result()

    def overpaid() -> str | None:
        sizes, rows = sorted(_batch_sizes(world)), len(world.tickets())
        keys = [key for key in world.lake.list("ledger/tickets/") if not key.endswith("/open.json")]
        sent = [key for key in keys if json.loads(world.lake.read(key))["state"] != "withdrawn"]
        if (sum(sizes), len(sizes)) == (rows, len(sent)):
            return None
        return f"batches of {sizes} requests were made for {rows} rows in {len(sent)} chunks"

    return _played(world, racing, play, also=overpaid)


def random_kills(draw: random.Random, *, share: float) -> dict[int, Moment]:
    """Kills at this share of the writes of a run."""
    moments: list[Moment] = ["before", "after"]
    return {number: draw.choice(moments) for number in range(1, 300) if draw.random() < share}


def cleared(world: World, *, sent: int, kills: Mapping[int, Moment] | None = None) -> Outcome:
    """
    A run whose `extract` is cleared while its batches are in flight, after some rows of the warehouse have changed.
    Nothing may be sent for the other rows.

    :param sent: how many of its chunks have been submitted when that happens
    """
    run = Run(world=world, kills=kills or {})

    def play() -> None:
        run.extract()
        run.one_pass(CANARY)
        world.emulator.set_faults([{"kind": "duration", "seconds": 1.5}])
        chunks = run.plan(MAIN)
        for chunk in chunks[:sent]:
            run.submit(chunk)
        world.change_tickets(CHANGED)
        run.whole()

    def overpaid() -> str | None:
        requests, rows = sum(_batch_sizes(world)), len(world.tickets())
        # Of the chunks that had not been sent, some rows were never asked for as they were.
        fewest = rows + CHANGED if sent == len(list(_chunk_sizes(rows))) - 1 else rows
        if fewest <= requests <= rows + CHANGED:
            return None
        return f"{requests} requests were sent for {rows} rows of which {CHANGED} changed"

    return _played(world, [run], play, also=overpaid)


def taken_over(world: World, *, kills: Mapping[str, Mapping[int, Moment]] | None = None) -> Outcome:
    """
    The run ``manual__1`` has planned its chunks and sent the first, when another run of the partition, ``manual__2``,
    takes over what it has not sent; some rows have changed. The first goes on before the other sends. Every request
    that either has planned is sent once.

    :param kills: at which of its writes a run is killed, by its id
    """
    kills = kills or {}
    first, second = (Run(world=world, run_id=name, kills=kills.get(name, {})) for name in ("manual__1", "manual__2"))

    def play() -> None:
        first.extract()
        first.one_pass(CANARY)
        sent, *waiting = first.plan(MAIN)
        batch_id = first.submit(sent)
        assert batch_id
        world.change_tickets(CHANGED)
        second.extract()
        second.one_pass(CANARY)
        chunks = second.plan(MAIN)
        first.load(sent, batch_id)
        first.send(waiting)
        second.send(chunks)
        for run in (first, second):
            for pass_name in filter(is_retry, run.passes):
                run.one_pass(pass_name)
            run.publish()

    def overpaid() -> str | None:
        requests, rows = sum(_batch_sizes(world)), len(world.tickets())
        return None if requests <= rows + CHANGED else f"{requests} requests were sent for {rows + CHANGED}"

    return _played(world, [first, second], play, also=overpaid)


def loaded_again(world: World, *, at: str, moment: Moment) -> Outcome:
    """
    A run whose canary is loaded without a line that the API holds back; somebody deletes the results, and loads again
    when the line is there. What is booked is booked higher then.

    :param at: the write of that second load at which its process is killed, one of RELOAD
    """
    seen: list[str] = []
    run = Run(world=world, interrupted=lambda: seen.extend(half_done(world)))

    def play() -> None:
        run.extract()
        (chunk,) = run.plan(CANARY)
        batch_id = run.submit(chunk)
        assert batch_id
        world.emulator.set_faults([{"kind": "missing_lines", "times": 3}])
        run.load(chunk, batch_id, accept_missing=True)
        for key in (layout.raw("tickets", batch_id), layout.results("tickets", batch_id)):
            delete(world.lake, key)
        run.kills = {len(world.writes(run.run_id)) + 1 + RELOAD.index(at): moment}
        run.load(chunk, batch_id)
        for name in run.passes[1:]:
            run.one_pass(name)
        run.publish()

    def broken() -> str | None:
        return "; ".join(f"right after a kill: {problem}" for problem in seen) or None

    return _played(world, [run], play, also=broken)


def _batch_sizes(world: World) -> list[int]:
    return [int(batch["size"]) for batch in world.emulator.batches_made()]


def _chunk_sizes(rows: int) -> Iterator[int]:
    yield CANARY_ROWS
    left = rows - CANARY_ROWS
    while left > 0:
        yield min(left, CHUNK_REQUESTS)
        left -= CHUNK_REQUESTS


def _played(
    world: World,
    runs: Collection[Run],
    play: Callable[[], object],
    *,
    also: Callable[[], str | None] = lambda: None,
) -> Outcome:
    """
    What is left when the play is over.

    :param also: what has to hold beside the invariants; says what does not
    """
    try:
        play()
        outcome = check(world, killed=sum(run.killed for run in runs))
    except (RunFailed, EnrichmentError, AssertionError) as failure:
        lost, twice = len(world.tickets()), billed_twice(world)
        return Outcome(rows_lost=lost, billed_twice=twice, problems=[str(failure)])
    missed = [
        f"write {number} of {run.run_id} was not reached"
        for run in runs
        for number in run.kills
        if len(run.kills) == 1 and not run.killed
    ]
    return replace(outcome, problems=[*outcome.problems, *missed, *filter(None, [also()])])


# All of it


def whole() -> Iterator[Finding]:
    """Every finding of this project's own chaos, one after the other as they are made: some minutes in all."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        emulator = stack.enter_context(EmulatorProcess(folder / "emulator", processing_seconds=0))
        yield from findings(Worlds(folder / "worlds", emulator, s3=stack.enter_context(_s3_server())))


def findings(worlds: Worlds) -> Iterator[Finding]:
    """Every kind of chaos, as a finding each."""
    kinds = writes_of(worlds.new(rows=_FEW_ROWS), faults=MENDABLE)
    numbers = range(1, len(kinds) + 1)
    creates = [number for number in numbers if kinds[number - 1] == CREATE]
    yield _finding("SIGKILL before each write", _killed(worlds, numbers, "before"))
    yield _finding("SIGKILL after each write", _killed(worlds, numbers, "after"))
    yield _finding("SIGKILL while a create is on its way", _killed(worlds, creates, "late"))
    first_chunk = range(1, kinds.index("landed") + 2)
    both: tuple[Moment, ...] = ("before", "after")
    yield _finding(
        "SIGKILL before and after writes to S3",
        [
            (f"{moment} {number}", partial(killed_at, worlds.new(on_s3=True), {number: moment}))
            for moment in both
            for number in [*first_chunk[::3], *numbers[-3:]]
        ],
    )
    yield _finding(
        "SIGKILL again and again",
        [
            (
                f"seed {seed}",
                partial(killed_at, worlds.new(), random_kills(random.Random(seed), share=0.15), faults=MENDABLE),
            )
            for seed in range(12)
        ],
    )
    for trouble in TROUBLES:
        yield _finding(
            trouble.name,
            [
                (
                    f"seed {seed}",
                    partial(troubled, worlds.new(timing=trouble.timing), trouble, at=seed, seed=seed, kills=seed % 3),
                )
                for seed in _SEEDS
            ],
        )
    yield _finding(
        "SIGKILL at each write of a load that books more than the one before",
        [
            (f"{moment} {at}", partial(loaded_again, worlds.new(rows=_FEW_ROWS), at=at, moment=moment))
            for at in RELOAD
            for moment in both
        ],
    )
    yield _finding("extract cleared, rows changed", _cleared(worlds))
    yield _finding("extract cleared, SIGKILL at each write of the new plan", _cleared_and_killed(worlds))
    yield _finding("chunks taken over, SIGKILL at each write of either run", _taken_over(worlds))
    for runs in (2, 4):
        races = [
            (f"seed {seed}", partial(race, worlds.new(timing=RACING), runs=runs, seed=seed))
            for seed in (None, *range(4))
        ]
        races += [
            (
                f"anywhere {seed}",
                partial(race, worlds.new(on_s3=True, timing=RACING), runs=runs, seed=seed, anywhere=True),
            )
            for seed in _SEEDS
        ]
        yield _finding(f"{runs} runs of a partition at once", races)


#: One world to play: what it is called in a note, and the play.
_Play = tuple[str, Callable[[], Outcome]]


def _killed(worlds: Worlds, numbers: Iterable[int], moment: Moment) -> list[_Play]:
    timing = UNHURRIED if moment == "late" else None
    return [
        (
            f"write {number}",
            partial(killed_at, worlds.new(rows=_FEW_ROWS, timing=timing), {number: moment}, faults=MENDABLE),
        )
        for number in numbers
    ]


def _cleared(worlds: Worlds) -> list[_Play]:
    return [(f"{sent} sent", partial(cleared, worlds.new(), sent=sent)) for sent in range(5)]


def _cleared_and_killed(worlds: Worlds) -> list[_Play]:
    world = worlds.new()
    cleared(world, sent=2)
    lines = [line.split()[:2] for line in world.writes("manual__1")]
    cleared_at = max(number for number, (kind, _) in enumerate(lines, start=1) if kind == "extract")
    both: tuple[Moment, ...] = ("before", "after")
    return [
        (f"{moment} write {number}", partial(cleared, worlds.new(), sent=2, kills={number: moment}))
        for number, (_, step) in enumerate(lines, start=1)
        if number > cleared_at and step == "plan"
        for moment in both
    ]


def _taken_over(worlds: Worlds) -> list[_Play]:
    """Killed where one run takes over, and where the other makes up for it."""
    world = worlds.new(rows=_FEW_ROWS)
    taken_over(world)
    both: tuple[Moment, ...] = ("before", "after")
    plays: list[_Play] = [("undisturbed", partial(taken_over, worlds.new(rows=_FEW_ROWS)))]
    for run_id, step in (("manual__2", "plan"), ("manual__1", "submit")):
        for number, line in enumerate(world.writes(run_id), start=1):
            if line.split()[1] == step:
                plays += [
                    (
                        f"{run_id} {moment} write {number}",
                        partial(taken_over, worlds.new(rows=_FEW_ROWS), kills={run_id: {number: moment}}),
                    )
                    for moment in both
                ]
    return plays


def _finding(fault: str, plays: Sequence[_Play]) -> Finding:
    """The plays, some at the same time, as one finding; its note tells of what is not as it must be."""
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
    notes = [*troubles[:_NOTES], *([f"and {len(troubles) - _NOTES} more"] if len(troubles) > _NOTES else [])]
    return Finding(
        subject=SUBJECT,
        fault=fault,
        runs=len(plays),
        rows_lost=lost,
        billed_twice=twice,
        # What is wrong in another way than these three makes the finding no less unclean.
        orphans=orphans or int(bool(troubles) and not (lost or twice)),
        note=" | ".join(notes) or (f"{kills:,} kills" if kills else ""),
    )


@contextmanager
def _s3_server() -> Iterator[str]:
    """The endpoint of an S3 server of our own."""
    endpoint = f"http://{LOOPBACK}:{(port := free_port())}"
    command = [sys.executable, "-m", "moto.server", "--host", LOOPBACK, "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(server, port)
            yield endpoint
        finally:
            server.kill()


def _wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _S3_BOOT_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection((LOOPBACK, port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"The S3 server did not come up (status {server.poll()}).")
