"""Documents from extract to publish: sent once, whatever their names, and never other bytes than extract read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from include.enrichment.errors import LakeError
from include.enrichment.runs.options import RunOptions
from include.enrichment.spec.pipeline_folder import load_pipeline
from tests.fixtures.documents import pdf
from tests.fixtures.flow import FILES, Flow, write_pipeline, write_tickets


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """The folder of four PDFs."""
    folder = tmp_path / "documents"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.pdf").write_bytes(pdf(f"Invoice {number}"))
    return folder


@pytest.fixture
def flow(flow: Flow, documents: Path, tmp_path: Path, shared_inspector: None) -> Flow:
    """A ticket for each PDF, extracted."""
    tickets = [(f"T{number}", f"{documents}/{number}.pdf") for number in range(4)]
    attachments = f"attachments: {{columns: {{body: {{send: pages}}}}, connection: {documents}}}\n"
    yaml = FILES["pipeline.yaml"] + attachments
    written = write_pipeline(tmp_path / "attached" / "tickets", pipeline_yaml=yaml, user_md="What is it?")
    flow = replace(flow, pipeline=load_pipeline(written), database=write_tickets(tmp_path / "documents.db", tickets))
    flow.extract()
    return flow


def test_a_document_that_changes_after_extract_is_not_sent_and_is_read_again_by_a_cleared_extract(
    flow: Flow, documents: Path
) -> None:
    (chunk,) = flow.plan()
    (documents / "2.pdf").write_bytes(pdf("Another invoice"))
    with pytest.raises(LakeError, match=r"2\.pdf has changed since extract read it.*Clear the run's `extract`"):
        flow.submit(chunk)
    assert flow.emulator.batches_made() == []
    flow.extract()
    assert flow.send() == {"succeeded": 4}
    assert flow.publish().published == 4
    assert flow.requests_sent() == 4


def test_a_document_that_was_answered_before_is_found_under_another_name(flow: Flow, documents: Path) -> None:
    flow.send()
    for path in sorted(documents.iterdir()):
        path.rename(path.with_stem(f"{path.stem} renamed"))
    again = replace(flow, folder=flow.run("manual__2"))
    again.database.unlink()
    write_tickets(again.database, [(f"R{number}", f"{documents}/{number} renamed.pdf") for number in range(4)])
    again.extract()
    assert again.plan() == []
    assert again.publish().published == 4


def test_what_is_left_of_a_chunk_is_sent_with_its_documents(flow: Flow) -> None:
    """A trial takes two rows over while the chunk waits: the others are sent as planned."""
    (chunk,) = flow.plan()
    trial = replace(flow, folder=flow.run("trial"), pipeline=flow.pipeline.for_run(RunOptions(rows=2)))
    trial.extract()
    trial.send()
    assert flow.load(chunk) == {"succeeded": 2}
    assert flow.plan("retry") == []
    assert flow.publish().published == 4
    assert flow.requests_sent() == 4
