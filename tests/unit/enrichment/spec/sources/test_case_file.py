"""case_file.py: the rows of JSON lines and CSV, their types, and each mistake with its line."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from include.enrichment.answers.schema.carried import carried_type
from include.enrichment.spec.sources import case_file
from include.enrichment.spec.sources.case_file import read_cases


def types(**named: str) -> dict[str, pa.DataType]:
    return {name: carried_type(kind) for name, kind in named.items()}


def test_a_line_of_json_is_a_row_and_a_missing_key_is_null() -> None:
    cases = read_cases('{"id": 1, "text": "a"}\n\n{"id": 2, "price": 1.5}\n', file="cases.jsonl", types={})
    assert cases.rows == [{"id": 1, "text": "a", "price": None}, {"id": 2, "text": None, "price": 1.5}]
    assert cases.columns == {"id": pa.int64(), "text": pa.string(), "price": pa.float64()}
    assert cases.mistakes == []


def test_a_row_of_csv_is_text_and_an_empty_cell_is_null() -> None:
    cases = read_cases('id,text\n007,"two\nlines, really"\n8,\n', file="cases.csv", types={})
    assert cases.rows == [{"id": "007", "text": "two\nlines, really"}, {"id": "8", "text": None}]
    assert cases.columns == {"id": pa.string(), "text": pa.string()}


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int64", "7", 7),
        ("double", "1.5", 1.5),
        ("boolean", "true", True),
        ("date", "2026-11-01", date(2026, 11, 1)),
        ("decimal(9,2)", "12.50", Decimal("12.50")),
        ("string", "007", "007"),
    ],
)
@pytest.mark.parametrize("file", ["cases.csv", "cases.jsonl"])
def test_a_text_becomes_the_type_that_the_pipeline_names(file: str, kind: str, text: str, value: object) -> None:
    content = f'id,value\n1,"{text}"\n' if file == "cases.csv" else f'{{"id": 1, "value": "{text}"}}'
    cases = read_cases(content, file=file, types=types(value=kind))
    assert (cases.rows[0]["value"], cases.columns["value"]) == (value, carried_type(kind))
    assert cases.mistakes == []


def test_whole_and_other_numbers_are_one_column() -> None:
    cases = read_cases('{"n": 1}\n{"n": 1.5}', file="cases.jsonl", types={})
    assert (cases.columns, cases.mistakes) == ({"n": pa.float64()}, [])


def test_lists_and_objects_have_no_type_of_their_own() -> None:
    cases = read_cases('{"tags": ["a"], "of": {"b": 1}, "nothing": null}', file="cases.jsonl", types={})
    assert cases.columns == {"tags": None, "of": None, "nothing": None}
    assert cases.rows == [{"tags": ["a"], "of": {"b": 1}, "nothing": None}]


@pytest.mark.parametrize(
    ("file", "text", "mistakes"),
    [
        ("cases.jsonl", "\n", [(1, "has no case")]),
        ("cases.csv", "id,text\n", [(1, "has no case")]),
        ("cases.jsonl", '{"id": 1}\n[1]', [(2, 'is not a case like {"<column>": <value>, …}: Expected `object`')]),
        ("cases.jsonl", '{"id": 1, "id": 2}', [(1, "the key 'id' occurs twice in one object")]),
        ("cases.jsonl", '{"a": 1}\n{"a": "x"}', [(2, "'a' is 'x' (str), but 1 (int) in line 1")]),
        ("cases.csv", "id,id\n1,2\n", [(1, "names the column 'id' twice")]),
        ("cases.csv", "id,a\n1,2\n1,2,3\n\n4\n", [(3, "has 3 cells, but"), (5, "has 1 cells, but")]),
        ("cases.csv", 'id,a\n1,"2\n', [(2, "is not CSV: unexpected end of data")]),
        ("cases.csv", "id,n\n1,7\n2,x\n3,y\n", [(3, "'n' is 'x' (str), which is not int64"), (4, "'n' is 'y'")]),
    ],
)
def test_a_mistake_is_reported_with_its_line(file: str, text: str, mistakes: list[tuple[int, str]]) -> None:
    found: list[tuple[int, Any]] = read_cases(text, file=file, types=types(n="int64")).mistakes
    assert [line for line, _ in found] == [line for line, _ in mistakes]
    assert all(fact.startswith(told) for (_, fact), (_, told) in zip(found, mistakes, strict=True)), found


def test_a_file_that_is_too_large_for_a_run_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_file, "MAX_CASE_BYTES", 10)
    (mistake,) = read_cases('{"id": "ü"}', file="cases.jsonl", types={}).mistakes
    assert mistake == (1, "has 12 bytes, at most 10 are allowed: put more cases into a table")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("int64", value) for value in ("1.5", "true", "[1]", '{"a": 1}', "99999999999999999999")),
        *(("string", value) for value in ("1", "true", '["a"]')),
        *(("boolean", value) for value in ("1", "[true]")),
        *(("double", value) for value in ("true", "{}")),
        ("decimal(10,2)", "[1]"),
    ],
)
def test_a_value_of_json_is_of_the_type_that_the_pipeline_names(kind: str, value: str) -> None:
    ((line, fact),) = read_cases(f'{{"n": {value}}}', file="cases.jsonl", types=types(n=kind)).mistakes
    assert line == 1
    assert fact.startswith("'n' is ")


@pytest.mark.parametrize(("kind", "value"), [("int64", "1.0"), ("double", "1"), ("string", '"1"'), ("boolean", "true")])
def test_a_number_may_be_written_as_json_likes(kind: str, value: str) -> None:
    assert read_cases(f'{{"n": {value}}}', file="cases.jsonl", types=types(n=kind)).mistakes == []


def test_blank_lines_of_csv_are_no_cases() -> None:
    assert read_cases("\n\n\n", file="cases.csv", types={}).mistakes == [(1, "has no case")]
