"""Whether a PDF is sent as its pages or as the text in them. The layers are like those that pdfium reads."""

from __future__ import annotations

from typing import Any

import pytest

from include.enrichment.documents.document import PDF, Inspected, Page
from include.enrichment.documents.options import AttachmentOptions
from include.enrichment.documents.sending import Decision, decide_send, shows_more, wanted_pages

ENGLISH = (
    "The Supplier shall deliver the Services described in Schedule 1 with reasonable skill and care, and the\r\n"
    "Customer shall pay the Fees within thirty (30) days of receipt of an undisputed invoice (VAT excluded).\r\n"
) * 8
GERMAN = (
    "Der Auftragnehmer haftet für Schäden nach den gesetzlichen Vorschriften; Ziffer 7.2 bleibt unberührt. Die\r\n"
    "Haftpflichtversicherungsbestätigung über 1.500.000,00 € liegt der Geschäftsführung vor (§ 276 Abs. 3 BGB).\r\n"
) * 8
CHINESE = "甲方应在收到发票后三十日内支付全部款项，逾期付款的，每日按未付金额的万分之五支付违约金。\r\n" * 12
ARABIC = "يلتزم المورد بتقديم الخدمات الموصوفة في الملحق رقم ١ بعناية ومهارة معقولة\r\n" * 12
TWO_COLUMNS = (
    "The Supplier shall deliver the Services\r\ndescribed in Schedule 1 with reasonable\r\nskill and care, and the\r\n"
) * 15
CONTENTS = "".join(
    f"{number}. {title} {'.' * 70} {number + 2}\r\n{number}.1 Scope of {title} . . . . . . . . . . . {number + 2}\r\n"
    for number, title in enumerate(["Definitions", "Services", "Fees", "Liability", "Term and Termination"] * 3, 1)
)
LETTER = (
    "Acme Ltd\r\n12 High Street\r\nLondon N1 4AB\r\nDate: 12 March 2026\r\nDear Sirs,\r\nplease find below our"
    " charge for consulting in February. We ask you to pay within thirty days of this letter, by transfer to the\r\n"
    "account that you know, and to name the number of this invoice, which is 2026-0042.\r\nTotal: 1.234,00 EUR\r\n"
)
TABLE = ENGLISH + "".join(
    f"Steel bolt M{n} galvanised {n} {n * 1.25:.2f} € {n * n * 1.25:,.2f} €\r\n" for n in range(3)
)
STATEMENT = "".join(f"{day:02}.03.2026 Card payment ACME {day * 3},50-\r\n" for day in range(1, 25)).replace("-", "")
CELLS = "\r\n".join(f"Bolt M{n}\r\n{n}\r\n{n}.25\r\n{n}.50" for n in range(40))
#: Glyph numbers in place of characters, 29 too low: a font without a table of its characters.
GLYPHS = ENGLISH.translate({code: chr(code - 29) for code in range(61, 123)}).replace(",", " ")


def decided(*pages: str | Page, media_type: str = PDF, **options: Any) -> Decision:
    made = [Page(number=n, text=each) if isinstance(each, str) else each for n, each in enumerate(pages, 1)]
    return decide_send(Inspected(media_type=media_type, pages=made), AttachmentOptions.model_validate(options))


@pytest.mark.parametrize(
    "text",
    [ENGLISH, GERMAN, CHINESE, ARABIC, TWO_COLUMNS, CONTENTS, LETTER],
    ids=["english", "german", "chinese", "arabic", "two columns", "contents", "letter"],
)
def test_a_dense_and_readable_layer_is_sent_as_text(text: str) -> None:
    found = decided(text)
    assert found.send == "text", found.why
    assert "characters a page" in found.why


def test_hyphens_at_the_ends_of_lines_are_not_garbled() -> None:
    assert decided(ENGLISH.replace(" the\r\n", "\ufffe").replace("c", "\x02c")).send == "text"


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (Page(number=1, text="", image_share=0.98), "page 1 is covered by images to 98%, 0 characters of text"),
        (Page(number=1, text=ENGLISH, image_share=1.0), "page 1 is covered by images to 100%"),
        (Page(number=1, text=ENGLISH, image_share=0.3), "page 1 is covered by images to 30%"),
        (Page(number=1, text=ENGLISH, rules=24), "page 1 has 24 lines of tables or forms"),
        (Page(number=1, text=""), "page 1 has 0 characters"),
        (Page(number=1, text="Page 1 of 1"), "page 1 has 8 characters"),
    ],
    ids=["scan", "scan with OCR", "chart", "table", "outlines", "stamp"],
)
def test_pages_that_show_more_than_their_text_are_sent_as_pages(page: Page, why: str) -> None:
    found = decided(page)
    assert (found.send, why in found.why) == ("pages", True), found.why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (TABLE, "has a table: 3 of 19 lines end in numbers"),
        (STATEMENT, "has a table: 24 of 24 lines end in numbers"),
        (CELLS, "has a table: 160 of 160 lines have at most 12 characters"),
        (GLYPHS, "has no readable words"),
        (ENGLISH.replace("e", "\ufffd"), "unreadable characters of"),
        ("\uf041\uf042 \uf043" * 200, "unreadable characters of"),
        ("%&/( §$%& !!?=" * 50, "has more signs than letters"),
        (" ".join(ENGLISH), "has its letters apart"),
        ("".join(ENGLISH.split()), "has its words run together"),
        ("tHe sUppLier sHall dElivEr " * 20, "mix capitals and small letters"),
    ],
    ids=["table", "statement", "cells", "glyphs", "unknown", "private", "signs", "apart", "together", "mixed"],
)
def test_tables_and_garbled_layers_are_sent_as_pages(text: str, why: str) -> None:
    found = decided(text)
    assert (found.send, why in found.why) == ("pages", True), found.why


def test_one_scan_among_pages_of_text_makes_it_pages_and_is_named() -> None:
    found = decided(ENGLISH, ENGLISH, Page(number=3, text="", image_share=1.0), GERMAN)
    assert found.send == "pages"
    assert found.why.startswith("page 3 is covered by images to 100%")
    assert "1 of 4 pages" in found.why


def test_a_title_page_and_an_empty_last_page_stay_text() -> None:
    assert decided("Framework Agreement", ENGLISH, GERMAN, ENGLISH, "").send == "text"
    found = decided("Framework Agreement", "Annex", ENGLISH)
    assert (found.send, found.why) == ("pages", "page 1 has 18 characters (2 of 3 pages have < 200)")


def test_only_the_wanted_pages_count() -> None:
    pages = [Page(number=1, text=ENGLISH), Page(number=2, text="", image_share=1.0), Page(number=3, text=GERMAN)]
    assert decided(*pages, pages="1-1").send == "text"
    assert decided(*pages, pages="2-9").send == "pages"
    inspected = Inspected(media_type=PDF, pages=pages)
    options = {text: AttachmentOptions(pages=text) for text in ("2-9", "4-5")}
    assert [page.number for page in wanted_pages(inspected, options["2-9"])] == [2, 3]
    assert wanted_pages(inspected, options["4-5"]) == []
    assert decide_send(inspected, options["4-5"]).send == "pages"


def test_a_setting_decides_before_the_document_does() -> None:
    scan = Page(number=1, text="", image_share=1.0)
    assert decided(ENGLISH, send="pages") == Decision(send="pages", why="send: pages is set")
    assert decided(TABLE, send="text").send == "text"
    found = decided(ENGLISH, scan, **{"as": "text"})
    assert (found.send, found.problem) == ("text", None)
    assert "as: text is set" in found.why
    assert "page 2 has no text (1 of 2 pages have none)" in decided(ENGLISH, Page(number=2, text=""), send="text").why


def test_a_scan_cannot_be_sent_as_text() -> None:
    found = decided(Page(number=1, text=" \r\n", image_share=1.0), send="text")
    assert found.problem == "has no text on any page (1 looked at), so send: text would send nothing"


def test_a_scan_or_garbled_page_may_show_more_than_its_text_says() -> None:
    prose = "The parties agree on the terms of delivery as follows."
    assert not shows_more(Page(number=1, text=prose, image_share=0.3))
    assert shows_more(Page(number=1, text=prose, image_share=0.9))
    assert shows_more(Page(number=1, text="\ufffd\ufffd\ue000 " * 20))
