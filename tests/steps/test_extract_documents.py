"""extract with documents: each of them becomes exactly one row, or one for each part, with a request or a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.answers.table import DOCUMENTS
from include.enrichment.documents.document import Stored
from include.enrichment.errors import WarehouseError
from include.enrichment.runs.options import RunOptions
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage.layout import RunFolder
from include.gateways.documents.buckets import LocalFolder
from include.gateways.lake import Lake
from include.gateways.sources.objects import Objects
from include.steps.dry_run import dry_run
from include.steps.extract import extract
from include.steps.files.document_file import Documents
from include.steps.files.extracted import Extracted
from tests.fixtures.documents import image, pdf
from tests.fixtures.flow import FILES, Flow, write_pipeline, write_tickets

SOURCE = "{connection: warehouse, key: [ticket]}"
PROSE = "\n".join(["The parties agree on the following terms, which are binding on both of them."] * 10)
FOUR = pdf(*[f"Page {number}.\n{PROSE}" for number in range(1, 5)])

Run = Callable[..., Extracted]


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """The folder of the day: a PDF under two names, an image and an empty file."""
    folder = tmp_path / "inbox" / "2026-11-01"
    folder.mkdir(parents=True)
    for name, data in {"a.pdf": FOUR, "b.pdf": FOUR, "c.png": image(), "d.pdf": b""}.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def run(flow: Flow, inbox: Path, tmp_path: Path, shared_inspector: None) -> Run:
    """Extract the documents of the day, with these lines of pipeline.yaml beside source and request."""

    def extracted(
        more: str = "",
        carry: str = "[]",
        key: str = "[name]",
        where: str = "true",
        prompt: str = "Of {{ name }}.",
        **options: Any,
    ) -> Extracted:
        place = f"{inbox.parent}/{{partition}}/"
        source = f"{{objects: '{place}', key: {key}, carry: {carry}, where: \"{where}\"}}"
        yaml = FILES["pipeline.yaml"].replace(SOURCE, source) + more
        folder = write_pipeline(tmp_path / "documents" / "tickets", pipeline_yaml=yaml, user_md=prompt)
        (folder / "extract.sql").unlink()
        flow.pipeline = load_pipeline(folder).for_run(RunOptions(**options))
        assert flow.pipeline.settings.attachments_connection == str(inbox.parent)
        buckets = LocalFolder(inbox.parent)
        objects = Objects(buckets, objects=place, name="", where=flow.pipeline.where)
        return extract(flow.pipeline, flow.folder, source=objects, lake=flow.lake, buckets=buckets)

    return extracted


def _rows(flow: Flow) -> list[dict[str, Any]]:
    return list(pq.read_table(pa.BufferReader(flow.lake.read(flow.folder.rows))).to_pylist())


def _documents(lake: Lake, folder: RunFolder, path: Path) -> Documents:
    lake.fetch(folder.documents, path)
    return Documents(path)


def test_each_document_is_one_row_with_a_request_or_a_reason(flow: Flow, run: Run, tmp_path: Path) -> None:
    extracted = run("limits: {min_rows: 4}\n", carry="[uri, size_bytes, modified_at, media_type, sha256, pages]")
    assert (extracted.source_rows, extracted.rows, extracted.unsendable) == (4, 4, 1)
    rows = _rows(flow)
    assert [row["name"] for row in rows] == ["a.pdf", "b.pdf", "c.png", "d.pdf"]
    assert [row["problem"] for row in rows] == [None, None, None, "the document d.pdf is empty (0 bytes)"]
    assert [(row["media_type"], row["pages"]) for row in rows] == [
        ("application/pdf", 4),
        ("application/pdf", 4),
        ("image/png", None),
        (None, None),
    ]
    assert all(row["sha256"] and row["modified_at"] <= datetime.now(UTC) for row in rows)
    content = json.loads(rows[2]["params"])["messages"][0]["content"]
    assert [block["type"] for block in content] == ["image", "text"]
    assert content[1]["text"] == "Of c.png."
    documents = _documents(flow.lake, flow.folder, tmp_path / "documents.parquet")
    assert pq.read_metadata(tmp_path / "documents.parquet").num_rows == 2
    assert [[documents.find(one).uri for one in row[DOCUMENTS]] for row in rows] == [
        [rows[0]["uri"]],
        [rows[0]["uri"]],  # the same content
        [rows[2]["uri"]],
        [],
    ]


def test_a_document_under_another_name_is_the_same_request(flow: Flow, run: Run) -> None:
    run(more="attachments: {columns: {uri: {send: pages}}}\n")
    first, second, *_ = _rows(flow)
    assert first["request_id"] != second["request_id"]  # the prompt has the name
    run(more="attachments: {columns: {uri: {send: pages}}}\n", prompt="Read it.")
    first, second, *_ = _rows(flow)
    assert first["request_id"] == second["request_id"]
    assert first["params"] != second["params"]  # each refers to its own object


def test_the_parts_of_a_document_are_rows_of_their_own_for_each_value_of_for_each(flow: Flow, run: Run) -> None:
    more = "attachments: {columns: [uri], split_pages: 3}\nfor_each: {locale: [de, fr]}\nsamples: 2\n"
    extracted = run(more, where="name <> 'b.pdf'", prompt="{{ name }} in {{ locale }}")
    rows = _rows(flow)
    assert (extracted.source_rows, extracted.rows, extracted.unsendable) == (3, 16, 4)
    assert [(row["name"], row["_part"], row["locale"], row["_sample"], row["_pages"]) for row in rows[:8]] == [
        ("a.pdf", part, locale, sample, pages)
        for part, pages in ((1, "1-3"), (2, "4-4"))
        for locale in ("de", "fr")
        for sample in (1, 2)
    ]
    assert {row["_pages"] for row in rows[8:]} == {None}
    assert len({(row["name"], row["_part"], row["locale"], row["_sample"]) for row in rows}) == 16


def test_a_trial_reads_no_more_documents_than_rows(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    fetch = LocalFolder.fetch

    def counted(self: LocalFolder, uri: str, path: Path, **options: Any) -> Stored:
        fetched.append(Path(uri).name)
        return fetch(self, uri, path, **options)

    monkeypatch.setattr(LocalFolder, "fetch", counted)
    assert run(rows=2).rows == 2
    assert sorted(fetched) == ["a.pdf", "b.pdf"]


def test_a_day_without_documents_is_late_unless_it_may_be_empty(flow: Flow, run: Run) -> None:
    with pytest.raises(WarehouseError, match=r"has 0 rows for partition 2026-11-01, but limits\.min_rows") as raised:
        run(where="false")
    assert raised.value.retryable
    extracted = run("limits: {min_rows: 0}\n", where="false", key="{name: string}")
    assert (extracted.source_rows, extracted.rows) == (0, 0)


def test_a_table_may_name_the_documents_of_its_rows(flow: Flow, inbox: Path, tmp_path: Path) -> None:
    yaml = FILES["pipeline.yaml"] + f"attachments: {{columns: [scan], connection: {inbox.parent}}}\n"
    sql = "select ticket, body, body as scan from tickets where day >= :partition_start order by ticket"
    folder = write_pipeline(tmp_path / "scans" / "tickets", pipeline_yaml=yaml, extract_sql=sql)
    scans = [("S1", str(inbox / "a.pdf")), ("S2", str(inbox / "missing.pdf")), ("S3", ""), ("S4", "/etc/passwd")]
    flow = replace(flow, pipeline=load_pipeline(folder), database=write_tickets(tmp_path / "scans.db", scans))
    buckets = LocalFolder(inbox.parent)
    extract(flow.pipeline, flow.folder, source=flow.warehouse, lake=flow.lake, buckets=buckets)
    rows = _rows(flow)
    assert [row["ticket"] for row in rows] == ["S1", "S2", "S3", "S4"]
    assert [str(row["problem"])[:50] for row in rows] == [
        "None",
        "the document missing.pdf does not exist, or is a f",
        "it has no document: scan is empty",
        "the document passwd cannot be read: '/etc/passwd' ",
    ]


def test_every_document_is_published_or_rejected_part_by_part(flow: Flow, run: Run) -> None:
    more = "attachments: {columns: [uri], split_pages: 3}\nlimits: {canary_rows: 0, max_reject_ratio: 0.5}\n"
    run(more, carry="[media_type, pages]", prompt="Read it.")
    forecast = dry_run(flow.folder, lake=flow.lake)
    assert (forecast.rows, forecast.unsendable, forecast.requests) == (6, 1, 3)  # a.pdf and b.pdf have the same parts
    assert flow.send("main") == {"succeeded": 3}
    manifest = flow.publish()
    assert (manifest.rows, manifest.published, manifest.rejected) == (6, 5, 1)
    table = flow.published()
    assert table.schema.names[:5] == ["name", "_part", "media_type", "pages", "_pages"]
    assert table.select(["name", "_part", "_pages"]).to_pylist() == [
        {"name": name, "_part": part, "_pages": pages}
        for name, part, pages in (
            *(("a.pdf", 1, "1-3"), ("a.pdf", 2, "4-4"), ("b.pdf", 1, "1-3"), ("b.pdf", 2, "4-4")),
            ("c.png", 1, None),
        )
    ]
    (reject,) = flow.rejected().to_pylist()
    assert (reject["name"], reject["_part"], reject["outcome"]) == ("d.pdf", 1, "errored")
    assert reject["reason"] == "not sent: the document d.pdf is empty (0 bytes)"
