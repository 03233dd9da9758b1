"""Wilson's interval."""

from __future__ import annotations

import pytest

from include.evaluation.statistics.proportions import wilson


def test_wilsons_interval_is_that_of_newcombes_worked_example() -> None:
    """Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for right, cases, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        found = wilson(right, cases, confidence=0.95)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
