"""The scores of an evaluation: one for each case, variant, sample and metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

#: The status of one answer under one metric. ``scored``: it has a score. ``missing``: the case has no expected value,
#: so the metric leaves it out. ``skipped``: the answer has no value and ``on_missing`` is skip. ``unscored``: no grade
#: could be read, which is never the same as wrong.
Status = Literal["scored", "missing", "skipped", "unscored"]


@dataclass(frozen=True, kw_only=True)
class Grade:
    """
    The grade of one answer.

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


def score_rows(
    metric: str,
    *,
    case: Sequence[int] | np.ndarray[tuple[int], np.dtype[np.int64]],
    variant: Sequence[str],
    sample: Sequence[int],
    grades: Sequence[Grade],
    expected: Sequence[str],
    answers: Sequence[str],
    cases: pd.DataFrame,
) -> Scores:
    """
    Return the scores of one metric: one row for each of the answers, in their order.

    :param case: the position in ``cases`` of each answer's case
    :param expected: for people, as ``answers``
    """
    scores = pd.DataFrame(
        {
            "case": np.asarray(case, np.int64),
            "variant": pd.Categorical(list(variant), categories=list(dict.fromkeys(variant))),
            "metric": pd.Categorical([metric] * len(grades), categories=[metric]),
            "status": pd.Categorical([grade.status for grade in grades], categories=list(get_args(Status))),
            "sample": np.asarray(sample, np.int64),
            "score": np.array([np.nan if grade.score is None else grade.score for grade in grades], np.float64),
        }
    )
    details = [grade.detail for grade in grades]
    texts = pd.DataFrame({"expected": list(expected), "answer": list(answers), "detail": details}, dtype="str")
    return Scores(scores=scores, texts=texts, cases=cases)


def join_scores(parts: Sequence[Scores], *, cases: pd.DataFrame) -> Scores:
    """Return the scores of several metrics, in their order, as one. All are of the same cases."""
    none = score_rows("", case=[], variant=[], sample=[], grades=[], expected=[], answers=[], cases=cases)
    # The categories of no values have no type that could be joined.
    whole = [part for part in parts if len(part.scores)] or [none]
    scores = pd.concat([part.scores for part in whole], ignore_index=True)
    for column in ("variant", "metric", "status"):
        scores[column] = union_categoricals([part.scores[column] for part in whole])
    scores["metric"] = scores["metric"].cat.remove_unused_categories()
    return Scores(scores=scores, texts=pd.concat([part.texts for part in whole], ignore_index=True), cases=cases)
