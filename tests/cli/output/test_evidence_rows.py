"""evidence_rows.py: published rows as lines of evidence."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from include.cli.output.evidence_rows import evidence_rows
from include.enrichment.answers.evidence.quote import EVIDENCE_FIELDS

SCHEMA = pa.schema(
    [
        pa.field("name", pa.string()),
        pa.field("_part", pa.int64()),
        pa.field("total", pa.float64()),
        pa.field("lines", pa.list_(pa.struct({"sku": pa.string()}))),
        *EVIDENCE_FIELDS,
    ]
)


def row(*evidence: tuple[str, int, str, str | None], ungrounded: list[str]) -> dict[str, Any]:
    located = [dict(zip(("field", "page", "quote", "found"), one, strict=True)) for one in evidence]
    return {
        "name": "a.pdf",
        "_part": 1,
        "total": 12.5,
        "lines": [{"sku": "chair"}],
        "_evidence": located,
        "_ungrounded": ungrounded,
    }


def lines(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = evidence_rows(pa.Table.from_pylist(list(rows), SCHEMA)).to_pylist()
    return found


def test_each_quote_is_a_line_with_its_value() -> None:
    found = lines(row(("total", 2, "12,50", "exact"), ("lines[0].sku", 1, "stool", None), ungrounded=["lines[0].sku"]))
    assert found == [
        {"name": "a.pdf", "_part": 1, "field": "total", "value": "12.5", "page": 2, "found": "exact", "quote": "12,50"},
        {
            **{"name": "a.pdf", "_part": 1, "field": "lines[0].sku", "value": "chair", "page": 1},
            **{"found": "not found", "quote": "stool"},
        },
    ]


def test_a_value_without_a_quote_is_a_line_too() -> None:
    (line,) = lines(row(ungrounded=["total"]))
    assert (line["field"], line["value"], line["page"], line["found"], line["quote"]) == (
        *("total", "12.5", None, "no quote", None),
    )


def test_a_quote_of_an_object_shows_it_and_one_of_nothing_shows_null() -> None:
    found = lines(row(("lines[0]", 1, "chair", "exact"), ("lines[7].x", 1, "y", None), ungrounded=[]))
    assert [line["value"] for line in found] == ['{"sku": "chair"}', "null"]


def test_no_rows_have_no_lines() -> None:
    assert lines() == []
