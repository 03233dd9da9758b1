"""Equality."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from include.enrichment.errors import SpecError
from include.evaluation.graders.grader import RIGHT, Gradable, PairGrader, wrong
from include.evaluation.json_values import are_equal, json_value
from include.evaluation.scores import Grade

_FAMILIES = {
    bool: "true or false",
    int: "numbers",
    float: "numbers",
    Decimal: "numbers",
    list: "lists",
    dict: "objects",
}
_WRONG = wrong("differs")


class Exact(PairGrader):
    """
    The answer must equal the expected value: texts letter by letter, 1 and 1.0 alike, a date or time like its ISO text.
    """

    def grade_all(self, answers: Gradable) -> list[Grade]:
        """Return 1 or 0 for each answer. Raises SpecError if none can be right, because their types differ."""
        wanted, found = (sorted({_family(value) for value in values}) for values in (answers.expected, answers.values))
        if wanted and found and not set(wanted) & set(found):
            raise SpecError(
                f"The grader `exact` of {answers.field!r} would call every answer wrong: the expected values are"
                f" {' and '.join(wanted)}, the answers {' and '.join(found)}. Nothing was evaluated. Name the type of"
                " the expected column in source.carry, or another grader in evaluation.yaml: number, date or json."
            )
        return super().grade_all(answers)

    def grade(self, expected: Any, answer: Any) -> Grade:
        """Return 1 for an equal value, else 0."""
        return RIGHT if are_equal(json_value(expected), json_value(answer)) else _WRONG


def _family(value: Any) -> str:
    """Return what values are that may be equal to this one."""
    return _FAMILIES.get(type(value), "texts")
