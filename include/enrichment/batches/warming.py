"""Decides by the ledger whether the prompt cache is warm."""

from __future__ import annotations

from datetime import datetime

from include.enrichment.batches.ledger import Entry
from include.enrichment.batches.poll import WINDOW
from include.enrichment.cost.caching import LIFE, Ttl


def is_cache_warm(entry: Entry, ttl: Ttl, *, now: datetime) -> bool:
    """
    Return whether the chunk's batch is in flight or was loaded within the TTL, so that it has used the prefix.
    """
    if entry.state == "submitted":
        return now - entry.changed_at < WINDOW
    return entry.state == "landed" and now - entry.changed_at < LIFE[ttl]
