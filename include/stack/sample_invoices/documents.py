"""The sample's 60 documents: 20 a day, two thirds of them ordinary invoices, the others odd ones."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from include.stack.sample_invoices import damage, layouts, text_documents, vendors
from include.stack.sample_invoices.invoice import Invoice, Line, Vendor

DAYS = (date(2026, 11, 15), date(2026, 11, 16), date(2026, 11, 17))
_ORDINARY = 40
LIST_PAGES = 150
#: Names as people and programs give them. The first two look the same: one is as Windows writes it, the other as macOS.
_NAMES = {
    1: unicodedata.normalize("NFC", "Rechnung geprüft.pdf"),
    4: unicodedata.normalize("NFD", "Rechnung geprüft.pdf"),
    5: "50% Anzahlung + Rest.pdf",
    6: "Invoice #6 (final).pdf",
}
_REPORT = (
    "This statement covers the services that were rendered in connection with the supply agreement of March 2026. "
    "Our fees are computed from the time records of each lawyer, in units of six minutes.",
    "We reviewed the second draft of the agreement and prepared a list of open points, among them the cap on "
    "liability, the notice period and the venue. Two calls were held with your purchasing department.",
    "Research was done on the enforceability of the price adjustment clause under Maine law. The memorandum was sent "
    "to you separately.",
    "The filing fee was advanced on your behalf and is charged at cost, without a surcharge.",
    "Time that was spent on correspondence about this statement is not charged.",
    "Please compare the entries with your records. Questions should reach us within two weeks, so that we can still "
    "find the time sheets without effort.",
    "Retainers that you have paid are held in a trust account and are not set off against this statement unless you "
    "ask for it in writing.",
)


@dataclass(frozen=True, kw_only=True)
class Document:
    """
    One object of the sample.

    :param day: its partition
    :param name: the last part of its key
    :param invoice: what it is an invoice of
    :param clean: the invoice as a PDF before anything happened to it; None: it never was one
    :param odd: what is odd about it; empty: nothing
    :param rejected: a part of the reason why it must be rejected; empty: it must be published
    """

    day: date
    name: str
    invoice: Invoice
    content: bytes
    clean: bytes | None
    odd: str = ""
    rejected: str = ""


def documents() -> Iterator[Document]:
    """Yield the documents. It takes about five seconds, and their bytes are the same each time."""
    ordinary = [_ordinary(serial) for serial in range(_ORDINARY)]
    yield from ordinary
    yield from _well_formed()
    yield from _damaged()
    yield from _not_a_pdf()
    twice = ordinary[2]
    yield Document(
        day=DAYS[1],
        name="Fwd_ please pay.pdf",
        invoice=twice.invoice,
        content=twice.content,
        clean=twice.clean,
        odd=f"the same bytes as {twice.name} of {twice.day}",
    )


def _ordinary(serial: int) -> Document:
    chosen = random.Random(serial)
    day, vendor = DAYS[2 - serial % 3], vendors.ALL[serial * 5 % len(vendors.ALL)]
    goods = chosen.sample(vendor.goods, k=min(len(vendor.goods), 2 + serial % 5))
    invoice = _invoice(
        vendor,
        serial=400 + 37 * serial,
        issued=day - timedelta(days=1 + serial % 9),
        lines=[(article, price, 1 + int(chosen.random() * 24)) for article, price in goods],
    )
    content = layouts.draw(invoice, layouts.LAYOUTS[serial % len(layouts.LAYOUTS)])
    name = _NAMES.get(serial) or f"{vendor.name if serial % 2 else 'Invoice'} {_in_a_name(invoice.number)}.pdf"
    return Document(day=day, name=name, invoice=invoice, content=content, clean=content)


def _well_formed() -> Iterator[Document]:
    """Yield PDFs of which nothing is broken, but which are harder to read than others."""
    long = _usual(vendors.FRENCH[0], 90, DAYS[0], times=22)
    yield _pdf(DAYS[0], "Lefevre chantier.pdf", long, layouts.draw(long), odd="a table over several pages")
    carried = _usual(vendors.GERMAN[1], 91, DAYS[1], times=9)
    yield _pdf(
        DAYS[1],
        "Weissenfels Bauabschnitt 2.pdf",
        carried,
        layouts.draw(carried, layouts.CARRIED),
        odd="a table over several pages, each with the sum so far",
    )
    report = _usual(vendors.AMERICAN[1], 92, DAYS[0])
    content = layouts.draw_two_columns(report, _REPORT)
    yield _pdf(DAYS[0], "PLG statement.pdf", report, content, odd="two columns of text")
    swiss = _usual(vendors.SWISS, 93, DAYS[2])
    content = layouts.draw(swiss, layouts.ACROSS)
    yield _pdf(DAYS[2], "Rheintor.pdf", swiss, content, odd="three languages, and amounts like 1'234.00")
    german = _invoice(
        vendors.GERMAN[2],
        serial=94,
        issued=date(2026, 11, 3),  # 3 November, and in other countries 11 March
        lines=[("Katalog, Sonderauflage", "1234.00", 1), ("Prägung und Lack, pauschal", "10.50", 112)],
    )
    content = layouts.draw(german, layouts.LETTER_HEAD)
    yield _pdf(DAYS[0], "P000094.pdf", german, content, odd="amounts like 1.234,00 €, and the date 03.11.2026")
    telephone = _invoice(
        vendors.TELEPHONE,
        serial=95,
        issued=date(2026, 11, 14),
        lines=[(article, price, 24 if "24 lines" in article else 1) for article, price in vendors.TELEPHONE.goods],
    )
    content = layouts.draw_with_list(telephone, LIST_PAGES, _call)
    yield _pdf(DAYS[2], "Severn Telecom November.pdf", telephone, content, odd=f"{LIST_PAGES} pages")


def _damaged() -> Iterator[Document]:
    """Yield PDFs as scanners, locks and interrupted uploads leave them."""
    changes: list[tuple[int, str, Callable[[bytes], bytes], str, str]] = [
        (0, "scan 0001.pdf", damage.scan, "a scan: pictures of its pages, no text", ""),
        (1, "scan 0002.pdf", _badly_read, "a scan with a text layer that was read badly", ""),
        (0, "scan 0003.pdf", damage.sideways, "its pages lie on their side", ""),
        (0, "Thistle protected.pdf", damage.locked, "an owner password: opens, but must not be printed", ""),
        (0, "Casco confidential.pdf", _with_password, "opens with a password only", "password"),
        (1, "Petersen via gateway.pdf", damage.without_index, "a broken cross-reference table", ""),
        (1, "upload-7f3a.pdf", damage.cut_off, "cut off after two fifths", "cut off"),
        (2, "Imprimerie.pdf", lambda _: b"", "an empty file", "empty"),
    ]
    for number, (day, name, change, odd, rejected) in enumerate(changes):
        invoice = _usual(vendors.ALL[number], 100 + number, DAYS[day])
        clean = layouts.draw(invoice, layouts.LAYOUTS[number % 2])
        yield Document(
            day=DAYS[day],
            name=name,
            invoice=invoice,
            content=change(clean),
            clean=clean,
            odd=odd,
            rejected=rejected,
        )


def _not_a_pdf() -> Iterator[Document]:
    """Yield documents of other types, one of them with a PDF's name."""
    pictures: list[tuple[int, str, Callable[[bytes], bytes], str, str]] = [
        (1, "Alder 2026-120.pdf", damage.screenshot, "a PNG, whatever its name says", ""),
        (1, "IMG_2041.jpg", damage.photo, "a photo that lies on its side, as its EXIF data says", ""),
        (2, "fax 17.tif", damage.fax, "a TIFF", "image/tiff"),
    ]
    for number, (day, name, change, odd, rejected) in enumerate(pictures):
        invoice = _usual(vendors.ALL[number + 3], 120 + number, DAYS[day])
        clean = layouts.draw(invoice, layouts.CLASSIC)
        yield Document(
            day=DAYS[day], name=name, invoice=invoice, content=change(clean), clean=clean, odd=odd, rejected=rejected
        )
    texts = (
        ("Brömmel November.docx", _usual(vendors.GERMAN[3], 130, DAYS[2]), text_documents.word, "a Word document"),
        ("Votre facture.html", _usual(vendors.FRENCH[1], 131, DAYS[2]), text_documents.html, "an HTML page"),
    )
    for name, invoice, write, odd in texts:
        yield Document(day=DAYS[2], name=name, invoice=invoice, content=write(invoice), clean=None, odd=odd)


def _pdf(day: date, name: str, invoice: Invoice, content: bytes, *, odd: str) -> Document:
    return Document(day=day, name=name, invoice=invoice, content=content, clean=content, odd=odd)


def _usual(vendor: Vendor, serial: int, day: date, times: int = 1) -> Invoice:
    """Return an invoice of all that the vendor sells, so many times over."""
    lines = [(article, price, 1 + (serial + at) % 7) for at, (article, price) in enumerate(vendor.goods * times)]
    return _invoice(vendor, serial=serial, issued=day - timedelta(days=2), lines=lines)


def _invoice(vendor: Vendor, *, serial: int, issued: date, lines: list[tuple[str, str, int]]) -> Invoice:
    terms, days = vendor.terms[serial % len(vendor.terms)]
    return Invoice(
        vendor=vendor,
        number=vendor.number.format(serial),
        issued=issued,
        due=None if days is None else issued + timedelta(days=days),
        terms=terms,
        lines=tuple(
            Line(description=article, quantity=quantity, unit_price=Decimal(price))
            for article, price, quantity in lines
        ),
    )


def _in_a_name(number: str) -> str:
    return number.replace("/", "-")


def _badly_read(pdf: bytes) -> bytes:
    return damage.scan(pdf, tilt=-0.8, is_read=True)


def _with_password(pdf: bytes) -> bytes:
    return damage.locked(pdf, user="nobody has told you")


def _call(number: int) -> str:
    """Return a line of the list of calls."""
    return (
        f"{number % 30 + 1:02}/10  {8 + number % 10:02}:{number * 7 % 60:02}  07700 {900000 + number * 317 % 1000:06}"
        f"   {number * 13 % 60:3} min {number * 29 % 60:02} s"
    )
