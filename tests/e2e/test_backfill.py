"""A backfill as the UI starts it, on the stack as the demo starts it, while the demo's own run is going on."""

from __future__ import annotations

import re

import httpx2

from include.cli.demo import PARTITION, PIPELINE
from include.cli.output.published_day import read_published
from include.enrichment.runs.partition import resolve_partition
from include.stack.airflow_api import AirflowApi
from include.stack.folder import StackFolder
from tests.fixtures.stack import running_demo

DAYS = [f"2026-11-0{day}" for day in range(1, 6)]
#: Far beyond what anything here takes on a machine that has other work, too.
PATIENCE_SECONDS = 900
#: What Airflow logs when it answers that it cannot, and when it ends a task that it takes for dead.
TROUBLE = r"status_code=5\d\d|Too many failed heartbeats|task instance without a heartbeat"


def backfilled(api: AirflowApi) -> list[str]:
    """The states of the days' runs."""
    runs = [run_id for run_id in api.run_ids(PIPELINE) if run_id.startswith("backfill")]
    return [api.run_state(PIPELINE, run_id) for run_id in runs]


def test_five_days_are_published_and_paid_once_and_airflow_neither_refuses_nor_kills(stack_folder: StackFolder) -> None:
    with running_demo(stack_folder, "--processing-seconds", "1") as demo:
        demo.wait_for(lambda: "extract                  running" in demo.said(), seconds=PATIENCE_SECONDS)
        stack = demo.stack()
        assert stack.no_postgres == ""
        with AirflowApi(stack) as api:
            api.start_backfill(PIPELINE, DAYS[0], DAYS[-1])
            assert "the run has ended" not in demo.said()

            def ended() -> bool:
                states = backfilled(api)
                assert "failed" not in states, demo.said()
                return states == ["success"] * len(DAYS)

            demo.wait_for(ended, seconds=PATIENCE_SECONDS)
        demo.wait_for(lambda: "The stack stays up" in demo.said(), seconds=PATIENCE_SECONDS)
        assert "exactly once" in demo.said()

        published = [
            read_published(stack, PIPELINE, resolve_partition(param=day, partition_key=None, data_interval_start=None))
            for day in [*DAYS, PARTITION]
        ]
        assert [bool(one and one.manifest.published) for one in published] == [True] * (len(DAYS) + 1)
        bills = httpx2.get(f"{stack.emulator_url}/_emulator/bills", timeout=60, trust_env=False).json()
        assert bills["billed_twice"] == 0
        assert bills["requests"] >= sum(one.manifest.requests for one in published if one)

        logs = "\n".join(
            file.read_text(encoding="utf-8", errors="replace")
            for folder in (stack_folder.logs, stack_folder.airflow_home / "logs")
            for file in folder.rglob("*.log*")
        )
        assert re.findall(rf".*(?:{TROUBLE}).*", logs) == []
        assert demo.end() == 0
