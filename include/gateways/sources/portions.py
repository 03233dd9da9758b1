"""Rows of a source in portions that fit into memory, however long the rows are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from sys import getsizeof
from typing import Any
from uuid import UUID

_BYTES_AT_ONCE = 4_000_000
_GROWTH = 4
#: Of these, what getsizeof() says is all they take. It does not look into a list, a dict or a memoryview.
_FLAT = frozenset({bool, bytes, date, datetime, Decimal, float, int, str, time, timedelta, type(None), UUID})

Row = dict[str, Any]


def read_portions(
    fetch: Callable[[int], Sequence[Row]], *, rows_at_once: int, rows_a_fetch: int
) -> Iterator[list[Row]]:
    """
    Rows in portions, of which none is empty: the first of one row, and from then on ever larger ones.

    A portion ends with ``rows_at_once`` rows or with 4 MB, by the bytes that its rows truly take; one row may take
    more. Where rows grow suddenly, the rest of what was fetched with them waits in memory.

    :param fetch: gives so many rows; fewer, or none, at the end only
    :param rows_a_fetch: how many rows it is asked for at most
    """
    portion: list[Row] = []
    count, size, longest = 1, 0, 1
    while True:
        room = (_BYTES_AT_ONCE - size) // longest
        wanted = max(1, min(count - len(portion), rows_a_fetch, room))
        rows = list(fetch(wanted))
        is_last = len(rows) < wanted
        is_end = not rows
        rows.reverse()
        while rows:  # each is let go with its portion
            row = rows.pop()
            length = sum([getsizeof(value) if type(value) in _FLAT else _bytes(value) for value in row.values()])
            if portion and size + length > _BYTES_AT_ONCE:
                yield portion
                portion, size = [], 0
            portion.append(row)
            size += length
            longest = max(longest, length)
        if portion and (is_last or len(portion) >= count or size + longest > _BYTES_AT_ONCE):
            yield portion
            count = max(1, min(count * _GROWTH, rows_at_once, _BYTES_AT_ONCE // longest))
            portion, size, longest = [], 0, 1
        if is_end:
            return


def _bytes(value: object) -> int:
    """The bytes of a value and of all that is in it, at any depth."""
    found, within = 0, [value]
    while within:
        value = within.pop()
        found += getsizeof(value)
        if isinstance(value, memoryview):
            found += value.nbytes
        elif isinstance(value, Mapping):
            within += value.keys()
            within += value.values()
        elif isinstance(value, Collection) and not isinstance(value, str | bytes | bytearray):
            within += value
    return found
