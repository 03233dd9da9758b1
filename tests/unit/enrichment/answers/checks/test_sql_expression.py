from __future__ import annotations

import json
from datetime import UTC, date, datetime
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


@pytest.mark.parametrize(
    ("kind", "value", "expression"),
    [
        ("varchar[]", ['a "quoted"\n\\text', "ä, b"], "source.c[1] = 'a \"quoted\"' || chr(10) || '\\text'"),
        ("struct(a varchar, n int[])", {"a": "x\ty", "n": [1, None]}, "source.c.a = 'x' || chr(9) || 'y'"),
        ("map(varchar, date)", {"day": date(2026, 11, 1)}, "source.c['day'] = date '2026-11-01'"),
        ("varchar[]", '["from", "text"]', "source.c[2] = 'text'"),
        ("varchar", ["a", "b"], 'source.c = \'["a", "b"]\''),
    ],
)
def test_lists_and_objects_keep_their_texts(kind: str, value: object, expression: str) -> None:
    assert passed(expression, [{}], [{"c": value}], c=kind) == [True]
    assert passed(f"not ({expression})", [{}], [{"c": value}], c=kind) == [False]


def test_a_value_that_does_not_fit_its_type_is_found_before_anything_is_sent() -> None:
    columns = {"price": "double", "tags": "int[]"}
    check = SqlExpression("output.price < source.price", columns, OUTPUT, where="tickets/checks.yaml:3: a")
    good, null, bad = ({"price": price, "tags": [1]} for price in (Decimal("1.5"), None, "a lot"))
    assert check.misfit([check.facts(row) for row in (good, null)]) is None
    assert check.misfit([check.facts(row) for row in (good, bad, bad)]) == (
        1,
        "tickets/checks.yaml:3: a.columns: 'price' has 'a lot', which is not double. Nothing was sent. Name another"
        " type, or cast the column in extract.sql or the export.",
    )
    assert check.misfit([check.facts(good | {"tags": ["x"]})])


@pytest.mark.parametrize("expression", ["price > 1", "output.price > source.price"])
def test_a_column_that_columns_does_not_name_is_told_with_what_to_write(expression: str) -> None:
    with pytest.raises(ValueError, match=r"not found.*source.NAME, once `columns` names it with its type"):
        SqlExpression(expression, {}, OUTPUT, where="tickets/checks.yaml:3: a")
