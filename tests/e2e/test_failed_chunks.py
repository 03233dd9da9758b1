"""A chunk that fails, on a real scheduler: it fails once, and the chunks beside it are loaded."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.stack.airflow_api import AirflowApi
from include.stack.folder import ROOT, StackFolder
from include.stack.stack import Stack
from tests.fixtures.emulator import Emulator
from tests.fixtures.stack import running_stack

#: Far beyond what anything here takes on a machine that has other work, too.
PATIENCE_SECONDS = 600
DAG = """
from datetime import UTC, datetime
from pathlib import Path
from airflow.sdk import dag
from claude_batch import operators
from claude_batch.task_group import enrich

pipelines.PIPELINES = Path(__file__).parents[1] / "pipelines"

@dag(schedule=None)
def catalogue():
    enrich()

catalogue()
"""


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    """The catalogue in chunks of 60 requests, without a canary, each task tried once."""
    source, pipeline = ROOT / "include" / "pipelines" / "catalogue", tmp_path / "pipelines" / "catalogue"
    pipeline.mkdir(parents=True)
    for file in source.glob("*.*"):
        (pipeline / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    settings = pipeline / "pipeline.yaml"
    settings.write_text(settings.read_text().replace("canary_rows: 5 ", "canary_rows: 0\n  batch_requests: 60 "))
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "catalogue.py").write_text(DAG, encoding="utf-8")
    return tmp_path / "dags"


@pytest.fixture
def stack(stack_folder: StackFolder, dags: Path) -> Iterator[Stack]:
    settings = {"AIRFLOW__CORE__DAGS_FOLDER": str(dags)}
    with running_stack(stack_folder, processing_seconds=1, settings=settings) as running:
        yield running


def ended(api: AirflowApi, partition: str) -> tuple[str, Counter[tuple[str, str | None]]]:
    """How a run of the partition ends: its state, and how many instances of each task ended how."""
    run_id = api.trigger("catalogue", {"partition": partition})
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (state := api.run_state("catalogue", run_id)) not in ("success", "failed"):
        assert time.monotonic() < deadline
        time.sleep(1)
    tasks = api.task_instances("catalogue", run_id)
    return state, Counter((task.task_id.removeprefix("catalogue."), task.state) for task in tasks)


def test_a_chunk_fails_once_and_the_others_are_loaded(stack: Stack) -> None:
    emulator = Emulator(stack.emulator_url, None)
    with AirflowApi(stack) as api:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not api.has_dag("catalogue"):
            assert time.monotonic() < deadline, api.import_errors()
            time.sleep(1)
        api.unpause("catalogue")

        emulator.set_faults([{"kind": "http_error", "on": "create", "status": 413, "times": 1}])
        state, tasks = ended(api, "2026-11-01")
        assert state == "failed"
        failed = {task: count for (task, how), count in tasks.items() if how == "failed"}
        assert failed == {"main.chunk.submit": 1}
        assert tasks["main.chunk.load", "upstream_failed"] == 1
        assert tasks["main.chunk.load", "success"] == tasks["main.chunk.submit", "success"] > 0
        assert tasks["publish", "upstream_failed"] == 1

        emulator.set_faults([{"kind": "http_error", "on": "retrieve", "status": 401, "times": 1}])
        state, tasks = ended(api, "2026-11-02")
        assert state == "success"
        failed = {task: count for (task, how), count in tasks.items() if how == "failed"}
        assert failed == {"main.chunk.wait": 1}
        assert tasks["main.chunk.load", "success"] == tasks["main.chunk.submit", "success"] > 1
