"""A judge: one pipeline asks twice, another one scores its answers and publishes the better one of each row."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.answers.manifest import Manifest
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.gateways.sources.published_table import PublishedTable
from include.steps.extract import extract
from tests.fixtures.flow import DAY, FILES, Flow, write_pipeline, write_tickets

JUDGE = """\
source:
  table: tickets
  rename: {_sample: sample, topic: text_of_answer}
  key: [ticket, sample]
  carry: [text_of_answer]
request: {model: claude-haiku-5-5, max_tokens: 200}
keep: {best: score, among: sample}
"""
SCORE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["score"],
    "properties": {"score": {"type": "integer", "enum": [1, 2, 3], "description": "How good it is."}},
}
ROWS = 20


@pytest.fixture
def judge(flow: Flow, tmp_path: Path) -> Flow:
    """The tickets, each with two answers; and the pipeline ``judged``, which reads them."""
    write_tickets(flow.database, [(f"N{number:02}", f"Ticket {number}") for number in range(ROWS - 3)])
    tickets = write_pipeline(tmp_path / "all" / "tickets", pipeline_yaml=f"{FILES['pipeline.yaml']}samples: 2\n")
    flow.pipeline = load_pipeline(tickets)
    flow.run_all("main")
    folder = write_pipeline(
        tmp_path / "all" / "judged",
        pipeline_yaml=JUDGE,
        user_md="{{ text_of_answer }} {{ urgent }}",
        output_schema_json=json.dumps(SCORE),
    )
    (folder / "extract.sql").unlink()
    return replace(flow, pipeline=load_pipeline(folder))


def run(judge: Flow, run_id: str) -> Manifest:
    judge.folder = RunFolder(pipeline="judged", partition=DAY, run_id=run_id)
    pipeline = judge.pipeline
    source = PublishedTable(
        judge.lake, pipeline=pipeline.settings.source.table or "", where=pipeline.where, renaming=pipeline.renaming
    )
    extract(pipeline, judge.folder, source=source, lake=judge.lake)
    judge.send("main")
    return judge.publish()


def rows(judge: Flow, place: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(pa.BufferReader(judge.lake.read(place("judged", DAY)))).to_pylist()
    return found


def test_the_answer_with_the_higher_score_is_published_with_its_text(judge: Flow) -> None:
    manifest = run(judge, "manual__1")
    published, samples = rows(judge, layout.table), rows(judge, layout.samples)
    assert (manifest.rows, manifest.published, manifest.not_kept) == (2 * ROWS, ROWS, ROWS)
    tickets = Manifest.model_validate_json(judge.lake.read(layout.manifest("tickets", DAY)))
    assert manifest.source_sha256 == tickets.sha256["table"]
    assert list(published[0])[:5] == ["ticket", "sample", "text_of_answer", "score", "_score"]
    answers = {(row["ticket"], row["_sample"]): row["topic"] for row in judge.published().to_pylist()}
    lost = {row["ticket"]: row for row in samples}
    assert [row["ticket"] for row in published] == list(lost)
    for row in published:
        other = lost[row["ticket"]]
        assert row["text_of_answer"] == answers[row["ticket"], row["sample"]]
        assert {row["sample"], other["sample"]} == {1, 2}
        assert row["score"] == row["_score"]
        assert row["score"] > other["score"] or (row["score"] == other["score"] and row["sample"] == 1)
    assert len({row["score"] == lost[row["ticket"]]["score"] for row in published}) == 2
    assert {row["sample"] for row in published} == {1, 2}


def test_a_second_run_sends_nothing_and_publishes_the_same(judge: Flow) -> None:
    run(judge, "manual__1")
    before, sent = [rows(judge, place) for place in (layout.table, layout.samples)], judge.requests_sent()
    run(judge, "manual__2")
    assert judge.requests_sent() == sent
    assert [rows(judge, place) for place in (layout.table, layout.samples)] == before
