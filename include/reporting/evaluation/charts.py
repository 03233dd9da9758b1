"""What the charts show: positions, texts and colours. The template draws them as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from include.evaluation.result import Comparison, EvaluationResult, GateDecision, Metric, VariantFacts
from include.reporting.evaluation.scale import Scale, Tick, make_scale
from include.reporting.evaluation.wording import (
    difference,
    difference_interval,
    difference_tick,
    interval,
    left_out,
    score,
)
from include.reporting.wording import count, share, usd

#: The colours of report.css for variants; further variants share the last one.
COLOURS = 7
#: The height of the cost chart, and of a line of its labels, in pixels.
COST_HEIGHT, _LABEL_HEIGHT = 260, 17
#: Cost is shown for this many cases: that of one is a tiny fraction of a cent.
PER_CASES = 1_000


@dataclass(frozen=True, kw_only=True)
class Mark:
    """
    A value with its interval.

    :param at: percent of the width; None if there is no value
    :param low: the ends of the interval; None without one
    :param note: the cases behind it, unless the chart says so for all
    """

    name: str
    colour: int
    at: float | None
    low: float | None
    high: float | None
    value: str
    interval: str
    note: str


@dataclass(frozen=True, kw_only=True)
class IntervalChart:
    """
    One metric of all variants.

    :param reference: the position of the baseline's value; None without a baseline
    :param note: the cases behind all marks; empty if they differ
    """

    metric: str
    marks: list[Mark]
    ticks: list[Tick]
    reference: float | None
    baseline: str | None
    note: str


@dataclass(frozen=True, kw_only=True)
class GateRow:
    """A decision of the gate with the interval of its difference."""

    decision: GateDecision
    mark: Mark


@dataclass(frozen=True, kw_only=True)
class GateChart:
    """
    The decisions about one metric with the same margin and baseline, on one axis.

    :param margin: the position below which a variant is too much worse
    :param unit: of the ticks
    """

    metric: str
    baseline: str
    margin_points: float
    rows: list[GateRow]
    ticks: list[Tick]
    zero: float
    margin: float
    unit: str


@dataclass(frozen=True, kw_only=True)
class ComparisonChart:
    """The difference of a variant to its baseline, beside zero."""

    comparison: Comparison
    mark: Mark
    zero: float


@dataclass(frozen=True, kw_only=True)
class Point:
    """
    A variant in the cost chart.

    :param x: percent of the width
    :param y: pixels from the top, like ``low``, ``high`` and ``label_y``
    """

    name: str
    colour: int
    x: float
    y: float
    low: float | None
    high: float | None
    label_y: float
    text: str


@dataclass(frozen=True, kw_only=True)
class CostChart:
    """Cost against one metric. ``y_ticks`` are in pixels."""

    metric: str
    points: list[Point]
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def baseline_of(result: EvaluationResult, metric: str) -> str | None:
    """Return the variant that others are compared with under a metric; None if there is none in this evaluation."""
    names = {one.variant for one in result.variants}
    baselines: Sequence[GateDecision | Comparison] = [*result.gate, *result.comparisons]
    compared = [one.baseline for one in baselines if one.metric == metric]
    return next((name for name in compared if name in names), None)


def colours(result: EvaluationResult) -> dict[str, int]:
    """Return the colour of each variant by its name."""
    return {one.variant: min(place, COLOURS - 1) for place, one in enumerate(result.variants)}


def interval_charts(result: EvaluationResult) -> list[IntervalChart]:
    """Return one chart for each metric, over all cases."""
    names = dict.fromkeys(one.metric for one in result.metrics if one.by is None)
    return [_interval_chart(result, name) for name in names]


def _interval_chart(result: EvaluationResult, name: str) -> IntervalChart:
    metrics = [one for one in result.metrics if one.metric == name and one.by is None]
    scale = make_scale(_ends(metrics), partial(_score_tick, kind=metrics[0].kind))
    baseline = baseline_of(result, name)
    reference = next((one.value for one in metrics if one.variant == baseline), None)
    notes = [_note(one) for one in metrics]
    same = len(set(notes)) == 1
    return IntervalChart(
        metric=name,
        marks=[
            _mark(one, scale, colours(result).get(one.variant, COLOURS - 1), "" if same else note)
            for one, note in zip(metrics, notes, strict=True)
        ],
        ticks=scale.ticks,
        reference=None if reference is None else scale.at(reference),
        baseline=baseline,
        note=notes[0] if same else "",
    )


def gate_charts(result: EvaluationResult) -> list[GateChart]:
    """Return the decisions of the gate, one chart for each metric, margin and baseline."""
    alike: dict[tuple[str, float, str], list[GateDecision]] = {}
    for one in result.gate:
        alike.setdefault((one.metric, one.margin, one.baseline), []).append(one)
    return [_gate_chart(result, found) for found in alike.values()]


def _gate_chart(result: EvaluationResult, decisions: Sequence[GateDecision]) -> GateChart:
    first = decisions[0]
    kind = _kind(result, first.metric)
    scale = make_scale([*_ends(decisions), 0.0, -first.margin], partial(difference_tick, kind=kind))
    return GateChart(
        metric=first.metric,
        baseline=first.baseline,
        margin_points=100 * first.margin,
        rows=[GateRow(decision=one, mark=_difference_mark(one, kind, scale, colours(result))) for one in decisions],
        ticks=scale.ticks,
        zero=scale.at(0.0),
        margin=scale.at(-first.margin),
        unit="percentage points" if kind == "proportion" else "scores from 0 to 1",
    )


def comparison_charts(result: EvaluationResult) -> list[ComparisonChart]:
    """Return one chart for each comparison. Those of the same metric share an axis."""
    made = []
    for name in dict.fromkeys(one.metric for one in result.comparisons):
        found = [one for one in result.comparisons if one.metric == name]
        scale = make_scale([*_ends(found), 0.0], partial(difference_tick, kind=found[0].kind))
        for one in found:
            mark = _difference_mark(one, one.kind, scale, colours(result))
            made.append(ComparisonChart(comparison=one, mark=mark, zero=scale.at(0.0)))
    return made


def cost_per_cases(facts: VariantFacts, cases: int) -> Decimal | None:
    """Return the cost of a variant's answers for PER_CASES cases; None if it is unknown."""
    return facts.cost_usd * PER_CASES / cases if facts.cost_usd is not None and cases else None


def cost_charts(result: EvaluationResult) -> list[CostChart]:
    """Return one chart for each metric; none if fewer than two variants have a known cost."""
    costs = {one.variant: cost_per_cases(one, result.cases) for one in result.variants}
    known = {name: float(cost) for name, cost in costs.items() if cost is not None}
    made = []
    for name in dict.fromkeys(metric.metric for metric in result.metrics):
        metrics = [
            one
            for one in result.metrics
            if one.metric == name and one.by is None and one.variant in known and one.value is not None
        ]
        if len(metrics) > 1:
            made.append(_cost_chart(result, name, metrics, known))
    return made


def _cost_chart(result: EvaluationResult, name: str, metrics: Sequence[Metric], known: dict[str, float]) -> CostChart:
    kind = metrics[0].kind
    x_scale = make_scale([0.0, *(known[one.variant] for one in metrics)], lambda value: usd(Decimal(f"{value:.6f}")))
    y_scale = make_scale(_ends(metrics), partial(_score_tick, kind=kind))

    def y(value: float | None) -> float | None:
        return None if value is None else round(COST_HEIGHT * (1 - y_scale.at(value) / 100), 1)

    def height(one: Metric) -> float:
        return y(one.value) or 0.0

    points: list[Point] = []
    lowest_label = 0.0
    for one in sorted(metrics, key=height):
        lowest_label = max(height(one), lowest_label + _LABEL_HEIGHT)
        points.append(
            Point(
                name=one.variant,
                colour=colours(result)[one.variant],
                x=x_scale.at(known[one.variant]),
                y=height(one),
                low=y(one.low),
                high=y(one.high),
                label_y=lowest_label,
                text=f"{one.variant}: {score(one.value, kind)} for {usd(Decimal(known[one.variant]))}",
            )
        )
    y_ticks = [Tick(at=round(COST_HEIGHT * (1 - tick.at / 100), 1), label=tick.label) for tick in y_scale.ticks]
    return CostChart(metric=name, points=points, x_ticks=x_scale.ticks, y_ticks=y_ticks)


def _ends(found: Sequence[Metric | Comparison | GateDecision]) -> list[float]:
    """Return the values and the ends of their intervals, where known."""
    middles = [one.value if isinstance(one, Metric) else one.effect for one in found]
    ends = [*middles, *(one.low for one in found), *(one.high for one in found)]
    return [end for end in ends if end is not None]


def _note(metric: Metric) -> str:
    without = left_out(metric)
    return count(metric.cases, "case", "cases") + (f"; {without}" if without else "")


def _mark(metric: Metric, scale: Scale, colour: int, note: str) -> Mark:
    return Mark(
        name=metric.variant,
        colour=colour,
        at=None if metric.value is None else scale.at(metric.value),
        low=None if metric.low is None else scale.at(metric.low),
        high=None if metric.high is None else scale.at(metric.high),
        value=score(metric.value, metric.kind),
        interval=interval(metric.low, metric.high, metric.kind),
        note=note,
    )


def _difference_mark(one: GateDecision | Comparison, kind: str, scale: Scale, colour: dict[str, int]) -> Mark:
    return Mark(
        name=one.variant,
        colour=colour.get(one.variant, COLOURS - 1),
        at=None if one.effect is None else scale.at(one.effect),
        low=None if one.low is None else scale.at(one.low),
        high=None if one.high is None else scale.at(one.high),
        value=difference(one.effect, kind),
        interval=difference_interval(one.low, one.high, kind),
        note="",
    )


def _kind(result: EvaluationResult, name: str) -> str:
    return next((one.kind for one in result.metrics if one.metric == name), "mean")


def _score_tick(value: float, kind: str) -> str:
    if not -1e-9 <= value <= 1 + 1e-9:
        return ""
    return share(value).replace(".0\u00a0", "\u00a0") if kind == "proportion" else f"{value:.3g}"
