"""The cost estimate of an evaluation, printed before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from include.enrichment.cost.estimate import Estimate
from include.enrichment.cost.forecast import DryRun
from include.enrichment.cost.prices import format_usd


@dataclass(frozen=True, kw_only=True)
class Part:
    """
    What one pipeline of an evaluation will send.

    :param what: its answers, for people
    :param requests: distinct ones
    :param answered: those with an answer already
    :param estimates: of the others; None in place of one that is unknown
    :param rough: whether the requests do not exist yet, so that their size is assumed
    """

    pipeline: str
    what: str
    requests: int
    answered: int
    estimates: Sequence[Estimate | None]
    rough: bool = False

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
        )

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
    ]


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
