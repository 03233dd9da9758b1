"""
The killer: SIGKILL at random moments to the processes that a failing machine would take down together.

There are six kinds of kills: a task's process; its supervising worker; both, as when a container dies; the triggerer;
the scheduler; the scheduler with all of its workers. supervisord restarts the triggerer and the scheduler.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple, Self

import httpx2
import psutil

from include.stack.folder import StackFolder
from include.stack.processes import marked_processes

_WORKER = "airflow worker -- LocalExecutor"
#: The relative frequency of each kind of kill.
_WEIGHTS = {"task": 6, "its worker": 2, "both": 3, "triggerer": 2, "scheduler": 1, "scheduler with workers": 1}
#: The relative frequency of each task as a victim: tasks that pay or publish are worth killing more often.
_TASK_WEIGHTS = {"submit": 6, "load": 3, "publish": 3, "plan": 2}
#: The longest that a kill waits for a running task.
_VICTIM_SECONDS = 40.0


class _Found(NamedTuple):
    """The victims of a kill; false if there are none."""

    processes: list[psutil.Process]
    task: str = ""

    def __bool__(self) -> bool:
        return bool(self.processes)


class Killer:
    """
    Kills up to ``kills`` times while its block runs.

    :param running: returns the running tasks: task ids by task instance id
    :param say: logs each kill
    :param pauses: the shortest and the longest pause between two kills, in seconds
    """

    def __init__(
        self,
        folder: StackFolder,
        *,
        running: Callable[[], Mapping[str, str]],
        seed: int,
        kills: int,
        say: Callable[[str], None],
        pauses: tuple[float, float] = (6, 40),
    ) -> None:
        self.killed: Counter[str] = Counter()
        self.planned = kills
        self._folder = folder
        self._running = running
        self._random = random.Random(seed)
        self._say = say
        self._pauses = pauses
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go, name="killer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _go(self) -> None:
        for _ in range(self.planned):
            kind = self._random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
            if self._over.wait(self._random.uniform(*self._pauses)):
                return
            deadline = time.monotonic() + _VICTIM_SECONDS
            while not (found := self._look_for(kind)):
                if self._over.wait(0.2):
                    return
                if time.monotonic() > deadline:
                    break
            if found and _kill(found.processes):
                self.killed[kind] += 1
                self._say(f"  killed {kind}{found.task and f' of {found.task}'}")

    def _look_for(self, kind: str) -> _Found | None:
        # A killed API server may respond late or not at all.
        with suppress(httpx2.HTTPError, psutil.Error):
            return self._victims(kind)
        return None

    def _victims(self, kind: str) -> _Found | None:
        found = marked_processes(self._folder)
        if kind == "triggerer":
            return _Found([process for process in found if _is_component(process, "triggerer")])
        workers = {process.pid: process for process in found if _title(process).startswith(_WORKER)}
        # The process of a task is a child of its supervising worker, and has the worker's title at first.
        tasks = [(workers[parent], process) for process in found if (parent := _parent(process)) in workers]
        watching = {worker.pid for worker, _ in tasks} - {process.pid for _, process in tasks}
        tasks = [(worker, process) for worker, process in tasks if worker.pid in watching]
        if kind.startswith("scheduler"):
            schedulers = [process for process in found if _is_component(process, "scheduler")]
            others = [*workers.values(), *(process for _, process in tasks)] if schedulers and "with" in kind else []
            return _Found([*schedulers, *others])
        # Only tasks that Airflow knows are running: LocalExecutor loses a task whose worker dies before it reports the
        # start (it has no revoke_task(), so the scheduler leaves the task queued until the scheduler restarts).
        running = self._running()
        begun = [(running[name], task) for task in tasks if (name := _instance(task[1], running)) is not None]
        if not begun:
            return None
        weights = [_TASK_WEIGHTS.get(name.rpartition(".")[2], 1) for name, _ in begun]
        name, (worker, process) = self._random.choices(begun, weights)[0]
        # Wait a moment: otherwise the victim would always be a task that has just begun.
        if self._over.wait(self._random.uniform(0, 2.5)) or not _busy(worker, process):
            return None
        return _Found({"task": [process], "its worker": [worker], "both": [worker, process]}[kind], name)


def restart_scheduler(folder: StackFolder) -> None:
    """Kill the scheduler; supervisord restarts it."""
    _kill(process for process in marked_processes(folder) if _is_component(process, "scheduler"))


def reap(folder: StackFolder) -> int:
    """Kill the idle workers that outlived their scheduler, and return their number."""
    idle = [process for process in marked_processes(folder) if _title(process) == f"{_WORKER}: <idle>"]
    schedulers = {process.pid for process in marked_processes(folder) if _is_component(process, "scheduler")}
    return _kill(process for process in idle if _parent(process) not in schedulers)


def _busy(worker: psutil.Process, process: psutil.Process) -> bool:
    """Return whether a worker runs a task: killing an idle one, which locks the queue, would stop the executor."""
    return "<idle>" not in _title(worker) and process.is_running() and _parent(process) == worker.pid


def _kill(victims: Iterable[psutil.Process]) -> int:
    killed = 0
    for process in victims:
        with suppress(psutil.NoSuchProcess):
            process.kill()
            killed += 1
    return killed


def _is_component(process: psutil.Process, name: str) -> bool:
    with suppress(psutil.Error, OSError):
        words = process.cmdline()
        return name in words[-2:] and "airflow" in words
    return False


def _title(process: psutil.Process) -> str:
    with suppress(psutil.Error, OSError):
        return " ".join(process.cmdline()).strip()
    return ""


def _instance(process: psutil.Process, running: Iterable[str]) -> str | None:
    """Return the task instance in the title of a process, which may be cut off."""
    named = _title(process).removeprefix("airflow worker -- ")
    return next((name for name in running if name.startswith(named)), None) if len(named) > 20 else None


def _parent(process: psutil.Process) -> int:
    with suppress(psutil.Error, OSError):
        return int(process.ppid())
    return -1
