"""`make run`: run one partition in the foreground, with the environment's connections and without any server."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from include.cli.command_arguments import check_pipeline, read_partition
from include.cli.connections import CONNECTION_PREFIX, MissingVariables, connection_variables
from include.cli.exit_codes import BAD_ARGUMENTS, NOT_STARTED
from include.cli.foreground.run_options import format_options, read_options
from include.enrichment.errors import EnrichmentError, ParamError, nearest
from include.enrichment.runs.options import RunOptions
from include.enrichment.runs.partition import Partition, check_not_future
from include.stack.environment import core_settings
from include.stack.folder import ROOT, StackFolder
from include.stack.progress import complain
from include.stack.stack import ANTHROPIC, AWS, LAKE, fernet_key, read_stack

if TYPE_CHECKING:
    from include.enrichment.spec.pipeline import Pipeline

#: Airflow's own stack traces are silenced: we report a failed task and a broken Dag file ourselves.
_LEVELS = "task=CRITICAL airflow.dag_processing=CRITICAL"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EXAMPLE = "make run PIPELINE=catalogue PARTITION=2026-11-01"


def run(folder: StackFolder, name: str, partition_text: str, *, start_new: bool) -> int:
    """
    Run one partition of the pipeline ``name`` with the environment's OPTIONS, and return the exit status.

    The first second checks everything that does not need Airflow; the rest is checked before Airflow's database exists.

    Airflow gets a temporary home and metadata database: everything that matters is on the lake, including the
    unfinished runs. Several runs can run at the same time.

    :param start_new: do not resume an unfinished run
    """
    _block(SIGNALS)
    try:
        dag_file = _dag_file(name)
        partition = read_partition(partition_text, example=_EXAMPLE)
        check_not_future(partition, today=datetime.now(UTC).date())
        options = read_options(os.environ)
        pipeline = _pipeline(name, options)
        variables = _variables(folder, os.environ, pipeline)
    except (MissingVariables, EnrichmentError) as error:
        complain(f"{error}\n{NOT_STARTED}")
        return BAD_ARGUMENTS
    with _throw_away_home(folder) as home:
        os.environ.update(variables | core_settings(str(home)) | _settings(dag_file))
        _exit_on_signals(home, name, partition)
        # Airflow reads its settings when it is imported, so it is imported after they are set.
        from include.cli.foreground.dag_run import dag_run

        return dag_run(pipeline, partition, dag_file, folder, start_new=start_new)


def _dag_file(pipeline: str) -> Path:
    check_pipeline(pipeline, example=_EXAMPLE)
    dag_file = ROOT / "dags" / f"{pipeline}.py"
    if not dag_file.is_file():
        raise ParamError(f"Pipeline {pipeline} has no Dag file: dags/{pipeline}.py.")
    return dag_file


def _pipeline(name: str, options: RunOptions) -> Pipeline:
    # Not at the top: this imports pyarrow, whose threads must start after the signals are blocked.
    from include.enrichment.spec.pipeline_folder import load_pipeline

    pipeline = load_pipeline(ROOT / "include" / "pipelines" / name)
    try:
        return pipeline.for_run(options)
    except ParamError as error:
        raise ParamError(f"{format_options(options)}: {error}") from None


def _variables(folder: StackFolder, environment: Mapping[str, str], pipeline: Pipeline) -> dict[str, str]:
    """Return the connection variables. If only the pipeline's is missing, MissingVariables has the closest name."""
    connection = pipeline.settings.source.connection
    source = f"{CONNECTION_PREFIX}{connection.upper()}" if connection else LAKE  # a table is on the lake
    try:
        return connection_variables(folder, environment, list(dict.fromkeys((ANTHROPIC, AWS, source, LAKE))))
    except MissingVariables as error:
        if connection is None or error.names != [source]:
            raise
        stack = read_stack(folder)
        names = [*environment, *(stack.connections if stack else ())]
        known = sorted(
            {name.removeprefix(CONNECTION_PREFIX).lower() for name in names if name.startswith(CONNECTION_PREFIX)}
        )
        raise MissingVariables(
            f"{pipeline.location('source.connection')}: there is no connection {connection!r}"
            f"{nearest(connection, known) or '.'} There are: {', '.join(known)}.\nName one of these, or set {source} as"
            " docs/configuration.md shows.",
            names=error.names,
        ) from None


def _settings(dag_file: Path) -> dict[str, str]:
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(dag_file),
        "AIRFLOW__CORE__FERNET_KEY": fernet_key(),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": os.environ.get("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING"),
        "AIRFLOW__LOGGING__NAMESPACE_LEVELS": os.environ.get("AIRFLOW__LOGGING__NAMESPACE_LEVELS", _LEVELS),
    }


@contextmanager
def _throw_away_home(folder: StackFolder) -> Iterator[Path]:
    """Create a temporary folder named after this process, and delete the folders of dead processes."""
    folder.runs.mkdir(parents=True, exist_ok=True)
    for left in folder.runs.iterdir():
        if not psutil.pid_exists(int(left.name.split("-")[0])):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=folder.runs, ignore_cleanup_errors=True) as home:
        yield Path(home)


def _block(signals: Sequence[signal.Signals]) -> None:
    """Block the signals in this thread and in all later threads, including those of native libraries."""
    for number in signals:
        # Shells start background jobs with SIGINT ignored, and sigwait() never returns an ignored signal.
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)


def _exit_on_signals(home: Path, pipeline: str, partition: Partition) -> None:
    """
    Exit at once on SIGINT, SIGTERM or SIGHUP, with status 128 + the signal's number.

    Airflow's task code installs its own handlers and retries after an interrupt. Therefore a thread waits for the
    signals, which are blocked in all other threads. The ledger makes it safe to exit at any moment.
    """

    def wait() -> None:
        number = signal.sigwait(SIGNALS)
        complain(
            f"\nStopped by {signal.Signals(number).name}. {pipeline} {partition} was not published by this run."
            f" Its submitted batches are in the ledger on {os.environ[LAKE]}; the same command resumes from there."
        )
        # Other threads may still be writing; the next run deletes what they leave behind.
        for _ in range(3):
            shutil.rmtree(home, ignore_errors=True)
        os._exit(128 + number)

    threading.Thread(target=wait, name="signals", daemon=True).start()
