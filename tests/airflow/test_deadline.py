"""deadline.py: which runs have a deadline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from claude_batch.deadline import ScheduledDay

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
LONG, PAST = timedelta(days=2), timedelta(0)


def due(session: Session, run_type: str, interval: timedelta) -> datetime | None:
    """Return when a new run of the day from MIDNIGHT is due, evaluated as Airflow does with a stored reference."""
    from airflow.models.dagrun import DagRun
    from airflow.serialization.decoders import decode_deadline_reference
    from airflow.serialization.encoders import encode_deadline_reference
    from airflow.utils.types import DagRunType

    run: Any = DagRun(
        dag_id="nights",
        run_id=f"{run_type}__1",
        run_type=DagRunType(run_type),
        logical_date=MIDNIGHT,
        data_interval=(MIDNIGHT, MIDNIGHT + timedelta(days=1)),
        run_after=MIDNIGHT + timedelta(days=1),
    )
    session.add(run)
    session.flush()
    stored = decode_deadline_reference(encode_deadline_reference(ScheduledDay(interval=interval)))
    found: datetime | None = stored.evaluate_with(
        session=session, interval=interval, dag_id=run.dag_id, run_id=run.run_id
    )
    return found


def test_a_scheduled_run_is_due_one_interval_after_the_start_of_its_day(session: Session) -> None:
    assert due(session, "scheduled", LONG) == MIDNIGHT + LONG


def test_a_night_that_is_already_late_has_no_deadline(session: Session) -> None:
    assert due(session, "scheduled", PAST) is None


@pytest.mark.parametrize("run_type", ["manual", "backfill"])
def test_manual_runs_and_backfilled_days_have_no_deadline(session: Session, run_type: str) -> None:
    assert due(session, run_type, LONG) is None
