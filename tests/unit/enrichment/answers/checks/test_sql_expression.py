from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.enrichment.answers.checks.kind import Answers
from include.enrichment.answers.checks.sql_expression import SqlExpression
from include.enrichment.answers.schema.output_schema import OutputSchema
from include.enrichment.errors import SpecError

OUTPUT = OutputSchema(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["price", "day"],
        "properties": {
            "price": {"type": ["number", "null"], "description": "x"},
            "day": {"type": "string", "format": "date", "description": "x"},
            "tags": {"type": "array", "items": {"type": "string"}, "description": "x"},
        },
    }
)


def passed(expression: str, outputs: list[dict[str, Any]], rows: list[dict[str, Any]], **columns: str) -> list[bool]:
    check = SqlExpression(expression, columns, OUTPUT, where="tickets/checks.yaml:3: a")
    texts = [json.dumps({"price": 1.0, "day": "2026-11-01"} | output) for output in outputs]
    answers = Answers(texts=texts, values=[])
    return [problem is None for problem in check.problems([check.facts(row) for row in rows], answers)]


def test_an_answer_fails_if_the_expression_is_false_and_passes_if_it_is_null() -> None:
    outputs: list[dict[str, Any]] = [{"price": 9.5}, {"price": 12.5}, {"price": None}]
    rows = [{"price": Decimal("12.00")} for _ in outputs]
    assert passed("output.price < source.price", outputs, rows, price="double") == [True, False, True]


def test_the_output_is_typed_as_in_the_table() -> None:
    outputs = [{"day": "2026-11-01", "tags": ["a"]}, {"day": "2026-12-01", "tags": ["a", "b"]}]
    rows = [{"at": datetime(2026, 11, 1, 8, tzinfo=UTC)}] * 2
    expression = "output.day + 1 > source.at and len(output.tags) = 1"
    assert passed(expression, outputs, rows, at="timestamp") == [True, False]


def test_answers_keep_their_order_whatever_the_expression_does() -> None:
    outputs = [{"price": float(number % 7)} for number in range(5_000)]
    found = passed("output.price in (1, 3)", outputs, [{}] * 5_000)
    assert found == [number % 7 in (1, 3) for number in range(5_000)]


def test_no_answers_are_no_problem() -> None:
    assert passed("output.price > 0", [], []) == []


@pytest.mark.parametrize(
    ("expression", "columns", "message"),
    [
        ("output.prise > 1", {}, 'Could not find key "prise"'),
        ("source.cost > 1", {}, "source"),
        ("output.price", {}, "must be true or false, but is DOUBLE"),
        ("output.price >", {}, "syntax error"),
        ("true); drop table answers; select (true", {}, "is not an SQL expression"),
        ("source.cost > 1", {"cost": "dubble"}, "dubble"),
        ("(select count(*) from read_csv('/etc/hostname')) > 0", {}, "without a subquery"),
        ("read_text('/etc/hostname') = ''", {}, "read_text"),
        ("(select count(*) from answers) < 9", {}, "without a subquery"),
        ("row_number() over () < 9", {}, "without a window function"),
        ("count(*) < 9", {}, "aggregate"),
        ("output.day < now()", {}, r"must give the same result in every run, but now\(\) changes"),
    ],
    ids=str,
)
def test_a_wrong_expression_is_a_mistake(expression: str, columns: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SqlExpression(expression, columns, OUTPUT, where="tickets/checks.yaml:3: a")


def test_an_expression_cannot_write_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"syntax error|disabled"):
        SqlExpression(f"copy (select 1) to '{tmp_path}/x'", {}, OUTPUT, where="w")
    assert not [*tmp_path.iterdir()]


def test_an_expression_that_fails_on_a_value_names_its_line() -> None:
    with pytest.raises(
        SpecError, match=r"^tickets/checks.yaml:3: a: the expression fails on an answer: Could not convert"
    ):
        passed("output.price < source.price", [{}], [{"price": "a lot"}], price="double")
