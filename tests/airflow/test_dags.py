"""The Dags in dags/ and their shared settings in include/dag_defaults.py."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
from airflow.sdk import DAG
from airflow.timetables.base import TimeRestriction

from include import dag_defaults

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dags(airflow_db: None) -> dict[str, DAG]:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=ROOT / "dags")
    assert bag.import_errors == {}
    return dict(bag.dags)


def tasks(dags: dict[str, DAG]) -> Iterator[Any]:
    for dag in dags.values():
        yield from dag.tasks


def test_each_file_defines_the_dag_of_its_name(dags: dict[str, DAG]) -> None:
    assert sorted(dags) == sorted(path.stem for path in (ROOT / "dags").glob("*.py"))


def test_every_pool_of_a_task_is_in_pools_json(dags: dict[str, DAG]) -> None:
    pools = json.loads((ROOT / "config/pools.json").read_text())
    assert {task.pool for task in tasks(dags)} - {"default_pool"} == set(pools)
    # A wait is deferred while its batch is in the API's queue, so deferred tasks must hold a slot.
    assert all(pool["include_deferred"] and pool["slots"] > 0 for pool in pools.values())


def test_every_dag_scheduled_on_a_table_has_a_publisher(dags: dict[str, DAG]) -> None:
    published = {asset.uri for task in tasks(dags) for asset in task.outlets}
    conditions = [condition for dag in dags.values() if (condition := getattr(dag.timetable, "asset_condition", None))]
    assert conditions
    assert {asset.uri for condition in conditions for asset in getattr(condition, "objects", [condition])} <= published


def test_a_scheduled_run_processes_a_whole_day_and_a_manual_run_without_a_date_yesterday() -> None:
    timetable = dag_defaults.MIDNIGHT
    day = pendulum.datetime(2026, 11, 21)
    scheduled = timetable.next_dagrun_info(
        last_automated_data_interval=None, restriction=TimeRestriction(earliest=day, latest=None, catchup=True)
    )
    assert scheduled is not None
    assert scheduled.data_interval == (day, day.add(days=1))
    assert timetable.infer_manual_data_interval(run_after=day.add(days=1, hours=9)) == (day, day.add(days=1))


LATE: dict[str, Any] = {
    "dag_run": {"dag_id": "catalogue", "dag_run_id": "a run", "run_type": "scheduled", "state": "running"},
    "deadline": {"id": "1", "deadline_time": datetime(2026, 11, 22, 5, tzinfo=UTC)},
}


def test_a_late_run_is_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> None:
    asyncio.run(dag_defaults.report_late(context=LATE))
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "catalogue is late: run a run is still running at its deadline, 2026-11-22 05:00 UTC." in caplog.text


def failed_with(reason: str | None) -> dict[str, Any]:
    """Return the context of a Dag's failure callback after a task failed for this reason."""
    ti = SimpleNamespace(
        task_id="catalogue.publish", map_index=-1, log_url="http://airflow/runs/1", xcom_pull=lambda **_: reason
    )
    run = SimpleNamespace(run_id="a run", partition_key=None, data_interval_start=None)
    context = {"run_id": "a run", "dag": SimpleNamespace(dag_id="catalogue"), "reason": "task_failure"}
    return context | {"ti": ti, "dag_run": run, "params": {"partition": "2026-11-16"}}


def test_a_failed_run_is_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> None:
    dag_defaults.report_failure(failed_with("LoadError: 4 of 126 rows were rejected."))
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == (
        "catalogue 2026-11-16 failed at publish: LoadError: 4 of 126 rows were rejected. http://airflow/runs/1"
    )


def test_another_failure_is_logged_with_airflows_reason(caplog: pytest.LogCaptureFixture) -> None:
    dag_defaults.report_failure(failed_with(None))
    dag_defaults.report_failure({"run_id": "a run", "dag": SimpleNamespace(dag_id="catalogue"), "reason": "timed_out"})
    assert [record.getMessage() for record in caplog.records] == [
        "catalogue 2026-11-16 failed at publish: task_failure http://airflow/runs/1",
        "catalogue failed (run a run): timed_out",
    ]


@pytest.mark.parametrize(
    ("key", "begins", "day"),
    [
        ("2026-11-17", None, "2026-11-17"),
        (None, datetime(2026, 11, 18, tzinfo=UTC), "2026-11-18"),
        (None, None, "a run"),
    ],
)
def test_the_logged_day_is_the_runs_partition(
    caplog: pytest.LogCaptureFixture, key: str | None, begins: datetime | None, day: str
) -> None:
    run = SimpleNamespace(run_id="a run", partition_key=key, data_interval_start=begins)
    dag_defaults.report_failure(failed_with("why") | {"params": {"partition": None}, "dag_run": run})
    assert f"catalogue {day} failed at publish: why " in caplog.text
