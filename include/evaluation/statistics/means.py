"""Means of scores, whose cases may come in clusters: how sure they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from include.evaluation.statistics.interval import Interval, unanimous

Floats = NDArray[np.float64]
_SEED = 20_261_130
#: Resamples are drawn in blocks of about so many numbers, which bounds the memory.
_BLOCK = 4_000_000


def bootstrap(sums: Floats, sizes: Floats, *, confidence: float, resamples: int, lowest: float = 0) -> Interval | None:
    """
    Return the BCa bootstrap interval of the mean score of all cases, resampling whole clusters.

    :param sums: of the scores of each cluster
    :param sizes: the number of cases of each cluster
    :param lowest: the least possible score; the greatest is 1
    :returns: None for fewer than two clusters
    """
    if len(sums) < 2:
        return None
    mean = sums.sum() / sizes.sum()
    drawn = _resampled_means(sums, sizes, resamples)
    left_out = (sums.sum() - sums) / (sizes.sum() - sizes)
    spread = left_out.mean() - left_out
    if not spread.any():
        return unanimous(float(mean), len(sums), confidence=confidence, lowest=lowest)
    acceleration = (spread**3).sum() / (6 * (spread**2).sum() ** 1.5)
    share_below = ((drawn < mean).sum() + (drawn == mean).sum() / 2) / resamples
    bias = stats.norm.ppf(np.clip(share_below, 1 / resamples, 1 - 1 / resamples))
    tails = bias + stats.norm.ppf([(1 - confidence) / 2, (1 + confidence) / 2])
    low, high = np.quantile(drawn, stats.norm.cdf(bias + tails / (1 - acceleration * tails)))
    return Interval(low=float(low), high=float(high), method="BCa bootstrap")


def _resampled_means(sums: Floats, sizes: Floats, resamples: int) -> Floats:
    """Draw the clusters with replacement, again and again, and return each mean."""
    luck = np.random.default_rng(_SEED)
    # Clusters with the same sum and size are drawn as one: a few grades make a few kinds.
    kinds, counts = np.unique(np.stack([sums, sizes]), axis=1, return_counts=True)
    at_once = max(1, _BLOCK // len(sums))
    blocks: list[Floats] = []
    for start in range(0, resamples, at_once):
        block = min(at_once, resamples - start)
        drawn: NDArray[Any] = luck.multinomial(len(sums), counts / counts.sum(), size=block)
        blocks.append((drawn @ kinds[0]) / (drawn @ kinds[1]))
    return np.concatenate(blocks)


def clustered(values: Floats, clusters: NDArray[np.int64] | None) -> tuple[Floats, Floats]:
    """Return the sum and the size of each cluster; without clusters, each value is one of its own."""
    if clusters is None:
        return values, np.ones(len(values))
    _, codes = np.unique(clusters, return_inverse=True)
    return np.bincount(codes, weights=values).astype(np.float64), np.bincount(codes).astype(np.float64)


def permutation(sums: Floats, *, resamples: int) -> float:
    """
    Return the two-sided p-value of the sign-flip test: without a difference, each cluster's sum is as likely negative.

    It is at least ``1 / (resamples + 1)``.
    """
    luck = np.random.default_rng(_SEED)
    # Clusters of equal size of difference flip as one: only how many of them turn positive counts.
    sizes, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    observed = abs(sums.sum()) - 1e-9
    extreme = 0
    at_once = max(1, _BLOCK // max(1, len(sizes)))
    for start in range(0, resamples, at_once):
        positive = luck.binomial(counts, 0.5, size=(min(at_once, resamples - start), len(counts)))
        extreme += int((np.abs((2 * positive - counts) @ sizes) >= observed).sum())
    return (extreme + 1) / (resamples + 1)
