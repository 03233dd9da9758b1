"""timetable.py: the ids of runs."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pendulum
import pytest
from airflow.timetables.base import DataInterval, TimeRestriction
from airflow.utils.types import DagRunType
from starlette.testclient import TestClient

from claude_batch.timetable import DayTimetable
from tests.airflow.conftest import login_as

ROOT = Path(__file__).parents[2]
DAY = pendulum.datetime(2026, 11, 10)
MIDNIGHT = DayTimetable("0 0 * * *", timezone="UTC")


def run_id(run_type: DagRunType, interval: DataInterval | None) -> str:
    return MIDNIGHT.generate_run_id(run_type=run_type, run_after=DAY.add(days=1), data_interval=interval)


def test_a_scheduled_run_is_named_after_its_day() -> None:
    found = run_id(DagRunType.SCHEDULED, DataInterval(DAY, DAY.add(days=1)))
    assert found == "scheduled__2026-11-10"
    assert DagRunType.from_run_id(found) == DagRunType.SCHEDULED


def test_a_backfill_run_is_named_after_its_day(api: TestClient) -> None:
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    with create_session() as session:
        session.merge(DagBundleModel(name="project"))
    sync_bag_to_db(DagBag(dag_folder=ROOT / "dags"), "project", None)
    days = {"from_date": "2026-11-10T00:00:00Z", "to_date": "2026-11-11T00:00:00Z"}
    made = api.post("/api/v2/backfills", headers=login_as("admin"), json={"dag_id": "catalogue", **days})
    assert made.status_code == 200, made.text
    found = api.get("/api/v2/dags/catalogue/dagRuns?run_type=backfill", headers=login_as("admin")).json()["dag_runs"]
    assert sorted((run["dag_run_id"], run["data_interval_start"]) for run in found) == [
        (f"backfill__2026-11-{day}T00:00:00+00:00", f"2026-11-{day}T00:00:00Z") for day in (10, 11)
    ]


def test_the_next_night_starts_when_its_day_is_over() -> None:
    today = pendulum.today("UTC")
    before = DataInterval(today.subtract(days=1), today)
    anything = TimeRestriction(earliest=DAY, latest=None, catchup=True)
    info = MIDNIGHT.next_dagrun_info(last_automated_data_interval=before, restriction=anything)
    assert info is not None
    assert (info.data_interval, info.run_after) == (DataInterval(today, today.add(days=1)), today.add(days=1))


def test_a_manual_run_keeps_airflows_id() -> None:
    found = run_id(DagRunType.MANUAL, DataInterval(DAY, DAY.add(days=1)))
    assert found == run_id(DagRunType.MANUAL, None) == "manual__2026-11-11T00:00:00+00:00"


@pytest.mark.parametrize(
    "interval", [DataInterval(DAY, DAY.add(hours=6)), DataInterval(DAY.add(hours=6), DAY.add(hours=30))]
)
def test_ids_stay_unique_if_several_intervals_start_on_a_day(interval: DataInterval) -> None:
    assert datetime.fromisoformat(run_id(DagRunType.SCHEDULED, interval).removeprefix("scheduled__"))


def test_it_survives_serialization() -> None:
    from airflow.serialization.decoders import decode_timetable
    from airflow.serialization.encoders import encode_timetable

    stored = decode_timetable(encode_timetable(MIDNIGHT))
    assert isinstance(stored, DayTimetable)
    assert stored.serialize() == MIDNIGHT.serialize()
