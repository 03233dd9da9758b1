"""
Run one Dag run inside this process with ``dag.test()``.

Importing this module imports Airflow, which reads its settings then: set the environment variables first.
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
from dataclasses import dataclass
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
from include.cli.foreground.run_options import format_options
from include.cli.foreground.unfinished import ClaimedRun, ForegroundRun, claim_run, record_ended
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
from include.steps.extracting.setup_check import check_setup

POLL_SECONDS = 0.5
#: The file of Airflow's metadata database in its home.
_DATABASE = "airflow.db"
RETRIES = 2
RETRY_DELAY = timedelta(seconds=3)
_OUR_ERRORS = f"{EnrichmentError.__module__}."
#: Progress lines cut the reason of a failure to this length; the end of the run shows it in full.
_SHOWN_CHARACTERS = 110


class _NotStarted(Exception):
    """No run can be started. The message says why."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """
    How a run ended.

    :param status: an exit status
    :param run_id: None if no run was started
    """

    status: int
    run_id: str | None = None


def dag_run(pipeline: Pipeline, partition: Partition, dag_file: Path, folder: StackFolder, *, start_new: bool) -> Ended:
    """
    Check the setup, run the partition, and print the result. A process may run several pipelines, one after the other.

    The newest unfinished run of `make run` is resumed under its id, so that nothing is paid for twice, even if the
    pipeline does not reuse answers.

    :param pipeline: with the options of this run
    :param start_new: start a new run in any case
    """
    # Airflow's own deprecation warnings do not concern the user. Importing Airflow resets the filters, so not earlier.
    warnings.filterwarnings("ignore", module=r"airflow\.")
    home = Path(os.environ["AIRFLOW_HOME"])
    with ExitStack() as claim:
        try:
            dag = _load(pipeline.name, dag_file)
            _check(dag, pipeline, partition)
            lake = open_lake("aws_default")
            if not (home / _DATABASE).exists():
                give_sqlite(folder, home)
            claimed = claim.enter_context(
                claim_run(
                    pipeline.name,
                    partition,
                    options=pipeline.options,
                    start_new=start_new,
                    new_id=_new_id,
                    folder=folder,
                    home=home,
                    lake=lake,
                )
            )
        except (EnrichmentError, MigrationFailed, _NotStarted) as error:
            named = f"{type(error).__name__}: " if isinstance(error, EnrichmentError) else ""
            complain(f"{named}{error}\n{next_step(str(error), started=False)}")
            return Ended(status=BAD_ARGUMENTS)
        status = _run_through(dag, pipeline, partition, claimed, lake, home)
        return Ended(status=status, run_id=claimed.run.run_id)


def _new_id(begun_at: datetime) -> str:
    return DagRun.generate_run_id(run_type=DagRunType.MANUAL, run_after=begun_at)


def _check(dag: DAG, pipeline: Pipeline, partition: Partition) -> None:
    """
    Make the checks that `extract` makes of source, lake and API, before Airflow has a database or a run.

    The source is opened, a query executed, and no row is rendered. Raises _NotStarted or EnrichmentError.
    """
    for task in dag.tasks:
        if not isinstance(task, ExtractOperator) or task.pipeline != pipeline.name:
            continue
        _check_ready(task, partition)
        with _quiet():  # the run itself logs the warnings
            lake = open_lake(task.aws_conn_id)
            source = open_source(pipeline, lake=lake)
            key = list(pipeline.settings.source.key)
            with source.read(partition, key=key, needed=pipeline.columns) as (columns, _):
                pipeline.renderers(columns, run_id="")
            # The SDK takes seconds to import: errors above are reported sooner without it.
            from claude_batch.connections.claude_connection import open_claude

            with open_claude(task.anthropic_conn_id) as claude:
                check_setup(pipeline, lake=lake, claude=claude)


@contextmanager
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _run_through(
    dag: DAG, pipeline: Pipeline, partition: Partition, claimed: ClaimedRun, lake: Lake, home: Path
) -> int:
    run_id = claimed.run.run_id
    begun = time.monotonic()
    progress = Progress(pipeline.name)
    failures: list[Failure] = []
    _prepare(dag, progress, failures)
    _announce(pipeline, partition, claimed)
    with (
        _shown(progress, home / _DATABASE, dag.dag_id),
        # dag.test() has no parameter for the run id.
        patch.object(DagRun, "generate_run_id", lambda **_: run_id),
    ):
        ended = dag.test(logical_date=None, run_conf={"partition": str(partition), **_conf(pipeline.options)})
    run_folder = RunFolder(pipeline=pipeline.name, partition=partition, run_id=run_id)
    try:
        if ended.state == "success":
            record_ended(claimed.run, pipeline.name, partition, lake)
        end = end_of_run(run_folder, lake, state=ended.state, failures=failures, seconds=time.monotonic() - begun)
    except EnrichmentError as error:
        for failure in failures:
            complain(str(failure))
        complain(f"The run ended with state {ended.state}, but the lake cannot be read or written: {error}")
        return NOT_PUBLISHED
    (say if end.status == PUBLISHED else complain)(end.text)
    return end.status


def _prepare(dag: DAG, progress: Progress, failures: list[Failure]) -> None:
    """Give the tasks short retries, print each failed try, and collect the final failures in ``failures``."""
    # A person is waiting: transient errors pass within seconds, and the same command continues from there.
    for task in dag.tasks:
        task.retries, task.retry_delay, task.retry_exponential_backoff = RETRIES, RETRY_DELAY, 0
        task.on_failure_callback = [*_callbacks(task.on_failure_callback), _report_to(progress, failures)]
        task.on_retry_callback = [*_callbacks(task.on_retry_callback), _report_to(progress)]
    # The user sees a late or failed run without an alert, and dag.test() fails for a Dag with a deadline.
    dag.deadline = dag.on_failure_callback = None
    dag.has_on_failure_callback = False
    # This logger reports a task that waits for its retry once per second.
    logging.getLogger("airflow.sdk.definitions.dag").setLevel(logging.ERROR)


def _announce(pipeline: Pipeline, partition: Partition, claimed: ClaimedRun) -> None:
    """Print what is run, and why another unfinished run is or is not resumed."""
    options = format_options(pipeline.options)
    say(f"Running {pipeline.name} for {partition} in the foreground{options and f', with {options}'}:")
    if claimed.resumed:
        say(f"Continuing run {_describe(claimed.run)}, which did not finish. (NEW=1 starts a new run.)")
    if busy := claimed.busy:
        say(f"Process {busy.pid} is working on run {_describe(busy.run)}, so this starts a separate run.")
    if different := claimed.different:
        say(
            f"Run {_describe(different)} did not finish, but it has"
            f" {format_options(different.options) or 'no options'}, so this starts a new run."
        )


def _conf(options: RunOptions) -> dict[str, Any]:
    """Return the options as the trigger form would send them, with the budget as a JSON number."""
    given = options.model_dump(exclude_defaults=True)
    return given | ({"budget_usd": float(options.budget_usd)} if options.budget_usd is not None else {})


def _describe(run: ForegroundRun) -> str:
    return f"{run.run_id} of {run.begun_at:%Y-%m-%d %H:%M} UTC"


def _check_ready(task: ExtractOperator, partition: Partition) -> None:
    """Raise _NotStarted for a day whose rows are incomplete. A nightly run waits for them, a person would not."""
    ready_at = task.source_ready_at(partition)
    if ready_at and datetime.now(UTC) < ready_at:
        raise _NotStarted(
            f"The rows of {partition} are not complete until {ready_at:%Y-%m-%d %H:%M} UTC (source_ready_after in"
            f" dags/{task.dag_id}.py). Run it then, or choose an earlier day."
        )


def _callbacks(given: Any) -> list[Any]:
    return list(given) if isinstance(given, Sequence) else [given] if given else []


def _report_to(progress: Progress, failures: list[Failure] | None = None) -> Callable[[Context], None]:
    """
    Return a callback for a task's failed try, which prints the reason in one line.

    :param failures: collects the failure; None if the task is retried
    """

    def report(context: Context) -> None:
        task, error = context["task_instance"], context.get("exception")
        index = f"[{task.map_index}]" if task.map_index is not None and task.map_index >= 0 else ""
        name = f"{task.task_id.removeprefix(f'{task.dag_id}.')}{index}"
        reason = details = str(error)
        # Airflow's exceptions, and ours that became one, have complete messages. Any other error needs its stack trace.
        if isinstance(error, BaseException) and not isinstance(error, AirflowException):
            reason = f"{type(error).__name__}: {error}"
            details = "".join(traceback.format_exception(error)).rstrip()
        line = reason.partition("\n")[0]
        if failures is None:
            line = f"try {task.try_number} of {RETRIES + 1}: {line}"
        progress.note(f"{name:<24} {line if len(line) <= _SHOWN_CHARACTERS else f'{line[: _SHOWN_CHARACTERS - 1]}…'}")
        if failures is not None:
            failures.append(Failure(task=name, tries=task.try_number, reason=details))

    return report


def _load(pipeline: str, dag_file: Path) -> DAG:
    """Import the Dag of the pipeline. Raises _NotStarted."""
    # Import errors are reported below, without Airflow's stack trace.
    logging.getLogger("airflow.dag_processing").setLevel(logging.CRITICAL)
    bag = DagBag(dag_folder=dag_file)
    for file, trace in bag.import_errors.items():
        raise _NotStarted(f"{file} cannot be imported.\n{_relevant_part(trace, dag_file)}")
    if pipeline not in bag.dags:
        found = f"only {', '.join(bag.dags)}" if bag.dags else "nor any other"
        raise _NotStarted(f"{dag_file} defines no Dag named {pipeline}, {found}.")
    return bag.dags[pipeline]


def _relevant_part(trace: str, dag_file: Path) -> str:
    """Return the message of an error of ours; for any other error, the stack trace from the Dag file on."""
    lines = trace.rstrip().splitlines()
    first = max((number for number, line in enumerate(lines) if line.startswith(_OUR_ERRORS)), default=None)
    if first is not None:
        return "\n".join(lines[first:]).partition(": ")[2]
    return "\n".join(lines[next((number for number, line in enumerate(lines) if str(dag_file) in line), 0) :])


@contextmanager
def _shown(progress: Progress, database: Path, dag_id: str) -> Iterator[None]:
    """Print the run's progress, read from its own database, while the block runs."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_SECONDS):
            progress.show(_tasks(database, dag_id))

    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        progress.show(_tasks(database, dag_id))


def _tasks(database: Path, dag_id: str) -> list[TaskInstance]:
    """Return the task states of the Dag's only run in the database."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
        rows = connection.execute(
            "SELECT task_id, map_index, state FROM task_instance WHERE dag_id = ?"
            " ORDER BY start_date IS NULL, start_date, map_index",
            [dag_id],
        )
        return [TaskInstance(task_id=task, map_index=index, state=state) for task, index, state in rows]
