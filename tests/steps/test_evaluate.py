from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import LakeError, ParamError, SpecError
from include.enrichment.storage.layout import EvaluationFolder
from include.enrichment.storage.version import parse
from include.evaluation.result import EvaluationResult
from include.gateways.lake import Lake
from include.steps.evaluate import evaluate
from tests.fixtures.flow import DAY
from tests.fixtures.lake import delete
from tests.fixtures.published_answers import (
    EVALUATION,
    PUBLISHED_AT,
    publish,
    publish_grades,
    write_evaluated,
    write_grader,
)

RIGHT, WRONG = "bug", "other"
#: Twenty tickets: one variant is always right, the other one never.
BETTER = {"current": [WRONG] * 20, "candidate": [RIGHT] * 20}
WORSE = {"current": [RIGHT] * 20, "candidate": [WRONG] * 20}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.in_folder(tmp_path / "lake")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_evaluated(tmp_path / "pipelines" / "tickets")


def files(lake: Lake) -> list[str]:
    return [key.rpartition("/")[2] for key in lake.list("evaluations/tickets/")]


def test_an_evaluation_is_five_files_and_its_summary_has_everything_that_was_computed(lake: Lake, folder: Path) -> None:
    publish(lake, {"current": [RIGHT, WRONG, None], "candidate": [RIGHT, RIGHT, RIGHT]})
    result = evaluate(folder, DAY, lake=lake)
    assert files(lake) == ["junit.xml", "metrics.parquet", "report.html", "scores.parquet", "summary.json"]
    stored = EvaluationFolder(pipeline="tickets", evaluation_id=result.evaluation_id)
    assert parse(EvaluationResult, lake.read(stored.summary_json), "summary.json") == result
    assert (result.run_id, result.partition, result.trial, result.simulated) == ("manual__1", "2026-11-01", None, True)
    assert (result.cases, result.samples) == (3, 1)
    assert {one.variant: (one.answers, one.invalid, one.cost_usd) for one in result.variants} == {
        "current": (3, 1, Decimal("0.003")),
        "candidate": (3, 0, Decimal("0.003")),
    }
    assert {one.variant: one.value for one in result.metrics} == {"current": pytest.approx(1 / 3), "candidate": 1}
    assert set(result.file_hashes) >= {"tickets/evaluation.yaml", "tickets/user.md", "tickets/output.schema.json"}


def test_each_score_is_stored_with_its_case_and_its_texts(lake: Lake, folder: Path) -> None:
    publish(lake, {"current": [RIGHT, WRONG, None]})
    result = evaluate(folder, DAY, lake=lake)
    stored = EvaluationFolder(pipeline="tickets", evaluation_id=result.evaluation_id)
    rows = pq.read_table(pa.BufferReader(lake.read(stored.scores))).to_pylist()
    assert [(row["ticket"], row["_variant"], row["_score"], row["_expected"], row["_answer"]) for row in rows] == [
        ("T0", "current", 1, "bug", "bug"),
        ("T1", "current", 0, "bug", "other"),
        ("T2", "current", 0, "bug", "{"),
    ]


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        (BETTER, "pass"),
        (WORSE, "fail"),
        ({"current": [RIGHT, WRONG], "candidate": [RIGHT, RIGHT]}, "inconclusive"),
        ({"current": [RIGHT]}, "inconclusive"),
    ],
    ids=["better", "worse", "too few", "without the candidate"],
)
def test_the_gate_decides(lake: Lake, folder: Path, answers: dict[str, list[str]], verdict: str) -> None:
    publish(lake, answers)
    assert evaluate(folder, DAY, lake=lake).verdict == verdict


def test_evaluating_again_makes_another_evaluation_which_sorts_after_the_first(lake: Lake, folder: Path) -> None:
    publish(lake, BETTER)
    first, second = (evaluate(folder, DAY, lake=lake) for _ in range(2))
    assert first.evaluation_id < second.evaluation_id
    assert files(lake).count("summary.json") == 2


@pytest.mark.parametrize("written", range(5))
def test_an_evaluation_that_was_killed_before_its_summary_does_not_exist(
    lake: Lake, folder: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    publish(lake, BETTER, run_id="first")
    killed: list[str] = []
    with monkeypatch.context() as killing:

        def kill_at(do: Callable[..., object]) -> Callable[..., object]:
            def write(*arguments: object) -> object:
                if len(killed) == written:
                    raise KeyboardInterrupt
                killed.append(str(arguments[1]))
                return do(*arguments)

            return write

        for name in ("write", "create"):
            killing.setattr(Lake, name, kill_at(getattr(Lake, name)))
        with pytest.raises(KeyboardInterrupt):
            evaluate(folder, DAY, lake=lake)
    assert len(files(lake)) == written
    cut = {key.split("/")[2] for key in lake.list("evaluations/tickets/")}
    publish(lake, WORSE, run_id="second")
    assert evaluate(folder, DAY, lake=lake, baseline="latest").verdict == "inconclusive"
    for evaluation_id in cut:
        with pytest.raises(ParamError, match="is neither a variant nor an evaluation"):
            evaluate(folder, DAY, lake=lake, baseline=evaluation_id)
    assert files(lake).count("summary.json") == 1


def test_an_earlier_evaluation_is_the_baseline_by_its_id_and_as_latest(lake: Lake, folder: Path) -> None:
    publish(lake, {"current": [RIGHT] * 20, "candidate": [RIGHT] * 20}, run_id="first")
    first = evaluate(folder, DAY, lake=lake)
    publish(lake, {"current": [RIGHT] * 20, "candidate": [WRONG] * 20}, run_id="second")
    for baseline in (first.evaluation_id, "latest"):
        result = evaluate(folder, DAY, lake=lake, baseline=baseline)
        verdicts = {one.variant: (one.baseline, one.verdict) for one in result.gate}
        assert verdicts["candidate"] == (first.evaluation_id, "fail")
        assert verdicts["current"][1] != "fail"
        compared = {one.variant: (one.cases, one.losses) for one in result.comparisons}
        assert compared == {"current": (20, 0), "candidate": (20, 20)}


def test_an_earlier_evaluation_is_compared_on_the_cases_that_both_have(lake: Lake, folder: Path) -> None:
    publish(lake, {"current": [RIGHT] * 30}, run_id="first")
    first = evaluate(folder, DAY, lake=lake)
    publish(lake, {"current": [RIGHT] * 20}, run_id="second")
    (compared,) = evaluate(folder, DAY, lake=lake, baseline=first.evaluation_id).comparisons
    assert compared.cases == 20


def test_an_unknown_baseline_is_named_and_nothing_is_written(lake: Lake, folder: Path) -> None:
    publish(lake, BETTER)
    with pytest.raises(ParamError, match=r"'curent' is neither .* did you mean 'current'\?"):
        evaluate(folder, DAY, lake=lake, baseline="curent")
    assert files(lake) == []


def test_a_trial_is_evaluated_in_its_own_folder_and_never_becomes_latest(lake: Lake, folder: Path) -> None:
    publish(lake, BETTER)
    publish(lake, {"current": [RIGHT]}, run_id="trial", trial=1)
    result = evaluate(folder, DAY, lake=lake, trial="trial")
    assert (result.cases, result.run_id, result.trial) == (1, "trial", 1)
    assert evaluate(folder, DAY, lake=lake, baseline="latest").verdict == "inconclusive"


def test_mistakes_of_the_file_and_a_missing_partition_are_reported_before_anything_is_written(
    lake: Lake, tmp_path: Path, folder: Path
) -> None:
    with pytest.raises(LakeError, match="make run PIPELINE=tickets PARTITION=2026-11-01"):
        evaluate(folder, DAY, lake=lake)
    wrong = write_evaluated(tmp_path / "wrong" / "tickets", evaluation=EVALUATION.replace("exact", "exakt"))
    with pytest.raises(SpecError, match=r"tickets/evaluation\.yaml:2: .*exakt.*exact"):
        evaluate(wrong, DAY, lake=lake)
    assert files(lake) == []


def test_an_evaluation_whose_scores_are_gone_is_no_baseline(lake: Lake, folder: Path) -> None:
    publish(lake, BETTER, run_id="first")
    first = evaluate(folder, DAY, lake=lake)
    delete(lake, EvaluationFolder(pipeline="tickets", evaluation_id=first.evaluation_id).scores)
    publish(lake, BETTER, run_id="second")
    with pytest.raises(LakeError, match=r"scores\.parquet does not exist"):
        evaluate(folder, DAY, lake=lake, baseline=first.evaluation_id)


@pytest.fixture
def judged(folder: Path) -> Path:
    """The tickets with a judge beside them."""
    write_grader(folder.with_name("grader"))
    metric = "  pitch: {field: topic, judge: grader, grade: {points: {good: 1, poor: 0}}}\n"
    return write_evaluated(folder, evaluation=EVALUATION.replace("gate:", f"{metric}gate:"))


def test_a_judge_scores_the_same_cases_and_its_cost_is_that_of_the_variants_it_graded(lake: Lake, judged: Path) -> None:
    publish(lake, {"current": [RIGHT, WRONG], "candidate": [RIGHT, RIGHT]})
    publish_grades(lake, {"current": ["poor", None], "candidate": ["good", "good"]}, extracted_at=PUBLISHED_AT)
    result = evaluate(judged, DAY, lake=lake)
    assert {(one.metric, one.variant): (one.value, one.unscored) for one in result.metrics} == {
        ("topic", "current"): (0.5, 0),
        ("topic", "candidate"): (1, 0),
        ("pitch", "current"): (0, 1),
        ("pitch", "candidate"): (1, 0),
    }
    assert [str(one.judge_usd and one.judge_usd.normalize()) for one in result.variants] == ["0.002", "0.002"]
    assert {name.partition("/")[0] for name in result.file_hashes} == {"tickets", "grader"}


def test_grades_of_answers_that_were_replaced_are_never_used(lake: Lake, judged: Path) -> None:
    publish(lake, BETTER)
    publish_grades(lake, {"current": ["good"]}, extracted_at=PUBLISHED_AT - timedelta(seconds=1))
    with pytest.raises(LakeError, match=r"grades are for other answers.*\nmake run PIPELINE=grader"):
        evaluate(judged, DAY, lake=lake)
    assert files(lake) == []


def test_a_trial_is_evaluated_without_the_judges(lake: Lake, judged: Path) -> None:
    publish(lake, {"current": [RIGHT], "candidate": [RIGHT]}, run_id="trial", trial=1)
    result = evaluate(judged, DAY, lake=lake, trial="trial")
    assert {one.metric for one in result.metrics} == {"topic"}


def test_a_table_of_other_settings_is_told(
    lake: Lake, tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(lake, {"current": [RIGHT], "removed": [RIGHT]})
    evaluate(folder, DAY, lake=lake)
    assert "has answers of removed, which tickets has no more" in caplog.text
    assert "has no answers of candidate, which is not evaluated" in caplog.text
    grouped = write_evaluated(tmp_path / "grouped" / "tickets", evaluation=f"by: [team]\n{EVALUATION}")
    yaml = (grouped / "pipeline.yaml").read_text()
    (grouped / "pipeline.yaml").write_text(yaml.replace("{truth: string}", "{truth: string, team: string}"))
    sql = (grouped / "extract.sql").read_text()
    (grouped / "extract.sql").write_text(sql.replace("truth from", "truth, team from"))
    with pytest.raises(LakeError, match=r"(?s)has no column 'team'.*run that day again"):
        evaluate(grouped, DAY, lake=lake)
