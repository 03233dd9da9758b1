"""The output of the commands: lines, steps with their duration, and changes of task states."""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from include.stack.airflow_api import TaskInstance

# A mapped task is shown with the first of these states that one of its instances has.
MOST_IMPORTANT_FIRST = (
    *("failed", "upstream_failed", "up_for_retry", "up_for_reschedule", "restarting"),
    *("running", "queued", "scheduled", "deferred", "success", "skipped"),
)


def say(line: str = "") -> None:
    """Print one line at once, even into a pipe."""
    print(_harmless(line), flush=True)


def complain(line: str) -> None:
    """Print one line to stderr."""
    print(_harmless(line), file=sys.stderr, flush=True)


def _harmless(line: str) -> str:
    """Replace unprintable characters by spaces: an error may quote data, which must not control the terminal."""
    return "".join(character if character.isprintable() or character in "\n\t" else " " for character in line)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print what the block does, and after it how long it took."""
    begun = time.monotonic()
    print(f"  {what} … ", end="", flush=True)
    try:
        yield
    except BaseException:
        say("")
        raise
    say(f"{time.monotonic() - begun:.1f} s")


class Progress:
    """Prints each change of a run's tasks once: ``main.chunk.wait  deferred (2 of 3)``."""

    def __init__(self, pipeline: str) -> None:
        self._prefix = f"{pipeline}."
        self._begun = time.monotonic()
        self._said: dict[str, str] = {}

    def show(self, tasks: Iterable[TaskInstance]) -> None:
        """Print what has changed since the last call, except tasks that never run because another one failed."""
        for name, summary in self.summaries(tasks).items():
            if summary and self._said.get(name) != summary and not summary.startswith("upstream_failed"):
                self._said[name] = summary
                self.note(f"{name:<24} {summary}")

    def note(self, line: str) -> None:
        """Print a line with the time since the start of the run."""
        say(f"  {time.monotonic() - self._begun:5.0f} s  {line}")

    def summaries(self, tasks: Iterable[TaskInstance]) -> dict[str, str]:
        """Return the state of each task, and for a mapped task how many instances have it."""
        states: dict[str, list[str | None]] = defaultdict(list)
        for task in tasks:
            states[task.task_id.removeprefix(self._prefix)].append(task.state)
        return {name: _summary(found) for name, found in states.items()}


def _summary(states: Sequence[str | None]) -> str:
    counted = Counter(state for state in states if state != "removed")
    for state in MOST_IMPORTANT_FIRST:
        if counted[state]:
            return state if len(states) == 1 else f"{state} ({counted[state]} of {len(states)})"
    return ""
