from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import LakeError, ParamError
from include.enrichment.storage.layout import EvaluationFolder
from include.evaluation.outputs.scores_file import scores_table
from include.evaluation.spec.settings import GateSettings
from include.gateways.lake import Lake
from include.steps.evaluating.baselines import find_latest, prepare_gate, read_pinned
from tests.fixtures.evaluations import make_result, make_scores


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.in_folder(tmp_path / "lake")


def store(lake: Lake, evaluation_id: str, *, key: str = "ticket", **result: Any) -> None:
    folder = EvaluationFolder(pipeline="tickets", evaluation_id=evaluation_id)
    pq.write_table(scores_table(make_scores({"current": [1, 0]}), key=[key]), sink := pa.BufferOutputStream())
    lake.write(folder.scores, sink.getvalue().to_pybytes())
    lake.write(folder.summary_json, make_result(evaluation_id=evaluation_id, **result).model_dump_json().encode())


def gate(baseline: str = "current", **other: Any) -> GateSettings:
    return GateSettings(metric="topic", margin=0.02, baseline=baseline, **other)


def test_latest_is_the_newest_evaluation_of_another_run_that_did_not_fail(lake: Lake) -> None:
    store(lake, "1")
    store(lake, "2", verdict="inconclusive")
    store(lake, "3", verdict="fail")
    store(lake, "4", trial=10)
    store(lake, "5", run_id="this run")
    assert find_latest("tickets", "this run", lake) == "2"


def test_an_evaluation_without_a_summary_does_not_exist(lake: Lake) -> None:
    lake.write(EvaluationFolder(pipeline="tickets", evaluation_id="1").scores, b"")
    assert find_latest("tickets", "r", lake) is None


def test_latest_becomes_the_id_that_it_means() -> None:
    prepared = prepare_gate([gate("latest"), gate()], variants=["current"], absent=[], latest="20261130")
    assert [one.baseline for one in prepared.decidable] == ["20261130", "current"]
    assert prepared.undecided == []


def test_without_an_earlier_evaluation_latest_is_inconclusive_for_each_variant() -> None:
    prepared = prepare_gate([gate("latest")], variants=["current", "candidate"], absent=[], latest=None)
    assert prepared.decidable == []
    assert [(one.variant, one.verdict) for one in prepared.undecided] == [
        ("current", "inconclusive"),
        ("candidate", "inconclusive"),
    ]
    assert "no earlier evaluation" in prepared.undecided[0].why


def test_a_condition_on_a_variant_without_answers_is_inconclusive_and_never_passes() -> None:
    conditions = [gate(variant="candidate"), gate("candidate")]
    prepared = prepare_gate(conditions, variants=["current", "other"], absent=["candidate"], latest=None)
    assert [one.variant for one in prepared.undecided] == ["candidate", "current", "other"]
    assert {one.why for one in prepared.undecided} == {"This evaluation has no answers of the variant 'candidate'."}


def test_only_the_baselines_that_are_no_variants_are_read(lake: Lake) -> None:
    store(lake, "1")
    conditions = [gate(), gate("1"), gate("1", variant="candidate")]
    pinned = read_pinned(conditions, variants=["current"], key=["ticket"], pipeline="tickets", lake=lake)
    assert {name: len(scores.scores) for name, scores in pinned.items()} == {"1": 2}


def test_a_baseline_that_is_neither_is_named_with_the_nearest(lake: Lake) -> None:
    store(lake, "20261130T030000Z")
    with pytest.raises(
        ParamError, match=r"'curent' is neither .* did you mean 'current'\? .*\nVariants: current\. New"
    ):
        read_pinned([gate("curent")], variants=["current"], key=["ticket"], pipeline="tickets", lake=lake)


def test_cases_with_another_key_cannot_be_compared(lake: Lake) -> None:
    store(lake, "1")
    with pytest.raises(LakeError, match="have the key ticket, and those of this one id"):
        read_pinned([gate("1")], variants=["current"], key=["id"], pipeline="tickets", lake=lake)
