"""run_notes.py: when a note is written, and when not. test_form.py tests the notes of whole runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from claude_batch.ui import run_notes

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

    from tests.fixtures.postgres import Database

DAY = datetime(2026, 11, 16, tzinfo=UTC)
OURS = SimpleNamespace(task_type="ExtractOperator", _task_module="claude_batch.operators", partition=None)
TEMPLATE = SimpleNamespace(**vars(OURS) | {"partition": "{{ ds }}"})
CHUNK = SimpleNamespace(task_type="LoadOperator", _task_module="claude_batch.operators")
FOREIGN = SimpleNamespace(task_type="ExtractOperator", _task_module="somebody.operators")


@pytest.fixture
def session(session: Session) -> Iterator[Session]:
    """Return a session that, as in the scheduler, must not be committed."""
    from airflow.utils.sqlalchemy import prohibit_commit

    with prohibit_commit(session):  # type: ignore[no-untyped-call]  # not annotated
        yield session


def new_run(session: Session, *tasks: object, **fields: Any) -> Any:
    from airflow.models.dagrun import DagRun
    from airflow.utils.types import DagRunType

    known: dict[str, Any] = {
        **{"dag_id": "catalogue", "run_id": "scheduled__1", "run_type": DagRunType.SCHEDULED, "conf": {}},
        **{"logical_date": DAY, "data_interval": (DAY, DAY + timedelta(days=1)), "run_after": DAY},
    }
    run: Any = DagRun(**known | fields)
    run.dag = SimpleNamespace(tasks=list(tasks), params={"partition": None})
    session.add(run)
    session.flush()
    return run


def note(session: Session, run: Any) -> str | None:
    session.refresh(run)
    found: str | None = run.note
    return found


def begin(run: Any) -> None:
    run_notes.on_dag_run_running(run, "started")


def test_a_run_that_starts_notes_its_day_and_its_options(session: Session) -> None:
    run = new_run(session, FOREIGN, CHUNK, OURS)
    begin(run)
    assert note(session, run) == "2026-11-16 · running"
    by_hand = new_run(session, OURS, run_id="manual__1", logical_date=None, data_interval=None)
    by_hand.conf = {"partition": "2026-11-02", "rows": 10}
    begin(by_hand)
    assert note(session, by_hand) == "2026-11-02 · trial of 10 · running"


def test_a_failure_without_a_failed_task_notes_airflows_reason(session: Session) -> None:
    run = new_run(session, OURS)
    begin(run)
    run_notes.on_dag_run_failed(run, "timed_out")
    assert note(session, run) == "2026-11-16 · failed: timed out"


def test_a_cleared_run_is_noted_as_running_again(session: Session) -> None:
    run = new_run(session, OURS)
    begin(run)
    run_notes.on_dag_run_success(run, "success")
    assert note(session, run) == "2026-11-16"
    begin(run)
    assert note(session, run) == "2026-11-16 · running"


@pytest.mark.parametrize("author", ["anna", None])
def test_a_persons_note_stays(session: Session, author: str | None) -> None:
    run = new_run(session, OURS)
    run.note = ("look at this", author)
    session.flush()
    begin(run)
    run_notes.on_dag_run_success(run, "success")
    assert note(session, run) == "look at this"


def test_a_persons_note_that_replaced_ours_stays(session: Session) -> None:
    run = new_run(session, OURS)
    begin(run)
    session.refresh(run)
    run.dag_run_note.content, run.dag_run_note.user_id = "look at this", "anna"
    session.flush()
    run_notes.on_dag_run_success(run, "success")
    assert note(session, run) == "look at this"


def test_a_run_without_our_operators_gets_no_note(session: Session) -> None:
    run = new_run(session, FOREIGN, CHUNK)
    begin(run)
    assert note(session, run) is None


@pytest.mark.parametrize(
    ("task", "conf"),
    [
        (TEMPLATE, {}),
        (OURS, {"partition": "yesterday"}),
    ],
)
def test_an_unknown_day_is_not_guessed(session: Session, task: object, conf: dict[str, Any]) -> None:
    run = new_run(session, task, conf=conf)
    begin(run)
    assert note(session, run) is None


def test_an_error_is_a_warning_and_leaves_the_transaction_intact(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    run = new_run(session, OURS)
    run.dag.params = None
    with caplog.at_level(logging.WARNING):
        begin(run)
    assert "The note of run scheduled__1 of catalogue could not be written" in caplog.text
    assert note(session, run) is None


def test_an_sql_error_on_postgres_leaves_the_schedulers_transaction_intact(
    airflow_db: None, database: Database
) -> None:
    from airflow.models import import_all_models
    from airflow.models.base import Base
    from sqlalchemy import text
    from sqlalchemy.orm import Session

    def broken(connection: Connection, start: str) -> str:
        connection.execute(text("select 1 / 0"))
        return start

    import_all_models()  # type: ignore[no-untyped-call]  # not annotated
    engine = database.engine("psycopg2")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        run = new_run(session, OURS)
        begin(run)
        run_notes._write(run, broken)
        assert note(session, run) == "2026-11-16 · running"
        run_notes.on_dag_run_failed(run, "timed_out")
        assert note(session, run) == "2026-11-16 · failed: timed out"
