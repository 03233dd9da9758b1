"""What the emulator reads in a PDF, and which ones it rejects in the API's words."""

from __future__ import annotations

import zlib

import pytest

from include.emulator.documents.document import Unreadable
from include.emulator.documents.pdf import read_pdf
from tests.emulator.conftest import pdf


def test_each_page_has_its_text_and_a_page_without_text_is_empty() -> None:
    assert read_pdf(pdf("Total: 12.50\nEUR", "", "last"), 600) == ("Total: 12.50\nEUR", "", "last")


def test_a_header_may_come_after_junk() -> None:
    assert read_pdf(b"junk" * 100 + pdf("a"), 600) == ("a",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "PDF cannot be empty."),
        (b"<html>not a PDF</html>", "The PDF specified was not valid."),
        (b"%PDF-1.7\nnothing else", "The PDF specified was not valid."),
        (pdf("a", encrypt="secret"), "The PDF specified is password protected."),
    ],
    ids=["empty", "html", "only a header", "password"],
)
def test_what_is_no_readable_pdf_is_rejected(data: bytes, message: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_pdf(data, 600)
    assert str(caught.value) == message


def test_no_text_is_read_of_a_document_with_too_many_pages() -> None:
    assert read_pdf(pdf("a", "b", "c"), 2) == ("", "", "")


def test_a_count_of_pages_that_lies_costs_nothing() -> None:
    lying = pdf("a").replace(b"/Count 1", b"/Count 1000000")
    assert not any(read_pdf(lying, 600))


def test_a_decompression_bomb_is_not_read() -> None:
    stream = zlib.compress(bytes(60_000_000), 1)
    bomb = b"%%PDF-1.7\n1 0 obj << /Filter /FlateDecode /Length %d >> stream\n%s\nendstream" % (len(stream), stream)
    with pytest.raises(Unreadable, match="Could not process PDF"):
        read_pdf(bomb, 600)
