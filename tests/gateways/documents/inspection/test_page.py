"""One page of a PDF: its text, the area that images cover, and its rules."""

from __future__ import annotations

import io

import pikepdf
import pypdfium2 as pdfium
import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from include.enrichment.documents.document import Page
from include.gateways.documents.inspection.page import read_page
from tests.fixtures.documents import image, pdf, pdf_of_table, scanned_pdf


def _read(data: bytes) -> Page:
    with pdfium.PdfDocument(data) as document:
        return read_page(document, 1)


def _drawn(canvas: Canvas, file: io.BytesIO) -> Page:
    canvas.save()
    return _read(file.getvalue())


@pytest.mark.parametrize("content_turned", [0, 90, 180, 270])
@pytest.mark.parametrize("page_turned", [0, 90, 180, 270])
def test_lines_are_apart_and_in_order_however_a_page_is_turned(content_turned: int, page_turned: int) -> None:
    with pikepdf.open(io.BytesIO(pdf("Total 12.00\nDue 2026-12-24"))) as document:
        page = document.pages[0]
        page.contents_add(
            {0: b"", 90: b"0 1 -1 0 800 0 cm", 180: b"-1 0 0 -1 595 842 cm", 270: b"0 -1 1 0 -200 595 cm"}[
                content_turned
            ],
            prepend=True,
        )
        page.Rotate = page_turned
        file = io.BytesIO()
        document.save(file)
    assert _read(file.getvalue()).text == "Total 12.00\nDue 2026-12-24"


def test_a_scan_is_an_image_without_text() -> None:
    page = _read(scanned_pdf(image()))
    assert (page.text, page.image_share, page.rules) == ("", 1.0, 0)


def test_an_image_counts_with_the_part_of_the_page_that_it_covers_also_within_a_form() -> None:
    file = io.BytesIO()
    canvas = Canvas(file, pagesize=(1000, 1000))
    canvas.beginForm("logo", 0, 0, 100, 100)
    canvas.drawInlineImage(Image.open(io.BytesIO(image())), 0, 0, 100, 100)
    canvas.endForm()
    canvas.scale(5, 5)
    canvas.doForm("logo")
    assert _drawn(canvas, file).image_share == pytest.approx(0.25, abs=0.01)


def test_a_table_is_known_by_its_rules() -> None:
    assert _read(pdf_of_table([["Item", "Price"], ["Lamp", "12.00"]])).rules >= 6
    assert _read(pdf("Item Price\nLamp 12.00")).rules == 0


def test_rectangles_count_as_their_sides_and_thin_ones_as_one_line() -> None:
    file = io.BytesIO()
    canvas = Canvas(file)
    canvas.rect(50, 50, 200, 100)
    canvas.rect(50, 300, 200, 0.5, stroke=0, fill=1)
    canvas.line(50, 400, 250, 600)
    canvas.circle(300, 300, 50)
    assert _drawn(canvas, file).rules == 5


def test_what_was_filled_into_a_form_is_text_of_the_page() -> None:
    file = io.BytesIO()
    canvas = Canvas(file)
    canvas.drawString(50, 700, "Name:")
    canvas.acroForm.textfield(name="name", value="Ada Lovelace", x=100, y=690, width=200, height=20)
    assert _drawn(canvas, file).text.splitlines() == ["Name:", "Ada Lovelace"]


def test_a_word_that_is_broken_over_two_lines_keeps_its_hyphen_and_the_end_of_the_line() -> None:
    assert _read(pdf("to be paid in instal-\nments")).text == "to be paid in instal-\nments"
