"""
A backfill of thirty days of the catalogue, through the real scheduler, with a processing queue limited to four batches.

Three backfills of the same days run one after the other: forwards, while the API rejects one create permanently, so
that one day fails; of the failed day; and backwards over all days, paused in the middle.

``python -m tests.benchmarks.backfill`` prints one JSON object as the last line of stdout: the time, the requests and
the queue of each backfill, and the total cost.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow.parquet as pq

from include.cli.output import published_day
from include.enrichment.answers.manifest import Manifest
from include.enrichment.cost.prices import BILLED_COLUMNS, costs_usd
from include.enrichment.runs.partition import Partition
from include.enrichment.storage import layout
from include.stack import processes
from include.stack.airflow_api import AirflowApi
from include.stack.folder import StackFolder
from include.stack.stack import Stack
from tests.benchmarks.contender import FOLDER
from tests.fixtures.emulator import Emulator
from tests.fixtures.stack import running_stack

DAG = "catalogue"
DAYS = [Partition(start=datetime(2026, 10, 20, tzinfo=UTC).date() + timedelta(days=number)) for number in range(30)]
#: More runs than the pool has slots, so that the pool limits them.
ACTIVE_RUNS = 8
QUEUE_BATCHES = 4
#: The shortest wait of a deferred task.
PROCESSING_SECONDS = 30
#: The number of the rejected create.
REJECTED_CREATE = 20
TIMEOUT_SECONDS = 3_600
PAUSE_SECONDS = 20
SETTINGS = {
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "300",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
}


class UnexpectedResult(Exception):
    """A result differs from the expected one; the message describes it."""


class BackfillApi(AirflowApi):
    """The API calls of a person who starts a backfill and watches it."""

    def backfill(self, *, reprocess: str, backwards: bool = False) -> int:
        """Wait until the previous backfill is complete, start one over all days, and return its id."""
        self._finish(lambda: all(one["completed_at"] for one in self._backfills()))
        body = {
            "dag_id": DAG,
            "from_date": f"{DAYS[0]}T00:00:00Z",
            "to_date": f"{DAYS[-1]}T00:00:00Z",
            "reprocess_behavior": reprocess,
            "run_backwards": backwards,
            "max_active_runs": ACTIVE_RUNS,
        }
        return int(self._http.post("/api/v2/backfills", json=body).raise_for_status().json()["id"])

    def set_paused(self, backfill: int, paused: bool) -> None:
        """Pause or resume a backfill."""
        action = "pause" if paused else "unpause"
        self._http.put(f"/api/v2/backfills/{backfill}/{action}").raise_for_status()

    def runs(self) -> dict[str, dict[str, Any]]:
        """Return the backfilled runs by day."""
        found = self._get(f"/api/v2/dags/{DAG}/dagRuns", limit=100)["dag_runs"]
        return {run["data_interval_start"][:10]: run for run in found if run["run_type"] == "backfill"}

    def finish(self) -> Counter[str]:
        """Wait until every day's run has ended, and count their states."""
        self._finish(lambda: self.states().keys() <= {"success", "failed"})
        return self.states()

    def states(self) -> Counter[str]:
        """Count the runs by state."""
        return Counter(str(run["state"]) for run in self.runs().values())

    def until_ended(self, runs: int) -> None:
        """Wait until this number of runs has ended."""
        self._finish(lambda: self.states()["success"] >= runs)

    def until_idle(self) -> Counter[str]:
        """Wait until no run is running, and count the runs by state."""
        self._finish(lambda: not self.states()["running"])
        return self.states()

    def _backfills(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._get("/api/v2/backfills", dag_id=DAG)["backfills"]
        return found

    def _finish(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not done():
            if time.monotonic() > deadline:
                raise UnexpectedResult(f"Not within {TIMEOUT_SECONDS:,} s; the runs are {dict(self.states())}")
            time.sleep(1)


class Watch:
    """The API calls and batches of a backfill, from the emulator's log."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._begun = time.monotonic()
        self._before = emulator.log()

    def figures(self) -> dict[str, float]:
        """Return the figures since the start."""
        now = self._emulator.log()
        calls = now["calls"][len(self._before["calls"]) :]
        batches = now["batches"][len(self._before["batches"]) :]
        return {
            "seconds": round(time.monotonic() - self._begun, 1),
            "batches": len(batches),
            "requests": sum(batch["size"] for batch in batches),
            "most_batches_in_the_queue": most_at_once([datetime.fromisoformat(one["created_at"]) for one in batches]),
            "creates_refused_with_429": sum(call["status"] == 429 for call in calls),
            "calls": len(calls),
        }


def most_at_once(created: Sequence[datetime]) -> int:
    """Return the largest number of batches in the queue at once, each for PROCESSING_SECONDS after its creation."""
    stay = timedelta(seconds=PROCESSING_SECONDS)
    return max((sum(one <= moment < one + stay for one in created) for moment in created), default=0)


def main() -> int:
    """Measure, and print the figures."""
    os.environ.setdefault("ENRICHMENT_STACK_DIR", str(FOLDER / "stack"))
    folder = StackFolder.of_environment()
    with (
        processes.one_demo_at_a_time(folder),
        running_stack(folder, processing_seconds=PROCESSING_SECONDS, settings=SETTINGS) as stack,
        BackfillApi(stack) as api,
    ):
        found = _measure(api, stack, Emulator(stack.emulator_url, None))
    sys.stdout.write(f"{json.dumps(found)}\n")
    return 0


def _measure(api: BackfillApi, stack: Stack, emulator: Emulator) -> dict[str, Any]:
    limit = {"kind": "queue_limit", "batches": QUEUE_BATCHES, "retry_after": 20}
    rejected = {"kind": "http_error", "status": 403, "message": "No.", "after": REJECTED_CREATE, "times": 1}
    while not api.has_dag(DAG):
        time.sleep(1)
    api.unpause(DAG)

    emulator.set_faults([limit, rejected])
    with _watched(emulator) as forwards:
        api.backfill(reprocess="none")
        _expect(api.finish(), success=len(DAYS) - 1, failed=1)
    _expect_order(api, [str(day) for day in DAYS])

    emulator.set_faults([limit])
    with _watched(emulator) as failed_again:
        api.backfill(reprocess="failed")
        _expect(api.finish(), success=len(DAYS))
    published = {str(day): _manifest(stack, day) for day in DAYS}
    costs = _costs(stack)
    of_days = {
        day: sum((costs[batch] for batch in set(manifest.batches) - set(manifest.reused)), Decimal(0))
        for day, manifest in published.items()
    }

    with _watched(emulator) as backwards:
        backfill = api.backfill(reprocess="completed", backwards=True)
        api.until_ended(len(DAYS) // 3)
        api.set_paused(backfill, True)
        left = api.until_idle()
        time.sleep(PAUSE_SECONDS)
        if api.states() != left or not left["queued"]:
            raise UnexpectedResult(f"A paused backfill continued: {dict(left)}, then {dict(api.states())}")
        api.set_paused(backfill, False)
        _expect(api.finish(), success=len(DAYS))
    _expect_order(api, [str(day) for day in reversed(DAYS)])
    changed = [day for day in DAYS if _manifest(stack, day).sha256 != published[str(day)].sha256]
    bills = emulator.bills()
    if changed or bills["billed_twice"] or sum(of_days.values()) != sum(costs.values()):
        raise UnexpectedResult(f"Changed: {changed}; billed twice: {bills['billed_twice']}; {of_days} is not {costs}")
    return {
        "days": len(DAYS),
        "rows": sum(manifest.rows for manifest in published.values()),
        "rejected": sum(manifest.rejected for manifest in published.values()),
        "forwards": forwards,
        "the failed day again": failed_again,
        "backwards, paused once": backwards,
        "billed_requests": bills["requests"],
        "cost_of_the_days_usd": float(sum(of_days.values())),
        "cost_of_all_batches_usd": float(sum(costs.values())),
    }


@contextmanager
def _watched(emulator: Emulator) -> Iterator[dict[str, float]]:
    watch, figures = Watch(emulator), dict[str, float]()
    yield figures
    figures.update(watch.figures())
    sys.stderr.write(f"{figures}\n")


def _expect(found: Counter[str], **states: int) -> None:
    if dict(found) != states:
        raise UnexpectedResult(f"The runs ended as {dict(found)}; expected {states}")


def _expect_order(api: BackfillApi, days: Sequence[str]) -> None:
    """Check that the first runs to start were those of the first days."""
    started = sorted(api.runs().items(), key=lambda run: str(run[1]["start_date"]))
    first = [day for day, _ in started[:ACTIVE_RUNS]]
    if sorted(first) != sorted(days[:ACTIVE_RUNS]):
        raise UnexpectedResult(f"The first days to start were {first}; expected {list(days[:ACTIVE_RUNS])}")


def _manifest(stack: Stack, day: Partition) -> Manifest:
    found = published_day.read_published(stack, DAG, day)
    if found is None:
        raise UnexpectedResult(f"{day} is not published")
    return found.manifest


def _costs(stack: Stack) -> dict[str, Decimal]:
    """Return the cost of each batch in the result store."""
    lake = published_day.stack_lake(stack)
    return {layout.batch_id_of(key): _cost(lake.read(key)) for key in lake.list(layout.results_folder(DAG))}


def _cost(results: bytes) -> Decimal:
    table = pq.read_table(io.BytesIO(results), columns=BILLED_COLUMNS)
    return sum(costs_usd(table).to_pylist(), Decimal(0))


if __name__ == "__main__":
    sys.exit(main())
