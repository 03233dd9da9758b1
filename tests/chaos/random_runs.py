"""
Random runs through the real scheduler, triggerer and workers, some of which are killed at random moments, while the API
misbehaves: ``python -m tests.chaos.random_runs --runs 30 --seed 7``.

Every run is another day of one small pipeline. Runs come in waves; each wave has its own faults and kills, drawn from
the seed. What a wave was drawn is the same each time, what it hits is not: processes are never twice alike. When a run
has failed for good, because kills used up a task's tries, its failed tasks are cleared, as whoever is on call would.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from types import FrameType

import httpx2

from include.stack.folder import ROOT, StackFolder
from tests.chaos import stack_audit, stack_killer
from tests.chaos.random_faults import draw_faults, struck
from tests.chaos.report import Finding
from tests.chaos.stack_boot import PIPELINE, ChaosStack, OnCall, chaos_stack

RUNS_AT_ONCE = 8
ROWS = 60
FIRST_DAY = date(2026, 1, 1)
#: A wave that has not ended by then is a finding.
WAVE_SECONDS = 900
#: When tasks have been queued for so long and none runs, the executor has lost them: the scheduler is started again.
QUEUED_SECONDS = 60
#: A run that is still not green after so many clears is one as well.
CLEARS = 8
SUBJECT = "this project"


def random_runs(*, runs: int = 30, seed: int = 7, folder: StackFolder | None = None) -> Iterator[Finding]:
    """
    One finding for each wave of runs, and a last one for all of them: what is on the lake and on the bill at the end.

    Takes about half a minute for each run, on two cores. Whatever happens, everything is stopped at the end.

    :param seed: decides faults, kills and rows
    :param folder: where the stack lives, by default ``.stack/chaos`` or what ENRICHMENT_STACK_DIR says
    """
    begun = time.monotonic()

    def say(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - begun:6.0f} s  {line}\n")
        sys.stderr.flush()

    with chaos_stack(folder or _folder(), say=say) as chaos:
        waves: list[_Wave] = []
        for first in range(0, runs, RUNS_AT_ONCE):
            days = [FIRST_DAY + timedelta(days=number) for number in range(first, min(first + RUNS_AT_ONCE, runs))]
            wave = _Wave(number=len(waves) + 1, seed=seed * 1000 + len(waves), days=days)
            before = chaos.emulator.bills()["billed_twice"]
            with OnCall(chaos.stack) as api:
                _go_through(wave, chaos, api, say)
            finding = _finding(wave, chaos, before, waves)
            say(f"wave {wave.number}: what struck: {_spell(wave.struck)}")
            for line in [*wave.lost, *wave.orphans, *wave.damaged]:
                say(f"  WRONG: {line}")
            say(f"{finding.fault}: {'clean' if finding.clean else 'NOT CLEAN'}; {finding.note}")
            waves.append(wave)
            yield finding
        yield _in_all(waves, chaos, begun, say)


@dataclass(kw_only=True)
class _Wave:
    """Some runs at a time, with what was done to them."""

    number: int
    seed: int
    days: list[date]
    runs: dict[str, date] = field(default_factory=dict)
    keys: dict[date, list[str]] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    cleared: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    states: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    seconds: float = 0


def _go_through(wave: _Wave, chaos: ChaosStack, api: OnCall, say: Callable[[str], None]) -> None:
    """Start the wave's runs, let faults and kills have at them, and come back when the last one has ended."""
    begun = time.monotonic()
    draw = random.Random(wave.seed)
    for day in wave.days:
        tickets = _tickets(day, draw)
        wave.keys[day] = list(tickets)
        chaos.add_day(day, tickets)
    faults = draw_faults(wave.seed)
    chaos.emulator.set_faults(faults)
    kills = draw.randint(9, 13)
    say(f"wave {wave.number}: {len(wave.days)} runs, {len(faults)} faults, up to {kills} kills")
    for day in wave.days:
        wave.runs[api.trigger(PIPELINE, {"partition": day.isoformat()})] = day
    killer = stack_killer.Killer(
        chaos.folder, running=lambda: api.instances("running"), seed=wave.seed, kills=kills, say=say
    )
    with killer:
        told = time.monotonic()
        moved = time.monotonic()
        while time.monotonic() - begun < WAVE_SECONDS:
            # Everything is busy at times, and the next look is as good as this one.
            with suppress(httpx2.HTTPError):
                states = api.run_states()
                wave.states = Counter(_look_after(run_id, states[run_id], wave, api, say) for run_id in wave.runs)
                if wave.states["success"] + wave.states["given up"] == len(wave.runs):
                    break
                if api.instances("running") or not api.instances("queued"):
                    moved = time.monotonic()
                elif time.monotonic() - moved > QUEUED_SECONDS:
                    say(f"wave {wave.number}: tasks are queued and none runs; restarting the scheduler")
                    wave.restarts += 1
                    moved = time.monotonic()
                    stack_killer.restart_scheduler(chaos.folder)
            if time.monotonic() - told > 20:
                told = time.monotonic()
                say(
                    f"wave {wave.number}: {_spell(wave.states)}; kills {killer.killed.total()} of {kills};"
                    f" clears {wave.cleared.total()}"
                )
            time.sleep(3)
    wave.kills = killer.killed
    wave.struck = struck(faults, chaos.emulator.faults())
    chaos.emulator.set_faults([])
    # What was made and not recorded may still be processed, and is billed when it ends.
    deadline = time.monotonic() + 120
    while not all(batch["ended"] for batch in chaos.emulator.batches_made()) and time.monotonic() < deadline:
        time.sleep(1)
    stack_killer.reap(chaos.folder)
    wave.seconds = time.monotonic() - begun


def _look_after(run_id: str, state: str, wave: _Wave, api: OnCall, say: Callable[[str], None]) -> str:
    """The run's state; of a run that has failed, the failed tasks are cleared."""
    if state != "failed":
        return state
    if wave.cleared[run_id] == CLEARS:
        return "given up"
    tasks = api.task_instances(PIPELINE, run_id)
    failed = [task for task in tasks if task.state == "failed"] or [
        task for task in tasks if task.state == "upstream_failed"
    ]
    for task in failed:
        with suppress(httpx2.HTTPError):
            said = api.errors(PIPELINE, run_id, task)
            say(f"  {wave.runs[run_id]} {task.task_id}[{task.map_index}] failed, try {task.try_number}: {said[-1:]}")
    wave.cleared[run_id] += 1
    api.clear(run_id, failed)
    return "cleared"


def _tickets(day: date, draw: random.Random) -> dict[str, str]:
    """
    A day's rows. Some are alike within the day, and some are the same as on the day before: two runs at a time then
    need the same answer, and one of them waits for the other's batch.
    """
    words = ["invoice", "crash", "login", "refund", "slow", "export", "password", "upgrade", "error", "thanks"]
    bodies = [f"{day} {number}: {' '.join(draw.sample(words, 4))}" for number in range(ROWS - 4)]
    pair = (day - FIRST_DAY).days // 2
    bodies += [bodies[0], bodies[1], f"Shared by pair {pair}, first", f"Shared by pair {pair}, second"]
    return {f"{day}-{number:03d}": body for number, body in enumerate(bodies)}


def _finding(wave: _Wave, chaos: ChaosStack, billed_twice_before: int, earlier: list[_Wave]) -> Finding:
    days = [stack_audit.look_at_day(chaos.stack, day, keys) for day, keys in wave.keys.items()]
    wave.lost = [line for day in days for line in day.lost]
    told = {line for one in earlier for line in (*one.orphans, *one.damaged)}
    wave.orphans = [batch_id for batch_id in stack_audit.orphans(chaos) if batch_id not in told]
    wave.damaged = [line for line in stack_audit.damaged(chaos.stack)[1] if line not in told]
    rows, published, rejected = (sum(getattr(day, name) for day in days) for name in ("rows", "published", "rejected"))
    not_green = len(wave.runs) - wave.states["success"]
    return Finding(
        subject=SUBJECT,
        fault=f"random kills and faults, wave {wave.number}",
        runs=len(wave.runs),
        rows_lost=len(wave.lost),
        billed_twice=chaos.emulator.bills()["billed_twice"] - billed_twice_before,
        orphans=len(wave.orphans) + len(wave.damaged),
        note="; ".join(
            [
                f"{rows} rows = {published} published + {rejected} rejected",
                f"{wave.kills.total()} kills ({_spell(wave.kills)})",
                f"{wave.struck.total()} faults of {len(wave.struck)} kinds",
                f"{wave.cleared.total()} clears, {wave.restarts} restarts by hand",
                *([f"{not_green} NOT GREEN"] if not_green else []),
                f"{wave.seconds:.0f} s",
            ]
        ),
    )


def _in_all(waves: list[_Wave], chaos: ChaosStack, begun: float, say: Callable[[str], None]) -> Finding:
    """All runs once more, when the last one has ended: no later wave may have spoiled what an earlier one published."""
    days = [stack_audit.look_at_day(chaos.stack, day, keys) for wave in waves for day, keys in wave.keys.items()]
    objects, damaged = stack_audit.damaged(chaos.stack)
    orphans = stack_audit.orphans(chaos)
    bills = chaos.emulator.bills()
    booked, billed = stack_audit.books_and_bill(chaos)
    if booked != billed:
        say(f"  WRONG: in the books are ${booked}, and billed ${billed}")
    for repeated in bills["twice"]:
        say(f"  WRONG: billed twice: {repeated}")
    kills, faults, clears = (
        sum((Counter(getattr(wave, name)) for wave in waves), Counter[str]()) for name in ("kills", "struck", "cleared")
    )
    return Finding(
        subject=SUBJECT,
        fault="random kills and faults, in all",
        runs=len(days),
        rows_lost=sum(len(day.lost) for day in days),
        billed_twice=bills["billed_twice"],
        orphans=len(orphans) + len(damaged) + (booked != billed),
        note="; ".join(
            [
                f"${booked} in the books, ${billed} billed",
                f"{sum(day.rows for day in days)} rows = {sum(day.published for day in days)} published"
                f" + {sum(day.rejected for day in days)} rejected",
                f"{kills.total()} kills ({_spell(kills)})",
                f"{faults.total()} faults of {len(faults)} kinds",
                f"{clears.total()} clears, {sum(wave.restarts for wave in waves)} restarts by hand",
                f"{bills['batches']} batches, {bills['requests']} billed requests",
                f"{objects} objects open",
                f"{chaos.log_lines('database is locked')} times 'database is locked'",
                f"{time.monotonic() - begun:.0f} s",
            ]
        ),
    )


def _spell(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counted.items() if count) or "none"


def _folder() -> StackFolder:
    path = Path(os.environ.get("ENRICHMENT_STACK_DIR") or ROOT / ".stack" / "chaos").resolve()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return StackFolder(path=path)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(arguments: list[str] | None = None) -> int:
    """Print findings as lines of JSON; 1 if one of them is not clean."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.random_runs", description=random_runs.__doc__)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _end)
    clean = True
    for finding in random_runs(runs=options.runs, seed=options.seed):
        sys.stdout.write(f"{finding.to_json()}\n")
        sys.stdout.flush()
        clean = clean and finding.clean
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
