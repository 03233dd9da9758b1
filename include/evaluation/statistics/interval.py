"""A confidence interval."""

from __future__ import annotations

from typing import NamedTuple


class Interval(NamedTuple):
    """
    Both ends, and how they were found.

    :param method: its name in the field
    """

    low: float
    high: float
    method: str


def unanimous(score: float, clusters: int, *, confidence: float, lowest: float = 0, highest: float = 1) -> Interval:
    """
    Return the interval of a mean when all clusters have the same score: what they can hide, not a width of zero.

    If a share of ``1 - tail ** (1 / clusters)`` of all cases scores otherwise, the probability that none of them was
    drawn is ``tail``. At worst these score ``lowest``, or ``highest``. (The exact interval of Clopper and Pearson
    for a share that was never seen.)

    :param lowest: the least possible score
    :param highest: the greatest possible score
    """
    unseen = 1 - ((1 - confidence) / 2) ** (1 / clusters)
    return Interval(
        low=score - unseen * (score - lowest),
        high=score + unseen * (highest - score),
        method="exact, as all scores are equal",
    )
