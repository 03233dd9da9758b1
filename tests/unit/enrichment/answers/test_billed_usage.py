"""The price of an answer that several calls gave depends on each of them, not on their sum."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from include.enrichment.answers.billed_usage import is_long_prompt
from include.enrichment.answers.outcome import decode_line, judge, outcomes_batch
from include.enrichment.answers.schema.output import TextOutput
from include.enrichment.batches.usage import billed_usd, sum_usage
from include.enrichment.cost.prices import costs_usd

HAIKU = "claude-haiku-5-5"


def usage(*prompts: int) -> dict[str, object]:
    """The usage of an agent's row with these prompts, each answered with 10 tokens."""
    calls = [{"type": "message", "input_tokens": prompt, "output_tokens": 10} for prompt in prompts]
    return {
        "input_tokens": sum(prompts),
        "output_tokens": 10 * len(prompts),
        "service_tier": "standard",
        "iterations": calls,
    }


@pytest.mark.parametrize(
    ("prompts", "long"), [((60_000, 70_000), False), ((100_001, 110_000), True), ((130_000,), None)]
)
def test_the_calls_tell_and_not_their_sum(prompts: tuple[int, ...], long: bool | None) -> None:
    assert is_long_prompt(HAIKU, usage(*prompts)) is long


@pytest.mark.parametrize("malformed", [None, [], {"iterations": 3}, {"iterations": [1, "x"]}, {"iterations": [{}, {}]}])
def test_malformed_calls_do_no_harm(malformed: object) -> None:
    assert not is_long_prompt(HAIKU, malformed)


def test_two_calls_below_the_price_step_cost_what_they_cost_alone() -> None:
    message = {
        "model": HAIKU,
        "content": [{"type": "text", "text": "yes"}],
        "stop_reason": "end_turn",
        "usage": usage(60_000, 70_000),
    }
    line = json.dumps({"custom_id": "r", "result": {"type": "succeeded", "message": message}}).encode()
    outcomes = outcomes_batch([judge(decode_line(line), TextOutput())])
    cost = 130_000 * Decimal("0.0000001") + 20 * Decimal("0.0000005")
    assert billed_usd(outcomes).to_pylist() == [cost]
    assert costs_usd(sum_usage(outcomes)).to_pylist() == [cost]
