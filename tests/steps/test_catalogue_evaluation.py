"""The pipeline `catalogue_evaluation` with its judges, from the warehouse to the verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from include.enrichment.runs.partition import parse_partition
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage.layout import EvaluationFolder, RunFolder
from include.gateways.sources.published_table import PublishedTable
from include.stack import sample_products
from include.stack.folder import ROOT
from include.steps.evaluate import evaluate
from include.steps.extract import extract
from tests.fixtures.flow import Flow

PIPELINES = ROOT / "include/pipelines"
DAY = parse_partition("2026-11-16", "the day")
VARIANTS = ["current", "brief", "sonnet", "sonnet-brief"]


def run(flow: Flow, name: str, database: Path) -> Flow:
    """Run a pipeline of the project, whatever its source."""
    pipeline = load_pipeline(PIPELINES / name)
    folder = RunFolder(pipeline=name, partition=DAY, run_id="manual__1")
    one = replace(flow, pipeline=pipeline, folder=folder, database=database)
    source = pipeline.settings.source
    table = PublishedTable(
        flow.lake, pipeline=source.table or "", where=pipeline.where, renaming=pipeline.renaming, pairs=source.pairs
    )
    extract(pipeline, folder, source=table if source.table else one.warehouse, lake=flow.lake)
    for pass_name in ("canary", "main"):
        one.send(pass_name)
    one.publish()
    return one


def test_all_variants_are_graded_judged_and_compared(flow: Flow, tmp_path: Path) -> None:
    sample_products.load_sample(database := tmp_path / "sample.db", partition=str(DAY), limit=20)
    flow.emulator.set_faults(sample_products.accuracy_faults(database))
    for name in ("catalogue_evaluation", "pitch_judge", "pitch_pairs"):
        run(flow, name, database)
    result = evaluate(PIPELINES / "catalogue_evaluation", DAY, lake=flow.lake)
    assert [variant.variant for variant in result.variants] == VARIANTS
    of_all = {(metric.metric, metric.variant): metric for metric in result.metrics if metric.by is None}
    assert {metric for metric, _ in of_all} == {"category", "pitch", "pitch_preferred"}
    assert of_all["category", "current"].cases == of_all["pitch", "current"].cases == result.cases
    (bias,) = result.position_bias
    assert (bias.pairs, bias.unscored) == (3 * result.cases, 0)
    assert {decision.metric: decision.on for decision in result.gate} == {"category": "fail", "pitch": "warn"}
    folder = EvaluationFolder(pipeline="catalogue_evaluation", evaluation_id=result.evaluation_id)
    report = flow.lake.read(folder.report)
    assert b"imulated" in report
    assert flow.emulator.billed_twice() == []
