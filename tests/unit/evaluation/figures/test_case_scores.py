"""The scores of one metric and one variant."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from include.evaluation.figures.case_scores import case_scores
from include.evaluation.scores import Scores

ROWS = [
    (0, "new", 1, "total", "scored", 1.0),
    (0, "new", 2, "total", "scored", 0.5),
    (1, "new", 1, "total", "unscored", np.nan),
    (1, "new", 2, "total", "skipped", np.nan),
    (2, "new", 1, "total", "missing", np.nan),
    (0, "current", 1, "total", "scored", 1.0),
]


def _scores(*, categories: bool) -> Scores:
    frame = pd.DataFrame(ROWS, columns=["case", "variant", "sample", "metric", "status", "score"])
    if categories:
        frame = frame.astype(dict.fromkeys(["variant", "metric", "status"], "category"))
    return Scores(scores=frame, texts=pd.DataFrame(), cases=pd.DataFrame({"sku": list("abc")}))


@pytest.mark.parametrize("categories", [False, True])
def test_a_case_scores_the_mean_of_its_samples(categories: bool) -> None:
    found = {one.variant: one for one in case_scores(_scores(categories=categories))}
    np.testing.assert_array_equal(found["new"].score, [0.75, np.nan, np.nan])
    np.testing.assert_array_equal(found["new"].samples, [2, 0, 0])
    assert {status: list(cases) for status, cases in found["new"].left_out.items()} == {
        "missing": [2],
        "skipped": [1],
        "unscored": [1],
    }
    assert not found["new"].right_or_wrong
    assert not found["new"].sampled_once
    assert found["current"].right_or_wrong
    assert found["current"].sampled_once


def test_a_variant_that_a_metric_does_not_know_has_no_scores() -> None:
    scores = _scores(categories=True)
    scores.scores["variant"] = scores.scores["variant"].cat.add_categories("third")
    assert {one.variant for one in case_scores(scores)} == {"current", "new"}
