"""
One Dag run inside this process, by ``dag.test()``. Importing this module imports Airflow: settle the environment first.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from airflow.dag_processing.dagbag import DagBag
from airflow.models.dagrun import DagRun
from airflow.sdk import DAG, Context
from airflow.sdk.exceptions import AirflowException
from airflow.utils.types import DagRunType

from claude_batch.connections.gateways import open_lake, open_source
from claude_batch.operators import ExtractOperator
from include.cli.exit_codes import BAD_ARGUMENTS, NOT_PUBLISHED, PUBLISHED
from include.cli.foreground.run_options import spell
from include.cli.foreground.unfinished import ForegroundRun, Taken, record_ended, taken_run
from include.cli.output.end_of_run import Failure, end_of_run, next_step
from include.enrichment.errors import EnrichmentError
from include.enrichment.runs.options import RunOptions
from include.enrichment.runs.partition import Partition
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.storage.layout import RunFolder
from include.gateways.lake import Lake
from include.stack.airflow_api import TaskInstance
from include.stack.folder import StackFolder
from include.stack.metadata import MigrationFailed, give_sqlite
from include.stack.progress import Progress, complain, say
from include.steps.extract import check_setup

POLL_SECONDS = 0.5
RETRIES = 2
RETRY_DELAY = timedelta(seconds=3)
_OUR_ERRORS = f"{EnrichmentError.__module__}."
#: How much of a failure's reason the progress lines show; the end of the run shows all of it.
_SHOWN_CHARACTERS = 110


class _NotStarted(Exception):
    """No run can be started, for the reason that the message gives."""


def dag_run(pipeline: Pipeline, partition: Partition, dag_file: Path, folder: StackFolder, *, anew: bool) -> int:
    """
    Check what can be checked, run the partition through, say how it ended, and return the exit status.

    It goes on with the newest run of `make run` that has not ended: under the same id it finds what that one has paid
    for, also where answers are not reused.

    :param pipeline: with the options of this run
    :param anew: start a new run in any case
    """
    # Airflow's own deprecations are none of the reader's business. (Importing Airflow resets the filters, so only now.)
    warnings.filterwarnings("ignore", module=r"airflow\.")
    home = Path(os.environ["AIRFLOW_HOME"])
    with ExitStack() as until_the_end:
        try:
            dag = _load(pipeline.name, dag_file)
            _check(dag, pipeline, partition)
            lake = open_lake("aws_default")
            give_sqlite(folder, home)
            taken = until_the_end.enter_context(
                taken_run(
                    pipeline.name,
                    partition,
                    options=pipeline.options,
                    anew=anew,
                    new_id=_new_id,
                    folder=folder,
                    home=home,
                    lake=lake,
                )
            )
        except (EnrichmentError, MigrationFailed, _NotStarted) as error:
            named = f"{type(error).__name__}: " if isinstance(error, EnrichmentError) else ""
            complain(f"{named}{error}\n{next_step(str(error), started=False)}")
            return BAD_ARGUMENTS
        return _run_through(dag, pipeline, partition, taken, lake, home)


def _new_id(begun_at: datetime) -> str:
    return DagRun.generate_run_id(run_type=DagRunType.MANUAL, run_after=begun_at)


def _check(dag: DAG, pipeline: Pipeline, partition: Partition) -> None:
    """
    Ask warehouse, lake and API what `extract` would ask them, before Airflow has a database and a run.

    The query is run as it is, up to its first row, and rendered for none. Raises _NotStarted or EnrichmentError.
    """
    for task in dag.tasks:
        if not isinstance(task, ExtractOperator) or task.pipeline != pipeline.name:
            continue
        _check_ready(task, partition)
        with _quiet():  # whatever is only worth a warning is logged by the run
            lake = open_lake(task.aws_conn_id)
            source = open_source(pipeline.settings.source, pipeline=pipeline.name)
            key = list(pipeline.settings.source.key)
            with source.read(pipeline.query, partition, key=key, needed=pipeline.columns) as (columns, _):
                pipeline.renderer(columns, run_id="")
            # The SDK takes seconds to import, and what is above needs none of it.
            from claude_batch.connections.claude import open_claude

            with open_claude(task.anthropic_conn_id) as claude:
                check_setup(pipeline, lake=lake, claude=claude)


@contextmanager
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _run_through(dag: DAG, pipeline: Pipeline, partition: Partition, taken: Taken, lake: Lake, home: Path) -> int:
    run_id = taken.run.run_id
    begun = time.monotonic()
    progress = Progress(pipeline.name)
    # A person waits: what passes has passed within seconds, and the same command goes on from there.
    failures: list[Failure] = []
    for task in dag.tasks:
        task.retries, task.retry_delay, task.retry_exponential_backoff = RETRIES, RETRY_DELAY, 0
        task.on_failure_callback = [*_callbacks(task.on_failure_callback), _told_to(progress, failures)]
        task.on_retry_callback = [*_callbacks(task.on_retry_callback), _told_to(progress)]
    # Who sits in front of it sees that it is late (dag.test() even fails for a Dag with a deadline), or has failed.
    dag.deadline = dag.on_failure_callback = None
    dag.has_on_failure_callback = False
    # It says once a second that a task waits for its retry.
    logging.getLogger("airflow.sdk.definitions.dag").setLevel(logging.ERROR)
    options = spell(pipeline.options)
    say(f"Running {pipeline.name} for {partition} in the foreground{options and f', with {options}'}:")
    if taken.gone_on:
        say(f"Continuing run {_spell(taken.run)}, which did not finish. (NEW=1 starts a new run.)")
    if taken.beside:
        say(f"Another process is working on run {_spell(taken.beside)}, so this starts a separate run.")
    if taken.other:
        say(
            f"Run {_spell(taken.other)} did not finish, but it has"
            f" {spell(taken.other.options) or 'no options'}, so this starts a new run."
        )
    with (
        _shown(progress, home / "airflow.db"),
        # dag.test() has no parameter for it.
        patch.object(DagRun, "generate_run_id", lambda **_: run_id),
    ):
        ended = dag.test(logical_date=None, run_conf={"partition": str(partition), **_conf(pipeline.options)})
    run_folder = RunFolder(pipeline=pipeline.name, partition=partition, run_id=run_id)
    try:
        if ended.state == "success":
            record_ended(taken.run, pipeline.name, partition, lake)
        end = end_of_run(run_folder, lake, state=ended.state, failures=failures, seconds=time.monotonic() - begun)
    except EnrichmentError as error:
        for failure in failures:
            complain(str(failure))
        complain(f"The run ended as {ended.state}, and the lake cannot be read or written: {error}")
        return NOT_PUBLISHED
    (say if end.status == PUBLISHED else complain)(end.text)
    return end.status


def _conf(options: RunOptions) -> dict[str, Any]:
    """The options as the trigger form would send them: its budget is a number of JSON."""
    given = options.model_dump(exclude_defaults=True)
    return given | ({"budget_usd": float(options.budget_usd)} if options.budget_usd is not None else {})


def _spell(run: ForegroundRun) -> str:
    """The run, with the minute in which it began."""
    return f"{run.run_id} of {run.begun_at:%Y-%m-%d %H:%M} UTC"


def _check_ready(task: ExtractOperator, partition: Partition) -> None:
    """Raises _NotStarted for a partition whose rows are to come: a nightly run waits for them, a person would not."""
    ready_at = task.source_ready_at(partition)
    if ready_at and datetime.now(UTC) < ready_at:
        raise _NotStarted(
            f"The rows of {partition} are complete at {ready_at:%Y-%m-%d %H:%M} UTC (source_ready_after in"
            f" dags/{task.dag_id}.py). Run it then, or take an earlier day."
        )


def _callbacks(given: Any) -> list[Any]:
    return list(given) if isinstance(given, Sequence) else [given] if given else []


def _told_to(progress: Progress, failures: list[Failure] | None = None) -> Callable[[Context], None]:
    """What a task calls when a try of it has failed: its reason is said in one line, and kept if that was the last."""

    def tell(context: Context) -> None:
        task, error = context["task_instance"], context.get("exception")
        index = f"[{task.map_index}]" if task.map_index is not None and task.map_index >= 0 else ""
        name = f"{task.task_id.removeprefix(f'{task.dag_id}.')}{index}"
        reason = told = str(error)
        # What Airflow raises, and what of ours was translated for it, is whole; of anything else only frames tell.
        if isinstance(error, BaseException) and not isinstance(error, AirflowException):
            reason = f"{type(error).__name__}: {error}"
            told = "".join(traceback.format_exception(error)).rstrip()
        line = reason.partition("\n")[0]
        if failures is None:
            line = f"try {task.try_number} of {RETRIES + 1}: {line}"
        progress.note(f"{name:<24} {line if len(line) <= _SHOWN_CHARACTERS else f'{line[: _SHOWN_CHARACTERS - 1]}…'}")
        if failures is not None:
            failures.append(Failure(task=name, tries=task.try_number, reason=told))

    return tell


def _load(pipeline: str, dag_file: Path) -> DAG:
    """The Dag of the pipeline. Raises _NotStarted."""
    # What cannot be imported is told below, without Airflow's frames.
    logging.getLogger("airflow.dag_processing").setLevel(logging.CRITICAL)
    bag = DagBag(dag_folder=dag_file)
    for file, trace in bag.import_errors.items():
        raise _NotStarted(f"{file} cannot be imported.\n{_told_by(trace, dag_file)}")
    if pipeline not in bag.dags:
        found = ", ".join(bag.dags) or "none at all"
        raise _NotStarted(f"{dag_file} defines no Dag named {pipeline}, only {found}.")
    return bag.dags[pipeline]


def _told_by(trace: str, dag_file: Path) -> str:
    """
    Of an error of ours its message, which is whole by itself; of any other what happened from the Dag file on.
    """
    lines = trace.rstrip().splitlines()
    begins = max((number for number, line in enumerate(lines) if line.startswith(_OUR_ERRORS)), default=None)
    if begins is not None:
        return "\n".join(lines[begins:]).partition(": ")[2]
    return "\n".join(lines[next((number for number, line in enumerate(lines) if str(dag_file) in line), 0) :])


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
