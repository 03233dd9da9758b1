"""The process of a foreground run: its throw-away Airflow home, its settings, and its signals."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from include.stack.environment import core_settings
from include.stack.folder import StackFolder
from include.stack.progress import complain
from include.stack.stack import fernet_key

#: Airflow's own stack traces are silenced: we report a failed task and a broken Dag file ourselves.
_LEVELS = "task=CRITICAL airflow.dag_processing=CRITICAL"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def block_signals() -> None:
    """Block SIGNALS in this thread and in all later threads, including those of native libraries."""
    for number in SIGNALS:
        # Shells start background jobs with SIGINT ignored, and sigwait() never returns an ignored signal.
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def exit_on_signals(home: Path, left_behind: str) -> None:
    """
    Exit at once on one of SIGNALS, with status 128 + the signal's number.

    Airflow's task code installs its own handlers and retries after an interrupt. Therefore a thread waits for the
    signals, which are blocked in all other threads. The ledger makes it safe to exit at any moment.

    :param home: is deleted
    :param left_behind: for people, what is left and how to continue
    """

    def wait() -> None:
        number = signal.sigwait(SIGNALS)
        complain(f"\nStopped by {signal.Signals(number).name}. {left_behind}")
        # Other threads may still be writing; the next run deletes what they leave behind.
        for _ in range(3):
            shutil.rmtree(home, ignore_errors=True)
        os._exit(128 + number)

    threading.Thread(target=wait, name="signals", daemon=True).start()


def configure_airflow(home: Path, dags: Path, variables: Mapping[str, str]) -> None:
    """
    Set Airflow's settings and connections in the environment. Airflow reads them when it is imported.

    :param dags: the Dag file, or the folder of the Dag files
    :param variables: the connections
    """
    os.environ.update({**variables, **core_settings(str(home))})
    os.environ |= {
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__FERNET_KEY": fernet_key(),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": os.environ.get("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING"),
        "AIRFLOW__LOGGING__NAMESPACE_LEVELS": os.environ.get("AIRFLOW__LOGGING__NAMESPACE_LEVELS", _LEVELS),
    }


@contextmanager
def throw_away_home(folder: StackFolder) -> Iterator[Path]:
    """Create a temporary folder named after this process, and delete the folders of dead processes."""
    folder.runs.mkdir(parents=True, exist_ok=True)
    for left in folder.runs.iterdir():
        if not psutil.pid_exists(int(left.name.split("-")[0])):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=folder.runs, ignore_cleanup_errors=True) as home:
        yield Path(home)
