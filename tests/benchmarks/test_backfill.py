from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.benchmarks.backfill import PROCESSING_SECONDS, most_at_once

BEGUN = datetime(2026, 11, 22, tzinfo=UTC)


def made(*seconds: float) -> list[datetime]:
    return [BEGUN + timedelta(seconds=one) for one in seconds]


def test_batches_that_overlap_are_counted_together() -> None:
    assert most_at_once(made(0, 1, PROCESSING_SECONDS - 1)) == 3


def test_a_batch_that_has_ended_makes_room() -> None:
    assert most_at_once(made(0, PROCESSING_SECONDS, 2 * PROCESSING_SECONDS)) == 1


def test_without_batches_the_queue_is_empty() -> None:
    assert most_at_once([]) == 0
