"""
Whether a pass may be sent: the most that it may cost, with what is spent and under way, against budgets.

The high estimate counts, and not the expected one: it holds for prompts of any mixture of sizes, so that only answers
which are longer than the high estimate of answers can make a run exceed its budget.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from include.enrichment.cost.estimate import Estimate
from include.enrichment.cost.prices import format_usd
from include.enrichment.errors import BudgetExceeded, NotYet

#: Estimates have no more.
_MOST_PLACES = 6


@dataclass(frozen=True, kw_only=True)
class Spending:
    """
    In US dollars.

    :param spent: by what is in the books; None if a price is not known
    :param reserved: the high estimate of what was planned and is not in the books yet
    :param unpriced: the batches in the books whose cost is not known
    """

    spent: Decimal | None
    reserved: Decimal
    unpriced: Sequence[str] = ()


def check_budget(
    budget: Decimal | None,
    spending: Spending,
    estimates: Iterable[Estimate],
    *,
    whose: str,
    setting: str,
) -> None:
    """
    Raises BudgetExceeded if the high estimate of what is to be sent exceeds what is left of the budget, or if it is not
    known. Without a budget, never.

    :param estimates: of what is to be sent, now and later in the run
    :param whose: whose budget it is, as in ``The run``
    :param setting: where it is set
    """
    together = [one for one in estimates if one.requests]
    if budget is None or not together:
        return
    costs = [one.cost_usd for one in together if one.cost_usd]
    if len(costs) < len(together):
        raise BudgetExceeded(
            f"{whose} has a budget of ${budget:,.2f} ({setting}), and what it would cost is not known: the price of a"
            " model is not in include/enrichment/cost/prices.yaml.\nNothing was sent.\nAdd the price, choose a model"
            f" that has one, or take {setting} out."
        )
    if spending.spent is None:
        raise BudgetExceeded(
            f"{whose} has a budget of ${budget:,.2f} ({setting}), and what was spent is not known.\n"
            f"The books have no cost of some batches ({len(spending.unpriced):,}: {', '.join(spending.unpriced[:3])})."
            " Nothing was sent.\n"
            "If their model has no price, add it to include/enrichment/cost/prices.yaml and clear the batch's `load`,"
            " or trigger the Dag usage_report with `last` set to today: either books it anew.\n"
            "If it has one, an earlier version could not read one of the result lines: delete"
            " results/<pipeline>/<batch>.parquet on the lake and clear the batch's `load`.\n"
            f"Or take {setting} out."
        )
    low, expected, high = (
        sum((getattr(cost, bound) for cost in costs), Decimal(0)) for bound in ("low", "expected", "high")
    )
    total = spending.spent + spending.reserved + high
    if total <= budget:
        return
    requests = sum(one.requests for one in together)
    places = _places(budget, total)

    def usd(amount: Decimal) -> str:
        return f"${amount:,.{places}f}"

    before = {"spent": spending.spent, "in flight": spending.reserved}
    already = "".join(f"; {name}: {usd(amount)}" for name, amount in before.items() if amount)
    raise BudgetExceeded(
        f"{whose} could exceed its budget of {usd(budget)} by {usd(total - budget)} ({setting}).\n"
        f"{requests:,} requests cost up to {usd(high)} (expected {usd(expected)}, low {usd(low)}){already}.\n"
        f"How that is known: {together[-1].sources}.\n"
        "None of these requests were sent, and earlier answers are kept.\n"
        "Raise the budget, make the requests cheaper (model, max_tokens, prompt), or try some rows first, which tells"
        " how long answers are. Then start a new run, or clear `extract` with downstream."
    )


def check_claim(
    budget: Decimal,
    spending: Spending,
    *,
    claimed_usd: Decimal,
    unsettled_usd: Decimal,
    whose: str,
    again_at: datetime,
) -> None:
    """
    Hold a budget that other runs draw on too, when one chunk is about to be sent.

    :param claimed_usd: the high estimate of the chunk
    :param unsettled_usd: what of ``spending.reserved`` is for chunks that are about to be sent at the same moment

    Raises BudgetExceeded if the chunk does not fit, NotYet, until ``again_at``, if it may once those are settled.
    """
    if spending.spent is None:
        return  # its plan has looked, and nobody can tell more now
    total = spending.spent + spending.reserved + claimed_usd
    if total <= budget:
        return
    message = (
        f"{whose} could exceed its budget of ${budget:,.2f} (limits.monthly_budget_usd): spent"
        f" {format_usd(spending.spent)}, in flight {format_usd(spending.reserved)}, this chunk costs up to"
        f" {format_usd(claimed_usd)}.\nOther runs have sent theirs since it was planned. Nothing was sent."
    )
    if total - unsettled_usd <= budget:
        raise NotYet(message, again_at=again_at)
    raise BudgetExceeded(
        f"{message}\nRaise the budget and clear `extract` with downstream, or wait for the next month."
    )


def _places(budget: Decimal, total: Decimal) -> int:
    """As many as show the budget as it was set, and that it is exceeded: cents mostly, millionths at the most."""
    for places in range(2, _MOST_PLACES):
        shown = Decimal(f"{budget:.{places}f}")
        if shown == budget and round(total - budget, places):
            return places
    return _MOST_PLACES
