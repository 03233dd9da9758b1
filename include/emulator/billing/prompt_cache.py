"""
Token counts, and the prompt cache as a batch sees it.

A token is four bytes of text, for every model. A cache marker ends a prefix: everything before it and its own block.
From a marker the cache looks back at most 20 blocks for a prefix that another request wrote at a marker of its own.
Prefixes below the model's minimum are never cached, without an error.

The requests of a batch all begin when it is made, so they mostly miss each other's writes. Their writes become
readable when the batch has ended. What a synchronous call writes, the next one always finds. The TTL counts from when
a request began, and a read restarts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from hashlib import blake2b

from include.emulator.draws import Draws

BYTES_PER_TOKEN = 4
TTL_SECONDS = {"5m": 300, "1h": 3600}
#: The most blocks before a marker that the cache looks back.
LOOKBACK = 20
# Hits are best effort: nearly always for a warm prefix, and sometimes for one that another request of the same batch
# has just written. Both rates are within the 30-98 % reported for real batches.
_WARM_HIT_PERCENT = 98
_COLD_HIT_PERCENT = 30


def tokens_of(text_bytes: int) -> int:
    """Return the tokens of a text of this many bytes, rounded up."""
    return -(-text_bytes // BYTES_PER_TOKEN)


@dataclass(frozen=True)
class Marker:
    """
    One cache breakpoint: the hash of the prefix that it ends, the length of that prefix, and its TTL.

    :param earlier: the prefixes, with their lengths, that end at a block after the previous marker, nearest first
    """

    prefix: str
    tokens: int
    ttl_seconds: int
    earlier: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Usage:
    """The billed input of one answer, in tokens."""

    input: int
    written_5m: int = 0
    written_1h: int = 0
    read: int = 0


class Chain:
    """The prefix so far: a hash and a length that grow block by block, and the markers so far."""

    def __init__(self, start: bytes) -> None:
        self._hash = start
        self._recent: tuple[tuple[str, int], ...] = ()
        self.tokens = 0
        self.markers: tuple[Marker, ...] = ()

    def fork(self) -> Chain:
        """Return a copy that can grow without changing this chain."""
        return copy(self)

    def add(self, block: bytes, tokens: int, ttl_seconds: int | None) -> None:
        """Append a block (as JSON, without its marker); ``ttl_seconds`` is None for a block without a marker."""
        self.mix_in(block)
        self.tokens += tokens
        prefix = self._hash.hex()
        if ttl_seconds is None:
            self._recent = ((prefix, self.tokens), *self._recent[: LOOKBACK - 1])
        else:
            self.markers = (*self.markers, Marker(prefix, self.tokens, ttl_seconds, self._recent))
            self._recent = ()  # blocks before a marker belong to that marker

    def mix_in(self, setting: bytes) -> None:
        """Mix a setting into the hash: what follows is another prefix under another setting."""
        self._hash = blake2b(self._hash + setting, digest_size=16).digest()


@dataclass
class Cache:
    """The cache as one batch (or one synchronous call) finds it, and the prefixes that it writes or reads."""

    warm: frozenset[str]
    #: The prefixes written or read so far, with their TTL in seconds.
    touched: dict[str, int] = field(default_factory=dict)
    warm_hit_percent: int = _WARM_HIT_PERCENT

    def bill(self, markers: tuple[Marker, ...], total_tokens: int, minimum: int, draws: Draws) -> Usage:
        """Split a request's input into tokens read from the cache, written to it, and neither."""
        cacheable = [marker for marker in markers if marker.tokens >= minimum]
        if not cacheable:
            return Usage(total_tokens)
        read = max(self._read(marker, draws) for marker in cacheable)
        written: dict[int, int] = dict.fromkeys(TTL_SECONDS.values(), 0)
        before = read
        for marker in cacheable:
            if marker.tokens > before:
                written[marker.ttl_seconds] += marker.tokens - before
                before = marker.tokens
            self._touch(marker.prefix, marker.ttl_seconds)
        return Usage(total_tokens - before, written[TTL_SECONDS["5m"]], written[TTL_SECONDS["1h"]], read)

    def _read(self, marker: Marker, draws: Draws) -> int:
        """Return the tokens that a marker finds in the cache."""
        for prefix, tokens in ((marker.prefix, marker.tokens), *marker.earlier):
            if self._hits(prefix, draws):
                self._touch(prefix, marker.ttl_seconds)
                return tokens
        return 0

    def _hits(self, prefix: str, draws: Draws) -> bool:
        if prefix in self.warm:
            return draws.chance(self.warm_hit_percent)
        return prefix in self.touched and draws.chance(_COLD_HIT_PERCENT)

    def _touch(self, prefix: str, ttl_seconds: int) -> None:
        self.touched[prefix] = max(self.touched.get(prefix, 0), ttl_seconds)


def ttl_of(marker: Mapping[str, object]) -> int | None:
    """Return the TTL of a ``cache_control`` object in seconds; None if it is invalid."""
    if marker.get("type") != "ephemeral":
        return None
    return TTL_SECONDS.get(str(marker.get("ttl", "5m")))
