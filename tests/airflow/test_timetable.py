"""timetable.py: the ids of runs."""

from __future__ import annotations

from datetime import datetime

import pendulum
import pytest
from airflow.timetables.base import DataInterval
from airflow.utils.types import DagRunType

from claude_batch.timetable import DayTimetable

DAY = pendulum.datetime(2026, 11, 10)
MIDNIGHT = DayTimetable("0 0 * * *", timezone="UTC")


def run_id(run_type: DagRunType, interval: DataInterval | None) -> str:
    return MIDNIGHT.generate_run_id(run_type=run_type, run_after=DAY.add(days=1), data_interval=interval)


@pytest.mark.parametrize(
    ("run_type", "expected"),
    [(DagRunType.SCHEDULED, "scheduled__2026-11-10"), (DagRunType.BACKFILL_JOB, "backfill__2026-11-10")],
)
def test_a_run_is_named_after_the_day_it_is_about(run_type: DagRunType, expected: str) -> None:
    found = run_id(run_type, DataInterval(DAY, DAY.add(days=1)))
    assert found == expected
    assert DagRunType.from_run_id(found) == run_type


def test_a_manual_run_whose_day_may_be_a_param_keeps_the_id_of_airflow() -> None:
    found = run_id(DagRunType.MANUAL, DataInterval(DAY, DAY.add(days=1)))
    assert found == run_id(DagRunType.MANUAL, None) == "manual__2026-11-11T00:00:00+00:00"


@pytest.mark.parametrize(
    "interval", [DataInterval(DAY, DAY.add(hours=6)), DataInterval(DAY.add(hours=6), DAY.add(hours=30))]
)
def test_where_several_intervals_may_begin_on_a_day_the_ids_stay_unique(interval: DataInterval) -> None:
    assert datetime.fromisoformat(run_id(DagRunType.SCHEDULED, interval).removeprefix("scheduled__"))


def test_it_is_the_same_after_it_was_stored_with_its_dag() -> None:
    from airflow.serialization.decoders import decode_timetable
    from airflow.serialization.encoders import encode_timetable

    stored = decode_timetable(encode_timetable(MIDNIGHT))
    assert isinstance(stored, DayTimetable)
    assert stored.serialize() == MIDNIGHT.serialize()
