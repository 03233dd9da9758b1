"""
The note of a run: its day and its result. The UI shows it at the top of the run's page and marks it in the grid.

This module is an Airflow listener. Airflow calls it when a run changes state: in the scheduler, or in the API server if
a person marks the run. It writes in the session of the run, within a savepoint, and never raises. The results come from
the labels of the tasks (see run_operator.py). It never changes a note that a person wrote.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from claude_batch.failures import REASON
from include.enrichment.answers.headline import headline, note_of_failure, note_of_success
from include.enrichment.errors import PartitionError
from include.enrichment.runs.options import readable_options
from include.enrichment.runs.partition import Partition, resolve_partition

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from sqlalchemy import Connection

log = logging.getLogger(__name__)

#: The author of our notes. Notes of people have another author or none.
AUTHOR = "claude_batch"
#: The operators that know the day of their run.
_OPERATORS = ("ExtractOperator", "PlanOperator", "PublishOperator", "EvaluateOperator")
_MODULES = ("claude_batch.operators", "claude_batch.ui.evaluation")


@hookimpl
def on_dag_run_running(dag_run: DagRun, msg: str) -> None:
    """Note that a run has started, for the first time or after a clear."""
    _write(dag_run, lambda connection, start: f"{start} · running" if start else "")


@hookimpl
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:
    """Note the label of `publish` or `evaluate`, or of the `plan` that ends a dry run."""

    def note(connection: Connection, start: str) -> str:
        ended = _ended(connection, dag_run, "success", operators=_OPERATORS[1:])
        return note_of_success(start, (ended[-1].label or "") if ended else "")

    _write(dag_run, note)


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    """Note which task failed first, and why."""

    def note(connection: Connection, start: str) -> str:
        ended = _ended(connection, dag_run, "failed")
        if not ended:
            return note_of_failure(start, "", "", error="", reason=msg.replace("_", " "))
        first = ended[0]
        # The label of a task that works on a chunk is the chunk's.
        error = _error(connection, dag_run, first.task_id, first.map_index).partition(": ")[2]
        return note_of_failure(
            start, first.task_id.removeprefix(f"{dag_run.dag_id}."), first.label or "", error=error, reason=""
        )

    _write(dag_run, note)


def _write(dag_run: DagRun, note: Callable[[Connection, str], str]) -> None:
    """Write the note, unless a person has written one or the Dag has no task of ours."""
    try:
        from airflow.models.dagrun import DagRunNote
        from sqlalchemy import insert, select, update
        from sqlalchemy.orm import object_session

        session = object_session(dag_run)
        if session is None or not _tasks(dag_run):
            return
        connection, now = session.connection(), datetime.now(UTC)
        # The scheduler forbids commits of its session, even to a savepoint. A savepoint of the connection is allowed.
        with connection.begin_nested():
            content = note(connection, headline(_partition(dag_run), readable_options(_params(dag_run))))
            found = connection.execute(select(DagRunNote.user_id).where(DagRunNote.dag_run_id == dag_run.id)).first()
            if not content or (found and found.user_id != AUTHOR):
                return
            values = {"content": content, "user_id": AUTHOR, "updated_at": now}
            if found:
                changed = update(DagRunNote).where(DagRunNote.dag_run_id == dag_run.id, DagRunNote.user_id == AUTHOR)
                connection.execute(changed.values(values))
            else:
                connection.execute(insert(DagRunNote).values(dag_run_id=dag_run.id, created_at=now, **values))
    except Exception:  # a note must never stop the scheduler's loop
        log.warning("The note of run %s of %s could not be written", dag_run.run_id, dag_run.dag_id, exc_info=True)


def _tasks(dag_run: DagRun) -> list[Any]:
    """Return our tasks that know the day, as the scheduler has deserialized them."""
    tasks: list[Any] = list(dag_run.dag.tasks) if dag_run.dag else []
    return [task for task in tasks if task.task_type in _OPERATORS and task._task_module in _MODULES]


def _params(dag_run: DagRun) -> Mapping[str, Any]:
    return {**(dag_run.dag.params if dag_run.dag else {}), **(dag_run.conf or {})}


def _partition(dag_run: DagRun) -> Partition | None:
    """Return the day of the run, None if it is invalid or if a task has its own."""
    if any(task.partition for task in _tasks(dag_run)):
        return None
    try:
        return resolve_partition(
            param=_params(dag_run).get("partition"),
            partition_key=dag_run.partition_key,
            data_interval_start=dag_run.data_interval_start,
            backfill=dag_run.run_type == "backfill",
        )
    except PartitionError:
        return None


def _ended(connection: Connection, dag_run: DagRun, state: str, *, operators: tuple[str, ...] = ()) -> Sequence[Any]:
    """Return the tasks that ended in this state, ordered by end, each with ``task_id``, ``map_index`` and ``label``."""
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    columns = TaskInstance.task_id, TaskInstance.map_index, TaskInstance._rendered_map_index.label("label")
    chosen = select(*columns).where(
        TaskInstance.dag_id == dag_run.dag_id, TaskInstance.run_id == dag_run.run_id, TaskInstance.state == state
    )
    if operators:
        chosen = chosen.where(TaskInstance.operator.in_(operators))
    return connection.execute(chosen.order_by(TaskInstance.end_date)).all()


def _error(connection: Connection, dag_run: DagRun, task_id: str, map_index: int) -> str:
    """Return the first line of the task's EnrichmentError as failures.py stores it, empty if it had none."""
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    stored = select(XComModel.value).where(
        XComModel.dag_run_id == dag_run.id,
        XComModel.task_id == task_id,
        XComModel.map_index == map_index,
        XComModel.key == REASON,
    )
    found = connection.execute(stored).first()
    return str(XComModel.deserialize_value(found)) if found else ""
