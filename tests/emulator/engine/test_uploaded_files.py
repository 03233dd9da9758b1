"""The files on disk: what requests find of them, and what a killed process leaves behind."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from include.emulator.api_errors import RequestRejected
from include.emulator.engine.uploaded_files import METADATA_KEPT, UploadedFile, UploadedFiles

FILE = UploadedFile("file_1", "w", 0, "a.pdf", "application/pdf", 3, 100)


@pytest.fixture
def files(tmp_path: Path) -> UploadedFiles:
    files = UploadedFiles(sqlite3.connect(tmp_path / "db", isolation_level=None), tmp_path / "files")
    (files.folder / FILE.id).write_bytes(b"%PD")
    files.add(FILE)
    return files


def test_requests_find_the_content_and_its_type(files: UploadedFiles) -> None:
    assert files.contents("w", 99).resolve("file_1") == (b"%PD", "application/pdf")


@pytest.mark.parametrize(("workspace", "now"), [("other", 0), ("w", 100), ("w", 100 + METADATA_KEPT)])
def test_requests_do_not_find_what_is_gone(files: UploadedFiles, workspace: str, now: int) -> None:
    with pytest.raises(RequestRejected) as raised:
        files.contents(workspace, now).resolve("file_1")
    assert raised.value.type == "not_found_error"
    assert raised.value.details == ({"error_code": "file_expired"} if (workspace, now) == ("w", 100) else None)


def test_a_file_deleted_after_the_batch_began_is_not_found(files: UploadedFiles) -> None:
    contents = files.contents("w", 0)
    files.delete("file_1")
    with pytest.raises(RequestRejected, match="not found"):
        contents.resolve("file_1")


def test_a_restart_deletes_content_without_a_record(files: UploadedFiles, tmp_path: Path) -> None:
    (files.folder / "file_2.part").write_bytes(b"half")
    again = UploadedFiles(sqlite3.connect(tmp_path / "db", isolation_level=None), files.folder)
    assert [path.name for path in again.folder.iterdir()] == ["file_1"]
