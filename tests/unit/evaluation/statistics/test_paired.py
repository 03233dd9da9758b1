"""Paired differences."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from include.evaluation.statistics.interval import Interval
from include.evaluation.statistics.paired import Paired, compare, more_cases
from include.evaluation.statistics.proportions import mcnemar


def _compare(differences: list[float], *, whole: bool = False, clusters: NDArray[np.int64] | None = None) -> Paired:
    return compare(np.array(differences, dtype=float), clusters, whole=whole, confidence=0.95, resamples=1_000)


def test_wins_and_losses_have_exact_tests() -> None:
    found = _compare([1, -1, -1, -1, -1, -1, -1, -1, *[0] * 13], whole=True)
    assert (found.wins, found.losses, found.ties) == (1, 7, 13)
    assert found.test == "McNemar, exact"
    assert found.p_value == pytest.approx(0.0703, abs=5e-5)
    assert found.interval is not None
    assert found.interval.method == "Tango"
    assert found.interval.high == pytest.approx(-0.026, abs=5e-4)


def test_scores_have_a_bootstrap_interval_and_a_permutation_test() -> None:
    found = _compare([0.1, 0.2, 0.3, 0.25, 0.15, 0.3, 0.1, 0.2, 0.05, 0.35])
    assert (found.wins, found.test) == (10, "paired permutation")
    assert found.effect == pytest.approx(0.2)
    assert found.p_value == pytest.approx(2 / 2**10, abs=0.003)
    assert found.interval is not None
    assert 0 < found.interval.low < 0.2 < found.interval.high


def test_clusters_make_wins_and_losses_less_sure() -> None:
    differences, clusters = [1.0] * 5 + [-1.0] * 5 + [1.0] * 5 + [0.0] * 5, np.repeat(np.arange(4), 5)
    alone, clustered = _compare(differences, whole=True), _compare(differences, whole=True, clusters=clusters)
    assert alone.interval is not None
    assert clustered.interval is not None
    assert clustered.interval.low < alone.interval.low
    assert alone.detectable is not None
    assert clustered.detectable is not None
    assert clustered.detectable > alone.detectable


@pytest.mark.parametrize("whole", [True, False])
def test_without_cases_nothing_is_known(whole: bool) -> None:
    found = _compare([], whole=whole)
    assert (found.effect, found.interval, found.p_value, found.detectable, found.cases) == (None, None, None, None, 0)


def test_one_case_gives_no_interval_of_scores() -> None:
    found = _compare([0.5])
    assert (found.effect, found.interval, found.p_value, found.detectable) == (0.5, None, None, None)


@pytest.mark.parametrize("whole", [True, False])
def test_ties_alone_show_no_difference_and_still_leave_doubt(whole: bool) -> None:
    found = _compare([0.0] * 30, whole=whole)
    assert (found.effect, found.p_value, found.ties, found.detectable) == (0, 1, 30, None)
    assert found.interval is not None
    assert -0.13 < found.interval.low < -0.1
    assert found.interval.high == pytest.approx(-found.interval.low)


def test_the_detectable_difference_is_found_in_about_80_of_100_evaluations() -> None:
    detectable = _compare([1.0] * 40 + [-1.0] * 40 + [0.0] * 320, whole=True).detectable
    assert detectable is not None
    luck = np.random.default_rng(5)
    shares = [0.1 + detectable / 2, 0.1 - detectable / 2, 0.8]
    drawn = luck.multinomial(400, shares, size=200)
    assert np.mean([mcnemar(wins, losses) < 0.05 for wins, losses, _ in drawn]) == pytest.approx(0.8, abs=0.08)


def test_more_cases_narrow_the_interval_until_it_decides() -> None:
    interval = Interval(low=-0.03, high=0.01, method="")
    # Half the width is 0.02; the gap is 0.01. Twice as narrow is four times the cases, and 80% power is 2.04 times.
    needed = 4 * ((1.959964 + 0.841621) / 1.959964) ** 2 * 500 - 500
    found = more_cases(-0.01, interval, 500, limit=-0.02, confidence=0.95)
    assert found is not None
    assert needed <= found < needed * 1.1
    assert found % 100 == 0


def test_no_number_of_cases_decides_an_effect_at_the_limit() -> None:
    assert more_cases(-0.02, Interval(low=-0.04, high=0, method=""), 500, limit=-0.02, confidence=0.95) is None
