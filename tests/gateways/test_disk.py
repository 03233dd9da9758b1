"""disk.py: where a task works, and what it says when there is no room."""

from __future__ import annotations

import errno

import pytest

from include.enrichment.errors import SetupError
from include.gateways.disk import working_folder


def test_the_folder_is_there_for_the_length_of_the_block() -> None:
    with working_folder() as folder:
        (folder / "file").write_bytes(b"x")
    assert not folder.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_with_what_is_left_and_may_be_tried_again(number: int) -> None:
    with (
        pytest.raises(SetupError, match=r"The disk is full at .* MB are left.*nothing is paid again") as caught,
        working_folder() as folder,
    ):
        raise OSError(number, "No space left on device")
    assert caught.value.retryable
    assert not folder.exists()


def test_any_other_error_of_a_file_stays_what_it_is() -> None:
    with pytest.raises(PermissionError), working_folder():
        raise PermissionError(errno.EACCES, "no")
