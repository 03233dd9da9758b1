"""lease.py: who may ask a chunk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from include.enrichment.batches.ledger import Entry
from include.enrichment.synchronous.lease import CLOCK_SKEW, LEASE, RENEW_EVERY, free_at, is_held

NOW = datetime(2026, 11, 21, 2, tzinfo=UTC)


def entry(until: datetime | None) -> Entry:
    return Entry(
        chunk_id="c",
        pipeline="tickets",
        chunk="chunks/tickets/c.parquet",
        requests=3,
        run_id="run-1",
        state="asking",
        changed_at=NOW,
        batch_id="asked_c",
        asked_since=NOW,
        asked_until=until,
    )


def test_whoever_holds_the_lease_stops_before_anybody_else_may_go_on() -> None:
    held = entry(NOW + LEASE)
    last = NOW + LEASE - timedelta(seconds=1)
    assert is_held(held, now=last)
    assert not is_held(held, now=NOW + LEASE)
    assert free_at(held, now=NOW + LEASE) == NOW + LEASE + CLOCK_SKEW
    assert free_at(held, now=NOW + LEASE + CLOCK_SKEW) is None


def test_a_lease_that_was_given_back_is_free_at_once() -> None:
    assert free_at(entry(None), now=NOW) is None
    assert not is_held(entry(None), now=NOW)


def test_two_renewals_may_fail_before_a_lease_runs_out() -> None:
    assert 3 * RENEW_EVERY < LEASE
