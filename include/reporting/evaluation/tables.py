"""The tables of groups and of confusions, in a size that a page can hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from include.evaluation.result import Confusion, EvaluationResult, Metric
from include.reporting.evaluation.wording import interval, score

#: The most groups of a table; the report says how many are left out.
MOST_GROUPS = 40
#: The most labels of a confusion matrix. The rarest others share a last one.
MOST_LABELS = 14
OTHER_LABELS = "all others"
#: The shades of report.css for the cells of a confusion matrix.
_SHADES = 8


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The metric of a variant in a group."""

    value: str
    interval: str
    cases: int
    lowest: bool


@dataclass(frozen=True, kw_only=True)
class GroupRow:
    """A group, with a cell for each variant in order; None if the variant has no case in it."""

    group: str
    cases: int
    cells: list[Cell | None]


@dataclass(frozen=True, kw_only=True)
class GroupTable:
    """
    A metric by the values of one column, the lowest scores first.

    :param left_out: groups that are not shown
    """

    metric: str
    by: str
    variants: list[str]
    rows: list[GroupRow]
    left_out: int


@dataclass(frozen=True, kw_only=True)
class ConfusionRow:
    """An expected label, and for each answered label the count and the shade (0: none of the row)."""

    label: str
    counts: list[tuple[int, int]]
    total: int


@dataclass(frozen=True, kw_only=True)
class ConfusionTable:
    """
    Expected labels by answered labels, the most frequent first.

    :param merged: the labels behind OTHER_LABELS
    """

    metric: str
    variant: str
    labels: list[str]
    rows: list[ConfusionRow]
    merged: int


def group_tables(result: EvaluationResult) -> list[GroupTable]:
    """Return one table for each metric and column."""
    order = [one.variant for one in result.variants]
    found: dict[tuple[str, str], dict[str, dict[str, Metric]]] = {}
    for metric in result.metrics:
        if metric.by is not None:
            groups = found.setdefault((metric.metric, metric.by), {})
            groups.setdefault(metric.group or "", {})[metric.variant] = metric
    return [_group_table(name, by, groups, order) for (name, by), groups in found.items()]


def confusion_tables(result: EvaluationResult) -> list[ConfusionTable]:
    """Return one table for each confusion matrix with at least two labels."""
    return [_confusion_table(one) for one in result.confusions if len(one.labels) > 1]


def _group_table(name: str, by: str, groups: dict[str, dict[str, Metric]], order: Sequence[str]) -> GroupTable:
    variants = [variant for variant in order if any(variant in metrics for metrics in groups.values())]
    lowest = {
        variant: min(
            (one.value for metrics in groups.values() if (one := metrics.get(variant)) and one.value is not None),
            default=None,
        )
        for variant in variants
    }
    ranked = sorted(
        groups.items(),
        key=lambda item: min((one.value for one in item[1].values() if one.value is not None), default=2.0),
    )
    rows = [
        GroupRow(
            group=group or "(empty)",
            cases=max(one.cases for one in metrics.values()),
            cells=[_cell(one, lowest[variant]) if (one := metrics.get(variant)) else None for variant in variants],
        )
        for group, metrics in ranked[:MOST_GROUPS]
    ]
    return GroupTable(metric=name, by=by, variants=variants, rows=rows, left_out=len(groups) - len(rows))


def _cell(metric: Metric, lowest: float | None) -> Cell:
    return Cell(
        value=score(metric.value, metric.kind),
        interval=interval(metric.low, metric.high, metric.kind),
        cases=metric.cases,
        lowest=metric.value is not None and metric.value == lowest,
    )


def _confusion_table(confusion: Confusion) -> ConfusionTable:
    size = len(confusion.labels)
    weight = [sum(confusion.counts[place]) + sum(row[place] for row in confusion.counts) for place in range(size)]
    ranked = sorted(range(size), key=lambda place: -weight[place])
    kept = ranked if size <= MOST_LABELS else ranked[: MOST_LABELS - 1]
    merged = ranked[len(kept) :]
    places = [[place] for place in kept] + ([merged] if merged else [])
    labels = [confusion.labels[place] or "(empty)" for place in kept] + ([OTHER_LABELS] if merged else [])
    rows = []
    for label, expected in zip(labels, places, strict=True):
        counts = [sum(confusion.counts[row][column] for row in expected for column in answered) for answered in places]
        total = sum(counts)
        shades = [(number, _shade(number, total)) for number in counts]
        rows.append(ConfusionRow(label=label, counts=shades, total=total))
    return ConfusionTable(
        metric=confusion.metric, variant=confusion.variant, labels=labels, rows=rows, merged=len(merged)
    )


def _shade(number: int, total: int) -> int:
    """Return the shade of a cell: 0 for an empty one, and at least 1 for any other."""
    return 0 if not number else max(1, round(_SHADES * number / total))
