"""
Decides whether the prompt cache pays for a pipeline, and whether warming it pays for a chunk.

The cache mark is part of a request, so a decision that flips bills every answer again. ``auto`` therefore depends only
on the pipeline's files, the model and its price, and neither on the number of rows nor on the API's token counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

import msgspec

from include.enrichment.cost.prices import Price, Rates
from include.enrichment.requests.request import Request, encode_params, make_request

Ttl = Literal["5m", "1h"]
#: How long the cache keeps a prefix after its last read.
LIFE: dict[Ttl, timedelta] = {"5m": timedelta(minutes=5), "1h": timedelta(hours=1)}

#: The share of a batch's requests that read the prefix, with and without an earlier batch that wrote it. Documented hit
#: rates are 30 to 98 % (docs of batch processing, 2026-10-08).
WARM_HITS, COLD_HITS = Decimal("0.9"), Decimal("0.3")
#: Bytes per token: 3 to 5, depending on the language and kind of text; models from 4.7 on use about 30 % more tokens.
_MOST_BYTES, _FEWEST_BYTES = Decimal(5), Decimal("2.3")

#: A smaller chunk is not worth a warm-up batch.
LEAST_REQUESTS = 20
#: The longest time that a chunk waits for its warm-up.
PATIENCE = timedelta(minutes=30)
_NO_ROW = "This is no row of the data: it only makes the instructions known. Answer as briefly as the format allows."


@dataclass(frozen=True, kw_only=True)
class Caching:
    """
    The resolved value of ``request.cache``.

    :param why: for people, after "request.cache: auto is off:"
    """

    cache: Literal["off"] | Ttl
    why: str


@dataclass(frozen=True, kw_only=True)
class CachedPrefix:
    """
    The prefix that the requests of a chunk share in the cache.

    :param prefix_id: derived from everything that must match for one request to read what another has written
    """

    prefix_id: str
    ttl: Ttl


@dataclass(frozen=True, kw_only=True)
class PrefixSize:
    """
    The size of the prefix up to the cache mark, in bytes.

    :param system_bytes: of the system prompt
    :param format_bytes: of the output schema. It must match too; whether its tokens come before the mark is not
        documented
    """

    system_bytes: int
    format_bytes: int

    @property
    def least_tokens(self) -> int:
        """The lower bound of its tokens."""
        return int(self.system_bytes / _MOST_BYTES)

    @property
    def most_tokens(self) -> int:
        """The upper bound of its tokens."""
        return int((self.system_bytes + self.format_bytes) / _FEWEST_BYTES)


def resolve_cache(model: str, price: Price | None, size: PrefixSize, *, canary: bool) -> Caching:
    """
    Resolve ``auto``: one hour if a canary warms the cache, else five minutes.

    It is off if caching does not pay, or if the prefix is certainly too short for the model. In doubt the mark is set,
    as it costs nothing where the model ignores it.

    :param price: the model's; None if unknown
    """
    if not size.system_bytes:
        return Caching(cache="off", why="the system prompt is empty, and nothing else is common to all requests")
    if price is None:
        return Caching(cache="off", why=f"{model} has no price in include/enrichment/cost/prices.yaml")
    kept = f"{model} caches no prefix below {price.cache_from:,}"
    if size.most_tokens < price.cache_from:
        return Caching(cache="off", why=f"the prefix has at most {size.most_tokens:,} tokens, and {kept}")
    ttl: Ttl = "1h" if canary else "5m"
    hits, enough = (WARM_HITS if canary else COLD_HITS), break_even(price, ttl)
    fact = f"the prefix has {size.least_tokens:,} to {size.most_tokens:,} tokens, and {kept}"
    warmth = "the canary warms it" if canary else "no canary warms it"
    reads = f"{warmth}, so about {hits:.0%} of the requests should read it; {ttl} pays above {enough:.1%}"
    return Caching(cache=ttl if hits > enough else "off", why=f"{fact}; {reads}")


def break_even(rates: Rates, ttl: Ttl) -> Decimal:
    """
    Return the share of the requests that must read the prefix to pay for the writes of the others; 1 if it never pays.

    The batch discount is the same for all of these rates.
    """
    write = _write(rates, ttl)
    if rates.read >= rates.input:
        return Decimal(1)
    return max(Decimal(0), (write - rates.input) / (write - rates.read)) if write > rates.input else Decimal(0)


def worth_warming(requests: int, price: Price, size: PrefixSize, ttl: Ttl, *, max_tokens: int) -> bool:
    """
    Return whether a warm cache saves these requests more than the warm-up request costs.

    :param max_tokens: of each request, the warm-up included
    """
    if requests < LEAST_REQUESTS or size.least_tokens < price.cache_from:
        return False
    saved = requests * size.least_tokens * (WARM_HITS - COLD_HITS) * (_write(price, ttl) - price.read)
    return saved > warm_up_costs(price, size, ttl, max_tokens=max_tokens)


def warm_up_costs(rates: Rates, size: PrefixSize, ttl: Ttl, *, max_tokens: int) -> Decimal:
    """Return the highest cost of the warm-up request, in millionths of a US dollar, without the batch discount."""
    return size.most_tokens * _write(rates, ttl) + max_tokens * rates.output


def warm_up(params: str, ttl: Ttl, *, now: datetime) -> Request:
    """
    Return the request that writes the prefix of a chunk to the cache. It holds no row.

    Within one hour (or five minutes, by the TTL) every caller makes the same request.

    :param params: of any request of the chunk
    """
    frame = msgspec.json.decode(params, type=dict[str, msgspec.Raw])
    number = int(now.timestamp() // LIFE[ttl].total_seconds())
    encoded = encode_params({**frame, "messages": [{"role": "user", "content": _NO_ROW}]})
    return make_request(encoded, salt=f"warm-up {number}")


def _write(rates: Rates, ttl: Ttl) -> Decimal:
    return rates.write_1h if ttl == "1h" else rates.write_5m
