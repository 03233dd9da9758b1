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
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, Context
from airflow.sdk.exceptions import AirflowException

from claude_batch.connections import open_lake
from claude_batch.operators import ExtractOperator
from include.enrichment import layout
from include.enrichment.errors import EnrichmentError
from include.enrichment.manifest import Manifest
from include.enrichment.partition import Partition
from include.stack.airflow_api import TaskInstance
from include.stack.outcome import cost
from include.stack.report import Progress, complain, say

POLL_SECONDS = 0.5
RETRIES = 2
RETRY_DELAY = timedelta(seconds=3)
_OUR_ERRORS = f"{EnrichmentError.__module__}."


def dag_run(pipeline: str, partition: Partition, dag_file: Path) -> bool:
    """Run the partition through and say how it ended. True if this very run published it."""
    begun = time.monotonic()
    # Airflow's own deprecations are none of the reader's business. (Importing Airflow resets the filters, so only now.)
    warnings.filterwarnings("ignore", module=r"airflow\.")
    dag = _load(pipeline, dag_file)
    if dag is None:
        return False
    if too_early := _too_early(dag, partition):
        complain(too_early)
        return False
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
    database = Path(os.environ["AIRFLOW_HOME"], "airflow.db")
    progress = Progress(pipeline)
    say(f"Running {pipeline} for {partition} in the foreground:")
    with _shown(progress, database):
        ended = dag.test(logical_date=None, run_conf={"partition": str(partition)})
    seconds = time.monotonic() - begun
    try:
        manifest = _manifest(pipeline, partition)
    except EnrichmentError as error:
        _complain_of(failures)
        complain(f"The run ended as {ended.state}, and the lake cannot be read: {error}")
        return False
    if ended.state == "success" and manifest and manifest.run_id == ended.run_id:
        say(f"Published {pipeline} {partition} in {seconds:.0f} s: {_counts(manifest)}.")
        return True
    complain(f"NOT published: {pipeline} {partition}, the run ended as {ended.state} after {seconds:.0f} s.")
    if manifest:
        complain(f"The lake still has what an earlier run published: {_counts(manifest)}.")
    complain(
        "What was submitted, if anything, is in the ledger: once the cause is mended, the same command goes on from"
        " there. The lines above are all there is of the log. Why it failed:"
    )
    _complain_of(failures)
    return False


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


def _manifest(pipeline: str, partition: Partition) -> Manifest | None:
    """The partition's manifest on the lake, None if there surely is none."""
    found = open_lake("aws_default").find(layout.manifest(pipeline, partition))
    return Manifest.model_validate_json(found.data) if found else None


def _counts(manifest: Manifest) -> str:
    sent = len(manifest.batches) - len(manifest.reused)
    simulated = any("simulated" in batch_id for batch_id in manifest.batches)
    return (
        f"{manifest.rows:,} rows, {manifest.published:,} published, {manifest.rejected:,} rejected;"
        f" batches: {sent} sent, {len(manifest.reused)} reused; {cost(manifest, simulated=simulated)};"
        f" at {manifest.table}"
    )


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
