"""Equality."""

from __future__ import annotations

from typing import Any

from include.evaluation.graders.grader import RIGHT, PairGrader, wrong
from include.evaluation.graders.json_values import are_equal, json_value
from include.evaluation.scores import Grade

_WRONG = wrong("differs")


class Exact(PairGrader):
    """
    The answer must equal the expected value: texts letter by letter, 1 and 1.0 alike, a date or time like its ISO text.
    """

    def grade(self, expected: Any, answer: Any) -> Grade:
        """Return 1 for an equal value, else 0."""
        return RIGHT if are_equal(json_value(expected), json_value(answer)) else _WRONG
