"""graders/grader.py: what every grader can do."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from include.evaluation.graders.grader import Gradable, PairGrader, scored, unscored, wrong
from include.evaluation.scores import Grade

_seen: list[tuple[Any, Any]] = []


class _Counting(PairGrader):
    def grade(self, expected: Any, answer: Any) -> Grade:
        _seen.append((expected, answer))
        return scored(float(expected == answer))


def _grades(expected: list[Any], values: list[Any]) -> list[float | None]:
    _seen.clear()
    answers = Gradable(field="a", values=values, expected=expected, rows=pa.table({"a": values}))
    return [grade.score for grade in _Counting().grade_all(answers)]


def test_equal_pairs_are_graded_once() -> None:
    assert _grades(["a", "a", "b"], ["a", "a", "a"]) == [1, 1, 0]
    assert _seen == [("a", "a"), ("b", "a")]


def test_lists_are_graded_each() -> None:
    assert _grades([["a"], ["a"]], [["a"], ["a"]]) == [1, 1]
    assert len(_seen) == 2


def test_a_right_answer_needs_no_reason() -> None:
    assert scored(1, "why").detail == ""
    assert scored(0.5, "why").detail == "why"
    assert wrong("why") == Grade(status="scored", score=0, detail="why")


def test_what_cannot_be_graded_has_no_score() -> None:
    assert unscored("why") == Grade(status="unscored", score=None, detail="why")
