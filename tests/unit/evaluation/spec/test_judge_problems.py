"""judge_problems.py: a judge that cannot grade the answers is a mistake with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from include.enrichment.spec.pipeline_folder import load_pipeline
from include.evaluation.spec.judge_problems import judge_problems, option_problems
from include.evaluation.spec.settings import MetricSettings
from tests.fixtures.judges import GRADER, PAIRS, TICKETS, judge_schema, write_judges

POINTS = {"good": 1, "fair": 0.5, "poor": 0}


def told(folder: Path, metric: dict[str, Any], **files: str) -> list[str]:
    pipeline = write_judges(folder, **files)
    settings = MetricSettings.model_validate(metric)
    judge = load_pipeline(folder / settings.judges[0])
    return [f"{'.'.join(map(str, path))}: {fact}" for path, fact in judge_problems(judge, settings, pipeline)]


def options_told(folder: Path, metric: dict[str, Any]) -> list[str]:
    pipeline = write_judges(folder)
    found = option_problems(MetricSettings.model_validate(metric), pipeline)
    return [f"{'.'.join(map(str, path))}: {fact}" for path, fact in found]


@pytest.mark.parametrize("metric", [{"judge": "grader", "grade": {"points": POINTS}}, {"pairwise": "pairs"}])
def test_judges_that_can_grade_are_accepted(tmp_path: Path, metric: dict[str, Any]) -> None:
    assert told(tmp_path, metric) == []
    assert options_told(tmp_path, metric) == []


@pytest.mark.parametrize(
    ("metric", "fact"),
    [
        (
            {"judge": "pairs"},
            "judge: 'pairs' reads pairs of answers (source.pairs): write `pairwise` instead of `judge`",
        ),
        ({"pairwise": "grader"}, "pairwise: 'grader' reads single answers: set its source.pairs, or write `judge`"),
        ({"judge": "tickets"}, "judge: 'tickets' does not read the table of 'tickets': set its source.table"),
        ({"judge": "grader"}, "grade: the grade 'good', 'fair', 'poor' of 'grader' has no score: set it in `points`"),
        (
            {"judge": "grader", "grade": "grad"},
            "grade: the output of 'grader' has no field 'grad'; did you mean 'grade'?",
        ),
        ({"judge": "grader", "grade": "why"}, "grade: a text of 'grader' has no score: set it in `points`"),
        (
            {"judge": "grader", "grade": {"points": POINTS | {"god": 1}}},
            "grade.points.god: 'grader' gives no grade 'god'; did you mean 'good'?",
        ),
    ],
)
def test_what_a_judge_cannot_do_is_reported(tmp_path: Path, metric: dict[str, Any], fact: str) -> None:
    (line,) = told(tmp_path, metric)
    assert line.startswith(fact)


def test_the_key_tells_the_answers_apart(tmp_path: Path) -> None:
    grader = GRADER.replace("rename: {_variant: variant}, key: [id, variant]", "key: [id]")
    metric = {"judge": "grader", "grade": {"points": POINTS}}
    assert told(tmp_path, metric, grader=grader, tickets=f"{TICKETS}samples: 2\n") == [
        "judge: the key of 'grader' lacks '_variant', which tells the answers of 'tickets' apart: add {_variant:"
        " variant} to its source.rename, and 'variant' to its key",
        "judge: the key of 'grader' lacks '_sample', which tells the answers of 'tickets' apart: add {_sample:"
        " sample} to its source.rename, and 'sample' to its key",
    ]


def test_pairs_are_of_variants(tmp_path: Path) -> None:
    pairs = PAIRS.replace("{baseline: current}", "{column: id}").replace("[id,", "[_variant,")
    pairs = pairs.replace("table: tickets,", "table: tickets, rename: {_variant: variant},").replace("[_v", "[v")
    found = told(tmp_path, {"pairwise": "pairs"}, pairs=pairs)
    assert found[0] == "pairwise: 'pairs' pairs by 'id', not by variant: remove source.pairs.column"


def test_a_verdict_is_an_enum(tmp_path: Path) -> None:
    pipeline = write_judges(tmp_path)
    (tmp_path / "pairs/output.schema.json").write_text(judge_schema("verdict", "A", "B"))
    (found,) = judge_problems(load_pipeline(tmp_path / "pairs"), MetricSettings(pairwise=["pairs"]), pipeline)
    assert found == (("grade",), "'verdict' of 'pairs' must be an enum of first, second, tie, and is A, B")


def test_grades_of_a_scale_need_no_points(tmp_path: Path) -> None:
    pipeline = write_judges(tmp_path)
    (tmp_path / "grader/output.schema.json").write_text(judge_schema("grade", 1, 2, 3, 4, 5))
    judge = load_pipeline(tmp_path / "grader")
    assert list(judge_problems(judge, MetricSettings(judge=["grader"]), pipeline)) == []
    (found,) = judge_problems(judge, MetricSettings(judge=["grader"], grade={"scale": [1, 4]}), pipeline)
    assert found == (("grade",), "the grade '5' of 'grader' has no score: set it in `points`")


@pytest.mark.parametrize(
    ("metric", "fact"),
    [
        ({"judge": "j", "grade": {"human": "humn"}}, "grade.human: 'humn' is not carried: add it to source.carry; did"),
        ({"judge": "j", "grade": {"least_kappa": 0.5}}, "grade.least_kappa: compares with a human: set `human`"),
        ({"judge": "j", "grade": {"least_alpha": 0.5}}, "grade.least_alpha: compares several judges, and there is one"),
        ({"judge": "j", "field": "lable"}, "field: the output has no field 'lable'; did you mean 'label'?"),
        ({"judge": "j", "grade": {"feld": "x"}}, "grade.feld: unknown key; did you mean 'field'?"),
        ({"judge": "j", "grade": {"human": {"breif": "human"}}}, "grade.human.breif: there is no variant 'breif'"),
    ],
)
def test_mistakes_in_the_options_are_reported(tmp_path: Path, metric: dict[str, Any], fact: str) -> None:
    (line,) = options_told(tmp_path, metric)
    assert line.startswith(fact)
