"""Decides whether a batch may be canceled when the task that waits for it is killed."""

from __future__ import annotations

from collections.abc import Sequence

#: States that a task leaves only when a person clears it. In any other, somebody is waiting for the batch, or is about
#: to.
_FINAL_STATES = ("failed", "success", "skipped")


def may_cancel(task_state: str | None, run_id: str, holders: Sequence[str]) -> bool:
    """
    Whether nobody needs the batch any more: its task is over, and no other run holds the batch.

    Airflow 3.3 tells a trigger that it was killed also after a clear, when the new attempt is at work already, and when
    a slow triggerer has lost its triggers to another. The task's state tells these apart from a person's decision.

    :param task_state: of the task instance that waits, as it is now; None if it could not be found out
    :param run_id: the run of that task instance
    :param holders: the runs that hold the batch according to the ledger; empty if it could not be found out
    """
    return task_state in _FINAL_STATES and set(holders) == {run_id}
