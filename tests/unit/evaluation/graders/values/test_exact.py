"""graders/exact.py: equality, whatever the table calls the types."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from include.enrichment.errors import SpecError
from include.evaluation.graders.grader import Gradable
from include.evaluation.graders.values.exact import Exact


@pytest.mark.parametrize(
    ("expected", "answer", "score"),
    [
        ("shoes", "shoes", 1),
        ("shoes", "Shoes", 0),
        ("shoes", "shoes ", 0),
        (3, 3.0, 1),
        (Decimal("0.10"), 0.1, 1),
        (0.1, 0.2, 0),
        (True, 1, 0),
        (True, True, 1),
        ("3", 3, 0),
        (date(2026, 11, 3), "2026-11-03", 1),
        (datetime(2026, 11, 3, 1, tzinfo=UTC), datetime(2026, 11, 3, 2, tzinfo=timezone(timedelta(hours=1))), 1),
        ([1, 2], [1.0, 2.0], 1),
        ([1, 2], [2, 1], 0),
        ({"a": 1, "b": None}, {"b": None, "a": 1}, 1),
        ({"a": 1}, {"a": 1, "b": 2}, 0),
    ],
)
def test_equal_values_are_right_and_all_others_wrong(expected: Any, answer: Any, score: int) -> None:
    grade = Exact().grade(expected, answer)
    assert (grade.status, grade.score) == ("scored", score)
    assert bool(grade.detail) is (score == 0)


@pytest.mark.parametrize(
    ("expected", "values"), [(["3", "4"], [3, 4]), ([True], [1]), (['["a"]'], [["a"]]), ([1], [{"a": 1}])]
)
def test_types_that_are_never_equal_are_an_error_and_no_wrong_answers(expected: list[Any], values: list[Any]) -> None:
    answers = Gradable(field="size", values=values, expected=expected, rows=pa.table({"size": values}))
    with pytest.raises(SpecError, match="`exact` of 'size' would call every answer wrong"):
        Exact().grade_all(answers)


def test_types_that_may_be_equal_are_graded() -> None:
    values = [date(2026, 11, 3), date(2026, 11, 4)]
    answers = Gradable(field="day", values=values, expected=["2026-11-03"] * 2, rows=pa.table({"day": values}))
    assert [grade.score for grade in Exact().grade_all(answers)] == [1, 0]
    assert Exact().grade_all(Gradable(field="day", values=[], expected=[], rows=pa.table({}))) == []
