"""page_search.py: the page on which a quote stands."""

from __future__ import annotations

import time

import pytest

from include.enrichment.answers.evidence.page_search import Location, SearchableDocument, locate
from include.enrichment.documents.document import Page

FIRST = """INVOICE No. INV-2024-001
Date: 12 May 2024   Due: 30.06.2024
Acme Widgets, ﬁnest well-known pay-
ment terms: net 30 days
Widget A   2   100,00   200,00
Widget B   1   1 034,00   1 034,00
Total due: 1.234,00 €
USD1,100.50 paid"""
SECOND = "Terms and conditions: see page 1. Acme Widgets. A fee of $99.00 is due. Vielen Dank für Ihren Auftrag."


def document(*texts: str, first: int = 1, name: str = "invoice.pdf") -> SearchableDocument:
    return SearchableDocument.of(name, [Page(number=number, text=text) for number, text in enumerate(texts, first)])


INVOICE = document(FIRST, SECOND, "")


def found(quote: str, page: int = 1) -> tuple[int, str | None]:
    location = locate(quote, page, [INVOICE])
    return location.page, location.found


@pytest.mark.parametrize(
    "quote", ["Total due: 1.234,00 €", "INV-2024-001", "  Acme Widgets ", "May 2024", "net 30 days\nWidget A"]
)
def test_a_quote_word_for_word_is_exact(quote: str) -> None:
    assert found(quote) == (1, "exact")


@pytest.mark.parametrize(
    "quote",
    [
        "Date: 12 May 2024 Due:",  # white space
        "ACME WIDGETS",  # case
        "payment terms",  # a word divided at the end of a line
        "well known payment",  # a hyphen
        "finest",  # a ligature
        "Invoice No INV 2024 001",  # punctuation
        "Widget A ... 200,00",  # a part left out
        "Widget A | 2 | 100,00",  # cells
    ],
)
def test_a_quote_in_another_spelling_is_normalised(quote: str) -> None:
    assert found(quote) == (1, "normalised")


@pytest.mark.parametrize(
    "quote",
    ["1234", "$1,234.00", "1234.00", "€ 1 234,00", "1'234.00", "total due 1,234.00", "1.100,5", "1034", "100.00"],
)
def test_a_number_is_found_in_any_notation(quote: str) -> None:
    assert found(quote) == (1, "normalised")


@pytest.mark.parametrize(
    "quote",
    [
        "2024-05-12",
        "May 12, 2024",
        "12/05/2024",
        "05/12/2024",
        "12. Mai 2024",
        "12 de mayo de 2024",
        "2024年5月12日",
        "2024-06-30",
    ],
)
def test_a_date_is_found_in_any_notation(quote: str) -> None:
    assert found(quote) == (1, "normalised")


@pytest.mark.parametrize(
    "quote",
    [
        "234,00",
        "33,00",
        "1.234,10",
        "11.234,00",
        "23",
        "12 June 2024",
        "2024-05-13",
        "Acme Gadgets",
        "yment",
        "idget",
        "",
        " ",
    ],
)
def test_a_quote_that_is_not_in_the_document_is_not_found(quote: str) -> None:
    assert found(quote) == (1, None)


def test_a_quote_on_another_page_gets_that_page() -> None:
    assert found("Terms and conditions", 1) == (2, "other_page")
    assert found("a fee of 99", 1) == (2, "other_page")
    assert found("Total due: 1.234,00 €", 17) == (1, "other_page")


def test_a_quote_on_several_pages_is_ambiguous_unless_it_is_on_the_named_one() -> None:
    assert found("Acme Widgets", 3) == (1, "ambiguous")
    assert found("Acme Widgets", 2) == (2, "exact")


def test_a_word_for_word_place_is_preferred_to_others() -> None:
    invoice = document("total 99 euros in all, and nothing more", "TOTAL 99 and some more words here", "another page")
    assert locate("TOTAL 99", 3, [invoice]) == Location(page=2, found="other_page", document="invoice.pdf")


def test_a_quote_on_a_page_without_text_is_unchecked() -> None:
    assert found("a stamp", 3) == (3, "unchecked")
    assert found("a stamp", 2) == (2, None)
    assert locate("a stamp", 1, [document("Scanned with CamScanner")]).found == "unchecked"
    assert locate("a stamp", 1, [SearchableDocument.of("photo.png", [])]).found == "unchecked"


def test_a_quote_on_a_scan_with_a_text_layer_is_unchecked_unless_claude_saw_only_the_text() -> None:
    pages = [Page(number=1, text="1nvoioe of Acme W1dgets, t0tal 12.OO EUR", image_share=1.0)]
    assert locate("Acme", 1, [SearchableDocument.of("a.pdf", pages)]).found == "exact"
    assert locate("Invoice of Acme", 1, [SearchableDocument.of("a.pdf", pages)]).found == "unchecked"
    assert locate("Invoice of Acme", 1, [SearchableDocument.of("a.pdf", pages, shown=False)]).found is None


def test_a_page_of_a_part_is_named_by_its_number_or_by_its_place() -> None:
    part = document("the first page of the part, with text", "the second page of the part, with text", first=51)
    assert locate("second page", 2, [part]).page == 52
    assert locate("second page", 52, [part]).page == 52
    assert locate("second page", 2, [part]).found == "exact"
    assert locate("second page", 1, [part]).found == "other_page"


def test_of_several_documents_the_one_with_the_quote_is_named() -> None:
    one, other = document("an offer of 12 chairs to you", name="a"), document("an order of 12 chairs by you", name="b")
    assert locate("an order", 1, [one, other]) == Location(page=1, found="exact", document="b")
    assert locate("12 chairs", 1, [one, other]) == Location(page=1, found="ambiguous", document="a")


@pytest.mark.parametrize("quote", ["請求書番号", "合計 1,234円", "金額"])
def test_a_quote_without_spaces_between_words_is_found(quote: str) -> None:
    assert (
        locate(quote, 1, [document("株式会社アクメ 請求書番号 2024-17\n合計金額：合計 1,234円（税込）です")]).found
        is not None
    )


def test_a_page_of_marks_only_is_searched_in_bounded_time() -> None:
    text = "1.2,3'4 " * 5_000 + "- " * 5_000 + "a" * 10_000
    started = time.process_time()
    locate("1.2,3'4 1.2,3'5", 1, [document(text)])
    assert time.process_time() - started < 2
