"""From scores to figures."""

from __future__ import annotations

import pandas as pd

from include.evaluation.evaluate import evaluate
from include.evaluation.scores import Scores
from include.evaluation.spec.settings import EvaluationSettings


def test_each_metric_of_each_variant_has_a_value_over_all_cases_and_over_each_group() -> None:
    rows = [
        (case, variant, 1, "shelf", "scored", float(variant == "new" or case > 0))
        for variant in ("current", "new")
        for case in range(4)
    ]
    frame = pd.DataFrame(rows, columns=["case", "variant", "sample", "metric", "status", "score"])
    cases = pd.DataFrame({"sku": list("abcd"), "section": ["x", "x", "y", "y"]})
    texts = pd.DataFrame({"expected": "a", "answer": "a", "detail": ""}, index=frame.index)
    settings = EvaluationSettings.model_validate(
        {"metrics": {"shelf": {"expected": "section", "grade": "exact"}}, "by": ["section"]}
    )
    found = evaluate(Scores(scores=frame, texts=texts, cases=cases), settings).metrics
    assert [(one.variant, one.group, one.value, one.cases) for one in found] == [
        ("current", None, 0.75, 4),
        ("current", "x", 0.5, 2),
        ("current", "y", 1, 2),
        ("new", None, 1, 4),
        ("new", "x", 1, 2),
        ("new", "y", 1, 2),
    ]
