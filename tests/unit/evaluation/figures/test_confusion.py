"""Tables of expected values and answers."""

from __future__ import annotations

import pandas as pd

from include.evaluation.figures.case_scores import case_scores
from include.evaluation.figures.confusion import MOST_LABELS, confusions
from include.evaluation.result import Confusion
from include.evaluation.scores import Scores
from include.evaluation.spec.settings import EvaluationSettings


def _confusions(expected: list[str], answers: dict[str, list[str | None]]) -> list[Confusion]:
    rows = [
        (case, variant, 1, "shelf", "scored", float(answer == expected[case]), expected[case], answer)
        for variant, given in answers.items()
        for case, answer in enumerate(given)
    ]
    frame = pd.DataFrame(rows, columns=["case", "variant", "sample", "metric", "status", "score", "expected", "answer"])
    frame.loc[frame["expected"] == "", "status"] = "missing"
    scores = Scores(
        scores=frame.drop(columns=["expected", "answer"]),
        texts=frame[["expected", "answer"]].assign(detail=""),
        cases=pd.DataFrame({"sku": range(len(expected))}),
    )
    settings = EvaluationSettings.model_validate({"metrics": {"shelf": {"expected": "section", "grade": "exact"}}})
    return list(confusions(scores, case_scores(scores), settings))


def test_each_expected_value_is_counted_with_each_answer() -> None:
    found = _confusions(["fish", "fish", "meat", ""], {"old": ["fish", "meat", None, "x"], "new": ["fish"] * 4})
    assert [(one.variant, one.labels, one.counts) for one in found] == [
        ("old", ["fish", "meat", "(none)"], [[1, 1, 0], [0, 0, 1], [0, 0, 0]]),
        ("new", ["fish", "meat", "(none)"], [[2, 0, 0], [1, 0, 0], [0, 0, 0]]),
    ]


def test_too_many_values_are_no_categories() -> None:
    values = [f"value {number}" for number in range(MOST_LABELS + 1)]
    assert _confusions(values, {"new": list(values)}) == []
