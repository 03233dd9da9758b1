"""request_ids.py: a set of request ids behaves like Python's, in less memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection

import pyarrow as pa
import pytest

from include.enrichment.requests.request_ids import RequestIds

FORMS: list[Callable[[Collection[str]], Collection[str]]] = [list, set, dict.fromkeys, pa.array, RequestIds]


def test_the_ids_are_distinct_and_sorted_and_nulls_are_left_out() -> None:
    ids = pa.chunked_array([["c", None, "a"], ["b", "a"]])
    assert list(RequestIds(ids)) == RequestIds(ids).array.to_pylist() == ["a", "b", "c"]
    assert len(RequestIds(ids)) == 3


def test_it_equals_a_set_with_the_same_ids() -> None:
    assert RequestIds("ba") == {"a", "b"} == RequestIds("ab")
    assert RequestIds("ab") != {"a"}
    assert ("a" in RequestIds("ab"), "c" in RequestIds("ab")) == (True, False)


def test_find_returns_positions_and_null_for_other_ids() -> None:
    wanted = pa.array(["d", "a", None, "b", "zz", "d"])
    assert RequestIds("bd").find(wanted).to_pylist() == [1, None, None, 0, None, 1]
    assert RequestIds().find(wanted).to_pylist() == [None] * 6


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(20))
def test_its_operators_are_those_of_a_set(seed: int, form: Callable[[Collection[str]], Collection[str]]) -> None:
    draw = random.Random(seed)
    one, other = ({str(draw.randrange(30)) for _ in range(draw.randrange(25))} for _ in range(2))
    ids, given = RequestIds(one), form(sorted(other, key=hash))
    assert ids - given == one - other
    assert ids & given == one & other
    assert ids | given == one | other
    assert ids.isdisjoint(given) == one.isdisjoint(other)
    assert sorted(ids - given) == list(ids - given)
