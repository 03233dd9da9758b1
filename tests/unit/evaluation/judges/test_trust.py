"""trust.py: how far judges agree, and whether that is enough."""

from __future__ import annotations

import pytest

from include.evaluation.judges.both_orders import Merged
from include.evaluation.judges.trust import agreements, position_bias
from include.evaluation.spec.judge_options import GradeOptions

GRADES = {number: number % 2 for number in range(10)}
HALF = GRADES | {0: 1, 1: 0, 2: 1}


@pytest.mark.parametrize(("least", "trusted"), [(None, True), (0.4, True), (0.41, False)])
def test_a_judge_is_trusted_if_it_agrees_with_the_human_as_much_as_stated(least: float | None, trusted: bool) -> None:
    (found,) = agreements("pitch", GradeOptions(least_kappa=least), {"j": HALF}, GRADES, level="nominal")
    assert (found.judge, found.with_whom, found.cases, found.statistic) == ("j", "human", 10, "Cohen's kappa")
    assert found.value == pytest.approx(0.4)
    assert (found.threshold, found.trusted) == (least, trusted)


def test_only_what_both_have_graded_is_compared() -> None:
    (found,) = agreements("pitch", GradeOptions(), {"j": GRADES}, {3: 1, 4: 0, 99: 1}, level="ordinal")
    assert (found.cases, found.value, found.statistic) == (2, 1.0, "weighted kappa")


def test_an_agreement_that_cannot_be_computed_is_below_any_threshold() -> None:
    (found,) = agreements("pitch", GradeOptions(least_kappa=-1), {"j": {1: 1}}, {1: 1}, level="nominal")
    assert (found.value, found.trusted) == (None, False)


def test_several_judges_are_compared_with_each_other() -> None:
    options = GradeOptions(least_alpha=0.99)
    found = agreements("pitch", options, {"a": GRADES, "b": HALF, "c": {1: 1}}, {}, level="nominal")
    (each,) = found
    assert (each.judge, each.with_whom, each.cases, each.trusted) == ("a, b, c", "each other", 10, False)
    assert each.statistic == "Krippendorff's alpha"


def test_one_judge_without_a_human_is_compared_with_nobody() -> None:
    assert agreements("pitch", GradeOptions(), {"a": GRADES}, {}, level="nominal") == []


def test_the_bias_is_the_share_of_verdicts_for_what_is_shown_first() -> None:
    def one(winner: str | None, firsts: int, *, agreed: bool = True) -> Merged:
        return Merged(winner=winner, agreed=agreed, firsts=firsts, decided=2, reason="")

    found = position_bias("pitch", "j", [one("a", 1), one("tie", 2, agreed=False), one(None, 2, agreed=False)])
    assert (found.pairs, found.disagreements, found.unscored) == (3, 1, 1)
    assert found.first_share == pytest.approx(5 / 6)
    assert position_bias("pitch", "j", []).first_share is None
