"""poll_schedule.py: when waits share a round, and when a page of the list is worth its call."""

from __future__ import annotations

import pytest

from include.enrichment.batches.poll_schedule import (
    CALM_SECONDS,
    PAGE_WORTH,
    is_page_worth_it,
    next_round_at,
    round_covers_until,
)

FEW = [100.0] * PAGE_WORTH
MANY = [100.0] * (PAGE_WORTH + 1)


def test_a_page_is_read_for_more_batches_than_it_costs_retrieves() -> None:
    assert not is_page_worth_it(0, pages_read=0)
    assert not is_page_worth_it(PAGE_WORTH, pages_read=0)
    assert is_page_worth_it(PAGE_WORTH + 1, pages_read=0)


def test_useless_pages_never_cost_more_than_the_retrieves() -> None:
    pages_read = 0
    while is_page_worth_it(1_000, pages_read=pages_read):
        pages_read += 1
    assert pages_read * PAGE_WORTH <= 1_000 < (pages_read + 1) * PAGE_WORTH + 1


def test_few_waits_are_polled_when_they_are_due() -> None:
    assert next_round_at(FEW, calm_until=1_000) == 100
    assert next_round_at([*FEW, 100 + CALM_SECONDS + 1], calm_until=1_000) == 100
    assert round_covers_until([*FEW, 100 + CALM_SECONDS + 1], now=100) == 100


@pytest.mark.parametrize(("calm_until", "begin"), [(0, 100), (100, 100), (107, 107)])
def test_many_waits_are_not_polled_before_the_calm_period_ends(calm_until: float, begin: float) -> None:
    assert next_round_at(MANY, calm_until=calm_until) == begin


def test_a_round_for_many_includes_waits_that_are_due_soon() -> None:
    assert next_round_at([*FEW, 100 + CALM_SECONDS], calm_until=107) == 107
    assert round_covers_until([*FEW, 100 + CALM_SECONDS], now=100) == 100 + CALM_SECONDS


def test_waits_that_are_due_at_different_times_end_up_in_one_round() -> None:
    """A thousand waits, spread over a minute, are polled once per interval."""
    interval = 60.0
    dues = [interval * number / 1_000 for number in range(1_000)]
    calm_until, begins = 0.0, []
    while (begin := next_round_at(dues, calm_until=calm_until)) < 10 * interval:
        until = round_covers_until(dues, now=begin)
        assert until > begin
        dues = [begin + interval] * len(dues)  # the list tells all
        calm_until = begin + CALM_SECONDS
        begins.append(begin)
    assert begins == [interval * number for number in range(10)]
