"""Each field of the trigger form, through a whole run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from claude_batch.ui import run_notes
from include.enrichment.cost.forecast import DryRun
from include.gateways.lake import Lake
from tests.airflow.test_task_group import DAY, states, write_dag
from tests.fixtures.emulator import Emulator
from tests.fixtures.flow import SCHEMA, write_pipeline

TABLE, REJECTS = (f"{name}/tickets/dt=2026-11-01/data.parquet" for name in ("tables", "rejects"))
PIPELINE = """\
source: {connection: warehouse, key: [ticket]}
request: {model: claude-haiku-5-5, other_models: [claude-sonnet-5-5], max_tokens: 200}
limits: {max_reject_ratio: 1}
"""
#: For what a run does in any pass.
ONE_PASS = PIPELINE.replace("{max_reject_ratio: 1}", "{max_reject_ratio: 1, canary_rows: 0, retry_passes: 0}")
Run = Callable[..., Any]


@pytest.fixture
def run(run_dag: Run, connections: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """A run of the tickets' Dag, triggered with the given fields."""
    write_pipeline(tmp_path / "pipelines" / "tickets", pipeline_yaml=PIPELINE)
    path = write_dag(tmp_path)
    return lambda **fields: run_dag(path, run_conf=DAY | fields)


@pytest.fixture
def run_one_pass(run: Run, tmp_path: Path) -> Run:
    """The same with a single pass."""
    write_pipeline(tmp_path / "pipelines" / "tickets", pipeline_yaml=ONE_PASS)
    return run


@pytest.fixture
def lake(connections: pytest.MonkeyPatch) -> Lake:
    from claude_batch.connections.gateways import open_lake

    return open_lake("aws_default")


def table(lake: Lake, key: str) -> pa.Table:
    return pq.read_table(pa.BufferReader(lake.read(key)))


def sizes(emulator: Emulator) -> list[int]:
    return [batch["size"] for batch in emulator.batches_made()]


def asset_events(run: Any) -> int:
    """Return the number of asset events that the run has sent."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    with create_session() as session:
        sent = select(func.count()).where(AssetEvent.source_run_id == run.run_id)
        return session.scalar(sent) or 0


def note(run: Any) -> str:
    """Return the run's note, written in a session like the scheduler's, which dag.test() does not have."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    listener = {"success": run_notes.on_dag_run_success, "failed": run_notes.on_dag_run_failed}[run.state]
    with create_session() as session:
        ended = session.get_one(DagRun, run.id)
        ended.dag = run.dag
        listener(ended, "what the scheduler says")
        session.expire(ended)
        return str(ended.note)


def test_rows_publishes_a_trial_that_a_full_run_does_not_pay_for_again(
    run_one_pass: Run, lake: Lake, emulator: Emulator
) -> None:
    trial = run_one_pass(rows=2)
    assert (trial.state, states(trial)["publish"]) == ("success", "success")
    assert asset_events(trial) == 0
    assert note(trial) == "2026-11-01 · trial of 2 · 2 published · less than $0.0001 (simulated)"
    assert not lake.exists(TABLE)
    (manifest,) = (key for key in lake.list("runs/") if key.endswith("/manifest.json"))
    assert json.loads(lake.read(manifest))["rows"] == 2
    full = run_one_pass()
    assert (full.state, states(full)["publish"]) == ("success", "success")
    assert asset_events(full) == 1
    assert table(lake, TABLE).num_rows == 3
    assert sizes(emulator) == [2, 1]


def test_dry_run_estimates_the_requests_and_skips_later_tasks(run: Run, lake: Lake, emulator: Emulator) -> None:
    ended = run(dry_run=True)
    found = states(ended)
    assert ended.state == "success"
    assert note(ended) == "2026-11-01 · dry run · 3 requests, $0.0002"
    assert {task for task, state in found.items() if state == "success"} == {"extract", "canary.plan"}
    assert {state for task, state in found.items() if task not in ("extract", "canary.plan")} == {"skipped"}
    (key,) = (key for key in lake.list("runs/") if key.endswith("/dry_run.json"))
    forecast = DryRun.model_validate_json(lake.read(key))
    assert {name: one.to_send for name, one in forecast.passes.items()} == {"canary": 3, "main": 0, "retry": 0}
    assert emulator.creates() == []
    assert lake.list("ledger/tickets/") == lake.list("chunks/") == []


def test_reuse_off_pays_for_every_row_again(run_one_pass: Run, emulator: Emulator) -> None:
    assert run_one_pass().state == run_one_pass(reuse=False).state == run_one_pass().state == "success"
    assert sizes(emulator) == [3, 3]


def test_budget_usd_skips_a_retry_that_would_exceed_it_and_the_run_publishes(
    run: Run, lake: Lake, emulator: Emulator, tmp_path: Path
) -> None:
    # All answers have the same length, so the second run costs as much as the first.
    urgent = {"urgent": {"type": "boolean", "description": "Whether it cannot wait."}}
    schema = json.dumps(SCHEMA | {"required": ["urgent"], "properties": urgent})
    write_pipeline(tmp_path / "pipelines" / "tickets", pipeline_yaml=PIPELINE, output_schema_json=schema)
    assert run().state == "success"  # later estimates know the length of answers
    emulator.set_faults([{"kind": "violates_schema", "match": "crashes"}])
    ended = run(reuse=False, budget_usd=float(emulator.billed_usd()) * 1.2)
    assert (ended.state, states(ended)["retry.plan"], states(ended)["publish"]) == ("success", "success", "success")
    assert sizes(emulator) == [3, 3]
    assert table(lake, REJECTS)["ticket"].to_pylist() == ["T2"]


def test_model_sends_all_rows_to_another_model(run_one_pass: Run, lake: Lake, emulator: Emulator) -> None:
    assert run_one_pass(model="claude-sonnet-5-5").state == "success"
    assert set(table(lake, TABLE)["_model"].to_pylist()) == {"claude-sonnet-5-5"}
    assert run_one_pass().state == "success"
    assert set(table(lake, TABLE)["_model"].to_pylist()) == {"claude-haiku-5-5"}
    assert sizes(emulator) == [3, 3]


def test_only_rejects_sends_one_more_repair_and_nothing_else(run: Run, lake: Lake, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "violates_schema", "match": "crashes"}])
    assert run().state == "success"
    assert table(lake, REJECTS)["ticket"].to_pylist() == ["T2"]
    emulator.set_faults([])
    assert run().state == "success"
    assert sizes(emulator) == [3, 1]
    assert run(only_rejects=True).state == "success"
    assert sizes(emulator) == [3, 1, 1]
    assert table(lake, TABLE)["ticket"].to_pylist() == ["T1", "T2", "T3"]
    assert table(lake, REJECTS).num_rows == 0


def test_an_unknown_field_ends_the_run_before_anything_is_read(run: Run, lake: Lake, emulator: Emulator) -> None:
    ended = run(row=2)
    assert (ended.state, states(ended)["extract"]) == ("failed", "failed")
    assert note(ended).startswith("2026-11-01 · failed at extract: Invalid params: 'row' is not known; did you mean")
    assert emulator.creates() == []
    assert lake.list("") == []


def test_the_note_of_a_failed_submit_has_its_reason(run: Run, emulator: Emulator) -> None:
    emulator.set_faults(
        [{"kind": "http_error", "on": "create", "status": 429, "error_code": "enforced_spend_limit_reached"}]
    )
    assert note(run()) == (
        "2026-11-01 · failed at canary.chunk.submit: Creating a batch failed: HTTP 429, rate_limit_error: Simulated"
        " failure; its log says what to do"
    )
