"""One metric of one variant: the scores of its answers, and of its cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.evaluation.scores import Scores, Status

LEFT_OUT: tuple[Status, ...] = ("missing", "skipped", "unscored")


@dataclass(frozen=True, kw_only=True)
class CaseScores:
    """
    What one metric says of one variant.

    :param cases: the number of all cases of the evaluation
    :param case: of each answer with a score, the position of its case
    :param answer: the score of the same answer
    :param left_out: by status, the cases of the answers without a score
    """

    metric: str
    variant: str
    cases: int
    case: NDArray[np.int64]
    answer: NDArray[np.float64]
    left_out: Mapping[Status, NDArray[np.int64]]

    @cached_property
    def samples(self) -> NDArray[np.int64]:
        """Of each case, the number of its answers that have a score."""
        return np.bincount(self.case, minlength=self.cases)

    @cached_property
    def score(self) -> NDArray[np.float64]:
        """Of each case, the mean score of its answers; NaN if none has one."""
        with np.errstate(invalid="ignore"):
            return np.bincount(self.case, weights=self.answer, minlength=self.cases) / self.samples

    @cached_property
    def right_or_wrong(self) -> bool:
        """Whether every answer scores 0 or 1."""
        return bool(np.isin(self.answer, (0, 1)).all())

    @cached_property
    def sampled_once(self) -> bool:
        """Whether no case has several answers with a score."""
        return bool((self.samples <= 1).all())


def case_scores(scores: Scores) -> Iterator[CaseScores]:
    """Yield the scores of each metric and variant, in their order of appearance or of their categories."""
    frame = scores.scores
    metrics, variants, statuses = (_coded(frame[name]) for name in ("metric", "variant", "status"))
    case = frame["case"].to_numpy(dtype=np.int64)
    score = frame["score"].to_numpy(dtype=np.float64)
    codes = {status: statuses[1].index(status) if status in statuses[1] else -2 for status in ("scored", *LEFT_OUT)}
    for metric_code, metric in enumerate(metrics[1]):
        of_metric = np.flatnonzero(metrics[0] == metric_code)
        for variant_code, variant in enumerate(variants[1]):
            rows = of_metric[variants[0][of_metric] == variant_code]
            if not len(rows):  # a pairwise metric says nothing of its baseline
                continue
            status = statuses[0][rows]
            scored = rows[status == codes["scored"]]
            yield CaseScores(
                metric=metric,
                variant=variant,
                cases=len(scores.cases),
                case=case[scored],
                answer=score[scored],
                left_out={one: case[rows[status == codes[one]]] for one in LEFT_OUT},
            )


def _coded(column: pd.Series) -> tuple[NDArray[np.int64], list[str]]:
    """Return the code of each value, and the value of each code."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return np.asarray(column.cat.codes, dtype=np.int64), [str(value) for value in column.cat.categories]
    codes, values = pd.factorize(column)
    return np.asarray(codes, dtype=np.int64), [str(value) for value in values]
