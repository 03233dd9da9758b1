from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from include.enrichment.documents.attachment import Attachment, attachments_in, canonical_params, reference
from include.enrichment.documents.upload import (
    EXPIRES_AFTER,
    LEAST_LEFT,
    UPLOAD_WINDOW,
    Action,
    State,
    Upload,
    UploadedFile,
    begin_upload,
    find_shared,
    mark_uploads,
)

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PDF = Attachment(
    uri="s3://b/a.pdf",
    version="v",
    size_bytes=9,
    sha256="00",
    media_type="application/pdf",
    recipe="",
    sent_bytes=9,
    sent_sha256="00ff",
    tokens=2350,
)
OTHER = msgspec.structs.replace(PDF, sha256="01")
FILE = UploadedFile(file_id="file_1", name="00ff-a", expires_at=NOW + EXPIRES_AFTER)


def begun(before: Upload | None = None, *, token: str = "a", chunk_id: str = "c1", run: str = "r1") -> Upload:
    return begin_upload(PDF, before, token=token, chunk_id=chunk_id, run=run, at=NOW)


def test_a_file_is_named_by_its_content_and_by_its_upload() -> None:
    assert begun().names == ["00ff-a"]


@pytest.mark.parametrize(
    ("state", "left", "action"),
    [
        ("uploading", timedelta(0), "look"),
        ("uploaded", LEAST_LEFT, "use"),
        ("uploaded", LEAST_LEFT - SECOND, "upload"),
        ("deleting", EXPIRES_AFTER, "upload"),
        ("deleted", EXPIRES_AFTER, "upload"),
    ],
)
def test_a_file_is_used_again_while_it_lasts(state: State, left: timedelta, action: Action) -> None:
    record = begun().model_copy(update={"state": state, "file_id": "file_1", "expires_at": NOW + left})
    assert record.next_action(now=NOW) == action


def test_a_file_that_never_expires_is_used_again() -> None:
    assert begun().uploaded(UploadedFile(file_id="f", name="n", expires_at=None), at=NOW).next_action(now=NOW) == "use"


def test_only_another_chunk_waits_for_an_upload_and_not_for_ever() -> None:
    assert begun().may_be_uploading("c2", now=NOW + UPLOAD_WINDOW - SECOND)
    assert not begun().may_be_uploading("c1", now=NOW)
    assert not begun().may_be_uploading("c2", now=NOW + UPLOAD_WINDOW)


def test_an_upload_without_a_response_is_repeated_under_its_name() -> None:
    assert begun(begun(), token="b").names == ["00ff-a"]


@pytest.mark.parametrize("state", ["uploaded", "deleting"])
def test_a_later_upload_has_a_name_of_its_own_and_the_earlier_ones_stay_known(state: State) -> None:
    before = begun().model_copy(update={"state": state})
    assert begun(before, token="b").names == ["00ff-a", "00ff-b"]


def test_a_deleted_file_is_forgotten() -> None:
    assert begun(begun().deleted(at=NOW), token="b").names == ["00ff-b"]


def test_a_file_that_another_run_needs_is_not_deleted() -> None:
    record = begun(begun(), run="r2").uploaded(FILE, at=NOW)
    assert record.runs == ["r1", "r2"]
    assert record.needed_by("r1") == record
    left = record.without("r1", at=NOW)
    assert (left.state, left.runs) == ("uploaded", ["r2"])
    assert left.without("r2", at=NOW).state == "deleting"


def test_a_record_is_over_once_the_api_has_no_file_of_it() -> None:
    record = begun().uploaded(FILE, at=NOW)
    assert not record.is_over(now=NOW + EXPIRES_AFTER)
    assert record.is_over(now=NOW + EXPIRES_AFTER + UPLOAD_WINDOW)
    assert record.deleted(at=NOW).is_over(now=NOW)


def params(*attachments: Attachment, text: str = "Read it.") -> bytes:
    blocks: list[object] = [{"type": "document", "source": reference(each)} for each in attachments]
    return msgspec.json.encode({"messages": [{"role": "user", "content": [*blocks, {"type": "text", "text": text}]}]})


@pytest.mark.parametrize(
    ("shared", "above", "uploaded"), [(False, None, False), (True, None, True), (False, 9, False), (False, 8, True)]
)
def test_what_is_large_or_used_twice_is_uploaded(shared: bool, above: int | None, uploaded: bool) -> None:
    stored = params(PDF, OTHER)
    marked = mark_uploads(stored, {PDF.content_id} if shared else set(), above=above)
    assert [each.upload for each in attachments_in(marked)] == [uploaded, above == 8]
    assert canonical_params(marked) == canonical_params(stored)
    assert mark_uploads(marked, set(), above=None) == stored


def test_text_that_looks_like_an_attachment_stays_as_it_is() -> None:
    stored = params(text=params(PDF).decode())
    assert mark_uploads(stored, {PDF.content_id}, above=0) == stored


def test_what_several_requests_use_is_shared_under_any_name() -> None:
    renamed = msgspec.structs.replace(PDF, uri="s3://b/b.pdf")
    twice = msgspec.structs.replace(PDF, sha256="02")
    requests = [params(PDF), params(OTHER), params(renamed, text="And?"), params(twice, twice), params()]
    assert find_shared(requests) == {PDF.content_id}
