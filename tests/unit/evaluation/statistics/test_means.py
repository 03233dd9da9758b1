"""Intervals of means."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from include.evaluation.statistics.means import bootstrap, clustered


def test_the_interval_is_that_of_scipys_bca_bootstrap() -> None:
    values = np.random.default_rng(7).beta(5, 1.5, size=60)
    found = bootstrap(*clustered(values, None), confidence=0.95, resamples=20_000)
    peer = stats.bootstrap((values,), np.mean, n_resamples=20_000, rng=np.random.default_rng(8)).confidence_interval
    assert found is not None
    assert (found.low, found.high) == pytest.approx((peer.low, peer.high), abs=0.002)


def test_one_cluster_gives_no_interval() -> None:
    values, clusters = np.array([0.5, 1, 0]), np.array([3, 3, 3])
    assert bootstrap(*clustered(values, clusters), confidence=0.95, resamples=200) is None
