"""forecast.py: the result of a dry run, for people."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from include.enrichment.cost.bounds import Bounds, Usd
from include.enrichment.cost.estimate import Estimate
from include.enrichment.cost.forecast import DryRun, PassForecast


def forecast(in_flight: int, to_send: int, size: int, batches: int) -> PassForecast:
    tokens = Bounds(low=0, expected=to_send * 10, high=to_send * 20)
    cost = Usd(low=Decimal(0), expected=Decimal(to_send) / 1000, high=Decimal(to_send))
    made = Estimate(
        requests=to_send,
        bytes=size,
        input_tokens=tokens,
        output_tokens=tokens,
        cost_usd=cost,
        synchronous_usd=Decimal(to_send),
        sources="guesses",
    )
    return PassForecast(in_flight=in_flight, to_send=to_send, bytes=size, batches=batches, estimate=made)


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
        "canary": forecast(0, 5, 12_000, 1),
        "main": forecast(995, 100_000, 240_040_000, 2),
        "retry": forecast(0, 0, 0, 0),
    },
)


def test_the_table_shows_requests_and_cost_per_pass_and_in_total() -> None:
    rows, requests, heading, *lines = TOLD.table().splitlines()
    assert rows == "120,000 rows of 2026-11-21; 2 cannot be sent."
    assert requests == "110,000 distinct requests to claude-haiku-5-5; 9,000 are already answered."
    assert heading == "Each pass would send:"
    assert [line.split()[:5] for line in lines[1:5]] == [
        ["canary", "0", "1", "batch", "5"],
        ["main", "995", "2", "batch", "100,000"],
        ["retry", "0", "0", "0", "0.0"],
        ["total", "995", "3", "batch", "100,005"],
    ]
    assert lines[0].split()[0] == "pass"
    assert [line.split()[-5] for line in lines[1:5]] == ["0.0050", "100.0000", "0.0000", "100.0050"]
    assert TOLD.table().count("total") == 1


def test_a_dry_run_of_an_earlier_version_has_no_costs_and_is_shown() -> None:
    earlier = {"canary": PassForecast(in_flight=0, to_send=5, bytes=12_000, batches=1)}
    assert TOLD.model_copy(update={"passes": earlier}).table().startswith("120,000 rows of 2026-11-21")


def test_a_stored_dry_run_is_read_back_unchanged() -> None:
    assert DryRun.model_validate_json(TOLD.model_dump_json()) == TOLD


@pytest.mark.parametrize("more", [{"version": 0}, {"cost": 1}, {"rows": None}])
def test_unknown_or_invalid_fields_are_rejected(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DryRun.model_validate(TOLD.model_dump() | more)
