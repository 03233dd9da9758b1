"""Confusion matrices: how often each expected value got each answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from include.evaluation.figures.case_scores import CaseScores
from include.evaluation.result import Confusion
from include.evaluation.scores import Scores
from include.evaluation.spec.settings import EvaluationSettings

#: A larger table is unreadable, and a field with more labels is rarely a category.
MOST_LABELS = 30
#: The label of an answer without a value.
NO_ANSWER = "(none)"


def confusions(scores: Scores, found: Iterable[CaseScores], settings: EvaluationSettings) -> Iterator[Confusion]:
    """
    Yield a table for each metric and variant whose answers are right or wrong and whose values are few.

    An answer that is missing or could not be used has the label ``(none)``. All variants of a metric share its labels.

    :param found: of the same scores
    """
    by_metric: dict[str, list[CaseScores]] = {}
    for one in found:
        by_metric.setdefault(one.metric, []).append(one)
    for metric, of_metric in by_metric.items():
        if settings.metrics[metric].expected is not None and all(one.right_or_wrong for one in of_metric):
            yield from _confusions(scores, metric, [one.variant for one in of_metric])


def _confusions(scores: Scores, metric: str, variants: Sequence[str]) -> Iterator[Confusion]:
    rows = ((scores.scores["metric"] == metric) & (scores.scores["status"] != "missing")).to_numpy(dtype=bool)
    variant = scores.scores["variant"].to_numpy(dtype=object)[rows]
    expected, answer = (_labels(scores.texts[name][rows]) for name in ("expected", "answer"))
    labels = sorted({*expected.unique(), *answer.unique()}, key=lambda label: (label == NO_ANSWER, label))
    if len(labels) > MOST_LABELS:
        return
    right, given = (pd.Categorical(values, categories=labels).codes for values in (expected, answer))
    for name in variants:
        chosen = variant == name
        counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
        np.add.at(counts, (right[chosen], given[chosen]), 1)
        yield Confusion(metric=metric, variant=name, labels=labels, counts=counts.tolist())


def _labels(texts: pd.Series) -> pd.Series:
    values = texts.astype("string").fillna("")
    return values.where(values != "", NO_ANSWER)
