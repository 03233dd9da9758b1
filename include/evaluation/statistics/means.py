"""Means of scores, whose cases may come in clusters: how sure they are."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from include.evaluation.statistics.interval import Interval, unanimous

Floats = NDArray[np.float64]
#: Resamples are drawn in blocks of about this many numbers, which bounds the memory.
_BLOCK = 2_000_000
#: Drawing how often one kind occurs takes as long as drawing this many single clusters.
_COUNTED_AT_ONCE = 10


def bootstrap(sums: Floats, sizes: Floats, *, confidence: float, resamples: int, lowest: float = 0) -> Interval | None:
    """
    Return the BCa bootstrap interval of the mean score of all cases, resampling whole clusters.

    Its tails are those of Student's t, because resamples of few clusters spread too little: see Hesterberg, "What
    Teachers Should Know About the Bootstrap", The American Statistician 69 (2015) 371-386, section 4.

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
    # Clusters of unequal size count as fewer equal ones.
    count = max(2.0, sizes.sum() ** 2 / (sizes**2).sum())
    student = stats.t.ppf([(1 - confidence) / 2, (1 + confidence) / 2], count - 1)
    tails = bias + student * np.sqrt(count / (count - 1))
    low, high = np.quantile(drawn, stats.norm.cdf(bias + tails / (1 - acceleration * tails)))
    return Interval(low=float(low), high=float(high), method="BCa bootstrap")


def _resampled_means(sums: Floats, sizes: Floats, resamples: int) -> Floats:
    """Return the mean of each resample of the clusters, drawn with replacement."""
    generator = _generator(sums)
    count = len(sums)
    # Clusters with the same sum and size are one kind. A few grades make a few kinds, whose counts are drawn at once.
    kinds, counts = np.unique(np.stack([sums, sizes]), axis=1, return_counts=True)
    few = len(counts) * _COUNTED_AT_ONCE < count
    even = bool((sizes == sizes[0]).all())
    means: list[Floats] = []
    for block in _blocks(resamples, len(counts) if few else count):
        if few:
            drawn = generator.multinomial(count, counts / count, size=block).astype(np.float64)
            means.append((drawn @ kinds[0]) / (drawn @ kinds[1]))
        else:
            places = generator.integers(0, count, size=(block, count), dtype=np.int32)
            cases = count * sizes[0] if even else sizes[places].sum(axis=1)
            means.append(sums[places].sum(axis=1) / cases)
    return np.concatenate(means)


def _generator(sums: Floats) -> np.random.Generator:
    """Return a random generator that the scores seed: equal scores always draw the same numbers."""
    return np.random.default_rng(zlib.crc32(sums.tobytes()))


def _blocks(resamples: int, numbers: int) -> Iterator[int]:
    """Yield how many resamples to draw at once if each needs ``numbers`` numbers."""
    at_once = max(1, _BLOCK // max(1, numbers))
    for start in range(0, resamples, at_once):
        yield min(at_once, resamples - start)


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
    generator = _generator(sums)
    unequal = sums[sums != 0]
    # Sums of the same size are one kind: only how many of them turn positive counts.
    sizes, counts = np.unique(np.abs(unequal), return_counts=True)
    few = len(counts) * _COUNTED_AT_ONCE < len(unequal)
    observed = abs(sums.sum()) - 1e-9
    extreme = 0
    for block in _blocks(resamples, len(counts) if few else len(unequal)):
        if few:
            drawn = (2.0 * generator.binomial(counts, 0.5, size=(block, len(counts))) - counts) @ sizes
        else:
            drawn = (1.0 - 2 * generator.integers(0, 2, size=(block, len(unequal)), dtype=np.int8)) @ unequal
        extreme += int((np.abs(drawn) >= observed).sum())
    return (extreme + 1) / (resamples + 1)
