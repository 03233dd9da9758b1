"""The local disk that a task works on."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include.enrichment.errors import SetupError

_FULL = (errno.ENOSPC, errno.EDQUOT)
#: Errors that only a file can cause. pyarrow reports them without the name of the file.
_OF_FILES = (*_FULL, errno.EFBIG, errno.EROFS, errno.EIO)


@contextmanager
def working_folder() -> Iterator[Path]:
    """
    Create a temporary folder for the block.

    Raises SetupError if that fails, if the disk is full, and for any other error of a file in the folder.
    """
    try:
        temporary = tempfile.TemporaryDirectory(prefix="claude-batch-")
    except OSError as error:
        raise _disk_error(error, Path(error.filename or os.environ.get("TMPDIR", "/tmp"))) from error
    with temporary:
        folder = Path(temporary.name)
        try:
            yield folder
        except OSError as error:
            path = Path(error.filename) if isinstance(error.filename, str) else folder
            if error.errno in _OF_FILES or (path != folder and path.is_relative_to(folder)):
                raise _disk_error(error, path) from error
            raise  # it may concern something else, for example a connection


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raise SetupError for an OSError of the block, which only reads or writes the local file ``path``."""
    try:
        yield
    except OSError as error:
        raise _disk_error(error, path) from error


def _disk_error(error: OSError, path: Path) -> SetupError:
    if error.errno in _FULL:
        free = shutil.disk_usage(path.parent).free / 1e6
        return SetupError(
            f"The disk is full at {path}: {error.strerror}, {free:,.0f} MB are free. This task's output was not"
            " published. Free some space or set TMPDIR to a larger disk, then clear the task. Nothing is paid again.",
            retryable=True,
        )
    return SetupError(
        f"This machine's disk failed at {path}: {error.strerror or error}. The store and the API are not at fault. This"
        " task's output was not published. Repair the disk or set TMPDIR to another one, then clear the task. Nothing"
        " is paid again.",
        retryable=True,
    )


def sha256_of(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
