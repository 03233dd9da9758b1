"""Intervals of scores that are all equal."""

from __future__ import annotations

import pytest
from scipy import stats

from include.evaluation.statistics.interval import unanimous


def test_equal_scores_have_the_interval_of_clopper_and_pearson() -> None:
    exact = stats.binomtest(0, 12).proportion_ci(method="exact")
    found = unanimous(0, 12, confidence=0.95)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_the_unseen_scores_are_at_worst_the_least_or_the_greatest_possible() -> None:
    found = unanimous(0, 12, confidence=0.95, lowest=-1)
    assert found.low == -found.high
