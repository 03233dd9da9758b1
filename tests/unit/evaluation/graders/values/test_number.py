"""graders/values/number.py: numbers, also those in texts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from include.evaluation.graders.values.number import Number, numbers_in


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1234", ["1234"]),
        ("1,234.50", ["1234.5"]),
        ("1.234,50 €", ["1234.5"]),
        ("1'234.50 CHF", ["1234.5"]),
        ("1 234,50", ["1234.5"]),
        ("1\u202f234,50", ["1234.5"]),
        ("1,23,456.78", ["123456.78"]),
        ("$12", ["12"]),
        ("USD 12.5", ["12.5"]),
        ("45 %", ["45"]),
        ("12.5 kg", ["12.5"]),
        ("1e3", ["1000"]),
        ("1.299", ["1299", "1.299"]),
        ("0.500", ["0.5"]),
        (".5", ["0.5"]),
        ("-5", ["-5"]),
        ("\u22125,00", ["-5"]),
        ("-$5", ["-5"]),
        ("$-5", ["-5"]),
        ("€ -5", ["-5"]),
        ("(1,234.50)", ["-1234.5"]),
        ("5,00-", ["-5"]),
        ("5,00 €-", ["-5"]),
        ("Nr-5", ["5"]),
        ("5-fold", ["5"]),
        ("about 5", ["5"]),
        ("2 of 3", []),
        ("2026-11-03", []),
        ("none", []),
        ("", []),
    ],
)
def test_a_text_has_a_number_in_any_notation(text: str, values: list[str]) -> None:
    assert list(numbers_in(text)) == list(map(Decimal, values))


@pytest.mark.parametrize(
    ("text", "decimal", "values"),
    [
        ("1.299", ".", ["1.299"]),
        ("1.299", ",", ["1299"]),
        ("1.299,5", ",", ["1299.5"]),
        ("1,299", ".", ["1299"]),
        ("1.2.3", ".", []),
        ("1e3", ".", ["1000"]),
    ],
)
def test_the_decimal_mark_may_be_named(text: str, decimal: str, values: list[str]) -> None:
    assert list(numbers_in(text, decimal)) == list(map(Decimal, values))


@pytest.mark.parametrize(
    ("options", "expected", "answer", "score"),
    [
        ({}, 1, 1.0, 1),
        ({}, Decimal("0.10"), 0.1, 1),
        ({}, 0.3, 0.1 + 0.2, 0),
        ({"tolerance": 0.01}, 10.00, 10.01, 1),
        ({"tolerance": 0.01}, 10.00, 10.011, 0),
        ({"relative": 0.1}, 200, 220, 1),
        ({"relative": 0.1}, -200, -221, 0),
        ({"relative": 0.01, "tolerance": 5}, 100, 104, 1),
        ({}, 1234.5, "EUR 1.234,50", 1),
        ({}, "1,299", "1.299", 1),
        ({"decimal": "."}, 1299, "1.299", 0),
        ({}, -5, "(5)", 1),
        ({}, 1, True, 0),
        ({}, 1, float("nan"), 0),
        ({}, 5, "five", 0),
    ],
)
def test_a_number_within_the_tolerance_is_right(
    options: dict[str, Any], expected: Any, answer: Any, score: int
) -> None:
    assert Number(**options).grade(expected, answer).score == score


def test_the_reason_is_the_smallest_difference() -> None:
    assert Number().grade(1300, "1.299").detail == "differs by 1"
    assert Number().grade(5, "five").detail == "'five' is not one number"


@pytest.mark.parametrize("expected", ["unknown", "1 or 2", float("nan"), True])
def test_an_expected_value_that_is_no_number_leaves_the_answer_unscored(expected: Any) -> None:
    assert Number().grade(expected, 1).status == "unscored"


@pytest.mark.parametrize("options", [{"tolerance": -1}, {"relative": float("inf")}, {"decimal": ";"}])
def test_a_tolerance_has_bounds(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Input should be"):
        Number(**options)
