"""context/*.md and examples.jsonl: the same text in every request of a run, and in the prompt cache."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.spec.pipeline_folder import load_pipeline
from include.steps.files.chunk_files import params_of, read_chunk
from tests.fixtures.flow import FILES, Flow, booked, write_pipeline

YAML = FILES["pipeline.yaml"].replace("200}", "200, cache: 1h}") + "limits: {canary_rows: 1}\n"
EXAMPLE = {"input": {"body": "Where is my refund?"}, "output": {"topic": "billing", "urgent": False}}


@pytest.fixture
def pipeline(flow: Flow, tmp_path: Path) -> Path:
    """The folder of the flow's pipeline, with a glossary of 5,000 tokens and an example."""
    folder = write_pipeline(tmp_path / "shared" / "tickets", pipeline_yaml=YAML)
    (folder / "context").mkdir()
    (folder / "context" / "words.md").write_text("word " * 4_000)
    (folder / "examples.jsonl").write_text(json.dumps(EXAMPLE))
    flow.pipeline = load_pipeline(folder)
    return folder


def systems(flow: Flow) -> set[str]:
    """The system prompts of the run's requests."""
    rows = pq.read_table(pa.BufferReader(flow.lake.read(flow.folder.rows)))["params"].to_pylist()
    return {json.dumps(json.loads(params)["system"]) for params in rows}


def test_every_request_has_the_same_and_reads_it_from_the_cache(flow: Flow, pipeline: Path) -> None:
    manifest = flow.run_all()
    (system,) = systems(flow)
    assert "Ticket: Where is my refund?" in system
    assert manifest.published == 3
    written, read = (
        sum(line[name] for line in booked(flow)) for name in ("cache_write_1h_tokens", "cache_read_tokens")
    )
    assert written >= 5_000
    assert read >= 5_000


def test_a_repair_has_it_too(flow: Flow, pipeline: Path) -> None:
    flow.emulator.set_faults([{"kind": "violates_schema", "times": 1, "match": "crashes"}])
    assert flow.run_all().published == 3
    chunks = [read_chunk(flow.lake, key) for key in flow.lake.list("chunks/")]
    (chunk,) = (chunk for chunk in chunks if chunk.pass_name == "retry")
    (params,) = params_of(flow.lake, chunk, chunk.request_ids).values()
    assert {json.dumps(json.loads(params)["system"])} == systems(flow)


@pytest.mark.parametrize("file", ["context/words.md", "examples.jsonl"])
def test_a_change_sends_every_row_again_and_none_of_a_run_that_has_begun(flow: Flow, pipeline: Path, file: str) -> None:
    flow.extract()
    flow.send("canary")
    before = systems(flow)
    (pipeline / file).write_text((pipeline / file).read_text().replace("word ", "wort ").replace("refund", "bill"))
    flow.send("main")
    flow.publish()
    assert (flow.requests_sent(), systems(flow)) == (3, before)
    flow.pipeline, flow.folder = load_pipeline(pipeline), flow.run("manual__2")
    flow.run_all()
    assert flow.requests_sent() == 6
    assert systems(flow).isdisjoint(before)
