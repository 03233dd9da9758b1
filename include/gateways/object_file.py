"""An object on the lake as a seekable binary file."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore import ReadableFile


class ObjectFile(io.RawIOBase):
    """
    An obstore reader as Python's own kind of file, which pyarrow accepts. (pyarrow takes obstore's for a closed file.)

    :param errors: translates the errors of a read, so that they differ from those of what is read
    """

    def __init__(self, reader: ReadableFile, *, errors: Callable[[], AbstractContextManager[None]]) -> None:
        self._reader = reader
        self._errors = errors

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        with self._errors():
            return bytes(self._reader.readall() if size is None or size < 0 else self._reader.read(size))

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        with self._errors():
            return self._reader.seek(offset, whence)

    def tell(self) -> int:
        return self._reader.tell()
