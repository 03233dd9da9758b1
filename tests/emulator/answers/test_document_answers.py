"""Answers from documents: what stands in them, and where it stands."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from include.emulator.answers.bad_evidence import invented_quote
from include.emulator.answers.document_answers import compile_answer
from include.emulator.answers.source import Source
from include.emulator.documents.document import Document
from include.emulator.draws import Draws

INVOICE = """Nordwind Handels GmbH
Rechnungsnummer: RE-2026-0042
Rechnungsdatum: 12. März 2026 Fällig am: 11.04.2026
Pos Beschreibung Menge Preis Betrag
1 Schrauben M4 10 1,50 € 15,00 €
2 Dichtungen 3 400,00 € 1.200,00 €
Zwischensumme 1.215,00 €"""
LAST_PAGE = """MwSt 19 % 230,85 €
Gesamtbetrag 1 445,85 €
Zahlungsbedingungen: 30 Tage netto"""

_OBJECT = {"type": "object", "additionalProperties": False}


def _schema(**properties: Any) -> dict[str, Any]:
    return {**_OBJECT, "properties": properties, "required": list(properties)}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


TEXT, NUMBER, DATE = {"type": "string"}, {"type": "number"}, {"type": "string", "format": "date"}
EVIDENCE = {"type": "array", "items": _schema(field=TEXT, page={"type": "integer"}, quote=TEXT)}
ITEM = _schema(description=TEXT, quantity={"type": "integer"}, unit_price=NUMBER, amount=NUMBER)
DATA = _schema(
    vendor=TEXT,
    invoice_number=TEXT,
    issue_date=DATE,
    due_date=_or_null(DATE),
    currency={"type": "string", "enum": ["USD", "EUR"]},
    total={"type": ["number", "null"]},
    iban=_or_null(TEXT),
    payment_terms=TEXT,
    line_items={"type": "array", "items": {"$ref": "#/$defs/item"}},
)
WRAPPED = {**_schema(data=DATA, evidence=EVIDENCE), "$defs": {"item": ITEM}}


def _answer(schema: dict[str, Any], *pages: str, start: int = 0, **source: Any) -> Any:
    documents = [Document(kind="pdf", pages=tuple(enumerate(pages, start=1)))] if pages else []
    value = compile_answer(schema)(Draws(start), Source("What is it?", documents=documents, **source))
    jsonschema_rs.validator_for(schema).validate(value)
    return value


def test_values_stand_in_the_document() -> None:
    assert _answer(WRAPPED, INVOICE, LAST_PAGE)["data"] == {
        "vendor": "Nordwind Handels GmbH",
        "invoice_number": "RE-2026-0042",
        "issue_date": "2026-03-12",
        "due_date": "2026-04-11",
        "currency": "EUR",
        "total": 1445.85,
        "iban": None,
        "payment_terms": "30 Tage netto",
        "line_items": [
            {"description": "Schrauben M4", "quantity": 10, "unit_price": 1.5, "amount": 15},
            {"description": "Dichtungen", "quantity": 3, "unit_price": 400, "amount": 1200},
        ],
    }


def test_each_value_but_null_has_its_page_and_a_line_of_it_quoted() -> None:
    evidence = {one["field"]: one for one in _answer(WRAPPED, INVOICE, LAST_PAGE)["evidence"]}
    assert evidence["total"] == {"field": "total", "page": 2, "quote": "Gesamtbetrag 1 445,85 €"}
    assert evidence["line_items[1].amount"]["quote"] == "2 Dichtungen 3 400,00 € 1.200,00 €"
    scalars = {"vendor", "invoice_number", "issue_date", "due_date", "currency", "total", "payment_terms"}
    assert set(evidence) == scalars | {f"line_items[{index}].{name}" for index in (0, 1) for name in ITEM["properties"]}
    for one in evidence.values():
        assert one["quote"] in (INVOICE, LAST_PAGE)[one["page"] - 1]


def test_without_evidence_the_schema_is_answered_alone() -> None:
    assert _answer(_schema(total=NUMBER), INVOICE, LAST_PAGE) == {"total": 1445.85}


def test_what_no_label_leads_to_is_of_its_kind_and_stands_there_too() -> None:
    for start in range(10):
        answer = _answer(_schema(shoe_size=NUMBER, moved_in=DATE, remark=TEXT), INVOICE, start=start)
        assert answer["shoe_size"] in (1.5, 15, 10, 400, 1200, 3, 2, 1, 1215)
        assert answer["moved_in"] == "2026-03-12"
        assert answer["remark"] in INVOICE


@pytest.mark.parametrize("start", range(20))
def test_documents_with_nothing_that_fits_are_answered_all_the_same(start: int) -> None:
    odd = _schema(
        kind={"type": "string", "pattern": "^[A-Z]{3}-[0-9]{2}$"},
        rating={"type": "integer"},
        at={"type": "string", "format": "date-time"},
        summary={"type": "string", "description": "A summary of 5 to 9 words"},
        tags={"type": "array", "items": TEXT, "minItems": 1},
        paid={"type": "boolean"},
        state={"type": "string", "enum": ["new", "used"]},
        party=_schema(name=TEXT, age=_or_null({"type": "integer"})),
        fixed={"const": 3},
    )
    wrapped = _schema(data={**odd, "required": ["kind"]}, evidence=EVIDENCE)
    _answer(wrapped, "Just words", "", start=start)
    _answer(odd, "Just words", start=start)
    _answer(wrapped, "", start=start)
    _answer(wrapped, start=start)


def test_a_scan_has_simulated_quotes() -> None:
    answer = _answer(WRAPPED, "", "")
    assert answer["evidence"]
    assert all(one["page"] == 1 and one["quote"].startswith("simulated") for one in answer["evidence"])


def test_a_long_table_is_cut() -> None:
    answer = _answer(_schema(items={"type": "array", "items": ITEM}), "Nut 1 2.00 2.00\n" * 50)
    assert len(answer["items"]) == 20


def test_evidence_is_spoiled_and_the_values_are_not() -> None:
    good = _answer(WRAPPED, INVOICE, LAST_PAGE)
    bad = _answer(WRAPPED, INVOICE, LAST_PAGE, misquote=invented_quote)
    assert bad["data"] == good["data"]
    assert [one["field"] for one in bad["evidence"]] == [one["field"] for one in good["evidence"]]
    assert not [one["quote"] for one in bad["evidence"] if one["quote"] in INVOICE + LAST_PAGE]
