"""
Random runs through the real scheduler, triggerer and workers, with random kills and faults of the API:
``python -m tests.chaos.random_runs --runs 30 --seed 7``.

Every run is another day of one small pipeline. Runs come in waves; each wave draws its own faults and kills from the
seed. The draw is reproducible, but the victims are not, because processes never run twice at the same pace. When a run
fails because kills used up a task's tries, its failed tasks are cleared, as an engineer on call would do.
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

from include.cli.output.published_day import stack_lake
from include.stack.folder import ROOT, StackFolder
from tests.chaos import stack_audit, stack_killer
from tests.chaos.objects import damaged_objects
from tests.chaos.random_faults import draw_faults, struck
from tests.chaos.report import Finding
from tests.chaos.stack_boot import PIPELINE, ChaosStack, OnCall, chaos_stack

RUNS_AT_ONCE = 8
ROWS = 60
FIRST_DAY = date(2026, 1, 1)
#: A wave that has not ended within this is a finding.
WAVE_SECONDS = 900
#: If tasks are queued this long and none runs, the executor has lost them, and the scheduler is restarted.
QUEUED_SECONDS = 60
#: A run that still fails after this many clears is a finding.
CLEARS = 8
SUBJECT = "this project"


def random_runs(*, runs: int = 30, seed: int = 7, folder: StackFolder | None = None) -> Iterator[Finding]:
    """
    Yield one finding per wave of runs, and a last one for all runs, from the lake and the bills at the end.

    Takes about half a minute per run on two cores. All processes are stopped at the end, even after an error.

    :param seed: decides faults, kills and rows
    :param folder: the stack's folder, by default ENRICHMENT_STACK_DIR or ``.stack/chaos``
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
                _run_wave(wave, chaos, api, say)
            finding = _finding(wave, chaos, before, waves)
            say(f"wave {wave.number}: faults that struck: {_format_counts(wave.struck)}")
            for line in [*wave.lost, *wave.orphans, *wave.damaged]:
                say(f"  WRONG: {line}")
            say(f"{finding.fault}: {'clean' if finding.clean else 'NOT CLEAN'}; {finding.note}")
            waves.append(wave)
            yield finding
        yield _final_finding(waves, chaos, begun, say)


@dataclass(kw_only=True)
class _Wave:
    """Runs that start together, and the faults, kills and clears that they met."""

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


def _run_wave(wave: _Wave, chaos: ChaosStack, api: OnCall, say: Callable[[str], None]) -> None:
    """Start the wave's runs under faults and kills, and return when the last one has ended."""
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
        _attend(wave, chaos, api, say, killer)
    wave.kills = killer.killed
    wave.struck = struck(faults, chaos.emulator.faults())
    chaos.emulator.set_faults([])
    # A batch whose create was never recorded may still be in progress; it is billed when it ends.
    deadline = time.monotonic() + 120
    while not all(batch["ended"] for batch in chaos.emulator.batches_made()) and time.monotonic() < deadline:
        time.sleep(1)
    stack_killer.reap(chaos.folder)
    wave.seconds = time.monotonic() - begun


def _attend(
    wave: _Wave, chaos: ChaosStack, api: OnCall, say: Callable[[str], None], killer: stack_killer.Killer
) -> None:
    """Act as the engineer on call until all runs have ended, or for WAVE_SECONDS."""
    begun = logged_at = active_at = time.monotonic()
    while time.monotonic() - begun < WAVE_SECONDS:
        # Airflow's API may be too busy to respond; the next round will do.
        with suppress(httpx2.HTTPError):
            states = api.run_states()
            wave.states = Counter(_clear_failed(run_id, states[run_id], wave, api, say) for run_id in wave.runs)
            if wave.states["success"] + wave.states["given up"] == len(wave.runs):
                return
            if api.instances("running") or not api.instances("queued"):
                active_at = time.monotonic()
            elif time.monotonic() - active_at > QUEUED_SECONDS:
                say(f"wave {wave.number}: tasks are queued and none runs; restarting the scheduler")
                wave.restarts += 1
                active_at = time.monotonic()
                stack_killer.restart_scheduler(chaos.folder)
        if time.monotonic() - logged_at > 20:
            logged_at = time.monotonic()
            kills = f"{killer.killed.total()} of {killer.planned} kills"
            say(f"wave {wave.number}: {_format_counts(wave.states)}; {kills}; {wave.cleared.total()} clears")
        time.sleep(3)


def _clear_failed(run_id: str, state: str, wave: _Wave, api: OnCall, say: Callable[[str], None]) -> str:
    """Clear the failed tasks of a failed run, and return the run's state."""
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
            errors = api.errors(PIPELINE, run_id, task)
            say(f"  {wave.runs[run_id]} {task.task_id}[{task.map_index}] failed, try {task.try_number}: {errors[-1:]}")
    wave.cleared[run_id] += 1
    api.clear(PIPELINE, run_id, failed)
    return "cleared"


def _tickets(day: date, draw: random.Random) -> dict[str, str]:
    """
    Draw a day's rows.

    Some rows of a day are equal, and some are equal to rows of the day before: then two runs at a time need the same
    answer, and one of them waits for the other's batch.
    """
    words = ["invoice", "crash", "login", "refund", "slow", "export", "password", "upgrade", "error", "thanks"]
    bodies = [f"{day} {number}: {' '.join(draw.sample(words, 4))}" for number in range(ROWS - 4)]
    pair = (day - FIRST_DAY).days // 2
    bodies += [bodies[0], bodies[1], f"Shared by pair {pair}, first", f"Shared by pair {pair}, second"]
    return {f"{day}-{number:03d}": body for number, body in enumerate(bodies)}


def _finding(wave: _Wave, chaos: ChaosStack, billed_twice_before: int, earlier: list[_Wave]) -> Finding:
    days = [stack_audit.audit_day(chaos.stack, day, keys) for day, keys in wave.keys.items()]
    wave.lost = [line for day in days for line in day.lost]
    reported = {line for one in earlier for line in (*one.orphans, *one.damaged)}
    wave.orphans = [batch_id for batch_id in stack_audit.orphans(chaos) if batch_id not in reported]
    wave.damaged = [line for line in damaged_objects(stack_lake(chaos.stack))[1] if line not in reported]
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
                f"{wave.kills.total()} kills ({_format_counts(wave.kills)})",
                f"{wave.struck.total()} faults of {len(wave.struck)} kinds",
                f"{wave.cleared.total()} clears, {wave.restarts} restarts by hand",
                *([f"{not_green} NOT GREEN"] if not_green else []),
                f"{wave.seconds:.0f} s",
            ]
        ),
    )


def _final_finding(waves: list[_Wave], chaos: ChaosStack, begun: float, say: Callable[[str], None]) -> Finding:
    """Audit all runs again after the last one: no later wave may have damaged the table of an earlier one."""
    days = [stack_audit.audit_day(chaos.stack, day, keys) for wave in waves for day, keys in wave.keys.items()]
    objects, damaged = damaged_objects(stack_lake(chaos.stack))
    orphans = stack_audit.orphans(chaos)
    bills = chaos.emulator.bills()
    recorded, billed = stack_audit.recorded_and_billed(chaos)
    if recorded != billed:
        say(f"  WRONG: the usage records say ${recorded}, but ${billed} were billed")
    for repeated in bills["twice"]:
        say(f"  WRONG: billed twice: {repeated}")
    kills, faults, clears = (
        sum((Counter(getattr(wave, name)) for wave in waves), Counter[str]()) for name in ("kills", "struck", "cleared")
    )
    return Finding(
        subject=SUBJECT,
        fault="random kills and faults, total",
        runs=len(days),
        rows_lost=sum(len(day.lost) for day in days),
        billed_twice=bills["billed_twice"],
        orphans=len(orphans) + len(damaged) + (recorded != billed),
        note="; ".join(
            [
                f"${recorded} recorded, ${billed} billed",
                f"{sum(day.rows for day in days)} rows = {sum(day.published for day in days)} published"
                f" + {sum(day.rejected for day in days)} rejected",
                f"{kills.total()} kills ({_format_counts(kills)})",
                f"{faults.total()} faults of {len(faults)} kinds",
                f"{clears.total()} clears, {sum(wave.restarts for wave in waves)} restarts by hand",
                f"{bills['batches']} batches, {bills['requests']} billed requests",
                f"{objects} objects readable",
                f"{chaos.log_lines('database is locked')} times 'database is locked'",
                f"{time.monotonic() - begun:.0f} s",
            ]
        ),
    )


def _format_counts(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counted.items() if count) or "none"


def _folder() -> StackFolder:
    path = Path(os.environ.get("ENRICHMENT_STACK_DIR") or ROOT / ".stack" / "chaos").resolve()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return StackFolder(path=path)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(arguments: list[str] | None = None) -> int:
    """Print findings as lines of JSON, and return the exit status: 1 if one is not clean."""
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
