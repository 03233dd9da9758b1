"""
Both stages of the sample through the embedded stack: 200 tickets are sorted in batches, and as soon as their table is
published an agent acts on those that are flagged, with the warehouse and the refunds service.

The emulator answers: a batch takes BATCH_SECONDS and a call CALL_SECONDS, which are assumptions. ``python -m
tests.benchmarks.two_stages`` prints one JSON object as the last line of stdout; gantt.py draws it.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx2

from include.cli.output import published_day
from include.enrichment.answers.manifest import Manifest
from include.enrichment.runs.partition import Partition
from include.gateways.usage_store import UsageStore
from include.stack import processes
from include.stack.folder import ROOT, StackFolder
from include.stack.sample_products import load_sample
from include.stack.sample_tickets.tickets import DAY, TICKETS, accuracy_faults
from include.stack.stack import Stack
from tests.benchmarks.contender import FOLDER
from tests.benchmarks.spans import Task
from tests.benchmarks.whole_run import (
    SETTINGS,
    NotPublished,
    RunApi,
    as_figures,
    finish,
    seconds_of,
    stack_folder,
    stack_with,
)
from tests.fixtures.emulator import Emulator

STAGES = ("tickets", "ticket_actions")
BATCH_SECONDS = 20.0
CALL_SECONDS = 1.0
#: How long the second stage may take to begin after the first has published.
_BEGIN_SECONDS = 120


class UnexpectedResult(Exception):
    """A ticket is missing, something was paid or done twice, or the books differ from the bill."""


def main() -> int:
    """Measure, and print the figures."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # through every __exit__
    here = FOLDER / "two-stages"
    shutil.rmtree(here, ignore_errors=True)
    (dags := here / "dags").mkdir(parents=True)
    for stage in STAGES:
        # Without the night that Airflow would catch up with: only the triggered day runs.
        text = (ROOT / f"dags/{stage}.py").read_text(encoding="utf-8").replace("schedule=MIDNIGHT", "schedule=None")
        (dags / f"{stage}.py").write_text(text, encoding="utf-8")
    load_sample(database := here / "warehouse.db", partition=str(DAY))
    folder = stack_folder()
    settings = {**SETTINGS, "AIRFLOW__CORE__DAGS_FOLDER": str(dags)}
    with (
        processes.one_demo_at_a_time(folder),
        stack_with(folder, database, dags=STAGES, settings=settings, processing_seconds=BATCH_SECONDS) as stack,
        RunApi(stack) as api,
    ):
        slow = {"kind": "slow", "on": "messages", "seconds": CALL_SECONDS}
        Emulator(stack.emulator_url, None).set_faults([*accuracy_faults(), slow])
        found = _run(api, stack, folder)
    sys.stdout.write(f"{json.dumps(found)}\n")
    return 0


def _run(api: RunApi, stack: Stack, folder: StackFolder) -> dict[str, Any]:
    triggered_at = datetime.now(UTC)
    runs = {"tickets": api.trigger("tickets", {"partition": str(DAY)})}
    finish(api, folder, "tickets", runs["tickets"])
    runs["ticket_actions"] = _begun(api)
    finish(api, folder, "ticket_actions", runs["ticket_actions"])
    first, second = (api.tasks(stage, runs[stage], triggered_at) for stage in STAGES)
    published = max(span.end for task in first for span in task.spans)
    tasks = [*first, *(_not_before(published, task) for task in second)]
    sorted_day, acted = (_manifest(stack, stage) for stage in STAGES)
    refunds = _refunds(stack)
    bills = Emulator(stack.emulator_url, None).bills()
    _check(stack, sorted_day, acted, refunds, bills)
    return {
        "of": "tickets from trigger to both tables",
        "rows": sorted_day.rows,
        "published": sorted_day.published + acted.published,
        "rejected": sorted_day.rejected + acted.rejected,
        "batches": len(sorted_day.batches),
        "seconds": max(span.end for task in tasks for span in task.spans),
        "flagged": acted.rows,
        "refunds": len(refunds),
        "calls": sum(call["path"].startswith("/v1/messages") for call in _calls(stack)),
        "billed_usd": float(bills["usd"]),
        "seconds_of": seconds_of(tasks),
        "tasks": [as_figures(task) | {"task": f"both.{task.task_id}"} for task in tasks],
    }


def _not_before(start: float, task: Task) -> Task:
    """Return the task without a wait before ``start``: the first of the second stage has waited for the table only."""
    spans = [replace(span, start=max(span.start, start)) for span in task.spans]
    return replace(task, spans=spans)


def _begun(api: RunApi) -> str:
    """Return the run of the second stage that the table of the first has started."""
    deadline = time.monotonic() + _BEGIN_SECONDS
    while not (found := api.run_ids("ticket_actions")):
        if time.monotonic() > deadline:
            raise NotPublished(f"ticket_actions has not begun {_BEGIN_SECONDS} s after tickets was published")
        time.sleep(0.5)
    return found[0]


def _manifest(stack: Stack, stage: str) -> Manifest:
    published = published_day.read_published(stack, stage, Partition(start=DAY))
    if published is None:
        raise NotPublished(f"{stage} has no manifest of {DAY}")
    return published.manifest


def _refunds(stack: Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx2.get(f"{stack.refunds_url}/refunds", trust_env=False).json()["refunds"]
    return found


def _calls(stack: Stack) -> list[dict[str, Any]]:
    calls = Emulator(stack.emulator_url, None).log()["calls"]
    return [call for call in calls if "batches" not in call["path"] and "count_tokens" not in call["path"]]


def _check(
    stack: Stack, sorted_day: Manifest, acted: Manifest, refunds: list[dict[str, Any]], bills: dict[str, Any]
) -> None:
    today = datetime.now(UTC).date()
    records = UsageStore(published_day.stack_lake(stack)).read(today, today).to_pylist()
    booked = sum((record["cost_usd"] for record in records), Decimal(0))
    keys = Counter(refund["idempotency_key"] for refund in refunds)
    facts = {
        "tickets sorted": sorted_day.published == TICKETS,
        "each flagged ticket has a row": acted.published + acted.rejected == acted.rows,
        "each refund is filed once": set(keys.values()) <= {1},
        "each refund is requested once": {refund["requests"] for refund in refunds} <= {1},
        "books are the bill": booked == Decimal(bills["usd"]),
        "nothing is billed twice": not bills["billed_twice"],
    }
    if wrong := [fact for fact, holds in facts.items() if not holds]:
        raise UnexpectedResult(f"Not true: {wrong}. Booked {booked}, billed {bills['usd']}, {len(refunds)} refunds.")


if __name__ == "__main__":
    sys.exit(main())
