"""The timetable of the nightly Dags: a run is named after the day it is about."""

from __future__ import annotations

from datetime import UTC, time, timedelta
from typing import TYPE_CHECKING, Any

from airflow.timetables.interval import CronDataIntervalTimetable

if TYPE_CHECKING:
    from airflow.timetables.base import DataInterval
    from airflow.utils.types import DagRunType
    from pendulum import DateTime


class DayTimetable(CronDataIntervalTimetable):
    """
    CronDataIntervalTimetable with run ids such as ``scheduled__2026-11-10`` and ``backfill__2026-11-10``: by the day on
    which the data interval starts, and not the moment after it at which the run may start.

    A manual run keeps the id that Airflow gives it, with the moment it was triggered: its day may be a param, which
    the timetable does not know. So does a run whose interval is not made of whole days of UTC.
    """

    def generate_run_id(
        self, *, run_type: DagRunType, run_after: DateTime, data_interval: DataInterval | None, **extra: Any
    ) -> str:
        """Return the run's id."""
        if run_type in ("scheduled", "backfill") and data_interval and _is_days(data_interval):
            return run_type.generate_run_id(suffix=f"{data_interval.start.astimezone(UTC):%Y-%m-%d}")
        return super().generate_run_id(run_type=run_type, run_after=run_after, data_interval=data_interval, **extra)


def _is_days(interval: DataInterval) -> bool:
    """Whether no other interval begins on the same day of UTC."""
    starts_at = interval.start.astimezone(UTC).time()
    return starts_at == time.min and interval.end - interval.start >= timedelta(days=1)
