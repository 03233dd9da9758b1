"""What the stack's commands say: elapsed time, task states as they change, and the end of a run."""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from include.stack.airflow_api import TaskInstance

# Of several instances' states the first of these stands for the task.
MOST_TELLING_FIRST = (
    *("failed", "upstream_failed", "up_for_retry", "up_for_reschedule", "restarting"),
    *("running", "queued", "scheduled", "deferred", "success", "skipped"),
)


def say(line: str = "") -> None:
    """One line, at once, also into a pipe."""
    print(line, flush=True)


def complain(line: str) -> None:
    """One line to stderr."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done, and when it is done, how long it took."""
    begun = time.monotonic()
    print(f"  {what} … ", end="", flush=True)
    try:
        yield
    except BaseException:
        say("")
        raise
    say(f"{time.monotonic() - begun:.1f} s")


class Progress:
    """Says each change of a run's tasks once: ``main.chunk.wait  deferred (2 of 3)``."""

    def __init__(self, pipeline: str) -> None:
        self._prefix = f"{pipeline}."
        self._begun = time.monotonic()
        self._said: dict[str, str] = {}

    def show(self, tasks: Iterable[TaskInstance]) -> None:
        """Say what has changed since the last call, but not which tasks never run because of one that failed."""
        for name, summary in self.summaries(tasks).items():
            if summary and self._said.get(name) != summary and not summary.startswith("upstream_failed"):
                self._said[name] = summary
                self.note(f"{name:<24} {summary}")

    def note(self, line: str) -> None:
        """A line with the time since the run was started."""
        say(f"  {time.monotonic() - self._begun:5.0f} s  {line}")

    def summaries(self, tasks: Iterable[TaskInstance]) -> dict[str, str]:
        """One word for each task, and for a mapped one how many of its instances it is true of."""
        states: dict[str, list[str | None]] = defaultdict(list)
        for task in tasks:
            states[task.task_id.removeprefix(self._prefix)].append(task.state)
        return {name: _summary(found) for name, found in states.items()}


def _summary(states: Sequence[str | None]) -> str:
    counted = Counter(state for state in states if state != "removed")
    for state in MOST_TELLING_FIRST:
        if counted[state]:
            return state if len(states) == 1 else f"{state} ({counted[state]} of {len(states)})"
    return ""
