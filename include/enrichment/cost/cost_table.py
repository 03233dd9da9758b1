"""The table of cost estimates that a plan logs and a dry run prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import reduce
from operator import add
from types import MappingProxyType

from include.enrichment.cost.bounds import NAMES, Bounds
from include.enrichment.cost.estimate import Estimate

_COLUMNS = ("requests", "MB", "input tokens", "output tokens", "low $", "expected $", "high $", "synchronous $")


def cost_table(
    estimates: Mapping[str, Estimate], counts: Mapping[str, Mapping[str, int]] = MappingProxyType({})
) -> str:
    """
    Return a table with one line per pass, then the evidence behind each estimate.

    :param counts: further columns by name, each with one count per pass
    """
    lines = [_line(name, one, [column[name] for column in counts.values()]) for name, one in estimates.items()]
    if len(estimates) > 1:
        lines.append(
            _line("total", _total([*estimates.values()]), [sum(column.values()) for column in counts.values()])
        )
    lines.insert(0, ("pass", *counts, *_COLUMNS))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = ["  ".join(map(str.rjust, line, widths)) for line in lines]
    shown += [f"{name}: {one.sources}." for name, one in estimates.items() if one.requests]
    if any(one.cost_usd is None for one in estimates.values()):
        shown.append("The cost is unknown: prices.yaml has no price for the model.")
    return "\n".join([*shown, "MB: size of the requests. Synchronous: the same requests without batches and cache."])


def _total(estimates: Sequence[Estimate]) -> Estimate:
    costs = [one.cost_usd for one in estimates if one.cost_usd]
    synchronous = [one.synchronous_usd for one in estimates if one.synchronous_usd is not None]
    tokens = {
        kind: Bounds(**{bound: sum(getattr(getattr(one, kind), bound) for one in estimates) for bound in NAMES})
        for kind in ("input_tokens", "output_tokens")
    }
    return Estimate(
        requests=sum(one.requests for one in estimates),
        bytes=sum(one.bytes for one in estimates),
        **tokens,
        cost_usd=reduce(add, costs) if len(costs) == len(estimates) else None,
        synchronous_usd=sum(synchronous, Decimal(0)) if len(synchronous) == len(estimates) else None,
        sources="",
    )


def _line(name: str, one: Estimate, counts: Iterable[int]) -> tuple[str, ...]:
    cost = [getattr(one.cost_usd, bound) if one.cost_usd else None for bound in NAMES]
    return (
        name,
        *(f"{count:,}" for count in counts),
        f"{one.requests:,}",
        f"{one.bytes / 1e6:,.1f}",
        f"{one.input_tokens.expected:,.0f}",
        f"{one.output_tokens.expected:,.0f}",
        *("?" if amount is None else f"{amount:,.4f}" for amount in (*cost, one.synchronous_usd)),
    )
