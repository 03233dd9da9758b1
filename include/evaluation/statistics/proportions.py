"""Shares of right answers, and the difference of two on the same cases: how sure they are."""

from __future__ import annotations

import math

from scipy import optimize, stats
from statsmodels.stats.proportion import proportion_confint

from include.evaluation.statistics.interval import Interval

#: How far from -1 and 1 the search for an end begins: there the statistic is 0 / 0.
_EDGE = 1e-9


def wilson(right: int, cases: int, *, confidence: float) -> Interval:
    """
    Return Wilson's score interval of a share, which stays within 0 and 1 and holds for few cases.

    :param cases: at least 1
    """
    low, high = proportion_confint(right, cases, alpha=1 - confidence, method="wilson")
    return Interval(low=float(low), high=float(high), method="Wilson")


def tango(wins: int, losses: int, cases: int, *, confidence: float) -> Interval:
    """
    Return Tango's score interval of ``(wins - losses) / cases`` for paired cases, ties included.

    It is the counterpart of Wilson's interval for pairs, and the one that Fagerland, Lydersen and Laake recommend
    (Statistics in Medicine 33 (2014) 2850-2875). Even without a win or a loss its width is not zero.

    Source: Tango, Statistics in Medicine 17 (1998) 891-908.

    :param cases: at least 1
    """
    effect = (wins - losses) / cases
    z = float(stats.norm.ppf((1 + confidence) / 2))

    def distance(difference: float, sign: int) -> float:
        return _tango_statistic(wins, losses, cases, difference) - sign * z

    low = optimize.brentq(distance, _EDGE - 1, effect, args=(1,)) if effect > -1 else -1.0
    high = optimize.brentq(distance, effect, 1 - _EDGE, args=(-1,)) if effect < 1 else 1.0
    return Interval(low=low, high=high, method="Tango")


def _tango_statistic(wins: int, losses: int, cases: int, difference: float) -> float:
    """How many standard errors the observed difference is above this one."""
    # The share of losses that is most likely if this is the true difference solves a quadratic equation.
    linear = (2 * cases - wins + losses) * difference - wins - losses
    constant = -losses * difference * (1 - difference)
    share = (math.sqrt(linear**2 - 8 * cases * constant) - linear) / (4 * cases)
    variance = cases * (2 * share + difference * (1 - difference))
    return (wins - losses - cases * difference) / math.sqrt(variance) if variance > 0 else 0.0


def mcnemar(wins: int, losses: int) -> float:
    """Return the p-value of McNemar's exact test, two-sided: are wins and losses equally likely? Ties do not count."""
    return float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
