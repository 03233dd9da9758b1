"""The Files API: uploads, the list, expiry, deletion, and the documented errors."""

from __future__ import annotations

import anthropic
import pytest
from anthropic import Anthropic
from anthropic.types import FileMetadata

from tests.fixtures.emulator import Emulator

PDF = b"%PDF-1.7 not much"
HOUR = 3600


def upload(
    client: Anthropic, name: str = "a.pdf", content: bytes = PDF, *, expires_in_seconds: int = HOUR
) -> FileMetadata:
    return client.files.upload(file=(name, content, "application/pdf"), expires_in_seconds=expires_in_seconds)


def test_an_upload_is_described_and_found_again(client: Anthropic, emulator: Emulator) -> None:
    file = upload(client, "folder/a b.pdf", expires_in_seconds=HOUR)
    assert (file.filename, file.mime_type, file.size_bytes) == ("a b.pdf", "application/pdf", len(PDF))
    assert file.expires_at is not None
    assert (file.expires_at - file.created_at).total_seconds() == HOUR
    assert client.files.retrieve_metadata(file.id) == file
    assert [known["id"] for known in emulator.files_uploaded()] == [file.id]


def test_the_same_name_makes_another_file(client: Anthropic) -> None:
    assert upload(client).id != upload(client).id
    assert len(client.files.list().data) == 2


def test_the_list_is_paged_newest_first(client: Anthropic) -> None:
    ids = [upload(client).id for _ in range(5)]
    first = client.files.list(limit=2)
    assert [file.id for file in first.data] == [ids[4], ids[3]]
    assert [file.id for file in client.files.list(limit=2)] == ids[::-1]  # the SDK follows next_page


def test_the_list_by_ids_leaves_out_what_is_not_there(client: Anthropic) -> None:
    kept, deleted = upload(client), upload(client)
    client.files.delete(deleted.id)
    assert [file.id for file in client.files.list(ids=[deleted.id, kept.id, "file_none"]).data] == [kept.id]


def test_another_workspace_sees_none_of_it(client: Anthropic, emulator: Emulator) -> None:
    file = upload(client)
    with Anthropic(api_key=emulator.workspace().api_key, base_url=emulator.url, max_retries=0) as other:
        assert not other.files.list().data
        with pytest.raises(anthropic.NotFoundError):
            other.files.delete(file.id)


def test_a_deleted_file_is_gone(client: Anthropic, emulator: Emulator) -> None:
    file = upload(client)
    assert client.files.delete(file.id).type == "file_deleted"
    with pytest.raises(anthropic.NotFoundError, match="File not found"):
        client.files.retrieve_metadata(file.id)
    with pytest.raises(anthropic.NotFoundError):
        client.files.delete(file.id)
    assert emulator.files_uploaded()[0]["deleted"] is True


def test_an_expired_file_keeps_its_metadata_for_30_days(client: Anthropic, emulator: Emulator) -> None:
    file = upload(client, expires_in_seconds=HOUR)
    emulator.advance_clock(HOUR)
    assert client.files.retrieve_metadata(file.id) == file
    with pytest.raises(anthropic.NotFoundError, match="expired") as raised:
        client.files.download(file.id)
    assert raised.value.error_code == "file_expired"
    emulator.advance_clock(30 * 24 * HOUR)
    assert not client.files.list().data


def test_an_upload_cannot_be_downloaded(client: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError) as raised:
        client.files.download(upload(client).id)
    assert raised.value.error_code == "file_not_downloadable"


@pytest.mark.parametrize("seconds", [HOUR - 1, 7_776_001])
def test_the_time_to_live_has_bounds(client: Anthropic, seconds: int) -> None:
    with pytest.raises(anthropic.BadRequestError, match="expires_in_seconds"):
        upload(client, expires_in_seconds=seconds)


def test_an_empty_file_is_rejected(client: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="empty"):
        upload(client, content=b"")


def test_faults_strike_file_calls(client: Anthropic, emulator: Emulator) -> None:
    full = {"status": 400, "message": "No room.", "error_code": "storage_quota_exceeded"}
    emulator.set_faults([{"kind": "http_error", "on": "upload_file", **full}])
    with pytest.raises(anthropic.BadRequestError) as raised:
        upload(client)
    assert raised.value.error_code == "storage_quota_exceeded"
    assert not emulator.files_uploaded()


def test_an_upload_may_succeed_and_its_response_be_lost(client: Anthropic, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "upload_file", "status": 500, "created": True}])
    with pytest.raises(anthropic.InternalServerError):
        upload(client)
    assert len(emulator.files_uploaded()) == 1


def test_file_calls_have_a_rate_limit_of_their_own(client: Anthropic, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "calls_per_minute", "calls": 1, "on": "files"}])
    upload(client)
    with pytest.raises(anthropic.RateLimitError):
        client.files.list()
    client.messages.batches.list()
