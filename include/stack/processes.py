"""Start and stop the stack's processes, and find those that a crash left behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping

import psutil

from include.stack.environment import MARKER, stack_environment
from include.stack.folder import ROOT, StackFolder
from include.stack.postgres_server import remove_cluster
from include.stack.stack import Stack
from include.stack.supervisor import write_configuration

# An idle LocalExecutor never lets the scheduler end on SIGTERM. The other processes need three or four seconds.
STOP_SECONDS = 5.0


class AlreadyRunning(Exception):
    """Another demo of this checkout is running."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"A demo of this checkout is already running (process {pid}).")


@contextlib.contextmanager
def one_demo_at_a_time(folder: StackFolder) -> Iterator[None]:
    """
    Hold the folder's lock. The system releases it however this process ends.

    Raises AlreadyRunning if another process holds it.
    """
    with folder.lock.open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(_pid_in(folder)) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def running_demo(folder: StackFolder) -> int | None:
    """Return the pid of the running demo, None if there is none."""
    try:
        with folder.lock.open("r", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return _pid_in(folder)
    return None


def start(
    stack: Stack, folder: StackFolder, *, anthropic: str | None = None, settings: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """
    Start supervisord, which starts and restarts all other processes; returns at once.

    It gets its own session: Ctrl-C in a terminal then reaches only the demo, which stops the processes in order.

    :param anthropic: see stack_environment()
    :param settings: environment variables that override those of stack_environment()
    """
    write_configuration(stack, folder)
    with (folder.logs / "supervisord.out").open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(folder.supervisor_conf)],
            env=stack_environment(stack, anthropic=anthropic) | dict(settings or {}),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop_all(folder: StackFolder) -> int:
    """
    Stop every process with this folder's marker, including orphans, and no other; returns their number.

    supervisord is stopped first, because it would restart the others, and Postgres last, because the others need it to
    end cleanly. Processes that do not end within seconds are killed. The metadata in Postgres is deleted.
    """
    stopped: set[int] = set()

    def stop(wanted: Callable[[psutil.Process], bool], *signals: signal.Signals) -> None:
        for number in signals:
            deadline = time.monotonic() + STOP_SECONDS
            for process in filter(wanted, marked_processes(folder)):
                stopped.add(process.pid)
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            # Not psutil.wait_procs, which waits forever for an orphan that its new parent does not reap.
            while any(map(wanted, marked_processes(folder))) and time.monotonic() < deadline:
                time.sleep(0.1)

    stop(_is_supervisord, signal.SIGKILL)
    stop(lambda process: not _is_postgres(process), signal.SIGTERM, signal.SIGKILL, signal.SIGKILL)
    stop(_is_postgres, signal.SIGINT, signal.SIGKILL, signal.SIGKILL)
    remove_cluster(folder.postgres)
    return len(stopped)


def marked_processes(folder: StackFolder) -> list[psutil.Process]:
    """Return every living process that was started for this folder, wherever it is in the process tree."""
    return [process for process in psutil.process_iter() if _marker_of(process) == str(folder.path)]


def stop_demo(folder: StackFolder, pid: int) -> None:
    """Ask a running demo to stop its stack and end; kill it if it does not."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 3 * STOP_SECONDS
    while running_demo(folder) == pid:
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.2)


def _marker_of(process: psutil.Process) -> str | None:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        marker: str | None = process.environ().get(MARKER)
        return marker
    except (psutil.Error, OSError):
        return None


def _is_supervisord(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return "supervisor.supervisord" in process.cmdline()
    return False


def _is_postgres(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        name: str = process.name()
        return name == "postgres"
    return False


def _pid_in(folder: StackFolder) -> int:
    return int(folder.lock.read_text(encoding="ascii") or 0)
