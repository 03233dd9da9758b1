"""duplicate_keys.py: a duplicate key is found in any spelling."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.enrichment.answers.schema.duplicate_keys import (
    count_keys,
    find_duplicate_key,
    has_unique_keys,
    key_counter,
)
from include.enrichment.answers.schema.kind import kind_of
from tests.fixtures.schemas import object_schema

TWICE = [
    '{"a":1,"a":2}',
    '{"a":1,"a":1}',
    '{"a" : 1, "a" : 2}',
    '{"a"\n:1,"a"\t:2}',
    '{"a":1,"\\u0061":2}',
    '{"b":{"c":[{"a":1,"a":2}]}}',
    '{"b":": \\":","a":1,"a" :2}',
    '[{"a":{"d":1},"a":{}}]',
]


@pytest.mark.parametrize("text", TWICE)
def test_a_duplicate_key_is_always_found_and_named(text: str) -> None:
    assert find_duplicate_key(text) == "a"
    assert not has_unique_keys(text.encode(), count_keys(json.loads(text)))


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"b":{"a":1}}',
        '[{"a":1},{"a":2}]',
        '{"a":": a : b","b" : "a:"}',
        '{"a:":1}',
        '{"a":1' + "0" * 5_000 + "}",
    ],
)
def test_the_same_key_in_several_objects_is_no_duplicate(text: str) -> None:
    assert find_duplicate_key(text) is None


@pytest.mark.parametrize("text", ['{"a":"b"}', '{"a": "at 10:30: b", "c" : {}}', "[1]"])
def test_most_texts_need_no_second_check(text: str) -> None:
    assert has_unique_keys(text.encode(), count_keys(json.loads(text)))


_VALUES = st.recursive(
    st.none() | st.integers() | st.text('a":\\ \n', max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(st.tuples(st.text('ab":\\ ', max_size=2), inner), max_size=3).map(tuple)
    ),
    max_leaves=8,
)


def _written(value: Any, space: str) -> str:
    """Return JSON text in which a tuple is an object with possibly duplicate keys."""
    if isinstance(value, tuple):
        pairs = (f"{json.dumps(name)}{space}:{space}{_written(item, space)}" for name, item in value)
        return f"{{{space}{','.join(pairs)}}}"
    return f"[{','.join(_written(item, space) for item in value)}]" if isinstance(value, list) else json.dumps(value)


def _twice(value: Any) -> bool:
    if isinstance(value, tuple):
        names = [name for name, _ in value]
        return len(names) != len(set(names)) or any(_twice(item) for _, item in value)
    return isinstance(value, list) and any(map(_twice, value))


@settings(deadline=None, derandomize=True, max_examples=400)
@given(value=_VALUES, space=st.sampled_from(["", " ", "\n\t"]))
def test_any_text_is_checked_correctly(value: Any, space: str) -> None:
    text = _written(value, space)
    assert (find_duplicate_key(text) is not None) is _twice(value)
    if _twice(value):
        assert not has_unique_keys(text.encode(), count_keys(msgspec.json.decode(text)))


def test_the_key_counter_of_a_kind_handles_structs_and_dictionaries() -> None:
    inner = object_schema(c={"type": "string"}, d={"type": "string"}, required=["c"])
    schema = object_schema(
        a={"type": "array", "items": inner},
        b={"anyOf": [inner, {"type": "null"}]},
        e={"type": "integer"},
        required=["a"],
    )
    count = key_counter(kind_of(schema, {}))
    for value in _ANSWERS:
        assert count(value) == count(msgspec.convert(value, _Whole)) == count_keys(value)


class _Item(msgspec.Struct):
    c: str
    d: str | msgspec.UnsetType = msgspec.UNSET


class _Whole(msgspec.Struct):
    a: list[_Item]
    b: _Item | msgspec.UnsetType | None = msgspec.UNSET
    e: int | msgspec.UnsetType = msgspec.UNSET


_ANSWERS: list[dict[str, Any]] = [
    {"a": []},
    {"a": [{"c": "x"}, {"c": "x", "d": "y"}], "b": None},
    {"a": [], "b": {"c": "x"}, "e": 1},
]
