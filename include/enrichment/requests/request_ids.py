"""Sets of request ids as sorted Arrow columns: 26 MB for a million ids, where Python's set of strings takes 120 MB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

#: Ids in any form.
Ids: TypeAlias = Iterable[str] | pa.Array | pa.ChunkedArray

_IDS_AT_ONCE = 100_000


class RequestIds(Set[str]):
    """
    A set of request ids that never changes. It is iterated in sorted order.

    ``in`` is slow: look up many ids at once, with find() or with an operator of sets.

    :param ids: in any order, some of them several times; nulls are left out
    """

    def __init__(self, ids: Ids = ()) -> None:
        self.array: pa.StringArray = ids.array if isinstance(ids, RequestIds) else _distinct(_column(ids))

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self.array), _IDS_AT_ONCE):
            yield from self.array[start : start + _IDS_AT_ONCE].to_pylist()

    def __contains__(self, request_id: object) -> bool:
        return bool(self.find(pa.array([request_id], pa.string()))[0].is_valid)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Set) and bool(self.array.equals(RequestIds(other).array))

    def __sub__(self, other: Ids) -> RequestIds:
        if not len(at := self._positions(other)):
            return self
        found = pc.scatter(pa.repeat(True, len(at)), at, max_index=len(self.array) - 1)
        return RequestIds(self.array.filter(pc.is_null(found)))

    def __and__(self, other: Ids) -> RequestIds:
        return RequestIds(self.array.take(self._positions(other)))

    def __or__(self, other: Ids) -> RequestIds:
        new = RequestIds(other) - self
        return RequestIds(pa.chunked_array([self.array, new.array])) if new else self

    def isdisjoint(self, other: Ids) -> bool:
        """Return whether no id is in both."""
        fewer, more = sorted((self, RequestIds(other)), key=len)
        return not len(more._positions(fewer))

    def find(self, ids: pa.StringArray) -> pa.Int64Array:
        """Return the position of each id in ``array``; null for an id that is not in the set."""
        if not len(self.array):
            return pa.nulls(len(ids), pa.int64())
        at = pc.min_element_wise(pc.search_sorted(self.array, ids).cast(pa.int64()), len(self.array) - 1)
        return pc.if_else(pc.equal(self.array.take(at), ids), at, pa.scalar(None, pa.int64()))

    def _positions(self, other: Ids) -> pa.Int64Array:
        """The positions of those ids of ``other`` that are in this set, in the order of ``other``."""
        ids = other.array if isinstance(other, RequestIds) else _column(other)
        parts = [self.find(ids[at : at + _IDS_AT_ONCE]).drop_null() for at in range(0, len(ids), _IDS_AT_ONCE)]
        return pa.concat_arrays([pa.nulls(0, pa.int64()), *parts])


def _column(ids: Ids) -> pa.StringArray:
    if isinstance(ids, pa.ChunkedArray):
        return ids.combine_chunks()
    return ids if isinstance(ids, pa.Array) else pa.array(ids, pa.string())


def _distinct(ids: pa.StringArray) -> pa.StringArray:
    ids = ids.drop_null() if ids.null_count else ids  # it copies them
    if not pc.all(pc.less(ids[:-1], ids[1:])).as_py():
        ids = ids.sort()
        first = pc.not_equal(ids[:-1], ids[1:])
        if not pc.all(first).as_py():
            ids = pa.concat_arrays([ids[:1], ids[1:].filter(first)])
    return ids
