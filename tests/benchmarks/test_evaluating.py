"""The workload of the benchmark of an evaluation, small."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.evaluation.evaluate import evaluate
from include.evaluation.grading import grade_table
from tests.benchmarks.evaluating import SETTINGS, pipeline, published, with_scipy


def test_every_answer_is_graded_and_every_group_has_its_figures(tmp_path: Path) -> None:
    scores = grade_table(*published(200), SETTINGS, pipeline(tmp_path))
    assert len(scores.scores) == 2 * 2 * 200
    figures = evaluate(scores, SETTINGS)
    assert len(figures.metrics) == 2 * 2 * (1 + 20)
    assert figures.metrics[0].value == pytest.approx(0.9, abs=0.06)
    with_scipy(scores)
