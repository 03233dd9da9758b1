"""spec/settings.py: what evaluation.yaml says, each with its bounds."""

from __future__ import annotations

import pytest
import yaml
from pydantic import ValidationError

from include.evaluation.spec.settings import EvaluationSettings, GateSettings, MetricSettings


def test_on_may_be_written_without_quotes_though_yaml_reads_it_as_true() -> None:
    assert GateSettings.model_validate(yaml.safe_load("{metric: a, margin: 0.1, on: warn}")).on == "warn"


@pytest.mark.parametrize("margin", [-0.1, 1])
def test_a_margin_is_a_share(margin: float) -> None:
    with pytest.raises(ValidationError):
        GateSettings(metric="a", margin=margin)


@pytest.mark.parametrize("confidence", [0.5, 0.9999, 1, float("nan")])
def test_a_confidence_leaves_an_interval_that_says_something(confidence: float) -> None:
    with pytest.raises(ValidationError):
        EvaluationSettings.model_validate({"metrics": {"a": {"grade": "exact"}}, "confidence": confidence})


def test_an_evaluation_has_a_metric() -> None:
    with pytest.raises(ValidationError):
        EvaluationSettings(metrics={})


def test_a_judge_is_no_grader() -> None:
    settings = EvaluationSettings.model_validate({"metrics": {"a": {"judge": "b"}, "c": {"grade": "exact"}}})
    assert [metric.has_grader for metric in settings.metrics.values()] == [False, True]


def test_a_metric_has_one_judge_or_several() -> None:
    assert MetricSettings.model_validate({"judge": "a"}).judges == ["a"]
    assert MetricSettings(pairwise=["a", "b"]).judges == ["a", "b"]
    assert MetricSettings(grade="exact").judges == []


@pytest.mark.parametrize("twice", [{"by": ["shelf", "shelf"]}, {"metrics": {"a": {"judge": ["b", "c", "b"]}}}])
def test_a_judge_and_a_column_are_named_once(twice: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"names '(shelf|b)' twice"):
        EvaluationSettings.model_validate({"metrics": {"a": {"grade": "exact"}}} | twice)
