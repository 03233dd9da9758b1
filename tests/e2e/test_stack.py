"""The whole stack through its own commands: a real scheduler, real crashes, and nothing left behind."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import httpx2

from include.cli.demo import PARTITION, PIPELINE
from include.cli.output import published_day
from include.enrichment.runs.partition import resolve_partition
from include.stack import sample_products
from include.stack.airflow_api import AirflowApi
from include.stack.folder import StackFolder
from include.stack.processes import marked_processes
from tests.fixtures.stack import Demo, running_demo

WAIT = f"{PIPELINE}.canary.chunk.wait"
#: Far beyond what anything here takes on a machine that has other work, too.
PATIENCE_SECONDS = 1800
#: Answers that do not fit the schema, of those that the demo plants. One request more expires, and is not billed then.
REPAIRED = 3


def kill_and_await_another(demo: Demo, component: str) -> None:
    """SIGKILL a component as the out-of-memory killer would; supervisord starts it again."""
    killed = demo.pids(component)
    assert killed, f"no {component} runs"
    for pid in killed:
        with suppress(ProcessLookupError):  # it has ended by itself, as the first of them was its parent
            os.kill(pid, signal.SIGKILL)
    demo.wait_for(lambda: bool(demo.pids(component) - killed), seconds=PATIENCE_SECONDS)


def wait_states(api: AirflowApi, run_id: str) -> list[str | None]:
    return [task.state for task in api.task_instances(PIPELINE, run_id) if task.task_id == WAIT]


def test_two_runs_at_once_survive_the_death_of_triggerer_and_scheduler_and_pay_once(stack_folder: StackFolder) -> None:
    partition = resolve_partition(param=PARTITION, partition_key=None, data_interval_start=None)
    with running_demo(stack_folder, "--processing-seconds", "40") as demo:
        demo.wait_for(lambda: "submitted as msgbatch_" in demo.said(), seconds=PATIENCE_SECONDS)
        stack = demo.stack()
        with AirflowApi(stack) as api:
            run_id = next(run for run in api.run_ids(PIPELINE) if run.startswith("manual"))

            def only_waits() -> bool:
                slots = api.slots()  # the nightly run may wait, too, for its rows
                return wait_states(api, run_id) == ["deferred"] and not slots["running"] and not slots["queued"]

            demo.wait_for(only_waits, seconds=PATIENCE_SECONDS)
            for component in ("triggerer", "scheduler"):
                kill_and_await_another(demo, component)
            assert wait_states(api, run_id) == ["deferred"]
            beside = api.trigger(PIPELINE, {"partition": PARTITION})
            demo.wait_for(lambda: "The demo runs until" in demo.said(), seconds=PATIENCE_SECONDS)
            assert api.run_state(PIPELINE, run_id) == "success"
            demo.wait_for(lambda: api.run_state(PIPELINE, beside) in ("success", "failed"), seconds=PATIENCE_SECONDS)
            assert api.run_state(PIPELINE, beside) == "success"

        published = published_day.read_published(stack, PIPELINE, partition)
        assert published is not None
        assert published.manifest.run_id in (run_id, beside)
        bills = httpx2.get(f"{stack.emulator_url}/_emulator/bills", trust_env=False).json()
        assert bills["billed_twice"] == 0
        ours = [bill for bill in bills["bills"] if bill["id"] in published.manifest.batches]
        assert sum(bill["requests"] for bill in ours) == published.manifest.requests + REPAIRED
        assert published.manifest.published > 100
        assert published.manifest.rejected_by == {"invalid": 1}
        keys = sample_products.keys_of(stack_folder.warehouse, PARTITION)
        assert published_day.unaccounted(keys, published, "package") == []
        assert "exactly once" in demo.said()

        assert demo.end() == 0
        assert marked_processes(stack_folder) == []
        assert not stack_folder.stack_json.exists()
