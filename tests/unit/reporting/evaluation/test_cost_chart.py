"""cost_chart.py: points and labels of cost against quality."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

from include.evaluation.result import VariantFacts
from include.reporting.evaluation.cost_chart import COST_HEIGHT, cost_charts
from tests.fixtures.evaluation_report import metric, result


def _facts(variant: str, cost: str | None) -> VariantFacts:
    usd = None if cost is None else Decimal(cost)
    return VariantFacts(variant=variant, model="m", answers=100, invalid=0, cost_usd=usd)


def test_the_cheaper_and_better_variant_is_in_the_upper_left() -> None:
    [chart] = cost_charts(result(variants=[_facts("current", "0.5"), _facts("short", "0.9")]))
    better, worse = chart.points
    assert better.name == "current"
    assert better.x < worse.x
    assert better.y < worse.y < COST_HEIGHT
    assert better.text == "current: 80.0\u00a0% for $5.00"


def test_the_cost_of_right_answers_is_known_only_for_right_and_wrong() -> None:
    variants = [_facts("current", "0.4"), _facts("short", "0.4")]
    [chart] = cost_charts(result(variants=variants, metrics=[metric("current", 0.8), metric("short", 0.0)]))
    assert {name: round(cost, 6) for name, cost in chart.right_answers.items()} == {"current": Decimal(5)}
    means = [metric("current", 0.8, kind="mean"), metric("short", 0.7, kind="mean")]
    assert cost_charts(result(variants=variants, metrics=means))[0].right_answers == {}


def test_amounts_on_the_axis_are_short() -> None:
    [chart] = cost_charts(result(variants=[_facts("current", "0.1"), _facts("short", "0.2")]))
    assert [tick.label for tick in chart.x_ticks] == ["$0", "$0.50", "$1", "$1.50", "$2"]


def test_labels_of_like_variants_do_not_cover_each_other() -> None:
    names = ["a", "b", "c", "d"]
    metrics = [metric(name, 0.8) for name in names]
    [chart] = cost_charts(result(variants=[_facts(name, "0.5") for name in names], metrics=metrics))
    places = [(point.left, point.label_y) for point in chart.points]
    assert len(set(places)) == 4
    for side in (True, False):
        heights = sorted(height for left, height in places if left is side)
        assert all(below - above >= 17 for above, below in pairwise(heights))


def test_a_label_at_the_right_end_is_on_the_left() -> None:
    [chart] = cost_charts(result(variants=[_facts("current", "0.1"), _facts("short", "0.6")]))
    assert [point.left for point in chart.points] == [False, True]


def test_a_chart_of_cost_needs_two_variants_with_a_known_cost() -> None:
    assert cost_charts(result(variants=[_facts("current", "0.5"), _facts("short", None)])) == []
