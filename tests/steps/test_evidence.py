"""Evidence through a whole run: from documents to rows with the page and the quote of each value."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from include.enrichment.answers.evidence.quote import EVIDENCE, UNGROUNDED
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.gateways.documents.buckets import LocalFolder
from include.steps.extract import extract
from tests.fixtures.documents import image, pdf, scanned_pdf
from tests.fixtures.flow import Flow, write_pipeline, write_tickets

pytestmark = pytest.mark.usefixtures("flow")

YAML = """
source: {connection: warehouse, key: [ticket]}
attachments: {columns: {body: {send: SEND}}, connection: "FOLDER"}
request: {model: claude-haiku-5-5, max_tokens: 2000}
output: {evidence: true}
limits: {max_reject_ratio: 1}
"""
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["vendor", "total"],
    "properties": {
        "vendor": {"type": "string", "description": "The vendor's name."},
        "total": {"type": "number", "description": "The total to be paid."},
    },
}
QUOTED = "- {name: quoted, grounded: [vendor, total], message: Copy the quote.}\n"


def prepared(
    flow: Flow, folder: Path, *, send: str = "auto", schema: bool = True, checks: str | None = None, scan: bool = False
) -> None:
    """Three invoices of two pages each, and one that is scanned if need be."""
    rows = []
    for number in range(1, 4):
        first = f"Invoice of the vendor Acme {number} Widgets\nfor everything that was ordered in October"
        path = folder / f"{number}.pdf"
        path.write_bytes(pdf(first, f"Terms: the whole amount is due within thirty days\nTotal: {number},250.00 EUR"))
        rows.append((f"D{number}", str(path)))
    if scan:
        (folder / "scan.pdf").write_bytes(scanned_pdf(image("JPEG", (400, 600))))
        rows.append(("D9", str(folder / "scan.pdf")))
    flow.database.unlink()
    write_tickets(flow.database, rows)
    changes = {"checks_yaml": checks} if checks else {}
    spec = write_pipeline(
        folder / "evidence" / "tickets",
        pipeline_yaml=YAML.replace("SEND", send).replace("FOLDER", str(folder)),
        output_schema_json=json.dumps(SCHEMA),
        user_md="Read the invoice.",
        **changes,
    )
    if not schema:
        (spec / "output.schema.json").unlink()
    flow.pipeline = load_pipeline(spec)


def run(flow: Flow, *passes: str) -> list[dict[str, Any]]:
    """The published rows."""
    extract(flow.pipeline, flow.folder, source=flow.warehouse, lake=flow.lake, buckets=LocalFolder("/"))
    for pass_name in passes or ("main",):
        flow.send(pass_name)
    flow.publish()
    rows: list[dict[str, Any]] = flow.published().to_pylist()
    return rows


@pytest.mark.parametrize("send", ["pages", "text"])
def test_each_value_has_the_page_and_the_quote_behind_it(flow: Flow, tmp_path: Path, send: str) -> None:
    prepared(flow, tmp_path, send=send)
    rows = run(flow)
    assert len(rows) == 3
    for number, row in enumerate(rows, 1):
        assert row["total"] == number * 1000 + 250
        evidence = {each["field"]: each for each in row[EVIDENCE]}
        assert (evidence["total"]["page"], evidence["total"]["document"]) == (2, f"{number}.pdf")
        assert evidence["total"]["found"] in ("exact", "normalised")
        assert row[UNGROUNDED] == []


def test_a_wrong_page_is_corrected_and_an_invented_quote_is_told(flow: Flow, tmp_path: Path) -> None:
    prepared(flow, tmp_path)
    flow.emulator.set_faults([{"kind": "wrong_page", "share": 1}])
    assert {each["found"] for row in run(flow) for each in row[EVIDENCE]} <= {"other_page", "ambiguous"}
    flow.folder = flow.run("manual__2")
    flow.pipeline = load_pipeline(_reworded(tmp_path))
    flow.emulator.set_faults([{"kind": "invented_quote", "share": 1}])
    assert all(set(row[UNGROUNDED]) == {"vendor", "total"} for row in run(flow))


def _reworded(folder: Path) -> Path:
    spec = folder / "evidence" / "tickets"
    (spec / "user.md").write_text("Read this invoice.")
    return spec


def test_the_check_rejects_or_repairs_an_invented_quote_and_a_changed_check_judges_for_nothing(
    flow: Flow, tmp_path: Path
) -> None:
    prepared(flow, tmp_path, checks=QUOTED)
    flow.emulator.set_faults([{"kind": "invented_quote", "share": 1}])
    assert run(flow) == []
    rejects = flow.rejected().to_pylist()
    assert {re.sub(r"'.*'", "…", each["reason"]) for each in rejects} == {
        "check quoted: Copy the quote. (the quote for vendor is on no page of the documents: …)"
    }
    flow.emulator.set_faults([])
    flow.folder = flow.run("manual__2")
    assert [row["ticket"] for row in run(flow, "main", "retry")] == ["D1", "D2", "D3"]
    sent = flow.requests_sent()
    assert sent == 6
    flow.folder = flow.run("manual__3")
    (tmp_path / "evidence" / "tickets" / "checks.yaml").unlink()
    flow.pipeline = load_pipeline(tmp_path / "evidence" / "tickets")
    assert all(row[UNGROUNDED] for row in run(flow))
    assert flow.requests_sent() == sent


def test_a_scan_is_published_and_its_values_are_ungrounded(flow: Flow, tmp_path: Path) -> None:
    prepared(flow, tmp_path, checks=QUOTED, scan=True)
    scan = next(row for row in run(flow) if row["ticket"] == "D9")
    assert set(scan[UNGROUNDED]) == {"vendor", "total"}
    assert {each["found"] for each in scan[EVIDENCE]} <= {"unchecked"}


def test_a_text_answer_has_the_citations_of_the_api(flow: Flow, tmp_path: Path) -> None:
    prepared(flow, tmp_path, schema=False, send="pages")
    rows = run(flow)
    assert all(row["text"] and not row["text"].startswith("{") for row in rows)
    evidence = [each for row in rows for each in row[EVIDENCE]]
    assert evidence
    assert {(each["field"], each["found"]) for each in evidence} == {("text", "cited")}
    assert {each["page"] for each in evidence} <= {1, 2}
