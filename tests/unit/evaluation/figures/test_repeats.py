"""Several samples of a case."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from include.evaluation.figures.case_scores import CaseScores
from include.evaluation.figures.repeats import pass_at, repeats
from include.evaluation.result import Repeats


def _repeats(answers: list[list[float]]) -> list[Repeats]:
    scores = CaseScores(
        metric="shelf",
        variant="new",
        cases=len(answers),
        case=np.array([case for case, scores in enumerate(answers) for _ in scores], dtype=np.int64),
        answer=np.array([score for scores in answers for score in scores], dtype=np.float64),
        left_out={},
    )
    return list(repeats([scores]))


def test_one_sample_shows_nothing() -> None:
    assert _repeats([[1], [0], []]) == []


def test_cases_whose_samples_disagree_flicker() -> None:
    (found,) = _repeats([[1, 1, 1], [1, 0, 1], [0, 0, 0], [1]])
    assert (found.samples, found.flickering) == (3, 1)
    assert found.consistency == pytest.approx(7 / 9)


def test_scores_between_right_and_wrong_have_no_chance_of_passing() -> None:
    (found,) = _repeats([[0.5, 0.5], [0.25, 1]])
    assert (found.consistency, found.flickering, found.pass_at) == (0.5, 1, {})


def test_pass_at_k_counts_all_choices_of_k_samples() -> None:
    answers = [[1.0, 0, 0, 1], [0.0, 0, 0, 1], [0.0, 0, 0, 0]]
    (found,) = _repeats(answers)
    for k in range(1, 5):
        chosen = [any(choice) for scores in answers for choice in combinations(scores, k)]
        assert found.pass_at[k] == pytest.approx(np.mean(chosen))


def test_cases_with_too_few_samples_do_not_count() -> None:
    assert pass_at(np.array([1, 1]), np.array([1, 2]), 2) == 1
    assert pass_at(np.array([1]), np.array([1]), 2) is None
