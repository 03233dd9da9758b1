"""Computes the figures of an evaluation from its scores: metrics, repeats, comparisons, and the gate's verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from include.evaluation.figures.case_scores import CaseScores, case_scores
from include.evaluation.figures.comparison import comparisons, pairs
from include.evaluation.figures.confusion import confusions
from include.evaluation.figures.gate import decide, verdict
from include.evaluation.figures.metrics import cluster_of_each, metrics
from include.evaluation.figures.repeats import repeats
from include.evaluation.result import Comparison, Confusion, GateDecision, Metric, Repeats, Verdict
from include.evaluation.scores import Scores
from include.evaluation.spec.settings import EvaluationSettings


@dataclass(frozen=True, kw_only=True)
class Figures:
    """
    The part of an EvaluationResult that follows from the scores; its fields have the same names.

    :param verdict: ``fail`` if a condition with ``on: fail`` fails, else ``inconclusive`` if one is inconclusive, else
        ``pass``
    """

    metrics: list[Metric]
    repeats: list[Repeats]
    comparisons: list[Comparison]
    gate: list[GateDecision]
    confusions: list[Confusion]
    verdict: Verdict


def evaluate(
    scores: Scores,
    settings: EvaluationSettings,
    *,
    key: Sequence[str] = (),
    pinned: Mapping[str, Scores] | None = None,
    preferred_to: Mapping[str, str] | None = None,
) -> Figures:
    """
    Compute all figures of an evaluation. The same scores always give the same figures.

    :param key: the columns of ``scores.cases`` that tell one case from another; needed for ``pinned``
    :param pinned: earlier evaluations, by what a condition of the gate calls its baseline (an id or ``latest``)
    :param preferred_to: the variant that the judges of a pairwise metric compare the others with, by metric; it has no
        scores of its own
    """
    found = list(case_scores(scores))
    variants = list(dict.fromkeys([*(one.variant for one in found), *(preferred_to or {}).values()]))
    clusters = cluster_of_each(scores.cases, settings)
    earlier = {name: _of_these_cases(other, scores, list(key)) for name, other in (pinned or {}).items()}
    compared = comparisons(pairs(found, settings, earlier, preferred_to), clusters, settings)
    decisions = list(decide(compared, variants, settings))
    return Figures(
        metrics=list(metrics(found, scores.cases, settings)),
        repeats=list(repeats(found)),
        comparisons=compared,
        gate=decisions,
        confusions=list(confusions(scores, found, settings)),
        verdict=verdict(decisions),
    )


def _of_these_cases(earlier: Scores, scores: Scores, key: list[str]) -> list[CaseScores]:
    """The scores of an earlier evaluation for the cases that this one has too, found by their keys."""
    index = pd.MultiIndex.from_frame(scores.cases[key])
    place = index.get_indexer(pd.MultiIndex.from_frame(earlier.cases[key]))
    rows = place[earlier.scores["case"].to_numpy()] >= 0
    shared = earlier.scores[rows]
    frame = shared.assign(case=place[shared["case"].to_numpy()])
    return list(case_scores(Scores(scores=frame, texts=earlier.texts[rows], cases=scores.cases)))
