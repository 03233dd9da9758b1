from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import LakeError, ParamError
from include.enrichment.storage.layout import EvaluationFolder
from include.evaluation.outputs.scores_file import scores_table
from include.evaluation.scores import Scores
from include.evaluation.spec.settings import EvaluationSettings, GateSettings, MetricSettings
from include.gateways.lake import Lake
from include.steps.evaluating.baselines import (
    check_baselines,
    check_chosen,
    find_latest,
    read_pinned,
    with_baseline,
    with_latest,
)
from tests.fixtures.evaluations import make_result, make_scores


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.in_folder(tmp_path / "lake")


def store(lake: Lake, evaluation_id: str, *, key: str = "ticket", **result: Any) -> None:
    folder = EvaluationFolder(pipeline="tickets", evaluation_id=evaluation_id)
    pq.write_table(scores_table(make_scores({"current": [1, 0]}), key=[key]), sink := pa.BufferOutputStream())
    lake.write(folder.scores, sink.getvalue().to_pybytes())
    lake.write(folder.summary_json, make_result(evaluation_id=evaluation_id, **result).model_dump_json().encode())


def evaluation(*conditions: GateSettings) -> EvaluationSettings:
    return EvaluationSettings(metrics={"topic": MetricSettings(grade="exact")}, gate=list(conditions))


def gate(baseline: str = "current", **other: Any) -> GateSettings:
    return GateSettings(metric="topic", margin=0.02, baseline=baseline, **other)


def read(settings: EvaluationSettings, lake: Lake, **other: Any) -> Mapping[str, Scores]:
    facts: dict[str, Any] = {"key": ["ticket"], "simulated": True, "file_hashes": {"tickets/user.md": "00ff"}}
    return read_pinned(settings, variants=["current"], pipeline="tickets", lake=lake, **facts | other)


def test_latest_is_the_newest_evaluation_of_another_run_that_did_not_fail(lake: Lake) -> None:
    store(lake, "1")
    store(lake, "2", verdict="inconclusive")
    store(lake, "3", verdict="fail")
    store(lake, "4", trial=10)
    store(lake, "5", run_id="this run")
    assert find_latest("tickets", "this run", lake, simulated=True) == "2"


def test_an_evaluation_without_a_summary_does_not_exist(lake: Lake) -> None:
    lake.write(EvaluationFolder(pipeline="tickets", evaluation_id="1").scores, b"")
    assert find_latest("tickets", "r", lake, simulated=True) is None


def test_latest_becomes_the_id_that_it_means_if_there_is_one() -> None:
    settings = evaluation(gate("latest"), gate())
    assert [one.baseline for one in with_latest(settings, "20261130").gate] == ["20261130", "current"]
    assert with_latest(settings, None) == settings


def test_another_baseline_replaces_that_of_each_condition() -> None:
    settings = with_baseline(evaluation(gate("latest"), gate(variant="candidate")), "1")
    assert [(one.baseline, one.variant) for one in settings.gate] == [("1", None), ("1", "candidate")]


def test_only_the_baselines_that_are_no_variants_are_read(lake: Lake) -> None:
    store(lake, "1")
    settings = evaluation(gate(), gate("latest"), gate("1"), gate("1", variant="candidate"))
    pinned = read(settings, lake)
    assert {name: len(scores.scores) for name, scores in pinned.items()} == {"1": 2}


def test_a_baseline_that_is_neither_is_named_with_the_nearest(lake: Lake) -> None:
    store(lake, "20261130T030000Z")
    with pytest.raises(
        ParamError, match=r"'curent' is neither .* did you mean 'current'\? .*\nVariants: current\. New"
    ):
        read(evaluation(gate("curent")), lake)


def test_cases_with_another_key_cannot_be_compared(lake: Lake) -> None:
    store(lake, "1")
    with pytest.raises(LakeError, match="have the key ticket, and those of this one id"):
        read(evaluation(gate("1")), lake, key=["id"])


def test_simulated_answers_are_never_compared_with_those_of_claude(lake: Lake) -> None:
    store(lake, "1", simulated=False)
    store(lake, "2", simulated=True)
    assert find_latest("tickets", "this run", lake, simulated=False) == "1"
    with pytest.raises(ParamError, match=r"evaluation 2 are simulated, and those of this one are Claude's"):
        read(evaluation(gate("2")), lake, simulated=False)
    with pytest.raises(ParamError, match=r"evaluation 1 are Claude's, and those of this one are simulated"):
        read(evaluation(gate("1")), lake)


def test_a_baseline_that_was_graded_by_other_files_is_told(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    hashes = {"tickets/evaluation.yaml": "1", "tickets/user.md": "2", "grader/system.md": "3"}
    store(lake, "1", file_hashes=hashes)
    read(evaluation(gate("1")), lake, file_hashes=hashes | {"tickets/user.md": "new"})
    assert caplog.text == ""
    read(evaluation(gate("1")), lake, file_hashes=hashes | {"tickets/evaluation.yaml": "new", "grader/user.md": "new"})
    assert "baseline 1 are of other files" in caplog.text
    assert "these: grader/user.md, tickets/evaluation.yaml." in caplog.text


def test_a_damaged_evaluation_is_no_baseline(lake: Lake) -> None:
    lake.write(EvaluationFolder(pipeline="tickets", evaluation_id="1").summary_json, b"{}")
    assert find_latest("tickets", "r", lake, simulated=True) is None
    with pytest.raises(LakeError, match=r"summary\.json is damaged"):
        read(evaluation(gate("1")), lake)


@pytest.mark.parametrize("baseline", ["", "..", "../catalogue/1", "curent", "1/", "\x1b[31m", "1\n"])
def test_what_is_no_id_is_never_looked_up_as_a_path(lake: Lake, baseline: str) -> None:
    store(lake, "1")
    with pytest.raises(ParamError, match="is neither a variant nor an evaluation of tickets"):
        check_baselines(evaluation(gate(baseline)), variants=["current"], pipeline="tickets", lake=lake)


def test_an_earlier_evaluation_of_another_pipeline_is_no_baseline(lake: Lake) -> None:
    store(lake, "1")
    with pytest.raises(ParamError, match="Nothing was evaluated"):
        check_baselines(evaluation(gate("1")), variants=["current"], pipeline="catalogue", lake=lake)


def test_a_baseline_without_a_gate_is_of_no_use() -> None:
    with pytest.raises(ParamError, match=r"evaluation\.yaml has no gate"):
        with_baseline(evaluation(), "latest")


def test_a_baseline_is_one_of_the_variants_that_are_asked() -> None:
    settings = evaluation(gate(), gate("latest"))
    check_chosen(["current", "brief"], ["current", "brief", "long"], settings, [])
    check_chosen(["long"], ["long"], evaluation(gate("20261130")), [])
    with pytest.raises(ParamError, match="The variants brief have no baseline: the others are compared with 'current'"):
        check_chosen(["brief"], ["current", "brief"], settings, [])
