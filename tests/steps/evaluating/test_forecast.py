"""What an evaluation would send, before and after its answers exist: against the emulator, which is sent nothing."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.gateways.sources.published_table import PublishedTable
from include.gateways.sources.source import Source
from include.steps.evaluating.forecast import Gateways, forecast_evaluation
from tests.fixtures.flow import DAY, FILES, Flow, write_pipeline
from tests.fixtures.published_answers import write_grader


@pytest.fixture
def judge(flow: Flow, tmp_path: Path) -> Pipeline:
    """The tickets with two variants, and a judge of their answers."""
    yaml = f"{FILES['pipeline.yaml']}variants: {{candidate: {{model: claude-sonnet-5}}}}\n"
    flow.pipeline = load_pipeline(write_pipeline(tmp_path / "both" / "tickets", pipeline_yaml=yaml))
    return load_pipeline(write_grader(tmp_path / "both" / "grader"))


def gateways(flow: Flow) -> Gateways:
    def open_source(pipeline: Pipeline) -> Source:
        if pipeline.settings.source.table:
            return PublishedTable(
                flow.lake, pipeline=pipeline.settings.source.table, where=pipeline.where, renaming=pipeline.renaming
            )
        return flow.warehouse

    return Gateways(lake=flow.lake, claude=flow.claude, open_source=open_source, open_buckets=lambda _: None)


def test_before_the_answers_exist_the_judges_part_is_rough_and_nothing_stays_on_the_lake(
    flow: Flow, judge: Pipeline
) -> None:
    asked, grades = forecast_evaluation(flow.pipeline, [judge], DAY, gateways(flow))
    assert asked.what == "3 cases × 2 variants × 1 sample = 6 answers"
    assert (asked.requests, asked.answered, asked.rough) == (6, 0, False)
    assert (grades.what, grades.requests, grades.rough) == ("6 grades", 6, True)
    assert asked.expected_usd
    assert grades.expected_usd
    assert flow.requests_sent() == 0
    assert flow.lake.list("runs/") == []


def test_once_the_answers_are_published_they_cost_nothing_and_the_judges_part_is_exact(
    flow: Flow, judge: Pipeline
) -> None:
    flow.run_all("main")
    asked, grades = forecast_evaluation(flow.pipeline, [judge], DAY, gateways(flow))
    assert (asked.answered, asked.expected_usd) == (asked.requests, Decimal(0))
    assert (grades.what, grades.answered, grades.rough) == ("6 grades", 0, False)


@pytest.mark.parametrize(
    ("pairs", "grades"), [("{baseline: current}", "6 grades"), ("{}", "6 grades")], ids=["baseline", "all pairs"]
)
def test_a_judge_of_pairs_grades_each_pair_in_both_orders(
    flow: Flow, judge: Pipeline, tmp_path: Path, pairs: str, grades: str
) -> None:
    folder = write_grader(tmp_path / "both" / "pairs")
    (folder / "pipeline.yaml").write_text(
        f"source: {{table: tickets, pairs: {pairs}, key: {{ticket: string, first: string, second: string}}}}\n"
        "request: {model: claude-opus-5-5, max_tokens: 200}\n"
    )
    (folder / "user.md").write_text("{{ first_topic }} {{ second_topic }}")
    assert forecast_evaluation(flow.pipeline, [load_pipeline(folder)], DAY, gateways(flow))[1].what == grades
