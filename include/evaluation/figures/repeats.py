"""What several samples of the same case show: how much one sample can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import special

from include.evaluation.figures.case_scores import CaseScores
from include.evaluation.result import Repeats


def repeats(found: Iterable[CaseScores]) -> Iterator[Repeats]:
    """Yield what the samples of each metric and variant show; nothing for those whose cases have only one each."""
    for scores in found:
        if not scores.sampled_once:
            yield _repeats(scores)


def pass_at(right: NDArray[np.int64], samples: NDArray[np.int64], k: int) -> float | None:
    """
    Return the chance that at least one of ``k`` samples is right, as the unbiased mean over the cases.

    Source: Chen et al., "Evaluating Large Language Models Trained on Code" (2021), equation 1.

    :param right: the number of right samples of each case
    :param samples: the number of all samples of each case; those with fewer than ``k`` do not count
    :returns: None if no case has ``k`` samples
    """
    enough = samples >= k
    if not enough.any():
        return None
    total, wrong = samples[enough], (samples - right)[enough]
    return float((1 - special.comb(wrong, k) / special.comb(total, k)).mean())


def _repeats(scores: CaseScores) -> Repeats:
    several = scores.samples >= 2
    # Equal scores of a case are a run of its sorted scores.
    order = np.lexsort((scores.answer, scores.case))
    case, answer = scores.case[order], scores.answer[order]
    begins = np.flatnonzero(np.r_[True, (np.diff(case) != 0) | (np.diff(answer) != 0)])
    runs = np.diff(np.r_[begins, len(case)])
    kinds = np.bincount(case[begins], minlength=scores.cases)
    pairs = scores.samples * (scores.samples - 1) // 2
    most = int(scores.samples.max())
    chances: dict[int, float] = {}
    if scores.right_or_wrong:
        right = np.bincount(scores.case[scores.answer == 1], minlength=scores.cases)
        for k in range(1, most + 1):
            chance = pass_at(right, scores.samples, k)
            if chance is not None:
                chances[k] = chance
    return Repeats(
        metric=scores.metric,
        variant=scores.variant,
        samples=most,
        consistency=float((runs * (runs - 1) // 2).sum() / pairs.sum()),
        flickering=int((several & (kinds > 1)).sum()),
        pass_at=chances,
    )
