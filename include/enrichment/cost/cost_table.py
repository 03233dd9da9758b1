"""The table of cost estimates that a plan logs and a dry run prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from include.enrichment.cost.bounds import NAMES
from include.enrichment.cost.estimate import Estimate, sum_estimates
from include.enrichment.runs.modes import MODES

_COLUMNS = (
    *("mode", "requests", "MB", "input tokens", "output tokens"),
    *("low $", "expected $", "high $", "batch $", "synchronous $", "naive $"),
)
_LEGEND = (
    "MB: size of the requests. Low, expected, high: in the mode of the pass. Batch, synchronous: what to expect in"
    " either mode. Naive: synchronous, without the prompt cache."
)


def cost_table(
    estimates: Mapping[str, Estimate], counts: Mapping[str, Mapping[str, int]] = MappingProxyType({})
) -> str:
    """
    Return a table with one line per pass and variant, one per pass, and the totals; then the evidence behind each
    estimate.

    :param counts: further columns by name, each with one count per pass
    """
    lines = [("pass", *counts, *_COLUMNS)]
    for name, one in estimates.items():
        lines += _lines(name, one, [column[name] for column in counts.values()])
    if len(estimates) > 1:
        total = sum_estimates(estimates.values())
        lines += _lines("total", total, [sum(column.values()) for column in counts.values()])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = ["  ".join(map(str.rjust, line, widths)) for line in lines]
    single = {_name(name, variant): part for name, one in estimates.items() for variant, part in _parts(one).items()}
    shown += [f"{name}: {one.sources}." for name, one in single.items() if one.requests]
    if any(one.cost_usd is None for one in estimates.values()):
        shown.append("The cost is unknown: prices.yaml has no price for the model.")
    return "\n".join([*shown, _LEGEND])


def _parts(one: Estimate) -> Mapping[str, Estimate]:
    """Return the estimate of each variant; without any the only one has no name."""
    return _variants(one) or {"": one}


def _variants(one: Estimate) -> Mapping[str, Estimate]:
    """Return the estimate of each variant, and of what a pass sends to a dearer model."""
    return {name or "same model": part for name, part in one.variants.items()}


def _name(of_pass: str, variant: str) -> str:
    return f"{of_pass}, {variant}" if variant else of_pass


def _lines(name: str, one: Estimate, counts: list[int]) -> Iterator[tuple[str, ...]]:
    for variant, part in _variants(one).items():
        yield _line(_name(name, variant), part, ["" for _ in counts])
    yield _line(name, one, [f"{count:,}" for count in counts])


def _line(name: str, one: Estimate, counts: Iterable[str]) -> tuple[str, ...]:
    cost = [getattr(one.cost_usd, bound) if one.cost_usd else None for bound in NAMES]
    either = [one.modes_usd[mode].expected if mode in one.modes_usd else None for mode in MODES]
    return (
        name,
        *counts,
        (one.mode or "both") if one.requests else "",
        f"{one.requests:,}",
        f"{one.bytes / 1e6:,.1f}",
        f"{one.input_tokens.expected:,.0f}",
        f"{one.output_tokens.expected:,.0f}",
        *("?" if amount is None else f"{amount:,.4f}" for amount in (*cost, *either, one.synchronous_usd)),
    )
