"""The value of each metric."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from include.enrichment.errors import SpecError
from include.evaluation.figures.case_scores import CaseScores
from include.evaluation.figures.metrics import MOST_GROUPS, NO_GROUP, metrics
from include.evaluation.result import Metric
from include.evaluation.spec.settings import EvaluationSettings


def _metrics(
    answers: list[float], *, case: list[int] | None = None, cases: pd.DataFrame | None = None, **settings: object
) -> list[Metric]:
    positions = list(range(len(answers))) if case is None else case
    table = pd.DataFrame({"sku": range(max(positions, default=-1) + 1)}) if cases is None else cases
    scores = CaseScores(
        metric="shelf",
        variant="new",
        cases=len(table),
        case=np.array(positions, dtype=np.int64),
        answer=np.array(answers, dtype=np.float64),
        left_out={status: np.array([], dtype=np.int64) for status in ("missing", "skipped", "unscored")},
    )
    chosen = EvaluationSettings.model_validate({"metrics": {"shelf": {"grade": "exact"}}, **settings})
    return list(metrics([scores], table, chosen))


def test_right_and_wrong_answers_have_wilsons_interval() -> None:
    (found,) = _metrics([1, 1, 1, 0])
    assert (found.kind, found.value, found.method, found.cases) == ("proportion", 0.75, "Wilson", 4)


def test_other_scores_have_a_bootstrap_interval() -> None:
    (found,) = _metrics([1, 0.5, 0.25, 0])
    assert (found.kind, found.value, found.method) == ("mean", 0.4375, "BCa bootstrap")


def test_the_samples_of_a_case_are_not_cases() -> None:
    (once,) = _metrics([1, 1, 0, 0], case=[0, 1, 2, 3])
    (twice,) = _metrics([1, 1, 1, 1, 0, 0, 0, 0], case=[0, 0, 1, 1, 2, 2, 3, 3])
    assert once.cases == twice.cases == 4
    assert twice.low is not None
    assert once.high is not None
    assert once.low is not None
    assert twice.low < once.low + 0.1  # eight independent answers would have 0.21


def test_cases_of_one_cluster_count_as_less_than_independent_ones() -> None:
    cases = pd.DataFrame({"sku": range(40), "supplier": np.repeat(range(8), 5)})
    answers = list(np.repeat([1.0, 0, 1, 0, 1, 1, 0, 1], 5))
    (alone,) = _metrics(answers, cases=cases)
    (clustered,) = _metrics(answers, cases=cases, cluster="supplier")
    assert clustered.value == alone.value
    assert clustered.low is not None
    assert alone.low is not None
    assert clustered.low < alone.low


@pytest.mark.parametrize(("answers", "value"), [([], None), ([0.5], 0.5)])
def test_too_few_cases_have_no_interval(answers: list[float], value: float | None) -> None:
    (found,) = _metrics(answers)
    assert (found.value, found.low, found.high) == (value, None, None)


def test_cases_without_a_group_are_a_group() -> None:
    cases = pd.DataFrame({"sku": range(3), "section": ["a", None, "a"]})
    found = _metrics([1, 1, 0], cases=cases, by=["section"])
    assert [(one.by, one.group, one.value) for one in found] == [
        (None, None, pytest.approx(2 / 3)),
        ("section", NO_GROUP, 1),
        ("section", "a", 0.5),
    ]


def test_a_column_of_identifiers_has_no_groups() -> None:
    cases = pd.DataFrame({"sku": range(MOST_GROUPS + 1)})
    with pytest.raises(SpecError, match=r"`by` names the column sku, which has 1,001 values in 1,001 cases"):
        _metrics([1, 0], cases=cases, by=["sku"])


def test_groups_may_be_bytes() -> None:
    cases = pd.DataFrame({"sku": range(2), "digest": [b"\xff", None]})
    assert [one.group for one in _metrics([1, 1], cases=cases, by=["digest"])] == [None, NO_GROUP, "ff"]
