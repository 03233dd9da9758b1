"""bounds.py: values that are not known exactly yet."""

from __future__ import annotations

from decimal import Decimal

from include.enrichment.cost.bounds import Bounds, Usd


def test_bounds_around_a_value_are_never_negative() -> None:
    assert Bounds.around(5, 2) == Bounds(low=3, expected=5, high=7)
    assert Bounds.around(1, 2) == Bounds(low=0, expected=1, high=3)


def test_bounds_are_multiplied_and_capped_one_by_one() -> None:
    assert Bounds(low=1, expected=2, high=3).times(10) == Bounds(low=10, expected=20, high=30)
    assert Bounds(low=1, expected=2, high=3).capped(2.5) == Bounds(low=1, expected=2, high=2.5)


def test_dollars_are_added_exactly() -> None:
    cent = Usd(low=Decimal("0.01"), expected=Decimal("0.02"), high=Decimal("0.03"))
    assert cent + cent == Usd(low=Decimal("0.02"), expected=Decimal("0.04"), high=Decimal("0.06"))
