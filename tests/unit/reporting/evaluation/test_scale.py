"""scale.py: round axes in percent."""

from __future__ import annotations

import pytest

from include.reporting.evaluation.scale import make_scale


def test_an_axis_has_round_ends_around_all_values() -> None:
    scale = make_scale([0.812, 0.891], lambda value: f"{value:.2f}")
    assert [scale.low, scale.high] == pytest.approx([0.80, 0.90])
    assert [tick.label for tick in scale.ticks] == ["0.80", "0.82", "0.84", "0.86", "0.88", "0.90"]


def test_positions_rise_from_edge_to_edge_and_never_leave_the_chart() -> None:
    scale = make_scale([0.0, 1.0], str)
    assert [scale.at(value) for value in (-1, 0, 0.5, 1, 2)] == [2.0, 2.0, 50.0, 98.0, 98.0]


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.5]])
def test_an_axis_has_a_length_whatever_the_values(values: list[float]) -> None:
    scale = make_scale(values, str)
    assert scale.low < scale.high
    assert len(scale.ticks) > 1
