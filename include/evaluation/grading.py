"""Grades the answers of a published partition by evaluation.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from include.enrichment.spec.pipeline import Pipeline
from include.evaluation.answers import Answers, without_value
from include.evaluation.cases import number_cases
from include.evaluation.graders.grader import RIGHT, Gradable, Grader, wrong
from include.evaluation.graders.registry import read_grader
from include.evaluation.json_values import as_text
from include.evaluation.scores import Grade, Scores, join_scores, score_rows
from include.evaluation.spec.settings import EvaluationSettings, MetricSettings

#: The grade of an answer to a case without an expected value.
_MISSING = Grade(status="missing", detail="the case has no expected value")
_NOT_NULL = wrong("the right answer has no value")


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
    answers = Answers.of(table, rejects, cases)
    graded = [_grade_metric(name, metric, answers) for name, metric in settings.metrics.items() if metric.has_grader]
    return join_scores(graded, cases=cases.frame)


def _grade_metric(name: str, metric: MetricSettings, answers: Answers) -> Scores:
    grader = read_grader(metric.grade)
    answers = answers.of_field((metric.field or name) if grader.needs_field else "")
    expected = answers.of_source(metric.expected) if metric.expected else [None] * len(answers.all)
    grades = [_MISSING] * len(expected)
    graded: list[int] = []
    lacking: list[int] = []
    for place, (wanted, reason) in enumerate(zip(expected, answers.reasons, strict=True)):
        is_published = place < len(answers.table)
        if wanted is None and metric.expected and (is_published or not metric.null_is_expected):
            if metric.null_is_expected:
                grades[place] = RIGHT if reason else _NOT_NULL
        elif reason:
            lacking.append(place)
            grades[place] = without_value(metric, reason)
        else:
            graded.append(place)
    answers.check_usable(name, metric, lacking)
    for place, grade in zip(graded, _grade_values(grader, graded, expected, answers), strict=True):
        grades[place] = grade
    return score_rows(
        name,
        case=[case for case, _, _ in answers.all],
        variant=[variant for _, variant, _ in answers.all],
        sample=[sample for _, _, sample in answers.all],
        grades=grades,
        expected=list(map(as_text, expected)),
        answers=answers.texts,
        cases=answers.cases.frame,
    )


def _grade_values(grader: Grader, places: Sequence[int], expected: Sequence[Any], answers: Answers) -> list[Grade]:
    """Return the grades of the published answers in these places."""
    return grader.grade_all(
        Gradable(
            field=answers.field,
            values=[answers.values[place] for place in places],
            expected=[expected[place] for place in places],
            rows=(
                answers.table.take(pa.array(places, pa.int64())) if len(places) < len(answers.table) else answers.table
            ),
        )
    )
