"""Two scores of each case: how far apart they are on average, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from include.evaluation.statistics import means, proportions
from include.evaluation.statistics.interval import Interval
from include.evaluation.statistics.means import Floats

#: Differences below this are those of rounding.
_EQUAL = 1e-9
_POWER = 0.8


@dataclass(frozen=True, kw_only=True)
class Paired:
    """
    The difference of two scores over all cases.

    :param effect: its mean; None without cases
    :param interval: None if there are too few cases or clusters for one
    :param p_value: of ``test``: how likely so great an effect is if there is no difference; None as above
    :param detectable: the smallest true difference that this number of cases would show with a power of 80%; None if
        all cases tie, or if there are too few
    """

    cases: int
    effect: float | None
    interval: Interval | None
    p_value: float | None
    test: str
    wins: int
    losses: int
    ties: int
    detectable: float | None


def compare(
    differences: Floats, clusters: NDArray[np.int64] | None, *, whole: bool, confidence: float, resamples: int
) -> Paired:
    """
    Compare case by case.

    :param differences: one per case, from -1 to 1
    :param clusters: the number of each case's cluster; None: each case stands alone
    :param whole: each case was simply won, lost or tied, so that the differences are -1, 0 and 1: these have exact
        tests, unless the cases are clustered
    """
    wins, losses = int((differences > _EQUAL).sum()), int((differences < -_EQUAL).sum())
    cases = len(differences)
    interval, p_value, test, error = None, None, "", None
    if cases and whole and clusters is None:
        interval, p_value = (
            proportions.tango(wins, losses, cases, confidence=confidence),
            proportions.mcnemar(wins, losses),
        )
        test, error = "McNemar, exact", _standard_error(differences, np.ones(cases))
    elif cases:
        sums, sizes = means.clustered(differences, clusters)
        interval = means.bootstrap(sums, sizes, confidence=confidence, resamples=resamples, lowest=-1)
        if interval:
            p_value, test = means.permutation(sums, resamples=resamples), "paired permutation"
            error = _standard_error(sums, sizes)
    needed = stats.norm.ppf((1 + confidence) / 2) + stats.norm.ppf(_POWER)
    return Paired(
        cases=cases,
        effect=float(differences.mean()) if cases else None,
        interval=interval,
        p_value=p_value,
        test=test,
        wins=wins,
        losses=losses,
        ties=cases - wins - losses,
        detectable=float(needed * error) if error else None,
    )


def more_cases(effect: float, interval: Interval, cases: int, *, limit: float, confidence: float) -> int | None:
    """
    Return how many more cases would put the limit outside the interval with a probability of 80%.

    That holds if the true effect is the one seen here, and if the new cases are like these. Rounded up to two digits.

    :returns: None if no number would: the effect is at the limit
    """
    gap = abs(effect - limit)
    if gap < _EQUAL:
        return None
    width = effect - interval.low if effect > limit else interval.high - effect
    z = float(stats.norm.ppf((1 + confidence) / 2))
    needed = cases * (width / gap * (z + float(stats.norm.ppf(_POWER))) / z) ** 2
    more = max(1, math.ceil(needed - cases))
    unit = int(10 ** max(0, len(str(more)) - 2))
    return -(-more // unit) * unit


def _standard_error(sums: Floats, sizes: Floats) -> float | None:
    """Return the standard error of the mean of all cases, from clusters; None if it is 0 or unknown."""
    count = len(sums)
    if count < 2:
        return None
    residuals = sums - sizes * sums.sum() / sizes.sum()
    return math.sqrt(count / (count - 1) * float((residuals**2).sum())) / float(sizes.sum()) or None
