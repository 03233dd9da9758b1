"""scores.py: the scores of several metrics as one."""

from __future__ import annotations

import pandas as pd

from include.evaluation.scores import Grade, Scores, join_scores, score_rows

_CASES = pd.DataFrame({"id": [7, 8]})
_GRADES = [
    Grade(status="scored", score=1),
    Grade(status="missing", detail="none"),
    Grade(status="scored", score=0.5, detail="half"),
]


def _of(metric: str, variants: list[str]) -> pd.DataFrame:
    return _scores(metric, variants).scores


def _scores(metric: str, variants: list[str]) -> Scores:
    return score_rows(
        metric,
        case=[0, 1, 0],
        variant=variants,
        sample=[1, 1, 2],
        grades=_GRADES,
        expected=["a", "", "b"],
        answers=["a", "c", "d"],
        cases=_CASES,
    )


def test_there_is_one_row_for_each_answer() -> None:
    found = _of("label", ["new", "new", "current"])
    assert found.drop(columns="score").to_dict("records") == [
        {"case": 0, "variant": "new", "metric": "label", "status": "scored", "sample": 1},
        {"case": 1, "variant": "new", "metric": "label", "status": "missing", "sample": 1},
        {"case": 0, "variant": "current", "metric": "label", "status": "scored", "sample": 2},
    ]
    assert found["score"].isna().tolist() == [False, True, False]
    assert found.dtypes.astype(str).to_dict() == {
        "case": "int64",
        "variant": "category",
        "metric": "category",
        "status": "category",
        "sample": "int64",
        "score": "float64",
    }


def test_metrics_are_joined_in_their_order_and_stay_categories() -> None:
    whole = join_scores([_scores("b", ["x", "x", "x"]), _scores("a", ["x", "y", "y"])], cases=_CASES)
    assert whole.scores["metric"].tolist() == ["b"] * 3 + ["a"] * 3
    assert whole.scores["metric"].cat.categories.tolist() == ["b", "a"]
    assert whole.scores["variant"].cat.categories.tolist() == ["x", "y"]
    assert whole.texts["detail"].tolist() == ["", "none", "half"] * 2
    assert whole.cases is _CASES


def test_without_metrics_there_are_no_rows_and_all_columns() -> None:
    whole = join_scores([], cases=_CASES)
    assert len(whole.scores) == len(whole.texts) == 0
    assert whole.scores.columns.tolist() == _of("a", ["x", "x", "x"]).columns.tolist()
    assert whole.scores["metric"].cat.categories.tolist() == []


def test_scores_are_joined_with_none() -> None:
    cases = pd.DataFrame({"id": [1]})
    none = join_scores([], cases=cases)
    one = score_rows(
        "shelf",
        case=[0],
        variant=["a"],
        sample=[1],
        grades=[Grade(status="scored", score=1)],
        expected=[""],
        answers=[""],
        cases=cases,
    )
    assert join_scores([none, one, none], cases=cases).scores["variant"].tolist() == ["a"]
