"""Before a create: each file is uploaded once, found again after a crash, and never used when it is gone."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.enrichment.documents import upload as uploads
from include.enrichment.documents.attachment import Attachment
from include.enrichment.documents.upload import begin_upload
from include.enrichment.errors import ApiError, LakeError, NotYet, SetupError
from include.gateways.lake import Lake
from include.gateways.uploads.claude_files import ClaudeFiles
from include.gateways.uploads.upload_records import UploadRecords
from tests.fixtures.flow import Flow
from tests.fixtures.uploads import attachment, live_files, put, record, upload

PDF = attachment()


def begun(flow: Flow, *, chunk_id: str = "c1", age: timedelta = timedelta(0)) -> str:
    """Write the record that a process left when it died during its upload, and return the file's name."""
    at = datetime.now(UTC) - age
    left = begin_upload(PDF, None, token="t", chunk_id=chunk_id, run=flow.folder.prefix, at=at)
    UploadRecords(flow.lake, pipeline="tickets").write(left, over=None)
    return left.names[-1]


def test_each_content_is_uploaded_once(flow: Flow) -> None:
    other = attachment("%PDF-1.7 two")
    found = upload(flow, [PDF, attachment(name="same.pdf"), other])
    assert found.keys() == {PDF.content_id, other.content_id}
    assert len(live_files(flow)) == 2
    assert upload(flow, [PDF, other]) == found
    assert len(flow.emulator.files_uploaded()) == 2
    (first, _) = flow.emulator.files_uploaded()
    assert first["mime_type"] == "application/pdf"
    assert {name.partition("-")[0] for name in live_files(flow)} == {PDF.sha256, other.sha256}


def test_no_attachments_need_no_call(flow: Flow) -> None:
    assert not upload(flow, [])
    assert not flow.emulator.log()["calls"]


def test_another_run_uses_the_same_file_and_is_recorded(flow: Flow) -> None:
    found = upload(flow, [PDF])
    assert upload(flow, [PDF], run="runs/tickets/2026-11-02/b/") == found
    assert record(flow, PDF).runs == [flow.folder.prefix, "runs/tickets/2026-11-02/b/"]


def test_a_file_that_expires_too_soon_is_uploaded_anew_and_the_old_one_stays_known(flow: Flow) -> None:
    (old,) = upload(flow, [PDF]).values()
    known = UploadRecords(flow.lake, pipeline="tickets")
    stored = known.find(PDF.content_id)
    assert stored
    soon = stored.value.model_copy(update={"expires_at": datetime.now(UTC) + timedelta(hours=30)})
    known.write(soon, over=stored)
    (new,) = upload(flow, [PDF]).values()
    assert new != old
    assert record(flow, PDF).names == live_files(flow)


def test_a_file_that_is_gone_is_uploaded_anew(flow: Flow) -> None:
    (old,) = upload(flow, [PDF]).values()
    flow.claude.files.delete(old)
    (new,) = upload(flow, [PDF]).values()
    assert new != old
    assert record(flow, PDF).file_id == new


def test_a_file_whose_upload_got_no_response_is_found_by_its_name(flow: Flow) -> None:
    file_id = put(flow, begun(flow)).file_id
    assert list(upload(flow, [PDF], chunk_id="another").values()) == [file_id]
    assert len(flow.emulator.files_uploaded()) == 1
    assert record(flow, PDF).state == "uploaded"


def test_a_file_whose_upload_got_no_response_is_not_used_if_it_expires_before_a_batch_can_end(flow: Flow) -> None:
    """The API lists expired files as well."""
    name = begun(flow, age=timedelta(days=7))
    soon = flow.claude.files.upload(
        name, io.BytesIO(b"x"), media_type="application/pdf", expires_after=timedelta(hours=30)
    )
    (file_id,) = upload(flow, [PDF]).values()
    assert file_id != soon.file_id
    found = record(flow, PDF)
    assert (found.file_id, found.names, live_files(flow)) == (file_id, [name], [name, name])


def test_an_upload_that_died_is_repeated_by_the_same_chunk(flow: Flow) -> None:
    name = begun(flow)
    upload(flow, [PDF])
    assert live_files(flow) == [name]


def test_another_chunk_waits_for_an_upload_under_way_but_not_for_ever(flow: Flow) -> None:
    begun(flow, chunk_id="another")
    with pytest.raises(NotYet, match="in the task of chunk another"):
        upload(flow, [PDF])
    assert not live_files(flow)
    at = datetime.now(UTC) - uploads.UPLOAD_WINDOW
    known = UploadRecords(flow.lake, pipeline="tickets")
    stored = known.find(PDF.content_id)
    assert stored
    known.write(stored.value.model_copy(update={"changed_at": at}), over=stored)
    assert upload(flow, [PDF])


def during_upload(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[str], object]) -> None:
    """Let something happen once, after the API has the file and before its task knows."""
    original = ClaudeFiles.upload

    def slow(self: ClaudeFiles, name: str, *arguments: object, **options: object) -> object:
        monkeypatch.setattr(ClaudeFiles, "upload", original)
        file = original(self, name, *arguments, **options)  # type: ignore[arg-type]
        meanwhile(name)
        return file

    monkeypatch.setattr(ClaudeFiles, "upload", slow)


def test_a_slow_task_uses_its_file_if_another_has_found_it_meanwhile(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    during_upload(monkeypatch, lambda name: upload(flow, [PDF], chunk_id="another", run="other"))
    (file_id,) = upload(flow, [PDF]).values()
    assert len(live_files(flow)) == 1
    found = record(flow, PDF)
    assert (found.file_id, set(found.runs)) == (file_id, {flow.folder.prefix, "other"})


def test_a_slow_task_deletes_its_file_if_another_has_uploaded_its_own(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = UploadRecords(flow.lake, pipeline="tickets")

    def take_over(name: str) -> None:
        stored = known.find(PDF.content_id)
        assert stored
        file = put(flow, name)
        known.write(stored.value.uploaded(file, at=datetime.now(UTC)), over=stored)

    during_upload(monkeypatch, take_over)
    (file_id,) = upload(flow, [PDF]).values()
    files = [file["id"] for file in flow.emulator.files_uploaded() if not file["deleted"]]
    assert files == [file_id] == [record(flow, PDF).file_id]


def test_an_api_that_accepts_no_uploads_is_tried_again_later(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.gateways.uploads.claude_files._RETRIES", 0)
    flow.emulator.set_faults([{"kind": "http_error", "status": 429, "on": "upload_file", "retry_after": 90}])
    with pytest.raises(NotYet, match="No batch was created") as raised:
        upload(flow, [PDF])
    assert timedelta(seconds=80) < raised.value.again_at - datetime.now(UTC) <= timedelta(seconds=90)


@pytest.mark.parametrize(
    ("fault", "error"),
    [({"status": 400, "error_code": "storage_quota_exceeded"}, SetupError), ({"status": 413}, ApiError)],
)
def test_a_rejected_upload_fails_at_once(flow: Flow, fault: dict[str, object], error: type[Exception]) -> None:
    flow.emulator.set_faults([{"kind": "http_error", "on": "upload_file", **fault}])
    with pytest.raises(error):
        upload(flow, [PDF])


def test_an_object_that_changed_is_not_uploaded(flow: Flow) -> None:
    def changed(_: Attachment, __: Path) -> None:
        raise LakeError("It has changed since extract.", retryable=False)

    with pytest.raises(LakeError, match="changed"):
        upload(flow, [PDF], fetch=changed)
    assert not live_files(flow)
    assert not flow.lake.list("uploads/")


def test_two_chunks_at_once_upload_a_file_once(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    create = Lake.create

    def raced(self: Lake, key: str, data: bytes) -> str:
        monkeypatch.setattr(Lake, "create", create)
        begun(flow, chunk_id="another")
        return create(self, key, data)

    monkeypatch.setattr(Lake, "create", raced)
    with pytest.raises(NotYet):
        upload(flow, [PDF])
    assert not live_files(flow)
