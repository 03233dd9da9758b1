"""The pipeline `invoices_evaluation`: documents are read from the addresses beside their true values, and graded."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.runs.partition import Partition
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage.layout import RunFolder
from include.gateways.documents.buckets import S3Buckets
from include.gateways.sources.parquet_files import ParquetFiles
from include.stack.folder import ROOT
from include.stack.sample_invoices import sample
from include.stack.sample_invoices.documents import DAYS, documents
from include.steps.evaluate import evaluate
from include.steps.extract import extract
from include.steps.submit import submit
from tests.fixtures.flow import Flow
from tests.fixtures.s3 import filesystem
from tests.gateways.s3_proxy import on_s3

FOLDER = ROOT / "include/pipelines/invoices_evaluation"
#: An ordinary one, one with three pages, and one that must be rejected.
NAMES = {"P000094.pdf", "Lefevre chantier.pdf", "Casco confidential.pdf"}


def test_each_field_is_graded_against_its_true_value(
    flow: Flow, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = [document for document in documents() if document.name in NAMES]
    monkeypatch.setattr(sample, "documents", lambda: chosen)
    store = filesystem(s3_server)
    store.create_dir(sample.BUCKET)
    sample.put_sample(store, sample.BUCKET)
    pipeline, day = load_pipeline(FOLDER), Partition(start=DAYS[0])
    folder = RunFolder(pipeline=pipeline.name, partition=day, run_id="manual__1")
    source = ParquetFiles(
        on_s3(f"s3://{sample.BUCKET}", s3_server),
        files=str(pipeline.settings.source.files),
        name="aws_default",
        where=pipeline.where,
        renaming=pipeline.renaming,
    )
    buckets = S3Buckets(lambda name: on_s3(f"s3://{name}", s3_server))
    extract(pipeline, folder, source=source, lake=flow.lake, buckets=buckets)
    run = replace(flow, pipeline=pipeline, folder=folder)
    for chunk in (chunk for pass_name in ("canary", "main") for chunk in run.plan(pass_name)):
        batch = submit(chunk, run_id=folder.run_id, lake=flow.lake, claude=flow.claude, open_buckets=lambda _: buckets)
        while not flow.claude.retrieve(batch).ended:  # each call waits a moment for the emulator
            pass
        run.load(chunk, batch)
    assert run.publish().rows == len(NAMES) - 1
    result = evaluate(FOLDER, day, lake=flow.lake)
    of_all = {metric.metric: metric for metric in result.metrics if metric.by is None}
    assert {*of_all} >= {"vendor", "total", "line_items", "pages"}
    assert of_all["total"].value == 1
    assert pa.types.is_list(pq.read_schema(pa.BufferReader(flow.lake.read(folder.rows))).field("true_lines").type)
