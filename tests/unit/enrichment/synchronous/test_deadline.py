"""deadline.py: how a run with a deadline keeps it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from include.enrichment.batches.usage import USAGE_SCHEMA
from include.enrichment.synchronous.deadline import (
    ASSUMED_ANSWER,
    ASSUMED_BATCH,
    LATE,
    MARGIN,
    Pace,
    keep_deadline,
    measure_pace,
)
from tests.fixtures.usage import NOON, usage_line

DEADLINE = datetime(2026, 12, 1, 5, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
#: A batch takes half an hour, and 1,000 requests are asked in eight minutes, expected to be ten.
PACE = Pace(batches=((1_000, 30 * MINUTE),), asked=((1_000, 8 * MINUTE),))


def keep(**changes: Any) -> Any:
    facts: dict[str, Any] = {
        "now": DEADLINE - timedelta(hours=3),
        "requests": 1_000,
        "largest_batch": 1_000,
        "at_once": 50,
        "is_last": False,
        "pace": PACE,
        "batch_usd": Decimal(1),
        "synchronous_usd": Decimal(2),
        "budget_usd": None,
        "over_budget": "",
    }
    return keep_deadline(DEADLINE, **(facts | changes))


def test_with_time_to_spare_a_batch_has_until_the_switch_time() -> None:
    kept = keep()
    assert (kept.batch_in_time, kept.at) == (True, DEADLINE - MARGIN - 10 * MINUTE)
    assert kept.why == (
        "Deadline 2026-12-01 05:30 UTC: a batch that has not ended at 2026-12-01 05:10 UTC is canceled, and what it has"
        " not answered is asked synchronously, for up to $2.0000 instead of $1.0000 in batches."
    )


def test_the_switch_time_leaves_the_time_to_ask_for_all_of_the_run() -> None:
    assert keep(requests=6_000).at == DEADLINE - MARGIN - 60 * MINUTE


@pytest.mark.parametrize(("minutes", "in_time"), [(50, True), (49, False)])
def test_a_batch_that_is_not_expected_to_end_by_the_switch_time_is_not_sent(minutes: int, in_time: bool) -> None:
    kept = keep(now=DEADLINE - minutes * MINUTE)
    assert (kept.batch_in_time, kept.at) == (in_time, DEADLINE - MARGIN - 10 * MINUTE)
    assert ("a batch takes up to 30 min and would have to end by 05:10 UTC" in kept.why) != in_time


def test_the_last_pass_is_synchronous_as_nothing_could_replace_its_batch() -> None:
    kept = keep(is_last=True)
    assert (kept.batch_in_time, kept.at) == (False, None)
    assert "in the last pass, 1,000 requests are asked synchronously" in kept.why


@pytest.mark.parametrize(("budget", "switches"), [("2.00", True), ("1.99", False)])
@pytest.mark.parametrize("is_last", [False, True])
def test_a_budget_below_the_synchronous_price_leaves_the_batch_alone(
    budget: str, switches: bool, is_last: bool
) -> None:
    kept = keep(budget_usd=Decimal(budget), is_last=is_last)
    assert (kept.at is not None or not kept.batch_in_time) == switches
    if not switches:
        assert (kept.batch_in_time, kept.at) == (True, None)
        assert (
            "could cost up to $2.0000 instead of $1.0000 in batches, and limits.deadline_budget_usd is $1.9900"
            in kept.why
        )


def test_an_unknown_price_fits_no_budget() -> None:
    assert keep(batch_usd=None, synchronous_usd=None).at is not None
    assert keep(batch_usd=None, synchronous_usd=None, budget_usd=Decimal(1_000)).at is None


def test_the_other_budgets_hold_too() -> None:
    kept = keep(over_budget="The run would exceed its budget.")
    assert not kept.keeps
    assert kept.why == (
        "Deadline 2026-12-01 05:30 UTC: The run would exceed its budget. No batch is canceled, so the run may miss the"
        " deadline."
    )


def test_a_deadline_missed_by_far_is_ignored() -> None:
    assert not keep(now=DEADLINE + LATE).batch_in_time
    kept = keep(now=DEADLINE + LATE + MINUTE)
    assert (kept.batch_in_time, kept.at) == (True, None)
    assert kept.why.endswith("was missed by 1 h 01 min and is ignored.")


def _record(mode: str | None, requests: int, minutes: float | None) -> pa.Table:
    ended_at = None if minutes is None else NOON + minutes * MINUTE
    return usage_line(f"b{requests}", mode=mode, requests=requests, ended_at=ended_at)


def test_the_pace_is_that_of_the_records_that_have_an_end() -> None:
    records = pa.concat_tables(
        [
            _record("batch", 10, 3),
            _record("synchronous", 20, 1),
            _record("batch", 30, None),
            _record(None, 40, None),
        ]
    )
    assert measure_pace(records) == Pace(batches=((10, 3 * MINUTE),), asked=((20, MINUTE),))
    assert measure_pace(USAGE_SCHEMA.empty_table()) == Pace()


def test_nine_of_ten_batches_of_at_least_half_the_size_are_faster_than_expected() -> None:
    pace = Pace(batches=(*((100, number * MINUTE) for number in range(1, 11)), (10, 90 * MINUTE)))
    assert pace.batch_time(200) == 9 * MINUTE
    assert pace.batch_time(20) == 10 * MINUTE
    assert pace.batch_time(1_000) == 10 * MINUTE  # none is as large, so all count


def test_asking_takes_a_quarter_longer_than_it_took() -> None:
    pace = Pace(asked=((100, 2 * MINUTE), (300, 6 * MINUTE)))
    assert pace.asking_time(100, at_once=1) == 2.5 * MINUTE


def test_without_records_the_time_is_assumed() -> None:
    assert Pace().batch_time(5) == ASSUMED_BATCH
    assert Pace().asking_time(101, at_once=50) == 3 * ASSUMED_ANSWER
