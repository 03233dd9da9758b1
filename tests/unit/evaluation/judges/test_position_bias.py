"""
Asking both orders of a pair undoes a judge's preference for what it reads first. Asking one order at random does not.

The judge is the emulator's. It prefers the first answer in 70% of all verdicts, as its opinion is by position in 40% of
the pairs. Of the other pairs, the candidate's answer is the better one in 60%.
"""

from __future__ import annotations

import random

import pytest

from include.emulator.faults.answer_kinds import Preference
from include.evaluation.judges.both_orders import Merged, Pair, merge_orders
from include.evaluation.judges.judge import JudgedRow
from include.evaluation.judges.trust import position_bias

_PAIRS, _SEEDS = 200, 30
_BY_POSITION, _BETTER = 0.4, 0.6
_ORDERS = (("current", "candidate"), ("candidate", "current"))
_POINTS = {"candidate": 1.0, "tie": 0.5, "current": 0.0}


def _judge(by_position: float) -> Preference:
    return Preference(
        first="<first>(.*?)</first>",
        second="<second>(.*?)</second>",
        better="candidate",
        share=_BETTER,
        by_position=by_position,
    )


def _rows(judge: Preference, seed: int) -> list[list[JudgedRow]]:
    """The verdicts of each pair on both orders."""
    found = []
    for case in range(_PAIRS):
        rows = []
        for names in _ORDERS:
            texts = [f"{name} {seed}.{case}" for name in names]
            verdict = judge.change(None, f"<first>{texts[0]}</first><second>{texts[1]}</second>", 0)
            rows.append(JudgedRow(case=case, sample=1, names=names, grade=verdict, reason=""))
        found.append(rows)
    return found


def _in_both_orders(rows: list[list[JudgedRow]]) -> dict[Pair, Merged]:
    return merge_orders(row for both in rows for row in both)


def _mean(merged: dict[Pair, Merged]) -> float:
    return sum(_POINTS[str(one.winner)] for one in merged.values()) / len(merged)


def _in_one_order(rows: list[list[JudgedRow]], choose: random.Random | None) -> float:
    """The candidate's share of wins if each pair is asked once: in a random order, or with ``current`` first."""
    chosen = [both[choose.randrange(2)] if choose else both[0] for both in rows]
    winners = [row.names[0] if row.grade == "first" else row.names[1] for row in chosen]
    return sum(winner == "candidate" for winner in winners) / len(winners)


@pytest.fixture(scope="module")
def errors() -> dict[str, list[float]]:
    """
    How far each way of asking is from the truth of the same pairs, for many sets of pairs.

    The truth is the judge's own opinion of the answers. Where it has none, and goes by position, they are equally good.
    """
    found: dict[str, list[float]] = {"both": [], "random": [], "fixed": []}
    for seed in range(_SEEDS):
        biased, honest = _rows(_judge(_BY_POSITION), seed), _rows(_judge(0), seed)
        truth = [
            0.5 if both[0].grade == both[1].grade else _POINTS[str(one.winner)]
            for both, one in zip(biased, _in_both_orders(honest).values(), strict=True)
        ]
        mean = sum(truth) / len(truth)
        found["both"].append(_mean(_in_both_orders(biased)) - mean)
        found["random"].append(_in_one_order(biased, random.Random(seed)) - mean)
        found["fixed"].append(_in_one_order(biased, None) - mean)
    return found


def _within_two_points(errors: list[float]) -> float:
    return sum(abs(error) <= 0.02 for error in errors) / len(errors)


def test_both_orders_are_within_two_points_of_the_truth(errors: dict[str, list[float]]) -> None:
    assert _within_two_points(errors["both"]) == 1


def test_a_random_order_is_further_off_in_one_set_of_three(errors: dict[str, list[float]]) -> None:
    assert _within_two_points(errors["random"]) < 0.85


def test_one_fixed_order_is_off_by_half_the_pairs_that_position_decides(errors: dict[str, list[float]]) -> None:
    assert sum(errors["fixed"]) / len(errors["fixed"]) == pytest.approx(-_BY_POSITION / 2, abs=0.01)


def test_the_bias_is_reported() -> None:
    merged = [one for seed in range(10) for one in _in_both_orders(_rows(_judge(_BY_POSITION), seed)).values()]
    found = position_bias("pitch", "judge", merged)
    assert found.first_share == pytest.approx(0.7, abs=0.02)
    assert found.disagreements / found.pairs == pytest.approx(_BY_POSITION, abs=0.03)
