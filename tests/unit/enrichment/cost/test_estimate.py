"""estimate.py: what a pass will cost, told before it is sent."""

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

from include.enrichment.answers.outcome import Outcome, outcomes_batch
from include.enrichment.batches.usage import BatchFacts, make_usage_record, usage_columns
from include.enrichment.cost.caching import PrefixSize
from include.enrichment.cost.estimate import (
    Bounds,
    CachedPart,
    Counted,
    Estimate,
    History,
    choose_sample,
    cost_table,
    counted,
    estimate,
    estimate_cache_hits,
    estimate_output,
    prefix_size,
    summarise_history,
)
from include.enrichment.cost.prices import prices
from include.enrichment.requests.chunk import SIZES_SCHEMA, body_bytes
from include.enrichment.requests.request import request_id
from tests.fixtures.usage import facts_of

MODEL = "claude-haiku-4-5"  # $1 for a million tokens of input, $5 of output; half of it in a batch
LONG_PRICED = "claude-haiku-5-5"  # five times as much above 100,000 tokens of prompt
A_QUARTER = Bounds(low=0.25, expected=0.25, high=0.25)
SAMPLE = Counted(requests=200, tokens={}, frame_bytes=400, frame_tokens=100, per_byte=A_QUARTER, prefix_tokens=80)
NO_ANSWER = (Bounds(low=0, expected=0, high=0), "none")
TEN = (Bounds(low=8, expected=10, high=12), "as in earlier batches")


def sizes_of(sizes: Mapping[str, int]) -> pa.Table:
    return pa.table([pa.array(sizes, pa.string()), pa.array(sizes.values(), pa.int32())], SIZES_SCHEMA)


def made(*, requests: int = 1_000, size: int = 4_000_000, **changes: Any) -> Estimate:
    """The estimate for requests of one size."""
    given: dict[str, Any] = {
        "model": MODEL,
        "requests": requests,
        "size": size,
        "sizes": None if "sizes" in changes else sizes_of({f"r{n}": size // requests for n in range(requests)}),
        "sample": SAMPLE,
        "known": History(),
        "output": TEN,
        "caching": None,
    }
    return estimate(**given | changes)


def book(*outcomes: Outcome, **facts: Any) -> pa.Table:
    known = vars(facts_of()) | {"body_bytes": body_bytes(["x" * 22] * len(outcomes), 1_000 * len(outcomes))} | facts
    return make_usage_record(BatchFacts(**known), usage_columns(outcomes_batch(outcomes)))


def answer(output_tokens: int = 10, *, model: str = MODEL, **tokens: int) -> Outcome:
    usage_columns: dict[str, Any] = {"input_tokens": 250} | tokens
    return Outcome(request_id="r", outcome="succeeded", model=model, output_tokens=output_tokens, **usage_columns)


class TestCounted:
    def test_the_frame_of_all_requests_and_the_text_of_each_are_told_apart(self) -> None:
        found = counted([(1_000 + 4 * n, 500 + n) for n in (10, 200, 1_000)], prefix_tokens=0, frame=(1_000, 500))
        assert (found.frame_bytes, found.frame_tokens, found.per_byte) == (1_000, 500, A_QUARTER)

    def test_texts_of_different_density_have_bounds(self) -> None:
        found = counted([(400, 100), (400, 200)], prefix_tokens=0).per_byte
        assert (found.low, found.expected, found.high) == (0.25, 0.375, 0.5)

    @pytest.mark.parametrize("sample", [[(321 + n % 4, 81 + n % 4) for n in range(20)], [(100, 90), (110, 10)]])
    def test_what_a_byte_adds_is_never_less_than_nothing_or_more_than_a_token(
        self, sample: list[tuple[int, int]]
    ) -> None:
        found = counted(sample, prefix_tokens=0, frame=(99, 0)).per_byte
        assert 0 <= found.low <= found.expected <= found.high <= 1

    def test_a_sample_without_any_text_leaves_each_byte_a_token(self) -> None:
        assert counted([(400, 100)], prefix_tokens=0, frame=(400, 100)).per_byte.high == 1


class TestToCount:
    def test_of_few_requests_all_are_counted(self) -> None:
        assert choose_sample(sizes_of({f"r{n}": n for n in range(200)})) == {f"r{n}" for n in range(200)}
        assert choose_sample(SIZES_SCHEMA.empty_table()) == set()

    def test_the_largest_are_always_counted(self) -> None:
        large = {f"large{n}": 1_000_000 + n for n in range(20)}
        chosen = choose_sample(sizes_of({f"r{n}": 400 for n in range(5_000)} | large))
        assert chosen >= large.keys()
        assert len(chosen) == 200

    def test_neither_a_few_long_texts_nor_many_short_ones_are_missed(self) -> None:
        sizes = {f"short{n}": 300 + n % 9 for n in range(5_000)} | {f"long{n}": 90_000 for n in range(200)}
        chosen = choose_sample(sizes_of(sizes))
        assert sum(name.startswith("short") for name in chosen) > 50
        assert sum(name.startswith("long") for name in chosen) > 50

    def test_the_order_of_the_rows_does_not_matter(self) -> None:
        sizes = {f"r{n}": 300 + n % 50 for n in range(1_000)}
        assert choose_sample(sizes_of(sizes)) == choose_sample(sizes_of(dict(reversed(sizes.items()))))


class TestTokens:
    def test_the_prompts_tokens_are_those_of_the_frame_and_of_each_further_byte(self) -> None:
        found = made()
        assert found.input_tokens.expected == 1_000 * (100 + 3_600 / 4)
        assert (found.requests, found.bytes, found.output_tokens.expected) == (1_000, 4_000_000, 10_000)

    def test_a_request_that_was_counted_is_known_but_a_count_is_an_estimate_itself(self) -> None:
        sample = SAMPLE.model_copy(update={"tokens": {f"r{n}": 7_000 for n in range(1_000)}})
        found = made(sample=sample).input_tokens
        assert [found.low, found.expected, found.high] == pytest.approx([6_790_000, 7_000_000, 7_210_000])

    def test_for_many_alike_the_bounds_are_close(self) -> None:
        found = made(requests=100_000, size=400_000_000).input_tokens
        assert found.high < 1.25 * found.expected
        assert found.low > 0.9 * found.expected

    def test_a_few_may_be_of_a_kind_that_was_not_counted(self) -> None:
        assert made(requests=5, size=20_000).input_tokens.high == pytest.approx(5 * (100 + 3_600) * 1.03)

    def test_without_a_count_earlier_batches_tell_but_for_the_high(self) -> None:
        known = History(tokens_per_byte=Bounds(low=0.2, expected=0.3, high=0.4))
        found = made(sample=None, known=known)
        assert (found.input_tokens.expected, found.input_tokens.high) == pytest.approx((1_200_000, 4_120_000))
        assert "prompts: as in earlier batches" in found.sources

    def test_where_nothing_is_known_a_rule_of_thumb_tells_within_wide_bounds(self) -> None:
        found = made(sample=None)
        assert (found.input_tokens.low, found.input_tokens.high) == pytest.approx((776_000, 4_120_000))
        assert "not counted" in found.sources


class TestOutput:
    def test_where_nothing_is_known_the_ceiling_is_expected(self) -> None:
        bounds, source = estimate_output([], None, requests=10_000, max_tokens=300)
        assert (bounds.low, bounds.expected, bounds.high) == (0, 300, 300)
        assert "max_tokens" in source

    def test_the_canary_tells_within_what_so_few_answers_can_tell(self) -> None:
        bounds, _ = estimate_output([90, 100, 110, 100, 100], None, requests=10_000, max_tokens=300)
        assert (bounds.expected, bounds.low < 90, bounds.high > 110) == (100, True, True)

    def test_where_earlier_batches_agree_with_the_canary_they_are_more_exact(self) -> None:
        earlier = Bounds(low=80, expected=97, high=120)
        found = estimate_output([90, 100, 110, 100, 100], earlier, requests=10_000, max_tokens=300)[0]
        assert found.expected == 97
        assert [found.low, found.high] == pytest.approx([74, 120], abs=1)

    def test_the_average_of_a_few_answers_may_be_further_off(self) -> None:
        for earlier in (None, Bounds(low=80, expected=97, high=120)):
            few, many = (
                estimate_output([50, 100, 150, 100, 100], earlier, requests=requests, max_tokens=900)[0].high
                for requests in (4, 10_000)
            )
            assert few > many + 20

    def test_where_they_do_not_the_prompt_has_changed_and_the_canary_is_right(self) -> None:
        earlier = Bounds(low=20, expected=30, high=40)
        assert estimate_output([90, 100, 110, 100, 100], earlier, requests=10_000, max_tokens=300)[0].expected == 100

    def test_no_answer_is_longer_than_it_may_be(self) -> None:
        assert (
            estimate_output([], Bounds(low=100, expected=280, high=400), requests=10_000, max_tokens=250)[0].high == 250
        )


class TestCost:
    def test_it_is_the_tokens_at_the_price_of_a_batch(self) -> None:
        found = made().cost_usd
        assert found
        assert found.expected == Decimal("0.5") + Decimal("0.025")
        assert found.low < found.expected < found.high

    def test_at_once_and_without_a_cache_it_is_twice_as_much(self) -> None:
        assert made().synchronous_usd == Decimal("1.05")

    def test_a_model_without_a_price_has_no_cost_and_tokens_all_the_same(self) -> None:
        found = made(model="claude-of-tomorrow")
        assert (found.cost_usd, found.synchronous_usd) == (None, None)
        assert found.input_tokens.expected == 1_000_000
        assert "not known" in cost_table({"main": found})

    def test_each_long_prompt_has_its_own_price(self) -> None:
        lengths = {"short": 40_000, "longest at the price": 400_000, "long": 400_004}
        per_byte = Counted(requests=200, tokens={}, frame_bytes=0, frame_tokens=0, per_byte=A_QUARTER, prefix_tokens=0)
        found = estimate(
            model=LONG_PRICED,
            requests=3,
            size=sum(lengths.values()),
            sizes=sizes_of(lengths),
            sample=per_byte,
            known=History(),
            output=TEN,
            caching=None,
        )
        price = prices().models[LONG_PRICED]
        assert price.long_prompt
        short, long = 110_000 * price.input + 20 * price.output, 100_001 * price.long_prompt.input
        assert found.cost_usd
        usd = (short + long + 10 * price.long_prompt.output) / 2_000_000
        assert found.cost_usd.expected == pytest.approx(usd, abs=Decimal("0.000001"))
        assert "of which up to 2 are longer than 100,000 tokens" in found.sources

    def test_what_is_read_from_the_cache_costs_a_tenth_and_what_is_written_for_an_hour_twice(self) -> None:
        hits = Bounds(low=1, expected=0.5, high=0)
        cached = made(caching=CachedPart(write="write_1h", tokens=1_000, hits=hits)).cost_usd
        assert cached
        prefix = {"low": 0.05, "expected": 0.525, "high": 1.0}  # dollars, for a million tokens
        rest = made(size=0, sample=SAMPLE.model_copy(update={"frame_tokens": 0})).cost_usd
        assert rest
        assert cached.expected == rest.expected + Decimal(str(prefix["expected"]))
        assert cached.low < cached.expected < cached.high

    def test_where_a_prefix_may_be_kept_only_the_bounds_count_on_it(self) -> None:
        hits = Bounds(low=1, expected=0.98, high=0)
        found = made(caching=CachedPart(write="write_1h", tokens=0, hits=hits, most=1_000))
        plain = made()
        assert found.cost_usd
        assert plain.cost_usd
        assert found.cost_usd.low < plain.cost_usd.low
        assert found.cost_usd.expected == plain.cost_usd.expected
        assert found.cost_usd.high > plain.cost_usd.high
        assert "read from the cache" not in found.sources

    def test_a_request_that_may_go_ahead_to_warm_the_cache_counts_in_the_high_estimate_alone(self) -> None:
        part = CachedPart(write="write_1h", tokens=1_000, hits=Bounds(low=1, expected=0.98, high=0.3))
        without, found = (
            made(caching=replace(part, warm_up_usd=Decimal(usd))).cost_usd for usd in ("0", "0.0123456789")
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
    Requests of any sizes and texts, as a run may have them.

    :param frame: bytes and tokens of the part that is the same in every request
    :param bytes: of each request, by id
    :param tokens: of each request, by a tokenizer of the test's own
    """

    frame: tuple[int, int]
    bytes: dict[str, int]
    tokens: dict[str, int]

    @classmethod
    def of(cls, texts: Sequence[tuple[int, float]], *, frame: tuple[int, int] = (0, 0)) -> Mixture:
        """Requests of texts with so many bytes, and so many tokens for each byte."""
        ids = [request_id(f"{number}".encode()) for number in range(len(texts))]
        tokens = (frame[1] + min(math.ceil(size * per_byte), size) for size, per_byte in texts)
        sizes = (frame[0] + size for size, _ in texts)
        return cls(frame=frame, bytes=dict(zip(ids, sizes, strict=True)), tokens=dict(zip(ids, tokens, strict=True)))

    @classmethod
    def drawn(cls, draw: Random, kinds: Sequence[tuple[float, int, float, float]], *, requests: int) -> Mixture:
        """
        Requests of some kinds of text.

        :param kinds: weight, typical bytes, spread of the bytes and tokens of a byte, for each
        """
        texts = [
            (max(1, min(round(typical * math.exp(spread * draw.gauss(0, 1))), 3_000_000)), per_byte)
            for _, typical, spread, per_byte in draw.choices(kinds, [kind[0] for kind in kinds], k=requests)
        ]
        frame = draw.choice([0, 150, 24_000])
        return cls.of(texts, frame=(frame, math.ceil(frame * draw.choice([0.15, 0.25, 0.4]))))

    def billed_and_high(self, sent: Sequence[str], *, answer: int = 20) -> tuple[Decimal, Decimal]:
        """What some of the requests cost, and their high estimate."""
        chosen = list(choose_sample(sizes_of(self.bytes)))
        sample = counted(
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
            caching=None,
        ).cost_usd
        assert found
        assert found.low <= found.expected <= found.high
        return sum((billed(self.tokens[name], answer) for name in sent), Decimal(0)), found.high


def billed(prompt: int, answer: int) -> Decimal:
    rates = prices().per_token(LONG_PRICED, long=prompt > prices().long_above(LONG_PRICED))
    assert rates
    return rates["input_tokens"] * prompt + rates["output_tokens"] * answer


#: Tokens of a byte: a long run of one character, prose, Chinese, digits, and each byte a token.
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
    def test_it_holds_where_a_mean_prompt_tells_little(self, texts: list[tuple[int, float]]) -> None:
        mixture = Mixture.of(texts)
        cost, high = mixture.billed_and_high(list(mixture.bytes))
        assert cost <= high < 3 * cost

    @IN_A_FEW_SECONDS
    @given(kinds=KINDS, requests=st.sampled_from([1, 7, 201, 400]), seed=st.integers(0, 2**32))
    def test_it_holds_for_any_mixture_of_sizes_and_texts_and_any_part_of_it(
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
    def test_it_holds_where_only_the_sum_of_the_bytes_and_a_sample_of_short_ones_are_known(
        self, short: list[int], long: list[int], per_byte: float, named: bool
    ) -> None:
        sizes = short + long
        tokens = [math.ceil(size * per_byte) for size in sizes]
        found = estimate(
            model=LONG_PRICED,
            requests=len(sizes),
            size=sum(sizes),
            sample=counted(list(zip(sizes, tokens, strict=True))[: min(len(short), 20)], prefix_tokens=0)
            if named
            else None,
            known=History(),
            output=(Bounds(low=20, expected=20, high=20), "known"),
            caching=None,
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
    def test_params_have_no_fewer_bytes_than_their_text_which_has_no_more_tokens_than_bytes(self, text: str) -> None:
        sizes = {"r": len(msgspec.json.encode({"messages": [{"role": "user", "content": text}]}))}
        worst = len(text.encode())
        found = made(requests=1, size=sizes["r"], sizes=sizes_of(sizes), sample=None).input_tokens
        assert worst <= found.high

    def test_a_million_sizes_take_some_megabytes(self) -> None:
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
    def test_whether_the_output_format_belongs_to_it_is_not_known(self) -> None:
        assert [*prefix_size(SAMPLE, PrefixSize(system_bytes=0, format_bytes=0))] == pytest.approx([80, 103])
        expected, most = prefix_size(None, PrefixSize(system_bytes=700, format_bytes=300))
        assert (round(expected), most) == (200, 1_000)


class TestHits:
    def test_earlier_batches_know_best(self) -> None:
        known = Bounds(low=0.9, expected=0.8, high=0.3)
        assert estimate_cache_hits(known, warms=False, warmed=True) == known

    def test_the_canary_writes(self) -> None:
        assert estimate_cache_hits(Bounds(low=1, expected=1, high=1), warms=True, warmed=True).expected == 0

    def test_a_canary_makes_the_main_pass_read(self) -> None:
        warm, cold = (estimate_cache_hits(None, warms=False, warmed=warmed) for warmed in (True, False))
        assert warm.expected > 0.9 > 0.5 > cold.expected

    def test_the_bounds_are_those_of_the_cost(self) -> None:
        for hits in (
            estimate_cache_hits(None, warms=warms, warmed=warmed) for warms in (False, True) for warmed in (False, True)
        ):
            assert hits.low >= hits.expected >= hits.high


class TestExperience:
    def test_it_is_what_earlier_batches_of_the_model_had(self) -> None:
        known = summarise_history(book(answer(10), answer(20)), model=MODEL, run_id="other")
        assert known.output_tokens
        assert known.tokens_per_byte
        assert (known.output_tokens.expected, known.tokens_per_byte.expected) == (15, 0.25)

    def test_an_alias_is_answered_by_its_snapshot(self) -> None:
        lines = book(answer(10, model=f"{MODEL}-20251001"))
        assert summarise_history(lines, model=MODEL, run_id="other").output_tokens

    def test_the_answers_of_the_runs_own_canary_are_known_one_by_one(self) -> None:
        lines = book(answer(10), pass_name="canary", run_id="r")
        assert summarise_history(lines, model=MODEL, run_id="r").output_tokens is None
        assert summarise_history(lines, model=MODEL, run_id="r").tokens_per_byte
        assert summarise_history(lines, model=MODEL, run_id="other").output_tokens

    def test_a_warm_up_is_like_no_rows_request(self) -> None:
        lines = book(answer(1), pass_name="warm-up")
        assert summarise_history(lines, model=MODEL, run_id="other") == History()

    def test_other_models_say_nothing(self) -> None:
        assert summarise_history(book(answer(10)), model="claude-haiku-5-5", run_id="other") == History()

    def test_a_batch_of_which_nothing_was_answered_says_nothing(self) -> None:
        lines = book(Outcome(request_id="r", outcome="expired"))
        assert summarise_history(lines, model=MODEL, run_id="other") == History()

    def test_the_reads_of_a_canary_are_not_those_of_what_follows(self) -> None:
        read = answer(cache_read_tokens=900, cache_write_1h_tokens=100)
        assert summarise_history(book(read, pass_name="canary"), model=MODEL, run_id="other").hits is None
        hits = summarise_history(book(read), model=MODEL, run_id="other").hits
        assert hits
        assert hits.expected == 0.9

    def test_several_batches_tell_how_much_is_read_at_the_least(self) -> None:
        read = answer(cache_read_tokens=900, cache_write_1h_tokens=100)
        few, several = (
            summarise_history(pa.concat_tables([book(read)] * count), model=MODEL, run_id="other").hits
            for count in (2, 3)
        )
        assert few
        assert several
        assert few.high == 0.3
        assert several.high == pytest.approx(0.72)

    def test_an_upper_bound_is_no_experience(self) -> None:
        assert summarise_history(book(answer(1_000_000, upper_bound=True)), model=MODEL, run_id="other") == History()

    def test_batches_that_differ_make_it_less_sure(self) -> None:
        alike, different = (
            summarise_history(
                pa.concat_tables([book(answer(one)), book(answer(other))]), model=MODEL, run_id="other"
            ).output_tokens
            for one, other in ((100, 100), (50, 150))
        )
        assert alike
        assert different
        assert alike.high == 120 < 200 < different.high


def test_the_table_has_a_line_for_each_pass_and_how_it_is_known() -> None:
    told = cost_table({"canary": made(requests=5, size=20_000), "main": made()})
    assert next(line for line in told.splitlines() if "together" in line).split()[:2] == ["together", "1,005"]
    assert "1,000" in told
    assert "0.5250" in told
    assert "main: prompts: counted in 200 of them" in told
