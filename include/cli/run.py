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
from pydantic import ValidationError

from include.enrichment.errors import EnrichmentError, ParamError, PartitionError, nearest
from include.enrichment.runs.options import RunOptions
from include.enrichment.runs.partition import Partition, check_begun, resolve_partition
from include.stack.environment import core_settings
from include.stack.folder import ROOT, StackFolder
from include.stack.processes import marked_processes
from include.stack.progress import complain
from include.stack.stack import ANTHROPIC, AWS, CONNECTION_VARIABLES, LAKE, fernet_key, read_stack

if TYPE_CHECKING:
    from include.enrichment.spec.pipeline import Pipeline

#: Exit statuses. What was asked for and is done is 0, also a trial and a dry run. BAD_ARGUMENTS: nothing was started,
#: as an argument, the pipeline or a setting is wrong. SUPERSEDED: nothing failed, and a newer run's rows stay
#: published.
PUBLISHED, NOT_PUBLISHED, BAD_ARGUMENTS, SUPERSEDED = 0, 1, 2, 3
#: The fields of the trigger form, and the variables that `make run` takes them from.
OPTIONS = {
    "rows": "ROWS",
    "dry_run": "DRY_RUN",
    "budget_usd": "BUDGET",
    "model": "MODEL",
    "reuse": "REUSE",
    "only_rejects": "ONLY_REJECTS",
}
#: What to do when nothing was started.
NOT_STARTED = "No run was started. Fix this, then run the same command again."
_CONNECTION = "AIRFLOW_CONN_"
#: We say once why a task failed or a Dag file cannot be imported, so Airflow's own frames are silenced.
_LEVELS = "task=CRITICAL airflow.dag_processing=CRITICAL"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class BadArgument(Exception):
    """The pipeline does not exist, the partition is not a date, or an option is invalid."""


class MissingVariables(Exception):
    """
    The environment does not say where to read, ask and write, and no stack runs that could.

    :param names: the variables that are missing
    """

    def __init__(self, message: str, *, names: Sequence[str]) -> None:
        super().__init__(message)
        self.names = names


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


def typed_options(environment: Mapping[str, str]) -> RunOptions:
    """The fields of the trigger form, as the environment has them. Raises BadArgument."""
    texts = {field: environment[variable] for field, variable in OPTIONS.items() if environment.get(variable)}
    try:
        return RunOptions.model_validate_strings(texts, strict=False)
    except ValidationError as error:
        mistakes = [
            f"{OPTIONS[str(problem['loc'][0])]} is {problem['input']!r}: it"
            f" {problem['msg'].partition(',')[0].removeprefix('Input ')}."
            for problem in error.errors()
        ]
        raise BadArgument("\n".join(mistakes)) from None


def spell(options: RunOptions) -> str:
    """The options as they are typed, `ROWS=10 DRY_RUN=1`; empty where there are none."""
    given = options.model_dump(exclude_defaults=True)
    return " ".join(
        f"{OPTIONS[field]}={int(value) if isinstance(value, bool) else value}" for field, value in given.items()
    )


def connection_variables(
    folder: StackFolder, environment: Mapping[str, str], names: Sequence[str] = CONNECTION_VARIABLES
) -> dict[str, str]:
    """
    Where to read, ask and write: what the environment says, and where it is silent, what the running stack says.

    :param names: which of these variables are needed

    Raises MissingVariables if neither says it.
    """
    given = {name: environment[name] for name in names if environment.get(name)}
    missing = [name for name in names if name not in given]
    if not missing:
        return given
    stack = read_stack(folder)
    found = dict(stack.connections) if stack and marked_processes(folder) else {}
    if absent := [name for name in missing if name not in found]:
        why = "No stack runs here that could say."
        if found:
            why = (
                "The stack that runs here uses the real API and does not hand on its key."
                if ANTHROPIC in absent
                else "The stack that runs here has none of that name."
            )
        raise MissingVariables(
            f"Not set: {', '.join(absent)}. {why}\nSet what is missing, as docs/configuration.md shows"
            f"{'' if found else '; or start the embedded stack with `make demo`, and use its own'}.",
            names=absent,
        )
    return {name: given.get(name) or found[name] for name in names}


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
    source = f"{_CONNECTION}{pipeline.settings.source.connection.upper()}"
    try:
        return connection_variables(folder, environment, list(dict.fromkeys((ANTHROPIC, AWS, source, LAKE))))
    except MissingVariables as error:
        if error.names != [source]:
            raise
        stack = read_stack(folder)
        names = [*environment, *(stack.connections if stack else ())]
        known = sorted({name.removeprefix(_CONNECTION).lower() for name in names if name.startswith(_CONNECTION)})
        connection = pipeline.settings.source.connection
        raise MissingVariables(
            f"{pipeline.place('source.connection')}: there is no connection {connection!r}"
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
    check_begun(partition, today=datetime.now(UTC).date())
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
