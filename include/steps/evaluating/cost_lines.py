"""The cost estimate of an evaluation, printed before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from include.enrichment.cost.estimate import Estimate
from include.enrichment.cost.forecast import DryRun
from include.enrichment.cost.prices import format_usd
from include.enrichment.errors import BudgetExceeded


@dataclass(frozen=True, kw_only=True)
class Part:
    """
    What one pipeline of an evaluation will send.

    :param what: its answers, for people
    :param requests: distinct ones
    :param answered: those with an answer already
    :param estimates: of the others; None in place of one that is unknown
    :param rough: whether the requests do not exist yet, so that their size is assumed
    :param budget_usd: the pipeline's own (``limits.budget_usd``), beside that of the evaluation; None: it has none
    :param over_budget: why a budget would stop its run, if its requests exist; None if all budgets suffice
    """

    pipeline: str
    what: str
    requests: int
    answered: int
    estimates: Sequence[Estimate | None]
    rough: bool = False
    budget_usd: Decimal | None = None
    over_budget: str | None = None

    @classmethod
    def of(cls, forecast: DryRun, what: str) -> Part:
        """Return the part of a pipeline whose requests exist."""
        passes = [one for one in forecast.passes.values() if one.to_send]
        return cls(
            pipeline=forecast.pipeline,
            what=what,
            requests=forecast.requests,
            answered=forecast.answered,
            estimates=[one.estimate for one in passes],
            over_budget=forecast.over_budget,
        )

    @property
    def low_usd(self) -> Decimal | None:
        """The lowest cost; None if it is unknown."""
        return self._sum("low")

    @property
    def expected_usd(self) -> Decimal | None:
        """The expected cost; None if it is unknown."""
        return self._sum("expected")

    @property
    def high_usd(self) -> Decimal | None:
        """The highest cost; None if it is unknown."""
        return self._sum("high")

    def _sum(self, bound: str) -> Decimal | None:
        costs = [one.cost_usd if one else None for one in self.estimates]
        known = [getattr(cost, bound) for cost in costs if cost]
        return sum(known, Decimal(0)) if len(known) == len(costs) else None


def check_parts(parts: Sequence[Part], *, budget_usd: Decimal | None) -> None:
    """
    Raise BudgetExceeded if a budget would stop the evaluation for certain, so that nothing is paid before it stops.

    A budget that only might stop it is told by cost_lines(), as the size of rough parts is not certain.

    :param budget_usd: as for cost_lines()
    """
    for part in parts:
        if part.over_budget:
            raise BudgetExceeded(f"{part.pipeline}: {part.over_budget}")
    low = _total([part for part in parts if not part.rough], "low_usd")
    if budget_usd is not None and low is not None and low > budget_usd:
        raise BudgetExceeded(
            f"The evaluation would cost at least {format_usd(low)}, and its budget is {format_usd(budget_usd)}. Nothing"
            " was sent. Raise it, or evaluate fewer cases or variants."
        )


def cost_lines(parts: Sequence[Part], *, budget_usd: Decimal | None) -> list[str]:
    """
    Return a line for each pipeline of an evaluation, and the total.

    :param budget_usd: of all of them together; None: each has only its own limits
    """
    rough = any(part.rough for part in parts)
    budget = "no evaluation budget" if budget_usd is None else f"budget {format_usd(budget_usd)}"
    expected, high = _total(parts, "expected_usd"), _total(parts, "high_usd")
    return [
        "Estimate, before anything is sent:",
        *(f"  {_line(part)}" for part in parts),
        f"  In total {_usd(expected, high)}{', roughly' if rough else ''}; {budget}.",
        *(
            ["  Rough: the answers to grade do not exist yet, so the size of these requests is assumed."]
            if rough
            else []
        ),
        *(f"  {line}" for line in _may_stop(parts, high, budget_usd)),
    ]


def _may_stop(parts: Sequence[Part], high: Decimal | None, budget_usd: Decimal | None) -> Iterator[str]:
    left = "The same command continues with a higher one, and pays for no answer twice."
    for part in parts:
        if part.budget_usd is not None and (part.high_usd is None or part.high_usd > part.budget_usd):
            yield f"The budget of {part.pipeline}, {format_usd(part.budget_usd)}, may stop it before it is done. {left}"
    if budget_usd is not None and (high is None or high > budget_usd):
        yield f"The budget of {format_usd(budget_usd)} may stop the evaluation before it is done. {left}"


def _line(part: Part) -> str:
    answered = f", {part.answered:,} of them answered already" if part.answered else ""
    rough = ", rough" if part.rough else ""
    cost = _usd(part.expected_usd, part.high_usd)
    return f"{part.pipeline}: {part.what}; {part.requests:,} requests{answered}: {cost}{rough}"


def _total(parts: Sequence[Part], bound: str) -> Decimal | None:
    costs = [getattr(part, bound) for part in parts]
    return None if None in costs else sum(costs, Decimal(0))


def _usd(expected: Decimal | None, high: Decimal | None) -> str:
    if expected is None or high is None:
        return "the cost is unknown"
    return f"about {format_usd(expected)}, at most {format_usd(high)}" if high else "$0"
