"""Agreement of graders."""

from __future__ import annotations

import pytest

from include.evaluation.statistics.agreement import Level, cohens_kappa, krippendorffs_alpha

#: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: four observers, twelve units.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


def _pairs(counts: dict[tuple[str, str], int]) -> tuple[list[str], list[str]]:
    pairs = [pair for pair, count in counts.items() for _ in range(count)]
    return [first for first, _ in pairs], [second for _, second in pairs]


def test_kappa_is_that_of_sim_and_wrights_worked_example() -> None:
    """Sim and Wright, Physical Therapy 85 (2005) 257-268, table 1: kappa = .67."""
    first, second = _pairs({("yes", "yes"): 22, ("yes", "no"): 2, ("no", "yes"): 4, ("no", "no"): 11})
    assert cohens_kappa(first, second) == pytest.approx(0.67, abs=0.005)


def test_weighted_kappa_is_that_of_independent_arithmetic() -> None:
    # 1 - (observed squared distances) / (those of every grade of one with every grade of the other, by case)
    first, second = [1, 2, 3, 4, 5, 5], [1, 2, 4, 4, 3, 5]
    expected = sum((one - two) ** 2 for one in first for two in second) / 6
    assert cohens_kappa(first, second, level="ordinal") == pytest.approx(1 - 5 / expected)


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815)])
def test_alpha_is_that_of_krippendorffs_worked_example(level: Level, alpha: float) -> None:
    assert krippendorffs_alpha(OBSERVERS, level=level) == pytest.approx(alpha, abs=0.0005)


def test_words_are_grades_too() -> None:
    words = [[None if grade is None else f"grade {grade}" for grade in grades] for grades in OBSERVERS]
    assert krippendorffs_alpha(words) == krippendorffs_alpha(OBSERVERS)


def test_agreement_of_graders_who_know_one_grade_only_is_unknown() -> None:
    assert cohens_kappa(["good", "good"], ["good", "good"]) is None
    assert cohens_kappa([], []) is None
    assert krippendorffs_alpha([["good", "good"], ["good", "good"]]) is None


def test_agreement_of_graders_who_share_no_case_is_unknown() -> None:
    assert krippendorffs_alpha([["good", None], [None, "fair"]]) is None
