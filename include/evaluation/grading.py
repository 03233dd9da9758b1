"""Grades the answers of a published partition by evaluation.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from include.enrichment.errors import LoadError
from include.enrichment.spec.pipeline import Pipeline
from include.evaluation.cases import Cases, Positions, number_cases, samples_of, variants_of
from include.evaluation.graders.grader import RIGHT, Answers, Grader, wrong
from include.evaluation.graders.json_values import as_text
from include.evaluation.graders.registry import read_grader
from include.evaluation.scores import Grade, Scores, join_scores, score_rows
from include.evaluation.spec.settings import FILE, EvaluationSettings, MetricSettings

#: The grade of an answer to a case without an expected value.
_MISSING = Grade(status="missing", detail="the case has no expected value")
_NOT_NULL = wrong("the right answer has no value")
_NO_VALUE = "the answer has no value"


def grade_table(table: pa.Table, rejects: pa.Table, settings: EvaluationSettings, pipeline: Pipeline) -> Scores:
    """
    Return the scores of all metrics with a grader. Those of judges are not among them: join_scores() adds them.

    :param table: the published rows of the partition: one for each case, variant and sample
    :param rejects: its rejects, which count as answers without a value
    :param settings: what read_evaluation() returns for the pipeline

    Raises LoadError if an answer has no value and ``on_missing`` is error, and SpecError if an option of a grader does
    not fit the table.
    """
    cases = number_cases(table, rejects, settings, pipeline)
    answered = _Answered.of(table, rejects, cases)
    graded = [_grade_metric(name, metric, answered) for name, metric in settings.metrics.items() if metric.has_grader]
    return join_scores(graded, cases=cases.frame)


@dataclass(frozen=True, kw_only=True)
class _Answered:
    """
    The rows of the table, followed by the rejects.

    :param case: the position of each row's case; the next two likewise
    """

    table: pa.Table
    rejects: pa.Table
    cases: Cases
    case: Positions
    variant: Sequence[str]
    sample: Sequence[int]

    @classmethod
    def of(cls, table: pa.Table, rejects: pa.Table, cases: Cases) -> _Answered:
        both = [table, rejects]
        return cls(
            table=table,
            rejects=rejects,
            cases=cases,
            case=np.concatenate([cases.positions(rows) for rows in both]),
            variant=[name for rows in both for name in variants_of(rows)],
            sample=[number for rows in both for number in samples_of(rows)],
        )

    def of_source(self, column: str | None) -> list[Any]:
        """Return the values of a column of the source, which table and rejects have; without a name, None for each."""
        if column is None:
            return [None] * len(self.case)
        return [*self.table[column].to_pylist(), *self.rejects[column].to_pylist()]

    def of_answers(self, column: str | None) -> list[Any]:
        """Return the values of a column of the output, for the rows of the table only."""
        return [None] * len(self.table) if column is None else self.table[column].to_pylist()

    def name(self, place: int) -> str:
        """Return what identifies a row, for errors."""
        case = self.cases.frame.iloc[self.case[place]]
        key = ", ".join(f"{name}={case[name]}" for name in self.cases.key)
        return f"{key} of the variant {self.variant[place]!r}"


def _grade_metric(name: str, metric: MetricSettings, answered: _Answered) -> Scores:
    grader = read_grader(metric.grade)
    field = (metric.field or name) if grader.needs_field else None
    expected, values = answered.of_source(metric.expected), answered.of_answers(field)
    grades = [_MISSING] * len(expected)
    graded: list[int] = []
    lacking: list[int] = []
    for place, wanted in enumerate(expected):
        is_published = place < len(values)
        has_value = is_published and (field is None or values[place] is not None)
        if wanted is None and metric.expected and (is_published or not metric.null_is_expected):
            if metric.null_is_expected:
                grades[place] = _NOT_NULL if has_value else RIGHT
        elif has_value:
            graded.append(place)
        else:
            lacking.append(place)
    reasons = [*([_NO_VALUE] * len(values)), *_reject_reasons(answered.rejects)]
    if lacking and metric.on_missing == "error":
        raise _lacks_values(name, len(lacking), len(expected), f"{answered.name(lacking[0])}: {reasons[lacking[0]]}")
    for place in lacking:
        grades[place] = _without_value(metric.on_missing, reasons[place])
    for place, grade in zip(graded, _grade_values(grader, field, graded, expected, values, answered), strict=True):
        grades[place] = grade
    return score_rows(
        name,
        case=answered.case,
        variant=answered.variant,
        sample=answered.sample,
        grades=grades,
        expected=list(map(as_text, expected)),
        answers=[as_text(value) for value in (*values, *answered.rejects["text"].to_pylist())],
        cases=answered.cases.frame,
    )


def _grade_values(
    grader: Grader,
    field: str | None,
    places: Sequence[int],
    expected: Sequence[Any],
    values: Sequence[Any],
    answered: _Answered,
) -> list[Grade]:
    """Return the grades of the published answers in these places."""
    return grader.grade_all(
        Answers(
            field=field or "",
            values=[values[place] for place in places],
            expected=[expected[place] for place in places],
            rows=answered.table.take(pa.array(places, pa.int64())) if len(places) < len(values) else answered.table,
        )
    )


def _reject_reasons(rejects: pa.Table) -> list[str]:
    outcomes, reasons = rejects["outcome"].to_pylist(), rejects["reason"].to_pylist()
    return [f"{outcome}: {reason}" for outcome, reason in zip(outcomes, reasons, strict=True)]


def _without_value(on_missing: str, reason: str) -> Grade:
    return Grade(status="skipped", detail=reason) if on_missing == "skip" else wrong(reason)


def _lacks_values(metric: str, count: int, answers: int, first: str) -> LoadError:
    return LoadError(
        f"The metric {metric!r} has no value in {count:,} of {answers:,} answers, the first for {first}. Nothing was"
        f" evaluated. Repair the answers with a run of the rejects, or set on_missing to zero or skip in {FILE}."
    )
