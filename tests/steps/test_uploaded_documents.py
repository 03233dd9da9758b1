"""Documents that several requests share, from extract to the end of the run: uploaded once, named by all, deleted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from include.enrichment.answers.manifest import Manifest
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.gateways.claude import Claude
from include.gateways.documents.buckets import LocalFolder
from include.steps.extract import extract
from include.steps.publish import publish as steps_publish
from tests.fixtures.documents import pdf
from tests.fixtures.flow import FILES, Flow, write_pipeline, write_tickets
from tests.fixtures.uploads import live_files
from tests.gateways.claude_api import client

HOUR = 3_600
_SHARED = "for_each: {tone: [calm, loud]}\n"


@pytest.fixture
def flow(flow: Flow, tmp_path: Path, shared_inspector: None) -> Flow:
    """Two tickets, the body of each the path of a PDF."""
    folder = tmp_path / "documents"
    folder.mkdir()
    paths = [(f"T{number}", str(folder / f"{number}.pdf")) for number in (1, 2)]
    for _, path in paths:
        Path(path).write_bytes(pdf(f"Invoice {path}"))
    return replace(flow, database=write_tickets(tmp_path / "documents.db", paths))


def extracted(flow: Flow, tmp_path: Path, *, more: str = _SHARED, settings: str = "") -> Flow:
    """The flow with the attachments of its tickets, extracted."""
    folder = tmp_path / "documents"
    attachments = f"attachments: {{columns: {{body: {{send: pages}}}}, connection: {folder}{settings}}}\n"
    yaml = FILES["pipeline.yaml"] + attachments + more
    tone = " {{ tone }}" if "tone" in more else ""
    written = write_pipeline(
        tmp_path / "with" / "tickets", pipeline_yaml=yaml, user_md=f"Ticket {{{{ ticket }}}}{tone}"
    )
    flow = replace(flow, pipeline=load_pipeline(written))
    extract(flow.pipeline, flow.folder, source=flow.warehouse, lake=flow.lake, buckets=LocalFolder(folder))
    return flow


def finish(flow: Flow, *passes: str) -> Manifest:
    """Send these passes and publish, as the operators do."""
    for pass_name in passes:
        flow.send(pass_name)
    return publish(flow)


def publish(flow: Flow) -> Manifest:
    def open_claude() -> Claude:
        return Claude(client(flow.emulator), name="anthropic_default")

    return steps_publish(flow.folder, lake=flow.lake, open_claude=open_claude)


def test_a_document_of_several_requests_is_uploaded_once_and_deleted_after_publish(flow: Flow, tmp_path: Path) -> None:
    flow = extracted(flow, tmp_path)
    assert flow.send("main") == {"succeeded": 4}
    assert len(live_files(flow)) == 2
    manifest = finish(flow, "retry")
    assert (manifest.published, manifest.requests) == (4, 4)
    assert len(flow.emulator.files_uploaded()) == 2
    assert not live_files(flow)


def test_a_document_of_one_request_is_sent_within_it(flow: Flow, tmp_path: Path) -> None:
    flow = extracted(flow, tmp_path, more="")
    assert finish(flow, "main", "retry").published == 2
    assert not [call for call in flow.emulator.log()["calls"] if call["path"].startswith("/v1/files")]


@pytest.mark.parametrize(("above", "uploaded"), [(100, 2), (5_000_000, 0)])
def test_a_document_above_the_limit_is_uploaded(flow: Flow, tmp_path: Path, above: int, uploaded: int) -> None:
    flow = extracted(flow, tmp_path, more="", settings=f", upload_above: {above}")
    assert finish(flow, "main", "retry").published == 2
    assert len(flow.emulator.files_uploaded()) == uploaded
    assert not live_files(flow)


def test_a_repair_names_the_file_of_a_document_that_was_sent_before(flow: Flow, tmp_path: Path) -> None:
    flow = extracted(flow, tmp_path, more="")
    flow.emulator.set_faults([{"kind": "violates_schema", "times": 1}])
    assert flow.send("main") == {"invalid": 2}
    assert finish(flow, "retry").published == 2
    assert len(flow.emulator.files_uploaded()) == 2
    assert not live_files(flow)


def test_a_file_that_is_gone_when_its_request_is_processed_is_uploaded_anew(flow: Flow, tmp_path: Path) -> None:
    flow = extracted(flow, tmp_path)
    flow.emulator.set_faults([{"kind": "duration", "seconds": HOUR}])
    (chunk,) = flow.plan()
    batch_id = flow.submit(chunk)
    flow.emulator.set_faults([])
    for file in flow.emulator.files_uploaded():
        flow.claude.files.delete(file["id"])
    flow.emulator.advance_clock(HOUR)
    assert flow.load(chunk, batch_id) == {"errored": 4}
    assert finish(flow, "retry").published == 4
    assert len(flow.emulator.files_uploaded()) == 4
    assert not live_files(flow)


def test_a_later_run_uses_the_files_of_one_that_has_not_published(flow: Flow, tmp_path: Path) -> None:
    first = extracted(flow, tmp_path)
    first.emulator.set_faults([{"kind": "errored", "error_type": "api_error", "times": 1}])
    assert first.send("main") == {"errored": 4}
    second = extracted(replace(flow, folder=flow.run("manual__2")), tmp_path)
    assert finish(second, "main", "retry").published == 4
    assert len(flow.emulator.files_uploaded()) == 2
    assert len(live_files(flow)) == 2  # the first run may still need them
    publish(first)
    assert not live_files(flow)


@pytest.mark.parametrize(("attempts", "published"), [(1, 2), (3, 0)])
def test_a_document_that_could_not_be_processed_is_sent_once_more(
    flow: Flow, tmp_path: Path, attempts: int, published: int
) -> None:
    flow = extracted(flow, tmp_path, more="limits: {retry_passes: 3, max_reject_ratio: 1}\n")
    flow.emulator.set_faults([{"kind": "could_not_process", "attempts": attempts}])
    manifest = finish(flow, "main", "retry_1", "retry_2", "retry_3")
    assert (manifest.published, manifest.rejected) == (published, 2 - published)
    assert len(flow.emulator.batches_made()) == 2
