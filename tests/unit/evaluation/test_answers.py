"""answers.py: which answers can be graded."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.enrichment.errors import LoadError
from include.evaluation.answers import Answers, without_value
from include.evaluation.cases import number_cases
from include.evaluation.spec.settings import EvaluationSettings, MetricSettings
from tests.fixtures.judges import answered, rejected, write_judges

METRIC = MetricSettings(judge=["grader"], on_missing="error")
NAMED = MetricSettings(judge=["grader"], field="pitch")


def answers(folder: Path, field: str) -> Answers:
    settings = EvaluationSettings(metrics={"label": METRIC})
    table, rejects = answered((1, "current", "a"), (1, "brief", None)), rejected((2, "brief"))
    cases = number_cases(table, rejects, settings, write_judges(folder))
    return Answers.of(table, rejects, cases).of_field(field)


def test_rejects_and_answers_without_a_value_cannot_be_used(tmp_path: Path) -> None:
    found = answers(tmp_path, "label")
    assert found.all == [(0, "current", 1), (0, "brief", 1), (1, "brief", 1)]
    assert found.unusable == {(0, "brief", 1): "the answer has no value", (1, "brief", 1): "invalid: not JSON"}
    assert found.texts == ["a", "", ""]
    with pytest.raises(
        LoadError, match="in 2 of 3 answers, the first for id=1 of the variant 'brief': the answer has no"
    ):
        found.check_usable("label", METRIC)
    found.check_usable("label", NAMED)
    found.check_usable("label", METRIC, [0])


def test_a_metric_of_whole_answers_needs_no_value(tmp_path: Path) -> None:
    assert list(answers(tmp_path, "").unusable) == [(1, "brief", 1)]


def test_an_answer_without_a_value_counts_or_is_left_out() -> None:
    skipping = MetricSettings(judge=["grader"], on_missing="skip")
    assert [without_value(metric, "why").score for metric in (NAMED, skipping)] == [0, None]
    assert without_value(NAMED, "why", score=0.5).score == 0.5
