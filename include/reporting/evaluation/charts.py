"""What the charts show: positions, texts and colours. The template draws them as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from include.evaluation.result import Comparison, EvaluationResult, GateDecision, Metric
from include.reporting.evaluation.scale import Scale, Tick, make_scale
from include.reporting.evaluation.wording import (
    difference,
    difference_interval,
    difference_tick,
    interval,
    left_out,
    score,
    variant_name,
)
from include.reporting.wording import count, share

#: The colours of report.css for variants; further variants share the last one.
COLOURS = 7
#: A gate and its margins are in points, hundredths of the score, whatever the kind of the metric.
_POINTS = "proportion"
#: The score of a variant that is as often preferred as the baseline.
_TIE = 0.5


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

    :param reference: the position of the baseline's value, or of a tie with it; None without a baseline
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
    """

    metric: str
    baseline: str
    margin_points: float
    rows: list[GateRow]
    ticks: list[Tick]
    zero: float
    margin: float


@dataclass(frozen=True, kw_only=True)
class ComparisonChart:
    """The difference of a variant to its baseline, beside zero."""

    comparison: Comparison
    mark: Mark
    zero: float


def baseline_of(result: EvaluationResult, metric: str) -> str | None:
    """Return the variant that others are compared with under a metric; None if there is none in this evaluation."""
    names = {one.variant for one in result.variants}
    baselines: Sequence[GateDecision | Comparison] = [*result.gate, *result.comparisons]
    compared = [one.baseline for one in baselines if one.metric == metric]
    return next((name for name in compared if name in names), None)


def pairwise_metrics(result: EvaluationResult) -> set[str]:
    """Return the metrics of judges that compare two variants: the baseline has no score, and 0.5 is a tie with it."""
    return {one.metric for one in result.position_bias}


def colours(result: EvaluationResult) -> dict[str, int]:
    """Return the colour of each variant by its name."""
    return {one.variant: min(place, COLOURS - 1) for place, one in enumerate(result.variants)}


def interval_charts(result: EvaluationResult) -> list[IntervalChart]:
    """Return one chart for each metric, over all cases."""
    names = dict.fromkeys(one.metric for one in result.metrics if one.by is None)
    return [_interval_chart(result, name) for name in names]


def _interval_chart(result: EvaluationResult, name: str) -> IntervalChart:
    metrics = [one for one in result.metrics if one.metric == name and one.by is None]
    baseline = baseline_of(result, name)
    reference = next((one.value for one in metrics if one.variant == baseline), None)
    reference = _TIE if name in pairwise_metrics(result) else reference
    shown = ends(metrics) if reference is None else [*ends(metrics), reference]
    scale = make_scale(shown, partial(score_tick, kind=metrics[0].kind))
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
    scale = make_scale([*ends(decisions), 0.0, -first.margin], partial(difference_tick, kind=_POINTS))
    return GateChart(
        metric=first.metric,
        baseline=first.baseline,
        margin_points=100 * first.margin,
        rows=[GateRow(decision=one, mark=_difference_mark(one, _POINTS, scale, colours(result))) for one in decisions],
        ticks=scale.ticks,
        zero=scale.at(0.0),
        margin=scale.at(-first.margin),
    )


def comparison_charts(result: EvaluationResult) -> list[ComparisonChart]:
    """Return one chart for each comparison. Those of the same metric share an axis."""
    made = []
    for name in dict.fromkeys(one.metric for one in result.comparisons):
        found = [one for one in result.comparisons if one.metric == name]
        scale = make_scale([*ends(found), 0.0], partial(difference_tick, kind=found[0].kind))
        for one in found:
            mark = _difference_mark(one, one.kind, scale, colours(result))
            made.append(ComparisonChart(comparison=one, mark=mark, zero=scale.at(0.0)))
    return made


def ends(found: Sequence[Metric | Comparison | GateDecision]) -> list[float]:
    """Return the values and the ends of their intervals, where known."""
    middles = [one.value if isinstance(one, Metric) else one.effect for one in found]
    found_ends = [*middles, *(one.low for one in found), *(one.high for one in found)]
    return [end for end in found_ends if end is not None]


def _note(metric: Metric) -> str:
    without = left_out(metric)
    return count(metric.cases, "case", "cases") + (f"; {without}" if without else "")


def _mark(metric: Metric, scale: Scale, colour: int, note: str) -> Mark:
    return Mark(
        name=variant_name(metric.variant),
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
        name=variant_name(one.variant),
        colour=colour.get(one.variant, COLOURS - 1),
        at=None if one.effect is None else scale.at(one.effect),
        low=None if one.low is None else scale.at(one.low),
        high=None if one.high is None else scale.at(one.high),
        value=difference(one.effect, kind),
        interval=difference_interval(one.low, one.high, kind),
        note="",
    )


def score_tick(value: float, kind: str) -> str:
    if not -1e-9 <= value <= 1 + 1e-9:
        return ""
    return share(value).replace(".0\u00a0", "\u00a0") if kind == "proportion" else f"{value:.3g}"
