"""When an agent must stop."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from include.enrichment.agent.limits import Spent, passes_price_step, reached, repeats_a_failure
from include.enrichment.agent.settings import RowLimits
from include.enrichment.agent.transcript import Call

HAIKU = "claude-haiku-5-5"
AT = datetime(2026, 12, 1, tzinfo=UTC)


def test_a_turn_costs_the_synchronous_price_of_its_own_prompt() -> None:
    spent = Spent()
    spent.add_turn({"model": HAIKU, "usage": {"input_tokens": 100_000, "output_tokens": 10}})
    assert spent.usd == Decimal("0.010005")
    spent.add_turn({"model": HAIKU, "usage": {"input_tokens": 100_001, "output_tokens": 10}})
    assert spent.usd == Decimal("0.010005") + Decimal("0.0500255")


def test_a_model_without_a_price_has_no_dollars_to_spend() -> None:
    spent = Spent()
    spent.add_turn({"model": "claude-unknown", "usage": {"input_tokens": 1, "output_tokens": 1}})
    assert reached(spent, RowLimits()) == "$0.5000 (the model has no price in prices.yaml)"


def test_calls_that_would_exceed_the_limit_are_not_made() -> None:
    limits = RowLimits(tool_calls=2)
    assert reached(Spent(tool_calls=1), limits, more_calls=1) is None
    assert reached(Spent(tool_calls=1), limits, more_calls=2) == "2 tool calls"


def test_only_equal_failures_count() -> None:
    spent = Spent()
    for content in ("The tool failed with A.", "The tool failed with B."):
        for _ in range(2):
            spent.add_call(Call(fingerprint="f", tool="t", input={}, content=content, is_error=True, at=AT))
    assert repeats_a_failure(spent) is None
    spent.add_call(Call(fingerprint="f", tool="t", input={}, content=content, is_error=True, at=AT))
    assert repeats_a_failure(spent)


def test_a_turn_that_could_cross_the_price_step_is_found_and_one_beyond_it_goes_on() -> None:
    def after(prompt: int, added: int) -> str | None:
        return passes_price_step({"model": HAIKU, "usage": {"input_tokens": prompt, "output_tokens": 0}}, added)

    assert after(90_000, 9_000) is None
    assert after(90_000, 9_001)
    assert after(100_001, 1_000_000) is None
    assert passes_price_step({"model": "claude-opus-5-5", "usage": {"input_tokens": 900_000}}, 90_000) is None
