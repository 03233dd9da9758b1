"""
Scenarios for one world each: runs that are killed at writes, meet the API's faults, overlap or are cleared.

Each plays in its world and returns what is left of it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from include.enrichment.errors import EnrichmentError
from include.enrichment.runs.passes import CANARY, MAIN, is_retry
from include.enrichment.storage import layout
from tests.chaos.kill_points.api_troubles import Trouble
from tests.chaos.kill_points.invariants import Outcome, billed_twice, check, half_done
from tests.chaos.kill_points.pipelines import CANARY_ROWS, CHUNK_REQUESTS, TWO
from tests.chaos.kill_points.run import Run, RunFailed
from tests.chaos.kill_points.step_process import Kills, Moment, Step
from tests.chaos.kill_points.world import World
from tests.fixtures.emulator import Fault
from tests.fixtures.lake import delete

#: The writes where a crash could cost money or rows.
PATH = ("submitting", "create", "submitted", "usage", "raw", "results", "landed")
#: The writes of a load whose batch has a usage record: it tries to create the record, and then replaces it.
RELOAD = ("usage", "replace", "raw", "results")
#: Some answers fail temporarily and some violate the schema, so that the retry pass handles both.
MENDABLE: Sequence[Fault] = (
    {"kind": "errored", "share": 0.15},
    {"kind": "violates_schema", "share": 0.15},
)
CHANGED = 3
#: Every run of ROWS rows has at least this many writes, so it reaches a kill drawn from them.
_FEWEST_WRITES = 45


def killed_at(world: World, kills: Kills, *, faults: Sequence[Fault] = ()) -> Outcome:
    """
    Kill a run at each of these writes once.

    :param faults: armed until the retry pass
    """
    world.emulator.set_faults(faults)
    seen: list[str] = []

    def mend(step: Step) -> None:
        if is_retry(step.pass_name):
            world.emulator.set_faults([])

    run = Run(world=world, kills=kills, before_step=mend, interrupted=lambda: seen.extend(half_done(world)))
    outcome = _play(world, [run], run.whole)
    at_death = [f"right after a kill: {problem}" for problem in seen]
    return replace(outcome, orphans=outcome.orphans + len(seen), problems=[*outcome.problems, *at_death])


def writes_of(world: World, *, faults: Sequence[Fault] = ()) -> list[str]:
    """Return the kinds of an undisturbed run's writes, in order. Raises AssertionError if the run has a problem."""
    outcome = killed_at(world, {}, faults=faults)
    if outcome.problems:
        raise AssertionError(f"An undisturbed run has problems: {'; '.join(outcome.problems)}")
    return [line.split()[0] for line in world.writes("manual__1")]


def troubled(world: World, trouble: Trouble, *, at: int, seed: int = 0, kills: int = 0) -> Outcome:
    """
    Let a run meet the trouble at one of its chunks, while another program creates batches of the same sizes.

    :param at: the chunk, counted from 0
    :param seed: decides at which writes the run is killed
    :param kills: how many times the run is killed, at random writes
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
        # When the run looks for its own batch, the newest batches of its sizes are foreign.
        interrupted=world.create_foreign,
    )

    def play() -> None:
        with world.neighbour():
            run.whole()
        if steps_before >= 0:
            raise RunFailed("the faults were never armed")

    return _play(world, [run], play)


def race(world: World, *, runs: int, seed: int | None, anywhere: bool = False) -> Outcome:
    """
    Start runs of one partition at the same time.

    There must be one batch per chunk, each row must be in exactly one batch, and all runs must end published. (A run
    that begins after the canary has landed has a canary of its own, with other rows.)

    :param seed: decides at which of its writes each run is killed; None: no run is killed
    :param anywhere: kill at any moment instead, not only at a write
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

    def overpayment() -> str | None:
        if world.kind.open_requests:
            return None  # there are no batches, and the invariants count what is billed again
        sizes, rows = sorted(_batch_sizes(world)), len(world.keys())
        keys = [key for key in world.lake.list("ledger/tickets/") if not key.endswith("/open.json")]
        sent = [key for key in keys if json.loads(world.lake.read(key))["state"] != "withdrawn"]
        # Repairs are requests beside the rows'; a request that is sent twice is found by the API's bills.
        if len(sizes) == len(sent) and (world.kind.judged or sum(sizes) == rows):
            return None
        return f"batches of {sizes} requests were made for {rows} rows in {len(sent)} chunks"

    return _play(world, racing, play, also=overpayment)


def random_kills(draw: random.Random, *, share: float) -> dict[int, Moment]:
    """Draw kills at this share of the writes of a run."""
    moments: list[Moment] = ["before", "after"]
    return {number: draw.choice(moments) for number in range(1, 300) if draw.random() < share}


def cleared(world: World, *, sent: int, kills: Mapping[int, Moment] | None = None) -> Outcome:
    """
    Clear the `extract` of a run while its batches are in flight, after some rows of the warehouse have changed.

    The run must not send the other rows again.

    :param sent: how many of its chunks have been submitted before
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

    def overpayment() -> str | None:
        requests, rows = sum(_batch_sizes(world)), len(world.tickets())
        # The changed rows may be in a chunk that was not sent before, so their old requests were never sent.
        fewest = rows + CHANGED if sent == len(list(_chunk_sizes(rows))) - 1 else rows
        if fewest <= requests <= rows + CHANGED:
            return None
        return f"{requests} requests were sent for {rows} rows of which {CHANGED} changed"

    return _play(world, [run], play, also=overpayment)


def taken_over(world: World, *, kills: Mapping[str, Mapping[int, Moment]] | None = None) -> Outcome:
    """
    Let the run ``manual__2`` take over chunks that the run ``manual__1`` has planned but not sent.

    ``manual__1`` has sent its first chunk, and some rows have changed. It continues before ``manual__2`` sends. Every
    request that either has planned must be sent once.

    :param kills: the writes at which a run is killed, by run id
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

    def overpayment() -> str | None:
        requests, rows = sum(_batch_sizes(world)), len(world.tickets())
        return None if requests <= rows + CHANGED else f"{requests} requests were sent for {rows + CHANGED}"

    return _play(world, [first, second], play, also=overpayment)


def loaded_again(world: World, *, at: str, moment: Moment) -> Outcome:
    """
    Load the canary of a run without one of its result lines, delete the results, and load again with the line.

    The second load raises the cost in the usage record.

    :param at: the write of the second load at which its process is killed, one of RELOAD
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

    return _play(world, [run], play, also=broken)


def no_longer_kept(world: World, *, kills: Mapping[int, Moment] | None = None) -> Outcome:
    """
    Publish the better one of two answers, then all of them. The run ``manual__2`` deletes the samples of the first one.

    :param kills: the writes at which the second run is killed
    """
    first, second = Run(world=world), Run(world=world, run_id="manual__2", kills=kills or {})

    def play() -> None:
        first.whole()
        world.change_pipeline(TWO)
        second.whole()

    return _play(world, [first, second], play)


def _batch_sizes(world: World) -> list[int]:
    return [int(batch["size"]) for batch in world.emulator.batches_made()]


def _chunk_sizes(rows: int) -> Iterator[int]:
    yield CANARY_ROWS
    left = rows - CANARY_ROWS
    while left > 0:
        yield min(left, CHUNK_REQUESTS)
        left -= CHUNK_REQUESTS


def _play(
    world: World,
    runs: Collection[Run],
    play: Callable[[], object],
    *,
    also: Callable[[], str | None] = lambda: None,
) -> Outcome:
    """
    Play the scenario, and check its world.

    :param also: checks more than the invariants, and returns a problem or None
    """
    try:
        play()
        outcome = check(world, killed=sum(run.killed for run in runs))
    except (RunFailed, EnrichmentError, AssertionError) as failure:
        lost, twice = len(world.keys()), billed_twice(world)
        return Outcome(rows_lost=lost, billed_twice=twice, problems=[str(failure)])
    missed = [
        f"write {number} of {run.run_id} was not reached"
        for run in runs
        for number in run.kills
        if len(run.kills) == 1 and not run.killed
    ]
    return replace(outcome, problems=[*outcome.problems, *missed, *filter(None, [also()])])
