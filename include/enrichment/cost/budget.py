"""
Checks whether a pass or a chunk fits a budget: spent, in flight and the high estimate of the new requests.

The high estimate holds for prompts of any mixture of sizes. A run can therefore exceed its budget only if its answers
are longer than their high estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from include.enrichment.cost.bounds import Usd
from include.enrichment.cost.estimate import Estimate, sum_estimates
from include.enrichment.cost.prices import format_usd
from include.enrichment.errors import BudgetExceeded, NotYet

#: The decimal places of an estimate.
_MOST_PLACES = 6
_NO_PRICE = (
    "the cost is unknown: a model has no price in include/enrichment/cost/prices.yaml.\nNothing was sent.\n"
    "Add the price, or choose a model that has one."
)


@dataclass(frozen=True, kw_only=True)
class Spending:
    """
    What has been spent already, in US dollars.

    :param spent: the sum of the usage records; None if a price is unknown
    :param reserved: the high estimate of the planned chunks that have no usage record yet
    :param unpriced: the batches with a usage record and no known cost
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
    Check that the requests to be sent fit the rest of the budget.

    :param estimates: the requests to be sent, now and later in the run
    :param whose: the owner of the budget, for example ``The run``
    :param setting: where it is set

    Raises BudgetExceeded if their high estimate exceeds the rest of the budget, or if cost or spending are unknown.
    """
    sending = [one for one in estimates if one.requests]
    if budget is None or not sending:
        return
    costs = [one.cost_usd for one in sending if one.cost_usd]
    if len(costs) < len(sending) or spending.spent is None:
        raise BudgetExceeded(
            f"{whose} has a budget of ${budget:,.2f} ({setting}), but"
            f" {_unknown(spending) if len(costs) == len(sending) else _NO_PRICE}\nOr remove {setting}."
        )
    low, expected, high = (
        sum((getattr(cost, bound) for cost in costs), Decimal(0)) for bound in ("low", "expected", "high")
    )
    total = spending.spent + spending.reserved + high
    if total <= budget:
        return
    requests = sum(one.requests for one in sending)
    variants = _costliest_first(sending)
    places = _places(budget, total)

    def usd(amount: Decimal) -> str:
        return f"${amount:,.{places}f}"

    before = {"spent": spending.spent, "in flight": spending.reserved}
    already = "".join(f"; {name}: {usd(amount)}" for name, amount in before.items() if amount)
    raise BudgetExceeded(
        f"{whose} could exceed its budget of {usd(budget)} by {usd(total - budget)} ({setting}).\n"
        f"{requests:,} requests cost up to {usd(high)} (expected {usd(expected)}, low {usd(low)})"
        f"{_parts(variants, usd)}{already}.\n"
        f"Estimated from: {_evidence(sending, variants)}.\n"
        "None of these requests were sent, and earlier answers are kept.\n"
        "Raise the budget, make the requests cheaper (model, max_tokens, prompt), or try some rows first to"
        " learn how long the answers are. Then start a new run, or clear `extract` with downstream."
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
    Check that one chunk still fits a budget that other runs share, just before it is sent.

    :param claimed_usd: the high estimate of the chunk
    :param unsettled_usd: the part of ``spending.reserved`` for chunks that are being sent at the same moment

    Raises BudgetExceeded if the chunk does not fit. Raises NotYet, until ``again_at``, if it may fit once those other
    chunks are settled.
    """
    if spending.spent is None:
        return  # the plan has checked the budget, and nothing more is known now
    total = spending.spent + spending.reserved + claimed_usd
    if total <= budget:
        return
    message = (
        f"{whose} could exceed its budget of ${budget:,.2f} (limits.monthly_budget_usd): spent"
        f" {format_usd(spending.spent)}, in flight {format_usd(spending.reserved)}, this chunk costs up to"
        f" {format_usd(claimed_usd)}.\nOther runs have sent chunks since this one was planned. Nothing was sent."
    )
    if total - unsettled_usd <= budget:
        raise NotYet(message, again_at=again_at)
    raise BudgetExceeded(
        f"{message}\nRaise the budget and clear `extract` with downstream, or wait for the next month."
    )


def _costliest_first(estimates: Sequence[Estimate]) -> dict[str, Usd]:
    """Return the cost of each variant; none if the pipeline has no variants. All prices are known."""
    parts = sum_estimates(estimates).variants
    costs = {name: one.cost_usd for name, one in parts.items() if one.cost_usd and one.requests}
    return dict(sorted(costs.items(), key=lambda item: -item[1].high))


def _evidence(sending: Sequence[Estimate], variants: Iterable[str]) -> str:
    """Return the evidence behind the last estimate, with variants that of the costliest one."""
    for name in variants:
        parts = [one.variants[name] for one in sending if name in one.variants]
        return f"{name}, {[part for part in parts if part.requests][-1].sources}"
    return sending[-1].sources


def _parts(variants: Mapping[str, Usd], usd: Callable[[Decimal], str]) -> str:
    if not variants:
        return ""
    named = ", ".join(
        f"{name} up to {usd(cost.high)} (expected {usd(cost.expected)})" for name, cost in variants.items()
    )
    return f", of which {named}"


def _unknown(spending: Spending) -> str:
    return (
        "the amount already spent is unknown.\n"
        f"{len(spending.unpriced):,} batches have no known cost ({', '.join(spending.unpriced[:3])})."
        " Nothing was sent.\n"
        "If their model has no price, add it to include/enrichment/cost/prices.yaml and clear the batch's `load`, or"
        " trigger the Dag usage_report with `last` set to today: either writes the usage record again.\n"
        "If it has a price, an earlier version could not read one of the result lines: delete"
        " results/<pipeline>/<batch>.parquet on the lake and clear the batch's `load`."
    )


def _places(budget: Decimal, total: Decimal) -> int:
    """Return the fewest decimal places, 2 to 6, that show the budget as it was set, and that it is exceeded."""
    for places in range(2, _MOST_PLACES):
        shown = Decimal(f"{budget:.{places}f}")
        if shown == budget and round(total - budget, places):
            return places
    return _MOST_PLACES
