"""The deadline reference of the nightly Dags: only scheduled runs have a deadline."""

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
    The start of a scheduled run's day, if the deadline is still ahead when the run is created.

    Manual runs, backfilled days and nights that the scheduler catches up with later have no deadline: nobody expects
    them by a fixed hour, and Airflow would show their deadline as missed from the start.

    :param interval: the interval of the DeadlineAlert: how long after the start of its day a run is due
    """

    interval: timedelta = timedelta()

    required_kwargs = frozenset({"dag_id", "run_id"})

    def serialize_reference(self) -> dict[str, Any]:
        """Return the fields that Airflow stores."""
        return {**super().serialize_reference(), "interval_seconds": self.interval.total_seconds()}

    @classmethod
    def deserialize_reference(cls, reference_data: dict[str, Any]) -> ScheduledDay:
        """Return the reference that serialize_reference() stored."""
        return cls(interval=timedelta(seconds=reference_data["interval_seconds"]))

    def _evaluate_with(self, *, session: Session, dag_id: str, run_id: str) -> datetime | None:
        """Return when the run's day began, None for a run without a deadline. Airflow calls this for each new run."""
        from airflow.models.dagrun import DagRun
        from sqlalchemy import select

        chosen = select(DagRun.data_interval_start).where(
            DagRun.dag_id == dag_id, DagRun.run_id == run_id, DagRun.run_type == "scheduled"
        )
        began = session.scalar(chosen)
        return began if began and datetime.now(UTC) < began + self.interval else None
