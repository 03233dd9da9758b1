"""Draws invoices as PDFs, in the layouts that invoices come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Frame, FrameBreak, NextPageTemplate, Spacer

from include.stack.sample_invoices.invoice import Invoice
from include.stack.sample_invoices.page import MARGIN, Layout, Page

CLASSIC = Layout(grid=True)
BAND = Layout(accent="#0b6e4f", band=True)
LETTER_HEAD = Layout(font=("Times-Roman", "Times-Bold"), size=10.5, accent="#000000")
PRINTER = Layout(font=("Courier", "Courier-Bold"), size=8, accent="#000000", figures_first=True)
SIDEBAR = Layout(accent="#8a2d3b", sidebar=True)
ACROSS = Layout(grid=True, across=True, accent="#444444")
CARRIED = Layout(accent="#4b3b7a", carry_after=18)
LAYOUTS = (CLASSIC, BAND, LETTER_HEAD, PRINTER, SIDEBAR)


def draw(invoice: Invoice, layout: Layout = CLASSIC) -> bytes:
    """Return the invoice as a PDF. A table that is longer than a page continues on the next one, below its head."""
    page = Page(invoice, layout)
    head: list[Flowable] = [] if layout.sidebar else [*page.address(), Spacer(0, 8 * mm), page.facts(90 * mm)]
    story = [
        *([*page.side(), FrameBreak()] if layout.sidebar else []),
        NextPageTemplate("next"),
        page.title(),
        *head,
        Spacer(0, 6 * mm),
        *page.tables(),
        Spacer(0, 4 * mm),
        page.sums(),
        *([] if layout.sidebar else page.terms()),
    ]
    return page.build(story)


def draw_two_columns(invoice: Invoice, report: Sequence[str]) -> bytes:
    """Return the invoice with a report in two columns of text, which go around the figures."""
    page = Page(invoice, Layout(font=("Times-Roman", "Times-Bold"), size=10, accent="#333333"))
    width, height = page.size
    column = (width - 2 * MARGIN - 8 * mm) / 2
    frames = [
        Frame(MARGIN, height - 62 * mm, width - 2 * MARGIN, 44 * mm, 0, 0, 0, 0),
        Frame(MARGIN, MARGIN, column, height - 88 * mm, 0, 0, 0, 0),
        Frame(MARGIN + column + 8 * mm, MARGIN, column, height - 88 * mm, 0, 0, 0, 0),
    ]
    half = (len(report) + 1) // 2
    lines = [
        page.text(
            f"<b>{escape(line.description)}</b>: {line.quantity} x {page.money(line.unit_price)}"
            f" = {page.money(line.amount)}"
        )
        for line in invoice.lines
    ]
    story: list[Flowable] = [
        page.title(),
        page.facts(120 * mm),
        FrameBreak(),
        *(page.text(escape(paragraph), space=6) for paragraph in report[:half]),
        *lines,
        FrameBreak(),
        *page.address(),
        *(page.text(escape(paragraph), space=6) for paragraph in report[half:]),
        page.sums(column),
        *page.terms(),
    ]
    return page.build(story, frames)


def draw_with_list(invoice: Invoice, pages: int, row: Callable[[int], str]) -> bytes:
    """Return an invoice on one page, with pages of a list behind it, of which ``row`` gives each line."""
    page = Page(invoice, BAND)
    per_page = 52
    listed = iter(range((pages - 1) * per_page))

    def draw_list(canvas: Canvas, _document: object) -> None:
        page.decorate(canvas, first=False)
        canvas.setFillColor(HexColor("#000000"))
        text = canvas.beginText(MARGIN, page.size[1] - 30 * mm)
        text.setFont("Courier", 8.5, leading=4.6 * mm)
        for _ in range(per_page):
            text.textLine(row(next(listed)))
        canvas.drawText(text)

    story: list[Flowable] = [
        page.title(),
        *page.address(),
        Spacer(0, 8 * mm),
        page.facts(90 * mm),
        Spacer(0, 6 * mm),
        *page.tables(),
        page.sums(),
        *page.terms(),
        NextPageTemplate("next"),
        *([FrameBreak(), Spacer(0, 1)] * (pages - 1)),
    ]
    return page.build(story, on_next=draw_list)
