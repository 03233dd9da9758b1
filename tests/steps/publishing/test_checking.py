from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa

from include.enrichment.answers.checks.check import Check
from include.enrichment.answers.checks.checks import Checks
from include.enrichment.answers.checks.similarity import RowNames
from include.enrichment.answers.schema.output_schema import OutputSchema
from include.enrichment.answers.table import ANSWERED_SCHEMA, CHECKED, WARNINGS
from include.steps.publishing.checking import CheckedRows

OUTPUT = OutputSchema(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["title"],
        "properties": {"title": {"type": "string", "description": "x"}},
    }
)
SHORT: dict[str, Any] = {"name": "short", "field": "title", "characters": {"max": 3}}
SKU: dict[str, Any] = {"name": "sku", "field": "title", "must_contain": ["{{ sku }}"]}


def checks(*settings: dict[str, Any]) -> Checks:
    read = [Check.model_validate(one) for one in settings]
    return Checks(
        read, output=OUTPUT, names=RowNames(key=["sku"]), prompt_columns=[], line=lambda *_: 1, file="checks.yaml"
    )


def answered(*titles: str | None) -> pa.Table:
    """One answer for each title; None: the request has expired."""
    lines = [
        {"outcome": "expired", "reason": "too late"}
        if title is None
        else {"outcome": "succeeded", "output": f'{{"title": "{title}"}}', "_cost_usd": Decimal("0.01")}
        for title in titles
    ]
    return pa.Table.from_pylist(lines, ANSWERED_SCHEMA)


def rows(*facts: str) -> pa.Table:
    requests = [f"request-{number}" for number in range(len(facts))]
    return pa.table({CHECKED: pa.array(facts, pa.string()), "request_id": pa.array(requests, pa.string())})


def test_only_usable_answers_are_judged_each_with_the_facts_of_its_row() -> None:
    found = checks(SKU)
    facts = [found.facts({"sku": sku}) for sku in ("A1", "B2", "C3", "D4")]
    checked = CheckedRows([(rows(*facts), answered("A1", None, "has C3", "D5"))], found)
    ((_, table),) = checked
    assert table["outcome"].to_pylist() == ["succeeded", "expired", "succeeded", "invalid"]
    assert table["reason"].to_pylist() == [None, "too late", None, "check sku: title does not contain 'D4'"]
    assert table["text"].to_pylist() == [None, None, None, '{"title": "D5"}']
    assert table["_cost_usd"].to_pylist()[3] == Decimal("0.01")
    assert checked.failed == {"sku": 1}


def test_warnings_are_a_column_and_count_for_usable_answers_only() -> None:
    found = checks(SHORT | {"warn": True}, SKU)
    facts = [found.facts({"sku": "A"})] * 4
    checked = CheckedRows([(rows(*facts), answered("A", "A long", "long", None))], found)
    ((_, table),) = checked
    assert table[WARNINGS].to_pylist() == [[], ["short"], ["short"], None]
    assert (checked.warned, checked.failed) == ({"short": 1}, {"sku": 1})


def test_a_portion_without_a_usable_answer_passes() -> None:
    ((_, table),) = CheckedRows([(rows("[null]"), answered(None))], checks(SHORT))
    assert table["outcome"].to_pylist() == ["expired"]
    ((_, empty),) = CheckedRows([(rows(), answered())], checks(SHORT | {"warn": True}))
    assert empty.num_rows == 0


def test_without_checks_the_answers_are_unchanged() -> None:
    table = answered("a", None)
    ((_, same),) = CheckedRows([(rows("", ""), table)], None)
    assert same is table
