"""
Tokens, and the prompt cache as far as a batch can see it.

A token is four bytes of text here, for every model. A cache marker names a prefix: everything before it and its own
block. From a marker the cache looks back, at most 20 blocks, for what another request wrote at a marker of its own.
Prefixes under the model's minimum are never cached, without an error.

The requests of a batch all begin when it is made, so they mostly miss what the others write. What they write can be
read once the batch has ended; its life counts from when they began, and a read begins it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from hashlib import blake2b

from include.emulator.draws import Draws

BYTES_PER_TOKEN = 4
LIFE_SECONDS = {"5m": 300, "1h": 3600}
#: How many blocks before a marker are looked at.
LOOKBACK = 20
# Hits are best effort: a warm prefix is found nearly always, one that another request of the same batch has just
# written now and then. Both lie within the 30-98 % that are reported for real batches.
_WARM_HIT_PERCENT = 98
_COLD_HIT_PERCENT = 30


def tokens_of(text_bytes: int) -> int:
    """Tokens of a text of this many bytes; something is never nothing."""
    return -(-text_bytes // BYTES_PER_TOKEN)


@dataclass(frozen=True)
class Marker:
    """
    One cache breakpoint: the identity of the prefix it ends, that prefix's length, and how long it is kept.

    :param earlier: the prefixes, with their lengths, that end at a block after the marker before it, nearest first
    """

    prefix: str
    tokens: int
    life_seconds: int
    earlier: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Usage:
    """What one answer is billed for on the input side, in tokens."""

    input: int
    written_5m: int = 0
    written_1h: int = 0
    read: int = 0


class Chain:
    """The prefix so far: a hash and a length that grow block by block, and the markers met on the way."""

    def __init__(self, start: bytes) -> None:
        self._hash = start
        self._recent: tuple[tuple[str, int], ...] = ()
        self.tokens = 0
        self.markers: tuple[Marker, ...] = ()

    def fork(self) -> Chain:
        """A chain that grows on from here without changing this one."""
        return copy(self)

    def add(self, block: bytes, tokens: int, life_seconds: int | None) -> None:
        """Append a block (as JSON, without its marker); ``life_seconds`` if a marker stands on it."""
        self.tell_apart(block)
        self.tokens += tokens
        prefix = self._hash.hex()
        if life_seconds is None:
            self._recent = ((prefix, self.tokens), *self._recent[: LOOKBACK - 1])
        else:
            self.markers = (*self.markers, Marker(prefix, self.tokens, life_seconds, self._recent))
            self._recent = ()  # what lies before a marker is for that marker to find

    def tell_apart(self, setting: bytes) -> None:
        """Whatever is appended from here on is another prefix under another setting."""
        self._hash = blake2b(self._hash + setting, digest_size=16).digest()


@dataclass
class Cache:
    """The cache as one batch (or one synchronous call) meets it, and what it leaves behind."""

    warm: frozenset[str]
    #: Prefix to life in seconds, of everything written or read so far.
    touched: dict[str, int] = field(default_factory=dict)

    def bill(self, markers: tuple[Marker, ...], total_tokens: int, minimum: int, draws: Draws) -> Usage:
        """Split a request's input into what is read from the cache, written to it, and neither."""
        cacheable = [marker for marker in markers if marker.tokens >= minimum]
        if not cacheable:
            return Usage(total_tokens)
        read = max(self._read(marker, draws) for marker in cacheable)
        written: dict[int, int] = dict.fromkeys(LIFE_SECONDS.values(), 0)
        before = read
        for marker in cacheable:
            if marker.tokens > before:
                written[marker.life_seconds] += marker.tokens - before
                before = marker.tokens
            self._touch(marker.prefix, marker.life_seconds)
        return Usage(total_tokens - before, written[LIFE_SECONDS["5m"]], written[LIFE_SECONDS["1h"]], read)

    def _read(self, marker: Marker, draws: Draws) -> int:
        """The tokens that a marker finds in the cache."""
        for prefix, tokens in ((marker.prefix, marker.tokens), *marker.earlier):
            if self._hits(prefix, draws):
                self._touch(prefix, marker.life_seconds)
                return tokens
        return 0

    def _hits(self, prefix: str, draws: Draws) -> bool:
        if prefix in self.warm:
            return draws.chance(_WARM_HIT_PERCENT)
        return prefix in self.touched and draws.chance(_COLD_HIT_PERCENT)

    def _touch(self, prefix: str, life_seconds: int) -> None:
        self.touched[prefix] = max(self.touched.get(prefix, 0), life_seconds)


def life_of(marker: Mapping[str, object]) -> int | None:
    """The life of a ``cache_control`` object in seconds; None if it is not a valid one."""
    if marker.get("type") != "ephemeral":
        return None
    return LIFE_SECONDS.get(str(marker.get("ttl", "5m")))
