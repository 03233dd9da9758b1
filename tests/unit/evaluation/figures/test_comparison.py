"""Variants against the baseline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from include.evaluation.figures.case_scores import CaseScores
from include.evaluation.figures.comparison import Pair, comparisons, default_baseline, pairs
from include.evaluation.spec.settings import EvaluationSettings

NONE = float("nan")


def _scores(variant: str, values: list[float], metric: str = "shelf") -> CaseScores:
    """One sample of each case; NaN: none."""
    known = np.flatnonzero(~np.isnan(values))
    answer = np.array(values, dtype=np.float64)[known]
    return CaseScores(metric=metric, variant=variant, cases=len(values), case=known, answer=answer, left_out={})


def _settings(**settings: Any) -> EvaluationSettings:
    metrics = {"shelf": {"grade": "exact"}, "price": {"grade": "number"}, "liked": {"pairwise": "judge"}}
    return EvaluationSettings.model_validate({"metrics": metrics, **settings})


def _pairs(found: list[CaseScores], **settings: Any) -> list[Pair]:
    return pairs(found, _settings(**settings), {})


def test_only_cases_with_both_scores_are_compared() -> None:
    found = [_scores("current", [1, 0, NONE, 1, NONE]), _scores("new", [0, 1, 1, NONE, NONE])]
    (one,) = comparisons(_pairs(found), None, _settings())
    assert (one.cases, one.wins, one.losses, one.effect, one.test) == (2, 1, 1, 0, "McNemar, exact")


def test_variants_that_share_no_case_have_no_effect() -> None:
    (one,) = comparisons(_pairs([_scores("current", [1, NONE]), _scores("new", [NONE, 1])]), None, _settings())
    assert (one.cases, one.effect, one.low, one.p_value, one.p_adjusted) == (0, None, None, None, None)


def test_all_comparisons_of_an_evaluation_share_the_correction() -> None:
    found = [
        _scores(variant, values, metric)
        for metric in ("shelf", "price")
        for variant, values in {"current": [0.0] * 9 + [1], "new": [1.0] * 10, "third": [0.0] * 9 + [1]}.items()
    ]
    compared = comparisons(_pairs(found), None, _settings())
    assert [(one.metric, one.variant) for one in compared] == [
        ("shelf", "new"),
        ("shelf", "third"),
        ("price", "new"),
        ("price", "third"),
    ]
    assert compared[0].p_value == pytest.approx(2 / 2**9)
    assert compared[0].p_adjusted == pytest.approx(4 * 2 / 2**9)


@pytest.mark.parametrize(
    ("variants", "gate", "expected"),
    [
        (["a", "current"], [], "current"),
        (["a", "b"], [], "a"),
        (["a", "b"], [{"metric": "shelf", "margin": 0, "baseline": "b"}], "b"),
        (["a", "current"], [{"metric": "shelf", "margin": 0, "baseline": "latest"}], "current"),
        ([""], [], ""),
    ],
)
def test_the_baseline_is_the_gates_or_current_or_the_first(
    variants: list[str], gate: list[dict[str, Any]], expected: str
) -> None:
    assert default_baseline(variants, _settings(gate=gate)) == expected


def test_preferences_without_a_baseline_are_compared_like_other_scores() -> None:
    found = [_scores(name, values, "liked") for name, values in (("current", [1, 0.25]), ("new", [0, 0.75]))]
    earlier = {"20261101T000000Z-01": [_scores("current", [1, 1], "liked")]}
    gate = [{"metric": "liked", "margin": 0.1, "baseline": "20261101T000000Z-01"}]
    (one,) = pairs(found, _settings(gate=gate), earlier)
    assert (one.scores.variant, one.baseline, list(one.differences)) == ("new", "current", [-1, 0.5])


def test_a_judges_preference_is_compared_with_the_rest_of_it() -> None:
    found = [_scores("current", [1, 1, 1, 1]), _scores("new", [1, 1, 0.5, 0], "liked")]
    (one,) = comparisons(pairs(found, _settings(), {}, {"liked": "current"}), None, _settings())
    assert (one.metric, one.baseline, one.kind) == ("liked", "current", "proportion")
    assert (one.wins, one.losses, one.ties, one.effect) == (2, 1, 1, 0.25)


def test_an_earlier_evaluation_is_a_baseline_variant_by_variant() -> None:
    found = [_scores("current", [1, 1]), _scores("new", [1, 0])]
    earlier = {"latest": [_scores("current", [0, 0]), _scores("new", [1, 1])]}
    settings = _settings(gate=[{"metric": "shelf", "margin": 0, "baseline": "latest"}])
    compared = comparisons(pairs(found, settings, earlier), None, settings)
    assert [(one.variant, one.baseline, one.effect) for one in compared] == [
        ("current", "latest", 1),
        ("new", "current", -0.5),
        ("new", "latest", -0.5),
    ]


def test_the_only_variant_of_an_earlier_evaluation_is_the_baseline_of_all() -> None:
    settings = _settings(gate=[{"metric": "shelf", "margin": 0, "baseline": "latest"}])
    (one,) = pairs([_scores("", [1, 1])], settings, {"latest": [_scores("old", [0, 1])]})
    assert list(one.differences) == [1, 0]
    two_others = {"latest": [_scores("old", [0, 1]), _scores("older", [0, 1])]}
    assert pairs([_scores("", [1, 1])], settings, two_others) == []
