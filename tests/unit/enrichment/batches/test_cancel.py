"""cancel.py: when a killed wait may cancel its batch."""

from __future__ import annotations

import pytest

from include.enrichment.batches.cancel import may_cancel


@pytest.mark.parametrize("state", ["failed", "success", "skipped"])
def test_a_batch_that_nobody_needs_may_be_canceled(state: str) -> None:
    assert may_cancel(state, "run 1", ["run 1"])
    assert may_cancel(state, "run 1", ["run 1", "run 1"])


@pytest.mark.parametrize(
    "state",
    [
        None,
        "",
        "deferred",
        "queued",
        "scheduled",
        "running",
        "restarting",
        "up_for_retry",
        "up_for_reschedule",
        "removed",
    ],
)
def test_a_batch_whose_task_may_be_running_is_left_alone(state: str | None) -> None:
    assert not may_cancel(state, "run 1", ["run 1"])


@pytest.mark.parametrize("holders", [[], ["run 2"], ["run 1", "run 2"], ["run 2", "run 1"]])
def test_a_batch_with_other_or_unknown_holders_is_left_alone(holders: list[str]) -> None:
    assert not may_cancel("failed", "run 1", holders)
