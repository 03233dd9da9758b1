"""Whether a pass may be sent: its expected cost, with what is spent and under way, against budgets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from include.enrichment.errors import BudgetExceeded
from include.enrichment.estimate import Estimate

#: Estimates have no more.
_MOST_PLACES = 6


@dataclass(frozen=True, kw_only=True)
class Spending:
    """
    In US dollars.

    :param spent: by what is in the books; None if a price is not known
    :param reserved: expected of what was planned and is not in the books yet
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
    Raises BudgetExceeded if what is to be sent would pass the budget, or if nobody can tell. Without a budget, never.

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
            " model is not in include/enrichment/prices.yaml. Nothing was sent. Add the price, choose a model that has"
            f" one, or take {setting} out."
        )
    if spending.spent is None:
        raise BudgetExceeded(
            f"{whose} has a budget of ${budget:,.2f} ({setting}), and what was spent is not known: the books have no"
            f" cost of some batches ({len(spending.unpriced):,}: {', '.join(spending.unpriced[:3])}). Nothing was sent."
            " Add the model's price to include/enrichment/prices.yaml and clear the batch's `load`, or trigger the Dag"
            " usage_report with `last` set to today: either books it anew. Where the model has a price, an earlier"
            " version could not read one of the result lines: delete results/<pipeline>/<batch>.parquet on the lake"
            f" and clear the batch's `load`, which reads the raw copy again. Or take {setting} out."
        )
    expected = sum(cost.expected for cost in costs)
    passed = spending.spent + spending.reserved + expected
    if passed <= budget:
        return
    low, high = sum(cost.low for cost in costs), sum(cost.high for cost in costs)
    requests = sum(one.requests for one in together)
    places = _places(budget, passed)

    def usd(amount: Decimal | int) -> str:
        return f"${amount:,.{places}f}"

    raise BudgetExceeded(
        f"{whose} has a budget of {usd(budget)} ({setting}), and would pass it: {usd(passed)}. Spent are"
        f" {usd(spending.spent)}, under way {usd(spending.reserved)}, and {requests:,} requests more are expected to"
        f" cost {usd(expected)} ({usd(low)} to {usd(high)}; {together[-1].sources}). Nothing of them was sent, and"
        " what was answered before is kept. Three ways out: raise the budget; make the requests cheaper (another"
        " model, a lower max_tokens, caching, a shorter prompt); or ask for fewer rows: a trial of some also tells how"
        " long answers are, which the estimate then goes by. Then start a new run, or clear `extract` with downstream."
    )


def _places(budget: Decimal, passed: Decimal) -> int:
    """As many as show the budget as it was set, and that it is passed: cents mostly, millionths at the most."""
    for places in range(2, _MOST_PLACES):
        shown = Decimal(f"{budget:.{places}f}")
        if shown == budget < Decimal(f"{passed:.{places}f}"):
            return places
    return _MOST_PLACES
