"""run_operator.py: which partition a task works on, and what its label says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from claude_batch.connections.gateways import open_lake
from include.enrichment.errors import PartitionError
from include.steps.files.extracted import read_extracted
from tests.airflow.test_operators import context, extract
from tests.fixtures.flow import FILES, write_pipeline


@pytest.mark.parametrize(("partition", "warned"), [(None, True), ("2026-11-01", False)])
def test_an_interval_that_starts_during_the_day_is_a_warning_if_it_decides_the_partition(
    connections: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], partition: str | None, warned: bool
) -> None:
    extract().execute(context(partition, data_interval_start=datetime(2026, 11, 1, 2, tzinfo=UTC)))
    warning = "[warning  ] The run's data interval begins at 2026-11-01 02:00:00 UTC, not at midnight"
    assert (warning in capsys.readouterr().out) is warned


def test_a_run_without_a_partition_fails_and_says_how_to_name_one(connections: pytest.MonkeyPatch) -> None:
    with pytest.raises(AirflowFailException, match='"partition": "2026-11-21"'):
        extract().execute(context(None))


def test_the_label_of_a_failed_task_has_the_cause(connections: pytest.MonkeyPatch) -> None:
    task = extract()
    with pytest.raises(AirflowFailException):
        task.execute(context(None))
    assert task.headline.startswith("failed: The run has no partition")
    connections.delenv("ENRICHMENT_LAKE")
    with pytest.raises(AirflowFailException):
        task.execute(context())
    assert task.headline.startswith("2026-11-01 · failed: ENRICHMENT_LAKE is not set")


def test_the_operators_partition_overrides_the_runs(connections: pytest.MonkeyPatch) -> None:
    folder = extract(partition="2026-11-05").run_folder(context("2026-11-01"))
    assert str(folder.partition) == "2026-11-05"


def test_a_run_that_publishes_have_triggered_reads_the_day_that_they_name(connections: pytest.MonkeyPatch) -> None:
    def triggered(*extras: object) -> Any:
        return context(None) | {"triggering_asset_events": {"an asset": [SimpleNamespace(extra=one) for one in extras]}}

    named = {"partition": "2026-11-05"}
    assert str(extract().run_folder(triggered(named, None, {}, named)).partition) == "2026-11-05"
    with pytest.raises(PartitionError, match="a run reads one: 2026-11-05, 2026-11-06"):
        extract().run_folder(triggered(named, {"partition": "2026-11-06"}))
    with pytest.raises(PartitionError, match="no asset event that names one"):
        extract().run_folder(triggered({}))


@pytest.mark.parametrize(("run_type", "has_one"), [("scheduled", True), ("manual", False)])
def test_extract_stores_the_deadline_of_a_scheduled_run(
    connections: pytest.MonkeyPatch, tmp_path: Path, run_type: str, has_one: bool
) -> None:
    yaml = FILES["pipeline.yaml"] + "limits: {deadline: '05:30'}\n"
    write_pipeline(tmp_path / "pipelines" / "tickets", pipeline_yaml=yaml)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    task, run = extract(), context(run_type=run_type, run_after=midnight)
    task.execute(run)
    stored = read_extracted(open_lake("aws_default"), task.run_folder(run))
    assert stored.deadline == (midnight + timedelta(hours=5, minutes=30) if has_one else None)
