"""
The killer: SIGKILL at random moments, to what a machine that fails would take with it.

A kill is one of six: a task's process; the executor's worker that watches over it; both at once, as when a container
dies; the triggerer; the scheduler alone, or with all of its workers. supervisord starts triggerer and scheduler again.
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
#: How often each kind of kill is drawn, against the others.
_WEIGHTS = {"task": 6, "its worker": 2, "both": 3, "triggerer": 2, "scheduler": 1, "scheduler with workers": 1}
#: A task that is about to pay, or to make something visible, is the more telling victim.
_AIMED_AT = {"submit": 6, "load": 3, "publish": 3, "plan": 2}
#: So long a kill waits for a task to be running.
_PATIENCE_SECONDS = 40.0


class _Found(NamedTuple):
    """Whom a kill may hit; false if there is nobody."""

    processes: list[psutil.Process]
    task: str = ""

    def __bool__(self) -> bool:
        return bool(self.processes)


class Killer:
    """
    Kills, while its block is being run, up to ``kills`` times.

    :param running: tells which tasks run now: task ids by the ids of their instances
    :param say: is told of each kill
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
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while not (found := self._look_for(kind)):
                if self._over.wait(0.2):
                    return
                if time.monotonic() > deadline:
                    break
            if found and _kill(found.processes):
                self.killed[kind] += 1
                self._say(f"  killed {kind}{found.task and f' of {found.task}'}")

    def _look_for(self, kind: str) -> _Found | None:
        # What is killed around it may answer neither in time nor at all.
        with suppress(httpx2.HTTPError, psutil.Error):
            return self._victims(kind)
        return None

    def _victims(self, kind: str) -> _Found | None:
        found = marked_processes(self._folder)
        if kind == "triggerer":
            return _Found([process for process in found if _is_component(process, "triggerer")])
        workers = {process.pid: process for process in found if _title(process).startswith(_WORKER)}
        # The process of a task is the child of the worker that watches over it, and has the worker's title at first.
        tasks = [(workers[parent], process) for process in found if (parent := _parent(process)) in workers]
        watching = {worker.pid for worker, _ in tasks} - {process.pid for _, process in tasks}
        tasks = [(worker, process) for worker, process in tasks if worker.pid in watching]
        if kind.startswith("scheduler"):
            schedulers = [process for process in found if _is_component(process, "scheduler")]
            others = [*workers.values(), *(process for _, process in tasks)] if schedulers and "with" in kind else []
            return _Found([*schedulers, *others])
        # Only what Airflow knows to be running: LocalExecutor forgets a task whose worker dies before it has said so
        # (it has no revoke_task(), so the scheduler leaves the task queued until it is itself started again).
        running = self._running()
        begun = [(running[name], task) for task in tasks if (name := _instance(task[1], running)) is not None]
        if not begun:
            return None
        weights = [_AIMED_AT.get(name.rpartition(".")[2], 1) for name, _ in begun]
        name, (worker, process) = self._random.choices(begun, weights)[0]
        # A moment later, or it would always be a task that has just begun.
        if self._over.wait(self._random.uniform(0, 2.5)) or not _busy(worker, process):
            return None
        return _Found({"task": [process], "its worker": [worker], "both": [worker, process]}[kind], name)


def restart_scheduler(folder: StackFolder) -> None:
    """End the scheduler; supervisord starts it again."""
    _kill(process for process in marked_processes(folder) if _is_component(process, "scheduler"))


def reap(folder: StackFolder) -> int:
    """Kill the idle workers that outlived their scheduler; returns how many there were."""
    idle = [process for process in marked_processes(folder) if _title(process) == f"{_WORKER}: <idle>"]
    schedulers = {process.pid for process in marked_processes(folder) if _is_component(process, "scheduler")}
    return _kill(process for process in idle if _parent(process) not in schedulers)


def _busy(worker: psutil.Process, process: psutil.Process) -> bool:
    """An idle worker holds the lock of the executor's queue: killed then, it would take the whole executor along."""
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
    """The task instance that the process is named after, as far as its title has room for it."""
    named = _title(process).removeprefix("airflow worker -- ")
    return next((name for name in running if name.startswith(named)), None) if len(named) > 20 else None


def _parent(process: psutil.Process) -> int:
    with suppress(psutil.Error, OSError):
        return int(process.ppid())
    return -1
