"""The Files API through the gateway: names, pages, expiry, what is rejected, and the pace."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest

from include.enrichment.errors import ApiError, SetupError
from include.gateways.claude import Claude
from include.gateways.uploads import claude_files
from include.gateways.uploads.claude_files import _Pace
from tests.fixtures.emulator import Emulator
from tests.gateways.claude_api import FOREIGN_RESPONSES, responding, served_by

DAYS = timedelta(days=7)


def upload(claude: Claude, name: str, content: bytes = b"%PDF") -> str:
    return claude.files.upload(name, io.BytesIO(content), media_type="application/pdf", expires_after=DAYS).file_id


def test_an_upload_is_found_by_its_name(claude: Claude, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claude_files, "_PAGE_FILES", 2)
    ids = {name: upload(claude, name) for name in ("a", "b", "c", "d", "e")}
    found = claude.files.named(["a", "e", "none"])
    assert [(file.name, file.file_id) for file in found] == [("e", ids["e"]), ("a", ids["a"])]
    assert found[0].expires_at is not None
    assert abs(found[0].expires_at - datetime.now(UTC) - DAYS) < timedelta(minutes=5)
    (one, *_) = emulator.files_uploaded()
    assert (one["filename"], one["mime_type"], one["size_bytes"]) == ("a", "application/pdf", 4)


def test_no_names_need_no_call(claude: Claude, emulator: Emulator) -> None:
    assert not claude.files.named([])
    assert not claude.files.existing([])
    assert not emulator.log()["calls"]


def test_existing_files_are_asked_for_a_hundred_at_a_time(claude: Claude, emulator: Emulator) -> None:
    kept, deleted = upload(claude, "a"), upload(claude, "b")
    upload(claude, "not asked for")
    claude.files.delete(deleted)
    unknown = [f"file_{number}" for number in range(150)]
    assert claude.files.existing([deleted, *unknown, kept]) == {kept}
    assert sum(call["path"].startswith("/v1/files?ids%5B%5D=") for call in emulator.log()["calls"]) == 2


def test_a_file_can_be_deleted_twice(claude: Claude) -> None:
    file_id = upload(claude, "a")
    claude.files.delete(file_id)
    claude.files.delete(file_id)
    assert not claude.files.named(["a"])


def test_a_rate_limit_is_waited_for(claude: Claude, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "http_error", "status": 429, "on": "upload_file", "retry_after": 0.01, "times": 3}])
    assert upload(claude, "a")


def test_a_full_storage_is_told_with_what_to_do(claude: Claude, emulator: Emulator) -> None:
    full = {"kind": "http_error", "status": 400, "on": "upload_file", "error_code": "storage_quota_exceeded"}
    emulator.set_faults([full])
    with pytest.raises(SetupError, match="storage for uploaded files is full"):
        upload(claude, "a")


def test_a_lost_upload_may_leave_two_files_of_one_name(claude: Claude, emulator: Emulator) -> None:
    emulator.set_faults(
        [{"kind": "http_error", "status": 500, "on": "upload_file", "created": True, "retry_after": 0.01, "times": 1}]
    )
    file_id = upload(claude, "a")
    found = [file.file_id for file in claude.files.named(["a"])]
    assert len(found) == 2
    assert [file["size_bytes"] for file in emulator.files_uploaded()] == [4, 4]
    assert found[0] == file_id  # the newest is the one that got its response


@pytest.mark.parametrize(("kind", "data"), FOREIGN_RESPONSES)
def test_a_foreign_response_is_no_file_and_no_list(kind: str, data: bytes) -> None:
    with served_by(responding(data, kind=kind)) as claude:
        with pytest.raises(ApiError, match="did not come from the API"):
            claude.files.named(["a"])
        with pytest.raises(ApiError, match="did not come from the API"):
            upload(claude, "a")


def test_no_minute_has_more_calls_than_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, slept = [100.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr("include.gateways.uploads.claude_files.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("include.gateways.uploads.claude_files.time.sleep", sleep)
    pace = _Pace(2)
    for _ in range(5):
        pace.wait()
    assert clock[0] == 220.0
    assert sum(slept) == 120.0
