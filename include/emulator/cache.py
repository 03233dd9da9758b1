"""
Tokens, and the prompt cache as far as a batch can see it.

A token is four bytes of text here, for every model. A cache marker names a prefix: everything before it and its own
block. A prefix is warm if an earlier batch of the workspace left it in the cache and it has not expired; inside one
batch, requests run at once and mostly miss. Prefixes under the model's minimum are never cached, without an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from include.emulator.draws import Draws

BYTES_PER_TOKEN = 4
LIFE_SECONDS = {"5m": 300, "1h": 3600}
# Hits are best effort: a warm prefix is found nearly always, one that another request of the same batch has just
# written now and then. Both lie within the 30-98 % that are reported for real batches.
_WARM_HIT_PERCENT = 98
_COLD_HIT_PERCENT = 30


def tokens_of(text_bytes: int) -> int:
    """Tokens of a text of this many bytes; something is never nothing."""
    return -(-text_bytes // BYTES_PER_TOKEN)


@dataclass(frozen=True)
class Marker:
    """One cache breakpoint: the identity of the prefix it ends, that prefix's length, and how long it is kept."""

    prefix: str
    tokens: int
    life_seconds: int


@dataclass(frozen=True)
class Usage:
    """What one answer is billed for on the input side, in tokens."""

    input: int
    written_5m: int = 0
    written_1h: int = 0
    read: int = 0


class Chain:
    """The prefix so far: a hash and a length that grow block by block, and the markers met on the way."""

    def __init__(self, start: bytes, tokens: int = 0, markers: tuple[Marker, ...] = ()) -> None:
        self._hash = start
        self.tokens = tokens
        self.markers = markers

    def fork(self) -> Chain:
        """A chain that grows on from here without changing this one."""
        return Chain(self._hash, self.tokens, self.markers)

    def add(self, block: bytes, tokens: int, life_seconds: int | None) -> None:
        """Append a block (as JSON, without its marker); ``life_seconds`` if a marker stands on it."""
        self._hash = blake2b(self._hash + block, digest_size=16).digest()
        self.tokens += tokens
        if life_seconds is not None:
            self.markers = (*self.markers, Marker(self._hash.hex(), self.tokens, life_seconds))


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
        read = max((marker.tokens for marker in cacheable if self._hits(marker, draws)), default=0)
        written: dict[int, int] = dict.fromkeys(LIFE_SECONDS.values(), 0)
        before = read
        for marker in cacheable:
            if marker.tokens > before:
                written[marker.life_seconds] += marker.tokens - before
                before = marker.tokens
        self.touched.update((marker.prefix, marker.life_seconds) for marker in cacheable)
        return Usage(total_tokens - before, written[LIFE_SECONDS["5m"]], written[LIFE_SECONDS["1h"]], read)

    def _hits(self, marker: Marker, draws: Draws) -> bool:
        if marker.prefix in self.warm:
            return draws.chance(_WARM_HIT_PERCENT)
        return marker.prefix in self.touched and draws.chance(_COLD_HIT_PERCENT)


def life_of(marker: Mapping[str, object]) -> int | None:
    """The life of a ``cache_control`` object in seconds; None if it is not a valid one."""
    if marker.get("type") != "ephemeral":
        return None
    return LIFE_SECONDS.get(str(marker.get("ttl", "5m")))
