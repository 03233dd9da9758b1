"""
One Dag run inside this process, by ``dag.test()``. Importing this module imports Airflow: settle the environment first.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

from airflow.dag_processing.dagbag import DagBag
from airflow.models.dagrun import DagRun
from airflow.sdk import DAG, Context
from airflow.sdk.exceptions import AirflowException
from airflow.utils.types import DagRunType

from claude_batch.connections import open_lake
from claude_batch.operators import ExtractOperator
from include.enrichment.errors import EnrichmentError
from include.enrichment.layout import RunFolder
from include.enrichment.partition import Partition
from include.gateways.lake import Lake
from include.stack.airflow_api import TaskInstance
from include.stack.folder import StackFolder
from include.stack.outcome import end_of_run
from include.stack.report import Progress, complain, say
from include.stack.run import NOT_PUBLISHED, PUBLISHED
from include.stack.unfinished import ForegroundRun, Taken, record_ended, taken_run

POLL_SECONDS = 0.5
RETRIES = 2
RETRY_DELAY = timedelta(seconds=3)
_OUR_ERRORS = f"{EnrichmentError.__module__}."


def dag_run(pipeline: str, partition: Partition, dag_file: Path, folder: StackFolder, *, anew: bool) -> int:
    """
    Run the partition through, say how it ended, and return the exit status.

    It goes on with the newest run of `make run` that has not ended: under the same id it finds what that one has paid
    for, also where answers are not reused.

    :param anew: begin a run of its own in any case
    """
    # Airflow's own deprecations are none of the reader's business. (Importing Airflow resets the filters, so only now.)
    warnings.filterwarnings("ignore", module=r"airflow\.")
    dag = _load(pipeline, dag_file)
    if dag is None:
        return NOT_PUBLISHED
    if too_early := _too_early(dag, partition):
        complain(too_early)
        return NOT_PUBLISHED
    home = Path(os.environ["AIRFLOW_HOME"])
    with ExitStack() as until_the_end:
        try:
            lake = open_lake("aws_default")
            taken = until_the_end.enter_context(
                taken_run(pipeline, partition, anew=anew, new_id=_new_id, folder=folder, home=home, lake=lake)
            )
        except EnrichmentError as error:
            complain(f"{type(error).__name__}: {error}\nNothing was started.")
            return NOT_PUBLISHED
        return _run_through(dag, partition, taken, lake, home)


def _new_id(begun_at: datetime) -> str:
    return DagRun.generate_run_id(run_type=DagRunType.MANUAL, run_after=begun_at)


def _run_through(dag: DAG, partition: Partition, taken: Taken, lake: Lake, home: Path) -> int:
    pipeline, run_id = dag.dag_id, taken.run.run_id
    begun = time.monotonic()
    # A person waits: what passes has passed within seconds, and the same command goes on from there.
    failures: dict[str, str] = {}
    for task in dag.tasks:
        task.retries, task.retry_delay, task.retry_exponential_backoff = RETRIES, RETRY_DELAY, 0
        callbacks = task.on_failure_callback or []
        others = callbacks if isinstance(callbacks, Sequence) else [callbacks]
        task.on_failure_callback = [*others, _kept_in(failures)]
    dag.deadline = None  # dag.test() fails for a Dag that has one, and who sits in front of it sees that it is late
    # It says once a second that a task waits for its retry.
    logging.getLogger("airflow.sdk.definitions.dag").setLevel(logging.ERROR)
    progress = Progress(pipeline)
    say(f"Running {pipeline} for {partition} in the foreground:")
    if taken.gone_on:
        say(f"Going on with run {_spell(taken.run)}, which was not finished. (NEW=1 begins anew.)")
    if taken.beside:
        say(f"Another process works on run {_spell(taken.beside)}; this is a run of its own.")
    with (
        _shown(progress, home / "airflow.db"),
        # dag.test() has no parameter for it.
        patch.object(DagRun, "generate_run_id", lambda **_: run_id),
    ):
        ended = dag.test(logical_date=None, run_conf={"partition": str(partition)})
    run_folder = RunFolder(pipeline=pipeline, partition=partition, run_id=run_id)
    try:
        if ended.state == "success":
            record_ended(taken.run, pipeline, partition, lake)
        end = end_of_run(run_folder, lake, state=ended.state, failures=failures, seconds=time.monotonic() - begun)
    except EnrichmentError as error:
        _complain_of(failures)
        complain(f"The run ended as {ended.state}, and the lake cannot be read or written: {error}")
        return NOT_PUBLISHED
    (say if end.status == PUBLISHED else complain)(end.text)
    return end.status


def _spell(run: ForegroundRun) -> str:
    """The run, with the minute in which it began."""
    return f"{run.run_id} of {run.begun_at:%Y-%m-%d %H:%M} UTC"


def _too_early(dag: DAG, partition: Partition) -> str | None:
    """Why the partition cannot be read yet. A nightly run waits for its rows; a person would not know what for."""
    for task in dag.tasks:
        ready_at = task.source_ready_at(partition) if isinstance(task, ExtractOperator) else None
        if ready_at and datetime.now(UTC) < ready_at:
            return (
                f"Partition {partition} is not whole yet: its rows are there at {ready_at:%Y-%m-%d %H:%M} UTC"
                f" (source_ready_after in dags/{dag.dag_id}.py). Nothing was started. Run it then, or an earlier day."
            )
    return None


def _complain_of(failures: Mapping[str, str]) -> None:
    for name, failure in failures.items():
        complain(f"{name} failed with {failure}")


def _kept_in(failures: dict[str, str]) -> Callable[[Context], None]:
    """What a task calls when it has failed: it keeps why, by the name of the task."""

    def keep(context: Context) -> None:
        task, error = context["task_instance"], context.get("exception")
        index = f"[{task.map_index}]" if task.map_index is not None and task.map_index >= 0 else ""
        failures[f"{task.task_id}{index}"] = str(error) if isinstance(error, AirflowException) else repr(error)

    return keep


def _load(pipeline: str, dag_file: Path) -> DAG | None:
    # What cannot be imported is told below, without Airflow's frames.
    logging.getLogger("airflow.dag_processing").setLevel(logging.CRITICAL)
    bag = DagBag(dag_folder=dag_file)
    for file, trace in bag.import_errors.items():
        complain(f"{file} cannot be imported; nothing was started.\n{_told_by(trace)}")
    found = bag.dags.get(pipeline)
    if found is None and not bag.import_errors:
        complain(f"{dag_file} defines no Dag named {pipeline}, only {', '.join(bag.dags) or 'none at all'}.")
    return found


def _told_by(trace: str) -> str:
    """The whole of an unforeseen error; of one of ours its message, which is whole by itself."""
    lines = trace.rstrip().splitlines()
    begins = max((number for number, line in enumerate(lines) if line.startswith(_OUR_ERRORS)), default=None)
    return trace if begins is None else "\n".join(lines[begins:]).partition(": ")[2]


@contextmanager
def _shown(progress: Progress, database: Path) -> Iterator[None]:
    """Show the run's progress, read from its own database, while the body runs."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_SECONDS):
            progress.show(_tasks(database))

    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        progress.show(_tasks(database))


def _tasks(database: Path) -> list[TaskInstance]:
    """The states of the only run in the database."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
        rows = connection.execute(
            "SELECT task_id, map_index, state FROM task_instance ORDER BY start_date IS NULL, start_date, map_index"
        )
        return [TaskInstance(task_id=task, map_index=index, state=state) for task, index, state in rows]
