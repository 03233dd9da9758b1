"""judge.py: which row of a judge is about which answer."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from include.enrichment.answers.table import SAMPLE
from include.evaluation.cases import Cases, number_cases
from include.evaluation.judges.judge import Judge, judged_rows, variant_column
from include.evaluation.spec.settings import EvaluationSettings
from tests.fixtures.judges import GRADER, answered, compared, graded, rejected, write_judges

SETTINGS = EvaluationSettings.model_validate({"metrics": {"label": {"judge": "grader"}}})


def cases_of(folder: Path, **files: str) -> Cases:
    pipeline = write_judges(folder, **files)
    return number_cases(answered((1, "current", "a"), (2, "current", "b")), rejected(), SETTINGS, pipeline)


def test_rows_have_the_case_and_the_variant_by_their_names_in_the_judge(tmp_path: Path) -> None:
    cases = cases_of(tmp_path)
    judge = graded(tmp_path, (2, "brief", "good"), (1, "current", None), (3, "brief", "good"))
    found = list(judged_rows(judge, "grade", cases, names=[variant_column(judge)]))
    assert [(row.case, row.sample, row.names, row.grade, row.reason) for row in found] == [
        (1, 1, ("brief",), "good", "good, as"),
        (0, 1, ("current",), None, "the judge's answer is invalid: not JSON"),
    ]


def test_pairs_have_two_variants(tmp_path: Path) -> None:
    cases = cases_of(tmp_path)
    (row,) = judged_rows(compared(tmp_path, (1, "a", "b", "tie")), "verdict", cases, names=("first", "second"))
    assert (row.case, row.names, row.grade) == (0, ("a", "b"), "tie")


def test_the_sample_is_that_of_the_answer_and_not_one_of_the_judge(tmp_path: Path) -> None:
    renamed = GRADER.replace("variant}, key: [id,", "variant, _sample: draw, id: ticket}, key: [ticket, draw,")
    cases = cases_of(tmp_path, grader=renamed)
    judge = graded(tmp_path, (1, "current", "good"))
    table = judge.table.rename_columns(["ticket", "variant", "why", "grade"])
    table = table.append_column("draw", pa.array([3])).append_column(SAMPLE, pa.array([2]))
    rejects = judge.rejects.rename_columns({"id": "ticket"})
    judge = Judge(pipeline=judge.pipeline, table=table, rejects=rejects)
    (row,) = judged_rows(judge, "grade", cases, names=[variant_column(judge)])
    assert (row.case, row.sample) == (0, 3)


def test_a_judge_of_a_pipeline_without_variants_grades_the_only_one(tmp_path: Path) -> None:
    cases = cases_of(tmp_path, grader=GRADER.replace("rename: {_variant: variant}, key: [id, variant]", "key: [id]"))
    judge = graded(tmp_path, (1, "ignored", "good"))
    assert [row.names for row in judged_rows(judge, "grade", cases, names=[variant_column(judge)])] == [("current",)]
