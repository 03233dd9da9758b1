"""Values that a conversation names."""

from __future__ import annotations

from typing import Any

import pytest

from include.emulator.documents.known_values import find_value


@pytest.mark.parametrize(
    ("name", "type", "text", "value"),
    [
        ("order_id", "string", 'order_id="A-17"', "A-17"),
        ("order_id", "string", '<order id="A-17" day="3">', "A-17"),
        ("order_id", "string", "<order_id>A-17</order_id>", "A-17"),
        ("order_id", "string", "Order ID: A-17, please", "A-17"),
        ("order_id", "string", "my order A-17 is late", "A-17"),
        ("order_id", "string", "my order no. 17 is late", "17"),
        ("order_id", "integer", "my order no. 17 is late", 17),
        ("order_id", "string", "my order is late", None),
        ("order_id", "string", '{"orders": [{"id": 17, "total": 3}]}', "17"),
        ("order_id", "string", '[{"order_id": "A-17"}]', "A-17"),
        ("amount", "number", '{"orders": [{"amount_usd": 12.5}]}', 12.5),
        ("amount", "number", "amount = 12.50 EUR", 12.5),
        ("amount", "integer", "amount = 12.50 EUR", None),
        ("order_ids", "array", '{"order_ids": [1, 2]}', [1, 2]),
        ("customer", "string", "{no JSON} customer: Ada", "Ada"),
        ("flag", "boolean", "flag: true", None),
    ],
)
def test_a_value_is_found_by_the_name_of_its_property(name: str, type: str, text: str, value: Any) -> None:
    assert find_value(name, [type], [text]) == value


def test_the_first_text_with_a_value_wins() -> None:
    assert find_value("order_id", ["string"], ["nothing", "order_id: new", "order_id: old"]) == "new"
