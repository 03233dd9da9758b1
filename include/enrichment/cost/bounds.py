"""Values that are not known exactly yet: a low, an expected and a high bound."""

from __future__ import annotations

from decimal import Decimal
from typing import Self

from pydantic import BaseModel, ConfigDict

NAMES = ("low", "expected", "high")


class Frozen(BaseModel):
    """A value that is read from or written to a file: immutable, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Bounds(Frozen):
    """A number that is not known exactly."""

    low: float
    expected: float
    high: float

    @classmethod
    def around(cls, value: float, error: float) -> Self:
        """Return bounds ``error`` below and above ``value``; none is negative."""
        return cls(low=max(value - error, 0), expected=value, high=value + error)

    def times(self, factor: float) -> Bounds:
        """Return each bound multiplied by ``factor``."""
        return Bounds(low=self.low * factor, expected=self.expected * factor, high=self.high * factor)

    def capped(self, most: float) -> Bounds:
        """Return each bound, or ``most`` where the bound exceeds it."""
        return Bounds(low=min(self.low, most), expected=min(self.expected, most), high=min(self.high, most))


class Usd(Frozen):
    """An amount in US dollars that is not known exactly."""

    low: Decimal
    expected: Decimal
    high: Decimal

    def __add__(self, other: Usd) -> Usd:
        return Usd(low=self.low + other.low, expected=self.expected + other.expected, high=self.high + other.high)
