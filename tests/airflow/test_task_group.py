from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.gateways.lake import Lake
from tests.fixtures.emulator import Emulator
from tests.fixtures.flow import write_pipeline, write_tickets

DAG = """
from datetime import UTC, datetime
from airflow.sdk import dag
from claude_batch.params import PARTITION
from claude_batch.task_group import enrich

@dag(schedule=None, start_date=datetime(2026, 11, 1, tzinfo=UTC), params=PARTITION)
def tickets():
    enrich("tickets", deferrable=DEFERRABLE, poke_interval=1)

tickets()
"""
DAY = {"partition": "2026-11-01"}


def write_dag(folder: Path, *, deferrable: bool = True) -> Path:
    path = folder / "dags" / "tickets.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(DAG.replace("DEFERRABLE", str(deferrable)))
    return path


def states(run: Any) -> dict[str, str]:
    return {
        f"{task.task_id.removeprefix('tickets.')}{[task.map_index] if task.map_index >= 0 else ''}": str(task.state)
        for task in run.get_task_instances()
    }


@pytest.fixture
def lake(connections: pytest.MonkeyPatch) -> Lake:
    from claude_batch.connections import open_lake

    return open_lake("aws_default")


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_partition_goes_from_the_warehouse_to_the_lake(
    run_dag: Callable[..., Any], lake: Lake, tmp_path: Path, emulator: Emulator, deferrable: bool
) -> None:
    emulator.set_faults([{"kind": "duration", "seconds": 2}])
    run = run_dag(write_dag(tmp_path, deferrable=deferrable), run_conf=DAY)
    assert run.state == "success"
    assert states(run) == dict.fromkeys(
        ["extract", "main.plan", "main.chunk.submit[0]", "main.chunk.wait[0]", "main.chunk.load[0]", "publish"],
        "success",
    )
    assert lake.exists("tables/tickets/dt=2026-11-01/data.parquet")
    assert lake.exists("manifests/tickets/dt=2026-11-01.json")


def test_each_chunk_flows_on_by_itself(
    run_dag: Callable[..., Any], lake: Lake, tmp_path: Path, emulator: Emulator
) -> None:
    yaml = "{model: claude-haiku-5-5, max_tokens: 200}\nlimits: {batch_requests: 1}\n"
    write_pipeline(
        tmp_path / "pipelines" / "tickets",
        pipeline_yaml=f"source: {{connection: warehouse, key: [ticket]}}\nrequest: {yaml}",
    )
    run = run_dag(write_dag(tmp_path), run_conf=DAY)
    assert run.state == "success"
    assert [task for task, state in sorted(states(run).items()) if "load" in task and state == "success"] == [
        f"main.chunk.load[{number}]" for number in range(3)
    ]
    assert len(emulator.batches_made()) == 3
    assert len(lake.list("results/tickets/")) == 3


def test_a_partition_without_rows_is_published_empty(run_dag: Callable[..., Any], lake: Lake, tmp_path: Path) -> None:
    run = run_dag(write_dag(tmp_path), run_conf={"partition": "2025-01-01"})
    assert run.state == "success"
    assert states(run)["publish"] == "success"
    assert lake.exists("tables/tickets/dt=2025-01-01/data.parquet")


def test_a_second_run_of_a_partition_pays_nothing(
    run_dag: Callable[..., Any], lake: Lake, tmp_path: Path, emulator: Emulator
) -> None:
    run_dag(write_dag(tmp_path), run_conf=DAY)
    before = lake.read("tables/tickets/dt=2026-11-01/data.parquet")
    assert run_dag(write_dag(tmp_path), run_conf=DAY).state == "success"
    assert lake.read("tables/tickets/dt=2026-11-01/data.parquet") == before
    assert len(emulator.creates()) == 1


def test_a_wait_past_the_apis_24_hours_ends_and_the_finished_rows_are_loaded(
    run_dag: Callable[..., Any], lake: Lake, tmp_path: Path, emulator: Emulator
) -> None:
    write_tickets(tmp_path / "warehouse.db", [(f"N{number}", f"Ticket {number}") for number in range(40)])
    emulator.set_faults([{"kind": "duration", "seconds": 90_000}, {"kind": "unfinished", "share": 0.3}])
    from threading import Timer

    past_midnight = Timer(6, emulator.advance_clock, [86_500])
    past_midnight.start()
    run = run_dag(write_dag(tmp_path), run_conf=DAY)
    past_midnight.join()
    assert states(run)["main.chunk.load[0]"] == "success"
    assert (run.state, states(run)["publish"]) == ("failed", "failed")
    assert not lake.exists("tables/tickets/dt=2026-11-01/data.parquet")
    (results,) = lake.list("results/tickets/")
    assert lake.read(results)


def test_a_wait_that_gives_up_fails_and_what_has_ended_since_is_still_loaded(
    run_dag: Callable[..., Any], lake: Lake, tmp_path: Path, emulator: Emulator
) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "retrieve", "status": 401, "times": 1}])
    run = run_dag(write_dag(tmp_path), run_conf=DAY)
    found = states(run)
    assert (found["main.chunk.wait[0]"], found["main.chunk.load[0]"]) == ("failed", "success")
    assert lake.exists("tables/tickets/dt=2026-11-01/data.parquet")


def test_after_a_submit_that_failed_nothing_is_loaded_or_published(
    run_dag: Callable[..., Any], lake: Lake, tmp_path: Path, emulator: Emulator
) -> None:
    emulator.set_faults([{"kind": "reset_after_create"}])
    run = run_dag(write_dag(tmp_path), run_conf=DAY)
    found = states(run)
    assert found["main.chunk.submit[0]"] == "failed"
    assert found["main.chunk.wait[0]"] == "upstream_failed"
    assert found["main.chunk.load[0]"] == "failed"
    assert found["publish"] == "upstream_failed"
    assert lake.list("tables/") == lake.list("results/") == []
