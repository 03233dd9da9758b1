"""grounding.py: the evidence of a run's answers, and CheckedRows that publishes it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from include.enrichment.answers.checks.check import Check
from include.enrichment.answers.checks.checks import Checks
from include.enrichment.answers.checks.similarity import RowNames
from include.enrichment.answers.evidence.evidence_output import EvidenceOutput
from include.enrichment.answers.evidence.quote import EVIDENCE, UNGROUNDED
from include.enrichment.answers.table import ANSWERED_SCHEMA, DOCUMENTS, Shape, split_rows
from include.enrichment.documents.document import Page
from include.enrichment.errors import LakeError
from include.steps.files.document_file import Documents, DocumentWriter, SentDocument
from include.steps.publishing import grounding
from include.steps.publishing.checking import CheckedRows
from include.steps.publishing.grounding import Grounder

SCHEMA = json.dumps(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["total"],
        "properties": {"total": {"type": "number", "description": "x"}},
    }
)
OUTPUT = EvidenceOutput(SCHEMA)


def answer(total: int, quote: str, *, page: int = 1) -> str:
    return json.dumps({"data": {"total": total}, "evidence": [{"field": "total", "page": page, "quote": quote}]})


@pytest.fixture
def grounder(tmp_path: Path) -> Grounder:
    """Documents "1" to "3", each of two pages with its total on the second."""
    with DocumentWriter(tmp_path / "documents.parquet") as writer:
        for number in range(1, 4):
            texts = ["An invoice of Acme Widgets, Springfield", f"Total of all the lines above: {number},000.00"]
            writer.add(
                SentDocument(
                    id=str(number),
                    uri=f"/scans/{number}.pdf",
                    name=f"{number}.pdf",
                    media_type="application/pdf",
                    size_bytes=1,
                    sha256=str(number),
                    sent_as="pages",
                    why="",
                    pages=[Page(number=page, text=text) for page, text in enumerate(texts, 1)],
                )
            )
    return Grounder(OUTPUT, Documents(tmp_path / "documents.parquet"))


def joined(*outputs: str | None, documents: list[list[str]]) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Rows with their answers; None: the request has expired."""
    lines = [
        {"outcome": "succeeded", "output": output} if output else {"outcome": "expired", "reason": "too late"}
        for output in outputs
    ]
    answered = pa.Table.from_pylist(lines, ANSWERED_SCHEMA)
    rows = pa.table(
        {
            "uri": [f"/scans/{number}.pdf" for number in range(len(outputs))],
            "request_id": [f"request-{number}" for number in range(len(outputs))],
            "problem": pa.nulls(len(outputs), pa.string()),
            DOCUMENTS: pa.array(documents, pa.list_(pa.string())),
        }
    )
    none = answered.slice(0, 0).append_column("place", pa.array([], pa.int64()))
    return rows, answered, none


def test_a_quote_is_looked_for_in_the_documents_of_its_row(grounder: Grounder) -> None:
    output = answer(2000, "2.000,00", page=2)
    assert grounder.ground(output, ["2"]).evidence[0].document == "2.pdf"
    assert grounder.ground(output, ["1", "2"]).ungrounded == []
    assert grounder.ground(output, ["1"]).ungrounded == ["total"]
    assert grounder.ground(output, None).ungrounded == ["total"]
    with pytest.raises(LakeError, match="does not have document 9"):
        grounder.ground(output, ["9"])


def test_only_the_documents_used_last_are_kept(grounder: Grounder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grounding, "_PAGES_KEPT", 4)
    for document in ("1", "2", "1", "3", "1"):
        grounder.ground(answer(1, "1"), [document])
    assert list(grounder._ready) == ["3", "1"]


def test_published_rows_have_their_evidence(grounder: Grounder) -> None:
    other_page, invented, good = answer(1000, "above 1000"), answer(3000, "4.000,00"), answer(2000, "$2,000.00", page=2)
    portion = joined(other_page, None, invented, good, documents=[["1"], ["2"], ["3"], ["2"]])
    ((rows, answered),) = CheckedRows([portion], None, grounder)
    shape = Shape(keys=[pa.field("uri", pa.string())], output=OUTPUT, grounded=True)
    table, rejects = split_rows(rows, answered, shape)
    assert table.schema.names[:4] == ["uri", "total", EVIDENCE, UNGROUNDED]
    assert table["total"].to_pylist() == [1000, 3000, 2000]
    assert table[UNGROUNDED].to_pylist() == [[], ["total"], []]
    assert table[EVIDENCE].to_pylist()[2] == [
        {"field": "total", "page": 2, "quote": "$2,000.00", "found": "normalised", "document": "2.pdf"}
    ]
    assert table[EVIDENCE].to_pylist()[1][0]["found"] is None
    assert rejects["outcome"].to_pylist() == ["expired"]


def test_an_answer_with_an_invented_quote_fails_the_check_and_another_answer_is_taken(grounder: Grounder) -> None:
    check = Check.model_validate({"name": "real", "grounded": ["total"], "message": "Quote it."})
    found = Checks(
        [check], output=OUTPUT, names=RowNames(key=["uri"]), prompt_columns=[], line=lambda *_: 1, file="checks.yaml"
    )
    assert found.need_evidence
    assert not found.need_rows
    bad, good = answer(1000, "9,999.00"), answer(1000, "1,000.00")
    rows, answered, _ = joined(bad, bad, good, documents=[["1"]] * 3)
    others = answered.slice(2, 1).append_column("place", pa.array([1], pa.int64()))
    checked = CheckedRows([(rows, answered, others)], found, grounder)
    ((_, table),) = checked
    assert table["outcome"].to_pylist() == ["invalid", "succeeded", "succeeded"]
    assert table["reason"][0].as_py() == (
        "check real: Quote it. (the quote for total is on no page of the documents: '9,999.00')"
    )
    assert table["text"].to_pylist() == [bad, None, None]
    assert table[UNGROUNDED].to_pylist() == [["total"], [], []]
    assert checked.failed == {"real": 1}
