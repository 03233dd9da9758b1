"""
Finds the earlier texts that a text nearly repeats, without comparing all pairs.

Each text has 48 keys. A key comes from the smallest hashes of the text's parts (MinHash), so that two texts share a key
the more probably, the more parts they have in common; two shared keys make them candidates. The parts are pairs of
words, which tell long texts apart, and runs of characters, which tell short ones and those without spaces apart.

numpy hashes a whole portion of texts at once. A library such as datasketch takes about as long for ten texts as this
for a hundred, and keeps 3 KB of each; here it is about 400 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_Numbers = npt.NDArray[np.uint64]
_Keys = npt.NDArray[np.uint32]
_Places = npt.NDArray[np.int64]

#: Half of the keys are from pairs of words, half from runs of characters.
_HALF = 24
_KEYS = 2 * _HALF
_COLUMNS = _KEYS + 1
#: The number of hashes that make one key. More of them miss more, fewer find more texts that only look alike.
_HASHES = 3
_RUN = 5
#: Texts that share fewer keys are not compared. One more key, that of the whole text, is enough by itself.
_LEAST_SHARED = 2
#: A key leads to the first texts that have it. What more texts share is a phrase of all, and tells none apart.
_MOST_TEXTS = 8
_TEXTS_AT_ONCE = 1_000
#: Small enough for a processor's cache.
_CHARACTERS_AT_ONCE = 32_768
_BLOCK = 16_384
_BITS = 22
_LOW_BITS = np.uint32((1 << _BITS) - 1)
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)
_LUCK = np.random.Generator(np.random.PCG64(1))
_MIXERS = _LUCK.integers(0, 1 << 32, (2, _KEYS * _HASHES), dtype=np.uint32) | np.uint32(1)


class NearRepeats:
    """Texts in the order in which they were added, and the earlier ones that a text may nearly repeat."""

    def __init__(self) -> None:
        self._blocks: list[_Keys] = []
        self._count = 0

    def add(self, texts: Sequence[str], groups: Sequence[int], counted: Sequence[bool]) -> list[list[int]]:
        """
        Add texts, and return for each the numbers of the earlier texts that it may repeat, in their order. Texts are
        numbered from 0 in the order in which they are added; how many are added at once makes no difference.

        :param texts: folded
        :param groups: only texts of the same group, a 32-bit number, are compared
        :param counted: whether later texts may repeat it
        """
        found: list[list[int]] = []
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            here = slice(start, start + _TEXTS_AT_ONCE)
            keys = _keys(texts[here], np.array(groups[here], np.uint64))
            found += self._added(keys, np.array(counted[here], bool))
        return found

    def _added(self, keys: _Keys, counted: npt.NDArray[np.bool_]) -> list[list[int]]:
        flat = keys.ravel()
        order = np.argsort(flat, kind="stable")
        wanted, first, times = np.unique(flat[order], return_index=True, return_counts=True)
        sharing = self._sharing(wanted)
        # The texts of this portion come after the earlier ones with the same key, in their order.
        counts = counted[order // _COLUMNS]
        before: _Places = np.cumsum(counts) - counts
        place = np.repeat(np.arange(len(wanted)), times)
        rank = before - before[first][place] + np.bincount(sharing[0], minlength=len(wanted))[place]
        kept = counts & (rank < _MOST_TEXTS)
        own = np.stack([place[kept], self._count + order[kept] // _COLUMNS])
        pairs = _pairs(np.concatenate([sharing, own], axis=1), order, first, times, self._count)
        flat[order[~kept]] = 0
        self._store(keys)
        return _grouped(pairs, len(keys))

    def _sharing(self, wanted: _Keys) -> _Places:
        """
        The earlier texts with any of these keys, in two rows: the place of the key and the number of the text.

        :param wanted: sorted
        """
        near = np.zeros(1 << _BITS, bool)  # only where a bit is set is there anything to search
        near[wanted & _LOW_BITS] = True
        found = [np.empty((2, 0), np.int64)]
        for number, block in enumerate(self._blocks):
            earlier = block[: self._count - number * _BLOCK].ravel()
            places = np.flatnonzero(near[earlier & _LOW_BITS])
            at = np.minimum(np.searchsorted(wanted, earlier[places]), len(wanted) - 1)
            same = wanted[at] == earlier[places]
            found.append(np.stack([at[same], number * _BLOCK + places[same] // _COLUMNS]))
        return np.concatenate(found, axis=1)

    def _store(self, keys: _Keys) -> None:
        while len(keys):
            number, start = divmod(self._count, _BLOCK)
            if number == len(self._blocks):
                self._blocks.append(np.zeros((_BLOCK, _COLUMNS), np.uint32))
            here = keys[: _BLOCK - start]
            self._blocks[number][start : start + len(here)] = here
            self._count += len(here)
            keys = keys[len(here) :]


def _pairs(sharing: _Places, order: _Places, first: _Places, times: _Places, start: int) -> _Places:
    """
    The pairs of a text of a portion and an earlier one with enough keys in common, one number for each pair.

    :param order: the places of the portion's keys, sorted by key
    :param first: the first place in that order of each key
    :param times: how often each key occurs in it
    :param start: the number of the portion's first text
    """
    at, earlier = sharing
    times = times[at]
    entry = np.repeat(np.arange(len(at)), times)
    place = np.arange(len(entry)) - np.repeat(np.cumsum(times) - times, times) + first[at][entry]
    text, column = np.divmod(order[place], _COLUMNS)
    other = earlier[entry]
    before = other < start + text
    weight = np.where(column == _KEYS, _LEAST_SHARED, 1)[before]
    pairs, inverse = np.unique((text[before] << 40) | other[before], return_inverse=True)
    return pairs[np.bincount(inverse, weights=weight, minlength=len(pairs)) >= _LEAST_SHARED]


def _grouped(pairs: _Places, texts: int) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in range(texts)]
    for text, other in zip((pairs >> 40).tolist(), (pairs & ((1 << 40) - 1)).tolist(), strict=True):
        found[text].append(other)
    return found


def _keys(texts: Sequence[str], groups: _Numbers) -> _Keys:
    """The keys of each text, the last one for the whole text."""
    parts, start, size = [], 0, 0
    for number, text in enumerate(texts):
        size += len(text)
        if size > _CHARACTERS_AT_ONCE or number == len(texts) - 1:
            parts.append(_keys_of(texts[start : number + 1]))
            start, size = number + 1, 0
    return _mixed(np.concatenate(parts) ^ groups[:, None] * np.uint64(_BASE)) | np.uint32(1)


def _keys_of(texts: Sequence[str]) -> _Numbers:
    padded = [f" {text.ljust(_RUN)} " for text in texts]
    lengths = np.array([len(text) for text in padded])
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    powers = np.full(len(codes) + 1, _BASE, np.uint64)
    inverses = np.full(len(codes) + 1, _INVERSE, np.uint64)
    powers[0] = inverses[0] = 1
    powers, inverses = np.cumprod(powers), np.cumprod(inverses)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum((codes + np.uint64(1)) * powers[:-1])])

    def hashed(begin: _Places, end: _Places) -> _Numbers:
        """A hash of each piece of the texts, the same wherever it lies."""
        found: _Numbers = (sums[end] - sums[begin]) * inverses[begin]
        return found

    ends = np.cumsum(lengths)
    begins = ends - lengths
    runs = np.arange(len(codes))[np.arange(len(codes)) + _RUN <= np.repeat(ends, lengths)]
    spaces = np.flatnonzero(codes == 32)
    # A pair of words reaches from the space before it to the one after it; the last word of a text has no partner.
    text_of_space = np.searchsorted(ends, spaces, side="right")
    step = np.minimum(np.arange(len(spaces)) + 2, len(spaces) - 1)
    paired = text_of_space[step] == text_of_space
    paired[-2:] = False
    alone = np.ones(len(texts), bool)
    alone[text_of_space[paired]] = False
    words = np.concatenate([spaces[paired], begins[alone]])
    word_ends = np.concatenate([spaces[step[paired]], ends[alone]])
    by_text = np.argsort(words, kind="stable")
    words, word_ends = words[by_text], word_ends[by_text]
    found = np.empty((len(texts), _COLUMNS), np.uint64)
    for half, (begin, end) in enumerate([(words, word_ends), (runs, runs + _RUN)]):
        starts = np.searchsorted(begin, begins)
        hashes = _mixed(hashed(begin, end))
        for key in range(half * _HALF, (half + 1) * _HALF):
            made = np.full(len(texts), key, np.uint64)
            for number in range(key * _HASHES, (key + 1) * _HASHES):
                least = np.minimum.reduceat((hashes ^ _MIXERS[0, number]) * _MIXERS[1, number], starts)
                made = (made ^ least) * np.uint64(_BASE)
                made ^= made >> np.uint64(29)
            found[:, key] = made
    found[:, _KEYS] = hashed(begins, ends)
    return found


def _mixed(numbers: _Numbers) -> _Keys:
    """32 bits of each number that depend on all of its bits."""
    numbers = (numbers ^ (numbers >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return ((numbers ^ (numbers >> np.uint64(32))) >> np.uint64(16)).astype(np.uint32)
