"""choosing.py: what of a document is sent, and as which kind of block."""

from __future__ import annotations

from typing import Any

import pytest

from include.enrichment.documents.choosing import choose, document_id, page_range, split, text_of
from include.enrichment.documents.document import DOCX, Inspected, Page
from include.enrichment.documents.options import AttachmentOptions

PROSE = "The parties agree on the following terms, which are binding on both of them. " * 10
PAGES = [Page(number=number, text=PROSE) for number in range(1, 6)]
PDF = Inspected(media_type="application/pdf", pages=PAGES)
SCAN = Inspected(media_type="application/pdf", pages=[Page(number=1, text="", image_share=1.0)])
PNG = Inspected(media_type="image/png", pixels=(10, 10))
TEXT = Inspected(media_type="text/csv", pages=[Page(number=1, text="a,b")])
BROKEN = Inspected(media_type="", problem="is empty (0 bytes)")


@pytest.mark.parametrize(
    ("inspected", "options", "sent_as", "numbers"),
    [
        (PDF, {}, "text", [1, 2, 3, 4, 5]),
        (PDF, {"send": "pages"}, "pages", [1, 2, 3, 4, 5]),
        (PDF, {"kind": "document", "send": "pages", "pages": "2-3"}, "pages", [2, 3]),
        (PDF, {"kind": "text", "pages": "4-9"}, "text", [4, 5]),
        (SCAN, {}, "pages", [1]),
        (PNG, {}, "image", []),
        (PNG, {"kind": "image"}, "image", []),
        (TEXT, {}, "text", [1]),
        (TEXT, {"kind": "document", "pages": "2-3"}, "text", [1]),
    ],
)
def test_the_bytes_and_the_options_decide(
    inspected: Inspected, options: dict[str, Any], sent_as: str, numbers: list[int]
) -> None:
    choice = choose(inspected, AttachmentOptions(**options))
    assert (choice.sent_as, [page.number for page in choice.pages], choice.problem) == (sent_as, numbers, None)


@pytest.mark.parametrize(
    ("inspected", "why"),
    [
        (PNG, "is an image"),
        (TEXT, "is CSV"),
        (Inspected(media_type=DOCX, pages=PAGES[:1]), "is DOCX"),
        (
            Inspected(media_type=DOCX, pages=PAGES[:1], left_out=3),
            "is DOCX, without its 3 pictures, charts and formulas",
        ),
    ],
)
def test_the_reason_of_what_is_no_pdf_is_its_type_and_what_is_left_out(inspected: Inspected, why: str) -> None:
    assert choose(inspected, AttachmentOptions()).why == why


@pytest.mark.parametrize(
    ("inspected", "options", "problem"),
    [
        (BROKEN, {}, "is empty (0 bytes)"),
        (BROKEN, {"kind": "image"}, "is empty (0 bytes)"),
        (PDF, {"kind": "image"}, "is application/pdf, which cannot be sent `as: image`"),
        (PNG, {"kind": "document"}, "is image/png, which cannot be sent `as: document`"),
        (PNG, {"kind": "text"}, "is image/png, which cannot be sent `as: text`"),
        (PDF, {"pages": "6-7"}, "has 5 pages, but `pages: 6-7` are to be sent"),
        (SCAN, {"send": "text"}, "has no text on any page (1 looked at), so send: text would send nothing"),
        (Inspected(media_type="text/plain", pages=[Page(number=1, text=" \n")]), {}, "has no text"),
    ],
)
def test_what_cannot_be_sent_is_told(inspected: Inspected, options: dict[str, Any], problem: str) -> None:
    assert choose(inspected, AttachmentOptions(**options)).problem == problem


@pytest.mark.parametrize(
    ("count", "most", "parts"),
    [(5, None, ["1-5"]), (5, 5, ["1-5"]), (5, 2, ["1-2", "3-4", "5-5"]), (4, 2, ["1-2", "3-4"])],
)
def test_every_page_is_in_one_part(count: int, most: int | None, parts: list[str]) -> None:
    assert [page_range(pages) for pages in split(PAGES[:count], most)] == parts


def test_an_image_is_one_part() -> None:
    assert split([], 2) == [[]]


def test_pages_have_their_numbers_in_the_text() -> None:
    pages = [Page(number=3, text="a"), Page(number=4, text="b")]
    assert text_of(pages, numbered=True) == '<page number="3">\na\n</page>\n<page number="4">\nb\n</page>'
    assert text_of(pages[:1], numbered=False) == "a"


def test_the_same_object_sent_in_two_ways_is_two_documents() -> None:
    assert (document_id("ab", ""), document_id("ab", "pages 1-2")) == ("ab", "ab pages 1-2")
