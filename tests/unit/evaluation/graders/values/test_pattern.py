"""graders/values/pattern.py: regular expressions."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from include.evaluation.graders.grader import Gradable
from include.evaluation.graders.values.pattern import Pattern
from include.evaluation.scores import Grade


def _grades(pattern: str, values: list[Any]) -> list[Grade]:
    rows = pa.table({"code": values})
    return Pattern(pattern=pattern).grade_all(
        Gradable(field="code", values=values, expected=[None] * len(values), rows=rows)
    )


def test_an_answer_that_contains_the_pattern_is_right() -> None:
    found = _grades(r"^[A-Z]{2}\d+$", ["AB12", "ab12", "xAB12"])
    assert [grade.score for grade in found] == [1, 0, 0]
    assert found[1].detail == r"does not match '^[A-Z]{2}\\d+$'"


def test_a_number_is_matched_as_its_text() -> None:
    assert [grade.score for grade in _grades(r"^1\d$", [12, 21])] == [1, 0]


@pytest.mark.parametrize("pattern", ["(", "(?<=a)b", ""])
def test_a_pattern_that_re2_rejects_is_a_mistake(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"is not a valid RE2 pattern|at least 1 character"):
        Pattern(pattern=pattern)
