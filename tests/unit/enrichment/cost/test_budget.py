"""budget.py: requests that exceed a budget are not sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from include.enrichment.cost.bounds import Bounds, Usd
from include.enrichment.cost.budget import Spending, check_budget
from include.enrichment.cost.estimate import Estimate, join_variants
from include.enrichment.errors import BudgetExceeded

NOTHING = Spending(spent=Decimal(0), reserved=Decimal(0))


def costing(high: str | None, requests: int = 100) -> Estimate:
    tokens = Bounds(low=1, expected=2, high=3)
    usd = None if high is None else Decimal(high)
    cost = None if usd is None else Usd(low=usd / 4, expected=usd / 2, high=usd)
    return Estimate(
        requests=requests,
        bytes=400,
        input_tokens=tokens,
        output_tokens=tokens,
        cost_usd=cost,
        synchronous_usd=None,
        sources="prompts: counted",
    )


def check(budget: str | None, *estimates: Estimate, spending: Spending = NOTHING) -> None:
    limit: Any = budget and Decimal(budget)
    check_budget(limit, spending, estimates, whose="The run", setting="limits.budget_usd")


def test_requests_that_use_the_budget_to_the_last_cent_are_allowed() -> None:
    check("3.00", costing("1"), costing("2"))


def test_requests_that_could_exceed_the_budget_are_rejected() -> None:
    with pytest.raises(
        BudgetExceeded, match=r"The run could exceed its budget of \$2\.00 by \$1\.00 \(limits.budget_usd\)"
    ):
        check("2", costing("3"))


def test_spent_and_in_flight_amounts_count() -> None:
    spending = Spending(spent=Decimal("1.5"), reserved=Decimal("1"))
    check("3", costing("0.5"), spending=spending)
    with pytest.raises(BudgetExceeded, match=r"by \$0\.01 [^;]*; spent: \$1\.50; in flight: \$1\.00\."):
        check("3", costing("0.51"), spending=spending)


def test_the_message_states_the_numbers_first_and_the_remedies_last() -> None:
    with pytest.raises(BudgetExceeded) as caught:
        check("1", costing("3"))
    assert str(caught.value).splitlines() == [
        "The run could exceed its budget of $1.00 by $2.00 (limits.budget_usd).",
        "100 requests cost up to $3.00 (expected $1.50, low $0.75).",
        "Estimated from: prompts: counted.",
        "None of these requests were sent, and earlier answers are kept.",
        "Raise the budget, make the requests cheaper (model, max_tokens, prompt), or try some rows first to learn"
        " how long the answers are. Then start a new run, or clear `extract` with downstream.",
    ]
    assert not caught.value.retryable


def test_without_a_budget_everything_is_allowed() -> None:
    check(None, costing(None))
    check(None, costing("1000000"), spending=Spending(spent=None, reserved=Decimal(0)))


def test_without_requests_nothing_is_rejected() -> None:
    check("0", costing("0", requests=0), spending=Spending(spent=Decimal(5), reserved=Decimal(0)))


@pytest.mark.parametrize(
    ("budget", "high", "shown"),
    [
        ("1", "1.001", r"\$1\.000 by \$0\.001 "),
        ("0.0004", "3", r"\$0\.0004 by \$2\.9996 "),
        ("0", "0.000001", r"\$0\.000000 by \$0\.000001 "),
        ("0.123456789", "2000", r"\$0\.123457 by \$1,999\.876543 "),
    ],
)
def test_amounts_show_enough_places_to_differ(budget: str, high: str, shown: str) -> None:
    with pytest.raises(BudgetExceeded, match=f"its budget of {shown}"):
        check(budget, costing(high))


@pytest.mark.parametrize("spent", [Decimal(0), None])
def test_a_budget_needs_a_known_price(spent: Decimal | None) -> None:
    with pytest.raises(BudgetExceeded, match=r"(?s)the cost is unknown.*Add the price"):
        check("100", costing(None), spending=Spending(spent=spent, reserved=Decimal(0)))


def test_unknown_spending_names_the_batches_whose_usage_must_be_recorded_again() -> None:
    spending = Spending(spent=None, reserved=Decimal(0), unpriced=["msgbatch_1", "msgbatch_2"])
    with pytest.raises(
        BudgetExceeded, match=r"(?s)2 batches have no known cost \(msgbatch_1, msgbatch_2\).*usage record again"
    ):
        check("100", costing("1"), spending=spending)


def test_the_part_of_each_variant_is_named_the_costliest_first() -> None:
    canary = join_variants({"current": costing("0.1", 5), "candidate": costing("0.4", 5)})
    main = join_variants({"current": costing("1", 95), "candidate": costing("4", 95), "other": costing("0", 0)})
    with pytest.raises(BudgetExceeded) as raised:
        check("5", canary, main)
    assert len(lines := str(raised.value).splitlines()) == 5
    assert lines[1] == (
        "200 requests cost up to $5.50 (expected $2.75, low $1.38), of which candidate up to $4.40 (expected $2.20),"
        " current up to $1.10 (expected $0.55)."
    )
    assert lines[2] == "Estimated from: candidate, prompts: counted."


def test_a_variant_without_a_price_stops_the_run_only_if_it_sends_something() -> None:
    check("5", join_variants({"current": costing("1"), "candidate": costing(None, 0)}))
    with pytest.raises(BudgetExceeded, match="a model has no price"):
        check("5", join_variants({"current": costing("1"), "candidate": costing(None, 1)}))
