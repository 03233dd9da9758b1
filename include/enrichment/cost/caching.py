"""
Decides whether the prompt cache pays for a pipeline, and whether warming it pays for a chunk.

The mark is part of a request, so a decision that flips makes every answer be paid for again. What ``auto`` comes to
depends on the pipeline's files, the model and its price, and on nothing else: neither the number of rows nor a count of
tokens by the API.
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
#: How long the cache keeps what was written to it, from the last time that it was read.
LIFE: dict[Ttl, timedelta] = {"5m": timedelta(minutes=5), "1h": timedelta(hours=1)}

#: What share of a batch's requests reads the prefix, if an earlier batch has written it and if none has: within the
#: 30 to 98 % that are reported (docs of batch processing, 2026-10-08), the second at their low end.
WARM_HITS, COLD_HITS = Decimal("0.9"), Decimal("0.3")
#: A token is 3 to 5 bytes of text, by language and kind; models from 4.7 on make some 30 % more tokens of it.
_MOST_BYTES, _FEWEST_BYTES = Decimal(5), Decimal("2.3")

#: Of fewer requests none is worth a batch that goes ahead.
LEAST_REQUESTS = 20
#: A chunk waits for its warm-up no longer than this.
PATIENCE = timedelta(minutes=30)
_NO_ROW = "This is no row of the data: it only makes the instructions known. Answer as briefly as the format allows."


@dataclass(frozen=True, kw_only=True)
class Caching:
    """
    What ``request.cache`` comes to.

    :param why: for people, to stand after "request.cache: auto is off:"
    """

    cache: Literal["off"] | Ttl
    why: str


@dataclass(frozen=True, kw_only=True)
class CachedPrefix:
    """
    What the requests of a chunk have the cache keep.

    :param prefix_id: made of all that must be alike for one request to read what another has written
    """

    prefix_id: str
    ttl: Ttl


@dataclass(frozen=True, kw_only=True)
class PrefixSize:
    """
    What is up to the mark, in bytes.

    :param system_bytes: of the system prompt
    :param format_bytes: of the output schema. It is part of what must be alike; whether its tokens stand before the
        mark is not documented
    """

    system_bytes: int
    format_bytes: int

    @property
    def least_tokens(self) -> int:
        """It surely has so many tokens."""
        return int(self.system_bytes / _MOST_BYTES)

    @property
    def most_tokens(self) -> int:
        """It surely has no more tokens."""
        return int((self.system_bytes + self.format_bytes) / _FEWEST_BYTES)


def resolve_cache(model: str, price: Price | None, size: PrefixSize, *, canary: bool) -> Caching:
    """
    What ``auto`` comes to: an hour where a canary warms the cache, five minutes where none does, off where that does
    not pay or the model surely keeps no prefix of that size. Where it may keep it or not there is a mark, which is free
    if it does not.

    :param price: the model's, None if it is not known
    """
    if not size.system_bytes:
        return Caching(cache="off", why="the system prompt is empty, and nothing else is the same in every request")
    if price is None:
        return Caching(cache="off", why=f"the price of {model} is not known (include/enrichment/cost/prices.yaml)")
    kept = f"{model} keeps no prefix of fewer than {price.cache_from:,}"
    if size.most_tokens < price.cache_from:
        return Caching(cache="off", why=f"the prefix has {size.most_tokens:,} tokens at the most, and {kept}")
    ttl: Ttl = "1h" if canary else "5m"
    hits, enough = (WARM_HITS if canary else COLD_HITS), break_even(price, ttl)
    fact = f"the prefix has {size.least_tokens:,} to {size.most_tokens:,} tokens, and {kept}"
    warmth = "the canary warms it" if canary else "no canary warms it"
    reads = f"{warmth}, so about {hits:.0%} of the requests should read it; {ttl} pays from {enough:.1%} on"
    return Caching(cache=ttl if hits > enough else "off", why=f"{fact}; {reads}")


def break_even(rates: Rates, ttl: Ttl) -> Decimal:
    """
    The share of the requests that have to read the prefix for the others' writes to be paid for; 1 where it never pays.

    All of these rates are halved alike in a batch.
    """
    write = _write(rates, ttl)
    if rates.read >= rates.input:
        return Decimal(1)
    return max(Decimal(0), (write - rates.input) / (write - rates.read)) if write > rates.input else Decimal(0)


def worth_warming(requests: int, price: Price, size: PrefixSize, ttl: Ttl, *, max_tokens: int) -> bool:
    """
    Whether so many requests save more by finding the cache warm than the one that warms it costs.

    :param max_tokens: of each request; the answer of the one that warms may have as many
    """
    if requests < LEAST_REQUESTS or size.least_tokens < price.cache_from:
        return False
    saved = requests * size.least_tokens * (WARM_HITS - COLD_HITS) * (_write(price, ttl) - price.read)
    return saved > warm_up_costs(price, size, ttl, max_tokens=max_tokens)


def warm_up_costs(rates: Rates, size: PrefixSize, ttl: Ttl, *, max_tokens: int) -> Decimal:
    """What the request that warms the cache costs at the most, in millionths of a US dollar, without the discount."""
    return size.most_tokens * _write(rates, ttl) + max_tokens * rates.output


def warm_up(params: str, ttl: Ttl, *, now: datetime) -> Request:
    """
    A request that writes to the cache what those of a chunk read, and asks about no row. Whoever needs it within the
    same hour, or the same five minutes, makes the same one.

    :param params: of any request of the chunk
    """
    frame = msgspec.json.decode(params, type=dict[str, msgspec.Raw])
    number = int(now.timestamp() // LIFE[ttl].total_seconds())
    asked = encode_params({**frame, "messages": [{"role": "user", "content": _NO_ROW}]})
    return make_request(asked, salt=f"warm-up {number}")


def _write(rates: Rates, ttl: Ttl) -> Decimal:
    return rates.write_1h if ttl == "1h" else rates.write_5m
