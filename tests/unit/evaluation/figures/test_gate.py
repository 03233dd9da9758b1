"""The gate."""

from __future__ import annotations

from typing import Any

import pytest

from include.evaluation.figures.gate import decide, verdict
from include.evaluation.result import Comparison, GateDecision
from include.evaluation.spec.settings import EvaluationSettings

VARIANTS = ["current", "new"]


def _comparison(low: float | None, high: float | None, **changed: Any) -> Comparison:
    effect = None if low is None or high is None else (low + high) / 2
    facts = {"metric": "shelf", "variant": "new", "baseline": "current", "kind": "proportion", "cases": 400}
    test = {"p_value": 0.5, "p_adjusted": 0.5, "test": "", "method": "Tango", "detectable": None}
    counts = {"wins": 1, "losses": 1, "ties": 398}
    return Comparison.model_validate(facts | test | counts | {"effect": effect, "low": low, "high": high} | changed)


def _decide(found: list[Comparison], *gate: dict[str, Any], variants: list[str] | None = None) -> list[GateDecision]:
    conditions = [{"metric": "shelf", "margin": 0.02, **condition} for condition in gate or ({},)]
    settings = EvaluationSettings.model_validate({"metrics": {"shelf": {"grade": "exact"}}, "gate": conditions})
    return list(decide(found, variants or VARIANTS, settings))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.019, 0.03, "pass"),
        (-0.02, 0.03, "pass"),
        (-0.021, 0.03, "inconclusive"),
        (-0.05, -0.02, "inconclusive"),
        (-0.05, -0.021, "fail"),
    ],
)
def test_the_interval_decides(low: float, high: float, expected: str) -> None:
    (found,) = _decide([_comparison(low, high)])
    assert found.verdict == expected
    assert (found.more_cases is not None) == (expected == "inconclusive")


def test_the_sentence_has_the_numbers() -> None:
    (failed,) = _decide([_comparison(-0.06, -0.03)])
    assert failed.why == (
        "shelf of new is 4.5 points below current on 400 cases (95% interval -6.0 to -3.0); only 2.0 points below are"
        " allowed."
    )
    (open_,) = _decide([_comparison(-0.03, 0.03)])
    assert open_.why == (
        "shelf of new is level with current on 400 cases (95% interval -3.0 to +3.0); 2.0 points below are allowed, so"
        " these cases do not decide. About 1,500 more would."
    )


def test_too_few_cases_are_inconclusive() -> None:
    (found,) = _decide([_comparison(None, None, cases=1)])
    assert (found.verdict, found.more_cases) == ("inconclusive", None)
    assert found.why == "shelf of new cannot be compared with current: 1 shared cases are too few."


def test_a_variant_that_was_not_evaluated_never_passes() -> None:
    (found,) = _decide([], {"variant": "third"})
    assert (found.variant, found.verdict) == ("third", "inconclusive")
    assert "no scores of third" in found.why
    (first,) = _decide([], {"baseline": "latest", "variant": "new"})
    assert (
        first.why == "shelf of new cannot be compared with latest: no earlier evaluation of another run has passed yet."
    )
    (alone,) = _decide([], variants=["current"])
    assert (alone.verdict, "no other variant" in alone.why) == ("inconclusive", True)


def test_each_variant_but_the_baseline_is_asked() -> None:
    found = _decide([_comparison(0, 0.1), _comparison(-0.2, -0.1, variant="third")], variants=[*VARIANTS, "third"])
    assert [(one.variant, one.verdict) for one in found] == [("new", "pass"), ("third", "fail")]
    assert verdict(found) == "fail"


def test_the_only_variant_is_compared_with_an_earlier_evaluation() -> None:
    earlier = _comparison(0, 0.1, variant="current", baseline="latest")
    (found,) = _decide([earlier], {"baseline": "latest"}, variants=["current"])
    assert found.verdict == "pass"
    assert found.why.startswith("shelf of current is 5.0 points above latest")


def test_a_condition_that_warns_does_not_change_the_verdict() -> None:
    failed = _comparison(-0.2, -0.1)
    assert verdict(_decide([failed], {"on": "warn"})) == "pass"
    assert verdict(_decide([failed], {"on": "warn"}, {"margin": 0.15})) == "inconclusive"
    assert verdict([]) == "pass"


def test_cases_that_are_all_one_cluster_are_inconclusive() -> None:
    (found,) = _decide([_comparison(None, None, effect=-1.0, cases=1_000)])
    assert (found.verdict, found.why) == (
        "inconclusive",
        "shelf of new cannot be compared with current: all 1,000 shared cases are one cluster.",
    )
