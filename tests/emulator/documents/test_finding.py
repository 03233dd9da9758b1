"""Values by the labels before them."""

from __future__ import annotations

import pytest

from include.emulator.documents.document import Document
from include.emulator.documents.finding import Text, labels_of


def _text(*pages: str) -> Text:
    return Text([Document(kind="pdf", pages=tuple(enumerate(pages, start=1)))])


def _find(name: str, *pages: str) -> tuple[object, int] | None:
    found = _text(*pages).labelled(name, lambda rest: rest or None)
    return None if found is None else (found.value, found.line.page)


@pytest.mark.parametrize(
    ("name", "page", "value"),
    [
        ("invoice_number", "Invoice No.: A-17", "A-17"),
        ("invoice_number", "Rechnungsnummer A-17", "A-17"),
        ("invoiceNumber", "Numéro de facture : A-17", "A-17"),
        ("due_date", "Fällig am 1.4.2026", "1.4.2026"),
        ("shoe_size", "Shoe size: 44", "44"),
        ("vendor", "Vendor\nAcme Ltd", "Acme Ltd"),
        ("total", "Subtotal 1\nTotal 2\nTotal 3", "3"),
        ("date", "Date 1\nDate 2", "1"),
    ],
)
def test_a_value_is_what_follows_a_label_of_its_name(name: str, page: str, value: str) -> None:
    assert _find(name, "nothing here", page) == (value, 2)


def test_a_long_line_is_quoted_from_its_label_on() -> None:
    text = _text(f"{'words ' * 50}Total due: 5")
    assert (found := text.labelled("total", lambda rest: rest))
    assert found.line.text == "Total due: 5"
    assert [line.text for line in text.naming("due")] == ["due: 5"]


@pytest.mark.parametrize("page", ["subtotals only", "", "Totally: 5"])
def test_a_label_is_a_whole_word(page: str) -> None:
    assert _find("total", page) is None


def test_a_name_without_a_key_of_its_own_has_that_of_its_last_words_or_else_its_first() -> None:
    assert "gesamtbetrag" in labels_of("contract_total")
    assert "gesamtbetrag" in labels_of("total_eur")
    assert labels_of("shoe") == ("shoe",)
