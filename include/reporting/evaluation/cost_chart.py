"""Cost against quality: the points of a chart, each with a label that covers no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from include.evaluation.result import EvaluationResult, Metric, VariantFacts
from include.reporting.evaluation.charts import colours, ends, score_tick
from include.reporting.evaluation.scale import Tick, make_scale
from include.reporting.evaluation.wording import score, variant_name
from include.reporting.wording import usd

#: The height of the chart in pixels.
COST_HEIGHT = 260
#: Cost is shown for this many cases: that of one is a tiny fraction of a cent.
PER_CASES = 1_000
#: The size of a label in pixels, its most characters, and the width of the narrowest chart that it must fit in.
_LABEL_HEIGHT, _CHARACTER_WIDTH, MOST_CHARACTERS, _CHART_WIDTH = 17.0, 7.2, 24, 290
#: From a point to its label, in pixels.
_GAP = 11
_STEPS = [step * _LABEL_HEIGHT for step in (0, -1, 1, -2, 2, -3, 3)]


@dataclass(frozen=True, kw_only=True)
class Point:
    """
    A variant in the cost chart.

    :param x: percent of the width
    :param y: pixels from the top, like ``low``, ``high`` and ``label_y``
    :param left: the label is on the left
    """

    name: str
    colour: int
    x: float
    y: float
    low: float | None
    high: float | None
    label_y: float
    left: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class CostChart:
    """
    Cost against one metric. ``y_ticks`` are in pixels.

    :param right_answers: by variant, the cost of PER_CASES right answers; empty if answers are not right or wrong
    """

    metric: str
    points: list[Point]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    right_answers: dict[str, Decimal]


#: From left to right, and from top to bottom, in pixels of the narrowest chart.
_Box = tuple[float, float, float, float]


def cost_per_cases(facts: VariantFacts, cases: int) -> Decimal | None:
    """Return the cost of a variant's answers for PER_CASES cases; None if it is unknown."""
    return facts.cost_usd * PER_CASES / cases if facts.cost_usd is not None and cases else None


def cost_charts(result: EvaluationResult) -> list[CostChart]:
    """Return one chart for each metric with at least two variants that have a score and a known cost."""
    costs = {one.variant: cost_per_cases(one, result.cases) for one in result.variants}
    known = {name: cost for name, cost in costs.items() if cost is not None}
    plotted = [one for one in result.metrics if one.by is None and one.variant in known and one.value is not None]
    names = dict.fromkeys(one.metric for one in plotted)
    by_name = [[one for one in plotted if one.metric == name] for name in names]
    return [_cost_chart(metrics, known, colours(result)) for metrics in by_name if len(metrics) > 1]


def _cost_chart(metrics: Sequence[Metric], costs: dict[str, Decimal], colour: dict[str, int]) -> CostChart:
    kind = metrics[0].kind
    x_scale = make_scale([0.0, *(float(costs[one.variant]) for one in metrics)], _dollars)
    y_scale = make_scale(ends(metrics), partial(score_tick, kind=kind))

    def y(value: float) -> float:
        return round(COST_HEIGHT * (1 - y_scale.at(value) / 100), 1)

    dots = {one.variant: (x_scale.at(float(costs[one.variant])), y(one.value or 0.0)) for one in metrics}
    bars = [
        _box_around(dots[one.variant][0], y(one.high), y(one.low))
        for one in metrics
        if one.low is not None and one.high is not None
    ]
    labels = _place_labels(dots, bars)
    points = [
        Point(
            name=variant_name(one.variant),
            colour=colour[one.variant],
            x=dots[one.variant][0],
            y=dots[one.variant][1],
            low=None if one.low is None else y(one.low),
            high=None if one.high is None else y(one.high),
            left=labels[one.variant][0],
            label_y=labels[one.variant][1],
            text=f"{variant_name(one.variant)}: {score(one.value, kind)} for {usd(costs[one.variant])}",
        )
        for one in metrics
    ]
    y_ticks = [Tick(at=round(COST_HEIGHT * (1 - tick.at / 100), 1), label=tick.label) for tick in y_scale.ticks]
    return CostChart(
        metric=metrics[0].metric,
        points=points,
        x_ticks=x_scale.ticks,
        y_ticks=y_ticks,
        right_answers={
            variant_name(one.variant): costs[one.variant] / Decimal(one.value)
            for one in metrics
            if kind == "proportion" and one.value
        },
    )


def _place_labels(dots: dict[str, tuple[float, float]], bars: Sequence[_Box]) -> dict[str, tuple[bool, float]]:
    """
    Return for each name whether its label is on the left, and its height.

    It is the first place that is free, or else the first that covers only intervals.
    """
    taken = [_box_around(x, y, y) for x, y in dots.values()]
    placed = {}
    for name, (x, y) in dots.items():
        places = [(left, y + step) for step in _STEPS for left in (False, True)]
        fitting = [one for one in places if _fits(_label_box(name, x, *one))]
        readable = [one for one in fitting if not _covers(_label_box(name, x, *one), taken)]
        free = [one for one in readable if not _covers(_label_box(name, x, *one), bars)]
        placed[name] = next(iter(free or readable or fitting), (x > 50, y))
        taken.append(_label_box(name, x, *placed[name]))
    return placed


def _box_around(x: float, top: float, bottom: float) -> _Box:
    middle = x / 100 * _CHART_WIDTH
    return middle - 7, middle + 7, top - 7, bottom + 7


def _label_box(name: str, x: float, left: bool, y: float) -> _Box:
    middle, width = x / 100 * _CHART_WIDTH, _CHARACTER_WIDTH * min(len(variant_name(name)), MOST_CHARACTERS)
    start = middle - _GAP - width if left else middle + _GAP
    return start, start + width, y - _LABEL_HEIGHT / 2, y + _LABEL_HEIGHT / 2


def _fits(box: _Box) -> bool:
    return box[0] >= 0 and box[1] <= _CHART_WIDTH + 10 and box[2] >= 0 and box[3] <= COST_HEIGHT


def _covers(box: _Box, others: Sequence[_Box]) -> bool:
    return any(box[0] < other[1] and other[0] < box[1] and box[2] < other[3] and other[2] < box[3] for other in others)


def _dollars(value: float) -> str:
    text = usd(Decimal(f"{value:.6f}"))
    return text.removesuffix("00").removesuffix(".")
