"""An axis of a chart: positions in percent of its length, so that the chart fits any page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

#: Room for a dot at either end.
_EDGE_PERCENT = 2.0


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A labelled position."""

    at: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A linear axis from ``low`` to ``high``."""

    low: float
    high: float
    ticks: list[Tick]

    def at(self, value: float) -> float:
        """Return the position of a value, from 0 to 100; a value beyond an end is at that end."""
        share = (value - self.low) / (self.high - self.low)
        return round(_EDGE_PERCENT + min(max(share, 0.0), 1.0) * (100 - 2 * _EDGE_PERCENT), 2)


def make_scale(values: Iterable[float], label: Callable[[float], str], *, most_ticks: int = 4) -> Scale:
    """Return an axis with round ends that shows all values. Without values, it runs from 0 to 1."""
    shown = list(values) or [0.0, 1.0]
    low, high = min(shown), max(shown)
    if high - low < 1e-9:
        low, high = low - 0.01, high + 0.01
    found = [float(value) for value in MaxNLocator(most_ticks, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]
    plain = Scale(low=found[0], high=found[-1], ticks=[])
    return Scale(low=plain.low, high=plain.high, ticks=[Tick(at=plain.at(one), label=label(one)) for one in found])
