"""An invoice as a value: what is printed on a document, and what an answer should say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property

_CENT = Decimal("0.01")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of an invoice. Its amount is without tax."""

    description: str
    quantity: int
    unit_price: Decimal

    @property
    def amount(self) -> Decimal:
        return (self.quantity * self.unit_price).quantize(_CENT)


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """
    Who sends an invoice.

    :param place: its address, in two lines
    :param language: en, us, de, fr or ch, as in notation.py
    :param number: the pattern of its invoice numbers
    :param goods: what it sells, with unit prices in its currency
    :param terms: what it prints as payment terms, and the days until a payment is due; None: no date is printed
    """

    name: str
    place: tuple[str, str]
    language: str
    currency: str
    tax_percent: Decimal
    number: str
    goods: tuple[tuple[str, str], ...]
    terms: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True, kw_only=True)
class Invoice:
    """One invoice. Money is in ``vendor.currency``."""

    vendor: Vendor
    number: str
    issued: date
    due: date | None
    terms: str
    lines: tuple[Line, ...]

    @cached_property
    def net(self) -> Decimal:
        return sum((line.amount for line in self.lines), Decimal(0))

    @cached_property
    def tax(self) -> Decimal:
        return (self.net * self.vendor.tax_percent / 100).quantize(_CENT)

    @property
    def total(self) -> Decimal:
        return self.net + self.tax
