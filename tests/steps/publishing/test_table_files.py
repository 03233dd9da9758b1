from __future__ import annotations

import io
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.answers.manifest import Manifest
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.gateways.lake import Lake
from include.steps.publishing import joining, table_files
from tests.fixtures.flow import DAY, Flow, without_rows, write_pipeline, write_tickets
from tests.fixtures.publishing import REJECTS, TABLE, run_all, table


def test_every_row_is_published_with_its_key_first_and_typed_columns(flow: Flow) -> None:
    manifest = run_all(flow)
    published = table(flow, TABLE)
    assert published["ticket"].to_pylist() == ["T1", "T2", "T3"]
    assert {field.name: str(field.type) for field in published.schema} == {
        "ticket": "string",
        "topic": "string",
        "urgent": "bool",
        "words": "list<element: string>",
        "_request_id": "string",
        "_batch_id": "string",
        "_model": "string",
        "_cost_usd": "decimal128(18, 12)",
    }
    assert (manifest.rows, manifest.requests, manifest.published, manifest.rejected) == (3, 3, 3, 0)
    stored = Manifest.model_validate_json(flow.lake.read(layout.manifest("tickets", DAY)))
    assert stored == manifest


def test_the_object_opens_in_pandas_and_duckdb_with_its_types(flow: Flow, tmp_path: Path) -> None:
    run_all(flow)
    data = flow.lake.read(TABLE)
    frame = pd.read_parquet(io.BytesIO(data))
    assert frame["urgent"].dtype == bool
    (path := tmp_path / "data.parquet").write_bytes(data)
    described = duckdb.execute("describe select * from read_parquet(?)", [str(path)]).fetchall()
    assert [(name, kind) for name, kind, *_ in described][:4] == [
        ("ticket", "VARCHAR"),
        ("topic", "VARCHAR"),
        ("urgent", "BOOLEAN"),
        ("words", "VARCHAR[]"),
    ]


def test_an_empty_partition_is_an_empty_object_with_the_same_columns(flow: Flow, tmp_path: Path) -> None:
    run_all(flow)
    full = table(flow, TABLE).schema
    flow.lake = Lake.in_folder(tmp_path / "another lake")
    without_rows(flow, tmp_path)
    flow.folder = flow.run("manual__2")
    assert run_all(flow).rows == 0
    assert table(flow, TABLE).schema.equals(full)
    assert table(flow, REJECTS).num_rows == 0


@pytest.mark.parametrize(
    ("select", "kind"),
    [
        ("7 as id", "int64"),
        ("'2026-11-01' as id", "string"),
    ],
)
def test_a_key_takes_its_type_from_the_rows(flow: Flow, tmp_path: Path, select: str, kind: str) -> None:
    flow.pipeline = load_pipeline(
        write_pipeline(
            tmp_path / "typed" / "tickets",
            pipeline_yaml="source: {connection: w, key: [id]}\nrequest: {model: claude-haiku-5-5, max_tokens: 200}\n",
            extract_sql=f"select {select}, 'x' as body where :partition_start < :partition_end",
        )
    )
    run_all(flow)
    assert str(table(flow, TABLE).schema.field("id").type) == kind


def test_row_groups_are_as_large_as_is_good_to_read(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "_PORTION_ROWS", 10)
    monkeypatch.setattr(table_files, "_GROUP_ROWS", 30)
    write_tickets(flow.database, [(f"N{number:02}", f"Ticket {number}") for number in range(97)])
    run_all(flow)
    data = flow.lake.read(TABLE)
    metadata = pq.read_metadata(pa.BufferReader(data))
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [30, 30, 30, 10]
    keys = ["T1", "T2", "T3", *(f"N{number:02}" for number in range(97))]
    assert flow.published()["ticket"].to_pylist() == keys
