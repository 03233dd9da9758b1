from __future__ import annotations

import pytest
from pydantic import ValidationError

from include.enrichment.answers.checks.check import Check


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pattern": "a", "words": {"max": 1}}, "needs exactly one of .*; it has words and pattern"),
        ({}, "needs exactly one of .*; it has none"),
        ({"words": {}}, "needs min, max or both"),
        ({"words": {"min": 2, "max": 1}}, r"min \(2\) is above max \(1\)"),
        ({"words": {"max": -1}}, "greater than or equal to 0"),
        ({"sql": "true"}, "sql checks the whole output: remove field"),
        ({"pattern": "a", "columns": {"a": "int"}}, "columns belongs to sql only"),
        ({"forbidden": []}, "names no word"),
        ({"forbidden": {"file": "../secrets"}}, "match pattern"),
        ({"must_contain": []}, "at least 1 item"),
        ({"numbers_from": "price"}, "must be a list of columns, or `row`"),
        ({"format": "pdf"}, "'json', 'html' or 'markdown'"),
    ],
    ids=str,
)
def test_a_check_that_cannot_be_is_rejected(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Check.model_validate({"name": "a", "field": "title", **settings})


def test_a_check_needs_a_field_unless_it_is_sql() -> None:
    with pytest.raises(ValidationError, match="needs a field"):
        Check.model_validate({"name": "a", "pattern": "a"})
    assert Check.model_validate({"name": "a", "sql": "true"}).kind == "sql"


def test_short_forms_stand_for_the_long_ones() -> None:
    short = Check.model_validate({"name": "a", "field": "title", "forbidden": ["best"]})
    assert short == Check.model_validate({"name": "a", "field": ["title"], "forbidden": {"words": ["best"]}})
