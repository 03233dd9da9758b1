"""The number formats of the report."""

from __future__ import annotations

from decimal import Decimal

_HUNDREDTH = Decimal("0.0001")


def usd(amount: Decimal | None) -> str:
    """Format an amount to the cent, and below a dollar to a hundredth of a cent. The summary has the exact amounts."""
    if amount is None:
        return "unknown"
    sign, size = "−" if amount < 0 else "", abs(amount)
    if 0 < size < _HUNDREDTH:
        return f"{sign}$0.0001" if sign else "less than $0.0001"
    return f"{sign}${size:.4f}" if 0 < size < 1 else f"{sign}${size:,.2f}"


def share(part: float | None) -> str:
    """Format a share as a percentage with a non-breaking space: ``12.3 %``."""
    return "none" if part is None else f"{part:.1%}".replace("%", "\u00a0%")


def count(number: int, one: str = "", several: str = "") -> str:
    """Format a whole number with its noun, if any: ``12,345``, ``1 batch``, ``2 batches``."""
    return f"{number:,} {one if number == 1 else several}".rstrip()


def tokens(number: int) -> str:
    """Format a number of tokens, in millions from one million."""
    return f"{number / 1e6:,.1f} M" if number >= 1_000_000 else f"{number:,}"
