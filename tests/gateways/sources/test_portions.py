from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.gateways.sources.portions import Row, read_portions

MEGABYTE = 1_000_000


def _fetch(rows: Sequence[Any], asked: list[int] | None = None) -> Callable[[int], list[Row]]:
    left = iter(rows)

    def fetch(count: int) -> list[Row]:
        if asked is not None:
            asked.append(count)
        return [{"value": value} for value in islice(left, count)]

    return fetch


def _lengths(rows: Sequence[Any], *, rows_a_fetch: int = 8) -> list[int]:
    found = read_portions(_fetch(rows), rows_at_once=1_000, rows_a_fetch=rows_a_fetch)
    return [len(portion) for portion in found]


def test_portions_grow_from_one_row() -> None:
    first, *others, rest = _lengths(range(5_000))
    assert first == 1
    assert others == sorted(others)
    assert max(others) == 1_000
    assert first + sum(others) + rest == 5_000
    assert _lengths([]) == []


def test_a_row_larger_than_a_portion_comes_alone() -> None:
    assert _lengths(["x" * 9 * MEGABYTE] * 3) == [1, 1, 1]


@pytest.mark.parametrize(
    "value",
    [
        "x" * 100_000,
        "é" * 100_000,
        "語" * 50_000,
        "🎈" * 25_000,
        b"x" * 100_000,
        bytearray(100_000),
        memoryview(b"x" * 100_000),
        {"body": "x" * 100_000},
        {"x" * 100_000: 1},
        {"a": [{"b": ["x" * 100_000]}]},
        ["x" * 50_000, ("x" * 50_000,)],
        {"x" * 100_000},
        [str(number) for number in range(1_700)],
        [{"a": number} for number in range(400)],
        Decimal("1." + "1" * 240_000),
        1 << 800_000,
        json.loads("[" * 900 + '"' + "x" * 50_000 + '"' + "]" * 900),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_portion_is_limited_for_every_type_of_value(value: object) -> None:
    assert 15 < max(_lengths([value] * 400)) <= 45


@pytest.mark.parametrize("long", ["x" * MEGABYTE, {"body": ["x" * MEGABYTE]}], ids=["text", "json"])
@pytest.mark.parametrize("rows_a_fetch", [8, 1_000])
def test_a_portion_stays_limited_where_rows_grow_suddenly(long: object, rows_a_fetch: int) -> None:
    asked: list[int] = []
    fetch = _fetch([1] * 4_000 + [long] * 50, asked)
    found = list(read_portions(fetch, rows_at_once=1_000, rows_a_fetch=rows_a_fetch))
    assert max(sum(row["value"] is long for row in portion) for portion in found) == 3
    assert max(asked) <= rows_a_fetch  # so no fetch has more of the long rows


_SIZES = st.lists(st.tuples(st.integers(1, 300), st.sampled_from([0, 1_000, 100_000, 3 * MEGABYTE, 5 * MEGABYTE])))


@settings(deadline=None, max_examples=50, derandomize=True)
@given(sizes=_SIZES, rows_a_fetch=st.sampled_from([1, 8, 1_000]))
def test_no_row_is_lost_and_no_portion_of_several_rows_exceeds_the_limit(
    sizes: list[tuple[int, int]], rows_a_fetch: int
) -> None:
    rows = list(_rows(sizes))
    found = list(read_portions(_fetch(rows), rows_at_once=1_000, rows_a_fetch=rows_a_fetch))
    assert [row["value"] for portion in found for row in portion] == rows
    for portion in found:
        assert 0 < len(portion) <= 1_000
        assert len(portion) == 1 or sum(sys.getsizeof(row["value"]) for row in portion) <= 4 * MEGABYTE


def _rows(sizes: list[tuple[int, int]]) -> Iterator[bytes]:
    for count, size in sizes:
        yield from [bytes(size)] * count
