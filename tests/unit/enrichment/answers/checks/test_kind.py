from __future__ import annotations

from decimal import Decimal

import pytest

from include.enrichment.answers.checks.check import Bounds
from include.enrichment.answers.checks.kind import Answers, text_of
from include.enrichment.answers.checks.length import Length
from include.enrichment.errors import SpecError


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        ("title", "title has 9 characters; at most 5 are allowed"),
        ("seo.meta", "seo.meta has 7 characters; at most 5 are allowed"),
        ("bullets", "bullets has 6 characters; at most 5 are allowed"),
        ("faq.answer", "faq.answer has 8 characters; at most 5 are allowed"),
        ("price", "price has 6 characters; at most 5 are allowed"),
        ("nothing", None),
        ("absent", None),
        ("flag", None),
    ],
)
def test_a_field_may_lie_in_objects_and_lists_and_an_absent_one_passes(field: str, problem: str | None) -> None:
    output = {
        "title": "a bottle!",
        "seo": {"meta": "0123456"},
        "bullets": ["short", "longer"],
        "faq": [{"answer": "no"}, {"answer": "01234567"}],
        "price": 129.99,
        "nothing": None,
        "flag": False,
    }
    check = Length([field], Bounds(max=5), unit="characters")
    assert check.problems([None], Answers(texts=[""], values=[output])) == [problem]


def test_a_check_of_several_fields_tells_the_first_that_fails() -> None:
    check = Length(["a", "b", "c"], Bounds(max=1), unit="characters")
    (problem,) = check.problems([None], Answers(texts=[""], values=[{"a": "1", "b": "12", "c": "123"}]))
    assert problem == "b has 2 characters; at most 1 are allowed"


def test_a_columns_text_is_that_of_a_prompt() -> None:
    assert text_of({"price": Decimal("12.50")}, "price") == "12.50"
    assert text_of({"price": None}, "price") is None


def test_a_column_without_a_text_is_an_error() -> None:
    with pytest.raises(SpecError, match="the column 'image': a binary value has no text"):
        text_of({"image": b"123"}, "image")
