"""Each variant against the baseline, case by case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from include.evaluation.figures.case_scores import CaseScores
from include.evaluation.result import Comparison
from include.evaluation.spec.settings import EvaluationSettings
from include.evaluation.statistics.holm import holm
from include.evaluation.statistics.paired import compare


@dataclass(frozen=True, kw_only=True)
class Pair:
    """
    One metric of a variant and of its baseline.

    :param baseline: the name of a variant, or of an earlier evaluation
    :param before: the baseline's score of each case; NaN: none
    :param kind: a proportion if all answers are right or wrong, or if a judge says which one is better
    :param whole: each case is won, lost or tied, without anything in between
    """

    scores: CaseScores
    baseline: str
    before: NDArray[np.float64]
    kind: Literal["proportion", "mean"]
    whole: bool

    @property
    def differences(self) -> NDArray[np.float64]:
        """Of each case, the variant's score less the baseline's; NaN if one of both is missing."""
        return self.scores.score - self.before


def pairs(
    found: Sequence[CaseScores],
    settings: EvaluationSettings,
    pinned: Mapping[str, Sequence[CaseScores]],
    preferred_to: Mapping[str, str] | None = None,
) -> list[Pair]:
    """
    Return the pairs to compare: under each metric every variant with the default baseline and with those of the gate.

    :param pinned: the scores of earlier evaluations, for the cases of this one, by the name of the evaluation
    :param preferred_to: the variant that the judges of a pairwise metric compare the others with, by metric
    """
    variants = list(dict.fromkeys(scores.variant for scores in found))
    default = default_baseline(variants, settings)
    by_name = {(scores.metric, scores.variant): scores for scores in found}
    wanted = []
    for scores in found:
        if preferred_to and scores.metric in preferred_to:
            wanted.append(_preferred(scores, preferred_to[scores.metric]))
            continue
        pairwise = _is_pairwise(scores.metric, settings)
        of_gate = [one.baseline for one in settings.gate if one.metric == scores.metric]
        for baseline in dict.fromkeys([default, *of_gate]):
            if baseline == scores.variant:
                continue
            # Scores of pairs depend on what each variant is compared with, so those of an evaluation stand alone.
            earlier = None if pairwise else _earlier(scores, pinned.get(baseline, ()))
            before = by_name.get((scores.metric, baseline)) or earlier
            if before is not None:
                wanted.append(_paired(scores, before, baseline))
    return wanted


def default_baseline(variants: Sequence[str], settings: EvaluationSettings) -> str:
    """Return the variant that the others are compared with: the gate's, else ``current``, else the first."""
    named = [one.baseline for one in settings.gate]
    return next((name for name in [*named, "current"] if name in variants), variants[0] if variants else "")


def comparisons(
    wanted: Iterable[Pair], clusters: NDArray[np.int64] | None, settings: EvaluationSettings
) -> list[Comparison]:
    """Compare each pair on the cases that both have a score for, and correct the p-values for their number (Holm)."""
    found = [_comparison(pair, clusters, settings) for pair in wanted]
    adjusted = holm([one.p_value for one in found])
    return [one.model_copy(update={"p_adjusted": p_value}) for one, p_value in zip(found, adjusted, strict=True)]


def _is_pairwise(metric: str, settings: EvaluationSettings) -> bool:
    return metric in settings.metrics and settings.metrics[metric].pairwise is not None


def _preferred(scores: CaseScores, baseline: str) -> Pair:
    """What a judge preferred: the baseline has the rest of each score, so the effect is wins less losses."""
    decided = bool(np.isin(scores.answer, (0, 0.5, 1)).all())
    return Pair(
        scores=scores,
        baseline=baseline,
        before=1 - scores.score,
        kind="proportion" if decided else "mean",
        whole=decided and scores.sampled_once,
    )


def _paired(scores: CaseScores, before: CaseScores, baseline: str) -> Pair:
    decided = scores.right_or_wrong and before.right_or_wrong
    return Pair(
        scores=scores,
        baseline=baseline,
        before=before.score,
        kind="proportion" if decided else "mean",
        whole=decided and scores.sampled_once and before.sampled_once,
    )


def _earlier(scores: CaseScores, pinned: Sequence[CaseScores]) -> CaseScores | None:
    """The same variant of an earlier evaluation, or the only one that it has."""
    of_metric = {one.variant: one for one in pinned if one.metric == scores.metric}
    only = next(iter(of_metric.values())) if len(of_metric) == 1 else None
    return of_metric.get(scores.variant, only)


def _comparison(pair: Pair, clusters: NDArray[np.int64] | None, settings: EvaluationSettings) -> Comparison:
    shared = ~np.isnan(pair.differences)
    found = compare(
        pair.differences[shared],
        None if clusters is None else clusters[shared],
        whole=pair.whole,
        confidence=settings.confidence,
        resamples=settings.resamples,
    )
    return Comparison(
        metric=pair.scores.metric,
        variant=pair.scores.variant,
        baseline=pair.baseline,
        kind=pair.kind,
        cases=found.cases,
        effect=found.effect,
        low=found.interval.low if found.interval else None,
        high=found.interval.high if found.interval else None,
        p_value=found.p_value,
        p_adjusted=None,
        wins=found.wins,
        losses=found.losses,
        ties=found.ties,
        test=found.test,
        method=found.interval.method if found.interval else "",
        detectable=found.detectable,
    )
