"""Decides whether a batch may be canceled: when the task that waits for it is killed, and at its switch time."""

from __future__ import annotations

from collections.abc import Sequence

#: A task leaves these states only when a person clears it. In any other state the task waits for the batch or will.
_FINAL_STATES = ("failed", "success", "skipped")


def may_cancel(task_state: str | None, run_id: str, holders: Sequence[str]) -> bool:
    """
    Return whether the batch is no longer needed: its task has ended, and no other run waits for it.

    Airflow 3.3 also cancels a trigger after a clear, while the new attempt is already running, and when a slow
    triggerer has lost its triggers to another. The task's state distinguishes these cases from a person's decision.

    :param task_state: the current state of the waiting task instance; None if unknown
    :param run_id: the run of that task instance
    :param holders: the runs that hold the batch according to the ledger; empty if unknown
    """
    return task_state in _FINAL_STATES and is_only_holder(run_id, holders)


def is_only_holder(run_id: str, holders: Sequence[str]) -> bool:
    """Return whether no other run than this one waits for the batch. False if the holders are unknown."""
    return set(holders) == {run_id}
