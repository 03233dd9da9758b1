"""The scores of an evaluation: one for each case, variant, sample and metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

#: What became of one answer under one metric. ``scored``: it has a score. ``missing``: the case has no expected value,
#: so the metric leaves it out. ``skipped``: the answer has no value and ``on_missing`` is skip. ``unscored``: no grade
#: could be read, which is never the same as wrong.
Status = Literal["scored", "missing", "skipped", "unscored"]


@dataclass(frozen=True, kw_only=True)
class Grade:
    """
    What a grader says of one answer.

    :param score: from 0 to 1; None unless it is scored
    :param detail: why, for people
    """

    status: Status
    score: float | None = None
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """
    All scores of an evaluation.

    :param scores: columns ``case`` (int64, the position in ``cases``), ``variant``, ``metric`` and ``status``
        (categories), ``sample`` (int64, from 1) and ``score`` (float64, from 0 to 1, NaN unless it is scored)
    :param texts: the same rows in the same order: columns ``expected``, ``answer`` and ``detail``, for people
    :param cases: one row per case: the key columns of the source, then the columns of ``by`` and ``cluster``
    """

    scores: pd.DataFrame
    texts: pd.DataFrame
    cases: pd.DataFrame
