"""
Puts the sample into a bucket or a folder: the documents in ``inbox/dt=<day>/``, and what an answer should say about
them in ``truth/dt=<day>/truth.parquet``.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pypdfium2
from pyarrow.fs import FileSystem, LocalFileSystem

from include.stack.sample_invoices.documents import Document, documents
from include.stack.sample_invoices.invoice import Invoice
from include.stack.sample_invoices.notation import NOTATIONS

#: The bucket of `make demo`. pipeline.yaml has its name too.
BUCKET = "demo-invoices"
_LINE = pa.struct(
    [("description", pa.string()), ("quantity", pa.float64()), ("unit_price", pa.float64()), ("amount", pa.float64())]
)
_PLACE = pa.struct([("field", pa.string()), ("printed", pa.string()), ("pages", pa.list_(pa.int64()))])
#: As the pipeline publishes them, with what is known beside them. ``uri`` is the address of the document. ``rejected``
#: is a part of the expected reason, empty for a document that must be published. ``stands_on`` has the pages of each
#: field's text, as it is printed.
TRUTH = pa.schema(
    [
        ("name", pa.string()),
        ("uri", pa.string()),
        ("odd", pa.string()),
        ("rejected", pa.string()),
        ("vendor", pa.string()),
        ("invoice_number", pa.string()),
        ("invoice_date", pa.date32()),
        ("due_date", pa.date32()),
        ("currency", pa.string()),
        ("tax", pa.float64()),
        ("total", pa.float64()),
        ("line_items", pa.list_(_LINE)),
        ("payment_terms", pa.string()),
        ("stands_on", pa.list_(_PLACE)),
    ]
)


def put_sample(store: FileSystem, root: str) -> int:
    """
    Write the sample; returns the number of documents.

    :param root: a bucket or folder that exists. macOS would take two of the names for one, so there a folder gets 59
    """
    truth: dict[date, list[dict[str, Any]]] = defaultdict(list)
    for document in documents():
        folder = f"{root}/inbox/dt={document.day}"
        _put(store, folder, document.name, document.content)
        uri = f"{folder}/{document.name}" if isinstance(store, LocalFileSystem) else f"s3://{folder}/{document.name}"
        truth[document.day].append({"uri": uri, **_true_values(document)})
    for day, rows in truth.items():
        rows.sort(key=lambda row: str(row["name"]))
        to = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, TRUTH), to)
        _put(store, f"{root}/truth/dt={day}", "truth.parquet", to.getvalue())
    return sum(map(len, truth.values()))


def _put(store: FileSystem, folder: str, name: str, data: bytes) -> None:
    if isinstance(store, LocalFileSystem):
        store.create_dir(folder)  # a bucket has none, and an object for it would be one more in its listing
    with store.open_output_stream(f"{folder}/{name}") as stream:
        stream.write(data)


def _true_values(document: Document) -> dict[str, Any]:
    invoice = document.invoice
    return {
        "name": document.name,
        "odd": document.odd,
        "rejected": document.rejected,
        "vendor": invoice.vendor.name,
        "invoice_number": invoice.number,
        "invoice_date": invoice.issued,
        "due_date": invoice.due,
        "currency": invoice.vendor.currency,
        "tax": float(invoice.tax),
        "total": float(invoice.total),
        "line_items": [
            {
                "description": line.description,
                "quantity": float(line.quantity),
                "unit_price": float(line.unit_price),
                "amount": float(line.amount),
            }
            for line in invoice.lines
        ],
        "payment_terms": invoice.terms,
        "stands_on": list(_places(invoice, document.clean)),
    }


def _places(invoice: Invoice, pdf: bytes | None) -> Iterator[dict[str, Any]]:
    """Yield each field with its text as printed and the pages that have it. A document without pages has one."""
    texts = _texts(pdf) if pdf else None
    for field, printed in _printed(invoice):
        found = printed.replace("\xa0", " ")
        pages = [number for number, text in enumerate(texts, start=1) if found in text] if texts else [1]
        yield {"field": field, "printed": printed, "pages": pages}


def _printed(invoice: Invoice) -> Iterator[tuple[str, str]]:
    notation = NOTATIONS[invoice.vendor.language]
    yield "vendor", invoice.vendor.name
    yield "invoice_number", invoice.number
    yield "invoice_date", notation.date(invoice.issued)
    if invoice.due:
        yield "due_date", notation.date(invoice.due)
    yield "tax", notation.money(invoice.tax, invoice.vendor.currency)
    yield "total", notation.money(invoice.total, invoice.vendor.currency)
    yield "payment_terms", invoice.terms
    for at, line in enumerate(invoice.lines):
        yield f"line_items[{at}].description", line.description
        yield f"line_items[{at}].amount", notation.number(line.amount)


def _texts(pdf: bytes) -> list[str]:
    """Return the text of each page, with single spaces only: a long text may be printed on two lines."""
    with pypdfium2.PdfDocument(io.BytesIO(pdf)) as document:
        return [" ".join(page.get_textpage().get_text_bounded().split()) for page in document]
