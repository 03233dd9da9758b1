"""Texts with and without marks around their pages."""

from __future__ import annotations

from include.emulator.documents.document import Document
from include.emulator.documents.text_pages import split_pages


def test_a_text_without_marks_is_one_page() -> None:
    assert split_pages("one\ntwo") == (((1, "one\ntwo"),), (0,))


def test_marked_pages_keep_their_numbers_and_their_places_in_the_text() -> None:
    text = '<page number="3">\nTotal 5\n</page>\n<page number="4">\n\n</page>'
    pages, starts = split_pages(text)
    assert pages == ((3, "Total 5"), (4, ""))
    (line,) = Document(kind="text", pages=pages, starts=starts).lines
    assert (line.page, text[line.start :].startswith("Total 5\n")) == (3, True)
