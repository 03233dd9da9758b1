"""How far judges agree with a human and with each other, and whether they prefer what they read first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from include.evaluation.judges.both_orders import Merged
from include.evaluation.result import JudgeAgreement, PositionBias
from include.evaluation.spec.judge_options import Options
from include.evaluation.statistics.agreement import Level, cohens_kappa, krippendorffs_alpha

#: Grades of answers or of pairs, as numbers or words.
Grades = Mapping[Any, float | str]


def agreements(
    metric: str, options: Options, graded: Mapping[str, Grades], human: Grades, *, level: Level
) -> list[JudgeAgreement]:
    """
    Return the agreement of each judge with the human, then that of all judges with each other.

    :param graded: by judge
    :param human: empty if no human has graded anything
    :param level: ``ordinal`` if grades have an order; then a greater distance is a greater disagreement
    """
    found = [_with_human(metric, judge, options, grades, human, level) for judge, grades in graded.items() if human]
    if len(graded) > 1:
        found.append(_with_each_other(metric, options, graded, level))
    return found


def _with_human(
    metric: str, judge: str, options: Options, grades: Grades, human: Grades, level: Level
) -> JudgeAgreement:
    both = [answer for answer in human if answer in grades]
    value = cohens_kappa([grades[one] for one in both], [human[one] for one in both], level=level)
    return JudgeAgreement(
        metric=metric,
        judge=judge,
        with_whom="human",
        cases=len(both),
        statistic="weighted kappa" if level == "ordinal" else "Cohen's kappa",
        value=value,
        threshold=options.least_kappa,
        trusted=_is_trusted(value, options.least_kappa),
    )


def _with_each_other(metric: str, options: Options, graded: Mapping[str, Grades], level: Level) -> JudgeAgreement:
    answers = list(dict.fromkeys(answer for grades in graded.values() for answer in grades))
    graders = [[grades.get(answer) for answer in answers] for grades in graded.values()]
    value = krippendorffs_alpha(graders, level=level)
    return JudgeAgreement(
        metric=metric,
        judge=", ".join(graded),
        with_whom="each other",
        cases=sum(sum(grade is not None for grade in one) > 1 for one in zip(*graders, strict=True)),
        statistic="Krippendorff's alpha",
        value=value,
        threshold=options.least_alpha,
        trusted=_is_trusted(value, options.least_alpha),
    )


def _is_trusted(value: float | None, threshold: float | None) -> bool:
    return threshold is None or (value is not None and value >= threshold)


def position_bias(metric: str, judge: str, merged: Sequence[Merged]) -> PositionBias:
    """Return how often a judge decided by position, from both orders of its pairs."""
    decided = sum(one.decided for one in merged)
    return PositionBias(
        metric=metric,
        judge=judge,
        pairs=len(merged),
        disagreements=sum(one.winner is not None and not one.agreed for one in merged),
        unscored=sum(one.winner is None for one in merged),
        first_share=sum(one.firsts for one in merged) / decided if decided else None,
    )
