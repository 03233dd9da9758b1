"""The pipelines for bulk content on rows of the sample, from extract to their tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.runs.partition import parse_partition
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.stack import sample_products
from include.stack.folder import ROOT
from tests.fixtures.flow import Flow

#: In the prompts of one string, in each locale.
GREETING = "first_name }},</source_text>"


def workload(flow: Flow, name: str, day: str, table: str, keys: Sequence[str]) -> Flow:
    """The flow with a pipeline of the project and these rows of the sample."""
    database = flow.database.with_name("sample.db")
    sample_products.load_sample(database, partition=day)
    column = "package" if table == "products" else "string_id"
    with closing(sqlite3.connect(database)) as connection, connection:
        marks = ", ".join("?" * len(keys))
        connection.execute(f"delete from {table} where {column} not in ({marks})", keys)
    return replace(
        flow,
        pipeline=load_pipeline(ROOT / "include/pipelines" / name),
        folder=RunFolder(pipeline=name, partition=parse_partition(day, "PARTITION"), run_id="manual__1"),
        database=database,
    )


def read(flow: Flow, path: str) -> pa.Table:
    return pq.read_table(pa.BufferReader(flow.lake.read(path)))


@pytest.fixture
def strings(flow: Flow) -> Flow:
    keys = ["button.save", "cli.version_conflict", "email.body.greeting"]
    return workload(flow, "ui_strings", "2026-11-18", "ui_strings", keys)


def test_each_product_has_one_page_in_each_language_and_every_page_passes_the_checks(flow: Flow) -> None:
    flow = workload(flow, "product_pages", "2026-11-17", "products", ["abcl", "acpid"])
    manifest = flow.run_all()
    assert (manifest.rows, manifest.published, manifest.rejected) == (12, 6, 0)
    pages = read(flow, layout.table("product_pages", flow.folder.partition))
    assert [(row["package"], row["locale"]) for row in pages.select(["package", "locale"]).to_pylist()] == [
        (package, locale) for package in ("abcl", "acpid") for locale in ("de-DE", "fr-FR", "es-ES")
    ]
    assert manifest.failed_checks == manifest.warned_checks == {}
    lengths = [len(text.split()) for text in pages["description"].to_pylist()]
    assert pages["_score"].to_pylist() == [-abs(words - 60) for words in lengths]


def test_a_lost_placeholder_is_repaired_and_each_translation_fits(strings: Flow) -> None:
    strings.emulator.set_faults([{"kind": "lost_placeholder", "match": GREETING, "times": 1}])
    manifest = strings.run_all("main", "retry_1")
    assert (manifest.rows, manifest.published, manifest.rejected) == (12, 12, 0)
    assert strings.requests_sent() == 12 + 4
    rows = read(strings, layout.table("ui_strings", strings.folder.partition)).to_pylist()
    assert [row["locale"] for row in rows[:4]] == ["de-DE", "fr-FR", "es-ES", "pl-PL"]
    assert all(len(row["translation"]) <= (row["max_characters"] or 1000) for row in rows)
    assert all(
        ("{{ first_name }}" in row["translation"]) == (row["string_id"] == "email.body.greeting") for row in rows
    )


def test_a_placeholder_that_stays_lost_makes_rejects_that_name_the_check(strings: Flow) -> None:
    limits = strings.pipeline.settings.limits.model_copy(update={"max_reject_ratio": 1.0})
    settings = strings.pipeline.settings.model_copy(update={"limits": limits})
    strings.pipeline = strings.pipeline.model_copy(update={"settings": settings})
    strings.emulator.set_faults([{"kind": "lost_placeholder", "match": GREETING}])
    manifest = strings.run_all("main", "retry_1", "retry_2")
    assert manifest.failed_checks == {"placeholders": 4}
    rejects = read(strings, layout.rejects("ui_strings", strings.folder.partition))
    assert {row["string_id"] for row in rejects.to_pylist()} == {"email.body.greeting"}
    assert all(reason.startswith("check placeholders: ") for reason in rejects["reason"].to_pylist())
