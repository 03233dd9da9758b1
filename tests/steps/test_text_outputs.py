"""A pipeline without output.schema.json: its answers are text, and every step treats them like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from include.cli.output.rows_table import rows_table
from include.enrichment.runs.options import RunOptions
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.steps.dry_run import dry_run
from include.steps.summarise import summarise
from tests.fixtures.flow import DAY, FILES, Flow, booked, write_pipeline
from tests.fixtures.pricing import LONG_SYSTEM, REQUEST, cost, estimated, extract, spent

LIMITS = "limits: {max_reject_ratio: 1, canary_rows: 1}\n"
BLANK = {"kind": "blank", "match": "crashes"}


def load_texts(folder: Path, **changes: str) -> Pipeline:
    write_pipeline(folder / "tickets", **changes)
    (folder / "tickets" / "output.schema.json").unlink()
    return load_pipeline(folder / "tickets")


@pytest.fixture
def texts(flow: Flow, tmp_path: Path) -> Flow:
    """The three tickets, each answered by a text."""
    flow.pipeline = load_texts(tmp_path / "texts", pipeline_yaml=FILES["pipeline.yaml"] + LIMITS)
    return flow


def by_ticket(table: pa.Table) -> dict[str, dict[str, Any]]:
    return {row["ticket"]: row for row in table.to_pylist()}


def test_each_answer_is_published_as_the_column_text(texts: Flow) -> None:
    manifest = texts.run_all()
    table = texts.published()
    assert table.column_names == ["ticket", "text", "_request_id", "_batch_id", "_model", "_cost_usd"]
    assert table.schema.field("text") == pa.field("text", pa.string(), nullable=False)
    assert all(text.startswith("simulated") for text in table["text"].to_pylist())
    assert (manifest.published, manifest.columns["text"]) == (3, "string")
    assert manifest.cost_usd


def test_an_answer_without_text_is_repaired(texts: Flow) -> None:
    texts.emulator.set_faults([BLANK | {"times": 1}])
    manifest = texts.run_all()
    assert (manifest.published, manifest.rejected, texts.requests_sent()) == (3, 0, 4)


def test_an_answer_that_stays_without_text_is_a_reject_with_its_cost(texts: Flow) -> None:
    texts.emulator.set_faults([BLANK])
    manifest = texts.run_all()
    reject = by_ticket(texts.rejected())["T2"]
    assert (reject["outcome"], reject["reason"], reject["text"]) == ("invalid", "no text in the answer", " \n")
    assert reject["_cost_usd"] > 0
    assert (manifest.published, manifest.rejected_by) == (2, {"invalid": 1})


def test_texts_are_reused_by_the_next_run(texts: Flow) -> None:
    texts.run_all()
    before, sent = by_ticket(texts.published()), texts.requests_sent()
    texts.folder = texts.run("manual__2")
    manifest = texts.run_all()
    assert (texts.requests_sent(), manifest.published) == (sent, 3)
    assert {ticket: row["text"] for ticket, row in by_ticket(texts.published()).items()} == {
        ticket: row["text"] for ticket, row in before.items()
    }


def test_a_schema_sends_every_row_again(texts: Flow, tmp_path: Path) -> None:
    texts.run_all()
    texts.pipeline = load_pipeline(write_pipeline(tmp_path / "structured" / "tickets"))
    texts.folder = texts.run("manual__2")
    texts.run_all()
    assert texts.requests_sent() == 6
    assert "text" not in texts.published().column_names


def test_texts_are_summarised_and_shown(texts: Flow) -> None:
    texts.run_all()
    summarise("tickets", DAY, "text", lake=texts.lake)
    shown = rows_table(texts.published(), rejects=False)
    assert all(text[:20] in shown for text in texts.published()["text"].to_pylist())


@pytest.mark.parametrize("cache", ["'off'", "1h"])
def test_the_cost_of_texts_is_estimated_and_booked(flow: Flow, tmp_path: Path, cache: str) -> None:
    flow.pipeline = load_texts(tmp_path / "texts", pipeline_yaml=REQUEST % cache, system_md=LONG_SYSTEM)
    extract(flow)
    forecast = dry_run(flow.folder, lake=flow.lake)
    assert (forecast.rows, forecast.requests) == (3, 3)
    flow.send("main")
    expected = cost(estimated(flow, "main"))
    assert expected.low <= spent(flow, "main") <= expected.high
    assert [(line["requests"], line["succeeded"]) for line in booked(flow)] == [(3, 3)]


def test_a_run_of_only_the_rejects_repairs_a_text_once_more(texts: Flow) -> None:
    texts.emulator.set_faults([BLANK])
    texts.run_all()
    texts.emulator.set_faults([])
    texts.pipeline = texts.pipeline.for_run(RunOptions(only_rejects=True))
    texts.folder = texts.run("manual__2")
    sent = texts.requests_sent()
    manifest = texts.run_all()
    assert (manifest.published, texts.requests_sent() - sent) == (3, 1)
