"""
Reproducible random draws: every choice of the emulator follows from its seed and the text of the request.

Nothing here keeps state between requests, so a killed server computes the same answers again.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1


def digest(seed: int, *parts: str | bytes) -> int:
    """Return a 64-bit number that depends only on the seed and the parts."""
    hasher = blake2b(seed.to_bytes(8, "big", signed=True), digest_size=8)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        hasher.update(len(data).to_bytes(8, "big"))
        hasher.update(data)
    return int.from_bytes(hasher.digest(), "big")


def fraction(seed: int, *parts: str | bytes) -> float:
    """Return a number in [0, 1), to compare with a fault's ``share``."""
    return (digest(seed, *parts) >> 11) / (1 << 53)


class Draws:
    """A stream of draws from one 64-bit start; a hundred times cheaper to create than ``random.Random``."""

    __slots__ = ("_state",)

    def __init__(self, start: int) -> None:
        self._state = start

    def below(self, bound: int) -> int:
        """Draw an integer in [0, bound). The modulo bias does not matter here."""
        # splitmix64: a counter and a mixer, so that neighbouring starts share nothing.
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return (mixed ^ (mixed >> 31)) % bound

    def chance(self, percent: int) -> bool:
        """Draw True with a probability of ``percent`` percent."""
        return self.below(100) < percent

    def pick(self, options: Sequence[T]) -> T:
        """Draw one element of a non-empty sequence."""
        return options[self.below(len(options))]
