"""by_group.py: the requests of a pass by the variant that they are sent for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from include.enrichment.answers.repair import Repair
from include.enrichment.requests.chunk import SIZES_SCHEMA
from include.enrichment.requests.request import Request
from include.enrichment.requests.request_ids import RequestIds
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage.layout import RunFolder
from include.steps.files.extracted import Extracted, ExtractedRun
from include.steps.planning.by_group import group_requests, sizes_by_group
from tests.fixtures.flow import DAY, write_pipeline
from tests.fixtures.variants import with_variants


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return load_pipeline(write_pipeline(tmp_path / "tickets"))


@pytest.fixture
def run(pipeline: Pipeline, tmp_path: Path) -> ExtractedRun:
    """A run of two variants, with two requests each."""
    return ExtractedRun(
        folder=RunFolder(pipeline="tickets", partition=DAY, run_id="r"),
        pipeline=with_variants(pipeline, current={}, candidate={"system": "Label it."}),
        extracted=Extracted(rows=4, unsendable=0, extracted_at=datetime(2026, 11, 2, tzinfo=UTC)),
        rows=tmp_path / "rows.parquet",
        request_ids=RequestIds("abcd"),
        by_variant={"current": RequestIds("bd"), "candidate": RequestIds("ac")},
    )


def repair_of(request_id: str, repair_id: str) -> Repair:
    return Repair(request=Request(request_id=repair_id, params="{}"), of=request_id, depth=1)


def test_requests_are_grouped_in_the_order_of_the_variants(run: ExtractedRun) -> None:
    groups = group_requests(RequestIds("abc"), run)
    assert [(name, list(found)) for name, found in groups.items()] == [("current", ["b"]), ("candidate", ["a", "c"])]


def test_a_variant_without_requests_is_left_out(run: ExtractedRun) -> None:
    assert group_requests(RequestIds("ac"), run).keys() == {"candidate"}
    assert group_requests(RequestIds(), run) == {}


def test_a_repair_belongs_to_the_variant_whose_answer_it_repairs(run: ExtractedRun) -> None:
    repairs = [repair_of("a", "z"), repair_of("b", "y"), repair_of("d", "not sent")]
    groups = group_requests(RequestIds(["a", "y", "z"]), run, repairs)
    assert {name: list(found) for name, found in groups.items()} == {"current": ["y"], "candidate": ["a", "z"]}


def test_without_variants_all_requests_are_one_group_as_they_are(run: ExtractedRun, pipeline: Pipeline) -> None:
    plain = replace(run, pipeline=pipeline, by_variant={})
    assert group_requests(run.request_ids, plain)[""] is run.request_ids
    sizes = pa.table([["a"], [1]], SIZES_SCHEMA)
    assert sizes_by_group(sizes, {"": RequestIds("a")})[""] is sizes


def test_the_sizes_of_each_variant_stay_sorted(run: ExtractedRun) -> None:
    sizes = pa.table([list("abcd"), [1, 2, 3, 4]], SIZES_SCHEMA)
    found = sizes_by_group(sizes, group_requests(RequestIds("abcd"), run))
    assert {name: part.to_pydict() for name, part in found.items()} == {
        "current": {"request_id": ["b", "d"], "params_bytes": [2, 4]},
        "candidate": {"request_id": ["a", "c"], "params_bytes": [1, 3]},
    }
