"""
``python -m tests.benchmarks.llm_batch_operator``: LLMBatchOperator of common-ai under each fault.

The operator runs in a real Airflow (scheduler, LocalExecutor, triggerer) against the emulator. Each case has its own
workspace, and most run in parallel. Billed rows are those that the emulator answered. Delivered rows are those that a
downstream task would read. The output is one JSON line per fault and setting, or a table with ``--table``.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any

from tests.benchmarks.faults import DAY_SECONDS, FAULTS, Fault, called
from tests.benchmarks.peer_airflow import PeerAirflow, Run
from tests.fixtures.emulator import Emulator, EmulatorProcess

DAGS = Path(__file__).with_name("dags")
PROVIDER = "apache-airflow-providers-common-ai"
ROWS = 50
# Longer than Airflow takes from a submit to the first poll, so that every run waits. (A wait that ends at once can
# overtake the scheduler's record of the submit, and Airflow then counts a failed try that no fault has caused.)
PROCESSING_SECONDS = 15
AT_A_TIME = 24
TIMEOUT_SECONDS = 420
POLL_SECONDS = 0.3
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "defaults": {},
    # Its guide offers these to users who prefer a failed run to a double payment or a missing row.
    "strict": {"on_orphaned_intent": "fail", "fail_on_partial_error": True},
}
_WORDS = ("parcel", "late", "broken", "refund", "colour", "size", "invoice", "twice", "empty", "charger", "thanks")


@dataclass(kw_only=True)
class Case:
    """One fault, one setting, one seed: a Dag, and a workspace of its own in the emulator."""

    fault: Fault
    setting: str
    seed: int
    emulator: Emulator
    begun: int = 0
    meddled: bool = False
    runs: list[Run] = field(default_factory=list)

    @property
    def dag_id(self) -> str:
        """The name of the Dag and of its connection."""
        return f"{self.fault.name}__{self.setting}__{self.seed}"

    @property
    def rows(self) -> list[str]:
        """Return the texts of the rows; the same for the same seed."""
        draw = Random(self.seed)
        return [f"Ticket {number}: {' '.join(draw.choices(_WORDS, k=12))}" for number in range(ROWS)]

    @property
    def over(self) -> bool:
        """Return whether the case is complete."""
        wanted = 1 if self.fault.second == "no" else 2
        return self.meddled and len(self.runs) == wanted and all(run.over for run in self.runs)

    def begin(self, airflow: PeerAirflow) -> None:
        """Arm the fault, and start the first run, or the first two."""
        self.emulator.set_faults(self.fault.armed)
        self.meddled = self.fault.disturb is None
        for _ in range(2 if self.fault.second == "at once" else 1):
            self._run(airflow)

    def poll(self, airflow: PeerAirflow) -> None:
        """Check the progress of the case, and take the next action if it is due."""
        if self.over:
            return
        if not self.meddled and self.fault.disturb:
            self.meddled = self.fault.disturb(airflow, self.dag_id, self.emulator)
        self.runs = airflow.runs(self.dag_id)
        if self.fault.second == "after" and len(self.runs) == self.begun == 1 and self.runs[0].over:
            self._run(airflow)

    def _run(self, airflow: PeerAirflow) -> None:
        self.begun += 1
        airflow.trigger(self.dag_id, f"run_{self.begun}")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """
    The figures of one case.

    :param undelivered: rows of runs that failed permanently, whose downstream tasks never run
    :param unanswered: rows without an answer in the output of runs that succeeded
    """

    runs: int
    undelivered: int
    unanswered: int
    billed_twice: int
    orphans: int
    batches: int
    failed_runs: int
    tries: int


def main() -> int:
    """Measure, and print the findings; return the exit status, 1 if a case did not end."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # through every __exit__
    begun = time.monotonic()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llm-batch-operator-")))
        if options.keep:
            scratch = Path(tempfile.mkdtemp(prefix="llm-batch-operator-"))
            _say(f"All files are kept in {scratch}")
        (scratch / "emulator").mkdir()
        api = EmulatorProcess(scratch / "emulator", processing_seconds=PROCESSING_SECONDS, seed=options.seed)
        emulator = stack.enter_context(api)
        cases = _cases(emulator, options)
        airflow = stack.enter_context(_airflow(scratch, cases))
        airflow.wait_for_dags(len(cases))
        _say(f"{time.monotonic() - begun:4.0f} s: Airflow runs, {len(cases)} cases")
        _together(airflow, [case for case in cases if not case.fault.alone])
        _say(f"{time.monotonic() - begun:4.0f} s: the triggerer's restart")
        _restart(airflow, [case for case in cases if case.fault.alone])
        measured = [(case, _measure(case, scratch / "lake")) for case in cases]
    lines = [
        _line(fault, setting, found)
        for fault in FAULTS
        for setting in SETTINGS
        if (found := [result for case, result in measured if case.fault is fault and case.setting == setting])
    ]
    _say(f"{time.monotonic() - begun:4.0f} s: done")
    sys.stdout.write(_table(lines) if options.table else "".join(f"{json.dumps(line)}\n" for line in lines))
    unfinished = [case.dag_id for case in cases if not case.over]
    if unfinished:
        _say(f"Not complete after {TIMEOUT_SECONDS} s: {', '.join(unfinished)}")
    return 1 if unfinished else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.llm_batch_operator", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="runs of each fault, each with its own rows")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other rows and answers")
    parser.add_argument("--fault", action="append", choices=[fault.name for fault in FAULTS], help="only this one")
    parser.add_argument("--table", action="store_true", help="print a table instead of JSON Lines")
    parser.add_argument("--keep", action="store_true", help="keep Airflow's home with its logs, and print its path")
    return parser.parse_args()


def _cases(emulator: EmulatorProcess, options: argparse.Namespace) -> list[Case]:
    return [
        Case(fault=fault, setting=setting, seed=options.seed + number, emulator=emulator.workspace())
        for fault in FAULTS
        if not options.fault or fault.name in options.fault
        for setting in (SETTINGS if fault.strict else ["defaults"])
        for number in range(options.runs)
    ]


def _airflow(scratch: Path, cases: Sequence[Case]) -> PeerAirflow:
    plan = {
        "lake": f"file://{scratch / 'lake'}",
        "cases": [{"dag_id": case.dag_id, "rows": case.rows, "options": SETTINGS[case.setting]} for case in cases],
    }
    (scratch / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    connections = {
        f"AIRFLOW_CONN_{case.dag_id.upper()}": json.dumps(
            {"conn_type": "pydanticai", "host": case.emulator.url, "password": case.emulator.api_key}
        )
        for case in cases
    }
    return PeerAirflow(scratch / "airflow", DAGS, {"BENCHMARK_PLAN": str(scratch / "plan.json"), **connections})


def _together(airflow: PeerAirflow, cases: Sequence[Case]) -> None:
    """Run the cases, as many in parallel as SQLite can handle."""
    waiting = list(cases)

    def begin_more() -> bool:
        under_way = sum(1 for case in cases if case.begun and not case.over)
        for case in waiting[: max(AT_A_TIME - under_way, 0)]:
            case.begin(airflow)
            waiting.remove(case)
        return all(case.over for case in cases)

    _poll(airflow, cases, begin_more)


def _restart(airflow: PeerAirflow, cases: Sequence[Case]) -> None:
    """Restart the triggerer while every case waits, and then let their batches end."""
    for case in cases:
        case.begin(airflow)

    def wait_and_have_polled() -> bool:
        return all(airflow.waits(case.dag_id) and _retrieves(case) for case in cases)

    _poll(airflow, cases, wait_and_have_polled)
    if cases:
        airflow.restart_triggerer()
    for case in cases:
        case.emulator.advance_clock(3600)
    _poll(airflow, cases, lambda: all(case.over for case in cases))


def _poll(airflow: PeerAirflow, cases: Iterable[Case], enough: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not enough() and time.monotonic() < deadline:
        airflow.check()
        for case in cases:
            if case.begun:
                case.poll(airflow)
        time.sleep(POLL_SECONDS)


def _retrieves(case: Case) -> bool:
    return any(called(case.emulator, batch["id"]) for batch in case.emulator.batches_made())


def _measure(case: Case, lake: Path) -> Measured:
    batches = [batch["id"] for batch in case.emulator.batches_made()]
    read = {path.split("/")[-2] for path in called(case.emulator, "/results")}
    case.emulator.set_faults([])
    case.emulator.advance_clock(DAY_SECONDS)  # unfinished batches end, and are billed for their succeeded requests
    bills = {batch_id: _billed(case.emulator, batch_id) for batch_id in batches}
    times = Counter(row for rows in bills.values() for row in rows)
    billed_twice = times.total() - len(times)
    if billed_twice != (counted := case.emulator.bills()["billed_twice"]):
        raise RuntimeError(
            f"{case.dag_id}: billed twice by the results {billed_twice}, by the emulator's bills {counted}"
        )
    succeeded = [run for run in case.runs if run.state == "success"]
    return Measured(
        runs=len(case.runs),
        undelivered=ROWS * (len(case.runs) - len(succeeded)),
        unanswered=sum(ROWS - len(_answered(lake / case.dag_id / run.run_id)) for run in succeeded),
        billed_twice=billed_twice,
        orphans=sum(1 for batch_id, rows in bills.items() if rows and batch_id not in read),
        batches=len(batches),
        failed_runs=len(case.runs) - len(succeeded),
        tries=sum(run.try_number for run in case.runs),
    )


def _billed(emulator: Emulator, batch_id: str) -> list[int]:
    """Return the rows of a batch that the API answered, and therefore bills."""
    return [
        _row_number(line["custom_id"]) for line in _results(emulator, batch_id) if line["result"]["type"] == "succeeded"
    ]


def _results(emulator: Emulator, batch_id: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _get(emulator, f"/v1/messages/batches/{batch_id}/results").splitlines()]


def _get(emulator: Emulator, path: str) -> bytes:
    headers = {"x-api-key": emulator.api_key, "anthropic-version": "2023-06-01"}
    request = urllib.request.Request(f"{emulator.url}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        body: bytes = response.read()
        return body


def _answered(folder: Path) -> set[int]:
    """Return the rows with an answer in a run's output on the lake, as a downstream task would read it."""
    lines = [line for path in folder.glob("*.jsonl") for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["index"] for row in map(json.loads, lines) if row["status"] == "success"}


def _row_number(custom_id: str) -> int:
    return int(custom_id.rsplit("-", 1)[1])


def _line(fault: Fault, setting: str, found: Sequence[Measured]) -> dict[str, Any]:
    undelivered = sum(one.undelivered for one in found)
    unanswered = sum(one.unanswered for one in found)
    notes = [
        f"{sum(one.failed_runs for one in found)} Dag run(s) failed permanently: {undelivered} rows not delivered"
        if undelivered
        else "",
        f"{unanswered} rows without an answer in the output of runs that succeeded" if unanswered else "",
        f"{sum(one.batches for one in found)} batches made, {sum(one.tries for one in found)} tries",
    ]
    return {
        "subject": "LLMBatchOperator",
        "setting": setting,
        "fault": fault.name,
        "runs": len(found),
        "rows": ROWS * sum(one.runs for one in found),
        "rows_lost": undelivered + unanswered,
        "billed_twice": sum(one.billed_twice for one in found),
        "orphans": sum(one.orphans for one in found),
        "note": "; ".join(filter(None, notes)),
    }


def _table(lines: Sequence[dict[str, Any]]) -> str:
    titles = {fault.name: fault.title for fault in FAULTS}
    head = ["fault", "setting", "runs", "rows", "rows lost", "billed twice", "orphans", "note"]
    body = [
        [
            titles[line["fault"]],
            line["setting"],
            *(f"{line[key]:,}" for key in ("runs", "rows", "rows_lost", "billed_twice", "orphans")),
            line["note"],
        ]
        for line in lines
    ]
    widths = [max(len(row[column]) for row in [head, *body]) for column in range(len(head))]
    strict = ", ".join(f"{name}={value!r}" for name, value in SETTINGS["strict"].items())
    subject = f"LLMBatchOperator of {PROVIDER} {version(PROVIDER)}, deferrable, retries=2. strict: {strict}\n"
    rows = [
        "  ".join(
            cell.rjust(width) if 2 <= column <= 6 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, ["-" * width for width in widths], *body]
    ]
    return subject + "\n".join(rows) + "\n"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
