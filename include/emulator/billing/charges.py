"""
Claude's prices, in a table and with arithmetic of the emulator's own, so that its bills can check the usage records.

As documented in November 2026, in US dollars per million tokens. A cache write costs a multiple of the input price.
In a batch everything costs half, and with ``inference_geo: us`` everything costs a tenth more.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

_WRITTEN_5M, _WRITTEN_1H = Decimal("1.25"), Decimal(2)
_BATCH = Decimal("0.5")
_US = Decimal("1.1")
_TOKENS_PRICED = 1_000_000


class Tokens(NamedTuple):
    """Tokens by price. Each prompt token is in one of ``input``, ``written_5m``, ``written_1h`` and ``read``."""

    input: int
    output: int
    written_5m: int
    written_1h: int
    read: int


@dataclass(frozen=True, eq=False)
class Price:
    """The price of a million tokens outside a batch: input, output, and input read from the cache."""

    input: Decimal
    output: Decimal
    read: Decimal

    def usd(self, tokens: Tokens, geo: str, tier: str) -> Decimal:
        """Return the exact cost of these tokens, given ``inference_geo`` and ``service_tier`` of their usage."""
        inputs = tokens.input + tokens.written_5m * _WRITTEN_5M + tokens.written_1h * _WRITTEN_1H
        full = inputs * self.input + tokens.read * self.read + tokens.output * self.output
        return full * (_BATCH if tier == "batch" else 1) * (_US if geo == "us" else 1) / _TOKENS_PRICED


def _price(input: str, output: str, *, read: str) -> Price:
    return Price(Decimal(input), Decimal(output), Decimal(read))


_OPUS_BEFORE_5_5 = _price("5", "25", read="0.50")
_SONNET_4 = _price("3", "15", read="0.30")
_PRICES = {
    "claude-fable-5-2": _price("8", "40", read="0.20"),
    "claude-mythos-5-2": _price("8", "40", read="0.20"),
    "claude-fable-5-1": _price("10", "50", read="0.25"),
    "claude-mythos-5-1": _price("10", "50", read="0.25"),
    "claude-fable-5": _price("10", "50", read="1"),
    "claude-mythos-5": _price("10", "50", read="1"),
    "claude-opus-5-5": _price("4", "20", read="0.20"),
    "claude-opus-5": _OPUS_BEFORE_5_5,
    "claude-opus-4-8": _OPUS_BEFORE_5_5,
    "claude-opus-4-7": _OPUS_BEFORE_5_5,
    "claude-opus-4-6": _OPUS_BEFORE_5_5,
    "claude-opus-4-5-20251101": _OPUS_BEFORE_5_5,
    "claude-sonnet-5-5": _price("2", "10", read="0.10"),
    "claude-sonnet-5": _price("2", "10", read="0.20"),
    "claude-sonnet-4-6": _SONNET_4,
    "claude-sonnet-4-5-20250929": _SONNET_4,
    "claude-haiku-5-5": _price("0.10", "0.50", read="0.01"),
    "claude-haiku-4-5-20251001": _price("1", "5", read="0.10"),
}
#: The one model with a higher price for prompts above a number of tokens; it applies to all tokens of the request.
_LONG_PROMPTS = {"claude-haiku-5-5": (100_000, _price("0.50", "2.50", read="0.05"))}


def price_of(model: str, prompt_tokens: int) -> Price:
    """Return the price of a request, by the id of a model that is not retired and the length of the prompt."""
    if (long := _LONG_PROMPTS.get(model)) and prompt_tokens > long[0]:
        return long[1]
    return _PRICES[model]
