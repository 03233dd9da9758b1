"""The deadline of a night: for the scheduled run of that night and for no other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.deadline import BaseDeadlineReference

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(eq=False)
class ScheduledDay(BaseDeadlineReference):
    """
    The moment a scheduled run's day began, for a deadline that is still ahead when the run is made.

    A run by hand, a backfilled day and a night that the scheduler catches up with later have no deadline: nobody waits
    for them until a fixed hour, and Airflow would show them as missed from the start.

    :param interval: of the DeadlineAlert that this is the reference of: how long after its day's start a run is due
    """

    interval: timedelta = timedelta()

    required_kwargs = frozenset({"dag_id", "run_id"})

    def serialize_reference(self) -> dict[str, Any]:
        """Return what Airflow stores of it."""
        return {**super().serialize_reference(), "interval_seconds": self.interval.total_seconds()}

    @classmethod
    def deserialize_reference(cls, reference_data: dict[str, Any]) -> ScheduledDay:
        """Return what serialize_reference() was called on."""
        return cls(interval=timedelta(seconds=reference_data["interval_seconds"]))

    def _evaluate_with(self, *, session: Session, dag_id: str, run_id: str) -> datetime | None:
        """Return when the run's day began, or None for a run without a deadline. Airflow calls it for a new run."""
        from airflow.models.dagrun import DagRun
        from sqlalchemy import select

        chosen = select(DagRun.data_interval_start).where(
            DagRun.dag_id == dag_id, DagRun.run_id == run_id, DagRun.run_type == "scheduled"
        )
        began = session.scalar(chosen)
        return began if began and datetime.now(UTC) < began + self.interval else None
