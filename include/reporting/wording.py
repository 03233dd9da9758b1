"""How the report writes a number."""

from __future__ import annotations

from decimal import Decimal

_HUNDREDTH = Decimal("0.0001")


def usd(amount: Decimal | None) -> str:
    """An amount to the cent, one below a dollar to the hundredth of a cent; the exact ones are in the summary."""
    if amount is None:
        return "not known"
    sign, size = "−" if amount < 0 else "", abs(amount)
    if 0 < size < _HUNDREDTH:
        return f"{sign}$0.0001" if sign else "less than $0.0001"
    return f"{sign}${size:.4f}" if 0 < size < 1 else f"{sign}${size:,.2f}"


def share(part: float | None) -> str:
    """A share in per cent, such as ``12.3 %``, that no line ends within."""
    return "none" if part is None else f"{part:.1%}".replace("%", "\u00a0%")


def count(number: int, one: str = "", several: str = "") -> str:
    """A whole number, such as ``12,345``, with the word for what it counts: ``1 batch``, ``2 batches``."""
    return f"{number:,} {one if number == 1 else several}".rstrip()


def tokens(number: int) -> str:
    """A number of tokens, in millions where it is one or more."""
    return f"{number / 1e6:,.1f} M" if number >= 1_000_000 else f"{number:,}"
