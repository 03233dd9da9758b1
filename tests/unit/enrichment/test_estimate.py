"""estimate.py: what a pass will cost, told before it is sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from include.enrichment.chunk import body_bytes
from include.enrichment.estimate import (
    Bounds,
    CachedPart,
    Counted,
    Estimate,
    Experience,
    cost_table,
    counted,
    estimate,
    experience,
    hits_of,
    output_of,
    share_of,
)
from include.enrichment.outcome import Outcome, outcomes_batch
from include.enrichment.usage import BatchFacts, booked, used
from tests.fixtures.usage import facts_of

MODEL = "claude-haiku-4-5"  # $1 for a million tokens of input, $5 of output; half of it in a batch
SAMPLE = Counted(requests=20, fixed=100, per_byte=0.25, error=1, prefix_tokens=80)
TEN = (Bounds(low=8, expected=10, high=12), "as in earlier batches")


def made(**changes: Any) -> Estimate:
    given: dict[str, Any] = {
        "model": MODEL,
        "requests": 1_000,
        "size": 4_000_000,
        "sample": SAMPLE,
        "known": Experience(),
        "output": TEN,
        "caching": None,
    }
    return estimate(**given | changes)


def book(*outcomes: Outcome, **facts: Any) -> pa.Table:
    known = vars(facts_of()) | {"body_bytes": body_bytes(["x" * 22] * len(outcomes), 1_000 * len(outcomes))} | facts
    return booked(BatchFacts(**known), used(outcomes_batch(outcomes)))


def answer(output_tokens: int = 10, *, model: str = MODEL, **tokens: int) -> Outcome:
    used: dict[str, Any] = {"input_tokens": 250} | tokens
    return Outcome(request_id="r", outcome="succeeded", model=model, output_tokens=output_tokens, **used)


class TestCounted:
    def test_what_all_requests_share_and_what_each_byte_adds_are_told_apart(self) -> None:
        found = counted([(1_000 + 4 * n, 500 + n) for n in (0, 10, 200, 1_000)], prefix_tokens=0)
        assert [found.fixed, found.per_byte] == pytest.approx([250, 0.25])
        assert found.error == pytest.approx(0, abs=1e-6)

    @pytest.mark.parametrize("sample", [[(400, 100)], [(400, 100), (400, 100), (400, 100)]])
    def test_requests_of_one_size_give_a_ratio(self, sample: list[tuple[int, int]]) -> None:
        found = counted(sample, prefix_tokens=0)
        assert (found.fixed, found.per_byte) == (0, 0.25)

    def test_the_error_falls_with_the_size_of_the_sample(self) -> None:
        few, many = ([(400, 90), (400, 110)] * times for times in (2, 50))
        assert counted(many, prefix_tokens=0).error < counted(few, prefix_tokens=0).error / 4

    def test_a_single_request_says_little(self) -> None:
        assert counted([(400, 100)], prefix_tokens=0).error == 10


class TestTokens:
    def test_the_prompts_tokens_are_those_of_the_sample_for_all_bytes(self) -> None:
        found = made()
        assert found.input_tokens.expected == 1_000 * 100 + 1_000_000
        assert (found.requests, found.bytes, found.output_tokens.expected) == (1_000, 4_000_000, 10_000)

    def test_a_count_is_an_estimate_itself(self) -> None:
        found = made(sample=SAMPLE.model_copy(update={"error": 0})).input_tokens
        assert [found.low, found.high] == pytest.approx([1_100_000 * 0.97, 1_100_000 * 1.03])

    def test_without_a_count_earlier_batches_tell(self) -> None:
        known = Experience(tokens_per_byte=Bounds(low=0.2, expected=0.3, high=0.4))
        found = made(sample=None, known=known)
        assert found.input_tokens.expected == 1_200_000
        assert "prompts: as in earlier batches" in found.sources

    def test_where_nothing_is_known_a_rule_of_thumb_tells_within_wide_bounds(self) -> None:
        found = made(sample=None)
        assert (found.input_tokens.low, found.input_tokens.high) == (800_000, 1_600_000)
        assert "not counted" in found.sources


class TestOutput:
    def test_where_nothing_is_known_the_ceiling_is_expected(self) -> None:
        bounds, source = output_of([], None, requests=10_000, max_tokens=300)
        assert (bounds.low, bounds.expected, bounds.high) == (0, 300, 300)
        assert "max_tokens" in source

    def test_the_canary_tells_within_what_so_few_answers_can_tell(self) -> None:
        bounds, _ = output_of([90, 100, 110, 100, 100], None, requests=10_000, max_tokens=300)
        assert (bounds.expected, bounds.low < 90, bounds.high > 110) == (100, True, True)

    def test_where_earlier_batches_agree_with_the_canary_they_are_more_exact(self) -> None:
        earlier = Bounds(low=80, expected=97, high=120)
        found = output_of([90, 100, 110, 100, 100], earlier, requests=10_000, max_tokens=300)[0]
        assert found.expected == 97
        assert [found.low, found.high] == pytest.approx([74, 120], abs=1)

    def test_the_average_of_a_few_answers_may_be_further_off(self) -> None:
        for earlier in (None, Bounds(low=80, expected=97, high=120)):
            few, many = (
                output_of([50, 100, 150, 100, 100], earlier, requests=requests, max_tokens=900)[0].high
                for requests in (4, 10_000)
            )
            assert few > many + 20

    def test_where_they_do_not_the_prompt_has_changed_and_the_canary_is_right(self) -> None:
        earlier = Bounds(low=20, expected=30, high=40)
        assert output_of([90, 100, 110, 100, 100], earlier, requests=10_000, max_tokens=300)[0].expected == 100

    def test_no_answer_is_longer_than_it_may_be(self) -> None:
        assert output_of([], Bounds(low=100, expected=280, high=400), requests=10_000, max_tokens=250)[0].high == 250


class TestCost:
    def test_it_is_the_tokens_at_the_price_of_a_batch(self) -> None:
        found = made().cost_usd
        assert found
        assert found.expected == Decimal("0.55") + Decimal("0.025")
        assert found.low < found.expected < found.high

    def test_at_once_and_without_a_cache_it_is_twice_as_much(self) -> None:
        assert made().synchronous_usd == Decimal("1.15")

    def test_a_model_without_a_price_has_no_cost_and_tokens_all_the_same(self) -> None:
        found = made(model="claude-of-tomorrow")
        assert (found.cost_usd, found.synchronous_usd) == (None, None)
        assert found.input_tokens.expected == 1_100_000
        assert "not known" in cost_table({"main": found})

    def test_a_long_prompt_has_its_own_price(self) -> None:
        short, long = (
            made(model="claude-haiku-5-5", requests=n, size=4_000_000, sample=SAMPLE).cost_usd for n in (1_000, 5)
        )
        assert short
        assert long
        assert long.expected > 4 * short.expected

    def test_what_is_read_from_the_cache_costs_a_tenth_and_what_is_written_for_an_hour_twice(self) -> None:
        hits = Bounds(low=1, expected=0.5, high=0)
        cached = made(caching=CachedPart(write="write_1h", tokens=1_000, hits=hits)).cost_usd
        assert cached
        prefix = {"low": 0.05, "expected": 0.525, "high": 1.0}  # dollars, for a million tokens
        rest = made(size=0, sample=SAMPLE).cost_usd
        assert rest
        assert cached.expected == rest.expected + Decimal(str(prefix["expected"]))
        assert cached.low < cached.expected < cached.high

    def test_a_share_of_it_is_rounded_up(self) -> None:
        whole = made(requests=3, size=10)
        share = share_of(whole, requests=1)
        assert share
        assert whole.cost_usd
        assert 3 * share >= whole.cost_usd.expected

    def test_no_requests_cost_nothing(self) -> None:
        found = made(requests=0, size=0)
        assert found.cost_usd
        assert found.cost_usd.high == 0
        assert share_of(found, requests=0) is None


class TestHits:
    def test_earlier_batches_know_best(self) -> None:
        known = Bounds(low=0.9, expected=0.8, high=0.3)
        assert hits_of(known, warms=False, warmed=True) == known

    def test_the_canary_writes(self) -> None:
        assert hits_of(Bounds(low=1, expected=1, high=1), warms=True, warmed=True).expected == 0

    def test_a_canary_makes_the_main_pass_read(self) -> None:
        warm, cold = (hits_of(None, warms=False, warmed=warmed) for warmed in (True, False))
        assert warm.expected > 0.9 > 0.5 > cold.expected

    def test_the_bounds_are_those_of_the_cost(self) -> None:
        for hits in (hits_of(None, warms=warms, warmed=warmed) for warms in (False, True) for warmed in (False, True)):
            assert hits.low >= hits.expected >= hits.high


class TestExperience:
    def test_it_is_what_earlier_batches_of_the_model_had(self) -> None:
        known = experience(book(answer(10), answer(20)), model=MODEL, run_id="other")
        assert known.output_tokens
        assert known.tokens_per_byte
        assert (known.output_tokens.expected, known.tokens_per_byte.expected) == (15, 0.25)

    def test_an_alias_is_answered_by_its_snapshot(self) -> None:
        lines = book(answer(10, model=f"{MODEL}-20251001"))
        assert experience(lines, model=MODEL, run_id="other").output_tokens

    def test_the_answers_of_the_runs_own_canary_are_known_one_by_one(self) -> None:
        lines = book(answer(10), pass_name="canary", run_id="r")
        assert experience(lines, model=MODEL, run_id="r").output_tokens is None
        assert experience(lines, model=MODEL, run_id="r").tokens_per_byte
        assert experience(lines, model=MODEL, run_id="other").output_tokens

    def test_a_warm_up_is_like_no_rows_request(self) -> None:
        lines = book(answer(1), pass_name="warm-up")
        assert experience(lines, model=MODEL, run_id="other") == Experience()

    def test_other_models_say_nothing(self) -> None:
        assert experience(book(answer(10)), model="claude-haiku-5-5", run_id="other") == Experience()

    def test_a_batch_of_which_nothing_was_answered_says_nothing(self) -> None:
        lines = book(Outcome(request_id="r", outcome="expired"))
        assert experience(lines, model=MODEL, run_id="other") == Experience()

    def test_the_reads_of_a_canary_are_not_those_of_what_follows(self) -> None:
        read = answer(cache_read_tokens=900, cache_write_1h_tokens=100)
        assert experience(book(read, pass_name="canary"), model=MODEL, run_id="other").hits is None
        hits = experience(book(read), model=MODEL, run_id="other").hits
        assert hits
        assert hits.expected == 0.9

    def test_batches_that_differ_make_it_less_sure(self) -> None:
        alike, different = (
            experience(
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
    assert "0.5750" in told
    assert "main: prompts: counted in 20 of them" in told
