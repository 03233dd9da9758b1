from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from include.enrichment.cost.bounds import Bounds, Usd
from include.enrichment.cost.estimate import Estimate
from include.enrichment.errors import BudgetExceeded
from include.steps.evaluating.cost_lines import Part, check_parts, cost_lines


def estimate(expected: str | None, high: str = "0", *, low: str = "0") -> Estimate:
    cost = expected and Usd(low=Decimal(low), expected=Decimal(expected), high=Decimal(high))
    tokens = Bounds(low=1, expected=1, high=1)
    return Estimate(
        requests=1,
        bytes=1,
        input_tokens=tokens,
        output_tokens=tokens,
        sources="",
        cost_usd=cost or None,
        synchronous_usd=None,
    )


def part(pipeline: str, *estimates: Estimate | None, answered: int = 0, rough: bool = False) -> Part:
    return Part(pipeline=pipeline, what="9 answers", requests=9, answered=answered, estimates=estimates, rough=rough)


def test_each_pipeline_and_the_total_have_a_line() -> None:
    parts = [part("asked", estimate("0.1", "0.2"), estimate("0.3", "0.5"), answered=2), part("judge", rough=True)]
    assert cost_lines(parts, budget_usd=Decimal(5)) == [
        "Estimate, before anything is sent:",
        "  asked: 9 answers; 9 requests, 2 of them answered already: about $0.4000, at most $0.7000",
        "  judge: 9 answers; 9 requests: $0, rough",
        "  In total about $0.4000, at most $0.7000, roughly; budget $5.0000.",
        "  Rough: the answers to grade do not exist yet, so the size of these requests is assumed.",
    ]


def test_when_everything_is_answered_it_costs_nothing() -> None:
    assert cost_lines([part("asked", answered=9)], budget_usd=None)[1:] == [
        "  asked: 9 answers; 9 requests, 9 of them answered already: $0",
        "  In total $0; no evaluation budget.",
    ]


def test_a_price_that_is_unknown_makes_the_total_unknown() -> None:
    for unknown in (None, estimate(None)):
        lines = cost_lines([part("asked", estimate("0.1", "0.2")), part("judge", unknown)], budget_usd=None)
        assert lines[2].endswith("9 requests: the cost is unknown")
        assert lines[3] == "  In total the cost is unknown; no evaluation budget."


def test_a_budget_that_stops_the_evaluation_for_certain_is_told_before_anything_is_sent() -> None:
    asked, judge = part("asked", estimate("3", "5", low="2")), part("judge", estimate("3", "5", low="2"))
    check_parts([asked, judge], budget_usd=Decimal(4))
    with pytest.raises(BudgetExceeded, match=r"evaluation would cost at least \$4\.0000, and its budget is \$3\.9900"):
        check_parts([asked, judge], budget_usd=Decimal("3.99"))
    with pytest.raises(BudgetExceeded, match="judge: its month"):
        check_parts([asked, replace(judge, over_budget="its month")], budget_usd=None)
    check_parts([asked, replace(judge, rough=True, budget_usd=Decimal(1))], budget_usd=Decimal(2))  # it may suffice
    check_parts([part("asked", None), judge], budget_usd=Decimal(0))  # an unknown cost stops the run itself


def test_a_budget_that_may_stop_the_evaluation_has_a_line() -> None:
    judge = part("judge", estimate("3", "5", low="2"))
    lines = cost_lines([replace(judge, budget_usd=Decimal(4))], budget_usd=Decimal("4.5"))
    assert [line.partition(" The same command")[0] for line in lines[-2:]] == [
        "  The budget of judge, $4.0000, may stop it before it is done.",
        "  The budget of $4.5000 may stop the evaluation before it is done.",
    ]
    assert len(cost_lines([replace(judge, budget_usd=Decimal(5))], budget_usd=Decimal(5))) == len(lines) - 2
