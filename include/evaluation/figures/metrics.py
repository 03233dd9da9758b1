"""The value of each metric of each variant, over all cases and over each group, with its interval."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.enrichment.errors import SpecError
from include.evaluation.figures.case_scores import CaseScores
from include.evaluation.result import Metric
from include.evaluation.spec.settings import FILE, EvaluationSettings
from include.evaluation.statistics import means, proportions
from include.evaluation.statistics.interval import Interval

#: The label of the group whose column is empty.
NO_GROUP = "(none)"
#: A column with more values is an identifier, and a report of its groups would be unreadable.
MOST_GROUPS = 1_000


def metrics(found: Iterable[CaseScores], cases: pd.DataFrame, settings: EvaluationSettings) -> Iterator[Metric]:
    """
    Yield each metric of each variant: over all cases, then over each group.

    :param cases: one row per case, with the columns of ``by`` and ``cluster``

    Raises SpecError if a column of ``by`` has more than 1,000 values.
    """
    clusters = cluster_of_each(cases, settings)
    everything = np.ones(len(cases), dtype=bool)
    groups = [(by, *_groups(cases[by])) for by in settings.by]
    for scores in found:
        yield _metric(scores, everything, clusters, settings)
        for by, codes, labels in groups:
            for code, label in enumerate(labels):
                yield _metric(scores, codes == code, clusters, settings).model_copy(update={"by": by, "group": label})


def cluster_of_each(cases: pd.DataFrame, settings: EvaluationSettings) -> NDArray[np.int64] | None:
    """Return the number of each case's cluster, or None if each case stands alone. An empty value is a cluster too."""
    if settings.cluster is None:
        return None
    return pd.factorize(cases[settings.cluster], use_na_sentinel=False)[0].astype(np.int64)


def _groups(column: pd.Series) -> tuple[NDArray[np.int64], list[str]]:
    if column.dtype == object:
        column = column.map(lambda value: value.hex() if isinstance(value, bytes) else value)
    codes, labels = pd.factorize(column.astype("string").fillna(NO_GROUP), sort=True)
    if len(labels) > MOST_GROUPS:
        raise SpecError(
            f"{FILE}: `by` names the column {column.name}, which has {len(labels):,} values in {len(column):,} cases."
            f" At most {MOST_GROUPS:,} values are groups. Nothing was evaluated, and the answers stay published. Name a"
            " column with fewer values and evaluate again: that costs nothing."
        )
    return codes.astype(np.int64), [str(label) for label in labels]


def _metric(
    scores: CaseScores, within: NDArray[np.bool_], clusters: NDArray[np.int64] | None, settings: EvaluationSettings
) -> Metric:
    chosen = within & (scores.samples > 0)
    interval = _interval(scores, chosen, clusters, settings)
    counted = {status: int(within[cases].sum()) for status, cases in scores.left_out.items()}
    return Metric(
        metric=scores.metric,
        variant=scores.variant,
        kind="proportion" if scores.right_or_wrong else "mean",
        value=float(scores.score[chosen].mean()) if chosen.any() else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        cases=int(chosen.sum()),
        missing=counted["missing"],
        skipped=counted["skipped"],
        unscored=counted["unscored"],
        method=interval.method if interval else "",
    )


def _interval(
    scores: CaseScores, chosen: NDArray[np.bool_], clusters: NDArray[np.int64] | None, settings: EvaluationSettings
) -> Interval | None:
    values = scores.score[chosen]
    if not len(values):
        return None
    if clusters is None and scores.right_or_wrong and scores.sampled_once:
        return proportions.wilson(int(values.sum()), len(values), confidence=settings.confidence)
    sums, sizes = means.clustered(values, None if clusters is None else clusters[chosen])
    return means.bootstrap(sums, sizes, confidence=settings.confidence, resamples=settings.resamples)
