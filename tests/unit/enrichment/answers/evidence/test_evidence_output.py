"""evidence_output.py: answers with their evidence, and the columns of their data."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from include.enrichment.answers.evidence.evidence_output import EvidenceOutput
from include.enrichment.answers.evidence.page_search import SearchableDocument
from include.enrichment.documents.document import Page

SCHEMA = json.dumps(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["total", "due", "kind"],
        "properties": {
            "total": {"type": "number", "description": "x"},
            "due": {"type": "string", "format": "date", "description": "x"},
            "kind": {"enum": ["Invoice", "Letter"], "description": "x"},
        },
    }
)
OUTPUT = EvidenceOutput(SCHEMA)
DATA = {"total": 12.5, "due": "2026-11-01", "kind": "Invoice"}


def answer(data: Any = DATA, *, page: Any = 1, quote: str = "Total: 12,50") -> str:
    return json.dumps({"data": data, "evidence": [{"field": "total", "page": page, "quote": quote}]})


def test_the_columns_are_those_of_the_data() -> None:
    assert [field.name for field in OUTPUT.fields] == ["total", "due", "kind"]
    assert list(OUTPUT.properties) == ["total", "due", "kind"]
    assert OUTPUT.values([answer()]) == [DATA]
    columns = OUTPUT.columns([answer(), answer(DATA | {"total": 3})])
    assert [str(column.type) for column in columns] == ["double", "date32[day]", "string"]
    assert columns[0].to_pylist() == [12.5, 3.0]


def test_an_output_keeps_its_evidence() -> None:
    assert OUTPUT.check(answer()) == (answer(), None)
    assert OUTPUT.check_json(answer()) == (answer(), None)
    fixed, _ = OUTPUT.check(answer(DATA | {"kind": "invoice"}))
    assert fixed
    assert json.loads(fixed) == json.loads(answer())


def test_an_answer_without_evidence_or_with_bad_data_is_unusable() -> None:
    assert "$: " in str(OUTPUT.check(json.dumps({"data": DATA}))[1])
    assert "$.data.total" in str(OUTPUT.check(answer(DATA | {"total": "x"}))[1])
    assert "not storable" in str(OUTPUT.check(answer(DATA | {"due": "0000-01-01"}))[1])
    texts = pa.chunked_array([[answer(), "{}", None]])
    assert OUTPUT.accept(texts).to_pylist() == [answer(), None, None]


def test_a_whole_number_may_be_written_as_a_decimal_one() -> None:
    text = answer(page=1.0)
    assert OUTPUT.check(text) == (text, None)
    assert OUTPUT.ground(text, []).evidence[0].page == 1


def test_quotes_are_located_in_the_documents() -> None:
    invoice = SearchableDocument.of(
        "a.pdf", [Page(number=1, text=""), Page(number=2, text="Total: 12.50 EUR, thank you")]
    )
    found = OUTPUT.ground(answer(), [invoice])
    assert [(each.page, each.found) for each in found.evidence] == [(2, "other_page")]
    assert found.ungrounded == ["due", "kind"]


def test_the_answer_is_the_last_text() -> None:
    assert OUTPUT.answer_in(["Let me see.", answer()]) == answer()
