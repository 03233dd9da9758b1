"""graders/exact.py: equality, whatever the table calls the types."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

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
