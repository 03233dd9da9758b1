"""How far several graders of the same cases agree, beyond what chance alone would give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import krippendorff
import numpy as np

#: ``nominal``: two grades are the same or not. ``ordinal``: their order counts.
Level = Literal["nominal", "ordinal"]


def cohens_kappa(
    first: Sequence[float | str], second: Sequence[float | str], *, level: Level = "nominal"
) -> float | None:
    """
    Return Cohen's kappa of two graders: 1 is perfect agreement, 0 that of chance.

    :param first: one grade per case, none of them missing
    :param second: the grades of the same cases in the same order
    :param level: if ``ordinal``, a disagreement weighs the square of the distance of its ranks
    :returns: None without cases, or if both give all cases the same grade: chance alone would agree
    """
    grades = sorted({*first, *second}, key=lambda grade: (isinstance(grade, str), grade))
    if len(grades) < 2:
        return None
    position = {grade: number for number, grade in enumerate(grades)}
    counts = np.zeros((len(grades), len(grades)))
    np.add.at(counts, ([position[grade] for grade in first], [position[grade] for grade in second]), 1)
    apart = np.subtract.outer(np.arange(len(grades)), np.arange(len(grades)))
    weights = (apart != 0).astype(np.float64) if level == "nominal" else apart**2
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    return 1 - float((weights * counts).sum() / (weights * expected).sum())


def krippendorffs_alpha(graders: Sequence[Sequence[float | str | None]], *, level: Level = "nominal") -> float | None:
    """
    Return Krippendorff's alpha of any number of graders, who need not grade every case: 1 is perfect agreement.

    :param graders: for each grader one grade per case, in the same order; None: no grade
    :returns: None if no case has two grades, or if all grades are the same
    """
    given = [grade for grades in graders for grade in grades if grade is not None]
    paired = any(sum(grade is not None for grade in case) > 1 for case in zip(*graders, strict=True))
    if not paired or len(set(given)) < 2:
        return None
    values = sorted(set(given), key=lambda grade: (isinstance(grade, str), grade))
    numbers = {value: float(place) for place, value in enumerate(values)}
    data = [[np.nan if grade is None else numbers[grade] for grade in grades] for grades in graders]
    return float(krippendorff.alpha(reliability_data=data, level_of_measurement=level))
