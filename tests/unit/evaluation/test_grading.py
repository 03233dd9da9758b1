"""grading.py: a published partition becomes scores."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from include.enrichment.errors import LoadError
from include.enrichment.spec.pipeline import Pipeline
from include.evaluation.grading import grade_table
from include.evaluation.scores import Scores
from include.evaluation.spec.settings import EvaluationSettings
from tests.fixtures.folder import YAML, Load, load

__all__ = ["load"]

_TABLE = pa.table(
    {
        "id": [1, 1, 2, 2, 3],
        "_variant": ["a", "b", "a", "b", "a"],
        "shelf": ["shoes", "shoes", "hats", "hats", None],
        "label": ["shoes", "bags", "hats", None, "hats"],
    }
)
_REJECTS = pa.table(
    {
        "id": [3, 4],
        "_variant": ["b", "b"],
        "shelf": [None, "hats"],
        "outcome": ["invalid", "invalid"],
        "reason": ["not JSON", "violates the schema"],
        "text": [None, '{"label": 3}'],
    },
    schema=pa.schema(
        [
            ("id", pa.int64()),
            *((name, pa.string()) for name in ("_variant", "shelf", "outcome", "reason", "text")),
        ]
    ),
)


@pytest.fixture
def pipeline(load: Load) -> Pipeline:
    """Its key is ``id``, it carries ``shelf``."""
    return load(yaml=YAML.replace("key: {id: int64}", "key: {id: int64}\n  carry: [shelf]"))


def _graded(pipeline: Pipeline, table: pa.Table = _TABLE, rejects: pa.Table = _REJECTS, **metric: Any) -> Scores:
    metrics = {"label": {"expected": "shelf", "grade": "exact", **metric}, "liked": {"judge": "j"}}
    return grade_table(table, rejects, EvaluationSettings.model_validate({"metrics": metrics}), pipeline)


def test_every_published_row_and_every_reject_has_a_status(pipeline: Pipeline) -> None:
    found = _graded(pipeline)
    rows = found.scores[["case", "variant", "status", "score"]].astype({"score": object})
    assert rows.where(rows.notna(), None).values.tolist() == [
        [0, "a", "scored", 1],
        [0, "b", "scored", 0],
        [1, "a", "scored", 1],
        [1, "b", "scored", 0],
        [2, "a", "missing", None],
        [2, "b", "missing", None],
        [3, "b", "scored", 0],
    ]
    assert set(found.scores["metric"]) == {"label"}
    assert found.cases["id"].tolist() == [1, 2, 3, 4]


def test_the_texts_are_those_of_the_rows(pipeline: Pipeline) -> None:
    found = _graded(pipeline).texts
    assert found["expected"].tolist() == ["shoes", "shoes", "hats", "hats", "", "", "hats"]
    assert found["answer"].tolist() == ["shoes", "bags", "hats", "", "hats", "", '{"label": 3}']
    assert found["detail"].tolist()[3:] == [
        "the answer has no value",
        "the case has no expected value",
        "the case has no expected value",
        "invalid: violates the schema",
    ]


def test_an_answer_without_a_value_may_be_left_out(pipeline: Pipeline) -> None:
    scores = _graded(pipeline, on_missing="skip").scores
    assert scores["status"].tolist() == ["scored"] * 3 + ["skipped", "missing", "missing", "skipped"]
    assert scores["score"].notna().sum() == 3


def test_an_answer_without_a_value_may_be_an_error(pipeline: Pipeline) -> None:
    with pytest.raises(LoadError) as raised:
        _graded(pipeline, on_missing="error")
    assert str(raised.value).startswith(
        "The metric 'label' has no value in 2 of 7 answers, the first for id=2 of the variant 'b': the answer has no"
        " value. Nothing was evaluated."
    )


def test_a_case_without_an_expected_value_is_no_error(pipeline: Pipeline) -> None:
    only = _REJECTS.slice(0, 1)
    assert _graded(pipeline, _TABLE.slice(0, 3), only, on_missing="error").scores["status"].tolist()[-1] == "missing"


def test_null_may_be_the_right_answer(pipeline: Pipeline) -> None:
    table = pa.concat_tables([_TABLE, _TABLE.slice(4).set_column(3, "label", pa.array([None], pa.string()))])
    found = _graded(pipeline, table, null_is_expected=True)
    assert found.scores["score"].tolist() == [1, 0, 1, 0, 0, 1, 0, 0]
    assert found.texts["detail"].tolist()[4:] == [
        "the right answer has no value",
        "",
        "invalid: not JSON",
        "invalid: violates the schema",
    ]


def test_a_metric_without_a_field_is_of_whole_rows(pipeline: Pipeline) -> None:
    settings = EvaluationSettings.model_validate({"metrics": {"same": {"grade": {"sql": "shelf = label"}}}})
    found = grade_table(_TABLE, _REJECTS, settings, pipeline)
    assert found.scores["status"].tolist() == ["scored"] * 3 + ["unscored"] * 2 + ["scored"] * 2
    assert found.scores["score"].tolist()[:3] == [1, 0, 1]
    assert found.scores["score"].tolist()[5:] == [0, 0]


def test_a_column_of_the_rejects_with_the_name_of_a_field_is_not_the_field(pipeline: Pipeline) -> None:
    table = _TABLE.append_column("reason", pa.array(["shoes"] * 5))
    found = _graded(pipeline, table, field="reason")
    assert found.scores["status"].tolist()[-1] == "scored"
    assert found.scores["score"].tolist()[-1] == 0


def test_without_graders_there_are_cases_and_no_scores(pipeline: Pipeline) -> None:
    settings = EvaluationSettings.model_validate({"metrics": {"liked": {"judge": "j"}}})
    found = grade_table(_TABLE, _REJECTS, settings, pipeline)
    assert len(found.scores) == 0
    assert len(found.cases) == 4


def test_an_empty_partition_has_no_scores(pipeline: Pipeline) -> None:
    found = _graded(pipeline, _TABLE.slice(0, 0), _REJECTS.slice(0, 0))
    assert len(found.scores) == len(found.cases) == 0


def test_a_metric_without_any_expected_value_leaves_all_cases_out(pipeline: Pipeline) -> None:
    table = _TABLE.set_column(2, "shelf", pa.nulls(len(_TABLE), pa.string()))
    assert set(_graded(pipeline, table).scores["status"][: len(table)]) == {"missing"}
