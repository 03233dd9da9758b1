"""
Decides who may ask a synchronous chunk. The process that asks it holds a lease, which it renews; once the lease has run
out, any process that waits for the chunk may go on. steps/asking/ acts on it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from include.enrichment.batches.ledger import Entry

#: What a lease lasts. A process that was killed keeps the others waiting for so long.
LEASE = timedelta(minutes=2)
#: The pause between two renewals: one may fail or take long before the lease runs out.
RENEW_EVERY = LEASE / 4
#: The largest difference between the clocks of two workers. Others wait for so much longer than the holder may ask.
CLOCK_SKEW = timedelta(minutes=1)


def free_at(entry: Entry, *, now: datetime) -> datetime | None:
    """Return when another process may ask the chunk that is ``asking``; None: now."""
    if entry.asked_until is None or now >= entry.asked_until + CLOCK_SKEW:
        return None
    return entry.asked_until + CLOCK_SKEW


def is_held(entry: Entry, *, now: datetime) -> bool:
    """Return whether the process that has written the entry may still ask, by its own clock."""
    return entry.asked_until is not None and now < entry.asked_until
