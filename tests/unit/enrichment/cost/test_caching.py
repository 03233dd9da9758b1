"""caching.py: how ``cache: auto`` is resolved and why, and when a chunk is worth a warm-up."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product

import pytest

from include.enrichment.cost.caching import (
    LEAST_REQUESTS,
    PrefixSize,
    Ttl,
    break_even,
    resolve_cache,
    warm_up,
    worth_warming,
)
from include.enrichment.cost.prices import Price, prices

NEW, MIDDLE, OLD = "claude-haiku-5-5", "claude-sonnet-4-6", "claude-haiku-4-5"
#: Bytes per token of ordinary prose: models from 4.7 on use 30 % more tokens.
BYTES_PER_TOKEN = {NEW: 4 / 1.3, MIDDLE: 4.0, OLD: 4.0}
NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


def price(model: str) -> Price:
    return prices().models[model]


def prompt(tokens: int, model: str = MIDDLE) -> PrefixSize:
    """Return the size of a prompt with that many tokens and a small schema."""
    return PrefixSize(system_bytes=round(tokens * BYTES_PER_TOKEN[model]), format_bytes=250)


class TestResolveCache:
    """``auto`` for a prompt, a model and its price."""

    @pytest.mark.parametrize("canary", [True, False])
    @pytest.mark.parametrize(
        ("tokens", "model", "cached", "why"),
        [
            (300, NEW, False, "at most 510 tokens, and claude-haiku-5-5 caches no prefix below 512"),
            (300, MIDDLE, False, "at most 630 tokens, and claude-sonnet-4-6 caches no prefix below 1,024"),
            (300, OLD, False, "at most 630 tokens, and claude-haiku-4-5 caches no prefix below 4,096"),
            (2_000, NEW, True, "1,230 to 2,784 tokens, and claude-haiku-5-5 caches no prefix below 512"),
            (2_000, MIDDLE, True, "1,600 to 3,586 tokens, and claude-sonnet-4-6 caches no prefix below 1,024"),
            (2_000, OLD, False, "at most 3,586 tokens, and claude-haiku-4-5 caches no prefix below 4,096"),
            (10_000, NEW, True, "6,153 to 13,486 tokens, and claude-haiku-5-5"),
            (10_000, MIDDLE, True, "8,000 to 17,500 tokens, and claude-sonnet-4-6"),
            (10_000, OLD, True, "8,000 to 17,500 tokens, and claude-haiku-4-5"),
        ],
    )
    def test_auto_is_on_if_the_model_caches_a_prefix_of_that_size(
        self, tokens: int, model: str, cached: bool, why: str, canary: bool
    ) -> None:
        decided = resolve_cache(model, price(model), prompt(tokens, model), canary=canary)
        assert decided.cache == (("1h" if canary else "5m") if cached else "off")
        assert why in decided.why

    def test_one_hour_needs_a_canary_that_warms_the_cache(self) -> None:
        warm, cold = (resolve_cache(MIDDLE, price(MIDDLE), prompt(2_000), canary=canary) for canary in (True, False))
        assert (warm.cache, cold.cache) == ("1h", "5m")
        assert warm.why.endswith(
            "; the canary warms it, so about 90% of the requests should read it; 1h pays above 52.6%"
        )
        assert cold.why.endswith(
            "; no canary warms it, so about 30% of the requests should read it; 5m pays above 21.7%"
        )

    @pytest.mark.parametrize("canary", [True, False])
    def test_auto_is_off_if_reads_are_hardly_cheaper(self, canary: bool) -> None:
        dear = price(MIDDLE).model_copy(update={"read": price(MIDDLE).input - Decimal("0.01")})
        decided = resolve_cache(MIDDLE, dear, prompt(10_000), canary=canary)
        assert decided.cache == "off"
        assert "pays above 9" in decided.why

    def test_a_prefix_that_may_be_long_enough_is_marked(self) -> None:
        assert resolve_cache(MIDDLE, price(MIDDLE), prompt(1_000), canary=True).cache == "1h"

    def test_auto_is_off_without_a_price(self) -> None:
        decided = resolve_cache("claude-x", None, prompt(10_000), canary=True)
        assert (decided.cache, decided.why.startswith("claude-x has no price in")) == ("off", True)

    def test_auto_is_off_without_a_system_prompt(self) -> None:
        decided = resolve_cache(NEW, price(NEW), PrefixSize(system_bytes=0, format_bytes=90_000), canary=True)
        assert (decided.cache, "system prompt is empty" in decided.why) == ("off", True)

    def test_caching_pays_for_every_priced_model_at_the_expected_hit_rates(self) -> None:
        large = PrefixSize(system_bytes=50_000, format_bytes=0)
        for model, canary in product(prices().models, (True, False)):
            assert resolve_cache(model, price(model), large, canary=canary).cache == ("1h" if canary else "5m")


class TestBreakEven:
    """The share of requests that must read the prefix."""

    @pytest.mark.parametrize(
        ("model", "ttl", "percent"),
        [
            (MIDDLE, "5m", "21.7"),
            (MIDDLE, "1h", "52.6"),
            (OLD, "1h", "52.6"),
            (NEW, "1h", "52.6"),
            ("claude-opus-5-5", "1h", "51.3"),
            ("claude-sonnet-5-5", "1h", "51.3"),
            ("claude-fable-5-1", "1h", "50.6"),
        ],
    )
    def test_break_even_follows_from_the_documented_rates(self, model: str, ttl: Ttl, percent: str) -> None:
        assert f"{break_even(price(model), ttl):.1%}" == f"{percent}%"

    def test_at_break_even_a_token_costs_as_much_as_without_a_cache(self) -> None:
        rates = price(MIDDLE)
        reads = break_even(rates, "1h")
        assert abs(reads * rates.read + (1 - reads) * rates.write_1h - rates.input) < Decimal("1e-20")

    def test_break_even_is_0_or_1_for_odd_rates(self) -> None:
        rates = price(MIDDLE)
        assert break_even(rates.model_copy(update={"read": rates.write_1h}), "1h") == 1
        assert break_even(rates.model_copy(update={"write_1h": rates.read}), "1h") == 0


class TestWorthWarming:
    """The savings of a warm-up against its cost."""

    def test_many_requests_with_a_large_prefix_are_worth_a_warm_up(self) -> None:
        assert worth_warming(LEAST_REQUESTS, price(MIDDLE), prompt(2_000), "1h", max_tokens=400)

    def test_few_requests_are_not_worth_a_warm_up(self) -> None:
        assert not worth_warming(LEAST_REQUESTS - 1, price(MIDDLE), prompt(50_000), "1h", max_tokens=1)

    def test_a_warm_up_answer_may_cost_more_than_warming_saves(self) -> None:
        # 20 requests save 20 x 1,600 tokens x 0.6 x $5.70 for a million, which is some 7,000 tokens of output.
        assert worth_warming(20, price(MIDDLE), prompt(2_000), "1h", max_tokens=5_000)
        assert not worth_warming(20, price(MIDDLE), prompt(2_000), "1h", max_tokens=7_000)
        assert worth_warming(100, price(MIDDLE), prompt(2_000), "1h", max_tokens=7_000)

    @pytest.mark.parametrize("ttl", ["5m", "1h"])
    def test_a_prefix_that_the_model_may_not_cache_is_not_worth_a_warm_up(self, ttl: Ttl) -> None:
        assert not worth_warming(100_000, price(OLD), prompt(5_000), ttl, max_tokens=1)
        assert worth_warming(100_000, price(OLD), prompt(6_000), ttl, max_tokens=1)


class TestWarmUp:
    """The request that warms the cache."""

    PARAMS = (
        '{"model":"m","max_tokens":9,"system":[{"type":"text","text":"S"}],"messages":[{"role":"user","content":"%s"}]}'
    )

    def test_a_warm_up_differs_from_the_chunk_only_in_its_messages(self) -> None:
        made = warm_up(self.PARAMS % "row 1", "1h", now=NOW)
        before, _, after = made.params.partition('"messages":')
        assert self.PARAMS.startswith(before)
        assert "row 1" not in after
        (message,) = json.loads(made.params)["messages"]
        assert message["role"] == "user"

    def test_all_chunks_within_a_ttl_share_one_warm_up(self) -> None:
        asked = [
            warm_up(self.PARAMS % row, "1h", now=NOW + timedelta(minutes=later))
            for row, later in (("row 1", 0), ("row 2", 29), ("row 3", -30))
        ]
        assert len({each.request_id for each in asked}) == 1

    def test_the_next_warm_up_is_another_request(self) -> None:
        first, second = (warm_up(self.PARAMS % "row", "5m", now=NOW + timedelta(minutes=five)) for five in (0, 5))
        assert first.request_id != second.request_id
        assert first.params == second.params
