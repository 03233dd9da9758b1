"""
What a request cost. Prices: https://platform.claude.com/docs/en/about-claude/pricing as of 2026-10-08; no answer of the
API tells an amount, only tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

#: Every kind of token costs half in a batch, and that stacks with the prices of the cache.
_BATCH = Decimal("0.5")
#: What writing to the cache costs, as a multiple of plain input. The multiple of a read is not the same for all models.
_WRITE_5M, _WRITE_1H = Decimal("1.25"), Decimal(2)
_PER_TOKEN = Decimal("0.000001")


@dataclass(frozen=True, kw_only=True)
class _Price:
    """US dollars for a million tokens, without the discount of a batch."""

    input: Decimal
    output: Decimal
    cache_read: Decimal


def _price(input: str, output: str, cache_read: str) -> _Price:
    return _Price(input=Decimal(input), output=Decimal(output), cache_read=Decimal(cache_read))


_FABLE_5_1 = _price("10", "50", "0.25")
_FABLE_5 = _price("10", "50", "1.00")
_OPUS_4_5_TO_5 = _price("5", "25", "0.50")
_SONNET_4 = _price("3", "15", "0.30")
_HAIKU_4_5 = _price("1", "5", "0.10")

#: By the names a request may give and the names an answer gives: from 4.6 on the id is the snapshot, before it the id
#: is an alias and the answer has the dated snapshot. A model that is newer than the page is not here: its price is not
#: known until it is copied from the page.
_PRICES = {
    "claude-fable-5-1": _FABLE_5_1,
    "claude-mythos-5-1": _FABLE_5_1,
    "claude-fable-5": _FABLE_5,
    "claude-mythos-5": _FABLE_5,
    "claude-opus-5-5": _price("4", "20", "0.20"),
    "claude-opus-5": _OPUS_4_5_TO_5,
    "claude-opus-4-8": _OPUS_4_5_TO_5,
    "claude-opus-4-7": _OPUS_4_5_TO_5,
    "claude-opus-4-6": _OPUS_4_5_TO_5,
    "claude-opus-4-5": _OPUS_4_5_TO_5,
    "claude-opus-4-5-20251101": _OPUS_4_5_TO_5,
    "claude-sonnet-5-5": _price("2", "10", "0.10"),
    "claude-sonnet-5": _price("2", "10", "0.20"),
    "claude-sonnet-4-6": _SONNET_4,
    "claude-sonnet-4-5": _SONNET_4,
    "claude-sonnet-4-5-20250929": _SONNET_4,
    "claude-haiku-5-5": _price("0.10", "0.50", "0.01"),
    "claude-haiku-4-5": _HAIKU_4_5,
    "claude-haiku-4-5-20251001": _HAIKU_4_5,
}
#: Haiku 5.5 alone asks more, for all tokens of a request, where its prompt is longer than this many tokens.
_LONG_PROMPT_TOKENS = 100_000
_LONG_PROMPT_PRICES = {"claude-haiku-5-5": _price("0.50", "2.50", "0.05")}


def cost_usd(
    *,
    model: str,
    input_tokens: int,
    cache_write_5m_tokens: int,
    cache_write_1h_tokens: int,
    cache_read_tokens: int,
    output_tokens: int,
) -> Decimal | None:
    """
    What one request of a batch cost in US dollars, exactly; None where the model's price is not known.

    For one request and not for the sum of many: the price may depend on the length of the prompt. It counts tokens
    alone. The tenth that ``inference_geo: us`` adds, and the fees of web search and code execution, are not in it.

    :param model: as the request or its answer names it
    :param input_tokens: those of the prompt that were neither written to the cache nor read from it
    :param output_tokens: with those of thinking
    """
    prompt_tokens = input_tokens + cache_write_5m_tokens + cache_write_1h_tokens + cache_read_tokens
    price = _PRICES.get(model)
    if prompt_tokens > _LONG_PROMPT_TOKENS:
        price = _LONG_PROMPT_PRICES.get(model, price)
    if price is None:
        return None
    whole = (
        input_tokens * price.input
        + cache_write_5m_tokens * _WRITE_5M * price.input
        + cache_write_1h_tokens * _WRITE_1H * price.input
        + cache_read_tokens * price.cache_read
        + output_tokens * price.output
    )
    return whole * _BATCH * _PER_TOKEN
