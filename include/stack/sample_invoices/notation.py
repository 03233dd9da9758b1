"""How invoices of different countries write words, numbers and dates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

_SIGNS = {"EUR": "€", "GBP": "£", "USD": "$", "CHF": "CHF"}
_ENGLISH = {
    "invoice": "Invoice",
    "number": "Invoice no.",
    "issued": "Invoice date",
    "due": "Payment due",
    "bill_to": "Bill to",
    "description": "Description",
    "quantity": "Qty",
    "unit_price": "Unit price",
    "amount": "Amount",
    "net": "Subtotal",
    "tax": "VAT",
    "total": "Total",
    "terms": "Payment terms",
    "carried": "Carried forward",
    "page": "Page",
}
_GERMAN = {
    "invoice": "Rechnung",
    "number": "Rechnungsnummer",
    "issued": "Rechnungsdatum",
    "due": "Fällig am",
    "bill_to": "Rechnungsempfänger",
    "description": "Bezeichnung",
    "quantity": "Menge",
    "unit_price": "Einzelpreis",
    "amount": "Betrag",
    "net": "Nettobetrag",
    "tax": "USt.",
    "total": "Gesamtbetrag",
    "terms": "Zahlungsbedingungen",
    "carried": "Übertrag",
    "page": "Seite",
}
_FRENCH = {
    "invoice": "Facture",
    "number": "Facture n°",
    "issued": "Date de facture",
    "due": "Échéance",
    "bill_to": "Facturé à",
    "description": "Désignation",
    "quantity": "Qté",
    "unit_price": "Prix unitaire",
    "amount": "Montant",
    "net": "Total HT",
    "tax": "TVA",
    "total": "Total TTC",
    "terms": "Conditions de paiement",
    "carried": "À reporter",
    "page": "Page",
}
_SWISS = {
    "invoice": "Rechnung / Facture / Invoice",
    "number": "Rechnungs-Nr. / N° de facture / Invoice no.",
    "issued": "Datum / Date",
    "due": "Zahlbar bis / Payable jusqu'au / Due",
    "bill_to": "Kunde / Client / Customer",
    "description": "Bezeichnung / Désignation / Description",
    "quantity": "Anzahl / Qté / Qty",
    "unit_price": "Preis / Prix / Price",
    "amount": "Betrag / Montant / Amount",
    "net": "Netto / Net",
    "tax": "MWST / TVA / VAT",
    "total": "Total CHF",
    "terms": "Konditionen / Conditions / Terms",
    "carried": "Übertrag / À reporter / Carried forward",
    "page": "Seite / Page",
}
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True, kw_only=True)
class Notation:
    """
    The notation of one country.

    :param labels: the words beside the values
    :param thousands: the mark between groups of three digits
    :param sign: where the currency stands, for example ``{number} {sign}``
    :param day: how a date is printed, with ``{day}``, ``{month}``, ``{name}`` of the month and ``{year}``
    """

    labels: Mapping[str, str]
    thousands: str
    decimal: str
    sign: str
    day: str

    def number(self, value: Decimal) -> str:
        """Return a sum of money without its currency."""
        marks = str.maketrans({",": self.thousands, ".": self.decimal})
        return f"{value:,.2f}".translate(marks)

    def money(self, value: Decimal, currency: str) -> str:
        """Return a sum of money."""
        return self.sign.format(number=self.number(value), sign=_SIGNS[currency])

    def date(self, value: date) -> str:
        return self.day.format(day=value.day, month=value.month, name=_MONTHS[value.month - 1], year=value.year)


NOTATIONS = {
    "en": Notation(labels=_ENGLISH, thousands=",", decimal=".", sign="{sign}{number}", day="{day} {name} {year}"),
    "us": Notation(
        labels=_ENGLISH | {"tax": "Sales tax", "total": "Amount due"},
        thousands=",",
        decimal=".",
        sign="{sign}{number}",
        day="{month:02}/{day:02}/{year}",
    ),
    "de": Notation(
        labels=_GERMAN, thousands=".", decimal=",", sign="{number} {sign}", day="{day:02}.{month:02}.{year}"
    ),
    # A space that does not break, as French software prints it.
    "fr": Notation(
        labels=_FRENCH, thousands="\xa0", decimal=",", sign="{number} {sign}", day="{day:02}/{month:02}/{year}"
    ),
    "ch": Notation(labels=_SWISS, thousands="'", decimal=".", sign="{sign} {number}", day="{day:02}.{month:02}.{year}"),
}
