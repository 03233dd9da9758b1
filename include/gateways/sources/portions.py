"""Rows of a source in portions of bounded memory, however long the rows are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from sys import getsizeof
from typing import Any
from uuid import UUID

_BYTES_AT_ONCE = 4_000_000
_GROWTH = 4
#: Types whose getsizeof() is all the memory they take. For a list, a dict or a memoryview it omits the contents.
_FLAT = frozenset({bool, bytes, date, datetime, Decimal, float, int, str, time, timedelta, type(None), UUID})

Row = dict[str, Any]


def read_portions(
    fetch: Callable[[int], Sequence[Row]], *, rows_at_once: int, rows_a_fetch: int
) -> Iterator[list[Row]]:
    """
    Yield rows in portions, none of them empty. The first has one row, and the next ones grow.

    A portion has at most ``rows_at_once`` rows and 4 MB of Python memory, except for a single row that takes more. If
    rows grow suddenly, the rest of the last fetch waits in memory.

    :param fetch: returns that many rows; fewer, or none, only at the end
    :param rows_a_fetch: the largest number of rows per fetch
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
        while rows:  # popped, so that each is freed with its portion
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
    """Return the bytes of a value and its contents at any depth."""
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
