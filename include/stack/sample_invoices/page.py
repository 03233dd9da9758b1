"""The parts of an invoice's pages, in a layout. The same invoice always makes the same bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_LEFT, TA_RIGHT
from reportlab.lib.pagesizes import A4, LETTER, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    FrameBreak,
    LongTable,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

from include.stack.sample_invoices.invoice import Invoice, Line
from include.stack.sample_invoices.notation import NOTATIONS, Notation
from include.stack.sample_invoices.vendors import CUSTOMERS

MARGIN = 20 * mm


@dataclass(frozen=True, kw_only=True)
class Layout:
    """
    How an invoice looks.

    :param font: the font of all text, and of what is emphasised
    :param accent: the colour of bands, lines and headings
    :param grid: the table has all its lines; else only one below its head
    :param band: the vendor stands in a coloured band across the page
    :param sidebar: dates, numbers and terms stand in a column at the left of the first page
    :param across: the paper is landscape
    :param figures_first: the table begins with the amounts
    :param carry_after: a page has at most so many lines, then the sum so far, which the next page begins with; 0: a
        page has as many as fit
    """

    font: tuple[str, str] = ("Helvetica", "Helvetica-Bold")
    size: float = 9.5
    accent: str = "#1f3b57"
    grid: bool = False
    band: bool = False
    sidebar: bool = False
    across: bool = False
    figures_first: bool = False
    carry_after: int = 0


class Page:
    """The parts of one invoice in one layout."""

    def __init__(self, invoice: Invoice, layout: Layout) -> None:
        self.invoice = invoice
        self.layout = layout
        self.notation: Notation = NOTATIONS[invoice.vendor.language]
        paper = LETTER if invoice.vendor.language == "us" else A4
        self.size: tuple[float, float] = landscape(paper) if layout.across else paper
        self._first = 48 * mm if layout.band else 24 * mm  # from the top of the first page to its text

    def money(self, value: Decimal) -> str:
        """Return a sum of money as the vendor prints it."""
        return self.notation.money(value, self.invoice.vendor.currency)

    def label(self, name: str) -> str:
        """Return the word beside a value, in the vendor's language."""
        return self.notation.labels[name]

    def text(
        self, markup: str, *, size: float = 0, colour: str = "#000000", space: float = 0, right: bool = False
    ) -> Paragraph:
        """
        Return a paragraph.

        :param markup: of reportlab, so values in it are escaped
        :param size: of the font, in points; 0: that of the layout
        :param space: below it, in points
        """
        size = size or self.layout.size
        style = ParagraphStyle(
            "text",
            fontName=self.layout.font[0],
            fontSize=size,
            leading=size * 1.3,
            textColor=HexColor(colour),
            spaceAfter=space,
            alignment=TA_RIGHT if right else TA_LEFT,
        )
        return Paragraph(markup, style)

    def title(self) -> Flowable:
        """Return the heading."""
        return self.text(f"<b>{escape(self.label('invoice'))}</b>", size=18, colour=self.layout.accent, space=12)

    def address(self) -> list[Flowable]:
        """Return the customer's name and address."""
        name, place = CUSTOMERS[self.invoice.vendor.language]
        return [self.text(f"{escape(self.label('bill_to'))}:<br/><b>{escape(name)}</b><br/>{escape(place)}")]

    def _facts(self) -> list[tuple[str, str]]:
        invoice = self.invoice
        return [
            (self.label("number"), invoice.number),
            (self.label("issued"), self.notation.date(invoice.issued)),
            *([(self.label("due"), self.notation.date(invoice.due))] if invoice.due else []),
        ]

    def facts(self, width: float) -> Flowable:
        """Return number and dates, label and value side by side, ``width`` points wide."""
        rows = [[self.text(f"<b>{escape(label)}</b>"), self.text(escape(value))] for label, value in self._facts()]
        table = Table(rows, colWidths=[width * 0.6, width * 0.4], hAlign="LEFT")
        table.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)]))
        return table

    def side(self) -> list[Flowable]:
        """Return the sidebar of the first page."""
        place = "<br/>".join(map(escape, self.invoice.vendor.place))
        return [
            self.text(f"<b>{escape(self.invoice.vendor.name)}</b>", size=12, colour=self.layout.accent, space=6),
            self.text(place, space=18),
            *(
                self.text(f"<b>{escape(label)}</b><br/>{escape(value)}", size=8.5, space=10)
                for label, value in [*self._facts(), (self.label("terms"), self.invoice.terms)]
            ),
            *self.address(),
        ]

    def _columns(self) -> list[tuple[str, float, Callable[[Line], object]]]:
        """The columns of the table: heading, share of the width, and what a line has there."""
        number = self.notation.number
        words: list[tuple[str, float, Callable[[Line], object]]] = [
            (self.label("description"), 0.46, lambda line: self.text(escape(line.description)))
        ]
        figures: list[tuple[str, float, Callable[[Line], object]]] = [
            (self.label("quantity"), 0.14, lambda line: str(line.quantity)),
            (self.label("unit_price"), 0.2, lambda line: number(line.unit_price)),
            (self.label("amount"), 0.2, lambda line: number(line.amount)),
        ]
        return figures + words if self.layout.figures_first else words + figures

    def _width(self) -> float:
        return float(self.size[0] - 2 * MARGIN - (58 * mm if self.layout.sidebar else 0))

    def tables(self) -> list[Flowable]:
        """Return the lines of the invoice, in one table, or in one on each page with the sum so far."""
        lines, step = self.invoice.lines, self.layout.carry_after
        if not step:
            return [self._table(lines, before=Decimal(0), more=False)]
        tables: list[Flowable] = []
        for start in range(0, len(lines), step):
            before = sum((line.amount for line in lines[:start]), Decimal(0))
            more = start + step < len(lines)
            tables += [self._table(lines[start : start + step], before=before, more=more)]
            tables += [FrameBreak()] if more else []
        return tables

    def _table(self, lines: Sequence[Line], *, before: Decimal, more: bool) -> Flowable:
        """
        Some lines, below the head of the table.

        :param before: the sum of the lines before them
        :param more: others follow
        """
        columns, layout = self._columns(), self.layout
        words = next(at for at, column in enumerate(columns) if column[0] == self.label("description"))
        rows: list[list[object]] = [
            [
                self.text(f"<b>{escape(heading)}</b>", size=layout.size - 1, right=at != words)
                for at, (heading, _, _) in enumerate(columns)
            ]
        ]
        so_far = before + sum((line.amount for line in lines), Decimal(0))
        rows += [self._carried(before)] if before else []
        rows += [[value(line) for _, _, value in columns] for line in lines]
        rows += [self._carried(so_far)] if more else []
        accent = HexColor(layout.accent)
        style: list[Any] = [
            ("FONT", (0, 0), (-1, -1), layout.font[0], layout.size),
            ("ALIGN", (0, 0), (-1, -1), "RIGHT"),
            ("ALIGN", (words, 0), (words, -1), "LEFT"),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("GRID", (0, 0), (-1, -1), 0.5, accent) if layout.grid else ("LINEBELOW", (0, 0), (-1, 0), 1, accent),
        ]
        if layout.band:
            style.append(("ROWBACKGROUNDS", (0, 1), (-1, -1), [HexColor("#ffffff"), HexColor("#eef4f1")]))
        table = LongTable(rows, colWidths=[share * self._width() for _, share, _ in columns], repeatRows=1)
        table.setStyle(TableStyle(style))
        return table

    def _carried(self, so_far: Decimal) -> list[object]:
        return [self.text(f"<i>{escape(self.label('carried'))}</i>"), "", "", self.notation.number(so_far)]

    def sums(self, width: float = 85 * mm) -> Flowable:
        """Return subtotal, tax and total, ``width`` points wide."""
        invoice, bold = self.invoice, self.layout.font[1]
        percent = f"{invoice.vendor.tax_percent.normalize():f}".replace(".", self.notation.decimal)
        rows = [
            [self.label("net"), self.money(invoice.net)],
            [f"{self.label('tax')} {percent} %", self.money(invoice.tax)],
            [self.label("total"), self.money(invoice.total)],
        ]
        table = Table(rows, colWidths=[width * 0.55, width * 0.45], hAlign="RIGHT")
        table.setStyle(
            TableStyle(
                [
                    ("FONT", (0, 0), (-1, 1), self.layout.font[0], self.layout.size),
                    ("FONT", (0, 2), (-1, 2), bold, self.layout.size + 1),
                    ("ALIGN", (1, 0), (1, -1), "RIGHT"),
                    ("LINEABOVE", (0, 2), (-1, 2), 0.8, HexColor(self.layout.accent)),
                ]
            )
        )
        return table

    def terms(self) -> list[Flowable]:
        """Return the payment terms."""
        line = f"<b>{escape(self.label('terms'))}:</b> {escape(self.invoice.terms)}"
        return [Spacer(0, 8 * mm), self.text(line)]

    def decorate(self, canvas: Canvas, *, first: bool) -> None:
        """Draw what stands above the text: the vendor."""
        width, height = self.size
        vendor, layout = self.invoice.vendor, self.layout
        place = ", ".join(vendor.place)
        canvas.setFillColor(HexColor(layout.accent))
        if layout.band and first:
            canvas.rect(0, height - 34 * mm, width, 34 * mm, stroke=0, fill=1)
            canvas.setFillColor(HexColor("#ffffff"))
            canvas.setFont(layout.font[1], 17)
            canvas.drawString(MARGIN, height - 18 * mm, vendor.name)
            canvas.setFont(layout.font[0], 9)
            canvas.drawString(MARGIN, height - 26 * mm, place)
        elif layout.sidebar and first:
            canvas.setFillColor(HexColor("#f4ecee"))
            canvas.rect(0, 0, 70 * mm, height, stroke=0, fill=1)
        else:
            canvas.setFont(layout.font[1], 9)
            canvas.drawString(MARGIN, height - 12 * mm, vendor.name)
            canvas.setFont(layout.font[0], 8)
            canvas.drawString(MARGIN, height - 16 * mm, place)

    def number(self, canvas: Canvas) -> None:
        """Draw the number of the page."""
        canvas.setFillColor(HexColor("#555555"))
        canvas.setFont(self.layout.font[0], 8)
        number = f"{self.label('page')} {canvas.getPageNumber()}"
        canvas.drawRightString(self.size[0] - MARGIN, 10 * mm, f"{self.invoice.number}   {number}")

    def build(
        self,
        story: Sequence[Flowable],
        frames: Sequence[Frame] = (),
        on_next: Callable[[Canvas, object], None] | None = None,
    ) -> bytes:
        """
        Return the PDF. Its dates and ids are fixed.

        :param frames: of the first page, in the order in which its text fills them; none: those of the layout
        :param on_next: draws what each page but the first has outside of its frame
        """
        width, height = self.size

        def above(canvas: Canvas, _document: object) -> None:
            self.decorate(canvas, first=True)

        def above_next(canvas: Canvas, _document: object) -> None:
            self.decorate(canvas, first=False)

        def below(canvas: Canvas, _document: object) -> None:
            self.number(canvas)

        side = 58 * mm if self.layout.sidebar else 0
        whole = Frame(MARGIN, MARGIN, width - 2 * MARGIN, height - 2 * MARGIN, 0, 0, 0, 0)
        first = list(frames) or [
            *([Frame(8 * mm, MARGIN, 56 * mm, height - 2 * MARGIN, 0, 0, 0, 0)] if side else []),
            Frame(MARGIN + side, MARGIN, width - 2 * MARGIN - side, height - MARGIN - self._first, 0, 0, 0, 0),
        ]
        to = io.BytesIO()
        document = BaseDocTemplate(
            to,
            pagesize=self.size,
            pageTemplates=[
                PageTemplate("first", first, onPage=above, onPageEnd=below),
                PageTemplate("next", [whole], onPage=on_next or above_next, onPageEnd=below),
            ],
            title=f"{self.label('invoice')} {self.invoice.number}",
            author=self.invoice.vendor.name,
            invariant=1,
        )
        document.build(list(story))
        return to.getvalue()
