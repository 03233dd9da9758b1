"""disk.py: the working folder of a task, and its errors."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import SetupError
from include.gateways.disk import disk_errors, working_folder
from tests.fixtures.disk import files_of_at_most

DATA = bytes(100_000)


def test_the_folder_exists_during_the_block() -> None:
    with working_folder() as folder:
        (folder / "file").write_bytes(b"x")
    assert not folder.exists()


def _write_full(folder: Path) -> None:
    (folder / "file").symlink_to("/dev/full")
    (folder / "file").write_bytes(DATA)


def _write_table_full(folder: Path) -> None:
    (folder / "file").symlink_to("/dev/full")
    pq.write_table(pa.table({"a": [DATA]}), folder / "file")


@pytest.mark.parametrize("write", [_write_full, _write_table_full])
def test_the_error_for_a_full_disk_names_the_free_space_and_can_be_retried(write: Callable[[Path], None]) -> None:
    with (
        pytest.raises(SetupError, match=r"The disk is full at .* MB are free.*Nothing is paid again") as caught,
        working_folder() as folder,
    ):
        write(folder)
    assert caught.value.retryable
    assert not folder.exists()


def _write_file(folder: Path) -> None:
    (folder / "file").write_bytes(DATA)


def _write_table(folder: Path) -> None:
    pq.write_table(pa.table({"a": [os.urandom(100_000)]}), folder / "file")


@pytest.mark.parametrize("write", [_write_file, _write_table])
def test_so_does_the_error_for_a_file_that_may_not_grow(write: Callable[[Path], None]) -> None:
    with (
        pytest.raises(SetupError, match=r"This machine's disk failed at .*claude-batch-.*[Ff]ile too large") as caught,
        working_folder() as folder,
        files_of_at_most(10_000),
    ):
        write(folder)
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("touch", "fact"),
    [
        (lambda folder: (folder / "gone").read_bytes(), "gone: No such file or directory"),
        (lambda folder: (folder / "no" / "file").write_bytes(DATA), "no/file: No such file or directory"),
        (lambda folder: (folder / "file").mkdir() or (folder / "file").write_bytes(DATA), "file: Is a directory"),
    ],
)
def test_any_error_of_a_file_in_the_folder_is_blamed_on_the_disk(touch: Callable[[Path], object], fact: str) -> None:
    with (
        pytest.raises(
            SetupError, match=rf"This machine's disk failed at .*/{fact}.*store and the API are not at fault"
        ),
        working_folder() as folder,
    ):
        touch(folder)


def test_a_folder_that_cannot_be_created_is_blamed_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(SetupError, match=r"disk failed at .*gone/claude-batch-.*set TMPDIR to another") as caught:
        working_folder().__enter__()
    assert caught.value.retryable


def test_an_error_of_anything_else_is_not_translated() -> None:
    for error in (ConnectionResetError(errno.ECONNRESET, "no"), PermissionError(errno.EACCES, "no", "/etc/other")):
        with pytest.raises(type(error)) as caught, working_folder():
            raise error
        assert caught.value is error


def test_disk_errors_names_its_file() -> None:
    with (
        pytest.raises(SetupError, match="disk failed at /data/x: no"),
        disk_errors(Path("/data/x")),
    ):
        raise PermissionError(errno.EACCES, "no")
