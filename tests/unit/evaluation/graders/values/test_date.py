"""graders/values/date.py: dates in the notation of several languages."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from include.evaluation.graders.values.date import Date, dates_in

_THIRD = date(2026, 11, 3)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-03",
        "2026-11-03T10:00:00Z",
        "3 November 2026",
        "November 3rd, 2026",
        "3. November 2026",
        "le 3 novembre 2026",
        "3 de noviembre de 2026",
        "03.11.2026",
        "2026年11月3日",
        "Due on 2026/11/03.",
    ],
)
def test_a_text_has_a_date_in_several_languages(text: str) -> None:
    assert _THIRD in dates_in(text)


@pytest.mark.parametrize("text", ["", "soon", "2026-11-03 to 2026-11-05", "2026-13-45", "20261103"])
def test_a_text_without_one_date_has_none(text: str) -> None:
    assert dates_in(text) == frozenset()


@pytest.mark.parametrize(
    ("options", "expected", "answer", "score"),
    [
        ({}, _THIRD, date(2026, 11, 3), 1),
        ({}, _THIRD, date(2026, 11, 4), 0),
        ({"days": 1}, _THIRD, date(2026, 11, 4), 1),
        ({}, "2026-11-03", "3 Nov 2026", 1),
        ({}, _THIRD, "11/3/2026", 1),
        ({}, _THIRD, "3/11/2026", 1),
        ({"order": "day first"}, _THIRD, "11/3/2026", 0),
        ({"order": "month first"}, _THIRD, "11/3/2026", 1),
        ({}, _THIRD, datetime(2026, 11, 3, 23, 59, tzinfo=UTC), 1),
        ({}, _THIRD, datetime(2026, 11, 4, 1, tzinfo=timezone(timedelta(hours=2))), 1),
        ({}, _THIRD, datetime(2026, 11, 3, 12), 1),  # noqa: DTZ001 - a column without a zone
        ({}, _THIRD, "unknown", 0),
    ],
)
def test_the_same_date_is_right(options: dict[str, Any], expected: Any, answer: Any, score: int) -> None:
    assert Date(**options).grade(expected, answer).score == score


def test_the_reason_is_the_difference() -> None:
    assert Date().grade(_THIRD, date(2026, 11, 4)).detail == "differs by 1 day"
    assert Date().grade(_THIRD, date(2027, 11, 3)).detail == "differs by 365 days"
    assert Date().grade(_THIRD, "soon").detail == "'soon' is not one date"


def test_an_expected_value_that_is_no_date_leaves_the_answer_unscored() -> None:
    assert Date().grade("soon", "2026-11-03").status == "unscored"
    assert Date().grade(3, "2026-11-03").status == "unscored"
