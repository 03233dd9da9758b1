"""Intervals of means."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from include.evaluation.statistics.means import bootstrap, clustered, permutation


def test_the_interval_of_many_scores_is_that_of_scipys_bca_bootstrap() -> None:
    values = np.random.default_rng(7).beta(5, 1.5, size=300)
    found = bootstrap(*clustered(values, None), confidence=0.95, resamples=5_000)
    peer = stats.bootstrap((values,), np.mean, n_resamples=5_000, rng=np.random.default_rng(8)).confidence_interval
    assert found is not None
    assert (found.low, found.high) == pytest.approx((peer.low, peer.high), abs=0.001)


def test_one_cluster_gives_no_interval() -> None:
    values, clusters = np.array([0.5, 1, 0]), np.array([3, 3, 3])
    assert bootstrap(*clustered(values, clusters), confidence=0.95, resamples=200) is None


def test_the_sign_flip_test_is_that_of_scipys_permutation_test() -> None:
    sums = np.random.default_rng(3).normal(0.1, 0.4, size=40)
    peer = stats.permutation_test(
        (sums,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(4)
    )
    assert permutation(sums, resamples=20_000) == pytest.approx(peer.pvalue, abs=0.01)


def test_sums_without_a_difference_are_no_evidence() -> None:
    assert permutation(np.zeros(10), resamples=200) == 1


def test_equal_scores_leave_a_width() -> None:
    found = bootstrap(*clustered(np.ones(20), None), confidence=0.95, resamples=200)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.8316, 1), abs=1e-4)


def test_the_interval_of_few_scores_is_wider_than_their_resamples_spread() -> None:
    values = np.random.default_rng(7).beta(5, 5, size=8)
    found = bootstrap(*clustered(values, None), confidence=0.95, resamples=5_000)
    student = stats.t.interval(0.95, 7, loc=values.mean(), scale=stats.sem(values))
    assert found is not None
    assert found.high - found.low == pytest.approx(student[1] - student[0], rel=0.1)


def test_clusters_are_resampled_whole_however_many_scores_differ() -> None:
    luck = np.random.default_rng(11)
    clusters = np.repeat(np.arange(40), 10)
    values = np.repeat(luck.random(40), 10)
    alone, whole = (bootstrap(*clustered(values, one), confidence=0.95, resamples=2_000) for one in (None, clusters))
    assert alone is not None
    assert whole is not None
    assert whole.high - whole.low == pytest.approx(np.sqrt(10) * (alone.high - alone.low), rel=0.15)
