"""fan_out.py: the combinations of one row, in the order of the names and their values."""

from __future__ import annotations

from typing import Any

import pytest

from include.enrichment.errors import WarehouseError
from include.enrichment.requests.fan_out import MAX_COMBINATIONS, FanOut


def fan_out(**values: Any) -> FanOut:
    """With a text in the place of the values, they are in the column of that name."""
    fixed = {name: found for name, found in values.items() if not isinstance(found, str)}
    return FanOut(list(values), fixed=fixed, columns={name: values[name] for name in values.keys() - fixed.keys()})


def test_without_names_a_row_has_one_empty_combination() -> None:
    assert fan_out().combinations({"id": 1}) == [{}]


def test_every_value_is_combined_with_every_other_in_order() -> None:
    found = fan_out(locale=["de", "fr"], tone=["plain", "warm"]).combinations({})
    assert found == [
        {"locale": "de", "tone": "plain"},
        {"locale": "de", "tone": "warm"},
        {"locale": "fr", "tone": "plain"},
        {"locale": "fr", "tone": "warm"},
    ]
    assert list(found[0]) == ["locale", "tone"]


def test_values_from_a_column_differ_from_row_to_row() -> None:
    each = fan_out(locale="locales", tone=[True, False])
    assert [dict(found) for found in each.combinations({"locales": ["de"]})] == [
        {"locale": "de", "tone": True},
        {"locale": "de", "tone": False},
    ]
    assert len(each.combinations({"locales": ["de", "fr", "it"]})) == 6


@pytest.mark.parametrize("values", [None, [], ()])
def test_a_row_without_values_has_no_combination(values: object) -> None:
    assert fan_out(locale="locales", tone=["plain"]).combinations({"locales": values}) == []


@pytest.mark.parametrize("values", ["de,fr", '["de"]', {"de": 1}, 7])
def test_a_column_that_holds_no_list_is_rejected_with_its_type(values: object) -> None:
    kind = type(values).__name__
    with pytest.raises(WarehouseError, match=f"^for_each.locale: the column 'locales' must .* type {kind}. Nothing"):
        fan_out(locale="locales").combinations({"locales": values})


@pytest.mark.parametrize(
    ("values", "fact"),
    [
        (["de", None], "contains NULL"),
        (["it", "de", "fr", "de", "de"], "contains 'de' 3 times"),
        ([7, 7], "contains 7 2 times"),
        ([{"a": 1}, {"a": 1}], "contains {'a': 1} 2 times"),
    ],
)
def test_a_list_with_null_or_a_value_twice_is_rejected(values: list[object], fact: str) -> None:
    with pytest.raises(WarehouseError, match=f"^for_each.locale: the list in the column 'locales' {fact}.*Remove "):
        fan_out(locale="locales").combinations({"locales": values})


def test_more_combinations_than_the_maximum_are_rejected_before_they_are_made() -> None:
    each = fan_out(a="many", b=list(range(100)))
    assert len(each.combinations({"many": list(range(100))})) == MAX_COMBINATIONS
    with pytest.raises(WarehouseError, match="for_each gives 10,100 combinations for one row; at most 10,000"):
        each.combinations({"many": list(range(101))})
