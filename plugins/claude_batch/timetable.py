"""The timetable of the nightly Dags: the id of a run says the day that the run is about."""

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
    CronDataIntervalTimetable with run ids that say the day on which the data interval starts, and not the moment at
    which it is over: ``scheduled__2026-11-10``, ``backfill__2026-11-10T00:00:00+00:00``.

    A manual run keeps the id that Airflow gives it, with the moment it was triggered: its day may be a param, which
    the timetable does not know. So does a run whose interval is not made of whole days of UTC.
    """

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Return the next run. Where its day is over by now, it may start from the start of that day on."""
        info = super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )
        if info and info.data_interval and info.data_interval.end <= datetime.now(UTC):
            # Airflow names a run of a backfill by this moment, and asks no timetable for the name.
            return info._replace(run_after=info.data_interval.start)
        return info

    def generate_run_id(
        self, *, run_type: DagRunType, run_after: DateTime, data_interval: DataInterval | None, **extra: Any
    ) -> str:
        """Return the id of a run that the scheduler makes, or a person."""
        if run_type == "scheduled" and data_interval and _is_days(data_interval):
            return run_type.generate_run_id(suffix=f"{data_interval.start.astimezone(UTC):%Y-%m-%d}")
        return super().generate_run_id(run_type=run_type, run_after=run_after, data_interval=data_interval, **extra)


def _is_days(interval: DataInterval) -> bool:
    """Whether no other interval begins on the same day of UTC."""
    starts_at = interval.start.astimezone(UTC).time()
    return starts_at == time.min and interval.end - interval.start >= timedelta(days=1)
