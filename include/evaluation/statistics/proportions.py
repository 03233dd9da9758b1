"""Shares of right answers: how sure they are."""

from __future__ import annotations

from statsmodels.stats.proportion import proportion_confint

from include.evaluation.statistics.interval import Interval


def wilson(right: int, cases: int, *, confidence: float) -> Interval:
    """
    Return Wilson's score interval of a share, which stays within 0 and 1 and holds for few cases.

    :param cases: at least 1
    """
    low, high = proportion_confint(right, cases, alpha=1 - confidence, method="wilson")
    return Interval(low=float(low), high=float(high), method="Wilson")
