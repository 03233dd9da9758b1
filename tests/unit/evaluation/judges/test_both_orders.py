"""both_orders.py: a winner must win in both orders."""

from __future__ import annotations

import pytest

from include.evaluation.judges.both_orders import Merged, Pair, merge_orders
from include.evaluation.judges.judge import JudgedRow


def merged(one: str | None, other: str | None) -> Merged:
    """The verdict of ``a`` before ``b``, merged with that of ``b`` before ``a``."""
    orders = [(("a", "b"), one), (("b", "a"), other)]
    rows = [JudgedRow(case=0, sample=1, names=names, grade=grade, reason="why") for names, grade in orders]
    ((pair, found),) = merge_orders(rows).items()
    assert pair == Pair(case=0, sample=1, variants=("a", "b"))
    return found


@pytest.mark.parametrize(
    ("one", "other", "winner", "agreed"),
    [
        ("first", "second", "a", True),
        ("second", "first", "b", True),
        ("tie", "tie", "tie", True),
        ("first", "first", "tie", False),
        ("second", "second", "tie", False),
        ("first", "tie", "tie", False),
        ("first", None, None, False),
        (None, None, None, False),
        ("first", "neither of them", None, False),
    ],
)
def test_orders_that_disagree_are_a_tie(one: str | None, other: str | None, winner: str | None, agreed: bool) -> None:
    found = merged(one, other)
    assert (found.winner, found.agreed) == (winner, agreed)


def test_what_is_shown_first_is_counted_among_the_verdicts_with_a_winner() -> None:
    counts = [
        (one.firsts, one.decided) for one in (merged("first", "first"), merged("tie", "first"), merged(None, "tie"))
    ]
    assert counts == [(2, 2), (1, 1), (0, 0)]


def test_a_pair_with_one_order_has_no_verdict() -> None:
    row = JudgedRow(case=0, sample=1, names=("a", "b"), grade="first", reason="")
    assert [one.winner for one in merge_orders([row]).values()] == [None]


def test_the_reason_is_that_of_both_orders() -> None:
    assert merged("first", "tie").reason == "a before b: prefers a. why\nb before a: a tie. why"
