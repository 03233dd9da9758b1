"""The machine's own disk, as far as a task works on it."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include.enrichment.errors import SetupError


@contextmanager
def working_folder() -> Iterator[Path]:
    """A folder for the length of a block. Raises SetupError where the disk is full."""
    with tempfile.TemporaryDirectory(prefix="claude-batch-") as temporary:
        folder = Path(temporary)
        try:
            yield folder
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            free = shutil.disk_usage(folder).free / 1e6
            raise SetupError(
                f"The disk is full at {folder.parent}: {error}; {free:,.0f} MB are left. What this task was making has"
                " not become visible. Clear it when there is room, or set TMPDIR to a larger disk: nothing is paid"
                " again.",
                retryable=True,
            ) from error
