"""The timetable of the nightly Dags. Its run ids contain the day that a run processes."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from airflow.timetables.interval import CronDataIntervalTimetable

if TYPE_CHECKING:
    from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
    from airflow.utils.types import DagRunType
    from pendulum import DateTime


class DayTimetable(CronDataIntervalTimetable):
    """
    CronDataIntervalTimetable whose run ids name the start of the data interval instead of its end.

    Examples: ``scheduled__2026-11-10``, ``backfill__2026-11-10T00:00:00+00:00``. A manual run keeps Airflow's id, with
    the time it was triggered: its day may be a param, which the timetable does not see. A run whose interval does not
    consist of whole UTC days keeps Airflow's id too.
    """

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Return the next run. If its day is already over, its earliest start is the start of that day."""
        info = super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )
        if info and info.data_interval and info.data_interval.end <= datetime.now(UTC):
            # Airflow builds the id of a backfill run from this moment, without asking the timetable.
            return info._replace(run_after=info.data_interval.start)
        return info

    def generate_run_id(
        self, *, run_type: DagRunType, run_after: DateTime, data_interval: DataInterval | None, **extra: Any
    ) -> str:
        """Return the id of a scheduled or manual run."""
        if run_type == "scheduled" and data_interval and _is_days(data_interval):
            return run_type.generate_run_id(suffix=f"{data_interval.start.astimezone(UTC):%Y-%m-%d}")
        return super().generate_run_id(run_type=run_type, run_after=run_after, data_interval=data_interval, **extra)


def _is_days(interval: DataInterval) -> bool:
    """Return whether the interval starts at midnight UTC and lasts at least a day."""
    starts_at = interval.start.astimezone(UTC).time()
    return starts_at == time.min and interval.end - interval.start >= timedelta(days=1)
