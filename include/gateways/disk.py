"""The machine's own disk, as far as a task works on it."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include.enrichment.errors import SetupError

_FULL = (errno.ENOSPC, errno.EDQUOT)
#: What only a file can fail with. pyarrow tells such an error without the name of the file.
_OF_FILES = (*_FULL, errno.EFBIG, errno.EROFS, errno.EIO)


@contextmanager
def working_folder() -> Iterator[Path]:
    """
    A folder for the length of a block.

    Raises SetupError if it cannot be made, if the disk is full, and for any other error of a file in it.
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
            raise  # it may be about something else, such as a connection


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raises SetupError for an OSError of the block, which does nothing but read or write the local file ``path``."""
    try:
        yield
    except OSError as error:
        raise _disk_error(error, path) from error


def _disk_error(error: OSError, path: Path) -> SetupError:
    if error.errno in _FULL:
        free = shutil.disk_usage(path.parent).free / 1e6
        return SetupError(
            f"The disk is full at {path}: {error.strerror}; {free:,.0f} MB are left. What this task was making has not"
            " become visible. Clear it when there is room, or set TMPDIR to a larger disk: nothing is paid again.",
            retryable=True,
        )
    return SetupError(
        f"This machine's disk failed at {path}: {error.strerror or error}. The store and the API are not at fault, and"
        " what this task was making has not become visible. Clear it when the disk works, or set TMPDIR to another"
        " one: nothing is paid again.",
        retryable=True,
    )
