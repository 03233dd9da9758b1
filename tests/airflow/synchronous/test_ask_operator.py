"""ask_operator.py: the task that asks a pass's synchronous chunks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException, TaskDeferred

from claude_batch.synchronous.ask_operator import AskOperator
from include.enrichment.errors import NotYet
from include.enrichment.runs.partition import Partition
from include.enrichment.storage.layout import RunFolder
from include.steps import ask as ask_module
from tests.airflow.test_task_group import DAY, states, write_dag
from tests.fixtures.emulator import Emulator
from tests.fixtures.flow import FILES, write_pipeline


def test_a_synchronous_partition_is_published_without_a_batch(
    run_dag: Callable[..., Any], tmp_path: Path, emulator: Emulator
) -> None:
    yaml = FILES["pipeline.yaml"].replace("{model:", "{mode: synchronous, model:")
    write_pipeline(tmp_path / "pipelines" / "tickets", pipeline_yaml=f"{yaml}limits: {{canary_rows: 1}}\n")
    run = run_dag(write_dag(tmp_path), run_conf=DAY)
    assert run.state == "success", states(run)
    labels = {task.task_id: task.rendered_map_index for task in run.get_task_instances()}
    assert labels["tickets.main.ask"] == "2026-11-01 · 2 succeeded"
    assert {task: state for task, state in states(run).items() if task.endswith(".ask")} == {
        "canary.ask": "success",
        "main.ask": "success",
        "retry.ask": "skipped",
    }
    assert states(run)["main.chunk.submit"] == "skipped"
    assert emulator.batches_made() == []
    assert emulator.bills()["requests"] == 3


def test_a_killed_task_asks_nothing_more(connections: pytest.MonkeyPatch) -> None:
    folder = RunFolder(pipeline="tickets", partition=Partition(start=date(2026, 11, 1)), run_id="manual__1")
    connections.setattr(AskOperator, "run_folder", lambda *_: folder)
    task = AskOperator(task_id="ask", pipeline="tickets", pass_name="main")
    task.on_kill()  # before it has begun

    def killed(*_: object, stopping: threading.Event, **__: object) -> dict[str, int]:
        assert not stopping.is_set()
        task.on_kill()
        assert stopping.is_set()
        return {}

    connections.setattr(ask_module, "ask", killed)
    assert task.execute({"params": {}}) == {}


@pytest.mark.parametrize(("deferrable", "leaves"), [(True, TaskDeferred), (False, AirflowRescheduleException)])
def test_it_waits_without_a_worker(
    connections: pytest.MonkeyPatch, deferrable: bool, leaves: type[BaseException]
) -> None:
    again_at = datetime.now(UTC) + timedelta(hours=1)

    def not_yet(*_: object, **__: object) -> dict[str, int]:
        raise NotYet("The API asks for a pause.", again_at=again_at)

    connections.setattr(ask_module, "ask", not_yet)
    folder = RunFolder(pipeline="tickets", partition=Partition(start=date(2026, 11, 1)), run_id="manual__1")
    connections.setattr(AskOperator, "run_folder", lambda *_: folder)
    task = AskOperator(task_id="ask", pipeline="tickets", pass_name="main", deferrable=deferrable)
    with pytest.raises(leaves):
        task.execute({"params": {}})
