"""The pipeline `invoices` on its sample, from the documents in a bucket to the table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.answers.manifest import Manifest
from include.enrichment.runs.partition import Partition
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.gateways.documents.buckets import S3Buckets
from include.gateways.sources.objects import Objects
from include.stack.folder import ROOT
from include.stack.sample_invoices import sample
from include.stack.sample_invoices.documents import DAYS
from include.steps.extract import extract
from include.steps.submit import submit
from tests.fixtures.flow import Flow
from tests.fixtures.s3 import filesystem
from tests.gateways.s3_proxy import on_s3

PIPELINE = load_pipeline(ROOT / "include/pipelines/invoices")
PASSES = ("canary", "main", "retry_1", "retry_2")


@dataclass(kw_only=True)
class Day:
    """
    A day of the sample after its run.

    :param truth: the true values of each document by name
    """

    manifest: Manifest
    table: dict[str, dict[str, Any]]
    rejects: dict[str, dict[str, Any]]
    truth: dict[str, dict[str, Any]]


@dataclass(kw_only=True)
class Invoices:
    """The pipeline with its sample in a bucket."""

    flow: Flow
    s3: str

    def run(self, day: date) -> Day:
        """Run a day, whatever ran before."""
        folder = RunFolder(pipeline="invoices", partition=Partition(start=day), run_id=f"manual__{day}")
        flow, buckets = replace(self.flow, pipeline=PIPELINE, folder=folder), self.buckets
        source = Objects(buckets, objects=str(PIPELINE.settings.source.objects), name="aws_default")
        extract(PIPELINE, folder, source=source, lake=flow.lake, buckets=buckets, context_tokens={})
        for chunk in (chunk for pass_name in PASSES for chunk in flow.plan(pass_name)):
            batch = submit(
                chunk, run_id=folder.run_id, lake=flow.lake, claude=flow.claude, open_buckets=lambda _: buckets
            )
            while not flow.claude.retrieve(batch).ended:  # each call waits a moment for the emulator
                pass
            flow.load(chunk, batch)
        manifest = flow.publish()
        keys = layout.table("invoices", folder.partition), layout.rejects("invoices", folder.partition)
        table, rejects = (pq.read_table(pa.BufferReader(flow.lake.read(key))) for key in keys)
        true = pq.read_table(f"{sample.BUCKET}/truth/dt={day}/truth.parquet", filesystem=filesystem(self.s3))
        return Day(manifest=manifest, table=by_name(table), rejects=by_name(rejects), truth=by_name(true))

    @property
    def buckets(self) -> S3Buckets:
        return S3Buckets(lambda name: on_s3(f"s3://{name}", self.s3))


def by_name(table: pa.Table) -> dict[str, dict[str, Any]]:
    rows = {row["name"]: row for row in table.to_pylist()}
    assert len(rows) == len(table)
    return rows


@pytest.fixture(scope="module")
def sample_on_s3(s3_server: str) -> str:
    store = filesystem(s3_server)
    store.create_dir(sample.BUCKET)
    sample.put_sample(store, sample.BUCKET)
    return s3_server


@pytest.fixture
def invoices(flow: Flow, sample_on_s3: str) -> Invoices:
    return Invoices(flow=flow, s3=sample_on_s3)


def test_each_document_of_the_sample_is_once_in_the_table_or_in_the_rejects_for_the_expected_reason(
    invoices: Invoices,
) -> None:
    first, second, third = days = [invoices.run(day) for day in DAYS]
    for day in days:
        assert sorted([*day.table, *day.rejects]) == sorted(day.truth)
        assert set(day.rejects) == {name for name, true in day.truth.items() if true["rejected"]}
        assert [name for name, row in day.rejects.items() if day.truth[name]["rejected"] not in row["reason"]] == []
    # Four are rejects, and the copy under another name was answered on the day before.
    assert invoices.flow.requests_sent() == 60 - 4 - 1
    assert invoices.flow.emulator.billed_twice() == []
    copy, original = second.table["Fwd_ please pay.pdf"], first.table["Invoice F2026-0474.pdf"]
    assert (copy["sha256"], copy["invoice_number"]) == (original["sha256"], original["invoice_number"])
    assert third.table["Severn Telecom November.pdf"]["pages"] == 150
    assert "whole_document" in third.table["Severn Telecom November.pdf"]["_warnings"]
    check_totals([(row, day.truth[name]) for day in days for name, row in day.table.items()])


def check_totals(rows: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """The emulator reads the total of each document with text. Its quote is found on the page that has it."""
    right = [(row, true) for row, true in rows if row["total"] == pytest.approx(true["total"])]
    assert {true["odd"] for _, true in rows} - {true["odd"] for _, true in right} == {
        "a scan: pictures of its pages, no text",
        "a scan with a text layer that was read badly",
        "a PNG, whatever its name says",
        "a photo that lies on its side, as its EXIF data says",
    }
    for row, true in right:
        (quote,) = (each for each in row["_evidence"] if each["field"] == "total")
        (place,) = (each for each in true["stands_on"] if each["field"] == "total")
        assert quote["page"] in place["pages"]
        assert "total" not in row["_ungrounded"]
