"""json_values.py: values of a table as values of JSON."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from include.evaluation.json_values import are_equal, as_text, json_value, parsed

_UUID = UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("a", "a"),
        ("", ""),
        (True, "true"),
        (1, "1"),
        (1.5, "1.5"),
        (Decimal("1.50"), "1.50"),
        (date(2026, 11, 3), "2026-11-03"),
        (time(9, 30), "09:30:00"),
        (datetime(2026, 11, 3, tzinfo=UTC), "2026-11-03T00:00:00+00:00"),
        (_UUID, str(_UUID)),
        (b"\x01", "01"),
        (["a", date(2026, 11, 3)], '["a","2026-11-03"]'),
        ({"a": None}, '{"a":null}'),
        ([float("nan")], "[null]"),
    ],
)
def test_a_value_is_shown_as_its_text_or_its_json(value: Any, text: str) -> None:
    assert as_text(value) == text


def test_a_value_within_lists_and_objects_becomes_one_of_json() -> None:
    assert json_value({"a": [date(2026, 11, 3), {"b": _UUID}]}) == {"a": ["2026-11-03", {"b": str(_UUID)}]}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ('["a", 1]', ["a", 1]),
        (' {"a": 1}', {"a": 1}),
        ("[no json", "[no json"),
        ("3", "3"),
        (3, 3),
        ([1], [1]),
    ],
)
def test_only_a_list_or_an_object_is_read_from_a_text(value: Any, found: Any) -> None:
    assert parsed(value) == found


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        ([0], [False], False),
        ({"a": [1]}, {"a": [1.0]}, True),
        (None, None, True),
        (None, 0, False),
        (float("nan"), float("nan"), False),
    ],
)
def test_a_truth_value_is_no_number(one: Any, other: Any, equal: bool) -> None:
    assert are_equal(one, other) is equal
