"""From scores to figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from include.evaluation.evaluate import evaluate
from include.evaluation.scores import Scores
from include.evaluation.spec.settings import EvaluationSettings
from tests.fixtures.evaluations import make_scores

GATE = {"metric": "shelf", "margin": 0.02}


def _scores(answers: Mapping[str, Sequence[float]], *, skus: Sequence[str] = "abcd") -> Scores:
    rows = [
        (case, variant, 1, "shelf", "scored", score)
        for variant, scores in answers.items()
        for case, score in enumerate(scores)
    ]
    frame = pd.DataFrame(rows, columns=["case", "variant", "sample", "metric", "status", "score"])
    texts = pd.DataFrame({"expected": "right", "answer": frame["score"].map({0: "wrong", 1: "right"}), "detail": ""})
    return Scores(scores=frame, texts=texts, cases=pd.DataFrame({"sku": list(skus), "section": list("xxyy")}))


def _settings(**settings: Any) -> EvaluationSettings:
    metrics = {"shelf": {"expected": "section", "grade": "exact"}}
    return EvaluationSettings.model_validate({"metrics": metrics, **settings})


def test_each_metric_of_each_variant_has_a_value_over_all_cases_and_over_each_group() -> None:
    scores = _scores({"current": [0, 1, 1, 1], "new": [1, 1, 1, 1]})
    found = evaluate(scores, _settings(by=["section"])).metrics
    assert [(one.variant, one.group, one.value, one.cases) for one in found] == [
        ("current", None, 0.75, 4),
        ("current", "x", 0.5, 2),
        ("current", "y", 1, 2),
        ("new", None, 1, 4),
        ("new", "x", 1, 2),
        ("new", "y", 1, 2),
    ]


def test_variants_are_compared_and_the_gate_decides() -> None:
    found = evaluate(_scores({"current": [0, 1, 1, 1], "new": [1, 1, 1, 0]}), _settings(gate=[GATE]))
    assert [(one.variant, one.baseline, one.wins, one.losses) for one in found.comparisons] == [
        ("new", "current", 1, 1)
    ]
    assert [one.verdict for one in found.gate] == ["inconclusive"]
    assert found.verdict == "inconclusive"
    assert [one.counts for one in found.confusions] == [[[3, 1], [0, 0]]] * 2


def test_an_earlier_evaluation_is_compared_on_the_cases_that_both_have() -> None:
    now = _scores({"": [1, 1, 1, 0]}, skus="abcd")
    before = _scores({"": [0, 1, 0, 1]}, skus="dxca")
    settings = _settings(gate=[GATE | {"baseline": "latest"}])
    (one,) = evaluate(now, settings, key=["sku"], pinned={"latest": before}).comparisons
    # a: 1 and 1, c: 1 and 0, d: 0 and 0
    assert (one.baseline, one.cases, one.wins, one.losses, one.ties) == ("latest", 3, 1, 0, 2)


def test_without_an_earlier_evaluation_the_gate_is_inconclusive() -> None:
    found = evaluate(_scores({"": [1, 1, 1, 1]}), _settings(gate=[GATE | {"baseline": "latest"}]))
    assert (found.comparisons, found.verdict) == ([], "inconclusive")


def test_the_same_scores_give_the_same_figures() -> None:
    luck = np.random.default_rng(1)
    scores = _scores({"current": luck.random(4).round(1).tolist(), "new": luck.random(4).round(1).tolist()})
    assert evaluate(scores, _settings(gate=[GATE])) == evaluate(scores, _settings(gate=[GATE]))


def test_no_cases_are_no_figures() -> None:
    nothing = Scores(scores=_scores({}).scores, texts=_scores({}).texts, cases=pd.DataFrame({"sku": []}))
    found = evaluate(nothing, _settings(gate=[GATE]))
    assert (found.metrics, found.comparisons, found.verdict) == ([], [], "inconclusive")


def test_a_gate_on_what_judges_prefer_needs_no_other_metric() -> None:
    scores = make_scores({"new": [1.0] * 30}, metric="liked")
    gate = [{"metric": "liked", "margin": 0.1, "baseline": "current"}]
    settings = EvaluationSettings.model_validate({"metrics": {"liked": {"pairwise": "judge"}}, "gate": gate})
    found = evaluate(scores, settings, preferred_to={"liked": "current"})
    assert [(one.variant, one.verdict) for one in found.gate] == [("new", "pass")]
    assert [(one.baseline, one.wins) for one in found.comparisons] == [("current", 30)]
