"""document_rows.py: the documents of a run as lines."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from include.cli.output.document_rows import document_rows
from include.enrichment.documents.document import DOCX, PDF

SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("name", "media_type", "sent_as", "why")),
        pa.field("pages", pa.list_(pa.struct({"number": pa.int64()}))),
    ]
)


def document(name: str, *pages: int, media_type: str = PDF) -> dict[str, Any]:
    numbers = [{"number": number} for number in pages]
    return {"name": name, "media_type": media_type, "sent_as": "text", "why": "it is", "pages": numbers}


def lines(*documents: dict[str, Any], rejected: list[tuple[str, str]]) -> list[tuple[str, ...]]:
    found = document_rows(pa.Table.from_pylist(list(documents), SCHEMA), rejected).to_pylist()
    return [tuple(line.values()) for line in found]


def test_sent_and_rejected_documents_are_lines_sorted_by_name() -> None:
    found = lines(document("b.docx", 1, media_type=DOCX), document("c.pdf", 1, 2), rejected=[("a.pdf", "is empty")])
    assert found == [
        ("a.pdf", "", "", "rejected", "is empty"),
        ("b.docx", "DOCX", "", "text", "it is"),
        ("c.pdf", "PDF", "1-2", "text", "it is"),
    ]


def test_the_parts_of_a_document_stay_in_their_order() -> None:
    found = lines(document("a.pdf", 8, 9), document("b.pdf", 1), document("a.pdf", 10), rejected=[])
    assert [line[:3] for line in found] == [("a.pdf", "PDF", "8-9"), ("a.pdf", "PDF", "10"), ("b.pdf", "PDF", "1")]


def test_a_document_of_several_rejected_rows_is_one_line() -> None:
    rejected = [("a.pdf", "is empty"), ("a.pdf", "is empty"), ("a.pdf", "has 9 pages")]
    assert [line[4] for line in lines(rejected=rejected)] == ["is empty", "has 9 pages"]


def test_no_documents_have_no_lines() -> None:
    assert lines(rejected=[]) == []
