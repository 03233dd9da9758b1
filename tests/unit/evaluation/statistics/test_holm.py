"""Holm's correction."""

from __future__ import annotations

import pytest

from include.evaluation.statistics.holm import holm


def test_adjusted_p_values_are_those_of_pingouins_worked_example() -> None:
    """The example in the documentation of pingouin.holm."""
    assert holm([0.50, 0.003, 0.32, 0.054, 0.0003]) == pytest.approx([0.64, 0.012, 0.64, 0.162, 0.0015])


def test_a_comparison_without_a_test_does_not_count() -> None:
    assert holm([None, 0.02, None, 0.03]) == [None, 0.04, None, 0.04]
    assert holm([None]) == [None]
    assert holm([]) == []
