from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import LakeError
from include.enrichment.storage.version import VERSION
from include.evaluation.outputs.scores_file import read_scores, scores_table
from include.evaluation.scores import Scores
from tests.fixtures.evaluations import make_scores


def through_a_file(scores: Scores, key: list[str]) -> tuple[Scores, list[str]]:
    pq.write_table(scores_table(scores, key=key), sink := pa.BufferOutputStream())
    return read_scores(pq.read_table(pa.BufferReader(sink.getvalue())), name="scores.parquet")


def test_scores_are_read_as_they_were_written() -> None:
    scores = make_scores({"current": [1, 0, None], "candidate": [1, 1, 0.5]})
    scores.cases["shelf"] = [1, 2, 2]
    found, key = through_a_file(scores, ["ticket"])
    assert key == ["ticket"]
    pd.testing.assert_frame_equal(found.cases, scores.cases, check_index_type=False)
    pd.testing.assert_frame_equal(found.texts, scores.texts)
    pd.testing.assert_frame_equal(found.scores, scores.scores, check_categorical=False)
    assert found.scores["status"].dtype == "category"


def test_each_score_has_its_case_by_name() -> None:
    table = scores_table(make_scores({"current": [1, 0]}), key=["ticket"])
    assert table.column_names[:3] == ["ticket", "_case", "_variant"]
    assert table.select(["ticket", "_score"]).to_pylist() == [
        {"ticket": "T0", "_score": 1.0},
        {"ticket": "T1", "_score": 0.0},
    ]
    assert table.schema.metadata[b"version"] == str(VERSION).encode()


def test_a_case_that_no_metric_has_scored_keeps_the_positions_of_the_others() -> None:
    scores = make_scores({"current": [1, 0, 1]})
    kept = scores.scores["case"] != 1
    scores = Scores(scores=scores.scores[kept], texts=scores.texts[kept], cases=scores.cases)
    found, _ = through_a_file(scores, ["ticket"])
    assert found.cases["ticket"].tolist()[::2] == ["T0", "T2"]
    assert pd.isna(found.cases["ticket"][1])


def test_an_evaluation_without_scores_has_a_file_too() -> None:
    scores = make_scores({"current": [1]})
    empty = Scores(scores=scores.scores[:0], texts=scores.texts[:0], cases=scores.cases)
    found, _ = through_a_file(empty, ["ticket"])
    assert (len(found.scores), len(found.cases)) == (0, 0)


@pytest.mark.parametrize(
    ("metadata", "fact"),
    [({}, "lacks _score"), ({"version": "99", "key": "[]"}, "has version 99")],
    ids=["another file", "newer"],
)
def test_another_file_or_a_newer_one_is_rejected(metadata: dict[str, str], fact: str) -> None:
    table = scores_table(make_scores({"current": [1]}), key=["ticket"]).drop_columns(["_score"])
    with pytest.raises(LakeError, match=fact):
        read_scores(table.replace_schema_metadata(metadata), name="scores.parquet")
