"""dry_run.py: what a run would send, for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from include.enrichment.dry_run import DryRun, PassForecast

TOLD = DryRun(
    pipeline="catalogue",
    partition="2026-11-21",
    run_id="manual__1",
    extracted_at=datetime(2026, 11, 21, 2, tzinfo=UTC),
    model="claude-haiku-5-5",
    rows=120_000,
    unsendable=2,
    requests=110_000,
    answered=9_000,
    passes={
        "canary": PassForecast(in_flight=0, to_send=5, bytes=12_000, batches=1),
        "main": PassForecast(in_flight=995, to_send=100_000, bytes=240_040_000, batches=2),
        "retry": PassForecast(in_flight=0, to_send=0, bytes=0, batches=0),
    },
)


def test_the_table_has_a_line_for_each_pass_and_one_for_all_together() -> None:
    assert TOLD.table().splitlines() == [
        "120,000 rows of 2026-11-21, 2 of them cannot be sent.",
        "110,000 distinct requests to claude-haiku-5-5, 9,000 of them are answered already.",
        "pass         in flight     to send        MB   batches",
        "canary               0           5       0.0         1",
        "main               995     100,000     240.0         2",
        "retry                0           0       0.0         0",
        "together           995     100,005     240.1         3",
    ]


def test_it_is_the_same_after_it_was_stored() -> None:
    assert DryRun.model_validate_json(TOLD.model_dump_json()) == TOLD


@pytest.mark.parametrize("more", [{"version": 0}, {"cost": 1}, {"rows": None}])
def test_what_this_version_does_not_write_is_not_read(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DryRun.model_validate(TOLD.model_dump() | more)
