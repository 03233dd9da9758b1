"""charts.py: the positions and texts of the charts."""

from __future__ import annotations

from include.evaluation.result import PositionBias, VariantFacts
from include.reporting.evaluation.charts import (
    COLOURS,
    baseline_of,
    colours,
    comparison_charts,
    gate_charts,
    interval_charts,
)
from tests.fixtures.evaluation_report import comparison, decision, metric, result


def test_the_variants_of_a_metric_share_an_axis_and_the_baseline_marks_it() -> None:
    [chart] = interval_charts(result())
    current, short = chart.marks
    assert chart.baseline == "current"
    assert chart.reference == current.at
    assert short.low is not None
    assert short.low < (short.at or 0) < (current.at or 0)
    assert (current.value, current.interval) == ("80.0\u00a0%", "75.0 to 85.0\u00a0%")


def test_a_pairwise_metric_is_marked_at_the_tie() -> None:
    bias = PositionBias(metric="category", judge="pairs", pairs=9, disagreements=0, unscored=0, first_share=0.5)
    [chart] = interval_charts(result(metrics=[metric("short", 0.7, kind="mean")], position_bias=[bias]))
    assert chart.reference is not None
    assert chart.reference < (chart.marks[0].low or 0)


def test_the_number_of_cases_stands_once_if_it_is_the_same_for_all() -> None:
    [chart] = interval_charts(result())
    assert (chart.note, [mark.note for mark in chart.marks]) == ("100 cases", ["", ""])
    [chart] = interval_charts(result(metrics=[metric(), metric("short", 0.7, cases=90, unscored=10)]))
    assert (chart.note, [mark.note for mark in chart.marks]) == ("", ["100 cases", "90 cases; 10 unscored"])


def test_groups_are_no_marks() -> None:
    assert interval_charts(result(metrics=[metric(by="shelf", group="Toys")])) == []


def test_a_variant_without_a_score_has_no_mark() -> None:
    [chart] = interval_charts(result(metrics=[metric(), metric("short", None, cases=0)]))
    assert chart.marks[1].at is None
    assert chart.marks[1].value == "no score"


def test_the_gate_has_the_margin_left_of_zero_and_the_difference_on_the_same_axis() -> None:
    [chart] = gate_charts(result(gate=[decision()]))
    [row] = chart.rows
    assert row.mark.at is not None
    assert row.mark.at < chart.margin < chart.zero
    assert row.mark.value == "−6.0 points"


def test_the_gate_is_in_points_whatever_the_kind_of_the_metric() -> None:
    metrics = [metric(kind="mean"), metric("short", 0.7, kind="mean")]
    assert gate_charts(result(metrics=metrics, gate=[decision()]))[0].rows[0].mark.value == "−6.0 points"


def test_conditions_with_the_same_metric_margin_and_baseline_share_a_chart() -> None:
    gate = [decision(), decision(variant="long", verdict="pass", effect=0.01), decision(margin=0.1)]
    assert [[row.decision.variant for row in chart.rows] for chart in gate_charts(result(gate=gate))] == [
        ["short", "long"],
        ["short"],
    ]


def test_comparisons_of_a_metric_share_an_axis() -> None:
    charts = comparison_charts(result(comparisons=[comparison(), comparison(variant="long", effect=0.2, high=0.3)]))
    assert charts[0].zero == charts[1].zero
    assert charts[1].mark.at is not None
    assert charts[1].mark.at > charts[1].zero


def test_an_unknown_difference_has_no_mark() -> None:
    unknown = {"effect": None, "low": None, "high": None}
    assert comparison_charts(result(comparisons=[comparison(**unknown)]))[0].mark.at is None
    assert gate_charts(result(gate=[decision(**unknown)]))[0].rows[0].mark.at is None


def test_a_baseline_of_an_earlier_evaluation_is_no_variant_of_this_one() -> None:
    assert baseline_of(result(), "category") == "current"
    assert baseline_of(result(comparisons=[comparison(baseline="20261101T000000Z-abc")]), "category") is None
    assert baseline_of(result(), "pitch") is None


def test_more_variants_than_colours_share_the_last_one() -> None:
    many = result(
        variants=[VariantFacts(variant=f"v{number}", model="m", answers=1, invalid=0) for number in range(COLOURS + 2)]
    )
    assert list(colours(many).values()) == [*range(COLOURS), COLOURS - 1, COLOURS - 1]
