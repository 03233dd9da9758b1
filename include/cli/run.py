"""`make run`: one Dag run of one partition in the foreground, on the environment's connections, without any server."""

from __future__ import annotations

import difflib
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

from include.cli.connections import CONNECTION_PREFIX, MissingVariables, connection_variables
from include.cli.exit_codes import BAD_ARGUMENTS, NOT_STARTED
from include.cli.foreground.run_options import BadArgument, spell, typed_options
from include.enrichment.errors import EnrichmentError, ParamError, PartitionError, nearest
from include.enrichment.runs.options import RunOptions
from include.enrichment.runs.partition import Partition, check_not_future, resolve_partition
from include.stack.environment import core_settings
from include.stack.folder import ROOT, StackFolder
from include.stack.progress import complain
from include.stack.stack import ANTHROPIC, AWS, LAKE, fernet_key, read_stack

if TYPE_CHECKING:
    from include.enrichment.spec.pipeline import Pipeline

#: We say once why a task failed or a Dag file cannot be imported, so Airflow's own frames are silenced.
_LEVELS = "task=CRITICAL airflow.dag_processing=CRITICAL"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(folder: StackFolder, name: str, partition_text: str, *, anew: bool) -> int:
    """
    Run one partition of the pipeline ``name``, with the environment's OPTIONS, and return the exit status.

    What can be known without Airflow is checked in the first second, and the rest before Airflow's database is made.

    Airflow gets a home and a metadata database of its own, which are thrown away: all that matters is on the lake, also
    which run was killed and is gone on with. Any number may run side by side.

    :param anew: do not go on with an unfinished run
    """
    _block(SIGNALS)
    try:
        partition = _partition(partition_text)
        dag_file = _dag_file(name)
        options = typed_options(os.environ)
        pipeline = _pipeline(name, options)
        variables = _variables(folder, os.environ, pipeline)
    except (BadArgument, MissingVariables, EnrichmentError) as error:
        complain(f"{error}\n{NOT_STARTED}")
        return BAD_ARGUMENTS
    with _throw_away_home(folder) as home:
        os.environ.update(variables | core_settings(str(home)) | _settings(dag_file))
        _end_at_once_when_told(home, name, partition)
        # Airflow reads its settings while it is imported, so not before they are all there.
        from include.cli.foreground.dag_run import dag_run

        return dag_run(pipeline, partition, dag_file, folder, anew=anew)


def _dag_file(pipeline: str) -> Path:
    if not pipeline:
        raise BadArgument("PIPELINE is missing: make run PIPELINE=catalogue PARTITION=2026-11-01")
    names = sorted(path.parent.name for path in (ROOT / "include" / "pipelines").glob("*/pipeline.yaml"))
    if pipeline not in names:
        near = difflib.get_close_matches(pipeline, names, n=3, cutoff=0.4) or names
        raise BadArgument(f"There is no pipeline {pipeline!r}. Nearest: {', '.join(near)}. See include/pipelines.")
    dag_file = ROOT / "dags" / f"{pipeline}.py"
    if not dag_file.is_file():
        raise BadArgument(f"Pipeline {pipeline} has no Dag file: dags/{pipeline}.py.")
    return dag_file


def _pipeline(name: str, options: RunOptions) -> Pipeline:
    # Here and not above: it brings in pyarrow, whose threads must be born after the signals are blocked.
    from include.enrichment.spec.pipeline_folder import load_pipeline

    pipeline = load_pipeline(ROOT / "include" / "pipelines" / name)
    try:
        return pipeline.for_run(options)
    except ParamError as error:
        raise BadArgument(f"{spell(options)}: {error}") from None


def _variables(folder: StackFolder, environment: Mapping[str, str], pipeline: Pipeline) -> dict[str, str]:
    """Raises MissingVariables, with the nearest name where the pipeline's connection is all that is missing."""
    source = f"{CONNECTION_PREFIX}{pipeline.settings.source.connection.upper()}"
    try:
        return connection_variables(folder, environment, list(dict.fromkeys((ANTHROPIC, AWS, source, LAKE))))
    except MissingVariables as error:
        if error.names != [source]:
            raise
        stack = read_stack(folder)
        names = [*environment, *(stack.connections if stack else ())]
        known = sorted(
            {name.removeprefix(CONNECTION_PREFIX).lower() for name in names if name.startswith(CONNECTION_PREFIX)}
        )
        connection = pipeline.settings.source.connection
        raise MissingVariables(
            f"{pipeline.location('source.connection')}: there is no connection {connection!r}"
            f"{nearest(connection, known) or '.'} There are: {', '.join(known)}.\nName one of these, or set {source} as"
            " docs/configuration.md shows.",
            names=error.names,
        ) from None


def _partition(text: str) -> Partition:
    try:
        partition = resolve_partition(param=text or "''", partition_key=None, data_interval_start=None)
    except PartitionError:
        if not text:
            raise BadArgument("PARTITION is missing: make run PIPELINE=catalogue PARTITION=2026-11-01") from None
        raise BadArgument(f"PARTITION is {text!r}, which is not a date like 2026-11-01.") from None
    check_not_future(partition, today=datetime.now(UTC).date())
    return partition


def _settings(dag_file: Path) -> dict[str, str]:
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(dag_file),
        "AIRFLOW__CORE__FERNET_KEY": fernet_key(),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": os.environ.get("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING"),
        "AIRFLOW__LOGGING__NAMESPACE_LEVELS": os.environ.get("AIRFLOW__LOGGING__NAMESPACE_LEVELS", _LEVELS),
    }


@contextmanager
def _throw_away_home(folder: StackFolder) -> Iterator[Path]:
    """A folder named by this process, so that those of processes that were killed can be told and swept."""
    folder.runs.mkdir(parents=True, exist_ok=True)
    for left in folder.runs.iterdir():
        if not psutil.pid_exists(int(left.name.split("-")[0])):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=folder.runs, ignore_cleanup_errors=True) as home:
        yield Path(home)


def _block(signals: Sequence[signal.Signals]) -> None:
    """Block the signals in this thread and in all that it starts from now on, and so in those of native libraries."""
    for number in signals:
        # A shell starts background jobs with SIGINT ignored, and an ignored signal cannot be waited for.
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)


def _end_at_once_when_told(home: Path, pipeline: str, partition: Partition) -> None:
    """
    SIGINT, SIGTERM and SIGHUP end the process, whatever it is doing; the status is 128 + the signal's number.

    Airflow's task code installs its own handlers and treats an interrupt as a failure to retry, hence a thread that
    waits for the signals, which are blocked everywhere else. The ledger is made for processes that end like this.
    """

    def wait() -> None:
        number = signal.sigwait(SIGNALS)
        complain(
            f"\nStopped by {signal.Signals(number).name}. {pipeline} {partition} was not published by this run."
            f" What it had submitted is in the ledger of {os.environ[LAKE]}; the same command goes on from there."
        )
        # The other threads write on until the end; what they still leave is swept by the next run.
        for _ in range(3):
            shutil.rmtree(home, ignore_errors=True)
        os._exit(128 + number)

    threading.Thread(target=wait, name="signals", daemon=True).start()
