"""Shares of right answers, and paired differences."""

from __future__ import annotations

import pytest

from include.evaluation.statistics.proportions import mcnemar, tango, wilson


@pytest.mark.parametrize(
    ("right", "cases", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_that_of_newcombes_worked_examples(right: int, cases: int, low: float, high: float) -> None:
    """Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3."""
    found = wilson(right, cases, confidence=0.95)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_tangos_interval_is_that_of_fagerlands_worked_example() -> None:
    """Fagerland, Lydersen and Laake, Statistics in Medicine 33 (2014) 2850-2875: 1 win, 7 losses, 13 ties."""
    found = tango(1, 7, 21, confidence=0.95)
    assert (found.low, found.high) == pytest.approx((-0.517, -0.026), abs=5e-4)


def test_tangos_interval_turns_over_with_the_sides() -> None:
    one, other = tango(16, 6, 161, confidence=0.9), tango(6, 16, 161, confidence=0.9)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


@pytest.mark.parametrize("cases", [1, 30, 50_000])
def test_ties_alone_leave_tangos_interval_a_width(cases: int) -> None:
    found = tango(0, 0, cases, confidence=0.95)
    assert found.high == pytest.approx(3.8415 / (cases + 3.8415), abs=1e-4)
    assert found.low == pytest.approx(-found.high)


@pytest.mark.parametrize(("wins", "losses"), [(9, 0), (0, 9)])
def test_tangos_interval_ends_at_1_if_one_side_wins_all(wins: int, losses: int) -> None:
    found = tango(wins, losses, 9, confidence=0.95)
    assert -1 <= found.low < found.high <= 1
    assert 1 in (found.high, -found.low)


def test_mcnemars_exact_test_is_that_of_fagerlands_worked_example() -> None:
    """Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13 (2013) 91: 1 against 7 gives 0.0703."""
    assert mcnemar(1, 7) == mcnemar(7, 1) == pytest.approx(0.0703, abs=5e-5)


def test_ties_alone_are_no_evidence() -> None:
    assert mcnemar(0, 0) == 1
