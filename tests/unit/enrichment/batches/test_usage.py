"""usage.py: the usage record of a batch."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from include.enrichment.answers.billed_usage import MOST_TOKENS
from include.enrichment.answers.outcome import Outcome, OutcomeName, outcomes_batch
from include.enrichment.batches.usage import (
    USAGE_SCHEMA,
    BatchFacts,
    count_outcomes,
    make_usage_record,
    oldest_first,
    sum_usage,
    supersedes,
    total_usd,
)
from include.enrichment.cost.prices import MOST_USD, TOKEN_RATES
from tests.fixtures.usage import facts_of

FACTS = facts_of("msgbatch_1", pipeline="tickets", run_id="manual__1")
#: A million tokens of Haiku 4.5 cost 1 dollar as input and 5 as output; all is half in a batch.
USED: dict[str, Any] = {"model": "claude-haiku-4-5", "input_tokens": 1_000, "output_tokens": 200}
COST = Decimal("0.001")


def outcome(kind: OutcomeName, **fields: Any) -> Outcome:
    return Outcome(request_id="r", outcome=kind, **fields)


def line(*outcomes: Outcome, facts: BatchFacts = FACTS) -> dict[str, Any]:
    made = make_usage_record(facts, sum_usage(outcomes_batch(outcomes)))
    assert made.schema == USAGE_SCHEMA
    (found,) = made.to_pylist()
    return dict(found)


def test_a_usage_record_has_the_facts_of_its_batch() -> None:
    found = line(outcome("succeeded", **USED))
    assert {name: found[name] for name in ("batch_id", "pipeline", "partition", "pass_name", "run_id")} == {
        "batch_id": "msgbatch_1",
        "pipeline": "tickets",
        "partition": "2026-11-21",
        "pass_name": "main",
        "run_id": "manual__1",
    }
    assert (found["created_at"], found["body_bytes"]) == (FACTS.created_at, 4_000)


def test_the_usage_of_the_parts_is_the_usage_of_the_batch() -> None:
    dear = {"model": "claude-opus-5-5", "output_tokens": 7}
    outcomes = [outcome("succeeded", **USED), outcome("errored"), outcome("invalid", **dear), outcome("succeeded")]
    parts = [sum_usage(outcomes_batch(some)) for some in ([], outcomes[:1], outcomes[1:])]
    whole = sum_usage(outcomes_batch(outcomes))
    assert make_usage_record(FACTS, pa.concat_tables(parts)) == make_usage_record(FACTS, whole)
    assert (
        count_outcomes(pa.concat_tables(parts)) == count_outcomes(whole) == {"succeeded": 2, "errored": 1, "invalid": 1}
    )


def test_outcomes_are_counted_and_billed_usage_is_summed() -> None:
    kinds: list[OutcomeName] = ["invalid", "errored", "expired", "canceled", "missing"]
    found = line(outcome("succeeded", **USED), outcome("succeeded", **USED), *(outcome(kind) for kind in kinds[1:]))
    assert (found["requests"], found["succeeded"], found["invalid"]) == (6, 2, 0)
    assert [found[kind] for kind in kinds] == [0, 1, 1, 1, 1]
    assert (found["input_tokens"], found["output_tokens"], found["cost_usd"]) == (2_000, 400, 2 * COST)


def test_the_cost_of_unusable_answers_is_recorded_separately() -> None:
    found = line(outcome("succeeded", **USED), outcome("invalid", **USED))
    assert (found["cost_usd"], found["unusable_usd"]) == (2 * COST, COST)


def test_the_synchronous_cost_is_recorded() -> None:
    cached = USED | {"input_tokens": 0, "cache_read_tokens": 1_000}
    found = line(outcome("succeeded", **cached))
    assert (found["cost_usd"], found["synchronous_usd"]) == (Decimal("0.00055"), Decimal("0.002"))


def test_one_unknown_price_makes_the_cost_of_the_batch_unknown() -> None:
    found = line(outcome("succeeded", **USED), outcome("succeeded", **USED | {"model": "claude-of-tomorrow"}))
    assert (found["cost_usd"], found["synchronous_usd"], found["unusable_usd"]) == (None, None, Decimal(0))
    assert (found["model"], found["input_tokens"]) == ("claude-haiku-4-5, claude-of-tomorrow", 2_000)


def test_an_unreadable_paid_line_has_no_known_cost() -> None:
    assert line(outcome("invalid", reason="its result line cannot be read"))["cost_usd"] is None


def test_upper_bounds_are_counted() -> None:
    bound = outcome("invalid", **USED, upper_bound=True)
    found = line(outcome("succeeded", **USED), bound, bound)
    assert (found["requests"], found["upper_bounds"], found["cost_usd"]) == (3, 2, 3 * COST)
    assert line(outcome("succeeded", **USED))["upper_bounds"] == 0
    assert line()["upper_bounds"] == 0


def test_absurd_token_counts_are_recorded_as_the_largest_amount() -> None:
    claims = outcome("invalid", **dict.fromkeys(TOKEN_RATES, MOST_TOKENS), model="claude-opus-4-5")
    found = line(*[claims] * 4_000)
    assert (found["cost_usd"], found["unusable_usd"]) == (MOST_USD, MOST_USD)
    assert found["output_tokens"] == 4_000 * MOST_TOKENS
    parts = [sum_usage(outcomes_batch([claims] * 400))] * 40
    assert make_usage_record(FACTS, pa.concat_tables(parts))["cost_usd"].to_pylist() == [MOST_USD]


def test_outcomes_of_an_earlier_version_have_no_upper_bounds() -> None:
    outcomes = outcomes_batch([outcome("succeeded", **USED)])
    number = outcomes.schema.get_field_index("upper_bound")
    nulls = outcomes.set_column(number, outcomes.schema.field(number), pa.nulls(1, pa.bool_()))
    assert make_usage_record(FACTS, sum_usage(nulls)) == make_usage_record(FACTS, sum_usage(outcomes))


class TestSupersedes:
    """Which of two usage records of a batch is kept."""

    RECORDED = line(outcome("succeeded", **USED), outcome("missing"))

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({"missing": 0, "succeeded": 2, "cost_usd": 2 * COST}, id="a missing line has come"),
            pytest.param({"missing": 0, "invalid": 1, "upper_bounds": 1, "cost_usd": 9 * COST}, id="and is garbled"),
            pytest.param({"output_tokens": 201, "cost_usd": COST + 1}, id="an answer tells more tokens"),
            pytest.param({"succeeded": 2, "cost_usd": COST}, id="a garbled answer has come whole"),
        ],
    )
    def test_a_more_complete_record_replaces_the_recorded_one(self, changes: dict[str, Any]) -> None:
        assert supersedes(self.RECORDED | changes, recorded=self.RECORDED)
        assert not supersedes(self.RECORDED, recorded=self.RECORDED | changes)

    def test_an_exact_count_replaces_an_upper_bound(self) -> None:
        bound = line(
            outcome("succeeded", **USED), outcome("invalid", **USED | {"output_tokens": 9_999}, upper_bound=True)
        )
        exact = line(outcome("succeeded", **USED), outcome("succeeded", **USED))
        assert exact["cost_usd"] < bound["cost_usd"]
        assert supersedes(exact, recorded=bound)
        assert not supersedes(bound, recorded=exact)

    def test_a_known_cost_replaces_an_unknown_one(self) -> None:
        unknown = self.RECORDED | {"cost_usd": None}
        assert supersedes(self.RECORDED, recorded=unknown)
        assert not supersedes(unknown, recorded=self.RECORDED)
        assert not supersedes(unknown, recorded=unknown)

    def test_a_changed_price_replaces_nothing(self) -> None:
        assert not supersedes(self.RECORDED | {"cost_usd": 2 * COST}, recorded=self.RECORDED)

    def test_a_record_of_an_earlier_version_can_be_compared(self) -> None:
        assert not supersedes(self.RECORDED, recorded=self.RECORDED | {"upper_bounds": None})


def test_a_batch_without_answers_costs_nothing() -> None:
    found = line(outcome("canceled"), outcome("expired"))
    assert (found["cost_usd"], found["synchronous_usd"], found["model"]) == (0, 0, None)


def test_the_requests_of_a_retry_pass_count_as_retried() -> None:
    retry = replace(FACTS, pass_name="retry_2")
    assert line(outcome("succeeded", **USED), facts=retry)["retried"] == 1


def test_batch_facts_survive_in_the_metadata_of_the_outcomes() -> None:
    known = {"batch_id": "msgbatch_1", "pipeline": "tickets"}
    assert BatchFacts.from_metadata(FACTS.to_metadata(), **known) == FACTS
    asked = replace(FACTS, mode="synchronous", ended_at=FACTS.created_at + timedelta(minutes=3))
    own = replace(FACTS, partition=None, pass_name=None, run_id=None, body_bytes=None)
    for facts in (asked, own):
        assert BatchFacts.from_metadata(facts.to_metadata(), **known) == facts
    assert BatchFacts.from_metadata({"version": "1", "run_id": "manual__1"}, **known) is None


def test_a_sum_with_an_unknown_cost_is_unknown() -> None:
    assert total_usd([COST, COST]) == 2 * COST
    assert total_usd([COST, None]) is None
    assert total_usd([]) == 0


def test_the_oldest_batch_comes_first_whatever_its_id() -> None:
    early, late = facts_of("b2"), replace(facts_of("b1"), created_at=facts_of().created_at + timedelta(hours=1))
    known = {"b1": late, "b2": early, "b3": early, "unknown": None}
    assert list(oldest_first(known)) == ["unknown", "b2", "b3", "b1"]


def test_a_usage_record_names_the_variant_if_there_is_one() -> None:
    assert line()["variant"] is None
    of_variant = replace(FACTS, variant="candidate")
    assert line(facts=of_variant)["variant"] == "candidate"
    assert BatchFacts.from_metadata(of_variant.to_metadata(), batch_id="msgbatch_1", pipeline="tickets") == of_variant
    assert "variant" not in FACTS.to_metadata()
