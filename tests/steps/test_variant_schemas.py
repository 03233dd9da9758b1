"""Variants of a folder from extract to the published table: other files, other schemas, one table."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from include.enrichment.runs.options import RunOptions
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.spec.settings import Keep
from tests.fixtures.flow import FILES, SCHEMA, Flow, write_pipeline

#: Without `words`, with a field of its own.
WHY = {
    **SCHEMA,
    "required": ["topic", "why"],
    "properties": {
        "topic": {"type": "string", "enum": ["billing", "bug", "other"], "description": "What it is about."},
        "why": {"type": "string", "description": "The reason."},
    },
}
YAML = f"""{FILES["pipeline.yaml"]}limits: {{canary_rows: 0, max_reject_ratio: 1}}
variants:
  current:
  reasoned: {{system: reasoned/system.md, schema: reasoned/schema.json}}
"""


@pytest.fixture
def compared(flow: Flow, tmp_path: Path) -> Flow:
    """The tickets with a variant that has files of its own."""
    folder = write_pipeline(tmp_path / "compared" / "tickets", pipeline_yaml=YAML)
    (folder / "reasoned").mkdir()
    (folder / "reasoned/system.md").write_text("Label the ticket, and say why.")
    (folder / "reasoned/schema.json").write_text(json.dumps(WHY))
    flow.pipeline = load_pipeline(folder)
    return flow


def test_one_table_has_the_answers_of_all_variants_and_the_columns_of_all_schemas(compared: Flow) -> None:
    compared.run_all()
    table = compared.published()
    assert table.column_names[:6] == ["ticket", "_variant", "topic", "urgent", "words", "why"]
    rows = table.to_pylist()
    assert [(row["ticket"], row["_variant"]) for row in rows] == [
        (ticket, variant) for ticket in ("T1", "T2", "T3") for variant in ("current", "reasoned")
    ]
    for row in rows:
        is_own = row["_variant"] == "current"
        assert (row["urgent"] is not None, row["why"] is not None) == (is_own, not is_own)


def test_a_run_of_some_variants_publishes_only_their_rows_and_pays_only_for_them(compared: Flow) -> None:
    whole = compared.pipeline
    compared.pipeline = whole.for_run(RunOptions(variants=["reasoned"]))
    compared.run_all()
    assert set(compared.published()["_variant"].to_pylist()) == {"reasoned"}
    assert compared.published().column_names[:4] == ["ticket", "_variant", "topic", "why"]
    before = compared.requests_sent()
    compared.pipeline, compared.folder = whole, compared.run("manual__2")
    compared.run_all()
    assert compared.requests_sent() - before == 3
    assert compared.published().num_rows == 6


def test_the_log_says_for_each_variant_what_cache_auto_came_to(
    flow: Flow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    yaml = FILES["pipeline.yaml"].replace("max_tokens: 200", "max_tokens: 200, cache: auto")
    variants = "variants: {fixed: {cache: 5m}, model: {model: claude-opus-5-5}}\n"
    flow.pipeline = load_pipeline(write_pipeline(tmp_path / "a" / "tickets", pipeline_yaml=yaml + variants))
    with caplog.at_level(logging.INFO):
        flow.extract()
    lines = [record.getMessage() for record in caplog.records if "request.cache" in record.getMessage()]
    assert [line.partition(" is ")[0] for line in lines] == [
        "request.cache: auto of the variant 'current'",
        "request.cache: auto of the variant 'model'",
    ]


def test_the_best_variant_of_each_row_can_be_kept(compared: Flow) -> None:
    keep = Keep(best="length(why)", among="_variant")
    compared.pipeline = compared.pipeline.model_copy(
        update={"settings": compared.pipeline.settings.model_copy(update={"keep": keep})}
    )
    manifest = compared.run_all()
    assert (manifest.published, manifest.not_kept) == (3, 3)
    assert compared.published()["_variant"].to_pylist() == ["reasoned"] * 3
