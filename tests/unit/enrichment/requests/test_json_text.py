from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from include.enrichment.requests.conversion import to_prompt_value
from include.enrichment.requests.json_text import to_json
from include.enrichment.requests.prompt_values import UnsupportedValue


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"title": "漢字 & it's <b>größer</b>"}, '{"title": "漢字 & it\'s <b>größer</b>"}'),
        ({"b": 1, "a": {"d": None, "c": True}}, '{"a": {"c": true, "d": null}, "b": 1}'),
        ([], "[]"),
        (None, "null"),
        ('"\\\n\x00\u2028', '"\\"\\\\\\n\\u0000\u2028"'),
        (
            [Decimal("12.50"), Decimal("1E-7"), 0.1, 1e-07, 10**20],
            "[12.50, 0.0000001, 0.1, 1e-07, 100000000000000000000]",
        ),
        ([Decimal("NaN"), float("nan"), float("-inf")], "[NaN, NaN, -Infinity]"),
        (
            [date(2026, 11, 1), datetime(2026, 11, 1, 8, tzinfo=UTC), UUID(int=1)],
            '["2026-11-01", "2026-11-01 08:00:00+00:00", "00000000-0000-0000-0000-000000000001"]',
        ),
        ({2: "b", 10: "a", None: "c"}, '{"null": "c", "10": "a", "2": "b"}'),
        ({2: "b", 10: "a"}, '{"2": "b", "10": "a"}'),
        ({"c", "a", "b"}, '["a", "b", "c"]'),
        ("a\ud800", '"a\\ud800"'),
    ],
)
def test_it_formats_values_as_the_prompt_does(value: object, text: str) -> None:
    assert to_json(to_prompt_value(value)) == text


def test_a_value_without_a_text_is_rejected_at_any_depth() -> None:
    with pytest.raises(UnsupportedValue, match="a binary value has no text"):
        to_json(to_prompt_value({"a": [{"b": b"x"}]}))
