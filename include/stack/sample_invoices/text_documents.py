"""Writes invoices as documents that are no PDFs: a Word file and an e-mail's HTML."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from html import escape

from include.stack.sample_invoices.invoice import Invoice
from include.stack.sample_invoices.notation import NOTATIONS
from include.stack.sample_invoices.vendors import CUSTOMERS

_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_TYPES = (
    f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/word/document.xml" ContentType='
    '"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
)
_RELATIONS = (
    f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}" Target="word/document.xml"/></Relationships>'
)


def word(invoice: Invoice) -> bytes:
    """Return the invoice as a DOCX."""
    paragraphs = "".join(_paragraph(line) for line in _letter(invoice))
    closing = "".join(_paragraph(line) for line in _closing(invoice))
    document = (
        f'{_HEAD}<w:document xmlns:w="{_WORD}"><w:body>{paragraphs}{_word_table(_rows(invoice))}{closing}</w:body>'
        "</w:document>"
    )
    to = io.BytesIO()
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (
            ("[Content_Types].xml", _TYPES),
            ("_rels/.rels", _RELATIONS),
            ("word/document.xml", document),
        ):
            # A name alone would be stored with the time of day.
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return to.getvalue()


def html(invoice: Invoice) -> bytes:
    """Return the invoice as the page that a shop sends by e-mail."""
    head, *rows = _rows(invoice)
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    table = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    letter = "".join(f"<p>{escape(line)}</p>\n" for line in _letter(invoice))
    closing = "".join(f"<p>{escape(line)}</p>\n" for line in _closing(invoice))
    return (
        f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>{escape(invoice.number)}</title></head>\n<body>\n'
        f"{letter}<table><tr>{cells}</tr>{table}</table>\n{closing}</body></html>\n"
    ).encode()


def _letter(invoice: Invoice) -> list[str]:
    notation = NOTATIONS[invoice.vendor.language]
    labels, (customer, place) = notation.labels, CUSTOMERS[invoice.vendor.language]
    return [
        f"{invoice.vendor.name}, {', '.join(invoice.vendor.place)}",
        labels["invoice"],
        f"{labels['bill_to']}: {customer}, {place}",
        f"{labels['number']} {invoice.number}",
        f"{labels['issued']}: {notation.date(invoice.issued)}",
        *([f"{labels['due']}: {notation.date(invoice.due)}"] if invoice.due else []),
    ]


def _rows(invoice: Invoice) -> list[list[str]]:
    notation = NOTATIONS[invoice.vendor.language]
    return [
        [notation.labels[name] for name in ("description", "quantity", "unit_price", "amount")],
        *(
            [line.description, str(line.quantity), notation.number(line.unit_price), notation.number(line.amount)]
            for line in invoice.lines
        ),
    ]


def _closing(invoice: Invoice) -> list[str]:
    notation, vendor = NOTATIONS[invoice.vendor.language], invoice.vendor
    sums = (("net", invoice.net), ("tax", invoice.tax), ("total", invoice.total))
    return [
        *(f"{notation.labels[name]}: {notation.money(value, vendor.currency)}" for name, value in sums),
        f"{notation.labels['terms']}: {invoice.terms}",
    ]


def _paragraph(text: str) -> str:
    return f'<w:p><w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r></w:p>'


def _word_table(rows: Iterable[Sequence[str]]) -> str:
    cells = ("".join(f"<w:tc><w:tcPr/>{_paragraph(cell)}</w:tc>" for cell in row) for row in rows)
    return f"<w:tbl><w:tblPr/><w:tblGrid/>{''.join(f'<w:tr>{row}</w:tr>' for row in cells)}</w:tbl>"
