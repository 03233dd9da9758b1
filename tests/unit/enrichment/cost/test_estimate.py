"""estimate.py: the cost estimate of a pass before the pass is sent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.enrichment.cost.bounds import Bounds
from include.enrichment.cost.caching import PrefixSize
from include.enrichment.cost.estimate import (
    CachedPart,
    Estimate,
    estimate,
    estimate_cache_hits,
    estimate_output,
    join_variants,
    prefix_size,
    sum_estimates,
)
from include.enrichment.cost.history import History
from include.enrichment.cost.prices import prices
from include.enrichment.cost.token_sample import TokenSample, choose_sample, summarise_sample
from include.enrichment.requests.chunk import SIZES_SCHEMA
from include.enrichment.requests.request import request_id
from include.enrichment.runs.modes import MODES, Mode

MODEL = "claude-haiku-4-5"  # $1 for a million tokens of input, $5 of output; half of it in a batch
LONG_PRICED = "claude-haiku-5-5"  # five times as much above 100,000 tokens of prompt
A_QUARTER = Bounds(low=0.25, expected=0.25, high=0.25)
SAMPLE = TokenSample(requests=200, tokens={}, frame_bytes=400, frame_tokens=100, per_byte=A_QUARTER, prefix_tokens=80)
NO_ANSWER = (Bounds(low=0, expected=0, high=0), "none")
TEN = (Bounds(low=8, expected=10, high=12), "from earlier batches")


def sizes_of(sizes: Mapping[str, int]) -> pa.Table:
    return pa.table([pa.array(sizes, pa.string()), pa.array(sizes.values(), pa.int32())], SIZES_SCHEMA)


def made(*, requests: int = 1_000, size: int = 4_000_000, **changes: Any) -> Estimate:
    """Return the estimate for requests of one size."""
    given: dict[str, Any] = {
        "model": MODEL,
        "requests": requests,
        "size": size,
        "sizes": None if "sizes" in changes else sizes_of({f"r{n}": size // requests for n in range(requests)}),
        "sample": SAMPLE,
        "known": History(),
        "output": TEN,
        "caching": {},
    }
    return estimate(**given | changes)


class TestTokens:
    def test_prompt_tokens_are_those_of_the_frame_and_of_each_further_byte(self) -> None:
        found = made()
        assert found.input_tokens.expected == 1_000 * (100 + 3_600 / 4)
        assert (found.requests, found.bytes, found.output_tokens.expected) == (1_000, 4_000_000, 10_000)

    def test_a_counted_request_keeps_the_error_of_the_count(self) -> None:
        sample = SAMPLE.model_copy(update={"tokens": {f"r{n}": 7_000 for n in range(1_000)}})
        found = made(sample=sample).input_tokens
        assert [found.low, found.expected, found.high] == pytest.approx([6_790_000, 7_000_000, 7_210_000])

    def test_the_bounds_are_close_for_many_similar_requests(self) -> None:
        found = made(requests=100_000, size=400_000_000).input_tokens
        assert found.high < 1.25 * found.expected
        assert found.low > 0.9 * found.expected

    def test_a_few_requests_may_be_a_kind_of_text_that_was_not_counted(self) -> None:
        assert made(requests=5, size=20_000).input_tokens.high == pytest.approx(5 * (100 + 3_600) * 1.03)

    def test_without_a_count_earlier_batches_set_all_but_the_high_bound(self) -> None:
        known = History(tokens_per_byte=Bounds(low=0.2, expected=0.3, high=0.4))
        found = made(sample=None, known=known)
        assert (found.input_tokens.expected, found.input_tokens.high) == pytest.approx((1_200_000, 4_120_000))
        assert "prompts: from earlier batches" in found.sources

    def test_without_evidence_a_rule_of_thumb_gives_wide_bounds(self) -> None:
        found = made(sample=None)
        assert (found.input_tokens.low, found.input_tokens.high) == pytest.approx((776_000, 4_120_000))
        assert "not counted" in found.sources


class TestOutput:
    def test_without_evidence_max_tokens_is_expected(self) -> None:
        bounds, source = estimate_output([], None, requests=10_000, max_tokens=300)
        assert (bounds.low, bounds.expected, bounds.high) == (0, 300, 300)
        assert "max_tokens" in source

    def test_the_canary_gives_bounds_for_its_few_answers(self) -> None:
        bounds, _ = estimate_output([90, 100, 110, 100, 100], None, requests=10_000, max_tokens=300)
        assert (bounds.expected, bounds.low < 90, bounds.high > 110) == (100, True, True)

    def test_earlier_batches_that_agree_with_the_canary_are_used(self) -> None:
        earlier = Bounds(low=80, expected=97, high=120)
        found = estimate_output([90, 100, 110, 100, 100], earlier, requests=10_000, max_tokens=300)[0]
        assert found.expected == 97
        assert [found.low, found.high] == pytest.approx([74, 120], abs=1)

    def test_the_average_of_a_few_answers_varies_more(self) -> None:
        for earlier in (None, Bounds(low=80, expected=97, high=120)):
            few, many = (
                estimate_output([50, 100, 150, 100, 100], earlier, requests=requests, max_tokens=900)[0].high
                for requests in (4, 10_000)
            )
            assert few > many + 20

    def test_the_canary_overrules_earlier_batches_that_disagree(self) -> None:
        earlier = Bounds(low=20, expected=30, high=40)
        assert estimate_output([90, 100, 110, 100, 100], earlier, requests=10_000, max_tokens=300)[0].expected == 100

    def test_no_answer_exceeds_max_tokens(self) -> None:
        assert (
            estimate_output([], Bounds(low=100, expected=280, high=400), requests=10_000, max_tokens=250)[0].high == 250
        )


class TestCost:
    def test_the_cost_is_the_tokens_at_batch_prices(self) -> None:
        found = made().cost_usd
        assert found
        assert found.expected == Decimal("0.5") + Decimal("0.025")
        assert found.low < found.expected < found.high

    def test_synchronous_requests_cost_twice_as_much(self) -> None:
        batch, synchronous = made(), made(mode="synchronous")
        assert batch.cost_usd
        assert synchronous.cost_usd
        assert synchronous.cost_usd.expected == 2 * batch.cost_usd.expected == batch.synchronous_usd == Decimal("1.05")
        assert (batch.mode, synchronous.mode) == ("batch", "synchronous")

    def test_an_estimate_tells_the_cost_in_either_mode(self) -> None:
        part = CachedPart(write="write_1h", tokens=1_000, hits=Bounds(low=1, expected=0.98, high=0.3))
        caching: dict[Mode, CachedPart] = {
            "batch": part,
            "synchronous": replace(part, hits=Bounds(low=1, expected=0.999, high=0.3)),
        }
        batch, synchronous = (made(caching=caching, mode=each) for each in MODES)
        assert (
            batch.modes_usd == synchronous.modes_usd == {"batch": batch.cost_usd, "synchronous": synchronous.cost_usd}
        )
        assert batch.cost_usd
        assert synchronous.cost_usd
        assert synchronous.cost_usd.expected < 2 * batch.cost_usd.expected  # more of it is read from the cache
        assert "read from the cache: 100%" in synchronous.sources

    def test_a_model_without_a_price_has_tokens_and_no_cost(self) -> None:
        found = made(model="claude-of-tomorrow")
        assert (found.cost_usd, found.synchronous_usd) == (None, None)
        assert found.input_tokens.expected == 1_000_000

    def test_each_long_prompt_has_its_own_price(self) -> None:
        lengths = {"short": 40_000, "longest at the price": 400_000, "long": 400_004}
        per_byte = TokenSample(
            requests=200, tokens={}, frame_bytes=0, frame_tokens=0, per_byte=A_QUARTER, prefix_tokens=0
        )
        found = estimate(
            model=LONG_PRICED,
            requests=3,
            size=sum(lengths.values()),
            sizes=sizes_of(lengths),
            sample=per_byte,
            known=History(),
            output=TEN,
            caching={},
        )
        price = prices().models[LONG_PRICED]
        assert price.long_prompt
        short, long = 110_000 * price.input + 20 * price.output, 100_001 * price.long_prompt.input
        assert found.cost_usd
        usd = (short + long + 10 * price.long_prompt.output) / 2_000_000
        assert found.cost_usd.expected == pytest.approx(usd, abs=Decimal("0.000001"))
        assert "up to 2 longer than 100,000 tokens" in found.sources

    def test_cache_reads_cost_a_tenth_and_one_hour_writes_twice_the_price(self) -> None:
        hits = Bounds(low=1, expected=0.5, high=0)
        cached = made(caching={"batch": CachedPart(write="write_1h", tokens=1_000, hits=hits)}).cost_usd
        assert cached
        prefix = {"low": 0.05, "expected": 0.525, "high": 1.0}  # dollars, for a million tokens
        rest = made(size=0, sample=SAMPLE.model_copy(update={"frame_tokens": 0})).cost_usd
        assert rest
        assert cached.expected == rest.expected + Decimal(str(prefix["expected"]))
        assert cached.low < cached.expected < cached.high

    def test_only_low_and_high_count_on_a_prefix_that_may_be_cached(self) -> None:
        hits = Bounds(low=1, expected=0.98, high=0)
        found = made(caching={"batch": CachedPart(write="write_1h", tokens=0, hits=hits, most=1_000)})
        plain = made()
        assert found.cost_usd
        assert plain.cost_usd
        assert found.cost_usd.low < plain.cost_usd.low
        assert found.cost_usd.expected == plain.cost_usd.expected
        assert found.cost_usd.high > plain.cost_usd.high
        assert "read from the cache" not in found.sources

    def test_a_possible_warm_up_counts_only_in_the_high_estimate(self) -> None:
        part = CachedPart(write="write_1h", tokens=1_000, hits=Bounds(low=1, expected=0.98, high=0.3))
        without, found = (
            made(caching={"batch": replace(part, warm_up_usd=Decimal(usd))}).cost_usd for usd in ("0", "0.0123456789")
        )
        assert without
        assert found == without.model_copy(update={"high": without.high + Decimal("0.012346")})

    def test_no_requests_cost_nothing(self) -> None:
        for sizes in (SIZES_SCHEMA.empty_table(), None):
            found = made(requests=0, size=0, sizes=sizes).cost_usd
            assert found
            assert found.high == 0


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """
    The requests of a run, with any sizes and texts.

    :param frame: bytes and tokens of the part that is the same in every request
    :param bytes: of each request, by id
    :param tokens: of each request, by a tokenizer of the test's own
    """

    frame: tuple[int, int]
    bytes: dict[str, int]
    tokens: dict[str, int]

    @classmethod
    def of(cls, texts: Sequence[tuple[int, float]], *, frame: tuple[int, int] = (0, 0)) -> Mixture:
        """Return requests for texts, each given by its bytes and its tokens per byte."""
        ids = [request_id(f"{number}".encode()) for number in range(len(texts))]
        tokens = (frame[1] + min(math.ceil(size * per_byte), size) for size, per_byte in texts)
        sizes = (frame[0] + size for size, _ in texts)
        return cls(frame=frame, bytes=dict(zip(ids, sizes, strict=True)), tokens=dict(zip(ids, tokens, strict=True)))

    @classmethod
    def drawn(cls, draw: Random, kinds: Sequence[tuple[float, int, float, float]], *, requests: int) -> Mixture:
        """
        Draw requests with some kinds of text.

        :param kinds: weight, typical bytes, spread of the bytes and tokens of a byte, for each
        """
        texts = [
            (max(1, min(round(typical * math.exp(spread * draw.gauss(0, 1))), 3_000_000)), per_byte)
            for _, typical, spread, per_byte in draw.choices(kinds, [kind[0] for kind in kinds], k=requests)
        ]
        frame = draw.choice([0, 150, 24_000])
        return cls.of(texts, frame=(frame, math.ceil(frame * draw.choice([0.15, 0.25, 0.4]))))

    def billed_and_high(self, sent: Sequence[str], *, answer: int = 20) -> tuple[Decimal, Decimal]:
        """Return the cost of some of the requests, and their high estimate."""
        chosen = list(choose_sample(sizes_of(self.bytes)))
        sample = summarise_sample(
            [(self.bytes[name], self.tokens[name]) for name in chosen],
            prefix_tokens=0,
            frame=self.frame,
            request_ids=chosen,
        )
        found = estimate(
            model=LONG_PRICED,
            requests=len(sent),
            size=sum(self.bytes[name] for name in sent),
            sizes=sizes_of({name: self.bytes[name] for name in sent}),
            sample=sample,
            known=History(),
            output=(Bounds(low=answer, expected=answer, high=answer), "known"),
            caching={},
        ).cost_usd
        assert found
        assert found.low <= found.expected <= found.high
        return sum((billed(self.tokens[name], answer) for name in sent), Decimal(0)), found.high


def billed(prompt: int, answer: int) -> Decimal:
    rates = prices().per_token(LONG_PRICED, long=prompt > prices().long_above(LONG_PRICED))
    assert rates
    return rates["input_tokens"] * prompt + rates["output_tokens"] * answer


#: Tokens per byte, from a long run of one character through prose, Chinese and digits to one token per byte.
DENSITIES = [0.02, 0.1, 0.25, 0.33, 0.5, 0.8, 1.0]
KINDS = st.lists(
    st.tuples(
        st.sampled_from([1.0, 0.2, 0.05, 0.01, 0.003]),
        st.sampled_from([1, 10, 100, 300, 2_000, 20_000, 100_000, 150_000, 400_000, 1_000_000]),
        st.sampled_from([0.0, 0.3, 1.5]),
        st.sampled_from(DENSITIES),
    ),
    min_size=1,
    max_size=4,
)
IN_A_FEW_SECONDS = settings(
    max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


class TestHighBound:
    @pytest.mark.parametrize(
        "texts",
        [
            [(321 + n % 4, 0.25) for n in range(500)] + [(1_000_000 + n, 0.25) for n in range(8)],
            [(400 + n % 3, 0.25) for n in range(5_000)] + [(2_000_000, 0.25)],
            [(250, 0.25)] * 2_000 + [(450_000, 0.25)] * 3 + [(250, 0.25)] * 2_000,
            [(320_000 + 1_000 * n, 0.25) for n in range(100)],
            [(300_000, 0.4) if n % 40 == 0 else (300 + n % 80, 0.25) for n in range(2_000)],
            [(2_000 + n % 900, 0.8 if n % 10 == 3 else 0.25) for n in range(3_000)],
            [(2_000, 1.0 if n % 10 == 3 else 0.1) for n in range(300)],
        ],
        ids=[
            "eight of a megabyte among short ones",
            "one of two megabytes among 5,000",
            "three in a block",
            "around 100,000 tokens",
            "long Chinese among short English",
            "digits in a tenth of the rows",
            "nearly all counted",
        ],
    )
    def test_it_holds_where_the_mean_prompt_says_little(self, texts: list[tuple[int, float]]) -> None:
        mixture = Mixture.of(texts)
        cost, high = mixture.billed_and_high(list(mixture.bytes))
        assert cost <= high < 3 * cost

    @IN_A_FEW_SECONDS
    @given(kinds=KINDS, requests=st.sampled_from([1, 7, 201, 400]), seed=st.integers(0, 2**32))
    def test_it_holds_for_any_part_of_any_mixture(
        self, kinds: list[tuple[float, int, float, float]], requests: int, seed: int
    ) -> None:
        mixture = Mixture.drawn(Random(seed), kinds, requests=requests)
        everything = sorted(mixture.bytes)
        for sent in (
            everything,
            everything[:5],
            everything[5:],
            everything[::2],
            sorted(everything, key=lambda name: mixture.bytes[name])[: requests // 2],
        ):
            cost, high = mixture.billed_and_high(sent)
            assert cost <= high

    @IN_A_FEW_SECONDS
    @given(
        short=st.lists(st.integers(200, 2_000), min_size=1, max_size=300),
        long=st.lists(st.integers(1_000, 2_000_000), max_size=12),
        per_byte=st.sampled_from(DENSITIES),
        named=st.booleans(),
    )
    def test_it_holds_if_only_the_total_size_and_a_sample_of_short_prompts_are_known(
        self, short: list[int], long: list[int], per_byte: float, named: bool
    ) -> None:
        sizes = short + long
        tokens = [math.ceil(size * per_byte) for size in sizes]
        found = estimate(
            model=LONG_PRICED,
            requests=len(sizes),
            size=sum(sizes),
            sample=summarise_sample(list(zip(sizes, tokens, strict=True))[: min(len(short), 20)], prefix_tokens=0)
            if named
            else None,
            known=History(),
            output=(Bounds(low=20, expected=20, high=20), "known"),
            caching={},
        ).cost_usd
        assert found
        assert sum((billed(each, 20) for each in tokens), Decimal(0)) <= found.high

    @pytest.mark.parametrize(
        "text",
        [
            'He said "yes"\n\t\\ ' * 400,
            "\x00\x01\x1f" * 500,
            "発注書の数量が違います。" * 300,
            "🙂" * 900,
            "é" * 900,
            " " * 5_000,
        ],
        ids=["quotes", "controls", "Japanese", "emoji", "accents", "spaces"],
    )
    def test_params_have_at_least_as_many_bytes_as_their_text_has_tokens(self, text: str) -> None:
        sizes = {"r": len(msgspec.json.encode({"messages": [{"role": "user", "content": text}]}))}
        worst = len(text.encode())
        found = made(requests=1, size=sizes["r"], sizes=sizes_of(sizes), sample=None).input_tokens
        assert worst <= found.high

    def test_a_million_sizes_take_less_than_150_megabytes(self) -> None:
        sizes = pa.table(
            [pc.cast(pa.array(range(1_000_000)), pa.string()), pa.repeat(pa.scalar(400, pa.int32()), 1_000_000)],
            SIZES_SCHEMA,
        )
        usual = pa.default_memory_pool()
        pool = pa.proxy_memory_pool(usual)  # which counts from here on
        pa.set_memory_pool(pool)
        try:
            made(requests=1_000_000, size=400_000_000, sizes=sizes)
            assert len(choose_sample(sizes)) == 200
        finally:
            pa.set_memory_pool(usual)
        assert 0 < pool.max_memory() < 150_000_000


class TestPrefixSize:
    def test_the_output_format_may_be_part_of_the_prefix(self) -> None:
        assert [*prefix_size(SAMPLE, PrefixSize(system_bytes=0, format_bytes=0))] == pytest.approx([80, 103])
        expected, most = prefix_size(None, PrefixSize(system_bytes=700, format_bytes=300))
        assert (round(expected), most) == (200, 1_000)


class TestCacheHits:
    def test_earlier_batches_set_the_hit_rate(self) -> None:
        known = Bounds(low=0.9, expected=0.8, high=0.3)
        assert estimate_cache_hits(known, warms=False, warmed=True) == known

    def test_the_canary_writes_and_reads_nothing(self) -> None:
        assert estimate_cache_hits(Bounds(low=1, expected=1, high=1), warms=True, warmed=True).expected == 0

    @pytest.mark.parametrize(("requests", "expected"), [(0, 0), (1, 0), (2, 0.5), (1_000, 0.999)])
    def test_of_synchronous_requests_the_first_writes_what_the_others_read(
        self, requests: int, expected: float
    ) -> None:
        for warms, warmed in ((True, False), (False, True), (False, False)):
            hits = estimate_cache_hits(None, warms=warms, warmed=warmed, first_of=requests)
            assert hits.expected == pytest.approx(expected)
            assert hits.low == 1
            assert hits.high == pytest.approx(min(0.8, expected))

    def test_earlier_synchronous_passes_set_the_lowest_hit_rate(self) -> None:
        known = Bounds(low=1, expected=0.9, high=0.7)
        assert estimate_cache_hits(known, warms=False, warmed=False, first_of=1_000).high == 0.7

    def test_a_canary_makes_the_main_pass_read(self) -> None:
        warm, cold = (estimate_cache_hits(None, warms=False, warmed=warmed) for warmed in (True, False))
        assert warm.expected > 0.9 > 0.5 > cold.expected

    def test_the_low_bound_is_the_highest_hit_rate(self) -> None:
        for hits in (
            estimate_cache_hits(None, warms=warms, warmed=warmed) for warms in (False, True) for warmed in (False, True)
        ):
            assert hits.low >= hits.expected >= hits.high


class TestVariants:
    CURRENT, CANDIDATE = made(requests=10, size=40_000), made(requests=20, size=80_000)

    def test_their_estimate_is_the_sum_of_their_parts(self) -> None:
        found = join_variants({"current": self.CURRENT, "candidate": self.CANDIDATE})
        assert (found.requests, found.bytes) == (30, 120_000)
        assert found.input_tokens.high == self.CURRENT.input_tokens.high + self.CANDIDATE.input_tokens.high
        assert self.CURRENT.cost_usd
        assert self.CANDIDATE.cost_usd
        assert found.cost_usd == self.CURRENT.cost_usd + self.CANDIDATE.cost_usd
        assert Estimate.model_validate_json(found.model_dump_json()) == found

    def test_without_variants_nothing_is_added_to_the_estimate(self) -> None:
        assert join_variants({"": self.CURRENT}) is self.CURRENT
        assert "variants" not in self.CURRENT.model_dump()

    def test_the_sum_of_passes_keeps_the_parts(self) -> None:
        canary = join_variants({"current": self.CURRENT})
        main = join_variants({"current": self.CURRENT, "candidate": self.CANDIDATE})
        found = sum_estimates([canary, main])
        assert {name: part.requests for name, part in found.variants.items()} == {"current": 20, "candidate": 20}
        assert sum_estimates([self.CURRENT, self.CANDIDATE]).variants == {}

    def test_a_sum_of_both_modes_has_neither(self) -> None:
        synchronous = made(requests=10, size=40_000, mode="synchronous")
        both, nothing = sum_estimates([self.CURRENT, synchronous]), synchronous.model_copy(update={"requests": 0})
        assert (both.mode, sum_estimates([self.CURRENT, nothing]).mode) == (None, "batch")
        assert self.CURRENT.cost_usd
        assert synchronous.cost_usd
        assert both.cost_usd == self.CURRENT.cost_usd + synchronous.cost_usd
        assert both.modes_usd["batch"] == self.CURRENT.cost_usd + self.CURRENT.cost_usd

    def test_a_sum_with_an_estimate_of_an_earlier_version_tells_no_cost_by_mode(self) -> None:
        assert sum_estimates([self.CURRENT, self.CURRENT.model_copy(update={"modes_usd": {}})]).modes_usd == {}

    def test_an_unknown_price_matters_only_for_requests(self) -> None:
        unknown = self.CANDIDATE.model_copy(update={"cost_usd": None})
        assert join_variants({"current": self.CURRENT, "candidate": unknown}).cost_usd is None
        nothing = unknown.model_copy(update={"requests": 0})
        assert join_variants({"current": self.CURRENT, "candidate": nothing}).cost_usd == self.CURRENT.cost_usd
