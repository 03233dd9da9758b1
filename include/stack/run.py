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
from pathlib import Path

import psutil

from include.enrichment.errors import PartitionError, SpecError
from include.enrichment.partition import Partition, resolve_partition
from include.stack.environment import core_settings
from include.stack.folder import ROOT, StackFolder
from include.stack.metadata import MigrationFailed, give_sqlite
from include.stack.processes import marked_processes
from include.stack.report import complain
from include.stack.stack import CONNECTION_VARIABLES, LAKE, fernet_key, read_stack

#: Exit statuses. What was asked for and is done is 0, also a trial and a dry run. SUPERSEDED: nothing failed, and a
#: newer run's rows stay published.
PUBLISHED, NOT_PUBLISHED, BAD_ARGUMENTS, SUPERSEDED = 0, 1, 2, 3
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class BadArgument(Exception):
    """There is no such pipeline, its folder has mistakes, or the partition is not a date."""


class MissingVariables(Exception):
    """The environment does not say where to read, ask and write, and no stack runs that could."""


def run(folder: StackFolder, pipeline: str, partition_text: str, *, anew: bool) -> int:
    """
    Run one partition, and return the exit status.

    Airflow gets a home and a metadata database of its own, which are thrown away: all that matters is on the lake, also
    which run was killed and is gone on with. Any number may run side by side.

    :param anew: do not go on with an unfinished run
    """
    _block(SIGNALS)
    try:
        partition = _partition(partition_text)
        dag_file = _dag_file(pipeline)
        variables = connection_variables(folder, os.environ)
    except BadArgument as error:
        complain(str(error))
        return BAD_ARGUMENTS
    except MissingVariables as error:
        complain(str(error))
        return NOT_PUBLISHED
    with _throw_away_home(folder) as home:
        os.environ.update(variables | core_settings(str(home)) | _settings(dag_file))
        _end_at_once_when_told(home, pipeline, partition)
        try:
            give_sqlite(folder, home)
        except MigrationFailed as error:
            complain(str(error))
            return NOT_PUBLISHED
        # Airflow reads its settings while it is imported, so not before they are all there.
        from include.stack.dag_run import dag_run

        return dag_run(pipeline, partition, dag_file, folder, anew=anew)


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
        why = (
            "the stack that runs here uses the real API and does not hand on its key" if found else "no stack runs here"
        )
        raise MissingVariables(
            f"Not set: {', '.join(absent)}; and {why}. Nothing was started."
            " Set them to Airflow connections (README, Run it for real), or start the embedded stack with `make demo`."
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
    # Here and not above: it brings in pyarrow, whose threads must be born after the signals are blocked.
    from include.enrichment.spec import load_pipeline

    try:
        load_pipeline(ROOT / "include" / "pipelines" / pipeline)
    except SpecError as error:
        raise BadArgument(f"{error}\nNothing was started.") from None
    return dag_file


def _partition(text: str) -> Partition:
    try:
        return resolve_partition(param=text or "''", partition_key=None, data_interval_start=None)
    except PartitionError:
        if not text:
            raise BadArgument("PARTITION is missing: make run PIPELINE=catalogue PARTITION=2026-11-01") from None
        raise BadArgument(f"PARTITION is {text!r}, which is not a date like 2026-11-01. Nothing was started.") from None


def _settings(dag_file: Path) -> dict[str, str]:
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(dag_file),
        "AIRFLOW__CORE__FERNET_KEY": fernet_key(),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": os.environ.get("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING"),
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
