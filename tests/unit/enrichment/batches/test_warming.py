from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from include.enrichment.batches.ledger import Entry, State
from include.enrichment.batches.warming import is_cache_warm
from include.enrichment.cost.caching import Ttl

NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "minutes", "ttl", "warm"),
    [
        ("landed", 4, "5m", True),
        ("landed", 6, "5m", False),
        ("landed", 6, "1h", True),
        ("landed", 61, "1h", False),
        ("submitted", 61, "5m", True),
        ("submitted", 25 * 60, "1h", False),
        ("submitting", 1, "1h", False),
        ("unclear", 1, "1h", False),
        ("planned", 1, "1h", False),
    ],
)
def test_the_cache_is_warm_from_submission_until_the_ttl_after_loading(
    state: State, minutes: int, ttl: Ttl, warm: bool
) -> None:
    entry = Entry(
        chunk_id="c",
        pipeline="p",
        chunk="chunks/p/c.parquet",
        requests=1,
        run_id="r",
        state=state,
        changed_at=NOW - timedelta(minutes=minutes),
        batch_id="msgbatch_1" if state in ("submitted", "landed") else None,
    )
    assert is_cache_warm(entry, ttl, now=NOW) is warm
