"""The pipeline whose tools act on a file, and what its tasks are run with."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from claude_batch import pipelines
from claude_batch.operators import ExtractOperator, PlanOperator
from tests.fixtures.acting import write_acting_pipeline


@pytest.fixture
def acting(connections: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file that the tools act on."""
    write_acting_pipeline(pipelines.PIPELINES / "actions")
    connections.setenv("ACTS", str(tmp_path / "acts.jsonl"))
    return tmp_path / "acts.jsonl"


@pytest.fixture
def context() -> Any:
    run = dict.fromkeys(("partition_key", "data_interval_start", "run_after")) | {
        "run_id": "manual__1",
        "run_type": "manual",
    }
    ti = SimpleNamespace(try_number=1, max_tries=3, id="simulated")
    return {
        "params": {"partition": "2026-11-01"},
        "dag_run": SimpleNamespace(**run),
        "ti": ti,
        "task_instance": ti,
    }


@pytest.fixture
def planned(acting: Path, context: Any) -> Path:
    """The three tickets, extracted and planned, with refunds that a person approves."""
    write_acting_pipeline(pipelines.PIPELINES / "actions", ask_first=True)
    ExtractOperator(task_id="extract", pipeline="actions").execute(context)
    PlanOperator(task_id="plan", pipeline="actions", pass_name="main").execute(context)
    return acting
