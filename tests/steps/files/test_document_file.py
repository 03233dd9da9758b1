"""document_file.py: the documents of a run, by id."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from include.enrichment.documents.document import Page
from include.enrichment.errors import LakeError
from include.steps.files.document_file import Documents, DocumentWriter, SentDocument


def _document(number: int, *, pages: int = 2) -> SentDocument:
    return SentDocument(
        id=f"{number:064x}",
        uri=f"s3://scans/a {number}+é.pdf",
        name=f"a {number}+é.pdf",
        media_type="application/pdf",
        size_bytes=1_000,
        sha256=f"{number:064x}",
        sent_as="pages",
        why="page 1 has no text",
        pages=[Page(number=page, text=f"Document {number}\npage {page}") for page in range(1, pages + 1)],
    )


def _write(path: Path, documents: list[SentDocument], *, group_bytes: int = 1_500) -> Path:
    with DocumentWriter(path, group_bytes=group_bytes) as writer:
        for document in documents:
            writer.add(document)
    return path


def test_a_document_is_found_by_its_id(tmp_path: Path) -> None:
    documents = [_document(number) for number in range(20)]
    found = Documents(_write(tmp_path / "documents.parquet", documents), groups_kept=2)
    for document in [*documents, documents[0], documents[-1]]:
        assert found.find(document.id) == document


def test_a_document_of_several_rows_is_written_once(tmp_path: Path) -> None:
    path = _write(tmp_path / "documents.parquet", [_document(1), _document(2), _document(1)])
    assert pq.read_table(path)["id"].to_pylist() == [_document(1).id, _document(2).id]


def test_row_groups_are_small_and_only_a_few_are_in_memory(tmp_path: Path) -> None:
    path = _write(tmp_path / "documents.parquet", [_document(number) for number in range(20)])
    assert pq.read_metadata(path).num_row_groups >= 5
    found = Documents(path, groups_kept=2)
    for number in range(20):
        found.find(_document(number).id)
        assert len(found._groups) <= 2


def test_no_documents_make_an_empty_file(tmp_path: Path) -> None:
    assert pq.read_table(_write(tmp_path / "documents.parquet", [])).num_rows == 0


def test_an_unknown_document_tells_what_to_do(tmp_path: Path) -> None:
    found = Documents(_write(tmp_path / "documents.parquet", [_document(1)]))
    with pytest.raises(LakeError, match="Clear the run's `extract`"):
        found.find("0" * 64 + " pages 1-2")


def test_an_image_has_no_pages(tmp_path: Path) -> None:
    image = _document(1, pages=0)
    assert Documents(_write(tmp_path / "documents.parquet", [image])).find(image.id).pages == []
