"""Decides whether the prompt cache is warm already, as far as the ledger tells."""

from __future__ import annotations

from datetime import datetime

from include.enrichment.batches.ledger import Entry
from include.enrichment.batches.poll import WINDOW
from include.enrichment.cost.caching import LIFE, Ttl


def is_cache_warm(entry: Entry, ttl: Ttl, *, now: datetime) -> bool:
    """
    Whether the chunk's batch has read or written its prefix within the TTL, as far as its ledger entry tells: it is in
    flight, or was loaded so lately.
    """
    if entry.state == "submitted":
        return now - entry.changed_at < WINDOW
    return entry.state == "landed" and now - entry.changed_at < LIFE[ttl]
