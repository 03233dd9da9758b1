"""rejection.py: too many rejects, in words."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest

from include.enrichment.estimate import Bounds, Estimate, Usd
from include.enrichment.manifest import Manifest
from include.enrichment.rejection import UNSENDABLE, too_many


def estimate(usd: str) -> Estimate:
    bounds = Bounds(low=1, expected=1, high=1)
    cost = Usd(low=Decimal(0), expected=Decimal(usd), high=Decimal(9))
    return Estimate(
        requests=100,
        bytes=1,
        input_tokens=bounds,
        output_tokens=bounds,
        cost_usd=cost,
        synchronous_usd=None,
        sources="guesses",
    )


def told(
    rows: dict[str, int], *, again: int = 0, cost: Decimal | None = Decimal("0.9"), estimates: str | None = None
) -> str:
    manifest = Manifest.model_construct(
        partition="2026-11-01",
        rows=100,
        rejected=sum(rows.values()),
        requests=100,
        partition_cost_usd=cost,
        estimates={"main": estimate(estimates)} if estimates else {},
    )
    return too_many(manifest, Counter(rows), again=again, most=0.02, most_common="why (9)", rejects="s3://l/r")


def test_it_says_the_numbers_what_is_left_behind_and_at_most_five_lines() -> None:
    lines = told({"expired": 5, "invalid": 3, UNSENDABLE: 2}, again=5).splitlines()
    assert lines[0] == (
        "10 of 100 rows of partition 2026-11-01 were rejected (expired=5, invalid=3, unsendable=2), and"
        " limits.max_reject_ratio allows 0.02 of them. Most common: why (9)."
    )
    assert "s3://l/r" in lines[1]
    assert len(lines) == 5


@pytest.mark.parametrize("outcome", ["errored", "expired", "canceled", "missing"])
def test_what_may_be_asked_again_has_its_way_and_what_that_costs_as_the_others_did(outcome: str) -> None:
    found = told({outcome: 12}, again=10)
    assert f"Not billed ({outcome}=12): clear the first `plan` with downstream, or give the same `make run` again." in (
        found
    )
    assert "Their requests (10) are asked again and no others, which costs ~$0.1000 if all are answered" in found
    assert "invalid:" not in found
    assert "sends nothing" not in found


def test_where_nothing_was_answered_the_estimate_tells_what_it_costs() -> None:
    assert "~$0.5000" in told({"expired": 100}, again=100, cost=Decimal(0), estimates="0.5")
    assert "costs an unknown amount" in told({"expired": 100}, again=100, cost=None)


def test_where_all_was_billed_there_is_nothing_to_ask_again() -> None:
    found = told({"invalid": 12})
    assert "first `plan`" not in found
    assert "changed requests are sent, and paid, anew" in found
    assert "start a new run, which sends nothing, to publish without" in found
