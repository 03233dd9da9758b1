"""run_operator.py: which partition a task works on, and what its label says."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from airflow.sdk.exceptions import AirflowFailException

from tests.airflow.test_operators import context, extract


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
