"""After publish: the files that no other run needs are deleted, whatever happens in between."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from include.gateways.claude import Claude
from include.gateways.uploads.claude_files import ClaudeFiles
from include.gateways.uploads.upload_records import UploadRecords
from include.steps.publishing.file_deletion import delete_files
from tests.fixtures.flow import Flow
from tests.fixtures.uploads import attachment, live_files, put, record, upload
from tests.gateways.claude_api import client

PDF, OTHER = attachment(), attachment("%PDF-1.7 two")
AFTER = "runs/tickets/2026-11-02/b/"


def delete(flow: Flow) -> int:
    def open_claude() -> Claude:
        return Claude(client(flow.emulator), name="anthropic_default")

    return delete_files(flow.folder, lake=flow.lake, open_claude=open_claude)


def test_the_files_of_the_run_are_deleted(flow: Flow) -> None:
    upload(flow, [PDF, OTHER])
    assert delete(flow) == 2
    assert not live_files(flow)
    assert record(flow, PDF).state == "deleted"
    assert delete(flow) == 0


def test_a_file_that_another_run_needs_stays_until_that_has_published(flow: Flow) -> None:
    upload(flow, [PDF])
    upload(flow, [PDF], run=AFTER)
    assert delete(flow) == 0
    assert len(live_files(flow)) == 1
    assert record(flow, PDF).runs == [AFTER]


def test_what_an_upload_without_a_response_left_is_deleted_too(flow: Flow) -> None:
    upload(flow, [PDF])
    name = record(flow, PDF).names[-1]
    put(flow, name)
    assert delete(flow) == 2
    assert not live_files(flow)


def test_foreign_files_of_the_same_content_stay(flow: Flow) -> None:
    upload(flow, [PDF])
    put(flow, f"{PDF.sha256}-other")
    delete(flow)
    assert live_files(flow) == [f"{PDF.sha256}-other"]


def test_a_run_that_begins_to_need_a_file_during_the_deletion_uploads_its_own(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(flow, [PDF])
    original = ClaudeFiles.named

    def meanwhile(self: ClaudeFiles, names: list[str]) -> object:
        monkeypatch.setattr(ClaudeFiles, "named", original)
        upload(flow, [PDF], run=AFTER)
        return original(self, names)

    monkeypatch.setattr(ClaudeFiles, "named", meanwhile)
    assert delete(flow) == 1
    left = record(flow, PDF)
    assert (left.state, left.runs) == ("uploaded", [AFTER])
    assert live_files(flow) == left.names[-1:]


def test_a_deletion_that_was_killed_goes_on_when_the_task_is_cleared(flow: Flow) -> None:
    upload(flow, [PDF])
    records = UploadRecords(flow.lake, pipeline="tickets")
    known = records.find(PDF.content_id)
    assert known
    records.write(known.value.without(flow.folder.prefix, at=datetime.now(UTC)), over=known)
    assert delete(flow) == 1
    assert not live_files(flow)


def test_an_api_that_fails_fails_no_publish(flow: Flow, caplog: pytest.LogCaptureFixture) -> None:
    upload(flow, [PDF])
    flow.emulator.set_faults([{"kind": "http_error", "status": 403, "on": "delete_file"}])
    with caplog.at_level(logging.WARNING):
        assert delete(flow) == 0
    assert "deletes them by itself 7 days after their upload" in caplog.text
    assert record(flow, PDF).state == "deleting"
    flow.emulator.set_faults([])
    assert delete(flow) == 1
