"""history.py: what the usage records of earlier batches say about the next ones."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from include.enrichment.answers.outcome import Outcome, outcomes_batch
from include.enrichment.batches.usage import BatchFacts, make_usage_record, sum_usage
from include.enrichment.cost.history import History, summarise_history
from include.enrichment.requests.chunk import body_bytes
from tests.fixtures.usage import facts_of

MODEL = "claude-haiku-4-5"


def record(*outcomes: Outcome, **facts: Any) -> pa.Table:
    known = vars(facts_of()) | {"body_bytes": body_bytes(["x" * 22] * len(outcomes), 1_000 * len(outcomes))} | facts
    return make_usage_record(BatchFacts(**known), sum_usage(outcomes_batch(outcomes)))


def answer(output_tokens: int = 10, *, model: str = MODEL, **tokens: int) -> Outcome:
    counts: dict[str, Any] = {"input_tokens": 250} | tokens
    return Outcome(request_id="r", outcome="succeeded", model=model, output_tokens=output_tokens, **counts)


def test_history_averages_earlier_batches_of_the_model() -> None:
    known = summarise_history(record(answer(10), answer(20)), model=MODEL, run_id="other")
    assert known.output_tokens
    assert known.tokens_per_byte
    assert (known.output_tokens.expected, known.tokens_per_byte.expected) == (15, 0.25)


def test_the_snapshot_of_an_alias_counts() -> None:
    records = record(answer(10, model=f"{MODEL}-20251001"))
    assert summarise_history(records, model=MODEL, run_id="other").output_tokens


def test_the_runs_own_canary_is_left_out_of_the_answers() -> None:
    records = record(answer(10), pass_name="canary", run_id="r")
    assert summarise_history(records, model=MODEL, run_id="r").output_tokens is None
    assert summarise_history(records, model=MODEL, run_id="r").tokens_per_byte
    assert summarise_history(records, model=MODEL, run_id="other").output_tokens


def test_warm_ups_are_left_out() -> None:
    records = record(answer(1), pass_name="warm-up")
    assert summarise_history(records, model=MODEL, run_id="other") == History()


def test_other_models_are_left_out() -> None:
    assert summarise_history(record(answer(10)), model="claude-haiku-5-5", run_id="other") == History()


def test_a_batch_without_answers_is_left_out() -> None:
    records = record(Outcome(request_id="r", outcome="expired"))
    assert summarise_history(records, model=MODEL, run_id="other") == History()


def test_the_cache_reads_of_a_canary_are_left_out() -> None:
    read = answer(cache_read_tokens=900, cache_write_1h_tokens=100)
    assert summarise_history(record(read, pass_name="canary"), model=MODEL, run_id="other").hits == {}
    assert summarise_history(record(read), model=MODEL, run_id="other").hits["batch"].expected == 0.9


def test_each_mode_has_cache_reads_of_its_own_and_both_have_the_same_answers() -> None:
    read = answer(40, cache_read_tokens=900, cache_write_1h_tokens=100)
    other = answer(20, cache_read_tokens=100, cache_write_1h_tokens=100)
    records = [record(read, mode="synchronous"), record(other, mode="batch"), record(other)]
    known = summarise_history(pa.concat_tables(records), model=MODEL, run_id="other")
    assert {mode: found.expected for mode, found in known.hits.items()} == {"batch": 0.5, "synchronous": 0.9}
    assert known.output_tokens
    assert known.output_tokens.expected == pytest.approx(80 / 3)


def test_several_batches_set_the_lowest_hit_rate() -> None:
    read = answer(cache_read_tokens=900, cache_write_1h_tokens=100)
    few, several = (
        summarise_history(pa.concat_tables([record(read)] * count), model=MODEL, run_id="other").hits["batch"]
        for count in (2, 3)
    )
    assert few.high == 0.3
    assert several.high == pytest.approx(0.72)


def test_upper_bounds_are_left_out() -> None:
    assert summarise_history(record(answer(1_000_000, upper_bound=True)), model=MODEL, run_id="other") == History()


def test_batches_that_differ_widen_the_bounds() -> None:
    alike, different = (
        summarise_history(
            pa.concat_tables([record(answer(one)), record(answer(other))]), model=MODEL, run_id="other"
        ).output_tokens
        for one, other in ((100, 100), (50, 150))
    )
    assert alike
    assert different
    assert alike.high == 120 < 200 < different.high


class TestVariants:
    """A variant learns from its own batches. One that has none learns from the others of its model."""

    RECORDS = (record(answer(10), variant="current"), record(answer(500), variant="candidate"), record(answer(30)))

    def expected(self, *, variant: str, run_id: str = "other") -> float:
        found = summarise_history(pa.concat_tables(self.RECORDS), model=MODEL, run_id=run_id, variant=variant)
        assert found.output_tokens
        return found.output_tokens.expected

    def test_its_own_answers_count_before_those_of_the_model(self) -> None:
        assert (self.expected(variant="current"), self.expected(variant="candidate")) == (10, 500)

    @pytest.mark.parametrize("variant", ["new", ""], ids=["new", "none"])
    def test_without_answers_of_its_own_those_of_the_model_count(self, variant: str) -> None:
        assert self.expected(variant=variant) == 180

    def test_a_variant_that_has_only_the_canary_of_this_run_learns_from_the_model(self) -> None:
        records = [record(answer(40), pass_name="canary", variant="new"), *self.RECORDS]
        found = summarise_history(pa.concat_tables(records), model=MODEL, run_id="r", variant="new")
        assert found.output_tokens
        assert found.output_tokens.expected == 180
