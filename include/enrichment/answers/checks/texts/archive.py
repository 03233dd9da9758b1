"""Many entries of a few texts each in little memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec
import pyarrow as pa

#: So many entries are compressed together: more make them smaller, fewer are faster to read.
_AT_ONCE = 64
#: The packs of entries that stay readable: those that many texts resemble are read again and again.
_READABLE = 32


class Archive:
    """Entries by their number, from 0, in the order in which they were added."""

    def __init__(self) -> None:
        self._codec = pa.Codec("zstd")
        self._packed: list[tuple[int, bytes]] = []
        self._open: list[Sequence[str]] = []
        self._unpack = lru_cache(_READABLE)(self._read)

    def append(self, entry: Sequence[str]) -> None:
        """Add an entry."""
        self._open.append(entry)
        if len(self._open) == _AT_ONCE:
            data = msgspec.msgpack.encode(self._open)
            self._packed.append((len(data), self._codec.compress(data, asbytes=True)))
            self._open = []

    def __getitem__(self, number: int) -> Sequence[str]:
        pack, place = divmod(number, _AT_ONCE)
        if pack == len(self._packed):
            return self._open[place]
        return self._unpack(pack)[place]

    def _read(self, pack: int) -> list[Sequence[str]]:
        size, data = self._packed[pack]
        return msgspec.msgpack.decode(self._codec.decompress(data, size), type=list[Sequence[str]])
